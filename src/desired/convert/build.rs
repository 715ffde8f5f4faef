//! `build` of a service, `build_policy`, and `[builds.<name>]`.

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::diagnostic::Diagnostic;
use crate::desired::node::{Table, Value};
use crate::desired::secret::Sensitive;
use crate::desired::work::{
    BuildContext, BuildKit, BuildOptions, BuildPolicy, BuildSecret, BuildSpec, Dockerfile, Track, WorkId,
};

use super::image::{ImageFault, canonical_image};
use super::keys::Parent;
use super::objects::{errors, place};
use super::read::{Field, Fields, Reader, literal};
use super::{Context, host, image, image_policy, paths};

/// The spec of one of the `[builds]`.
#[must_use]
pub fn build(
    id: &WorkId,
    table: &Table,
    context: &Context<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<BuildSpec> {
    let before = errors(diagnostics);
    let mut reader = Reader { context, diagnostics };
    let fields = Fields::new(table, format!("builds.{}", id.name));
    reader.check(&fields, "Build", &[Parent { path: "", shape: "File" }]);
    let name = image_name(&mut reader, &fields);
    let parts = parts(&mut reader, &fields);
    let policy = policy(&mut reader, &fields);
    let spec = parts.zip(policy).map(|(parts, policy)| BuildSpec { image: name, policy, ..parts });
    if errors(diagnostics) == before { spec } else { None }
}

/// The name of the image, which must be there and have no tag.
fn image_name(reader: &mut Reader<'_, '_>, fields: &Fields<'_>) -> Option<String> {
    let Some(field) = fields.get("image") else {
        let message = format!("{} does not say what its image is called", fields.path);
        let told = Diagnostic::error(
            "missing-image",
            fields.table.header.clone(),
            message,
            "which image is made here?",
        );
        reader.report(told.help("image = \"registry.example.com/acme/app\", without a tag"));
        return None;
    };
    let text = reader.filled(&field)?;
    let name = text.rfind('/').map_or(0, |at| at + 1);
    let tag = text.get(name..).and_then(|last| last.find([':', '@'])).map(|at| name + at);
    if let Some(at) = tag {
        let message = format!("`{}` picks the tag of a build", fields.path.clone() + ".tag");
        let told =
            Diagnostic::error("tag-and-policy", field.node.part(at, text.len()), message, "drop this one");
        reader.report(told.help("tag = \"${build.utc}\", or another one for each build"));
        return None;
    }
    match canonical_image(text) {
        Ok(whole) => whole.strip_suffix(":latest").map(str::to_owned),
        Err(ImageFault { start, end, message }) => {
            let whole = format!("`{text}` is not an image");
            reader.report(Diagnostic::error("bad-image", field.node.part(start, end), whole, message));
            None
        }
    }
}

/// `build` of a service or job, with its `build_policy`.
pub(super) fn section(
    reader: &mut Reader<'_, '_>,
    object: &Fields<'_>,
    field: &Field<'_>,
    shape: &str,
) -> Option<BuildSpec> {
    let policy = match object.get("build_policy") {
        None => Some(BuildPolicy::default()),
        Some(field) => {
            let fields = reader.table(&field, "build_policy = { track = [\"source\"] }")?;
            reader.check(&fields, "BuildPolicy", &[Parent { path: &object.path, shape }]);
            policy(reader, &fields)
        }
    };
    let image =
        object.get("image").and_then(|field| field.node.as_str()).and_then(|text| canonical_image(text).ok());
    let parts = match &field.node.value {
        Value::String(_) => {
            let place = place(&Fields::new(object.table, object.path.clone()));
            context(reader, field).map(|context| plain(context, place))
        }
        _ => {
            let fields = reader.table(field, "build = \".\"")?;
            reader.check(&fields, "BuildSection", &[Parent { path: &object.path, shape }]);
            parts(reader, &fields)
        }
    };
    Some(BuildSpec { image, policy: policy?, ..parts? })
}

/// A context and nothing else.
fn plain(context: BuildContext, source: crate::desired::spec::SourcePlace) -> BuildSpec {
    BuildSpec {
        image: None,
        context,
        dockerfile: Dockerfile::Path("Dockerfile".to_owned()),
        target: None,
        args: BTreeMap::new(),
        labels: BTreeMap::new(),
        options: BuildOptions::default(),
        buildkit: BuildKit::default(),
        policy: BuildPolicy::default(),
        source,
    }
}

fn parts(reader: &mut Reader<'_, '_>, fields: &Fields<'_>) -> Option<BuildSpec> {
    let context = match fields.get("context") {
        Some(field) => context(reader, &field),
        // As in Compose: the folder of the file.
        None => paths::on_host(reader.context, &fields.table.header.file, ".").ok().map(BuildContext::Folder),
    };
    let text = |reader: &mut Reader<'_, '_>, key: &str| {
        fields.get(key).and_then(|field| reader.filled(&field).map(str::to_owned))
    };
    let (path, inline) = (fields.get("dockerfile"), text(reader, "dockerfile_inline"));
    let dockerfile = match (path, inline) {
        (Some(path), Some(_)) => {
            let message = format!("{} has both `dockerfile` and `dockerfile_inline`", fields.path);
            let told =
                Diagnostic::error("conflicting-values", path.key.clone(), message, "drop one of the two");
            reader.report(told);
            None
        }
        (Some(path), None) => reader.filled(&path).map(|path| Dockerfile::Path(path.to_owned())),
        (None, Some(inline)) => Some(Dockerfile::Inline(inline)),
        (None, None) => Some(Dockerfile::Path("Dockerfile".to_owned())),
    };
    let args = fields.get("args").map(|field| arguments(reader, &field)).unwrap_or_default();
    let labels = fields.get("labels").map(|field| reader.labels(&field)).unwrap_or_default();
    let target = text(reader, "target");
    let options = options(reader, fields);
    let buildkit = buildkit(reader, fields);
    let plain = plain(context?, place(fields));
    Some(BuildSpec { dockerfile: dockerfile?, target, args, labels, options, buildkit, ..plain })
}

/// A folder of the host, or a repository: `url.git#ref:folder`.
fn context(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> Option<BuildContext> {
    let text = reader.filled(field)?;
    let remote = text.contains("://") || text.starts_with("git@") || text.starts_with("github.com/");
    if !remote {
        return match paths::on_host(reader.context, &field.node.span.file, text) {
            Ok(path) => Some(BuildContext::Folder(path)),
            Err(fault) => {
                reader.error(
                    "bad-path",
                    field.node,
                    format!("`{text}` cannot be used: {fault}"),
                    "not a folder",
                );
                None
            }
        };
    }
    let (url, fragment) = text.split_once('#').unwrap_or((text, ""));
    if !(url.ends_with(".git") || url.starts_with("git") || url.starts_with("ssh://")) {
        let message = format!("`{url}` is not a repository");
        let told =
            Diagnostic::error("bad-context", field.node.span.clone(), message, "archives are not fetched");
        reader.report(
            told.help("a repository's address ends with .git: \"https://host/repo.git#branch:folder\""),
        );
        return None;
    }
    let (reference, folder) = fragment.split_once(':').unwrap_or((fragment, ""));
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    if folder.split('/').any(|part| part == "..") {
        reader.error(
            "bad-path",
            field.node,
            format!("`{folder}` leads out of the repository"),
            "stay below its root",
        );
        return None;
    }
    Some(BuildContext::Git {
        url: url.to_owned(),
        reference: some(reference),
        folder: some(folder.trim_matches('/')),
    })
}

/// `NAME = value` or `["NAME=value", "NAME"]`. Values may be secrets, though an image is no place for one.
fn arguments(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> BTreeMap<String, Option<Sensitive>> {
    let mut all = BTreeMap::new();
    match &field.node.value {
        Value::Table(table) => {
            for (name, item) in Fields::new(table, field.path.clone()).all() {
                match literal(item.node) {
                    Some(text) => {
                        all.insert(name.to_owned(), Some(Sensitive::new(text)));
                    }
                    None => reader.wrong_type(&item, "text", "\"...\""),
                }
            }
        }
        Value::Array(_) => {
            for item in reader.list(field, "[\"NAME=value\"]").unwrap_or_default() {
                let Some(text) = reader.text(&item) else { continue };
                let (name, value) = match text.split_once('=') {
                    Some((name, value)) => (name, Some(value.to_owned())),
                    None => (text, (reader.context.variables)(text)),
                };
                all.insert(name.to_owned(), value.map(Sensitive::new));
            }
        }
        _ => {
            let right = format!("{} = {{ NAME = \"value\" }}", field.name());
            reader.wrong_type(field, "a table or a list", &right);
        }
    }
    all
}

fn texts(reader: &mut Reader<'_, '_>, fields: &Fields<'_>, key: &str) -> Vec<String> {
    let Some(field) = fields.get(key) else { return Vec::new() };
    let items = reader.list(&field, &format!("{key} = [\"...\"]")).unwrap_or_default();
    items.iter().filter_map(|item| reader.filled(item).map(str::to_owned)).collect()
}

fn options(reader: &mut Reader<'_, '_>, fields: &Fields<'_>) -> BuildOptions {
    let flag = |reader: &mut Reader<'_, '_>, key: &str| {
        fields.get(key).and_then(|field| reader.flag(&field)).unwrap_or(false)
    };
    let platforms =
        fields.get("platforms").and_then(|field| reader.list(&field, "platforms = [\"linux/amd64\"]"));
    BuildOptions {
        cache_from: texts(reader, fields, "cache_from"),
        no_cache: flag(reader, "no_cache"),
        pull: flag(reader, "pull"),
        network: fields.get("network").and_then(|field| reader.filled(&field).map(str::to_owned)),
        extra_hosts: fields
            .get("extra_hosts")
            .map(|field| host::extra_hosts(reader, &field))
            .unwrap_or_default(),
        shm_size: fields.get("shm_size").and_then(|field| reader.size(&field)).filter(|bytes| *bytes > 0),
        ulimits: fields.get("ulimits").map(|field| host::ulimits(reader, &field)).unwrap_or_default(),
        platforms: platforms
            .unwrap_or_default()
            .iter()
            .filter_map(|item| image::platform(reader, item))
            .collect(),
        tags: texts(reader, fields, "tags"),
        privileged: flag(reader, "privileged"),
    }
}

fn buildkit(reader: &mut Reader<'_, '_>, fields: &Fields<'_>) -> BuildKit {
    let contexts =
        fields.get("additional_contexts").map(|field| arguments(reader, &field)).unwrap_or_default();
    let ssh = match fields.get("ssh") {
        None => Vec::new(),
        Some(field) => {
            let keys = arguments(reader, &field);
            let key = |(name, path): (String, Option<Sensitive>)| match path {
                Some(path) => format!("{name}={}", path.expose()),
                None => name,
            };
            keys.into_iter().map(key).collect()
        }
    };
    let attestation = |reader: &mut Reader<'_, '_>, key: &str| {
        let field = fields.get(key)?;
        match &field.node.value {
            Value::Boolean(on) => Some(on.to_string()),
            _ => reader.filled(&field).map(str::to_owned),
        }
    };
    let secrets = fields.get("secrets").and_then(|field| reader.list(&field, "secrets = [\"token\"]"));
    BuildKit {
        additional_contexts: contexts
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?.expose().to_owned())))
            .collect(),
        cache_to: texts(reader, fields, "cache_to"),
        secrets: secrets.unwrap_or_default().iter().filter_map(|item| secret(reader, item)).collect(),
        ssh,
        entitlements: texts(reader, fields, "entitlements"),
        provenance: attestation(reader, "provenance"),
        sbom: attestation(reader, "sbom"),
    }
}

fn secret(reader: &mut Reader<'_, '_>, item: &Field<'_>) -> Option<BuildSecret> {
    let Some(table) = item.node.as_table() else {
        let source = reader.filled(item)?.to_owned();
        return Some(BuildSecret { source, target: None, uid: None, gid: None, mode: None });
    };
    let fields = Fields::new(table, item.path.clone());
    reader.check(&fields, "BuildSecret", &[]);
    let text = |reader: &mut Reader<'_, '_>, key: &str| {
        fields.get(key).and_then(|field| reader.filled(&field).map(str::to_owned))
    };
    let Some(source) = text(reader, "source") else {
        reader.error(
            "missing-key",
            item.node,
            format!("`{}` has an entry without `source`", item.path),
            "which secret?",
        );
        return None;
    };
    let mode = fields.get("mode").and_then(|field| super::mount_table::file_mode(reader, &field));
    Some(BuildSecret {
        source,
        target: text(reader, "target"),
        uid: text(reader, "uid"),
        gid: text(reader, "gid"),
        mode,
    })
}

/// The keys of a policy, which stand in `build_policy` or in one of the `[builds]` itself.
fn policy(reader: &mut Reader<'_, '_>, fields: &Fields<'_>) -> Option<BuildPolicy> {
    let before = errors(reader.diagnostics);
    let mut policy = BuildPolicy::default();
    if let Some(field) = fields.get("track") {
        let items = reader.one_or_many(&field, "track = [\"source\", \"base\"]").unwrap_or_default();
        let track = |reader: &mut Reader<'_, '_>, item: &Field<'_>| {
            Some(match reader.choice(item, "kind of change", &["source", "base"])? {
                "base" => Track::Base,
                _ => Track::Source,
            })
        };
        policy.track = items.iter().filter_map(|item| track(reader, item)).collect::<BTreeSet<_>>();
    }
    if let Some(field) = fields.get("tag") {
        policy.tag = tag(reader, &field).unwrap_or_default();
    }
    if let Some(field) = fields.get("ref")
        && let Some(inner) = reader.table(&field, "ref = { semver = \"^2\" }")
    {
        reader.check(&inner, "RefPolicy", &[]);
        match inner.get("semver") {
            Some(field) => policy.reference = image_policy::semver(reader, &field),
            None => reader.error(
                "missing-key",
                field.node,
                format!("`{}` does not say which", field.path),
                "semver = \"^2\"",
            ),
        }
    }
    for (key, place) in [
        ("every", &mut policy.every_ms),
        ("base_every", &mut policy.base_every_ms),
        ("timeout", &mut policy.timeout_ms),
    ] {
        *place = fields.get(key).and_then(|field| reader.duration(&field)).map(|time| time / 1_000_000);
    }
    policy.push = fields.get("push").and_then(|field| reader.flag(&field)).unwrap_or(false);
    let keep = fields.get("keep").and_then(|field| reader.whole(&field, 1, 1000));
    policy.keep = keep.and_then(|keep| u32::try_from(keep).ok()).unwrap_or(policy.keep);
    (errors(reader.diagnostics) == before).then_some(policy)
}

/// What a build's own variables can come to.
const SAMPLES: [(&str, &str); 4] = [
    ("${build.utc}", "20180923T082316Z"),
    ("${git.hash}", "0123456789abcdef0123456789abcdef01234567"),
    ("${git.short}", "01234567"),
    ("${git.branch}", "main"),
];

/// A tag that is one, whatever the variables come to.
fn tag(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> Option<String> {
    let text = reader.filled(field)?;
    let sample = SAMPLES.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value));
    match canonical_image(&format!("x:{sample}")) {
        Ok(_) if !sample.contains('@') => Some(text.to_owned()),
        _ => {
            let message = format!("`{text}` is not a tag: letters, digits, `_`, `.` and `-`");
            let told = Diagnostic::error("bad-tag", field.node.span.clone(), message, "not a tag");
            reader.report(told.help("known here: ${build.utc}, ${git.hash}, ${git.short}, ${git.branch}"));
            None
        }
    }
}
