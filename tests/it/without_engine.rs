//! `make run` where no engine can be had: it says why, does the same job on the simulated engine, and says that it is one.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::host::BINARY;
use crate::support::wait::{free_port, page, try_wait};
use crate::support::wait_for;

/// `make` and what it started, in a process group of their own; ends with the test, whatever happens.
struct Job(Child);

impl Job {
    fn signal(&self, name: &str) -> bool {
        let group = format!("-{}", self.0.id());
        Command::new("kill").args([name, "--", &group]).status().is_ok_and(|status| status.success())
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            self.signal("-KILL");
        }
        let _ = self.0.wait();
    }
}

#[test]
fn make_run_says_why_there_is_no_engine_and_does_the_job_on_a_simulated_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let (log, port) = (folder.path().join("log"), free_port());
    let file = File::create(&log).unwrap();
    let address = format!("unix://{}", folder.path().join("nobody.sock").display());
    let mut call = Command::new("make");
    call.args(["--silent", "run"]).current_dir(root).stdin(Stdio::null());
    call.env("EXAMPLE_BINARY", BINARY)
        .env("DOCKER_HOST", &address)
        .env("EVENKEEL_CONFIG", "/dev/null")
        .env("EVENKEEL_STATE", folder.path().join("state"))
        .env("EVENKEEL_LISTEN", format!("127.0.0.1:{port}"))
        .env("NO_COLOR", "1");
    std::os::unix::process::CommandExt::process_group(&mut call, 0);
    let mut job = Job(call.stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap());
    let report = wait_for("the example is converged", || {
        let report: serde_json::Value = serde_json::from_str(&page(port, "/v1/status")?).ok()?;
        let rows = report["services"].as_array()?;
        (rows.len() == 2 && rows.iter().all(|row| row["condition"]["kind"] == "ready")).then_some(report)
    });
    assert_eq!(report["host"]["engine"]["simulated"], true);
    let told = fs::read_to_string(&log).unwrap();
    for part in [&*address, "nothing answers there", "SIMULATED ENGINE", "no real container is started"] {
        assert!(told.contains(part), "`{part}` is not told:\n{told}");
    }

    // As Ctrl-C on a terminal.
    assert!(job.signal("-INT"));
    let ended = try_wait(Duration::from_secs(20), || job.0.try_wait().ok().flatten());
    assert!(ended.is_some(), "Ctrl-C ends it");
}
