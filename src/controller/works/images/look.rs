//! One look at one repository, for everybody who follows it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::followers::{Followable, Follower, Leader, platform};
use super::memory::Seen;
use crate::controller::clock::Clock;
use crate::desired::work::answers::{Answers, Asker};
use crate::engine::Observe;
use crate::images::registry::{Found, Platform, Registries, RegistryError, Trouble};
use crate::metrics::Metrics;
use crate::state::images::{Chosen, Current, Followed, Ranker, Round, Stay, Turn, choose, current, runs};
use crate::state::record::Record;

/// Most tags of one look whose digest is asked for: what is beyond waits for the next one.
const MOST_ASKED: usize = 200;

/// What a look needs.
pub(super) struct Looking<'a> {
    pub registries: &'a dyn Registries,
    pub engine: &'a dyn Observe,
    pub clock: &'a dyn Clock,
    pub metrics: &'a Arc<Metrics>,
    pub place: &'a Followable,
    /// Ask for the list of tags, too, and not only for what a known tag stands for.
    pub list: bool,
}

/// One who follows, with all that is known of it.
#[derive(Clone)]
pub(super) struct Standing {
    pub follower: Follower,
    pub followed: Followed,
    pub record: Record,
    /// Its answer, if it is one for this image.
    pub answer: Option<Chosen>,
    /// With `same_as`: the tag to take.
    pub led: Option<Result<String, Unled>>,
}

/// Why there is no tag to take over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unled {
    /// It is not known yet which one the other service runs.
    Early,
    Trouble(String),
}

impl Standing {
    pub fn current(&self) -> Option<Chosen> {
        current(&self.follower.name, self.answer.as_ref(), &self.followed, &self.record)
    }
}

/// What a look came to for one who follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Take(Chosen),
    Stay(Stay),
    /// It could not be found out, and the old answer stands.
    Unknown(String),
}

/// The whole of a look. What was seen before a trouble counts.
pub(super) struct Looked {
    pub seen: Seen,
    pub outcomes: BTreeMap<Asker, Outcome>,
    pub trouble: Option<RegistryError>,
}

pub(super) async fn look(looking: &Looking<'_>, mut seen: Seen, standings: &[Standing]) -> Looked {
    let mut outcomes = BTreeMap::new();
    let ranks = standings.iter().any(|standing| standing.follower.ranker.is_some());
    if ranks && (looking.list || seen.sightings.tags().next().is_none()) {
        let tags = looking.registries.tags(&looking.place.repository).await;
        match counted(looking, tags) {
            Ok(tags) => {
                seen.sightings.listed(tags.iter().map(String::as_str), looking.clock.now().wall);
                let Seen { sightings, same } = &mut seen;
                let digests: Vec<&str> = sightings.digests().collect();
                same.retain(|_, known| digests.contains(&known.as_str()));
            }
            Err(trouble) => return Looked { seen, outcomes, trouble: Some(trouble) },
        }
    }
    let mut round = Asked::default();
    for standing in standings {
        let outcome = match &standing.led {
            None => one(looking, &mut seen, &mut round, standing).await,
            Some(led) => follow(looking, &mut seen, &mut round, standing, led).await,
        };
        match outcome {
            Ok(outcome) => drop(outcomes.insert(standing.follower.asker.clone(), outcome)),
            Err(trouble) => return Looked { seen, outcomes, trouble: Some(trouble) },
        }
    }
    Looked { seen, outcomes, trouble: None }
}

/// What was asked in this look, by tag.
#[derive(Default)]
struct Asked {
    /// The digests by which images are known.
    known: BTreeMap<String, String>,
    /// What the registry said.
    said: BTreeMap<String, String>,
    platform: Option<Platform>,
}

async fn one(
    looking: &Looking<'_>,
    seen: &mut Seen,
    asked: &mut Asked,
    standing: &Standing,
) -> Result<Outcome, RegistryError> {
    let Some(ranker) = &standing.follower.ranker else {
        return Ok(Outcome::Unknown("its policy picks nothing".to_owned()));
    };
    let current = standing.current().map(|current| Chosen { digest: seen.known(&current.digest), ..current });
    let policy = &standing.follower.policy;
    if let (None, Some(recorded)) = (&standing.answer, &policy.recorded)
        && let Some(chosen) = begin(looking, seen, ranker, recorded).await?
    {
        return Ok(Outcome::Take(chosen));
    }
    loop {
        let rejected = |digest: &str| {
            standing.followed.failed.keys().any(|failed| failed == digest || seen.known(failed) == digest)
        };
        let turn = choose(Round {
            ranker,
            min_age_ms: policy.min_age_ms,
            downgrade: policy.downgrade,
            sightings: &seen.sightings,
            asked: &asked.known,
            current: current.as_ref().map(|Chosen { tag, digest }| Current { tag, digest }),
            rejected: &rejected,
            now: looking.clock.now().wall,
        });
        match turn {
            Turn::Ask(_) if asked.said.len() >= MOST_ASKED => {
                let why = format!("more than {MOST_ASKED} tags would have to be asked for: `match` fewer");
                return Ok(Outcome::Unknown(why));
            }
            Turn::Ask(tag) => {
                let before = seen.sightings.digest(&tag).map(str::to_owned);
                if !ask(looking, seen, asked, &tag, before).await? {
                    // It has left since the list was made.
                    let left: Vec<String> =
                        seen.sightings.tags().filter(|known| *known != tag).map(str::to_owned).collect();
                    let now = looking.clock.now().wall;
                    seen.sightings.listed(left.iter().map(String::as_str), now);
                }
            }
            Turn::Take { chosen, passed: _ } => {
                let digest = asked.said.get(&chosen.tag).cloned().unwrap_or(chosen.digest);
                return Ok(Outcome::Take(Chosen { tag: chosen.tag, digest }));
            }
            Turn::Stay(stay) => return Ok(Outcome::Stay(stay)),
        }
    }
}

/// What was written back for this host or another one is where a host begins that has chosen nothing yet, if it is still to be had.
async fn begin(
    looking: &Looking<'_>,
    seen: &mut Seen,
    ranker: &Ranker,
    recorded: &str,
) -> Result<Option<Chosen>, RegistryError> {
    let (tag, digest) =
        recorded.split_once('@').map_or((recorded, None), |(tag, digest)| (tag, Some(digest)));
    if ranker.rank(tag).is_err() {
        return Ok(None);
    }
    let wanted = digest.unwrap_or(tag);
    match counted(looking, looking.registries.find(&looking.place.repository, wanted, None).await) {
        Ok(Found { digest, .. }) => {
            seen.sightings.stands_for(tag, &digest, looking.clock.now().wall);
            Ok(Some(Chosen { tag: tag.to_owned(), digest }))
        }
        Err(error) if error.trouble == Trouble::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// `same_as`: the tag is given, and only what it stands for is looked up.
async fn follow(
    looking: &Looking<'_>,
    seen: &mut Seen,
    asked: &mut Asked,
    standing: &Standing,
    led: &Result<String, Unled>,
) -> Result<Outcome, RegistryError> {
    let tag = match led {
        Ok(tag) => tag,
        Err(Unled::Early) => return Ok(Outcome::Stay(Stay::default())),
        Err(Unled::Trouble(why)) => return Ok(Outcome::Unknown(why.clone())),
    };
    let before = standing.answer.as_ref().filter(|now| now.tag == *tag).map(|now| seen.known(&now.digest));
    if !asked.known.contains_key(tag) && !ask(looking, seen, asked, tag, before).await? {
        let repository = &looking.place.repository;
        return Ok(Outcome::Unknown(format!("{}/{} has no tag {tag}", repository.registry, repository.path)));
    }
    let Some(digest) = asked.known.get(tag) else { return Ok(Outcome::Stay(Stay::default())) };
    let current = standing.answer.as_ref();
    let same = current.is_some_and(|now| now.tag == *tag && seen.known(&now.digest) == *digest);
    let failed = standing.followed.failed.contains_key(digest);
    if same || failed {
        return Ok(Outcome::Stay(Stay::default()));
    }
    let digest = asked.said.get(tag).unwrap_or(digest).clone();
    Ok(Outcome::Take(Chosen { tag: tag.clone(), digest }))
}

/// Asks what a tag stands for. `false`: there is no such tag.
async fn ask(
    looking: &Looking<'_>,
    seen: &mut Seen,
    asked: &mut Asked,
    tag: &str,
    before: Option<String>,
) -> Result<bool, RegistryError> {
    let repository = &looking.place.repository;
    let found = counted(looking, looking.registries.find(repository, tag, None).await);
    let said = match found {
        Ok(Found { digest, .. }) => digest,
        Err(error) if error.trouble == Trouble::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let mut known = seen.known(&said);
    if let Some(before) = before.filter(|before| *before != known)
        && same_here(looking, asked, tag, &before, &said).await?
    {
        seen.same.insert(said.clone(), before.clone());
        known = before;
    }
    seen.sightings.stands_for(tag, &known, looking.clock.now().wall);
    asked.known.insert(tag.to_owned(), known);
    asked.said.insert(tag.to_owned(), said);
    Ok(true)
}

/// Whether two indexes have the same image for this host. One that is gone has not.
async fn same_here(
    looking: &Looking<'_>,
    asked: &mut Asked,
    tag: &str,
    before: &str,
    now: &str,
) -> Result<bool, RegistryError> {
    if asked.platform.is_none() {
        let facts = looking.engine.facts().await.unwrap_or_default();
        asked.platform = platform(looking.place.platform.as_deref(), &facts.os, &facts.architecture);
    }
    let Some(platform) = &asked.platform else { return Ok(false) };
    let mut images = Vec::new();
    for digest in [now, before] {
        let found = looking.registries.find(&looking.place.repository, digest, Some(platform)).await;
        match counted(looking, found) {
            Ok(Found { image: Some(image), .. }) => images.push(image),
            Ok(Found { image: None, .. }) => return Ok(false),
            Err(error) if matches!(error.trouble, Trouble::NotFound | Trouble::Invalid) => {
                tracing::debug!(tag, %error, "two images cannot be compared, and count as different");
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(matches!(images.as_slice(), [a, b] if a == b))
}

fn counted<T>(looking: &Looking<'_>, answer: Result<T, RegistryError>) -> Result<T, RegistryError> {
    let result = answer.as_ref().map_or_else(|error| error.trouble.as_str(), |_| "ok");
    looking.metrics.registry_asked(&looking.place.repository.registry, result);
    answer
}

/// The tag that the other service runs.
pub(super) fn led(
    leader: &Leader,
    answers: &Answers,
    followed: &dyn Fn(&Asker) -> Followed,
    record: &Record,
) -> Result<String, Unled> {
    match leader {
        Leader::Said(tag) => Ok(tag.clone()),
        Leader::None(why) => Err(Unled::Trouble(why.clone())),
        Leader::Chosen { id, name, image } => {
            let Some(answer) = answers.of_service(id, image) else { return Err(Unled::Early) };
            match crate::state::images::pinned(name, &answer.image) {
                Some(chosen) => {
                    let followed = followed(&Asker::Service(id.clone()));
                    runs(name, &chosen, &followed, record).ok_or(Unled::Early)
                }
                // Built here: what is good is in the answer.
                None => Ok(answer.tag.clone()),
            }
        }
    }
}
