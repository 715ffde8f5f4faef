//! What others do to what runs, on the real engine: set right, told, or left, by group of fields.

use std::time::Duration;

use crate::support::docker::{docker, inspect};
use crate::support::files::plain;
use crate::support::{Host, stays, wait_for};

const MORE: &str = "mem_limit = \"64m\"\nnetworks = [\"front\"]\n[networks.front]\n";

fn ready(host: &Host) {
    wait_for("web is ready", || (host.condition("web") == "ready").then_some(()));
}

/// The file, with a `[policy.drift]`.
fn file(host: &Host, image: &str, drift: &str) {
    host.write("web.toml", &plain("web", image, MORE));
    host.write("policy.toml", &format!("[policy.drift]\n{drift}\n"));
}

fn history(host: &Host) -> String {
    host.evenkeel(&["history", &host.id("web"), "--json"]).expect(0).out
}

#[test]
fn what_somebody_outside_changed_is_set_right_in_place_and_told_as_theirs() {
    let Some(host) = Host::new() else { return };
    let image = host.image("1.0", &[], &[]);
    file(&host, &image, "");
    let _daemon = host.run();
    ready(&host);
    let before = host.serving("web").unwrap();
    let (name, network) = (before.name.clone(), format!("{}_front", host.project));
    let limits = |seen: &crate::support::docker::Seen| seen.memory();

    docker(&["update", "--memory", "32m", "--memory-swap", "64m", &name]);
    // The engine tells nobody of an update: it is found at the next look.
    host.evenkeel(&["sync"]).expect(0);
    wait_for("its limit is back", || host.serving("web").filter(|seen| limits(seen) == 64 << 20));
    docker(&["update", "--restart", "always", &name]);
    host.evenkeel(&["sync"]).expect(0);
    wait_for("its policy is back", || {
        host.serving("web").filter(|seen| seen.restart_policy() == "unless-stopped")
    });
    docker(&["network", "disconnect", &network, &name]);
    wait_for("it is on its network again", || {
        let joined = inspect(&name)?.json["NetworkSettings"]["Networks"].get(&network).cloned();
        joined.filter(|at| !at.is_null())
    });
    docker(&["rename", &name, &format!("{name}-mine")]);
    wait_for("it has its name again", || inspect(&name));
    docker(&["stop", "--time", "1", &name]);
    wait_for("it runs again", || host.serving("web"));
    ready(&host);
    assert_eq!(host.serving("web").unwrap().id, before.id, "all of it in place");
    let told = history(&host);
    for expected in
        ["drift: mem_limit 64m -> 32m by someone outside; the files win", "left by someone outside"]
    {
        assert!(told.contains(expected), "{expected} in {told}");
    }
    // A change of the file is no drift.
    host.write("web.toml", &plain("web", &image, &MORE.replace("64m", "96m")));
    wait_for("its new limit", || host.serving("web").filter(|seen| limits(seen) == 96 << 20));
    assert!(!history(&host).contains("96m"), "{}", history(&host));
}

#[test]
fn what_is_only_to_be_reported_is_left_and_told_once() {
    let Some(host) = Host::new() else { return };
    let image = host.image("1.0", &[], &[]);
    file(&host, &image, "limits = \"report\"\nstate = \"report\"\nrestart = \"ignore\"");
    let daemon = host.run();
    ready(&host);
    let name = host.name("web");
    docker(&["update", "--memory", "32m", "--memory-swap", "64m", "--restart", "always", &name]);
    host.evenkeel(&["sync"]).expect(0);
    wait_for("it is told", || {
        let status = host.status("web")?.to_string();
        (status.contains("Drifted") && status.contains("mem_limit 64m -> 32m")).then_some(())
    });
    stays("it is left", Duration::from_secs(2), || {
        inspect(&name).map(|seen| (seen.memory(), seen.restart_policy().to_owned()))
    });
    assert_eq!(inspect(&name).unwrap().memory(), 32 << 20);
    host.evenkeel(&["sync"]).expect(0);
    let series = |group: &str| {
        let text = crate::support::wait::page(daemon.port, "/metrics").unwrap();
        let wanted = format!("group=\"{group}\"");
        let line = text
            .lines()
            .find(|line| line.starts_with("evenkeel_service_changed_outside") && line.contains(&wanted));
        line.and_then(|line| line.rsplit(' ').next()).map(str::to_owned)
    };
    assert_eq!(series("limits").as_deref(), Some("1"));
    assert_eq!(series("restart").as_deref(), Some("0"), "what is ignored is not told");
    assert_eq!(history(&host).matches("\"drifted\"").count(), 1, "{}", history(&host));
    assert_eq!(host.evenkeel(&["plan", "--json"]).expect(0).json()["pending"], false);

    docker(&["stop", "--time", "1", &name]);
    wait_for("it is told", || host.status("web")?.to_string().contains("StoppedByHand").then_some(()));
    stays("it stays down", Duration::from_secs(2), || inspect(&name).is_some_and(|seen| seen.running()));
    assert!(!inspect(&name).unwrap().running());
    docker(&["start", &name]);
    // The file's own change wins over what somebody did before.
    host.write("web.toml", &plain("web", &image, &MORE.replace("64m", "96m")));
    wait_for("the file's limit", || host.serving("web").filter(|seen| seen.memory() == 96 << 20));
}

#[test]
fn a_container_that_only_carries_the_labels_is_replaced_once() {
    let Some(host) = Host::new() else { return };
    let image = host.image("1.0", &[], &[]);
    file(&host, &image, "");
    let daemon = host.run();
    ready(&host);
    drop(daemon);
    // Somebody makes it anew by hand, with its labels and another command line.
    let before = host.serving("web").unwrap();
    docker(&["rm", "--force", &before.name]);
    let labels = before.json.pointer("/Config/Labels").unwrap().as_object().unwrap();
    let labels: Vec<String> =
        labels.iter().map(|(name, value)| format!("{name}={}", value.as_str().unwrap())).collect();
    let network = format!("{}_front", host.project);
    let mut arguments = vec!["run", "--detach", "--name", &before.name, "--network", &network];
    arguments.extend(["--restart", "unless-stopped", "--memory", "64m", "--network-alias", "web"]);
    labels.iter().for_each(|label| arguments.extend(["--label", label]));
    arguments.extend(["--env", "EXTRA=1", "--stop-timeout", "3"]);
    arguments.push(before.json.pointer("/Image").unwrap().as_str().unwrap());
    let copy = docker(&arguments);
    let plan = host.evenkeel(&["plan"]).expect(0).out;
    assert!(plan.contains("drift: environment.EXTRA"), "{plan}");

    let _daemon = host.run();
    wait_for("it is replaced", || {
        host.serving("web").filter(|seen| seen.id != copy && seen.variable("EXTRA").is_none())
    });
    ready(&host);
    let new = host.serving("web").unwrap();
    stays("and that was it", Duration::from_secs(2), || host.serving("web").map(|seen| seen.id));
    assert_eq!(host.serving("web").unwrap().id, new.id);
}
