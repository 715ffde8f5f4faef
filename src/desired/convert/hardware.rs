//! Devices of the host: `devices`, `device_cgroup_rules`, `gpus` and `deploy.resources.reservations.devices`.

use std::collections::BTreeMap;

use crate::desired::diagnostic::Diagnostic;
use crate::desired::node::Value;
use crate::desired::spec::{Device, DeviceRequest};

use super::deploy::Deploy;
use super::paths;
use super::read::{Field, Fields, Reader};

/// What `devices` names: paths, sorted by their path in the container, and CDI names.
#[derive(Default)]
pub(super) struct Devices {
    pub mapped: Vec<Device>,
    pub cdi: Vec<String>,
}

pub(super) fn devices(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> Devices {
    let mut all: BTreeMap<String, Device> = BTreeMap::new();
    let mut cdi: Vec<String> = Vec::new();
    for item in reader.list(field, "devices = [\"/dev/ttyUSB0\"]").unwrap_or_default() {
        if let Some(name) = cdi_name(&item) {
            reader.needs_api(&item, (1, 44), "25", true);
            if !cdi.iter().any(|known| known == name) {
                cdi.push(name.to_owned());
            }
            continue;
        }
        let found = match &item.node.value {
            Value::Table(_) => long_device(reader, &item),
            _ => reader.filled(&item).map(str::to_owned).and_then(|text| short_device(reader, &item, &text)),
        };
        let Some(device) = found else { continue };
        if let Some(first) = all.get(&device.container) {
            let message = format!("device `{}` is given twice, with different settings", first.container);
            if *first != device {
                reader.error("duplicate-device", item.node, message, "second one");
            }
            continue;
        }
        all.insert(device.container.clone(), device);
    }
    Devices { mapped: all.into_values().collect(), cdi }
}

/// `vendor.com/class=device`, as text or as the `source` of a table.
fn cdi_name<'t>(item: &Field<'t>) -> Option<&'t str> {
    let source = item.node.as_table().and_then(|table| table.get("source"));
    let text = source.map_or(item.node.as_str(), |source| source.value.as_str())?;
    let (class, device) = text.split_once('=')?;
    let (vendor, class) = class.split_once('/')?;
    let good = |part: &str| !part.is_empty() && !part.contains([':', '/']);
    (good(vendor) && good(class) && good(device)).then_some(text)
}

fn short_device(reader: &mut Reader<'_, '_>, item: &Field<'_>, text: &str) -> Option<Device> {
    let parts: Vec<&str> = text.split(':').collect();
    let (host, container, permissions) = match parts.as_slice() {
        [host] => (*host, *host, None),
        // Two parts are ambiguous: the engine's command line looks whether the second one is permissions.
        [host, second] if is_permissions(second) => (*host, *host, Some(*second)),
        [host, container] => (*host, *container, None),
        [host, container, permissions] => (*host, *container, Some(*permissions)),
        _ => ("", "", None),
    };
    device(reader, item, text, host, container, permissions)
}

fn long_device(reader: &mut Reader<'_, '_>, item: &Field<'_>) -> Option<Device> {
    let fields = reader.table(item, "{ source = \"/dev/ttyUSB0\" }")?;
    reader.check(&fields, "Device", &[]);
    let Some(source) = fields.get("source") else {
        let message = format!("`{}` has an entry without `source`", item.path);
        reader.error("missing-key", item.node, message, "add the host's device: source = \"/dev/...\"");
        return None;
    };
    let host = reader.filled(&source)?.to_owned();
    let container = match fields.get("target") {
        Some(field) => reader.filled(&field)?.to_owned(),
        None => host.clone(),
    };
    let permissions = match fields.get("permissions") {
        Some(field) => Some(reader.filled(&field)?.to_owned()),
        None => None,
    };
    device(reader, &source, &host, &host, &container, permissions.as_deref())
}

fn is_permissions(text: &str) -> bool {
    !text.is_empty() && text.len() <= 3 && text.bytes().all(|byte| matches!(byte, b'r' | b'w' | b'm'))
}

fn device(
    reader: &mut Reader<'_, '_>,
    item: &Field<'_>,
    text: &str,
    host: &str,
    container: &str,
    permissions: Option<&str>,
) -> Option<Device> {
    let fault = |reader: &mut Reader<'_, '_>, label: &str| {
        let diagnostic = Diagnostic::error(
            "bad-device",
            item.node.span.clone(),
            format!("`{text}` is not a device"),
            label,
        );
        reader.report(diagnostic.help("form: \"/dev/host[:/dev/container][:rwm]\""));
        None
    };
    let permissions = permissions.unwrap_or("rwm");
    if !is_permissions(permissions) {
        return fault(reader, "permissions are some of r, w and m");
    }
    let (Some(host), Some(container)) = (paths::in_container(host), paths::in_container(container)) else {
        return fault(reader, "both paths begin with `/`");
    };
    let permissions = ['r', 'w', 'm'].into_iter().filter(|bit| permissions.contains(*bit)).collect();
    Some(Device { host, container, permissions })
}

/// `c 13:* rwm`: kind, major and minor number, and what is allowed.
pub(super) fn cgroup_rules(reader: &mut Reader<'_, '_>, service: &Fields<'_>) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let Some(field) = service.get("device_cgroup_rules") else { return all };
    for item in reader.list(&field, "device_cgroup_rules = [\"c 13:* rwm\"]").unwrap_or_default() {
        let Some(text) = reader.filled(&item) else { continue };
        if !is_rule(text) {
            let message = format!("`{text}` is not a rule for devices");
            let diagnostic =
                Diagnostic::error("bad-device", item.node.span.clone(), message, "not understood");
            reader.report(diagnostic.help("form: \"<a|b|c> <major>:<minor> <rwm>\", numbers or `*`"));
            continue;
        }
        if !all.iter().any(|known| known == text) {
            all.push(text.to_owned());
        }
    }
    all
}

fn is_rule(text: &str) -> bool {
    let number =
        |part: &str| part == "*" || (!part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    let parts: Vec<&str> = text.split(' ').collect();
    let [kind, numbers, permissions] = parts.as_slice() else { return false };
    let numbers = numbers.split_once(':').is_some_and(|(major, minor)| number(major) && number(minor));
    matches!(*kind, "a" | "b" | "c") && numbers && is_permissions(permissions)
}

/// Every device request of a service, in the order in which the keys are read.
pub(super) fn requests(
    reader: &mut Reader<'_, '_>,
    service: &Fields<'_>,
    deploy: &Deploy<'_>,
    cdi: Vec<String>,
) -> Vec<DeviceRequest> {
    let mut all = Vec::new();
    if !cdi.is_empty() {
        let driver = Some("cdi".to_owned());
        all.push(DeviceRequest { driver, device_ids: cdi, ..DeviceRequest::default() });
    }
    let reserved = deploy.reservations.as_ref().and_then(|reserved| reserved.get("devices"));
    if let Some(field) = reserved {
        for item in reader.list(&field, "devices = [{ capabilities = [\"gpu\"] }]").unwrap_or_default() {
            all.extend(request(reader, &item, false));
        }
    }
    if let Some(field) = service.get("gpus") {
        all.extend(gpus(reader, &field));
    }
    all
}

fn gpus(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> Vec<DeviceRequest> {
    match &field.node.value {
        Value::String(text) if text == "all" => {
            let capabilities = vec!["gpu".to_owned()];
            vec![DeviceRequest { count: -1, capabilities, ..DeviceRequest::default() }]
        }
        Value::Array(items) => {
            items.iter().filter_map(|item| request(reader, &field.item(item), true)).collect()
        }
        _ => {
            reader.wrong_type(field, "\"all\" or a list", "gpus = \"all\"");
            Vec::new()
        }
    }
}

fn request(reader: &mut Reader<'_, '_>, item: &Field<'_>, gpu: bool) -> Option<DeviceRequest> {
    let fields = reader.table(item, "{ driver = \"nvidia\", count = 1, capabilities = [\"gpu\"] }")?;
    reader.check(&fields, "DeviceRequest", &[]);
    let texts = |reader: &mut Reader<'_, '_>, key: &str| -> Vec<String> {
        let Some(field) = fields.get(key) else { return Vec::new() };
        let items = reader.list(&field, &format!("{key} = [\"...\"]")).unwrap_or_default();
        items.iter().filter_map(|item| reader.filled(item).map(str::to_owned)).collect()
    };
    let mut capabilities = texts(reader, "capabilities");
    if gpu && !capabilities.iter().any(|capability| capability == "gpu") {
        capabilities.push("gpu".to_owned());
    }
    // A device of a CDI file is named whole.
    let whole = fields.get("driver").is_some_and(|driver| driver.node.as_str() == Some("cdi"));
    if capabilities.is_empty() && !whole {
        let message = format!("`{}` has an entry without `capabilities`", item.path);
        let label = "add what the devices must be able to do: capabilities = [\"gpu\"]";
        reader.error("missing-key", item.node, message, label);
    }
    let device_ids = texts(reader, "device_ids");
    let count = fields.get("count");
    if let (Some(count), false) = (&count, device_ids.is_empty()) {
        let message = format!("`{}` and `device_ids` cannot be combined", count.path);
        let label = "ids are a number already: drop one of the two";
        reader.error("conflicting-values", count.node, message, label);
    }
    let count = match &count {
        Some(field) if field.node.as_str() == Some("all") => -1,
        Some(field) => reader.whole(field, -1, i64::MAX)?,
        None if device_ids.is_empty() => -1,
        None => 0,
    };
    Some(DeviceRequest {
        driver: fields.get("driver").and_then(|field| reader.filled(&field).map(str::to_owned)),
        count,
        device_ids,
        capabilities,
        options: fields.get("options").map(|field| reader.options(&field)).unwrap_or_default(),
    })
}
