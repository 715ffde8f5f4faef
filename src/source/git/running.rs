//! A git at work: waited for, listened to, and ended when it takes too long or brings too much.

use std::io::Write;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::command::Bounds;
use super::error::GitError;
use crate::child::{kill, listen};

/// Between two looks at a git that works. It ends early when git does.
const LOOK: Duration = Duration::from_millis(100);
/// Of what git says of its troubles. Bytes.
const WORDS: u64 = 16 << 10;

/// How a call of git ended.
pub(super) struct Outcome {
    pub status: ExitStatus,
    pub answer: Vec<u8>,
    pub words: Vec<u8>,
}

/// A git that works, with the threads that listen to it.
pub(super) struct Running {
    child: Child,
    answer: JoinHandle<(Vec<u8>, bool)>,
    words: JoinHandle<(Vec<u8>, bool)>,
    ended: std::sync::mpsc::Receiver<()>,
    before: u64,
}

impl Running {
    pub(super) fn of(mut child: Child, input: Option<Vec<u8>>, bounds: &Bounds) -> Result<Self, GitError> {
        let before = bounds.growth.as_ref().map_or(0, |(folder, _)| size(folder));
        let (sender, ended) = channel();
        let answer = listen(child.stdout.take(), bounds.answer, Some(sender));
        let words = listen(child.stderr.take(), WORDS, None);
        if let (Some(bytes), Some(mut pipe)) = (input, child.stdin.take()) {
            // Written beside the reading, or both pipes could be full at once.
            std::thread::spawn(move || drop(pipe.write_all(&bytes)));
        }
        Ok(Self { child, answer, words, ended, before })
    }

    pub(super) fn wait(
        mut self,
        what: &'static str,
        bounds: &Bounds,
        stop: &AtomicBool,
    ) -> Result<Outcome, GitError> {
        let start = Instant::now();
        let trouble = loop {
            match self.ended.recv_timeout(LOOK) {
                Ok(()) | Err(RecvTimeoutError::Disconnected) => break None,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if stop.load(Ordering::SeqCst) {
                break Some(GitError::Stopped);
            }
            if start.elapsed() > bounds.time {
                break Some(GitError::TimedOut { what, seconds: bounds.time.as_secs() });
            }
            if let Some((folder, most)) = &bounds.growth
                && size(folder).saturating_sub(self.before) > *most
            {
                let why = format!("it brought more than {} MiB (max_size in [source.*])", most >> 20);
                break Some(GitError::TooLarge { what, why });
            }
        };
        if trouble.is_some() {
            self.kill();
        }
        let (answer, complete) = self.answer.join().unwrap_or_default();
        if !complete {
            kill(&mut self.child);
        }
        let status = self.child.wait().map_err(|error| GitError::Start(error.to_string()))?;
        let (words, _) = self.words.join().unwrap_or_default();
        if let Some(trouble) = trouble {
            return Err(trouble);
        }
        if !complete {
            let why = format!("its answer is longer than {} MiB", bounds.answer >> 20);
            return Err(GitError::TooLarge { what, why });
        }
        Ok(Outcome { status, answer, words })
    }

    fn kill(&mut self) {
        kill(&mut self.child);
    }
}

/// Bytes of all files below a folder.
fn size(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let entries = entries.flatten().filter_map(|entry| Some((entry.path(), entry.metadata().ok()?)));
    entries.map(|(path, meta)| if meta.is_dir() { size(&path) } else { meta.len() }).sum()
}
