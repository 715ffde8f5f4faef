//! An engine or a registry that is not there, and two daemons on one host.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use crate::support::docker::{docker, inspect, inspect_image};
use crate::support::files::{checked, plain};
use crate::support::forward::Forwarder;
use crate::support::registry::{LOGIN, PASSWORD, Registry, USER};
use crate::support::wait::{free_port, get, page};
use crate::support::{Daemon, Host, stays, wait_for};

fn becomes(host: &Host, service: &str, condition: &str) {
    wait_for(&format!("{service} is {condition}"), || (host.condition(service) == condition).then_some(()));
}

#[test]
fn an_engine_that_is_down_at_start_is_waited_for() {
    let Some(mut host) = Host::new() else { return };
    let image = host.image("1.0", &[], &[]);
    let engine = Forwarder::new(&host.root().join("engine.sock"));
    host.docker_host = Some(engine.address());
    host.write("web.toml", &plain("web", &image, ""));
    let mut daemon = host.run();
    wait_for("it is alive", || get(daemon.port, "/healthz").filter(|(status, _)| *status == 200));
    let ready = get(daemon.port, "/readyz").map(|(status, _)| status);
    assert_eq!(ready, Some(503), "not ready without an engine");
    stays("it waits", Duration::from_secs(2), || daemon.has_ended());
    assert!(host.containers().is_empty());
    engine.open();
    becomes(&host, "web", "ready");
    wait_for("it is ready", || get(daemon.port, "/readyz").filter(|(status, _)| *status == 200));
}

#[test]
fn what_happened_while_the_connection_was_cut_is_put_right_after_it() {
    let Some(mut host) = Host::new() else { return };
    let (one, two) = (host.image("1.0", &[], &[]), host.image("1.1", &[], &[]));
    let engine = Forwarder::new(&host.root().join("engine.sock"));
    engine.open();
    host.docker_host = Some(engine.address());
    host.write("app.toml", &(plain("a", &one, "") + &plain("b", &one, "")));
    let mut daemon = host.run();
    becomes(&host, "a", "ready");
    becomes(&host, "b", "ready");

    engine.cut();
    docker(&["rm", "--force", &host.name("a")]);
    host.write("app.toml", &(plain("a", &one, "") + &plain("b", &two, "")));
    stays("it goes on", Duration::from_secs(2), || daemon.has_ended());
    engine.open();
    wait_for("a is there again", || host.serving("a"));
    wait_for("b is updated", || host.serving("b").filter(|seen| seen.image() == two));
    becomes(&host, "a", "ready");
    becomes(&host, "b", "ready");
}

#[test]
fn a_new_tag_is_pulled_from_a_registry_before_anything_is_stopped() {
    let Some(host) = Host::new() else { return };
    let Some(mut registry) = Registry::start(host.root()) else { return };
    let port = free_port();
    let [one, two, three] = ["1.0", "1.1", "1.2"].map(|tag| {
        let reference = registry.reference(&format!("{}:{tag}", host.project));
        host.image_named(&reference, tag, &[], &[]);
        registry.take(&reference);
        reference
    });
    let serves = |version: &str| {
        wait_for(&format!("{version} serves"), || page(port, "/version").filter(|body| body == version))
    };
    host.write("web.toml", &checked("web", &one, port, ""));
    let _daemon = host.run();
    serves("1.0");
    host.write("web.toml", &checked("web", &two, port, ""));
    serves("1.1");
    becomes(&host, "web", "ready");
    let digest = host.serving("web").unwrap().label("dev.evenkeel.image.digest").to_owned();
    assert!(digest.contains("sha256:"), "the digest that was pulled is recorded: {digest:?}");

    // Down: the old one serves on. Up again: the new one comes by itself.
    registry.down();
    let before = host.serving("web").unwrap();
    host.write("web.toml", &checked("web", &three, port, ""));
    wait_for("the image is told", || {
        host.status("web")
            .filter(|row| row["condition"]["message"].as_str().is_some_and(|text| text.contains(&three)))
    });
    let after = host.serving("web").unwrap();
    assert_eq!((after.id.as_str(), after.started_at()), (before.id.as_str(), before.started_at()));
    registry.up();
    serves("1.2");
}

#[test]
fn images_of_revisions_that_are_not_kept_any_more_go_and_no_others_do() {
    let Some(mut host) = Host::new() else { return };
    let Some(registry) = Registry::start(host.root()) else { return };
    let publish = |tag: &str| {
        let reference = registry.reference(&format!("{}:{tag}", host.project));
        host.image_named(&reference, tag, &[], &[]);
        registry.take(&reference);
        reference
    };
    let mut pulled: Vec<String> = ["1.0", "1.1", "1.2", "1.3"].map(publish).to_vec();
    // The first of them by its digest.
    docker(&["pull", "--quiet", &pulled[0]]);
    let digest = docker(&["image", "inspect", "--format", "{{index .RepoDigests 0}}", &pulled[0]]);
    docker(&["image", "rm", &pulled[0]]);
    pulled[0] = digest;
    // Of the operator: a local build that a revision used, and one that nothing uses.
    let (built, bystander) = (host.image("built", &[], &[]), host.image("bystander", &[], &[]));
    host.environment = vec![
        ("EVENKEEL_LIMITS_KEEP_REVISIONS".to_owned(), "2".to_owned()),
        ("EVENKEEL_LIMITS_WATCH_WINDOW".to_owned(), "1s".to_owned()),
    ];
    let here = |reference: &str| inspect_image(reference).is_some();
    let keep_tags = || {
        let repository = format!("evenkeel/{}-web", host.project);
        docker(&["image", "ls", "--quiet", &repository]).lines().count()
    };
    let daemon = host.run();
    let mut ids = Vec::new();
    for image in [&built, &pulled[0], &pulled[1], &pulled[2], &pulled[3]] {
        host.write("web.toml", &plain("web", image, ""));
        wait_for("it serves", || host.serving("web").filter(|seen| seen.image() == image));
        becomes(&host, "web", "ready");
        ids.push(inspect_image(image).unwrap());
    }
    // What is dropped goes when the predecessor's watch is over, and that may take a look more.
    wait_for("the others are gone", || {
        daemon.reload();
        let names = here(&pulled[0]) || here(&pulled[1]);
        // Not only their names.
        let images = here(&ids[1]) || here(&ids[2]);
        (!names && !images && keep_tags() == 2).then_some(())
    });
    assert!(here(&pulled[2]) && here(&pulled[3]), "those of kept revisions stay");
    assert!(here(&built) && here(&bystander), "what evenkeel did not pull is not its to remove");
    let revisions = host.evenkeel(&["history", "web", "--revisions", "--json"]).expect(0).json();
    let kept: Vec<&str> =
        revisions.as_array().unwrap().iter().map(|row| row["image"].as_str().unwrap()).collect();
    assert_eq!(kept, [&*pulled[3], &*pulled[2]]);
    // And by number to the one that is kept, whose image nobody has to ask a registry for.
    drop(registry);
    let number = revisions[1]["number"].to_string();
    host.evenkeel(&["rollback", "web", "--to", &number]).expect(0);
    wait_for("the earlier one serves", || host.serving("web").filter(|seen| seen.image() == pulled[2]));
    host.evenkeel(&["rollback", "web", "--to", "1"]).expect(1);
}

/// The logins are those that `docker login` and credential helpers leave in Docker's own configuration.
#[test]
fn a_registry_that_wants_a_login_gets_the_one_that_dockers_configuration_has() {
    let Some(mut host) = Host::new() else { return };
    let Some(mut registry) = Registry::start(host.root()) else { return };
    let [one, two] = ["1.0", "1.1"].map(|tag| {
        let reference = registry.reference(&format!("{}:{tag}", host.project));
        host.image_named(&reference, tag, &[], &[]);
        registry.take(&reference);
        reference
    });
    registry.lock();
    let (logins, bin) = (host.root().join("docker"), host.root().join("bin"));
    for folder in [&logins, &bin] {
        fs::create_dir(folder).unwrap();
    }
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    host.environment =
        vec![("DOCKER_CONFIG".to_owned(), logins.display().to_string()), ("PATH".to_owned(), path)];

    host.write("web.toml", &plain("web", &one, ""));
    let daemon = host.run();
    let row = wait_for("the missing login is told", || {
        host.status("web")
            .filter(|row| row["condition"]["kind"] == "waiting" && row.to_string().contains(&one))
    });
    let message = row["condition"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("docker login"), "it says what to do: {message}");

    // `docker login`: nobody restarts or tells evenkeel.
    let auth = format!(r#"{{"auths": {{"{}": {{"auth": "{LOGIN}"}}}}}}"#, registry.name());
    fs::write(logins.join("config.json"), auth).unwrap();
    becomes(&host, "web", "ready");

    // A credential helper in its place.
    let helper = bin.join("docker-credential-test");
    let answer = format!(r#"{{"Username": "{USER}", "Secret": "{PASSWORD}"}}"#);
    fs::write(&helper, format!("#!/bin/sh\nread server\necho '{answer}'\n")).unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    let helpers = format!(r#"{{"credHelpers": {{"{}": "test"}}}}"#, registry.name());
    fs::write(logins.join("config.json"), helpers).unwrap();
    host.write("web.toml", &plain("web", &two, ""));
    wait_for("1.1 serves", || host.serving("web").filter(|seen| seen.image() == two));
    becomes(&host, "web", "ready");

    let shown = [daemon.log(), daemon.metrics().unwrap(), host.evenkeel(&["why", "web", "--json"]).out];
    assert!(shown.iter().all(|text| !text.contains(PASSWORD) && !text.contains(LOGIN)), "{shown:#?}");
}

#[test]
fn a_registry_that_is_down_stops_nothing_that_is_there_locally() {
    let Some(host) = Host::new() else { return };
    let reference = format!("127.0.0.1:1/{}:1.0", host.project);
    host.image_named(&reference, "1.0", &[], &[]);
    // `always` asks the registry, which does not answer; the image is here.
    host.write("web.toml", &plain("web", &reference, "pull_policy = \"always\""));
    let _daemon = host.run();
    becomes(&host, "web", "ready");
    docker(&["rm", "--force", &host.name("web")]);
    wait_for("it is there again", || host.serving("web"));
}

#[test]
fn a_second_daemon_on_the_same_state_refuses() {
    let Some(host) = Host::new() else { return };
    let image = host.image("1.0", &[], &[]);
    host.write("web.toml", &plain("web", &image, ""));
    let _first = host.run();
    becomes(&host, "web", "ready");
    let mut second = Daemon::start(&host, &[]);
    let ended = second.wait_within(Duration::from_secs(20)).expect("the second daemon ends by itself");
    assert_eq!(ended.code(), Some(1));
    assert!(host.serving("web").is_some());
}

#[test]
fn the_store_lost_changes_nothing_that_runs() {
    let Some(host) = Host::new() else { return };
    let (one, two, port) = (host.image("1.0", &[], &[]), host.image("1.1", &[], &[]), free_port());
    host.write("web.toml", &checked("web", &one, port, ""));
    let mut daemon = host.run();
    becomes(&host, "web", "ready");
    let before = host.serving("web").unwrap();
    daemon.terminate();
    std::fs::remove_dir_all(&host.state).unwrap();
    let _daemon = host.run();
    becomes(&host, "web", "ready");
    let after = inspect(&before.id).unwrap();
    assert!(after.running() && after.started_at() == before.started_at());
    // And updates work on.
    host.write("web.toml", &checked("web", &two, port, ""));
    wait_for("1.1 serves", || page(port, "/version").filter(|body| body == "1.1"));
}
