//! `image_policy`, and where an image comes from.

use crate::desired::diagnostic::Diagnostic;
use crate::desired::ident::ServiceName;
use crate::desired::node::Value;
use crate::desired::recorded;
use crate::desired::work::{ImagePolicy, ImageSource, Pick, timestamp_form, version_range};

use super::build;
use super::keys::Parent;
use super::read::{Field, Fields, Reader};

/// What a service or job says of its image beside the name.
pub(super) fn source(reader: &mut Reader<'_, '_>, object: &Fields<'_>, shape: &str) -> Option<ImageSource> {
    let policy = object.get("image_policy");
    let built = object.get("build");
    match (policy, built) {
        (Some(policy), Some(built)) => {
            let message = format!("`{}` picks a tag, and `{}` makes the image", policy.path, built.path);
            let told =
                Diagnostic::error("conflicting-values", policy.key.clone(), message, "drop one of the two");
            reader.report(told.also(built.key.clone(), "the other one"));
            None
        }
        (Some(policy), None) => image_policy(reader, object, &policy, shape).map(ImageSource::Policy),
        (None, Some(built)) => {
            build::section(reader, object, &built, shape).map(|spec| ImageSource::Build(Box::new(spec)))
        }
        (None, None) => {
            if let Some(field) = object.get("build_policy") {
                let message = format!("`{}` is about a `build`, and there is none", field.path);
                reader.report(Diagnostic::error(
                    "misplaced",
                    field.key.clone(),
                    message,
                    "nothing is built here",
                ));
                return None;
            }
            Some(ImageSource::Said)
        }
    }
}

/// The ways to pick, of which there is exactly one.
const WAYS: [&str; 5] = ["semver", "timestamp", "number", "text", "same_as"];

fn image_policy(
    reader: &mut Reader<'_, '_>,
    object: &Fields<'_>,
    field: &Field<'_>,
    shape: &str,
) -> Option<ImagePolicy> {
    let fields = reader.table(field, "image_policy = { semver = \"^1.8\" }")?;
    reader.check(&fields, "ImagePolicy", &[Parent { path: &object.path, shape }]);
    let untagged = tag_is_free(reader, object, field);
    let ways: Vec<Field<'_>> = WAYS.iter().filter_map(|way| fields.get(way)).collect();
    let pick = match ways.as_slice() {
        [] => {
            let message = format!("`{}` does not say how the tag is picked", field.path);
            let told =
                Diagnostic::error("missing-key", field.node.span.clone(), message, "one of them is needed");
            reader.report(told.help(format!("one of: {}", WAYS.join(", "))));
            None
        }
        [way] => pick(reader, &fields, way, object),
        [first, second, ..] => {
            let message = format!("`{}` and `{}` both pick the tag", first.path, second.path);
            let told =
                Diagnostic::error("conflicting-values", second.key.clone(), message, "drop one of the two");
            reader.report(told.also(first.key.clone(), "the other one"));
            None
        }
    };
    let pattern = |reader: &mut Reader<'_, '_>, key: &str| match fields.get(key) {
        None => Some(None),
        Some(field) => regex(reader, &field, false).map(Some),
    };
    let (matching, exclude) = (pattern(reader, "match"), pattern(reader, "exclude"));
    let time = |reader: &mut Reader<'_, '_>, key: &str| match fields.get(key) {
        None => Some(None),
        Some(field) => reader.duration(&field).map(|time| Some(time / 1_000_000)),
    };
    let (min_age, every) = (time(reader, "min_age"), time(reader, "every"));
    let downgrade = fields.get("downgrade").map_or(Some(false), |field| reader.flag(&field));
    let recorded = match fields.get(recorded::KEY) {
        None => Some(None),
        Some(field) => current(reader, &field).map(Some),
    };
    let policy = ImagePolicy {
        pick: pick?,
        matching: matching?,
        exclude: exclude?,
        min_age_ms: min_age?.unwrap_or_default(),
        every_ms: every?,
        downgrade: downgrade?,
        recorded: recorded?,
    };
    untagged.then_some(policy)
}

/// A tag, or a tag and its digest.
fn current(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> Option<String> {
    let text = reader.filled(field)?;
    let (tag, digest) = text.split_once('@').map_or((text, None), |(tag, digest)| (tag, Some(digest)));
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let hex = |digest: &str| {
        let digits = digest.strip_prefix("sha256:").unwrap_or_default();
        digits.len() == 64 && digits.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c))
    };
    if tag.is_empty() || tag.len() > 128 || !tag.chars().all(word) || !digest.is_none_or(hex) {
        let message = format!("`{}` is a tag, or a tag and its digest", field.path);
        let told = Diagnostic::error("bad-tag", field.node.span.clone(), message, "not understood");
        reader.report(told.help(
            "for example \"2.1.3\" or \"2.1.3@sha256:...\"; evenkeel writes it itself ([policy.write_back])",
        ));
        return None;
    }
    Some(text.to_owned())
}

/// A policy picks the tag, so the image has none.
fn tag_is_free(reader: &mut Reader<'_, '_>, object: &Fields<'_>, policy: &Field<'_>) -> bool {
    let Some(image) = object.get("image") else { return true };
    let Some(text) = image.node.as_str() else { return true };
    let name = text.split('@').next().unwrap_or_default();
    let last = name.rfind('/').map_or(0, |at| at + 1);
    let tag = name.get(last..).and_then(|rest| rest.find(':')).map(|at| last + at);
    let told = match (tag, text.len() > name.len()) {
        (Some(colon), _) => {
            let message = format!(
                "the tag is given twice: `{}` here, and image_policy picks one",
                name.get(colon + 1..).unwrap_or_default()
            );
            let span = image.node.part(colon, name.len());
            Diagnostic::error("tag-and-policy", span, message, "remove this tag, or the policy")
        }
        (None, true) => {
            let message = "the image is pinned by its digest, and image_policy picks a tag";
            let span = image.node.part(name.len(), text.len());
            Diagnostic::error("tag-and-policy", span, message, "remove this digest, or the policy")
        }
        (None, false) => return true,
    };
    reader.report(told.also(policy.node.span.clone(), "picks the tag"));
    false
}

fn pick(
    reader: &mut Reader<'_, '_>,
    fields: &Fields<'_>,
    way: &Field<'_>,
    object: &Fields<'_>,
) -> Option<Pick> {
    let prerelease = match fields.get("prerelease") {
        None => false,
        Some(field) if way.name() != "semver" => {
            let message = format!("`{}` belongs to `semver`", field.path);
            reader.report(Diagnostic::error("misplaced", field.key.clone(), message, "drop it"));
            return None;
        }
        Some(field) => reader.flag(&field)?,
    };
    Some(match way.name() {
        "semver" => Pick::Semver { range: semver(reader, way)?, prerelease },
        "timestamp" => Pick::Timestamp { format: timestamp(reader, way)? },
        "number" => Pick::Number { pattern: regex(reader, way, true)? },
        "text" => Pick::Text { pattern: regex(reader, way, true)? },
        _ => Pick::SameAs(service(reader, way, object)?),
    })
}

/// A range of versions, in the form that its parser prints.
pub(super) fn semver(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> Option<String> {
    let text = reader.filled(field)?;
    match version_range(text) {
        Ok(range) => Some(range.to_string()),
        Err(near) => {
            let label =
                near.map_or_else(|| "not understood".to_owned(), |near| format!("did you mean \"{near}\"?"));
            let message = format!("`{text}` is not a version range");
            let told = Diagnostic::error("bad-range", field.node.part(0, text.len()), message, label);
            reader.report(told.help("examples: \"^1.8\", \"~1.8.2\", \">=1.8, <2\""));
            None
        }
    }
}

/// `true`, or a form in strftime's words. The outer `None`: something is wrong.
#[allow(clippy::option_option)]
fn timestamp(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> Option<Option<String>> {
    match &field.node.value {
        Value::Boolean(true) => return Some(None),
        Value::Boolean(false) => {
            reader.error(
                "bad-choice",
                field.node,
                "`timestamp = false` picks nothing",
                "write true, or leave it out",
            );
            return None;
        }
        Value::String(_) => {}
        _ => {
            reader.wrong_type(field, "true, or the form of the time", "timestamp = \"%Y%m%dT%H%M%SZ\"");
            return None;
        }
    }
    let text = reader.filled(field)?;
    match timestamp_form(text) {
        Ok(()) => Some(Some(text.to_owned())),
        Err(fault) => {
            let message = format!("`{text}` is not the form of a time: {fault}");
            let told = Diagnostic::error("bad-format", field.node.span.clone(), message, "not understood");
            reader.report(
                told.help(
                    "in strftime's words: \"%Y%m%dT%H%M%SZ\", \"%Y-%m-%d\", or true for the usual forms",
                ),
            );
            None
        }
    }
}

/// A regular expression; `group`: what its first group finds is compared.
fn regex(reader: &mut Reader<'_, '_>, field: &Field<'_>, group: bool) -> Option<String> {
    let text = reader.filled(field)?;
    match regex::Regex::new(text) {
        Ok(regex) if !group || regex.captures_len() > 1 => Some(text.to_owned()),
        Ok(_) => {
            let message = format!("`{}` has no group, and the first one is what is compared", field.path);
            let told =
                Diagnostic::error("bad-regex", field.node.span.clone(), message, "put a part into ( )");
            reader.report(told.help(r"for example '^build-(\d+)$'"));
            None
        }
        Err(error) => {
            let text = error.to_string();
            let why = text
                .lines()
                .rev()
                .find_map(|line| line.trim().strip_prefix("error: "))
                .unwrap_or("too large");
            let message = format!("`{}` is not a regular expression: {why}", field.path);
            reader.error("bad-regex", field.node, message, "not understood");
            None
        }
    }
}

/// `services.web`, another service of the project.
pub(super) fn service(
    reader: &mut Reader<'_, '_>,
    field: &Field<'_>,
    object: &Fields<'_>,
) -> Option<ServiceName> {
    let text = reader.filled(field)?;
    let Some(name) = text.strip_prefix("services.") else {
        let message = format!("`{}` takes the place of a service, not `{text}`", field.path);
        reader.error("bad-reference", field.node, message, format!("write \"services.{text}\""));
        return None;
    };
    if object.path == text {
        reader.error(
            "bad-reference",
            field.node,
            format!("`{}` names itself", field.path),
            "name another service",
        );
        return None;
    }
    let at = "services.".len();
    // A job may have the name of a service; what names itself was told above.
    super::depends::known(reader, field.node.part(at, text.len()), name, None, true)
}
