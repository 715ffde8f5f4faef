//! Where everything goes: the files that are written, and the paths in them, which must mean the same files as before.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use crate::desired::compose::{self, Converted, Note, Place, Reference, Source, Use};

use super::find::clean;

/// Largest file, and most files of a folder, that `--copy` takes along.
const LARGEST: u64 = 1 << 20;
const MOST: usize = 200;

/// What to convert, and where to.
pub(super) struct Job<'a> {
    /// Folder of the compose file, and the folder of the state file.
    pub from: &'a Path,
    pub to: &'a Path,
    pub copy: bool,
}

/// A state file to be written.
pub(super) struct Output {
    pub from: PathBuf,
    pub to: PathBuf,
    pub converted: Converted,
    /// It belongs to the project itself: not included or extended from.
    pub own: bool,
    pub refines: bool,
}

#[derive(Default)]
pub(super) struct Outcome {
    pub outputs: Vec<Output>,
    pub notes: Vec<Note>,
    /// Files to be copied: from where, and to where.
    pub copies: BTreeMap<PathBuf, PathBuf>,
}

/// Converts the files and all that they include or extend.
pub(super) fn convert(job: &Job<'_>, files: &[PathBuf]) -> Result<Outcome, Vec<Note>> {
    let mut work = Work {
        job,
        outcome: Outcome::default(),
        queue: VecDeque::new(),
        known: BTreeMap::new(),
        errors: Vec::new(),
    };
    for (path, name) in files.iter().zip(names(files)) {
        let to = job.to.join(name);
        work.known.insert(path.clone(), to.clone());
        work.queue.push_back((path.clone(), to, true));
    }
    while let Some((from, to, own)) = work.queue.pop_front() {
        let refines = own && files.first().is_some_and(|first| *first != from);
        work.file(&from, &to, own, refines);
    }
    if !work.errors.is_empty() {
        return Err(work.errors);
    }
    work.outcome.notes.sort();
    work.outcome.notes.dedup();
    Ok(work.outcome)
}

/// Names for the files of a project. Those that are laid over the first are applied in the order of their paths, so where their own names
/// are in another order they are numbered.
fn names(files: &[PathBuf]) -> Vec<String> {
    let stem = |path: &PathBuf| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let own: Vec<String> = files.iter().map(|path| format!("{}.toml", stem(path))).collect();
    let over = own.get(1..).unwrap_or_default();
    let sorted = over.is_sorted()
        && own.iter().enumerate().all(|(at, name)| own.iter().position(|n| n == name) == Some(at));
    if sorted {
        return own;
    }
    let numbered = |(at, path): (usize, &PathBuf)| match at {
        0 => format!("{}.toml", stem(path)),
        _ => format!("override-{at:02}-{}.toml", stem(path)),
    };
    files.iter().enumerate().map(numbered).collect()
}

struct Work<'a> {
    job: &'a Job<'a>,
    outcome: Outcome,
    queue: VecDeque<(PathBuf, PathBuf, bool)>,
    known: BTreeMap<PathBuf, PathBuf>,
    errors: Vec<Note>,
}

impl Work<'_> {
    fn file(&mut self, from: &Path, to: &Path, own: bool, refines: bool) {
        let shown = shown(from);
        let begin = Place { line: 1, column: 1 };
        let text = match fs::read(from).map(String::from_utf8) {
            Ok(Ok(text)) => text,
            Ok(Err(_)) => {
                return self.errors.push(Note::error(
                    &shown,
                    begin,
                    "yaml-syntax",
                    "this is no text in UTF-8",
                ));
            }
            Err(error) => {
                return self.errors.push(Note::error(
                    &shown,
                    begin,
                    "unreadable",
                    format!("cannot be read: {error}"),
                ));
            }
        };
        let (documents, notes) = match compose::convert(&Source { file: &shown, text: &text, refines }) {
            Ok(converted) => converted,
            Err(error) => return self.errors.push(error),
        };
        self.outcome.notes.extend(notes);
        for (number, mut converted) in documents.into_iter().enumerate() {
            let to = match number {
                0 => to.to_owned(),
                _ => to.with_extension(format!("{:02}.toml", number + 1)),
            };
            self.paths(&shown, from, &to, own, &mut converted);
            let refines = refines || number > 0;
            self.outcome.outputs.push(Output { from: from.to_owned(), to, converted, own, refines });
        }
    }

    /// Makes the paths in a file mean what they meant.
    fn paths(&mut self, shown: &str, from: &Path, to: &Path, own: bool, converted: &mut Converted) {
        let folder = |path: &Path| path.parent().unwrap_or(Path::new("/")).to_owned();
        // Override files of a project lie anywhere; their paths begin at the first file.
        let base = if own { self.job.from.to_owned() } else { folder(from) };
        let target = folder(to);
        converted.references(&mut |reference| {
            if reference.purpose == Use::Compose {
                // Beside the file that names it, wherever that lies.
                self.compose(shown, &base, &target, reference);
            } else if self.job.from != self.job.to && !is_fixed(reference.path) {
                self.payload(shown, &base, &target, reference);
            }
        });
    }

    fn compose(&mut self, shown: &str, base: &Path, target: &Path, reference: Reference<'_>) {
        let yaml =
            Path::new(reference.path.as_str()).extension().is_some_and(|ext| ext == "yaml" || ext == "yml");
        let mut note = |slug, message: String| {
            self.outcome.notes.push(Note::new(shown, reference.place, slug, message));
        };
        if reference.path.contains('$') {
            return note(
                "variable-path",
                "which file this is, is said by a variable: convert it by hand, and name the TOML here"
                    .to_owned(),
            );
        }
        let file = clean(&base.join(reference.path.as_str()));
        if !yaml || !file.is_file() {
            return note(
                "missing-file",
                format!("there is no file {}: it is named as before", file.display()),
            );
        }
        let to = match self.known.get(&file) {
            Some(to) => to.clone(),
            None => {
                let to = self.mapped(&file).unwrap_or_else(|| self.free(&file)).with_extension("toml");
                self.known.insert(file.clone(), to.clone());
                self.queue.push_back((file, to.clone(), false));
                to
            }
        };
        *reference.path = relative(target, &to);
    }

    /// The same place below the folder of the state file; `None` for what lies elsewhere.
    fn mapped(&self, file: &Path) -> Option<PathBuf> {
        if self.job.from == self.job.to {
            return Some(file.to_owned());
        }
        file.strip_prefix(self.job.from).ok().map(|below| self.job.to.join(below))
    }

    /// A name in the folder of the state file that nothing else has.
    fn free(&self, file: &Path) -> PathBuf {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let name = |number: usize| match number {
            0 => format!("{stem}.toml"),
            _ => format!("{stem}-{number}.toml"),
        };
        let taken = |path: &PathBuf| self.known.values().any(|known| known == path);
        (0..).map(|number| self.job.to.join(name(number))).find(|path| !taken(path)).unwrap_or_default()
    }

    /// What a service reads, mounts or is built from, when the state file goes elsewhere.
    fn payload(&mut self, shown: &str, base: &Path, target: &Path, reference: Reference<'_>) {
        let mut note = |slug, message: String| {
            self.outcome.notes.push(Note::new(shown, reference.place, slug, message));
        };
        if reference.path.starts_with('$') {
            return;
        }
        let file = clean(&base.join(reference.path.as_str()));
        let mapped = file.strip_prefix(self.job.from).ok().map(|below| self.job.to.join(below));
        let here = mapped.as_ref().map(|mapped| relative(target, mapped));
        if reference.path.contains('$') {
            if reference.purpose != Use::Read {
                *reference.path = file.to_string_lossy().into_owned();
            }
            return note(
                "path",
                format!("a variable is part of this path: see that it leads to {}", file.display()),
            );
        }
        if let (Some(mapped), Some(here), true) = (&mapped, &here, self.job.copy) {
            let mut files = BTreeMap::new();
            // What a service writes to stays where it is: a copy would be another state of it.
            let data = reference.purpose == Use::Mount && !reference.read_only && file.is_dir();
            if !data && gather(&file, mapped, &mut files) {
                self.outcome.copies.append(&mut files);
                *reference.path = dotted(here, reference.purpose);
                return;
            }
        }
        match (reference.purpose, mapped, here) {
            (Use::Read, Some(mapped), Some(here)) => {
                note(
                    "copy-file",
                    format!("copy {} to {}: it is read with the state", file.display(), mapped.display()),
                );
                *reference.path = here;
            }
            (Use::Read, ..) => {
                note(
                    "copy-file",
                    format!(
                        "{} lies outside: copy it beside the state file, and name it here",
                        file.display()
                    ),
                );
            }
            _ => {
                note(
                    "path",
                    format!("`{}` is written as {}, where it is now", reference.path, file.display()),
                );
                *reference.path = file.to_string_lossy().into_owned();
            }
        }
    }
}

/// Means the same wherever it is written.
fn is_fixed(path: &str) -> bool {
    path.starts_with(['/', '~']) || path.contains("://")
}

/// A mount's source begins with a dot, or it would be the name of a volume.
fn dotted(path: &str, purpose: Use) -> String {
    if purpose == Use::Mount && !path.starts_with('.') { format!("./{path}") } else { path.to_owned() }
}

/// The files that are copied for one path: all of them, or none when it is much.
fn gather(from: &Path, to: &Path, files: &mut BTreeMap<PathBuf, PathBuf>) -> bool {
    let Ok(what) = fs::symlink_metadata(from) else { return false };
    if what.is_file() {
        files.insert(from.to_owned(), to.to_owned());
        return what.len() <= LARGEST && files.len() <= MOST;
    }
    let (true, Ok(entries)) = (what.is_dir(), fs::read_dir(from)) else { return false };
    let mut entries = entries.flatten();
    let sound = entries.by_ref().all(|entry| gather(&entry.path(), &to.join(entry.file_name()), files));
    sound && !files.is_empty()
}

/// The way from a folder to a file, both absolute.
fn relative(folder: &Path, file: &Path) -> String {
    let (from, to): (Vec<_>, Vec<_>) = (folder.components().collect(), file.components().collect());
    let same = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n("..".to_owned(), from.len() - same);
    let down = to.iter().skip(same).map(|part| part.as_os_str().to_string_lossy().into_owned());
    up.chain(down).collect::<Vec<_>>().join("/")
}

/// A path as people call it: from where they are.
pub(super) fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here).unwrap_or(path).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn override_files_keep_their_order() {
        let named = |files: &[&str]| names(&files.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(
            named(&["/a/compose.yaml", "/a/compose.override.yaml"]),
            ["compose.toml", "compose.override.toml"]
        );
        assert_eq!(
            named(&["c.yml", "z.yml", "a.yml"]),
            ["c.toml", "override-01-z.toml", "override-02-a.toml"]
        );
        assert_eq!(named(&["c.yml", "x/c.yml"]), ["c.toml", "override-01-c.toml"]);
    }

    #[test]
    fn the_way_between_two_places() {
        assert_eq!(relative(Path::new("/a/b"), Path::new("/a/b/c/d.toml")), "c/d.toml");
        assert_eq!(relative(Path::new("/a/b"), Path::new("/a/x.toml")), "../x.toml");
    }
}
