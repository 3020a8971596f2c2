//! The command line.

use std::path::PathBuf;

use clap::Parser;

/// Forensic dump triage: what died or hangs, where it crashed, where the bad value was born.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
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

    /// Colour: `auto` is on a terminal, unless `NO_COLOR` is set
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub color: clap::ColorChoice,

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

    /// Show arguments and locals of every frame
    #[arg(long)]
    pub locals: bool,

    /// Most GiB of a dump that is piped in or compressed
    #[arg(long, value_name = "GIB")]
    pub max_size: Option<u64>,
}

impl Args {
    /// Most bytes of a dump that has to be unpacked into a temporary file.
    pub(crate) fn limit(&self) -> u64 {
        self.max_size.map_or(crate::input::DEFAULT_LIMIT, |gib| gib.saturating_mul(1 << 30))
    }
}
