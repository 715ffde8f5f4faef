//! Containers that would have the same name.

use std::collections::HashMap;

use super::{Found, span_at, value_at};
use crate::desired::diagnostic::{Diagnostic, Span};
use crate::desired::load::{Draft, Settled};

/// How many names an example lists.
const SHOWN: u32 = 4;

/// Services whose replicas would all have one name.
pub(super) fn shared(drafts: &[Draft]) -> Vec<Found> {
    let mut found = Vec::new();
    for (number, draft) in drafts.iter().enumerate() {
        let Some(spec) = &draft.spec else { continue };
        if let (Some(name), true) = (&spec.live.container_name, spec.policy.replicas > 1) {
            found.push(shared_name(number, draft, name, spec.policy.replicas));
        }
    }
    found
}

pub(super) fn check(services: &[&Settled], host: &str) -> Vec<Found> {
    let mut found = Vec::new();
    let mut explicit: HashMap<&str, usize> = HashMap::new();
    let mut generated: HashMap<&str, usize> = HashMap::with_capacity(services.len());
    for (number, service) in services.iter().enumerate() {
        let Some(spec) = service.spec() else { continue };
        match &spec.live.container_name {
            Some(name) => {
                if let Some(first) = explicit.get(name.as_str()) {
                    found.extend(clash(services, *first, number, name, host));
                } else {
                    explicit.insert(name, number);
                }
            }
            None => {
                // `a-b` + `c` and `a` + `b-c` make the same names.
                let prefix = service.prefix.as_str();
                if let Some(first) = generated.get(prefix) {
                    found.extend(clash(services, *first, number, &format!("{prefix}-1"), host));
                } else {
                    generated.insert(prefix, number);
                }
            }
        }
    }
    for (name, number) in explicit {
        let Some((prefix, slot)) = name.rsplit_once('-') else { continue };
        let Some(other) = generated.get(prefix) else { continue };
        let replicas =
            services.get(*other).and_then(|service| service.spec()).map_or(0, |spec| spec.policy.replicas);
        let plain = !slot.starts_with('0') && slot.parse::<u32>().is_ok_and(|slot| slot <= replicas);
        if plain {
            found.extend(clash(services, *other, number, name, host));
        }
    }
    found
}

pub(super) fn place(draft: &Draft) -> Span {
    span_at(draft, &["container_name"])
}

fn clash(services: &[&Settled], a: usize, b: usize, name: &str, host: &str) -> Option<Found> {
    let by_place = |number: &usize| services.get(*number).map(|service| service.header.clone());
    let mut both = [a, b];
    both.sort_by_key(by_place);
    let [first, second] = both;
    let (first, second) = (services.get(first)?, services.get(second)?);
    let message = format!("two containers on host `{host}` would be called `{name}`");
    let diagnostic =
        Diagnostic::error("name-clash", second.name.clone(), message, format!("here for {}", second.id))
            .also(first.name.clone(), format!("and here for {}", first.id))
            .help("without container_name they are called <project>-<service>-<number>");
    Some(Found { diagnostic, freezes: vec![a, b] })
}

fn shared_name(number: usize, draft: &Draft, name: &str, replicas: u32) -> Found {
    let span = match value_at(draft, &["scale"]) {
        Some(node) => node.span.clone(),
        None => span_at(draft, &["deploy", "replicas"]),
    };
    let message = format!("{replicas} containers cannot share the name `{name}`");
    let mut names: Vec<String> =
        (1..=replicas.min(SHOWN)).map(|slot| draft.id.container_name(slot)).collect();
    if replicas > SHOWN {
        names.push("...".to_owned());
    }
    let diagnostic =
        Diagnostic::error("name-and-replicas", span, message, "drop container_name, or replicas")
            .help(format!("without it they are called {}", names.join(", ")));
    Found { diagnostic, freezes: vec![number] }
}
