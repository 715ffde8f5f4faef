//! What is done about changes that others make to what runs.

use serde::{Deserialize, Serialize};

/// Fields that are changed, and told, together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DriftGroup {
    /// Memory, processors, processes: `docker update`.
    Limits,
    /// The restart policy: `docker update --restart`.
    Restart,
    /// Networks, aliases and addresses: `docker network connect` and `disconnect`.
    Networks,
    /// `docker rename`.
    Name,
    /// Stopped by hand: `docker stop`, `docker kill`.
    State,
    /// Everything that only a new container can change.
    Config,
}

impl DriftGroup {
    pub const ALL: [Self; 6] =
        [Self::Limits, Self::Restart, Self::Networks, Self::Name, Self::State, Self::Config];

    /// As in `[policy.drift]` and in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Limits => "limits",
            Self::Restart => "restart",
            Self::Networks => "networks",
            Self::Name => "name",
            Self::State => "state",
            Self::Config => "config",
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DriftAction {
    /// The files win.
    #[default]
    Heal,
    /// It is told, and left.
    Report,
    /// It is left.
    Ignore,
}

impl DriftAction {
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "heal" => Some(Self::Heal),
            "report" => Some(Self::Report),
            "ignore" => Some(Self::Ignore),
            _ => None,
        }
    }
}

/// `[policy.drift]`, by group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DriftPolicy {
    pub limits: DriftAction,
    pub restart: DriftAction,
    pub networks: DriftAction,
    pub name: DriftAction,
    pub state: DriftAction,
    pub config: DriftAction,
}

impl DriftPolicy {
    #[must_use]
    pub fn of(&self, group: DriftGroup) -> DriftAction {
        match group {
            DriftGroup::Limits => self.limits,
            DriftGroup::Restart => self.restart,
            DriftGroup::Networks => self.networks,
            DriftGroup::Name => self.name,
            DriftGroup::State => self.state,
            DriftGroup::Config => self.config,
        }
    }

    pub fn set(&mut self, group: DriftGroup, action: DriftAction) {
        *match group {
            DriftGroup::Limits => &mut self.limits,
            DriftGroup::Restart => &mut self.restart,
            DriftGroup::Networks => &mut self.networks,
            DriftGroup::Name => &mut self.name,
            DriftGroup::State => &mut self.state,
            DriftGroup::Config => &mut self.config,
        } = action;
    }

    /// What says nothing is not written down.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
