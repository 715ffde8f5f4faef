//! `secrets` and `configs` of a service: which it may read, where, and with which permissions.

use std::collections::BTreeMap;

use crate::desired::diagnostic::Span;
use crate::desired::hash::SpecHash;
use crate::desired::ident::ServiceId;
use crate::desired::node::Value;
use crate::desired::provided::{FileKey, ProvidedKind, UNOPENED, file_name_below};
use crate::desired::spec::{ContainerSpec, LiveFile, Mount, MountSource};

use super::Context;
use super::mount_table::file_mode;
use super::mounts::{Mounts, is_free, target};
use super::provided::undeclared;
use super::read::{Field, Fields, Reader};
use super::service::signal;

/// Compose's default: whoever runs in the container may read it, nobody may write it.
const READABLE: u32 = 0o444;

struct Grant {
    source: String,
    target: String,
    uid: u32,
    gid: u32,
    mode: u32,
    signal: Option<String>,
}

/// Adds the files of one kind to the mounts.
pub(super) fn grants(
    reader: &mut Reader<'_, '_>,
    fields: &Fields<'_>,
    kind: ProvidedKind,
    all: &mut Mounts,
    taken: &mut BTreeMap<String, Span>,
) {
    let Some(field) = fields.get(kind.table()) else { return };
    for item in reader.list(&field, &format!("{} = [\"name\"]", kind.table())).unwrap_or_default() {
        let Some(grant) = grant(reader, kind, &item) else { continue };
        if is_free(reader, taken, &grant.target, &item) {
            let mount = mount(reader.context, kind, &grant);
            all.mounts.insert(grant.target, mount);
        }
    }
}

fn mount(context: &Context<'_>, kind: ProvidedKind, grant: &Grant) -> Mount {
    let Grant { source, target, uid, gid, mode, signal } = grant;
    let definition = context.definitions.get(&(kind, source.clone()));
    let answer = definition.and_then(|found| context.host.answers.get(found.ask.as_ref()?));
    let content = answer.and_then(|answer| answer.as_ref().ok()).map_or(UNOPENED, String::as_str);
    let mut granted = context.granted.borrow_mut();
    granted.used.insert((kind, source.clone()));
    let name = match signal {
        None => FileKey { stem: content.to_owned(), mode: *mode, uid: *uid, gid: *gid },
        Some(signal) => {
            let shown = format!("{} {source}", kind.word());
            let live = LiveFile { content: content.to_owned(), signal: signal.clone(), shown };
            granted.live.insert(target.clone(), live);
            FileKey::live("", &format!("{}-{source}", kind.word()), *mode, *uid, *gid)
        }
    };
    let path = format!("{}/{name}", context.host.provided.trim_end_matches('/'));
    let source = MountSource::Bind {
        path,
        create: false,
        propagation: None,
        selinux: None,
        content: None,
        recursive: None,
    };
    Mount { source, read_only: true }
}

/// Gives the files whose content changes their paths. Containers of one spec share them, and no others: while an update runs, old and new
/// each keep what they were made for.
pub(super) fn settle_live(
    id: &ServiceId,
    container: &mut ContainerSpec,
    live: &BTreeMap<String, LiveFile>,
    folder: &str,
) -> BTreeMap<String, LiveFile> {
    if live.is_empty() {
        return BTreeMap::new();
    }
    let owner = format!("{id} {}", SpecHash::of(container));
    let mut files = BTreeMap::new();
    for (target, file) in live {
        let Some(Mount { source: MountSource::Bind { path, .. }, .. }) = container.mounts.get_mut(target)
        else {
            continue;
        };
        let known = file_name_below(folder, path).and_then(FileKey::parse);
        let Some(FileKey { stem, mode, uid, gid }) = known else { continue };
        let key = stem.splitn(3, '-').nth(2).unwrap_or_default();
        *path = format!("{}/{}", folder.trim_end_matches('/'), FileKey::live(&owner, key, mode, uid, gid));
        files.insert(path.clone(), file.clone());
    }
    files
}

fn grant(reader: &mut Reader<'_, '_>, kind: ProvidedKind, item: &Field<'_>) -> Option<Grant> {
    let fields = match &item.node.value {
        Value::Table(table) => {
            let fields = Fields::new(table, item.path.clone());
            reader.check(&fields, "Grant", &[]);
            Some(fields)
        }
        Value::String(_) => None,
        _ => {
            reader.wrong_type(item, "text or a table", "\"name\"");
            return None;
        }
    };
    let named = match &fields {
        None => item.clone(),
        Some(fields) => match fields.get("source") {
            Some(field) => field,
            None => {
                let message = format!("`{}` has an entry without `source`", item.path);
                reader.error(
                    "missing-key",
                    item.node,
                    message,
                    format!("which {}? add source = \"...\"", kind.word()),
                );
                return None;
            }
        },
    };
    let source = reader.filled(&named)?.to_owned();
    let known = reader.context.definitions.contains_key(&(kind, source.clone()));
    if !known {
        undeclared(reader, kind, &source, named.node.part(0, source.len()));
    }
    let field = |key: &str| fields.as_ref().and_then(|fields| fields.get(key));
    let target = place(reader, kind, &source, &named, field("target"));
    let uid = field("uid").map_or(Some(0), |field| owner(reader, &field));
    let gid = field("gid").map_or(Some(0), |field| owner(reader, &field));
    let mode = field("mode").map_or(Some(READABLE), |field| file_mode(reader, &field));
    let signal = match field("on_change") {
        None => Some(None),
        Some(field) => on_change(reader, &field),
    };
    let grant = Grant { source, target: target?, uid: uid?, gid: gid?, mode: mode?, signal: signal? };
    known.then_some(grant)
}

fn place(
    reader: &mut Reader<'_, '_>,
    kind: ProvidedKind,
    source: &str,
    named: &Field<'_>,
    given: Option<Field<'_>>,
) -> Option<String> {
    let folder = match kind {
        ProvidedKind::Secret => "/run/secrets/",
        ProvidedKind::Config => "/",
    };
    let Some(field) = given else {
        return target(reader, named.node.span.clone(), &format!("{folder}{source}"));
    };
    let text = reader.filled(&field)?;
    let path = if text.starts_with('/') { text.to_owned() } else { format!("{folder}{text}") };
    target(reader, field.node.span.clone(), &path)
}

/// The number of a user or a group. Names are the container's, and nobody outside of it knows them.
fn owner(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> Option<u32> {
    let number = match &field.node.value {
        Value::Integer(number) => u32::try_from(*number).ok(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    let good = number.filter(|number| *number < u32::MAX);
    if good.is_none() {
        let message = format!("`{}` takes a number", field.path);
        let label = "write for example \"1000\": a name means something only inside of the container";
        reader.error("bad-owner", field.node, message, label);
    }
    good
}

/// The outer `None`: something is wrong. The inner: replace.
#[allow(clippy::option_option)]
fn on_change(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> Option<Option<String>> {
    let text = reader.filled(field)?;
    if text == "replace" {
        return Some(None);
    }
    signal(reader, field, &["replace"]).map(Some)
}
