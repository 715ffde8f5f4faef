//! What can happen next, as small values: named in traces, counted against budgets.

use serde::{Deserialize, Serialize};

use super::world::Class;

/// What became of the request that was under way when evenkeel died.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sent {
    Never,
    Done,
    DoneLater,
}

/// What became of a request without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Silence {
    Lost,
    Done,
    DoneLater,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    Before,
    Midway,
    After,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Read {
    List,
    Inspect,
}

/// What happens to a host from outside of evenkeel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    EngineDies,
    /// The application of the n-th oldest container ends with 1.
    AppDies(u8),
    Prune,
    /// Somebody gives the n-th oldest container another name.
    Renamed(u8),
    TimePasses,
}

/// One transition. The first number is the service, the second the step of its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Move {
    /// The world as it was given.
    Start,
    /// One service's decision is remembered and carried out.
    Turn(u8),
    /// Nobody has anything to do: time passes until something is due.
    Time,
    EvenkeelDies(u8, u8, Sent),
    NoAnswer(u8, u8, Silence),
    EngineDiesIn(u8, u8, When),
    /// A read fails; the decision, if there is one all the same, is carried out.
    ReadFails(u8, Read),
    Outside(Event),
    Edit,
    /// It happens between the look and the act.
    StaleView(u8, Event),
    /// It happens, and the engine's list does not know it yet.
    StaleList(u8, Event),
}

impl Event {
    pub fn class(self) -> Option<Class> {
        match self {
            Self::EngineDies => Some(Class::Engine),
            Self::AppDies(_) => Some(Class::App),
            Self::Prune | Self::Renamed(_) => Some(Class::Prune),
            Self::TimePasses => None,
        }
    }
}

impl Move {
    /// What it is counted as.
    pub fn classes(self) -> [Option<Class>; 2] {
        match self {
            Self::Start | Self::Turn(_) | Self::Time => [None, None],
            Self::EvenkeelDies(..) => [Some(Class::Evenkeel), None],
            Self::NoAnswer(..) | Self::ReadFails(..) => [Some(Class::Unknown), None],
            Self::EngineDiesIn(..) => [Some(Class::Engine), None],
            Self::Outside(event) => [event.class(), None],
            Self::Edit => [Some(Class::Edit), None],
            Self::StaleView(_, event) | Self::StaleList(_, event) => [Some(Class::Stale), event.class()],
        }
    }
}
