//! Bytes of a dump to a [`Snapshot`]: one file per format, one line per format in [`READERS`].
//!
//! A reader yields what it could read and a list of warnings. Only "not recognised", "not readable" and "nothing in it"
//! are errors; a damaged thread costs one warning, not the report.

#![forbid(unsafe_code)]

mod apport;
mod elf_core;
mod exception;
mod goroutines;
mod hs_err;
mod java_threads;
mod kernel_log;
mod maps;
mod native_stacks;
mod noted;
pub mod stored_core;
mod text;
pub mod tokens;

pub use maps::maps;
pub use noted::{Noted, note};
use std::io;

use necropsy_model::{Arena, Snapshot, Source, Warning};
use thiserror::Error;

pub use java_threads::join;

/// Bytes of the head that [`Reader::probe`] gets to see.
pub const HEAD: usize = 64 * 1024;

/// Bytes of a file in which the beginning of a dump is looked for where its head shows none: more than logs are long before they are
/// rotated. A sparse file may say that it has a terabyte.
pub const SEARCHED: usize = 4 << 30;

/// All readers. To add a format, add its file and its line.
pub static READERS: &[&dyn Reader] = &[
    &elf_core::ElfCore,
    &apport::Apport,
    &goroutines::Goroutines,
    &hs_err::HsErrLog,
    &java_threads::JavaThreads,
    &java_threads::DumpFile,
    &java_threads::ThreadInfo,
    &java_threads::Actuator,
    &java_threads::Javacore,
    &native_stacks::NativeStacks,
    &kernel_log::KernelLog,
];

/// A reader of one format.
pub trait Reader: Sync {
    /// Name in kebab-case: `input.kind` of the report, the argument of `--format`, the folder of its fixtures.
    fn name(&self) -> &'static str;

    /// Whether the first [`HEAD`] bytes of a file look like this format.
    fn probe(&self, head: &[u8]) -> Probe;

    /// Whether a dump of this format begins anywhere in `data`; asked only when nobody recognised the head.
    fn find(&self, data: &[u8]) -> Option<usize> {
        let _ = data;
        None
    }

    /// The dump that the file encloses in an encoding of its own, as it lies there: mostly compressed.
    fn enclosed<'data>(&self, data: &'data [u8]) -> Option<Box<dyn io::Read + 'data>> {
        let _ = data;
        None
    }

    /// Reads the dump that was enclosed in `outer`, unpacked.
    fn read_enclosed<'data>(
        &self,
        outer: &'data [u8],
        inner: &'data [u8],
        arena: &'data Arena,
    ) -> Result<Vec<Snapshot<'data>>, Error> {
        let _ = outer;
        self.read(inner, arena)
    }

    /// Reads every dump in the file.
    fn read<'data>(&self, data: &'data [u8], arena: &'data Arena) -> Result<Vec<Snapshot<'data>>, Error>;
}

/// What a reader says to the head of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Probe {
    /// Not this format.
    No,
    /// It may be; wins only when nobody says yes.
    Maybe,
    /// This format.
    Yes,
}

/// Why a file could not be read at all.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Error {
    /// Nobody recognised it.
    #[error("not a dump that necropsy knows: {what}")]
    NotRecognised {
        /// What it seems to be, for the user.
        what: String,
    },
    /// The format was recognised, but nothing of it can be used.
    #[error("{reason}")]
    Unreadable {
        /// One phrase.
        reason: String,
    },
    /// `--format` names no reader.
    #[error("no format is called {name}; there are: {known}")]
    UnknownFormat {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
}

/// Reads every dump in `data`: with the reader called `format`, or with the one that recognises it.
pub fn read<'data>(
    data: &'data [u8],
    arena: &'data Arena,
    format: Option<&str>,
) -> Result<Vec<Snapshot<'data>>, Error> {
    let reader = match format {
        Some(name) => by_name(name)?,
        None => recognise(data)?,
    };
    reader.read(data, arena)
}

/// The dump that a file encloses, as it lies there; whoever opens files unpacks it.
pub fn enclosed<'data>(data: &'data [u8]) -> Option<Box<dyn io::Read + 'data>> {
    let head = data.get(..HEAD).unwrap_or(data);
    READERS.iter().filter(|reader| reader.probe(head) == Probe::Yes).find_map(|reader| reader.enclosed(data))
}

/// Reads the dumps in `inner`, which was enclosed in `outer` and is unpacked.
pub fn read_enclosed<'data>(
    outer: &'data [u8],
    inner: &'data [u8],
    arena: &'data Arena,
) -> Result<Vec<Snapshot<'data>>, Error> {
    recognise(outer)?.read_enclosed(outer, inner, arena)
}

/// Name of the reader that recognises a file by its head, if one does.
pub fn kind(head: &[u8]) -> Option<&'static str> {
    let best = READERS.iter().map(|reader| (reader.probe(head), reader)).rev().max_by_key(|&(probe, _)| probe);
    best.filter(|&(probe, _)| probe > Probe::No).map(|(_, reader)| reader.name())
}

fn by_name(name: &str) -> Result<&'static dyn Reader, Error> {
    let known = || READERS.iter().map(|reader| reader.name()).collect::<Vec<_>>().join(", ");
    let reader = READERS.iter().find(|reader| reader.name() == name).copied();
    reader.ok_or_else(|| Error::UnknownFormat { name: name.to_owned(), known: known() })
}

/// The first `most` dumps of a file; where there are more, the last one says so.
pub(crate) fn first_dumps(mut dumps: Vec<Snapshot<'_>>, most: usize, all: usize) -> Vec<Snapshot<'_>> {
    dumps.truncate(most);
    if let Some(last) = dumps.last_mut().filter(|_| all > most) {
        let text = format!(
            "the file holds {all} dumps, of which the first {most} are read; parts of it can be given one by one"
        );
        last.warnings.push(Warning::new(text, Source::DUMP));
    }
    dumps
}

/// The reader that recognises `data`: by its head, else by the first dump that begins anywhere in it.
fn recognise(data: &[u8]) -> Result<&'static dyn Reader, Error> {
    let head = data.get(..HEAD).unwrap_or(data);
    let best = READERS.iter().map(|reader| (reader.probe(head), reader)).rev().max_by_key(|&(probe, _)| probe);
    if let Some((Probe::Yes | Probe::Maybe, reader)) = best {
        return Ok(*reader);
    }
    first_within(data, SEARCHED).ok_or_else(|| {
        let cut = if data.len() > SEARCHED { "; only its first 4 GiB were looked through" } else { "" };
        Error::NotRecognised { what: guess(head) + cut }
    })
}

/// The reader of the first dump that begins within so many bytes.
fn first_within(data: &[u8], most: usize) -> Option<&'static dyn Reader> {
    let searched = data.get(..most).unwrap_or(data);
    let found = READERS.iter().filter_map(|reader| Some((reader.find(searched)?, reader)));
    found.min_by_key(|&(offset, _)| offset).map(|(_, reader)| *reader)
}

/// First bytes of gzip, zstd, xz, lz4 and bzip2: whoever opened the file has unpacked it once.
const PACKED: [&[u8]; 5] = [b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0", b"\x04\x22\x4d\x18", b"BZh"];

/// What a file that nobody recognised seems to be, in the words of its owner.
fn guess(head: &[u8]) -> String {
    if let Some(told) = exception::told(head) {
        return told;
    }
    if PACKED.iter().any(|magic| head.starts_with(magic)) {
        return "it is compressed more than once; unpack it and give what is inside".to_owned();
    }
    let elf_type = head.get(16..18).filter(|_| head.starts_with(b"\x7fELF"));
    let what = match (head, elf_type) {
        ([], _) => "the file is empty",
        (_, Some([2 | 3, 0] | [0, 2 | 3])) => {
            "this is an ELF executable or library, not a core; give the core, and this file with --exe"
        }
        (_, Some(_)) => "this is an ELF file, but not a core",
        _ if head.iter().all(|&byte| byte == 0) => "it holds nothing but zeros",
        _ if std::str::from_utf8(head).is_ok() || head.is_ascii() => "this is text without a dump in it",
        _ => "the first bytes match no format",
    };
    what.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_kebab_case() {
        let mut names: Vec<_> = READERS.iter().map(|reader| reader.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), READERS.len());
        for name in names {
            assert!(
                name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'),
                "{name}"
            );
        }
    }

    #[test]
    fn what_nobody_knows_is_told_apart() {
        let arena = Arena::new();
        let reason = |data: &'static [u8]| read(data, &arena, None).unwrap_err().to_string();
        assert!(reason(b"").contains("empty"));
        assert!(reason(b"hello, world\n").contains("text without a dump"));
        let thrown = b"java.lang.IllegalStateException: closed\n\tat shop.Cart.add(Cart.java:7)\n";
        assert!(reason(thrown).contains("Java exception"));
        assert!(reason(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0").contains("--exe"));
        assert!(reason(b"\x1f\x8b\x08\0\0\0\0\0").contains("compressed more than once"));
        assert!(matches!(read(b"", &arena, Some("tarot")), Err(Error::UnknownFormat { .. })));
    }

    #[test]
    fn what_begins_far_behind_is_not_looked_for() {
        let log = [b"x\n".repeat(500).as_slice(), b"goroutine 1 [running]:\nmain.main()\n\t/a.go:1 +0x1\n"].concat();
        assert_eq!(first_within(&log, log.len()).map(Reader::name), Some("go-goroutines"));
        assert!(first_within(&log, 1000).is_none());
    }
}
