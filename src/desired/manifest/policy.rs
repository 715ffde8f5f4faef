//! `image_policy` and `rollout` of a service.

use schemars::JsonSchema;

use super::value::*;

/// Picks the image's tag; `image` has none then. Exactly one of `semver`, `timestamp`, `number`, `text` and `same_as`.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ImagePolicy {
    /// The newest version in this range: `"^1.4"`, `"~1.8.2"`, `">=1.8, <2"`. A leading `v` of the tags is ignored.
    pub semver: Option<Semver>,
    /// Take pre-releases such as `2.0.0-rc.1` as well.
    pub prerelease: Option<Flag>,
    /// The latest time: `true` for tags such as `20180923T082316Z`, `2018-09-23` or seconds since 1970, or their form in strftime's words.
    pub timestamp: Option<TimestampForm>,
    /// The highest number: a regular expression whose first group is the number.
    pub number: Option<Regex>,
    /// The last in the order of the alphabet: a regular expression whose first group is compared.
    pub text: Option<Regex>,
    /// The tag that another service of the project runs: `"services.web"`.
    pub same_as: Option<Filled>,
    /// Only tags that this regular expression fits.
    #[schemars(rename = "match")]
    pub matching: Option<Regex>,
    /// No tags that this regular expression fits.
    pub exclude: Option<Regex>,
    /// How long a tag must have been seen here before it is taken.
    pub min_age: Option<DurationText>,
    /// How often the registry is asked.
    pub every: Option<DurationText>,
    /// Go back to an older tag when the newest one is gone.
    pub downgrade: Option<Flag>,
    /// The tag that was chosen last, and its digest: written by evenkeel itself (`[policy.write_back]`). A host that has chosen nothing yet begins with
    /// it; otherwise it changes nothing.
    pub current: Option<Filled>,
}

/// How an update goes, where Compose has no word for it.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Rollout {
    /// `rolling`: by and by, as `deploy.update_config` says; `recreate`: all old ones stop before a new one starts; `blue-green`: a whole new set
    /// proves itself beside the old one, and then the old one leaves.
    pub strategy: Option<Strategy>,
    /// What hands over: `health` (the old ones leave when the new are healthy, for proxies that watch containers), or `alias` (the
    /// service's name in its networks moves; not run by this version).
    pub switch: Option<Switch>,
    /// How long a new container with a health check may take to become healthy.
    pub healthy_within: Option<DurationText>,
    /// How long an old container goes on beside the new one that took over, to finish what it has begun.
    pub drain: Option<DurationText>,
    /// How long the old containers stay, stopped, so that going back is a plain start; at least as long as an update is watched.
    pub keep_old: Option<DurationText>,
    /// Every roll-out over something that serves waits until somebody has approved it.
    pub approve: Option<Flag>,
}

choice!(
    /// How old and new take turns.
    Strategy = ["rolling", "recreate", "blue-green"]
);
choice!(
    /// What hands over from old to new.
    Switch = ["health", "alias"]
);
kind!(
    /// A range of versions: `"^1.4"`.
    Semver = {
        "type": "string",
        "pattern": "^\\s*(\\*|(\\^|~|=|>=?|<=?)?\\s*[0-9]+(\\.([0-9]+|[*xX])){0,2}[-+.0-9A-Za-z]*)(\\s*,\\s*(\\^|~|=|>=?|<=?)?\\s*[0-9]+(\\.([0-9]+|[*xX])){0,2}[-+.0-9A-Za-z]*)*\\s*$|\\$",
        "examples": ["^1.8", "~1.8.2", ">=1.8, <2"],
    }
);
kind!(
    /// A regular expression.
    Regex = { "type": "string", "minLength": 1 }
);
kind!(
    /// True, or a form in strftime's words: `"%Y%m%dT%H%M%SZ"`.
    TimestampForm = { "type": ["boolean", "string"], "pattern": "%|\\$" }
);
