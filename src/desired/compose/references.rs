//! The paths in a compose file: what else it is made of, reads, builds from or mounts.

use super::tree::{Entry, Item, Node, Place, Value};

/// What a path is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// `include` and `extends`: another compose file.
    Compose,
    /// `env_file`, `label_file`, seccomp profiles: read when the state is loaded.
    Read,
    /// `file` of configs and secrets.
    Content,
    /// Mounted from the host.
    Mount,
    /// Built from.
    Context,
}

/// A path as written, to be changed or not.
pub struct Reference<'a> {
    pub purpose: Use,
    pub path: &'a mut String,
    pub place: Place,
    /// A mount that nothing is written through.
    pub read_only: bool,
}

type Each<'e> = dyn FnMut(Reference<'_>) + 'e;

pub(super) fn visit(root: &mut Node, each: &mut Each<'_>) {
    for entry in entries(root) {
        match entry.key.as_str() {
            "include" => one_or_many(&mut entry.node, &mut |node| include(node, each)),
            "services" => {
                entries(&mut entry.node).iter_mut().for_each(|service| self::service(&mut service.node, each))
            }
            "configs" | "secrets" => {
                for object in entries(&mut entry.node) {
                    at(&mut object.node, "file", Use::Content, each);
                }
            }
            _ => {}
        }
    }
}

fn include(node: &mut Node, each: &mut Each<'_>) {
    if let Value::Text(_) = node.value {
        text(node, Use::Compose, each);
        return;
    }
    for entry in entries(node) {
        let purpose = match entry.key.as_str() {
            "path" => Use::Compose,
            "env_file" => Use::Read,
            _ => continue,
        };
        one_or_many(&mut entry.node, &mut |node| text(node, purpose, each));
    }
}

fn service(service: &mut Node, each: &mut Each<'_>) {
    for entry in entries(service) {
        let node = &mut entry.node;
        match entry.key.as_str() {
            "extends" => at(node, "file", Use::Compose, each),
            "env_file" | "label_file" => one_or_many(node, &mut |node| {
                text(node, Use::Read, each);
                at(node, "path", Use::Read, each);
            }),
            "security_opt" => one_or_many(node, &mut |node| seccomp(node, each)),
            "volumes" => one_or_many(node, &mut |node| mount(node, each)),
            "build" => {
                context(node, each);
                entries(node)
                    .iter_mut()
                    .filter(|entry| entry.key == "context")
                    .for_each(|entry| context(&mut entry.node, each));
            }
            _ => {}
        }
    }
}

fn context(node: &mut Node, each: &mut Each<'_>) {
    let place = node.place;
    let Value::Text(path) = &mut node.value else { return };
    let remote = path.contains("://") || path.starts_with("git@") || path.starts_with("github.com/");
    if !remote {
        each(Reference { purpose: Use::Context, path, place, read_only: true });
    }
}

fn seccomp(node: &mut Node, each: &mut Each<'_>) {
    let place = node.place;
    let Value::Text(option) = &mut node.value else { return };
    let Some(profile) = option.strip_prefix("seccomp").and_then(|rest| rest.strip_prefix(['=', ':'])) else {
        return;
    };
    let mut path = profile.trim().to_owned();
    if matches!(path.as_str(), "unconfined" | "builtin") {
        return;
    }
    each(Reference { purpose: Use::Read, path: &mut path, place, read_only: true });
    *option = format!("seccomp={path}");
}

/// `./data:/data:ro`, or the long form with `type: bind`.
fn mount(node: &mut Node, each: &mut Each<'_>) {
    let place = node.place;
    match &mut node.value {
        Value::Text(mount) if mount.starts_with(['.', '/', '~']) => {
            let end = source_end(mount);
            let (source, rest) = mount.split_at(end);
            let (mut path, rest) = (source.to_owned(), rest.to_owned());
            if rest.is_empty() {
                return;
            }
            let read_only = rest
                .rsplit(':')
                .next()
                .is_some_and(|options| options.split(',').any(|option| option == "ro"));
            each(Reference { purpose: Use::Mount, path: &mut path, place, read_only });
            *mount = path + &rest;
        }
        Value::Map(entries) => {
            let bind =
                entries.iter().any(|entry| entry.key == "type" && entry.node.as_text() == Some("bind"));
            let read_only = entries
                .iter()
                .any(|entry| entry.key == "read_only" && matches!(entry.node.value, Value::Bool(true)));
            if bind {
                at(node, "source", Use::Mount, &mut |reference| each(Reference { read_only, ..reference }));
            }
        }
        _ => {}
    }
}

/// Where the source of a short mount ends: at the first colon that is in no `${...}`.
fn source_end(mount: &str) -> usize {
    let mut depth = 0_usize;
    let mut before = ' ';
    for (at, c) in mount.char_indices() {
        match c {
            '{' if before == '$' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ':' if depth == 0 => return at,
            _ => {}
        }
        before = c;
    }
    mount.len()
}

fn entries(node: &mut Node) -> &mut [Entry] {
    match &mut node.value {
        Value::Map(entries) => entries,
        _ => &mut [],
    }
}

fn at(node: &mut Node, key: &str, purpose: Use, each: &mut Each<'_>) {
    for entry in entries(node).iter_mut().filter(|entry| entry.key == key) {
        text(&mut entry.node, purpose, each);
    }
}

fn text(node: &mut Node, purpose: Use, each: &mut Each<'_>) {
    let place = node.place;
    if let Value::Text(path) = &mut node.value {
        each(Reference { purpose, path, place, read_only: true });
    }
}

fn one_or_many(node: &mut Node, each: &mut dyn FnMut(&mut Node)) {
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(|Item { node, .. }| each(node)),
        _ => each(node),
    }
}
