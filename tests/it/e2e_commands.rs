//! The commands and their exit codes, on the real engine.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::support::files::{checked, plain};
use crate::support::wait::{free_port, page};
use crate::support::{Host, wait_for};

#[test]
fn plan_shows_and_changes_nothing_apply_does_it_and_then_there_is_nothing_to_do() {
    let Some(host) = Host::new() else { return };
    let (one, two, port) = (host.image("1.0", &[], &[]), host.image("1.1", &[], &[]), free_port());
    host.write("web.toml", &checked("web", &one, port, ""));
    let plan = host.evenkeel(&["plan", "--detailed-exitcode"]).expect(2);
    assert!(plan.out.contains(&host.id("web")) && plan.out.contains(&one), "{}", plan.out);
    assert!(host.containers().is_empty(), "plan made something");

    host.evenkeel(&["apply"]).expect(0);
    assert_eq!(page(port, "/version").as_deref(), Some("1.0"), "apply waits for the gate");
    host.evenkeel(&["plan", "--detailed-exitcode"]).expect(0);
    let before = host.serving("web").unwrap();
    host.evenkeel(&["apply"]).expect(0);
    assert_eq!(host.serving("web").unwrap().started_at(), before.started_at(), "nothing to do, nothing done");

    host.write("web.toml", &checked("web", &two, port, ""));
    let plan = host.evenkeel(&["plan", "--detailed-exitcode"]).expect(2);
    for word in [&*one, &*two, "stop-first", "web.toml"] {
        assert!(plan.out.contains(word), "`{word}` is not in the plan:\n{}", plan.out);
    }
    // Every field with both values, every step with its cause.
    for line in [
        format!("image  {one} -> {two}"),
        format!("2. create {}.", host.name("web")),
        format!("(image {one} -> {two} ({}/web.toml:2))", host.project),
        format!("3. stop {}  (as 2; stop-first: publishes host port {port})", host.name("web")),
    ] {
        assert!(plan.out.contains(&line), "`{line}` is not in the plan:\n{}", plan.out);
    }
    let plan = host.evenkeel(&["plan", "--json"]).expect(0).json();
    let steps = plan["services"][0]["steps"].as_array().unwrap();
    assert!(
        steps.len() > 4
            && steps.iter().all(|step| step["cause"].as_str().is_some_and(|text| !text.is_empty()))
    );
    host.evenkeel(&["apply"]).expect(0);
    assert_eq!(page(port, "/version").as_deref(), Some("1.1"));
}

#[test]
fn apply_says_by_its_exit_code_that_it_rolled_back() {
    let Some(host) = Host::new() else { return };
    let (good, bad, port) = (host.image("1.0", &[], &[]), host.image("bad", &[], &["fail"]), free_port());
    host.write("web.toml", &checked("web", &good, port, ""));
    host.evenkeel(&["apply"]).expect(0);
    host.write("web.toml", &checked("web", &bad, port, ""));
    host.evenkeel(&["apply"]).expect(3);
    assert_eq!(page(port, "/version").as_deref(), Some("1.0"));
}

#[test]
fn apply_refuses_a_mass_removal() {
    let Some(host) = Host::new() else { return };
    let image = host.image("1.0", &[], &[]);
    host.write("app.toml", &["a", "b", "c", "d"].map(|name| plain(name, &image, "")).concat());
    host.evenkeel(&["apply"]).expect(0);
    host.write("app.toml", &plain("a", &image, ""));
    host.evenkeel(&["apply"]).expect(4);
    assert_eq!(host.containers().len(), 4);
}

#[test]
fn a_wrong_file_is_an_error_with_its_place_and_changes_nothing() {
    let Some(host) = Host::new() else { return };
    host.write("web.toml", "[services.web]\nimage = \"x:1\"\nprots = [\"80:80\"]\n");
    let ended = host.evenkeel(&["validate"]).expect(1);
    let text = ended.out + &ended.err;
    assert!(text.contains("web.toml:3:1") && text.contains("did you mean `ports`"), "{text}");
    host.evenkeel(&["apply"]).expect(1);
    assert!(host.containers().is_empty());
}

#[test]
fn an_unknown_flag_is_a_usage_error() {
    let host = Host::without_engine();
    host.evenkeel(&["plan", "--no-such-flag"]).expect(64);
    host.evenkeel(&["--help"]).expect(0);
    host.evenkeel(&["--version"]).expect(0);
}

#[test]
fn the_same_job_runs_on_a_simulated_engine_and_says_that_it_is_one() {
    let host = Host::without_engine();
    host.write("web.toml", &plain("web", "example.org/app:1", ""));
    let daemon = crate::support::Daemon::start(&host, &["--engine", "simulated"]);
    wait_for("the simulated service is ready", || (host.condition("web") == "ready").then_some(()));
    assert!(daemon.log().to_lowercase().contains("simulated"), "{}", daemon.log());
}

#[test]
fn logs_shows_what_the_container_printed() {
    let Some(host) = Host::new() else { return };
    let image = host.image("1.0", &[], &[]);
    host.write("web.toml", &plain("web", &image, ""));
    host.evenkeel(&["apply"]).expect(0);
    let logs = host.evenkeel(&["logs", &host.id("web")]).expect(0);
    assert!(logs.out.contains("version 1.0 serves port 8080"), "{}", logs.out);
}

#[test]
fn logs_are_followed_across_a_replacement_and_each_line_is_an_object() {
    let Some(host) = Host::new() else { return };
    let (one, two) = (host.image("1.0", &[], &[]), host.image("1.1", &[], &[]));
    host.write("web.toml", &plain("web", &one, ""));
    let _daemon = host.run();
    wait_for("it is ready", || (host.condition("web") == "ready").then_some(()));
    let first = host.serving("web").unwrap().name;
    let mut call = host.command();
    call.args(["logs", "web", "--follow", "--json"]).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut following = call.spawn().unwrap();
    let lines = BufReader::new(following.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut objects = lines.map(|line| serde_json::from_str::<serde_json::Value>(&line).unwrap());
    let line = objects.next().unwrap();
    assert_eq!((&line["container"], &line["stream"]), (&first.into(), &"stdout".into()), "{line}");
    assert!(line["time"].as_str().is_some_and(|time| time.starts_with("20")), "{line}");
    assert_eq!(line["line"], "version 1.0 serves port 8080");
    host.write("web.toml", &plain("web", &two, ""));
    let new = objects.find(|line| line["line"] == "version 1.1 serves port 8080");
    assert!(new.is_some(), "the log ended with the first container");
    let stopped = Command::new("kill").args(["-INT", &following.id().to_string()]).status().unwrap();
    assert!(stopped.success() && following.wait().unwrap().success());
}

#[test]
fn a_secret_is_in_no_output_of_ours() {
    let Some(host) = Host::new() else { return };
    let (one, two) = (host.image("1.0", &[], &[]), host.image("1.1", &[], &[]));
    let secret = "canary-3f9a77";
    host.write(".env", &format!("TOKEN={secret}\n"));
    let file = |image: &str, extra: &str| {
        plain("web", image, &format!("environment = {{ TOKEN = \"${{TOKEN}}{extra}\" }}"))
    };
    host.write("web.toml", &file(&one, ""));
    let daemon = host.run();
    wait_for("it is ready", || (host.condition("web") == "ready").then_some(()));
    let id = host.id("web");
    host.write("web.toml", &file(&two, "x"));
    let mut shown = Vec::new();
    for call in [
        vec!["plan"],
        vec!["plan", "--json"],
        vec!["status", "--json"],
        vec!["why", &id],
        vec!["history", &id],
        vec!["validate"],
    ] {
        let ended = host.evenkeel(&call);
        shown.push((call.join(" "), ended.out + &ended.err));
    }
    wait_for("it is updated", || host.serving("web").filter(|seen| seen.image() == two));
    let seen = host.serving("web").unwrap();
    assert_eq!(seen.variable("TOKEN"), Some(&*format!("{secret}x")), "the container has it");
    shown.push(("log".into(), daemon.log()));
    shown.push(("metrics".into(), daemon.metrics().unwrap_or_default()));
    shown.push(("labels".into(), seen.json["Config"]["Labels"].to_string()));
    for (place, text) in shown {
        assert!(!text.contains(secret), "the secret is in {place}:\n{text}");
    }
}
