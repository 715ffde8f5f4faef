//! The command line from outside: the binary, its output and its exit codes.

use std::io::Read;
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
