//! `evenkeel completions SHELL`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, code, out};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  evenkeel completions bash > /etc/bash_completion.d/evenkeel
  evenkeel completions zsh > ~/.zfunc/_evenkeel
  evenkeel completions fish > ~/.config/fish/completions/evenkeel.fish")]
pub struct CompletionsArgs {
    /// The shell to complete for
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs) -> i32 {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "evenkeel", &mut script);
    out::print(format_args!("{}", String::from_utf8_lossy(&script)));
    code::OK
}
