//! Jobs on the real engine.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::support::docker::{Seen, docker};
use crate::support::files::plain;
use crate::support::private_engine::PrivateEngine;
use crate::support::wait::try_wait;
use crate::support::{Host, stays, wait_for};

fn job(host: &Host, name: &str) -> Value {
    let ended = host.evenkeel(&["jobs", name, "--json"]);
    serde_json::from_str(&ended.out).unwrap_or(Value::Null)
}

/// `schedule succeeded 0`, newest first.
fn runs(host: &Host, name: &str) -> Vec<String> {
    let row = job(host, name);
    let all = row.get("runs").and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |run: &Value, key: &str| match run.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => "-".to_owned(),
        Some(other) => other.to_string(),
    };
    all.iter()
        .map(|run| format!("{} {} {}", text(run, "cause"), text(run, "state"), text(run, "code")))
        .collect()
}

fn becomes(host: &Host, name: &str, expected: &[&str]) {
    let mut last = Vec::new();
    let seen = try_wait(Duration::from_secs(60), || {
        last = runs(host, name);
        (last == expected).then_some(())
    });
    assert!(seen.is_some(), "{name} has {last:?}, not {expected:?}: {}", job(host, name));
}

/// The daemon has read the files: it says of this job that nothing of it is under way.
fn known(host: &Host, name: &str) {
    wait_for("the daemon knows the job", || {
        host.evenkeel(&["job", "stop", name]).err.contains("no run of it is under way").then_some(())
    });
}

fn containers(host: &Host, name: &str) -> Vec<Seen> {
    host.containers().into_iter().filter(|seen| seen.label("dev.evenkeel.job") == name).collect()
}

fn folder(host: &Host) -> PathBuf {
    let path = host.root().join("trace");
    fs::create_dir_all(&path).unwrap();
    path
}

fn trace(host: &Host) -> String {
    let text = fs::read_to_string(folder(host).join("log")).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn mounted(host: &Host) -> String {
    format!("volumes = [\"{}:/trace\"]", folder(host).display())
}

#[test]
fn a_job_runs_by_hand_and_its_history_and_log_tell_how_it_went() {
    let Some(host) = Host::new() else { return };
    let image = host.image("1.0", &[], &[]);
    host.write(
        "jobs.toml",
        &format!(
            "[defaults.jobs]\nimage = \"{image}\"\n[jobs.good]\ncommand = [\"ok\"]\n[jobs.bad]\ncommand = [\"fail\", \"7\"]\nkeep = {{ failure = 1 }}\n"
        ),
    );
    let daemon = host.run();
    known(&host, "good");
    let ended = host.evenkeel(&["job", "run", "good", "--wait"]).expect(0);
    assert!(ended.out.contains("succeeded: exited with 0"), "{}", ended.out);
    let ended = host.evenkeel(&["job", "run", "bad", "--wait"]).expect(1);
    assert!(
        ended.out.contains("failed: exited with 7") && ended.err.contains("told to fail with 7"),
        "{ended:?}"
    );
    host.evenkeel(&["job", "run", "bad", "--wait"]).expect(1);
    becomes(&host, "bad", &["hand failed 7", "hand failed 7"]);

    // One container a run, named by it, and no service's.
    let of_good = containers(&host, "good");
    assert_eq!(of_good.len(), 1);
    let run = of_good[0].label("dev.evenkeel.run").to_owned();
    assert_eq!(of_good[0].name, format!("{}-good-{run}", host.project));
    assert_eq!((of_good[0].service(), of_good[0].label("com.docker.compose.oneoff")), ("", "True"));
    wait_for("the older one of two that failed goes", || (containers(&host, "bad").len() == 1).then_some(()));

    assert_eq!(host.evenkeel(&["logs", "good"]).expect(0).out.trim(), "told to succeed");
    assert_eq!(host.evenkeel(&["logs", "bad"]).expect(0).err.trim(), "told to fail with 7");
    let row = job(&host, "bad");
    let gone = row.pointer("/runs/1/run").and_then(Value::as_str).unwrap();
    let ended = host.evenkeel(&["logs", "bad", "--run", gone]).expect(0);
    assert_eq!(
        ended.out.trim(),
        "told to fail with 7",
        "of a container that is gone the journal has the end"
    );

    let table = host.evenkeel(&["jobs"]).expect(0).out;
    assert!(table.contains("by hand") && table.contains("succeeded") && table.contains("failed"), "{table}");
    let series = |name: &str, more: &str| {
        daemon.metric(&format!("{name}{{job_name=\"bad\",project=\"{}\"{more}}}", host.project))
    };
    assert_eq!(series("evenkeel_job_runs_total", ",result=\"failed\""), Some(2.0));
    assert_eq!(series("evenkeel_job_last_success_timestamp_seconds", ""), Some(0.0));
    assert_eq!(series("evenkeel_job_running", ""), Some(0.0));

    // Without the daemon what is known can still be read; to run one, it is needed.
    drop(daemon);
    assert_eq!(runs(&host, "bad"), ["hand failed 7", "hand failed 7"]);
    let refused = host.evenkeel(&["job", "run", "good"]).expect(1).err;
    assert!(refused.contains("start `evenkeel run`"), "{refused}");
}

#[test]
fn a_job_that_left_the_files_leaves_nothing_and_one_in_a_broken_file_goes_on() {
    let Some(host) = Host::new() else { return };
    let image = host.image("1.0", &[], &[]);
    let job_file = |name: &str| format!("[jobs.{name}]\nimage = \"{image}\"\ncommand = [\"ok\"]\n");
    host.write("jobs.toml", &job_file("goes"));
    host.write("other.toml", &job_file("stays"));
    let _daemon = host.run();
    known(&host, "goes");
    host.evenkeel(&["job", "run", "goes", "--wait"]).expect(0);
    host.evenkeel(&["job", "run", "stays", "--wait"]).expect(0);
    host.write("other.toml", "[jobs.stays\n");
    wait_for("it is told", || job(&host, "stays").pointer("/problem")?.as_str().map(str::to_owned));
    let refused = host.evenkeel(&["job", "run", "stays"]).expect(1).err;
    assert!(refused.contains("other.toml"), "{refused}");
    host.write("jobs.toml", "");
    stays("while a file is broken nothing goes", Duration::from_secs(3), || containers(&host, "goes").len());
    host.write("other.toml", &job_file("stays"));
    wait_for("the job is gone", || {
        (containers(&host, "goes").is_empty() && job(&host, "goes").is_null()).then_some(())
    });
    assert_eq!(containers(&host, "stays").len(), 1);
}

#[test]
fn retries_a_timeout_and_what_comes_after() {
    let Some(host) = Host::new() else { return };
    let image = host.image("1.0", &[], &[]);
    host.write(
        "jobs.toml",
        &format!(
            "[defaults.jobs]\nimage = \"{image}\"\nstop_grace_period = \"1s\"\n\
             [jobs.flaky]\ncommand = [\"fail\", \"3\"]\nretries = 2\nretry_delay = \"200ms\"\n\
             [jobs.slow]\ncommand = [\"sleep\", \"600000\"]\ntimeout = \"1s\"\n\
             [jobs.repair]\ncommand = [\"ok\"]\nafter = {{ flaky = \"failed\" }}\n\
             [jobs.never]\ncommand = [\"ok\"]\nafter = {{ flaky = \"succeeded\" }}\n\
             [jobs.report]\ncommand = [\"ok\"]\nafter = {{ repair = \"succeeded\", slow = \"finished\" }}\n\
             [jobs.setup]\ncommand = [\"ok\"]\non_change = true\n"
        ),
    );
    let mut daemon = host.run();
    known(&host, "flaky");
    becomes(&host, "setup", &["change succeeded 0"]);
    host.evenkeel(&["job", "run", "flaky", "--wait"]).expect(1);
    becomes(&host, "flaky", &["hand failed 3", "hand failed 3", "hand failed 3"]);
    let row = job(&host, "flaky");
    let ids: Vec<&str> = (0..3).filter_map(|n| row.pointer(&format!("/runs/{n}/run"))?.as_str()).collect();
    assert_eq!((ids[1].to_owned(), ids[0].to_owned()), (format!("{}-2", ids[2]), format!("{}-3", ids[2])));
    becomes(&host, "repair", &["after flaky succeeded 0"]);
    assert_eq!(runs(&host, "report"), Vec::<String>::new(), "the other one has not ended");
    let started = std::time::Instant::now();
    host.evenkeel(&["job", "run", "slow", "--wait"]).expect(1);
    assert!(started.elapsed() < Duration::from_secs(20));
    assert_eq!(job(&host, "slow").pointer("/last/state"), Some(&Value::from("timed-out")));
    becomes(&host, "report", &["after slow succeeded 0"]);
    assert_eq!(runs(&host, "never"), Vec::<String>::new());

    // The same definition does not run again, whoever restarts; another one does.
    daemon.kill();
    let _daemon = host.run();
    known(&host, "setup");
    stays("it has run once", Duration::from_secs(1), || runs(&host, "setup"));
    host.write(
        "jobs.toml",
        &format!("[jobs.setup]\nimage = \"{image}\"\ncommand = [\"fail\"]\non_change = true\n"),
    );
    becomes(&host, "setup", &["change failed 1", "change succeeded 0"]);
}

#[test]
fn what_overlaps_is_refused_queued_or_replaced_or_runs_beside() {
    let Some(host) = Host::new() else { return };
    let image = host.image("1.0", &[], &[]);
    let overlap = |name: &str| {
        format!(
            "[jobs.{name}]\nimage = \"{image}\"\nstop_grace_period = \"5s\"\ncommand = [\"sleep\", \"600000\"]\noverlap = \"{name}\"\n"
        )
    };
    let names = ["skip", "queue", "replace", "allow"];
    host.write("jobs.toml", &names.map(overlap).concat());
    let _daemon = host.run();
    known(&host, "allow");
    let up = |name: &str| -> Vec<String> {
        let running = containers(&host, name).into_iter().filter(Seen::running);
        running.map(|seen| seen.label("dev.evenkeel.run").to_owned()).collect()
    };
    for name in names {
        host.evenkeel(&["job", "run", name]).expect(0);
    }
    for name in names {
        wait_for("it runs", || (up(name).len() == 1).then_some(()));
    }
    let first = up("replace");
    let refused = host.evenkeel(&["job", "run", "skip"]).expect(1).err;
    assert!(refused.contains("is not over yet") && refused.contains("overlap"), "{refused}");
    for name in ["queue", "replace", "allow"] {
        host.evenkeel(&["job", "run", name]).expect(0);
    }
    wait_for("both run", || (up("allow").len() == 2).then_some(()));
    wait_for("another one runs", || {
        let up = up("replace");
        (up.len() == 1 && up != first).then_some(())
    });
    assert_eq!(job(&host, "replace").pointer("/last/state"), Some(&Value::from("replaced")));
    assert_eq!(up("queue").len(), 1);
    wait_for("it is told what the other one waits for", || {
        let queue = job(&host, "queue");
        let waits = queue.pointer("/open/1/text")?.as_str()?;
        (waits.starts_with("waits for run") && waits.ends_with("to end")).then_some(())
    });
    let running = up("queue").remove(0);
    host.evenkeel(&["job", "stop", "queue", "--run", &running]).expect(0);
    wait_for("the one that waited runs", || {
        let up = up("queue");
        (up.len() == 1 && up[0] != running).then_some(())
    });
    for name in names {
        host.evenkeel(&["job", "stop", name]).expect(0);
    }
    becomes(&host, "skip", &["hand stopped 0"]);
    becomes(&host, "queue", &["hand stopped 0", "hand stopped 0"]);
    becomes(&host, "allow", &["hand stopped 0", "hand stopped 0"]);
    becomes(&host, "replace", &["hand stopped 0", "hand replaced 0"]);
}

#[test]
fn a_command_runs_within_a_service_and_a_job_gets_networks_and_secrets() {
    let Some(mut host) = Host::new() else { return };
    let memory = tempfile::Builder::new().prefix("evenkeel-test-").tempdir_in("/dev/shm").unwrap();
    host.environment.push(("EVENKEEL_SECRETS_DIR".to_owned(), memory.path().display().to_string()));
    let image = host.image("1.0", &[("TEXT", "from db")], &[]);
    let service = plain("db", &image, &mounted(&host));
    host.write("db.toml", &service);
    host.write(
        "jobs.toml",
        &format!(
            "[secrets.token]\nfile = \"./token.txt\"\n[networks.back]\n\
             [jobs.within]\nexec_in = \"services.db\"\ncommand = [\"/program\", \"append\", \"/trace/log\", \"within\"]\n\
             [jobs.fails]\nexec_in = \"services.db\"\ncommand = [\"/program\", \"fail\", \"9\"]\n\
             [jobs.reads]\nimage = \"{image}\"\ncommand = [\"read\", \"/run/secrets/token\"]\nsecrets = [\"token\"]\nnetworks = [\"back\"]\ndepends_on = [\"db\"]\n"
        ),
    );
    host.write("token.txt", "geheim-und-mehr");
    let _daemon = host.run();
    known(&host, "within");
    host.evenkeel(&["job", "run", "within", "--wait"]).expect(0);
    assert_eq!(trace(&host), "within");
    let ended = host.evenkeel(&["job", "run", "fails", "--wait"]).expect(1);
    assert!(ended.err.contains("told to fail with 9"), "{ended:?}");
    assert!(containers(&host, "within").is_empty());
    host.evenkeel(&["job", "run", "reads", "--wait"]).expect(0);
    assert_eq!(host.evenkeel(&["logs", "reads"]).expect(0).out.trim(), "geheim-und-mehr");
    let made = containers(&host, "reads").remove(0);
    let networks = docker(&["inspect", "--format", "{{json .NetworkSettings.Networks}}", &made.id]);
    assert!(networks.contains(&format!("{}_back", host.project)), "{networks}");
}

#[test]
fn a_run_is_neither_lost_nor_doubled_though_evenkeel_is_killed_at_any_moment_of_it() {
    let Some(host) = Host::new() else { return };
    let image = host.image("1.0", &[], &[]);
    host.write(
        "jobs.toml",
        &format!("[jobs.once]\nimage = \"{image}\"\ncommand = [\"append\", \"/trace/log\", \"once\"]\nkeep = {{ success = 1 }}\n{}\n\
             [jobs.tick]\nimage = \"{image}\"\ncommand = [\"ok\"]\nschedule = \"* * * * *\"\n", mounted(&host)),
    );
    let mut daemon = host.run();
    known(&host, "once");
    for turn in 0..12_u64 {
        wait_for("it is taken", || (host.evenkeel(&["job", "run", "once"]).code == 0).then_some(()));
        std::thread::sleep(Duration::from_millis(turn * 30));
        daemon.kill();
        daemon = host.run();
        let row = wait_for("the run is over", || {
            let row = job(&host, "once");
            let ended: u64 = row.pointer("/results")?.as_object()?.values().filter_map(Value::as_u64).sum();
            (ended == turn + 1 && row.pointer("/open")?.as_array()?.is_empty()).then_some(row)
        });
        assert_eq!(row.pointer("/results/succeeded").and_then(Value::as_u64), Some(turn + 1), "{row}");
        assert_eq!(
            trace(&host).split(' ').count() as u64,
            turn + 1,
            "each has run once, killed after {} ms",
            turn * 30
        );
    }
    // Meanwhile a schedule went on: one run for each full minute, whatever was killed.
    let row = wait_for("a minute is over", || {
        let row = job(&host, "tick");
        (row.pointer("/results/succeeded")?.as_u64()? > 0).then_some(row)
    });
    let all = row.pointer("/runs").and_then(Value::as_array).unwrap();
    let ids: Vec<&str> = all.iter().filter_map(|run| run.get("run")?.as_str()).collect();
    assert!(ids.iter().all(|id| id.ends_with("00Z")), "named by their occurrences: {ids:?}");
    assert_eq!(row.pointer("/missed").and_then(Value::as_u64), Some(0));
    assert_eq!(row.pointer("/next").and_then(Value::as_i64).unwrap() % 60_000, 0);
}

#[test]
fn a_run_that_an_engine_took_along_is_lost_and_its_retry_runs() {
    let Some(mut engine) = PrivateEngine::start(false) else { return };
    let Some(host) = Host::new() else { return };
    let image = host.image("1.0", &[], &[]);
    host.write(
        "jobs.toml",
        &format!("[jobs.long]\nimage = \"{image}\"\ncommand = [\"sleep\", \"8000\"]\nretries = 1\nretry_delay = \"100ms\"\n"),
    );
    let _daemon = host.run();
    known(&host, "long");
    host.evenkeel(&["job", "run", "long"]).expect(0);
    wait_for("it runs", || containers(&host, "long").iter().any(Seen::running).then_some(()));
    engine.kill();
    engine.up();
    let both = wait_for("both tries are over", || Some(runs(&host, "long")).filter(|runs| runs.len() == 2));
    assert!(both[0] == "hand succeeded 0" && both[1] == "hand lost 0", "{both:?}");
    assert_eq!(containers(&host, "long").len(), 2);
}
