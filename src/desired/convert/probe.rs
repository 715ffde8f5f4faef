//! `probe`: what evenkeel itself tries, where there is no health check.

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::diagnostic::Diagnostic;
use crate::desired::manifest;
use crate::desired::node::Value;
use crate::desired::probe::{Exec, OnProbeFailure, Probe, ProbeCheck};
use crate::desired::secret::Sensitive;
use crate::desired::spec::{Healthcheck, NetworkMode};

use super::environment::environment;
use super::keys::Parent;
use super::read::{Field, Fields, Reader, literal};
use super::service::{words_of, working_dir};

const CHECKS: [&str; 3] = ["http", "tcp", "exec"];
const FORM: &str = "probe = { http = { port = 8080, path = \"/healthz\" } }";

/// The outer `None`: something is wrong.
#[allow(clippy::option_option)]
pub(super) fn probe(
    reader: &mut Reader<'_, '_>,
    service: &Fields<'_>,
    mode: Option<&NetworkMode>,
    healthcheck: Option<&Healthcheck>,
) -> Option<Option<Probe>> {
    let Some(field) = service.get("probe") else { return Some(None) };
    let fields = reader.table(&field, FORM)?;
    let parents = [Parent { path: &service.path, shape: "Service" }, Parent { path: "", shape: "File" }];
    reader.check(&fields, "Probe", &parents);
    beside_a_healthcheck(reader, service, &field, healthcheck)?;
    let check = check(reader, &field, &fields)?;
    if matches!(mode, Some(NetworkMode::None)) && !matches!(check, ProbeCheck::Exec(_)) {
        let message = format!("`{}` cannot be reached: the container has no network", field.path);
        let place = service.get("network_mode").map(|mode| mode.node.span.clone());
        let mut diagnostic =
            Diagnostic::error("probe-unreachable", field.key.clone(), message, "nobody can dial it");
        if let Some(place) = place {
            diagnostic = diagnostic.also(place, "no address");
        }
        reader.report(diagnostic.help("probe it from inside: probe = { exec = { command = [\"...\"] } }"));
        return None;
    }
    let (interval, timeout) =
        (time(reader, &fields, "interval", 10_000), time(reader, &fields, "timeout", 5_000));
    let start = match fields.get("start_period") {
        None => Some(0),
        Some(field) => reader.duration(&field).map(|nanoseconds| nanoseconds.div_ceil(1_000_000)),
    };
    let (threshold, success) = (count(reader, &fields, "threshold", 3), count(reader, &fields, "success", 1));
    let on_failure = match fields.get("on_failure") {
        None => Some(OnProbeFailure::default()),
        Some(field) => reader
            .choice(&field, "reaction to a failing probe", manifest::OnProbeFailure::WORDS)
            .map(|word| if word == "restart" { OnProbeFailure::Restart } else { OnProbeFailure::Report }),
    };
    Some(Some(Probe {
        check,
        interval_ms: interval?,
        timeout_ms: timeout?,
        start_period_ms: start?,
        threshold: threshold?,
        success: success?,
        on_failure: on_failure?,
    }))
}

/// One of the two decides whether it is well; with both, nobody could tell which.
fn beside_a_healthcheck(
    reader: &mut Reader<'_, '_>,
    service: &Fields<'_>,
    field: &Field<'_>,
    healthcheck: Option<&Healthcheck>,
) -> Option<()> {
    let Some(check) = service.get("healthcheck") else { return Some(()) };
    if matches!(healthcheck, Some(Healthcheck::Disabled) | None) {
        return Some(());
    }
    let message = format!("{} has both a healthcheck and a probe", service.path);
    let diagnostic = Diagnostic::error(
        "probe-and-healthcheck",
        field.key.clone(),
        message,
        "which of the two says whether it works?",
    );
    reader.report(
        diagnostic
            .also(check.key.clone(), "the engine runs this one")
            .help("drop one of them; healthcheck = { disable = true } switches the image's own check off"),
    );
    None
}

fn check(reader: &mut Reader<'_, '_>, field: &Field<'_>, fields: &Fields<'_>) -> Option<ProbeCheck> {
    let given: Vec<(&str, Field<'_>)> =
        CHECKS.iter().filter_map(|key| Some((*key, fields.get(key)?))).collect();
    match given.as_slice() {
        [("http", field)] => http(reader, fields, field),
        [("tcp", field)] => tcp(reader, fields, field),
        [(_, field)] => exec(reader, fields, field),
        [] => {
            let message = format!("`{}` does not say what to try", field.path);
            let diagnostic =
                Diagnostic::error("bad-probe", field.key.clone(), message, "one of http, tcp and exec");
            reader.report(diagnostic.help(format!("for example: {FORM}")));
            None
        }
        [(first, place), (second, other), ..] => {
            let message = format!("`{}` says both {first} and {second}", field.path);
            let diagnostic =
                Diagnostic::error("bad-probe", other.key.clone(), message, "one probe tries one thing");
            reader.report(diagnostic.also(place.key.clone(), "and this"));
            None
        }
    }
}

fn inner<'t>(
    reader: &mut Reader<'_, '_>,
    outer: &Fields<'_>,
    field: &Field<'t>,
    shape: &str,
    right: &str,
) -> Option<Fields<'t>> {
    let fields = reader.table(field, right)?;
    reader.check(&fields, shape, &[Parent { path: &outer.path, shape: "Probe" }]);
    Some(fields)
}

fn http(reader: &mut Reader<'_, '_>, outer: &Fields<'_>, field: &Field<'_>) -> Option<ProbeCheck> {
    let fields = inner(reader, outer, field, "HttpProbe", "http = { port = 8080, path = \"/healthz\" }")?;
    let port = port(reader, field, &fields);
    let path = match fields.get("path") {
        None => Some("/".to_owned()),
        Some(field) => {
            let path = reader.filled(&field)?;
            let good = path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic());
            if !good {
                let message = format!("`{path}` is not a path of a request");
                reader.error(
                    "bad-probe",
                    field.node,
                    message,
                    "begins with `/`, without blanks: \"/healthz\"",
                );
            }
            good.then(|| path.to_owned())
        }
    };
    let headers = fields.get("headers").map_or(Some(BTreeMap::new()), |field| headers(reader, &field));
    let status = fields.get("status").map_or(Some((200, 399)), |field| status(reader, &field));
    Some(ProbeCheck::Http { port: port?, path: path?, headers: headers?, status: status? })
}

fn tcp(reader: &mut Reader<'_, '_>, outer: &Fields<'_>, field: &Field<'_>) -> Option<ProbeCheck> {
    let fields = inner(reader, outer, field, "TcpProbe", "tcp = { port = 5432 }")?;
    Some(ProbeCheck::Tcp { port: port(reader, field, &fields)? })
}

fn exec(reader: &mut Reader<'_, '_>, outer: &Fields<'_>, field: &Field<'_>) -> Option<ProbeCheck> {
    let fields = inner(reader, outer, field, "ExecProbe", "exec = { command = [\"program\"] }")?;
    Some(ProbeCheck::Exec(command(reader, field, &fields)?))
}

/// A command in a container: `command` and what goes with it, of whichever keys the table's shape lets through.
pub(super) fn command(reader: &mut Reader<'_, '_>, field: &Field<'_>, fields: &Fields<'_>) -> Option<Exec> {
    let Some(given) = fields.get("command") else {
        let message = format!("`{}` has no command", field.path);
        let diagnostic =
            Diagnostic::error("missing-command", field.node.span.clone(), message, "what should be run?");
        reader.report(
            diagnostic.help(
                "command = [\"program\", \"argument\"], or text with a shell: [\"sh\", \"-c\", \"...\"]",
            ),
        );
        return None;
    };
    let command = words_of(reader, fields, "command")?;
    if command.first().is_none_or(String::is_empty) {
        let message = format!("`{}` is empty", given.path);
        reader.error("missing-command", given.node, message, "what should be run?");
        return None;
    }
    let user = match fields.get("user") {
        None => None,
        Some(field) => Some(reader.filled(&field)?.to_owned()),
    };
    let privileged = fields.get("privileged").map_or(Some(false), |field| reader.flag(&field))?;
    let working_dir = match fields.get("working_dir") {
        None => None,
        Some(_) => Some(working_dir(reader, fields)?),
    };
    let environment = environment(reader, fields, &mut BTreeSet::new());
    Some(Exec { command, user, privileged, working_dir, environment })
}

fn port(reader: &mut Reader<'_, '_>, field: &Field<'_>, fields: &Fields<'_>) -> Option<u16> {
    let Some(found) = fields.get("port") else {
        let message = format!("`{}` names no port", field.path);
        reader.error("bad-probe", field.node, message, "add: port = 8080 (the container's)");
        return None;
    };
    reader.whole(&found, 1, 65_535).and_then(|port| u16::try_from(port).ok())
}

fn headers(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> Option<BTreeMap<String, Sensitive>> {
    let fields = reader.table(field, "headers = { Host = \"example.org\" }")?;
    let mut headers = BTreeMap::new();
    for (name, item) in fields.all() {
        let Some(value) = literal(item.node) else {
            reader.wrong_type(&item, "text", "\"...\"");
            return None;
        };
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let good = !name.is_empty() && name.bytes().all(token) && !value.contains(['\r', '\n', '\0']);
        if !good {
            // The value may be a secret.
            let message = format!("`{name}` cannot be a header, or its value cannot");
            reader.report(Diagnostic::error(
                "bad-probe",
                item.key.clone(),
                message,
                "one line, and a name without blanks",
            ));
            return None;
        }
        headers.insert(name.to_owned(), Sensitive::new(value));
    }
    Some(headers)
}

/// `204` or `"200-299"`.
fn status(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> Option<(u16, u16)> {
    let text = match &field.node.value {
        Value::Integer(number) => number.to_string(),
        Value::String(text) => text.clone(),
        _ => {
            reader.wrong_type(field, "a status or a range of them", "200 or \"200-299\"");
            return None;
        }
    };
    let (first, last) = text.split_once('-').unwrap_or((&text, &text));
    let number = |part: &str| part.trim().parse::<u16>().ok().filter(|code| (100..=599).contains(code));
    let range = number(first).zip(number(last)).filter(|(first, last)| first <= last);
    if range.is_none() {
        let message = format!("`{text}` is not a status of HTTP");
        reader.error("bad-probe", field.node, message, "write 200 or \"200-299\"");
    }
    range
}

fn time(reader: &mut Reader<'_, '_>, fields: &Fields<'_>, key: &str, otherwise: u64) -> Option<u64> {
    let Some(field) = fields.get(key) else { return Some(otherwise) };
    let ms = reader.duration(&field)?.div_ceil(1_000_000);
    /// More often than this it would be load and no news.
    const LEAST_MS: u64 = 100;
    if ms < LEAST_MS {
        let message = format!("`{}` is too short", field.path);
        reader.error("out-of-range", field.node, message, "at least \"100ms\"");
        return None;
    }
    Some(ms)
}

fn count(reader: &mut Reader<'_, '_>, fields: &Fields<'_>, key: &str, otherwise: u32) -> Option<u32> {
    let Some(field) = fields.get(key) else { return Some(otherwise) };
    reader.whole(&field, 1, 1_000).and_then(|number| u32::try_from(number).ok())
}

/// Milliseconds until it must have succeeded: three minutes, or as long as it may take to say no.
pub(super) fn healthy_within_ms(probe: &Probe) -> u64 {
    const LEAST_MS: u64 = 180_000;
    let round = probe.interval_ms.saturating_add(probe.timeout_ms);
    let rounds = round.saturating_mul(u64::from(probe.threshold.saturating_add(probe.success)));
    LEAST_MS.max(probe.start_period_ms.saturating_add(rounds))
}
