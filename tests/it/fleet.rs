//! One repository for many hosts: who takes what, and what is left as it is.

use std::collections::BTreeMap;

use evenkeel::desired::diagnostic::Diagnostic;
use evenkeel::desired::ident::ServiceId;
use evenkeel::desired::snapshot::{HostFacts, Platform};
use evenkeel::desired::{DesiredState, Wanted, load};

use crate::rig::{Files, snapshot};

const FLEET: &str = "[hosts]
fra1 = { labels = { zone = 'eu', disk.kind = 'ssd', gpu = true } }
nyc1 = { labels = { zone = 'us' }, profiles = ['backup'] }
";

fn read_as(host: &str, files: &[(&str, &str)]) -> (DesiredState, Vec<Diagnostic>) {
    let platform = Some(Platform { os: "linux".to_owned(), architecture: "x86_64".to_owned() });
    load(&snapshot(files), &HostFacts { name: host.to_owned(), platform, ..HostFacts::default() })
}

fn read(files: &[(&str, &str)]) -> (DesiredState, Vec<Diagnostic>) {
    read_as("fra1", files)
}

fn headlines(diagnostics: &[Diagnostic]) -> Vec<String> {
    diagnostics.iter().map(Diagnostic::headline).collect()
}

/// The headlines of `fleet.toml` with this text.
fn told_of_fleet(text: &str) -> Vec<String> {
    headlines(&read(&[("fleet.toml", text)]).1)
}

fn is_here(state: &DesiredState, id: &str) -> bool {
    state.services.contains_key(&ServiceId::parse(id).unwrap())
}

#[test]
fn constraints_decide_what_is_meant_for_this_host() {
    for (constraints, here) in [
        ("[]", true),
        ("['node.hostname == fra1']", true),
        ("'node.hostname==fra1'", true),
        ("['node.hostname == FRA1']", true),
        ("['node.hostname != fra1']", false),
        ("['node.hostname == nyc1']", false),
        ("['node.labels.zone == eu']", true),
        ("['node.labels.zone != us']", true),
        ("['node.labels.zone == us']", false),
        ("['node.labels.disk.kind == ssd', 'node.labels.gpu == true']", true),
        ("['node.labels.zone == eu', 'node.hostname != fra1']", false),
        ("['node.platform.os == linux']", true),
        ("['node.platform.os == windows']", false),
        ("['node.platform.arch == amd64']", true),
        ("['node.platform.arch == x86_64']", true),
        ("['node.platform.arch != arm64']", true),
        ("['node.platform.arch == aarch64']", false),
        ("['node.labels.zone == ${ZONE}']", true),
        ("['node.labels.zone != ${ZONE}']", false),
    ] {
        let web = format!(
            "[services.web]\nimage = 'web:1'\ndeploy.placement.constraints = {constraints}\n[vars]\nZONE = 'eu'\n"
        );
        let (state, told) = read(&[("fleet.toml", FLEET), ("shop/web.toml", &web)]);
        assert_eq!((headlines(&told), is_here(&state, "shop/web")), (Vec::new(), here), "{constraints}");
    }
}

#[test]
fn where_the_platform_is_not_known_a_service_is_checked_as_if_it_were_meant() {
    let web =
        "[services.web]\nimage = 'web:1'\ndeploy.placement.constraints = ['node.platform.arch == arm64']\n";
    let files = snapshot(&[("shop/web.toml", web)]);
    let (state, _) = load(&files, &HostFacts { name: "fra1".to_owned(), ..HostFacts::default() });
    assert!(is_here(&state, "shop/web"));
}

#[test]
fn a_constraint_that_cannot_be_understood_freezes_its_service() {
    for (constraint, expected) in [
        ("'node.labels.zone'", "error[bad-constraint]: `node.labels.zone` is not a constraint"),
        ("'node.labels.zone =='", "error[bad-constraint]: `node.labels.zone ==` is not a constraint"),
        ("'node.label.zone == eu'", "error[bad-constraint]: `node.label.zone` cannot be compared here"),
        ("'node.role == manager'", "error[bad-constraint]: `node.role` cannot be compared here"),
        ("'node.hostname == fra2'", "error[unknown-host]: no host `fra2` in fleet.toml"),
        ("7", "error[bad-type]: `services.web.deploy.placement.constraints` takes text, not a whole number"),
        ("'node.hostname == ${NOT_SET}'", "error[unset-variable]: variable `NOT_SET` is not set"),
    ] {
        let web = format!("[services.web]\nimage = 'web:1'\ndeploy.placement.constraints = [{constraint}]\n");
        let (state, told) = read(&[("fleet.toml", FLEET), ("shop/web.toml", &web)]);
        assert_eq!(told.len(), 1, "{:#?}", headlines(&told));
        assert!(told[0].headline().ends_with(expected), "{}", told[0].headline());
        let wanted = state.services.get(&ServiceId::parse("shop/web").unwrap());
        let frozen = constraint.contains("fra2") || matches!(wanted, Some(Wanted::Frozen(_)));
        assert!(frozen, "{constraint}: {wanted:?}");
        assert!(state.broken.contains_key("shop/web.toml"), "nothing is removed meanwhile: {constraint}");
    }
}

#[test]
fn a_label_that_no_host_has_is_told_and_what_a_variable_stands_for_is_not() {
    let web = |constraint: &str| {
        format!(
            "[services.web]\nimage = 'web:1'\ndeploy.placement.constraints = ['{constraint}']\n[vars]\nS = 'hush'\n"
        )
    };
    let told = read(&[("fleet.toml", FLEET), ("web.toml", &web("node.labels.zone == mars"))]).1;
    assert_eq!(
        headlines(&told),
        ["web.toml:3:33: warning[unknown-host]: no host in fleet.toml has the label `zone=mars`"]
    );
    for constraint in ["node.hostname == ${S}", "node.role == ${S}", "${S}"] {
        let told = read(&[("fleet.toml", FLEET), ("web.toml", &web(constraint))]).1;
        assert!(!format!("{told:?}").contains("hush"), "{told:#?}");
    }
}

#[test]
fn preferences_and_limits_per_node_are_said_to_have_no_effect() {
    let web = "[services.web]\nimage = 'web:1'\n[services.web.deploy.placement]\npreferences = [{ spread = 'node.labels.zone' }]\nmax_replicas_per_node = 2\n";
    let (state, told) = read(&[("shop/web.toml", web)]);
    assert!(is_here(&state, "shop/web"));
    assert_eq!(
        told.iter().map(|told| (told.slug, told.is_error())).collect::<Vec<_>>(),
        [("unsupported-key", false); 2]
    );
}

#[test]
fn a_global_service_has_one_container_on_each_host_that_is_meant() {
    let web = |more: &str| format!("[services.web]\nimage = 'web:1'\ndeploy.mode = 'global'\n{more}\n");
    let replicas = |text: &str| match read(&[("shop/web.toml", text)]) {
        (state, told) if told.is_empty() => match &state.services[&ServiceId::parse("shop/web").unwrap()] {
            Wanted::Run(revision) => Ok(revision.spec.policy.replicas),
            Wanted::Frozen(_) => panic!("frozen without a word"),
        },
        (_, told) => Err(told[0].headline()),
    };
    assert_eq!(replicas(&web("")), Ok(1));
    assert_eq!(replicas(&web("deploy.replicas = 1")), Ok(1));
    for (more, key) in [("deploy.replicas = 3", "deploy.replicas"), ("scale = 0", "scale")] {
        let told = replicas(&web(more)).unwrap_err();
        assert!(
            told.contains("error[conflicting-values]") && told.contains(&format!("services.web.{key}")),
            "{told}"
        );
    }
}

#[test]
fn a_dependency_on_what_a_constraint_or_a_profile_keeps_away_is_told() {
    for away in ["deploy.placement.constraints = ['node.labels.zone == us']", "profiles = ['backup']"] {
        let text = format!(
            "[services.web]\nimage = 'web:1'\ndepends_on = ['db']\n[services.db]\nimage = 'db:1'\n{away}\n"
        );
        let told = read(&[("fleet.toml", FLEET), ("shop/all.toml", &text)]).1;
        assert_eq!(told.iter().map(|told| told.slug).collect::<Vec<_>>(), ["dependency-elsewhere"], "{away}");
        let side = text.replace("depends_on = ['db']", "network_mode = 'service:db'");
        let told = read(&[("fleet.toml", FLEET), ("shop/all.toml", &side)]).1;
        assert_eq!(told.iter().map(|told| told.slug).collect::<Vec<_>>(), ["dependency-elsewhere"], "{away}");
    }
    let both = "[services.web]\nimage = 'web:1'\nprofiles = ['backup']\ndepends_on = ['db']\n[services.db]\nimage = 'db:1'\nprofiles = ['backup']\n";
    for (host, services) in [("fra1", 0), ("nyc1", 2)] {
        let (state, told) = read_as(host, &[("fleet.toml", FLEET), ("shop/all.toml", both)]);
        assert_eq!((headlines(&told), state.services.len()), (Vec::new(), services), "{host}");
    }
}

#[test]
fn wrong_values_of_a_host_are_told_at_their_place() {
    for (line, expected) in [
        ("timezone = 'Europe/Berlin'", None),
        ("timezone = 'UTC'", None),
        ("timezone = '+02:00'", Some("error[bad-timezone]: unknown time zone `+02:00`")),
        ("timezone = 2", Some("error[bad-type]: `hosts.fra1.timezone` takes text, not a whole number")),
        ("paused = false", None),
        ("paused = 'yes'", Some("error[bad-type]: `hosts.fra1.paused` takes true or false, not text")),
        (
            "profiles = ['a', 7]",
            Some("error[bad-type]: `hosts.fra1.profiles` takes names in quotes, not a whole number"),
        ),
        ("labels.role = ['web']", Some("error[bad-type]: `hosts.fra1.labels.role` takes text, not a list")),
        (
            "endpoint = 'tcp://fra1:2376'",
            Some(
                "warning[unsupported-key]: `hosts.fra1.endpoint` has no effect: no host reaches another one's engine",
            ),
        ),
        ("endpiont = 'x'", Some("error[unknown-key]: unknown key `endpiont` in hosts.fra1")),
    ] {
        let told = told_of_fleet(&format!("[hosts.fra1]\n{line}\n"));
        let told: Vec<&str> =
            told.iter().filter_map(|line| line.split_once(": ")).map(|(_, text)| text).collect();
        assert_eq!(told, expected.into_iter().collect::<Vec<_>>(), "{line}");
    }
}

#[test]
fn what_is_paused_is_said_nearest_to_it_and_a_host_stands_above_all() {
    let web = "[services.web]\nimage = 'web:1'\n";
    let (own, not) = (format!("{web}paused = true\n"), format!("{web}paused = false\n"));
    let variable = format!("{web}paused = '${{STOP}}'\n[vars]\nSTOP = true\n");
    let project = "[policy]\npaused = true\n";
    let on = "[hosts]\nfra1 = { paused = true }\nnyc1 = {}\n";
    type Row<'a> = (Files<'a>, Option<&'a str>);
    let table: [Row<'_>; 9] = [
        (&[("shop/web.toml", web)], None),
        (&[("shop/web.toml", &own)], Some("shop/web.toml:3")),
        (&[("shop/web.toml", &variable)], Some("shop/web.toml:3")),
        (&[("shop/web.toml", web), ("shop/p.toml", project)], Some("shop/p.toml, policy.paused")),
        (&[("shop/web.toml", &not), ("shop/p.toml", project)], None),
        (&[("shop/web.toml", web), ("fleet.toml", project)], Some("fleet.toml, policy.paused")),
        (
            &[("shop/web.toml", web), ("shop/p.toml", "[policy]\npaused = false\n"), ("fleet.toml", project)],
            None,
        ),
        (&[("shop/web.toml", &not), ("fleet.toml", on)], Some("fleet.toml, hosts.fra1")),
        (&[("shop/web.toml", web), ("fleet.toml", "[hosts]\nfra1 = {}\nnyc1 = { paused = true }\n")], None),
    ];
    for (files, expected) in table {
        let (state, told) = read(files);
        assert_eq!(headlines(&told), Vec::<String>::new());
        let web = ServiceId::parse("shop/web").unwrap();
        assert_eq!(state.pauses.of(&web, 0).map(|paused| paused.why), expected, "{files:#?}");
    }
}

#[test]
fn pausing_changes_no_spec() {
    let web = "[services.web]\nimage = 'web:1'\n";
    let plain = read(&[("shop/web.toml", web)]).0;
    let paused = read(&[("shop/web.toml", &format!("{web}paused = true\n"))]).0;
    assert_eq!(plain.services, paused.services, "so that it neither replaces anything nor ends a rejection");
}

#[test]
fn variables_of_a_host_are_its_own() {
    let fleet = "[vars]\nURL = 'https://${NAME}.example'\nNAME = 'any'\n[hosts.fra1.vars]\nNAME = 'fra'\n[hosts.nyc1.vars]\nNAME = 'nyc'\n[hosts.ams1]\n";
    let web = "[services.web]\nimage = 'web:1'\nhostname = '${NAME}'\nlabels = { url = '${URL}' }\n";
    let seen: BTreeMap<&str, (Option<String>, String)> = ["fra1", "nyc1", "ams1"]
        .into_iter()
        .map(|host| {
            let (state, told) = read_as(host, &[("fleet.toml", fleet), ("shop/web.toml", web)]);
            assert_eq!(headlines(&told), Vec::<String>::new());
            let Wanted::Run(revision) = &state.services[&ServiceId::parse("shop/web").unwrap()] else {
                panic!("{host}")
            };
            let container = &revision.spec.container;
            (host, (container.hostname.clone(), container.labels["url"].clone()))
        })
        .collect();
    for (host, name) in [("fra1", "fra"), ("nyc1", "nyc"), ("ams1", "any")] {
        assert_eq!(seen[host], (Some(name.to_owned()), format!("https://{name}.example")), "{host}");
    }
}
