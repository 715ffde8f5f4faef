//! Hooks.

use schemars::JsonSchema;

use super::forms::TableOrList;
use super::value::*;

/// A step before a new version: a container of its own, with the service's image, environment, volumes and networks.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct PreStartHook {
    /// The command, in place of the image's entrypoint and command.
    pub command: Command,
    /// The user in the container; the service's own when left out.
    pub user: Option<Filled>,
    /// Working directory, absolute.
    pub working_dir: Option<Filled>,
    /// Variables beside the service's own.
    pub environment: Option<Environment>,
    /// Give it everything the host can do.
    pub privileged: Option<Flag>,
    /// Another image than the service's.
    pub image: Option<Filled>,
    /// How long it may take (`1h`).
    pub timeout: Option<DurationText>,
}

/// A command in the service's container.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct LifecycleHook {
    /// The command; there is no shell unless it is called.
    pub command: Command,
    /// The user in the container; the container's own when left out.
    pub user: Option<Filled>,
    /// Working directory, absolute.
    pub working_dir: Option<Filled>,
    /// Variables beside the container's own.
    pub environment: Option<Environment>,
    /// Give it everything the host can do.
    pub privileged: Option<Flag>,
    /// How long it may take: `5m` after a start, and the grace period before a stop.
    pub timeout: Option<DurationText>,
}

/// What is run around an update.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Hooks {
    /// Before the first act of an update, in the container that serves. One that fails is a failed update.
    pub before_update: Option<TableOrList<UpdateHook>>,
    /// When the new container has proved itself and before the old one goes, in the new one. One that fails is a failed update.
    pub before_switch: Option<TableOrList<UpdateHook>>,
    /// When the new one counts, in it.
    pub after_update: Option<TableOrList<UpdateHook>>,
    /// When the previous one serves again after a failed update, in it.
    pub after_rollback: Option<TableOrList<UpdateHook>>,
    /// When an update has failed, in the container that serves.
    pub on_failure: Option<TableOrList<UpdateHook>>,
}

/// A command in the service's container, or in one of its own.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct UpdateHook {
    /// The command; there is no shell unless it is called.
    pub command: Command,
    /// The user in the container; the container's own when left out.
    pub user: Option<Filled>,
    /// Working directory, absolute.
    pub working_dir: Option<Filled>,
    /// Variables beside the container's own.
    pub environment: Option<Environment>,
    /// Give it everything the host can do.
    pub privileged: Option<Flag>,
    /// Run it in a container of its own from this image, with the service's environment, volumes and networks.
    pub image: Option<Filled>,
    /// How long it may take (`5m`).
    pub timeout: Option<DurationText>,
    /// `abort` (the default): a failure before the switch is a failed update; `continue`: it is only told.
    pub on_error: Option<OnHookError>,
}
