//! One run of a job, as the journal has it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::desired::ident::ServiceName;
use crate::state::observed::{ContainerId, EngineSession, ExecId};
use crate::state::time::Timestamp;

/// What tells one run from the others of its job: `20261126T023000Z`, and `20261126T023000Z-2` for its second try. A part of the name of its
/// container, so that the engine takes no second one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(String);

impl RunId {
    /// Of an occurrence, or of the moment at which a run was asked for.
    #[must_use]
    pub fn at(at: Timestamp) -> Self {
        let second = jiff::Timestamp::from_second(at.0.div_euclid(1000)).unwrap_or_default();
        Self(second.strftime("%Y%m%dT%H%M%SZ").to_string())
    }

    /// The same run once more.
    #[must_use]
    pub fn attempt(&self, number: u32) -> Self {
        let base = self.base();
        Self(if number <= 1 { base.to_owned() } else { format!("{base}-{number}") })
    }

    /// Without the number of the try.
    #[must_use]
    pub fn base(&self) -> &str {
        self.0.split('-').next().unwrap_or(&self.0)
    }

    /// Reads a label.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let sound = !text.is_empty()
            && text.len() <= 40
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        sound.then(|| Self(text.to_owned()))
    }

    /// When that was, as far as the id tells.
    #[must_use]
    pub fn time(&self) -> Option<Timestamp> {
        let civil = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", self.base()).ok()?;
        let instant = jiff::tz::Offset::UTC.to_timestamp(civil).ok()?;
        Some(Timestamp(instant.as_millisecond()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What made it run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunCause {
    Schedule {
        at: Timestamp,
    },
    /// The job whose end it was.
    After(ServiceName),
    Change,
    Hand,
    /// It was found on the engine, and the journal knows nothing of it.
    Found,
}

impl RunCause {
    /// A word for people, and for labels of metrics.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Schedule { .. } => "schedule",
            Self::After(_) => "after",
            Self::Change => "change",
            Self::Hand => "hand",
            Self::Found => "found",
        }
    }
}

/// How far it is. Durable before the engine is asked for the next thing, so that a crash leaves no doubt about what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// For its time, its turn, or what it needs.
    Waiting,
    /// Its container (or command) may have been made.
    Intended,
    /// It was made, and nobody has asked for its start.
    Made,
    /// Its start was asked for in this session of the engine, and not answered.
    Starting(EngineSession),
    /// The start was never answered and it does not run: its container goes, and is made anew if it had not run.
    Remaking,
    Running,
    Ended,
}

/// Why it was told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopCause {
    TimedOut,
    Replaced,
    Hand,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Result {
    Succeeded,
    /// With another code than 0.
    Failed,
    TimedOut,
    /// The next one came, and this one had to go.
    Replaced,
    /// By an operator.
    Stopped,
    /// It could not be started.
    Broken,
    /// It began, and nobody knows how it went on.
    Lost,
}

impl Result {
    pub const ALL: [Self; 7] = [
        Self::Succeeded,
        Self::Failed,
        Self::TimedOut,
        Self::Replaced,
        Self::Stopped,
        Self::Broken,
        Self::Lost,
    ];

    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed-out",
            Self::Replaced => "replaced",
            Self::Stopped => "stopped",
            Self::Broken => "broken",
            Self::Lost => "lost",
        }
    }

    /// It is tried again where that is allowed. What somebody ended on purpose is not.
    #[must_use]
    pub fn is_retried(self) -> bool {
        matches!(self, Self::Failed | Self::TimedOut | Self::Broken | Self::Lost)
    }
}

/// The end of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunEnd {
    pub result: Result,
    pub at: Timestamp,
    /// Milliseconds; `None`: it never ran.
    pub took_ms: Option<u64>,
    pub code: Option<i64>,
    /// A sentence.
    pub text: String,
    /// The last lines it printed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tail: String,
    /// Counts up with each end of the job.
    pub number: u64,
    /// No other try follows.
    pub last: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    pub cause: RunCause,
    /// 1 is the first.
    pub attempt: u32,
    /// Not before this.
    pub due: Timestamp,
    pub stage: Stage,
    /// The reference it runs in, as it was then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Something about it that people should know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
    /// Its own, or the one it runs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerId>,
    /// The command in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<ExecId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// The session of the engine that it began in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<EngineSession>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<StopCause>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<RunEnd>,
}

impl Run {
    #[must_use]
    pub fn new(cause: RunCause, due: Timestamp) -> Self {
        Self {
            cause,
            attempt: 1,
            due,
            stage: Stage::Waiting,
            image: None,
            remark: None,
            container: None,
            exec: None,
            started: None,
            session: None,
            stop: None,
            end: None,
        }
    }

    #[must_use]
    pub fn is_open(&self) -> bool {
        self.stage != Stage::Ended
    }

    /// Something of it may be on the engine, or a try of it was: it goes on.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.is_open() && (self.stage != Stage::Waiting || self.attempt > 1)
    }
}
