//! `deploy`, `restart`, `scale`, and the short forms of the limits.

use crate::desired::diagnostic::Diagnostic;
use crate::desired::manifest;
use crate::desired::node::Value;
use crate::desired::spec::{FailureAction, Resources, RestartPolicy, UpdateConfig, UpdateOrder};

use super::keys::Parent;
use super::read::{Field, Fields, Reader};
use super::scalar;

/// `deploy` and its tables, keys checked; `None` where one is missing or no table.
#[derive(Default)]
pub(super) struct Deploy<'t> {
    pub own: Option<Fields<'t>>,
    limits: Option<Fields<'t>>,
    reservations: Option<Fields<'t>>,
    update: Option<Fields<'t>>,
    restart: Option<Fields<'t>>,
}

pub(super) fn open<'t>(reader: &mut Reader<'_, '_>, service: &Fields<'t>) -> Deploy<'t> {
    let mut deploy = Deploy::default();
    let Some(field) = service.get("deploy") else { return deploy };
    let Some(own) = reader.table(&field, "deploy = { replicas = 2 }") else { return deploy };
    let of_service = Parent { path: &service.path, shape: "Service" };
    let of_deploy = Parent { path: &own.path, shape: "Deploy" };
    reader.check(&own, "Deploy", &[of_service]);
    let mut below = |within: &Fields<'t>, key: &str, shape: &str, parents: &[Parent<'_>]| {
        let field = within.get(key)?;
        let fields = reader.table(&field, &format!("{key} = {{ ... }}"))?;
        reader.check(&fields, shape, parents);
        Some(fields)
    };
    deploy.update = below(&own, "update_config", "UpdateConfig", &[of_deploy, of_service]);
    deploy.restart = below(&own, "restart_policy", "RestartPolicy", &[of_deploy, of_service]);
    if let Some(resources) = below(&own, "resources", "Resources", &[of_deploy, of_service]) {
        let of_resources = Parent { path: &resources.path, shape: "Resources" };
        let parents = [of_resources, of_deploy, of_service];
        deploy.limits = below(&resources, "limits", "Limits", &parents);
        deploy.reservations = below(&resources, "reservations", "Reservations", &parents);
    }
    mode(reader, &own);
    deploy.own = Some(own);
    deploy
}

fn mode(reader: &mut Reader<'_, '_>, own: &Fields<'_>) {
    let Some(field) = own.get("mode") else { return };
    if let Some(word @ ("global" | "replicated-job" | "global-job")) = field.node.as_str() {
        let label = "this version runs `replicas` containers on this host";
        reader.error("unsupported-value", field.node, format!("`{word}` is not supported as mode"), label);
    } else {
        reader.choice(&field, "mode", manifest::DeployMode::WORDS);
    }
}

/// How many containers, from `deploy.replicas` or `scale`, and where that was said.
pub(super) fn replicas<'t>(
    reader: &mut Reader<'_, '_>,
    service: &Fields<'t>,
    deploy: &Deploy<'t>,
) -> Option<(u32, Option<Field<'t>>)> {
    let long = deploy.own.as_ref().and_then(|own| own.get("replicas"));
    let short = service.get("scale");
    let place = long.clone().or_else(|| short.clone());
    let count = agreed(reader, long, short, |reader, field| reader.whole(field, 0, 1000))?;
    let count = count.and_then(|count| u32::try_from(count).ok()).unwrap_or(1);
    Some((count, place))
}

/// The value of a key that has two names. Both may be written if they say the same, as in Compose. The outer `None`:
/// something is wrong.
#[allow(clippy::option_option)]
fn agreed<'t, T: PartialEq>(
    reader: &mut Reader<'_, '_>,
    one: Option<Field<'t>>,
    other: Option<Field<'t>>,
    mut read: impl FnMut(&mut Reader<'_, '_>, &Field<'t>) -> Option<T>,
) -> Option<Option<T>> {
    let (Some(one), Some(other)) = (one.clone(), other.clone()) else {
        return match one.or(other) {
            Some(only) => read(reader, &only).map(Some),
            None => Some(None),
        };
    };
    let (first, second) = (read(reader, &one), read(reader, &other));
    let (first, second) = (first?, second?);
    if first != second {
        let message = format!("`{}` and `{}` say different things", other.path, one.path);
        let diagnostic =
            Diagnostic::error("conflicting-values", other.node.span.clone(), message, "drop one of the two");
        reader.report(diagnostic.also(one.node.span.clone(), "the other value"));
        return None;
    }
    Some(Some(first))
}

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

pub(super) fn restart(
    reader: &mut Reader<'_, '_>,
    service: &Fields<'_>,
    deploy: &Deploy<'_>,
) -> Option<RestartPolicy> {
    let short = match service.get("restart") {
        None => None,
        Some(field) => Some((short_restart(reader, &field)?, field)),
    };
    let Some(fields) = &deploy.restart else {
        return Some(short.map(|(policy, _)| policy).unwrap_or_default());
    };
    let policy = long_restart(reader, fields)?;
    if let Some((other, field)) = short
        && other != policy
    {
        let message = format!("`{}` is overridden by `{}`", field.path, fields.path);
        let diagnostic = Diagnostic::warning(
            "overridden-value",
            field.node.span.clone(),
            message,
            "has no effect, as in Compose",
        );
        reader.report(diagnostic.also(fields.table.header.clone(), "this counts"));
    }
    Some(policy)
}

fn short_restart(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> Option<RestartPolicy> {
    const LISTED: &str = "no, always, on-failure, on-failure:<times>, unless-stopped";
    if let Value::Boolean(flag) = field.node.value {
        reader.wrong_type(field, "text", if flag { "\"always\"" } else { "\"no\"" });
        return None;
    }
    let text = reader.text(field)?;
    if let Some(times) = text.strip_prefix("on-failure:") {
        let digits = !times.is_empty() && times.bytes().all(|byte| byte.is_ascii_digit());
        let times_span = field.node.part("on-failure:".len(), text.len());
        let Some(max_retries) = times.parse().ok().filter(|_| digits) else {
            let message = format!("`{times}` is not a number of restarts");
            reader.report(Diagnostic::error(
                "bad-choice",
                times_span,
                message,
                "write for example on-failure:3",
            ));
            return None;
        };
        return Some(RestartPolicy::OnFailure { max_retries });
    }
    Some(match text {
        "no" | "" => RestartPolicy::No,
        "always" => RestartPolicy::Always,
        "unless-stopped" => RestartPolicy::UnlessStopped,
        "on-failure" => RestartPolicy::OnFailure { max_retries: 0 },
        _ => {
            let span = field.node.span.clone();
            reader.bad_choice(span, text, "restart policy", manifest::Restart::WORDS, Some(LISTED));
            return None;
        }
    })
}

fn long_restart(reader: &mut Reader<'_, '_>, fields: &Fields<'_>) -> Option<RestartPolicy> {
    let condition = match fields.get("condition") {
        None => "any",
        Some(field) => reader.choice(&field, "restart condition", manifest::RestartCondition::WORDS)?,
    };
    let attempts = match fields.get("max_attempts") {
        None => 0,
        Some(field) => {
            let attempts = reader.whole(&field, 0, i64::from(i32::MAX))?;
            if attempts > 0 && condition != "on-failure" {
                let message = format!("`{}` goes with condition = \"on-failure\" only", field.path);
                reader.error(
                    "conflicting-values",
                    field.node,
                    message,
                    "the engine counts failures, not other ends",
                );
                return None;
            }
            attempts
        }
    };
    Some(match condition {
        "none" | "no" => RestartPolicy::No,
        "unless-stopped" => RestartPolicy::UnlessStopped,
        "on-failure" => RestartPolicy::OnFailure { max_retries: u32::try_from(attempts).unwrap_or_default() },
        _ => RestartPolicy::Always,
    })
}

/// `deploy.update_config` over the defaults; `healthy_within_ms` is the caller's.
pub(super) fn update(reader: &mut Reader<'_, '_>, deploy: &Deploy<'_>) -> Option<UpdateConfig> {
    let mut update = UpdateConfig::default();
    let Some(fields) = &deploy.update else { return Some(update) };
    let mut good = true;
    let mut take = |read: bool| good &= read;
    if let Some(field) = fields.get("order") {
        let order = reader.choice(&field, "update order", manifest::Order::WORDS);
        take(order.is_some());
        update.order = match order {
            Some("start-first") => UpdateOrder::StartFirst,
            Some("auto") => UpdateOrder::Auto,
            _ => UpdateOrder::StopFirst,
        };
    }
    if let Some(field) = fields.get("failure_action") {
        let action = reader.choice(&field, "failure action", manifest::OnUpdateFailure::WORDS);
        take(action.is_some());
        update.failure_action = match action {
            Some("pause") => FailureAction::Pause,
            Some("continue") => FailureAction::Continue,
            _ => FailureAction::Rollback,
        };
    }
    if let Some(field) = fields.get("parallelism") {
        let count = reader.whole(&field, 0, 1000).and_then(|count| u32::try_from(count).ok());
        take(count.is_some());
        update.parallelism = count.unwrap_or(1);
    }
    for (key, place) in [("delay", &mut update.delay_ms), ("monitor", &mut update.monitor_ms)] {
        if let Some(field) = fields.get(key) {
            let time = reader.duration(&field);
            take(time.is_some());
            *place = time.unwrap_or_default().div_ceil(1_000_000);
        }
    }
    if let Some(field) = fields.get("max_failure_ratio") {
        let ratio = permille(reader, &field);
        take(ratio.is_some());
        update.max_failure_permille = ratio.unwrap_or_default();
    }
    good.then_some(update)
}

fn permille(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> Option<u32> {
    let text = match &field.node.value {
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::String(text) if field.node.interpolated => text.clone(),
        _ => {
            reader.wrong_type(field, "a number from 0 to 1", "for example 0.25");
            return None;
        }
    };
    let billionths = scalar::cores(&text).ok().filter(|billionths| *billionths <= 1_000_000_000);
    if billionths.is_none() {
        let message = format!("`{}` is not between 0 and 1", field.path);
        reader.error("out-of-range", field.node, message, "write for example 0.25");
    }
    billionths.and_then(|billionths| u32::try_from(billionths / 1_000_000).ok())
}
