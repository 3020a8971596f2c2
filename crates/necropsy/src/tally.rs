//! How a run went: what failed, what was found, and the exit status.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use necropsy_diagnose::series::LogSite;

use crate::files::Job;
use crate::run::{Failure, Triaged};
use crate::terminal::say;

/// Counts over all inputs.
#[derive(Default)]
pub(crate) struct Tally {
    /// An input could not be triaged.
    failed: bool,
    /// A condition of `--fail-on` was met.
    met: bool,
    /// What fatal error logs add to each other.
    pub logs: Vec<LogSite>,
    /// For each directory that was named: files that are dumps, and files that are not.
    folders: BTreeMap<PathBuf, (usize, usize)>,
}

impl Tally {
    /// Adds what became of inputs. A report that nobody reads any more is an error.
    pub(crate) fn add(&mut self, all: Vec<(&Job, Result<Triaged, Failure>)>, out: &mut dyn Write) -> io::Result<()> {
        all.into_iter().try_for_each(|(job, triaged)| self.add_one(job, triaged, out))
    }

    /// Adds an input; says on standard error why it failed. A report that nobody reads any more is an error.
    fn add_one(&mut self, job: &Job, triaged: Result<Triaged, Failure>, out: &mut dyn Write) -> io::Result<()> {
        let (dumps, others) = match &job.found_in {
            Some(folder) => self.folders.entry(folder.clone()).or_default(),
            None => &mut (0, 0),
        };
        match triaged {
            Ok(Triaged { met, logs, .. }) => {
                *dumps += 1;
                self.met |= met;
                self.logs.extend(logs);
            }
            Err(Failure::Output(error)) => return Err(error),
            Err(failure) if job.found_in.is_some() && failure.is_no_dump() => *others += 1,
            Err(failure) => {
                // What was printed before comes first.
                out.flush()?;
                *dumps += 1;
                say(&format!("{}: {failure}", job.path.display()));
                self.failed = true;
            }
        }
        Ok(())
    }

    /// Says what was passed over in directories. One without any dump was named by mistake.
    pub(crate) fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        for (folder, &(dumps, others)) in &self.folders {
            let files = if others == 1 { "1 file is".to_owned() } else { format!("{others} files are") };
            match (dumps, others) {
                (_, 0) => {}
                (0, _) => {
                    out.flush()?;
                    say(&format!("{}: there is no dump in this directory; {files} something else", folder.display()));
                    self.failed = true;
                }
                _ => {
                    out.flush()?;
                    say(&format!("{}: {files} no dump, and passed over", folder.display()));
                }
            }
        }
        Ok(())
    }

    /// 0: all triaged; 1: a condition of `--fail-on` was met; 2: an input could not be triaged, or its report not written.
    /// Who stops reading has seen enough, which changes none of these.
    pub(crate) fn status(&self, written: io::Result<()>) -> ExitCode {
        let lost = written.err().filter(|error| error.kind() != io::ErrorKind::BrokenPipe);
        if let Some(error) = &lost {
            say(&format!("could not write the report: {error}"));
        }
        ExitCode::from(match self {
            _ if lost.is_some() => 2,
            Self { failed: true, .. } => 2,
            Self { met: true, .. } => 1,
            _ => 0,
        })
    }
}
