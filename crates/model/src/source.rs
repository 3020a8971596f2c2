//! Where in the dump a fact stands.

use std::fmt;

use crate::Text;

/// A place in the dump: a line of a text dump or a byte offset. Eight bytes, because a dump may hold a million threads.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source(u64);

/// What a [`Source`] points at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// Line of a text dump, from 1.
    Line(u64),
    /// Byte offset in the dump, from 0.
    Offset(u64),
    /// The dump as a whole.
    Dump,
}

const OFFSET: u64 = 1 << 63;

impl Source {
    /// The dump as a whole.
    pub const DUMP: Self = Self(0);

    /// A line of a text dump, from 1.
    pub fn line(line: u64) -> Self {
        Self(line & !OFFSET)
    }

    /// A byte offset in the dump.
    pub fn offset(offset: u64) -> Self {
        Self(offset | OFFSET)
    }

    /// What it points at.
    pub fn kind(self) -> SourceKind {
        match self.0 {
            0 => SourceKind::Dump,
            offset if offset & OFFSET != 0 => SourceKind::Offset(offset & !OFFSET),
            line => SourceKind::Line(line),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            SourceKind::Line(line) => write!(f, "line {line}"),
            SourceKind::Offset(offset) => write!(f, "offset {offset:#x}"),
            SourceKind::Dump => f.write_str("the dump"),
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({self})")
    }
}

/// What could not be read, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning<'data> {
    /// One sentence without a full stop.
    pub text: Text<'data>,
    /// Where in the dump.
    pub source: Source,
}

impl<'data> Warning<'data> {
    /// A warning with its place.
    pub fn new(text: impl Into<Text<'data>>, source: Source) -> Self {
        Self { text: text.into(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_offsets_are_told_apart() {
        assert_eq!(Source::line(7).to_string(), "line 7");
        assert_eq!(Source::offset(0).to_string(), "offset 0x0");
        assert_eq!(Source::DUMP.to_string(), "the dump");
    }
}
