//! A directory as a source: watched, read, published when it changed.
//!
//! A thread of its own reads and waits, because both block. It publishes the latest state only: a receiver that was busy
//! gets what is true now, not what was true in between. The regular read is what correctness stands on; events of the
//! kernel only make it early.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::debounce::{Debounce, Edit, LONGEST};
use super::dir_watch::{Wake, Watches};
use super::known::Known;
use super::read::{self, Reading, SourceError};
use crate::desired::snapshot::Snapshot;

/// Between two reads where the kernel does not tell of changes. Milliseconds.
const POLL_MS: u64 = 2_000;
/// Between two reads whatever is asked for. Milliseconds.
const SHORTEST_MS: u64 = 10;

/// How a directory is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Read regularly only, every two seconds: `watch = "poll"`. Done without being asked on network file systems, and where
    /// the kernel gives no watches.
    pub poll: bool,
    /// The files are read this often whatever the kernel says. Milliseconds.
    pub rescan_ms: u64,
    /// A state that was read unchanged for this long is published once more, as quiet. Milliseconds.
    pub quiet_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { poll: false, rescan_ms: 20_000, quiet_ms: 10_000 }
    }
}

/// The desired state as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    pub snapshot: Arc<Snapshot>,
    /// How long the content has been the same, from its first read to its latest. Milliseconds: 0 when it is new, at
    /// least [`Settings::quiet_ms`] when it is published for the second time. A file cut short while it is written can
    /// parse, so nothing may be removed on the strength of a state that is not quiet.
    pub quiet_ms: u64,
}

/// What a source says: a state, or why there is none to read. After an error the last good state stands.
pub type Update = Result<Published, SourceError>;

/// Stops the source when dropped.
#[derive(Debug)]
pub struct DirSource {
    wake: Arc<Wake>,
}

/// The receiving end of a source.
#[derive(Debug)]
pub struct Updates {
    latest: watch::Receiver<Option<Update>>,
}

impl DirSource {
    /// Follows the directory `root`. The first update comes as soon as it has been read; further ones when the content
    /// changes, when it has been quiet, when it can't be read, and when it can again.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn watch(root: &Path, settings: Settings) -> io::Result<(Self, Updates)> {
        let wake = Arc::new(Wake::default());
        let (sender, latest) = watch::channel(None);
        let (root, shared) = (std::path::absolute(root)?, Arc::clone(&wake));
        std::thread::Builder::new()
            .name("source".to_owned())
            .spawn(move || Follower::new(root, settings, shared, sender).run())?;
        Ok((Self { wake }, Updates { latest }))
    }

    /// Reads at once, as SIGHUP asks for. Publishes only what is new.
    pub fn rescan(&self) {
        self.wake.rescan();
    }
}

impl Drop for DirSource {
    fn drop(&mut self) {
        self.wake.stop();
    }
}

impl Updates {
    pub(super) fn of(latest: watch::Receiver<Option<Update>>) -> Self {
        Self { latest }
    }

    /// The next update that has not been seen; of several the latest. `None` when the source has ended. May be dropped and
    /// called again.
    pub async fn next(&mut self) -> Option<Update> {
        self.latest.changed().await.ok()?;
        self.latest.borrow_and_update().clone()
    }
}

struct Follower {
    root: PathBuf,
    settings: Settings,
    wake: Arc<Wake>,
    sender: watch::Sender<Option<Update>>,
    start: Instant,
    debounce: Debounce,
    /// What the last read found.
    known: Known,
    /// `None`: polling.
    watches: Option<Watches>,
    published: Option<Result<String, SourceError>>,
    since: u64,
    quiet: bool,
    /// Since when a change has been held back because writing went on.
    held_back: Option<u64>,
}

impl Follower {
    fn new(
        root: PathBuf,
        settings: Settings,
        wake: Arc<Wake>,
        sender: watch::Sender<Option<Update>>,
    ) -> Self {
        let watches = if settings.poll { None } else { watches(&root, &wake) };
        Self {
            root,
            settings,
            wake,
            sender,
            start: Instant::now(),
            debounce: Debounce::default(),
            known: Known::default(),
            watches,
            published: None,
            since: 0,
            quiet: false,
            held_back: None,
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn run(mut self) {
        let mut told = false;
        while !self.sender.is_closed() {
            self.look(told);
            let mut regular = self.now().saturating_add(self.interval());
            loop {
                let due = self.debounce.due().map_or(regular, |due| due.min(regular));
                let now = self.now();
                if due <= now {
                    // What the kernel tells of has changed the time stamps, too. The regular read believes neither.
                    told = due < regular && self.watches.is_some();
                    break;
                }
                let woken = self.wake.wait(Duration::from_millis(due - now));
                if woken.stop {
                    return;
                }
                if woken.rescan {
                    regular = 0;
                }
                if let Some(edit) = woken.edit {
                    self.debounce.note(edit, self.now());
                }
            }
        }
    }

    /// Milliseconds until the next read that nobody asked for.
    fn interval(&self) -> u64 {
        let Settings { rescan_ms, quiet_ms, .. } = self.settings;
        let failed = matches!(self.published, Some(Err(_)));
        let regular = if self.watches.is_none() || failed { rescan_ms.min(POLL_MS) } else { rescan_ms };
        let until_quiet = self.since.saturating_add(quiet_ms).saturating_sub(self.now());
        let due = if self.quiet || failed { regular } else { regular.min(until_quiet) };
        due.max(SHORTEST_MS)
    }

    /// Reads, renews the watches, and publishes what is new. `told`: the kernel said that something changed, so what bears the
    /// time stamps it had need not be opened.
    fn look(&mut self, told: bool) {
        let began = self.now();
        self.debounce.begin();
        let reading = read::read(&self.root, &self.known, told);
        let ended = self.now();
        self.debounce.end(ended - began, ended);
        self.arm(reading.as_ref().ok());
        let woken = self.wake.wait(Duration::ZERO);
        if let Some(edit) = woken.edit.or(woken.rescan.then_some(Edit::Finished)) {
            self.debounce.note(edit, ended);
        }
        let read = reading.map(|reading| {
            self.known = reading.known;
            Arc::clone(&self.known.snapshot)
        });
        self.publish(read, began);
    }

    fn arm(&mut self, reading: Option<&Reading>) {
        let Some(watches) = &mut self.watches else { return };
        let none = std::collections::BTreeMap::new();
        match watches.arm(&self.root, reading.map_or(&none, |reading| &reading.folders)) {
            Ok(true) => self.debounce.note(Edit::Finished, self.now()),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(
                    directory = %self.root.display(), %error,
                    "the kernel does not watch all of the desired state; it is read every {} s instead (see fs.inotify.max_user_watches)",
                    POLL_MS / 1000
                );
                self.watches = None;
            }
        }
    }

    fn publish(&mut self, read: Result<Arc<Snapshot>, SourceError>, at: u64) {
        let state = read.as_ref().map(|snapshot| snapshot.revision.digest.clone()).map_err(Clone::clone);
        if self.published.as_ref() == Some(&state) {
            self.held_back = None;
            let quiet_ms = at.saturating_sub(self.since);
            if let (false, Ok(snapshot)) = (self.quiet, read)
                && quiet_ms >= self.settings.quiet_ms
            {
                self.quiet = true;
                self.send(Ok(Published { snapshot, quiet_ms }));
            }
            return;
        }
        (self.since, self.quiet) = (at, false);
        if self.published.is_some() && self.debounce.due().is_some() {
            // Written to while it was read: this may be half of one state and half of another.
            let held_since = *self.held_back.get_or_insert(at);
            if at.saturating_sub(held_since) < LONGEST {
                return;
            }
        }
        self.held_back = None;
        self.published = Some(state);
        self.send(read.map(|snapshot| Published { snapshot, quiet_ms: 0 }));
    }

    fn send(&self, update: Update) {
        self.sender.send_replace(Some(update));
    }
}

fn watches(root: &Path, wake: &Arc<Wake>) -> Option<Watches> {
    if is_remote(root) {
        tracing::info!(directory = %root.display(), "a network file system tells of no changes: reading every {} s", POLL_MS / 1000);
        return None;
    }
    Watches::new(wake)
        .inspect_err(
            |error| tracing::warn!(%error, "the kernel gives no watches: reading every {} s", POLL_MS / 1000),
        )
        .ok()
}

/// Whether others can write to it without this kernel knowing.
fn is_remote(root: &Path) -> bool {
    // From statfs(2): NFS, CIFS, SMB2, FUSE, 9P, Ceph, AFS.
    const REMOTE: [u64; 7] =
        [0x6969, 0xff53_4d42, 0xfe53_4d42, 0x6573_5546, 0x0102_1997, 0x00c3_6400, 0x5346_414f];
    let kind = rustix::fs::statfs(root).map(|stat| u64::try_from(stat.f_type).unwrap_or_default());
    kind.is_ok_and(|kind| REMOTE.contains(&(kind & 0xffff_ffff)))
}
