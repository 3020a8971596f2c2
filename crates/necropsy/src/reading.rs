//! From a path to a snapshot with stacks and names, for every command that reads dumps, and where files are looked for.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use necropsy_debuginfod::Client;
use necropsy_diagnose::Noise;
use necropsy_model::{Arena, Groups, Similarity, Snapshot, Source, Verdict, Warning};
use necropsy_redact::Redactor;
use necropsy_report::Input;
use necropsy_symbolicate::Options;

use crate::input::{self, Opened};
use crate::symbols::SymbolArgs;

/// Headings of `--help`.
pub(crate) const INPUT: &str = "Input";
const FILES: &str = "Files of the process";

/// How dumps are read and their files found.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Reading {
    /// Read the input as this format instead of recognising it
    #[arg(help_heading = INPUT, long, value_name = "NAME")]
    format: Option<String>,

    /// Most GiB of a dump that is piped in or compressed
    #[arg(help_heading = INPUT, long, value_name = "GIB")]
    max_size: Option<u64>,

    /// The executable that ran, when it is not at the path in the core
    #[arg(help_heading = FILES, long, value_name = "FILE")]
    exe: Option<PathBuf>,

    /// Where its files are.
    #[command(flatten)]
    pub places: Places,
}

/// Where the files of a process are looked for.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Places {
    /// Root of the file system that the process saw (a container's rootfs)
    #[arg(help_heading = FILES, long, value_name = "DIR")]
    sysroot: Option<PathBuf>,

    /// Directory of debug files, with .build-id in it, or of Breakpad symbols; may be repeated
    #[arg(help_heading = FILES, long = "debug-dir", value_name = "DIR")]
    pub debug_dirs: Vec<PathBuf>,

    #[command(flatten)]
    pub symbols: SymbolArgs,
}

/// What a report shows beside names.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shown {
    /// Locals of every frame.
    pub locals: bool,
    /// Source lines from servers.
    pub sources: bool,
}

/// What a run has for each of its dumps.
#[derive(Clone, Copy)]
pub(crate) struct About<'a, 'data> {
    /// Keeps what is unpacked.
    pub arena: &'data Arena,
    /// Asks symbol servers.
    pub client: &'a Arc<Client>,
    /// Whose code is whose.
    pub noise: &'a Noise,
    /// The number of the input, from 1.
    pub number: usize,
}

/// A dump with all that was found out about it.
pub(crate) struct Dump<'data> {
    pub input: Input,
    pub snapshot: Snapshot<'data>,
    pub groups: Groups,
    pub verdict: Verdict<'data>,
}

/// Why a file gave no dump.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Open(#[from] input::Error),
    #[error(transparent)]
    Read(#[from] necropsy_read::Error),
}

impl Error {
    /// It is a file like any other, and no dump.
    pub(crate) fn is_no_dump(&self) -> bool {
        matches!(self, Self::Read(necropsy_read::Error::NotRecognised { .. }) | Self::Open(input::Error::Empty))
    }
}

impl Places {
    /// The client of a run, one for all its inputs, so that they share one budget; or what is wrong with what the user said:
    /// a report without the names of a directory that is not there would only puzzle.
    pub(crate) fn client(&self) -> Result<Arc<Client>, String> {
        let folders = self.sysroot.iter().map(|path| ("--sysroot", path));
        let mut folders = folders.chain(self.debug_dirs.iter().map(|path| ("--debug-dir", path)));
        match folders.find(|(_, path)| !path.is_dir()) {
            Some((flag, path)) => Err(format!("{flag} {}: there is no such directory", path.display())),
            None => self.symbols.client(),
        }
    }

    /// Where to look.
    pub(crate) fn options(&self, client: &Arc<Client>) -> Options {
        Options {
            sysroot: self.sysroot.clone(),
            debug_dirs: self.debug_dirs.clone(),
            client: Some(Arc::clone(client)),
            ..Options::default()
        }
    }
}

impl Reading {
    /// As [`Places::client`].
    pub(crate) fn client(&self) -> Result<Arc<Client>, String> {
        match self.exe.as_ref().filter(|path| !path.is_file()) {
            Some(exe) => Err(format!("--exe {}: there is no such file", exe.display())),
            None => self.places.client(),
        }
    }

    /// The dumps in a file as the reader leaves them, without stacks and names where these must be found first.
    pub(crate) fn open<'data>(&self, path: &Path, arena: &'data Arena) -> Result<(Input, Vec<Snapshot<'data>>), Error> {
        let limit = self.max_size.map_or(input::DEFAULT_LIMIT, |gib| gib.saturating_mul(1 << 30));
        let Opened { data, input, warnings, outer, noted } = input::open(path, limit, arena)?;
        let mut snapshots = match outer {
            Some(outer) => necropsy_read::read_enclosed(outer, data, arena)?,
            None => necropsy_read::read(data, arena, self.format.as_deref())?,
        };
        for snapshot in &mut snapshots {
            if let Some(noted) = &noted {
                necropsy_read::note(snapshot, noted);
            }
            snapshot.warnings.extend(warnings.iter().map(|text| Warning::new(text.clone(), Source::DUMP)));
        }
        Ok((input, snapshots))
    }

    /// Finds stacks and names, and what else a report is to show.
    pub(crate) fn name<'data>(
        &self,
        snapshot: &mut Snapshot<'data>,
        dump: &Path,
        arena: &'data Arena,
        client: &Arc<Client>,
        shown: Shown,
    ) {
        let options = Options {
            dump_dir: dump.parent().filter(|_| dump != Path::new("-")).map(Path::to_owned),
            exe: self.exe.clone(),
            locals: shown.locals,
            sources: shown.sources,
            ..self.places.options(client)
        };
        necropsy_symbolicate::symbolicate(snapshot, arena, &options);
    }

    /// Finds stacks and names, groups and judges.
    pub(crate) fn tell<'data>(
        &self,
        mut input: Input,
        index: usize,
        mut snapshot: Snapshot<'data>,
        about: About<'_, 'data>,
        redactor: Option<&mut Redactor>,
    ) -> Dump<'data> {
        input.index = index;
        self.name(&mut snapshot, Path::new(&input.path), about.arena, about.client, Shown::default());
        if let Some(redactor) = redactor {
            redactor.snapshot(&mut snapshot);
            input.path = format!("<file-{}>", about.number);
        }
        let groups = necropsy_group::group(&snapshot, Similarity::SameLines);
        let verdict = necropsy_diagnose::diagnose_with(&snapshot, &groups, about.noise);
        Dump { input, snapshot, groups, verdict }
    }
}
