//! What the program does beside triage: one file and one line of [`Command`] per subcommand.

pub(crate) mod advise;
mod completions;
mod diff;
mod explain;
mod group;
mod man;
mod symbolicate;

use std::io::{self, Write};
use std::process::ExitCode;

use crate::{config, terminal};

/// A subcommand. A dump of that name is given as `./explain`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Advise(advise::Args),
    Diff(diff::Args),
    Explain(explain::Args),
    Group(group::Args),
    Symbolicate(symbolicate::Args),
    Completions(completions::Args),
    Man(man::Args),
}

impl Command {
    /// Runs it, and says what became of it as an exit status.
    pub(crate) fn run(&mut self) -> ExitCode {
        let mut out = io::BufWriter::new(io::stdout().lock());
        let done = match self {
            Self::Advise(args) => advise::run(args, &mut out),
            Self::Diff(args) => {
                applied(args.policy.apply(&mut args.reading.places)).and_then(|()| diff::run(args, &mut out))
            }
            Self::Explain(args) => explain::run(args, &mut out),
            Self::Group(args) => {
                applied(args.policy.apply(&mut args.reading.places)).and_then(|()| group::run(args, &mut out))
            }
            Self::Symbolicate(args) => {
                let configured = args.config.apply(&mut args.places).map(drop);
                applied(configured).and_then(|()| symbolicate::run(args, &mut out))
            }
            Self::Completions(args) => completions::run(args, &mut out),
            Self::Man(args) => man::run(args, &mut out),
        };
        status(done.and_then(|()| Ok(out.flush()?)))
    }
}

/// Why a subcommand could not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("could not write: {0}")]
    Output(#[from] io::Error),
    /// A sentence for the user.
    #[error("{0}")]
    Said(String),
}

/// The configuration is read, or a sentence says why not.
fn applied(configured: Result<(), config::Error>) -> Result<(), Failure> {
    configured.map_err(|error| Failure::Said(error.to_string()))
}

/// Exit status 0 or 2; who stops reading our output has seen enough.
fn status(done: Result<(), Failure>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            terminal::say(&failure.to_string());
            ExitCode::from(2)
        }
    }
}
