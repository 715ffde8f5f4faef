//! Short forms. The first byte chooses which, the rest is its text.

use std::fmt::Write as _;

use evenkeel::desired::convert::{canonical_image, parse_port, print_port, scalar, words};
use evenkeel::desired::dotenv::{self, Format};
use evenkeel::desired::ident::ServiceId;
use evenkeel::desired::interpolate::{ProblemKind, expand};
use evenkeel::desired::spec::{Mount, MountSource, ServiceSpec, SourcePlace};
use evenkeel::desired::{Wanted, load};

use super::Input;
use super::load::{host, snapshot, state_is_whole};

/// Keys that take a text or a list of texts.
const KEYS: &[&str] = &[
    "ports",
    "volumes",
    "devices",
    "extra_hosts",
    "environment",
    "labels",
    "tmpfs",
    "expose",
    "env_file",
    "depends_on",
    "command",
    "entrypoint",
    "healthcheck.test",
    "healthcheck.interval",
    "healthcheck.retries",
    "ulimits.nofile",
    "dns",
    "sysctls",
    "networks",
    "restart",
    "cap_add",
    "security_opt",
    "stop_grace_period",
    "mem_limit",
    "cpus",
    "shm_size",
    "pull_policy",
    "network_mode",
    "user",
    "platform",
    "hostname",
    "working_dir",
    "stop_signal",
    "memswap_limit",
    "pids_limit",
    "image",
    "container_name",
    "cpuset",
    "mem_reservation",
    "logging.driver",
    "scale",
    "deploy.update_config.delay",
    "deploy.update_config.order",
    "deploy.resources.limits.memory",
    "init",
    "privileged",
];
const PLAIN: &[fn(&str)] =
    &[port, image, quoted_words, duration, size, cores, variables, env_file, raw_env_file];

pub fn check(input: &[u8]) {
    let mut input = Input(input);
    let which = usize::from(input.byte()) % (PLAIN.len() + KEYS.len());
    let text = String::from_utf8_lossy(input.rest()).into_owned();
    match PLAIN.get(which) {
        Some(check) => check(&text),
        None => key(KEYS[which - PLAIN.len()], &text),
    }
}

fn port(text: &str) {
    match parse_port(text) {
        Ok(bindings) => {
            assert!(!bindings.is_empty(), "no port at all");
            for binding in bindings {
                assert!(binding.container.port > 0);
                assert!(
                    binding.host_port.is_none_or(|(first, last)| 0 < first && first <= last),
                    "{binding:?}"
                );
                assert_eq!(parse_port(&print_port(&binding)), Ok(vec![binding]), "printed and read back");
            }
        }
        Err(fault) => {
            assert!(text.get(fault.start..fault.end).is_some(), "{fault:?} in {text:?}");
            assert!(!fault.message.is_empty());
        }
    }
}

fn image(text: &str) {
    match canonical_image(text) {
        Ok(image) => assert_eq!(canonical_image(&image), Ok(image.clone()), "canonical is canonical"),
        Err(fault) => assert!(text.get(fault.start..fault.end).is_some(), "{fault:?} in {text:?}"),
    }
}

fn quoted_words(text: &str) {
    if let Ok(list) = words::split(text) {
        assert_eq!(words::split(&words::join(&list)), Ok(list), "printed and read back");
    }
    let lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
    assert_eq!(words::split(&words::join(&lines)), Ok(lines), "any words can be written down");
}

fn duration(text: &str) {
    if let Ok(nanoseconds) = scalar::duration(text) {
        assert!(i64::try_from(nanoseconds).is_ok(), "more than the engine can hold");
        assert_eq!(scalar::duration(&scalar::print_duration(nanoseconds)), Ok(nanoseconds));
    }
}

fn size(text: &str) {
    if let Ok(bytes) = scalar::size(text) {
        assert!(i64::try_from(bytes).is_ok(), "more than the engine can hold");
        assert_eq!(scalar::size(&scalar::print_size(bytes)), Ok(bytes));
    }
}

fn cores(text: &str) {
    if let Ok(billionths) = scalar::cores(text) {
        let printed = format!("{}.{:09}", billionths / 1_000_000_000, billionths % 1_000_000_000);
        assert_eq!(scalar::cores(&printed), Ok(billionths));
    }
}

fn known(name: &str) -> Option<String> {
    match name {
        "SET" => Some("value".to_owned()),
        "EMPTY" => Some(String::new()),
        "DOLLAR" => Some("$SET ${UNSET:?x}".to_owned()),
        _ => None,
    }
}

fn variables(text: &str) {
    let found = expand(text, &known);
    for problem in &found.problems {
        assert!(text.get(problem.start..problem.end).is_some(), "{problem:?} in {text:?}");
        assert!(problem.start < problem.end, "{problem:?} points at nothing");
    }
    // A loose dollar is told and stays, and nothing is missing for it.
    let missing = found.problems.iter().any(|problem| problem.kind != ProblemKind::Loose);
    assert_eq!(found.gap, missing, "what is missing is said");
    if !text.contains('$') {
        assert_eq!((found.text.as_str(), found.replaced), (text, false));
    }
    // Doubled dollars are the text itself.
    let literal = expand(&text.replace('$', "$$"), &known);
    assert_eq!((literal.text.as_str(), literal.replaced, literal.problems.len()), (text, false, 0));
}

fn env_file(text: &str) {
    env_text(text, Format::Compose);
    // Any value without its quote can be written in single quotes, and is read back as it is.
    let value: String = text.chars().filter(|c| !matches!(c, '\'' | '\\' | '\r')).collect();
    let mut found = Vec::new();
    let read =
        dotenv::parse("a.env", format!("NAME='{value}'\n").as_bytes(), Format::Compose, &known, &mut found);
    assert_eq!(found, []);
    assert_eq!(read.get("NAME"), Some(&value));
}

fn raw_env_file(text: &str) {
    let read = env_text(text, Format::Raw);
    let mut printed = String::new();
    for (name, value) in &read {
        writeln!(printed, "{name}={value}").unwrap();
    }
    // A value that ends in a carriage return is a line end's first half when it is written down.
    if !read.values().any(|value| value.ends_with('\r')) {
        let mut found = Vec::new();
        let again = dotenv::parse("a.env", printed.as_bytes(), Format::Raw, &known, &mut found);
        assert_eq!(again, read, "printed and read back");
    }
}

fn env_text(text: &str, format: Format) -> std::collections::BTreeMap<String, String> {
    let read = || {
        let mut found = Vec::new();
        (dotenv::parse("a.env", text.as_bytes(), format, &known, &mut found), found)
    };
    let (variables, found) = read();
    assert_eq!((&variables, &found), (&read().0, &read().1));
    for told in &found {
        let (start, end) = (told.primary.span.start, told.primary.span.end);
        assert!(start <= end && text.is_char_boundary(start.min(text.len())), "{told:?}");
    }
    assert!(variables.keys().all(|name| !name.is_empty()));
    variables
}

/// What the file makes of service `web`, and whether an error was said.
fn web(lines: &str) -> (Option<ServiceSpec>, bool) {
    let image = if lines.starts_with("image") { "" } else { "image = \"app:1\"\n" };
    let text = format!(
        "[services.web]\n{image}{lines}\n[services.db]\nimage = \"db:1\"\n[networks]\nfront = {{}}\n[volumes]\ndata = {{}}\n"
    );
    let files =
        [("shop/web.toml".to_owned(), text.into_bytes()), ("shop/.env".to_owned(), b"SET=value\n".to_vec())];
    let (state, found) = load(&snapshot(&files), &host());
    state_is_whole(&state, &found);
    let wanted = state.services.get(&ServiceId::new("shop", "web").unwrap());
    let spec = match wanted {
        Some(Wanted::Run(revision)) => {
            Some(ServiceSpec { source: SourcePlace::default(), ..ServiceSpec::clone(&revision.spec) })
        }
        Some(Wanted::Frozen(_)) => None,
        None => panic!("the service is lost: {lines}"),
    };
    (spec, found.iter().any(|told| told.is_error()))
}

/// A TOML string in one line, so that it can be a key too.
fn quoted(text: &str) -> String {
    let escaped = |c: char| match c {
        '"' | '\\' => format!("\\{c}"),
        c if super::obeyed(c) => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    };
    format!("\"{}\"", text.chars().map(escaped).collect::<String>())
}

fn key(key: &str, text: &str) {
    let text_toml = quoted(text);
    let (one, wrong) = web(&format!("{key} = {text_toml}"));
    assert_eq!(one.is_none(), wrong, "{key} = {text_toml}: a spec or an error");
    let (list, wrong) = web(&format!("{key} = [{text_toml}]"));
    assert_eq!(list.is_none(), wrong, "{key} = [{text_toml}]: a spec or an error");
    let Some(spec) = list else { return };
    let long = match key {
        "ports" => long_ports(&spec),
        "volumes" => long_volumes(&spec),
        "devices" => long_devices(&spec),
        "labels" | "environment" => match text.split_once('=') {
            Some((name, value)) => format!("{{ {} = {} }}", quoted(name), quoted(value)),
            None => return,
        },
        _ => return,
    };
    let (from_long, _) = web(&format!("{key} = {long}"));
    // A name with a variable in it is filled in in the list only: a key of a table stays as it is.
    if text.contains('$') {
        return;
    }
    assert_eq!(from_long.as_ref(), Some(&spec), "{key} = [{text_toml}] is not {long}");
}

fn long_ports(spec: &ServiceSpec) -> String {
    let rows = spec.container.ports.iter().map(|binding| {
        let mut row = format!(
            "target = {}, protocol = \"{}\"",
            binding.container.port,
            binding.container.protocol.as_str()
        );
        if let Some(ip) = binding.host_ip {
            write!(row, ", host_ip = \"{ip}\"").unwrap();
        }
        match binding.host_port {
            Some((first, last)) if first == last => write!(row, ", published = {first}").unwrap(),
            Some((first, last)) => write!(row, ", published = \"{first}-{last}\"").unwrap(),
            None => {}
        }
        format!("{{ {row} }}")
    });
    format!("[{}]", rows.collect::<Vec<_>>().join(", "))
}

fn long_volumes(spec: &ServiceSpec) -> String {
    let rows = spec.container.mounts.iter().map(|(target, Mount { source, read_only })| {
        let common = format!("target = {}, read_only = {read_only}", quoted(&dollars(target)));
        match source {
            MountSource::Bind { path, create, propagation, selinux, content: _, recursive: _ } => {
                let mut bind = format!("create_host_path = {create}");
                if let Some(word) = propagation {
                    write!(bind, ", propagation = {}", quoted(word)).unwrap();
                }
                if let Some(label) = selinux {
                    write!(bind, ", selinux = \"{label}\"").unwrap();
                }
                format!(
                    "{{ type = \"bind\", source = {}, {common}, bind = {{ {bind} }} }}",
                    quoted(&dollars(path))
                )
            }
            MountSource::Volume { key, no_copy, .. } => {
                let source =
                    key.as_ref().map_or_else(String::new, |key| format!("source = {}, ", quoted(key)));
                format!("{{ type = \"volume\", {source}{common}, volume = {{ nocopy = {no_copy} }} }}")
            }
            MountSource::Image { .. } => panic!("a short form became a mount of an image"),
            MountSource::Tmpfs { .. } => panic!("a short form became a tmpfs mount"),
        }
    });
    format!("[{}]", rows.collect::<Vec<_>>().join(", "))
}

fn long_devices(spec: &ServiceSpec) -> String {
    let rows = spec.container.devices.iter().map(|device| {
        let [host, container, permissions] =
            [&device.host, &device.container, &device.permissions].map(|text| quoted(&dollars(text)));
        format!("{{ source = {host}, target = {container}, permissions = {permissions} }}")
    });
    format!("[{}]", rows.collect::<Vec<_>>().join(", "))
}

/// Text as it is, where variables are filled in.
fn dollars(text: &str) -> String {
    text.replace('$', "$$")
}
