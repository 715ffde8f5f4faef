//! `[networks.<name>]` and `[volumes.<name>]`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::desired::diagnostic::{Diagnostic, Span};
use crate::desired::ident::ProjectName;
use crate::desired::node::{Node, Value};
use crate::desired::spec::{Ipam, IpamPool, NetworkSpec, SourcePlace, VolumeSpec};

use super::keys::Parent;
use super::networks::address;
use super::read::{Field, Fields, Reader};
use super::{Context, Declared, paths};

const OF_FILE: Parent<'static> = Parent { path: "", shape: "File" };

/// A network of the project; `None` when an error was found (all are reported).
#[must_use]
pub fn network(
    project: &ProjectName,
    key: &str,
    node: &Node,
    context: &Context<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<NetworkSpec> {
    let before = errors(diagnostics);
    let mut reader = Reader { context, diagnostics };
    let fields = open(&mut reader, node, format!("networks.{key}"), "Network")?;
    let (name, external) = identity(&mut reader, project, key, node, &fields);
    let text = |reader: &mut Reader<'_, '_>, key: &str| {
        fields.get(key).and_then(|field| reader.filled(&field).map(str::to_owned))
    };
    let driver = text(&mut reader, "driver");
    let mut flag = |key: &str| fields.get(key).and_then(|field| reader.flag(&field)).unwrap_or(false);
    let (internal, attachable, enable_ipv6) = (flag("internal"), flag("attachable"), flag("enable_ipv6"));
    let enable_ipv4 = fields.get("enable_ipv4").and_then(|field| {
        reader.needs_api(&field, (1, 48), "28", true);
        reader.flag(&field)
    });
    let options = fields.get("driver_opts").map(|field| reader.options(&field)).unwrap_or_default();
    let labels = fields.get("labels").map(|field| reader.labels(&field)).unwrap_or_default();
    let ipam = fields.get("ipam").and_then(|field| ipam(&mut reader, &field)).unwrap_or_default();
    let spec = NetworkSpec {
        project: project.clone(),
        key: key.to_owned(),
        name,
        external,
        driver,
        options,
        internal,
        attachable,
        enable_ipv6,
        // Yes is what every engine does unasked.
        enable_ipv4: enable_ipv4.filter(|on| !on),
        ipam,
        labels,
        source: place(&fields),
    };
    (errors(diagnostics) == before).then_some(spec)
}

/// A named volume of the project; `None` when an error was found (all are reported).
#[must_use]
pub fn volume(
    project: &ProjectName,
    key: &str,
    node: &Node,
    context: &Context<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<VolumeSpec> {
    let before = errors(diagnostics);
    let mut reader = Reader { context, diagnostics };
    let fields = open(&mut reader, node, format!("volumes.{key}"), "Volume")?;
    let (name, external) = identity(&mut reader, project, key, node, &fields);
    let driver = fields.get("driver").and_then(|field| reader.filled(&field).map(str::to_owned));
    let mut driver_opts = fields.get("driver_opts").map(|field| reader.options(&field)).unwrap_or_default();
    absolute_device(&mut reader, &fields, &mut driver_opts);
    let labels = fields.get("labels").map(|field| reader.labels(&field)).unwrap_or_default();
    let spec = VolumeSpec {
        project: project.clone(),
        key: key.to_owned(),
        name,
        external,
        driver,
        driver_opts,
        labels,
        source: place(&fields),
    };
    (errors(diagnostics) == before).then_some(spec)
}

pub(super) fn errors(diagnostics: &[Diagnostic]) -> usize {
    diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count()
}

/// Where an object was defined, and every file that had a part in it. Lines are counted by [`crate::desired::load()`], once for
/// a file and not once for an object.
pub(super) fn place(fields: &Fields<'_>) -> SourcePlace {
    let header = &fields.table.header;
    let mut files = BTreeSet::from([header.file.to_string()]);
    fields.table.entries.iter().for_each(|entry| collect_files(&entry.value, &mut files));
    SourcePlace { file: header.file.to_string(), line: 0, files, commit: None }
}

fn collect_files(node: &Node, files: &mut BTreeSet<String>) {
    if !files.contains(&*node.span.file) {
        files.insert(node.span.file.to_string());
    }
    match &node.value {
        Value::Array(items) => items.iter().for_each(|item| collect_files(item, files)),
        Value::Table(table) => table.entries.iter().for_each(|entry| collect_files(&entry.value, files)),
        _ => {}
    }
}

fn open<'t>(reader: &mut Reader<'_, '_>, node: &'t Node, path: String, shape: &str) -> Option<Fields<'t>> {
    let field = Field { node, key: &node.span, path };
    let right = format!("{} = {{}}", field.name());
    let fields = reader.table(&field, &right)?;
    reader.check(&fields, shape, &[OF_FILE]);
    Some(fields)
}

/// The engine's name, and whether the object is made elsewhere.
fn identity(
    reader: &mut Reader<'_, '_>,
    project: &ProjectName,
    key: &str,
    node: &Node,
    fields: &Fields<'_>,
) -> (String, bool) {
    if let Some(field) = fields.get("name")
        && let Some(name) = reader.filled(&field)
    {
        engine_name(reader, field.node.span.clone(), name);
    }
    if let Some(field) = fields.get("external") {
        match &field.node.value {
            Value::Table(table) => {
                if let Some(name) = table.get("name") {
                    let name = Field {
                        node: &name.value,
                        key: &name.key_span,
                        path: format!("{}.name", field.path),
                    };
                    reader.filled(&name);
                }
            }
            _ => {
                reader.flag(&field);
            }
        }
    }
    let declared = Declared::of(project, key, node.span.clone(), node);
    if declared.external {
        for (other, field) in fields.all().filter(|(key, _)| !matches!(*key, "name" | "external")) {
            let message = format!("{} is made elsewhere, so `{other}` has no meaning", fields.path);
            reader.report(Diagnostic::error(
                "external-and-more",
                field.key.clone(),
                message,
                "drop it, or `external`",
            ));
        }
    }
    (declared.name, declared.external)
}

/// The engine pastes names into its URLs: nothing else than letters, digits, `_`, `.` and `-`.
fn engine_name(reader: &mut Reader<'_, '_>, span: Span, name: &str) {
    if !crate::desired::ident::is_name(name) {
        let message = format!("`{name}` is not a name the engine takes");
        let label = "letters, digits, `_`, `.` and `-`, not beginning with a sign";
        reader.report(Diagnostic::error("bad-name", span, message, label));
    }
}

fn ipam(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> Option<Ipam> {
    let fields = reader.table(field, "ipam = { config = [{ subnet = \"10.5.0.0/16\" }] }")?;
    reader.check(&fields, "Ipam", &[OF_FILE]);
    let driver = fields.get("driver").and_then(|field| reader.filled(&field).map(str::to_owned));
    // Compose's word for "the engine's own" is also the engine's.
    let driver = driver.filter(|driver| driver != "default");
    let options = fields.get("options").map(|field| reader.options(&field)).unwrap_or_default();
    let mut config = Vec::new();
    if let Some(field) = fields.get("config") {
        for item in reader.list(&field, "config = [{ subnet = \"10.5.0.0/16\" }]").unwrap_or_default() {
            config.extend(pool(reader, &item));
        }
    }
    Some(Ipam { driver, config, options })
}

fn pool(reader: &mut Reader<'_, '_>, item: &Field<'_>) -> Option<IpamPool> {
    let fields = reader.table(item, "{ subnet = \"10.5.0.0/16\" }")?;
    reader.check(&fields, "IpamPool", &[]);
    let subnet = fields.get("subnet").and_then(|field| subnet(reader, &field));
    let ip_range = fields.get("ip_range").and_then(|field| self::subnet(reader, &field));
    let gateway = fields
        .get("gateway")
        .and_then(|field| address::<IpAddr>(reader, &field, "an IP address", "10.5.0.1"));
    let mut aux_addresses = BTreeMap::new();
    if let Some(field) = fields.get("aux_addresses")
        && let Some(table) = reader.table(&field, "aux_addresses = { printer = \"10.5.0.9\" }")
    {
        for (name, entry) in table.all() {
            if let Some(address) = address::<IpAddr>(reader, &entry, "an IP address", "10.5.0.9") {
                aux_addresses.insert(name.to_owned(), address);
            }
        }
    }
    Some(IpamPool { subnet, ip_range, gateway, aux_addresses })
}

/// `address/bits`, with the bits behind the prefix cleared only if they are clear already.
fn subnet(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> Option<String> {
    let text = reader.filled(field)?;
    let found = text.split_once('/').and_then(|(address, bits)| {
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits: u32 = bits.parse().ok().filter(|bits| *bits <= most)?;
        Some((address, bits))
    });
    let Some((address, bits)) = found else {
        let message = format!("`{text}` is not a subnet");
        reader.error("bad-address", field.node, message, "write for example \"10.5.0.0/16\"");
        return None;
    };
    let first = match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            IpAddr::V4((u32::from(address) & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            IpAddr::V6((u128::from(address) & mask).into())
        }
    };
    if first != address {
        let message = format!("`{text}` does not begin at a boundary of its size");
        reader.error("bad-address", field.node, message, format!("did you mean \"{first}/{bits}\"?"));
        return None;
    }
    Some(format!("{address}/{bits}"))
}

/// A relative `device` of a local bind volume starts at the file's folder, as in Compose.
fn absolute_device(reader: &mut Reader<'_, '_>, fields: &Fields<'_>, options: &mut BTreeMap<String, String>) {
    let bind =
        options.get("o").is_some_and(|o| o.split(',').any(|option| option == "bind" || option == "rbind"));
    let Some(device) = options.get_mut("device").filter(|device| bind && device.starts_with(['.', '~']))
    else {
        return;
    };
    let file = &fields.table.header.file;
    let file = fields.get("driver_opts").map_or(file, |field| &field.node.span.file);
    match paths::on_host(reader.context, file, device) {
        Ok(path) => *device = path,
        Err(why) => {
            if let Some(field) = fields.get("driver_opts") {
                let message = format!("`{}.device` is not a path of the host", field.path);
                reader.error("bad-mount", field.node, message, why);
            }
        }
    }
}
