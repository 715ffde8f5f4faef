//! A service, whole.

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::diagnostic::Diagnostic;
use crate::desired::ident::{ServiceId, ServiceName};
use crate::desired::node::{Table, Value};
use crate::desired::spec::{
    ContainerSpec, Dependency, DependencyCondition, DriftPolicy, Extra, Healthcheck, LiveSpec, NetworkMode,
    Policy, PullPolicy, ServiceSpec,
};

use super::environment::environment;
use super::keys::Parent;
use super::objects::{errors, place};
use super::read::{Field, Fields, Reader};
use super::words::WordsFault;
use super::{
    Context, depends, deploy, extra, grants, hardware, health, hooks, host, image, labels, limits, links,
    mounts, networks, paths, ports, probe, restart, rollout, security, words,
};

/// The spec of one service. Every problem goes to `diagnostics`; `None` when one of them is an error.
#[must_use]
pub fn service(
    id: &ServiceId,
    table: &Table,
    context: &Context<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<ServiceSpec> {
    let before = errors(diagnostics);
    let mut reader = Reader { context, diagnostics };
    let fields = Fields::new(table, format!("services.{}", id.service));
    reader.check(&fields, "Service", &[Parent { path: "", shape: "File" }]);
    let spec = read(&mut reader, id, &fields);
    if errors(diagnostics) == before { spec } else { None }
}

/// Reads every part before it gives up on one, so that all problems are reported.
pub(super) fn read(reader: &mut Reader<'_, '_>, id: &ServiceId, fields: &Fields<'_>) -> Option<ServiceSpec> {
    let mut source = place(fields);
    let deploy = deploy::open(reader, fields);
    let mut networks = networks::networks(reader, fields, &id.service);
    let healthcheck = health::healthcheck(reader, fields);
    let whole = Whole { id, fields, deploy: &deploy };
    let container = container(reader, &whole, &mut source.files, networks.as_mut(), healthcheck.clone());
    let restart = restart::restart(reader, fields, &deploy);
    let resources = limits::resources(reader, fields, &deploy);
    let replicas = deploy::replicas(reader, fields, &deploy);
    let container_name = container_name(reader, id, fields, replicas.as_ref());
    let policy = policy(reader, &whole, container.as_ref(), healthcheck.as_ref());
    if let Some((count, place)) = &replicas {
        protected_and_zero(reader, fields, *count, place.as_ref());
    }
    let mut live = LiveSpec {
        restart: restart?,
        resources: resources?,
        networks: networks?.endpoints,
        container_name: container_name?,
        files: BTreeMap::new(),
    };
    let policy = Policy { replicas: replicas?.0, ..policy? };
    let mut container = container?;
    let host = reader.context.host;
    live.files =
        grants::settle_live(id, &mut container, &reader.context.granted.borrow().live, &host.provided);
    Some(ServiceSpec { container, live, policy, source })
}

/// A service's table with what was opened in it.
struct Whole<'r, 't> {
    id: &'r ServiceId,
    fields: &'r Fields<'t>,
    deploy: &'r deploy::Deploy<'t>,
}

fn container(
    reader: &mut Reader<'_, '_>,
    whole: &Whole<'_, '_>,
    files: &mut BTreeSet<String>,
    networks: Option<&mut networks::Networks>,
    healthcheck: Option<Healthcheck>,
) -> Option<ContainerSpec> {
    let Whole { id, fields, deploy } = whole;
    let mode = networks.as_ref().map(|networks| networks.mode.clone());
    let image = image::image(reader, fields);
    let environment = environment(reader, fields, files);
    let api_socket = extra::api_socket(reader, fields);
    let mounts = mounts::mounts(reader, fields, api_socket);
    let devices = fields.get("devices").map(|field| hardware::devices(reader, &field)).unwrap_or_default();
    let extra = extra::extra(reader, fields, deploy, &id.service, networks, devices.cdi);
    let extra = Extra { unmasked: security::is_unmasked(fields), ..extra };
    let mut ports = fields.get("ports").map(|field| ports::ports(reader, &field)).unwrap_or_default();
    let expose = ports::expose(reader, fields, &ports);
    if matches!(mode, Some(NetworkMode::Host | NetworkMode::None)) {
        // The engine drops them too; a warning has been given.
        ports.clear();
    }
    let mut labels = deploy
        .own
        .as_ref()
        .and_then(|own| own.get("labels"))
        .map(|field| reader.labels(&field))
        .unwrap_or_default();
    labels.extend(labels::label_files(reader, fields, files));
    labels.extend(fields.get("labels").map(|field| reader.labels(&field)).unwrap_or_default());
    let command = words_of(reader, fields, "command");
    let entrypoint = words_of(reader, fields, "entrypoint");
    let flag = |reader: &mut Reader<'_, '_>, key: &str| fields.get(key).and_then(|field| reader.flag(&field));
    let text = |reader: &mut Reader<'_, '_>, key: &str| {
        fields.get(key).and_then(|field| reader.filled(&field).map(str::to_owned))
    };
    let capabilities = |reader: &mut Reader<'_, '_>, key: &str| {
        fields.get(key).map(|field| security::capabilities(reader, &field)).unwrap_or_default()
    };
    Some(ContainerSpec {
        platform: fields.get("platform").and_then(|field| image::platform(reader, &field)),
        command,
        entrypoint,
        environment,
        labels,
        user: text(reader, "user"),
        working_dir: working_dir(reader, fields),
        hostname: hostname(reader, fields),
        init: flag(reader, "init"),
        stop_signal: fields.get("stop_signal").and_then(|field| signal(reader, &field, &[])),
        stop_grace_period: fields.get("stop_grace_period").and_then(|field| whole_seconds(reader, &field)),
        ports,
        expose,
        mounts: mounts.mounts,
        tmpfs: mounts.tmpfs,
        logging: host::logging(reader, fields),
        read_only: flag(reader, "read_only").unwrap_or(false),
        privileged: flag(reader, "privileged").unwrap_or(false),
        cap_add: capabilities(reader, "cap_add"),
        cap_drop: capabilities(reader, "cap_drop"),
        security_opt: fields
            .get("security_opt")
            .map(|field| security::security_opt(reader, &field))
            .unwrap_or_default(),
        extra_hosts: fields
            .get("extra_hosts")
            .map(|field| host::extra_hosts(reader, &field))
            .unwrap_or_default(),
        dns: fields.get("dns").map(|field| host::dns(reader, &field)).unwrap_or_default(),
        devices: devices.mapped,
        ulimits: fields.get("ulimits").map(|field| host::ulimits(reader, &field)).unwrap_or_default(),
        sysctls: fields.get("sysctls").map(|field| host::sysctls(reader, &field)).unwrap_or_default(),
        // 0 is the engine's word for its default.
        shm_size: fields.get("shm_size").and_then(|field| reader.size(&field)).filter(|bytes| *bytes > 0),
        lifecycle: hooks::lifecycle(reader, fields)?,
        image: image?,
        network_mode: mode?,
        healthcheck: healthcheck?,
        extra,
    })
}

fn policy(
    reader: &mut Reader<'_, '_>,
    whole: &Whole<'_, '_>,
    container: Option<&ContainerSpec>,
    healthcheck: Option<&Healthcheck>,
) -> Option<Policy> {
    let Whole { id, fields, deploy } = whole;
    let pull = match fields.get("pull_policy") {
        None => Some(PullPolicy::default()),
        Some(field) => image::pull_policy(reader, &field),
    };
    let mut depends_on = depends::depends_on(reader, fields, &id.service);
    let mut imply = |name: &ServiceName, restart: bool| {
        let condition = DependencyCondition::ServiceStarted;
        depends_on.entry(name.clone()).or_insert(Dependency { condition, restart, required: true });
    };
    if let Some(container) = container {
        // Whoever is named by id comes first; Compose infers the same.
        if let NetworkMode::Service(owner) = &container.network_mode {
            imply(owner, true);
        }
        for (name, tie) in container.extra.ties() {
            imply(name, tie.ends_with_a_restart());
        }
    }
    if let Some(field) = fields.get("links") {
        links::targets(&field).filter_map(ServiceName::new).for_each(|name| {
            if reader.context.services.contains_key(name.as_str()) && name != id.service {
                imply(&name, false);
            }
        });
    }
    let mut update = deploy::update(reader, deploy)?;
    update.healthy_within_ms = health::healthy_within_ms(healthcheck?);
    let probe =
        probe::probe(reader, fields, container.map(|container| &container.network_mode), healthcheck)?;
    if let Some(probe) = &probe {
        update.healthy_within_ms = update.healthy_within_ms.max(probe::healthy_within_ms(probe));
    }
    let protect = fields.get("protect").map_or(Some(false), |field| reader.flag(&field))?;
    let hooks = hooks::hooks(reader, fields)?;
    let (rollout, approve) = rollout::rollout(reader, fields, &mut update)?;
    Some(Policy {
        replicas: 1,
        pull: pull?,
        depends_on,
        update,
        probe,
        hooks,
        protect,
        approve,
        rollout,
        drift: DriftPolicy::default(),
    })
}

/// To scale to nothing is to remove, and of a protected service nobody removes anything.
fn protected_and_zero(
    reader: &mut Reader<'_, '_>,
    fields: &Fields<'_>,
    replicas: u32,
    place: Option<&Field<'_>>,
) {
    let Some(field) = fields.get("protect") else { return };
    let protected = fields.get("protect").and_then(|field| reader.flag(&field)).unwrap_or(false);
    if replicas > 0 || !protected {
        return;
    }
    let span = place.map_or(&field.node.span, |place| &place.node.span).clone();
    let message = format!("{} is protected, and no replicas would remove it", fields.path);
    let diagnostic = Diagnostic::error("protected-and-zero", span, message, "removes every container of it");
    reader.report(diagnostic.also(field.key.clone(), "protected here").help("drop one of the two"));
}

/// `command` and `entrypoint`: words, from a list or split from text.
pub(super) fn words_of(reader: &mut Reader<'_, '_>, fields: &Fields<'_>, key: &str) -> Option<Vec<String>> {
    let field = fields.get(key)?;
    match &field.node.value {
        Value::String(_) => {
            let text = reader.text(&field)?;
            match words::split(text) {
                Ok(words) => Some(words),
                Err(fault) => {
                    words_fault(reader, &field, text, &fault);
                    None
                }
            }
        }
        _ => {
            let items = reader.list(&field, &format!("{key} = [\"program\", \"argument\"]"))?;
            items.iter().map(|item| reader.text(item).map(str::to_owned)).collect()
        }
    }
}

fn words_fault(reader: &mut Reader<'_, '_>, field: &Field<'_>, text: &str, fault: &WordsFault) {
    let key = field.name();
    let (at, length, message, label) = match fault {
        WordsFault::OpenQuote(at) => (*at, 1, "a quote is never closed".to_owned(), "opened here".to_owned()),
        WordsFault::OpenEscape(at) => {
            (*at, 1, "a backslash at the end".to_owned(), "nothing follows to be taken as it is".to_owned())
        }
        WordsFault::Shell(at, sign) => {
            let message = format!("`{sign}` needs a shell, and `{key}` is not run by one");
            (*at, sign.len_utf8(), message, "quote it, or call a shell".to_owned())
        }
    };
    let mut diagnostic = Diagnostic::error("bad-command", field.node.part(at, at + length), message, label);
    if matches!(fault, WordsFault::Shell(..)) {
        diagnostic = diagnostic
            .help(format!("with a shell: {key} = [\"sh\", \"-c\", '{}']", text.replace('\'', "...")));
    }
    reader.report(diagnostic);
}

pub(super) fn working_dir(reader: &mut Reader<'_, '_>, fields: &Fields<'_>) -> Option<String> {
    let field = fields.get("working_dir")?;
    let text = reader.filled(&field)?;
    let path = paths::in_container(text);
    if path.is_none() {
        let message = format!("`{text}` is not an absolute path");
        reader.error("bad-path", field.node, message, format!("write \"/{text}\""));
    }
    path
}

fn hostname(reader: &mut Reader<'_, '_>, fields: &Fields<'_>) -> Option<String> {
    /// The kernel's limit.
    const MOST: usize = 64;
    let field = fields.get("hostname")?;
    let text = reader.filled(&field)?;
    let label = |part: &str| {
        let inner = part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        !part.is_empty() && inner && !part.starts_with('-') && !part.ends_with('-')
    };
    if text.len() > MOST || !text.split('.').all(label) {
        let message = format!("`{text}` is not a host's name");
        reader.error("bad-name", field.node, message, "letters, digits, `-` and dots, at most 64");
        return None;
    }
    Some(text.to_owned())
}

/// Compose's rule: one container per name. The outer `None`: something is wrong.
#[allow(clippy::option_option)]
fn container_name(
    reader: &mut Reader<'_, '_>,
    id: &ServiceId,
    fields: &Fields<'_>,
    replicas: Option<&(u32, Option<Field<'_>>)>,
) -> Option<Option<String>> {
    let Some(field) = fields.get("container_name") else { return Some(None) };
    let text = reader.filled(&field)?;
    let good = text.len() >= 2
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'));
    if !good {
        let message = format!("`{text}` is not a container's name");
        let label = "two or more letters, digits, `_`, `.` and `-`, the first a letter or digit";
        reader.error("bad-name", field.node, message, label);
        return None;
    }
    if let Some((count, Some(place))) = replicas
        && *count > 1
    {
        let names: Vec<String> = (1..=(*count).min(3)).map(|slot| id.container_name(slot)).collect();
        let more = if *count > 3 { ", ..." } else { "" };
        let message = format!("{count} containers cannot share the name `{text}`");
        let label = format!("drop container_name, or {}", place.name());
        let diagnostic = Diagnostic::error("name-and-replicas", place.node.span.clone(), message, label);
        reader.report(diagnostic.help(format!("without it they are called {}{more}", names.join(", "))));
        return None;
    }
    Some(Some(text.to_owned()))
}

/// The engine counts whole seconds; a part of one is a whole one.
fn whole_seconds(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> Option<u32> {
    let seconds = reader.duration(field)?.div_ceil(1_000_000_000);
    let seconds = u32::try_from(seconds).ok().filter(|seconds| i32::try_from(*seconds).is_ok());
    if seconds.is_none() {
        let message = format!("`{}` is too long", field.path);
        reader.error("out-of-range", field.node, message, "at most 68 years");
    }
    seconds
}

/// Signals by number on Linux (signal(7)); gaps are filled by nothing.
const SIGNALS: [(u8, &str); 32] = [
    (1, "SIGHUP"),
    (2, "SIGINT"),
    (3, "SIGQUIT"),
    (4, "SIGILL"),
    (5, "SIGTRAP"),
    (6, "SIGABRT"),
    (7, "SIGBUS"),
    (8, "SIGFPE"),
    (9, "SIGKILL"),
    (10, "SIGUSR1"),
    (11, "SIGSEGV"),
    (12, "SIGUSR2"),
    (13, "SIGPIPE"),
    (14, "SIGALRM"),
    (15, "SIGTERM"),
    (16, "SIGSTKFLT"),
    (17, "SIGCHLD"),
    (18, "SIGCONT"),
    (19, "SIGSTOP"),
    (20, "SIGTSTP"),
    (21, "SIGTTIN"),
    (22, "SIGTTOU"),
    (23, "SIGURG"),
    (24, "SIGXCPU"),
    (25, "SIGXFSZ"),
    (26, "SIGVTALRM"),
    (27, "SIGPROF"),
    (28, "SIGWINCH"),
    (29, "SIGIO"),
    (30, "SIGPWR"),
    (31, "SIGSYS"),
    (29, "SIGPOLL"),
];

/// A signal as `SIGTERM`; written with or without `SIG`, in any case, or as its number. `others`: words that may stand there, too.
pub(super) fn signal(reader: &mut Reader<'_, '_>, field: &Field<'_>, others: &[&str]) -> Option<String> {
    let text = reader.filled(field)?;
    let upper = text.trim().to_ascii_uppercase();
    let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
    let named = if let Ok(number) = bare.parse::<u8>() {
        SIGNALS.iter().find(|(known, _)| *known == number).map(|(_, name)| (*name).to_owned())
    } else {
        SIGNALS
            .iter()
            .find(|(_, name)| name.strip_prefix("SIG") == Some(bare))
            .map(|(_, name)| (*name).to_owned())
    };
    let found = named.or_else(|| is_realtime(bare).then(|| format!("SIG{bare}")));
    if found.is_none() {
        let names: Vec<&str> = others.iter().copied().chain(SIGNALS.iter().map(|(_, name)| *name)).collect();
        let mut listed = others.iter().map(|other| format!("{other}, ")).collect::<String>();
        listed
            .push_str("names of signal(7) such as SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGRTMIN+3, or numbers");
        reader.bad_choice(field.node.span.clone(), text, "signal", &names, Some(&listed));
    }
    found
}

/// `RTMIN`, `RTMIN+1` to `RTMIN+15`, `RTMAX-14` to `RTMAX-1`, `RTMAX`: what the engine knows.
fn is_realtime(name: &str) -> bool {
    let within = |rest: &str, sign: char, most: u8| {
        rest.is_empty()
            || rest
                .strip_prefix(sign)
                .and_then(|n| n.parse::<u8>().ok())
                .is_some_and(|n| (1..=most).contains(&n))
    };
    name.strip_prefix("RTMIN").is_some_and(|rest| within(rest, '+', 15))
        || name.strip_prefix("RTMAX").is_some_and(|rest| within(rest, '-', 14))
}
