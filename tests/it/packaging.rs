//! What is shipped beside the binary: the example of settings, the Debian package's recipe, the unit, the image's recipe.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use evenkeel::cli::Cli;
use evenkeel::config::sources::Source;
use evenkeel::config::{self, Settings, Sources};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// `limits.disk_floor` with what stands above it.
struct Line {
    key: String,
    names: Vec<String>,
}

/// The settings of the example, and the example with all of them taken in.
fn example() -> (Vec<Line>, String) {
    let (mut lines, mut text, mut section, mut names) =
        (Vec::new(), String::new(), String::new(), Vec::new());
    for line in read("docs/evenkeel.toml").lines() {
        let setting = line.strip_prefix('#').filter(|rest| !rest.starts_with(' ') && !rest.is_empty());
        let line = setting.unwrap_or(line);
        if let Some((key, _)) = setting.and_then(|setting| setting.split_once(" = ")) {
            lines.push(Line { key: format!("{section}{key}"), names: std::mem::take(&mut names) });
        } else if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = format!("{name}.");
        } else if line.contains("EVENKEEL_") && !line.contains("EVENKEEL_CONFIG") {
            names = line.trim_start_matches(['#', ' ']).split(", ").map(str::to_owned).collect();
        }
        text.push_str(line);
        text.push('\n');
    }
    (lines, text)
}

fn settings(file: Option<String>) -> Settings {
    let sources = Sources {
        file: file.map(|text| ("evenkeel.toml".to_owned(), text)),
        environment: BTreeMap::new(),
        flags: Vec::new(),
        local_desired: false,
        host_name: "the-host-name".to_owned(),
    };
    Settings::resolve(&sources).unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn the_example_of_settings_is_complete_and_says_the_defaults() {
    let (lines, text) = example();
    let known: BTreeSet<&str> =
        config::names().map(|names| names.key).filter(|key| *key != "config").collect();
    let (of_sources, shown): (BTreeSet<&str>, BTreeSet<&str>) =
        lines.iter().map(|line| line.key.as_str()).partition(|key| key.starts_with("source."));
    assert_eq!(shown, known);
    let of_sources: BTreeSet<&str> = of_sources.iter().filter_map(|key| key.rsplit('.').next()).collect();
    assert_eq!(of_sources, BTreeSet::from(config::sources::KEYS));
    let (defaults, mut taken) = (settings(None), settings(Some(text)));
    // Repositories have no default, and one default is no value: whatever the engine's client finds.
    assert_eq!(taken.docker_host.take().as_deref(), Some("unix:///var/run/docker.sock"));
    taken.repo = defaults.repo.clone();
    // Nor is there a registry to name by default.
    assert_eq!(std::mem::take(&mut taken.registries.plain_http), ["registry.lan:5000"]);
    let sources = std::mem::replace(&mut taken.sources, defaults.sources.clone());
    assert_eq!(taken, defaults);
    // What can be left out of a source is shown as it is without.
    let bare = settings(Some("[source.infra]\nurl = 'https://git.example/infra.git'\n".to_owned()));
    let infra = |all: &[Source]| {
        let found = all.iter().find(|source| source.name() == "infra").cloned();
        let Some(Source::Git(git)) = found else { panic!("{all:#?}") };
        (git.poll_ms, git.timeout_ms, git.max_size)
    };
    assert_eq!(infra(&sources), infra(&bare.sources));
    // As it is shipped it says nothing at all.
    assert_eq!(settings(Some(read("docs/evenkeel.toml"))), defaults);
}

/// Long flags of evenkeel itself and of `run`.
fn flags() -> BTreeSet<String> {
    let command = Cli::command();
    let run = command.find_subcommand("run").unwrap();
    let all = command.get_arguments().chain(run.get_arguments());
    all.filter_map(|argument| argument.get_long()).map(|long| format!("--{long}")).collect()
}

#[test]
fn every_setting_is_shown_with_its_variable_and_with_its_flag_if_it_has_one() {
    let flags = flags();
    let (lines, _) = example();
    let operations = read("docs/operations.md");
    for names in config::names().filter(|names| names.key != "config") {
        let line = lines.iter().find(|line| line.key == names.key).unwrap();
        let flag = flags.contains(&names.flag).then_some(names.flag);
        let expected: Vec<String> = flag.into_iter().chain([names.variable]).collect();
        assert_eq!(line.names, expected, "{}", names.key);
        assert!(
            operations.contains(&format!("`{}`", names.key)),
            "{} is not in docs/operations.md",
            names.key
        );
    }
}

fn manifest() -> toml::Table {
    read("Cargo.toml").parse().unwrap()
}

#[test]
fn the_package_holds_what_the_unit_and_the_manual_speak_of() {
    let manifest = manifest();
    let deb = manifest["package"]["metadata"]["deb"].as_table().unwrap();
    let assets: Vec<[&str; 3]> = deb["assets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|asset| {
            let asset = asset.as_array().unwrap();
            [0, 1, 2].map(|at| asset[at].as_str().unwrap())
        })
        .collect();
    let goes_to = |to: &str| assets.iter().find(|[_, target, _]| *target == to).copied();
    let unit = read("packaging/evenkeel.service");
    let program = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let program = program.split(' ').next().unwrap().trim_start_matches('/');
    assert_eq!(goes_to(program), Some(["target/static/evenkeel", program, "755"]));
    assert_eq!(
        goes_to("etc/evenkeel/evenkeel.toml"),
        Some(["docs/evenkeel.toml", "etc/evenkeel/evenkeel.toml", "644"])
    );
    let kept: Vec<&str> =
        deb["conf-files"].as_array().unwrap().iter().map(|file| file.as_str().unwrap()).collect();
    assert_eq!(kept, ["/etc/evenkeel/evenkeel.toml"], "what somebody wrote there outlives an upgrade");
    for [from, _, _] in assets.iter().filter(|[from, ..]| !from.starts_with("target/") && !from.contains('*'))
    {
        assert!(root().join(from).is_file(), "{from}");
    }
    // A static binary needs no library; an engine may be another machine's.
    assert_eq!(deb["depends"].as_str(), Some(""));
    let units = deb["systemd-units"].as_table().unwrap();
    let folder = units["unit-scripts"].as_str().unwrap();
    assert!(root().join(folder).join(format!("{}.service", units["unit-name"].as_str().unwrap())).is_file());
}

#[test]
fn removing_the_package_touches_neither_the_memory_nor_the_desired_state() {
    for script in ["postinst", "postrm"] {
        let text = read(&format!("packaging/debian/{script}"));
        assert!(text.starts_with("#!/bin/sh\nset -e\n") && text.contains("#DEBHELPER#"), "{script}");
        let removes = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        let removes: Vec<&str> =
            removes.filter(|line| line.contains("rm ") || line.contains("docker")).collect();
        assert!(removes.is_empty(), "{script}: {removes:?}");
    }
}

#[test]
fn the_image_is_the_static_binary_and_nothing_else() {
    let text = read("packaging/Dockerfile");
    let steps: Vec<&str> = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    assert_eq!(steps.first(), Some(&"FROM scratch"));
    let copied: Vec<&&str> =
        steps.iter().filter(|step| step.starts_with("COPY") || step.starts_with("ADD")).collect();
    assert_eq!(copied, [&"COPY evenkeel /evenkeel"]);
    assert!(steps.contains(&"ENTRYPOINT [\"/evenkeel\"]") && steps.contains(&"CMD [\"run\"]"), "{steps:#?}");
    assert!(
        steps.iter().all(|step| !step.starts_with("VOLUME")),
        "an anonymous volume would be a memory that nobody finds again"
    );
    assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/image.sh").is_file());
}
