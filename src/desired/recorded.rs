//! Writing into a file which tag was chosen, so that everything else in it stays as it is.

use toml_edit::{DocumentMut, InlineTable, Item, Table, Value};

/// The key in `image_policy`.
pub const KEY: &str = "current";

/// The file with `current` of a policy set: `table` is `services` or `jobs`. `Ok(None)`: the policy of this one is not in it.
///
/// # Errors
/// The text is no TOML that can be changed without loss.
pub fn record(text: &str, table: &str, name: &str, current: &str) -> Result<Option<String>, String> {
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
        let told = error.to_string();
        format!("it cannot be changed: {}", told.lines().next().unwrap_or("no TOML"))
    })?;
    let policy = document
        .get_mut(table)
        .and_then(|item| item.as_table_like_mut()?.get_mut(name))
        .and_then(|item| item.as_table_like_mut()?.get_mut("image_policy"));
    match policy {
        Some(Item::Table(policy)) => set(policy, current),
        Some(Item::Value(Value::InlineTable(policy))) => set_inline(policy, current),
        _ => return Ok(None),
    }
    Ok(Some(document.to_string()))
}

fn set(policy: &mut Table, current: &str) {
    let dotted = policy.is_dotted();
    match policy.get_mut(KEY).and_then(Item::as_value_mut) {
        Some(value) => replace(value, current),
        None => {
            // A key of its own line: written as those beside it are.
            let like = policy.iter().last().and_then(|(key, _)| Some(policy.key(key)?.leaf_decor().clone()));
            policy.insert(KEY, Item::Value(Value::from(current)));
            if let (false, Some(like), Some(mut key)) = (dotted, like, policy.key_mut(KEY)) {
                let indent = like.prefix().and_then(|prefix| prefix.as_str()).unwrap_or_default();
                let indent = indent.rsplit('\n').next().unwrap_or_default().to_owned();
                if indent.chars().all(char::is_whitespace) {
                    key.leaf_decor_mut().set_prefix(indent);
                }
            }
        }
    }
}

fn set_inline(policy: &mut InlineTable, current: &str) {
    if let Some(value) = policy.get_mut(KEY) {
        replace(value, current);
        return;
    }
    let last = policy.iter().last().map(|(key, _)| key.to_owned());
    let mut end = String::from(" ");
    if let Some(value) = last.and_then(|last| policy.get_mut(&last)) {
        let suffix = value.decor().suffix().and_then(|suffix| suffix.as_str()).unwrap_or_default();
        end = suffix.to_owned();
        value.decor_mut().set_suffix("");
    }
    let mut value = Value::from(current);
    value.decor_mut().set_prefix(" ");
    value.decor_mut().set_suffix(end);
    policy.insert(KEY, value);
    if let Some(mut key) = policy.key_mut(KEY) {
        key.leaf_decor_mut().set_prefix(" ");
        key.leaf_decor_mut().set_suffix(" ");
    }
}

/// What stands around a value, such as a comment behind it, stays.
fn replace(value: &mut Value, current: &str) {
    let decor = value.decor().clone();
    *value = Value::from(current);
    *value.decor_mut() = decor;
}

#[cfg(test)]
mod tests {
    use super::record;

    #[test]
    fn only_the_one_value_changes() {
        for (before, after) in [
            (
                "# shop\n[services.web] # the shop\nimage = \"r\"\nimage_policy = { semver = \"^1\" } # newest\nports = [\n  \"80\", # http\n]\n",
                "# shop\n[services.web] # the shop\nimage = \"r\"\nimage_policy = { semver = \"^1\", current = \"1.2\" } # newest\nports = [\n  \"80\", # http\n]\n",
            ),
            (
                "[services.web]\nimage_policy = {semver = \"^1\", current = \"1.1\", every = \"5m\"}\n",
                "[services.web]\nimage_policy = {semver = \"^1\", current = \"1.2\", every = \"5m\"}\n",
            ),
            (
                "[services.web]\nimage_policy.semver = \"^1\"\n# a port\nports = [\"80\"]\n",
                "[services.web]\nimage_policy.semver = \"^1\"\nimage_policy.current = \"1.2\"\n# a port\nports = [\"80\"]\n",
            ),
            (
                "[services.web]\nimage = \"r\"\n\n[services.web.image_policy]\n  # which\n  semver = \"^1\"\n\n[services.db]\nimage = \"d:1\"\n",
                "[services.web]\nimage = \"r\"\n\n[services.web.image_policy]\n  # which\n  semver = \"^1\"\n  current = \"1.2\"\n\n[services.db]\nimage = \"d:1\"\n",
            ),
            (
                "services.web = { image = \"r\", image_policy = { semver = \"^1\" } }\n",
                "services.web = { image = \"r\", image_policy = { semver = \"^1\", current = \"1.2\" } }\n",
            ),
            (
                "[services.web.image_policy]\ncurrent = \"1.0\" # by evenkeel\nsemver = \"^1\"",
                "[services.web.image_policy]\ncurrent = \"1.2\" # by evenkeel\nsemver = \"^1\"",
            ),
        ] {
            let written = record(before, "services", "web", "1.2").unwrap().unwrap();
            assert_eq!(written.trim_end(), after.trim_end(), "{before}");
            // Writing it once more changes nothing: a commit of its own would follow from every look otherwise.
            assert_eq!(record(&written, "services", "web", "1.2").unwrap().as_ref(), Some(&written));
        }
    }

    #[test]
    fn where_the_policy_is_not_nothing_is_written() {
        for text in ["", "[services.web]\nimage = \"r\"\n", "[jobs.web]\nimage_policy = { semver = \"1\" }\n"]
        {
            assert_eq!(record(text, "services", "web", "1.2"), Ok(None), "{text}");
        }
        assert!(record("a = ", "services", "web", "1").is_err());
    }
}
