//! Lines of the event stream.

use std::collections::BTreeMap;

use super::answers;
use crate::engine::{EngineEvent, EventKind};
use crate::state::observed::label;

/// Attributes kept of an event: a container's attributes are all its labels, whose values are anyone's and may be
/// megabytes (RELIABILITY.md Z13).
const KEPT: [&str; 7] =
    [label::OWNER, label::PROJECT, label::SERVICE, label::SLOT, "name", "container", "exitCode"];

/// Reads one line. `None`: not an event, one about something else (plugins, the daemon), or a health check's exec, of which
/// a busy host has thousands.
#[must_use]
pub fn event(line: &[u8]) -> Option<EngineEvent> {
    let event: answers::Event = serde_json::from_slice(line).ok()?;
    let kind = match event.r#type.as_str() {
        "container" => EventKind::Container,
        "network" => EventKind::Network,
        "volume" => EventKind::Volume,
        "image" => EventKind::Image,
        _ => return None,
    };
    // `health_status: healthy`, `exec_create: /bin/sh -c ...`: what follows the colon is text of the container's own.
    let action = event.action.split(':').next().unwrap_or_default().trim();
    if action.is_empty() || action.starts_with("exec_") {
        return None;
    }
    let mut attributes = event.actor.attributes;
    let object = match kind {
        EventKind::Network => attributes.get("name").cloned().unwrap_or(event.actor.id),
        _ => event.actor.id,
    };
    attributes.retain(|name, _| KEPT.contains(&name.as_str()));
    Some(EngineEvent { kind, action: action.to_owned(), object, attributes: shrink(attributes) })
}

fn shrink(attributes: BTreeMap<String, String>) -> BTreeMap<String, String> {
    attributes.into_iter().map(|(name, value)| (name, value.chars().take(256).collect())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Option<(EventKind, &str, &str)>) {
        let found = event(line.as_bytes());
        let found = found.as_ref().map(|e| (e.kind, e.action.as_str(), e.object.as_str()));
        assert_eq!(found, expected, "{line}");
    }

    #[test]
    fn lines_become_events_and_noise_becomes_nothing() {
        use EventKind::{Container, Image, Network, Volume};
        let line = |kind: &str, action: &str, id: &str| {
            format!(
                r#"{{"Type":"{kind}","Action":"{action}","Actor":{{"ID":"{id}","Attributes":{{"name":"n"}}}}}}"#
            )
        };
        check(&line("container", "die", "abc"), Some((Container, "die", "abc")));
        check(&line("container", "health_status: healthy", "abc"), Some((Container, "health_status", "abc")));
        check(&line("network", "connect", "f00"), Some((Network, "connect", "n")));
        check(&line("volume", "create", "data"), Some((Volume, "create", "data")));
        check(&line("image", "pull", "web:1"), Some((Image, "pull", "web:1")));
        check(&line("container", "exec_create: /bin/sh -c true", "abc"), None);
        check(&line("container", "exec_die", "abc"), None);
        check(&line("plugin", "enable", "abc"), None);
        check(&line("container", "", "abc"), None);
        check(r#"{"Type":"container","Action":"die","Actor":null}"#, Some((Container, "die", "")));
        check(r#"{"Type":3}"#, None);
        check("not json", None);
        check("", None);
    }

    #[test]
    fn of_the_attributes_only_identity_is_kept_and_no_value_is_long() {
        let long = "x".repeat(10_000);
        let line = format!(
            r#"{{"Type":"container","Action":"start","Actor":{{"ID":"a","Attributes":{{"secret":"s","dev.evenkeel.owner":"{long}"}}}}}}"#
        );
        let attributes = event(line.as_bytes()).unwrap().attributes;
        assert_eq!(attributes.keys().collect::<Vec<_>>(), [label::OWNER]);
        assert_eq!(attributes[label::OWNER].len(), 256);
    }
}
