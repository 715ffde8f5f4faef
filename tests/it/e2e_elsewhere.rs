//! Plans that are made in one place and looked at, or carried out, in another.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::Host;
use crate::support::docker::docker;
use crate::support::files::{checked, plain};
use crate::support::host::{BINARY, Ended};
use crate::support::repository::Repository;
use crate::support::wait::{free_port, page, wait_for};

/// Copies the desired state to where another machine would have it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The binary where there is no engine, no store and no settings of the host.
fn elsewhere(host: &Host, arguments: &[&str]) -> Ended {
    fs::write(host.root().join("elsewhere.toml"), "").unwrap();
    let mut command = std::process::Command::new(BINARY);
    command.env("DOCKER_HOST", "unix:///nowhere/docker.sock").env("NO_COLOR", "1").current_dir(host.root());
    Ended::from(command.args(["--config", "elsewhere.toml"]).args(arguments).output().unwrap())
}

fn services(plan: &Value) -> Vec<(String, String, Vec<String>)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    plan["services"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let steps = row["steps"].as_array().unwrap().iter().map(|step| text(&step["step"])).collect();
            (text(&row["service"]), text(&row["action"]), steps)
        })
        .collect()
}

#[test]
fn a_plan_against_an_observation_is_the_one_of_the_host_and_no_secret_leaves_it() {
    let Some(host) = Host::new() else { return };
    let (one, two, port) = (host.image("1.0", &[], &[]), host.image("1.1", &[], &[]), free_port());
    let web = |image: &str| {
        let file = checked("web", image, port, "volumes = ['./files:/files:ro']\n");
        format!(
            "{file}\n[services.web.environment]\nPASSWORD = 'hunter2-environment'\n[services.web.labels]\nnote = 'hunter2-label'\n"
        )
    };
    host.write("files/a", "a");
    host.write("web.toml", &web(&one));
    host.write("db.toml", &plain("db", &one, ""));
    host.evenkeel(&["apply"]).expect(0);
    let seen = host.evenkeel(&["observe"]).expect(0);
    assert!(!seen.out.contains("hunter2"), "a secret is in the observation");
    assert!(seen.out.contains(&host.name("web")));
    fs::write(host.root().join("host.json"), &seen.out).unwrap();
    let there = host.root().join("checkout");
    let there = there.to_str().unwrap();
    copy(&host.desired, Path::new(there));
    let plan = |more: &[&str]| {
        let arguments =
            [&["plan", "--json", "--observed", "host.json", "--desired", there][..], more].concat();
        elsewhere(&host, &arguments)
    };
    let same = plan(&["--detailed-exitcode"]).expect(0).json();
    assert_eq!(same["pending"], false, "{same:#}");

    host.write("web.toml", &web(&two));
    host.remove("db.toml");
    fs::remove_dir_all(there).unwrap();
    copy(&host.desired, Path::new(there));
    let own = host.evenkeel(&["plan", "--json"]).expect(0).json();
    let remote = plan(&["--detailed-exitcode"]).expect(2).json();
    assert_eq!(services(&remote), services(&own));
    assert!(
        services(&own).iter().any(|(_, action, steps)| action == "replace" && steps.len() > 3),
        "{own:#}"
    );

    let refused =
        elsewhere(&host, &["plan", "--observed", "host.json", "--desired", there, "--host", "other"])
            .expect(1);
    assert!(refused.err.contains("not of other"), "{}", refused.err);
    fs::write(host.root().join("host.json"), seen.out.replacen("\"version\": 1", "\"version\": 99", 1))
        .unwrap();
    let refused = plan(&[]).expect(1);
    assert!(refused.err.contains("it has form 99"), "{}", refused.err);
}

#[test]
fn a_saved_plan_is_carried_out_once_and_only_where_nothing_moved() {
    let Some(host) = Host::new() else { return };
    let (one, two, port) = (host.image("1.0", &[], &[]), host.image("1.1", &[], &[]), free_port());
    host.write("web.toml", &checked("web", &one, port, ""));
    host.write("db.toml", &plain("db", &one, ""));
    host.evenkeel(&["apply"]).expect(0);
    let file = host.root().join("plan.json");
    let file = file.to_str().unwrap();

    // The files change between the plan and its application.
    host.write("web.toml", &checked("web", &two, port, ""));
    host.evenkeel(&["plan", "-o", file]).expect(0);
    host.write("db.toml", &plain("db", &two, ""));
    let refused = host.evenkeel(&["apply", file]).expect(4);
    assert!(refused.err.contains("the files are not the ones"), "{}", refused.err);
    assert_eq!(page(port, "/version").as_deref(), Some("1.0"));

    // The host does.
    host.evenkeel(&["plan", "-o", file]).expect(0);
    docker(&["kill", &host.name("db")]);
    let refused = host.evenkeel(&["apply", file]).expect(4);
    assert!(
        refused.err.contains(&format!("container {} was running, and is exited", host.name("db"))),
        "{}",
        refused.err
    );
    assert_eq!(page(port, "/version").as_deref(), Some("1.0"));

    // Nothing does; and what was carried out once is not carried out again.
    host.evenkeel(&["plan", "-o", file]).expect(0);
    host.evenkeel(&["apply", file]).expect(0);
    assert_eq!(page(port, "/version").as_deref(), Some("1.1"));
    let refused = host.evenkeel(&["apply", file]).expect(4);
    assert!(refused.err.contains("nothing was done"), "{}", refused.err);

    // A plan that was made elsewhere.
    host.write("db.toml", &plain("db", &one, ""));
    let seen = host.evenkeel(&["observe"]).expect(0);
    fs::write(host.root().join("host.json"), seen.out).unwrap();
    let there = host.root().join("checkout");
    copy(&host.desired, &there);
    elsewhere(
        &host,
        &["plan", "--observed", "host.json", "--desired", there.to_str().unwrap(), "-o", "plan.json"],
    )
    .expect(0);
    host.evenkeel(&["apply", file]).expect(0);
    assert_eq!(host.serving("db").unwrap().label("dev.evenkeel.image.ref"), one);

    // Where a daemon converges there is nothing to carry out.
    host.evenkeel(&["plan", "-o", file]).expect(0);
    let daemon = host.run();
    wait_for("the daemon to listen", || host.state.join("evenkeel.sock").exists().then_some(()));
    let refused = host.evenkeel(&["apply", file]).expect(4);
    assert!(refused.err.contains("a daemon runs here"), "{}", refused.err);
    drop(daemon);
}

#[test]
fn the_plan_of_a_host_that_follows_a_repository_is_made_from_a_clone_of_it() {
    let Some(host) = Host::new() else { return };
    let (one, two) = (host.image("1.0", &[], &[]), host.image("1.1", &[], &[]));
    let remote = Repository::new(&host.root().join("remote"));
    let file = |image: &str| plain("web", image, "volumes = [\"./web.conf:/etc/web.conf:ro\"]");
    remote.write(&format!("infra/{}/web.toml", host.project), &file(&one));
    remote.write(&format!("infra/{}/web.conf", host.project), "one\n");
    remote.commit("Run it");
    host.configure(&format!(
        "[source.infra]\nurl = \"{}\"\nbranch = \"main\"\npath = \"infra\"\n",
        remote.url()
    ));
    host.evenkeel(&["apply"]).expect(0);
    let seen = host.evenkeel(&["observe"]).expect(0);
    fs::write(host.root().join("host.json"), seen.out).unwrap();

    // What a forge's runner has: a clone, and in it the proposed change under a name of its own.
    remote.git(&["clone", "--quiet", ".", "../clone"]);
    let clone = host.root().join("clone");
    let clone = clone.to_str().unwrap();
    let plan = |more: &[&str]| {
        let arguments = ["plan", "--json", "--observed", "host.json", "--repo", clone, "--path", "infra"];
        elsewhere(&host, &[&arguments[..], more].concat()).expect(0).json()
    };
    let same = plan(&[]);
    assert_eq!(same["pending"], false, "{same:#}");
    remote.git(&["-C", "../clone", "switch", "--quiet", "--create", "proposed"]);
    fs::write(format!("{clone}/infra/{}/web.toml", host.project), file(&two)).unwrap();
    remote.git(&[
        "-C",
        "../clone",
        "-c",
        "user.name=Ada",
        "-c",
        "user.email=ada@example.org",
        "commit",
        "--quiet",
        "--all",
        "-m",
        "Another version",
    ]);
    let other = plan(&["--branch", "proposed"]);
    let fields: Vec<&str> = other["services"][0]["differences"]
        .as_array()
        .unwrap()
        .iter()
        .map(|field| field["path"].as_str().unwrap())
        .collect();
    assert_eq!(fields, ["image"], "{other:#}");

    // From a checkout without its history the mounts are elsewhere, and that is said.
    let bare = format!("{clone}/infra");
    let told = elsewhere(&host, &["plan", "--observed", "host.json", "--desired", &bare]).expect(0);
    assert!(told.err.contains("reads its files from a repository"), "{}", told.err);
}
