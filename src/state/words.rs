//! Values of a spec as people would write them in a file. Of a secret its digest only.

use std::collections::BTreeSet;

use crate::desired::convert::{print_port, scalar};
use crate::desired::hooks::{Hook, OnError};
use crate::desired::probe::{Exec, OnProbeFailure, Probe, ProbeCheck};
use crate::desired::provided::FileKey;
use crate::desired::secret::Sensitive;
use crate::desired::spec::{
    ContainerPort, Dependency, DependencyCondition, Device, DeviceRequest, DriftAction, FailureAction,
    Healthcheck, Link, Mount, MountSource, Namespace, NetworkMode, Other, PortBinding, Protocol, PullPolicy,
    Recursive, RestartPolicy, Strategy, Switch, Ulimit, UpdateOrder, VolumesFrom,
};

pub trait Words {
    fn words(&self) -> String;
}

impl<T: Words> Words for &T {
    fn words(&self) -> String {
        (*self).words()
    }
}

impl Words for String {
    fn words(&self) -> String {
        self.clone()
    }
}

macro_rules! as_it_prints {
    ($($type:ty),*) => {
        $(impl Words for $type {
            fn words(&self) -> String {
                self.to_string()
            }
        })*
    };
}

as_it_prints!(bool, u32, u64, i32, i64);

impl Words for Sensitive {
    fn words(&self) -> String {
        format!("{self:?}")
    }
}

/// A variable without a value takes the image's away.
impl Words for Option<Sensitive> {
    fn words(&self) -> String {
        self.as_ref().map_or_else(|| "taken away".to_owned(), Words::words)
    }
}

impl Words for Vec<String> {
    fn words(&self) -> String {
        list(self.iter().cloned())
    }
}

impl Words for BTreeSet<String> {
    fn words(&self) -> String {
        list(self.iter().cloned())
    }
}

impl Words for BTreeSet<PortBinding> {
    fn words(&self) -> String {
        list(self.iter().map(print_port))
    }
}

impl Words for BTreeSet<ContainerPort> {
    fn words(&self) -> String {
        list(self.iter().map(|port| match port.protocol {
            Protocol::Tcp => port.port.to_string(),
            other => format!("{}/{}", port.port, other.as_str()),
        }))
    }
}

impl Words for Vec<Device> {
    fn words(&self) -> String {
        list(self.iter().map(|device| {
            let Device { host, container, permissions } = device;
            format!("{host}:{container}:{permissions}")
        }))
    }
}

impl Words for Vec<DeviceRequest> {
    fn words(&self) -> String {
        list(self.iter().map(|request| {
            let DeviceRequest { driver, count, device_ids, capabilities, options } = request;
            let mut parts: Vec<String> = driver.iter().cloned().collect();
            parts.extend((*count != 0).then(|| match count {
                -1 => "all".to_owned(),
                count => count.to_string(),
            }));
            parts.extend(device_ids.iter().cloned());
            parts.extend(capabilities.iter().cloned());
            parts.extend(options.iter().map(|(name, value)| format!("{name}={value}")));
            parts.join(" ")
        }))
    }
}

impl Words for Namespace {
    fn words(&self) -> String {
        match self {
            Self::Host => "host".to_owned(),
            Self::Shareable => "shareable".to_owned(),
            Self::Private => "private".to_owned(),
            Self::None => "none".to_owned(),
            Self::Service(name) => format!("service:{name}"),
            Self::Container(name) => format!("container:{name}"),
        }
    }
}

fn other(other: &Other) -> String {
    match other {
        Other::Service(name) => name.to_string(),
        Other::Container(name) => format!("container:{name}"),
    }
}

impl Words for BTreeSet<Link> {
    fn words(&self) -> String {
        list(self.iter().map(|Link { to, alias }| format!("{}:{alias}", other(to))))
    }
}

impl Words for Vec<VolumesFrom> {
    fn words(&self) -> String {
        list(self.iter().map(|VolumesFrom { from, read_only }| {
            format!("{}{}", other(from), if *read_only { ":ro" } else { "" })
        }))
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.map(|item| format!("{item:?}")).collect();
    format!("[{}]", items.join(", "))
}

impl Words for FileKey {
    fn words(&self) -> String {
        let Self { stem, mode, uid, gid } = self;
        let content = if self.is_live() { "told by a signal" } else { stem.get(..8).unwrap_or(stem) };
        format!("{content}, {mode:04o} of {uid}:{gid}")
    }
}

impl Words for Mount {
    fn words(&self) -> String {
        let Mount { source, read_only } = self;
        let mut parts = vec![match source {
            MountSource::Bind { path, .. } => path.clone(),
            MountSource::Volume { name: Some(name), .. } => format!("volume {name}"),
            MountSource::Volume { name: None, .. } => "an anonymous volume".to_owned(),
            MountSource::Image { reference, .. } => format!("image {reference}"),
            MountSource::Tmpfs { .. } => "tmpfs".to_owned(),
        }];
        match source {
            MountSource::Bind { path: _, create, propagation, selinux, content, recursive } => {
                parts.extend(recursive.map(|recursive| {
                    match recursive {
                        Recursive::Disabled => "without mounts below",
                        Recursive::Writable => "mounts below writable",
                        Recursive::Readonly => "mounts below read-only",
                    }
                    .to_owned()
                }));
                parts.extend((!create).then(|| "must exist".to_owned()));
                parts.extend(propagation.clone());
                parts.extend(selinux.map(String::from));
                parts.extend(
                    content.as_ref().map(|digest| format!("with {}", digest.get(..8).unwrap_or(digest))),
                );
            }
            MountSource::Volume { name: _, key: _, no_copy, subpath, labels } => {
                parts.extend(no_copy.then(|| "nocopy".to_owned()));
                parts.extend(subpath.as_ref().map(|path| format!("subpath {path}")));
                parts.extend(labels.iter().map(|(name, value)| format!("label {name}={value}")));
            }
            MountSource::Image { reference: _, subpath } => {
                parts.extend(subpath.as_ref().map(|path| format!("subpath {path}")));
            }
            MountSource::Tmpfs { size, mode } => {
                parts.extend(size.map(|size| format!("size {}", scalar::print_size(size))));
                parts.extend(mode.map(|mode| format!("mode {mode:04o}")));
            }
        }
        parts.extend(read_only.then(|| "ro".to_owned()));
        parts.join(", ")
    }
}

impl Words for NetworkMode {
    fn words(&self) -> String {
        match self {
            Self::Networks => "its networks".to_owned(),
            Self::Bridge => "bridge".to_owned(),
            Self::Host => "host".to_owned(),
            Self::None => "none".to_owned(),
            Self::Service(name) => format!("service:{name}"),
            Self::Container(name) => format!("container:{name}"),
        }
    }
}

impl Words for Healthcheck {
    fn words(&self) -> String {
        match self {
            Self::Inherit => "the image's own".to_owned(),
            Self::Disabled => "none".to_owned(),
            Self::Set(check) if check.test.is_empty() => "the image's own, with other times".to_owned(),
            Self::Set(check) => check.test.words(),
        }
    }
}

impl Words for Ulimit {
    fn words(&self) -> String {
        let Ulimit { soft, hard } = self;
        if soft == hard { soft.to_string() } else { format!("{soft}:{hard}") }
    }
}

impl Words for RestartPolicy {
    fn words(&self) -> String {
        match self {
            Self::No => "no".to_owned(),
            Self::Always => "always".to_owned(),
            Self::UnlessStopped => "unless-stopped".to_owned(),
            Self::OnFailure { max_retries: 0 } => "on-failure".to_owned(),
            Self::OnFailure { max_retries } => format!("on-failure:{max_retries}"),
        }
    }
}

impl Words for DriftAction {
    fn words(&self) -> String {
        match self {
            Self::Heal => "heal",
            Self::Report => "report",
            Self::Ignore => "ignore",
        }
        .to_owned()
    }
}

impl Words for PullPolicy {
    fn words(&self) -> String {
        match self {
            Self::Missing => "missing".to_owned(),
            Self::Always => "always".to_owned(),
            Self::Never => "never".to_owned(),
            Self::Every(seconds) => {
                format!("every_{}", scalar::print_duration(seconds.saturating_mul(1_000_000_000)))
            }
        }
    }
}

impl Words for Dependency {
    fn words(&self) -> String {
        let Dependency { condition, restart, required } = self;
        let condition = match condition {
            DependencyCondition::ServiceStarted => "service_started",
            DependencyCondition::ServiceHealthy => "service_healthy",
            DependencyCondition::ServiceCompletedSuccessfully => "service_completed_successfully",
        };
        let restart = if *restart { ", restart" } else { "" };
        let required = if *required { "" } else { ", not required" };
        format!("{condition}{restart}{required}")
    }
}

impl Words for UpdateOrder {
    fn words(&self) -> String {
        match self {
            Self::StopFirst => "stop-first",
            Self::StartFirst => "start-first",
            Self::Auto => "auto",
        }
        .to_owned()
    }
}

impl Words for Strategy {
    fn words(&self) -> String {
        match self {
            Self::Rolling => "rolling",
            Self::Recreate => "recreate",
            Self::BlueGreen => "blue-green",
        }
        .to_owned()
    }
}

impl Words for Switch {
    fn words(&self) -> String {
        match self {
            Self::Health => "health",
            Self::Alias => "alias",
        }
        .to_owned()
    }
}

impl Words for FailureAction {
    fn words(&self) -> String {
        match self {
            Self::Rollback => "rollback",
            Self::Pause => "pause",
            Self::Continue => "continue",
        }
        .to_owned()
    }
}

/// Bytes.
pub struct Size(pub u64);

impl Words for Size {
    fn words(&self) -> String {
        scalar::print_size(self.0)
    }
}

/// Nanoseconds.
pub struct Duration(pub u64);

impl Words for Duration {
    fn words(&self) -> String {
        scalar::print_duration(self.0)
    }
}

/// Billionths, as a decimal number without an end of zeros.
pub struct Billionths(pub u64);

impl Words for Billionths {
    fn words(&self) -> String {
        let (whole, rest) = (self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        let text = format!("{whole}.{rest:09}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

impl Words for Probe {
    fn words(&self) -> String {
        let check = match &self.check {
            // Headers may hold a secret; that they differ shows in their digest.
            ProbeCheck::Http { port, path, headers, status: (first, last) } => {
                let headers: Vec<String> =
                    headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
                let headers =
                    if headers.is_empty() { String::new() } else { format!(" [{}]", headers.join(", ")) };
                format!("http :{port}{path}{headers} {first}-{last}")
            }
            ProbeCheck::Tcp { port } => format!("tcp :{port}"),
            ProbeCheck::Exec(exec) => format!("exec {}", exec.words()),
        };
        let time = |ms: u64| Duration(ms.saturating_mul(1_000_000)).words();
        let on_failure = match self.on_failure {
            OnProbeFailure::Report => "report",
            OnProbeFailure::Restart => "restart",
        };
        format!(
            "{check} every {} within {}, after {}, {} failures, {} successes, {on_failure}",
            time(self.interval_ms),
            time(self.timeout_ms),
            time(self.start_period_ms),
            self.threshold,
            self.success
        )
    }
}

impl Words for Exec {
    fn words(&self) -> String {
        let Exec { command, user, privileged, working_dir, environment } = self;
        let mut parts = vec![command.words()];
        parts.extend(user.iter().map(|user| format!("as {user}")));
        parts.extend(working_dir.iter().map(|path| format!("in {path}")));
        parts.extend(privileged.then(|| "privileged".to_owned()));
        let variable = |(name, value): (&String, &Option<Sensitive>)| match value {
            Some(value) => format!("{name}={value}"),
            None => name.clone(),
        };
        parts.extend(environment.iter().map(variable));
        parts.join(" ")
    }
}

impl Words for Vec<Hook> {
    fn words(&self) -> String {
        self.iter().map(Words::words).collect::<Vec<_>>().join("; ")
    }
}

impl Words for Hook {
    fn words(&self) -> String {
        let Hook { exec, image, timeout_ms, on_error } = self;
        let mut parts = vec![exec.words()];
        parts.extend(image.iter().map(|image| format!("from {image}")));
        parts.extend(
            timeout_ms.map(|ms| format!("within {}", Duration(ms.saturating_mul(1_000_000)).words())),
        );
        parts.extend((*on_error == OnError::Continue).then(|| "on error continue".to_owned()));
        parts.join(" ")
    }
}
