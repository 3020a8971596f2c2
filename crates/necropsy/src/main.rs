//! `necropsy`: forensic dump triage.

#![forbid(unsafe_code)]

mod args;
mod input;
mod run;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    run::main(&args::Args::parse())
}
