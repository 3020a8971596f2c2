//! From a path to verdicts, for the commands that look at several dumps.

use std::path::{Path, PathBuf};

use necropsy_model::{Arena, Groups, Similarity, Snapshot, Verdict};
use necropsy_report::Input;
use necropsy_symbolicate::Options;

use crate::input::{self, Opened};

/// How dumps are read and their files found.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Reading {
    /// Read the inputs as this format instead of recognising it
    #[arg(long, value_name = "NAME")]
    format: Option<String>,

    /// The executable that ran, when it is not at the path in the core
    #[arg(long, value_name = "FILE")]
    exe: Option<PathBuf>,

    /// Root of the file system that the process saw (a container's rootfs)
    #[arg(long, value_name = "DIR")]
    sysroot: Option<PathBuf>,

    /// Directory of debug files, with .build-id in it; may be repeated
    #[arg(long = "debug-dir", value_name = "DIR")]
    debug_dirs: Vec<PathBuf>,
}

/// A dump with all that was found out about it.
pub(super) struct Dump<'data> {
    pub input: Input,
    pub snapshot: Snapshot<'data>,
    pub groups: Groups,
    pub verdict: Verdict<'data>,
}

/// Why a file gave no dump.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Open(#[from] input::Error),
    #[error(transparent)]
    Read(#[from] necropsy_read::Error),
}

impl Error {
    /// It is a file like any other, and no dump.
    pub(super) fn is_no_dump(&self) -> bool {
        matches!(self, Self::Read(necropsy_read::Error::NotRecognised { .. }) | Self::Open(input::Error::Empty))
    }
}

impl Reading {
    /// The dumps in a file as the reader leaves them, without stacks and names where these must be found first.
    pub(super) fn open<'data>(&self, path: &str, arena: &'data Arena) -> Result<(Input, Vec<Snapshot<'data>>), Error> {
        let Opened { data, input, warnings: _ } = input::open(Path::new(path), input::DEFAULT_LIMIT, arena)?;
        Ok((input, necropsy_read::read(data, arena, self.format.as_deref())?))
    }

    /// Finds stacks and names, groups and judges.
    pub(super) fn tell<'data>(
        &self,
        mut input: Input,
        index: usize,
        mut snapshot: Snapshot<'data>,
        arena: &'data Arena,
    ) -> Dump<'data> {
        input.index = index;
        necropsy_symbolicate::symbolicate(&mut snapshot, arena, &self.symbols(&input.path));
        let groups = necropsy_group::group(&snapshot, Similarity::SameLines);
        let verdict = necropsy_diagnose::diagnose(&snapshot, &groups);
        Dump { input, snapshot, groups, verdict }
    }

    fn symbols(&self, dump: &str) -> Options {
        Options {
            dump_dir: Path::new(dump).parent().filter(|_| dump != "-").map(Path::to_owned),
            exe: self.exe.clone(),
            sysroot: self.sysroot.clone(),
            debug_dirs: self.debug_dirs.clone(),
            ..Options::default()
        }
    }
}
