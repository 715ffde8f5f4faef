//! Every key of the language, in every form: what it becomes, or what is said about it. The rows are the manual.

mod attributes;
mod deploy;
mod files;
mod image;
mod network;
mod objects;
mod process;
mod provided;
mod same;
mod security;
mod storage;
mod watch;

use std::collections::{BTreeMap, BTreeSet};

use evenkeel::desired::convert::print_port;
use evenkeel::desired::diagnostic::Diagnostic;
use evenkeel::desired::ident::ServiceId;
use evenkeel::desired::snapshot::{FileContent, HostFacts, RelPath, Snapshot, SourceRevision};
use evenkeel::desired::spec::{Endpoint, Mount, MountSource, ServiceSpec};
use evenkeel::desired::{DesiredState, Wanted, load, manifest};
use serde_json::Value;

/// Lines of `[services.web]`, where to look in the spec, and what is there.
pub struct Good(pub &'static str, pub &'static str, pub Value);

/// Lines of `[services.web]`, and the one diagnostic they get: its slug, the text it points at, and a part of what it
/// says.
pub struct Bad(pub &'static str, pub &'static str, pub &'static str, pub &'static str);

/// The file around a row: other services, networks and volumes to refer to.
pub fn file(lines: &str) -> String {
    let image = if lines.lines().any(|line| line.starts_with("image")) { "" } else { "image = \"app:1\"\n" };
    format!(
        "[services.web]\n{image}{lines}\n\n\
         [services.db]\nimage = \"db:1\"\n\n[services.cache]\nimage = \"cache:1\"\n\n\
         [networks]\nfront = {{}}\nback = {{ name = \"shared\" }}\noutside = {{ external = true }}\n\n\
         [volumes]\ndata = {{}}\nnamed = {{ name = \"other\" }}\nelsewhere = {{ external = true }}\n\n\
         [secrets]\npassword = {{ environment = \"TOKEN\" }}\ntls = {{ file = \"app.env\" }}\n\n\
         [configs]\nini = {{ content = \"a=1\" }}\n"
    )
}

/// The desired state of a row: the file, a `.env` for variables, and files that `env_file` may name.
pub fn snapshot(text: &str) -> Snapshot {
    let files = [
        ("shop/web.toml", text),
        ("shop/.env", "YES=true\nNO=false\nTHREE=3\nHALF=0.5\nPORT=8080\nTOKEN=from-dotenv\nNAME=web\n"),
        ("shop/app.env", "A=1\nB=two words\nQUOTED='a b'\nEXPANDED=${THREE}x\n"),
        ("shop/more.env", "B=later\n"),
        ("shop/raw.env", "Q='kept'\nD=$THREE\n"),
        ("common.env", "C=common\n"),
        ("shop/app.labels", "app.one=1\napp.two=two words\n"),
        ("shop/more.labels", "app.two=later\n"),
        ("shop/bad.labels", "com.docker.compose.project=x\n"),
        ("shop/seccomp.json", "{ \"defaultAction\": \"SCMP_ACT_ALLOW\" }"),
    ];
    let files = files.map(|(path, text)| {
        (RelPath::new(path).unwrap(), FileContent::Read(text.as_bytes().to_vec().into()))
    });
    Snapshot {
        revision: SourceRevision::default(),
        root: "/srv/desired".to_owned(),
        files: files.into(),
        ..Snapshot::default()
    }
}

pub fn host() -> HostFacts {
    HostFacts {
        name: "fra1".to_owned(),
        home: Some("/root".to_owned()),
        api: Some((1, 41)),
        engine_version: Some("20.10.24".to_owned()),
        provided: "/run/ek/secrets".to_owned(),
        ..HostFacts::default()
    }
}

pub fn load_text(text: &str) -> (DesiredState, Vec<Diagnostic>) {
    load(&snapshot(text), &host())
}

/// The spec of `shop/web`.
pub fn spec_of(state: &DesiredState) -> Option<ServiceSpec> {
    match state.services.get(&ServiceId::new("shop", "web")?)? {
        Wanted::Run(revision) => Some(ServiceSpec::clone(&revision.spec)),
        Wanted::Frozen(_) => None,
    }
}

pub fn spec(lines: &str) -> ServiceSpec {
    let (state, diagnostics) = load_text(&file(lines));
    let told: Vec<String> = diagnostics.iter().map(Diagnostic::headline).collect();
    spec_of(&state).unwrap_or_else(|| panic!("no spec from:\n{lines}\n{told:#?}"))
}

/// A part of a spec: a JSON pointer, or one of the short views.
pub fn view(spec: &ServiceSpec, at: &str) -> Value {
    let lines = |lines: Vec<String>| Value::from(lines);
    match at {
        "ports" => lines(spec.container.ports.iter().map(print_port).collect()),
        "expose" => lines(
            spec.container
                .expose
                .iter()
                .map(|port| format!("{}/{}", port.port, port.protocol.as_str()))
                .collect(),
        ),
        "mounts" => {
            lines(spec.container.mounts.iter().map(|(target, mount)| show_mount(target, mount)).collect())
        }
        "networks" => lines(spec.live.networks.iter().map(|(name, end)| show_endpoint(name, end)).collect()),
        "devices" => lines(
            spec.container
                .devices
                .iter()
                .map(|device| format!("{}:{}:{}", device.host, device.container, device.permissions))
                .collect(),
        ),
        pointer => serde_json::to_value(spec).unwrap().pointer(pointer).cloned().unwrap_or_else(|| {
            panic!("nothing at {pointer} in {spec:#?}");
        }),
    }
}

fn show_mount(target: &str, mount: &Mount) -> String {
    let source = match &mount.source {
        MountSource::Bind { path, create, propagation, selinux, content: _, recursive } => {
            let recursive = recursive.map(|word| format!(" {word:?}").to_lowercase()).unwrap_or_default();
            let create = if *create { " create" } else { "" };
            let more: String = propagation
                .iter()
                .cloned()
                .chain(selinux.map(String::from))
                .map(|word| format!(" {word}"))
                .collect();
            format!("bind {path}{create}{more}{recursive}")
        }
        MountSource::Volume { name, key, no_copy, subpath, labels } => {
            let labels: String = labels.iter().map(|(name, text)| format!(" {name}={text}")).collect();
            let name = name.as_deref().unwrap_or("anonymous");
            let key = key.as_ref().map(|key| format!(" ({key})")).unwrap_or_default();
            let no_copy = if *no_copy { " nocopy" } else { "" };
            let subpath = subpath.as_ref().map(|path| format!(" /{path}")).unwrap_or_default();
            format!("volume {name}{key}{no_copy}{subpath}{labels}")
        }
        MountSource::Image { reference, subpath } => {
            let subpath = subpath.as_ref().map(|path| format!(" /{path}")).unwrap_or_default();
            format!("image {reference}{subpath}")
        }
        MountSource::Tmpfs { size, mode } => {
            let size = size.map(|size| format!(" {size}")).unwrap_or_default();
            let mode = mode.map(|mode| format!(" {mode:o}")).unwrap_or_default();
            format!("tmpfs{size}{mode}")
        }
    };
    format!("{source} -> {target}{}", if mount.read_only { " ro" } else { "" })
}

fn show_endpoint(name: &str, endpoint: &Endpoint) -> String {
    let Endpoint {
        aliases,
        ipv4_address,
        ipv6_address,
        key,
        priority,
        mac_address,
        link_local_ips,
        driver_opts,
        gw_priority,
        links,
    } = endpoint;
    let more: String = mac_address
        .iter()
        .map(|mac| format!(" mac {mac}"))
        .chain(link_local_ips.iter().map(|address| format!(" local {address}")))
        .chain(driver_opts.iter().map(|(name, text)| format!(" {name}={text}")))
        .chain((*gw_priority != 0).then(|| format!(" gateway {gw_priority}")))
        .chain(links.iter().map(|link| format!(" link {link}")))
        .collect();
    let aliases: String = aliases.iter().map(|alias| format!(" {alias}")).collect();
    let addresses: String =
        ipv4_address.iter().chain(ipv6_address).map(|address| format!(" {address}")).collect();
    let priority = if *priority == 0 { String::new() } else { format!(" priority {priority}") };
    format!("{name} ({key}){aliases}{addresses}{priority}{more}")
}

/// Every row becomes what it says, with nothing to complain about.
pub fn check_good(rows: &[Good]) {
    let mut wrong = Vec::new();
    for Good(lines, at, expected) in rows {
        let (state, diagnostics) = load_text(&file(lines));
        let told: Vec<String> = diagnostics.iter().map(Diagnostic::headline).collect();
        match spec_of(&state) {
            Some(spec) if told.is_empty() => {
                let found = view(&spec, at);
                if found != *expected {
                    wrong.push(format!("{lines}\n  {at} is {found}\n  but should be {expected}"));
                }
            }
            _ => wrong.push(format!("{lines}\n  says {told:#?}")),
        }
    }
    assert!(
        !rows.is_empty() && wrong.is_empty(),
        "{} of {} rows:\n{}",
        wrong.len(),
        rows.len(),
        wrong.join("\n")
    );
}

/// Every row gets exactly its diagnostic.
pub fn check_bad(rows: &[Bad]) {
    let mut wrong = Vec::new();
    for Bad(lines, slug, marked, part) in rows {
        let text = file(lines);
        let (state, diagnostics) = load_text(&text);
        if let Some(fault) = fault(&text, &diagnostics, slug, marked, part) {
            wrong.push(format!("{lines}\n  {fault}"));
        }
        let errors = diagnostics.iter().any(Diagnostic::is_error);
        if errors == spec_of(&state).is_some() {
            wrong.push(format!("{lines}\n  an error and a spec exclude each other"));
        }
    }
    assert!(
        !rows.is_empty() && wrong.is_empty(),
        "{} of {} rows:\n{}",
        wrong.len(),
        rows.len(),
        wrong.join("\n")
    );
}

fn fault(text: &str, diagnostics: &[Diagnostic], slug: &str, marked: &str, part: &str) -> Option<String> {
    let [one] = diagnostics else {
        return Some(format!("says {:#?}", diagnostics.iter().map(Diagnostic::headline).collect::<Vec<_>>()));
    };
    let said = [&one.message, &one.primary.text]
        .into_iter()
        .chain(&one.helps)
        .cloned()
        .collect::<Vec<_>>()
        .join(" | ");
    let place = &text[one.primary.span.start..one.primary.span.end];
    if one.slug != slug || place != marked || !said.contains(part) {
        return Some(format!(
            "says [{}] at <{place}>: {said}\n  instead of [{slug}] at <{marked}>: {part}",
            one.slug
        ));
    }
    None
}

/// All rows of all tables.
pub fn all_good() -> Vec<Good> {
    let tables = [
        attributes::good,
        process::good,
        network::good,
        storage::good,
        deploy::good,
        security::good,
        files::good,
        objects::good,
        watch::good,
        provided::good,
        image::good,
    ];
    tables.into_iter().flat_map(|table| table()).collect()
}

pub fn all_bad() -> Vec<Bad> {
    let tables = [
        attributes::bad,
        process::bad,
        network::bad,
        storage::bad,
        deploy::bad,
        security::bad,
        files::bad,
        objects::bad,
        watch::bad,
        provided::bad,
        image::bad,
    ];
    tables.into_iter().flat_map(|table| table()).collect()
}

#[test]
fn there_are_many_rows_and_several_for_every_key_of_a_service() {
    let (good, bad) = (all_good(), all_bad());
    assert!(good.len() + bad.len() >= 250, "{} + {} rows", good.len(), bad.len());
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let keys: BTreeSet<&str> = manifest::keys("Service").iter().map(String::as_str).collect();
    for lines in good.iter().map(|row| row.0).chain(bad.iter().map(|row| row.0)) {
        for line in lines.lines() {
            let line =
                line.strip_prefix("[services.web.").or(line.strip_prefix("[[services.web.")).unwrap_or(line);
            let word = line.split([' ', '=', '.', ']']).next().unwrap_or_default();
            if let Some(key) = keys.get(word) {
                *counts.entry(*key).or_default() += 1;
            }
        }
    }
    let few: Vec<&&str> =
        keys.iter().filter(|key| counts.get(**key).copied().unwrap_or_default() < 2).collect();
    assert!(few.is_empty(), "fewer than two rows for {few:?}");
}
