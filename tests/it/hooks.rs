//! Hooks against the simulated engine, and evenkeel killed at every moment: before a decision is written down, after it, after each
//! act and after each answer. No hook that ended is run again, and none is left out.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel::controller::observe::{Surroundings, observe};
use evenkeel::desired::ident::ServiceId;
use evenkeel::desired::snapshot::{FileContent, HostFacts, RelPath, Snapshot};
use evenkeel::desired::{DesiredState, load};
use evenkeel::engine::sim::{Behaviour, Host, Sim};
use evenkeel::state::condition::{Condition, ConditionKind};
use evenkeel::state::decide::{Inputs, Limits, Removal, decide};
use evenkeel::state::lookups;
use evenkeel::state::plan::{Next, Step};
use evenkeel::state::record::{HistoryEntry, HistoryEvent, Memo, Record};
use evenkeel::state::settle::settle;
use evenkeel::state::time::{Mono, Now, Timestamp};

const OWNER: &str = "test";

fn wanted(body: &str) -> DesiredState {
    let text = format!("[services.web]\ndeploy.update_config.monitor = \"1s\"\n{body}\n");
    let path = RelPath::new("shop/web.toml").unwrap();
    let files = BTreeMap::from([(path, FileContent::Read(text.into_bytes().into()))]);
    let snapshot = Snapshot { files, root: "/desired".to_owned(), ..Snapshot::default() };
    let host = HostFacts { name: "fra1".to_owned(), ..HostFacts::default() };
    let (state, diagnostics) = load(&snapshot, &host);
    let told: Vec<String> = diagnostics.iter().map(|found| found.headline()).collect();
    assert!(told.is_empty(), "{told:#?}\n{body}");
    state
}

/// One service on a simulated engine, with what is durable and what a process remembers.
#[derive(Clone)]
struct World {
    sim: Host,
    durable: Record,
    /// Lost with the process.
    record: Record,
    memo: Memo,
    now: u64,
    history: Vec<HistoryEntry>,
    /// Starts of containers of hooks, by name.
    starts: Vec<String>,
    /// Moments left until the process is killed; `None`: it lives on.
    kill_in: Option<usize>,
    /// Moments passed.
    moments: usize,
}

/// The process was killed.
struct Killed;

impl World {
    fn new(scripts: &[(&str, Behaviour)]) -> Self {
        let mut sim = Host::any_image();
        sim.scripts.extend(scripts.iter().map(|(image, script)| ((*image).to_owned(), script.clone())));
        let (record, memo) = (Record::default(), Memo::default());
        Self {
            sim,
            durable: record.clone(),
            record,
            memo,
            now: 1_000_000,
            history: Vec::new(),
            starts: Vec::new(),
            kill_in: None,
            moments: 0,
        }
    }

    fn moment(&mut self) -> Result<(), Killed> {
        self.moments += 1;
        if self.kill_in == Some(self.moments) {
            self.record = self.durable.clone();
            self.memo = Memo::default();
            return Err(Killed);
        }
        Ok(())
    }

    fn now(&self) -> Now {
        Now { mono: Mono(self.now), wall: Timestamp(1_800_000_000_000 + i64::try_from(self.now).unwrap()) }
    }

    fn pass(&mut self, time: &mut u64) {
        let before = self.sim.now;
        self.sim.advance(*time);
        self.now += self.sim.now - before;
        *time = 0;
    }

    /// One decision and its plan; `None`: nothing is due.
    fn round(&mut self, state: &DesiredState) -> Result<(Next, Condition), Killed> {
        let id = ServiceId::new("shop", "web").unwrap();
        let desired = state.services.get(&id);
        for network in state.networks.values() {
            if !self.sim.networks.values().any(|known| known.name == network.name) {
                self.sim.create_network(network, OWNER).unwrap();
            }
        }
        let wanted = lookups(&id, desired, &self.record, self.now());
        let surroundings = Surroundings {
            session: self.sim.session,
            recorded: &self.record.containers,
            dependencies: BTreeMap::new(),
            parent: None,
            tied: BTreeMap::default(),
            disk_free: None,
        };
        let sim = Sim::from(self.sim.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let observed = runtime.block_on(observe(&sim, OWNER, &id, &wanted, surroundings)).unwrap();
        let decision = decide(Inputs {
            id: &id,
            owner: OWNER,
            desired,
            removal: Removal::Allowed,
            paused: None,
            window: None,
            observed: &observed,
            record: &self.record,
            memo: &self.memo,
            refs_in_use: &BTreeSet::new(),
            now: self.now(),
            limits: Limits::default(),
        });
        self.moment()?;
        self.durable = decision.record.clone();
        self.record = decision.record;
        self.memo = decision.memo;
        self.history.extend(decision.history);
        self.moment()?;
        for planned in &decision.plan {
            if let Step::Start { id } = &planned.step
                && let Some(hook) = observed.hooks.iter().find(|found| found.id == *id)
            {
                self.starts.push(hook.labels.hook.clone().unwrap());
            }
            let before = self.sim.now;
            let outcome = self.sim.take(&planned.step, OWNER);
            self.now += self.sim.now - before;
            self.moment()?;
            let session = self.sim.session;
            let now = self.now();
            let lines = settle(&mut self.record, &mut self.memo, planned, &outcome, session, now);
            self.history.extend(lines);
            self.durable = self.record.clone();
            self.moment()?;
            if matches!(outcome, evenkeel::state::plan::Outcome::Failed { .. }) {
                return Ok((Next::Again, decision.condition));
            }
        }
        Ok((decision.next, decision.condition))
    }

    /// Rounds until nothing is due within a minute; a process that was killed is followed by another one.
    fn settle(&mut self, state: &DesiredState) -> Condition {
        for _ in 0..400 {
            match self.round(state) {
                Err(Killed) => {}
                Ok((Next::Again, _)) => {}
                Ok((Next::AwaitChange, condition)) => return condition,
                Ok((Next::At(at), condition)) => {
                    let mut wait = at.since(Mono(self.now)).max(1);
                    if wait > 60_000 && condition.kind.is_settled() {
                        return condition;
                    }
                    self.pass(&mut wait);
                }
            }
        }
        panic!("it never settles: {:?}", self.history.last());
    }

    /// Commands that were started in containers.
    fn commands(&self) -> Vec<String> {
        let mut all = self.sim.commands_run();
        all.sort();
        all
    }

    fn told(&self, event: HistoryEvent) -> Vec<&str> {
        self.history.iter().filter(|line| line.event == event).map(|line| line.reason.as_str()).collect()
    }
}

/// The same from a world of before, killed at every moment there is on the way.
fn killed_everywhere(before: &World, state: &DesiredState, check: impl Fn(&World, &Condition, usize)) {
    let mut whole = before.clone();
    whole.moments = 0;
    let condition = whole.settle(state);
    check(&whole, &condition, 0);
    assert!(whole.moments > 8, "only {} moments", whole.moments);
    for moment in 1..=whole.moments {
        let mut world = before.clone();
        world.moments = 0;
        world.kill_in = Some(moment);
        let condition = world.settle(state);
        check(&world, &condition, moment);
    }
}

fn takes(commands: &[(&str, u64, i64)]) -> Behaviour {
    let commands = commands.iter().map(|(program, ms, code)| ((*program).to_owned(), (*ms, *code)));
    Behaviour { commands: commands.collect(), ..Behaviour::default() }
}

const MIGRATES: &str = "pre_start = [{ command = \"migrate up\" }, { command = \"seed\" }]";

#[test]
fn steps_before_a_version_run_once_each_wherever_evenkeel_is_killed() {
    let state =
        wanted(&format!("image = \"web:1\"\nreplicas = 2\n{MIGRATES}").replace("replicas = 2", "scale = 2"));
    let before = World::new(&[("web:1", takes(&[("migrate", 5_000, 0), ("seed", 0, 0)]))]);
    killed_everywhere(&before, &state, |world, condition, moment| {
        assert_eq!(condition.kind, ConditionKind::Ready, "killed at {moment}: {condition:?}");
        let (mut starts, all) = (world.starts.clone(), world.starts.len());
        starts.dedup();
        assert_eq!(starts, ["pre-start-1", "pre-start-2"], "killed at {moment}");
        // A start whose answer was lost is asked for again, of a container that never ran.
        assert!(all <= 3, "killed at {moment}: {all} starts");
        assert!(!world.sim.containers.values().any(|one| one.name.contains("pre-start")), "left behind");
        assert_eq!(world.sim.containers.len(), 2);
    });
}

#[test]
fn a_step_that_fails_is_a_failed_update_and_is_kept_for_its_log() {
    let script = takes(&[("migrate", 1_000, 3)]);
    let mut before = World::new(&[("web:2", script)]);
    before.settle(&wanted("image = \"web:1\""));
    let old: Vec<_> = before.sim.containers.keys().cloned().collect();
    let state = wanted(&format!("image = \"web:2\"\n{MIGRATES}"));
    killed_everywhere(&before, &state, |world, condition, moment| {
        assert_eq!(condition.kind, ConditionKind::RolledBack, "killed at {moment}");
        assert!(condition.message.contains("pre_start 1 ended with 3"), "{}", condition.message);
        assert!(world.sim.containers.values().any(|one| one.name.starts_with("shop-web-pre-start-1.")));
        let serves = world.sim.containers.get(&old[0]).unwrap();
        assert!(serves.is_running() && serves.restart_count == 0, "the old one never stopped");
        assert!(!world.starts.contains(&"pre-start-2".to_owned()));
    });
    // What failed is run again when somebody asks for it, and what is left of it goes.
    let mut world = before.clone();
    world.settle(&state);
    world.sim.scripts.insert("web:2".to_owned(), Behaviour::default());
    let (record, _) = evenkeel::state::operator::retry(&world.record, Timestamp(0)).unwrap();
    world.record = record.clone();
    world.durable = record;
    assert_eq!(world.settle(&state).kind, ConditionKind::Ready);
    assert!(!world.sim.containers.values().any(|one| one.name.contains("pre-start")), "left behind");
}

#[test]
fn commands_after_a_start_and_before_a_stop_run_once_each_wherever_evenkeel_is_killed() {
    let body = |tag: u32| {
        format!(
            "image = \"web:{tag}\"\nstop_grace_period = \"20s\"\npost_start = [{{ command = \"warm {tag}\" }}]\npre_stop = [{{ command = \"drain {tag}\" }}]"
        )
    };
    let script = || takes(&[("warm", 2_000, 0), ("drain", 3_000, 0)]);
    let mut before = World::new(&[("web:1", script()), ("web:2", script())]);
    assert_eq!(before.settle(&wanted(&body(1))).kind, ConditionKind::Ready);
    assert_eq!(before.commands(), ["warm 1"]);
    killed_everywhere(&before, &wanted(&body(2)), |world, condition, moment| {
        assert_eq!(condition.kind, ConditionKind::Ready, "killed at {moment}: {condition:?}");
        assert_eq!(world.commands(), ["drain 1", "warm 1", "warm 2"], "killed at {moment}");
    });
}

#[test]
fn a_command_after_the_start_that_fails_is_a_failed_update() {
    let body = |tag: u32| format!("image = \"web:{tag}\"\npost_start = [{{ command = \"warm {tag}\" }}]");
    let mut before = World::new(&[("web:2", takes(&[("warm", 0, 7)]))]);
    before.settle(&wanted(&body(1)));
    killed_everywhere(&before, &wanted(&body(2)), |world, condition, moment| {
        assert_eq!(condition.kind, ConditionKind::RolledBack, "killed at {moment}: {condition:?}");
        assert!(condition.message.contains("post_start 1 ended with 7"), "{}", condition.message);
        let up: Vec<_> = world.sim.containers.values().filter(|one| one.is_running()).collect();
        assert_eq!(up.len(), 1);
    });
}

#[test]
fn a_command_before_the_stop_that_hangs_or_fails_never_keeps_anything_from_stopping() {
    for (ms, code) in [(3_600_000, 0), (0, 1)] {
        let body = |tag: u32| {
            format!(
                "image = \"web:{tag}\"\nstop_grace_period = \"10s\"\npre_stop = [{{ command = \"drain\" }}]"
            )
        };
        let mut before = World::new(&[("web:1", takes(&[("drain", ms, code)]))]);
        before.settle(&wanted(&body(1)));
        killed_everywhere(&before, &wanted(&body(2)), |world, condition, moment| {
            assert_eq!(condition.kind, ConditionKind::Ready, "killed at {moment}: {condition:?}");
            let failed = world.told(HistoryEvent::HookFailed);
            assert!(moment > 0 || failed.len() == 1, "{failed:?}");
        });
        let started = before.now;
        let mut world = before.clone();
        world.settle(&wanted(&body(2)));
        assert!(world.now - started < 60_000, "{} ms", world.now - started);
    }
}

const AROUND: &str = "\
[services.web.hooks]
before_update = [{ command = \"backup\" }]
before_switch = [{ command = \"smoke\" }]
after_update = [{ command = \"announce\" }]
after_rollback = [{ command = \"back\" }]
on_failure = [{ command = \"page\" }]";

#[test]
fn hooks_around_an_update_run_once_each_wherever_evenkeel_is_killed() {
    for order in ["stop-first", "start-first"] {
        let body =
            |tag: u32| format!("image = \"web:{tag}\"\ndeploy.update_config.order = \"{order}\"\n{AROUND}");
        let mut before = World::new(&[]);
        assert_eq!(before.settle(&wanted(&body(1))).kind, ConditionKind::Ready);
        assert_eq!(before.commands(), [""; 0], "nothing was updated");
        killed_everywhere(&before, &wanted(&body(2)), |world, condition, moment| {
            assert_eq!(condition.kind, ConditionKind::Ready, "killed at {moment}: {condition:?}");
            assert_eq!(world.commands(), ["announce", "backup", "smoke"], "{order}, killed at {moment}");
        });
    }
}

#[test]
fn a_smoke_test_that_fails_is_a_failed_update_and_leads_back() {
    for order in ["stop-first", "start-first"] {
        let body =
            |tag: u32| format!("image = \"web:{tag}\"\ndeploy.update_config.order = \"{order}\"\n{AROUND}");
        let mut before = World::new(&[("web:2", takes(&[("smoke", 500, 1)]))]);
        before.settle(&wanted(&body(1)));
        killed_everywhere(&before, &wanted(&body(2)), |world, condition, moment| {
            assert_eq!(
                condition.kind,
                ConditionKind::RolledBack,
                "{order}, killed at {moment}: {condition:?}"
            );
            assert!(condition.message.contains("before_switch 1 ended with 1"), "{}", condition.message);
            assert_eq!(world.commands(), ["back", "backup", "page", "smoke"], "{order}, killed at {moment}");
        });
    }
}

#[test]
fn on_error_continue_only_tells() {
    let body = |tag: u32| {
        format!(
            "image = \"web:{tag}\"\n[services.web.hooks]\nbefore_switch = [{{ command = \"smoke\", on_error = \"continue\" }}]"
        )
    };
    let mut world = World::new(&[("web:2", takes(&[("smoke", 500, 1)]))]);
    world.settle(&wanted(&body(1)));
    assert_eq!(world.settle(&wanted(&body(2))).kind, ConditionKind::Ready);
    assert_eq!(world.told(HistoryEvent::HookFailed), ["before_switch 1 ended with 1"]);
}

#[test]
fn a_hook_with_an_image_runs_in_a_container_of_its_own() {
    let body = |tag: u32| {
        format!(
            "image = \"web:{tag}\"\nports = [\"8080:80\"]\nlabels = {{ \"traefik.enable\" = \"true\" }}\n[services.web.hooks]\nbefore_update = [{{ command = \"dump all\", image = \"backup:1\", environment = {{ DEPTH = 2 }} }}]"
        )
    };
    let mut world = World::new(&[("backup:1", takes(&[("dump", 30_000, 0)]))]);
    world.settle(&wanted(&body(1)));
    let state = wanted(&body(2));
    let seen = loop {
        let _ = world.round(&state);
        if let Some(one) = world.sim.containers.values().find(|one| one.name.contains("before-update")) {
            break one.clone();
        }
    };
    assert!(seen.ports.is_empty(), "what serves publishes the port");
    assert!(!seen.labels.contains_key("traefik.enable"), "nobody may route to it");
    assert_eq!(seen.labels.get("com.docker.compose.oneoff").map(String::as_str), Some("True"));
    assert!(seen.networks.values().all(|joined| joined.aliases.is_empty()), "the name is that of who serves");
    assert_eq!(world.settle(&state).kind, ConditionKind::Ready);
    assert_eq!(world.sim.containers.values().filter(|one| one.name.contains("before-update")).count(), 0);
}

#[test]
fn a_step_that_takes_too_long_is_stopped_and_has_failed() {
    let mut world = World::new(&[("web:2", takes(&[("migrate", 3_600_000, 0)]))]);
    world.settle(&wanted("image = \"web:1\""));
    let state = wanted("image = \"web:2\"\npre_start = [{ command = \"migrate\", timeout = \"30s\" }]");
    let condition = world.settle(&state);
    assert_eq!(condition.kind, ConditionKind::RolledBack);
    assert!(condition.message.contains("pre_start 1 did not end in time"), "{}", condition.message);
    assert!(!world.sim.containers.values().any(|one| one.name.contains("pre-start") && one.is_running()));
}

#[test]
fn hooks_of_a_service_that_goes_go_with_it() {
    let mut world = World::new(&[("web:2", takes(&[("migrate", 0, 1)]))]);
    world.settle(&wanted("image = \"web:1\""));
    world.settle(&wanted(&format!("image = \"web:2\"\n{MIGRATES}")));
    assert!(world.sim.containers.values().any(|one| one.name.contains("pre-start")));
    let nothing = wanted("image = \"web:1\"\nprofiles = [\"elsewhere\"]");
    assert_eq!(world.settle(&nothing).kind, ConditionKind::Removed);
    assert!(world.sim.containers.is_empty());
}
