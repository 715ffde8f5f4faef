//! The spec hash: what decides whether a service is replaced.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::spec::{ContainerSpec, NetworkSpec, ServiceSpec, SourcePlace, VolumeSpec};

/// SHA-256, lower-case hex, over the canonical form of a [`ContainerSpec`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SpecHash(String);

impl SpecHash {
    /// Hashes what the engine bakes into a container, and nothing else: scaling, dependencies, limits or a rename
    /// never replace a container. The version prefix changes only when canonical form changes its meaning.
    #[must_use]
    pub fn of(spec: &ContainerSpec) -> Self {
        let mut digest = Sha256::new();
        digest.update(b"evenkeel spec 1\n");
        digest.update(canonical(spec).to_string());
        Self(hex::encode(digest.finalize()))
    }

    /// Reads a hash from a label or the store: 64 lower-case hex digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let good = text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        good.then(|| Self(text.to_owned()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Digest of everything wanted of a service: a change of any of it is "the desired state of the service changed".
#[must_use]
pub fn wish(hash: &SpecHash, spec: &ServiceSpec) -> String {
    let ServiceSpec { container: _, live, policy, source: _ } = spec;
    // The hash stands for the container.
    let text = serde_json::to_string(&(hash, live, policy)).unwrap_or_default();
    hex::encode(Sha256::digest(text))
}

impl fmt::Display for SpecHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The canonical form: keys sorted, and nothing that says no more than its absence. A field that a later version adds is
/// absent in every spec that does not use it, so an upgrade replaces no container.
fn canonical(spec: &ContainerSpec) -> Value {
    let mut value = serde_json::to_value(spec).unwrap_or_default();
    if let Value::Object(fields) = &mut value {
        // `command = []` (no command at all) says something that no `command` does not; so does a variable without a value.
        for key in ["command", "entrypoint"] {
            if fields.get(key).is_some_and(|list| list.as_array().is_some_and(Vec::is_empty)) {
                fields.insert(key.to_owned(), Value::String("none".to_owned()));
            }
        }
        // So does `init = false`: the engine may be set up to give every container an init.
        if fields.get("init") == Some(&Value::Bool(false)) {
            fields.insert("init".to_owned(), Value::String("none".to_owned()));
        }
        let environment = fields.remove("environment");
        fields.values_mut().for_each(prune);
        fields.retain(|_, value| !is_empty(value));
        if let Some(environment) = environment.filter(|map| !is_empty(map)) {
            fields.insert("environment".to_owned(), environment);
        }
    }
    value
}

fn prune(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(prune);
            fields.retain(|_, value| !value.is_null());
        }
        Value::Array(list) => list.iter_mut().for_each(prune),
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

/// The hash of a network's definition, for the label on it: 64 hex digits. Where it is written does not count.
#[must_use]
pub fn network_definition(network: &NetworkSpec) -> String {
    definition("network", &NetworkSpec { source: SourcePlace::default(), ..network.clone() })
}

/// The hash of a volume's definition, for the label on it: 64 hex digits. Where it is written does not count.
#[must_use]
pub fn volume_definition(volume: &VolumeSpec) -> String {
    definition("volume", &VolumeSpec { source: SourcePlace::default(), ..volume.clone() })
}

fn definition(what: &str, spec: &impl Serialize) -> String {
    let mut value = serde_json::to_value(spec).unwrap_or_default();
    prune(&mut value);
    if let Value::Object(fields) = &mut value {
        fields.retain(|_, value| !is_empty(value));
    }
    let mut digest = Sha256::new();
    digest.update(format!("evenkeel {what} 1\n"));
    digest.update(value.to_string());
    hex::encode(digest.finalize())
}
