//! Fingerprints: two worlds with one print behave alike from here on. What only counts the past, or only speaks to people, is left
//! out; containers are named by their age, moments by how long ago they were, stamps by their order.

use std::hash::{Hash, Hasher};

use evenkeel::engine::sim::{Container, Host};
use evenkeel::state::decide::Limits;
use evenkeel::state::observed::{ContainerId, EngineSession};
use evenkeel::state::record::{Applied, Attempts, Memo, Record, RevisionVerdict};
use evenkeel::state::time::{EngineStamp, Mono};

use super::world::{Scenario, World};

/// 128 bits: with 10^8 worlds two of them share a print with a chance of 10^-23.
#[derive(Clone, Copy)]
pub struct Print(u64, u64);

const ONE: u64 = 0x9E37_79B9_7F4A_7C15;
const TWO: u64 = 0xD6E8_FEB8_6659_FD93;

/// Both halves of the product, folded: every bit of the input reaches every bit of the output.
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

impl Print {
    fn new() -> Self {
        Self(ONE, TWO)
    }

    fn value(self) -> u128 {
        u128::from(fold(self.0 ^ TWO, ONE)) << 64 | u128::from(fold(self.1 ^ ONE, TWO))
    }
}

impl Hasher for Print {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.write_u64(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            self.write_u64(u64::from_le_bytes(word));
        }
    }
    fn write_u64(&mut self, word: u64) {
        self.0 = fold(self.0 ^ word, ONE).rotate_left(23) ^ word;
        self.1 = fold(self.1.rotate_left(17) ^ word, TWO).wrapping_add(word);
    }
    fn write_u8(&mut self, byte: u8) {
        self.write_u64(u64::from(byte) | 1 << 60);
    }
    fn write_u32(&mut self, word: u32) {
        self.write_u64(u64::from(word));
    }
    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }
    fn finish(&self) -> u64 {
        self.0 ^ self.1
    }
}

struct Printer<'w> {
    host: &'w Host,
    monitor_ms: u64,
    hasher: Print,
    /// Every stamp of the host, in order.
    stamps: Vec<EngineStamp>,
}

/// The print of a world.
pub fn print(scenario: &Scenario, world: &World) -> u128 {
    let mut stamps: Vec<EngineStamp> = world
        .host
        .containers
        .values()
        .flat_map(|container| [container.started_at, container.finished_at].into_iter().flatten())
        .collect();
    stamps.sort_unstable();
    let mut printer =
        Printer { host: &world.host, monitor_ms: scenario.monitor_ms, hasher: Print::new(), stamps };
    printer.host();
    world.edits.hash(&mut printer.hasher);
    for memory in &world.memories {
        printer.record(&memory.record);
        printer.memo(&memory.memo);
    }
    printer.hasher.value()
}

impl Printer<'_> {
    fn add(&mut self, what: impl Hash) {
        what.hash(&mut self.hasher);
    }

    fn rank(&self, id: &ContainerId) -> u8 {
        let found = self.host.containers.keys().position(|own| own == id);
        found.map_or(u8::MAX, |rank| u8::try_from(rank).unwrap_or(u8::MAX - 1))
    }

    fn stamp(&mut self, stamp: Option<EngineStamp>) {
        // One that no container has any more is older than all.
        let rank = stamp.map(|stamp| self.stamps.binary_search(&stamp).map_or(0, |rank| rank + 1));
        self.add(rank);
    }

    /// How long ago, and no more than matters.
    fn ago(&mut self, at: Mono, most: u64) {
        let ago = self.host.now.saturating_sub(at.0).min(most);
        self.add(ago);
    }

    fn session(&mut self, session: EngineSession) {
        self.add(session == self.host.session);
    }

    fn host(&mut self) {
        let host = self.host;
        self.add(host.containers.len());
        for container in host.containers.values() {
            self.container(container);
        }
        self.add((host.disk_full, host.volumes.len(), host.networks.len(), host.images.len()));
        for name in host.volumes.keys().chain(host.networks.keys()) {
            self.add(name);
        }
        for facts in host.images.values() {
            self.add((&facts.id, &facts.tags));
        }
        for (port, restarts) in &host.leaked {
            self.add((port.port, restarts));
        }
        for (due, call) in host.pending_calls() {
            self.add((due.saturating_sub(host.now), call.op()));
            match call.container() {
                Some(id) => {
                    let rank = self.rank(id);
                    self.add(rank);
                    // A policy or a name may be in it.
                    let text = format!("{call:?}").replace(&id.0, "");
                    self.add(text);
                }
                None => self.add(call.object()),
            }
        }
    }

    fn container(&mut self, container: &Container) {
        let host = self.host;
        self.add(&container.name);
        match &container.own {
            Some(own) => self.add((&own.service.service, own.slot, &own.revision)),
            None => self.add(0),
        }
        self.add((container.status, container.exit_code, container.oom_killed, container.manually_stopped));
        self.add((container.restart_count.min(12), container.backoff));
        // Without fields that hash: as text, they are short.
        let health = container.health as u8;
        self.add((health, format!("{:?}", container.restart)));
        self.stamp(container.started_at);
        self.stamp(container.finished_at);
        let settled = host.next_change().is_none();
        let age = host.now.saturating_sub(container.run_since);
        let known = container.check.is_none() && container.script.exits_after.is_none();
        let most = if known || settled { 10_000.max(self.monitor_ms) } else { 200_000 };
        if container.status.is_up() {
            self.add(age.min(most));
        }
        self.add(container.restart_at.map(|at| at.saturating_sub(host.now)));
        self.add(container.stopping.map(|stop| stop.due.saturating_sub(host.now)));
        for port in &container.held {
            self.add(port.port);
        }
        for (target, volume) in &container.volumes {
            self.add((target, volume));
        }
    }

    fn record(&mut self, record: &Record) {
        let Record {
            revisions,
            good,
            intent,
            wish,
            hold,
            unsettled,
            stopped,
            completed,
            rolling_back,
            awaiting,
            approved,
            hurried,
            hooks,
            to_greet,
            owed,
            containers,
            watch,
            started_under,
            told,
            adopted,
            applied,
            drift,
            replaced,
            replaced_for,
            source: _,
            sequence: _,
        } = record;
        self.add((revisions.len(), hold.is_some(), started_under.len()));
        for kept in revisions {
            let verdict = match kept.verdict {
                RevisionVerdict::Candidate => 0,
                RevisionVerdict::Good => 1,
                RevisionVerdict::Rejected { .. } => 2,
            };
            self.add((&kept.id, verdict, kept.evidence.is_some(), kept.pulled));
        }
        self.add((good, intent, wish, completed, rolling_back));
        for note in unsettled {
            let rank = self.rank(&note.container);
            self.add((rank, note.op as u8));
            self.session(note.session);
            self.stamp(note.started_at);
        }
        for (mark, ids) in [(100, stopped), (101, containers)] {
            self.add(mark);
            for id in ids {
                let rank = self.rank(id);
                self.add(rank);
            }
        }
        self.add(watch.as_ref().map(|watch| (&watch.revision, &watch.previous)));
        self.add((
            awaiting.as_ref().map(|waiting| (&waiting.revision, waiting.window)),
            approved,
            hurried,
            owed,
        ));
        for run in hooks {
            let rank = run.key.container.as_ref().map(|id| self.rank(id));
            self.add((run.key.point, run.key.index, &run.key.revision, rank));
            self.add((run.exec.is_some(), run.end.is_some(), run.failed()));
        }
        for id in to_greet {
            let rank = self.rank(id);
            self.add((102, rank));
        }
        for (id, files) in told {
            let rank = self.rank(id);
            self.add((103, rank, files));
        }
        for (mark, ids) in [(104, adopted), (105, replaced)] {
            for (id, text) in ids {
                let rank = self.rank(id);
                self.add((mark, rank, text));
            }
        }
        // Of what is in effect a specification here differs in the restart policy and the networks only.
        for (id, Applied { live, networks }) in applied {
            let rank = self.rank(id);
            self.add((106, rank, networks, format!("{:?}", live.restart), live.networks.len()));
        }
        self.add((drift.len(), replaced_for.len()));
        for (path, at) in replaced_for {
            self.add(path);
            self.stamp(Some(*at));
        }
    }

    fn memo(&mut self, memo: &Memo) {
        let Memo {
            gates,
            starts,
            pull,
            pulled,
            trouble,
            housekeeping,
            watch_since,
            watch_base,
            watch_starts,
            waiting_since,
            remade,
            slot_passed_at,
            hooks,
            fights,
            rollout_since: _,
        } = memo;
        self.add(hooks.len());
        for (group, fight) in fights {
            self.add((*group as u8, fight.count.min(12)));
            self.ago(fight.last, 3_600_000);
        }
        for (id, window) in gates {
            let rank = self.rank(id);
            self.add((rank, window.passed, window.ended, window.restart_count.min(12)));
            self.session(window.session);
            self.stamp(window.started_at);
            let most = self.monitor_ms;
            self.ago(window.since, most);
        }
        for (id, attempts) in starts {
            let rank = self.rank(id);
            self.add(rank);
            self.attempts(Some(attempts), 600_000);
        }
        self.attempts(pull.as_ref(), 300_000);
        self.attempts(trouble.as_ref(), 60_000);
        self.attempts(housekeeping.as_ref(), 60_000);
        self.add(pulled.as_ref().map(|(reference, _)| reference));
        for at in [watch_since, waiting_since, slot_passed_at] {
            self.add(at.is_some());
            if let Some(at) = at {
                self.ago(*at, Limits::default().watch_ms);
            }
        }
        for (id, base) in watch_base {
            let rank = self.rank(id);
            self.add((rank, base));
        }
        self.add((watch_starts.min(&6), remade));
    }

    fn attempts(&mut self, attempts: Option<&Attempts>, most: u64) {
        self.add(
            attempts.map(|attempts| (attempts.count.min(8), attempts.kind as u8, attempts.text.is_empty())),
        );
        if let Some(attempts) = attempts {
            self.ago(attempts.last, most);
        }
    }
}
