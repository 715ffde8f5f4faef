//! The kinds of values that keys take.
//!
//! A union of TOML types is one schema with a list of types and keywords that each concern one of them, not a choice
//! between schemas: an editor can then say what is wrong, where with a choice it only says that nothing fits.
//! Wherever a value may come from a variable, text that holds a `$` is accepted.

/// Declares a kind of value: a type nobody builds, which only describes.
macro_rules! kind {
    ($(#[doc = $doc:literal])* $name:ident = $schema:tt) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone)]
        pub struct $name;

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn inline_schema() -> bool {
                true
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let mut schema = schemars::json_schema!($schema);
                schema.insert(super::KIND.to_owned(), concat!($($doc),*).trim().into());
                schema
            }
        }
    };
}

/// Declares a choice between words.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident = [$($word:literal),+ $(,)?] $(or $pattern:literal)?) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name;

        impl $name {
            /// The words, in the order in which messages list them.
            pub const WORDS: &'static [&'static str] = &[$($word),+];
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn inline_schema() -> bool {
                true
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "anyOf": [
                        { "enum": [$($word),+] },
                        $({ "pattern": $pattern },)?
                        { "pattern": "\\$" },
                    ],
                })
            }
        }
    };
}

kind!(
    /// Text.
    Text = { "type": "string" }
);
kind!(
    /// Text, not empty.
    Filled = { "type": "string", "minLength": 1 }
);
kind!(
    /// True or false.
    Flag = { "type": ["boolean", "string"], "pattern": "\\$" }
);
kind!(
    /// A whole number, zero or more.
    Count = { "type": ["integer", "string"], "minimum": 0, "pattern": "\\$" }
);
kind!(
    /// A whole number, -1 for no limit.
    Limit = { "type": ["integer", "string"], "minimum": -1, "pattern": "\\$" }
);
kind!(
    /// A whole number.
    Whole = { "type": ["integer", "string"], "pattern": "\\$" }
);
kind!(
    /// A part of one: `0.5`.
    Ratio = { "type": ["number", "string"], "minimum": 0, "maximum": 1, "pattern": "\\$" }
);
kind!(
    /// A duration: `"1m30s"`.
    DurationText = {
        "type": "string",
        "pattern": "^\\s*\\+?(([0-9]+\\.?[0-9]*|\\.[0-9]+)(ns|us|µs|ms|s|m|h|d|w))+\\s*$|^\\s*0\\s*$|\\$",
        "examples": ["30s", "1m30s"],
    }
);
kind!(
    /// A moment that is the same everywhere: `2026-09-01T08:00:00Z`.
    Moment = {
        "type": "string",
        "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\\.[0-9]+)?)?([Zz]|[+-][0-9]{2}:[0-9]{2})$",
        "examples": ["2026-09-01T08:00:00Z"],
    }
);
kind!(
    /// `false`: volumes are never removed.
    NoVolumes = { "const": false }
);
kind!(
    /// A size: `"512m"`, or a number of bytes.
    Size = {
        "type": ["string", "integer"],
        "minimum": 0,
        "pattern": "^\\s*([0-9]+\\.?[0-9]*|\\.[0-9]+)\\s*([bB]|[kKmMgGtTpP][iI]?[bB]?)?\\s*$|\\$",
        "examples": ["512m", "1.5g"],
    }
);
kind!(
    /// A size, or -1 for no limit.
    SizeOrUnlimited = {
        "type": ["string", "integer"],
        "minimum": -1,
        "pattern": "^\\s*(-1|([0-9]+\\.?[0-9]*|\\.[0-9]+)\\s*([bB]|[kKmMgGtTpP][iI]?[bB]?)?)\\s*$|\\$",
    }
);
kind!(
    /// A number of cores: `0.5` or `"0.5"`.
    Cores = { "type": ["number", "string"], "minimum": 0, "pattern": "^\\s*([0-9]+\\.?[0-9]*|\\.[0-9]+)\\s*$|\\$" }
);
kind!(
    /// Microseconds, or a duration.
    Microseconds = {
        "type": ["integer", "string"],
        "pattern": "^(([0-9]+\\.?[0-9]*|\\.[0-9]+)(ns|us|µs|ms|s|m|h|d|w))+$|\\$",
    }
);
kind!(
    /// Permission bits: `0o1777` or `"1777"`.
    Mode = { "type": ["integer", "string"], "minimum": 0, "pattern": "^(0o)?[0-7]{1,5}$|\\$" }
);
kind!(
    /// The number of a user or a group.
    FileOwner = { "type": ["integer", "string"], "minimum": 0, "pattern": "^[0-9]{1,10}$|\\$" }
);
kind!(
    /// `replace`, or a signal such as `SIGHUP`.
    OnChange = { "type": "string", "pattern": "^replace$|^(SIG|sig)?[A-Za-z0-9+-]+$|\\$", "examples": ["replace", "SIGHUP"] }
);
kind!(
    /// One text, or a list of texts.
    OneOrMany = { "type": ["string", "array"], "items": { "type": "string" } }
);
kind!(
    /// A list of texts.
    Texts = { "type": "array", "items": { "type": "string" } }
);
kind!(
    /// A command: text that is split at blanks (quotes count, there is no shell), or a list of words.
    Command = { "type": ["string", "array"], "items": { "type": "string" } }
);
kind!(
    /// `NAME = value`, or a list of `"NAME=value"`; a bare `"NAME"` in the list takes the value of a variable.
    Environment = {
        "type": ["object", "array"],
        "additionalProperties": { "type": ["string", "number", "boolean"] },
        "items": { "type": "string" },
    }
);
kind!(
    /// `name = "value"`, where dotted keys are one name (`traefik.enable = true`), or a list of `"name=value"`.
    Labels = {
        "type": ["object", "array"],
        "additionalProperties": { "type": ["string", "number", "boolean", "object"] },
        "items": { "type": "string" },
    }
);
kind!(
    /// `name = "value"`; dotted keys are one name.
    Options = {
        "type": "object",
        "additionalProperties": { "type": ["string", "number", "boolean", "object"] },
    }
);
kind!(
    /// `host = "address"`, or a list of `"host:address"`.
    ExtraHosts = {
        "type": ["object", "array"],
        "additionalProperties": { "type": ["string", "array"], "items": { "type": "string" } },
        "items": { "type": "string", "pattern": "[:=]|\\$" },
    }
);
kind!(
    /// `80`, `"8000-8010"`, `"53/udp"`.
    ExposedPort = {
        "type": ["integer", "string"],
        "minimum": 1,
        "maximum": 65535,
        "pattern": "^[0-9]+(-[0-9]+)?(/[a-zA-Z]+)?$|\\$",
    }
);
kind!(
    /// A port number or a range of them: `8080`, `"8080"`, `"8080-8090"`.
    Published = {
        "type": ["integer", "string"],
        "minimum": 0,
        "maximum": 65535,
        "pattern": "^[0-9]*(-[0-9]+)?$|\\$",
    }
);
kind!(
    /// A port number.
    PortNumber = { "type": ["integer", "string"], "minimum": 1, "maximum": 65535, "pattern": "^[0-9]+$|\\$" }
);
kind!(
    /// Names with a value each.
    Variables = {
        "type": "object",
        "additionalProperties": { "type": ["string", "number", "boolean"] },
    }
);

choice!(
    /// What happens when the container ends.
    Restart = ["no", "always", "on-failure", "unless-stopped"] or "^(on-failure:[0-9]+)?$"
);
choice!(
    /// When the image is pulled.
    Pull = ["missing", "if_not_present", "always", "never", "daily", "weekly"] or "^every_"
);
choice!(
    /// Which change of a dependency is waited for.
    Condition = ["service_started", "service_healthy", "service_completed_successfully"]
);
choice!(
    /// Which of old and new comes first.
    Order = ["stop-first", "start-first", "auto"]
);
choice!(
    /// What a failed update leads to.
    OnUpdateFailure = ["rollback", "pause", "continue"]
);
choice!(
    /// How many of a service there are on each host that is meant: `replicas`, or one.
    DeployMode = ["replicated", "global"]
);
choice!(
    /// When a stopped container is started again.
    RestartCondition = ["none", "on-failure", "any", "no", "always", "unless-stopped"]
);
choice!(
    /// Transport protocol.
    Transport = ["tcp", "udp", "sctp"]
);
choice!(
    /// Compose's port modes; they mean the same on one host.
    PortMode = ["host", "ingress"]
);
choice!(
    /// Kinds of mounts.
    MountKind = ["bind", "volume", "tmpfs", "image"]
);
choice!(
    /// What becomes of mounts below a bind.
    Recursive = ["enabled", "disabled", "writable", "readonly"]
);
choice!(
    /// Whose memory and queues are shared.
    Ipc = ["private", "shareable", "host", "none"] or "^(service|container):.+$"
);
choice!(
    /// Whose processes are seen.
    PidMode = ["host"] or "^(service|container):.+$"
);
choice!(
    /// The host's, instead of one's own.
    HostOnly = ["host"]
);
choice!(
    /// Which cgroups are seen.
    CgroupNamespace = ["host", "private"]
);
kind!(
    /// A name, or a number.
    NameOrNumber = { "type": ["string", "integer"], "minLength": 1, "minimum": 0 }
);
kind!(
    /// A number, or `"all"`.
    CountOrAll = { "type": ["integer", "string"], "minimum": -1, "pattern": "^(all|-?[0-9]+)$|\\$" }
);
choice!(
    /// How mounts travel between the host and the container.
    Propagation = ["private", "rprivate", "shared", "rshared", "slave", "rslave"]
);
choice!(
    /// SELinux relabelling: `z` shared, `Z` private.
    Selinux = ["z", "Z"]
);
choice!(
    /// Kept for Compose files from a Mac; it has no effect on Linux.
    Consistency = ["consistent", "cached", "delegated", "default"]
);
choice!(
    /// How an `env_file` is read.
    EnvFileFormat = ["dotenv", "raw"]
);
choice!(
    /// What an unset variable is.
    UnsetVariables = ["error", "warn"]
);
choice!(
    /// What a failed hook leads to.
    OnHookError = ["abort", "continue"]
);
choice!(
    /// What a failing probe leads to.
    OnProbeFailure = ["report", "restart"]
);
kind!(
    /// A status of HTTP, or a range of them: `204`, `"200-299"`.
    StatusRange = {
        "type": ["integer", "string"],
        "minimum": 100,
        "maximum": 599,
        "pattern": "^[1-5][0-9][0-9](-[1-5][0-9][0-9])?$|\\$",
    }
);
choice!(
    /// What is done about a change that others made.
    DriftChoice = ["heal", "report", "ignore"]
);
choice!(
    /// What is told of containers that are not evenkeel's.
    Unmanaged = ["ignore", "report"]
);
choice!(
    /// What an empty desired state does.
    EmptyState = ["refuse", "allow"]
);
kind!(
    /// True, or Compose's older `{ name = "..." }`.
    External = {
        "type": ["boolean", "string", "object"],
        "pattern": "\\$",
        "properties": { "name": { "type": "string" } },
        "additionalProperties": false,
    }
);
kind!(
    /// The name of a service, or Compose's `{ file = "...", service = "..." }`.
    Extends = {
        "type": ["string", "object"],
        "properties": { "file": { "type": "string" }, "service": { "type": "string" } },
        "required": ["service"],
        "additionalProperties": false,
    }
);

pub(super) use {choice, kind};
