//! Which files besides TOML and `.env` belong to the desired state: those that `env_file`, `label_file`, `include`, `extends`, a seccomp
//! profile, and the definitions of secrets and configs name.
//!
//! Reading more would let every log or database file below the directory count as a change of the desired state. This looks
//! for these keys and judges nothing: the loader does that.

use std::collections::BTreeSet;

use toml::de::{DeTable, DeValue};

use crate::desired::snapshot::RelPath;

const KEYS: [&str; 3] = ["env_file", "label_file", "include"];
/// Names a file in its table's `file`.
const EXTENDS: &str = "extends";
/// Its entries name a file only as `seccomp=<file>` (or with Compose's older colon).
const OPTIONS: &str = "security_opt";
/// Tables at the top whose entries name a file, and the keys under which they do.
const DEFINITIONS: [&str; 2] = ["secrets", "configs"];
const FILES: [&str; 3] = ["file", "age", "sops"];
/// Deeper than any key of the language stands.
const DEPTH: usize = 16;

/// What a value names: one file, or with variables in it all that fit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Named {
    File(RelPath),
    /// Paths below the root that start and end so. What the variables hold is the loader's to know.
    Between(String, String),
}

impl Named {
    pub(super) fn fits(&self, path: &RelPath) -> bool {
        match self {
            Self::File(file) => file == path,
            Self::Between(start, end) => {
                let text = path.as_str();
                text.len() >= start.len() + end.len() && text.starts_with(start) && text.ends_with(end)
            }
        }
    }
}

/// The files that the TOML in `folder` names. Text with syntax errors gives what could be read of it.
pub(super) fn named(folder: &str, text: &str) -> BTreeSet<Named> {
    let mut found = BTreeSet::new();
    if KEYS.iter().chain([&OPTIONS, &EXTENDS]).chain(&DEFINITIONS).any(|key| text.contains(key)) {
        let (table, _) = DeTable::parse_recoverable(text);
        search(folder, table.get_ref(), DEPTH, &mut found);
        definitions(folder, table.get_ref(), &mut found);
    }
    found
}

fn search(folder: &str, table: &DeTable<'_>, depth: usize, found: &mut BTreeSet<Named>) {
    for (key, value) in table {
        if KEYS.contains(&key.get_ref().as_ref()) {
            collect(folder, value.get_ref(), found);
        } else if key.get_ref().as_ref() == OPTIONS {
            profiles(folder, value.get_ref(), found);
        } else if let (DeValue::Table(inner), true) = (value.get_ref(), key.get_ref().as_ref() == EXTENDS) {
            if let Some(DeValue::String(text)) = inner.get("file").map(toml::Spanned::get_ref) {
                found.extend(place(folder, text));
            }
        } else if let (DeValue::Table(inner), Some(depth)) = (value.get_ref(), depth.checked_sub(1)) {
            search(folder, inner, depth, found);
        }
    }
}

fn definitions(folder: &str, table: &DeTable<'_>, found: &mut BTreeSet<Named>) {
    for kind in DEFINITIONS {
        let Some(DeValue::Table(all)) = table.get(kind).map(toml::Spanned::get_ref) else { continue };
        for entry in all.values() {
            let DeValue::Table(entry) = entry.get_ref() else { continue };
            for key in FILES {
                if let Some(DeValue::String(text)) = entry.get(key).map(toml::Spanned::get_ref) {
                    found.extend(place(folder, text));
                }
            }
        }
    }
}

/// Compose's three forms: a path, a list of paths, a list of tables with `path`.
fn collect(folder: &str, value: &DeValue<'_>, found: &mut BTreeSet<Named>) {
    match value {
        DeValue::String(text) => found.extend(place(folder, text)),
        DeValue::Array(items) => {
            for item in items.iter() {
                match item.get_ref() {
                    DeValue::String(text) => found.extend(place(folder, text)),
                    DeValue::Table(entry) => {
                        if let Some(DeValue::String(text)) = entry.get("path").map(toml::Spanned::get_ref) {
                            found.extend(place(folder, text));
                        }
                    }
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

/// `security_opt = ["no-new-privileges", "seccomp=files/profile.json"]`.
fn profiles(folder: &str, value: &DeValue<'_>, found: &mut BTreeSet<Named>) {
    let DeValue::Array(items) = value else { return };
    for item in items.iter() {
        let DeValue::String(text) = item.get_ref() else { continue };
        let profile = text.strip_prefix("seccomp").and_then(|rest| rest.strip_prefix(['=', ':']));
        let file = profile.map(str::trim).filter(|name| !matches!(*name, "unconfined" | "builtin"));
        found.extend(file.and_then(|name| place(folder, name)));
    }
}

/// Resolves a path as written against the folder of its file. Paths that leave the root, or are absolute, are not ours.
fn place(folder: &str, text: &str) -> Option<Named> {
    if text.starts_with('/') {
        return None;
    }
    let Some((before, after)) = text.split_once('$') else {
        return join(folder, text).and_then(|path| RelPath::new(&path)).map(Named::File);
    };
    let end = after.rsplit(['}', '$']).next().unwrap_or_default();
    // Without braces a variable's name reaches as far as letters go.
    let end =
        end.trim_start_matches(|c: char| !after.contains('}') && (c.is_ascii_alphanumeric() || c == '_'));
    let (start_folder, start_name) = before.rsplit_once('/').unwrap_or(("", before));
    let start = join(folder, start_folder)?;
    let slash = if start.is_empty() { "" } else { "/" };
    Some(Named::Between(format!("{start}{slash}{start_name}"), end.to_owned()))
}

/// `shop` and `./../common/x` give `common/x`; `None` when the way leads out of the root.
fn join(folder: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(folder: &str, text: &str, expected: &[&str]) {
        let found: Vec<String> = named(folder, text)
            .into_iter()
            .map(|name| match name {
                Named::File(path) => path.to_string(),
                Named::Between(start, end) => format!("{start}*{end}"),
            })
            .collect();
        assert_eq!(found, expected, "in {folder:?}: {text}");
    }

    #[test]
    fn every_form_of_env_file_is_found() {
        check("shop", "[services.web]\nenv_file = 'web.vars'", &["shop/web.vars"]);
        check("", "[services.web]\nenv_file = ['a', './b/c']", &["a", "b/c"]);
        check("x", "[services.web]\nenv_file = [{ path = 'a', required = false }, 'b']", &["x/a", "x/b"]);
        check("x", "[services.web]\nlabel_file = 'labels'", &["x/labels"]);
        check("x", "[defaults.services]\nenv_file = '../common.txt'", &["common.txt"]);
    }

    #[test]
    fn files_that_are_included_or_extended_are_found() {
        check(
            "shop",
            "include = ['../_common/db.toml', { path = 'x.toml' }]",
            &["_common/db.toml", "shop/x.toml"],
        );
        let extends =
            "[services.a]\nextends = { file = '_base.toml', service = 'a' }\n[services.b]\nextends = 'a'";
        check("shop", extends, &["shop/_base.toml"]);
    }

    #[test]
    fn a_seccomp_profile_is_found_and_other_security_options_are_none() {
        let options = "security_opt = ['no-new-privileges:true', 'seccomp=unconfined', 'seccomp:files/a.json', 'seccomp=./b.json']";
        check("shop", &format!("[services.web]\n{options}"), &["shop/b.json", "shop/files/a.json"]);
    }

    #[test]
    fn files_of_secrets_and_configs_are_found() {
        let text = "[secrets]\na = { age = 'files/a.age' }\nb.sops = 'b.yaml'\n[configs.c]\nfile = './c.ini'\ncontent = 'x'";
        check("shop", text, &["shop/b.yaml", "shop/c.ini", "shop/files/a.age"]);
        check("shop", "[secrets.a]\nfile = '/etc/a'\n[services.web]\nsecrets = ['a']", &[]);
    }

    #[test]
    fn a_path_with_variables_names_all_that_fit() {
        check("shop", "[services.web]\nenv_file = 'conf/${STAGE}.txt'", &["shop/conf/*.txt"]);
        check("", "[services.web]\nenv_file = '$STAGE.txt'", &["*.txt"]);
        check("", "[services.web]\nenv_file = 'a-${X:-y}-${Z}'", &["a-*"]);
        let named = Named::Between("shop/conf/".to_owned(), ".txt".to_owned());
        assert!(named.fits(&RelPath::new("shop/conf/live.txt").unwrap()));
        assert!(!named.fits(&RelPath::new("shop/live.txt").unwrap()));
    }

    #[test]
    fn what_lies_outside_or_is_of_another_type_is_left_to_the_loader() {
        check("shop", "[services.web]\nenv_file = '../../etc/passwd'", &[]);
        check("shop", "[services.web]\nenv_file = '/etc/passwd'", &[]);
        check("shop", "[services.web]\nenv_file = 7\n[services.db]\nenv_file = [7, {}]", &[]);
        check("shop", "# env_file = 'x'", &[]);
    }

    #[test]
    fn a_file_with_a_syntax_error_still_names_what_can_be_read() {
        check("", "[services.web]\nenv_file = 'a'\n[services.db\n", &["a"]);
    }
}
