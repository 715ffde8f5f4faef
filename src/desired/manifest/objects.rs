//! The file itself, networks, volumes, and the tables that have no Compose counterpart.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use super::artifact::{Artifact, Notify};
use super::build::Build;
use super::forms::OneOrManyOf;
use super::job::Job;
use super::provided::{Config, Credential, Secret};
use super::schedule::{ScheduleText, ZoneName};
use super::service::Service;
use super::value::*;

/// A desired-state file of evenkeel.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct File {
    /// The project's name; the folder's name when left out.
    pub name: Option<Filled>,
    /// This file refines what the other files of the project define, by Compose's merge rules.
    #[schemars(rename = "override")]
    pub overrides: Option<bool>,
    /// What to clear before this file is applied: `["services.web.ports"]`.
    pub reset: Option<OneOrMany>,
    /// Files that are not desired state: `["**/traefik-*.toml"]`. In fleet.toml at the root only.
    pub ignore: Option<OneOrMany>,
    /// Files that are part of this one's project: `["../common/db.toml"]`.
    pub include: Option<OneOrManyOf<Include>>,
    /// Which hosts read this file: names, patterns, `label=value`, and `!` for all but these.
    pub on_hosts: Option<OneOrMany>,
    /// Variables for this project and the folders below.
    pub vars: Option<Variables>,
    /// What services leave out.
    pub defaults: Option<Defaults>,
    /// What evenkeel itself may do.
    pub policy: Option<Policy>,
    /// The services, by name.
    pub services: Option<BTreeMap<String, Service>>,
    /// The networks, by name.
    pub networks: Option<BTreeMap<String, Network>>,
    /// The volumes, by name.
    pub volumes: Option<BTreeMap<String, Volume>>,
    /// Work that runs and ends, by name.
    pub jobs: Option<BTreeMap<String, Job>>,
    /// Images that are built here, by name.
    pub builds: Option<BTreeMap<String, Build>>,
    /// Files out of images, put onto the host, by name.
    pub artifacts: Option<BTreeMap<String, Artifact>>,
    /// Whom to tell what happened, by name.
    pub notify: Option<BTreeMap<String, Notify>>,
    /// Files with settings, by name.
    pub configs: Option<BTreeMap<String, Config>>,
    /// Files that nobody else may read, by name.
    pub secrets: Option<BTreeMap<String, Secret>>,
    /// Logins, by host: `[credentials."registry.example.com"]`.
    pub credentials: Option<BTreeMap<String, Credential>>,
    /// The hosts, by name. In fleet.toml at the root only.
    pub hosts: Option<BTreeMap<String, Host>>,
}

/// The long form of an `include` entry.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Include {
    /// The file, relative to this one.
    pub path: Filled,
}

/// What services, jobs and builds leave out.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Defaults {
    /// Keys for every service of the project and the folders below that does not have them.
    pub services: Option<Service>,
    /// The same for jobs.
    pub jobs: Option<Job>,
    /// The same for builds.
    pub builds: Option<Build>,
}

/// What evenkeel itself may do.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Policy {
    /// A variable that is set nowhere is an `error` (the default), or with `warn` empty, as in Compose.
    pub unset_variables: Option<UnsetVariables>,
    /// Variables that may come from the controller's own environment.
    pub env_allow: Option<OneOrMany>,
    /// Watch the services of this project and of the folders below, report, and change nothing.
    pub paused: Option<bool>,
    /// The same until then: it ends by itself.
    pub paused_until: Option<Moment>,
    /// How often what this project and the folders below have is looked at, whatever the events say; at the root, the whole host.
    pub interval: Option<DurationText>,
    /// When roll-outs of what already serves begin.
    pub window: Option<WindowTable>,
    /// What is removed after it left the files.
    pub prune: Option<Prune>,
    /// What needs consent.
    pub guard: Option<GuardPolicy>,
    /// What is done about changes that others make to what runs, by group of fields.
    pub drift: Option<DriftTable>,
    /// Commit tags that were chosen (`image_policy`) into the repository that the files come from.
    pub write_back: Option<WriteBack>,
}

/// Tags that were chosen and have proved themselves are written behind their policy, as `current`, in a commit of their own.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct WriteBack {
    /// The branch to push to; the one that is followed when left out.
    pub branch: Option<Filled>,
    /// Whose commits they are: `"Name <mail@example.com>"`.
    pub author: Option<Filled>,
    /// What the commits say. `${service}`, `${image}`, `${tag}`, `${old}` (the tag before), `${digest}` and `${host}` are known here.
    pub message: Option<Filled>,
}

/// What is done about changes that others make to what runs: `heal` (the default) sets them right, `report` tells and leaves them,
/// `ignore` leaves them.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct DriftTable {
    /// Memory, processors, processes: `docker update`.
    pub limits: Option<DriftChoice>,
    /// The restart policy.
    pub restart: Option<DriftChoice>,
    /// Networks, aliases and addresses: `docker network connect` and `disconnect`.
    pub networks: Option<DriftChoice>,
    /// `docker rename`.
    pub name: Option<DriftChoice>,
    /// Stopped by hand.
    pub state: Option<DriftChoice>,
    /// What only a new container can change.
    pub config: Option<DriftChoice>,
}

/// When roll-outs of what already serves begin. Repairs, first deployments and every way back go on at any time.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct WindowTable {
    /// Five fields of cron. The minutes that match are open.
    pub schedule: ScheduleText,
    /// The time zone of `schedule`.
    pub timezone: Option<ZoneName>,
}

/// What is removed after it left the files.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Prune {
    /// Remove containers of services that left the files (true).
    pub containers: Option<bool>,
    /// Remove networks that left the files (true).
    pub networks: Option<bool>,
    /// Which images of what ran before may go.
    pub images: Option<PruneImagesTable>,
    /// Volumes are never removed, so `false` is the only value.
    pub volumes: Option<NoVolumes>,
}

/// Which images of what ran before may go.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct PruneImagesTable {
    /// Revisions of each service whose images stay besides the good one.
    pub keep: Option<u32>,
    /// Younger ones stay in any case.
    pub older_than: Option<DurationText>,
}

/// What needs consent.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct GuardPolicy {
    /// Most services that one change may remove without being asked for; half of them when left out.
    pub max_removals: Option<Count>,
    /// Whether an empty desired state removes everything: `refuse` (the default) or `allow`.
    pub empty_state: Option<EmptyState>,
    /// Whether `status` and the metrics tell of containers that are not evenkeel's: `ignore` (the default) or `report`.
    pub unmanaged: Option<Unmanaged>,
    /// Whether services may have the engine's socket by `use_api_socket` (`false`).
    pub api_socket: Option<bool>,
}

/// A host.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Host {
    /// Labels, for `on_hosts`, `node.labels.<name>` and `${host.labels.<name>}`.
    pub labels: Option<Options>,
    /// Variables on this host; they win over all others.
    pub vars: Option<Variables>,
    /// Profiles that are on.
    pub profiles: Option<OneOrMany>,
    /// Its time zone, in which schedules are read.
    pub timezone: Option<ZoneName>,
    /// Watch everything on it and report, and change nothing.
    pub paused: Option<bool>,
}

/// A network.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Network {
    /// The engine's name of it instead of `<project>_<network>`.
    pub name: Option<Filled>,
    /// The engine's driver: `bridge` when left out.
    pub driver: Option<Filled>,
    /// Options of the driver.
    pub driver_opts: Option<Options>,
    /// No way out of it.
    pub internal: Option<Flag>,
    /// Containers made elsewhere may join it.
    pub attachable: Option<Flag>,
    /// Give it IPv6 too.
    pub enable_ipv6: Option<Flag>,
    /// `false`: no IPv4. Needs API 1.48.
    pub enable_ipv4: Option<Flag>,
    /// Its addresses.
    pub ipam: Option<Ipam>,
    /// Labels.
    pub labels: Option<Labels>,
    /// It is made elsewhere and only used here.
    pub external: Option<External>,
}

/// Addresses of a network.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Ipam {
    /// The engine's address driver.
    pub driver: Option<Filled>,
    /// Its subnets.
    pub config: Option<Vec<IpamPool>>,
    /// Options of the driver.
    pub options: Option<Options>,
}

/// A subnet.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct IpamPool {
    /// `"10.5.0.0/16"`.
    pub subnet: Option<Filled>,
    /// The part of it from which addresses are given.
    pub ip_range: Option<Filled>,
    /// The gateway's address.
    pub gateway: Option<Filled>,
    /// Addresses that are taken, by host name.
    pub aux_addresses: Option<BTreeMap<String, Text>>,
}

/// A named volume.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Volume {
    /// The engine's name of it instead of `<project>_<volume>`.
    pub name: Option<Filled>,
    /// The engine's driver: `local` when left out.
    pub driver: Option<Filled>,
    /// Options of the driver.
    pub driver_opts: Option<Options>,
    /// Labels.
    pub labels: Option<Labels>,
    /// It is made elsewhere and only used here.
    pub external: Option<External>,
}
