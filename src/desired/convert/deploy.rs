//! `deploy` and `scale`: replicas and updates.

use crate::desired::diagnostic::Diagnostic;
use crate::desired::manifest;
use crate::desired::node::Value;
use crate::desired::spec::{FailureAction, RollbackConfig, UpdateConfig, UpdateOrder};

use super::keys::Parent;
use super::read::{Field, Fields, Reader};
use super::scalar;

/// `deploy` and its tables, keys checked; `None` where one is missing or no table.
#[derive(Default)]
pub(super) struct Deploy<'t> {
    pub own: Option<Fields<'t>>,
    pub limits: Option<Fields<'t>>,
    pub reservations: Option<Fields<'t>>,
    update: Option<Fields<'t>>,
    rollback: Option<Fields<'t>>,
    pub restart: Option<Fields<'t>>,
    /// `mode = "global"`: one on each host that is meant.
    global: bool,
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
    deploy.rollback = below(&own, "rollback_config", "RollbackConfig", &[of_deploy, of_service]);
    deploy.restart = below(&own, "restart_policy", "RestartPolicy", &[of_deploy, of_service]);
    if let Some(resources) = below(&own, "resources", "Resources", &[of_deploy, of_service]) {
        let of_resources = Parent { path: &resources.path, shape: "Resources" };
        let parents = [of_resources, of_deploy, of_service];
        deploy.limits = below(&resources, "limits", "Limits", &parents);
        deploy.reservations = below(&resources, "reservations", "Reservations", &parents);
    }
    let placement = below(&own, "placement", "Placement", &[of_deploy, of_service]);
    if let Some(field) = placement.as_ref().and_then(|placement| placement.get("constraints")) {
        // Whether they hold was decided before; here only what is no text is told.
        let right = "[\"node.labels.zone == eu\"]";
        for item in reader.one_or_many(&field, right).unwrap_or_default() {
            reader.text(&item);
        }
    }
    deploy.global = mode(reader, &own);
    deploy.own = Some(own);
    deploy
}

/// Whether it is `global`.
fn mode(reader: &mut Reader<'_, '_>, own: &Fields<'_>) -> bool {
    let Some(field) = own.get("mode") else { return false };
    if let Some(word @ ("replicated-job" | "global-job")) = field.node.as_str() {
        let label = "a job: this version runs services only";
        reader.error("unsupported-value", field.node, format!("`{word}` is not supported as mode"), label);
        return false;
    }
    reader.choice(&field, "mode", manifest::DeployMode::WORDS) == Some("global")
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
    if let (true, Some(count @ (0 | 2..)), Some(field)) = (deploy.global, count, &place) {
        let message = format!(
            "`mode = \"global\"` is one container on each host, and `{}` asks for {count}",
            field.path
        );
        let diagnostic =
            Diagnostic::error("conflicting-values", field.node.span.clone(), message, "drop one of the two");
        let mode = deploy.own.as_ref().and_then(|own| own.get("mode"));
        reader.report(match mode {
            Some(mode) => diagnostic.also(mode.node.span.clone(), "the mode"),
            None => diagnostic,
        });
        return None;
    }
    let count = count.and_then(|count| u32::try_from(count).ok()).unwrap_or(1);
    Some((count, place))
}

/// The value of a key that has two names. Both may be written if they say the same, as in Compose. The outer `None`:
/// something is wrong.
#[allow(clippy::option_option)]
pub(super) fn agreed<'t, T: PartialEq>(
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

/// `deploy.update_config` over the defaults; `healthy_within_ms` is the caller's.
pub(super) fn update(reader: &mut Reader<'_, '_>, deploy: &Deploy<'_>) -> Option<UpdateConfig> {
    let mut update = UpdateConfig { rollback: rollback(reader, deploy)?, ..UpdateConfig::default() };
    let Some(fields) = &deploy.update else { return Some(update) };
    let mut good = true;
    let mut take = |read: bool| good &= read;
    if let Some(field) = fields.get("order") {
        let order = order(reader, &field);
        take(order.is_some());
        update.order = order.unwrap_or(UpdateOrder::StopFirst);
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

fn order(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> Option<UpdateOrder> {
    Some(match reader.choice(field, "update order", manifest::Order::WORDS)? {
        "start-first" => UpdateOrder::StartFirst,
        "auto" => UpdateOrder::Auto,
        _ => UpdateOrder::StopFirst,
    })
}

/// `deploy.rollback_config`: only what it says.
fn rollback(reader: &mut Reader<'_, '_>, deploy: &Deploy<'_>) -> Option<RollbackConfig> {
    let mut rollback = RollbackConfig::default();
    let Some(fields) = &deploy.rollback else { return Some(rollback) };
    let mut good = true;
    if let Some(field) = fields.get("order") {
        rollback.order = order(reader, &field);
        good &= rollback.order.is_some();
    }
    if let Some(field) = fields.get("parallelism") {
        rollback.parallelism = reader.whole(&field, 0, 1000).and_then(|count| u32::try_from(count).ok());
        good &= rollback.parallelism.is_some();
    }
    for (key, place) in [("delay", &mut rollback.delay_ms), ("monitor", &mut rollback.monitor_ms)] {
        if let Some(field) = fields.get(key) {
            *place = reader.duration(&field).map(|time| time.div_ceil(1_000_000));
            good &= place.is_some();
        }
    }
    good.then_some(rollback)
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
