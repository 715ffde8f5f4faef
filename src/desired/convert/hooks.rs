//! `pre_start`, `post_start`, `pre_stop`, and `hooks`.

use crate::desired::diagnostic::Diagnostic;
use crate::desired::hooks::{Hook, HookPoint, Hooks, Lifecycle, OnError};
use crate::desired::manifest;
use crate::desired::node::Value;

use super::image;
use super::keys::Parent;
use super::probe::command;
use super::read::{Field, Fields, Reader};

/// `None`: something is wrong.
pub(super) fn lifecycle(reader: &mut Reader<'_, '_>, service: &Fields<'_>) -> Option<Lifecycle> {
    let mut of = |point: HookPoint| match service.get(point.as_str()) {
        None => Some(Vec::new()),
        Some(field) => hooks_at(reader, service, &field, point),
    };
    let (before, after, stop) = (of(HookPoint::PreStart), of(HookPoint::PostStart), of(HookPoint::PreStop));
    Some(Lifecycle { pre_start: before?, post_start: after?, pre_stop: stop? })
}

/// `None`: something is wrong.
pub(super) fn hooks(reader: &mut Reader<'_, '_>, service: &Fields<'_>) -> Option<Hooks> {
    let Some(field) = service.get("hooks") else { return Some(Hooks::new()) };
    let fields = reader.table(&field, "hooks = { after_update = [{ command = [\"...\"] }] }")?;
    let parents = [Parent { path: &service.path, shape: "Service" }, Parent { path: "", shape: "File" }];
    reader.check(&fields, "Hooks", &parents);
    let mut all = Some(Hooks::new());
    for point in HookPoint::OF_UPDATES {
        let Some(field) = fields.get(point.as_str()) else { continue };
        match (hooks_at(reader, &fields, &field, point), &mut all) {
            (Some(found), Some(all)) if !found.is_empty() => drop(all.insert(point, found)),
            (None, _) => all = None,
            _ => {}
        }
    }
    all
}

fn hooks_at(
    reader: &mut Reader<'_, '_>,
    outer: &Fields<'_>,
    field: &Field<'_>,
    point: HookPoint,
) -> Option<Vec<Hook>> {
    // One alone need not be put into a list.
    let items = match &field.node.value {
        Value::Table(_) => vec![field.clone()],
        _ => reader.list(field, &format!("{point} = [{{ command = [\"program\"] }}]"))?,
    };
    let found: Vec<Option<Hook>> = items.iter().map(|item| hook(reader, outer, item, point)).collect();
    found.into_iter().collect()
}

fn hook(
    reader: &mut Reader<'_, '_>,
    outer: &Fields<'_>,
    field: &Field<'_>,
    point: HookPoint,
) -> Option<Hook> {
    let fields = reader.table(field, "{ command = [\"program\", \"argument\"] }")?;
    let shape = match point {
        HookPoint::PreStart => "PreStartHook",
        HookPoint::PostStart | HookPoint::PreStop => "LifecycleHook",
        _ => "UpdateHook",
    };
    reader.check(&fields, shape, &[Parent { path: &outer.path, shape: "Service" }]);
    let exec = command(reader, field, &fields);
    let image = match fields.get("image") {
        None => None,
        Some(_) => Some(image::image(reader, &fields)?),
    };
    let timeout_ms = match fields.get("timeout") {
        None => None,
        Some(field) => {
            let ms = reader.duration(&field)?.div_ceil(1_000_000);
            if ms == 0 {
                let message = format!("`{}` gives it no time at all", field.path);
                reader.report(Diagnostic::error(
                    "out-of-range",
                    field.node.span.clone(),
                    message,
                    "at least \"1ms\"",
                ));
                return None;
            }
            Some(ms)
        }
    };
    let on_error = match fields.get("on_error") {
        None => OnError::default(),
        Some(field) => {
            match reader.choice(&field, "reaction to a failed hook", manifest::OnHookError::WORDS)? {
                "continue" => OnError::Continue,
                _ => OnError::Abort,
            }
        }
    };
    Some(Hook { exec: exec?, image, timeout_ms, on_error })
}
