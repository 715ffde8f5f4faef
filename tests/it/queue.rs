//! The queue: each case is a list of calls with what they must give, and a random run compares it with a naive model.

use std::collections::BTreeMap;

use evenkeel::controller::queue::{Queue, Reason, Reasons};
use evenkeel::state::time::Mono;
use proptest::prelude::*;

/// One line per call: `add K at T`, `in K at T` (a delayed add), `done K`, `forget K`, `pop at T -> K` or `-> nothing`,
/// `due -> T` or `-> never`, `len -> N`, `age at T -> MS`, `backlog at T -> N`.
fn check(script: &str) {
    let mut queue: Queue<char> = Queue::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (call, expected) = line.split_once(" -> ").unwrap_or((line, ""));
        let words: Vec<&str> = call.split(' ').collect();
        let key = || words[1].chars().next().unwrap();
        let time = || Mono(words.last().unwrap().parse().unwrap());
        let given = match words[0] {
            "add" => {
                queue.add(key(), Reason::Engine, time());
                String::new()
            }
            "in" => {
                queue.add_at(key(), time(), Reason::Requeue);
                String::new()
            }
            "done" => {
                queue.done(&key());
                String::new()
            }
            "forget" => {
                queue.forget(&key());
                String::new()
            }
            "pop" => queue.pop(time()).map_or("nothing".to_owned(), |(key, _)| key.to_string()),
            "due" => queue.next_due().map_or("never".to_owned(), |at| at.0.to_string()),
            "len" => queue.len().to_string(),
            "age" => queue.oldest_age(time()).to_string(),
            "backlog" => queue.backlog(time()).to_string(),
            other => panic!("no call `{other}`"),
        };
        assert_eq!(given, expected, "at `{line}` of\n{script}");
    }
}

#[test]
fn an_empty_queue_has_nothing() {
    check("pop at 0 -> nothing\n due -> never\n len -> 0\n age at 9 -> 0");
}

#[test]
fn a_key_is_handed_out_when_it_is_due_and_not_before() {
    check("in a at 10\n due -> 10\n pop at 9 -> nothing\n pop at 10 -> a\n len -> 0");
}

#[test]
fn a_key_asked_for_many_times_runs_once() {
    check(
        "add a at 0\n add a at 0\n add a at 1\n len -> 1\n pop at 5 -> a\n pop at 5 -> nothing\n done a\n pop at 5 -> nothing",
    );
}

#[test]
fn keys_due_together_come_in_order_of_arrival() {
    check("add b at 5\n add a at 5\n add c at 4\n pop at 9 -> c\n pop at 9 -> b\n pop at 9 -> a");
}

#[test]
fn the_earliest_time_wins_whichever_came_first() {
    check(
        "in a at 100\n in a at 10\n due -> 10\n in a at 50\n due -> 10\n pop at 10 -> a\n done a\n due -> never",
    );
}

#[test]
fn an_immediate_trigger_overtakes_a_backoff() {
    check("in a at 300000\n add a at 7\n pop at 7 -> a\n done a\n pop at 300000 -> nothing");
}

#[test]
fn a_running_key_is_not_handed_out_a_second_time() {
    check("add a at 0\n pop at 0 -> a\n add a at 1\n pop at 9 -> nothing\n due -> never\n len -> 1");
}

#[test]
fn a_key_triggered_while_it_runs_runs_again_afterwards() {
    check(
        "add a at 0\n pop at 0 -> a\n add a at 1\n done a\n due -> 1\n pop at 1 -> a\n done a\n pop at 9 -> nothing",
    );
}

#[test]
fn a_trigger_during_the_pass_beats_the_requeue_that_the_pass_asks_for() {
    check(
        "add a at 0\n pop at 0 -> a\n add a at 1\n in a at 5000\n done a\n pop at 1 -> a\n done a\n due -> never",
    );
    check(
        "add a at 0\n pop at 0 -> a\n in a at 5000\n add a at 1\n done a\n pop at 1 -> a\n done a\n due -> never",
    );
}

#[test]
fn a_running_key_does_not_block_the_others() {
    check(
        "add a at 0\n add b at 1\n pop at 1 -> a\n add a at 1\n pop at 1 -> b\n pop at 1 -> nothing\n done b\n pop at 1 -> nothing",
    );
}

#[test]
fn done_without_a_pass_changes_nothing() {
    check("done a\n in a at 5\n done a\n due -> 5\n len -> 1\n pop at 5 -> a\n done a\n done a\n len -> 0");
}

#[test]
fn a_forgotten_key_is_not_handed_out_but_its_pass_goes_on() {
    check(
        "in a at 5\n forget a\n due -> never\n len -> 0\n add a at 6\n pop at 6 -> a\n add a at 7\n forget a\n add a at 8\n pop at 9 -> nothing\n done a\n pop at 9 -> a",
    );
}

#[test]
fn age_counts_from_when_a_key_became_due_also_while_its_pass_runs() {
    check(
        "in a at 10\n age at 5 -> 0\n age at 25 -> 15\n add b at 20\n age at 25 -> 15\n pop at 25 -> a\n age at 25 -> 5\n add a at 26\n age at 40 -> 20\n backlog at 40 -> 2\n backlog at 10 -> 0",
    );
}

#[test]
fn reasons_that_came_together_are_told_together() {
    let mut queue = Queue::new();
    queue.add_at("web", Mono(500), Reason::Retry);
    queue.add("web", Reason::Desired, Mono(1));
    queue.add("web", Reason::Desired, Mono(2));
    assert_eq!(queue.pop(Mono(2)), Some(("web", Reasons::from([Reason::Desired, Reason::Retry]))));
    queue.add("web", Reason::Engine, Mono(3));
    queue.done(&"web");
    assert_eq!(queue.pop(Mono(3)), Some(("web", Reasons::from([Reason::Engine]))));
}

/// The same promises, kept in the most naive way.
#[derive(Default)]
struct Model {
    waiting: BTreeMap<u8, (u64, u64, Reasons)>,
    running: Vec<u8>,
    arrivals: u64,
}

impl Model {
    fn add(&mut self, key: u8, at: u64, reason: Reason) {
        self.arrivals += 1;
        let arrivals = self.arrivals;
        let entry = self.waiting.entry(key).or_insert((at, arrivals, Reasons::new()));
        entry.2.insert(reason);
        if at < entry.0 {
            (entry.0, entry.1) = (at, arrivals);
        }
    }
    fn ready(&self) -> Option<(u64, u64, u8)> {
        let free = self.waiting.iter().filter(|(key, _)| !self.running.contains(key));
        free.map(|(key, entry)| (entry.0, entry.1, *key)).min()
    }
    fn pop(&mut self, now: u64) -> Option<(u8, Reasons)> {
        let (due, _, key) = self.ready()?;
        (due <= now).then(|| {
            self.running.push(key);
            (key, self.waiting.remove(&key).unwrap().2)
        })
    }
}

#[derive(Debug, Clone)]
enum Call {
    Add(u8),
    AddAt(u8, u64),
    Pop,
    Done(u8),
    Forget(u8),
    Pass(u64),
}

fn call() -> impl Strategy<Value = Call> {
    let key = 0u8..6;
    prop_oneof![
        3 => key.clone().prop_map(Call::Add),
        3 => (key.clone(), 0u64..50).prop_map(|(key, ms)| Call::AddAt(key, ms)),
        4 => Just(Call::Pop),
        4 => key.clone().prop_map(Call::Done),
        1 => key.prop_map(Call::Forget),
        2 => (0u64..20).prop_map(Call::Pass),
    ]
}

proptest! {
    #[test]
    fn the_queue_does_what_the_naive_model_does(calls in prop::collection::vec(call(), 0..200)) {
        let (mut queue, mut model, mut now) = (Queue::new(), Model::default(), 0u64);
        for call in calls {
            match call {
                Call::Add(key) => {
                    queue.add(key, Reason::Engine, Mono(now));
                    model.add(key, now, Reason::Engine);
                }
                Call::AddAt(key, ms) => {
                    queue.add_at(key, Mono(now + ms), Reason::Requeue);
                    model.add(key, now + ms, Reason::Requeue);
                }
                Call::Pop => prop_assert_eq!(queue.pop(Mono(now)), model.pop(now)),
                Call::Done(key) => {
                    queue.done(&key);
                    model.running.retain(|running| *running != key);
                }
                Call::Forget(key) => {
                    queue.forget(&key);
                    model.waiting.remove(&key);
                }
                Call::Pass(ms) => now += ms,
            }
            prop_assert_eq!(queue.next_due(), model.ready().map(|(due, _, _)| Mono(due)));
            prop_assert_eq!(queue.len(), model.waiting.len());
            prop_assert_eq!(queue.running(), model.running.len());
            let oldest = model.waiting.values().map(|(due, _, _)| now.saturating_sub(*due)).max();
            prop_assert_eq!(queue.oldest_age(Mono(now)), oldest.unwrap_or(0));
        }
    }
}
