//! Tags in the order in which a policy counts them.

use std::cmp::Ordering;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;
use regex::Regex;
use semver::{Version, VersionReq};

use crate::desired::work::{ImagePolicy, Pick};

/// Where a tag stands. Only ranks of one policy are compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// Of two tags for one version the one that says more of it: `1.2.0` before `1.2`, which may move.
    Version(Version, u8),
    /// Nanoseconds since 1970: fractions of a second are told apart.
    Time(i128),
    /// Digits without leading zeros, which may be more than any integer holds: first by their count.
    Number(usize, String),
    Text(String),
}

/// Why a tag is no candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// `match` does not find anything in it.
    NotMatched,
    /// `exclude` finds something in it.
    Excluded,
    /// No version, time, number or text of the form that is asked for.
    NotOfTheForm,
    /// A version outside of the range.
    OutOfRange,
    /// A pre-release, and these are not asked for.
    Prerelease,
}

impl Unfit {
    /// For people, behind "not taken:".
    #[must_use]
    pub fn told(self) -> &'static str {
        match self {
            Self::NotMatched => "`match` does not fit it",
            Self::Excluded => "`exclude` fits it",
            Self::NotOfTheForm => "not of the form that the policy picks by",
            Self::OutOfRange => "outside of the range",
            Self::Prerelease => "a pre-release, and `prerelease` is not set",
        }
    }
}

/// A policy, ready to look at many tags.
#[derive(Debug, Clone)]
pub struct Ranker {
    way: Way,
    matching: Option<Regex>,
    exclude: Option<Regex>,
}

#[derive(Debug, Clone)]
enum Way {
    Semver { range: VersionReq, prerelease: bool },
    Timestamp { format: Option<String> },
    Number(Regex),
    Text(Regex),
}

impl Ranker {
    /// `None` for `same_as`, which ranks nothing: the tag of another service is taken. A policy that was loaded has good patterns; one
    /// that does not (from a store of another version) is an error.
    ///
    /// # Errors
    /// A sentence on the pattern that cannot be read.
    pub fn of(policy: &ImagePolicy) -> Result<Option<Self>, String> {
        let regex = |text: &str| {
            Regex::new(text).map_err(|error| format!("`{text}` is not a regular expression: {error}"))
        };
        let way = match &policy.pick {
            Pick::Semver { range, prerelease } => {
                let read = VersionReq::parse(range)
                    .map_err(|error| format!("`{range}` is not a version range: {error}"))?;
                Way::Semver { range: read, prerelease: *prerelease }
            }
            Pick::Timestamp { format } => Way::Timestamp { format: format.clone() },
            Pick::Number { pattern } => Way::Number(regex(pattern)?),
            Pick::Text { pattern } => Way::Text(regex(pattern)?),
            Pick::SameAs(_) => return Ok(None),
        };
        let pattern = |text: &Option<String>| text.as_deref().map(regex).transpose();
        let (matching, exclude) = (pattern(&policy.matching)?, pattern(&policy.exclude)?);
        Ok(Some(Self { way, matching, exclude }))
    }

    /// The same without a bound: what there is beyond the range.
    #[must_use]
    pub fn unbounded(&self) -> Self {
        let way = match &self.way {
            Way::Semver { prerelease, .. } => {
                Way::Semver { range: VersionReq::STAR, prerelease: *prerelease }
            }
            other => other.clone(),
        };
        Self { way, ..self.clone() }
    }

    /// Where a tag stands.
    ///
    /// # Errors
    /// Why it is no candidate.
    pub fn rank(&self, tag: &str) -> Result<Rank, Unfit> {
        if self.matching.as_ref().is_some_and(|pattern| !pattern.is_match(tag)) {
            return Err(Unfit::NotMatched);
        }
        if self.exclude.as_ref().is_some_and(|pattern| pattern.is_match(tag)) {
            return Err(Unfit::Excluded);
        }
        match &self.way {
            Way::Semver { range, prerelease } => by_version(tag, range, *prerelease),
            Way::Timestamp { format } => {
                let time = match format {
                    Some(format) => time_of(format, tag),
                    None => usual_time(tag),
                };
                time.map(|time| Rank::Time(time.as_nanosecond())).ok_or(Unfit::NotOfTheForm)
            }
            Way::Number(pattern) => {
                let digits = first_group(pattern, tag).ok_or(Unfit::NotOfTheForm)?;
                if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Err(Unfit::NotOfTheForm);
                }
                let digits = digits.trim_start_matches('0').to_owned();
                Ok(Rank::Number(digits.len(), digits))
            }
            Way::Text(pattern) => {
                let text = first_group(pattern, tag).ok_or(Unfit::NotOfTheForm)?;
                Ok(Rank::Text(text.to_owned()))
            }
        }
    }

    /// The tags that are candidates, the best first. Tags of one rank stand in the reverse order of their text, so that the order is
    /// the same on every host.
    #[must_use]
    pub fn ranked<'t>(&self, tags: impl Iterator<Item = &'t str>) -> Vec<(Rank, &'t str)> {
        let mut ranked: Vec<(Rank, &str)> =
            tags.filter_map(|tag| Some((self.rank(tag).ok()?, tag))).collect();
        ranked.sort_by(|(a, a_tag), (b, b_tag)| match b.cmp(a) {
            Ordering::Equal => b_tag.cmp(a_tag),
            order => order,
        });
        ranked
    }
}

fn first_group<'t>(pattern: &Regex, tag: &'t str) -> Option<&'t str> {
    pattern.captures(tag)?.get(1).map(|group| group.as_str())
}

fn by_version(tag: &str, range: &VersionReq, prerelease: bool) -> Result<Rank, Unfit> {
    let (version, parts) = version_of(tag).ok_or(Unfit::NotOfTheForm)?;
    if version.pre.is_empty() || range.matches(&version) {
        // A range that names a pre-release asks for it.
        return if range.matches(&version) {
            Ok(Rank::Version(version, parts))
        } else {
            Err(Unfit::OutOfRange)
        };
    }
    let release = Version::new(version.major, version.minor, version.patch);
    match (range.matches(&release), prerelease) {
        (true, true) => Ok(Rank::Version(version, parts)),
        (true, false) => Err(Unfit::Prerelease),
        (false, _) => Err(Unfit::OutOfRange),
    }
}

/// The version in a tag, as people tag images: a leading `v`, parts left out at the end (`1.27`) and leading zeros (`24.04`) are
/// understood. With it, how many of its parts are said.
#[must_use]
pub(super) fn version_of(tag: &str) -> Option<(Version, u8)> {
    let text = tag.strip_prefix(['v', 'V']).unwrap_or(tag);
    let (core, pre) = match text.split_once('-') {
        Some((core, pre)) => (core, Some(pre)),
        None => (text, None),
    };
    let mut parts = [0_u64; 3];
    let mut said = 0;
    for part in core.split('.') {
        if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *parts.get_mut(said)? = part.parse().ok()?;
        said += 1;
    }
    let mut version = Version::new(parts[0], parts[1], parts[2]);
    if let Some(pre) = pre {
        if pre.is_empty() {
            return None;
        }
        version.pre = semver::Prerelease::new(pre).ok()?;
    }
    Some((version, u8::try_from(said).unwrap_or_default()))
}

/// Forms in which people write the time of a build into a tag, all of them in UTC.
const USUAL: [&str; 10] = [
    "%Y%m%dT%H%M%SZ",
    "%Y%m%dT%H%M%S",
    "%Y%m%d-%H%M%S",
    "%Y%m%d_%H%M%S",
    "%Y%m%d%H%M%S",
    "%Y-%m-%dT%H-%M-%SZ",
    "%Y-%m-%dT%H-%M-%S",
    "%Y-%m-%d_%H-%M-%S",
    "%Y-%m-%d",
    "%Y%m%d",
];

fn usual_time(tag: &str) -> Option<Timestamp> {
    if tag.bytes().all(|byte| byte.is_ascii_digit()) {
        // Unix time, in seconds as from 2001 and in milliseconds: other numbers of digits are dates.
        match tag.len() {
            10 => return Timestamp::from_second(tag.parse().ok()?).ok(),
            13 => return Timestamp::from_millisecond(tag.parse().ok()?).ok(),
            _ => {}
        }
    }
    // Digits left out would make one tag readable in two ways.
    let written = |format: &str, time: Timestamp| {
        jiff::fmt::strtime::format(format, &time.to_zoned(TimeZone::UTC)).is_ok_and(|text| text == tag)
    };
    USUAL.iter().find_map(|format| time_of(format, tag).filter(|time| written(format, *time)))
}

/// Reads a tag by a form in strftime's words. Without a zone it is UTC, without a time of the day the day's beginning.
fn time_of(format: &str, tag: &str) -> Option<Timestamp> {
    let read = BrokenDownTime::parse(format, tag).ok()?;
    if let Ok(stamp) = read.to_timestamp() {
        return Some(stamp);
    }
    let date = read.to_date().ok()?;
    let time = read.to_time().unwrap_or_default();
    DateTime::from_parts(date, time).to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}
