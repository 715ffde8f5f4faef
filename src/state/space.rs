//! Room on the engine's disk: how much there is, and how much must stay.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The file system that the engine keeps its files on. Bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Space {
    /// For those who may not use the reserve.
    pub free: u64,
    pub total: u64,
}

/// How much must be free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Threshold {
    Bytes(u64),
    /// Of the whole file system.
    Percent(u8),
}

impl Default for Threshold {
    /// That of `disk_floor`: below it nothing could be replaced, so nothing needs to be fetched.
    fn default() -> Self {
        Self::Bytes(1 << 30)
    }
}

impl Threshold {
    #[must_use]
    pub fn of(self, total: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => total / 100 * u64::from(percent),
        }
    }

    /// What must be free, when less is.
    #[must_use]
    pub fn lacks(self, space: Space) -> Option<u64> {
        let wanted = self.of(space.total);
        (space.free < wanted).then_some(wanted)
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{} MiB", bytes >> 20),
            Self::Percent(percent) => write!(f, "{percent} %"),
        }
    }
}

/// Why nothing is fetched or built now, with what to do about it.
#[must_use]
pub fn pressure_text(space: Space, wanted: u64) -> String {
    format!(
        "only {} MiB are free where the engine keeps its files, and below {} MiB nothing is pulled or built: `evenkeel prune` shows what may go; limits.disk_pressure sets the limit",
        space.free >> 20,
        wanted >> 20
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_bytes_or_a_part_of_the_whole() {
        let space = |free, total| Space { free, total };
        for (threshold, space, lacks) in [
            (Threshold::Bytes(10), space(10, 100), None),
            (Threshold::Bytes(11), space(10, 100), Some(11)),
            (Threshold::Bytes(0), space(0, 100), None),
            (Threshold::Percent(10), space(100, 1000), None),
            (Threshold::Percent(11), space(100, 1000), Some(110)),
            (Threshold::Percent(100), space(u64::MAX - 1, u64::MAX), None),
        ] {
            assert_eq!(threshold.lacks(space), lacks, "{threshold:?} {space:?}");
        }
    }
}
