//! Which revision a service should run now: the files' wish, unless it failed, is held, is frozen or its image is not here yet.

use super::observed::{ImageId, ObservedService};
use super::plan::Lookups;
use super::record::{KeptRevision, Memo, Record, RevisionId, RevisionVerdict};
use super::time::{Mono, Now};
use crate::desired::hash::SpecHash;
use crate::desired::ident::{ServiceId, ServiceName};
use crate::desired::spec::{FailureAction, NetworkMode, PullPolicy, ServiceSpec};
use crate::desired::{Revision, Wanted};

/// What to aim at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Aim {
    /// Run this revision (it is in the record).
    Run { revision: RevisionId, why: Why },
    /// The wanted revision failed and there is nothing to go back to, or the operator asked to stop there: leave it as it is.
    Paused { revision: RevisionId },
    /// Nothing is known that could run: the image has to come first, or the file is broken and nothing ran before.
    Nothing { why: Why },
    /// Nobody wants the service.
    Gone,
}

/// Why the aim is what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// The files say so.
    Desired,
    /// The file does not load.
    Frozen,
    /// The operator holds it.
    Held,
    /// The wanted revision was rejected.
    Rejected(RevisionId),
    /// The wanted revision waits for somebody's approval.
    Unapproved(RevisionId),
    /// The wanted revision waits for its window.
    OutsideWindow(RevisionId),
    /// The wanted image is not on this host yet.
    ImagePending,
}

/// The kept revision with this id.
#[must_use]
pub fn kept<'a>(record: &'a Record, id: &RevisionId) -> Option<&'a KeptRevision> {
    record.revisions.iter().find(|kept| kept.id == *id)
}

/// Is this revision known to have failed?
#[must_use]
pub fn is_rejected(record: &Record, id: &RevisionId) -> bool {
    kept(record, id).is_some_and(|kept| matches!(kept.verdict, RevisionVerdict::Rejected { .. }))
}

/// Chooses the aim. `record` has been brought up to date with the wish already (`episode`).
#[must_use]
pub fn aim(desired: Option<&Wanted>, observed: &ObservedService, record: &Record, memo: &Memo) -> Aim {
    let Some(wanted) = desired else { return Aim::Gone };
    if let Some(hold) = &record.hold {
        let held = hold.revision.clone().or_else(|| record.intent.clone()).or_else(|| record.good.clone());
        if let Some(revision) = held.filter(|id| kept(record, id).is_some()) {
            return Aim::Run { revision, why: Why::Held };
        }
        if hold.until_wish_changes.is_none() {
            return Aim::Nothing { why: Why::Held };
        }
    }
    match wanted {
        Wanted::Frozen(_) => fall_back(record, Why::Frozen),
        Wanted::Run(revision) => aim_at_desired(revision, observed, record, memo),
    }
}

/// Whatever was under way, else what was good.
pub(super) fn fall_back(record: &Record, why: Why) -> Aim {
    let known = record.intent.as_ref().filter(|id| !is_rejected(record, id)).or(record.good.as_ref());
    match known.filter(|id| kept(record, id).is_some()) {
        Some(revision) => Aim::Run { revision: revision.clone(), why },
        None => Aim::Nothing { why },
    }
}

fn aim_at_desired(wanted: &Revision, observed: &ObservedService, record: &Record, memo: &Memo) -> Aim {
    let Some(image) = resolve(wanted, observed, record, memo) else { return fall_back_to_good(record) };
    let id = RevisionId::of(&wanted.hash, &image);
    if !is_rejected(record, &id) {
        return Aim::Run { revision: id, why: Why::Desired };
    }
    let back = record.good.as_ref().filter(|good| **good != id && kept(record, good).is_some());
    match (wanted.spec.policy.update.failure_action, back) {
        (FailureAction::Rollback, Some(good)) => Aim::Run { revision: good.clone(), why: Why::Rejected(id) },
        _ => Aim::Paused { revision: id },
    }
}

fn fall_back_to_good(record: &Record) -> Aim {
    match record.good.as_ref().filter(|good| kept(record, good).is_some()) {
        Some(good) => Aim::Run { revision: good.clone(), why: Why::ImagePending },
        None => Aim::Nothing { why: Why::ImagePending },
    }
}

/// The image the wanted revision runs: what its reference means here, else what it meant when we last ran this very spec.
fn resolve(wanted: &Revision, observed: &ObservedService, record: &Record, memo: &Memo) -> Option<ImageId> {
    let fresh = wanted.spec.policy.pull != PullPolicy::Always
        || knows_spec(record, &wanted.hash)
        || memo.pull.is_some()
        || memo.pulled.as_ref().is_some_and(|(reference, _)| *reference == wanted.spec.container.image);
    if let Some(image) = observed.image.as_ref().filter(|_| fresh) {
        return Some(image.id.clone());
    }
    // The tag is gone from the host (pruned, or moved and not pulled again): what runs this spec goes on.
    let running = observed
        .containers
        .iter()
        .find(|container| container.labels.spec == wanted.hash && container.status.is_up());
    let remembered = record
        .revisions
        .iter()
        .rev()
        .find(|kept| kept.hash == wanted.hash && observed.kept_images.contains_key(&kept.image));
    running
        .map(|container| container.labels.image.clone())
        .or_else(|| remembered.map(|kept| kept.image.clone()))
}

fn knows_spec(record: &Record, hash: &SpecHash) -> bool {
    [record.good.as_ref(), record.intent.as_ref()]
        .into_iter()
        .flatten()
        .any(|id| kept(record, id).is_some_and(|kept| kept.hash == *hash))
}

/// When a pull of the wanted reference is due, and why. `settled`: nothing else is to be done.
#[must_use]
pub fn pull_due(
    wanted: &Revision,
    observed: &ObservedService,
    record: &Record,
    memo: &Memo,
    settled: bool,
    now: Mono,
) -> PullDue {
    let policy = wanted.spec.policy.pull;
    let reference = &wanted.spec.container.image;
    if let Some(trouble) = &memo.pull {
        let at = trouble.last.after(backoff_ms(trouble.count, 300_000));
        if now < at {
            return PullDue::At(at);
        }
    }
    let here = observed.image.is_some();
    let last = memo.pulled.as_ref().filter(|(pulled, _)| pulled == reference).map(|(_, at)| *at);
    let unknown = !knows_spec(record, &wanted.hash);
    // Also of a revision that is being rolled out: a prune took its image before a container held it.
    let good = record.good.as_ref().and_then(|good| kept(record, good));
    let gone =
        resolve(wanted, observed, record, memo).is_none() && good.is_none_or(|good| good.hash != wanted.hash);
    match policy {
        PullPolicy::Never => PullDue::No,
        PullPolicy::Always if last.is_none() && unknown && memo.pull.is_none() => {
            PullDue::Now("pull_policy is always")
        }
        _ if gone => PullDue::Now("the image is not on this host"),
        PullPolicy::Missing if here || !unknown => PullDue::No,
        PullPolicy::Missing => PullDue::Now("the image is not on this host"),
        PullPolicy::Always => periodic(last, ALWAYS_EVERY_MS, settled, now),
        PullPolicy::Every(_) if !here && unknown => PullDue::Now("the image is not on this host"),
        PullPolicy::Every(seconds) => periodic(last, seconds.saturating_mul(1_000), settled, now),
    }
}

/// `pull_policy = "always"` in a daemon: at every roll-out, and this often besides (DESIGN.md 7, image check).
const ALWAYS_EVERY_MS: u64 = 6 * 3_600_000;

/// The cause of a pull that looks whether there is something newer.
pub const LOOK: &str = "its pull_policy asks for a look at the registry";

fn periodic(last: Option<Mono>, every_ms: u64, settled: bool, now: Mono) -> PullDue {
    // A daemon that just started has not pulled yet; the first round is due one period after its start.
    let due = last.unwrap_or_default().after(every_ms);
    match (settled, now >= due) {
        (true, true) => PullDue::Now(LOOK),
        (true, false) => PullDue::At(due),
        (false, _) => PullDue::No,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullDue {
    No,
    Now(&'static str),
    At(Mono),
}

/// 1 s, 2 s, 4 s, ... up to `cap`, in milliseconds. Without jitter: `decide` is deterministic, and one service on one host
/// meets nobody in step; the controller's own backoff has the jitter.
#[must_use]
pub fn backoff_ms(count: u32, cap: u64) -> u64 {
    1_000_u64.saturating_mul(1 << count.saturating_sub(1).min(16)).min(cap)
}

/// What must be observed beside the service's containers, for every revision the next decision may aim at.
#[must_use]
pub fn lookups(id: &ServiceId, desired: Option<&Wanted>, record: &Record, _now: Now) -> Lookups {
    let mut found = Lookups { keep_repository: id.keep_repository(), ..Lookups::default() };
    found.kept_images = record.revisions.iter().map(|kept| kept.image.clone()).collect();
    let mut specs: Vec<&ServiceSpec> = Vec::new();
    if let Some(Wanted::Run(revision)) = desired {
        found.image = Some(revision.spec.container.image.clone());
        specs.push(&revision.spec);
    }
    let hold = record.hold.as_ref().and_then(|hold| hold.revision.as_ref());
    for revision in [record.good.as_ref(), record.intent.as_ref(), hold].into_iter().flatten() {
        specs.extend(kept(record, revision).map(|kept| &*kept.spec));
    }
    if desired.is_none() {
        specs.clear();
    }
    for spec in specs {
        collect(id, spec, &mut found);
    }
    let open = record.hooks.iter().filter(|run| run.end.is_none());
    found.execs = open.filter_map(|run| run.exec.clone()).collect();
    // Also of a revision that is not wanted any more: what is owed belongs to one that failed.
    let owed = record.owed.iter().filter_map(|(_, revision)| kept(record, revision));
    for spec in owed.map(|kept| &*kept.spec) {
        found.hook_images.extend(hook_images(spec));
    }
    found
}

fn hook_images(spec: &ServiceSpec) -> impl Iterator<Item = String> {
    let lifecycle = spec.container.lifecycle.pre_start.iter();
    lifecycle.chain(spec.policy.hooks.values().flatten()).filter_map(|hook| hook.image.clone())
}

/// What one spec needs.
pub(super) fn collect(id: &ServiceId, spec: &ServiceSpec, found: &mut Lookups) {
    found.hook_images.extend(hook_images(spec));
    found.networks.extend(spec.live.networks.keys().cloned());
    found.volumes.extend(spec.container.mounts.values().filter_map(|mount| match &mount.source {
        crate::desired::spec::MountSource::Volume { name: Some(name), .. } => Some(name.clone()),
        _ => None,
    }));
    found.names.extend((1..=spec.policy.replicas).map(|slot| plain_name(id, spec, slot)));
    found.dependencies.extend(spec.policy.depends_on.keys().cloned());
    found.mounted_images.extend(spec.container.mounts.values().filter_map(|mount| match &mount.source {
        crate::desired::spec::MountSource::Image { reference, .. } => Some(reference.clone()),
        _ => None,
    }));
    for (name, _) in spec.container.extra.ties() {
        found.tied.insert(name.clone());
        found.dependencies.insert(name.clone());
    }
    if let NetworkMode::Service(parent) = &spec.container.network_mode {
        found.parent = Some(ServiceId { project: id.project.clone(), service: parent.clone() });
        found.dependencies.insert(ServiceName::clone(parent));
    }
}

/// The name of the serving container of a slot.
#[must_use]
pub fn plain_name(id: &ServiceId, spec: &ServiceSpec, slot: u32) -> String {
    match &spec.live.container_name {
        Some(name) if spec.policy.replicas <= 1 => name.clone(),
        _ => id.container_name(slot),
    }
}
