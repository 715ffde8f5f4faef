//! Does what came out load? The same loader as everywhere is asked, with the files as they will lie.

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::diagnostic::{Diagnostic, Span};
use crate::desired::snapshot::{FileContent, HostFacts, RelPath, Snapshot};
use crate::desired::{DesiredState, load};

/// Stands for a variable that is set nowhere: good as a number, a size, a port and a text.
const DUMMY: &str = "1";

/// What the loader says.
#[derive(Debug, Clone, Default)]
pub struct Checked {
    /// Variables that are set nowhere, with the place of the first use.
    pub unset: BTreeMap<String, Diagnostic>,
    /// Everything else. What is wrong with a value that holds a variable is left out when there are unset ones.
    pub problems: Vec<Diagnostic>,
    pub state: DesiredState,
}

/// Loads the files of one project, by their paths from the root (`shop/compose.toml`, `shop/.env`, ...).
#[must_use]
pub fn check(root: &str, files: &BTreeMap<String, Vec<u8>>, env: &str, host: &HostFacts) -> Checked {
    let mut files = files.clone();
    let mut checked = Checked::default();
    // A variable may lead to the next one: `${A:-${B}}`.
    for _ in 0..4 {
        let snapshot = snapshot(root, &files);
        let (state, found) = load(&snapshot, host);
        checked.state = state;
        let (unset, problems): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|told| matches!(told.slug, "unset-variable" | "required-variable"));
        checked.problems = problems;
        let mut fresh = BTreeSet::new();
        for told in unset {
            if let Some(name) = variable(&told)
                && !checked.unset.contains_key(&name)
            {
                fresh.insert(name.clone());
                checked.unset.insert(name, told);
            }
        }
        if fresh.is_empty() {
            break;
        }
        let text = files.entry(env.to_owned()).or_default();
        for name in fresh {
            text.extend(format!("\n{name}={DUMMY}").into_bytes());
        }
    }
    if !checked.unset.is_empty() {
        checked.problems.retain(|told| !holds_variable(&told.primary.span, &files));
    }
    checked
}

/// The name in the message about it.
fn variable(told: &Diagnostic) -> Option<String> {
    told.message.split('`').nth(1).map(str::to_owned).filter(|name| !name.contains('.'))
}

fn snapshot(root: &str, files: &BTreeMap<String, Vec<u8>>) -> Snapshot {
    let files = files
        .iter()
        .filter_map(|(path, bytes)| Some((RelPath::new(path)?, FileContent::Read(bytes.clone().into()))));
    Snapshot { root: root.to_owned(), files: files.collect(), ..Snapshot::default() }
}

/// Is there a variable on the line of a place?
fn holds_variable(span: &Span, files: &BTreeMap<String, Vec<u8>>) -> bool {
    let Some(bytes) = files.get(span.file.as_str()) else { return false };
    let start =
        bytes.get(..span.start).unwrap_or_default().iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    let line = bytes.get(start..).unwrap_or_default().split(|b| *b == b'\n').next().unwrap_or_default();
    line.contains(&b'$')
}
