//! Limits of memory, cores and processes: `deploy.resources` and the short forms.

use crate::desired::diagnostic::Diagnostic;
use crate::desired::node::Value;
use crate::desired::spec::Resources;

use super::deploy::{Deploy, agreed};
use super::read::{Field, Fields, Reader};
use super::scalar;

/// Smallest memory limit the engine takes.
const LEAST_MEMORY: u64 = 6 << 20;

pub(super) fn resources(
    reader: &mut Reader<'_, '_>,
    service: &Fields<'_>,
    deploy: &Deploy<'_>,
) -> Option<Resources> {
    let limit = |key: &str| deploy.limits.as_ref().and_then(|limits| limits.get(key));
    let reserved = |key: &str| deploy.reservations.as_ref().and_then(|reserved| reserved.get(key));
    let memory =
        agreed(reader, limit("memory"), service.get("mem_limit"), |reader, field| reader.size(field));
    let reservation = agreed(reader, reserved("memory"), service.get("mem_reservation"), |reader, field| {
        reader.size(field)
    });
    let nano_cpus = agreed(reader, limit("cpus"), service.get("cpus"), cores);
    let pids = agreed(reader, limit("pids"), service.get("pids_limit"), |reader, field| {
        reader.whole(field, -1, i64::MAX)
    });
    let swap = service.get("memswap_limit").map(|field| swap(reader, &field));
    let shares = service.get("cpu_shares").map(|field| reader.whole(&field, 0, 262_144));
    let period = service.get("cpu_period").map(|field| microseconds(reader, &field, 1000, 1_000_000));
    let quota = service.get("cpu_quota").map(|field| microseconds(reader, &field, 1000, i64::MAX));
    let cpuset = service.get("cpuset").map(|field| cpuset(reader, &field));
    let rt_period = service.get("cpu_rt_period").map(|field| microseconds(reader, &field, 1, i64::MAX));
    let rt_runtime = service.get("cpu_rt_runtime").map(|field| microseconds(reader, &field, 1, i64::MAX));
    // 0 is the engine's word for no limit.
    let positive =
        |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok()).filter(|n| *n > 0);
    let resources = Resources {
        memory: memory?.filter(|bytes| *bytes > 0),
        memory_reservation: reservation?.filter(|bytes| *bytes > 0),
        memory_swap: swap.map_or(Some(None), |swap| swap.map(Some))?.filter(|bytes| *bytes != 0),
        nano_cpus: nano_cpus?.filter(|nano| *nano > 0),
        cpu_shares: positive(shares.map_or(Some(None), |shares| shares.map(Some))?),
        cpu_period: positive(period.map_or(Some(None), |period| period.map(Some))?),
        cpu_quota: quota.map_or(Some(None), |quota| quota.map(Some))?.filter(|quota| *quota > 0),
        cpuset: cpuset.map_or(Some(None), |cpuset| cpuset.map(Some))?,
        pids: pids?.filter(|pids| *pids > 0),
        cpu_rt_period: positive(rt_period.map_or(Some(None), |period| period.map(Some))?),
        cpu_rt_runtime: positive(rt_runtime.map_or(Some(None), |runtime| runtime.map(Some))?),
    };
    limits_fit(reader, service, deploy, &resources);
    Some(resources)
}

/// What the engine would refuse when the container is created or updated.
fn limits_fit(reader: &mut Reader<'_, '_>, service: &Fields<'_>, deploy: &Deploy<'_>, resources: &Resources) {
    let Resources { memory, memory_reservation, memory_swap, nano_cpus, cpu_period, cpu_quota, .. } =
        resources;
    let memory_field =
        deploy.limits.as_ref().and_then(|l| l.get("memory")).or_else(|| service.get("mem_limit"));
    let cpus_field = deploy.limits.as_ref().and_then(|l| l.get("cpus")).or_else(|| service.get("cpus"));
    let reservation_field =
        deploy.reservations.as_ref().and_then(|r| r.get("memory")).or_else(|| service.get("mem_reservation"));
    let mut refuse = |field: Option<Field<'_>>, message: &str, label: &str| {
        if let Some(field) = field {
            let message = format!("`{}`: {message}", field.path);
            reader.error("out-of-range", field.node, message, label);
        }
    };
    if memory.is_some_and(|bytes| bytes < LEAST_MEMORY) {
        refuse(memory_field, "the engine takes no limit below 6 MiB", "at least \"6m\"");
    }
    if memory_reservation.zip(*memory).is_some_and(|(reserved, limit)| reserved > limit) {
        refuse(reservation_field, "more is reserved than the memory limit allows", "at most the limit");
    }
    if let Some(swap) = *memory_swap {
        let field = service.get("memswap_limit");
        match memory {
            None if swap > 0 => {
                refuse(field, "it counts memory and swap, so it needs a memory limit", "add mem_limit")
            }
            Some(limit) if swap > 0 && swap.unsigned_abs() < *limit => {
                refuse(field, "it counts memory and swap together", "at least the memory limit");
            }
            _ => {}
        }
    }
    if nano_cpus.is_some_and(|nano| nano < 10_000_000) {
        refuse(cpus_field, "the engine takes no less than a hundredth of a core", "at least 0.01");
    }
    if resources.cpu_rt_runtime.zip(resources.cpu_rt_period).is_some_and(|(runtime, period)| runtime > period)
    {
        refuse(service.get("cpu_rt_runtime"), "it is longer than cpu_rt_period", "at most the period");
    }
    if nano_cpus.is_some() && (cpu_period.is_some() || cpu_quota.is_some()) {
        let field = service.get("cpu_period").or_else(|| service.get("cpu_quota"));
        if let Some(field) = field {
            let message = format!("`{}` and a number of cores cannot be combined", field.path);
            let label = "drop it, or the limit of cores";
            reader.report(Diagnostic::error("conflicting-values", field.node.span.clone(), message, label));
        }
    }
}

fn cores(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> Option<u64> {
    let text = match &field.node.value {
        Value::Integer(number) => number.to_string(),
        // Rust prints the shortest digits that mean this float: what the user wrote.
        Value::Float(number) => number.to_string(),
        Value::String(text) => text.clone(),
        _ => {
            reader.wrong_type(field, "a number of cores", "for example 0.5");
            return None;
        }
    };
    match scalar::cores(&text) {
        Ok(cores) => Some(cores),
        Err(fault) => {
            let message = format!("`{text}` is not a number of cores: {fault}");
            reader.error("bad-number", field.node, message, "write for example 0.5");
            None
        }
    }
}

fn swap(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> Option<i64> {
    let unlimited = match &field.node.value {
        Value::Integer(number) => *number == -1,
        Value::String(text) => text.trim() == "-1",
        _ => false,
    };
    if unlimited { Some(-1) } else { reader.size(field).and_then(|bytes| i64::try_from(bytes).ok()) }
}

/// Microseconds as a number, or a duration; 0 is none, -1 too.
fn microseconds(reader: &mut Reader<'_, '_>, field: &Field<'_>, least: i64, most: i64) -> Option<i64> {
    let number = match &field.node.value {
        Value::String(text) if text.trim().parse::<i64>().is_err() => {
            i64::try_from(reader.duration(field)? / 1000).ok()?
        }
        Value::String(text) if !field.node.interpolated => text.trim().parse().ok()?,
        _ => reader.whole(field, -1, most)?,
    };
    if number > 0 && !(least..=most).contains(&number) {
        let message = format!("`{}` is {number} µs", field.path);
        let label =
            if number < least { format!("at least {least} µs") } else { format!("at most {most} µs") };
        reader.error("out-of-range", field.node, message, label);
        return None;
    }
    Some(number.max(0))
}

/// `0-3,5`.
fn cpuset(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> Option<String> {
    let text: String = reader.filled(field)?.chars().filter(|c| !c.is_whitespace()).collect();
    let number = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u32>().ok()).flatten()
    };
    let good = text.split(',').all(|part| match part.split_once('-') {
        Some((first, last)) => number(first).zip(number(last)).is_some_and(|(first, last)| first <= last),
        None => number(part).is_some(),
    });
    if !good {
        let message = format!("`{text}` is not a list of cores");
        reader.error("bad-number", field.node, message, "write for example \"0-3\" or \"0,2\"");
    }
    good.then_some(text)
}
