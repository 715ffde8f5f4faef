//! `healthcheck`.

use crate::desired::diagnostic::Diagnostic;
use crate::desired::node::Value;
use crate::desired::spec::{Healthcheck, HealthcheckSpec};

use super::keys::Parent;
use super::read::{Field, Fields, Reader};

/// The engine takes no shorter times than this (nanoseconds), but for 0, which means "as the image says".
const LEAST: u64 = 1_000_000;

pub(super) fn healthcheck(reader: &mut Reader<'_, '_>, service: &Fields<'_>) -> Option<Healthcheck> {
    let Some(field) = service.get("healthcheck") else { return Some(Healthcheck::Inherit) };
    let fields = reader.table(&field, "healthcheck = { test = \"...\" }")?;
    let parents = [Parent { path: &service.path, shape: "Service" }, Parent { path: "", shape: "File" }];
    reader.check(&fields, "Healthcheck", &parents);
    let disable = fields.get("disable").map_or(Some(false), |field| reader.flag(&field));
    let test = match fields.get("test") {
        Some(field) => test(reader, &field),
        None => Some(Vec::new()),
    };
    let mut time = |key: &str| match fields.get(key) {
        None => Some(None),
        Some(field) => {
            let time = reader.duration(&field)?;
            if (1..LEAST).contains(&time) {
                let message = format!("`{}` is shorter than a millisecond", field.path);
                reader.error("out-of-range", field.node, message, "at least \"1ms\"");
                return None;
            }
            Some(Some(time).filter(|time| *time > 0))
        }
    };
    let (interval, timeout) = (time("interval"), time("timeout"));
    let (start_period, start_interval) = (time("start_period"), time("start_interval"));
    if let Some(field) = fields.get("start_interval") {
        reader.needs_api(&field, (1, 44), "25", false);
    }
    let retries = match fields.get("retries") {
        None => Some(None),
        Some(field) => reader
            .whole(&field, 0, i64::from(i32::MAX))
            .map(|retries| u32::try_from(retries).ok().filter(|retries| *retries > 0)),
    };
    let spec = HealthcheckSpec {
        test: test?,
        interval: interval?,
        timeout: timeout?,
        start_period: start_period?,
        start_interval: start_interval?,
        retries: retries?,
    };
    let off = disable? || spec.test.first().is_some_and(|word| word == "NONE");
    Some(if off {
        Healthcheck::Disabled
    } else if spec == HealthcheckSpec::default() {
        Healthcheck::Inherit
    } else {
        Healthcheck::Set(spec)
    })
}

fn test(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> Option<Vec<String>> {
    if let Value::String(_) = &field.node.value {
        let text = reader.filled(field)?;
        return Some(vec!["CMD-SHELL".to_owned(), text.to_owned()]);
    }
    let items = reader.list(field, "test = \"curl -f http://localhost\"")?;
    let words: Option<Vec<String>> = items.iter().map(|item| reader.text(item).map(str::to_owned)).collect();
    let words = words?;
    let fault = match words.first().map(String::as_str) {
        None => return Some(words),
        Some("NONE") if words.len() == 1 => return Some(words),
        Some("NONE") => "`NONE` stands alone",
        Some("CMD") if words.len() > 1 => return Some(words),
        Some("CMD-SHELL") if words.len() == 2 => return Some(words),
        Some("CMD") => "`CMD` needs the program behind it",
        Some("CMD-SHELL") if words.len() > 2 => {
            // The engine runs `sh -c text more...`, so what follows is no part of the command.
            let span = items.get(2).map_or(&field.node.span, |item| &item.node.span).clone();
            let message = "only the first text behind `CMD-SHELL` is the command";
            let label = "the shell gets it as an argument";
            let diagnostic = Diagnostic::warning("bad-healthcheck", span, message, label);
            reader.report(diagnostic.help("write one text, or begin the list with \"CMD\""));
            return Some(words);
        }
        Some("CMD-SHELL") => "`CMD-SHELL` needs the text for the shell behind it",
        Some(_) => "the list begins with \"CMD\", \"CMD-SHELL\" or \"NONE\"",
    };
    let place = items.first().map_or(field.node, |item| item.node);
    let diagnostic = Diagnostic::error(
        "bad-healthcheck",
        place.span.clone(),
        format!("`{}` is not a check", field.path),
        fault,
    );
    reader.report(
        diagnostic.help("one of: \"text for the shell\", [\"CMD\", \"program\", \"argument\"], [\"NONE\"]"),
    );
    None
}

/// Milliseconds until a container must be healthy: three minutes, or as long as its check may take to say no.
pub(super) fn healthy_within_ms(check: &Healthcheck) -> u64 {
    const LEAST_MS: u64 = 180_000;
    /// The engine's defaults.
    const INTERVAL: u64 = 30_000_000_000;
    const TIMEOUT: u64 = 30_000_000_000;
    const RETRIES: u32 = 3;
    let Healthcheck::Set(spec) = check else { return LEAST_MS };
    let round = spec.interval.unwrap_or(INTERVAL).saturating_add(spec.timeout.unwrap_or(TIMEOUT));
    let rounds = round.saturating_mul(u64::from(spec.retries.unwrap_or(RETRIES)));
    let longest = spec.start_period.unwrap_or(0).saturating_add(rounds);
    LEAST_MS.max(longest.div_ceil(1_000_000))
}
