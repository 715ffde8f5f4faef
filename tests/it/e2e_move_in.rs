//! Moving in with the real thing: docker compose starts real projects, and evenkeel takes them over as they run.
//!
//! `PROVE=full cargo test --test it move_in -- --nocapture` does it with every file of the corpus (`MOVE_IN=1/2`: the first half;
//! `MOVE_IN_REPORT=FILE`: a line each).

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::compose_corpus::corpus;
use crate::support::Host;
use crate::support::compose::Version;
use crate::support::docker::docker;
use crate::support::host::{BINARY, Ended};
use crate::support::machine;
use crate::support::moving::{Moving, Went};
use crate::support::private_engine::PrivateEngine;
use crate::support::stand_in::StandIns;

/// Lays a project out as a user has it, in a folder of its own: one of ours, or a compose file with the `.env` that lay beside it.
fn laid_out(host: &mut Host, file: &Path, number: usize) -> PathBuf {
    host.desired = host.root().join(format!("desired-{number}"));
    host.state = host.root().join(format!("state-{number}"));
    let folder = host.desired.join(format!("project{number}"));
    fs::create_dir_all(&folder).unwrap();
    let quick = "[defaults.services]\ndeploy.update_config.monitor = \"1s\"\n";
    fs::write(host.desired.join("fleet.toml"), quick).unwrap();
    if file.is_dir() {
        let copied = Command::new("cp").arg("-r").arg(file.join(".")).arg(&folder).status().unwrap();
        assert!(copied.success());
        return folder;
    }
    // A pinned digest can only come from a registry.
    let text = fs::read_to_string(file).unwrap();
    let mut plain = String::new();
    for (at, part) in text.split("@sha256:").enumerate() {
        plain.push_str(if at == 0 { part } else { part.trim_start_matches(|c: char| c.is_ascii_hexdigit()) });
    }
    fs::write(folder.join("docker-compose.yml"), plain).unwrap();
    if let Ok(env) = fs::read_to_string(format!("{}.env", file.display())) {
        fs::write(folder.join(".env"), env).unwrap();
    }
    folder
}

/// All of these, one after the other, on an engine of their own; what became of each. `None` where that cannot be had.
fn all(files: &[PathBuf], version: Version, told: &mut dyn FnMut(&Path, Went)) -> Option<()> {
    let _engine = PrivateEngine::start(false)?;
    let mut host = Host::new()?;
    let mut images = StandIns::default();
    for (number, file) in files.iter().enumerate() {
        let folder = laid_out(&mut host, file, number);
        let went = Moving::new(&host, &mut images, version, &folder)?.through();
        told(file, went);
        for folder in [&host.desired, &host.state] {
            let _ = fs::remove_dir_all(folder);
        }
    }
    Some(())
}

/// `cargo test` takes this many of the corpus, from all over its first half.
const SAMPLE: usize = 3;

fn written_for_this(names: &[&str]) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/move-in");
    names.iter().map(|name| root.join(name)).collect()
}

/// All went well, and of those that can show it one container was replaced.
fn well(told: &[(String, Went)]) {
    for (name, went) in told {
        assert!(matches!(went, Went::Well { containers: 1.., .. }), "{name}: {went:?}");
    }
}

#[test]
fn projects_of_docker_compose_are_taken_over_as_they_run() {
    let mut files = written_for_this(&["shop", "ties", "scaled"]);
    let known = corpus();
    let ours = files.len();
    files.extend(known.iter().skip(7).step_by((known.len() / SAMPLE / 2).max(1)).take(SAMPLE).cloned());
    let mut told = Vec::new();
    let mut tell = |file: &Path, went: Went| told.push((file.display().to_string(), went));
    if all(&files, Version::Two, &mut tell).is_none() {
        return;
    }
    well(&told[..ours]);
    let other: Vec<_> = told.iter().filter(|(_, went)| matches!(went, Went::Wrong(_))).collect();
    assert!(other.is_empty(), "{other:#?}");
    let started = told[ours..].iter().filter(|(_, went)| matches!(went, Went::Well { .. })).count();
    println!("of {} projects of the corpus {started} started and were taken over", told.len() - ours);
    assert!(known.is_empty() || started >= 2, "{told:#?}");
    let replaced =
        told[..ours].iter().filter(|(_, went)| matches!(went, Went::Well { replaced: true, .. })).count();
    assert!(replaced >= 2, "{told:#?}");
    let held: Vec<_> =
        told[..ours].iter().filter(|(_, went)| !matches!(went, Went::Well { held: 0, .. })).collect();
    assert!(held.is_empty(), "{held:?}");
}

#[test]
fn projects_of_the_first_docker_compose_are_taken_over_as_well() {
    let mut told = Vec::new();
    let mut tell = |file: &Path, went: Went| told.push((file.display().to_string(), went));
    if all(&written_for_this(&["ties"]), Version::One, &mut tell).is_some() {
        well(&told);
    }
}

/// The lines of a page of the documentation that are typed.
fn typed(page: &str) -> Vec<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(page)).unwrap();
    let line = |line: &str| line.split("  #").next().unwrap_or_default().trim().to_owned();
    let is_typed = |line: &String| line.starts_with("evenkeel ") || line.starts_with("cd ");
    text.lines().map(line).filter(is_typed).collect()
}

/// Runs a line as a reader does, with evenkeel in PATH.
fn follow(host: &Host, folder: &Path, line: &str) -> Ended {
    let mut command = Command::new("sh");
    command.args(["-c", line]).current_dir(folder);
    let path = std::env::var("PATH").unwrap();
    command.env("PATH", format!("{}:{path}", Path::new(BINARY).parent().unwrap().display()));
    for (name, value) in host.command().get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.output().unwrap().into()
}

#[test]
fn the_pages_about_moving_in_are_followed_word_by_word() {
    let Some(_engine) = PrivateEngine::start(false) else { return };
    let Some(mut host) = Host::new() else { return };
    // The project is called as in the pages: the engine is this test's own.
    let project = std::mem::replace(&mut host.project, "shop".to_owned());
    let desired = host.root().join("desired");
    let folder = desired.join("shop");
    fs::remove_dir(desired.join(project)).unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/move-in/shop");
    assert!(Command::new("cp").arg("-r").arg(fixture).arg(&desired).status().unwrap().success());
    fs::rename(folder.join("docker-compose.yml"), folder.join("compose.yaml")).unwrap();
    let mut images = StandIns::default();
    let Some(mut moving) = Moving::new(&host, &mut images, Version::Two, &folder) else { return };
    moving.start().unwrap();
    let running = || docker(&["ps", "--all", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.CreatedAt}}"]);
    let before = running();

    let lines = typed("from-compose.md");
    assert_eq!(
        lines,
        [
            "cd shop",
            "evenkeel convert",
            "evenkeel plan --desired ..",
            "evenkeel convert shop/compose.yaml -o /srv/desired --copy"
        ]
    );
    let ended = follow(&host, &desired, &format!("{} && {}", lines[0], lines[1])).expect(0);
    assert!(ended.err.contains("written: compose.toml"), "{}", ended.err);
    assert!(ended.err.contains("0 errors when it is loaded"), "{}", ended.err);
    let plan = follow(&host, &folder, &lines[2]).expect(0);
    assert!(plan.out.contains("evenkeel adopt shop"), "what is in the way, and what to do: {}", plan.out);
    let srv = host.root().join("srv/desired");
    follow(&host, &desired, &lines[3].replace("/srv/desired", &srv.display().to_string())).expect(0);
    assert!(srv.join("shop/compose.toml").exists() && srv.join("shop/conf/shop.toml").exists());

    let lines = typed("adopting.md");
    assert_eq!(
        lines,
        [
            "evenkeel adopt shop --dry-run",
            "evenkeel adopt --container greeter",
            "evenkeel adopt --container greeter -o desired/shop/greeter.toml --as shop/greeter",
            "evenkeel disown shop/web",
            "evenkeel disown shop",
        ]
    );
    let shown = follow(&host, host.root(), &lines[0]).expect(0);
    for part in [
        "shop/db: shop-db-1 (",
        "as the files say: nothing changes",
        "network shop_default",
        "volume shop_data",
    ] {
        assert!(shown.out.contains(part), "{part}: {}", shown.out);
    }
    // Nobody is there to be asked.
    follow(&host, host.root(), "evenkeel adopt shop").expect(4);
    follow(&host, host.root(), "evenkeel adopt shop --yes").expect(0);
    let plan = follow(&host, &folder, "evenkeel plan").expect(0);
    assert!(plan.out.contains("nothing to do"), "{}", plan.out);
    host.foreign("greeter", "example/cache", &["--env", "GREETING=hello"]);
    let with_greeter = running();
    let printed = follow(&host, host.root(), &lines[1]).expect(0);
    assert!(
        printed.out.contains("[services.greeter]") && printed.out.contains("GREETING"),
        "{}",
        printed.out
    );
    follow(&host, host.root(), &format!("{} --yes", lines[2])).expect(0);
    follow(&host, host.root(), &lines[3]).expect(0);
    follow(&host, host.root(), &lines[4]).expect(0);
    assert_eq!(running(), with_greeter);
    assert!(with_greeter.contains(&before));
    moving.clean_up();
}

#[test]
fn every_project_of_the_corpus_that_starts_here_is_taken_over_as_it_runs() {
    if !std::env::var("PROVE").is_ok_and(|value| value == "full") {
        return;
    }
    let version = match std::env::var("MOVE_IN_COMPOSE").as_deref() {
        Ok("1") => Version::One,
        _ => Version::Two,
    };
    let share = std::env::var("MOVE_IN").unwrap_or_else(|_| "1/1".to_owned());
    let (first, of) = share.split_once('/').unwrap();
    let (first, of): (usize, usize) = (first.parse().unwrap(), of.parse().unwrap());
    let only = std::env::var("MOVE_IN_ONLY").unwrap_or_default();
    let mut files: Vec<PathBuf> = corpus()
        .into_iter()
        .filter(|file| file.to_string_lossy().contains(&only))
        .skip(first - 1)
        .step_by(of)
        .collect();
    if files.is_empty() {
        machine::skip("no real compose files here");
        return;
    }
    // Networks that others made, and files that are copied here: what is held on purpose.
    files.extend(written_for_this(&["elsewhere", "provided"]));
    let mut report = std::env::var("MOVE_IN_REPORT").ok().map(|path| fs::File::create(path).unwrap());
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    all(&files, version, &mut |file, went| {
        let name = file.file_name().unwrap().to_string_lossy();
        let kind = match &went {
            Went::Well { replaced: true, .. } => "taken over, one replaced",
            Went::Well { .. } => "taken over",
            Went::NotStarted(_) => "not started by docker compose",
            Went::Wrong(_) => "wrong",
        };
        *counts.entry(kind).or_default() += 1;
        let line = format!("{name}: {went:?}").replace('\n', " ");
        if let Some(report) = &mut report {
            writeln!(report, "{line}").unwrap();
        } else {
            println!("{line}");
        }
        if matches!(went, Went::Wrong(_)) {
            wrong.push(line);
        }
    });
    println!("{} projects: {counts:#?}", files.len());
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), files.len(), wrong.join("\n"));
}
