//! What `apply` shows while it works: a line per service that moves on a terminal, plain lines elsewhere.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::show::{one_line, style};
use crate::controller::progress::{Progress, Silent};
use crate::controller::trigger::Key;
use crate::desired::ident::ServiceId;
use crate::engine::PullProgress;
use crate::note;
use crate::state::condition::Condition;
use crate::state::plan::{Outcome, Planned};

/// The way to show it that fits where it is shown, and what takes it off the screen again when the result is printed.
pub(super) fn fitting(json: bool) -> (Arc<dyn Progress>, Screen) {
    if json {
        (Arc::new(Silent), Screen(None))
    } else if std::io::stderr().is_terminal() {
        let moving = Moving::default();
        let screen = Screen(Some(moving.bars.clone()));
        (Arc::new(moving), screen)
    } else {
        (Arc::new(Lines::default()), Screen(None))
    }
}

/// Clears what moves when dropped.
pub(super) struct Screen(Option<MultiProgress>);

impl Drop for Screen {
    fn drop(&mut self) {
        if let Some(bars) = &self.0 {
            // Nobody is left to tell when a terminal is gone.
            let _cleared = bars.clear();
        }
    }
}

/// One line per step and per change of condition, each written once: for logs and pipelines.
#[derive(Default)]
struct Lines {
    last: Mutex<BTreeMap<ServiceId, String>>,
}

impl Progress for Lines {
    fn step(&self, service: &ServiceId, planned: &Planned, words: &str) {
        note!("{service}: {words} ({})", one_line(&planned.cause.0));
    }

    fn object_step(&self, key: &Key, planned: &Planned, words: &str) {
        note!("{key}: {words} ({})", one_line(&planned.cause.0));
    }

    fn outcome(&self, service: &ServiceId, _planned: &Planned, outcome: &Outcome) {
        if let Outcome::Failed { text, .. } = outcome {
            note!("{service}: failed: {}", one_line(text));
        }
    }

    fn condition(&self, service: &ServiceId, condition: &Condition) {
        let text = format!("{}: {}", condition.kind.as_str(), one_line(&condition.message));
        let mut last = lock(&self.last);
        if last.get(service) != Some(&text) {
            note!("{service}: {text}");
            last.insert(service.clone(), text);
        }
    }
}

/// One line per service, rewritten in place.
#[derive(Default)]
struct Moving {
    bars: MultiProgress,
    services: Mutex<BTreeMap<ServiceId, Row>>,
}

struct Row {
    bar: ProgressBar,
    /// Bytes done and wanted per layer: together they are the pull.
    layers: BTreeMap<String, (u64, u64)>,
}

impl Moving {
    fn say(&self, service: &ServiceId, text: String) {
        self.with(service, |row| row.bar.set_message(text));
    }

    fn with(&self, service: &ServiceId, act: impl FnOnce(&mut Row)) {
        let mut services = lock(&self.services);
        let row = services.entry(service.clone()).or_insert_with(|| {
            let bar = self.bars.add(ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix:.bold} {wide_msg}") {
                bar.set_style(style);
            }
            bar.set_prefix(service.to_string());
            bar.enable_steady_tick(Duration::from_millis(120));
            Row { bar, layers: BTreeMap::new() }
        });
        act(row);
    }
}

impl Progress for Moving {
    fn step(&self, service: &ServiceId, _planned: &Planned, words: &str) {
        self.with(service, |row| row.layers.clear());
        self.say(service, one_line(words));
    }

    fn outcome(&self, service: &ServiceId, _planned: &Planned, outcome: &Outcome) {
        if let Outcome::Failed { text, .. } = outcome {
            // Stays on the screen above what moves.
            let _shown = self.bars.println(format!("{service}: failed: {}", one_line(text)));
        }
    }

    fn condition(&self, service: &ServiceId, condition: &Condition) {
        let style = style(condition.kind);
        let text = format!("{style}{}{style:#} {}", condition.kind.as_str(), one_line(&condition.message));
        self.with(service, |row| {
            if condition.kind.is_settled() {
                row.bar.finish_with_message(text);
            } else {
                row.bar.set_message(text);
            }
        });
    }

    fn pull(&self, service: &ServiceId, image: &str, progress: &PullProgress) {
        self.with(service, |row| {
            if progress.total > 0 {
                row.layers.insert(progress.layer.clone(), (progress.current, progress.total));
            }
            let mut text = format!("pull {image}");
            let (done, wanted) = row
                .layers
                .values()
                .fold((0_u64, 0_u64), |(a, b), (c, d)| (a.saturating_add(*c), b.saturating_add(*d)));
            if wanted > 0 {
                // Writing to a String cannot fail.
                let _written = write!(text, ": {} of {} MB", done / 1_000_000, wanted.div_ceil(1_000_000));
            }
            row.bar.set_message(text);
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
