//! One state of the world, and what may still happen to it.

use std::sync::Arc;

use evenkeel::desired::Wanted;
use evenkeel::desired::ident::ServiceId;
use evenkeel::engine::sim::{Behaviour, Container, Host};
use evenkeel::state::record::{KeptRevision, Memo, Record};
use evenkeel::state::time::{Mono, Now, Timestamp};

/// Kinds of things that go wrong, each with a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    Evenkeel,
    Engine,
    Unknown,
    App,
    Prune,
    Stale,
    Edit,
}

/// A small number for each class, two bits each: how much of it was used, or how much there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Budget(pub u16);

impl Budget {
    pub const NONE: Self = Self(0);

    pub fn new(numbers: [(Class, u8); 7]) -> Self {
        Self(numbers.into_iter().map(|(class, number)| u16::from(number.min(3)) << (2 * class as u16)).sum())
    }

    pub fn of(self, class: Class) -> u8 {
        u8::try_from(self.0 >> (2 * class as u16) & 3).unwrap()
    }

    pub fn with_one_more(self, class: Class) -> Self {
        Self(self.0 + (1 << (2 * class as u16)))
    }

    /// In no class more than the other.
    pub fn within(self, other: Self) -> bool {
        (0..7).all(|class| (self.0 >> (2 * class) & 3) <= (other.0 >> (2 * class) & 3))
    }
}

impl std::fmt::Display for Budget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use Class::{App, Edit, Engine, Evenkeel, Prune, Stale, Unknown};
        let numbers =
            [Evenkeel, Engine, Unknown, App, Prune, Stale, Edit].map(|class| self.of(class).to_string());
        f.write_str(&numbers.join("/"))
    }
}

/// What is remembered of one service.
#[derive(Clone, Default)]
pub struct Memory {
    pub record: Arc<Record>,
    pub memo: Arc<Memo>,
}

#[derive(Clone)]
pub struct World {
    pub host: Host,
    /// In the order of [`Scenario::services`].
    pub memories: Vec<Memory>,
    /// How often the files have changed.
    pub edits: usize,
}

/// What is explored.
pub struct Scenario {
    pub name: String,
    pub services: Vec<ServiceId>,
    /// What each service should be, before and after each change of the files.
    pub wishes: Vec<Vec<Wanted>>,
    /// Two copies of one slot must never run at the same time.
    pub exclusive: bool,
    /// Milliseconds a container without a check must run before it is proved.
    pub monitor_ms: u64,
    pub budget: Budget,
    pub first: World,
}

impl World {
    pub fn now(&self) -> Now {
        Now { wall: Timestamp(1_000_000 + i64::try_from(self.host.now).unwrap()), mono: Mono(self.host.now) }
    }

    /// Whether the revision's own software does nothing that speaks against it.
    pub fn is_sound(&self, kept: &KeptRevision) -> bool {
        let scripts = &self.host.scripts;
        scripts.get(&kept.spec.container.image).is_none_or(|script| *script == Behaviour::default())
    }

    pub fn wish<'s>(&self, scenario: &'s Scenario, service: usize) -> &'s Wanted {
        &scenario.wishes[service][self.edits]
    }

    /// Containers of one service, oldest first.
    pub fn of<'w>(&'w self, id: &'w ServiceId) -> impl Iterator<Item = &'w Container> {
        let mine = move |container: &&Container| {
            container.own.as_ref().is_some_and(|own| own.service == *id) && !is_foreign(container)
        };
        self.host.containers.values().map(|one| &**one).filter(mine)
    }
}

/// Somebody else's, even where it carries labels like ours.
pub fn is_foreign(container: &Container) -> bool {
    container.name.starts_with("foreign")
}
