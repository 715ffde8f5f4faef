//! What builds and their images are called.

use sha2::{Digest, Sha256};

use crate::desired::work::BuildSpec;
use crate::desired::work::answers::Asker;
use crate::state::time::Timestamp;

/// What is known only when an image is built.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    pub hash: Option<String>,
    pub branch: Option<String>,
    /// See [`stamp`].
    pub utc: String,
}

/// `shop/builds.app`, `shop/services.web`, `shop/jobs.nightly`.
#[must_use]
pub fn name_of(asker: &Asker) -> String {
    match asker {
        Asker::Service(id) => format!("{}/services.{}", id.project, id.service),
        Asker::Job(id) => format!("{}/jobs.{}", id.project, id.name),
        Asker::Build(id) => format!("{}/builds.{}", id.project, id.name),
    }
}

/// The repository in which an image keeps a name of ours alone, so that nobody's clearing takes it.
#[must_use]
pub fn keep_repository(asker: &Asker) -> String {
    let name = name_of(asker);
    // The grammar of names: letters and digits, with one separator between them.
    let mut plain = String::new();
    for letter in name.chars() {
        let separated = plain.is_empty() || plain.ends_with(['-', '.']);
        match letter.to_ascii_lowercase() {
            '/' => plain.push_str("--"),
            letter if letter.is_ascii_alphanumeric() => plain.push(letter),
            _ if separated => {}
            '.' => plain.push('.'),
            _ => plain.push('-'),
        }
    }
    let plain = plain.trim_end_matches(['-', '.']);
    if plain == name.replace('/', "--") {
        return format!("evenkeel-build/{plain}");
    }
    // Another one may read the same now.
    let digest = hex::encode(Sha256::digest(name.as_bytes()));
    format!("evenkeel-build/{plain}-{}", digest.get(..8).unwrap_or_default())
}

/// `20180923T082316Z`.
#[must_use]
pub fn stamp(at: Timestamp) -> String {
    at.to_string().chars().filter(|c| c.is_ascii_alphanumeric()).collect()
}

/// Whether a definition says something that only a commit tells.
#[must_use]
pub fn uses_git(spec: &BuildSpec) -> bool {
    serde_json::to_string(spec).is_ok_and(|text| text.contains("${git."))
}

/// A branch as part of a tag: `feature/x` is `feature-x`.
#[must_use]
pub fn branch_in_tag(branch: &str) -> String {
    branch
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' })
        .collect()
}

/// The definition with everything put in that is known now.
///
/// # Errors
/// A sentence: something is asked for that the source does not tell.
pub fn rendered(spec: &BuildSpec, facts: &Facts) -> Result<BuildSpec, String> {
    let told = |error: serde_json::Error| format!("its definition cannot be filled in: {error}");
    let Facts { hash, branch, utc } = facts;
    let short = hash.as_ref().map(|hash| hash.chars().take(8).collect::<String>());
    let known = [
        ("${git.hash}", hash),
        ("${git.short}", &short),
        ("${git.branch}", branch),
        ("${build.utc}", &Some(utc.clone())),
    ];
    let put = |text: &str, known: &[(&str, &Option<String>)]| -> Result<String, String> {
        let mut text = text.to_owned();
        for (name, value) in known {
            match value {
                Some(value) => text = text.replace(name, value),
                None if text.contains(name) => {
                    return Err(format!("`{name}` has no value: its context comes from no Git repository"));
                }
                None => {}
            }
        }
        Ok(text)
    };
    let mut new: BuildSpec =
        serde_json::from_value(mapped(serde_json::to_value(spec).map_err(told)?, &|text| put(text, &known))?)
            .map_err(told)?;
    let in_tag = branch.as_deref().map(branch_in_tag);
    let known = known.map(|(name, value)| (name, if name == "${git.branch}" { &in_tag } else { value }));
    new.policy.tag = put(&spec.policy.tag, &known)?.chars().take(128).collect();
    new.options.tags =
        spec.options.tags.iter().map(|tag| put(tag, &known)).collect::<Result<Vec<String>, String>>()?;
    Ok(new)
}

fn mapped(
    value: serde_json::Value,
    put: &impl Fn(&str) -> Result<String, String>,
) -> Result<serde_json::Value, String> {
    use serde_json::Value;
    Ok(match value {
        Value::String(text) => Value::String(put(&text)?),
        Value::Array(items) => {
            Value::Array(items.into_iter().map(|item| mapped(item, put)).collect::<Result<_, _>>()?)
        }
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .map(|(name, field)| Ok((name, mapped(field, put)?)))
                .collect::<Result<_, String>>()?,
        ),
        other => other,
    })
}
