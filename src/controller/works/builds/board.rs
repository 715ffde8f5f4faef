//! What builds are doing, for whoever asks meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use super::report::{Answered, BuildReport, BuildState, Building, FailedReport, ImageReport, OutcomeReport};
use super::site::lock;
use crate::desired::ident::ServiceId;
use crate::desired::work::WorkId;
use crate::desired::work::answers::Asker;
use crate::state::builds::{BuildRecord, Made, name_of};

/// What became of one build in a round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Built {
        id: String,
        image: String,
    },
    /// The same image came out again.
    Unchanged {
        id: String,
        image: String,
    },
    /// It was not due.
    Current {
        image: String,
    },
    Failed {
        id: Option<String>,
        why: String,
    },
    /// It cannot be built now.
    Refused {
        why: String,
    },
}

impl Outcome {
    #[must_use]
    pub fn report(&self) -> OutcomeReport {
        let (result, id, image, why) = match self {
            Self::Built { id, image } => ("built", Some(id), Some(image), None),
            Self::Unchanged { id, image } => ("unchanged", Some(id), Some(image), None),
            Self::Current { image } => ("current", None, Some(image), None),
            Self::Failed { id, why } => ("failed", id.as_ref(), None, Some(why)),
            Self::Refused { why } => ("refused", None, None, Some(why)),
        };
        OutcomeReport { result: result.to_owned(), id: id.cloned(), image: image.cloned(), why: why.cloned() }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Board {
    builds: Mutex<BTreeMap<Asker, BuildReport>>,
    /// References that the files say.
    named: Mutex<BTreeSet<String>>,
}

impl Board {
    /// One that shows these.
    #[must_use]
    pub fn of(reports: &[(Asker, BuildReport)]) -> Self {
        Self { builds: Mutex::new(reports.iter().cloned().collect()), named: Mutex::default() }
    }

    /// Whose name it is: `shop/builds.app`.
    #[must_use]
    pub fn asker(name: &str) -> Option<Asker> {
        let (project, rest) = name.split_once('/')?;
        let (kind, name) = rest.split_once('.')?;
        Some(match kind {
            "services" => Asker::Service(ServiceId::new(project, name)?),
            "jobs" => Asker::Job(WorkId::new(project, name)?),
            _ => Asker::Build(WorkId::new(project, name)?),
        })
    }

    /// Only these are wanted.
    pub fn keep<'a>(&self, wanted: impl Iterator<Item = &'a Asker>) {
        let mut builds = lock(&self.builds);
        let mut before = std::mem::take(&mut *builds);
        for asker in wanted {
            let report = before
                .remove(asker)
                .unwrap_or_else(|| BuildReport { name: name_of(asker), ..BuildReport::default() });
            builds.insert(asker.clone(), report);
        }
    }

    /// The references that the files say now.
    pub fn names<'a>(&self, images: impl Iterator<Item = &'a String>) {
        *lock(&self.named) = images.cloned().collect();
    }

    pub(super) fn is_named(&self, reference: &str) -> bool {
        lock(&self.named).contains(reference)
    }

    pub(super) fn change(&self, asker: &Asker, change: impl FnOnce(&mut BuildReport)) {
        if let Some(report) = lock(&self.builds).get_mut(asker) {
            change(report);
        }
    }

    pub(super) fn stands(&self, asker: &Asker, state: BuildState, why: impl Into<String>) {
        let why = why.into();
        self.change(asker, |report| {
            report.state = state;
            report.why = why;
        });
    }

    pub(super) fn builds(&self, asker: &Asker, building: Option<Building>) {
        self.change(asker, |report| {
            if building.is_some() {
                report.state = BuildState::Building;
                report.why.clear();
            }
            report.building = building;
        });
    }

    /// What is remembered of one.
    pub fn recorded(&self, asker: &Asker, record: &BuildRecord) {
        let mut made = record.made.iter().map(image);
        let (newest, kept) = (made.next(), made.collect());
        let failed = record.failed.as_ref().map(|failed| FailedReport {
            id: failed.id.clone(),
            at: failed.at,
            why: failed.why.clone(),
            transient: failed.transient,
            tries: failed.tries,
        });
        self.change(asker, |report| {
            report.image = newest;
            report.kept = kept;
            report.failed = failed;
            report.logs.clone_from(&record.logs);
        });
    }

    pub(super) fn asked(&self, asker: &Asker, number: u64) {
        self.change(asker, |report| report.answer = Some(Answered { number, outcome: None }));
    }

    pub(super) fn answered(&self, asker: &Asker, outcome: &Outcome) {
        self.change(asker, |report| {
            if let Some(answer) = &mut report.answer {
                answer.outcome.get_or_insert_with(|| outcome.report());
            }
        });
    }

    /// All of them.
    #[must_use]
    pub fn reports(&self) -> Vec<(Asker, BuildReport)> {
        lock(&self.builds).iter().map(|(asker, report)| (asker.clone(), report.clone())).collect()
    }

    /// Those that a name means: `shop/builds.app`, `builds.app`, `shop/app` or `app`, where it is clear.
    ///
    /// # Errors
    /// A sentence: there is none, or several.
    pub fn named(&self, text: &str) -> Result<Asker, String> {
        let builds = lock(&self.builds);
        let names: Vec<(&Asker, &str)> =
            builds.iter().map(|(asker, report)| (asker, report.name.as_str())).collect();
        pick(text, &names)
    }
}

fn pick(text: &str, names: &[(&Asker, &str)]) -> Result<Asker, String> {
    let project = |name: &str| name.split('/').next().unwrap_or_default().to_owned();
    let own = |name: &str| name.split('/').nth(1).unwrap_or_default().to_owned();
    let last = |name: &str| own(name).split_once('.').map(|(_, last)| last.to_owned()).unwrap_or_default();
    let fits = |name: &str| {
        let short = [own(name), last(name)];
        name == text
            || short.iter().any(|short| short == text || format!("{}/{short}", project(name)) == text)
    };
    let found: Vec<&(&Asker, &str)> = names.iter().filter(|(_, name)| fits(name)).collect();
    match found.as_slice() {
        [(asker, _)] => Ok((*asker).clone()),
        [] if names.is_empty() => Err(format!("nothing is built here, so there is no `{text}`")),
        [] => {
            let near = crate::desired::suggest::nearest(text, names.iter().map(|(_, name)| *name));
            let known: Vec<&str> = names.iter().map(|(_, name)| *name).take(12).collect();
            let hint = near.map_or_else(
                || format!("there is: {}", known.join(", ")),
                |near| format!("did you mean {near}?"),
            );
            Err(format!("there is no build `{text}`; {hint}"))
        }
        several => {
            let known: Vec<&str> = several.iter().map(|(_, name)| *name).collect();
            Err(format!("`{text}` may be {}: say which", known.join(" or ")))
        }
    }
}

fn image(made: &Made) -> ImageReport {
    ImageReport {
        id: made.id.clone(),
        image: made.image.clone(),
        image_id: made.image_id.0.clone(),
        tag: made.tag.clone(),
        digest: made.digest.clone(),
        commit: made.commit.clone(),
        at: made.at,
        took_ms: made.took_ms,
        causes: made.causes.iter().map(ToString::to_string).collect(),
    }
}
