//! Inputs to begin with: the dumps and files of the fixtures, and those of the corpus that `NECROPSY_CORPUS` names.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, elf};

use crate::mutate::{LONGEST, Shape};

/// Files of the corpus that are taken for one target; more would only slow its first round down.
const MOST_OF_CORPUS: usize = 200;
/// Largest file that is cut to a seed.
const LARGEST: u64 = 64 << 20;
/// Largest file of the corpus: what is larger is a core that is too long for an input, and costs seconds to read.
const LARGEST_OF_CORPUS: u64 = 4 << 20;

/// The folder of the fixtures.
fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures")
}

/// The dumps of one format, each cut to the length of an input.
pub fn dumps(format: &str) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for case in entries(&fixtures().join(format)) {
        let dumps =
            entries(&case).into_iter().filter(|path| name(path).starts_with("dump") || name(path) == "core.zst");
        found.extend(dumps.filter_map(|path| read(&path)));
    }
    found
}

/// Text dumps of all formats.
pub fn texts() -> Vec<Vec<u8>> {
    let formats = ["goroutines", "hs-err", "java-dump-file", "java-threads", "kernel-log", "native-stacks"];
    formats.iter().flat_map(|format| dumps(format)).flat_map(|dump| pieces(&dump)).collect()
}

/// Files of the corpus that `take` accepts by their path and first bytes. Cores of megabytes are passed over.
pub fn corpus(take: impl Fn(&Path, &[u8]) -> bool) -> Vec<Vec<u8>> {
    let Some(folder) = std::env::var_os("NECROPSY_CORPUS") else { return Vec::new() };
    let mut pending = vec![PathBuf::from(folder)];
    let mut found = Vec::new();
    while let Some(path) = pending.pop() {
        if found.len() >= MOST_OF_CORPUS {
            break;
        }
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        if metadata.is_dir() {
            pending.extend(entries(&path).into_iter().rev());
        } else if metadata.is_file() && metadata.len() <= LARGEST_OF_CORPUS {
            found.extend(read(&path).filter(|bytes| take(&path, bytes)).into_iter().flat_map(|bytes| pieces(&bytes)));
        }
    }
    found
}

/// Files below `root/` of every case of cores: executables, libraries and debug files that are no larger than an input.
pub fn elf_files() -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut pending = vec![fixtures().join("elf-core")];
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            pending.extend(entries(&path).into_iter().rev());
        } else if path.components().any(|part| part.as_os_str() == "root") {
            found.extend(
                read(&path).filter(|bytes| bytes.starts_with(elf::ELFMAG.as_slice()) && bytes.len() <= LONGEST),
            );
        }
    }
    found
}

/// A core with little more than its headers, its notes and the stacks: an input that can be tried a thousand times a second.
pub fn slim(core: &[u8]) -> Option<Vec<u8>> {
    /// Bytes of a segment that are kept.
    const KEPT: usize = 6 << 10;
    let header = elf::FileHeader64::<Endianness>::parse(core).ok()?;
    let endian = header.endian().ok()?;
    let segments = header.program_headers(endian, core).ok()?;
    let table = usize::try_from(header.e_phoff(endian)).ok()?;
    let head = table + size_of_val(segments);
    let mut out = core.get(..head)?.to_vec();
    for (index, segment) in segments.iter().enumerate() {
        let data = segment.data(endian, core).unwrap_or_default();
        let is_note = segment.p_type(endian) == elf::PT_NOTE;
        // Of what a segment holds the last page that is not empty is the stack's beginning, the first the file's header.
        let last = data.iter().rposition(|&byte| byte != 0).map_or(0, |at| at + 1);
        let length = if is_note { data.len() } else { last.min(KEPT) };
        let skipped = if is_note || data.starts_with(b"\x7fELF") { 0 } else { (last - length) & !0xfff };
        let kept = data.get(skipped..(skipped + length).min(data.len())).unwrap_or_default();
        let at = table + index * size_of::<elf::ProgramHeader64<Endianness>>();
        // `p_offset`, `p_vaddr`, `p_filesz`, `p_memsz` of the header in the copy.
        let offset = out.len() as u64;
        write(&mut out, at + 8, offset);
        if !is_note {
            write(&mut out, at + 16, segment.p_vaddr(endian) + skipped as u64);
            write(&mut out, at + 40, segment.p_memsz(endian).saturating_sub(skipped as u64));
        }
        write(&mut out, at + 32, kept.len() as u64);
        out.extend_from_slice(kept);
    }
    Some(out)
}

fn write(out: &mut [u8], at: usize, value: u64) {
    if let Some(field) = out.get_mut(at..at + 8) {
        field.copy_from_slice(&value.to_le_bytes());
    }
}

/// Pieces of a text, each as long as an input at most and beginning with a line.
pub fn pieces(text: &[u8]) -> Vec<Vec<u8>> {
    /// Pieces of one file: what stands far behind is more of the same.
    const MOST: usize = 6;
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() && pieces.len() < MOST {
        let length = Shape::Text.longest().min(rest.len());
        let (piece, behind) = rest.split_at(length);
        // The next piece overlaps with this one by half, so that no record is cut in both.
        let middle =
            piece.iter().skip(length / 2).position(|&byte| byte == b'\n').map_or(length, |at| length / 2 + at + 1);
        pieces.push(piece.to_vec());
        rest = if behind.is_empty() { behind } else { rest.get(middle..).unwrap_or_default() };
    }
    pieces
}

/// At most as long as an input.
pub fn cut(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(LONGEST);
    bytes
}

/// A file, decompressed where its name says so.
fn read(path: &Path) -> Option<Vec<u8>> {
    let bytes = fs::read(path).ok()?;
    if path.extension().is_some_and(|ending| ending == "zst") {
        let mut out = Vec::new();
        zstd::Decoder::new(bytes.as_slice()).ok()?.take(LARGEST).read_to_end(&mut out).ok()?;
        return Some(out);
    }
    Some(bytes)
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<_> = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    entries.sort();
    entries
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
