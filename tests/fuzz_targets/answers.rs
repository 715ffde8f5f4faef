//! Answers of the engine. The first byte says of which call, the rest is the body.

use std::fmt::Debug;

use evenkeel::engine::convert::{answers, observed};
use evenkeel::engine::docker::fault::{Call, Look, kind};
use evenkeel::engine::docker::wire::{WireError, decode, refused};
use evenkeel::state::observed::ContainerStatus;
use evenkeel::state::plan::Failure;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Input, assert_harmless};

/// What `observed` keeps of a health check's output.
const HEALTH_LOG: usize = 2048;

pub fn check(input: &[u8]) {
    let mut input = Input(input);
    let which = input.byte();
    let body = input.rest();
    match which % 9 {
        0 => each(body, |answer: answers::Container| {
            if let Ok(container) = observed::container(&answer, "evenkeel") {
                assert!(container.health_log.len() <= HEALTH_LOG);
                assert_eq!(container.labels.owner, "evenkeel");
                assert!(!container.id.0.is_empty());
            }
        }),
        1 => each(body, |rows: Vec<answers::ListedContainer>| {
            let rows: Vec<_> = rows.into_iter().map(observed::summary).collect();
            assert!(rows.iter().all(|row| !row.id.0.is_empty()), "a row without an id");
        }),
        2 => each(body, |answer: answers::Image| {
            let image = observed::image(answer);
            assert!(!image.id.0.is_empty());
        }),
        3 => each(body, |answer: Vec<answers::ListedImage>| {
            let tags = observed::tags_of("evenkeel/shop-web", answer.clone());
            let listed = answer
                .iter()
                .flat_map(|image| &image.repo_tags)
                .filter(|tag| tag.starts_with("evenkeel/shop-web:"));
            assert!(tags.len() <= listed.count(), "a tag of another repository");
        }),
        4 => each(body, |answer: Vec<answers::Network>| {
            for network in answer.into_iter().map(observed::network) {
                assert!(network.containers.iter().all(|id| id.0.len() == 64), "no container's id");
            }
        }),
        5 => each(body, |answer: answers::Volume| assert!(!observed::volume(answer).name.is_empty())),
        6 => each(body, |answer: answers::Version| assert!(!answer.api_version.is_empty())),
        7 => each(body, |_: answers::Info| {}),
        _ => refusal(body),
    }
}

/// Reads it, and reads it again with something in it that nobody has heard of.
fn each<T: DeserializeOwned + answers::Answer + Debug>(body: &[u8], look: impl Fn(T)) {
    let answer: T = match decode(body) {
        Ok(answer) => answer,
        Err(error) => {
            assert!(matches!(error, WireError::Garbled(_)), "{error:?}");
            assert!(error.to_string().len() < 200, "{error}");
            assert_eq!(kind(Call::Read, &error, Look::Blind), Failure::Internal);
            return;
        }
    };
    let shown = format!("{answer:?}");
    look(answer);
    let Ok(mut value) = serde_json::from_slice::<Value>(body) else { return };
    let objects = match &mut value {
        Value::Array(items) => items.iter_mut().filter_map(Value::as_object_mut).collect::<Vec<_>>(),
        other => other.as_object_mut().into_iter().collect(),
    };
    for object in objects {
        object.insert("OfALaterVersion".to_owned(), Value::Array(vec![Value::Null, Value::from(3)]));
    }
    let later: T =
        decode(value.to_string().as_bytes()).expect("a key of a later version makes it unreadable");
    // Of a key that is there twice the last one counts in both readings.
    assert_eq!(format!("{later:?}"), shown);
}

/// Status, and whatever a proxy or an engine puts behind it.
fn refusal(body: &[u8]) {
    let mut input = Input(body);
    let status = 300 + u16::from(input.byte()) + 256 * u16::from(input.byte() % 2);
    let error = refused(status, input.rest());
    let message = error.to_string();
    assert!(!message.is_empty() && message.chars().count() <= 1000, "{message}");
    assert_harmless("a refusal", &message.replace(|c: char| u32::from(c) > 0x9f, ""));
    let looks = [
        Look::Blind,
        Look::Gone,
        Look::There { status: ContainerStatus::Running, exit_code: 0 },
        Look::There { status: ContainerStatus::Exited, exit_code: 127 },
    ];
    for look in looks {
        for call in [Call::Read, Call::Write, Call::Start, Call::Join] {
            let found = kind(call, &error, look);
            // Errors are never read as absence (invariant I3): only the one status says "not there".
            assert!(found != Failure::NotFound || status == 404, "{call:?} {status} {message}");
        }
        let pulled = kind(Call::Pull, &error, look);
        assert_ne!(pulled, Failure::Unknown, "a pull is safe to repeat");
    }
}
