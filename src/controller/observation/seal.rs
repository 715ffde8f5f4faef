//! Texts of kept revisions that may be secrets, sealed: comparable with what the files say, and not readable.
//!
//! A sealed text is a salted digest of the text, of the service and of the place it stands at. Whoever has the file can check a guess, as
//! whoever may ask the engine can with the spec hash in the labels; nobody can look a digest up, and the same text elsewhere
//! looks different.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::desired::hooks::{Hook, Lifecycle};
use crate::desired::ident::ServiceId;
use crate::desired::probe::{Exec, ProbeCheck};
use crate::desired::secret::Sensitive;
use crate::desired::spec::{ContainerSpec, Healthcheck, ServiceSpec};
use crate::state::hooks::run::HookEnd;
use crate::state::record::{Record, RevisionVerdict};

/// What a sealed text begins with.
pub(super) const MARK: &str = "evenkeel-sealed:";
/// Digits behind the mark.
const DIGITS: usize = 32;

/// Calls `change` with the place and the text of everything in a spec that may be a secret. Destructured without `..`: a new field must be
/// looked at here.
fn texts(spec: &mut ServiceSpec, change: &mut dyn FnMut(&str, &mut String)) {
    let ContainerSpec {
        environment,
        labels,
        command,
        entrypoint,
        healthcheck,
        logging,
        image: _,
        platform: _,
        user: _,
        working_dir: _,
        hostname: _,
        init: _,
        stop_signal: _,
        stop_grace_period: _,
        ports: _,
        expose: _,
        mounts: _,
        tmpfs: _,
        network_mode: _,
        read_only: _,
        privileged: _,
        cap_add: _,
        cap_drop: _,
        security_opt: _,
        extra_hosts: _,
        dns: _,
        devices: _,
        ulimits: _,
        sysctls: _,
        shm_size: _,
        lifecycle,
        extra,
    } = &mut spec.container;
    for (name, value) in environment {
        if let Some(value) = value {
            let mut text = value.expose().to_owned();
            change(&format!("environment.{name}"), &mut text);
            *value = Sensitive::new(text);
        }
    }
    for (name, text) in labels {
        change(&format!("labels.{name}"), text);
    }
    for (name, text) in &mut extra.annotations {
        change(&format!("annotations.{name}"), text);
    }
    for (key, words) in [("command", command), ("entrypoint", entrypoint)] {
        for (at, text) in words.iter_mut().flatten().enumerate() {
            change(&format!("{key}.{at}"), text);
        }
    }
    if let Healthcheck::Set(check) = healthcheck {
        // The first word says only how the others are run.
        for (at, text) in check.test.iter_mut().enumerate().skip(1) {
            change(&format!("healthcheck.{at}"), text);
        }
    }
    let Lifecycle { pre_start, post_start, pre_stop } = lifecycle;
    for (point, hooks) in [("pre_start", pre_start), ("post_start", post_start), ("pre_stop", pre_stop)] {
        hook_texts(point, hooks, change);
    }
    for (point, hooks) in &mut spec.policy.hooks {
        hook_texts(point.as_str(), hooks, change);
    }
    if let Some(probe) = &mut spec.policy.probe {
        probe_texts(&mut probe.check, change);
    }
    for (name, text) in logging.iter_mut().flat_map(|logging| &mut logging.options) {
        change(&format!("logging.{name}"), text);
    }
}

fn probe_texts(check: &mut ProbeCheck, change: &mut dyn FnMut(&str, &mut String)) {
    match check {
        ProbeCheck::Http { headers, port: _, path, status: _ } => {
            change("probe.path", path);
            for (name, value) in headers {
                sensitive(&format!("environment.probe.headers.{name}"), value, change);
            }
        }
        ProbeCheck::Exec(exec) => exec_texts("probe", exec, change),
        ProbeCheck::Tcp { port: _ } => {}
    }
}

fn hook_texts(point: &str, hooks: &mut [Hook], change: &mut dyn FnMut(&str, &mut String)) {
    for (at, hook) in hooks.iter_mut().enumerate() {
        exec_texts(&format!("{point}.{at}"), &mut hook.exec, change);
    }
}

/// A command and its variables. Places of what is shown as a digest begin with `environment.`: see [`unseal`].
fn exec_texts(place: &str, exec: &mut Exec, change: &mut dyn FnMut(&str, &mut String)) {
    let Exec { command, environment, user: _, privileged: _, working_dir: _ } = exec;
    for (at, text) in command.iter_mut().enumerate() {
        change(&format!("{place}.command.{at}"), text);
    }
    for (name, value) in environment {
        if let Some(value) = value {
            sensitive(&format!("environment.{place}.{name}"), value, change);
        }
    }
}

fn sensitive(place: &str, value: &mut Sensitive, change: &mut dyn FnMut(&str, &mut String)) {
    let mut text = value.expose().to_owned();
    change(place, &mut text);
    *value = Sensitive::new(text);
}

fn sealed(salt: &str, id: &ServiceId, place: &str, text: &str) -> String {
    let mut digest = Sha256::new();
    for part in [salt, &id.to_string(), place, text] {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    let digits = hex::encode(digest.finalize());
    format!("{MARK}{}", digits.get(..DIGITS).unwrap_or(&digits))
}

/// Takes out of a record what may be a secret, and what only people would read.
pub(super) fn seal(id: &ServiceId, record: &mut Record, salt: &str) {
    for run in &mut record.hooks {
        run.output = None;
        if let Some(HookEnd::Broken(why)) = &mut run.end {
            "(the engine's words are not in the observation)".clone_into(why);
        }
    }
    for kept in &mut record.revisions {
        texts(Arc::make_mut(&mut kept.spec), &mut |place, text| *text = sealed(salt, id, place, text));
        kept.evidence = None;
        kept.cause = harmless_cause(&kept.cause);
        if let RevisionVerdict::Rejected { reason, .. } = &mut kept.verdict {
            // Behind the colon stand the words of the engine or of a health check.
            let end = reason.find(": ").unwrap_or(reason.len());
            reason.truncate(end);
        }
    }
}

/// A cause quotes the fields that differed: those of images are no secrets, any other may be one.
fn harmless_cause(cause: &str) -> String {
    let only_image = cause.starts_with("image ") && !cause.contains(", ");
    let plain = cause.starts_with("new in ") || cause.ends_with(" means another image now");
    if only_image || plain { cause.to_owned() } else { "its files changed".to_owned() }
}

/// Puts back what the files say where it is the same, and returns how a value that is another one would be shown: by that is known
/// what to show instead.
pub(super) fn unseal(
    id: &ServiceId,
    record: &mut Record,
    wanted: Option<&ServiceSpec>,
    salt: &str,
) -> Vec<String> {
    let mut known = BTreeMap::new();
    if let Some(wanted) = wanted {
        texts(&mut wanted.clone(), &mut |place, text| {
            known.insert(place.to_owned(), text.clone());
        });
    }
    let mut others = Vec::new();
    for kept in &mut record.revisions {
        texts(Arc::make_mut(&mut kept.spec), &mut |place, text| match known
            .get(place)
            .filter(|known| sealed(salt, id, place, known) == *text)
        {
            Some(same) => text.clone_from(same),
            None if place.starts_with("environment.") => {
                others.push(Sensitive::new(text.clone()).to_string());
            }
            None => {}
        });
    }
    others
}

/// A text of a plan, with words where it would show something sealed.
pub(super) fn readable(text: &str, others: &[String]) -> String {
    const ANOTHER: &str = "another value";
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(MARK) {
        out.push_str(before);
        out.push_str(ANOTHER);
        rest = after.trim_start_matches(|c: char| c.is_ascii_hexdigit());
    }
    out.push_str(rest);
    others.iter().fold(out, |text, digest| text.replace(digest.as_str(), ANOTHER))
}
