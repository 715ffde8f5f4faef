//! Files in every bad shape, on the real engine: nothing that runs is stopped by them.

use std::fs;
use std::time::Duration;

use crate::support::files::plain;
use crate::support::{Host, stays, wait_for};

fn becomes(host: &Host, service: &str, condition: &str) {
    wait_for(&format!("{service} is {condition}"), || (host.condition(service) == condition).then_some(()));
}

/// Id and start of every container: unchanged means that nobody touched anything.
fn life(host: &Host) -> Vec<(String, String, bool)> {
    let containers = host.containers();
    containers
        .into_iter()
        .map(|seen| (seen.id.clone(), seen.started_at().to_owned(), seen.running()))
        .collect()
}

#[test]
fn a_broken_file_freezes_its_services_and_the_others_go_on() {
    let Some(host) = Host::new() else { return };
    let (one, two) = (host.image("1.0", &[], &[]), host.image("1.1", &[], &[]));
    host.write("a.toml", &plain("a", &one, ""));
    host.write("b.toml", &plain("b", &one, ""));
    let daemon = host.run();
    becomes(&host, "a", "ready");
    becomes(&host, "b", "ready");
    let before = host.serving("a").unwrap();
    assert_eq!(daemon.metric("evenkeel_desired_broken_files"), Some(0.0));

    host.write("a.toml", &plain("a", &two, "this is no TOML"));
    host.write("b.toml", &plain("b", &two, ""));
    becomes(&host, "a", "frozen");
    wait_for("b is updated", || host.serving("b").filter(|seen| seen.image() == two));
    assert_eq!(host.serving("a").unwrap().started_at(), before.started_at());
    let file = format!("{}/a.toml", host.project);
    let place = format!("{file}:7:6");
    assert!(daemon.log().contains(&place), "the log has the place:\n{}", daemon.log());
    assert_eq!(daemon.metric("evenkeel_desired_broken_files"), Some(1.0));
    assert!(host.evenkeel(&["status"]).expect(0).out.contains(&format!("broken file: {file}")));
    assert!(host.evenkeel(&["why", "a"]).expect(0).out.contains(&place));
    let ended = host.evenkeel(&["validate"]).expect(1);
    assert!(ended.err.contains("a.toml") || ended.out.contains("a.toml"), "{ended:?}");

    host.write("a.toml", &plain("a", &two, ""));
    wait_for("a goes on", || host.serving("a").filter(|seen| seen.image() == two));
    becomes(&host, "a", "ready");
    assert_eq!(daemon.metric("evenkeel_desired_broken_files"), Some(0.0));
}

#[test]
fn an_emptied_or_removed_directory_stops_nothing() {
    let Some(host) = Host::new() else { return };
    let image = host.image("1.0", &[], &[]);
    let text = plain("a", &image, "") + &plain("b", &image, "");
    host.write("app.toml", &text);
    let daemon = host.run();
    becomes(&host, "a", "ready");
    becomes(&host, "b", "ready");
    let before = life(&host);

    host.remove("app.toml");
    daemon.reload();
    assert_eq!(stays("with an empty folder", Duration::from_secs(4), || life(&host)), before);
    host.write("app.toml", "");
    assert_eq!(stays("with an empty file", Duration::from_secs(4), || life(&host)), before);
    fs::rename(&host.desired, host.root().join("aside")).unwrap();
    daemon.reload();
    assert_eq!(stays("without the directory", Duration::from_secs(4), || life(&host)), before);

    // Back again, it is watched again.
    fs::rename(host.root().join("aside"), &host.desired).unwrap();
    let two = host.image("1.1", &[], &[]);
    host.write("app.toml", &text.replace(&image, &two));
    wait_for("the directory counts again", || host.serving("a").filter(|seen| seen.image() == two));
}

#[test]
fn a_file_cut_at_any_line_stops_nothing() {
    let Some(mut host) = Host::new() else { return };
    // On a busy machine one look at the engine can take longer than the second that other tests wait: a cut file that stands for
    // longer than the quiet period is an edit like any other.
    host.removal_quiet = "5m";
    let image = host.image("1.0", &[], &[]);
    // One line each: a cut file lacks whole services, as valid TOML.
    let lines: Vec<String> = (1..=6)
        .map(|n| {
            format!("services.s{n} = {{ image = \"{image}\", restart = \"unless-stopped\", deploy.update_config.monitor = \"1s\" }}\n")
        })
        .collect();
    host.write("app.toml", &lines.concat());
    let daemon = host.run();
    for n in 1..=6 {
        becomes(&host, &format!("s{n}"), "ready");
    }
    let before = life(&host);
    assert_eq!(before.len(), 6);

    let path = host.desired.join(&host.project).join("app.toml");
    for kept in 0..lines.len() {
        let whole = lines[..kept].concat();
        let half: String = lines[kept].chars().take(lines[kept].len() / 2).collect();
        for cut in [whole.clone(), whole + &half] {
            // Truncated and written in place, as `>` does it and as a full disk leaves it.
            fs::write(&path, cut).unwrap();
            daemon.reload();
            stays("with a cut file", Duration::from_millis(400), || life(&host));
        }
    }
    fs::write(&path, lines.concat()).unwrap();
    // What was held back is not done late either.
    assert_eq!(stays("with the whole file", Duration::from_secs(3), || life(&host)), before);
}

#[test]
fn a_service_that_leaves_the_files_is_removed_after_a_quiet_period() {
    let Some(host) = Host::new() else { return };
    let image = host.image("1.0", &[], &[]);
    let (a, b) = (plain("a", &image, ""), plain("b", &image, ""));
    host.write("app.toml", &(a.clone() + &b));
    let _daemon = host.run();
    becomes(&host, "a", "ready");
    becomes(&host, "b", "ready");
    let before = host.serving("a").unwrap();
    host.write("app.toml", &a);
    wait_for("b is removed", || host.of("b").is_empty().then_some(()));
    assert_eq!(host.serving("a").unwrap().started_at(), before.started_at());
}

#[test]
fn a_mass_removal_waits_for_consent() {
    let Some(host) = Host::new() else { return };
    let image = host.image("1.0", &[], &[]);
    let names = ["a", "b", "c", "d"];
    host.write("app.toml", &names.map(|name| plain(name, &image, "")).concat());
    let _daemon = host.run();
    for name in names {
        becomes(&host, name, "ready");
    }
    host.write("app.toml", &plain("a", &image, ""));
    becomes(&host, "b", "orphaned");
    // Longer than the quiet period.
    stays("all four run", Duration::from_secs(4), || life(&host));
    let row = host.status("b").unwrap();
    let message = row["condition"]["message"].as_str().unwrap_or_default();
    assert!(message.contains("approve"), "says what to do: {message}");

    let report = host.evenkeel(&["status", "--json"]).json();
    let token = report["host"]["guard"]["token"].as_str().unwrap_or_default().to_owned();
    host.evenkeel(&["approve", "no-such-token"]).expect(1);
    host.evenkeel(&["approve", &token]).expect(0);
    wait_for("they are removed", || (host.containers().len() == 1).then_some(()));
    assert!(host.serving("a").is_some());
}
