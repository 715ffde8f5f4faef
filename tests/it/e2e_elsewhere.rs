//! Plans that are made in one place and looked at, or carried out, in another.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::Host;
use crate::support::files::{checked, plain};
use crate::support::host::{BINARY, Ended};
use crate::support::wait::free_port;

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
    let mut command = std::process::Command::new(BINARY);
    command.env("DOCKER_HOST", "unix:///nowhere/docker.sock").env("NO_COLOR", "1").current_dir(host.root());
    Ended::from(command.args(["--config", "evenkeel.toml"]).args(arguments).output().unwrap())
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
    fs::write(host.root().join("evenkeel.toml"), "").unwrap();
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
