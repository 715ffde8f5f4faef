//! Writing back: a tag that was chosen and has proved itself goes into the repository that the files come from.
//!
//! Each answer is written once. Should somebody write another one there, that is their word: what is written is a record, and nothing
//! that runs depends on it. So two hosts that choose differently do not fight, and the commit that comes back changes nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinHandle;

use super::Images;
use super::followers::{Follower, shown};
use super::memory::{RECORDED, key_of, note_of};
use super::round::standing;
use crate::controller::host::Host;
use crate::controller::records::RecordsError;
use crate::desired::recorded;
use crate::desired::work::WriteBack;
use crate::desired::work::answers::Asker;
use crate::source::git::{Change, GitError, GitSettings, Writing, Written, write};
use crate::state::images::Chosen;
use crate::state::target::kept;
use crate::state::time::Mono;

/// How often it is seen whether what was chosen has proved itself. Milliseconds.
const LOOK_MS: u64 = 3_000;
/// The first wait after a failure, doubled each time. Milliseconds.
const BACKOFF_MS: u64 = 10_000;
/// The longest. Milliseconds.
const BACKOFF_MOST_MS: u64 = 3_600_000;

/// The repositories that may be written to.
pub struct Recorder {
    sources: Vec<GitSettings>,
    /// There is one source, whatever it is called in a desired state.
    only: bool,
    state: PathBuf,
    host: String,
}

impl Recorder {
    #[must_use]
    pub fn new(sources: Vec<GitSettings>, only: bool, state: PathBuf, host: String) -> Self {
        Self { sources, only, state, host }
    }

    fn source(&self, name: &str) -> Option<&GitSettings> {
        if self.only { self.sources.first() } else { self.sources.iter().find(|source| source.name == name) }
    }
}

/// What is under way.
#[derive(Default)]
pub(super) struct Recording {
    task: Option<JoinHandle<Recorded>>,
    stop: Stop,
    failures: u32,
    not_before: Mono,
}

/// Ends git when the worker does.
#[derive(Default)]
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Recording {
    /// Waits for what is under way; forever when nothing is.
    pub async fn next(&mut self) -> Option<Recorded> {
        let Some(task) = &mut self.task else { return std::future::pending().await };
        let ended = task.await;
        self.task = None;
        Some(ended.unwrap_or_else(|error| Recorded {
            source: String::new(),
            texts: Vec::new(),
            written: Err(GitError::Refused(format!(
                "writing back ended with a mistake in evenkeel: {error}"
            ))),
        }))
    }
}

pub(super) struct Recorded {
    source: String,
    texts: Vec<(Asker, String)>,
    written: Result<Vec<Written>, GitError>,
}

/// One that is to be written.
struct Due {
    follower: Follower,
    answer: Chosen,
    text: String,
}

impl Images {
    /// Begins to write back what is due. Returns when to see again.
    pub(super) async fn record(&self, host: &Host, recording: &mut Recording) -> Option<Mono> {
        let recorder = self.recorder.as_ref()?;
        let wish = self.desired()?;
        let works = &wish.state.works;
        if works.write_back.is_empty() || recording.task.is_some() {
            return None;
        }
        let now = host.clock.now().mono;
        if recording.not_before > now {
            return Some(recording.not_before);
        }
        let (due, early) = self.due(host, recorder).await?;
        let again = early.then(|| now.after(LOOK_MS));
        // One source at a time; the next one follows when this is over.
        let Some((name, due)) = due.into_iter().next() else { return again };
        let (Some(how), Some(settings)) = (works.write_back.get(&name), recorder.source(&name)) else {
            return again;
        };
        let (name, email) = how
            .author
            .clone()
            .unwrap_or_else(|| ("evenkeel".to_owned(), format!("evenkeel@{}", recorder.host)));
        let writing = Writing { branch: how.branch.clone(), name, email };
        let changes: Vec<Change> = due.iter().map(|due| self.change(recorder, how, due)).collect();
        let texts = due.into_iter().map(|due| (due.follower.asker, due.text)).collect();
        let (settings, state, stop) =
            (settings.clone(), recorder.state.clone(), Arc::clone(&recording.stop.0));
        recording.task = Some(tokio::task::spawn_blocking(move || {
            let written = write(&settings, &state, &writing, &changes, &stop);
            Recorded { source: settings.name.clone(), texts, written }
        }));
        again
    }

    /// By source; and whether there are some for which it is too early.
    async fn due(&self, host: &Host, recorder: &Recorder) -> Option<(BTreeMap<String, Vec<Due>>, bool)> {
        let wish = self.desired()?;
        let works = &wish.state.works;
        let (followers, followed, recorded) = {
            let inner = self.inner();
            let all: Vec<Follower> =
                inner.groups.values().flat_map(|group| group.followers.iter().cloned()).collect();
            (all, inner.memory.followed.clone(), inner.memory.recorded.clone())
        };
        let answers = self.book.answers();
        let (mut due, mut early) = (BTreeMap::<String, Vec<Due>>::new(), false);
        for follower in followers {
            let project = match &follower.asker {
                Asker::Service(id) => &id.project,
                Asker::Job(id) | Asker::Build(id) => &id.project,
            };
            let source = works.sources.get(project).cloned().unwrap_or_default();
            if !works.write_back.contains_key(&source) || recorder.source(&source).is_none() {
                continue;
            }
            let Ok(standing) = standing(&*host.records, &answers, &followed, follower).await else {
                early = true;
                continue;
            };
            let Some(answer) = standing.answer.clone() else { continue };
            let text = format!("{}@{}", answer.tag, answer.digest);
            if recorded.get(&standing.follower.asker) == Some(&text) {
                continue;
            }
            let good = standing.record.good.as_ref().and_then(|good| kept(&standing.record, good));
            let image = standing.follower.answer(&answer).image;
            let proved = good.is_some_and(|good| good.spec.container.image == image);
            if standing.follower.service().is_some() && !proved {
                early = true;
                continue;
            }
            due.entry(source).or_default().push(Due { follower: standing.follower, answer, text });
        }
        Some((due, early))
    }

    fn change(&self, recorder: &Recorder, how: &WriteBack, due: &Due) -> Change {
        let Due { follower, answer, text } = due;
        let (table, name) = match &follower.asker {
            Asker::Service(id) => ("services", id.service.as_str().to_owned()),
            Asker::Job(id) | Asker::Build(id) => ("jobs", id.name.as_str().to_owned()),
        };
        let old = follower.policy.recorded.clone().unwrap_or_default();
        let old = old.split('@').next().unwrap_or_default().to_owned();
        let words = |word: &str| match word {
            "service" => shown(&follower.asker),
            "image" => follower.name.clone(),
            "tag" => answer.tag.clone(),
            "digest" => answer.digest.clone(),
            "host" => recorder.host.clone(),
            _ => {
                if old.is_empty() {
                    "nothing".to_owned()
                } else {
                    old.clone()
                }
            }
        };
        let message = how.message(&words);
        let source = &follower.source;
        let others = source.files.iter().filter(|file| **file != source.file).cloned();
        let files = std::iter::once(source.file.clone()).chain(others).collect();
        let text = text.clone();
        Change {
            files,
            edit: Arc::new(move |body: &str| recorded::record(body, table, &name, &text)),
            message,
        }
    }

    pub(super) async fn recorded(&self, host: &Host, recording: &mut Recording, done: Recorded) {
        let Recorded { source, texts, written } = done;
        let now = host.clock.now().mono;
        let written = match written {
            Ok(written) => written,
            Err(error) => {
                tracing::warn!(source, %error, "what was chosen could not be written back; it is tried again");
                host.metrics.written_back(&source, "failed");
                let doubled = BACKOFF_MS.saturating_mul(1 << recording.failures.min(16));
                recording.failures = recording.failures.saturating_add(1);
                recording.not_before = now.after(doubled.min(BACKOFF_MOST_MS));
                let mut inner = self.inner();
                inner.unwritten.extend(texts.into_iter().map(|(asker, _)| (asker, error.to_string())));
                return;
            }
        };
        recording.failures = 0;
        for ((asker, text), written) in texts.into_iter().zip(written) {
            let service = shown(&asker);
            let (result, why) = match written {
                Written::Pushed => ("pushed", None),
                Written::Unchanged => ("unchanged", None),
                Written::Impossible(why) => ("failed", Some(why)),
            };
            host.metrics.written_back(&source, result);
            match &why {
                None => tracing::info!(service, source, result, "{text} is written back"),
                Some(why) => tracing::warn!(service, source, "{text} cannot be written back: {why}"),
            }
            if let Err(error) = self.note_recorded(host, &asker, &text).await {
                // It is written once more then, which changes nothing.
                tracing::debug!(%error, "that it was written back could not be noted");
                recording.not_before = now.after(BACKOFF_MS);
            }
            let mut inner = self.inner();
            inner.memory.recorded.insert(asker.clone(), text);
            match why {
                Some(why) => drop(inner.unwritten.insert(asker, why)),
                None => drop(inner.unwritten.remove(&asker)),
            }
        }
    }

    async fn note_recorded(&self, host: &Host, asker: &Asker, text: &str) -> Result<(), RecordsError> {
        let note = note_of(RECORDED, key_of(asker)?, &text)?;
        host.records.set_notes(vec![note]).await
    }
}
