//! Limits and restart policies, both ways.
//!
//! Limits are compared value by value, so what is read back must equal what was asked. Two things are in the way. The
//! engine fills in defaults (`MemorySwap` becomes twice `Memory`). And its `update` call reads 0 as "leave as it is", so a
//! limit cannot be taken off a running container at all; it can only be raised to where it limits nothing. For that we
//! send values that no person writes, and read exactly these back as "no limit" (the `LIFTED_` constants).

use bollard::models;

use super::answers;
use crate::desired::spec::{Resources, RestartPolicy};

/// An exbibyte: above what any host has, and twice of it, which the swap then is, is still a number to the kernel. (-1 for the
/// swap would not do: older runc then raises the memory first, above the old swap, which the kernel refuses.)
pub const LIFTED_MEMORY: u64 = 1 << 60;
/// One less than the default weight of 1024.
pub const LIFTED_SHARES: u64 = 1023;
/// One more than the default period; with no quota a period means nothing.
pub const LIFTED_PERIOD: u64 = 100_001;
/// All cores but a billionth of one.
const LIFTED_NANO: u64 = 999_999_999;
const CORE: u64 = 1_000_000_000;

/// The limits of a create request.
pub fn limit(host: &mut models::HostConfig, wanted: &Resources) {
    let Resources {
        memory,
        memory_reservation,
        memory_swap: _,
        nano_cpus,
        cpu_shares,
        cpu_period,
        cpu_quota,
        cpuset,
        pids,
        cpu_rt_period,
        cpu_rt_runtime,
    } = wanted;
    host.memory = memory.map(signed);
    host.memory_reservation = memory_reservation.map(signed);
    host.memory_swap = swap_at_create(wanted);
    host.nano_cpus = nano_cpus.map(signed);
    host.cpu_shares = cpu_shares.map(signed);
    host.cpu_period = cpu_period.map(signed);
    host.cpu_quota = *cpu_quota;
    host.cpuset_cpus.clone_from(cpuset);
    host.pids_limit = *pids;
    host.cpu_realtime_period = cpu_rt_period.map(signed);
    host.cpu_realtime_runtime = cpu_rt_runtime.map(signed);
}

/// The update request that makes a container's limits `wanted`, whatever they were. `cpus`: cores of the host.
///
/// Only what differs is sent: the engine refuses some pairs outright (a period beside `nano_cpus`), and raising a limit
/// that nobody ever set would leave a needless mark.
#[must_use]
pub fn update(wanted: &Resources, current: &Resources, cpus: u32) -> models::ContainerUpdateBody {
    let mut body = models::ContainerUpdateBody::default();
    let cores = u64::from(cpus.max(1));
    if (wanted.memory, wanted.memory_swap) != (current.memory, current.memory_swap) {
        // Both at once: the engine checks one against the other (a lower limit below the old swap is an error).
        body.memory = Some(signed(wanted.memory.unwrap_or(LIFTED_MEMORY)));
        body.memory_swap = Some(swap_at_update(wanted));
    }
    if wanted.memory_reservation != current.memory_reservation {
        body.memory_reservation = Some(wanted.memory_reservation.map_or(-1, signed));
    }
    if wanted.nano_cpus != current.nano_cpus {
        body.nano_cpus = Some(signed(wanted.nano_cpus.unwrap_or((cores - 1) * CORE + LIFTED_NANO)));
    }
    if wanted.cpu_shares != current.cpu_shares {
        body.cpu_shares = Some(signed(wanted.cpu_shares.unwrap_or(LIFTED_SHARES)));
    }
    if wanted.cpu_period != current.cpu_period {
        body.cpu_period = Some(signed(wanted.cpu_period.unwrap_or(LIFTED_PERIOD)));
    }
    if wanted.cpu_quota != current.cpu_quota {
        body.cpu_quota = Some(wanted.cpu_quota.unwrap_or(-1));
    }
    if wanted.cpuset != current.cpuset {
        body.cpuset_cpus = Some(wanted.cpuset.clone().unwrap_or_else(|| every_core(cores)));
    }
    // Taking one off needs another container (`live::reachable`): there is no value that means none.
    if wanted.cpu_rt_period != current.cpu_rt_period {
        body.cpu_realtime_period = wanted.cpu_rt_period.map(signed);
    }
    if wanted.cpu_rt_runtime != current.cpu_rt_runtime {
        body.cpu_realtime_runtime = wanted.cpu_rt_runtime.map(signed);
    }
    if wanted.pids != current.pids {
        body.pids_limit = Some(wanted.pids.unwrap_or(0));
    }
    body
}

/// The limits as the engine reports them, with its defaults and our lifted values read as "no limit":
/// - 0 anywhere, and a negative reservation, quota or process limit: no limit;
/// - memory of [`LIFTED_MEMORY`] or more: no limit, and the swap beside it means nothing;
/// - swap of exactly twice the memory: the engine's own default, nobody asked for it (see `swap_at_create`);
/// - the other `LIFTED_` values, and a core list that ends in a second `0`.
#[must_use]
pub fn observed(host: &answers::HostConfig) -> Resources {
    let positive = |value: i64| u64::try_from(value).ok().filter(|value| *value > 0);
    let memory = positive(host.memory).filter(|bytes| *bytes < LIFTED_MEMORY);
    let memory_swap = match (memory, host.memory_swap) {
        (_, 0) => None,
        (None, swap) => (host.memory == 0).then_some(swap),
        (Some(bytes), swap) if swap == doubled(bytes) => None,
        (Some(bytes), swap) if swap == doubled(bytes).saturating_add(1) => Some(doubled(bytes)),
        (Some(_), swap) => Some(swap),
    };
    Resources {
        memory,
        memory_reservation: positive(host.memory_reservation),
        memory_swap,
        nano_cpus: positive(host.nano_cpus).filter(|nano| nano % CORE != LIFTED_NANO),
        cpu_shares: positive(host.cpu_shares).filter(|shares| *shares != LIFTED_SHARES),
        cpu_period: positive(host.cpu_period).filter(|period| *period != LIFTED_PERIOD),
        cpu_quota: Some(host.cpu_quota).filter(|quota| *quota > 0),
        cpuset: Some(host.cpuset_cpus.clone()).filter(|set| !set.is_empty() && !is_every_core(set)),
        pids: host.pids_limit.filter(|pids| *pids > 0),
        cpu_rt_period: positive(host.cpu_realtime_period),
        cpu_rt_runtime: positive(host.cpu_realtime_runtime),
    }
}

/// `None` lets the engine choose (twice the memory). Asked for in so many words, the same value gets one byte more, which the
/// kernel rounds away: that is how the two are told apart when read back.
fn swap_at_create(wanted: &Resources) -> Option<i64> {
    let swap = wanted.memory_swap.filter(|swap| *swap != 0)?;
    match wanted.memory {
        Some(memory) if swap == doubled(memory) => Some(swap.saturating_add(1)),
        _ => Some(swap),
    }
}

fn swap_at_update(wanted: &Resources) -> i64 {
    swap_at_create(wanted).unwrap_or_else(|| doubled(wanted.memory.unwrap_or(LIFTED_MEMORY)))
}

fn every_core(cores: u64) -> String {
    if cores == 1 { "0,0".to_owned() } else { format!("0-{},0", cores - 1) }
}

fn is_every_core(set: &str) -> bool {
    set == "0,0" || (set.starts_with("0-") && set.ends_with(",0"))
}

fn doubled(bytes: u64) -> i64 {
    signed(bytes.saturating_mul(2))
}

/// The engine's numbers are signed; ours beyond that would be refused anyway.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A restart policy for a request.
#[must_use]
pub fn restart(policy: RestartPolicy) -> models::RestartPolicy {
    use models::RestartPolicyNameEnum as Name;
    let (name, count) = match policy {
        RestartPolicy::No => (Name::NO, None),
        RestartPolicy::Always => (Name::ALWAYS, None),
        RestartPolicy::UnlessStopped => (Name::UNLESS_STOPPED, None),
        RestartPolicy::OnFailure { max_retries } => (Name::ON_FAILURE, Some(i64::from(max_retries))),
    };
    models::RestartPolicy { name: Some(name), maximum_retry_count: count }
}

/// A restart policy as reported. A word that we do not know is taken for `always`: the container may come back by itself,
/// so whoever needs it down takes the policy off.
#[must_use]
pub fn observed_restart(policy: &answers::RestartPolicy) -> RestartPolicy {
    match policy.name.as_str() {
        "" | "no" => RestartPolicy::No,
        "unless-stopped" => RestartPolicy::UnlessStopped,
        "on-failure" => RestartPolicy::OnFailure {
            max_retries: u32::try_from(policy.maximum_retry_count).unwrap_or_default(),
        },
        _ => RestartPolicy::Always,
    }
}
