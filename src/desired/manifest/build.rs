//! `build` of a service, and `[builds.<name>]`.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use super::forms::ShortOrLong;
use super::job::close;
use super::policy::Semver;
use super::value::*;

/// How an image is made, in Compose's words.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct BuildSection {
    /// A folder relative to this file, or a repository: `"https://host/repo.git#branch:folder"`.
    pub context: Option<Filled>,
    /// The Dockerfile, within the context.
    pub dockerfile: Option<Filled>,
    /// The Dockerfile's text itself.
    pub dockerfile_inline: Option<Filled>,
    /// Values for the Dockerfile's `ARG`s; `${git.hash}`, `${git.short}`, `${git.branch}` and `${build.utc}` are known here.
    pub args: Option<Environment>,
    /// The stage to stop at.
    pub target: Option<Filled>,
    /// Labels of the image.
    pub labels: Option<Labels>,
    /// More contexts by name. Needs BuildKit.
    pub additional_contexts: Option<Environment>,
    /// Images whose layers may be used again.
    pub cache_from: Option<Texts>,
    /// Where layers are kept for other builds. Needs BuildKit.
    pub cache_to: Option<Texts>,
    /// Use nothing of earlier builds.
    pub no_cache: Option<Flag>,
    /// Pull base images even when they are on the host.
    pub pull: Option<Flag>,
    /// The network of `RUN` steps: `"host"`, `"none"`, ...
    pub network: Option<Filled>,
    /// Lines for the hosts file of `RUN` steps.
    pub extra_hosts: Option<ExtraHosts>,
    /// Size of `/dev/shm` of `RUN` steps.
    pub shm_size: Option<Size>,
    /// Limits of the kernel for `RUN` steps.
    pub ulimits: Option<BTreeMap<String, super::forms::UlimitValue>>,
    /// Platforms to build for: `["linux/amd64"]`. More than one needs BuildKit.
    pub platforms: Option<Texts>,
    /// More names for the image.
    pub tags: Option<Texts>,
    /// Secrets that `RUN` steps may mount, names of the project's `[secrets]`. Needs BuildKit.
    pub secrets: Option<ShortOrLong<BuildSecret>>,
    /// Agents or keys that `RUN` steps may use: `["default"]`. Needs BuildKit.
    pub ssh: Option<Environment>,
    /// What `RUN` steps may do beyond the usual. Needs BuildKit.
    pub entitlements: Option<Texts>,
    /// Run steps with full rights.
    pub privileged: Option<Flag>,
    /// Whether a proof of origin is made. Needs BuildKit.
    pub provenance: Option<Attestation>,
    /// Whether a list of contents is made. Needs BuildKit.
    pub sbom: Option<Attestation>,
}

/// A secret that a build may use.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct BuildSecret {
    /// Its name in `[secrets]`.
    pub source: Filled,
    /// Its name in the build; the same when left out.
    pub target: Option<Filled>,
    /// Owner in the build.
    pub uid: Option<Text>,
    /// Group in the build.
    pub gid: Option<Text>,
    /// Permission bits in the build.
    pub mode: Option<Mode>,
}

/// When a build is made anew, and what becomes of it.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct BuildPolicy {
    /// What makes it due: `source` (the context's content or its ref's commit), `base` (the digest of an image it begins with).
    pub track: Option<OneOrManyChoices>,
    /// The image's tag: `"${build.utc}"`, `"${git.hash}"`, `"${git.short}"`, `"${git.branch}"`, or text with them.
    pub tag: Option<Filled>,
    /// Which of the repository's tags is built, instead of the ref in `context`.
    #[schemars(rename = "ref")]
    pub reference: Option<RefPolicy>,
    /// How often the source is looked at.
    pub every: Option<DurationText>,
    /// How often the base images are looked at.
    pub base_every: Option<DurationText>,
    /// Push the image to its registry.
    pub push: Option<Flag>,
    /// How many good images are kept, to go back to.
    pub keep: Option<Count>,
    /// A build that takes longer is stopped, and has failed.
    pub timeout: Option<DurationText>,
}

/// Which of a repository's tags is built.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct RefPolicy {
    /// The newest version in this range.
    pub semver: Semver,
}

/// An image that is built here. A service whose `image` is this one's, without a tag, runs its newest good build.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields, transform = close)]
pub struct Build {
    #[schemars(flatten)]
    pub section: BuildSection,
    #[schemars(flatten)]
    pub policy: BuildPolicy,
    /// The image's name, without a tag.
    pub image: Option<Filled>,
    /// Which hosts build it: names, patterns, `label=value`, and `!` for all but these.
    pub on_hosts: Option<OneOrMany>,
}

kind!(
    /// True or false, or text that says how.
    Attestation = { "type": ["boolean", "string"] }
);
kind!(
    /// `"source"`, `"base"`, or a list of both.
    OneOrManyChoices = {
        "type": ["string", "array"],
        "pattern": "^(source|base)$|\\$",
        "items": { "type": "string", "pattern": "^(source|base)$|\\$" },
    }
);
