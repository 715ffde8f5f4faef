//! The engine's events, turned into keys to look at. They only ever say where to look; what is there is then observed.
//!
//! Guarantee: whatever happens on the host is either reported or covered by a look at everything, because the subscription
//! is made first and `EngineUp` (look at everything) is told after it stands.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;

use super::queue::Reason;
use super::trigger::{Inbox, Key, Trigger};
use crate::desired::ident::{ProjectName, ServiceId, ServiceName};
use crate::engine::{EngineError, EngineEvent, EventKind, Observe};
use crate::metrics::Metrics;
use crate::state::observed::{ContainerId, label};
use crate::state::plan::Failure;

/// First wait before the next attempt to subscribe, doubled up to the longest. An engine that restarts is back within
/// seconds, and knocking costs nothing.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// Follows the engine's events for ever and reconnects. Ends only when it is aborted.
pub async fn follow(engine: Arc<dyn Observe>, owner: String, inbox: Arc<Inbox>, metrics: Arc<Metrics>) {
    let mut wait = FIRST_WAIT;
    let mut was_lost = false;
    loop {
        let error = match engine.events().await {
            Ok(mut stream) => {
                // A stream that was cut, by a proxy or a slow line, is not the end of an engine.
                if std::mem::take(&mut was_lost) && engine.is_same_process().await == Ok(true) {
                    inbox.post(Trigger::EngineSame);
                }
                inbox.post(Trigger::EngineUp);
                wait = FIRST_WAIT;
                loop {
                    match stream.next().await {
                        Some(Ok(event)) => {
                            metrics.engine_event();
                            if let Some(trigger) = trigger(&event, &owner) {
                                inbox.post(trigger);
                            }
                        }
                        Some(Err(error)) => break error,
                        None => {
                            let text = "the engine closed the event stream";
                            break EngineError::new("events", "stream", Failure::Unreachable, text);
                        }
                    }
                }
            }
            Err(error) => error,
        };
        was_lost = true;
        inbox.post(Trigger::EngineDown(error));
        // Jitter, so that many hosts behind one proxy do not come back in step.
        tokio::time::sleep(wait.mul_f64(0.75 + fastrand::f64() / 2.0)).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// Which key an event is about; `None`: nobody here cares. Attributes are hostile until proved names.
#[must_use]
pub fn trigger(event: &EngineEvent, owner: &str) -> Option<Trigger> {
    match event.kind {
        // Health checks run through `exec_*`: thousands an hour, and `health_status` tells what came of them.
        EventKind::Container if event.action.starts_with("exec_") || event.action == "top" => None,
        EventKind::Container => {
            if event.attributes.get(label::OWNER).is_none_or(|found| found != owner) {
                return None;
            }
            let project = ProjectName::new(event.attributes.get(label::PROJECT)?)?;
            let service = ServiceName::new(event.attributes.get(label::SERVICE)?)?;
            Some(Trigger::Key(Key::Service(ServiceId { project, service }), Reason::Engine))
        }
        // Joining and leaving is about the container; making and removing is about the network.
        EventKind::Network => match event.attributes.get("container") {
            Some(container) => Some(Trigger::Container(ContainerId(container.clone()))),
            None => Some(Trigger::Key(Key::Network(event.object.clone()), Reason::Engine)),
        },
        // Mounting happens at every start and changes nothing.
        EventKind::Volume => matches!(event.action.as_str(), "destroy" | "create")
            .then(|| Trigger::Key(Key::Volume(event.object.clone()), Reason::Engine)),
        EventKind::Image => matches!(event.action.as_str(), "untag" | "delete").then_some(Trigger::Image),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn event(kind: EventKind, action: &str, object: &str, attributes: &[(&str, &str)]) -> EngineEvent {
        let attributes: BTreeMap<String, String> =
            attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        EngineEvent { kind, action: action.to_owned(), object: object.to_owned(), attributes }
    }

    fn check(event: &EngineEvent, expected: &str) {
        let told = match trigger(event, "me") {
            Some(Trigger::Key(key, _)) => key.to_string(),
            Some(Trigger::Container(id)) => format!("container {}", id.0),
            Some(Trigger::Image) => "image".to_owned(),
            Some(other) => format!("{other:?}"),
            None => "nothing".to_owned(),
        };
        assert_eq!(told, expected, "{event:?}");
    }

    #[test]
    fn an_event_names_the_key_to_look_at_and_foreign_or_hostile_ones_name_none() {
        let ours = [(label::OWNER, "me"), (label::PROJECT, "shop"), (label::SERVICE, "web")];
        let other = [(label::OWNER, "you"), (label::PROJECT, "shop"), (label::SERVICE, "web")];
        let hostile = [(label::OWNER, "me"), (label::PROJECT, "../x"), (label::SERVICE, "web")];
        check(&event(EventKind::Container, "die", "abc", &ours), "shop/web");
        check(&event(EventKind::Container, "exec_start: sh", "abc", &ours), "nothing");
        check(&event(EventKind::Container, "die", "abc", &other), "nothing");
        check(&event(EventKind::Container, "die", "abc", &hostile), "nothing");
        check(&event(EventKind::Container, "die", "abc", &[]), "nothing");
        check(&event(EventKind::Network, "destroy", "shop_default", &[]), "network shop_default");
        check(
            &event(EventKind::Network, "disconnect", "shop_default", &[("container", "abc")]),
            "container abc",
        );
        check(&event(EventKind::Volume, "mount", "shop_db", &[]), "nothing");
        check(&event(EventKind::Volume, "destroy", "shop_db", &[]), "volume shop_db");
        check(&event(EventKind::Image, "untag", "sha256:1", &[]), "image");
        check(&event(EventKind::Image, "pull", "nginx", &[]), "nothing");
    }
}
