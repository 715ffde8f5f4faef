//! Services that wait for each other.

use std::collections::BTreeMap;

use super::{Found, reference, value_at};
use crate::desired::diagnostic::Diagnostic;
use crate::desired::ident::ServiceId;
use crate::desired::load::Draft;
use crate::desired::spec::NetworkMode;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    New,
    Open,
    Done,
}

/// Finds cycles along `depends_on` and `network_mode = "service:..."`, each once. Without recursion: a chain may be long.
pub(super) fn check(drafts: &[Draft]) -> Vec<Found> {
    let graph = edges(drafts);
    let mut marks = vec![Mark::New; drafts.len()];
    let mut found = Vec::new();
    for start in 0..drafts.len() {
        if marks.get(start) != Some(&Mark::New) {
            continue;
        }
        // Each step of the way with how many of its edges were walked.
        let mut way: Vec<(usize, usize)> = vec![(start, 0)];
        set(&mut marks, start, Mark::Open);
        while let Some((node, walked)) = way.last_mut() {
            let next = graph.get(*node).and_then(|edges| edges.get(*walked)).copied();
            *walked += 1;
            let Some(next) = next else {
                set(&mut marks, *node, Mark::Done);
                way.pop();
                continue;
            };
            match marks.get(next) {
                Some(Mark::New) => {
                    set(&mut marks, next, Mark::Open);
                    way.push((next, 0));
                }
                Some(Mark::Open) => {
                    let cycle: Vec<usize> =
                        way.iter().map(|(node, _)| *node).skip_while(|node| *node != next).collect();
                    found.extend(tell(drafts, cycle));
                }
                Some(Mark::Done) | None => {}
            }
        }
    }
    found
}

fn set(marks: &mut [Mark], at: usize, mark: Mark) {
    if let Some(slot) = marks.get_mut(at) {
        *slot = mark;
    }
}

fn edges(drafts: &[Draft]) -> Vec<Vec<usize>> {
    let numbers: BTreeMap<&ServiceId, usize> =
        drafts.iter().enumerate().map(|(number, draft)| (&draft.id, number)).collect();
    let of = |draft: &Draft| -> Vec<usize> {
        let Some(spec) = &draft.spec else { return Vec::new() };
        let shared = match &spec.container.network_mode {
            NetworkMode::Service(name) => Some(name),
            _ => None,
        };
        let names = spec.policy.depends_on.keys().chain(shared);
        let mut next: Vec<usize> = names
            .filter_map(|name| {
                let id = ServiceId { project: draft.id.project.clone(), service: name.clone() };
                numbers.get(&id).copied()
            })
            .collect();
        next.sort_unstable();
        next.dedup();
        next
    };
    drafts.iter().map(of).collect()
}

fn tell(drafts: &[Draft], mut cycle: Vec<usize>) -> Option<Found> {
    // The same cycle always begins with the same service.
    let least = cycle.iter().enumerate().min_by_key(|(_, number)| **number).map_or(0, |(at, _)| at);
    cycle.rotate_left(least);
    let members: Vec<&Draft> = cycle.iter().filter_map(|number| drafts.get(*number)).collect();
    let names: Vec<&str> = members.iter().map(|draft| draft.id.service.as_str()).collect();
    let first = names.first()?;
    let message = format!("services wait for each other: {} -> {first}", names.join(" -> "));
    let mut labels = members.iter().enumerate().map(|(at, draft)| {
        let next = names.get(at + 1).unwrap_or(first);
        let place = match value_at(draft, &["depends_on"]) {
            Some(node) => node.span.clone(),
            None => reference(draft, next),
        };
        (place, format!("{} waits for {next}", draft.id.service))
    });
    let (span, label) = labels.next()?;
    let mut diagnostic = Diagnostic::error("dependency-cycle", span, message, label);
    for (span, label) in labels {
        diagnostic = diagnostic.also(span, label);
    }
    let which = if members.len() == 2 { "one of the two" } else { "one of them" };
    let diagnostic = diagnostic.help(format!("start order needs an end: drop {which}"));
    Some(Found { diagnostic, freezes: cycle })
}
