//! When something may be done, and how often it is looked at: `window`, `paused_until` and `interval` of `[policy]`.
//!
//! Everything here takes the time as an argument. Time zones are those of the binary, so that files mean the same on every host.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::convert::{self, bad_cron, unknown_zone};
use super::diagnostic::Diagnostic;
use super::fleet::table_of;
use super::ident::ProjectName;
use super::node::{Node, Value};
use super::toplevel::unknown_key;
use super::work::schedule::{self, Schedule};

/// The regular look is not made more often than this. Milliseconds; the daemon's own setting has the same bound.
pub const LEAST_INTERVAL_MS: u64 = 5_000;

/// `[policy.window]`: roll-outs begin in the minutes that the schedule matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    pub schedule: Schedule,
    /// An IANA name.
    pub timezone: String,
    /// Where it is written: `fleet.toml, policy.window`.
    pub place: String,
}

/// What a window says of one instant. Milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    Open,
    /// Closed until then.
    At(i64),
    /// Closed, and no minute that it matches is found.
    Never,
}

impl Window {
    /// What it says of an instant, in milliseconds since 1970.
    #[must_use]
    pub fn at(&self, now_ms: i64) -> Opening {
        static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);
        let Some(cron) = self.schedule.cron() else { return Opening::Never };
        let minute_ms = now_ms.saturating_sub(now_ms.rem_euclid(60_000));
        let Ok(minute) = Timestamp::from_millisecond(minute_ms) else { return Opening::Never };
        let minute = minute.to_zoned(ZONES.get(&self.timezone).unwrap_or(TimeZone::UTC));
        if cron.is_time_matching(&minute).unwrap_or(false) {
            return Opening::Open;
        }
        match cron.find_next_occurrence(&minute, false) {
            Ok(next) => Opening::At(next.timestamp().as_millisecond()),
            Err(_) => Opening::Never,
        }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` in {} ({})", self.schedule.as_str(), self.timezone, self.place)
    }
}

/// What holds for each project, and for what no project here has any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByProject<T> {
    /// What the root's files say.
    pub everywhere: Option<T>,
    /// What holds for each project for which it is said, at the root or nearer.
    pub projects: BTreeMap<ProjectName, T>,
}

impl<T> Default for ByProject<T> {
    fn default() -> Self {
        Self { everywhere: None, projects: BTreeMap::new() }
    }
}

impl<T: Clone> ByProject<T> {
    /// What one project says; of the default project, the root's, it is what holds everywhere.
    pub(super) fn say(&mut self, project: &ProjectName, said: Option<&T>) {
        let Some(said) = said else { return };
        if *project == ProjectName::default() {
            self.everywhere = Some(said.clone());
        }
        self.projects.insert(project.clone(), said.clone());
    }

    /// Takes over what another source says of its projects. What is said of everything stands as it was.
    pub(super) fn join(&mut self, other: Self) {
        self.everywhere = self.everywhere.take().or(other.everywhere);
        for (project, said) in other.projects {
            self.projects.entry(project).or_insert(said);
        }
    }
}

/// The windows of a host.
pub type Windows = ByProject<Window>;
/// How often is looked, in milliseconds.
pub type Intervals = ByProject<u64>;

impl Windows {
    /// The window of a project; of one that no file has any more, that of the root.
    #[must_use]
    pub fn of(&self, project: &ProjectName, known: bool) -> Option<&Window> {
        if known { self.projects.get(project) } else { self.everywhere.as_ref() }
    }

    /// A file that does not load opens nothing: what stood in it before stands until it loads again. `broken`: the files that do not.
    pub fn stand<'a>(&mut self, before: &Self, broken: impl Iterator<Item = &'a String> + Clone) {
        let stands = |window: &Window| {
            let file = window.place.split(',').next().unwrap_or_default();
            broken.clone().any(|key| key.rsplit("//").next() == Some(file))
        };
        if self.everywhere.is_none() {
            self.everywhere = before.everywhere.clone().filter(stands);
        }
        for (project, window) in before.projects.iter().filter(|(_, window)| stands(window)) {
            self.projects.entry(project.clone()).or_insert_with(|| window.clone());
        }
    }
}

/// Reads a duration of `[policy]`, as milliseconds.
pub(super) fn duration_ms(node: &Node, place: &str, diagnostics: &mut Vec<Diagnostic>) -> Option<u64> {
    match convert::duration(node) {
        Ok(nanoseconds) => return Some(nanoseconds / 1_000_000),
        Err(Some(told)) => diagnostics.push(*told),
        Err(None) => {
            let message = format!("`{place}` takes a duration, not {}", node.kind());
            diagnostics.push(Diagnostic::error("bad-type", node.span.clone(), message, "write \"30s\""));
        }
    }
    None
}

/// `interval = "30s"`.
pub(super) fn interval(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Option<u64> {
    let ms = duration_ms(node, "policy.interval", diagnostics)?;
    if ms >= LEAST_INTERVAL_MS {
        return Some(ms);
    }
    let message = "`policy.interval` is at least \"5s\"";
    let diagnostic = Diagnostic::error("bad-range", node.span.clone(), message, "too often");
    diagnostics.push(diagnostic.help(
        "changes of the files and of containers are noticed at once; this is the look besides, in case a word of the engine got lost",
    ));
    None
}

/// `paused_until = 2026-09-01T08:00:00Z`, as milliseconds since 1970.
pub(super) fn paused_until(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Option<i64> {
    let text = match &node.value {
        Value::Datetime(text) | Value::String(text) => text.trim(),
        _ => {
            let message = format!("`policy.paused_until` takes a date with its time, not {}", node.kind());
            let label = "write 2026-09-01T08:00:00Z";
            diagnostics.push(Diagnostic::error("bad-type", node.span.clone(), message, label));
            return None;
        }
    };
    match text.parse::<Timestamp>() {
        Ok(stamp) => Some(stamp.as_millisecond()),
        Err(_) => {
            let message = format!("`{}` is not a moment that is the same everywhere", text.escape_debug());
            let label = "date, time and zone are needed: 2026-09-01T08:00:00Z";
            let diagnostic = Diagnostic::error("bad-date", node.span.clone(), message, label);
            diagnostics.push(diagnostic.help("with an offset instead of UTC: 2026-09-01T10:00:00+02:00"));
            None
        }
    }
}

/// `window = { schedule = "* 2-4 * * mon-thu", timezone = "Etc/UTC" }`. `own`: the zone of this host.
pub(super) fn window(node: &Node, own: Option<&str>, diagnostics: &mut Vec<Diagnostic>) -> Option<Window> {
    let table = table_of(node, "policy.window", diagnostics)?;
    let mut zone = Some(own.unwrap_or("UTC").to_owned());
    let mut found = None;
    for entry in &table.entries {
        let text = |diagnostics: &mut Vec<Diagnostic>| {
            let text = entry.value.as_str();
            if text.is_none() {
                let message = format!("`policy.window.{}` takes text, not {}", entry.key, entry.value.kind());
                let label = "text in quotes belongs here";
                diagnostics.push(Diagnostic::error("bad-type", entry.value.span.clone(), message, label));
            }
            text
        };
        match entry.key.as_str() {
            "schedule" => match text(diagnostics).map(Schedule::parse) {
                Some(Ok(schedule)) => found = Some(schedule),
                Some(Err(fault)) => diagnostics.push(bad_cron(&entry.value, fault)),
                None => {}
            },
            "timezone" => {
                let text = text(diagnostics);
                zone = text.and_then(schedule::zone).map(str::to_owned);
                if let (Some(text), None) = (text, &zone) {
                    diagnostics.push(unknown_zone(entry.value.span.clone(), text));
                }
            }
            key if key.starts_with("x-") => {}
            key => {
                let known = ["schedule", "timezone"];
                diagnostics.push(unknown_key(key, &entry.key_span, "policy.window", &known));
            }
        }
    }
    if table.get("schedule").is_none() {
        let message = "`policy.window` does not say when it is open";
        let told = Diagnostic::error("missing-key", node.span.clone(), message, "`schedule` is needed");
        diagnostics.push(
            told.help(
                "schedule = \"* 2-4 * * mon-thu\": every minute from 02:00 to 04:59, Monday to Thursday",
            ),
        );
    }
    Some(Window { schedule: found?, timezone: zone?, place: format!("{}, policy.window", node.span.file) })
}
