//! The daemon on the simulated engine, in virtual time.

use std::sync::atomic::Ordering;

use evenkeel::controller::records::Records;
use evenkeel::controller::run::ExitReason;
use evenkeel::controller::trigger::Signal;
use evenkeel::engine::sim::{Behaviour, Fault, Op, Profile};
use evenkeel::metrics::api::{Api, Command};
use evenkeel::source::SourceError;
use evenkeel::state::condition::ConditionKind;
use evenkeel::state::observed::ContainerStatus;
use evenkeel::state::plan::Failure;

use crate::rig::{Rig, Running, id, shop, snapshot};

fn web(image: &str) -> String {
    format!("[services.web]\nimage = \"{image}\"\n")
}

fn services(names: &[&str]) -> String {
    names.iter().map(|name| format!("[services.{name}]\nimage = \"{name}:1\"\n")).collect()
}

#[tokio::test(start_paused = true)]
async fn an_edit_replaces_the_container_and_keeps_the_old_one_aside() {
    let running = Rig::new().with(&web("web:1")).await;
    running.until_serves("web", "web:1").await;
    running.feed(shop(&web("web:2")));
    running.until_serves("web", "web:2").await;
    running.pass_time(2_000).await;
    assert_eq!(running.rig.containers(), ["shop-web-1 web:2 running", "shop-web-1.* web:1 exited"]);
    // After the watch the old one goes, its image stays.
    running.pass_time(16 * 60_000).await;
    assert_eq!(running.rig.containers(), ["shop-web-1 web:2 running"]);
}

#[tokio::test(start_paused = true)]
async fn a_crashing_revision_is_rolled_back_and_not_tried_again_until_the_file_changes() {
    let rig = Rig::new();
    rig.script("web:2", Behaviour::exits(100, 1));
    let running = rig.with(&web("web:1")).await;
    running.until_serves("web", "web:1").await;
    running.feed(shop(&web("web:2")));
    running.until_condition("web", ConditionKind::RolledBack).await;
    assert_eq!(running.rig.containers(), ["shop-web-1 web:1 running"]);
    let created = running.sim(|host| host.calls(Op::Create));
    running.pass_time(3_600_000).await;
    assert_eq!(running.sim(|host| host.calls(Op::Create)), created, "a rejected revision was tried again");
    assert!(running.status("web").unwrap().rejected.is_some());
    running.feed(shop(&web("web:3")));
    running.until_serves("web", "web:3").await;
    // web:2 stays in the history as rejected; what is wanted now is not.
    assert_eq!(running.status("web").unwrap().rejected, None);
}

/// Each way back starts the good one again: that says nothing against it, however shortly it was committed before.
#[tokio::test(start_paused = true)]
async fn one_bad_update_after_the_other_leaves_what_serves_in_favour() {
    let rig = Rig::new();
    for number in 3..9 {
        rig.script(&format!("web:{number}"), Behaviour::exits(100, 1));
    }
    let running = rig.with(&web("web:1")).await;
    running.until_serves("web", "web:1").await;
    running.feed(shop(&web("web:2")));
    running.until_serves("web", "web:2").await;
    for number in 3..9 {
        let before = running.status("web").unwrap().rejected;
        running.feed(shop(&web(&format!("web:{number}"))));
        let back = |_: &_| {
            let status = running.status("web").unwrap();
            status.condition.kind == ConditionKind::RolledBack && status.rejected != before
        };
        running.until("it is rolled back", back).await;
        running.pass_time(1_000).await;
        assert_eq!(running.status("web").unwrap().image, "web:2", "after web:{number}");
    }
    running.pass_time(2_000).await;
    assert_eq!(running.rig.containers().first().map(String::as_str), Some("shop-web-1 web:2 running"));
}

#[tokio::test(start_paused = true)]
async fn the_cause_of_a_second_try_is_what_differs_from_the_first_also_when_none_was_ever_good() {
    let rig = Rig::new();
    rig.script("web:1", Behaviour::exits(100, 1));
    let running = rig.with(&web("web:1")).await;
    running.until_condition("web", ConditionKind::Failed).await;
    running.feed(shop(&web("web:2")));
    running.until_serves("web", "web:2").await;
    let history = running.rig.records.inner.history(Some(&id("web")), 100).await.unwrap();
    let reasons: Vec<&str> = history.iter().map(|(_, entry)| entry.reason.as_str()).collect();
    assert!(reasons.contains(&"image web:1 -> web:2 (shop/all.toml:1)"), "{reasons:?}");
}

#[tokio::test(start_paused = true)]
async fn a_container_that_was_stopped_and_lost_its_network_serves_again_on_every_engine() {
    for profile in [Profile::DOCKER_20_10, Profile::DOCKER_26_1, Profile::DOCKER_28_5] {
        let rig = Rig::new();
        rig.sim.with(|host| host.profile = profile);
        let running = rig.with("[services.web]\nimage = \"web:1\"\nrestart = \"always\"\n").await;
        running.until_serves("web", "web:1").await;
        let id = running.sim(|host| host.named("shop-web-1").unwrap().id.clone());
        running.sim(|host| {
            host.docker_stop(&id);
            host.network_prune();
        });
        running
            .until("it runs again", |_| {
                running.sim(|host| {
                    host.named("shop-web-1").is_some_and(|web| web.status == ContainerStatus::Running)
                })
            })
            .await;
        running.until_condition("web", ConditionKind::Ready).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_container_that_is_killed_or_removed_by_hand_is_back() {
    let running = Rig::new().with(&web("web:1")).await;
    running.until_serves("web", "web:1").await;
    let id = running.sim(|host| host.named("shop-web-1").unwrap().id.clone());
    running.sim(|host| host.docker_rm_f(&id));
    running.until("another container", |_| running.sim(|host| host.named("shop-web-1").is_some())).await;
    running.until_serves("web", "web:1").await;
}

#[tokio::test(start_paused = true)]
async fn what_happened_while_every_event_was_lost_is_found_by_the_regular_look() {
    let running = Rig::new().with(&web("web:1")).await;
    running.until_serves("web", "web:1").await;
    running.pass_time(20_000).await;
    running.sim(|host| {
        host.events_lost = 1_000_000;
        let id = host.named("shop-web-1").unwrap().id.clone();
        host.docker_rm_f(&id);
    });
    running.pass_time(70_000).await;
    assert!(running.sim(|host| host.named("shop-web-1").is_some_and(|one| one.is_running())));
}

#[tokio::test(start_paused = true)]
async fn a_settled_host_is_left_alone_and_hardly_looked_at() {
    let running = Rig::new().with(&services(&["a", "b", "c"])).await;
    for name in ["a", "b", "c"] {
        running.until_condition(name, ConditionKind::Ready).await;
    }
    running.pass_time(20 * 60_000).await;
    let before = running.sim(|host| (host.writes(), host.calls(Op::Inspect)));
    running.pass_time(20 * 60_000).await;
    let after = running.sim(|host| (host.writes(), host.calls(Op::Inspect)));
    assert_eq!(after.0, before.0, "something was written on a settled host");
    assert!(after.1 - before.1 <= 3, "{} inspects in twenty idle minutes", after.1 - before.1);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_down_at_the_start_is_waited_for() {
    let rig = Rig::new();
    rig.sim.with(|host| host.kill());
    let running = rig.with(&web("web:1")).await;
    running.pass_time(5_000).await;
    let row = running.status("web").expect("a status although nothing could be looked at");
    assert_eq!(
        (row.condition.kind, row.condition.reason.as_str()),
        (ConditionKind::Waiting, "EngineUnreachable")
    );
    assert!(running.handle.ready().unwrap_err().contains("engine"));
    running.pass_time(600_000).await;
    running.sim(|host| host.restart());
    running.until_serves("web", "web:1").await;
    running.handle.ready().unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_dies_with_everything_is_put_right_when_it_is_back() {
    let text = format!("{}restart = \"unless-stopped\"\n", web("web:1"));
    let running = Rig::new().with(&text).await;
    running.until_serves("web", "web:1").await;
    running.pass_time(60_000).await;
    // `unless-stopped` does not come back by itself after a killed engine (RELIABILITY.md fact 3).
    running.sim(|host| host.crash());
    running.pass_time(30_000).await;
    running.until_serves("web", "web:1").await;
    assert!(running.sim(|host| host.named("shop-web-1").is_some_and(|one| one.is_running())));
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_directory_does_not_end_the_daemon_and_removes_nothing() {
    let running = Rig::new().with(&web("web:1")).await;
    running.until_serves("web", "web:1").await;
    running.tell(Err(SourceError::Missing("/desired".into())));
    running.pass_time(600_000).await;
    assert_eq!(running.rig.containers(), ["shop-web-1 web:1 running"]);
    assert!(running.handle.status().host.desired.trouble.is_some());
    running.feed(shop(&web("web:2")));
    running.until_serves("web", "web:2").await;
    assert_eq!(running.handle.status().host.desired.trouble, None);
}

/// Its services are known from the records, so keys are due and nothing may be done: time must pass all the same, not be burnt.
#[tokio::test(start_paused = true)]
async fn a_desired_state_that_cannot_be_read_at_the_start_is_waited_for_in_peace() {
    let running = Rig::new().with(&web("web:1")).await;
    running.until_serves("web", "web:1").await;
    running.signal(Signal::Terminate).await;
    let (_, rig) = running.end().await;
    let running = rig.daemon().await;
    running.tell(Err(SourceError::Missing("/desired".into())));
    running.pass_time(600_000).await;
    assert!(running.rig.containers().contains(&"shop-web-1 web:1 running".to_owned()));
    running.feed(shop(&web("web:2")));
    running.until_serves("web", "web:2").await;
}

#[tokio::test(start_paused = true)]
async fn a_broken_file_freezes_its_services_and_the_others_go_on() {
    let running = Rig::new().daemon().await;
    running.feed(snapshot(&[("shop/web.toml", &web("web:1")), ("shop/db.toml", &services(&["db"]))]));
    running.until_serves("web", "web:1").await;
    running.until_serves("db", "db:1").await;
    let broken = "[services.db]\nimage = ";
    running.feed_quiet(snapshot(&[("shop/web.toml", &web("web:2")), ("shop/db.toml", broken)]));
    running.until_serves("web", "web:2").await;
    running.until_condition("db", ConditionKind::Frozen).await;
    running.pass_time(60_000).await;
    assert!(running.sim(|host| host.named("shop-db-1").is_some_and(|one| one.is_running())));
}

#[tokio::test(start_paused = true)]
async fn while_the_store_cannot_be_written_nothing_is_done() {
    let rig = Rig::new();
    rig.records.unwritable.store(true, Ordering::SeqCst);
    // A network is needed by the service and has no record: only the service is held back.
    let running = rig.with(&web("web:1")).await;
    running
        .until("the condition", |_| {
            running.status("web").is_some_and(|row| row.condition.reason == "StoreUnwritable")
        })
        .await;
    running.pass_time(600_000).await;
    assert_eq!(running.sim(|host| (host.calls(Op::Create), host.calls(Op::Pull))), (0, 0));
    assert!(running.handle.ready().unwrap_err().contains("store"));
    running.rig.records.unwritable.store(false, Ordering::SeqCst);
    running.until_serves("web", "web:1").await;
    running.handle.ready().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_pass_that_panics_takes_no_other_service_with_it() {
    let running = Rig::new().with(&services(&["panic", "web"])).await;
    running.until_serves("web", "web:1").await;
    running.feed(shop(&services(&["panic"]).replace("panic:1", "panic:2")));
    running.pass_time(60_000).await;
    running.feed(shop(&(services(&["panic"]) + &web("web:2"))));
    running.until_serves("web", "web:2").await;
}

#[tokio::test(start_paused = true)]
async fn what_leaves_the_files_goes_after_the_quiet_period_and_not_before() {
    let running = Rig::new().with(&services(&["a", "b", "c"])).await;
    running.until_condition("c", ConditionKind::Ready).await;
    running.feed(shop(&services(&["a", "b"])));
    running.pass_time(60_000).await;
    assert!(running.sim(|host| host.named("shop-c-1").is_some()), "it went before the files were read again");
    assert_eq!(running.status("c").unwrap().condition.kind, ConditionKind::Orphaned);
    running.feed_quiet(shop(&services(&["a", "b"])));
    running.until("c to go", |_| running.sim(|host| host.named("shop-c-1").is_none())).await;
    running.until("c to leave the status", |_| running.status("c").is_none()).await;
    assert!(!running.rig.metrics.render().unwrap().contains("service=\"c\""));
}

#[tokio::test(start_paused = true)]
async fn an_empty_desired_state_waits_for_consent_and_then_all_of_it_goes() {
    let running = Rig::new().with(&services(&["a", "b", "c"])).await;
    running.until_condition("c", ConditionKind::Ready).await;
    running.feed_quiet(snapshot(&[]));
    running.until("the guard", |report| report.host.guard.is_some()).await;
    running.pass_time(600_000).await;
    assert_eq!(running.rig.containers().len(), 3);
    let guard = running.handle.status().host.guard.unwrap();
    assert_eq!(guard.services, ["shop/a", "shop/b", "shop/c"]);
    assert!(running.handle.approve("nonsense").await.is_err());
    running.handle.approve(&guard.token).await.unwrap();
    running.until("all to go", |_| running.rig.containers().is_empty()).await;
    running.until("the guard to rest", |report| report.host.guard.is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn a_rollback_by_hand_stays_until_it_is_released() {
    let running = Rig::new().with(&web("web:1")).await;
    running.until_serves("web", "web:1").await;
    running.feed(shop(&web("web:2")));
    running.until_serves("web", "web:2").await;
    running.handle.command(&id("web"), Command::Rollback { to: None }).await.unwrap();
    let row = running.until_condition("web", ConditionKind::Held).await;
    assert_eq!(row.image, "web:1");
    running.pass_time(600_000).await;
    assert!(running.rig.containers().contains(&"shop-web-1 web:1 running".to_owned()));
    running.handle.command(&id("web"), Command::Release).await.unwrap();
    running.until_serves("web", "web:2").await;
    let why = running.handle.why(&id("web")).await.unwrap();
    assert!(why.last_change.is_some() && why.revisions.len() == 2);
    let unknown = running.handle.command(&id("wbe"), Command::Retry).await.unwrap_err();
    assert!(unknown.message.contains("shop/web"), "{unknown}");
}

#[tokio::test(start_paused = true)]
async fn a_few_services_act_at_a_time_and_each_only_once() {
    let names: Vec<String> = (0..12).map(|number| format!("s{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let rig = Rig::new();
    for _ in 0..40 {
        rig.sim.with(|host| {
            host.fail(Op::Create, Fault::Slow(500));
            host.fail(Op::Start, Fault::Slow(500));
        });
    }
    let running = rig.with(&services(&names)).await;
    for name in &names {
        running.until_condition(name, ConditionKind::Ready).await;
    }
    let watcher = &running.rig.watcher;
    let most = *watcher.most_services.lock().unwrap();
    assert!((2..=4).contains(&most), "{most} services were acted upon at a time");
    assert!(watcher.overlaps.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_dependency_is_waited_for_and_wakes_its_dependents() {
    let text = "[services.db]\nimage = \"db:1\"\n[services.db.healthcheck]\ntest = [\"CMD\", \"true\"]\ninterval = \"1s\"\n\
        [services.web]\nimage = \"web:1\"\n[services.web.depends_on.db]\ncondition = \"service_healthy\"\n";
    let rig = Rig::new();
    rig.script("db:1", Behaviour::healthy_after(20_000));
    let running = rig.with(text).await;
    running.until_condition("web", ConditionKind::Waiting).await;
    assert!(running.sim(|host| host.named("shop-web-1").is_none_or(|one| !one.is_running())));
    running.until_serves("web", "web:1").await;
    let healthy = running.status("db").unwrap();
    assert_eq!(healthy.ready, 1);
}

#[tokio::test(start_paused = true)]
async fn the_first_signal_finishes_the_step_in_hand_and_the_second_does_not_wait() {
    for twice in [false, true] {
        let rig = Rig::new();
        rig.script("web:1", Behaviour::ignores_term());
        let running = rig.with(&web("web:1")).await;
        running.until_serves("web", "web:1").await;
        running.feed(shop(&web("web:2")));
        running.until("the stop of the old one", |_| running.sim(|host| host.calls(Op::Stop)) == 1).await;
        running.signal(Signal::Terminate).await;
        if twice {
            running.pass_time(100).await;
            running.signal(Signal::Interrupt).await;
        }
        let (reason, rig) = running.end().await;
        if twice {
            assert_eq!(reason, ExitReason::Aborted(Signal::Interrupt));
            continue;
        }
        assert_eq!(reason, ExitReason::Stopped);
        let starts = rig.sim.with(|host| host.calls(Op::Start));
        assert_eq!(starts, 1, "no step was begun after the signal");
        assert!(rig.containers().contains(&"shop-web-1 web:1 exited".to_owned()), "{:?}", rig.containers());
        // The next start goes on from there.
        let running = rig.with(&web("web:2")).await;
        running.until_serves("web", "web:2").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_a_pull() {
    let rig = Rig::new();
    rig.sim.with(|host| host.registry.pull_takes = 3_600_000);
    let running = rig.with(&web("web:1")).await;
    running.until("the pull", |_| !running.rig.watcher.steps.lock().unwrap().is_empty()).await;
    let began = tokio::time::Instant::now();
    running.signal(Signal::Terminate).await;
    assert_eq!(running.end().await.0, ExitReason::Stopped);
    assert!(began.elapsed().as_secs() < 5);
}

#[tokio::test(start_paused = true)]
async fn sighup_reads_the_files_again() {
    let running = Rig::new().with(&web("web:1")).await;
    running.until_serves("web", "web:1").await;
    running.signal(Signal::Reload).await;
    running.pass_time(100).await;
    assert!(running.rescans.load(Ordering::SeqCst));
    running.handle.sync().await.unwrap();
    running.handle.healthy().unwrap();
}

/// Seconds lost of `web`.
fn downtime(running: &Running) -> f64 {
    let text = running.rig.metrics.render().unwrap();
    let line = text.lines().find(|line| line.starts_with("evenkeel_downtime_seconds_total{")).unwrap();
    line.split(' ').next_back().unwrap().parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_time_in_which_nothing_served_is_counted_and_an_overlap_costs_none() {
    let file = |image: &str, order: &str| {
        format!(
            "{}restart = \"unless-stopped\"\ndeploy.update_config.order = \"{order}\"\n\
            healthcheck = {{ test = [\"CMD\", \"true\"], interval = \"1s\", retries = 30 }}\n",
            web(image)
        )
    };
    let rig = Rig::new();
    for image in ["web:2", "web:3"] {
        rig.script(image, Behaviour::healthy_after(5_000));
    }
    let running = rig.with(&file("web:1", "stop-first")).await;
    running.until_serves("web", "web:1").await;
    assert_eq!(downtime(&running), 0.0, "a first deployment takes nothing away");
    running.feed(shop(&file("web:2", "start-first")));
    running.until_serves("web", "web:2").await;
    running.pass_time(5_000).await;
    assert_eq!(downtime(&running), 0.0);
    running.feed(shop(&file("web:3", "stop-first")));
    running.until_serves("web", "web:3").await;
    let lost = downtime(&running);
    assert!((4.9..9.0).contains(&lost), "{lost} s of a container that is healthy after five");

    // An outage that lasts is told while it lasts.
    running.sim(|host| {
        (0..100).for_each(|_| host.fail(Op::Start, Fault::Error(Failure::NoSpace)));
        let id = host.named("shop-web-1").unwrap().id.clone();
        host.docker_kill(&id);
    });
    running.pass_time(300_000).await;
    let told = downtime(&running) - lost;
    assert!((200.0..=300.0).contains(&told), "{told} s of five minutes");
}
