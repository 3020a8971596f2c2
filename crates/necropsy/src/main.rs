//! `necropsy`: forensic dump triage.

mod args;
mod commands;
mod config;
mod fail_on;
mod files;
mod input;
mod many;
mod observe;
mod pairs;
mod progress;
mod reading;
mod run;
mod symbols;
mod tally;
mod terminal;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args::Cli { command, mut triage } = match args::Cli::try_parse() {
        Ok(cli) => cli,
        Err(refused) => return terminal::refuse(&refused),
    };
    if let Some(mut command) = command {
        return command.run();
    }
    match triage.policy.apply(&mut triage.reading.places) {
        Ok(()) => run::main(&triage),
        Err(error) => {
            terminal::say(&error.to_string());
            ExitCode::from(2)
        }
    }
}
