//! Images that stand in for those a compose file names: whatever they are told to run, the test program runs in its place.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use super::docker::{aim, docker, try_docker};

/// What entrypoints and health checks call most.
const USUAL: [&str; 12] = [
    "sh",
    "bash",
    "curl",
    "wget",
    "nc",
    "true",
    "redis-cli",
    "pg_isready",
    "mysqladmin",
    "python3",
    "node",
    "pgrep",
];
/// The last part of a reference: what is there at first, what comes after, and what ends well at once.
const KINDS: [(&str, &str); 3] =
    [("first", "STAND_IN=1"), ("second", "STAND_IN=2"), ("ends", "STAND_IN_ENDS=1")];

/// The stand-ins of one engine, made once and again when one has to answer to more names.
#[derive(Debug, Default)]
pub struct StandIns {
    links: BTreeSet<String>,
    users: BTreeSet<String>,
    made: u32,
}

/// What an image does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Runs,
    RunsToo,
    Ends,
}

impl StandIns {
    /// From here on they know these programs and users.
    pub fn know(&mut self, links: &BTreeSet<String>, users: &BTreeSet<String>) {
        let known = links.is_subset(&self.links) && users.is_subset(&self.users);
        if known && self.made > 0 {
            return;
        }
        self.links.extend(links.iter().cloned().chain(USUAL.map(str::to_owned)));
        self.users.extend(users.iter().cloned());
        self.made += 1;
        for (kind, variable) in KINDS {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/program/images.sh");
            let mut call = Command::new(script);
            call.args(["stand-in", &format!("stand-in:{kind}-{}", self.made), variable, "--"]);
            call.args(&self.links);
            call.env("USERS", self.users.iter().cloned().collect::<Vec<_>>().join(" "));
            aim(&mut call);
            let output = call.output().unwrap();
            assert!(output.status.success(), "images.sh: {}", String::from_utf8_lossy(&output.stderr));
        }
    }

    /// Gives one the name.
    pub fn name(&self, kind: Kind, reference: &str) -> Result<(), String> {
        let (kind, _) = KINDS[kind as usize];
        try_docker(&["tag", &format!("stand-in:{kind}-{}", self.made), reference]).map(drop)
    }

    pub fn forget(references: &BTreeSet<String>) {
        let mut words = vec!["image", "rm", "--no-prune", "--force"];
        words.extend(references.iter().map(String::as_str));
        if words.len() > 4 {
            docker(&words);
        }
    }
}
