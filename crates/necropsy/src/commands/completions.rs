//! `necropsy completions`: what a shell needs to complete our arguments.

use std::io::Write;

use clap::CommandFactory;
use clap_complete::Shell;

use super::Failure;
use crate::args::Cli;

/// Where each shell looks for it.
const PLACES: &str = "\
Examples:
  necropsy completions bash > ~/.local/share/bash-completion/completions/necropsy
  necropsy completions zsh  > ~/.zfunc/_necropsy        with fpath+=~/.zfunc before compinit
  necropsy completions fish > ~/.config/fish/completions/necropsy.fish";

/// Print the completions of a shell
#[derive(Debug, clap::Args)]
#[command(after_help = PLACES)]
pub(crate) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Writes the completions.
pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<(), Failure> {
    // Into memory first: the generator panics where its output can not be written.
    let mut completions = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "necropsy", &mut completions);
    Ok(out.write_all(&completions)?)
}
