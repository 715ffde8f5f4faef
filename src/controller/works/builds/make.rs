//! Making one image.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::bases::Bases;
use super::board::Outcome;
use super::log::{self, Log};
use super::look::{Seen, content};
use super::report::Building;
use super::site::{Site, lock};
use crate::desired::convert::canonical_image;
use crate::desired::work::BuildSpec;
use crate::desired::work::answers::Asker;
use crate::engine::build::{BuildOrder, Pack};
use crate::source::context::Extra;
use crate::state::builds::dockerfile::rewritten;
use crate::state::builds::{
    Cause, Facts, Failed, InHand, Inputs, backoff_ms, keep_repository, name_of, rendered, stamp,
};
use crate::state::plan::Failure;

/// Where the Dockerfile lies in the archive: beside the context, so that the context is as it is.
const DOCKERFILE: &str = ".dockerfile.evenkeel";
/// A build that says nothing else.
const DEADLINE_MS: u64 = 3_600_000;

/// What a build's image is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Called {
    /// Without a tag.
    pub name: String,
    /// Whole names that each image gets in turn.
    pub fixed: BTreeSet<String>,
}

impl Called {
    pub fn of(asker: &Asker, spec: &BuildSpec) -> Self {
        let own = || {
            let name = name_of(asker);
            let (project, rest) = name.split_once('/').unwrap_or(("", &name));
            let last = rest.split_once('.').map_or(rest, |(_, last)| last);
            format!("{project}-{last}").to_ascii_lowercase()
        };
        let Some(image) = &spec.image else { return Self { name: own(), fixed: fixed(spec) } };
        let slash = image.rfind('/').map_or(0, |at| at + 1);
        let last = image.get(slash..).unwrap_or_default();
        let mut fixed = fixed(spec);
        let name = match last.find([':', '@']) {
            Some(at) => {
                if !image.contains('@') {
                    fixed.insert(image.clone());
                }
                image.get(..slash + at).unwrap_or(image).to_owned()
            }
            None => image.clone(),
        };
        Self { name, fixed }
    }
}

fn fixed(spec: &BuildSpec) -> BTreeSet<String> {
    spec.options
        .tags
        .iter()
        .filter(|tag| !tag.contains("${"))
        .filter_map(|tag| canonical_image(tag).ok())
        .collect()
}

/// What a definition asks for and cannot be had here: an image without it would not be the one that is meant.
fn beyond_us(spec: &BuildSpec) -> Option<String> {
    if !spec.buildkit.secrets.is_empty() {
        let why = "`secrets` of a build cannot be passed on by this version; a stage that needs none of them, or `ssh`, may do";
        return Some(why.to_owned());
    }
    let several = spec.options.platforms.len() > 1;
    several.then(|| {
        "several `platforms` would be several images, and this host runs one: name one of them".to_owned()
    })
}

impl Site {
    /// Makes the image, whatever was judged before.
    #[allow(clippy::too_many_arguments)]
    pub(super) async fn make(
        &self,
        asker: &Asker,
        spec: &Arc<BuildSpec>,
        seen: &Arc<Seen>,
        inputs: Inputs,
        bases: &Bases,
        causes: Vec<Cause>,
        no_push: bool,
        aside: bool,
    ) -> Outcome {
        let begun = self.clock.now();
        let utc = stamp(begun.wall);
        let mut record = self.record(asker);
        let id = record.next_id(&utc);
        let facts = Facts { hash: seen.commit.clone(), branch: seen.branch.clone(), utc };
        let filled = match beyond_us(spec).map_or_else(|| rendered(spec, &facts), Err) {
            Ok(filled) => filled,
            Err(why) => return self.failed(asker, &id, inputs, why, false).await,
        };
        let called = Called::of(asker, &filled);
        let mut names = vec![format!("{}:{}", called.name, filled.policy.tag)];
        if !aside {
            names.extend(
                called
                    .fixed
                    .iter()
                    .filter(|name| **name != format!("{}:{}", called.name, filled.policy.tag))
                    .cloned(),
            );
        }
        let hand = InHand {
            id: id.clone(),
            keep: format!("{}:{id}", keep_repository(asker)),
            tag: filled.policy.tag.clone(),
            names,
            push: spec.policy.push && !no_push,
            aside,
            inputs: inputs.clone(),
            causes: causes.clone(),
            commit: seen.commit.clone(),
            dated: spec.policy.tag.contains("${build.utc}"),
            begun: begun.wall,
            took_ms: 0,
        };
        record.hand = Some(hand.clone());
        let gone = record.log_begins(&id, spec.policy.keep);
        if let Err(error) = self.save(asker, record).await {
            return Outcome::Refused { why: error.to_string() };
        }
        log::remove(&self.folder, asker, &gone);
        let told: Vec<String> = causes.iter().map(ToString::to_string).collect();
        tracing::info!(build = name_of(asker), id, why = told.join("; "), "an image is built");
        self.board.builds(
            asker,
            Some(Building { id: id.clone(), since: begun.wall, stage: "build".to_owned(), causes: told }),
        );
        let log = Log::begin(&self.folder, asker, &id);
        let packed: Arc<Mutex<Option<String>>> = Arc::default();
        let order = self.order(asker, filled, seen, bases, &hand, &packed);
        let limit = Duration::from_millis(spec.policy.timeout_ms.unwrap_or(DEADLINE_MS));
        let tell = |text: &str| {
            log.write(text);
            if let Some(tell) = &self.tell {
                tell(asker, text);
            }
        };
        let built = tokio::time::timeout(limit, self.maker.build(&order, &tell)).await;
        let took_ms = self.clock.now().mono.since(begun.mono);
        let failure = match built {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some((error.message.clone(), error.kind != Failure::Invalid)),
            Err(_) => Some((format!("it took longer than {} s and was stopped", limit.as_secs()), true)),
        };
        if let Some((why, transient)) = failure {
            log.end(&format!("\nevenkeel: failed: {why}\n"));
            self.board.builds(asker, None);
            self.ended(asker, "failed", Duration::from_millis(took_ms), self.clock.now().wall);
            return self.failed(asker, &id, inputs, why, transient).await;
        }
        // The source may have changed since it was looked at: what was sent is what counts.
        let mut hand = InHand { took_ms, ..hand };
        if let Some(digest) = lock(&packed).take() {
            hand.inputs.content = content(&digest, &seen.dockerfile);
        }
        let mut record = self.record(asker);
        record.hand = Some(hand);
        if let Err(error) = self.save(asker, record).await {
            self.board.builds(asker, None);
            return Outcome::Refused { why: error.to_string() };
        }
        let outcome = self.finish(asker, spec.policy.keep, &tell).await;
        log.end(&format!("\nevenkeel: {}\n", shown(&outcome)));
        self.board.builds(asker, None);
        outcome
    }

    fn order(
        &self,
        asker: &Asker,
        filled: BuildSpec,
        seen: &Arc<Seen>,
        bases: &Bases,
        hand: &InHand,
        packed: &Arc<Mutex<Option<String>>>,
    ) -> BuildOrder {
        let dockerfile = rewritten(&seen.dockerfile, &seen.reading, &bases.instead);
        let mut ignore = seen.context.ignore.clone().unwrap_or_else(|| b".dockerignore".to_vec());
        ignore.extend_from_slice(format!("\n{DOCKERFILE}\n").as_bytes());
        let extra = vec![
            Extra { path: ".dockerignore".to_owned(), content: ignore },
            Extra { path: DOCKERFILE.to_owned(), content: dockerfile.into_bytes() },
        ];
        let (seen, packed) = (Arc::clone(seen), Arc::clone(packed));
        let buildkit = seen.reading.buildkit.clone();
        let context: Pack = Arc::new(move |to: &mut dyn Write| {
            let done = seen.context.pack(&extra, to).map_err(|error| match error {
                crate::source::context::ContextError::Write(error) => error,
                other => io::Error::other(other.to_string()),
            })?;
            *lock(&packed) = Some(done.digest);
            Ok(())
        });
        let name = keep_repository(asker);
        let folder: PathBuf = self.folder.join("work").join(name.rsplit('/').next().unwrap_or(&name));
        BuildOrder {
            spec: filled,
            dockerfile: DOCKERFILE.to_owned(),
            name: hand.keep.clone(),
            buildkit,
            registries: bases.registries.clone(),
            context,
            secrets: Vec::new(),
            folder,
        }
    }

    /// Notes a try that came to nothing.
    pub(super) async fn failed(
        &self,
        asker: &Asker,
        id: &str,
        inputs: Inputs,
        why: String,
        transient: bool,
    ) -> Outcome {
        let now = self.clock.now();
        let mut record = self.record(asker);
        record.fail(Failed {
            id: id.to_owned(),
            at: now.wall,
            inputs,
            why: why.clone(),
            transient,
            tries: 0,
        });
        let tries = record.failed.as_ref().map_or(1, |failed| failed.tries);
        let later = transient.then(|| now.mono.after(backoff_ms(tries)));
        self.try_after(asker, later);
        tracing::warn!(
            build = name_of(asker),
            id,
            why,
            transient,
            "an image was not built; what runs stays as it is"
        );
        if let Err(error) = self.save(asker, record).await {
            tracing::error!(%error, "a failed build is not remembered");
        }
        Outcome::Failed { id: Some(id.to_owned()), why }
    }
}

fn shown(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Built { image, .. } => format!("built {image}"),
        Outcome::Unchanged { image, .. } => format!("the same image as before came out: {image}"),
        Outcome::Current { image } => format!("{image} is current"),
        Outcome::Failed { why, .. } | Outcome::Refused { why } => format!("failed: {why}"),
    }
}
