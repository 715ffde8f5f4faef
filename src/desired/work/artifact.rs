//! Files out of an image, on the host.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::WorkId;
use crate::desired::ident::ServiceName;
use crate::desired::secret::Sensitive;
use crate::desired::spec::SourcePlace;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactSpec {
    pub from: ArtifactSource,
    /// Absolute, in the image.
    pub path: String,
    /// Absolute, on the host.
    pub to: String,
    pub swap: Swap,
    /// Relative to `path`.
    pub require: Vec<String>,
    pub owner: Option<String>,
    pub mode: Option<u32>,
    pub keep: u32,
    pub after_switch: Vec<SwitchHook>,
    pub source: SourcePlace,
}

impl ArtifactSpec {
    /// A change of it puts the files in place anew.
    #[must_use]
    pub fn definition(&self) -> String {
        super::definition("artifact", &Self { source: SourcePlace::default(), ..self.clone() })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArtifactSource {
    Build(WorkId),
    Service(ServiceName),
    Image(String),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Swap {
    #[default]
    Symlink,
    Exchange,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchHook {
    pub command: Vec<String>,
    pub image: Option<String>,
    pub user: Option<String>,
    pub working_dir: Option<String>,
    pub environment: BTreeMap<String, Option<Sensitive>>,
    pub timeout_ms: Option<u64>,
    /// Put the old one back when it fails.
    pub abort: bool,
}
