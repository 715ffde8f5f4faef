//! The fixed sequence of changes, what must be there after each, and what is there.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use evenkeel::controller::store::{Store, StoreError, StoreErrorKind, StoreHealth};
use evenkeel::desired::ident::ServiceId;
use evenkeel::state::record::{HistoryEntry, HistoryEvent, Record};
use evenkeel::state::time::Timestamp;

pub const INSTANCE: &str = "host-1";
const META: &str = "engine-session";

/// One change, durable when it returns.
#[derive(Debug, Clone, Copy)]
pub enum Change {
    /// A record with this sequence number, as many bytes of text, and these lines of history.
    Save {
        service: &'static str,
        sequence: u64,
        bytes: usize,
        lines: &'static [u64],
    },
    Forget(&'static str),
    Meta(u64),
    /// Closed (SQLite moves its log into the database) and opened again.
    Reopen,
}

const fn save(service: &'static str, sequence: u64, bytes: usize, lines: &'static [u64]) -> Change {
    Change::Save { service, sequence, bytes, lines }
}

/// Records of one page and of several, history in the same transaction, a service that goes, and two times closed and opened.
pub const SCRIPT: &[Change] = &[
    save("web", 1, 40, &[1]),
    save("db", 1, 9_000, &[]),
    save("web", 2, 40, &[2, 3]),
    Change::Meta(7),
    Change::Forget("db"),
    save("db", 2, 5_000, &[4]),
    Change::Reopen,
    save("web", 3, 14_000, &[5]),
    Change::Meta(8),
    Change::Reopen,
    save("db", 3, 40, &[]),
    save("web", 4, 40, &[6, 7]),
    Change::Reopen,
];

/// Enough for SQLite to move its log into the database while it is open, and to begin the log again.
pub const LARGE: &[Change] = &[
    save("web", 1, 1_500_000, &[1]),
    save("db", 1, 1_500_000, &[2]),
    save("web", 2, 1_500_000, &[3]),
    save("db", 2, 40, &[4]),
    save("web", 3, 9_000, &[5]),
    Change::Reopen,
];

/// What the store holds: records, the numbers of the lines of history, a small fact.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    records: BTreeMap<ServiceId, Record>,
    lines: Vec<(ServiceId, HistoryEntry)>,
    meta: Option<String>,
}

fn id(name: &str) -> ServiceId {
    ServiceId::new("shop", name).unwrap()
}

fn record(sequence: u64, bytes: usize) -> Record {
    let source = format!("{sequence}:").repeat(bytes / 2);
    Record { sequence, source, ..Record::default() }
}

fn line(number: u64) -> HistoryEntry {
    HistoryEntry {
        at: Timestamp(1_700_000_000_000),
        revision: None,
        number: Some(number),
        event: HistoryEvent::Committed,
        image: "web:1".to_owned(),
        reason: format!("change {number}"),
        commit: None,
    }
}

impl Change {
    fn make(self, store: &Store) -> Result<(), StoreError> {
        match self {
            Self::Save { service, sequence, bytes, lines } => {
                let lines: Vec<_> = lines.iter().copied().map(line).collect();
                store.save(&id(service), &record(sequence, bytes), &lines).map(drop)
            }
            Self::Forget(service) => store.forget(&id(service)),
            Self::Meta(value) => store.set_meta(META, &value.to_string()),
            Self::Reopen => Ok(()),
        }
    }

    fn model(self, state: &mut State) {
        match self {
            Self::Save { service, sequence, bytes, lines } => {
                state.records.insert(id(service), record(sequence, bytes));
                state.lines.extend(lines.iter().map(|number| (id(service), line(*number))));
            }
            Self::Forget(service) => drop(state.records.remove(&id(service))),
            Self::Meta(value) => state.meta = Some(value.to_string()),
            Self::Reopen => {}
        }
    }
}

/// The states before the first change and after each.
pub fn states(script: &[Change]) -> Vec<State> {
    let mut states = vec![State::default()];
    for change in script {
        let mut next = states.last().unwrap().clone();
        change.model(&mut next);
        states.push(next);
    }
    states
}

/// What a store says that it holds.
pub fn read(store: &Store) -> Result<State, StoreError> {
    let mut lines: Vec<_> =
        store.history(None, usize::MAX)?.into_iter().map(|row| (row.service, row.entry)).collect();
    lines.reverse();
    Ok(State { records: store.load_all()?, lines, meta: store.meta(META)? })
}

/// How often a change that failed is tried again before the child gives up.
const TRIES: usize = 3;

/// The child's part: opens, changes, says `done 0` for the opening and `done n` for the n-th change. What fails it tries again as a
/// daemon would, and in between looks whether the store reads as before or after, never as anything else.
pub fn play(dir: &Path, script: &[Change]) -> ! {
    let states = states(script);
    let mut store = attempt(|| Store::open(dir, INSTANCE));
    said(0);
    for (index, change) in script.iter().enumerate() {
        if matches!(change, Change::Reopen) {
            drop(store);
            store = attempt(|| Store::open(dir, INSTANCE));
        }
        attempt(|| {
            let made = change.make(&store);
            if made.is_err()
                && let Ok(now) = read(&store)
            {
                let known = states.iter().position(|state| *state == now);
                assert!(
                    states[index..=index + 1].contains(&now),
                    "change {index} failed with {:?}, and now it reads as after {known:?}",
                    made.as_ref().err()
                );
            }
            made
        });
        said(index + 1);
    }
    std::process::exit(0)
}

fn said(number: usize) {
    println!("done {number}");
    std::io::stdout().flush().unwrap();
}

fn attempt<T>(mut act: impl FnMut() -> Result<T, StoreError>) -> T {
    for _ in 0..TRIES {
        match act() {
            Ok(done) => return done,
            // A disk that refuses is never damage and never someone else's fault.
            Err(error) if error.kind() == StoreErrorKind::Unwritable => println!("failed"),
            Err(error) => {
                println!("wrong {:?} {error}", error.kind());
                std::process::exit(2);
            }
        }
    }
    std::process::exit(1)
}

/// What must hold on a disk whose user had heard of `done` changes (`None`: not even that it was open): it opens without a complaint and
/// holds exactly those, or those and the next.
pub fn check(dir: &Path, states: &[State], done: Option<usize>, what: &dyn Fn() -> String) {
    let store = Store::open(dir, INSTANCE).unwrap_or_else(|error| {
        panic!("{}: does not open: {error} {:?}", what(), std::error::Error::source(&error))
    });
    assert_eq!(store.health(), StoreHealth::Good, "{}", what());
    let now = read(&store).unwrap();
    let first = done.unwrap_or_default();
    let last = done.map_or(0, |done| (done + 1).min(states.len() - 1));
    let allowed = &states[first..=last];
    assert!(
        allowed.contains(&now),
        "{}: {done:?} changes were told, found the state after {:?}: {:?}",
        what(),
        states.iter().position(|state| *state == now),
        now.records.iter().map(|(id, record)| (id, record.sequence)).collect::<Vec<_>>(),
    );
}
