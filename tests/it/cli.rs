//! The command line from outside: the binary, its output and its exit codes.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Output, Stdio};

use clap::CommandFactory;
use evenkeel::cli::Cli;

/// The binary in a directory of its own, with nothing of this process's settings.
pub fn evenkeel(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("EVENKEEL_") || name == "DOCKER_HOST" {
            command.env_remove(name);
        }
    }
    command.args(args).stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> Output {
    evenkeel(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn every_command_explains_itself_with_examples() {
    let command = Cli::command();
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    assert!(!names.is_empty());
    for name in &names {
        let output = run(&[name, "--help"]);
        let help = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{name}");
        assert!(
            help.contains("Examples:") && help.contains(&format!("  evenkeel {name}")),
            "{name}:\n{help}"
        );
    }
    assert!(text(&run(&["--help"]).stdout).contains("Exit codes:"));
}

#[test]
fn a_wrong_call_is_64_and_an_answer_is_0() {
    let table: [(&[&str], i32); 6] = [
        (&[], 64),
        (&["frobnicate"], 64),
        (&["completions"], 64),
        (&["completions", "tcsh"], 64),
        (&["--help"], 0),
        (&["--version"], 0),
    ];
    for (args, expected) in table {
        assert_eq!(run(args).status.code(), Some(expected), "{args:?}");
    }
    assert_eq!(text(&run(&["--version"]).stdout), format!("evenkeel {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_misspelt_command_is_suggested() {
    let said = text(&run(&["completion", "bash"]).stderr);
    assert!(said.contains("completions"), "{said}");
}

#[test]
fn completions_exist_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        assert!(text(&output.stdout).contains("evenkeel"), "{shell}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let mut child =
        evenkeel(&["completions", "zsh"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{said}");
    assert_eq!(said, "");
}

/// A place of its own: files, memory, settings.
struct Place {
    dir: tempfile::TempDir,
}

const SHOP: &str = r#"
[services.web]
image = "nginx:1"
environment = { PASSWORD = "hunter2" }
depends_on = ["db"]
deploy.update_config.monitor = "100ms"
[services.db]
image = "postgres:16"
deploy.update_config.monitor = "100ms"
"#;

impl Place {
    fn new(file: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("desired/shop")).unwrap();
        let place = Self { dir };
        place.write(file);
        std::fs::write(place.dir.path().join("evenkeel.toml"), "").unwrap();
        place
    }

    fn write(&self, file: &str) {
        let path = self.dir.path().join("desired/shop/app.toml");
        std::fs::write(path.with_extension("new"), file).unwrap();
        std::fs::rename(path.with_extension("new"), path).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = evenkeel(args);
        command
            .current_dir(self.dir.path())
            .env("EVENKEEL_STATE", self.dir.path().join("state"))
            .env("EVENKEEL_CONFIG", self.dir.path().join("evenkeel.toml"))
            // Nobody answers there: what needs no engine must not notice.
            .env("DOCKER_HOST", format!("unix://{}", self.dir.path().join("no-engine.sock").display()));
        command
    }

    fn run(&self, args: &[&str]) -> (i32, String, String) {
        let output = self.command(args).output().unwrap();
        (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
    }

    fn json(&self, args: &[&str]) -> serde_json::Value {
        let (code, out, err) = self.run(args);
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{args:?} ({code}): {error}\n{out}\n{err}"))
    }
}

/// A daemon on a simulated engine, until dropped.
struct Daemon(std::process::Child);

impl Daemon {
    fn start(place: &Place) -> Self {
        let log = std::fs::File::create(place.dir.path().join("log")).unwrap();
        let mut command = place.command(&["run", "--engine", "simulated", "--listen", "off"]);
        let daemon = Self(command.stderr(log).spawn().unwrap());
        let ready = || {
            let (_, out, _) = place.run(&["status", "--json"]);
            let report: serde_json::Value = serde_json::from_str(&out).unwrap_or_default();
            let rows = report["services"].as_array().cloned().unwrap_or_default();
            rows.len() == 2 && rows.iter().all(|row| row["condition"]["kind"] == "ready")
        };
        let start = std::time::Instant::now();
        while !ready() {
            let log = std::fs::read_to_string(place.dir.path().join("log")).unwrap_or_default();
            assert!(
                start.elapsed() < std::time::Duration::from_secs(60),
                "the daemon does not get ready:\n{log}"
            );
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        daemon
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

#[test]
fn the_commands_talk_to_the_daemon_and_end_with_the_right_codes() {
    let place = Place::new(SHOP);
    let _daemon = Daemon::start(&place);
    // (call, exit code, what stdout and stderr together hold)
    let table: [(&[&str], i32, &[&str]); 18] = [
        (&["status"], 0, &["SIMULATED ENGINE", "shop/web", "ready", "1/1", "nginx:1"]),
        (&["status", "web"], 0, &["shop/web"]),
        (&["status", "wbe"], 1, &["no service `wbe`"]),
        (&["why", "web"], 0, &["shop/web is ready", "in shop/app.toml:2"]),
        (&["why", "shop/nosuch"], 1, &["no service"]),
        (&["history"], 0, &["committed", "shop/db"]),
        (&["history", "web", "-n", "1"], 0, &["committed"]),
        (&["history", "web", "--revisions"], 0, &["r1", "nginx:1", "good, the one to go back to"]),
        (&["history", "--revisions"], 64, &["SERVICE"]),
        (&["hold", "web", "-m", "black friday", "--for", "2d"], 0, &["shop/web", "black friday"]),
        (&["status", "web"], 0, &["held", "black friday"]),
        (&["release", "web"], 0, &["shop/web is ready"]),
        (&["release", "web"], 1, &["not held"]),
        (&["rollback", "web"], 1, &["no earlier revision"]),
        (&["hold", "web", "--for", "soon"], 64, &["15m"]),
        (&["approve", "abc"], 1, &["nothing waits"]),
        (&["retry", "web", "--no-wait"], 0, &["shop/web"]),
        (&["logs", "web", "--previous-failure"], 1, &["no revision"]),
    ];
    for (args, code, parts) in table {
        let (found, out, err) = place.run(args);
        let said = format!("{out}{err}");
        assert_eq!(found, code, "{args:?}\n{said}");
        for part in parts {
            assert!(said.contains(part), "{args:?} lacks {part:?}:\n{said}");
        }
        assert!(!said.contains("hunter2"), "{args:?} shows a secret:\n{said}");
    }
}

#[test]
fn an_edit_a_rollback_and_its_release_go_through_the_daemon() {
    let place = Place::new(SHOP);
    let _daemon = Daemon::start(&place);
    place.write(&SHOP.replace("nginx:1", "nginx:2"));
    let (code, out, err) = place.run(&["apply"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("nginx:2 serves"), "{out}{err}");
    let (code, out, err) = place.run(&["rollback", "web"]);
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(place.json(&["status", "web", "--json"])["services"][0]["image"], "nginx:1");
    assert_eq!(place.json(&["why", "web", "--json"])["hold"]["until_change"], true);
    assert_eq!(place.run(&["release", "web"]).0, 0);
    assert_eq!(place.json(&["status", "web", "--json"])["services"][0]["image"], "nginx:2");
    let history = place.json(&["history", "web", "--json"]);
    let events: Vec<&str> =
        history.as_array().unwrap().iter().map(|row| row["event"].as_str().unwrap()).collect();
    assert!(events.contains(&"held") && events.contains(&"released"), "{events:?}");
    // A file that does not load is an error of apply, and changes nothing.
    place.write("[services.web\n");
    assert_eq!(place.run(&["apply"]).0, 1);
    assert!(place.run(&["status"]).1.contains("frozen"));
}

#[test]
fn a_hold_for_a_time_ends_by_itself_when_the_time_is_over() {
    let place = Place::new(SHOP);
    let _daemon = Daemon::start(&place);
    assert_eq!(place.run(&["hold", "web", "--for", "3s"]).0, 0);
    place.write(&SHOP.replace("nginx:1", "nginx:2"));
    let row = |place: &Place| place.json(&["status", "web", "--json"])["services"][0].clone();
    let held = row(&place);
    assert_eq!((&held["condition"]["kind"], &held["image"]), (&"held".into(), &"nginx:1".into()), "{held}");
    // Long before the regular look at everything.
    crate::support::wait_for("the file counts again", || (row(&place)["image"] == "nginx:2").then_some(()));
    let history = place.run(&["history", "web"]).1;
    assert!(history.contains("the hold ended"), "{history}");
}

#[test]
fn status_that_watches_shows_the_host_again_when_something_changed() {
    let place = Place::new(SHOP);
    let _daemon = Daemon::start(&place);
    let mut watching = place
        .command(&["status", "web", "--watch"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.by_ref().take(3).any(|line| line.contains("nginx:1")), "what is there is shown at once");
    place.write(&SHOP.replace("nginx:1", "nginx:2"));
    // Ends with the test's process at the latest: every line that comes is one that changed.
    let shown = lines.find(|line| line.contains("ready") && line.contains("nginx:2"));
    assert!(shown.is_some(), "the watch ended before the new image was shown");
    watching.kill().unwrap();
    watching.wait().unwrap();
}

#[test]
fn validate_speaks_json_by_either_flag() {
    let place = Place::new("[services.web]\nimag = 1\n");
    let found = place.json(&["validate", "--json"]);
    assert_eq!(found, place.json(&["validate", "--format", "json"]));
    assert_eq!(found[0]["file"], "shop/app.toml");
    assert_eq!(place.run(&["validate", "--json", "--format", "short"]).0, 64);
}

#[test]
fn plan_for_an_empty_host_needs_no_engine_and_leaves_no_trace() {
    let place = Place::new(SHOP);
    let (code, out, err) = place.run(&["plan", "--engine", "simulated", "--detailed-exitcode"]);
    assert_eq!(code, 2, "{out}{err}");
    for part in ["+ shop/db", "+ shop/web", "create", "pull nginx:1", "2 to create"] {
        assert!(out.contains(part), "lacks {part:?}:\n{out}");
    }
    assert!(err.contains("SIMULATED") && !out.contains("hunter2"), "{out}{err}");
    assert!(!out.contains('\x1b'), "colours go to terminals only");
    let plan = place.json(&["plan", "web", "--engine", "simulated", "--json"]);
    assert_eq!(
        (&plan["pending"], plan["services"].as_array().unwrap().len()),
        (&true.into(), 2),
        "with what it needs"
    );
    assert!(!place.dir.path().join("state").exists(), "plan made a state directory");
    place.write("[services.web]\nimag = 1\n");
    let (code, _, err) = place.run(&["plan", "--engine", "simulated"]);
    assert!(code == 1 && err.contains("app.toml:2:1"), "{code} {err}");
}

#[test]
fn without_daemon_and_engine_each_command_says_what_is_missing() {
    let place = Place::new(SHOP);
    let table: [(&[&str], i32, &str); 8] = [
        (&["status"], 0, "no daemon runs"),
        (&["plan"], 1, "no-engine.sock"),
        (&["apply"], 1, "no-engine.sock"),
        (&["logs", "web"], 1, "no-engine.sock"),
        (&["rollback", "web"], 1, "no service is known"),
        (&["approve", "x"], 1, "no daemon runs"),
        (&["history"], 0, "nothing has happened yet"),
        (&["doctor"], 1, "no-engine.sock"),
    ];
    for (args, code, part) in table {
        let (found, out, err) = place.run(args);
        assert_eq!(found, code, "{args:?}\n{out}{err}");
        assert!(format!("{out}{err}").contains(part), "{args:?} lacks {part:?}:\n{out}{err}");
    }
    assert!(!place.json(&["status", "--json"])["host"]["engine"]["up"].as_bool().unwrap());
}

#[test]
fn doctor_names_each_check_and_what_to_do_about_a_failed_one() {
    let place = Place::new("");
    let findings = place.json(&["doctor", "--json"]);
    let findings = findings.as_array().unwrap();
    let level =
        |check: &str| findings.iter().find(|row| row["check"] == check).map(|row| row["level"].clone());
    let expected =
        [("daemon", "ok"), ("engine", "fail"), ("clock", "ok"), ("desired state", "warn"), ("state", "ok")];
    for (check, wanted) in expected {
        assert_eq!(level(check), Some(wanted.into()), "{check}: {findings:?}");
    }
    for row in findings.iter().filter(|row| row["level"] != "ok") {
        assert!(row["fix"].as_str().is_some_and(|fix| !fix.is_empty()), "{row}");
    }
    assert!(!place.dir.path().join("state").exists(), "doctor changes nothing");
}

/// An engine of before 2020, as far as anybody asks it.
fn old_engine(socket: &std::path::Path) {
    let listener = std::os::unix::net::UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut head = [0; 4096];
            let _asked = client.read(&mut head);
            let body = r#"{"Version":"19.03.15","ApiVersion":"1.40","MinAPIVersion":"1.12"}"#;
            let _told = write!(client, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        }
    });
}

#[test]
fn an_engine_that_is_too_old_is_refused_with_what_to_do() {
    let place = Place::new(SHOP);
    old_engine(&place.dir.path().join("no-engine.sock"));
    for args in [vec!["plan"], vec!["apply"], vec!["logs", "web"]] {
        let (code, out, err) = place.run(&args);
        assert!(
            code == 1 && err.contains("1.40") && err.contains("upgrade the engine"),
            "{args:?}: {out}{err}"
        );
    }
    let findings = place.json(&["doctor", "--json"]);
    let engine = findings.as_array().unwrap().iter().find(|row| row["check"] == "engine").unwrap();
    assert_eq!(engine["level"], "fail");
    assert!(engine["found"].as_str().unwrap().contains("19.03.15"), "{engine}");
    assert!(engine["fix"].as_str().unwrap().contains("upgrade the engine"), "{engine}");
}

#[test]
fn a_wrong_setting_stops_every_command_before_it_does_anything() {
    let place = Place::new(SHOP);
    std::fs::write(place.dir.path().join("evenkeel.toml"), "lissten = 'off'\n").unwrap();
    for args in [vec!["status"], vec!["run", "--engine", "simulated"], vec!["doctor"], vec!["apply"]] {
        let (code, _, err) = place.run(&args);
        assert!(
            code == 1 && err.contains("evenkeel.toml:1") && err.contains("did you mean listen?"),
            "{args:?}: {err}"
        );
    }
}

#[test]
fn a_port_that_is_taken_ends_the_daemon_with_a_reason() {
    let place = Place::new(SHOP);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, _, err) = place.run(&["run", "--engine", "simulated", "--listen", &address]);
    assert!(code == 1 && err.contains(&address) && err.contains("--listen"), "{code} {err}");
}
