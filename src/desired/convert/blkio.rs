//! `blkio_config`.

use std::collections::BTreeMap;

use crate::desired::spec::Blkio;

use super::keys::Parent;
use super::paths;
use super::read::{Field, Fields, Reader};

pub(super) fn blkio(reader: &mut Reader<'_, '_>, service: &Fields<'_>) -> Blkio {
    let mut blkio = Blkio::default();
    let Some(field) = service.get("blkio_config") else { return blkio };
    let Some(fields) = reader.table(&field, "blkio_config = { weight = 300 }") else { return blkio };
    reader.check(&fields, "BlkioConfig", &[Parent { path: &service.path, shape: "Service" }]);
    blkio.weight = fields.get("weight").and_then(|field| weight(reader, &field));
    if let Some(field) = fields.get("weight_device") {
        blkio.weight_device = devices(reader, &field, "WeightDevice", "weight", weight);
    }
    let bytes = |reader: &mut Reader<'_, '_>, field: &Field<'_>| reader.size(field);
    let count = |reader: &mut Reader<'_, '_>, field: &Field<'_>| {
        reader.whole(field, 0, i64::MAX).and_then(|count| u64::try_from(count).ok())
    };
    let mut rates = |key: &str, read: &dyn Fn(&mut Reader<'_, '_>, &Field<'_>) -> Option<u64>| {
        let field = fields.get(key);
        field.map(|field| devices(reader, &field, "RateDevice", "rate", read)).unwrap_or_default()
    };
    blkio.read_bps = rates("device_read_bps", &bytes);
    blkio.write_bps = rates("device_write_bps", &bytes);
    blkio.read_iops = rates("device_read_iops", &count);
    blkio.write_iops = rates("device_write_iops", &count);
    blkio
}

/// 0 is the engine's word for none.
fn weight(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> Option<u16> {
    let weight = reader.whole(field, 0, 1000)?;
    if (1..10).contains(&weight) {
        let message = format!("`{}` is below 10", field.path);
        reader.error("out-of-range", field.node, message, "from 10 to 1000");
        return None;
    }
    u16::try_from(weight).ok().filter(|weight| *weight > 0)
}

/// `[{ path, <key> }]`, by path.
fn devices<T>(
    reader: &mut Reader<'_, '_>,
    field: &Field<'_>,
    shape: &str,
    key: &str,
    read: impl Fn(&mut Reader<'_, '_>, &Field<'_>) -> Option<T>,
) -> BTreeMap<String, T> {
    let mut all = BTreeMap::new();
    let right = format!("{} = [{{ path = \"/dev/sda\", {key} = 300 }}]", field.name());
    for item in reader.list(field, &right).unwrap_or_default() {
        let Some(fields) = reader.table(&item, &format!("{{ path = \"/dev/sda\", {key} = 300 }}")) else {
            continue;
        };
        reader.check(&fields, shape, &[]);
        let mut part = |name: &str| {
            let found = fields.get(name);
            if found.is_none() {
                let message = format!("`{}` has an entry without `{name}`", item.path);
                reader.error("missing-key", item.node, message, format!("add {name}"));
            }
            found
        };
        let (Some(path), Some(value)) = (part("path"), part(key)) else { continue };
        let value = read(reader, &value);
        let Some(text) = reader.filled(&path) else { continue };
        match (paths::in_container(text), value) {
            (Some(path), Some(value)) => {
                all.insert(path, value);
            }
            (None, _) => {
                let message = format!("`{text}` is not a device");
                reader.error("bad-device", path.node, message, "the path begins with `/`");
            }
            (Some(_), None) => {}
        }
    }
    all
}
