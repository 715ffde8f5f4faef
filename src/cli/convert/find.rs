//! Which files make a Compose project, and what it is called: by Compose's own rules.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::desired::compose;
use crate::desired::dotenv;
use crate::desired::interpolate;

/// Compose's names for the file, in its order.
const NAMES: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];
const OVERRIDES: [&str; 4] = [
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
];

/// The files of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Absolute; the first is the one that the others are laid over.
    pub files: Vec<PathBuf>,
    /// Absolute: where relative paths begin.
    pub folder: PathBuf,
    /// As it is on the disk.
    pub env: Option<String>,
    pub variables: BTreeMap<String, String>,
}

/// Finds the files: those that were named, or `COMPOSE_FILE` of `.env`, or the one with a usual name and its override.
pub(super) fn find(named: Option<&Path>, laid_over: &[PathBuf]) -> Result<Found, String> {
    let (first, over) = match (named, laid_over) {
        (None, [first, over @ ..]) => (first.as_path(), over),
        (Some(first), over) => (first, over),
        (None, []) => (Path::new("."), laid_over),
    };
    let first = absolute(first)?;
    let (folder, by_folder) = match fs::metadata(&first) {
        Ok(what) if what.is_dir() => (first.clone(), true),
        Ok(_) => (first.parent().unwrap_or(Path::new("/")).to_owned(), false),
        Err(error) => return Err(format!("cannot read {}: {error}", first.display())),
    };
    let env = fs::read(folder.join(".env")).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let variables = env.as_deref().map(variables).unwrap_or_default();
    let mut files = if by_folder { of_folder(&folder, &variables)? } else { vec![first] };
    for over in over {
        files.push(absolute(over)?);
    }
    let usual = |path: &PathBuf| NAMES.iter().any(|name| path.file_name().is_some_and(|file| file == *name));
    if let [only] = files.as_slice()
        && usual(only)
    {
        let over = OVERRIDES.iter().map(|name| folder.join(name)).find(|path| path.is_file());
        files.extend(over);
    }
    Ok(Found { files, folder, env, variables })
}

fn of_folder(folder: &Path, variables: &BTreeMap<String, String>) -> Result<Vec<PathBuf>, String> {
    if let Some(list) = variables.get("COMPOSE_FILE").filter(|list| !list.is_empty()) {
        let separator = variables.get("COMPOSE_PATH_SEPARATOR").map_or(":", String::as_str);
        return Ok(list.split(separator).map(|name| clean(&folder.join(name))).collect());
    }
    let found = NAMES.iter().map(|name| folder.join(name)).find(|path| path.is_file());
    found.map(|path| vec![path]).ok_or_else(|| {
        format!("there is no compose file in {}: name it, or be in its folder", folder.display())
    })
}

/// What `.env` sets. Its own mistakes are the loader's to tell.
fn variables(text: &str) -> BTreeMap<String, String> {
    let outside = |_: &str| -> Option<String> { None };
    dotenv::parse(".env", text.as_bytes(), dotenv::Format::default(), &outside, &mut Vec::new())
}

fn absolute(path: &Path) -> Result<PathBuf, String> {
    let path =
        std::path::absolute(path).map_err(|error| format!("cannot find {}: {error}", path.display()))?;
    Ok(clean(&path))
}

/// Without `.` and `..`, by the words alone, as Compose does it.
pub(super) fn clean(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            part => out.push(part),
        }
    }
    out
}

/// What the project is called: by the command, `.env`, the files (the last one wins), or the folder.
pub(super) fn name(asked: Option<&str>, found: &Found, written: Option<&str>) -> Result<String, String> {
    let from_env =
        found.variables.get("COMPOSE_PROJECT_NAME").map(String::as_str).filter(|name| !name.is_empty());
    let (text, whence) = match (asked, from_env, written) {
        (Some(name), ..) => (name.to_owned(), "--name"),
        (None, Some(name), _) => (name.to_owned(), "COMPOSE_PROJECT_NAME"),
        (None, None, Some(written)) => {
            let known = |name: &str| found.variables.get(name).cloned();
            (interpolate::expand(written, &known).text, "`name`")
        }
        (None, None, None) => {
            let folder = found.folder.file_name().unwrap_or_default();
            (folder.to_string_lossy().into_owned(), "the name of the folder")
        }
    };
    compose::project_name(&text).ok_or_else(|| {
        format!("{whence} gives no name for the project: say --name NAME, of letters, digits, - and _")
    })
}
