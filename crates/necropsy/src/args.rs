//! The command line.

use std::path::PathBuf;

use clap::Parser;
use necropsy_model::{GroupBy, Similarity};

use crate::commands::Command;
use crate::config::Policy;
use crate::fail_on::Condition;
use crate::reading::Reading;
use crate::symbols;
use crate::terminal::Look;

/// Headings of `--help`.
const OUTPUT: &str = "Output";
pub(crate) const SHOWN: &str = "What a report shows";
const GROUPS: &str = "Threads and groups";
pub(crate) const SCRIPTS: &str = "For scripts and for others";

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
  necropsy --brief cores/                         one line per dump of a directory
  necropsy --fail-on crash,deadlock dumps/        exit status 1 when there is one, for CI
  necropsy --redact core.4242 > for-the-ticket    without values, strings, arguments, directories
  necropsy core.4242 --json | jq .verdict         for scripts
  necropsy diff threads-1.txt threads-2.txt       what moved between two dumps of one process
  necropsy group dumps/                           many dumps by what they died of
  necropsy core.4242 --symptom oom                does the dump bear out what you think it was?
  necropsy advise --symptom hang --cpu 0          which dump to take, before there is one
  necropsy explain null-pointer                   what a rule of a report means
  necropsy completions bash; necropsy man         for the shell and the manual

Exit status: 0 triaged; 1 a condition of --fail-on was met; 2 bad usage, or an input that could not be read.

Files: ~/.config/necropsy/config.toml, or what NECROPSY_CONFIG names: docs/config.md.
Environment: NECROPSY_CONFIG, NECROPSY_REDACT, NO_COLOR, COLUMNS, TMPDIR.";

/// Below the short help.
const MORE: &str = "\
  necropsy core.4242            a core            kubectl logs pod | necropsy -     goroutines in a log
  necropsy --brief cores/       one line each     necropsy explain RULE             what a rule means
Exit status: 0 triaged; 1 --fail-on was met; 2 failed. More: --help, with examples.";

/// Forensic dump triage: what died or hangs, where it crashed, where the bad value was born.
#[derive(Debug, Parser)]
#[command(
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    disable_help_subcommand = true,
    about,
    after_help = MORE,
    after_long_help = EXAMPLES
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
    /// Dumps to read, or directories of them; `-` is standard input
    ///
    /// A directory is walked without following links; files in it that are no dumps are passed over. Reports come in the
    /// order of the arguments, those of a directory sorted by name.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// One JSON object per dump, on one line; docs/json.md says what is in it
    #[arg(help_heading = OUTPUT, long)]
    pub json: bool,

    /// One line per dump: path, symptom, headline, confidence
    #[arg(help_heading = OUTPUT, long, conflicts_with = "json")]
    pub brief: bool,

    #[command(flatten)]
    pub look: Look,

    /// What you think is wrong: the report says whether the dump bears it out, and which dump would
    #[arg(long, value_name = "WHAT")]
    pub symptom: Option<crate::commands::advise::Claimed>,

    #[command(flatten)]
    pub reading: Reading,

    /// Show source lines of the stopped thread and of the origin from the server too
    #[arg(help_heading = symbols::HEADING, long)]
    pub source: bool,

    /// List all threads with their stacks (--json lists them for cores anyway)
    #[arg(help_heading = SHOWN, long)]
    pub threads: bool,

    /// List all groups, idle background too, with all evidence: no screen is too small
    #[arg(help_heading = SHOWN, long)]
    pub all: bool,

    /// Put threads together by this
    #[arg(help_heading = GROUPS, long, value_name = "WHAT", default_value = "stack")]
    pub group_by: By,

    /// How alike the stacks of a group are
    #[arg(help_heading = GROUPS, long, value_name = "HOW", default_value = "lines")]
    pub similarity: Alike,

    /// Only threads whose state matches this regular expression
    #[arg(help_heading = GROUPS, long, value_name = "REGEX")]
    pub state: Option<regex::Regex>,

    /// Only threads with a function, or a creator, that matches this regular expression
    #[arg(help_heading = GROUPS, long, value_name = "REGEX")]
    pub function: Option<regex::Regex>,

    /// Only threads that have waited so long, as far as the dump says: 90s, 5m, 2h
    #[arg(help_heading = GROUPS, long, value_name = "TIME", value_parser = seconds)]
    pub min_wait: Option<u64>,

    /// Stacks for flamegraph.pl, inferno or speedscope instead of a report
    #[arg(help_heading = OUTPUT, long, conflicts_with_all = ["json", "brief"])]
    pub folded: bool,

    /// Show arguments and locals of every frame
    #[arg(help_heading = SHOWN, long)]
    pub locals: bool,

    /// Show the evidence for the origin of a bad value, step by step
    #[arg(help_heading = SHOWN, long)]
    pub explain: bool,

    /// Exit status 1 when a report says one of these: crash, hang, deadlock, leak, oom, race, a symptom, severity or rule
    ///
    /// May be repeated, or a list with commas: `--fail-on crash,deadlock,go-leak`. The symptoms are native-crash,
    /// managed-crash, out-of-memory, hang-idle, hang-busy and unclear; a severity (note, warning, critical) means a finding
    /// of it or of a higher one; a rule is named by its id.
    #[arg(help_heading = SCRIPTS, long, value_name = "WHAT", value_delimiter = ',', value_parser = Condition::named)]
    pub fail_on: Vec<Condition>,

    #[command(flatten)]
    pub policy: Policy,
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
