//! The command line.

use std::path::PathBuf;

use clap::Parser;
use necropsy_model::{GroupBy, Similarity};

use crate::commands::Command;
use crate::symbols::SymbolArgs;
use crate::terminal::Look;

/// One example per use, below the options.
const EXAMPLES: &str = "\
Examples:
  necropsy core.4242                              a core, with the files of this machine
  necropsy core.4242 --sysroot ./rootfs           a core from a container or another machine
  necropsy core.4242 --exe ./server --debug-dir ./symbols
                                                  the executable and debug files from elsewhere
  necropsy core.zst --locals --threads            every stack, with arguments and locals
  necropsy core.4242 --debuginfod-url https://debuginfod.example.com --source
                                                  symbols and source lines from a server
  kubectl logs pod | necropsy -                   goroutines in a log
  necropsy --brief cores/*                        one line per dump
  necropsy core.4242 --json | jq .verdict         for scripts
  necropsy diff threads-1.txt threads-2.txt       what moved between two dumps of one process
  necropsy group dumps/                           many dumps by what they died of
  necropsy core.4242 --symptom oom                does the dump bear out what you think it was?
  necropsy advise --symptom hang --cpu 0          which dump to take, before there is one
  necropsy explain null-pointer                   what a rule of a report means

Exit status: 0 triaged; 2 bad usage, or an input that could not be read.";

/// Forensic dump triage: what died or hangs, where it crashed, where the bad value was born.
#[derive(Debug, Parser)]
#[command(
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    disable_help_subcommand = true,
    after_help = EXAMPLES
)]
pub(crate) struct Cli {
    /// What to do beside triage.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// The triage of dumps, which needs no subcommand.
    #[command(flatten)]
    pub triage: Args,
}

/// Options of the triage.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Dumps to read; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<String>,

    /// One JSON object per dump, on one line; docs/json.md says what is in it
    #[arg(long)]
    pub json: bool,

    /// One line per dump: path, symptom, headline, confidence
    #[arg(long, conflicts_with = "json")]
    pub brief: bool,

    #[command(flatten)]
    pub look: Look,

    /// What you think is wrong: the report says whether the dump bears it out, and which dump would
    #[arg(long, value_name = "WHAT")]
    pub symptom: Option<crate::commands::advise::Claimed>,

    /// Read the input as this format instead of recognising it
    #[arg(long, value_name = "NAME")]
    pub format: Option<String>,

    /// The executable that ran, when it is not at the path in the core
    #[arg(long, value_name = "FILE")]
    pub exe: Option<PathBuf>,

    /// Root of the file system that the process saw (a container's rootfs)
    #[arg(long, value_name = "DIR")]
    pub sysroot: Option<PathBuf>,

    /// Directory of debug files, with .build-id in it; may be repeated
    #[arg(long = "debug-dir", value_name = "DIR")]
    pub debug_dirs: Vec<PathBuf>,

    /// List all threads with their stacks (--json lists them for cores anyway)
    #[arg(long)]
    pub threads: bool,

    /// List all groups, idle background too, with all evidence: no screen is too small
    #[arg(long)]
    pub all: bool,

    /// Put threads together by this
    #[arg(long, value_name = "WHAT", default_value = "stack")]
    pub group_by: By,

    /// How alike the stacks of a group are
    #[arg(long, value_name = "HOW", default_value = "lines")]
    pub similarity: Alike,

    /// Only threads whose state matches this regular expression
    #[arg(long, value_name = "REGEX")]
    pub state: Option<regex::Regex>,

    /// Only threads with a function, or a creator, that matches this regular expression
    #[arg(long, value_name = "REGEX")]
    pub function: Option<regex::Regex>,

    /// Only threads that have waited so long, as far as the dump says: 90s, 5m, 2h
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub min_wait: Option<u64>,

    /// Stacks for flamegraph.pl, inferno or speedscope instead of a report
    #[arg(long, conflicts_with_all = ["json", "brief"])]
    pub folded: bool,

    /// Show arguments and locals of every frame
    #[arg(long)]
    pub locals: bool,

    /// Show the evidence for the origin of a bad value, step by step
    #[arg(long)]
    pub explain: bool,

    /// Further code that is seldom to blame, one `module NAME` or `function NAME*` a line
    #[arg(long, value_name = "FILE", value_parser = noise)]
    pub noise: Option<necropsy_diagnose::Noise>,

    /// Most GiB of a dump that is piped in or compressed
    #[arg(long, value_name = "GIB")]
    pub max_size: Option<u64>,

    #[command(flatten)]
    pub symbols: SymbolArgs,
}

/// What members of a group share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum By {
    /// State, stack and creator.
    Stack,
    /// State.
    State,
    /// The innermost function that is not of the runtime.
    Function,
    /// The call that created them.
    Creator,
    /// Labels.
    Label,
}

/// How alike the stacks of a group are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Alike {
    /// Same frames at the same addresses.
    Exact,
    /// Same functions at the same lines.
    Lines,
    /// Same functions.
    Functions,
}

/// A list of code that is seldom to blame.
fn noise(path: &str) -> Result<necropsy_diagnose::Noise, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    necropsy_diagnose::Noise::with(&text).map_err(|bad| bad.to_string())
}

/// A time such as `90s`, `5m`, `2h` or `300` in seconds.
fn seconds(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match text.get(digits.len()..) {
        Some("" | "s") => 1,
        Some("m") => 60,
        Some("h") => 3600,
        _ => return Err("a time is a number with s, m or h".to_owned()),
    };
    let number: u64 = digits.parse().map_err(|_| "a time is a number with s, m or h".to_owned())?;
    number.checked_mul(factor).ok_or_else(|| "too long".to_owned())
}

impl Args {
    /// How the rules see the threads.
    pub(crate) fn similarity(&self) -> Similarity {
        match self.similarity {
            Alike::Exact => Similarity::Exact,
            Alike::Lines => Similarity::SameLines,
            Alike::Functions => Similarity::SameFunctions,
        }
    }

    /// How the user wants to see the threads; `None` when that is how the rules see them.
    pub(crate) fn view(&self) -> Option<necropsy_group::Options> {
        let filter = necropsy_group::Filter {
            state: self.state.clone(),
            function: self.function.clone(),
            min_wait_s: self.min_wait,
        };
        let by = match self.group_by {
            By::Stack => GroupBy::Stack,
            By::State => GroupBy::State,
            By::Function => GroupBy::Function,
            By::Creator => GroupBy::Creator,
            By::Label => GroupBy::Label,
        };
        let plain = by == GroupBy::Stack && filter.is_empty();
        (!plain).then(|| necropsy_group::Options { similarity: self.similarity(), by, filter })
    }

    /// Most bytes of a dump that has to be unpacked into a temporary file.
    pub(crate) fn limit(&self) -> u64 {
        self.max_size.map_or(crate::input::DEFAULT_LIMIT, |gib| gib.saturating_mul(1 << 30))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(["90s", "5m", "2h", "7"].map(seconds), [Ok(90), Ok(300), Ok(7200), Ok(7)]);
        assert!(seconds("5 parsecs").is_err() && seconds("").is_err() && seconds("99999999999999999999h").is_err());
    }
}
