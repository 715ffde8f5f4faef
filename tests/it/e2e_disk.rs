//! Pruning, removing a service with all of it, and pressure, on a real engine.

use std::fs;

use crate::support::docker::{docker, inspect, inspect_image, try_docker};
use crate::support::files::plain;
use crate::support::{Host, wait_for};

fn becomes(host: &Host, service: &str, condition: &str) {
    wait_for(&format!("{service} is {condition}"), || (host.condition(service) == condition).then_some(()));
}

fn ids(report: &serde_json::Value) -> Vec<String> {
    let goes = report["goes"].as_array().unwrap();
    goes.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn superseded_images_go_and_nothing_that_anybody_uses() {
    let Some(mut host) = Host::new() else { return };
    host.environment.push(("EVENKEEL_LIMITS_KEEP_REVISIONS".to_owned(), "1".to_owned()));
    host.environment.push(("EVENKEEL_LIMITS_WATCH_WINDOW".to_owned(), "0s".to_owned()));
    let images: Vec<String> = ["1", "2", "3", "4"].iter().map(|tag| host.image(tag, &[], &[])).collect();
    let daemon = host.run();
    for image in &images {
        host.write("web.toml", &plain("web", image, ""));
        wait_for("the next one serves", || host.serving("web").filter(|seen| seen.image() == *image));
        becomes(&host, "web", "ready");
    }
    // The first is used by a stopped container of somebody's, and the second has a name of somebody's.
    let theirs = host.foreign(&format!("{}-theirs", host.project), &images[0], &["--entrypoint", "/program"]);
    docker(&["stop", "--time", "0", &theirs]);
    let alias = format!("{}/alias:mine", host.project);
    docker(&["tag", &images[1], &alias]);
    let third = inspect_image(&images[2]).unwrap();
    // Old containers and keep-tags go by themselves once nothing may go back to them.
    wait_for("only the third may go", || {
        let shown = host.evenkeel(&["prune", "--dry-run", "--json"]).expect(0).json();
        (ids(&shown) == [third.clone()]).then_some(())
    });
    let refused = host.evenkeel(&["prune"]).expect(4);
    assert!(refused.err.contains("--yes") && inspect_image(&images[2]).is_some(), "{refused:?}");
    let kept = host.evenkeel(&["prune", "--keep", "1", "--yes"]).expect(0);
    assert!(kept.out.contains("nothing") && inspect_image(&images[2]).is_some(), "{kept:?}");
    let older = host.evenkeel(&["prune", "--older-than", "1d", "--yes", "--json"]).expect(0).json();
    assert!(ids(&older).is_empty(), "it has only just become superfluous: {older}");
    host.evenkeel(&["prune", "--yes"]).expect(0);
    assert_eq!(inspect_image(&images[2]), None);
    assert!(inspect_image(&images[0]).is_some() && inspect_image(&images[1]).is_some());
    drop(daemon);
    // The same without a daemon, once the stranger is gone.
    docker(&["rm", &theirs]);
    let first = inspect_image(&images[0]).unwrap();
    let done = host.evenkeel(&["prune", "--yes", "--json"]).expect(0).json();
    assert_eq!(ids(&done), [first]);
    assert!(inspect_image(&images[0]).is_none() && inspect_image(&alias).is_some());
    assert!(host.serving("web").is_some_and(|seen| seen.image() == images[3]));
}

const FILE: &str = "# The shop of this test.

# Cached pages.
[services.cache] # small
image = \"IMAGE\"

# What is sold.
[services.web]
image = \"IMAGE\"
# Its data and the common ones.
volumes = [\"data:/data\", \"common:/common\", \"made:/made\", \"/anon\"]
[services.web.labels]
a = \"b\"

# Uses the common volume, too.
[services.job]
image = \"IMAGE\"
volumes = [\"common:/common\"]

[volumes]
data = {}
common = {}
made = { external = true, name = \"MADE\" }
";

#[test]
fn rm_leaves_no_trace_but_what_others_use() {
    let Some(host) = Host::new() else { return };
    let image = host.image("1", &[], &[]);
    let made = format!("{}-made", host.project);
    docker(&["volume", "create", "--label", &format!("evenkeel-test={}", host.project), &made]);
    host.write("shop.toml", &FILE.replace("IMAGE", &image).replace("MADE", &made));
    let daemon = host.run();
    becomes(&host, "web", "ready");
    becomes(&host, "job", "ready");
    becomes(&host, "cache", "ready");
    let id = host.id("web");
    let still = host.evenkeel(&["rm", &id, "--yes"]).expect(1);
    assert!(still.err.contains("shop.toml:8") && still.err.contains("--definition"), "{still:?}");
    let shown =
        host.evenkeel(&["rm", &id, "--definition", "--volumes", "--dry-run", "--json"]).expect(0).json();
    let fate = |name: &str| {
        let all = shown["volumes"].as_array().unwrap();
        all.iter().find(|row| row["name"].as_str().unwrap().ends_with(name)).unwrap()["stays"].to_string()
    };
    assert_eq!(fate("_data"), "null");
    assert!(fate("_common").contains("job") && fate("-made").contains("evenkeel did not make it"), "{shown}");
    let anonymous =
        shown["volumes"].as_array().unwrap().iter().find(|row| row["name"].as_str().unwrap().len() == 64);
    let anonymous = anonymous.unwrap()["name"].as_str().unwrap().to_owned();
    let asked = host.evenkeel(&["rm", "web", "--definition", "--volumes"]).expect(4);
    assert!(asked.out.contains("_data with everything in it") && asked.err.contains("--yes"), "{asked:?}");
    assert!(host.serving("web").is_some());

    host.evenkeel(&["rm", "web", "--definition", "--volumes", "--images", "--yes"]).expect(0);
    let text = fs::read_to_string(host.desired.join(&host.project).join("shop.toml")).unwrap();
    let begin = FILE.find("[services.web]").unwrap();
    let end = FILE.find("\n# Uses the common").unwrap();
    let expected = (FILE[..begin].to_owned() + &FILE[end..]).replace("data = {}\n", "");
    let expected = expected.replace("IMAGE", &image).replace("MADE", &made);
    assert_eq!(text, expected, "all but the service stays, comments too");
    assert!(host.of("web").is_empty() && host.status("web").is_none());
    assert_eq!(inspect_image(&format!("evenkeel/{}-web", host.project)), None);
    let volume = |name: &str| try_docker(&["volume", "inspect", name]).is_ok();
    assert!(!volume(&format!("{}_data", host.project)) && !volume(&anonymous));
    assert!(volume(&format!("{}_common", host.project)) && volume(&made));
    assert!(inspect_image(&image).is_some(), "others run it");
    let tags = docker(&[
        "image",
        "ls",
        "--format",
        "{{.Repository}}",
        "--filter",
        &format!("reference=evenkeel/{}-*", host.project),
    ]);
    assert!(!tags.contains("-web") && tags.contains("-cache"), "{tags}");
    becomes(&host, "cache", "ready");
    drop(daemon);

    // Without a daemon the same; what depends on it keeps it in the file.
    let needs =
        text.replace("[services.cache] # small\n", "[services.cache] # small\ndepends_on = [\"job\"]\n");
    host.write("shop.toml", &needs);
    let refused = host.evenkeel(&["rm", "job", "--definition", "--yes"]).expect(1);
    assert!(refused.err.contains("unknown-dependency"), "{refused:?}");
    host.write("shop.toml", &text);
    let done = host.evenkeel(&["rm", "job", "--definition", "--volumes", "--yes", "--json"]).expect(0).json();
    assert_eq!(done["volumes"][0], *format!("{}_common", host.project));
    assert!(
        !fs::read_to_string(host.desired.join(&host.project).join("shop.toml"))
            .unwrap()
            .contains("common = {}")
    );
    assert!(host.of("job").is_empty() && !volume(&format!("{}_common", host.project)));
    let history = host.evenkeel(&["history", "--json"]).expect(0);
    assert!(history.out.contains("removed"), "what was done is still told: {history:?}");
    host.evenkeel(&["rm", "job", "--yes"]).expect(1);
}

#[test]
fn pulls_wait_under_pressure_and_go_on_when_there_is_room() {
    let Some(mut host) = Host::new() else { return };
    let here = host.image("1", &[], &[]);
    host.write("web.toml", &plain("web", &here, ""));
    host.write("new.toml", &plain("new", "127.0.0.1:1/nowhere:1", ""));
    host.environment.push(("EVENKEEL_LIMITS_DISK_PRESSURE".to_owned(), "100%".to_owned()));
    let daemon = host.run();
    becomes(&host, "web", "ready");
    wait_for("the pull waits", || {
        let row = host.status("new")?;
        (row.pointer("/condition/reason")? == "DiskPressure").then_some(())
    });
    assert_eq!(daemon.metric("evenkeel_disk_pressure"), Some(1.0));
    assert!(daemon.metric("evenkeel_disk_free_bytes").is_some_and(|free| free > 0.0));
    let doctor = host.evenkeel(&["doctor"]).expect(1);
    assert!(doctor.out.contains("limits.disk_pressure"), "{doctor:?}");
    drop(daemon);
    host.environment.clear();
    let daemon = host.run();
    wait_for("the pull is tried", || {
        let row = host.status("new")?;
        (row.pointer("/condition/reason")? != "DiskPressure").then_some(())
    });
    assert_eq!(daemon.metric("evenkeel_disk_pressure"), Some(0.0));
    assert!(inspect(&host.name("web")).is_some());
}
