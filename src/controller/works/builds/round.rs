//! One look at every build: what is due is made, in the order in which images stand on each other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::board::Outcome;
use super::look::{Seen, Trouble};
use super::report::BuildState;
use super::site::{Site, lock};
use super::wanted::Wanted;
use crate::desired::work::BuildSpec;
use crate::desired::work::answers::Asker;
use crate::state::builds::{Graph, Inputs, Node, Verdict, graph, judge, name_of, uses_git};
use crate::state::time::Mono;

/// What somebody wants of a build by hand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Demand {
    pub number: u64,
    /// Whether or not it is due.
    pub forced: bool,
    pub no_push: bool,
    /// Another branch; nobody runs what comes of it by itself.
    pub reference: Option<String>,
}

pub type Demands = BTreeMap<Asker, Demand>;

/// Without an event it is looked again after this. Milliseconds.
const IDLE_MS: u64 = 60_000;

/// See the module.
pub struct Round<'a> {
    pub site: &'a Site,
    pub wanted: &'a BTreeMap<Asker, Wanted>,
    pub demands: Demands,
    /// Look at these and what they stand on, and at nothing else.
    pub only: Option<BTreeSet<Asker>>,
    /// There is something newer to look at: end after the build in hand.
    pub overtaken: &'a (dyn Fn() -> bool + Send + Sync),
}

/// What a round came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ended {
    pub outcomes: BTreeMap<Asker, Outcome>,
    /// When to look again.
    pub next: Mono,
    /// Demands that were not come to.
    pub left: Demands,
}

type Looks = BTreeMap<Asker, Result<Arc<Seen>, Trouble>>;

impl Round<'_> {
    pub async fn run(mut self) -> Ended {
        self.site.board.keep(self.wanted.keys());
        let bases = self.wanted.values().filter_map(|wanted| wanted.spec.policy.base_every_ms);
        let idle = bases.min().map_or(IDLE_MS, |every| every.clamp(1_000, IDLE_MS));
        let mut ended = Ended { next: self.site.clock.now().mono.after(idle), ..Ended::default() };
        for asker in self.wanted.keys() {
            self.site.board.recorded(asker, &self.site.record(asker));
        }
        let mut looks = Looks::new();
        for (asker, wanted) in self.wanted {
            let at_once = self.demands.contains_key(asker);
            looks.insert(asker.clone(), self.site.look(asker, &wanted.spec, at_once).await);
        }
        let mut graph = self.graph(&looks);
        // What stands below something that is asked for is looked at now, too.
        let asked = graph.all_below(self.demands.keys().cloned());
        for asker in asked.iter().filter(|asker| !self.demands.contains_key(*asker)) {
            if let Some(wanted) = self.wanted.get(asker) {
                looks.insert(asker.clone(), self.site.look(asker, &wanted.spec, true).await);
            }
        }
        if !asked.is_empty() {
            graph = self.graph(&looks);
        }
        let only = self.only.take().map(|only| graph.all_below(only));
        for (asker, way) in &graph.circles {
            let names: Vec<String> = way.iter().map(name_of).collect();
            let why = format!("builds stand on each other: {}", names.join(" -> "));
            self.end(asker, Outcome::Refused { why }, BuildState::Failed, &mut ended);
        }
        for asker in self.unordered(&graph) {
            let why = "it stands on builds that stand on each other".to_owned();
            self.end(&asker, Outcome::Refused { why }, BuildState::Waiting, &mut ended);
        }
        for asker in graph.order.iter().filter(|asker| only.as_ref().is_none_or(|only| only.contains(*asker)))
        {
            if (self.overtaken)() {
                ended.next = self.site.clock.now().mono;
                break;
            }
            let Some(wanted) = self.wanted.get(asker) else { continue };
            let Some(look) = looks.get(asker) else { continue };
            let below: Vec<String> = graph.below(asker).map(name_of).collect();
            self.site.board.change(asker, |report| report.stands_on = below);
            let demand = self.demands.remove(asker);
            let at_once = asked.contains(asker);
            let outcome =
                self.one(asker, wanted, look, &graph, demand.as_ref(), at_once, &mut ended.next).await;
            if let Some(outcome) = outcome {
                if demand.is_some() {
                    self.site.board.answered(asker, &outcome);
                }
                ended.outcomes.insert(asker.clone(), outcome);
            }
        }
        if let Some(next) = self.site.next_look(self.wanted.keys()) {
            ended.next = ended.next.min(next);
        }
        ended.left = self.demands;
        ended
    }

    fn end(&mut self, asker: &Asker, outcome: Outcome, state: BuildState, ended: &mut Ended) {
        let why = match &outcome {
            Outcome::Refused { why } | Outcome::Failed { why, .. } => why.clone(),
            _ => String::new(),
        };
        self.site.board.stands(asker, state, why);
        if self.demands.remove(asker).is_some() {
            self.site.board.answered(asker, &outcome);
        }
        ended.outcomes.insert(asker.clone(), outcome);
    }

    fn unordered(&self, graph: &Graph) -> Vec<Asker> {
        let out = |asker: &&Asker| !graph.order.contains(asker) && !graph.circles.contains_key(*asker);
        self.wanted.keys().filter(out).cloned().collect()
    }

    fn graph(&self, looks: &Looks) -> Graph {
        let node = |(asker, wanted): (&Asker, &Wanted)| {
            let called = super::make::Called::of(asker, &wanted.spec);
            let bases = match looks.get(asker) {
                Some(Ok(seen)) => bases_of(seen, &wanted.spec),
                // What it stood on when it was seen last.
                _ => self
                    .site
                    .record(asker)
                    .newest()
                    .map(|made| made.inputs.bases.keys().cloned().collect())
                    .unwrap_or_default(),
            };
            (asker.clone(), Node { image: called.name, names: called.fixed, bases })
        };
        graph(&self.wanted.iter().map(node).collect())
    }

    /// `None`: nothing is to be said.
    #[allow(clippy::too_many_arguments)]
    async fn one(
        &self,
        asker: &Asker,
        wanted: &Wanted,
        look: &Result<Arc<Seen>, Trouble>,
        graph: &Graph,
        demand: Option<&Demand>,
        at_once: bool,
        next: &mut Mono,
    ) -> Option<Outcome> {
        let site = self.site;
        let waits = |state: BuildState, why: String| {
            site.board.stands(asker, state, why.clone());
            Some(Outcome::Refused { why })
        };
        if let Some(why) = &wanted.paused {
            return waits(BuildState::Paused, format!("paused in {why}"));
        }
        if let Some(Demand { reference: Some(reference), no_push, .. }) = demand {
            return Some(self.aside(asker, wanted, reference, *no_push, graph).await);
        }
        let seen = match look {
            Ok(seen) => seen,
            Err(Trouble(why)) => {
                site.board.stands(asker, BuildState::Waiting, why.clone());
                return Some(Outcome::Failed { id: None, why: why.clone() });
            }
        };
        let bases = match site.bases(asker, &wanted.spec, &bases_of(seen, &wanted.spec), graph, at_once).await
        {
            Ok(bases) => bases,
            Err(why) => return waits(BuildState::Waiting, why),
        };
        let inputs = Inputs {
            definition: wanted.spec.definition(),
            content: seen.content.clone(),
            commit: seen.commit.clone().filter(|_| uses_git(&wanted.spec)),
            bases: bases.digests.clone(),
        };
        site.board.change(asker, |report| report.bases.clone_from(&inputs.bases));
        let forced = demand.is_some_and(|demand| demand.forced);
        let now = site.clock.now().mono;
        let not_before =
            lock(&site.not_before).get(asker).copied().filter(|at| *at > now && demand.is_none());
        if let Some(at) = not_before {
            *next = (*next).min(at);
            return None;
        }
        if let Some(outcome) = site.resume(asker, &wanted.spec, &inputs).await {
            return self.concluded(asker, outcome, next);
        }
        let record = site.record(asker);
        let lost = site.is_lost(asker, &record).await;
        let verdict = judge(&wanted.spec.policy.track, &record, &inputs, forced || lost);
        let causes = match verdict {
            Verdict::Current => {
                site.board.stands(asker, BuildState::Current, "");
                site.note_current(asker, inputs).await;
                return record.newest().map(|made| Outcome::Current { image: made.image.clone() });
            }
            Verdict::Failed if demand.is_none() => {
                let why = record.failed.map(|failed| failed.why).unwrap_or_default();
                site.board.stands(asker, BuildState::Failed, why.clone());
                return Some(Outcome::Failed { id: None, why });
            }
            Verdict::Due(causes) => causes,
            // Its time has come, or this process has not tried yet, or somebody asks.
            Verdict::Later(_) | Verdict::Failed => crate::state::builds::causes(
                &wanted.spec.policy.track,
                record.newest().map(|made| &made.inputs),
                &inputs,
            ),
        };
        if let Some(why) = site.is_full() {
            return waits(BuildState::Waiting, why);
        }
        let no_push = demand.is_some_and(|demand| demand.no_push);
        let outcome = site.make(asker, &wanted.spec, seen, inputs, &bases, causes, no_push, false).await;
        self.concluded(asker, outcome, next)
    }

    fn concluded(&self, asker: &Asker, outcome: Outcome, next: &mut Mono) -> Option<Outcome> {
        match &outcome {
            Outcome::Failed { why, .. } => {
                self.site.board.stands(asker, BuildState::Failed, why.clone());
                if let Some(at) = lock(&self.site.not_before).get(asker) {
                    *next = (*next).min(*at);
                }
            }
            _ => self.site.board.stands(asker, BuildState::Current, ""),
        }
        Some(outcome)
    }

    async fn aside(
        &self,
        asker: &Asker,
        wanted: &Wanted,
        reference: &str,
        no_push: bool,
        graph: &Graph,
    ) -> Outcome {
        let failed = |why: String| Outcome::Failed { id: None, why };
        let seen = match self.site.look_aside(&wanted.spec, reference).await {
            Ok(seen) => seen,
            Err(Trouble(why)) => return failed(why),
        };
        let bases = self.site.bases(asker, &wanted.spec, &bases_of(&seen, &wanted.spec), graph, true).await;
        let bases = match bases {
            Ok(bases) => bases,
            Err(why) => return failed(why),
        };
        let inputs = Inputs {
            definition: wanted.spec.definition(),
            content: seen.content.clone(),
            commit: seen.commit.clone(),
            bases: bases.digests.clone(),
        };
        let causes = vec![crate::state::builds::Cause::Asked];
        self.site.make(asker, &wanted.spec, &seen, inputs, &bases, causes, no_push, true).await
    }
}

/// Images that a Dockerfile begins with, but for what further contexts stand in for.
fn bases_of(seen: &Seen, spec: &BuildSpec) -> BTreeSet<String> {
    let contexts = &spec.buildkit.additional_contexts;
    let images = seen.reading.bases.iter().map(|base| base.image.clone());
    images.filter(|image| !contexts.contains_key(image)).collect()
}
