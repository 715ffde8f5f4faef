//! `[artifacts.<name>]` and `[notify.<name>]`.

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::diagnostic::{Diagnostic, Span};
use crate::desired::manifest;
use crate::desired::node::{Table, Value};
use crate::desired::secret::Sensitive;
use crate::desired::suggest::nearest;
use crate::desired::work::{ArtifactSource, ArtifactSpec, NotifySpec, Swap, SwitchHook, WorkId};

use super::image::{ImageFault, canonical_image};
use super::keys::Parent;
use super::objects::{errors, place};
use super::read::{Field, Fields, Reader};
use super::{Context, environment, image_policy, mount_table, paths, service};

/// The spec of one artifact. `builds` are those of the project.
#[must_use]
pub fn artifact(
    id: &WorkId,
    table: &Table,
    builds: &BTreeMap<String, Span>,
    context: &Context<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<ArtifactSpec> {
    let before = errors(diagnostics);
    let mut reader = Reader { context, diagnostics };
    let fields = Fields::new(table, format!("artifacts.{}", id.name));
    reader.check(&fields, "Artifact", &[Parent { path: "", shape: "File" }]);
    let spec = read(&mut reader, id, &fields, builds);
    if errors(diagnostics) == before { spec } else { None }
}

fn read(
    reader: &mut Reader<'_, '_>,
    id: &WorkId,
    fields: &Fields<'_>,
    builds: &BTreeMap<String, Span>,
) -> Option<ArtifactSpec> {
    let from = needed(reader, fields, "from").and_then(|field| source(reader, id, fields, &field, builds));
    let path = needed(reader, fields, "path").and_then(|field| absolute(reader, &field));
    let to = needed(reader, fields, "to").and_then(|field| target(reader, &field));
    let swap =
        fields.get("swap").and_then(|field| reader.choice(&field, "way to swap", manifest::Swap::WORDS));
    let required = fields.get("require").map(|field| require(reader, &field)).unwrap_or_default();
    let owner = fields.get("owner").and_then(|field| owner(reader, &field));
    let mode = fields.get("mode").and_then(|field| mount_table::file_mode(reader, &field));
    let keep = fields.get("keep").and_then(|field| reader.whole(&field, 0, 1000));
    let hooks = fields.get("after_switch").map(|field| hooks(reader, fields, &field)).unwrap_or_default();
    Some(ArtifactSpec {
        from: from?,
        path: path?,
        to: to?,
        swap: if swap == Some("exchange") { Swap::Exchange } else { Swap::Symlink },
        require: required,
        owner,
        mode,
        keep: keep.and_then(|keep| u32::try_from(keep).ok()).unwrap_or(2),
        after_switch: hooks,
        source: place(fields),
    })
}

fn needed<'t>(reader: &mut Reader<'_, '_>, fields: &Fields<'t>, key: &str) -> Option<Field<'t>> {
    let field = fields.get(key);
    if field.is_none() {
        let message = format!("{} has no `{key}`", fields.path);
        let label = format!("`{key}` is missing");
        reader.report(Diagnostic::error("missing-key", fields.table.header.clone(), message, label));
    }
    field
}

fn source(
    reader: &mut Reader<'_, '_>,
    id: &WorkId,
    fields: &Fields<'_>,
    field: &Field<'_>,
    builds: &BTreeMap<String, Span>,
) -> Option<ArtifactSource> {
    let text = reader.filled(field)?;
    if text.starts_with("services.") {
        return image_policy::service(reader, field, fields).map(ArtifactSource::Service);
    }
    let Some(name) = text.strip_prefix("builds.") else {
        return match canonical_image(text) {
            Ok(image) => Some(ArtifactSource::Image(image)),
            Err(ImageFault { start, end, message }) => {
                let whole = format!("`{text}` is not an image");
                let told = Diagnostic::error("bad-image", field.node.part(start, end), whole, message);
                reader.report(told.help("or one of: builds.<name>, services.<name>"));
                None
            }
        };
    };
    if !builds.contains_key(name) {
        let near = nearest(name, builds.keys().map(String::as_str));
        let label = near.map_or_else(
            || "no file of the project has it".to_owned(),
            |near| format!("did you mean `builds.{near}`?"),
        );
        let message = format!("no build `{}` in project `{}`", name.escape_debug(), reader.context.project);
        let span = field.node.part("builds.".len(), text.len());
        reader.report(Diagnostic::error("unknown-build", span, message, label));
        return None;
    }
    let name = crate::desired::ident::ServiceName::new(name)?;
    Some(ArtifactSource::Build(WorkId { project: id.project.clone(), name }))
}

fn absolute(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> Option<String> {
    let text = reader.filled(field)?;
    let path = paths::in_container(text);
    if path.is_none() {
        reader.error(
            "bad-path",
            field.node,
            format!("`{text}` is not an absolute path"),
            format!("write \"/{text}\""),
        );
    }
    path
}

/// A path of the host that may be replaced: never the root, and nothing directly below it.
fn target(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> Option<String> {
    let text = reader.filled(field)?;
    if !text.starts_with('/') {
        let message = format!("`{text}` is not an absolute path");
        reader.error("bad-path", field.node, message, "a path of the host, from its root");
        return None;
    }
    let path = paths::clean(text);
    if path.matches('/').count() < 2 {
        let message = format!("`{path}` is too high up to be replaced as a whole");
        reader.error("bad-path", field.node, message, "name a folder below it");
        return None;
    }
    Some(path)
}

fn require(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> Vec<String> {
    let mut all = Vec::new();
    for item in reader.one_or_many(field, "require = [\"index.html\"]").unwrap_or_default() {
        let Some(text) = reader.filled(&item) else { continue };
        if text.starts_with('/') || text.split('/').any(|part| part == "..") {
            let message = format!("`{text}` is not a path within the artifact");
            reader.error("bad-path", item.node, message, "relative to `path`");
            continue;
        }
        all.push(text.to_owned());
    }
    all
}

/// `user:group`, names or numbers.
fn owner(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> Option<String> {
    let text = reader.filled(field)?;
    let name = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
    };
    let parts: Vec<&str> = text.split(':').collect();
    if parts.len() > 2 || !parts.iter().all(|part| name(part)) {
        let message = format!("`{text}` is not an owner");
        reader.error("bad-owner", field.node, message, "write \"user:group\", names or numbers");
        return None;
    }
    Some(text.to_owned())
}

fn hooks(reader: &mut Reader<'_, '_>, artifact: &Fields<'_>, field: &Field<'_>) -> Vec<SwitchHook> {
    let items = reader.list(field, "after_switch = [{ command = \"...\" }]").unwrap_or_default();
    items.iter().filter_map(|item| hook(reader, artifact, item)).collect()
}

fn hook(reader: &mut Reader<'_, '_>, artifact: &Fields<'_>, item: &Field<'_>) -> Option<SwitchHook> {
    let fields = reader.table(item, "{ command = \"...\" }")?;
    reader.check(&fields, "SwitchHook", &[Parent { path: &artifact.path, shape: "Artifact" }]);
    needed(reader, &fields, "command")?;
    let command = service::words_of(reader, &fields, "command");
    let text = |reader: &mut Reader<'_, '_>, key: &str| {
        fields.get(key).and_then(|field| reader.filled(&field).map(str::to_owned))
    };
    let timeout = fields.get("timeout").and_then(|field| reader.duration(&field));
    let words = manifest::OnHookError::WORDS;
    let on_error = fields.get("on_error").and_then(|field| reader.choice(&field, "way to go on", words));
    let (image, user, working_dir) =
        (text(reader, "image"), text(reader, "user"), text(reader, "working_dir"));
    Some(SwitchHook {
        environment: environment::environment(reader, &fields, &mut BTreeSet::new()),
        command: command?,
        image,
        user,
        working_dir,
        timeout_ms: timeout.map(|time| time / 1_000_000),
        abort: on_error != Some("continue"),
    })
}

/// Whom to tell.
#[must_use]
pub fn notify(
    id: &WorkId,
    table: &Table,
    context: &Context<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<NotifySpec> {
    let before = errors(diagnostics);
    let mut reader = Reader { context, diagnostics };
    let fields = Fields::new(table, format!("notify.{}", id.name));
    reader.check(&fields, "Notify", &[Parent { path: "", shape: "File" }]);
    let url = needed(&mut reader, &fields, "url").and_then(|field| url(&mut reader, &field));
    let events = fields.get("events").map(|field| events(&mut reader, &field)).unwrap_or_default();
    let headers = fields.get("headers").map(|field| headers(&mut reader, &field)).unwrap_or_default();
    let spec = url.map(|url| NotifySpec { url, events, headers, source: place(&fields) });
    if errors(diagnostics) == before { spec } else { None }
}

/// An address may hold a token, so no message repeats it.
fn url(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> Option<Sensitive> {
    let text = reader.filled(field)?;
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let good = rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
        && !text.contains(char::is_whitespace);
    if !good {
        let message = format!("`{}` is not an address that can be posted to", field.path);
        reader.error("bad-url", field.node, message, "it begins with https:// or http://");
        return None;
    }
    Some(Sensitive::new(text))
}

fn events(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for item in reader.one_or_many(field, "events = [\"job.failed\"]").unwrap_or_default() {
        let Some(text) = reader.filled(&item) else { continue };
        let prefix = text.strip_suffix('*');
        let found = manifest::EVENTS.iter().filter(|event| match prefix {
            Some(prefix) => (prefix.is_empty() || prefix.ends_with('.')) && event.starts_with(prefix),
            None => **event == text,
        });
        let found: Vec<String> = found.map(|event| (*event).to_owned()).collect();
        if found.is_empty() {
            reader.bad_choice(item.node.span.clone(), text, "event", &manifest::EVENTS, None);
        }
        all.extend(found);
    }
    all
}

fn headers(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> BTreeMap<String, Sensitive> {
    let mut all = BTreeMap::new();
    let Some(table) = reader.table(field, "headers = { Authorization = \"...\" }") else { return all };
    for (name, item) in table.all() {
        let good = !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
        let text = match &item.node.value {
            Value::String(text) if !text.contains(char::is_control) => Some(text),
            Value::String(_) => None,
            _ => {
                reader.wrong_type(&item, "text", "\"...\"");
                continue;
            }
        };
        match text {
            Some(text) if good => {
                all.insert(name.to_owned(), Sensitive::new(text.clone()));
            }
            _ => {
                let message = format!("`{}` is not a header", item.path.escape_debug());
                reader.report(Diagnostic::error(
                    "bad-header",
                    item.key.clone(),
                    message,
                    "one line of plain text",
                ));
            }
        }
    }
    all
}
