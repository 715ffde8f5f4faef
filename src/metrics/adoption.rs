//! What adopting and giving back say, as JSON. Like the rest of the API it holds no spec: values of the environment are digests.

use serde::{Deserialize, Serialize};

use crate::state::adoption::Consequence;
use crate::state::diff::FieldDifference;

/// What to adopt.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdoptRequest {
    pub project: String,
    /// A container that was started by hand, and the service that it becomes.
    pub container: Option<ContainerRequest>,
    /// Roll out what differs now.
    pub replace: bool,
    /// What was shown and consented to; `None`: only show it.
    pub token: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContainerRequest {
    pub name: String,
    pub service: String,
}

/// What is, or would be, taken over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdoptionReport {
    pub project: String,
    pub services: Vec<ServiceAdoption>,
    /// Names of networks and volumes.
    pub networks: Vec<ObjectAdoption>,
    pub volumes: Vec<ObjectAdoption>,
    /// What is left alone, and why.
    pub notes: Vec<String>,
    /// Names exactly this; consent is to it.
    pub token: String,
    /// It was done, and not only shown.
    pub adopted: bool,
}

impl AdoptionReport {
    /// There is nothing to take over.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.services.is_empty() && self.networks.is_empty() && self.volumes.is_empty()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceAdoption {
    pub service: String,
    pub containers: Vec<AdoptedContainer>,
    pub consequence: Consequence,
    /// From what runs to what the files say.
    pub differences: Vec<FieldDifference>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdoptedContainer {
    pub name: String,
    pub id: String,
    /// `running`, `exited`, ...
    pub state: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectAdoption {
    pub name: String,
    /// It stays as it is: a network or volume is not changed by being adopted.
    pub differences: Vec<FieldDifference>,
}

/// Whom to give back: `shop/web`, or a whole project.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DisownRequest {
    pub what: String,
}

/// What was given back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisownReport {
    pub services: Vec<String>,
    pub containers: Vec<String>,
    pub networks: Vec<String>,
    pub volumes: Vec<String>,
    /// Services that files still define: left alone until they leave the files or are adopted again.
    pub still_defined: Vec<String>,
}
