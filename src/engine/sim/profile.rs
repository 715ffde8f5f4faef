//! Where engines differ, and which of them a simulated one is like.

use crate::state::observed::Health;
use crate::state::plan::Failure;

/// What engines do differently. Whatever is decided must be right under every profile (RELIABILITY.md D11); the contract suite measures
/// each of them on the engine that it is named after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// Two networks may have one name, when their maker does not look.
    pub twin_networks: bool,
    /// A container that is down takes note of a network that is not there, and its start fails; else it is refused at once.
    pub notes_missing_networks: bool,
    /// A container whose first network was made anew can leave the old one and join the new one while it is down. Else it needs the
    /// network of its creation for ever.
    pub rejoins_a_network_made_anew: bool,
    /// How a rename between two restarts fails; `None`: it does not.
    pub rename_between_restarts: Option<Failure>,
    /// How a start fails whose container should join the network of one that is gone.
    pub start_without_parent: Failure,
    /// The last name of an image that a container uses can be taken off; else that is a conflict.
    pub untags_the_last_name_in_use: bool,
    /// `docker kill` ends a paused container; else it is refused.
    pub kills_what_is_paused: bool,
    /// Of a container with a check.
    pub health_before_the_first_start: Health,
}

impl Profile {
    pub const DOCKER_20_10: Self = Self {
        twin_networks: true,
        notes_missing_networks: true,
        rejoins_a_network_made_anew: true,
        rename_between_restarts: Some(Failure::Conflict),
        start_without_parent: Failure::NotFound,
        untags_the_last_name_in_use: false,
        kills_what_is_paused: true,
        health_before_the_first_start: Health::None,
    };
    pub const DOCKER_26_1: Self =
        Self { twin_networks: false, rejoins_a_network_made_anew: false, ..Self::DOCKER_20_10 };
    pub const DOCKER_28_5: Self =
        Self { rename_between_restarts: None, start_without_parent: Failure::Internal, ..Self::DOCKER_26_1 };

    /// That of the measured engine nearest below a version such as `26.1.5`. `None`: older than all of them.
    #[must_use]
    pub fn of(version: &str) -> Option<Self> {
        let mut numbers = version.split(['.', '+', '-']).map_while(|part| part.parse::<u32>().ok());
        let version = (numbers.next()?, numbers.next().unwrap_or(0));
        let known =
            [((28, 5), Self::DOCKER_28_5), ((26, 1), Self::DOCKER_26_1), ((20, 10), Self::DOCKER_20_10)];
        known.into_iter().find(|(from, _)| version >= *from).map(|(_, profile)| profile)
    }
}

impl Default for Profile {
    /// 20.10, and harsher where that costs a decision more.
    fn default() -> Self {
        Self {
            // The engine's own answer. The adapter looks a second time and finds the container there.
            rename_between_restarts: Some(Failure::NotFound),
            // A check that is known to exist must not be taken for one that was passed.
            health_before_the_first_start: Health::Starting,
            ..Self::DOCKER_20_10
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_like_the_nearest_measured_one_below_it() {
        for (version, expected) in [
            ("20.10.24+dfsg1", Some(Profile::DOCKER_20_10)),
            ("24.0.7", Some(Profile::DOCKER_20_10)),
            ("26.1.5+dfsg1", Some(Profile::DOCKER_26_1)),
            ("28.5.2+dfsg4", Some(Profile::DOCKER_28_5)),
            ("29.0.0-rc.1", Some(Profile::DOCKER_28_5)),
            ("19.3.1", None),
            ("dev", None),
        ] {
            assert_eq!(Profile::of(version), expected, "{version}");
        }
    }
}
