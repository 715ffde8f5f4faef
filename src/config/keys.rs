//! Every setting: its name, and how its text becomes its value. File keys, variables and flags are all derived from this list.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::{Entry, Listen, LogFormat, Settings, WatchKind, duration, size, sources, threshold};
use crate::desired::ident::is_name;
use crate::source::git;

pub(super) struct Key {
    /// As in the file: `log.format`.
    pub path: &'static str,
    /// The flag, where it is not the path itself.
    flag: Option<&'static str>,
    pub set: fn(&mut Settings, &str) -> Result<(), String>,
}

const fn key(path: &'static str, set: fn(&mut Settings, &str) -> Result<(), String>) -> Key {
    Key { path, flag: None, set }
}

const fn flagged(
    path: &'static str,
    flag: &'static str,
    set: fn(&mut Settings, &str) -> Result<(), String>,
) -> Key {
    Key { path, flag: Some(flag), set }
}

/// In the order of the documentation.
pub(super) static KEYS: [Key; 29] = [
    key("desired", |s, text| path(text).map(|value| s.desired = value)),
    key("repo", |s, text| sources::address(text).map(|()| s.repo.url = Some(text.to_owned()))),
    key("branch", |s, text| git::reference(text).map(|value| s.repo.branch = Some(value))),
    key("path", |s, text| git::folder(text).map(|value| s.repo.path = Some(value))),
    key("state", |s, text| path(text).map(|value| s.state = value)),
    key("secrets_dir", |s, text| path(text).map(|value| s.secrets_dir = value)),
    key("age_key_file", |s, text| path(text).map(|value| s.age_key_file = value)),
    key("instance", |s, text| name(text).map(|value| s.instance = value)),
    key("host", |s, text| name(text).map(|value| s.host = value)),
    flagged("docker_host", "--docker-host", |s, text| engine(text).map(|value| s.docker_host = Some(value))),
    key("listen", |s, text| listen(text).map(|value| s.listen = value)),
    key("socket", |s, text| path(text).map(|value| s.socket = value)),
    key("watch", |s, text| {
        choice(text, &[("inotify", WatchKind::Inotify), ("poll", WatchKind::Poll)])
            .map(|value| s.watch = value)
    }),
    flagged("log.format", "--log-format", |s, text| {
        choice(text, &[("text", LogFormat::Text), ("json", LogFormat::Json)])
            .map(|value| s.log_format = value)
    }),
    flagged("log.level", "--log-level", |s, text| level(text).map(|value| s.log_level = value)),
    flagged("concurrency.services", "--concurrency", |s, text| {
        within(text, 1, 256).map(|value| s.concurrency = value)
    }),
    flagged("concurrency.pulls", "--pulls", |s, text| within(text, 1, 64).map(|value| s.pulls = value)),
    key("limits.disk_floor", |s, text| size(text).map(|value| s.limits.disk_floor = value)),
    key("limits.disk_pressure", |s, text| threshold(text).map(|value| s.limits.disk_pressure = value)),
    key("limits.watch_window", |s, text| duration(text).map(|value| s.limits.watch_ms = value)),
    key("limits.watch_restarts", |s, text| {
        within(text, 1, 1_000_000).map(|value: usize| {
            s.limits.watch_restarts = u32::try_from(value).unwrap_or(u32::MAX);
        })
    }),
    key("limits.dependency_timeout", |s, text| {
        at_least(text, 1_000).map(|value| s.limits.dependency_ms = value)
    }),
    key("limits.keep_revisions", |s, text| within(text, 1, 100).map(|value| s.limits.keep_revisions = value)),
    key("intervals.resync", |s, text| at_least(text, 5_000).map(|value| s.intervals.resync_ms = value)),
    key("intervals.rescan", |s, text| at_least(text, 1_000).map(|value| s.intervals.rescan_ms = value)),
    key("intervals.removal_quiet", |s, text| duration(text).map(|value| s.limits.removal_quiet_ms = value)),
    key("registries.plain_http", |s, text| hosts(text).map(|value| s.registries.plain_http = value)),
    key("registries.certificates", |s, text| path(text).map(|value| s.registries.certificates = value)),
    // Read before the others, because it says where they are; listed so that it is known as a variable.
    key("config", |_, _| Ok(())),
];

/// Every setting with what it is called where it may be said, in the order of the documentation.
pub fn names() -> impl Iterator<Item = Names> {
    KEYS.iter().map(|key| Names {
        key: key.path,
        variable: variable(key.path),
        flag: key.flag.map_or_else(|| format!("--{}", key.path), str::to_owned),
    })
}

/// What a setting is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// In the file: `log.format`.
    pub key: &'static str,
    pub variable: String,
    /// Where it has one: not every setting can be said in a call.
    pub flag: String,
}

pub(super) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// `log.format` is `EVENKEEL_LOG_FORMAT`.
fn variable(path: &str) -> String {
    format!("EVENKEEL_{}", path.replace('.', "_").to_ascii_uppercase())
}

pub(super) fn from_environment(environment: &BTreeMap<String, String>) -> Vec<Entry> {
    KEYS.iter()
        .filter_map(|key| {
            let place = variable(key.path);
            let text = environment.get(&place)?.clone();
            Some(Entry { key, place, text })
        })
        .collect()
}

pub(super) fn from_flags(flags: &[(&'static str, String)]) -> Vec<Entry> {
    flags
        .iter()
        .filter_map(|(path, text)| {
            let key = find(path)?;
            let place = key.flag.map_or_else(|| format!("--{path}"), str::to_owned);
            Some(Entry { key, place, text: text.clone() })
        })
        .collect()
}

/// A variable of ours that nobody reads is most likely a typing error. It is no error: what starts us may set its own.
pub(super) fn unknown_variables(environment: &BTreeMap<String, String>) -> Vec<String> {
    let known: Vec<String> = KEYS.iter().map(|key| variable(key.path)).collect();
    environment
        .keys()
        .filter(|name| name.starts_with("EVENKEEL_") && !known.contains(name))
        .map(|name| {
            let hint = nearest(name, known.iter().map(String::as_str));
            let hint = hint.map(|hint| format!("; did you mean {hint}?")).unwrap_or_default();
            format!("{name} is not a setting and is ignored{hint}")
        })
        .collect()
}

/// The known word most like this one, if one is like it at all.
pub(super) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() || text.contains('\0') {
        return Err("write a path".to_owned());
    }
    Ok(PathBuf::from(text))
}

/// Hosts with their ports, apart by commas.
fn hosts(text: &str) -> Result<Vec<String>, String> {
    let all: Vec<String> =
        text.split(',').map(str::trim).filter(|host| !host.is_empty()).map(str::to_owned).collect();
    let odd = |host: &String| host.contains(['/', '@', ' ']) || host.starts_with('-');
    match all.iter().find(|host| odd(host)) {
        Some(host) => Err(format!("{host:?} is no host: write registry.lan:5000, without http:// and path")),
        None => Ok(all),
    }
}

fn name(text: &str) -> Result<String, String> {
    if is_name(text) {
        return Ok(text.to_owned());
    }
    Err("write letters, digits, `.`, `_` and `-`, starting with a letter or digit, at most 128".to_owned())
}

fn engine(text: &str) -> Result<String, String> {
    let known = ["unix://", "tcp://", "http://", "https://"].iter().any(|scheme| text.starts_with(scheme));
    if known {
        return Ok(text.to_owned());
    }
    Err("write unix:///var/run/docker.sock or tcp://HOST:PORT".to_owned())
}

fn listen(text: &str) -> Result<Listen, String> {
    if text == "off" {
        return Ok(Listen::Off);
    }
    let text =
        text.strip_prefix("localhost:").map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
    text.parse::<SocketAddr>().map(Listen::On).map_err(|_| {
        "write ADDRESS:PORT, as in 127.0.0.1:9877 or 0.0.0.0:9877 for every address, or `off`".to_owned()
    })
}

fn level(text: &str) -> Result<String, String> {
    let fits = !text.trim().is_empty() && text.parse::<tracing_subscriber::EnvFilter>().is_ok();
    // A filter reads any single word as a target's name, so a misspelt level would silence everything.
    let word = !text.contains(['=', ',']);
    let is_level =
        ["off", "error", "warn", "info", "debug", "trace"].contains(&text.to_ascii_lowercase().as_str());
    if fits && (!word || is_level) {
        return Ok(text.to_owned());
    }
    Err("write error, warn, info, debug or trace, or a filter as in info,evenkeel::controller=debug"
        .to_owned())
}

fn choice<T: Copy>(text: &str, known: &[(&str, T)]) -> Result<T, String> {
    let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
    known
        .iter()
        .find(|(word, _)| *word == text)
        .map(|(_, value)| *value)
        .ok_or_else(|| format!("write {}", words.join(" or ")))
}

fn within(text: &str, least: usize, most: usize) -> Result<usize, String> {
    text.trim()
        .parse::<usize>()
        .ok()
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| format!("write a whole number from {least} to {most}"))
}

fn at_least(text: &str, least_ms: u64) -> Result<u64, String> {
    let value = duration(text)?;
    if value >= least_ms { Ok(value) } else { Err(format!("the least is {}s", least_ms / 1000)) }
}
