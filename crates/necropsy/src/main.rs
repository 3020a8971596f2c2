//! `necropsy`: forensic dump triage.

mod args;
mod commands;
mod input;
mod observe;
mod pairs;
mod run;
mod symbols;
mod terminal;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args::Cli { command, triage } = args::Cli::parse();
    match command {
        Some(command) => command.run(),
        None => run::main(&triage),
    }
}
