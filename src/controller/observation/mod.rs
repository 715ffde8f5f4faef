//! What a plan needs to know of a host, to be saved and planned against elsewhere: a pull request can show its plan without
//! touching the host.

mod seal;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::clock;
use super::preview::{PlanError, Question, preview};
use super::saved::{SavedPlan, Subject, basis};
use crate::desired::ident::ServiceId;
use crate::desired::provided::{Answer, Answers, Ask};
use crate::desired::snapshot::{HostFacts, Platform, Snapshot};
use crate::desired::work::answers::{Answer as Image, Answers as Images, Asker};
use crate::desired::{DesiredState, Wanted};
use crate::engine::CountUp;
use crate::engine::recorded::Recorded;
use crate::state::decide::Limits;
use crate::state::observed::EngineSession;
use crate::state::record::Record;
use crate::state::time::Timestamp;

/// The form of the file. Another number means that something in it means something else.
const VERSION: u64 = 1;
const KIND: &str = "evenkeel observation";

/// Who looks, and at what.
pub struct Observer<'a> {
    pub engine: &'a dyn CountUp,
    pub instance: &'a str,
    /// What this host is called in the files.
    pub host: &'a str,
    /// Where the desired state is on this host: relative paths in it become paths below.
    pub root: &'a str,
    pub home: Option<&'a str>,
    /// Its time zone.
    pub timezone: Option<&'a str>,
    /// The directory of evenkeel's memory, below which the files of a repository lie.
    pub state: &'a str,
    /// The names of the repositories that this host follows.
    pub repositories: Vec<String>,
    /// Where the files of secrets and configs lie.
    pub provided: &'a str,
    /// What the files ask for on this host, with the name of each content.
    pub contents: BTreeMap<Ask, String>,
    pub limits: Limits,
    pub records: BTreeMap<ServiceId, Record>,
    pub session: EngineSession,
    /// Images that were chosen or made.
    pub images: BTreeMap<Asker, Image>,
    /// Unpredictable, and different every time.
    pub salt: String,
}

/// A saved observation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Observation {
    kind: String,
    version: u64,
    /// The evenkeel that looked, for people.
    by: String,
    at: Timestamp,
    pub host: String,
    pub instance: String,
    root: String,
    home: Option<String>,
    #[serde(default)]
    timezone: Option<String>,
    pub state: String,
    pub repositories: Vec<String>,
    #[serde(default)]
    provided: String,
    /// The names of contents by what asks for them: a salted digest, so that a change can be told and nothing be looked up.
    #[serde(default)]
    contents: BTreeMap<String, String>,
    limits: Limits,
    session: EngineSession,
    salt: String,
    pub engine: Recorded,
    /// By `project/service`.
    records: BTreeMap<String, Record>,
    /// Images that were chosen or made.
    #[serde(default)]
    images: Vec<(Asker, Image)>,
}

/// The file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ObservationError {
    #[error("it is not an observation ({0}): make one on the host with `evenkeel observe > FILE`")]
    Unreadable(String),
    #[error(
        "it has form {found}, and this evenkeel ({by}) reads form {VERSION}: make it anew with the same version of evenkeel that plans",
        by = env!("CARGO_PKG_VERSION")
    )]
    Version { found: String },
}

/// Looks at the whole host.
///
/// # Errors
/// The engine could not be read.
pub async fn observe(observer: Observer<'_>) -> crate::engine::Result<Observation> {
    let Observer {
        engine,
        instance,
        host,
        root,
        home,
        timezone,
        state,
        repositories,
        provided,
        contents,
        limits,
        mut records,
        session,
        images,
        salt,
    } = observer;
    let engine = Recorded::of(engine, instance).await?;
    records.iter_mut().for_each(|(id, record)| seal::seal(id, record, &salt));
    Ok(Observation {
        kind: KIND.to_owned(),
        version: VERSION,
        by: env!("CARGO_PKG_VERSION").to_owned(),
        at: clock::wall(),
        host: host.to_owned(),
        instance: instance.to_owned(),
        root: root.to_owned(),
        home: home.map(str::to_owned),
        timezone: timezone.map(str::to_owned),
        state: state.to_owned(),
        repositories,
        provided: provided.to_owned(),
        contents: contents.into_iter().map(|(ask, name)| (ask.fingerprint(&salt), name)).collect(),
        limits,
        session,
        salt,
        engine,
        records: records.into_iter().map(|(id, record)| (id.to_string(), record)).collect(),
        images: images.into_iter().collect(),
    })
}

impl Observation {
    /// Reads a saved one.
    ///
    /// # Errors
    /// It is something else, or of another version.
    pub fn parse(text: &str) -> Result<Self, ObservationError> {
        let unreadable = |error: serde_json::Error| ObservationError::Unreadable(error.to_string());
        let value: serde_json::Value = serde_json::from_str(text).map_err(unreadable)?;
        if value.get("kind").and_then(serde_json::Value::as_str) != Some(KIND) {
            return Err(ObservationError::Unreadable(format!("it does not say \"kind\": \"{KIND}\"")));
        }
        match value.get("version") {
            Some(version) if version.as_u64() == Some(VERSION) => {}
            version => {
                let found = version.map_or_else(|| "none".to_owned(), ToString::to_string);
                return Err(ObservationError::Version { found });
            }
        }
        serde_json::from_value(value).map_err(unreadable)
    }

    /// When it was made.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// What the files must know of the host. `environment`: of whoever plans; the host's own is not in the file.
    #[must_use]
    pub fn facts(&self, environment: BTreeMap<String, String>) -> HostFacts {
        let engine = self.engine.engine();
        HostFacts {
            name: self.host.clone(),
            environment,
            api: Some(engine.api),
            engine_version: Some(engine.version.clone()),
            platform: Some(Platform { os: engine.os.clone(), architecture: engine.architecture.clone() }),
            home: self.home.clone(),
            timezone: self.timezone.clone(),
            provided: self.provided.clone(),
            answers: Answers::default(),
        }
    }

    /// What the host would find out for these questions: the same content where the question is the same, else another one.
    #[must_use]
    pub fn answers(&self, desired: &DesiredState) -> Answers {
        let used = desired.provided.iter().filter(|(_, provided)| provided.is_used());
        let answers = used.map(|(id, provided)| {
            let ask = Ask { id: id.clone(), origin: provided.origin.clone() };
            let print = ask.fingerprint(&self.salt);
            let answer: Answer = Ok(self.contents.get(&print).cloned().unwrap_or(print));
            (ask, answer)
        });
        Answers::new(answers.collect())
    }

    /// The images that were chosen or made there.
    #[must_use]
    pub fn images(&self) -> Images {
        Images(self.images.iter().cloned().collect())
    }

    /// The files as if they lay where they do on the host.
    #[must_use]
    pub fn placed(&self, snapshot: Snapshot) -> Snapshot {
        Snapshot { root: self.root.clone(), ..snapshot }
    }

    /// The plan that the host would make for this desired state, of which `digest` tells that it is this one.
    ///
    /// # Errors
    /// A service in `only` is in no file.
    pub async fn plan(
        &self,
        desired: &DesiredState,
        digest: &str,
        only: &BTreeSet<ServiceId>,
    ) -> Result<SavedPlan, PlanError> {
        let mut others = Vec::new();
        let mut records = BTreeMap::new();
        for (name, record) in &self.records {
            let Some(id) = ServiceId::parse(name) else { continue };
            let wanted = match desired.services.get(&id) {
                Some(Wanted::Run(revision)) => Some(&*revision.spec),
                _ => None,
            };
            let mut record = record.clone();
            others.extend(seal::unseal(&id, &mut record, wanted, &self.salt));
            records.insert(id, record);
        }
        let basis = basis(&self.engine, &self.instance, desired, &records, only).await?;
        let question = Question {
            engine: &self.engine,
            owner: &self.instance,
            desired: desired.clone(),
            records,
            session: self.session,
            limits: self.limits,
            only: only.clone(),
            wall: self.at,
        };
        let mut report = preview(question).await?;
        for text in report.texts() {
            *text = seal::readable(text, &others);
        }
        let (host, instance) = (&self.host, &self.instance);
        let subject = Subject { host, instance, desired: digest, only, at: self.at };
        Ok(SavedPlan::new(&subject, basis, report))
    }
}
