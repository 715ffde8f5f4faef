//! One story from its beginning to its verdict.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use evenkeel::desired::ident::ServiceId;
use evenkeel::engine::sim::{Host, Op};
use evenkeel::metrics::api::{Api, Command};
use evenkeel::state::condition::ConditionKind;

use super::acts::Deed;
use super::log;
use super::oracle::{Ending, Fit, fit, judge};
use super::play::Play;
use super::story::Story;

/// Milliseconds that a host at rest is watched.
const HOUR: u64 = 3_600_000;

/// What became of a story.
#[derive(Debug, Default)]
pub struct Verdict {
    pub violations: Vec<String>,
    pub trace: Vec<String>,
    pub digest: u64,
    pub ending: Ending,
    pub creates: BTreeMap<String, u32>,
    /// Starts and promotions whose answer never came.
    pub open: BTreeMap<String, u32>,
    /// Calls that went wrong.
    pub fired: Vec<u64>,
    pub calls: u64,
    pub virtual_ms: u64,
}

/// Plays one story. `loud`: what evenkeel logs is in the trace too.
pub fn run(story: &Story, loud: bool) -> Verdict {
    fastrand::seed(story.seed);
    let story = Arc::new(story.clone());
    let log = log::Log::new(loud);
    let played = catch_unwind(AssertUnwindSafe(|| {
        let _guard = log.listen();
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(play(Arc::clone(&story), &log))
    }));
    played.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "a panic".to_owned());
        Verdict { violations: vec![format!("the simulation panicked: {text}")], ..Verdict::default() }
    })
}

/// Plays a story, and where it allows that, the same one without faults, which must end alike.
pub fn prove(story: &Story, loud: bool) -> Verdict {
    let mut verdict = run(story, loud);
    if !(verdict.violations.is_empty() && story.pure && story.paced) {
        return verdict;
    }
    let calm = run(&story.without_faults(), false);
    if calm.violations.is_empty() {
        verdict.violations.extend(differences(&calm, &verdict));
    } else {
        verdict.violations.extend(calm.violations.iter().map(|text| format!("without any fault: {text}")));
        verdict.trace = calm.trace;
    }
    verdict
}

/// The differential oracle: the same end, and the same number of containers made, but for those that an unanswered start explains: such a
/// container has to go before another one gets what it would hold, and a new one is made when it is needed again.
fn differences(calm: &Verdict, faulty: &Verdict) -> Vec<String> {
    let mut found = Vec::new();
    if calm.ending != faulty.ending {
        found.push(format!(
            "without faults it ends otherwise:\n{:#?}\nand with them:\n{:#?}",
            calm.ending, faulty.ending
        ));
    }
    for service in calm.creates.keys().chain(faulty.creates.keys()) {
        let of = |verdict: &Verdict| verdict.creates.get(service).copied().unwrap_or(0);
        let explained = faulty.open.get(service).copied().unwrap_or(0);
        if of(faulty) < of(calm) || of(faulty) > of(calm) + explained {
            found.push(format!(
                "{service}: {} containers were made, and without faults {}; {explained} starts without an answer",
                of(faulty),
                of(calm)
            ));
        }
    }
    found.dedup();
    found
}

async fn play(story: Arc<Story>, log: &log::Log) -> Verdict {
    let mut play = Play::begin(Arc::clone(&story)).await;
    log.attach(&play.world);
    if story.paced {
        play.rest().await;
    }
    for act in &story.acts {
        play.pass_time(act.gap).await;
        play.act(&act.deed).await;
        if story.paced && matches!(act.deed, Deed::Edit(_)) && !play.rest().await {
            play.world.tell("(it did not come to rest between two edits)".to_owned());
        }
    }
    play.pass_time(5_000).await;
    calm_down(&mut play).await;
    settle(&mut play).await;
    let world = Arc::clone(&play.world);
    let ending = Ending::of(&play);
    let virtual_ms = play.now();
    let digest = world.digest();
    drop(play);
    world.with(|state| Verdict {
        violations: std::mem::take(&mut state.violations),
        trace: std::mem::take(&mut state.trace),
        digest,
        ending,
        creates: state.creates.clone(),
        open: state.open.clone(),
        fired: state.fired.clone(),
        calls: state.calls(),
        virtual_ms,
    })
}

/// Faults stop, and people put right what only people can.
async fn calm_down(play: &mut Play) {
    play.world.tell("* faults stop".to_owned());
    play.world.with(|state| {
        state.faulty = false;
        (state.unwritable, state.disk_low) = (false, false);
        state.panics.clear();
        state.hung.clear();
    });
    while let Some(entry) = play.ends.first_entry() {
        entry.remove()(play);
    }
    play.world.change_files(|files| files.mend());
    play.world.sim.with(|host| {
        host.calm();
        host.disk_full = false;
        host.registry.down = false;
    });
    play.pass_time(120_000).await;
    // A port that a killed engine leaked is free after its second restart, which the condition asks for.
    for _ in 0..2 {
        if play.world.sim.with(|host| host.alive && !host.leaked.is_empty()) {
            play.world.tell("* the engine is restarted because of a leaked port".to_owned());
            play.world.disturb_all(false);
            play.world.sim.with(Host::restart_orderly);
            play.pass_time(60_000).await;
        }
    }
    if story_forgets(play) {
        // Renamed by a person and forgotten by evenkeel: nobody's but that person's.
        play.world.sim.with(|host| {
            let renamed = host.containers.values().filter(|one| one.name.starts_with("renamed-"));
            let renamed: Vec<_> = renamed.map(|one| one.id.clone()).collect();
            renamed.iter().for_each(|id| host.docker_rm_f(id));
        });
    }
    let strangers: Vec<_> = play.world.with(|state| state.foreign.keys().cloned().collect());
    play.world.sim.with(|host| {
        for (id, one) in host.containers.clone() {
            if one.status == evenkeel::state::observed::ContainerStatus::Paused && !strangers.contains(&id) {
                host.docker_unpause(&id);
            }
        }
    });
    play.pass_time(30_000).await;
    obey_the_files(play).await;
}

fn story_forgets(play: &Play) -> bool {
    play.world.story.acts.iter().any(|act| matches!(act.deed, Deed::KillAndForget(_)))
}

/// The operator lets the files decide: no hold stays, and removals are consented to.
async fn obey_the_files(play: &mut Play) {
    for service in play.world.story.services.clone() {
        command(play, &service.project, &service.name, Command::Release).await;
    }
    for _ in 0..4 {
        play.pass_time(30_000).await;
        if let Some(guard) = play.report().and_then(|report| report.host.guard)
            && let Some(controller) = &play.controller
        {
            play.world.tell(format!("* approve {}", guard.token));
            let _ = controller.handle.approve(&guard.token).await;
        }
    }
}

async fn command(play: &Play, project: &usize, name: &str, command: Command) {
    let Some(controller) = &play.controller else { return };
    let id = ServiceId::new(&format!("p{project}"), name).unwrap();
    let answer = controller.handle.command(&id, command).await;
    if let Ok(accepted) = answer {
        play.world.tell(format!("* {}", accepted.message));
    }
}

async fn settle(play: &mut Play) {
    if !play.rest().await {
        let row = |row: &evenkeel::state::condition::ServiceStatus| {
            format!("{} {} {}", row.service, row.condition.reason, row.condition.message)
        };
        let report = play.report().map(|report| report.services.iter().map(row).collect::<Vec<_>>());
        play.world.violated(format!("it never comes to rest (I16): {report:#?}"));
        return;
    }
    if retry_what_others_broke(play).await && !play.rest().await {
        play.world.violated("it never comes to rest after a retry (I16)".to_owned());
        return;
    }
    for text in judge(play).await {
        play.world.violated(text);
    }
    let writes = |host: &mut Host| host.writes() - host.calls(Op::Pull);
    let before = play.world.sim.with(writes);
    play.pass_time(HOUR).await;
    let after = play.world.sim.with(writes);
    if after != before {
        play.world.violated(format!("{} calls in an hour on a host at rest (I9)", after - before));
    }
}

/// A revision that can serve and was rejected: only because of what somebody else did to it. Then the operator says `retry`.
async fn retry_what_others_broke(play: &mut Play) -> bool {
    let Some(report) = play.report() else { return false };
    let files = play.world.files().1;
    let blamed = play.world.with(|state| state.blamed.clone());
    let mut retried = false;
    for (index, service) in files.defined.clone().iter().enumerate() {
        let row = report.services.iter().find(|row| row.service == service.id());
        let Some(row) = row else { continue };
        let failed = matches!(row.condition.kind, ConditionKind::RolledBack | ConditionKind::Failed);
        let can_serve = matches!(fit(&play.world.story, &files, &blamed, index), Fit::Firm);
        if !failed || !can_serve || row.condition.reason == "DependencyTimeout" {
            continue;
        }
        if !blamed.contains(&service.id()) {
            play.world.violated(format!(
                "{}: a revision that can serve was rejected: {}",
                service.id(),
                row.condition.message
            ));
        }
        command(play, &service.project, &service.name, Command::Retry).await;
        retried = true;
    }
    retried
}
