//! A commit as a snapshot, by the same rules as a directory.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::error::GitError;
use super::log::{commit_of, touched};
use super::objects::{Entries, bodies, entries, tree_of};
use super::repository::Repository;
use super::settings::GitSettings;
use super::submodules;
use crate::desired::snapshot::{FileContent, RelPath, Snapshot, SourceRevision};
use crate::desired::tree::{Blob, BlobKind, Led, Tree};
use crate::source::file::FILE_LIMIT;
use crate::source::known::{Fact, Known, digest};
use crate::source::payload::Named;
use crate::source::read::{TOTAL_LIMIT, is_left_out, is_state};

/// What is known of the last commit, so that the next one costs what it changed.
#[derive(Debug, Default)]
pub(super) struct Before {
    known: Known,
    pub(super) tree: Arc<Tree>,
    pub(super) commit: Option<String>,
}

/// Where the files of a source lie on this host.
#[derive(Debug, Clone)]
pub(super) struct Places {
    /// The files that services may write beside.
    pub live: String,
    pub copies: String,
}

/// Reads the files of a commit.
///
/// # Errors
/// The path is not there, or holds no state; too much is there; the copy is damaged.
pub(super) fn read(
    repository: &Repository,
    settings: &GitSettings,
    places: &Places,
    commit: &str,
    before: &Before,
) -> Result<(Arc<Snapshot>, Before), GitError> {
    let told = commit_of(repository, commit)?;
    let root = tree_of(repository, settings, &told)?;
    let mut found = entries(repository, &root)?;
    submodules::expand(repository, settings, &told.id, &mut found)?;
    let Entries { files: entries, odd } = found;
    let (commits, touched) = touched(repository, settings, commit, before);
    let tree = Arc::new(Tree { copies: places.copies.clone(), entries, commits, touched });
    let mut reader = Reader { repository, before, tree: &tree, bodies: BTreeMap::new() };
    let (files, facts) = reader.files(odd)?;
    if !files.keys().any(|path| path.file_name().ends_with(".toml")) {
        let place = if settings.path.is_empty() { String::new() } else { format!(" in `{}`", settings.path) };
        return Err(GitError::Empty { commit: told.short().to_owned(), place });
    }
    let mut whole = Sha256::new();
    whole.update(b"evenkeel commit 1\n");
    whole.update(digest(&facts));
    whole.update(&root);
    let snapshot = Arc::new(Snapshot {
        revision: SourceRevision { digest: hex::encode(whole.finalize()), commit: Some(told) },
        root: places.live.clone(),
        files,
        tree: Some(Arc::clone(&tree)),
        name: settings.name.clone(),
        ..Snapshot::default()
    });
    let known = Known::of(Arc::clone(&snapshot), facts);
    Ok((snapshot, Before { known, tree, commit: Some(commit.to_owned()) }))
}

/// Files by the name they go by; those that cannot be used with the reason.
type Wanted = BTreeMap<RelPath, Result<Blob, String>>;
type Files = (BTreeMap<RelPath, FileContent>, BTreeMap<RelPath, Fact>);

struct Reader<'a> {
    repository: &'a Repository,
    before: &'a Before,
    tree: &'a Tree,
    /// What was read, by git's name.
    bodies: BTreeMap<String, Vec<u8>>,
}

impl Reader<'_> {
    /// The state files, and what they name.
    fn files(&mut self, odd: Vec<RelPath>) -> Result<Files, GitError> {
        let (mut state, others) = self.sort();
        for path in odd.into_iter().filter(|path| is_state(path.file_name()) && !hidden(path.as_str())) {
            state.insert(path, Err("its name is not UTF-8".to_owned()));
        }
        let mut files = BTreeMap::new();
        let mut facts = BTreeMap::new();
        self.take(state, &mut files, &mut facts)?;
        loop {
            let named: BTreeSet<Named> = facts.values().flat_map(Fact::named).cloned().collect();
            let mut wanted = Wanted::new();
            for name in named {
                match name {
                    Named::File(path) => {
                        if let Some(entry) = self.entry(path.as_str()) {
                            wanted.insert(path, entry);
                        }
                    }
                    between => {
                        let fitting = others.iter().filter(|path| between.fits(path));
                        wanted.extend(
                            fitting.filter_map(|path| Some((path.clone(), self.entry(path.as_str())?))),
                        );
                    }
                }
            }
            wanted.retain(|path, _| !files.contains_key(path));
            if wanted.is_empty() {
                return Ok((files, facts));
            }
            self.take(wanted, &mut files, &mut facts)?;
        }
    }

    /// What is there under a path, or why it cannot be used. `None`: nothing, or a folder.
    fn entry(&self, path: &str) -> Option<Result<Blob, String>> {
        match self.tree.follow(path) {
            Led::File(_, blob) if blob.kind == BlobKind::Submodule => {
                Some(Err("it is a submodule, and submodules are not fetched".to_owned()))
            }
            Led::File(_, blob) => Some(Ok(blob.clone())),
            Led::Nowhere(why) => Some(Err(format!("{why}; put the file itself there"))),
            Led::Folder(_) | Led::Absent => None,
        }
    }

    /// State files, with links to folders followed; and everything else by name.
    fn sort(&self) -> (Wanted, BTreeSet<RelPath>) {
        let (mut state, mut others) = (Wanted::new(), BTreeSet::new());
        for (path, blob) in &self.tree.entries {
            let link = matches!(blob.kind, BlobKind::Link(_)) && !hidden(path.as_str());
            match link.then(|| self.tree.follow(path.as_str())) {
                Some(Led::Folder(target)) => self.linked_folder(path, &target, &mut state, &mut others),
                // It may be a folder with state in it: what it defines must not look as if it had been removed.
                Some(Led::Nowhere(why)) if !path.file_name().contains('.') => note(path, &why, &mut state),
                _ => self.sorted(path.clone(), path.as_str(), &mut state, &mut others),
            }
        }
        (state, others)
    }

    /// `seen`: the name it goes by; `path`: where it is.
    fn sorted(&self, seen: RelPath, path: &str, state: &mut Wanted, others: &mut BTreeSet<RelPath>) {
        if !is_state(seen.file_name()) || hidden(seen.as_str()) {
            others.insert(seen);
        } else if let Some(entry) = self.entry(path) {
            state.insert(seen, entry);
        }
    }

    fn linked_folder(
        &self,
        link: &RelPath,
        target: &str,
        state: &mut Wanted,
        others: &mut BTreeSet<RelPath>,
    ) {
        let within = if target.is_empty() { String::new() } else { format!("{target}/") };
        if link.as_str().starts_with(&within) {
            return note(link, "the link leads back to a folder above it", state);
        }
        let from = self.tree.entries.range::<str, _>((Bound::Included(within.as_str()), Bound::Unbounded));
        for (path, _) in from.take_while(|(path, _)| path.as_str().starts_with(&within)) {
            let rest = path.as_str().get(within.len()..).unwrap_or_default();
            if let Some(seen) = RelPath::new(&format!("{link}/{rest}")) {
                self.sorted(seen, path.as_str(), state, others);
            }
        }
    }

    /// Reads what is wanted; of what did not change the content is known.
    fn take(
        &mut self,
        wanted: Wanted,
        files: &mut BTreeMap<RelPath, FileContent>,
        facts: &mut BTreeMap<RelPath, Fact>,
    ) -> Result<(), GitError> {
        let mut open = BTreeSet::new();
        let mut total = 0;
        for (path, blob) in &wanted {
            let Ok(blob) = blob else { continue };
            if blob.size <= FILE_LIMIT && self.known(path, blob).is_none() {
                open.insert(blob.oid.clone());
            }
            total += blob.size.min(FILE_LIMIT);
        }
        if total > TOTAL_LIMIT {
            let why =
                format!("the files of the desired state hold more than {} MiB together", TOTAL_LIMIT >> 20);
            return Err(GitError::TooLarge { what: "cat-file", why });
        }
        self.load(&open)?;
        for (path, blob) in wanted {
            let content = match blob {
                Err(why) => FileContent::Unreadable(why),
                Ok(blob) if blob.size > FILE_LIMIT => {
                    FileContent::Unreadable(format!("it is larger than {} MiB", FILE_LIMIT >> 20))
                }
                Ok(blob) => match self.known(&path, &blob) {
                    Some(content) => content.clone(),
                    None => {
                        let body = self.bodies.get(&blob.oid).cloned();
                        FileContent::Read(
                            body.ok_or_else(|| self.repository.damaged("a file is missing"))?.into(),
                        )
                    }
                },
            };
            facts.insert(path.clone(), self.before.known.fact(&path, None, &content));
            files.insert(path, content);
        }
        Ok(())
    }

    /// The content as of the last commit, if it is the same file of the same name. Only for files that are no links.
    fn known(&self, path: &RelPath, blob: &Blob) -> Option<&FileContent> {
        let before = self.before.tree.entries.get(path)?;
        let same = before.oid == blob.oid && before.kind == blob.kind;
        self.before
            .known
            .snapshot
            .files
            .get(path)
            .filter(|content| same && matches!(content, FileContent::Read(_)))
    }

    fn load(&mut self, wanted: &BTreeSet<String>) -> Result<(), GitError> {
        let open: BTreeSet<String> =
            wanted.iter().filter(|oid| !self.bodies.contains_key(*oid)).cloned().collect();
        self.bodies.extend(bodies(self.repository, &open)?);
        Ok(())
    }
}

/// A folder that cannot be read stands in the snapshot, so that nothing in it seems to have been removed.
fn note(link: &RelPath, why: &str, state: &mut Wanted) {
    if let Some(path) = RelPath::new(&format!("{link}/*.toml")) {
        state.insert(path, Err(why.to_owned()));
    }
}

/// Hidden by the language's rule, itself or with a folder above it.
fn hidden(path: &str) -> bool {
    let mut parts = path.rsplit('/');
    let name = parts.next().unwrap_or_default();
    is_left_out(name) || parts.any(|part| part.starts_with(['.', '_']))
}
