//! Numbers in the byte order and word size of the process.

use necropsy_model::{Endianness, Text};

/// How the process wrote its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Byte order.
    pub endian: Endianness,
    /// Words (addresses, `unsigned long`) have eight bytes, not four.
    pub wide: bool,
}

impl Layout {
    /// Bytes of a word.
    pub(super) fn word_size(self) -> usize {
        if self.wide { 8 } else { 4 }
    }

    /// The two bytes at `at`.
    pub(super) fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let array = bytes.get(at..)?.first_chunk()?;
        Some(match self.endian {
            Endianness::Little => u16::from_le_bytes(*array),
            Endianness::Big => u16::from_be_bytes(*array),
        })
    }

    /// The four bytes at `at`.
    pub(super) fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let array = bytes.get(at..)?.first_chunk()?;
        Some(match self.endian {
            Endianness::Little => u32::from_le_bytes(*array),
            Endianness::Big => u32::from_be_bytes(*array),
        })
    }

    /// The four bytes at `at`, signed.
    pub(super) fn i32(self, bytes: &[u8], at: usize) -> Option<i32> {
        self.u32(bytes, at).map(u32::cast_signed)
    }

    /// The eight bytes at `at`.
    pub(super) fn u64(self, bytes: &[u8], at: usize) -> Option<u64> {
        let array = bytes.get(at..)?.first_chunk()?;
        Some(match self.endian {
            Endianness::Little => u64::from_le_bytes(*array),
            Endianness::Big => u64::from_be_bytes(*array),
        })
    }

    /// The word at `at`.
    pub(super) fn word(self, bytes: &[u8], at: usize) -> Option<u64> {
        if self.wide { self.u64(bytes, at) } else { self.u32(bytes, at).map(u64::from) }
    }

    /// All whole words of `bytes`.
    pub(super) fn words(self, bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
        bytes.chunks_exact(self.word_size()).filter_map(move |chunk| self.word(chunk, 0))
    }
}

/// Text up to the first NUL, borrowed unless it is not UTF-8.
pub(super) fn text(bytes: &[u8]) -> Text<'_> {
    let end = memchr::memchr(0, bytes).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_has_the_size_and_order_of_the_process() {
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8];
        let wide = Layout { endian: Endianness::Little, wide: true };
        let narrow = Layout { endian: Endianness::Big, wide: false };
        assert_eq!(wide.word(&bytes, 0), Some(0x0807_0605_0403_0201));
        assert_eq!(narrow.words(&bytes).collect::<Vec<_>>(), [0x0102_0304, 0x0506_0708]);
        assert_eq!(wide.word(&bytes, 1), None);
        assert_eq!(wide.u16(&bytes, usize::MAX), None);
    }

    #[test]
    fn text_ends_at_the_first_nul() {
        assert_eq!(text(b"sh\0garbage"), "sh");
        assert_eq!(text(b"whole"), "whole");
    }
}
