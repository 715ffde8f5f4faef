//! `include`, and `extends` across files.

use std::collections::BTreeMap;

use evenkeel::desired::diagnostic::Diagnostic;
use evenkeel::desired::ident::ServiceId;
use evenkeel::desired::snapshot::{FileContent, RelPath, Snapshot};
use evenkeel::desired::spec::ServiceSpec;
use evenkeel::desired::{DesiredState, Loader, Wanted, load};

use crate::keys::host;

fn snapshot(files: &[(&str, &str)]) -> Snapshot {
    let content = |text: &str| FileContent::Read(text.as_bytes().to_vec().into());
    let files: BTreeMap<RelPath, FileContent> =
        files.iter().map(|(path, text)| (RelPath::new(path).unwrap(), content(text))).collect();
    Snapshot { root: "/srv/desired".to_owned(), files, ..Snapshot::default() }
}

fn loaded(files: &[(&str, &str)]) -> (DesiredState, Vec<String>) {
    let (state, told) = load(&snapshot(files), &host());
    (state, told.iter().map(Diagnostic::headline).collect())
}

fn names(state: &DesiredState) -> Vec<String> {
    state.services.keys().map(ToString::to_string).collect()
}

fn spec(state: &DesiredState, project: &str, service: &str) -> ServiceSpec {
    match &state.services[&ServiceId::new(project, service).unwrap()] {
        Wanted::Run(revision) => ServiceSpec::clone(&revision.spec),
        Wanted::Frozen(why) => panic!("{why:#?}"),
    }
}

const DB: &str = "[services.db]\nimage = 'db:${TAG:-1}'\nvolumes = ['./data:/data']\n";

#[test]
fn an_included_file_is_part_of_the_project_and_of_no_other() {
    let web = "include = ['../common/db.toml']\n[services.web]\nimage = 'web:1'\ndepends_on = ['db']\n";
    let (state, told) = loaded(&[("common/db.toml", DB), ("shop/web.toml", web), ("shop/.env", "TAG=7\n")]);
    assert_eq!((names(&state), told), (vec!["shop/db".to_owned(), "shop/web".to_owned()], vec![]));
    let db = spec(&state, "shop", "db");
    assert_eq!(db.container.image, "db:7", "variables are those of who includes it");
    let mount = serde_json::to_value(&db.container.mounts["/data"]).unwrap();
    assert_eq!(mount["source"]["bind"]["path"], "/srv/desired/common/data", "paths are those of the file");
    assert_eq!(db.source.file, "common/db.toml");
}

#[test]
fn two_projects_may_include_one_file_and_files_include_each_other() {
    let of = |image: &str| {
        format!("include = [{{ path = '../_parts/db.toml' }}]\n[services.web]\nimage = '{image}'\n")
    };
    let part = format!("include = 'more.toml'\n{DB}");
    let more = "include = ['db.toml']\n[services.cache]\nimage = 'cache:1'\n";
    let (state, told) = loaded(&[
        ("_parts/db.toml", &part),
        ("_parts/more.toml", more),
        ("a/web.toml", &of("web:1")),
        ("b/web.toml", &of("web:2")),
    ]);
    assert_eq!(told, Vec::<String>::new());
    assert_eq!(names(&state), ["a/cache", "a/db", "a/web", "b/cache", "b/db", "b/web"]);
}

#[test]
fn an_included_file_holds_where_its_includer_does() {
    let fleet = ("fleet.toml", "[hosts]\nfra1 = {}\nnyc1 = {}\n");
    let web = "on_hosts = ['nyc1']\ninclude = ['../common/db.toml']\n[services.web]\nimage = 'web:1'\n";
    let (state, told) = loaded(&[fleet, ("common/db.toml", DB), ("shop/web.toml", web)]);
    assert_eq!((names(&state), told), (Vec::<String>::new(), Vec::<String>::new()));
}

#[test]
fn what_cannot_be_included_is_told_at_its_place() {
    for (include, expected) in [
        ("'compose.yaml'", "error[bad-include]: `compose.yaml` is a Compose file, and only TOML is included"),
        ("'../../x.toml'", "error[bad-include]: `../../x.toml` cannot be included"),
        ("'${X}.toml'", "error[bad-include]: `${X}.toml` cannot be included"),
        ("'dbs.toml'", "error[bad-include]: included file `shop/dbs.toml` does not exist"),
        ("7", "error[bad-include]: `include` takes paths of files, not a whole number"),
        (
            "[{ path = 'db.toml', env_file = 'x' }]",
            "error[unsupported-key]: `env_file` in include is not supported",
        ),
        ("[{}]", "error[missing-key]: `include` has an entry without `path`"),
        ("'web.toml'", "error[bad-include]: `shop/web.toml` cannot be included"),
    ] {
        let web = format!("include = {include}\n[services.web]\nimage = 'web:1'\n");
        let (_, told) = loaded(&[("shop/db.toml", DB), ("shop/web.toml", &web)]);
        assert!(told.len() == 1 && told[0].contains(expected), "{include}: {told:?}");
    }
    let (_, told) = load(&snapshot(&[("a.toml", "include = 'x/compose.yaml'\n")]), &host());
    assert!(told[0].helps[0].contains("`evenkeel convert x/compose.yaml` writes compose.toml"), "{told:?}");
}

#[test]
fn a_broken_included_file_freezes_and_removes_nothing() {
    let web = "include = ['../common/db.toml']\n[services.web]\nimage = 'web:1'\n";
    let (state, told) = loaded(&[("common/db.toml", "[services.db\nimage = 'x'\n"), ("shop/web.toml", web)]);
    assert!(state.broken.contains_key("common/db.toml"), "{told:?}");
    assert!(!names(&state).contains(&"common/db".to_owned()), "{:?}", names(&state));
}

const BASE: &str = "[services.base]\nextends = 'root'\nenvironment = { A = 1 }\nvolumes = ['./files:/files']\n\
                    [services.root]\nimage = 'app:1'\nuser = 'app'\n";

#[test]
fn a_service_extends_one_of_another_file_with_the_paths_of_that_file() {
    let web = "[services.web]\nextends = { file = '../_common/base.toml', service = 'base' }\nenvironment = { B = 2 }\n";
    let (state, told) = loaded(&[("_common/base.toml", BASE), ("shop/web.toml", web)]);
    assert_eq!((names(&state), told), (vec!["shop/web".to_owned()], vec![]));
    let spec = spec(&state, "shop", "web");
    assert_eq!((spec.container.image.as_str(), spec.container.user.as_deref()), ("app:1", Some("app")));
    assert_eq!(spec.container.environment.len(), 2);
    let mount = serde_json::to_value(&spec.container.mounts["/files"]).unwrap();
    assert_eq!(mount["source"]["bind"]["path"], "/srv/desired/_common/files");
    assert!(spec.source.files.contains("_common/base.toml"));
}

#[test]
fn a_project_of_its_own_may_be_extended_and_stays_one() {
    let web = "[services.web]\nextends = { file = '../other/base.toml', service = 'base' }\n";
    let (state, told) = loaded(&[("other/base.toml", BASE), ("shop/web.toml", web)]);
    assert_eq!(told, Vec::<String>::new());
    assert_eq!(names(&state), ["other/base", "other/root", "shop/web"]);
}

#[test]
fn what_cannot_be_extended_is_told() {
    for (extends, expected) in [
        (
            "{ file = 'x.toml', service = 'a' }",
            "error[bad-extends]: extended file `shop/x.toml` does not exist",
        ),
        ("{ file = '../_b.toml', service = 'bse' }", "error[unknown-extends]: no service `bse` in _b.toml"),
        ("{ file = '../_loop.toml', service = 'a' }", "error[extends-cycle]: services extend each other"),
        ("{ file = 'c.yml', service = 'a' }", "error[bad-extends]: `c.yml` is a Compose file"),
        ("{ file = '../_b.toml' }", "error[bad-extends]: `extends` does not say which service"),
        ("'wbe'", "error[unknown-extends]: no service `wbe` in project `shop`"),
    ] {
        let web = format!("[services.web]\nimage = 'web:1'\nextends = {extends}\n");
        let turns =
            "[services.a]\nextends = 'b'\n[services.b]\nextends = { file = '_loop.toml', service = 'a' }\n";
        let (_, told) = loaded(&[("_b.toml", BASE), ("_loop.toml", turns), ("shop/web.toml", &web)]);
        assert!(told.len() == 1 && told[0].contains(expected), "{extends}: {told:?}");
    }
}

#[test]
fn a_change_of_an_included_or_extended_file_is_seen_by_the_next_load() {
    let web = "include = ['../_parts/db.toml']\n[services.web]\nextends = { file = '../_parts/base.toml', service = 'base' }\n";
    let files = |tag: &str| {
        let (db, base) = (DB.replace("${TAG:-1}", tag), BASE.replace("app:1", &format!("app:{tag}")));
        snapshot(&[("_parts/db.toml", &db), ("_parts/base.toml", &base), ("shop/web.toml", web)])
    };
    let mut loader = Loader::default();
    for tag in ["1", "2", "2", "3"] {
        let (state, told) = loader.load(&files(tag), &host());
        assert!(told.is_empty(), "{told:?}");
        assert_eq!(spec(&state, "shop", "db").container.image, format!("db:{tag}"));
        assert_eq!(spec(&state, "shop", "web").container.image, format!("app:{tag}"));
    }
}
