//! Everything that can wake the controller, in one enum, and the box it is put into.
//!
//! The box coalesces: it holds at most one entry per key, one desired state, one word about the engine. So a flood of
//! engine events (a crash loop, thousands of health checks) neither grows it nor blocks whoever reports, and what is
//! forgotten is only that something was said twice.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::queue::Reason;
use crate::desired::ident::ServiceId;
use crate::engine::EngineError;
use crate::state::observed::ContainerId;

/// What is reconciled: one pass at a time per key. Networks and volumes sort before the services that need them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// By the engine's name.
    Network(String),
    /// By the engine's name.
    Volume(String),
    Service(ServiceId),
}

impl Key {
    #[must_use]
    pub fn service(&self) -> Option<&ServiceId> {
        match self {
            Self::Service(id) => Some(id),
            Self::Network(_) | Self::Volume(_) => None,
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(name) => write!(f, "network {name}"),
            Self::Volume(name) => write!(f, "volume {name}"),
            Self::Service(id) => id.fmt(f),
        }
    }
}

/// A signal of the operating system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGHUP: read everything again.
    Reload,
    /// SIGTERM.
    Terminate,
    /// SIGINT.
    Interrupt,
}

impl Signal {
    /// What a shell sees when a process dies of it: 128 + number.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Reload => 129,
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

/// Everything that can wake the controller.
#[derive(Debug)]
pub enum Trigger {
    /// Something happened to what this key is about.
    Key(Key, Reason),
    /// Something happened to a container that is known by its id only.
    Container(ContainerId),
    /// An image or a tag went away: the next regular look is a thorough one.
    Image,
    /// Images were chosen or made: the desired state is another one.
    Answers,
    /// The engine takes events from us (again): whatever happened before is unknown, so look at everything.
    EngineUp,
    /// The connection to the engine was lost, or could not be made.
    EngineDown(EngineError),
    /// It was lost, and at its other end is the process that was there before.
    EngineSame,
    /// Look at the whole host.
    Resync,
    Signal(Signal),
}

/// What came in since the last look into the box.
#[derive(Debug, Default)]
pub struct Mail {
    pub keys: BTreeMap<Key, BTreeSet<Reason>>,
    pub containers: BTreeSet<ContainerId>,
    pub image: bool,
    pub answers: bool,
    /// The engine's last word, and whether the connection was lost in between.
    pub engine: Option<Result<(), EngineError>>,
    pub engine_lost: bool,
    /// What was lost last is found: nothing the engine was asked died with it.
    pub engine_same: bool,
    pub resync: bool,
    pub signals: Vec<Signal>,
}

impl Mail {
    fn is_empty(&self) -> bool {
        let Self { keys, containers, image, answers, engine, engine_lost, engine_same, resync, signals } =
            self;
        let flags = *image || *answers || *engine_lost || *engine_same || *resync || engine.is_some();
        !flags && keys.is_empty() && containers.is_empty() && signals.is_empty()
    }
}

/// Containers by id that are remembered before the box says "look at everything" instead.
const MOST_CONTAINERS: usize = 1_000;
/// More signals than this say no more than these.
const MOST_SIGNALS: usize = 16;

/// See the module.
#[derive(Debug, Default)]
pub struct Inbox {
    mail: Mutex<Mail>,
    notify: Notify,
}

impl Inbox {
    /// Never blocks and never fails.
    pub fn post(&self, trigger: Trigger) {
        {
            let mut mail = self.lock();
            match trigger {
                Trigger::Key(key, reason) => {
                    mail.keys.entry(key).or_default().insert(reason);
                }
                Trigger::Container(id) if mail.containers.len() < MOST_CONTAINERS => {
                    mail.containers.insert(id);
                }
                Trigger::Container(_) | Trigger::Resync => mail.resync = true,
                Trigger::Image => mail.image = true,
                Trigger::Answers => mail.answers = true,
                Trigger::EngineUp => mail.engine = Some(Ok(())),
                Trigger::EngineDown(error) => {
                    mail.engine = Some(Err(error));
                    mail.engine_lost = true;
                    mail.engine_same = false;
                }
                Trigger::EngineSame => mail.engine_same = true,
                Trigger::Signal(signal) if mail.signals.len() < MOST_SIGNALS => mail.signals.push(signal),
                Trigger::Signal(_) => {}
            }
        }
        self.notify.notify_one();
    }

    /// Waits until something is there and takes all of it. Dropping the future loses nothing.
    pub async fn take(&self) -> Mail {
        self.notify.notified().await;
        std::mem::take(&mut *self.lock())
    }

    /// What is there now; `None`: nothing. For whoever has something else to do when it is empty.
    pub fn try_take(&self) -> Option<Mail> {
        let mut mail = self.lock();
        let empty = mail.is_empty();
        (!empty).then(|| std::mem::take(&mut *mail))
    }

    fn lock(&self) -> MutexGuard<'_, Mail> {
        // Nothing in here can be half done, so a panic elsewhere while it was locked is no reason to stop.
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn service(name: &str) -> Key {
        Key::Service(ServiceId::new("shop", name).unwrap())
    }

    #[tokio::test]
    async fn a_flood_is_one_entry_per_key_and_never_blocks() {
        let inbox = Inbox::default();
        for turn in 0..50_000 {
            inbox.post(Trigger::Key(service(&format!("s{}", turn % 7)), Reason::Engine));
            inbox.post(Trigger::Container(ContainerId(format!("{turn:064x}"))));
        }
        let mail = inbox.take().await;
        assert_eq!(mail.keys.len(), 7);
        assert_eq!(mail.containers.len(), MOST_CONTAINERS);
        assert!(mail.resync, "what was not remembered by id is covered by a look at everything");
        assert!(inbox.take().now_or_never().is_none(), "and then the box is empty");
    }

    #[tokio::test]
    async fn a_connection_that_was_lost_and_found_between_two_looks_is_still_known_to_have_been_lost() {
        let inbox = Inbox::default();
        let error = EngineError::new("events", "stream", crate::state::plan::Failure::Unreachable, "eof");
        inbox.post(Trigger::EngineDown(error));
        inbox.post(Trigger::EngineUp);
        let mail = inbox.take().await;
        assert!(mail.engine_lost && mail.engine == Some(Ok(())));
    }

    #[test]
    fn networks_and_volumes_come_before_services() {
        assert!(Key::Network("z".into()) < Key::Volume("a".into()));
        assert!(Key::Volume("z".into()) < service("a"));
    }
}
