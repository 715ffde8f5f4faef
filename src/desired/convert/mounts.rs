//! `volumes` and `tmpfs`.

use std::collections::BTreeMap;

use crate::desired::diagnostic::{Diagnostic, Span};
use crate::desired::manifest;
use crate::desired::node::Value;
use crate::desired::provided::ProvidedKind;
use crate::desired::spec::{Mount, MountSource};
use crate::desired::suggest::nearest;

use super::grants::grants;
use super::mount_table::long;
use super::paths;
use super::read::{Field, Fields, Reader};
use super::tmpfs::tmpfs;

const FORM: &str = "form: \"[source:]/path[:ro]\"";

/// Options of the short form, for messages.
const FLAGS: [&str; 15] = [
    "ro",
    "rw",
    "z",
    "Z",
    "nocopy",
    "private",
    "rprivate",
    "shared",
    "rshared",
    "slave",
    "rslave",
    "consistent",
    "cached",
    "delegated",
    "default",
];

/// Everything mounted into a container.
#[derive(Default)]
pub(super) struct Mounts {
    pub mounts: BTreeMap<String, Mount>,
    pub tmpfs: BTreeMap<String, String>,
}

/// Where the engine's socket is, on the host and in containers that get it.
const API_SOCKET: &str = "/var/run/docker.sock";

pub(super) fn mounts(reader: &mut Reader<'_, '_>, fields: &Fields<'_>, api_socket: bool) -> Mounts {
    let mut all = Mounts::default();
    // Where each target was first mounted, to point there.
    let mut taken: BTreeMap<String, Span> = BTreeMap::new();
    if let Some(field) = fields.get("volumes") {
        for item in reader.list(&field, "volumes = [\"./folder:/path\"]").unwrap_or_default() {
            let found = match &item.node.value {
                Value::Table(_) => long(reader, &item),
                Value::String(_) => reader.text(&item).and_then(|text| short(reader, &item, text)),
                _ => {
                    reader.wrong_type(&item, "text or a table", "\"./folder:/path\"");
                    None
                }
            };
            let Some((target, mount)) = found else { continue };
            if all.mounts.get(&target) == Some(&mount) {
                let message = format!("`{target}` is mounted twice in `{}`, both times the same", item.path);
                let label = "this line can go";
                reader.report(Diagnostic::warning("duplicate-mount", item.node.span.clone(), message, label));
            } else if is_free(reader, &mut taken, &target, &item) {
                all.mounts.insert(target, mount);
            }
        }
    }
    if let Some(field) = fields.get("tmpfs") {
        for item in reader.one_or_many(&field, "tmpfs = [\"/run\"]").unwrap_or_default() {
            if let Some((target, options)) = tmpfs(reader, &item)
                && is_free(reader, &mut taken, &target, &item)
            {
                all.tmpfs.insert(target, options);
            }
        }
    }
    // Who mounts it by hand, too, means the same.
    if api_socket && !taken.contains_key(API_SOCKET) {
        let source = MountSource::Bind {
            path: API_SOCKET.to_owned(),
            create: false,
            propagation: None,
            selinux: None,
            content: None,
            recursive: None,
        };
        all.mounts.insert(API_SOCKET.to_owned(), Mount { source, read_only: false });
    }
    for kind in [ProvidedKind::Secret, ProvidedKind::Config] {
        grants(reader, fields, kind, &mut all, &mut taken);
    }
    all
}

pub(super) fn is_free(
    reader: &mut Reader<'_, '_>,
    taken: &mut BTreeMap<String, Span>,
    target: &str,
    item: &Field<'_>,
) -> bool {
    if let Some(first) = taken.get(target) {
        let message = format!("`{target}` is mounted twice in `{}`", item.path);
        let diagnostic =
            Diagnostic::error("duplicate-mount", item.node.span.clone(), message, "second mount");
        reader.report(diagnostic.also(first.clone(), "first mount"));
        return false;
    }
    taken.insert(target.to_owned(), item.node.span.clone());
    true
}

pub(super) fn target(reader: &mut Reader<'_, '_>, span: Span, text: &str) -> Option<String> {
    let label = match paths::in_container(text) {
        Some(path) if path != "/" => return Some(path),
        Some(_) => "the root itself is the image",
        None => "the container's path begins with `/`",
    };
    let message = format!("`{text}` cannot be mounted at");
    reader.report(Diagnostic::error("bad-mount", span, message, label).help(FORM));
    None
}

fn short(reader: &mut Reader<'_, '_>, item: &Field<'_>, text: &str) -> Option<(String, Mount)> {
    let parts: Vec<&str> = text.split(':').collect();
    let part = |at: usize| {
        let start: usize = parts.iter().take(at).map(|part| part.len() + 1).sum();
        item.node.part(start, start + parts.get(at).map_or(0, |part| part.len()))
    };
    if let Some(empty) = parts.iter().position(|part| part.is_empty()) {
        let message = format!("`{text}` has an empty part");
        reader.report(
            Diagnostic::error("bad-mount", part(empty), message, "nothing between the colons").help(FORM),
        );
        return None;
    }
    match parts.as_slice() {
        [path] => {
            let path = target(reader, part(0), path)?;
            let source = MountSource::Volume {
                name: None,
                key: None,
                no_copy: false,
                subpath: None,
                labels: BTreeMap::new(),
            };
            Some((path, Mount { source, read_only: false }))
        }
        [source, path] | [source, path, _] => {
            if source.len() == 1 && path.starts_with('\\') {
                let message = "a Windows path cannot be mounted into a Linux container";
                reader.report(Diagnostic::error(
                    "bad-mount",
                    item.node.span.clone(),
                    message,
                    "not a path of this host",
                ));
                return None;
            }
            let rest = text.get(source.len()..).unwrap_or_default();
            let mut found = source_of(reader, item, source, rest);
            let path = target(reader, part(1), path);
            let mut read_only = false;
            if let [_, _, flags] = parts.as_slice() {
                let mut at = parts[0].len() + parts[1].len() + 2;
                for flag in flags.split(',') {
                    let span = item.node.part(at, at + flag.len());
                    at += flag.len() + 1;
                    let good = apply_flag(reader, span, flag, found.as_mut(), &mut read_only);
                    found = found.filter(|_| good);
                }
            }
            Some((path?, Mount { source: found?, read_only }))
        }
        _ => {
            let message = format!("`{text}` has too many colons");
            reader.report(
                Diagnostic::error(
                    "bad-mount",
                    item.node.span.clone(),
                    message,
                    "source, path, options: not more",
                )
                .help(FORM),
            );
            None
        }
    }
}

/// The source of the short form. `rest` is what follows it, to show the whole entry in a help.
fn source_of(reader: &mut Reader<'_, '_>, item: &Field<'_>, source: &str, rest: &str) -> Option<MountSource> {
    let span = item.node.part(0, source.len());
    if source.starts_with(['.', '/', '~']) {
        return bind_path(reader, item, span, source).map(|path| MountSource::Bind {
            path,
            create: true,
            propagation: None,
            selinux: None,
            content: None,
            recursive: None,
        });
    }
    if source.contains('/') {
        let message = format!("`{source}` is neither a volume name nor a path");
        let diagnostic = Diagnostic::error("path-without-dot", span, message, "a volume name has no `/`");
        reader.report(diagnostic.help(format!("for a folder beside this file write \"./{source}{rest}\"")));
        return None;
    }
    named(reader, span, source, Some(rest))
}

pub(super) fn bind_path(
    reader: &mut Reader<'_, '_>,
    item: &Field<'_>,
    span: Span,
    source: &str,
) -> Option<String> {
    match paths::on_host(reader.context, &item.node.span.file, source) {
        Ok(path) => Some(path),
        Err(why) => {
            let message = format!("`{source}` is not a path of the host");
            reader.report(Diagnostic::error("bad-mount", span, message, why));
            None
        }
    }
}

/// A declared volume.
pub(super) fn named(
    reader: &mut Reader<'_, '_>,
    span: Span,
    key: &str,
    rest: Option<&str>,
) -> Option<MountSource> {
    let volumes = reader.context.volumes;
    if let Some(declared) = volumes.get(key) {
        let name = Some(declared.name.clone());
        return Some(MountSource::Volume {
            name,
            key: Some(key.to_owned()),
            no_copy: false,
            subpath: None,
            labels: BTreeMap::new(),
        });
    }
    let near = nearest(key, volumes.keys().map(String::as_str));
    let label = near.map_or_else(|| "not in [volumes]".to_owned(), |near| format!("did you mean `{near}`?"));
    let or = if near.is_some() { "or " } else { "" };
    let message = format!("volume `{key}` is not declared");
    let mut diagnostic = Diagnostic::error("undeclared-volume", span, message, label)
        .help(format!("{or}declare it: [volumes] {key} = {{}}"));
    if let Some(rest) = rest {
        diagnostic = diagnostic.help(format!("or, if a folder was meant: \"./{key}{rest}\""));
    }
    reader.report(diagnostic);
    None
}

/// Applies one option of the short form. `false` when it cannot be.
fn apply_flag(
    reader: &mut Reader<'_, '_>,
    span: Span,
    flag: &str,
    source: Option<&mut MountSource>,
    read_only: &mut bool,
) -> bool {
    match flag {
        "ro" => *read_only = true,
        "rw" => *read_only = false,
        // Known from Compose files written on a Mac; Linux has one file system, always consistent.
        "consistent" | "cached" | "delegated" | "default" => {}
        "z" | "Z" => match source {
            Some(MountSource::Bind { selinux, .. }) => *selinux = flag.chars().next(),
            Some(_) => {
                // Common, and without effect in Compose too: the engine labels its volumes itself.
                let message = format!("`{flag}` has no effect on a volume");
                reader.report(Diagnostic::warning("bad-mount", span, message, "drop it"));
            }
            None => {}
        },
        "nocopy" => match source {
            Some(MountSource::Volume { no_copy, .. }) => *no_copy = true,
            Some(_) => return misplaced(reader, span, flag, "a volume"),
            None => {}
        },
        _ if manifest::Propagation::WORDS.contains(&flag) => match source {
            Some(MountSource::Bind { propagation, .. }) => *propagation = canonical_propagation(flag),
            Some(_) => return misplaced(reader, span, flag, "a bind"),
            None => {}
        },
        _ => {
            reader.bad_choice(span, flag, "mount option", &FLAGS, None);
            return false;
        }
    }
    true
}

/// `rprivate` is what the engine does anyway.
pub(super) fn canonical_propagation(word: &str) -> Option<String> {
    (word != "rprivate").then(|| word.to_owned())
}

fn misplaced(reader: &mut Reader<'_, '_>, span: Span, flag: &str, kind: &str) -> bool {
    let message = format!("`{flag}` is an option of {kind} only");
    reader.report(Diagnostic::error("bad-mount", span, message, "drop it"));
    false
}
