//! `necropsy advise`: which dump to take, before there is one.

use std::io::Write;

use necropsy_diagnose::advice;
use necropsy_model::Runtime;
use necropsy_model::advice::{Advice, Complaint, Question, Site};

use super::Failure;
use crate::observe;
use crate::terminal::{self, Look};

/// One example per use, below the options.
const EXAMPLES: &str = "\
Examples:
  necropsy advise                                            what to say, and how to find it out
  necropsy advise --symptom hang --cpu 0 --runtime jvm --where k8s
  necropsy advise --pid 4242                                 look at a living process, without touching it
  necropsy advise --exit-code 139 --runtime jvm              what an exit code means, and which dump it leaves";

/// Say which dump to take, how exactly, and what that costs: from a description, a living process or an exit code
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// What is wrong
    #[arg(long, value_name = "WHAT")]
    symptom: Option<Claimed>,

    /// Of a hang: the CPU it uses, in percent of one CPU; about 0 when it waits, 100 and more when it computes
    #[arg(long, value_name = "PERCENT")]
    cpu: Option<u32>,

    /// What it runs on
    #[arg(long, value_name = "NAME")]
    runtime: Option<On>,

    /// Where it runs
    #[arg(long = "where", value_name = "PLACE")]
    site: Option<Where>,

    /// Look at this process for a second: only files of /proc are read, it is neither stopped nor signalled
    #[arg(long, value_name = "N", conflicts_with = "exit_code")]
    pid: Option<u64>,

    /// Explain the exit code of a process that ended
    #[arg(long, conflicts_with_all = ["symptom", "cpu"], allow_negative_numbers = true, value_name = "N")]
    exit_code: Option<i32>,

    /// One JSON object on one line; docs/json.md says what is in it
    #[arg(long)]
    json: bool,

    /// One line: the headline and the first command
    #[arg(long, conflicts_with = "json")]
    brief: bool,

    #[command(flatten)]
    look: Look,
}

/// What a user says is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Claimed {
    /// It died.
    Crash,
    /// It was killed for its memory, or grows.
    Oom,
    /// It lives and does not answer.
    Hang,
    /// It hangs and uses no CPU.
    HangIdle,
    /// It hangs and uses CPU.
    HangBusy,
}

/// Runtimes by the names that people use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum On {
    #[value(alias = "java")]
    Jvm,
    Go,
    #[value(aliases = ["c", "cpp"])]
    Native,
    Rust,
    Python,
    Node,
}

/// Places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Where {
    Host,
    Docker,
    #[value(alias = "kubernetes")]
    K8s,
}

impl Claimed {
    /// In the terms of the model; the use of CPU decides between hangs.
    pub(crate) fn complaint(self, cpu: Option<u32>) -> Complaint {
        /// Percent of one CPU from which a hang is a busy one.
        const BUSY: u32 = 50;
        match (self, cpu) {
            (Self::Crash, _) => Complaint::Crash,
            (Self::Oom, _) => Complaint::OutOfMemory,
            (Self::Hang, None) => Complaint::Hang,
            (Self::HangIdle, _) | (Self::Hang, Some(..BUSY)) => Complaint::HangIdle,
            (Self::HangBusy, _) | (Self::Hang, Some(_)) => Complaint::HangBusy,
        }
    }
}

/// Writes the advice.
pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<(), Failure> {
    let advice = advise(args)?;
    match args {
        Args { json: true, .. } => necropsy_report::advice_json(&advice, out)?,
        Args { brief: true, .. } => necropsy_report::brief_advice(&advice, out)?,
        _ => necropsy_report::advice_text(&advice, terminal::plain(args.look), out)?,
    }
    Ok(())
}

fn advise(args: &Args) -> Result<Advice, Failure> {
    let runtime = args.runtime.map(|on| match on {
        On::Jvm => Runtime::Jvm,
        On::Go => Runtime::Go,
        On::Native => Runtime::Native,
        On::Rust => Runtime::Rust,
        On::Python => Runtime::Python,
        On::Node => Runtime::Node,
    });
    let site = args.site.map(|site| match site {
        Where::Host => Site::Host,
        Where::Docker => Site::Docker,
        Where::K8s => Site::Kubernetes,
    });
    if let Some(code) = args.exit_code {
        return Ok(advice::exit_code(code, runtime, site));
    }
    let look = |pid| observe::observe(pid).map_err(|error| Failure::Said(format!("process {pid}: {error}")));
    // Who says how much CPU it uses means a hang.
    let symptom = args.symptom.or(args.cpu.map(|_| Claimed::Hang));
    let complaint = symptom.map(|symptom| symptom.complaint(args.cpu));
    Ok(advice::advise(&Question { complaint, runtime, site, process: args.pid.map(look).transpose()? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_use_of_cpu_decides_between_hangs() {
        assert_eq!(Claimed::Hang.complaint(Some(0)), Complaint::HangIdle);
        assert_eq!(Claimed::Hang.complaint(Some(49)), Complaint::HangIdle);
        assert_eq!(Claimed::Hang.complaint(Some(398)), Complaint::HangBusy);
        assert_eq!(Claimed::Hang.complaint(None), Complaint::Hang);
        assert_eq!(Claimed::Oom.complaint(Some(0)), Complaint::OutOfMemory);
    }
}
