//! `rollout`.

use crate::desired::diagnostic::Diagnostic;
use crate::desired::manifest;
use crate::desired::spec::{Rollout, Strategy, Switch, UpdateConfig, UpdateOrder};

use super::keys::Parent;
use super::read::{Field, Fields, Reader};

/// Reads it, and lets the strategy say the order of the update. Beside it: whether each roll-out waits for approval.
pub(super) fn rollout(
    reader: &mut Reader<'_, '_>,
    service: &Fields<'_>,
    update: &mut UpdateConfig,
) -> Option<(Rollout, bool)> {
    let Some(field) = service.get("rollout") else { return Some((Rollout::default(), false)) };
    let fields = reader.table(&field, "rollout = { strategy = \"blue-green\" }")?;
    reader.check(&fields, "Rollout", &[Parent { path: &service.path, shape: "Service" }]);
    let strategy = match fields.get("strategy") {
        None => Strategy::Rolling,
        Some(field) => strategy(reader, service, &field, update)?,
    };
    let switch = match fields.get("switch") {
        None => Switch::Health,
        Some(field) => switch(reader, &field, strategy)?,
    };
    let time = |reader: &mut Reader<'_, '_>, key: &str| match fields.get(key) {
        None => Some(None),
        Some(field) => reader.duration(&field).map(|time| Some(time.div_ceil(1_000_000))),
    };
    let healthy_within = time(reader, "healthy_within");
    let drain = time(reader, "drain");
    let keep_old = time(reader, "keep_old");
    if let Some(within) = healthy_within? {
        update.healthy_within_ms = within;
    }
    if let (Some(field), Some(Some(1..)), UpdateOrder::StopFirst) = (fields.get("drain"), drain, update.order)
    {
        let message =
            format!("`{}` has no effect: the old container stops before the new one starts", field.path);
        let told = Diagnostic::warning("no-effect", field.key.clone(), message, "needs both at once");
        reader
            .report(told.help("strategy = \"blue-green\", or deploy.update_config.order = \"start-first\""));
    }
    let approve = fields.get("approve").map_or(Some(false), |field| reader.flag(&field));
    let rollout = Rollout {
        strategy,
        switch,
        drain_ms: drain?.unwrap_or_default(),
        keep_old_ms: keep_old?.unwrap_or_default(),
    };
    Some((rollout, approve?))
}

fn strategy(
    reader: &mut Reader<'_, '_>,
    service: &Fields<'_>,
    field: &Field<'_>,
    update: &mut UpdateConfig,
) -> Option<Strategy> {
    let (strategy, order) = match reader.choice(field, "strategy", manifest::Strategy::WORDS)? {
        "recreate" => (Strategy::Recreate, UpdateOrder::StopFirst),
        "blue-green" => (Strategy::BlueGreen, UpdateOrder::StartFirst),
        _ => return Some(Strategy::Rolling),
    };
    let deploy = service.get("deploy").and_then(|field| field.node.as_table().cloned());
    let said = deploy.as_ref().and_then(|deploy| deploy.get("update_config")?.value.as_table());
    let entry = |key: &str| said.and_then(|said| said.get(key));
    let other = entry("order").filter(|_| update.order != order);
    let several = entry("parallelism").filter(|_| update.parallelism != 0);
    if let Some(other) = other.or(several) {
        let implied = if order == UpdateOrder::StartFirst { "start-first" } else { "stop-first" };
        let message = format!(
            "`update_config.{}` says something else than the strategy, which is {implied} with all at once",
            other.key
        );
        let told = Diagnostic::error("conflicting-values", other.value.span.clone(), message, "drop it");
        reader.report(told.also(field.node.span.clone(), "the strategy"));
        return None;
    }
    (update.order, update.parallelism) = (order, 0);
    Some(strategy)
}

fn switch(reader: &mut Reader<'_, '_>, field: &Field<'_>, strategy: Strategy) -> Option<Switch> {
    if field.node.as_str() == Some("port") {
        let message =
            "`port` is not supported as switch: no engine moves a host port from one container to another";
        let label = "let a proxy publish the port, and write \"health\"";
        reader.error("unsupported-value", field.node, message, label);
        return None;
    }
    let switch = match reader.choice(field, "switch", manifest::Switch::WORDS)? {
        "alias" => Switch::Alias,
        _ => Switch::Health,
    };
    if switch == Switch::Alias && strategy != Strategy::BlueGreen {
        let message = "`switch = \"alias\"` moves the name from one whole set to another";
        reader.error("conflicting-values", field.node, message, "needs strategy = \"blue-green\"");
        return None;
    }
    Some(switch)
}
