//! Enumerate, do not sample: every reachable state of a service with a few faults, of three replicas, of two services, by the controller's own rules. Every
//! invariant at every state; from every state the run without faults comes to rest. `EXPLORE=2/2/2/1/1/1/1` sets the budget:
//! deaths of evenkeel / deaths of the engine / calls without an answer / crashes of the application / prunes / stale reads / edits.

use std::sync::atomic::{AtomicUsize, Ordering};

use evenkeel::desired::spec::{RestartPolicy, UpdateOrder};

use crate::cases::{Case, firsts, handovers, rolls, updates};
use crate::explore::search::prove;
use crate::explore::trace;
use crate::explore::world::{Budget, Class, Scenario};

/// What is allowed to go wrong in `make test`, beside each other in one run: every kind of fault at every point. Most of it with restart
/// `always`, which has the most to go wrong.
const ALWAYS: [[u8; 7]; 3] = [[1, 1, 1, 0, 0, 0, 1], [0, 1, 0, 1, 1, 0, 1], [1, 1, 0, 0, 0, 1, 0]];
const OTHERS: [[u8; 7]; 1] = [[1, 1, 1, 0, 0, 0, 0]];
/// Of what has more states by itself: several containers, several services.
const FEWER: [[u8; 7]; 3] = [[1, 0, 1, 0, 0, 0, 0], [0, 1, 0, 1, 0, 0, 0], [0, 0, 0, 0, 1, 1, 0]];

/// Of two services that hand a port to one another. No application dies: the one that fails then cannot go back to a port that the other
/// rightly has by now; it stays down and says so (docs/reliability.md, Limits).
const HANDED: [[u8; 7]; 3] = [[1, 0, 1, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1, 0]];

/// States of all tests of this run until now.
static STATES: AtomicUsize = AtomicUsize::new(0);

fn budget(numbers: [u8; 7]) -> Budget {
    let [evenkeel, engine, unknown, app, prune, stale, edit] = numbers;
    Budget::new([
        (Class::Evenkeel, evenkeel),
        (Class::Engine, engine),
        (Class::Unknown, unknown),
        (Class::App, app),
        (Class::Prune, prune),
        (Class::Stale, stale),
        (Class::Edit, edit),
    ])
}

/// `EXPLORE="2/1/0/0/0/0/1 0/2/1/0/0/0/1"`.
fn asked_for() -> Option<Vec<[u8; 7]>> {
    let text = std::env::var("EXPLORE").ok()?;
    let number = |part: &str| part.parse().expect("EXPLORE=2/2/2/1/1/1/1");
    let numbers = |budget: &str| budget.split('/').map(number).collect::<Vec<u8>>();
    Some(text.split_whitespace().map(|budget| numbers(budget).try_into().expect("seven numbers")).collect())
}

/// Explores every case. `EXPLORE_ONLY` picks those with this text in their names.
fn every(cases: impl Iterator<Item = Case>, always: &[[u8; 7]]) {
    let only = std::env::var("EXPLORE_ONLY").unwrap_or_default();
    let asked = asked_for();
    for case in cases.filter(|case| case.name().contains(&only)) {
        let budgets = match &asked {
            Some(asked) => asked,
            None if case.restart == RestartPolicy::Always => always,
            None => &OTHERS[..],
        };
        for numbers in budgets {
            let found = prove(&case.scenario(budget(*numbers)));
            assert!(found.worlds > 1, "{}: the exploration did not begin", case.name());
            STATES.fetch_add(found.states, Ordering::Relaxed);
        }
    }
    println!("{} states until now", STATES.load(Ordering::Relaxed));
}

#[test]
fn a_stop_first_update_settles_from_every_state() {
    every(updates(UpdateOrder::StopFirst), &ALWAYS);
}

#[test]
fn a_start_first_update_settles_from_every_state() {
    every(updates(UpdateOrder::StartFirst), &ALWAYS);
}

#[test]
fn a_first_deployment_settles_from_every_state() {
    every(firsts(), &ALWAYS);
}

#[test]
fn three_replicas_roll_and_settle_from_every_state() {
    every(rolls(UpdateOrder::StopFirst).chain(rolls(UpdateOrder::StartFirst)), &FEWER);
}

#[test]
fn two_services_hand_a_port_to_one_another_and_settle_from_every_state() {
    every(handovers(), &HANDED);
}

/// Every scenario by its name, for saved traces.
fn named(name: &str) -> Option<Scenario> {
    let orders = [UpdateOrder::StopFirst, UpdateOrder::StartFirst];
    let of_one = orders.into_iter().flat_map(|order| updates(order).chain(rolls(order)));
    let mut cases = of_one.chain(firsts()).chain(handovers());
    let all = Budget(u16::MAX);
    cases.find(|case| case.name() == name).map(|case| case.scenario(all))
}

/// What broke once and was saved: `tests/prove/traces/*.trace`.
#[test]
fn every_saved_counterexample_is_mended() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/prove/traces");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|kind| kind != "trace") {
            continue;
        }
        let (name, moves) = trace::read(&std::fs::read_to_string(&path).unwrap());
        let scenario = named(&name).unwrap_or_else(|| panic!("{}: no scenario `{name}`", path.display()));
        if let Err(what) = trace::replay(&scenario, &moves) {
            panic!("{}: {what}", path.display());
        }
    }
}
