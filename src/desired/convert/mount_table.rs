//! The long form of `volumes`.

use std::collections::BTreeMap;

use crate::desired::diagnostic::Diagnostic;
use crate::desired::manifest;
use crate::desired::node::Value;
use crate::desired::snapshot::FileContent;
use crate::desired::spec::{Mount, MountSource, Recursive};

use super::mounts::{bind_path, canonical_propagation, named, target};
use super::read::{Field, Fields, Reader};

pub(super) fn long(reader: &mut Reader<'_, '_>, item: &Field<'_>) -> Option<(String, Mount)> {
    let fields = reader.table(item, "{ type = \"bind\", source = \"./folder\", target = \"/path\" }")?;
    reader.check(&fields, "Mount", &[]);
    if let Some(field) = fields.get("consistency") {
        reader.choice(&field, "consistency", manifest::Consistency::WORDS);
    }
    let read_only = fields.get("read_only").map(|field| reader.flag(&field));
    let path = match fields.get("target") {
        Some(field) => reader.filled(&field).and_then(|text| target(reader, field.node.span.clone(), text)),
        None => {
            let message = format!("`{}` has an entry without `target`", item.path);
            reader.error("missing-key", item.node, message, "add the container's path: target = \"/path\"");
            None
        }
    };
    let source = long_source(reader, item, &fields);
    Some((path?, Mount { source: source?, read_only: read_only.unwrap_or(Some(false))? }))
}

fn long_source(reader: &mut Reader<'_, '_>, item: &Field<'_>, fields: &Fields<'_>) -> Option<MountSource> {
    let Some(kind) = fields.get("type") else {
        let message = format!("`{}` has an entry without `type`", item.path);
        reader.error(
            "missing-key",
            item.node,
            message,
            "add type = \"bind\", \"volume\", \"tmpfs\" or \"image\"",
        );
        return None;
    };
    if let Some(word @ ("npipe" | "cluster")) = kind.node.as_str() {
        let why = match word {
            "npipe" => "Windows only",
            _ => "it belongs to Docker Swarm",
        };
        reader.error(
            "unsupported-value",
            kind.node,
            format!("mounts of type `{word}` are not supported"),
            why,
        );
        return None;
    }
    if kind.node.as_str() == Some("image") {
        reader.needs_api(&kind, (1, 48), "28", true);
    }
    let kind = reader.choice(&kind, "kind of mount", manifest::MountKind::WORDS)?;
    for other in ["bind", "volume", "tmpfs", "image"].into_iter().filter(|other| *other != kind) {
        if let Some(field) = fields.get(other) {
            let message = format!("`{}` is for mounts of type `{other}`, this one is a {kind}", field.path);
            reader.report(Diagnostic::error("bad-mount", field.key.clone(), message, "drop it"));
        }
    }
    let source = fields.get("source");
    let options = fields.get(kind).and_then(|field| reader.table(&field, "{ ... }"));
    match kind {
        "bind" => {
            let Some(field) = source else {
                let message = format!("`{}` has a bind without `source`", item.path);
                reader.error("missing-key", item.node, message, "add the host's path: source = \"./folder\"");
                return None;
            };
            bind(reader, fields, &field, options)
        }
        "volume" => volume(reader, source, options),
        "image" => image(reader, item, source, options),
        _ => {
            if let Some(field) = source {
                reader.error("bad-mount", field.node, "a tmpfs has no source", "drop it");
                return None;
            }
            tmpfs_mount(reader, options)
        }
    }
}

fn bind(
    reader: &mut Reader<'_, '_>,
    mount: &Fields<'_>,
    source: &Field<'_>,
    options: Option<Fields<'_>>,
) -> Option<MountSource> {
    let text = reader.filled(source)?;
    let path = bind_path(reader, source, source.node.span.clone(), text)?;
    // As in Compose: only who says otherwise gets an error for a missing folder.
    let (mut create, mut propagation, mut selinux, mut recursive) = (true, None, None, None);
    if let Some(options) = options {
        reader.check(&options, "BindOptions", &[]);
        if let Some(field) = options.get("create_host_path") {
            create = reader.flag(&field)?;
        }
        if let Some(field) = options.get("propagation") {
            propagation =
                canonical_propagation(reader.choice(&field, "propagation", manifest::Propagation::WORDS)?);
        }
        if let Some(field) = options.get("recursive") {
            recursive = recursion(reader, mount, &field)?;
        }
        if let Some(field) = options.get("selinux") {
            selinux = reader.choice(&field, "SELinux mode", manifest::Selinux::WORDS)?.chars().next();
        }
    }
    Some(MountSource::Bind { path, create, propagation, selinux, content: None, recursive })
}

fn recursion(
    reader: &mut Reader<'_, '_>,
    mount: &Fields<'_>,
    field: &Field<'_>,
) -> Option<Option<Recursive>> {
    let word = reader.choice(field, "way to mount what is below", manifest::Recursive::WORDS)?;
    if matches!(word, "writable" | "readonly") {
        reader.needs_api(field, (1, 44), "25", true);
        let read_only = mount.get("read_only").is_some_and(|field| match &field.node.value {
            Value::Boolean(flag) => *flag,
            Value::String(text) => super::scalar::is_true(text),
            _ => false,
        });
        if !read_only {
            let message = format!("`{}` is about read-only binds", field.path);
            reader.error("bad-mount", field.node, message, "add read_only = true");
            return None;
        }
    }
    Some(match word {
        "disabled" => Some(Recursive::Disabled),
        "writable" => Some(Recursive::Writable),
        "readonly" => Some(Recursive::Readonly),
        _ => None,
    })
}

/// The files of an image.
fn image(
    reader: &mut Reader<'_, '_>,
    item: &Field<'_>,
    source: Option<Field<'_>>,
    options: Option<Fields<'_>>,
) -> Option<MountSource> {
    let mut subpath = None;
    if let Some(options) = options {
        reader.check(&options, "ImageOptions", &[]);
        if let Some(field) = options.get("subpath") {
            subpath = Some(reader.filled(&field)?.to_owned());
        }
    }
    let Some(field) = source else {
        let message = format!("`{}` has an image without `source`", item.path);
        reader.error("missing-key", item.node, message, "add the image: source = \"nginx:1.27\"");
        return None;
    };
    Some(MountSource::Image { reference: super::image::reference(reader, &field)?, subpath })
}

fn volume(
    reader: &mut Reader<'_, '_>,
    source: Option<Field<'_>>,
    options: Option<Fields<'_>>,
) -> Option<MountSource> {
    let (mut no_copy, mut subpath, mut labels) = (false, None, BTreeMap::new());
    if let Some(options) = options {
        reader.check(&options, "VolumeOptions", &[]);
        if let Some(field) = options.get("nocopy") {
            no_copy = reader.flag(&field)?;
        }
        if let Some(field) = options.get("subpath") {
            reader.needs_api(&field, (1, 45), "26", true);
            subpath = Some(reader.filled(&field)?.to_owned());
        }
        if let Some(field) = options.get("labels") {
            labels = reader.labels(&field);
            if source.is_some() {
                let message = format!("`{}` has no effect: the volume is there already", field.path);
                let label = "write it under [volumes]";
                reader.report(Diagnostic::warning("bad-mount", field.key.clone(), message, label));
                labels.clear();
            }
        }
    }
    let Some(field) = source else {
        return Some(MountSource::Volume { name: None, key: None, no_copy, subpath, labels });
    };
    let text = reader.filled(&field)?;
    if text.starts_with(['.', '/', '~']) {
        let message = format!("`{text}` is a path, and this mount is of type `volume`");
        reader.error("bad-mount", field.node, message, "write type = \"bind\", or the name of a volume");
        return None;
    }
    match named(reader, field.node.span.clone(), text, None)? {
        MountSource::Volume { name, key, .. } => {
            Some(MountSource::Volume { name, key, no_copy, subpath, labels })
        }
        other => Some(other),
    }
}

fn tmpfs_mount(reader: &mut Reader<'_, '_>, options: Option<Fields<'_>>) -> Option<MountSource> {
    let (mut size, mut mode) = (None, None);
    if let Some(options) = options {
        reader.check(&options, "TmpfsOptions", &[]);
        if let Some(field) = options.get("size") {
            size = Some(reader.size(&field)?).filter(|size| *size > 0);
        }
        if let Some(field) = options.get("mode") {
            mode = Some(file_mode(reader, &field)?);
        }
    }
    Some(MountSource::Tmpfs { size, mode })
}

/// Permission bits: `0o1777`, or text in octal.
pub(super) fn file_mode(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> Option<u32> {
    if let Value::Integer(bits) = field.node.value
        && is_meant_as_octal(reader, field)
    {
        let message = format!("`{}` is {bits} in decimal, which is 0o{bits:o}", field.path);
        let label = format!("write 0o{bits} or \"{bits}\"");
        reader.error("bad-mode", field.node, message, label);
        return None;
    }
    let bits = match &field.node.value {
        Value::Integer(bits) => u32::try_from(*bits).ok(),
        Value::String(text) => u32::from_str_radix(text.strip_prefix("0o").unwrap_or(text), 8).ok(),
        _ => None,
    };
    let good = bits.filter(|bits| *bits <= 0o7777);
    if good.is_none() {
        let message = format!("`{}` takes permission bits", field.path);
        reader.error("bad-mode", field.node, message, "write 0o1777 or \"1777\"");
    }
    good
}

/// YAML reads `0440` as octal, and TOML takes `440` as four hundred and forty.
fn is_meant_as_octal(reader: &Reader<'_, '_>, field: &Field<'_>) -> bool {
    let span = &field.node.span;
    let Some(FileContent::Read(bytes)) = (reader.context.read)(&span.file) else { return false };
    let written = bytes.get(span.start..span.end).unwrap_or_default();
    written.len() >= 3 && written.iter().all(|digit| (b'0'..=b'7').contains(digit))
}
