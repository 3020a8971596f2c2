//! A verdict to terminal text and JSON. Nothing else in necropsy prints.

#![forbid(unsafe_code)]

mod folded;
mod json;
mod text;
mod value;

#[cfg(test)]
mod sample;
#[cfg(test)]
mod sample_hs_err;

use necropsy_model::{Bucket, Comparison, Groups, Occurrence, PairVerdict, Snapshot, Verdict};

pub use folded::folded;
pub use json::{advice as advice_json, json, json_buckets, json_line, json_pair};
pub use text::{
    Several, advice as advice_text, brief, brief_advice, brief_buckets, brief_pair, clean, fetched, rule, rules,
    several, text, text_buckets, text_pair,
};

/// What a report is made of.
#[derive(Clone, Copy)]
pub struct Report<'a, 'data> {
    /// Where the dump came from.
    pub input: &'a Input,
    /// What it says.
    pub snapshot: &'a Snapshot<'data>,
    /// Its groups.
    pub groups: &'a Groups,
    /// What was concluded.
    pub verdict: &'a Verdict<'data>,
    /// Who owns the place that the verdict names, where the user's configuration says so.
    pub owner: Option<&'a str>,
}

/// What a report about two dumps is made of.
#[derive(Clone, Copy)]
pub struct PairReport<'a, 'data> {
    /// The earlier dump: where it came from and what it says.
    pub before: (&'a Input, &'a Snapshot<'data>),
    /// The later dump.
    pub after: (&'a Input, &'a Snapshot<'data>),
    /// One laid over the other.
    pub comparison: &'a Comparison,
    /// What was concluded.
    pub verdict: &'a PairVerdict<'data>,
    /// Who owns the place that the verdict names, where the user said who owns what.
    pub owner: Option<&'a str>,
}

/// What a report about many dumps is made of.
#[derive(Clone, Copy)]
pub struct BucketReport<'a> {
    /// Buckets, biggest first.
    pub buckets: &'a [Bucket],
    /// The dumps that they point at.
    pub occurrences: &'a [Occurrence],
    /// Files that could not be read.
    pub failed: usize,
}

/// Where a dump came from.
#[derive(Clone, Debug, Default)]
pub struct Input {
    /// Path as the user gave it; `-` for standard input.
    pub path: String,
    /// Bytes of the dump itself, after decompression.
    pub bytes: u64,
    /// Compression that was undone: `gzip`, `xz`, `zstd`, `lz4`, `bzip2`.
    pub compression: Option<&'static str>,
    /// Number of this dump among several in one file, from 0.
    pub index: usize,
}

/// How a text report looks.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Use ANSI colours. They never carry meaning alone.
    pub color: bool,
    /// Columns of the terminal.
    pub width: usize,
    /// List all threads.
    pub threads: bool,
    /// List all groups, background too.
    pub all: bool,
    /// Show locals, of all frames.
    pub locals: bool,
    /// Show how the bad value was traced, step by step.
    pub explain: bool,
}

/// The dump holds the process itself, not only a text about it: its threads are always listed for machines.
fn lists_threads(snapshot: &Snapshot<'_>) -> bool {
    !snapshot.memory.is_empty() || snapshot.threads.iter().any(|thread| thread.registers().is_some())
}
