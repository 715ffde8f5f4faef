//! Replacement on the real engine: the new one serves, or the old one does again.

use std::time::Duration;

use crate::support::docker::{docker, docker_now, events, inspect};
use crate::support::files::{checked, plain};
use crate::support::wait::{free_port, page};
use crate::support::{Daemon, Host, stays, wait_for};

fn serves(port: u16, version: &str) {
    wait_for(&format!("version {version} serves"), || page(port, "/version").filter(|body| body == version));
}

fn becomes(host: &Host, service: &str, condition: &str) {
    wait_for(&format!("{service} is {condition}"), || (host.condition(service) == condition).then_some(()));
}

fn created(host: &Host, since: &str) -> usize {
    events(&host.label(), since).iter().filter(|line| line.starts_with("create ")).count()
}

#[test]
fn an_edited_tag_is_what_runs() {
    let Some(host) = Host::new() else { return };
    let (one, two, port) = (host.image("1.0", &[], &[]), host.image("1.1", &[], &[]), free_port());
    host.write("web.toml", &checked("web", &one, port, ""));
    let _daemon = host.run();
    serves(port, "1.0");
    becomes(&host, "web", "ready");
    let old = host.serving("web").unwrap();

    host.write("web.toml", &checked("web", &two, port, ""));
    serves(port, "1.1");
    becomes(&host, "web", "ready");
    let new =
        wait_for("the new one has the plain name", || host.serving("web").filter(|seen| seen.id != old.id));
    assert_eq!(new.restart_policy(), "unless-stopped", "the restart policy is given back after the gate");
    assert_eq!(host.running("web").len(), 1);
    // Stop-first: the old one was down before the new one started.
    if let Some(old) = inspect(&old.id) {
        assert!(old.finished_at() < new.started_at(), "{} {}", old.finished_at(), new.started_at());
        assert_eq!(old.restart_policy(), "no", "a stopped predecessor must not come back with the engine");
    }
}

#[test]
fn start_first_lets_the_new_one_serve_before_the_old_one_stops() {
    let Some(host) = Host::new() else { return };
    let (one, two) = (host.image("1.0", &[], &[]), host.image("1.1", &[], &[]));
    let file = |image: &str| plain("web", image, r#"deploy.update_config.order = "start-first""#);
    host.write("web.toml", &file(&one));
    let _daemon = host.run();
    becomes(&host, "web", "ready");
    let old = host.serving("web").unwrap();

    host.write("web.toml", &file(&two));
    let stopped = wait_for("the old one is stopped or gone", || match inspect(&old.id) {
        Some(seen) => (!seen.running()).then_some(Some(seen)),
        None => Some(None),
    });
    becomes(&host, "web", "ready");
    let new =
        wait_for("the new one serves", || host.running("web").into_iter().find(|seen| seen.id != old.id));
    assert_eq!(new.image(), two);
    if let Some(old) = stopped {
        assert!(old.finished_at() > new.started_at(), "{} {}", old.finished_at(), new.started_at());
    }
}

#[test]
fn a_crash_looping_image_is_rolled_back_and_not_tried_again() {
    let Some(host) = Host::new() else { return };
    let (good, bad, port) =
        (host.image("1.0", &[], &[]), host.image("bad", &[("EXIT_AFTER_MS", "200")], &[]), free_port());
    host.write("web.toml", &checked("web", &good, port, ""));
    let daemon = host.run();
    becomes(&host, "web", "ready");

    host.write("web.toml", &checked("web", &bad, port, ""));
    becomes(&host, "web", "rolled-back");
    serves(port, "1.0");
    assert_eq!(host.running("web").len(), 1);
    assert!(host.of("web").iter().all(|seen| seen.image() != bad), "the failed one is removed");

    // Neither a look at the whole directory nor the same text written again makes it try.
    let since = docker_now();
    host.write("web.toml", &checked("web", &bad, port, ""));
    daemon.reload();
    stays("1.0 serves", Duration::from_secs(4), || page(port, "/version"));
    assert_eq!(created(&host, &since), 0, "a rejected revision was tried again");

    // Someone says so: tried once more, and put back once more.
    host.evenkeel(&["retry", &host.id("web")]).expect(3);
    assert_eq!(created(&host, &since), 1, "retry makes it try, once");
    becomes(&host, "web", "rolled-back");
    serves(port, "1.0");

    // A change of the desired state ends the rejection.
    let fixed = host.image("1.1", &[], &[]);
    host.write("web.toml", &checked("web", &fixed, port, ""));
    serves(port, "1.1");
    becomes(&host, "web", "ready");
}

#[test]
fn an_image_that_ends_at_once_is_rolled_back() {
    let Some(host) = Host::new() else { return };
    let (good, bad, port) =
        (host.image("1.0", &[], &[]), host.image("bad", &[], &["fail", "3"]), free_port());
    host.write("web.toml", &checked("web", &good, port, ""));
    let _daemon = host.run();
    becomes(&host, "web", "ready");
    host.write("web.toml", &checked("web", &bad, port, ""));
    becomes(&host, "web", "rolled-back");
    serves(port, "1.0");
    let why = host.evenkeel(&["why", &host.id("web")]).expect(0);
    assert!(why.out.contains("told to fail with 3"), "why shows the failed one's last lines:\n{}", why.out);
}

#[test]
fn an_image_that_never_becomes_healthy_is_rolled_back() {
    let Some(host) = Host::new() else { return };
    let (good, sick, port) =
        (host.image("1.0", &[], &[]), host.image("sick", &[("NEVER_HEALTHY", "1")], &[]), free_port());
    host.write("web.toml", &checked("web", &good, port, ""));
    let _daemon = host.run();
    becomes(&host, "web", "ready");
    host.write("web.toml", &checked("web", &sick, port, ""));
    becomes(&host, "web", "rolled-back");
    serves(port, "1.0");
    assert_eq!(host.serving("web").unwrap().restart_policy(), "unless-stopped");
}

#[test]
fn a_command_that_cannot_start_is_rolled_back() {
    let Some(host) = Host::new() else { return };
    let (good, port) = (host.image("1.0", &[], &[]), free_port());
    host.write("web.toml", &checked("web", &good, port, ""));
    let _daemon = host.run();
    becomes(&host, "web", "ready");
    host.write("web.toml", &checked("web", &good, port, r#"entrypoint = ["/no-such-program"]"#));
    becomes(&host, "web", "rolled-back");
    serves(port, "1.0");
}

#[test]
fn a_start_first_update_that_fails_never_stops_the_old_one() {
    let Some(host) = Host::new() else { return };
    let (good, bad) = (host.image("1.0", &[], &[]), host.image("bad", &[], &["fail"]));
    let file = |image: &str| plain("web", image, r#"deploy.update_config.order = "start-first""#);
    host.write("web.toml", &file(&good));
    let _daemon = host.run();
    becomes(&host, "web", "ready");
    let before = host.serving("web").unwrap();
    host.write("web.toml", &file(&bad));
    becomes(&host, "web", "rolled-back");
    let after = host.serving("web").unwrap();
    assert_eq!((&after.id, after.started_at()), (&before.id, before.started_at()));
}

#[test]
fn a_rollback_by_hand_stays_until_the_file_changes() {
    let Some(host) = Host::new() else { return };
    let (one, two, port) = (host.image("1.0", &[], &[]), host.image("1.1", &[], &[]), free_port());
    host.write("web.toml", &checked("web", &one, port, ""));
    let daemon = host.run();
    becomes(&host, "web", "ready");
    host.write("web.toml", &checked("web", &two, port, ""));
    serves(port, "1.1");
    becomes(&host, "web", "ready");

    host.evenkeel(&["rollback", &host.id("web")]).expect(0);
    serves(port, "1.0");
    becomes(&host, "web", "held");
    daemon.reload();
    stays("1.0 serves", Duration::from_secs(3), || page(port, "/version"));

    host.evenkeel(&["release", &host.id("web")]).expect(0);
    serves(port, "1.1");
    becomes(&host, "web", "ready");

    host.evenkeel(&["rollback", &host.id("web")]).expect(0);
    serves(port, "1.0");
    let three = host.image("1.2", &[], &[]);
    host.write("web.toml", &checked("web", &three, port, ""));
    serves(port, "1.2");
    becomes(&host, "web", "ready");
    let history = host.evenkeel(&["history", &host.id("web")]).expect(0);
    for tag in ["1.0", "1.1", "1.2"] {
        assert!(history.out.contains(&format!("app:{tag}")), "{tag} is in the history:\n{}", history.out);
    }
}

#[test]
fn what_the_engine_can_change_in_place_is_changed_in_place() {
    let Some(host) = Host::new() else { return };
    let image = host.image("1.0", &[], &[]);
    host.write("web.toml", &plain("web", &image, r#"mem_limit = "64m""#));
    let _daemon = host.run();
    becomes(&host, "web", "ready");
    let before = host.serving("web").unwrap();
    assert_eq!(before.memory(), 64 << 20);

    let changed = plain("web", &image, r#"mem_limit = "96m""#).replace("unless-stopped", "always");
    host.write("web.toml", &changed);
    let after =
        wait_for("the limit is changed", || host.serving("web").filter(|seen| seen.memory() == 96 << 20));
    wait_for("the policy is changed", || {
        host.serving("web").filter(|seen| seen.restart_policy() == "always")
    });
    assert_eq!((&after.id, after.started_at()), (&before.id, before.started_at()), "no restart");
}

#[test]
fn a_changed_variable_makes_a_new_container() {
    let Some(host) = Host::new() else { return };
    let (image, port) = (host.image("1.0", &[], &[]), free_port());
    let file = |text: &str| checked("web", &image, port, &format!("environment = {{ TEXT = \"{text}\" }}"));
    host.write("web.toml", &file("first"));
    let _daemon = host.run();
    becomes(&host, "web", "ready");
    assert_eq!(page(port, "/env/TEXT").as_deref(), Some("first"));
    host.write("web.toml", &file("second"));
    wait_for("the new text is served", || page(port, "/env/TEXT").filter(|text| text == "second"));
}

#[test]
fn scaling_adds_and_removes_slots_and_touches_no_other() {
    let Some(host) = Host::new() else { return };
    let image = host.image("1.0", &[], &[]);
    let file = |count: u32| plain("web", &image, &format!("deploy.replicas = {count}"));
    host.write("web.toml", &file(1));
    let _daemon = host.run();
    becomes(&host, "web", "ready");
    let first = host.serving("web").unwrap();

    host.write("web.toml", &file(3));
    wait_for("three run", || (host.running("web").len() == 3).then_some(()));
    becomes(&host, "web", "ready");
    let names: Vec<String> = host.running("web").into_iter().map(|seen| seen.name).collect();
    let project = &host.project;
    assert_eq!(names, [1, 2, 3].map(|slot| format!("{project}-web-{slot}")));

    host.write("web.toml", &file(2));
    wait_for("two are left", || (host.of("web").len() == 2).then_some(()));
    becomes(&host, "web", "ready");
    assert_eq!(host.serving("web").unwrap().started_at(), first.started_at(), "the first one went on");
}

#[test]
fn a_rolling_update_replaces_every_slot_and_a_bad_one_none() {
    let Some(host) = Host::new() else { return };
    let (one, two, bad) =
        (host.image("1.0", &[], &[]), host.image("1.1", &[], &[]), host.image("bad", &[], &["fail"]));
    let file = |image: &str| plain("web", image, "deploy.replicas = 3");
    let images = |host: &Host| -> Vec<String> {
        host.running("web").iter().map(|seen| seen.image().to_owned()).collect()
    };
    host.write("web.toml", &file(&one));
    let _daemon = host.run();
    becomes(&host, "web", "ready");
    assert_eq!(images(&host), [&*one; 3]);

    host.write("web.toml", &file(&two));
    wait_for("all three are new", || (images(&host) == [&*two; 3]).then_some(()));
    becomes(&host, "web", "ready");

    host.write("web.toml", &file(&bad));
    becomes(&host, "web", "rolled-back");
    wait_for("all three are back", || (images(&host) == [&*two; 3]).then_some(()));
}

#[test]
fn sigterm_in_the_middle_of_an_update_ends_the_daemon_and_the_next_one_finishes_it() {
    let Some(host) = Host::new() else { return };
    // The old one takes a second to stop, the new one three to become healthy: there is a middle to hit.
    let one = host.image("1.0", &[("TERM_DELAY_MS", "1000")], &[]);
    let two = host.image("1.1", &[("HEALTHY_AFTER_MS", "3000")], &[]);
    let port = free_port();
    let check = r#"healthcheck.start_period = "10s""#;
    let file = |image: &str| checked("web", image, port, "").replace("retries = 3", "retries = 30") + check;
    let file = |image: &str| file(image).replace(check, "");
    host.write("web.toml", &file(&one));
    let mut daemon = host.run();
    becomes(&host, "web", "ready");

    host.write("web.toml", &file(&two));
    wait_for("the new one runs", || host.running("web").into_iter().find(|seen| seen.image() == two));
    let ended = daemon.terminate();
    assert!(ended.success(), "{ended}: {}", daemon.log());
    assert_eq!(host.running("web").len(), 1, "ending the daemon stops no container");

    let _daemon = host.run();
    serves(port, "1.1");
    becomes(&host, "web", "ready");
    assert_eq!(host.running("web").len(), 1);
    assert_eq!(host.serving("web").unwrap().restart_policy(), "unless-stopped");
}

#[test]
fn a_second_signal_ends_the_daemon_at_once_and_the_next_one_finishes_the_update() {
    let Some(host) = Host::new() else { return };
    // Half a minute to stop: the step that is in hand.
    let one = host.image("1.0", &[("TERM_DELAY_MS", "30000")], &[]);
    let (two, port) = (host.image("1.1", &[], &[]), free_port());
    let file = |image: &str| checked("web", image, port, "").replace("\"3s\"\nhealth", "\"6s\"\nhealth");
    host.write("web.toml", &file(&one));
    let mut daemon = host.run();
    becomes(&host, "web", "ready");
    host.write("web.toml", &file(&two));
    wait_for("the old one is being stopped", || daemon.log().contains("stop-first: publishes").then_some(()));
    daemon.ask_to_end();
    stays("it finishes the step in hand", Duration::from_secs(1), || daemon.has_ended());
    daemon.ask_to_end();
    let ended = daemon.wait_within(Duration::from_secs(2)).expect("the second signal does not wait");
    assert_eq!(ended.code(), Some(143));

    let _daemon = host.run();
    serves(port, "1.1");
    becomes(&host, "web", "ready");
    assert_eq!(host.running("web").len(), 1);
}

#[test]
fn an_update_goes_on_after_kill_9_at_any_moment() {
    let Some(host) = Host::new() else { return };
    let port = free_port();
    let images: Vec<String> = (0..6).map(|n| host.image(&format!("1.{n}"), &[], &[])).collect();
    host.write("web.toml", &checked("web", &images[0], port, ""));
    let mut daemon = host.run();
    becomes(&host, "web", "ready");
    // At the create, at the stop, between stop and start, in the gate, and as it is over.
    let moments =
        ["step=\"create ", "step=\"stop ", "step=\"start ", "waits for its health check", "it proved itself"];
    for (n, (image, moment)) in (1..).zip(images.iter().skip(1).zip(moments)) {
        let told = |daemon: &Daemon| daemon.log().matches(moment).count();
        let before = told(&daemon);
        host.write("web.toml", &checked("web", image, port, ""));
        wait_for(moment, || (told(&daemon) > before).then_some(()));
        daemon.kill();
        daemon = host.run();
        serves(port, &format!("1.{n}"));
        becomes(&host, "web", "ready");
        assert_eq!(host.running("web").len(), 1, "after kill number {n}");
        assert_eq!(host.serving("web").unwrap().restart_policy(), "unless-stopped", "after kill number {n}");
    }
}

#[test]
fn a_revision_that_fails_late_within_its_watch_is_put_back() {
    let Some(host) = Host::new() else { return };
    let port = free_port();
    let good = host.image("1.0", &[], &[]);
    // Healthy at first, then it dies again and again, each time after the gate would have passed.
    let late = host.image("late", &[("EXIT_AFTER_MS", "2500")], &[]);
    host.write("web.toml", &checked("web", &good, port, ""));
    let _daemon = host.run();
    becomes(&host, "web", "ready");
    host.write("web.toml", &checked("web", &late, port, ""));
    becomes(&host, "web", "rolled-back");
    serves(port, "1.0");
}

#[test]
fn a_newer_edit_supersedes_an_update_under_way() {
    let Some(host) = Host::new() else { return };
    let port = free_port();
    let one = host.image("1.0", &[], &[]);
    // Would never become healthy, and its deadline is far away.
    let stuck = host.image("1.1", &[("NEVER_HEALTHY", "1")], &[]);
    let three = host.image("1.2", &[], &[]);
    let file = |image: &str| checked("web", image, port, "").replace("retries = 3", "retries = 1000");
    host.write("web.toml", &file(&one));
    let _daemon = host.run();
    becomes(&host, "web", "ready");
    host.write("web.toml", &file(&stuck));
    wait_for("the stuck one runs", || host.running("web").into_iter().find(|seen| seen.image() == stuck));
    host.write("web.toml", &file(&three));
    serves(port, "1.2");
    becomes(&host, "web", "ready");
    assert_eq!(host.running("web").len(), 1);
}

#[test]
fn a_held_service_ignores_its_file_and_is_still_repaired() {
    let Some(host) = Host::new() else { return };
    let (one, two, port) = (host.image("1.0", &[], &[]), host.image("1.1", &[], &[]), free_port());
    host.write("web.toml", &checked("web", &one, port, ""));
    let _daemon = host.run();
    becomes(&host, "web", "ready");
    host.evenkeel(&["hold", &host.id("web"), "--message", "not now"]).expect(0);
    becomes(&host, "web", "held");
    host.write("web.toml", &checked("web", &two, port, ""));
    stays("1.0 serves", Duration::from_secs(3), || page(port, "/version"));
    docker(&["rm", "--force", &host.name("web")]);
    serves(port, "1.0");
    host.evenkeel(&["release", &host.id("web")]).expect(0);
    serves(port, "1.1");
}
