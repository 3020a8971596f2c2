//! `necropsy`: forensic dump triage.

mod args;
mod input;
mod run;
mod terminal;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    run::main(&args::Args::parse())
}
