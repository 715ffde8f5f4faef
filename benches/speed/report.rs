//! What was measured, as a table for a terminal and for docs/benchmarks.md.

use std::fmt::Write as _;
use std::process::Command;

/// One line of a section: what, figure, the limit it is held against, and whether it is kept.
pub struct Line {
    pub what: String,
    pub figure: String,
    pub limit: String,
    pub kept: Option<bool>,
}

pub struct Section {
    pub title: &'static str,
    /// What is done and how it is measured.
    pub about: &'static str,
    pub lines: Vec<Line>,
}

impl Section {
    pub fn new(title: &'static str, about: &'static str) -> Self {
        Self { title, about, lines: Vec::new() }
    }

    pub fn note(&mut self, what: impl Into<String>, figure: impl Into<String>) {
        let line = Line { what: what.into(), figure: figure.into(), limit: String::new(), kept: None };
        self.lines.push(line);
    }

    pub fn held(
        &mut self,
        what: impl Into<String>,
        figure: impl Into<String>,
        value: f64,
        limit: f64,
        unit: &str,
    ) {
        self.lines.push(Line {
            what: what.into(),
            figure: figure.into(),
            limit: format!("≤ {limit}{unit}"),
            kept: Some(value <= limit),
        });
    }

    pub fn markdown(&self) -> String {
        let mut text =
            format!("## {}\n\n{}\n\n| | measured | limit | |\n|---|---|---|---|\n", self.title, self.about);
        for Line { what, figure, limit, kept } in &self.lines {
            let verdict = match kept {
                Some(true) => "kept",
                Some(false) => "**missed**",
                None => "",
            };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "| {what} | {figure} | {limit} | {verdict} |");
        }
        text
    }
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

fn field(path: &str, name: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let value = text.lines().find(|line| line.starts_with(name)).and_then(|line| line.split_once(':'));
    value.map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
}

/// What it was measured on, and how to do it again.
pub fn head(compose: Option<&str>, seconds: u64) -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory: u64 =
        field("/proc/meminfo", "MemTotal").split(' ').next().and_then(|kib| kib.parse().ok()).unwrap_or(0);
    let engine = output("docker", &["version", "--format", "{{.Server.Version}}"]);
    let driver = output("docker", &["info", "--format", "{{.Driver}}, cgroup v{{.CgroupVersion}}"]);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').take(3).collect::<Vec<_>>().join(" ");
    format!(
        "# Benchmarks\n\n\
         Written by `make bench` ({seconds} s); `make bench ONLY=replace` measures one section and prints it (`replace`, `fleet`, \
         `load`, `sync`). Contenders take turns within one run, round by round, so that a busy machine is busy for all of \
         them; figures are medians with the least and the greatest in brackets, and ratios are those of the medians. *Raw* is a plain \
         HTTP client that sends the engine the bare calls over kept connections and waits for nothing else.\n\n\
         | | |\n|---|---|\n\
         | machine | {cpu}, {cores} cores, {memory} MiB |\n\
         | kernel | {kernel} |\n\
         | engine | Docker {engine} ({driver}) |\n\
         | docker compose | {compose} |\n\
         | evenkeel | {version}, commit {commit} |\n\
         | date | {date} |\n\
         | load before (1, 5, 15 min) | {load} |\n",
        cpu = field("/proc/cpuinfo", "model name"),
        memory = memory / 1024,
        kernel = output("uname", &["-sr"]),
        compose = compose.unwrap_or("could not be had here"),
        version = env!("CARGO_PKG_VERSION"),
        commit = output("git", &["describe", "--always", "--dirty", "--exclude=*"]),
        date = output("date", &["-u", "+%F %H:%M UTC"]),
    )
}
