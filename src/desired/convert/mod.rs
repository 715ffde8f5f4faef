//! From a merged and interpolated table to a valid spec.
//!
//! Everything Compose can write for a key is read here, in every form, and put into the one canonical form of
//! [`super::spec`]. All problems of an object are reported, never only the first; with an error there is no spec.

mod artifact;
mod blkio;
mod build;
mod credentials;
mod depends;
mod deploy;
mod environment;
mod extra;
mod grants;
mod hardware;
mod health;
mod hooks;
mod host;
mod image;
mod image_policy;
mod job;
mod keys;
mod labels;
mod limits;
mod links;
mod mount_table;
mod mounts;
mod namespaces;
mod networks;
mod objects;
mod paths;
mod port;
mod ports;
mod probe;
mod provided;
mod read;
mod restart;
mod rollout;
pub mod scalar;
mod security;
mod service;
mod tmpfs;
mod unsupported;
mod versions;
pub mod words;

use std::collections::BTreeMap;

use super::diagnostic::Span;
use super::ident::ProjectName;
use super::node::Node;
use super::snapshot::{FileContent, HostFacts};

pub use artifact::{artifact, notify};
pub use build::build;
pub use credentials::credential;
pub use image::canonical_image;
pub use job::{bad_cron, defaults_within, image_source, job, unknown_zone};
pub use keys::{Parent, check_keys};
pub use objects::{network, volume};
pub use port::{parse_port, print_port};
pub use provided::{Definition, Definitions, Granted, GrantedCell, definition};
pub(super) use read::duration;
pub use service::service;

/// Every file of the snapshot by its path below the root, as far as the loader has it: payload for `env_file`, and the
/// TOML files themselves, from which messages take line numbers.
pub type Files<'a> = dyn Fn(&str) -> Option<&'a FileContent> + 'a;

/// What a conversion may look at beside the table itself.
pub struct Context<'a> {
    pub project: &'a ProjectName,
    /// Absolute path of the desired state's root on the host.
    pub root: &'a str,
    /// The project's `[networks]` by key.
    pub networks: &'a BTreeMap<String, Declared>,
    /// The project's `[volumes]` by key.
    pub volumes: &'a BTreeMap<String, Declared>,
    /// The project's `[secrets]` and `[configs]`.
    pub definitions: &'a Definitions,
    /// Which of them are used, and how.
    pub granted: &'a GrantedCell,
    /// The project's services by key, each with the place of its header.
    pub services: &'a BTreeMap<String, Span>,
    pub read: &'a Files<'a>,
    /// Values of pass-through environment variables (`environment = ["TOKEN"]`).
    pub variables: &'a dyn Fn(&str) -> Option<String>,
    pub host: &'a HostFacts,
    /// `[policy.guard] api_socket = true`.
    pub api_socket: bool,
}

/// A network or volume that the project declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    pub span: Span,
    /// The engine's name.
    pub name: String,
    /// Made elsewhere.
    pub external: bool,
}

impl Declared {
    /// Reads the engine's name of `[networks.<key>]` or `[volumes.<key>]`: `name`, else the key itself when external,
    /// else Compose's `<project>_<key>`. Faults in the table are reported by [`network`] and [`volume`], not here.
    #[must_use]
    pub fn of(project: &ProjectName, key: &str, span: Span, node: &Node) -> Self {
        let table = node.as_table();
        let external = table.and_then(|table| table.get("external")).is_some_and(|entry| {
            !matches!(entry.value.value, super::node::Value::Boolean(false))
                && entry.value.as_str().is_none_or(scalar::is_true)
        });
        // `external = { name = "x" }` is Compose's older form.
        let named = table.and_then(|table| {
            let older = table.get("external").and_then(|entry| entry.value.as_table()?.get("name"));
            table.get("name").or(older).and_then(|entry| entry.value.as_str())
        });
        let name = match named {
            Some(name) => name.to_owned(),
            None if external => key.to_owned(),
            None => format!("{project}_{key}"),
        };
        Self { span, name, external }
    }
}
