//! `NT_FILE`: which file is mapped where. `fill_files_note` of `fs/binfmt_elf.c`.

use necropsy_model::Text;

use super::bytes::{Layout, text};

/// A file-backed mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mapping<'data> {
    /// First address.
    pub start: u64,
    /// First address behind it.
    pub end: u64,
    /// Offset in the file of the first byte.
    pub offset: u64,
    /// Path, without a ` (deleted)` mark.
    pub path: Text<'data>,
    /// The path had that mark: it was unlinked or replaced.
    pub deleted: bool,
}

/// What the kernel's `d_path` puts behind the path of an unlinked file.
const DELETED: &str = " (deleted)";

/// Reads the note: a count, a page size, as many triples, then as many names. A cut note yields the mappings whose names
/// survived. File offsets are in units of the page size that the note states, 1 when `gcore` wrote it.
pub(super) fn read(body: &[u8], layout: Layout) -> Vec<Mapping<'_>> {
    let word = layout.word_size();
    let mut head = layout.words(body);
    let (Some(count), Some(page_size)) = (head.next(), head.next()) else { return Vec::new() };
    let triples_end = usize::try_from(count).ok().and_then(|count| count.checked_mul(3 * word)?.checked_add(2 * word));
    let names = triples_end.and_then(|end| body.get(end..)).unwrap_or_default();
    let mut mappings = Vec::new();
    let mut names = names.split_inclusive(|&byte| byte == 0).filter(|name| name.ends_with(&[0]));
    while let (Some(start), Some(end), Some(pages), Some(name)) = (head.next(), head.next(), head.next(), names.next())
    {
        let path = text(name);
        let (path, deleted) = match path {
            Text::Borrowed(path) => match path.strip_suffix(DELETED) {
                Some(path) => (Text::Borrowed(path), true),
                None => (Text::Borrowed(path), false),
            },
            Text::Owned(path) => match path.strip_suffix(DELETED) {
                Some(path) => (Text::Owned(path.to_owned()), true),
                None => (Text::Owned(path), false),
            },
        };
        if start < end {
            mappings.push(Mapping { start, end, offset: pages.saturating_mul(page_size), path, deleted });
        }
    }
    mappings.sort_by_key(|mapping| mapping.start);
    mappings
}

#[cfg(test)]
mod tests {
    use necropsy_model::Endianness;

    use super::*;

    const LAYOUT: Layout = Layout { endian: Endianness::Little, wide: true };

    fn note(words: &[u64], names: &[u8]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).chain(names.iter().copied()).collect()
    }

    #[test]
    fn offsets_are_pages_and_deleted_is_a_mark() {
        let body = note(&[2, 4096, 0x5000, 0x6000, 1, 0x1000, 0x2000, 0], b"/lib/b.so (deleted)\0/bin/a\0");
        let read = read(&body, LAYOUT);
        assert_eq!((read[0].path.as_ref(), read[0].deleted, read[0].offset), ("/bin/a", false, 0));
        assert_eq!((read[1].path.as_ref(), read[1].deleted, read[1].offset), ("/lib/b.so", true, 4096));
    }

    #[test]
    fn a_count_that_lies_costs_nothing() {
        assert_eq!(read(&note(&[u64::MAX, 4096, 1, 2, 3], b""), LAYOUT), []);
        assert_eq!(read(&note(&[2, 4096, 1, 2, 0, 3, 4, 0], b"/a\0/cut"), LAYOUT).len(), 1);
    }
}
