//! Whether what arrived is what was asked for. A server may be wrong, hostile, or a captive portal with a login page.

use std::borrow::Cow;
use std::fs::File;

use necropsy_model::BuildId;
use object::read::ReadCache;
use object::{CompressedData, CompressionFormat, Object, ObjectSection, ObjectSegment};

use crate::What;
use crate::record::Failure;

/// Bytes of an `Elf64_Chdr`.
const CHDR: usize = 24;
/// Most bytes of an unpacked section; a symbol table of Chromium has 120 MB.
const MOST_UNPACKED: u64 = 1 << 30;
/// Deflate expands by 1032 at most; more is damage.
const MOST_EXPANSION: u64 = 1100;

/// Says what is wrong with a file that was received.
pub(crate) fn file(file: &File, id: &BuildId, what: &What) -> Result<(), Failure> {
    match what {
        What::DebugInfo | What::Executable => match build_id(file) {
            None => Err(Failure::Malformed("what is no ELF file")),
            Some(found) if found.as_ref() == Some(id) && is_cut(file) => Err(Failure::Malformed("a file that is cut")),
            Some(found) if found.as_ref() == Some(id) => Ok(()),
            Some(found) => Err(Failure::WrongBuild(found)),
        },
        What::Section(_) | What::Source(_) => {
            let mut head = [0_u8; 16];
            let length = read_head(file, &mut head).unwrap_or(0);
            let head = head.get(..length).unwrap_or_default().to_ascii_lowercase();
            let page = [&b"<!doctype html"[..], b"<html"].iter().any(|mark| head.starts_with(mark));
            if page { Err(Failure::Malformed("a page of HTML")) } else { Ok(()) }
        }
    }
}

fn read_head(mut file: &File, head: &mut [u8]) -> std::io::Result<usize> {
    use std::io::{Read, Seek};
    file.rewind()?;
    file.read(head)
}

/// The build id of an ELF file of any machine, read without mapping it; the outer `None` when it is no ELF file.
// A file without the note is not the same as no file: each is reported with other words.
#[allow(clippy::option_option)]
pub(crate) fn build_id(file: &File) -> Option<Option<BuildId>> {
    let cache = ReadCache::new(file);
    let elf = object::File::parse(&cache).ok()?;
    Some(elf.build_id().ok().flatten().and_then(BuildId::new))
}

/// A section ends behind the end of the file, or, where there are no sections, a segment does. HTTP does not always tell: a
/// server that died while a file was copied to it states the length of what it has. The segments of a debug file are those of
/// the executable and lie where they like.
fn is_cut(file: &File) -> bool {
    let cache = ReadCache::new(file);
    let (Ok(elf), Ok(length)) = (object::File::parse(&cache), file.metadata().map(|metadata| metadata.len())) else {
        return true;
    };
    let beyond = |(offset, size): (u64, u64)| offset.checked_add(size).is_none_or(|end| end > length);
    let mut sections = elf.sections().peekable();
    if sections.peek().is_none() {
        return elf.segments().any(|segment| beyond(segment.file_range()));
    }
    sections.filter_map(|section| section.file_range()).any(beyond)
}

/// The bytes of a section as the program saw them.
///
/// A server sends them as they are stored, without the flag that says whether they are compressed (elfutils 0.188,
/// `handle_buildid_match` copies `sh_offset`, `sh_size`): a compressed one begins with an `Elf64_Chdr` (gABI, chapter 4).
/// `None` when it claims what can not be, or is damaged.
pub fn unpacked_section(bytes: &[u8]) -> Option<Cow<'_, [u8]>> {
    let Some((format, size)) = compression(bytes) else { return Some(Cow::Borrowed(bytes)) };
    let packed = bytes.get(CHDR..)?;
    if size > MOST_UNPACKED || size > (packed.len() as u64).saturating_mul(MOST_EXPANSION) {
        return None;
    }
    CompressedData { format, data: packed, uncompressed_size: size }.decompress().ok()
}

/// A header of a compressed section, by everything that such a header and the stream behind it must look like.
fn compression(bytes: &[u8]) -> Option<(CompressionFormat, u64)> {
    let word = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let long = |at: usize| Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let (kind, reserved, size, alignment) = (word(0)?, word(4)?, long(8)?, long(16)?);
    if reserved != 0 || !alignment.is_power_of_two() || alignment > 4096 {
        return None;
    }
    match (kind, bytes.get(CHDR..)?) {
        (1, [0x78, second, ..]) if (0x7800 + u32::from(*second)).is_multiple_of(31) => {
            Some((CompressionFormat::Zlib, size))
        }
        (2, [0x28, 0xb5, 0x2f, 0xfd, ..]) => Some((CompressionFormat::Zstandard, size)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stored block of zlib: `hello`, as `zlib.compress(b"hello", 0)` writes it.
    const STORED: [u8; 16] = [0x78, 0x01, 1, 5, 0, 0xfa, 0xff, b'h', b'e', b'l', b'l', b'o', 0x06, 0x2c, 0x02, 0x15];

    fn compressed(kind: u32, size: u64, stream: &[u8]) -> Vec<u8> {
        let mut bytes = kind.to_le_bytes().to_vec();
        bytes.extend([0; 4]);
        bytes.extend(size.to_le_bytes());
        bytes.extend(1_u64.to_le_bytes());
        bytes.extend(stream);
        bytes
    }

    #[test]
    fn a_compressed_section_is_recognised_and_unpacked() {
        let packed = compressed(1, 5, &STORED);
        assert_eq!(unpacked_section(&packed).as_deref(), Some(&b"hello"[..]));
        assert_eq!(unpacked_section(b"plain"), Some(Cow::Borrowed(&b"plain"[..])));
        assert_eq!(unpacked_section(&[]), Some(Cow::Borrowed(&[][..])));
    }

    #[test]
    fn what_only_looks_like_it_is_left_as_it_is() {
        // The first entry of a symbol table is all zeros, and type 1 is no accident in a table of integers.
        let other = compressed(1, 5, b"no zlib at all");
        assert_eq!(unpacked_section(&other).as_deref(), Some(&other[..]));
        assert_eq!(unpacked_section(&[0; 48]).as_deref(), Some(&[0; 48][..]));
    }

    #[test]
    fn an_impossible_size_is_refused() {
        assert_eq!(unpacked_section(&compressed(1, u64::MAX, &STORED)), None);
        assert_eq!(unpacked_section(&compressed(1, 1 << 29, &STORED)), None);
        assert_eq!(unpacked_section(&compressed(1, 5, &STORED[..8])), None, "damaged");
    }
}
