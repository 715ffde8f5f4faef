//! Hooks on the real engine, and evenkeel killed with kill -9 while they run.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::support::docker::inspect;
use crate::support::files::plain;
use crate::support::{Host, stays, wait_for};

fn becomes(host: &Host, service: &str, condition: &str) {
    wait_for(&format!("{service} is {condition}"), || (host.condition(service) == condition).then_some(()));
}

/// A folder of the host that hooks write into.
fn folder(host: &Host) -> PathBuf {
    let path = host.root().join("trace");
    fs::create_dir_all(&path).unwrap();
    path
}

fn trace(host: &Host) -> String {
    let text = fs::read_to_string(folder(host).join("log")).unwrap_or_default();
    text.split_whitespace().map(|word| format!("{word} ")).collect()
}

fn mounted(host: &Host) -> String {
    format!("volumes = [\"{}:/trace\"]", folder(host).display())
}

fn says(word: &str) -> String {
    format!("{{ command = [\"/program\", \"append\", \"/trace/log\", \"{word} \"] }}")
}

const WAITS: &str = "{ command = [\"/program\", \"sleep\", \"2500\"] }";

fn hook_containers(host: &Host) -> Vec<String> {
    let all = host.containers().into_iter();
    all.filter(|seen| !seen.label("dev.evenkeel.hook").is_empty()).map(|seen| seen.name).collect()
}

#[test]
fn steps_before_a_version_run_once_though_evenkeel_is_killed_in_the_middle() {
    let Some(host) = Host::new() else { return };
    let image = host.image("1.0", &[], &[]);
    let steps = format!("pre_start = [{}, {WAITS}, {}]\nscale = 2", says("a"), says("b"));
    host.write("web.toml", &plain("web", &image, &format!("{}\n{steps}", mounted(&host))));
    let mut daemon = host.run();
    let second = wait_for("the second step runs", || {
        hook_containers(&host).into_iter().find(|name| name.contains("pre-start-2"))
    });
    wait_for("it is up", || inspect(&second).filter(|seen| seen.running()));
    daemon.kill();
    assert_eq!(trace(&host), "a ");
    let mut daemon = host.run();
    becomes(&host, "web", "ready");
    assert_eq!(trace(&host), "a b ");
    assert_eq!(host.running("web").len(), 2);
    wait_for("its containers are gone", || hook_containers(&host).is_empty().then_some(()));

    // The same again, killed before anything of the new version is there, and without anybody to see the step end.
    let steps = format!("pre_start = [{}, {WAITS}, {}]\nscale = 2", says("c"), says("d"));
    host.write("web.toml", &plain("web", &image, &format!("{}\n{steps}", mounted(&host))));
    wait_for("the first step has run", || trace(&host).ends_with("c ").then_some(()));
    daemon.kill();
    std::thread::sleep(Duration::from_secs(3));
    let _daemon = host.run();
    becomes(&host, "web", "ready");
    wait_for("the last step has run", || trace(&host).ends_with("d ").then_some(()));
    stays("each has run once", Duration::from_secs(2), || trace(&host));
    assert_eq!(trace(&host), "a b c d ");
}

#[test]
fn a_step_that_fails_leaves_the_old_version_alone_and_says_why() {
    let Some(host) = Host::new() else { return };
    let image = host.image("1.0", &[], &[]);
    host.write("web.toml", &plain("web", &image, ""));
    let daemon = host.run();
    becomes(&host, "web", "ready");
    let old = host.serving("web").unwrap();
    let fails = "pre_start = [{ command = [\"/program\", \"read\", \"/not-there\"] }]";
    host.write("web.toml", &plain("web", &image, fails));
    becomes(&host, "web", "rolled-back");
    let now = host.serving("web").unwrap();
    assert_eq!((now.id.as_str(), now.started_at()), (old.id.as_str(), old.started_at()));
    assert_eq!(hook_containers(&host).len(), 1, "kept for its log");
    let why = host.evenkeel(&["why", &host.id("web")]).out;
    assert!(why.contains("pre_start 1 ended with 1") && why.contains("cannot read /not-there"), "{why}");
    let series = format!(
        "evenkeel_hooks_total{{hook=\"pre_start\",project=\"{}\",result=\"failed\",service=\"web\"}}",
        host.project
    );
    assert_eq!(daemon.metric(&series), Some(1.0));

    // Mended: what is left of the failed step goes.
    host.write("web.toml", &plain("web", &image, "pre_start = [{ command = [\"/program\", \"ok\"] }]"));
    becomes(&host, "web", "ready");
    assert_ne!(host.serving("web").map(|seen| seen.id), Some(old.id));
}

#[test]
fn commands_after_the_start_and_before_the_stop_run_once_though_evenkeel_is_killed() {
    let Some(host) = Host::new() else { return };
    let image = host.image("1.0", &[], &[]);
    let file = |version: u32| {
        let hooks = format!(
            "environment = {{ V = {version} }}\npost_start = [{}, {WAITS}, {}]\npre_stop = [{}, {WAITS}, {}]",
            says("warm"),
            says("ready"),
            says("drain"),
            says("bye")
        );
        let grace = plain("web", &image, &format!("{}\n{hooks}", mounted(&host)));
        grace.replace("stop_grace_period = \"3s\"", "stop_grace_period = \"20s\"")
    };
    host.write("web.toml", &file(1));
    let mut daemon = host.run();
    wait_for("the first command has run", || (trace(&host) == "warm ").then_some(()));
    daemon.kill();
    let mut daemon = host.run();
    becomes(&host, "web", "ready");
    assert_eq!(trace(&host), "warm ready ");

    host.write("web.toml", &file(2));
    wait_for("the old one says good-bye", || trace(&host).ends_with("drain ").then_some(()));
    daemon.kill();
    let _daemon = host.run();
    becomes(&host, "web", "ready");
    assert_eq!(trace(&host), "warm ready drain bye warm ready ");
}

#[test]
fn a_command_before_the_stop_that_hangs_does_not_keep_the_stop() {
    let Some(host) = Host::new() else { return };
    let image = host.image("1.0", &[], &[]);
    let file = |version: u32| {
        let hook = "pre_stop = [{ command = [\"/program\", \"sleep\", \"600000\"] }]";
        plain("web", &image, &format!("environment = {{ V = {version} }}\n{hook}"))
    };
    host.write("web.toml", &file(1));
    let _daemon = host.run();
    becomes(&host, "web", "ready");
    let old = host.serving("web").unwrap();
    host.write("web.toml", &file(2));
    wait_for("the new one serves", || host.serving("web").filter(|seen| seen.id != old.id));
    becomes(&host, "web", "ready");
}

#[test]
fn a_smoke_test_before_the_switch_decides_about_the_update() {
    let Some(host) = Host::new() else { return };
    let (one, two, bad) = (
        host.image("1.0", &[], &[]),
        host.image("1.1", &[], &[]),
        host.image("1.2", &[("NEVER_HEALTHY", "1")], &[]),
    );
    let file = |image: &str| {
        let around = format!(
            "deploy.update_config.order = \"start-first\"\n{}\n[services.web.hooks]\nbefore_update = [{}]\nbefore_switch = [{{ command = [\"/program\", \"check\"], timeout = \"20s\" }}]\nafter_update = [{}]\non_failure = [{}]\nafter_rollback = [{}]",
            mounted(&host),
            says("before"),
            says("after"),
            says("failed"),
            says("back")
        );
        plain("web", image, &around)
    };
    host.write("web.toml", &file(&one));
    let _daemon = host.run();
    becomes(&host, "web", "ready");
    host.write("web.toml", &file(&two));
    wait_for("the update is through", || (trace(&host) == "before after ").then_some(()));
    becomes(&host, "web", "ready");
    let serving = host.serving("web").unwrap();
    assert_eq!(serving.image(), two);

    host.write("web.toml", &file(&bad));
    becomes(&host, "web", "rolled-back");
    wait_for("everybody was told", || {
        let all = trace(&host);
        (all.contains("failed ") && all.contains("back ")).then_some(())
    });
    let now = host.serving("web").unwrap();
    assert_eq!((now.id.as_str(), now.image()), (serving.id.as_str(), two.as_str()));
    let why = host.evenkeel(&["why", &host.id("web")]).out;
    assert!(why.contains("before_switch 1 ended with 1"), "{why}");
    assert_eq!(trace(&host).matches("after ").count(), 1);
}
