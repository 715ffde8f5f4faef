//! `cap_add`, `cap_drop` and `security_opt`.

use std::collections::BTreeSet;

use crate::desired::diagnostic::Diagnostic;
use crate::desired::node::Value;
use crate::desired::snapshot::FileContent;

use super::read::{Field, Fields, Reader};
use super::{paths, scalar};

/// The kernel's capabilities (capabilities(7)) without their prefix, and the engine's word for all of them.
const CAPABILITIES: [&str; 42] = [
    "ALL",
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

pub(super) fn capabilities(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let right = format!("{} = [\"NET_ADMIN\"]", field.name());
    for item in reader.list(field, &right).unwrap_or_default() {
        let Some(text) = reader.filled(&item) else { continue };
        let upper = text.trim().to_ascii_uppercase();
        let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
        if CAPABILITIES.contains(&name) {
            all.insert(name.to_owned());
        } else {
            let listed = "ALL, or a name of capabilities(7) such as NET_ADMIN, with or without CAP_";
            reader.bad_choice(item.node.span.clone(), text, "capability", &CAPABILITIES, Some(listed));
        }
    }
    all
}

/// Options in the engine's form, `name=value`. Docker's older separator `:` is understood.
pub(super) fn security_opt(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for item in reader.list(field, "security_opt = [\"no-new-privileges\"]").unwrap_or_default() {
        if let Some(text) = reader.filled(&item) {
            all.extend(option(reader, &item, text));
        }
    }
    all
}

/// `systempaths=unconfined` is no option of the engine's but two empty lists, [`Extra::unmasked`](crate::desired::spec::Extra).
pub(super) fn is_unmasked(service: &Fields<'_>) -> bool {
    let Some(field) = service.get("security_opt") else { return false };
    let items = match &field.node.value {
        Value::Array(items) => items.as_slice(),
        _ => &[],
    };
    items
        .iter()
        .any(|item| matches!(item.as_str(), Some("systempaths=unconfined" | "systempaths:unconfined")))
}

fn option(reader: &mut Reader<'_, '_>, item: &Field<'_>, text: &str) -> Option<String> {
    let (name, value) = match text.split_once(['=', ':']) {
        Some((name, value)) => (name, Some(value)),
        None => (text, None),
    };
    match (name, value) {
        ("no-new-privileges", None) => Some("no-new-privileges=true".to_owned()),
        ("no-new-privileges", Some(value)) => {
            let flag = scalar::boolean(value);
            if flag.is_none() {
                let span = item.node.part(name.len() + 1, text.len());
                let message = format!("`{value}` is neither true nor false");
                reader.report(Diagnostic::error("bad-choice", span, message, "write no-new-privileges=true"));
            }
            flag.map(|flag| format!("no-new-privileges={flag}"))
        }
        ("seccomp", Some(value @ ("unconfined" | "builtin"))) => Some(format!("seccomp={value}")),
        ("seccomp", Some(path)) if !path.is_empty() => seccomp_file(reader, item, path),
        ("apparmor" | "label", Some(value)) if !value.is_empty() => Some(format!("{name}={value}")),
        ("systempaths", Some("unconfined")) => None,
        ("systempaths", _) => {
            let message = "security option `systempaths` has one value";
            reader.error("bad-choice", item.node, message, "write \"systempaths=unconfined\"");
            None
        }
        ("credentialspec", _) => {
            let message = format!("security option `{name}` is not supported");
            reader.error("unsupported-value", item.node, message, "Windows only");
            None
        }
        ("writable-cgroups", Some(value)) => {
            let flag = scalar::boolean(value);
            match flag {
                // What an older engine does anyway needs no newer one.
                Some(true) => {
                    let path = format!("{}.{name}", item.path);
                    let named = Field { node: item.node, key: item.key, path };
                    reader.needs_api(&named, (1, 48), "28.0", true);
                }
                Some(false) => {}
                None => {
                    let span = item.node.part(name.len() + 1, text.len());
                    let message = format!("`{value}` is neither true nor false");
                    reader.report(Diagnostic::error(
                        "bad-choice",
                        span,
                        message,
                        "write writable-cgroups=true",
                    ));
                }
            }
            flag.map(|flag| format!("writable-cgroups={flag}"))
        }
        ("seccomp" | "apparmor" | "label" | "writable-cgroups", _) => {
            let message = format!("security option `{name}` needs a value");
            reader.error("bad-choice", item.node, message, format!("write \"{name}=...\""));
            None
        }
        _ => {
            let words =
                ["no-new-privileges", "label", "apparmor", "seccomp", "systempaths", "writable-cgroups"];
            let listed = "no-new-privileges[=true], label=..., apparmor=..., seccomp=unconfined or a file, systempaths=unconfined, writable-cgroups=true";
            reader.bad_choice(item.node.span.clone(), name, "security option", &words, Some(listed));
            None
        }
    }
}

/// The engine wants the profile's text, not its name: the file must be part of the desired state.
fn seccomp_file(reader: &mut Reader<'_, '_>, item: &Field<'_>, path: &str) -> Option<String> {
    let file = paths::below_root(reader.context, &item.node.span.file, path);
    let content = file.as_deref().and_then(|file| (reader.context.read)(file));
    let profile = match content {
        Some(FileContent::Read(bytes)) => serde_json::from_slice::<serde_json::Value>(bytes).ok(),
        _ => {
            let message = format!("seccomp profile `{path}` cannot be read");
            let label = "a file in JSON below the desired state, from the folder of this file";
            reader.error("bad-file", item.node, message, label);
            return None;
        }
    };
    if profile.is_none() {
        let message = format!("seccomp profile `{path}` is not JSON");
        reader.error("bad-file", item.node, message, "the engine wants a profile in JSON");
    }
    profile.map(|profile| format!("seccomp={profile}"))
}
