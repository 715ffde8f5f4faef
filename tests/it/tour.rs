//! The tour of README.md, word for word: every command in it is run, and what it shows below the command is what comes out.
//!
//! Three words are other ones than a reader types, so that this test may run beside a reader's own example: the project's name,
//! its ports, and the images' repository.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::host::BINARY;
use crate::support::wait::{DEADLINE, free_port, try_wait};
use crate::support::{Host, docker};

/// A stop on the tour: commands, and the lines that the last of them must show.
#[derive(Debug, Default)]
struct Stop {
    kind: String,
    commands: Vec<String>,
    shows: Vec<String>,
}

/// The marked blocks of the README in order, each with the text that follows it.
fn stops(readme: &str) -> Vec<Stop> {
    let mut stops: Vec<Stop> = Vec::new();
    let mut language = "";
    for line in readme.lines() {
        if let Some(kind) = line.strip_prefix("<!-- tour").and_then(|rest| rest.strip_suffix(" -->")) {
            stops.push(Stop { kind: kind.trim_start_matches([':', ' ']).to_owned(), ..Stop::default() });
        } else if let Some(word) = line.strip_prefix("```") {
            language = word;
        } else if let Some(stop) = stops.last_mut() {
            match language {
                "sh" => stop.commands.push(line.to_owned()),
                "text" => stop.shows.push(line.to_owned()),
                _ => {}
            }
        }
    }
    stops
}

/// `…` stands for anything, runs of blanks for one blank.
fn fits(line: &str, pattern: &str) -> bool {
    let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = squeeze(line);
    let pattern = squeeze(pattern);
    let parts: Vec<&str> = pattern.split('…').map(str::trim).collect();
    let [first, middle @ .., last] = parts.as_slice() else { return line == pattern };
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

struct Reader {
    host: Host,
    folder: PathBuf,
    swaps: Vec<(String, String)>,
}

impl Reader {
    fn new(host: Host) -> Self {
        let folder = host.root().join("checkout");
        let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
        fs::create_dir_all(folder.join("target/debug")).unwrap();
        for name in ["Makefile", "scripts", "tests"] {
            std::os::unix::fs::symlink(repository.join(name), folder.join(name)).unwrap();
        }
        std::os::unix::fs::symlink(BINARY, folder.join("target/debug/evenkeel")).unwrap();
        let project = host.project.clone();
        let swaps = vec![
            ("hello/".to_owned(), format!("{project}/")),
            ("hello-web".to_owned(), format!("{project}-web")),
            ("\"hello\"".to_owned(), format!("\"{project}\"")),
            ("8088".to_owned(), free_port().to_string()),
            ("9877".to_owned(), free_port().to_string()),
            ("INSTANCE=example".to_owned(), format!("INSTANCE={project}")),
            ("evenkeel-example/".to_owned(), format!("{project}/")),
        ];
        let reader = Self { host, folder, swaps };
        let from = repository.join("desired/hello");
        let to = reader.folder.join("desired").join(&project);
        fs::create_dir_all(&to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let text = fs::read_to_string(entry.path()).unwrap();
            fs::write(to.join(entry.file_name()), reader.swap(&text)).unwrap();
        }
        reader
    }

    fn swap(&self, text: &str) -> String {
        self.swaps.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    }

    fn shell(&self, text: &str) -> Command {
        let mut shell = Command::new("bash");
        shell
            .args(["-c", &self.swap(text)])
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .env("EXAMPLE_BINARY", BINARY)
            .env("EVENKEEL_INSTANCE", &self.host.project)
            .env("EVENKEEL_LISTEN", self.swap("127.0.0.1:9877"))
            .env("EXAMPLE_IMAGE", self.swap("evenkeel-example/web"))
            .env("EVENKEEL_CONFIG", "/dev/null")
            .env("LABEL", format!("evenkeel-test={}", self.host.project))
            .env_remove("DOCKER_HOST")
            .env("NO_COLOR", "1");
        shell
    }

    /// Runs all but the last command once, and looks with the last one until it shows what it should.
    fn visit(&self, exports: &str, stop: &Stop) {
        let (last, first) = stop.commands.split_last().expect("a stop has a command");
        let once = first.iter().filter(|line| !line.starts_with("export ")).cloned().collect::<Vec<_>>();
        let ended = self.shell(&format!("{exports}\nset -e\n{}", once.join("\n"))).output().unwrap();
        assert!(ended.status.success(), "{stop:?}: {}", String::from_utf8_lossy(&ended.stderr));
        let mut seen = String::new();
        let shown = try_wait(DEADLINE, || {
            let ended = self.shell(&format!("{exports}\n{last}")).output().unwrap();
            seen =
                String::from_utf8_lossy(&ended.stdout).into_owned() + &String::from_utf8_lossy(&ended.stderr);
            let all = stop.shows.iter().all(|wanted| {
                let wanted = self.swap(wanted);
                seen.lines().any(|line| fits(line, &wanted))
            });
            (all && ended.status.success()).then_some(())
        });
        assert!(shown.is_some(), "`{last}` should show {:?}, but shows:\n{seen}", stop.shows);
    }
}

struct Background(Child, PathBuf);

impl Background {
    /// As Ctrl-C on a terminal: the whole group gets the signal.
    fn interrupt(&mut self) {
        let _ = Command::new("kill").args(["-INT", "--", &format!("-{}", self.0.id())]).status();
        let ended = try_wait(Duration::from_secs(60), || self.0.try_wait().ok().flatten());
        assert!(ended.is_some(), "Ctrl-C ends `make run`");
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", self.0.id())]).status();
        let _ = self.0.wait();
        if std::thread::panicking() {
            eprintln!("--- make run\n{}", fs::read_to_string(&self.1).unwrap_or_default());
        }
    }
}

#[test]
fn the_tour_of_the_readme_is_true_word_for_word() {
    let Some(host) = Host::new() else { return };
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let stops = stops(&readme);
    assert!(stops.len() >= 8, "the README has a tour: {stops:?}");
    let reader = Reader::new(host);
    let exports: String = stops
        .iter()
        .flat_map(|stop| &stop.commands)
        .filter(|line| line.starts_with("export "))
        .map(|line| format!("{line}\n"))
        .collect();

    let mut running: Option<Background> = None;
    for stop in &stops {
        match stop.kind.as_str() {
            "background" => {
                let log = reader.host.root().join("make-run.log");
                let file = fs::File::create(&log).unwrap();
                let mut shell = reader.shell(&format!("exec {}", stop.commands.join("\n")));
                std::os::unix::process::CommandExt::process_group(&mut shell, 0);
                let child = shell.stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
                running = Some(Background(child, log));
            }
            "after the end" => {
                running.as_mut().expect("something runs").interrupt();
                reader.visit(&exports, stop);
            }
            _ => reader.visit(&exports, stop),
        }
    }
    let left = docker::docker(&["ps", "-aq", "--filter", &format!("label={}", reader.host.label())]);
    assert_eq!(left, "", "`make clean-example` removes everything");
}

#[test]
fn expected_lines_are_compared_without_regard_to_blanks() {
    assert!(fits("hello/web   rolled-back  x", "hello/web … rolled-back …"));
    assert!(fits("1.1", "1.1"));
    assert!(fits("   told to fail with 3", "told to fail with 3"));
    assert!(!fits("1.10", "1.1"));
    assert!(!fits("hello/web ready", "hello/web … rolled-back …"));
}
