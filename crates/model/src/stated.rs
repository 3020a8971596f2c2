//! Addresses of code as people and programs state them in text: without a dump around them.

use crate::{Avma, BuildId, Svma};

/// A file that an address is said to lie in. One of the two is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatedFile {
    /// Its path, or its name.
    pub path: Option<String>,
    /// Its build id.
    pub build_id: Option<BuildId>,
}

/// Where in a file an address is said to lie.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Offset {
    /// An address in the file's own terms, as symbol tables have it. What `dladdr` and glibc's `backtrace_symbols` print for a
    /// library or a position-independent program is the same.
    Stated(Svma),
    /// Bytes from the lowest address of the file in memory.
    Loaded(u64),
    /// Bytes from the beginning of the file.
    InFile(u64),
    /// Bytes from the beginning of the mapping of its code, and the size of that mapping: what Linux before 6.8 prints.
    InMapping {
        /// Bytes from the beginning.
        offset: u64,
        /// Bytes of the mapping.
        size: u64,
    },
    /// Bytes from a symbol.
    Symbol {
        /// Its name, as the symbol table has it.
        name: String,
        /// Bytes from it.
        offset: u64,
    },
}

/// What an address is: whether the instruction before it is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Meant {
    /// The instruction at the address itself: it was about to run, or whoever printed it went back already.
    Instruction,
    /// A return address: the call before it is meant, which may be the last instruction of its function.
    Return,
    /// Nothing tells.
    #[default]
    Unknown,
}

/// An address of code as a text states it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatedAddress {
    /// In the process, where it was printed.
    pub process: Option<Avma>,
    /// In a file, where one was named.
    pub file: Option<(StatedFile, Offset)>,
    /// Which instruction is meant.
    pub meant: Meant,
}
