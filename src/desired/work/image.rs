//! How an image is chosen.

use serde::{Deserialize, Serialize};

use super::WorkId;
use super::build::BuildSpec;
use crate::desired::ident::ServiceName;

/// Where the image of a service or job comes from, when it is not simply said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageSource {
    /// It is said.
    Said,
    Policy(ImagePolicy),
    /// Built by the definition in the service itself.
    Build(Box<BuildSpec>),
    /// The newest good image of one of the `[builds]`.
    Built(WorkId),
}

/// `image_policy`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImagePolicy {
    pub pick: Pick,
    /// Regular expressions on tags.
    pub matching: Option<String>,
    pub exclude: Option<String>,
    pub min_age_ms: u64,
    /// `None`: the daemon's own pace.
    pub every_ms: Option<u64>,
    pub downgrade: bool,
    /// The tag, with its digest behind an `@`, that was written back: what a host begins with that has chosen nothing yet. No part of the
    /// definition: writing it must change nothing.
    #[serde(skip)]
    pub recorded: Option<String>,
}

impl ImagePolicy {
    /// The same tags are picked: only what was written back may differ.
    #[must_use]
    pub fn picks_as(&self, other: &Self) -> bool {
        Self { recorded: None, ..self.clone() } == Self { recorded: None, ..other.clone() }
    }
}

/// What makes a tag the one to take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pick {
    /// The newest version in a range that the `semver` crate reads.
    Semver { range: String, prerelease: bool },
    /// The latest time; `None`: one of the usual forms.
    Timestamp { format: Option<String> },
    /// The highest number in the first group of a regular expression.
    Number { pattern: String },
    /// The last text in the first group of a regular expression.
    Text { pattern: String },
    /// The tag of another service of the project.
    SameAs(ServiceName),
}

/// The version range in a text, as the `semver` crate reads it.
///
/// # Errors
/// What was probably meant, if that can be told.
pub fn version_range(text: &str) -> Result<semver::VersionReq, Option<String>> {
    let plain = |text: &str| semver::VersionReq::parse(text).ok();
    if let Some(range) = plain(text.trim()) {
        return Ok(range);
    }
    let mended = text
        .trim()
        .replace("=>", ">=")
        .replace("=<", "<=")
        .replace("==", "=")
        .replace("~>", "~")
        .replace('≥', ">=")
        .replace('≤', "<=");
    let bare = |part: &str| {
        let operators = part.len() - part.trim_start_matches(['<', '>', '=', '~', '^', ' ']).len();
        let (operator, version) = part.split_at(operators);
        let version = version.strip_prefix(['v', 'V']).unwrap_or(version);
        format!("{}{version}", operator.trim())
    };
    let with_commas: Vec<String> =
        mended.split([',', ' ']).filter(|part| !part.is_empty()).map(bare).collect();
    let glued = bare(&mended.replace(' ', ""));
    let candidates = [mended.clone(), bare(&mended), with_commas.join(", "), glued];
    Err(candidates.into_iter().find(|candidate| plain(candidate).is_some()))
}

/// Whether a form in strftime's words can be read back to a day.
///
/// # Errors
/// What is wrong with it.
pub fn timestamp_form(format: &str) -> Result<(), String> {
    use jiff::fmt::strtime::{self, BrokenDownTime};
    let sample =
        jiff::civil::date(2018, 9, 23).at(8, 23, 16, 0).in_tz("UTC").map_err(|error| error.to_string())?;
    let written = strtime::format(format, &sample).map_err(|error| error.to_string())?;
    let read = BrokenDownTime::parse(format, &written).map_err(|error| error.to_string())?;
    let whole = read.to_date().is_ok() || read.to_timestamp().is_ok();
    if whole { Ok(()) } else { Err("it does not say which day: year, month and day are needed".to_owned()) }
}
