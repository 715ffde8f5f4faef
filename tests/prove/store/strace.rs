//! The child under strace: which system calls it makes, and one of them answered with a signal or an error.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use super::script::{LARGE, SCRIPT, play};

/// Everything that changes a disk, or makes a change of it last.
pub const CALLS: &[&str] = &[
    "write",
    "pwrite64",
    "pwritev",
    "fsync",
    "fdatasync",
    "ftruncate",
    "fallocate",
    "unlink",
    "unlinkat",
    "rename",
    "renameat",
    "renameat2",
    "mkdir",
    "mkdirat",
    "link",
    "chmod",
    "fchmod",
];

const CHILD: &str = "EVENKEEL_PROVE_STORE";
const LARGE_SCRIPT: &str = "EVENKEEL_PROVE_STORE_LARGE";
/// The test whose first line is [`play_if_child`].
const ENTRY: &str = "store::killed::killed_at_every_write_nothing_that_was_said_is_lost";

pub fn play_if_child() {
    if let Some(dir) = std::env::var_os(CHILD) {
        let script = if std::env::var_os(LARGE_SCRIPT).is_some() { LARGE } else { SCRIPT };
        play(Path::new(&dir), script);
    }
}

/// How the child ended.
#[derive(Debug)]
pub struct Ended {
    /// The last change it said was durable; `None`: it did not even say that it was open.
    pub done: Option<usize>,
    pub failures: usize,
    pub code: Option<i32>,
    pub text: String,
}

/// Runs the child on `dir` with these arguments of strace.
pub fn run(dir: &Path, large: bool, arguments: &[&str]) -> Ended {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq"]).args(arguments).arg("--").arg(std::env::current_exe().unwrap());
    command.args(["--exact", ENTRY, "--nocapture", "--test-threads=1"]).env(CHILD, dir);
    if large {
        command.env(LARGE_SCRIPT, "1");
    }
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // The test harness writes `test NAME ... ` in front of the first.
    let done = text.lines().filter_map(|line| line.split_once("done ")?.1.parse().ok()).max();
    let failures = text.lines().filter(|line| line.ends_with("failed")).count();
    let text = format!("{text}{}", String::from_utf8_lossy(&output.stderr));
    Ended { done, failures, code: output.status.code(), text }
}

/// Whether the system lets us trace, said once where it does not.
pub fn may_trace() -> bool {
    let tried =
        Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    let may = tried.is_ok_and(|status| status.success());
    if !may {
        eprintln!("PASSED OVER: no strace, or no right to trace (scripts/setup.sh --tests installs it)");
    }
    may
}

/// Runs the child with one fault: at the k-th of these calls on its store.
pub fn inject(dir: &Path, large: bool, call: &str, fault: &str) -> Ended {
    let (trace, inject) = (format!("trace={call}"), format!("inject={call}:{fault}"));
    let paths = only_the_store(dir);
    let mut arguments = vec!["-o", "/dev/null", "-e", &trace, "-e", &inject];
    arguments.extend(paths.iter().map(String::as_str));
    run(dir, large, &arguments)
}

/// Arguments that leave everything alone but the files of this store.
fn only_the_store(dir: &Path) -> Vec<String> {
    let names =
        ["state.db", "state.db-wal", "state.db-journal", "state.db.new", "state.db.new-journal", "lock"];
    let paths =
        names.iter().map(|name| dir.join(name)).chain([dir.to_owned(), dir.parent().unwrap().to_owned()]);
    paths.flat_map(|path| ["-P".to_owned(), path.to_str().unwrap().to_owned()]).collect()
}

/// How often the child makes each of [`CALLS`] on its store when nothing is in its way.
pub fn counts(dir: &Path, large: bool) -> BTreeMap<&'static str, usize> {
    let log = dir.with_extension("trace");
    let calls = format!("trace={}", CALLS.join(","));
    let paths = only_the_store(dir);
    let mut arguments = vec!["-o", log.to_str().unwrap(), "-s", "0", "-e", &calls];
    arguments.extend(paths.iter().map(String::as_str));
    let ended = run(dir, large, &arguments);
    assert_eq!(ended.code, Some(0), "{}", ended.text);
    let trace = std::fs::read_to_string(&log).unwrap();
    let mut counts = BTreeMap::new();
    let mut threads: Vec<&str> = trace.lines().filter_map(|line| line.split_whitespace().next()).collect();
    threads.dedup();
    assert_eq!(threads.len(), 1, "strace counts by thread, so one thread must do it all");
    for line in trace.lines() {
        let call = line.split_whitespace().nth(1).and_then(|rest| rest.split('(').next());
        if let Some(call) = CALLS.iter().find(|name| Some(**name) == call) {
            *counts.entry(*call).or_default() += 1;
        }
    }
    assert!(counts.contains_key("pwrite64") && counts.keys().any(|call| call.contains("sync")), "{counts:?}");
    counts
}
