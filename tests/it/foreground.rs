//! `apply` and `plan` on the simulated engine, in virtual time.

use evenkeel::controller::apply::ApplyOutcome;
use evenkeel::controller::preview::ServiceAction;
use evenkeel::engine::sim::{Behaviour, Op};
use evenkeel::state::plan::Failure;

use crate::rig::{Rig, id};

const WEB: &str = "[services.web]\nimage = \"web:1\"\n";

#[tokio::test(start_paused = true)]
async fn apply_converges_and_a_second_one_does_nothing() {
    let rig = Rig::new();
    let report = rig.apply(WEB).await;
    assert_eq!(report.outcome, ApplyOutcome::Converged, "{report:#?}");
    assert_eq!(rig.containers(), ["shop-web-1 web:1 running"]);
    let steps: Vec<&str> = report.actions.iter().map(|action| action.step.as_str()).collect();
    assert!(steps.contains(&"pull web:1") && steps.contains(&"start shop-web-1"), "{steps:?}");
    let again = rig.apply(WEB).await;
    assert_eq!((again.outcome, again.actions), (ApplyOutcome::Converged, Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn apply_tells_a_revision_that_was_put_back() {
    let rig = Rig::new();
    rig.script("web:2", Behaviour::exits(100, 1));
    rig.apply(WEB).await;
    let report = rig.apply(&WEB.replace("web:1", "web:2")).await;
    assert_eq!(report.outcome, ApplyOutcome::RolledBack, "{report:#?}");
    assert_eq!(rig.containers(), ["shop-web-1 web:1 running"]);
}

#[tokio::test(start_paused = true)]
async fn apply_fails_when_the_first_revision_does() {
    let rig = Rig::new();
    rig.script("web:1", Behaviour::cannot_start(Failure::Invalid, "exec: \"wbe\": not found"));
    assert_eq!(rig.apply(WEB).await.outcome, ApplyOutcome::Failed);
}

#[tokio::test(start_paused = true)]
async fn apply_stops_waiting_at_its_deadline() {
    let rig = Rig::new();
    rig.script("web:1", Behaviour::never_healthy());
    let text = format!(
        "{WEB}[services.web.healthcheck]\ntest = [\"CMD\", \"true\"]\ninterval = \"5s\"\nstart_period = \"5m\"\n"
    );
    let report = rig.apply_with(&text, |application| application.deadline_ms = 20_000).await;
    assert_eq!(report.outcome, ApplyOutcome::TimedOut, "{report:#?}");
}

#[tokio::test(start_paused = true)]
async fn apply_removes_what_left_the_files_after_reading_them_again() {
    let rig = Rig::new();
    let both = format!("{WEB}[services.db]\nimage = \"db:1\"\n");
    rig.apply(&both).await;
    let cut = rig.apply_with(WEB, |application| application.unchanged = Box::new(|| false)).await;
    assert!(rig.containers().len() == 2, "files that changed meanwhile removed something: {cut:#?}");
    let report = rig.apply(WEB).await;
    assert_eq!(report.outcome, ApplyOutcome::Converged, "{report:#?}");
    assert_eq!(rig.containers(), ["shop-web-1 web:1 running"]);
}

#[tokio::test(start_paused = true)]
async fn apply_of_an_empty_state_is_refused_until_its_token_is_given() {
    let rig = Rig::new();
    rig.apply(WEB).await;
    let report = rig.apply("").await;
    assert_eq!(report.outcome, ApplyOutcome::Refused, "{report:#?}");
    let token = report.guard.unwrap().token;
    let report = rig.apply_with("", |application| application.consent = Some(token)).await;
    assert_eq!(report.outcome, ApplyOutcome::Converged, "{report:#?}");
    assert!(rig.containers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn apply_of_one_service_brings_what_it_needs_and_leaves_the_others() {
    let rig = Rig::new();
    let text = format!(
        "{WEB}depends_on = [\"db\"]\n[services.db]\nimage = \"db:1\"\n[services.other]\nimage = \"other:1\"\n"
    );
    let report = rig.apply_with(&text, |application| application.only.extend([id("web")])).await;
    assert_eq!(report.outcome, ApplyOutcome::Converged, "{report:#?}");
    assert_eq!(rig.containers(), ["shop-db-1 db:1 running", "shop-web-1 web:1 running"]);
}

#[tokio::test(start_paused = true)]
async fn a_foreign_volume_fails_what_needs_it_without_waiting_for_the_deadline() {
    let rig = Rig::new();
    let text = format!("{WEB}volumes = [\"data:/data\"]\n[volumes.data]\nexternal = true\n");
    let began = tokio::time::Instant::now();
    let report = rig.apply(&text).await;
    assert_eq!(report.outcome, ApplyOutcome::Failed, "{report:#?}");
    assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_plan_on_a_settled_host_is_empty() {
    let rig = Rig::new();
    rig.apply(WEB).await;
    let plan = rig.plan(WEB).await;
    assert!(!plan.pending(), "{plan:#?}");
    assert_eq!(plan.services[0].action, ServiceAction::None);
    // Also while the last replacement is still being watched.
    rig.apply(&WEB.replace("web:1", "web:2")).await;
    let plan = rig.plan(&WEB.replace("web:1", "web:2")).await;
    assert!(!plan.pending(), "{plan:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_plan_tells_what_would_be_done_and_does_none_of_it() {
    let rig = Rig::new();
    rig.apply(WEB).await;
    let before = rig.sim.with(|host| (host.writes(), host.fingerprint()));
    let text =
        format!("{}ports = [\"8080:80\"]\n[services.db]\nimage = \"db:1\"\n", WEB.replace("web:1", "web:2"));
    let plan = rig.plan(&text).await;
    assert_eq!(rig.sim.with(|host| (host.writes(), host.fingerprint())), before, "plan wrote");
    assert!(plan.pending());
    let row = |name: &str| plan.services.iter().find(|row| row.service == format!("shop/{name}")).unwrap();
    assert_eq!(row("db").action, ServiceAction::Create);
    let web = row("web");
    assert_eq!(web.action, ServiceAction::Replace);
    assert!(web.order.as_ref().unwrap().starts_with("stop-first: "), "{:?}", web.order);
    let paths: Vec<&str> = web.differences.iter().map(|field| field.path.as_str()).collect();
    assert!(paths.contains(&"image") && paths.contains(&"ports"), "{paths:?}");
    let at = |step: &str| {
        let found = web.steps.iter().position(|row| row.step.starts_with(step));
        found.unwrap_or_else(|| panic!("no `{step}` in {:#?}", web.steps))
    };
    assert!(at("create ") < at("stop shop-web-1"), "the successor is made before anything is stopped");
    assert_eq!(plan.assumed_images, ["db:1", "web:2"]);
    assert!(serde_json::to_string(&plan).unwrap().contains("stop-first"));
}

#[tokio::test(start_paused = true)]
async fn a_plan_shows_removals_and_what_the_guard_refuses() {
    let rig = Rig::new();
    let both = format!("{WEB}[services.db]\nimage = \"db:1\"\n");
    rig.apply(&both).await;
    let plan = rig.plan(WEB).await;
    let db = plan.services.iter().find(|row| row.service == "shop/db").unwrap();
    assert_eq!(db.action, ServiceAction::Remove, "{plan:#?}");
    let plan = rig.plan("").await;
    assert!(plan.services.iter().all(|row| row.action == ServiceAction::Refused), "{plan:#?}");
    assert_eq!(plan.guard.as_ref().unwrap().services.len(), 2);
    assert!(!plan.pending());
    assert_eq!(rig.sim.with(|host| host.calls(Op::Remove)), 0);
}

#[tokio::test(start_paused = true)]
async fn apply_removes_the_network_that_its_last_service_left_behind() {
    let rig = Rig::new();
    rig.apply(WEB).await;
    let networks = || rig.sim.with(|host| host.networks_named("shop_default").unwrap().len());
    assert_eq!(networks(), 1);
    let token = rig.apply("").await.guard.unwrap().token;
    let report = rig.apply_with("", |application| application.consent = Some(token)).await;
    assert_eq!((rig.containers().len(), networks()), (0, 0), "{report:#?}");
    // One that was left behind by an `apply` that was cut short goes with the next.
    rig.apply(WEB).await;
    let token = rig.apply("").await.guard.unwrap().token;
    rig.apply_with("", |application| {
        application.consent = Some(token);
        application.deadline_ms = 10_100;
    })
    .await;
    let report = rig.apply("").await;
    assert_eq!((rig.containers().len(), networks()), (0, 0), "{report:#?}");
}
