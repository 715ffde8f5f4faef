//! From files to the desired state: projects, merging, variables, and what freezes when something is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use evenkeel::cli::render::{self, Finding, Format, Page};
use evenkeel::desired::diagnostic::Diagnostic;
use evenkeel::desired::dotenv;
use evenkeel::desired::ident::ServiceId;
use evenkeel::desired::interpolate::{self, ProblemKind};
use evenkeel::desired::snapshot::{FileContent, HostFacts, RelPath, Snapshot};
use evenkeel::desired::spec::{RestartPolicy, ServiceSpec};
use evenkeel::desired::{DesiredState, Wanted, load};

fn facts() -> HostFacts {
    HostFacts {
        name: "fra1".to_owned(),
        environment: BTreeMap::from([
            ("FROM_ENV".to_owned(), "env".to_owned()),
            ("CI_TAG".to_owned(), "7".to_owned()),
        ]),
        ..HostFacts::default()
    }
}

fn snapshot<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Snapshot {
    let files = files
        .into_iter()
        .map(|(path, text)| (RelPath::new(path).unwrap(), FileContent::Read(text.as_bytes().to_vec().into())))
        .collect();
    Snapshot { root: "/srv/desired".to_owned(), files, ..Snapshot::default() }
}

struct Loaded {
    state: DesiredState,
    diagnostics: Vec<Diagnostic>,
}

fn read(files: &[(&str, &str)]) -> Loaded {
    let (state, diagnostics) = load(&snapshot(files.iter().copied()), &facts());
    Loaded { state, diagnostics }
}

/// Loads files that must be good.
fn good(files: &[(&str, &str)]) -> Loaded {
    let loaded = read(files);
    assert_eq!(loaded.headlines(), Vec::<String>::new(), "for {files:#?}");
    loaded
}

impl Loaded {
    fn headlines(&self) -> Vec<String> {
        self.diagnostics.iter().map(Diagnostic::headline).collect()
    }
    fn slugs(&self) -> Vec<&str> {
        self.diagnostics.iter().map(|diagnostic| diagnostic.slug).collect()
    }
    fn spec(&self, id: &str) -> &ServiceSpec {
        match self.state.services.get(&ServiceId::parse(id).unwrap()) {
            Some(Wanted::Run(revision)) => &revision.spec,
            other => panic!("{id} is {other:#?}, said: {:#?}", self.headlines()),
        }
    }
    fn environment(&self, id: &str) -> BTreeMap<String, String> {
        let environment = &self.spec(id).container.environment;
        environment
            .iter()
            .map(|(key, value)| (key.clone(), value.as_ref().unwrap().expose().to_owned()))
            .collect()
    }
    /// `shop/web` runs, `shop/db!` is frozen.
    fn services(&self) -> Vec<String> {
        let shown = |(id, wanted): (&ServiceId, &Wanted)| match wanted {
            Wanted::Run(_) => id.to_string(),
            Wanted::Frozen(why) => {
                assert!(!why.is_empty() && why.iter().all(|why| why.line > 0), "{id}: {why:#?}");
                format!("{id}!")
            }
        };
        self.state.services.iter().map(shown).collect()
    }
    fn broken(&self) -> Vec<&str> {
        self.state.broken.keys().map(String::as_str).collect()
    }
}

const WEB: &str = "[services.web]\nimage = 'nginx:1.27'\n";

#[test]
fn an_empty_snapshot_is_an_empty_state() {
    let loaded = good(&[]);
    assert_eq!(loaded.state, DesiredState::default());
}

#[test]
fn a_folder_is_a_project_and_the_root_is_the_project_default() {
    type Files<'a> = &'a [(&'a str, &'a str)];
    let rows: [(Files<'_>, &[&str]); 9] = [
        (&[("hello.toml", WEB)], &["default/web"]),
        (&[("shop/a.toml", WEB), ("shop/b.toml", "[services.db]\nimage = 'b'")], &["shop/db", "shop/web"]),
        (
            &[
                ("shop/a.toml", "name = 'store'\n[services.web]\nimage = 'a'"),
                ("shop/b.toml", "[services.db]\nimage = 'b'"),
            ],
            &["store/db", "store/web"],
        ),
        (
            &[("one.toml", "name = 'one'\n[services.web]\nimage = 'a'"), ("two.toml", WEB)],
            &["default/web", "one/web"],
        ),
        (&[("a/b/web.toml", WEB)], &["b/web"]),
        (&[("My.App/web.toml", WEB)], &["myapp/web"]),
        (
            &[
                ("shop/_draft.toml", WEB),
                ("shop/.hidden.toml", WEB),
                (".git/x.toml", WEB),
                ("_old/x.toml", WEB),
            ],
            &[],
        ),
        (&[("shop/web.txt", "[[["), ("shop/web.toml", WEB)], &["shop/web"]),
        (
            &[
                ("hosts/fra1.toml", "override = true\nname = 'shop'\n[services.web]\nscale = 2"),
                ("shop/web.toml", WEB),
            ],
            &["shop/web"],
        ),
    ];
    for (files, expected) in rows {
        assert_eq!(good(files).services(), expected, "{files:#?}");
    }
}

#[test]
fn names_of_projects_that_cannot_be_are_told() {
    for (files, expected) in [
        (vec![("a.toml", "name = 'My Shop'")], vec!["bad-name"]),
        (vec![("a.toml", "name = 3")], vec!["bad-type"]),
        (vec![("s/a.toml", "name = 'a'"), ("s/b.toml", "name = 'b'")], vec!["two-names"]),
        (vec![("x/s/a.toml", WEB), ("y/s/b.toml", "[services.db]\nimage = 'b'")], vec!["two-folders"]),
        (vec![("fleet.toml", "name = 'a'")], vec!["misplaced"]),
        (vec![("s/a.toml", "[hosts.fra1]")], vec!["misplaced"]),
    ] {
        assert_eq!(read(&files).slugs(), expected, "{files:#?}");
    }
}

#[test]
fn what_a_service_mounts_reads_or_is_told_to_ignore_is_not_state() {
    let foreign = "[entryPoints.web]\naddress = ':80'";
    let rows: [(&str, &str); 5] = [
        ("volumes = ['./files/traefik.toml:/t.toml:ro']", "edge/files/traefik.toml"),
        ("volumes = ['./conf:/etc/conf']", "edge/conf/deep/app.toml"),
        ("volumes = [{ type = 'bind', source = './conf', target = '/c' }]", "edge/conf/app.toml"),
        ("env_file = 'app.toml'", "edge/app.toml"),
        ("volumes = ['../shared/conf:/c']", "shared/conf/app.toml"),
    ];
    for (key, path) in rows {
        let state = format!("[services.t]\nimage = 'traefik'\n{key}\n");
        let loaded = read(&[("edge/edge.toml", &state), (path, foreign)]);
        assert!(!loaded.slugs().contains(&"foreign-toml"), "{key}: {:?}", loaded.headlines());
    }
    let outside = read(&[
        ("edge/edge.toml", "[services.t]\nimage = 'a'\nvolumes = ['./x:/x']"),
        ("edge/y.toml", foreign),
    ]);
    assert_eq!(outside.slugs(), ["foreign-toml"]);
    good(&[
        ("fleet.toml", "ignore = ['**/Cargo.toml', 'vendor/**']"),
        ("a/Cargo.toml", foreign),
        ("vendor/x/y.toml", foreign),
    ]);
    // A folder that holds the state itself is not payload as a whole.
    let own = good(&[
        ("a/web.toml", "[services.web]\nimage = 'a'\nvolumes = ['.:/state:ro']"),
        ("a/db.toml", "[services.db]\nimage = 'b'"),
    ]);
    assert_eq!(own.services(), ["a/db", "a/web"]);
}

#[test]
fn a_broken_file_freezes_what_it_has_a_part_in_and_nothing_else() {
    let loaded = read(&[
        ("shop/web.toml", "[services.web]\nimage = 'a'\nrestart = always\n[services.cache]\nimage = 'b'\n"),
        ("shop/db.toml", "[services.db]\nimage = 'postgres'\n"),
        (
            "wiki/wiki.toml",
            "[services.wiki]\nimage = 'wiki'\nenviroment = {}\n[services.cron]\nimage = 'c'\n",
        ),
        ("blog/blog.toml", "[services.blog]\nimage = 'blog'\n"),
    ]);
    assert_eq!(
        loaded.services(),
        ["blog/blog", "shop/cache!", "shop/db", "shop/web!", "wiki/cron!", "wiki/wiki!"]
    );
    assert_eq!(loaded.broken(), ["shop/web.toml", "wiki/wiki.toml"]);
    assert_eq!(loaded.headlines().len(), 2, "{:#?}", loaded.headlines());
}

#[test]
fn an_unreadable_file_is_broken_and_the_others_go_on() {
    let mut snapshot = snapshot([("shop/web.toml", WEB)]);
    let unreadable = FileContent::Unreadable("permission denied".to_owned());
    snapshot.files.insert(RelPath::new("shop/db.toml").unwrap(), unreadable.clone());
    snapshot.files.insert(RelPath::new("wiki/*.toml").unwrap(), unreadable);
    let (state, diagnostics) = load(&snapshot, &facts());
    let loaded = Loaded { state, diagnostics };
    assert_eq!(loaded.services(), ["shop/web"]);
    assert_eq!(loaded.broken(), ["shop/db.toml", "wiki/*.toml"]);
}

#[test]
fn what_refers_into_a_broken_file_freezes_without_an_error_of_its_own() {
    let broken = "[services.db]\nimage = 'b'\n[volumes\ndata = {}\n[networks.front]\n[vars]\nTAG = '1'\n";
    for key in [
        "volumes = ['data2:/d']",
        "networks = ['back']",
        "depends_on = ['cache']",
        "hostname = '${HOST}'",
        "networks = ['front']",
        "hostname = '${TAG}'",
    ] {
        let web = format!("[services.web]\nimage = 'a'\n{key}\n[services.other]\nimage = 'o'\n");
        let loaded = read(&[("shop/web.toml", &web), ("shop/db.toml", broken)]);
        assert_eq!(
            loaded.services(),
            ["shop/db!", "shop/other", "shop/web!"],
            "{key}: {:#?}",
            loaded.headlines()
        );
        assert_eq!(loaded.broken(), ["shop/db.toml"], "{key}");
    }
}

#[test]
fn a_broken_part_freezes_the_whole_service() {
    for (path, text) in [
        ("shop/zz.toml", "override = true\n[services.web]\nscale = two\n"),
        ("fleet.toml", "[hosts.fra1]\n[vars\n"),
        ("fleet.toml", "[polcy]\n"),
        ("shop/.env", "TAG='1\n"),
        ("shop/web.env", "A='1\n"),
        ("shop/defaults.toml", "[defaults.services]\nrestart = 'sometimes'\n"),
        ("shop/defaults.toml", "[defaults.services]\nrestrat = 'always'\n"),
        ("shop/vars.toml", "[vars]\nTAG = [1]\n"),
        ("shop/vars.toml", "[vars]\nTAG = '$TAG'\n"),
    ] {
        let web =
            "[services.web]\nimage = 'a:${TAG-1}'\nenv_file = [{ path = 'web.env', required = false }]\n";
        let loaded = read(&[("shop/web.toml", web), (path, text)]);
        assert_eq!(loaded.services(), ["shop/web!"], "{path} {text}: {:#?}", loaded.headlines());
        assert_eq!(loaded.diagnostics.len(), 1, "{path} {text}: {:#?}", loaded.headlines());
    }
}

#[test]
fn a_service_knows_every_file_that_had_a_part_in_it() {
    let loaded = good(&[
        ("fleet.toml", "[defaults.services]\nrestart = 'always'\n[vars]\nUNUSED = 1"),
        ("shop/.env", "TAG=1.27"),
        ("shop/web.toml", "[services.web]\nimage = 'nginx:$TAG'\nnetworks = ['front']\nenv_file = 'web.env'"),
        ("shop/web.env", "A=1"),
        ("shop/net.toml", "[networks.front]"),
        ("shop/zz.toml", "override = true\n[services.web]\nscale = 2"),
        ("shop/other.toml", "[services.other]\nimage = 'o'"),
    ]);
    let source = &loaded.spec("shop/web").source;
    let files: Vec<&str> = source.files.iter().map(String::as_str).collect();
    assert_eq!(
        files,
        ["fleet.toml", "shop/.env", "shop/net.toml", "shop/web.env", "shop/web.toml", "shop/zz.toml"]
    );
    assert_eq!((source.file.as_str(), source.line), ("shop/web.toml", 1));
}

#[test]
fn an_override_file_refines_by_composes_rules() {
    let base = "\
[services.web]
image = 'a'
command = ['one', 'two']
ports = ['8080:80', '9090:90']
volumes = ['./a:/a', './b:/b']
dns = '1.1.1.1'
cap_add = ['NET_ADMIN']
environment = { A = 1, B = 2 }
labels = { 'one.two' = 'x', three = 'y' }
extra_hosts = ['db:10.0.0.1']
logging = { driver = 'json-file', options = { max-size = '1m' } }
healthcheck = { test = ['CMD', 'a'], interval = '5s' }
";
    type Read = fn(&ServiceSpec) -> String;
    let ports: Read =
        |spec| spec.container.ports.iter().map(|p| format!("{:?} ", p.fixed().unwrap())).collect();
    let mounts: Read = |spec| {
        format!(
            "{:?}",
            spec.container.mounts.iter().map(|(t, m)| format!("{t} {}", m.read_only)).collect::<Vec<_>>()
        )
    };
    let environment: Read = |spec| {
        format!(
            "{:?}",
            spec.container
                .environment
                .iter()
                .map(|(k, v)| format!("{k}={}", v.as_ref().unwrap().expose()))
                .collect::<Vec<_>>()
        )
    };
    let rows: [(&str, Read, &str); 16] = [
        ("image = 'b'", |s| s.container.image.clone(), "b:latest"),
        ("command = 'three'", |s| format!("{:?}", s.container.command), "Some([\"three\"])"),
        ("ports = ['7070:70']", ports, "7070 8080 9090 "),
        ("ports = ['8080:80/tcp']", ports, "8080 9090 "),
        ("ports = [{ target = 80, published = '8080' }]", ports, "8080 9090 "),
        ("volumes = ['./c:/a:ro']", mounts, "[\"/a true\", \"/b false\"]"),
        (
            "volumes = [{ type = 'bind', source = './c', target = '/c' }]",
            mounts,
            "[\"/a false\", \"/b false\", \"/c false\"]",
        ),
        ("dns = ['8.8.8.8']", |s| s.container.dns.join(" "), "1.1.1.1 8.8.8.8"),
        (
            "cap_add = ['SYS_TIME', 'NET_ADMIN']",
            |s| format!("{:?}", s.container.cap_add),
            "{\"NET_ADMIN\", \"SYS_TIME\"}",
        ),
        ("environment = { B = 3, C = 4 }", environment, "[\"A=1\", \"B=3\", \"C=4\"]"),
        ("environment = ['B=3', 'C=4']", environment, "[\"A=1\", \"B=3\", \"C=4\"]"),
        (
            "labels.one.two = 'z'",
            |s| format!("{:?}", s.container.labels),
            "{\"one.two\": \"z\", \"three\": \"y\"}",
        ),
        ("extra_hosts = { cache = '10.0.0.2' }", |s| s.container.extra_hosts.len().to_string(), "2"),
        (
            "logging = { driver = 'local' }",
            |s| s.container.logging.as_ref().unwrap().options.len().to_string(),
            "0",
        ),
        (
            "logging = { options = { max-file = 3 } }",
            |s| s.container.logging.as_ref().unwrap().options.len().to_string(),
            "2",
        ),
        (
            "healthcheck = { test = ['CMD', 'b'] }",
            |s| format!("{:?}", s.container.healthcheck),
            "Set(HealthcheckSpec { test: [\"CMD\", \"b\"], interval: Some(5000000000), timeout: None, start_period: None, start_interval: None, retries: None })",
        ),
    ];
    for (line, read, expected) in rows {
        let over = format!("override = true\n[services.web]\n{line}\n");
        let loaded = good(&[("s/base.toml", base), ("s/a-override.toml", &over)]);
        assert_eq!(read(loaded.spec("s/web")), expected, "{line}");
    }
}

#[test]
fn reset_clears_before_an_override_applies() {
    let base = "[services.web]\nimage = 'a'\nports = ['80:80']\nenvironment = { A = 1, B = 2 }\n[services.old]\nimage = 'o'\n[volumes]\nv = {}\n";
    let over = "override = true\nreset = ['services.web.ports', 'services.web.environment.A', 'services.old', 'volumes.v']\n[services.web]\nports = ['81:80']\n";
    let loaded = good(&[("s/a.toml", base), ("s/b.toml", over)]);
    assert_eq!(loaded.services(), ["s/web"]);
    let ports: Vec<_> = loaded.spec("s/web").container.ports.iter().filter_map(|port| port.fixed()).collect();
    assert_eq!(ports, [81]);
    assert_eq!(loaded.environment("s/web"), BTreeMap::from([("B".to_owned(), "2".to_owned())]));
    assert!(loaded.state.volumes.is_empty());
    assert_eq!(read(&[("a.toml", "override = true\nreset = ['services.x.y']")]).slugs(), ["reset-nothing"]);
    assert_eq!(read(&[("a.toml", "reset = ['services.x.y']")]).slugs(), ["misplaced"]);
}

#[test]
fn settings_of_one_level_merge_by_key_and_never_depend_on_the_order_of_files() {
    let web = ("s/web.toml", "[services.web]\nimage = 'a'\nhostname = '$A-$B'");
    let loaded = good(&[web, ("s/a.toml", "[vars]\nA = 1"), ("s/b.toml", "[vars]\nB = 2\nA = 1")]);
    assert_eq!(loaded.spec("s/web").container.hostname.as_deref(), Some("1-2"));
    let clash = read(&[web, ("s/a.toml", "[vars]\nA = 1\nB = 2"), ("s/b.toml", "[vars]\nA = 2")]);
    assert_eq!(
        clash.headlines(),
        ["s/b.toml:2:1: error[defined-twice]: `vars.A` has two values at one level"]
    );
    let settled =
        good(&[web, ("s/a.toml", "[vars]\nA = 1\nB = 2"), ("s/b.toml", "override = true\n[vars]\nA = 2")]);
    assert_eq!(settled.spec("s/web").container.hostname.as_deref(), Some("2-2"));
}

#[test]
fn defaults_supply_what_a_service_leaves_out_and_the_deeper_one_wins() {
    let loaded = good(&[
        (
            "fleet.toml",
            "[defaults.services]\nrestart = 'always'\nstop_grace_period = '5s'\nenvironment = { A = 'fleet', B = 'fleet' }\nlogging = { driver = 'json-file', options = { max-size = '1m' } }\nnetworks = ['proxy']\ncap_add = ['SYS_TIME']",
        ),
        (
            "s/d.toml",
            "[defaults.services]\nrestart = 'unless-stopped'\nenvironment = ['B=project']\n[networks.proxy]",
        ),
        (
            "s/web.toml",
            "[services.web]\nimage = 'a'\nenvironment = { C = '${service.name}' }\ncap_add = ['NET_ADMIN']\nlogging = { driver = 'local' }",
        ),
        ("s/host.toml", "[services.host]\nimage = 'a'\nrestart = 'no'\nnetwork_mode = 'host'"),
    ]);
    let web = loaded.spec("s/web");
    assert_eq!(web.live.restart, RestartPolicy::UnlessStopped);
    assert_eq!(web.container.stop_grace_period, Some(5));
    assert_eq!(web.container.cap_add, BTreeSet::from(["NET_ADMIN".to_owned()]));
    assert_eq!(web.container.logging.as_ref().unwrap().options.len(), 0);
    assert!(web.live.networks.contains_key("s_proxy"), "{:?}", web.live.networks);
    let expected = [("A", "fleet"), ("B", "project"), ("C", "web")];
    let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(loaded.environment("s/web"), BTreeMap::from(expected));
    assert_eq!(loaded.spec("s/host").live.restart, RestartPolicy::No);
}

#[test]
fn extends_takes_over_from_a_service_of_the_project() {
    let loaded = good(&[
        (
            "s/a.toml",
            "[services.base]\nimage = 'a'\nenvironment = { A = 1 }\nlabels = { n = '${service.name}' }\n[services.mid]\nextends = 'base'\nenvironment = { B = 2 }",
        ),
        (
            "s/b.toml",
            "[services.web]\nextends = { file = 'a.toml', service = 'mid' }\nimage = 'b'\nenvironment = { A = 3 }",
        ),
    ]);
    let web = loaded.spec("s/web");
    assert_eq!(web.container.image, "b:latest");
    assert_eq!(web.container.labels.get("n").map(String::as_str), Some("web"));
    assert_eq!(
        loaded.environment("s/web"),
        BTreeMap::from([("A".to_owned(), "3".to_owned()), ("B".to_owned(), "2".to_owned())])
    );
    for (text, slug) in [
        ("[services.a]\nextends = 'b'\nimage = 'i'", "unknown-extends"),
        (
            "[services.a]\nextends = 'b'\nimage = 'i'\n[services.b]\nextends = 'a'\nimage = 'i'",
            "extends-cycle",
        ),
        ("[services.a]\nextends = { file = '../x.toml', service = 'b' }\nimage = 'i'", "bad-extends"),
        ("[services.a]\nextends = 3\nimage = 'i'", "bad-extends"),
    ] {
        assert_eq!(read(&[("a.toml", text)]).slugs(), [slug], "{text}");
    }
}

#[test]
fn selectors_decide_what_is_meant_for_this_host() {
    let fleet = "[hosts]\nfra1 = { labels = { role = 'web', zone = 'eu' }, profiles = ['debug'] }\nfra2 = {}\nnyc1 = { labels = { role = 'web' } }\ndb1 = { labels = { role = 'db' } }\n";
    for (selector, here) in [
        ("on_hosts = ['fra1']", true),
        ("on_hosts = 'fra1'", true),
        ("on_hosts = ['nyc1']", false),
        ("on_hosts = ['fra*']", true),
        ("on_hosts = ['nyc?', 'db?']", false),
        ("on_hosts = ['role=web']", true),
        ("on_hosts = ['role=db']", false),
        ("on_hosts = ['role=db', 'zone=eu']", true),
        ("on_hosts = ['!fra1']", false),
        ("on_hosts = ['!role=db']", true),
        ("on_hosts = ['role=web', '!fra1']", false),
        ("on_hosts = []", true),
        ("profiles = ['debug']", true),
        ("profiles = ['backup']", false),
        ("profiles = []", true),
    ] {
        let expected: &[&str] = if here { &["default/web"] } else { &[] };
        let service = format!("{WEB}{selector}\n");
        assert_eq!(good(&[("fleet.toml", fleet), ("web.toml", &service)]).services(), expected, "{selector}");
        if selector.starts_with("on_hosts") {
            let file = format!("{selector}\n{WEB}");
            assert_eq!(
                good(&[("fleet.toml", fleet), ("web.toml", &file)]).services(),
                expected,
                "file: {selector}"
            );
        }
    }
    assert_eq!(
        good(&[("web.toml", "on_hosts = ['other']\n[services.web]\nimage = 'a'")]).services(),
        [""; 0]
    );
    let unlisted = read(&[("fleet.toml", "[hosts.nyc1]"), ("web.toml", WEB)]);
    assert_eq!(
        (unlisted.slugs(), unlisted.services()),
        (vec!["unlisted-host"], vec!["default/web!".to_owned()])
    );
}

#[test]
fn a_dependency_that_is_not_meant_for_this_host_is_told() {
    let text = "[services.web]\nimage = 'a'\ndepends_on = ['db']\n[services.db]\nimage = 'b'\non_hosts = ['other']\n";
    let loaded = read(&[("a.toml", text)]);
    assert_eq!(
        loaded.headlines(),
        [
            "a.toml:3:15: error[dependency-elsewhere]: services.db is not meant for host `fra1`, so services.web cannot wait for it"
        ]
    );
    good(&[(
        "a.toml",
        &text.replace("['db']", "{ db = { condition = 'service_started', required = false } }"),
    )]);
}

#[test]
fn variables_come_from_the_nearest_place() {
    let places = [
        ("fleet.toml", "[hosts.fra1.vars]\nV = 'host'\n"),
        ("a/b/v.toml", "[vars]\nV = 'project'\n"),
        ("a/b/.env", "V=dotenv\n"),
        ("a/v.toml", "[vars]\nV = 'above'\n"),
        ("root.toml", "[vars]\nV = 'root'\n[policy]\nenv_allow = ['FROM_*', 'V']\n"),
    ];
    for (missing, expected) in ["host", "project", "dotenv", "above", "root"].iter().enumerate() {
        let mut files = vec![("a/b/web.toml", "[services.web]\nimage = 'a'\nhostname = '$V'\n")];
        files.extend_from_slice(&places[missing..]);
        assert_eq!(good(&files).spec("b/web").container.hostname.as_deref(), Some(*expected));
    }
}

#[test]
fn the_controllers_environment_is_read_as_far_as_policy_allows() {
    let web = "[services.web]\nimage = 'a'\nhostname = '$FROM_ENV'\nenvironment = ['CI_TAG']\n";
    assert_eq!(read(&[("a.toml", web)]).slugs(), ["unset-variable"]);
    let allowed = format!("{web}[policy]\nenv_allow = ['FROM_ENV', 'CI_*']\n");
    let loaded = good(&[("a.toml", &allowed)]);
    assert_eq!(loaded.spec("web").container.hostname.as_deref(), Some("env"));
    assert_eq!(loaded.environment("web"), BTreeMap::from([("CI_TAG".to_owned(), "7".to_owned())]));
}

#[test]
fn built_in_names_have_a_dot() {
    let loaded = good(&[
        ("fleet.toml", "[hosts.fra1]\nlabels = { zone = 'eu' }"),
        (
            "s/a.toml",
            "[services.web]\nimage = 'reg:5000/x:${V}'\nenvironment = { A = '${host.name} ${host.labels.zone} ${project.name} ${service.name} ${service.tag}' }\n[vars]\nV = 'v${W}'\nW = 2",
        ),
    ]);
    assert_eq!(
        loaded.environment("s/web"),
        BTreeMap::from([("A".to_owned(), "fra1 eu s web v2".to_owned())])
    );
    assert_eq!(
        read(&[("a.toml", "[services.web]\nimage = 'a'\nhostname = '${host.nmae}'")]).slugs(),
        ["unknown-built-in"]
    );
}

#[test]
fn an_unset_variable_is_a_warning_where_the_policy_says_so() {
    let loaded = read(&[(
        "a.toml",
        "[services.web]\nimage = 'a'\nlabels = { a = 'x$NO' }\n[policy]\nunset_variables = 'warn'",
    )]);
    assert_eq!(loaded.headlines(), ["a.toml:3:18: warning[unset-variable]: variable `NO` is not set"]);
    assert_eq!(loaded.spec("web").container.labels.get("a").map(String::as_str), Some("x"));
}

#[test]
fn keys_are_never_expanded_and_a_variable_may_stand_for_a_number() {
    let loaded = good(&[(
        "a.toml",
        "[services.web]\nimage = 'a'\nlabels = { '$K' = 1 }\nscale = '${N}'\ninit = '${B}'\n[vars]\nN = 3\nB = true",
    )]);
    assert!(loaded.spec("web").container.labels.contains_key("$K"));
    assert_eq!((loaded.spec("web").policy.replicas, loaded.spec("web").container.init), (3, Some(true)));
}

/// `Ok(text)`, or the kinds of problems.
fn expand(text: &str) -> Result<String, Vec<&'static str>> {
    let scope = |name: &str| match name {
        "A" => Some("a".to_owned()),
        "B" => Some("b".to_owned()),
        "E" => Some(String::new()),
        "D" => Some("$A".to_owned()),
        "_x1" => Some("u".to_owned()),
        "host.name" => Some("h".to_owned()),
        _ => None,
    };
    let expanded = interpolate::expand(text, &scope);
    if expanded.problems.is_empty() {
        return Ok(expanded.text);
    }
    let kind = |problem: &interpolate::Problem| match problem.kind {
        ProblemKind::Unset { .. } => "unset",
        ProblemKind::UnknownBuiltIn { .. } => "built-in",
        ProblemKind::Required { .. } => "required",
        ProblemKind::Grammar { .. } => "grammar",
        ProblemKind::Loose => "loose",
    };
    Err(expanded.problems.iter().map(kind).collect())
}

#[test]
fn composes_grammar_row_by_row() {
    let texts: [(&str, &str); 53] = [
        ("", ""),
        ("plain", "plain"),
        ("$A", "a"),
        ("${A}", "a"),
        ("$A$B", "ab"),
        ("x${A}y", "xay"),
        ("$A.b", "a.b"),
        ("$A-b", "a-b"),
        ("$_x1.", "u."),
        ("${_x1}", "u"),
        ("$E", ""),
        ("${E}", ""),
        ("$D", "$A"),
        ("$$", "$"),
        ("$$A", "$A"),
        ("$$$A", "$a"),
        ("$$$$", "$$"),
        ("$${A}", "${A}"),
        ("a$$b", "a$b"),
        ("${A:-x}", "a"),
        ("${E:-x}", "x"),
        ("${N:-x}", "x"),
        ("${A-x}", "a"),
        ("${E-x}", ""),
        ("${N-x}", "x"),
        ("${N:-}", ""),
        ("${N-}", ""),
        ("${A:+x}", "x"),
        ("${E:+x}", ""),
        ("${N:+x}", ""),
        ("${A+x}", "x"),
        ("${E+x}", "x"),
        ("${N+x}", ""),
        ("${A:?m}", "a"),
        ("${A?m}", "a"),
        ("${E?m}", ""),
        ("${A:?}", "a"),
        ("${N:-${A}}", "a"),
        ("${N:-$A}", "a"),
        ("${N:-${M:-${A}}}", "a"),
        ("${N:-x${A}y}", "xay"),
        ("${N-${E:-z}}", "z"),
        ("${A:+${B}}", "b"),
        ("${N:-a:b}", "a:b"),
        ("${N:-a-b?c+d}", "a-b?c+d"),
        ("${N:-http://x/?y=1}", "http://x/?y=1"),
        ("${N:-$$x}", "$x"),
        ("${N:-a b}", "a b"),
        ("${N:-{}}", "{}"),
        ("${A:-$NOT_SET}", "a"),
        ("${N:+$NOT_SET}", ""),
        ("${host.name}", "h"),
        ("é${A}é", "éaé"),
    ];
    for (text, expected) in texts {
        assert_eq!(expand(text), Ok(expected.to_owned()), "{text}");
    }
    let wrong: [(&str, &[&str]); 23] = [
        ("$N", &["unset"]),
        ("${N}", &["unset"]),
        ("$N${M}", &["unset", "unset"]),
        ("${N:-$M}", &["unset"]),
        ("${A:+$M}", &["unset"]),
        ("${N:?}", &["required"]),
        ("${N?m}", &["required"]),
        ("${E:?m}", &["required"]),
        ("${host.nope}", &["built-in"]),
        ("$", &["loose"]),
        ("a$", &["loose"]),
        ("$1", &["loose"]),
        ("$ A", &["loose"]),
        ("$é", &["loose"]),
        ("${", &["grammar"]),
        ("${}", &["grammar"]),
        ("${A", &["grammar"]),
        ("${A:-", &["grammar"]),
        ("${A:-${B}", &["grammar"]),
        ("${A!x}", &["grammar"]),
        ("${A:}", &["grammar"]),
        ("${1A}", &["grammar"]),
        ("${A:-$1}", &["loose"]),
    ];
    for (text, expected) in wrong {
        assert_eq!(expand(text), Err(expected.to_vec()), "{text}");
    }
    // Scripts are full of them: a warning, and nothing is missing.
    let text = "run & PID=$!; test $? = 0 && echo $(date) $1";
    let expanded = interpolate::expand(text, &|_: &str| None);
    assert_eq!((expanded.text.as_str(), expanded.gap, expanded.replaced), (text, false, false));
}

#[test]
fn variables_nested_or_multiplied_beyond_reason_are_an_error() {
    let deep = format!("{}x{}", "${N:-".repeat(5000), "}".repeat(5000));
    assert_eq!(expand(&deep), Err(vec!["grammar"]));
    let mut text = "[services.web]\nimage = 'a'\nhostname = '$V30'\n[vars]\nV0 = 'xxxxxxxx'\n".to_owned();
    for level in 1..=30 {
        writeln!(text, "V{level} = '$V{0}$V{0}'", level - 1).unwrap();
    }
    let begun = Instant::now();
    let loaded = read(&[("a.toml", &text)]);
    assert_eq!(loaded.services(), ["default/web!"]);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

fn variables(text: &str, format: dotenv::Format) -> Result<Vec<String>, Vec<String>> {
    let scope = |name: &str| (name == "OUT").then(|| "out".to_owned());
    let mut diagnostics = Vec::new();
    let found = dotenv::parse("x.env", text.as_bytes(), format, &scope, &mut diagnostics);
    if diagnostics.is_empty() {
        return Ok(found.into_iter().map(|(key, value)| format!("{key}={value}")).collect());
    }
    let line = |d: &Diagnostic| text[..d.primary.span.start].matches('\n').count() + 1;
    Err(diagnostics.iter().map(|d| format!("{} {}", line(d), d.slug)).collect())
}

#[test]
fn env_files_by_composes_grammar() {
    let rows: [(&str, &[&str]); 41] = [
        ("", &[]),
        ("\n\n  # note\n", &[]),
        ("A=1", &["A=1"]),
        ("A=1\nB=2\n", &["A=1", "B=2"]),
        ("A=1\r\nB=2\r\n", &["A=1", "B=2"]),
        ("\u{feff}A=1", &["A=1"]),
        ("A=", &["A="]),
        ("A=\nB=1", &["A=", "B=1"]),
        ("A = 1 ", &["A=1"]),
        ("  A=1", &["A=1"]),
        ("A: 1", &["A=1"]),
        ("export A=1", &["A=1"]),
        ("export\tA=1", &["A=1"]),
        ("exported=1", &["exported=1"]),
        ("A=1 # note", &["A=1"]),
        ("A=1#not", &["A=1#not"]),
        ("A= # note", &["A="]),
        ("A=a b  c", &["A=a b  c"]),
        ("A=a=b", &["A=a=b"]),
        ("A='x'", &["A=x"]),
        ("A='$B \\n'", &["A=$B \\n"]),
        ("A='it\\'s'", &["A=it's"]),
        ("A='x' # note", &["A=x"]),
        ("A=\"x\"", &["A=x"]),
        ("A=\"a\\nb\\tc\"", &["A=a\nb\tc"]),
        ("A=\"a\\\\b\"", &["A=a\\b"]),
        ("A=\"a\\\"b\"", &["A=a\"b"]),
        ("A=\"a\\zb\"", &["A=a\\zb"]),
        ("A=\"one\ntwo\"\nB=1", &["A=one\ntwo", "B=1"]),
        ("A='one\r\ntwo'", &["A=one\ntwo"]),
        ("A=\"#x\"", &["A=#x"]),
        ("A=1\nB=$A", &["A=1", "B=1"]),
        ("A=1\nB=\"${A}x\"", &["A=1", "B=1x"]),
        ("A=1\nB='${A}'", &["A=1", "B=${A}"]),
        ("B=${A:-d}", &["B=d"]),
        ("B=$OUT", &["B=out"]),
        ("B=$$x", &["B=$x"]),
        ("B=\"\\$x\"", &["B=$x"]),
        ("OUT\nMISSING", &["OUT=out"]),
        ("A=1\nA=2", &["A=2"]),
        ("a.b-c=1", &["a.b-c=1"]),
    ];
    for (text, expected) in rows {
        let expected = expected.iter().map(|line| (*line).to_owned()).collect();
        assert_eq!(variables(text, dotenv::Format::Compose), Ok(expected), "{text:?}");
    }
    let wrong: [(&str, &[&str]); 9] = [
        ("A=1\nB=\"x", &["2 env-file"]),
        ("A='x\ny", &["1 env-file"]),
        ("A B=1", &["1 env-file"]),
        ("=1", &["1 env-file"]),
        ("A$=1\nB=2\nC%=1", &["1 env-file", "3 env-file"]),
        ("A=\"x\" y", &["1 env-file"]),
        ("A=1\nB=$NO", &["2 unset-variable"]),
        ("A=1\n\nB=\"a\n$NO\"", &["3 unset-variable"]),
        ("A=${", &["1 bad-variable"]),
    ];
    for (text, expected) in wrong {
        let expected = expected.iter().map(|line| (*line).to_owned()).collect();
        assert_eq!(variables(text, dotenv::Format::Compose), Err(expected), "{text:?}");
    }
}

#[test]
fn raw_env_files_take_everything_as_it_stands() {
    let text = "# note\nA='x' # y\nB=$A\n\nOUT\nC= z \n";
    let expected = ["A='x' # y", "B=$A", "C= z ", "OUT=out"].map(str::to_owned).to_vec();
    assert_eq!(variables(text, dotenv::Format::Raw), Ok(expected));
    assert_eq!(variables("A B=1", dotenv::Format::Raw), Err(vec!["1 env-file".to_owned()]));
}

#[test]
fn the_default_network_is_there_when_a_service_uses_it() {
    for (text, expected) in [
        (WEB.to_owned(), vec!["default_default"]),
        (format!("{WEB}network_mode = 'host'"), vec![]),
        (format!("{WEB}networks = ['a']\n[networks.a]"), vec!["default_a"]),
        (format!("{WEB}networks = ['a', 'default']\n[networks.a]"), vec!["default_a", "default_default"]),
        (format!("{WEB}[networks.default]\nname = 'own'"), vec!["own"]),
        ("[networks.shared]\nname = 'proxy'".to_owned(), vec!["proxy"]),
    ] {
        let loaded = good(&[("a.toml", &text)]);
        let names: Vec<&str> = loaded.state.networks.keys().map(String::as_str).collect();
        assert_eq!(names, expected, "{text}");
    }
}

#[test]
fn two_projects_may_share_a_network_if_they_agree_on_it() {
    let one = ("a/a.toml", "[services.x]\nimage = 'x'\n[networks.p]\nname = 'proxy'");
    good(&[one, ("b/b.toml", "[services.y]\nimage = 'y'\n[networks.q]\nname = 'proxy'")]);
    let external = good(&[
        ("0/0.toml", "[services.y]\nimage = 'y'\n[networks.q]\nname = 'proxy'\nexternal = true"),
        one,
    ]);
    assert!(!external.state.networks["proxy"].external, "who makes it decides what it is");
    let clash = read(&[
        one,
        ("b/b.toml", "[services.y]\nimage = 'y'\n[networks.q]\nname = 'proxy'\ninternal = true"),
    ]);
    assert_eq!(
        (clash.slugs(), clash.services()),
        (vec!["name-clash"], vec!["a/x".to_owned(), "b/y!".to_owned()])
    );
}

#[test]
fn ports_clash_where_addresses_overlap() {
    for (one, two, clash) in [
        ("8080:80", "8080:81", true),
        ("8080:80", "8081:80", false),
        ("8080:80/tcp", "8080:80/udp", false),
        ("127.0.0.1:8080:80", "8080:80", true),
        ("127.0.0.1:8080:80", "127.0.0.2:8080:80", false),
        ("127.0.0.1:8080:80", "127.0.0.1:8080:80", true),
        ("0.0.0.0:8080:80", "127.0.0.1:8080:80", true),
        ("0.0.0.0:8080:80", "[::1]:8080:80", false),
        ("[::]:8080:80", "[::1]:8080:80", true),
        ("80", "80", false),
        ("8080-8082:80-82", "8081:80", true),
    ] {
        let a = format!("[services.a]\nimage = 'a'\nports = ['{one}']");
        let b = format!("[services.b]\nimage = 'b'\nports = ['{two}']");
        let loaded = read(&[("a/a.toml", &a), ("b/b.toml", &b)]);
        let expected: &[&str] = if clash { &["port-clash"] } else { &[] };
        assert_eq!(loaded.slugs(), expected, "{one} and {two}");
        let services: &[&str] = if clash { &["a/a!", "b/b!"] } else { &["a/a", "b/b"] };
        assert_eq!(loaded.services(), services, "{one} and {two}");
    }
}

#[test]
fn what_cannot_be_there_twice_is_refused() {
    for (text, slug) in [
        (
            "[services.a]\nimage = 'a'\ncontainer_name = 'xx'\n[services.b]\nimage = 'b'\ncontainer_name = 'xx'",
            "name-clash",
        ),
        (
            "[services.a]\nimage = 'a'\ncontainer_name = 'default-b-2'\n[services.b]\nimage = 'b'\nscale = 2",
            "name-clash",
        ),
        ("[services.a]\nimage = 'a'\ncontainer_name = 'xx'\nscale = 2", "name-and-replicas"),
        ("[services.a]\nimage = 'a'\nports = ['80:80']\nscale = 2", "port-and-replicas"),
        (
            "[services.a]\nimage = 'a'\nports = ['80:80']\ndeploy.update_config.order = 'start-first'",
            "overlap-impossible",
        ),
        (
            "[services.a]\nimage = 'a'\nnetwork_mode = 'host'\ndeploy.update_config.order = 'start-first'",
            "overlap-impossible",
        ),
        (
            "[services.a]\nimage = 'a'\nnetwork_mode = 'service:b'\ndeploy.update_config.order = 'start-first'\n[services.b]\nimage = 'b'",
            "overlap-impossible",
        ),
        (
            "[services.a]\nimage = 'a'\nnetwork_mode = 'service:b'\n[services.b]\nimage = 'b'\ndepends_on = ['a']",
            "dependency-cycle",
        ),
        ("[services.a]\nimage = 'a'\ndepends_on = ['a']", "dependency-cycle"),
        (
            "[services.a]\nimage = 'a'\ndepends_on = ['b']\n[services.b]\nimage = 'a'\ndepends_on = ['c']\n[services.c]\nimage = 'a'\ndepends_on = ['a']",
            "dependency-cycle",
        ),
    ] {
        let loaded = read(&[("a.toml", text)]);
        assert_eq!(loaded.slugs(), [slug], "{text}: {:#?}", loaded.headlines());
    }
    for text in [
        "[services.a]\nimage = 'a'\ncontainer_name = 'default-b-3'\n[services.b]\nimage = 'b'\nscale = 2",
        "[services.a]\nimage = 'a'\nports = ['80']\nscale = 2\ndeploy.update_config.order = 'start-first'",
        "[services.a]\nimage = 'a'\nports = ['80:80']\ndeploy.update_config.order = 'auto'",
    ] {
        good(&[("a.toml", text)]);
    }
    let across =
        read(&[("a-b/x.toml", "[services.c]\nimage = 'a'"), ("a/x.toml", "[services.b-c]\nimage = 'a'")]);
    assert_eq!(across.slugs(), ["name-clash"]);
}

#[test]
fn guard_and_prune_are_read_at_the_root_only() {
    let loaded = good(&[(
        "fleet.toml",
        "[policy.guard]\nmax_removals = 5\nempty_state = 'allow'\n[policy.prune]\ncontainers = false\nnetworks = false\nvolumes = false",
    )]);
    let guard = &loaded.state.guard;
    assert_eq!(
        (guard.max_removals, guard.allow_empty, guard.prune_containers, guard.prune_networks),
        (Some(5), true, false, false)
    );
    assert_eq!(read(&[("s/a.toml", "[policy.guard]\nmax_removals = 5")]).slugs(), ["misplaced"]);
    for (line, slug) in [
        ("guard.max_removals = -1", "bad-type"),
        ("guard.empty_state = 'maybe'", "bad-choice"),
        ("prune.volumes = true", "bad-choice"),
        ("prune.containers = 'no'", "bad-type"),
        ("unset_variables = 'ignore'", "bad-choice"),
        ("gaurd.max_removals = 1", "unknown-key"),
    ] {
        assert_eq!(read(&[("fleet.toml", &format!("[policy]\n{line}"))]).slugs(), [slug], "{line}");
    }
}

/// Files that use most of the language.
fn rich() -> Vec<(&'static str, &'static str)> {
    vec![
        (
            "fleet.toml",
            "[hosts]\nfra1 = { labels = { role = 'web' }, vars = { D = 'x' } }\n[defaults.services]\nrestart = 'always'\n[vars]\nTAG = '1'\n",
        ),
        ("shop/.env", "A='b'\nC=\"d\ne\"\nexport F=${A}\n"),
        (
            "shop/web.toml",
            "on_hosts = ['role=web']\n\n[services.web]\nimage = \"nginx:${TAG}\"\nports = [\"80${NONE:-}80:80\", { target = 81, published = '81' }]\nenvironment = { A = \"${A:?needed}\", \"é\" = 1 }\nlabels.traefik.http.rule = '''Host(`x`)'''\n\n[services.web.healthcheck]\ntest = \"true\"\ninterval = \"5s\"\n\n[[services.web.volumes]]\ntype = 'volume'\nsource = 'data'\ntarget = '/d'\n\n[volumes]\ndata = {}\n",
        ),
        (
            "shop/zz.toml",
            "override = true\nreset = [\"services.web.ports\"]\n[services.web]\nscale = 2\nports = []\n",
        ),
    ]
}

fn with_file(files: &[(&'static str, &'static str)], index: usize, bytes: Vec<u8>) -> Snapshot {
    let mut snapshot = snapshot(files.iter().copied());
    snapshot.files.insert(RelPath::new(files[index].0).unwrap(), FileContent::Read(bytes.into()));
    snapshot
}

/// What must hold for any input.
fn assert_sound(snapshot: &Snapshot) {
    let (state, diagnostics) = load(snapshot, &facts());
    for diagnostic in &diagnostics {
        assert!(diagnostic.line > 0 && diagnostic.column > 0, "{diagnostic:#?}");
        let in_broken = state
            .broken
            .get(diagnostic.primary.span.file.as_str())
            .is_some_and(|list| list.contains(diagnostic));
        assert_eq!(in_broken, diagnostic.is_error(), "{diagnostic:#?}");
    }
    for (id, wanted) in &state.services {
        match wanted {
            Wanted::Frozen(why) => assert!(!why.is_empty(), "{id} is frozen without a reason"),
            Wanted::Run(revision) => {
                let files = &revision.spec.source.files;
                assert!(
                    files.iter().all(|file| !state.broken.contains_key(file)),
                    "{id} runs from a broken file"
                );
            }
        }
    }
    let findings: Vec<Finding> = diagnostics.iter().cloned().map(Finding::from).collect();
    for format in [Format::Text, Format::Json] {
        let _drawn = render::all(&findings, &Page { snapshot, place: "", colour: true }, format);
    }
}

#[test]
fn a_file_cut_at_any_byte_is_sound_and_never_invents_a_service() {
    let files = rich();
    let whole: BTreeSet<ServiceId> =
        load(&snapshot(files.iter().copied()), &facts()).0.services.into_keys().collect();
    assert_eq!(whole.len(), 1);
    for (index, (_, text)) in files.iter().enumerate() {
        for end in 0..text.len() {
            let cut = with_file(&files, index, text.as_bytes()[..end].to_vec());
            assert_sound(&cut);
            let (state, _) = load(&cut, &facts());
            let runs = state.services.iter().filter(|(_, wanted)| matches!(wanted, Wanted::Run(_)));
            for (id, _) in runs {
                assert!(whole.contains(id), "{id} runs from a file cut at byte {end}");
            }
        }
    }
}

#[test]
fn a_file_without_any_one_of_its_lines_is_sound() {
    let files = rich();
    for (index, (_, text)) in files.iter().enumerate() {
        for missing in 0..text.lines().count() {
            let lines =
                text.lines().enumerate().filter(|(number, _)| *number != missing).map(|(_, line)| line);
            assert_sound(&with_file(&files, index, lines.collect::<Vec<_>>().join("\n").into_bytes()));
        }
    }
}

#[test]
fn deep_nesting_in_every_place_is_refused_without_harm() {
    for text in [
        format!("[services.web]\nimage = {}", "[".repeat(100_000)),
        format!("[services.web]\nimage = {}{}", "[".repeat(100_000), "]".repeat(100_000)),
        format!("[services.web]\nlabels = {}", "{a=".repeat(100_000)),
        format!("[services.web]\nlabels.{} = 1", vec!["a"; 100_000].join(".")),
        format!("[services.web.labels.{}]\n", vec!["a"; 100_000].join(".")),
        format!("[services.web]\nimage = 'a'\nhostname = '{}'", "${A:-".repeat(100_000)),
        format!("[services.web]\nimage = 'a'\n{}", "[services.web.labels.a]\n".repeat(20_000)),
    ] {
        let (_, diagnostics) = load(&snapshot([("a.toml", text.as_str())]), &facts());
        assert!(!diagnostics.is_empty(), "{}", text.chars().take(60).collect::<String>());
    }
}

#[test]
fn ten_thousand_services_load_in_reasonable_time() {
    let many = |file: usize, from: usize, to: usize| {
        let mut text = String::new();
        for number in from..to {
            let after =
                if number > from { format!("depends_on = ['s{}']\n", number - 1) } else { String::new() };
            writeln!(
                text,
                "[services.s{number}]\nimage = 'a:${{TAG}}'\nports = ['127.{}.{}.{}:80:80']\n{after}",
                file % 250,
                number / 250 % 250,
                number % 250 + 1
            )
            .unwrap();
        }
        text
    };
    let texts: Vec<(String, String)> =
        (0..1000).map(|file| (format!("p{file}/a.toml"), many(file, file * 10, file * 10 + 10))).collect();
    let one = many(0, 0, 8000);
    for files in [
        texts.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect::<Vec<_>>(),
        vec![("one/a.toml", one.as_str())],
    ] {
        let mut files = files;
        files.push(("fleet.toml", "[vars]\nTAG = 1\n[defaults.services]\nrestart = 'always'\n"));
        let snapshot = snapshot(files);
        let begun = Instant::now();
        let (state, diagnostics) = load(&snapshot, &facts());
        let took = begun.elapsed();
        assert_eq!(diagnostics, []);
        assert!(state.services.len() >= 8000);
        // Without optimisation and beside other tests; what it guards against is quadratic.
        assert!(took < Duration::from_secs(60), "{took:?}");
        eprintln!("{} services: {took:?}", state.services.len());
    }
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

        #[test]
        fn load_is_sound_on_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut snapshot = snapshot([("shop/web.toml", WEB)]);
            for path in ["a.toml", "shop/.env", "fleet.toml"] {
                snapshot.files.insert(RelPath::new(path).unwrap(), FileContent::Read(bytes.clone().into()));
            }
            assert_sound(&snapshot);
        }

        #[test]
        fn load_is_sound_on_good_files_with_bad_places(
            file in 0_usize..4,
            edits in proptest::collection::vec((any::<prop::sample::Index>(), "[\\[\\]{}=\"'$#.\n\\\\,:a1 é]{0,4}", 0_usize..6), 1..5),
        ) {
            let files = rich();
            let mut text: Vec<char> = files[file].1.chars().collect();
            for (at, insert, remove) in edits {
                let at = at.index(text.len() + 1);
                let end = (at + remove).min(text.len());
                text.splice(at..end, insert.chars());
            }
            assert_sound(&with_file(&files, file, text.into_iter().collect::<String>().into_bytes()));
        }

        #[test]
        fn the_order_in_which_keys_are_written_does_not_matter(order in Just(vec![
            "hostname = 'h'", "ports = ['80:80']", "environment = { A = 1 }", "scale = 1", "init = true",
        ]).prop_shuffle()) {
            let text = format!("[services.web]\nimage = 'a'\n{}\n", order.join("\n"));
            let loaded = good(&[("a.toml", &text)]);
            let same = good(&[("a.toml", "[services.web]\nimage = 'a'\nhostname = 'h'\nports = ['80:80']\nenvironment = { A = 1 }\nscale = 1\ninit = true\n")]);
            prop_assert_eq!(loaded.state, same.state);
        }
    }
}
