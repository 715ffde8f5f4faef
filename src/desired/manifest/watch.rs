//! Probes.

use schemars::JsonSchema;

use super::value::*;

/// What evenkeel tries from outside: exactly one of `http`, `tcp` and `exec`.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Probe {
    /// A GET to the container's address.
    pub http: Option<HttpProbe>,
    /// A connection to the container's address.
    pub tcp: Option<TcpProbe>,
    /// A command in the container.
    pub exec: Option<ExecProbe>,
    /// Time between two probes (`10s`).
    pub interval: Option<DurationText>,
    /// How long one may take (`5s`).
    pub timeout: Option<DurationText>,
    /// Failures in a row that make it failing (3).
    pub threshold: Option<Count>,
    /// Successes in a row that make it well (1).
    pub success: Option<Count>,
    /// Time to start up, in which failures before the first success do not count (`0s`).
    pub start_period: Option<DurationText>,
    /// What a failing probe of a service that has proved itself leads to: `report` (the default) or `restart`.
    pub on_failure: Option<OnProbeFailure>,
}

/// A GET; redirects are answers and not followed.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct HttpProbe {
    /// The container's port.
    pub port: PortNumber,
    /// The path, with a query if need be (`/`).
    pub path: Option<Filled>,
    /// Headers of the request: `{ Host = "example.org" }`.
    pub headers: Option<Variables>,
    /// The status that is a success, or a range of them (`"200-399"`).
    pub status: Option<StatusRange>,
}

/// A connection, closed as soon as it stands.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct TcpProbe {
    /// The container's port.
    pub port: PortNumber,
}

/// A command that ends with 0 when all is well.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ExecProbe {
    /// The command: text that is split at blanks, or a list of words. There is no shell unless it is called.
    pub command: Command,
    /// The user in the container; the container's own when left out.
    pub user: Option<Filled>,
}
