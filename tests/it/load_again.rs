//! Loading after a change takes over what has not changed, and what comes out must be what a load of everything gives.

use std::collections::BTreeMap;

use evenkeel::desired::snapshot::{FileContent, HostFacts, RelPath, Snapshot, SourceRevision};
use evenkeel::desired::{Loader, Wanted, load};
use proptest::prelude::*;

/// Places where a file may stand: the root, two projects, and a folder within one of them.
const PATHS: [&str; 12] = [
    "fleet.toml",
    "root.toml",
    "shop/web.toml",
    "shop/db.toml",
    "shop/zz.toml",
    "shop/.env",
    "shop/app.env",
    "shop/deep/a.toml",
    "shop/deep/.env",
    "blog/a.toml",
    "blog/b.toml",
    "blog/.env",
];

/// What may stand in any of them. Each says something that another project, another file or another level can see.
const TEXTS: [&str; 22] = [
    "",
    "[services.web]\nimage = \"web:1\"\n",
    "[services.web]\nimage = \"web:2\"\nports = [\"80:80\"]\ndepends_on = [\"db\"]\n",
    "[services.db]\nimage = \"db:${TAG}\"\nvolumes = [\"data:/data\"]\n[volumes.data]\n",
    "[services.db]\nimage = \"db:1\"\nports = [\"80:5432\"]\ncontainer_name = \"db\"\ndepends_on = [\"web\"]\n",
    "[services.api]\nimage = \"api:1\"\nnetworks = [\"front\"]\nenv_file = \"app.env\"\n[networks.front]\nname = \"front\"\n",
    "[services.api]\nimage = \"api:1\"\nnetworks = [\"front\"]\n[networks.front]\nname = \"front\"\ninternal = true\n",
    "[services.cron]\nimage = \"cron:1\"\ncontainer_name = \"db\"\ndeploy.replicas = 2\n",
    "override = true\n[services.web]\nimage = \"web:override\"\n",
    "override = true\nreset = [\"services.web.ports\"]\n[services.web]\n",
    "[vars]\nTAG = \"7\"\n",
    "[vars]\nTAG = \"$OTHER\"\n[defaults.services]\nrestart = \"always\"\n",
    "[defaults.services]\nlabels = { team = \"a\" }\nnonsense = 1\n",
    "[policy]\nunset_variables = \"warn\"\nenv_allow = [\"ALLOWED\"]\n[vars]\nTAG = \"$ALLOWED\"\n",
    "[hosts.here]\nvars = { TAG = \"host\" }\nprofiles = [\"extra\"]\n[hosts.there]\n",
    "[hosts.there]\n",
    "ignore = [\"blog/*\"]\n",
    "on_hosts = [\"there\"]\n[services.only]\nimage = \"only:1\"\n",
    "name = \"renamed\"\n[services.web]\nimage = \"web:1\"\nprofiles = [\"extra\"]\n",
    "[services.web\nimage = \"broken\"\n",
    "TAG=9\nOTHER=${TAG}1\n",
    "[services.web]\nextends = \"db\"\nimage = 5\n",
];

#[derive(Debug, Clone)]
enum Edit {
    Write(usize, usize),
    Remove(usize),
    Unreadable(usize),
    /// As an editor does that saves what it read.
    Touch,
    Host(usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        10 => (0..PATHS.len(), 0..TEXTS.len()).prop_map(|(path, text)| Edit::Write(path, text)),
        2 => (0..PATHS.len()).prop_map(Edit::Remove),
        1 => (0..PATHS.len()).prop_map(Edit::Unreadable),
        1 => Just(Edit::Touch),
        1 => (0..3usize).prop_map(Edit::Host),
    ]
}

fn facts(which: usize) -> HostFacts {
    let name = ["here", "there", "here"].get(which).copied().unwrap_or("here");
    let allowed = BTreeMap::from([("ALLOWED".to_owned(), format!("a{which}"))]);
    HostFacts { name: name.to_owned(), environment: allowed, api: Some((1, 41)), ..HostFacts::default() }
}

fn snapshot(files: &BTreeMap<usize, FileContent>) -> Snapshot {
    let path = |at: &usize| RelPath::new(PATHS[*at]).unwrap();
    Snapshot {
        revision: SourceRevision::default(),
        root: "/srv/desired".to_owned(),
        files: files.iter().map(|(at, content)| (path(at), content.clone())).collect(),
        ..Snapshot::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn a_load_after_edits_is_what_a_load_of_everything_gives(edits in prop::collection::vec(edit(), 1..24)) {
        let mut loader = Loader::default();
        let mut files: BTreeMap<usize, FileContent> = BTreeMap::new();
        let mut host = facts(0);
        for edit in edits {
            match edit {
                Edit::Write(path, text) => {
                    files.insert(path, FileContent::Read(TEXTS[text].as_bytes().to_vec().into()));
                }
                Edit::Remove(path) => {
                    files.remove(&path);
                }
                Edit::Unreadable(path) => {
                    files.insert(path, FileContent::Unreadable("permission denied".to_owned()));
                }
                Edit::Touch => {}
                Edit::Host(which) => host = facts(which),
            }
            let now = snapshot(&files);
            prop_assert_eq!(loader.load(&now, &host), load(&now, &host));
        }
    }
}

#[test]
fn a_project_that_an_edit_does_not_concern_is_taken_over_as_it_is() {
    let mut loader = Loader::default();
    let host = facts(0);
    let web =
        |tag: &str| FileContent::Read(format!("[services.web]\nimage = \"web:{tag}\"\n").into_bytes().into());
    let mut files = BTreeMap::from([(2, web("1")), (9, web("1"))]);
    let (before, _) = loader.load(&snapshot(&files), &host);
    files.insert(2, web("2"));
    let (after, _) = loader.load(&snapshot(&files), &host);
    let shared = |project: &str| {
        let of = |state: &evenkeel::desired::DesiredState| {
            let found = state.services.iter().find(|(id, _)| id.project.as_str() == project);
            match found {
                Some((_, Wanted::Run(revision))) => std::sync::Arc::clone(revision),
                other => panic!("{other:?}"),
            }
        };
        std::sync::Arc::ptr_eq(&of(&before), &of(&after))
    };
    assert!(shared("blog"), "nothing of it changed");
    assert!(!shared("shop"), "its file changed");
}
