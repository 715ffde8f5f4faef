//! Looking at the source of a build.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use super::site::{Site, lock};
use crate::controller::clock;
use crate::desired::work::answers::Asker;
use crate::desired::work::{BuildContext, BuildSpec, Dockerfile};
use crate::source::context::{Context, Known, Limits, commit_of_folder, read_text};
use crate::source::git::{ContextFound, ContextSource, Remote};
use crate::state::builds::dockerfile::{self, Reading};
use crate::state::time::Mono;

/// Between two looks at a folder of this host. Milliseconds.
const FOLDER_MS: u64 = 30_000;
/// Between two looks at a repository. Milliseconds.
const GIT_MS: u64 = 120_000;

/// A source as it was seen.
#[derive(Debug)]
pub struct Seen {
    pub context: Context,
    pub dockerfile: String,
    pub reading: Reading,
    /// Digest of the context and the Dockerfile.
    pub content: String,
    pub commit: Option<String>,
    pub branch: Option<String>,
}

/// Why it could not be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble(pub String);

/// What is remembered from one look to the next.
#[derive(Debug, Default)]
pub struct Looker {
    known: Known,
    /// What was looked at.
    source: String,
    next: Mono,
    last: Option<Result<Arc<Seen>, Trouble>>,
}

/// A look that is to be taken.
struct Task {
    spec: Arc<BuildSpec>,
    /// Instead of the definition's own.
    reference: Option<String>,
    home: PathBuf,
    logins: Vec<Remote>,
    stop: Arc<AtomicBool>,
    now: SystemTime,
}

impl Site {
    /// The source as it is, or as it was when it is not time to look again.
    pub(super) async fn look(
        &self,
        asker: &Asker,
        spec: &Arc<BuildSpec>,
        now_or_later: bool,
    ) -> Result<Arc<Seen>, Trouble> {
        let now = self.clock.now().mono;
        let source = format!("{} {:?}", spec.definition(), spec.context);
        let mut looker = lock(&self.lookers).remove(asker).unwrap_or_default();
        let fresh = looker.source == source && looker.next > now && !now_or_later;
        if let (true, Some(last)) = (fresh, &looker.last) {
            let last = last.clone();
            lock(&self.lookers).insert(asker.clone(), looker);
            return last;
        }
        let task = self.task(spec, None);
        let known = std::mem::take(&mut looker.known);
        let (found, known) = taken(task, known).await;
        let every = spec.policy.every_ms.unwrap_or(match spec.context {
            BuildContext::Git { .. } => GIT_MS,
            BuildContext::Folder(_) | BuildContext::Committed { .. } => FOLDER_MS,
        });
        let next = self.clock.now().mono.after(every.max(1_000));
        let found = found.map(Arc::new);
        let looker = Looker { known, source, next, last: Some(found.clone()) };
        lock(&self.lookers).insert(asker.clone(), looker);
        found
    }

    /// The source at another reference, once.
    pub(super) async fn look_aside(
        &self,
        spec: &Arc<BuildSpec>,
        reference: &str,
    ) -> Result<Arc<Seen>, Trouble> {
        if !matches!(spec.context, BuildContext::Git { .. }) {
            let why = "its context is a folder of this host, which has no branches to choose from";
            return Err(Trouble(why.to_owned()));
        }
        taken(self.task(spec, Some(reference)), Known::default()).await.0.map(Arc::new)
    }

    fn task(&self, spec: &Arc<BuildSpec>, reference: Option<&str>) -> Task {
        Task {
            spec: Arc::clone(spec),
            reference: reference.map(str::to_owned),
            home: self.folder.join("git"),
            logins: self.logins.clone(),
            stop: Arc::clone(&self.stop),
            now: clock::system_time(),
        }
    }

    /// When the next look at any of these is due.
    pub(super) fn next_look<'a>(&self, mut askers: impl Iterator<Item = &'a Asker>) -> Option<Mono> {
        let lookers = lock(&self.lookers);
        let mut next: Option<Mono> = None;
        askers.by_ref().filter_map(|asker| lookers.get(asker)).for_each(|looker| {
            next = Some(next.map_or(looker.next, |next| next.min(looker.next)));
        });
        next
    }
}

async fn taken(task: Task, mut known: Known) -> (Result<Seen, Trouble>, Known) {
    let read = tokio::task::spawn_blocking(move || (task.read(&mut known), known)).await;
    read.unwrap_or_else(|_| {
        (Err(Trouble("reading its source ended with a mistake in evenkeel".to_owned())), Known::default())
    })
}

impl Task {
    fn read(&self, known: &mut Known) -> Result<Seen, Trouble> {
        let told = |error: &dyn std::fmt::Display| Trouble(error.to_string());
        let (root, commit, branch, foreign) = match &self.spec.context {
            BuildContext::Folder(path) => {
                let (commit, branch) = commit_of_folder(Path::new(path)).unwrap_or_default();
                (PathBuf::from(path), commit, branch, false)
            }
            BuildContext::Committed { path, commit, .. } => (PathBuf::from(path), commit.clone(), None, true),
            BuildContext::Git { url, reference, folder } => {
                let found = self.git(url, reference.as_deref(), folder.as_deref().unwrap_or_default())?;
                (found.folder, Some(found.commit), found.branch, true)
            }
        };
        let (name, dockerfile) = match &self.spec.dockerfile {
            Dockerfile::Inline(text) => (None, text.clone()),
            Dockerfile::Path(path) => {
                let place = lexical(&root.join(path));
                let within = place.strip_prefix(&root).ok().and_then(Path::to_str).map(str::to_owned);
                if foreign || within.is_some() {
                    stays_within(&root, &place)?;
                }
                (within, read_text(&place).map_err(|error| told(&error))?)
            }
        };
        let context = Context::read(&root, name.as_deref(), Limits::default(), known, self.now)
            .map_err(|error| told(&error))?;
        let args: BTreeMap<String, String> = self
            .spec
            .args
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), value.as_ref()?.expose().to_owned())))
            .collect();
        let automatic = automatic(self.spec.options.platforms.first());
        // What it cannot make sense of the builder tells better.
        let reading =
            dockerfile::read(&dockerfile, &args, &automatic, self.spec.target.as_deref()).unwrap_or_default();
        let content = content(&context.digest(), &dockerfile);
        Ok(Seen { context, dockerfile, reading, content, commit, branch })
    }

    fn git(&self, url: &str, reference: Option<&str>, folder: &str) -> Result<ContextFound, Trouble> {
        let reference = self.reference.as_deref().or(reference);
        let take = || {
            let source = ContextSource::new(url, reference, folder, &self.home, &self.logins, &self.stop)?;
            let source = match (&self.spec.policy.reference, &self.reference) {
                (Some(range), None) => {
                    let tag = source.newest(range)?;
                    source.at(&tag, &self.stop)
                }
                _ => source,
            };
            source.take()
        };
        take().map_err(|error: crate::source::git::GitError| Trouble(format!("{url}: {error}")))
    }
}

/// What a build is made of, by its content.
pub(super) fn content(context: &str, dockerfile: &str) -> String {
    let mut digest = Sha256::new();
    digest.update(context);
    digest.update("\n");
    digest.update(dockerfile);
    hex::encode(digest.finalize())
}

/// A link may lead anywhere, and what is there would be shown by a builder that cannot read it.
fn stays_within(root: &Path, place: &Path) -> Result<(), Trouble> {
    let real = |path: &Path| {
        std::fs::canonicalize(path)
            .map_err(|error| Trouble(format!("{} cannot be read: {error}", path.display())))
    };
    if real(place)?.starts_with(real(root)?) {
        return Ok(());
    }
    Err(Trouble(format!("{} leads out of the context", place.display())))
}

/// Without `.` and `..`, whatever is on the disk.
fn lexical(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            part => clean.push(part),
        }
    }
    clean
}

/// Arguments that BuildKit sets by itself.
fn automatic(platform: Option<&String>) -> BTreeMap<String, String> {
    let own = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let own = format!("linux/{own}");
    let target = platform.cloned().unwrap_or_else(|| own.clone());
    let mut all = BTreeMap::new();
    for (kind, platform) in [("BUILD", &own), ("TARGET", &target)] {
        let mut parts = platform.splitn(3, '/');
        all.insert(format!("{kind}PLATFORM"), platform.clone());
        for part in ["OS", "ARCH", "VARIANT"] {
            all.insert(format!("{kind}{part}"), parts.next().unwrap_or_default().to_owned());
        }
    }
    all
}
