//! Time as values. `state` never asks for it, it is told.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Wall-clock time in milliseconds since 1970, UTC. For display and history only: nothing waits by it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

/// Milliseconds on a monotonic clock that starts with the process. Windows, deadlines and backoff count by it, so that a
/// clock step changes none of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mono(pub u64);

impl Mono {
    #[must_use]
    pub fn after(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }
    /// Milliseconds from `earlier` to here; 0 if it is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Both clocks at one instant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Now {
    pub wall: Timestamp,
    pub mono: Mono,
}

impl Now {
    /// When the wall clock will show this, if nobody sets it: now, where that is past.
    #[must_use]
    pub fn at(self, wall: Timestamp) -> Mono {
        self.mono.after(u64::try_from(wall.0.saturating_sub(self.wall.0)).unwrap_or(0))
    }
}

/// A stamp of the engine's own clock, in nanoseconds since 1970. Only ever compared with another stamp of the same engine
/// (the engine's clock may differ from ours).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EngineStamp(pub i64);

impl fmt::Display for Timestamp {
    /// `2026-11-22T05:33:02Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(stamp) => write!(f, "{stamp:.0}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}
