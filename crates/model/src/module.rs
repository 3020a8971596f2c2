//! Executables and libraries that were mapped into the process.

use std::fmt;

use crate::{Avma, Bias, Offset, Text};

/// A GNU build id: the bytes of the `NT_GNU_BUILD_ID` note, usually 20.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BuildId(Box<[u8]>);

impl BuildId {
    /// A build id of these bytes; `None` when there are none or more than 64, which no linker writes.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (1..=64).contains(&bytes.len()).then(|| Self(bytes.into()))
    }

    /// The bytes of the note.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BuildId({self})")
    }
}

/// A file mapped into the process as code.
#[derive(Clone, Debug)]
pub struct Module<'data> {
    /// Path as the process knew it, without a ` (deleted)` mark.
    pub path: Text<'data>,
    /// The path was unlinked or replaced while the process ran.
    pub deleted: bool,
    /// Build id, as the dump itself states it.
    pub build_id: Option<BuildId>,
    /// Lowest mapped address.
    pub base: Avma,
    /// Bytes from the lowest to the highest mapped address.
    pub size: u64,
    /// What the loader added to the file's addresses, where it is known.
    pub bias: Option<Bias>,
    /// An address in it of which the dump says where in the file it lies, when it says no more of the module's place.
    pub stated: Option<Box<(Avma, Offset)>>,
    /// It is the main executable.
    pub is_executable: bool,
    /// What was found of its symbols.
    pub symbols: Symbols,
    /// What the file itself says it is and needs, once a file was found.
    pub identity: Option<Identity>,
}

impl<'data> Module<'data> {
    /// A module of which only the path is known: its place in memory is not.
    pub fn at_path(path: impl Into<Text<'data>>) -> Self {
        Self {
            path: path.into(),
            deleted: false,
            build_id: None,
            base: Avma(0),
            size: 0,
            bias: None,
            stated: None,
            is_executable: false,
            symbols: Symbols::default(),
            identity: None,
        }
    }
}

impl Module<'_> {
    /// The last component of the path.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// The address lies between the lowest and the highest mapped address. Modules may interleave.
    pub fn covers(&self, address: Avma) -> bool {
        address.0.checked_sub(self.base.0).is_some_and(|offset| offset < self.size)
    }
}

/// What was found of a module's symbols.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Symbols {
    /// How much was found.
    pub status: SymbolStatus,
    /// The files used, in words a user can check.
    pub from: Option<String>,
    /// How the file was held to be the right one.
    pub verified: Option<Verified>,
    /// Why there is no more.
    pub reason: Option<String>,
    /// What was asked of symbol servers, and what became of it.
    pub fetched: Vec<Fetched>,
}

/// A file of a module that was asked of symbol servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Which: `debug file`, `executable`, the name of a section.
    pub what: String,
    /// `fetched`, `cached`, or a word for the reason why not.
    pub outcome: &'static str,
    /// The server that sent it.
    pub server: Option<String>,
    /// Its size.
    pub bytes: Option<u64>,
    /// How long it took.
    pub milliseconds: u64,
    /// Why there is none, in words.
    pub why: Option<String>,
}

/// How much was found of a module's symbols.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum SymbolStatus {
    /// Nobody needed them.
    #[default]
    NotNeeded,
    /// No file.
    NotFound,
    /// A file with another build id; it was not used.
    WrongBuild,
    /// The file carries no symbols.
    Stripped,
    /// Only exported names.
    Exported,
    /// Function names, no lines.
    Names,
    /// Names, lines, inlined functions and variables.
    Full,
}

impl SymbolStatus {
    /// The word in the JSON contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotNeeded => "not-needed",
            Self::NotFound => "not-found",
            Self::WrongBuild => "wrong-build",
            Self::Stripped => "stripped",
            Self::Exported => "exported",
            Self::Names => "names",
            Self::Full => "full",
        }
    }
}

/// How a file was held to be the one that ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verified {
    /// Its build id equals the one in the dump.
    BuildId,
    /// It lies in the dump itself, such as the vDSO.
    InDump,
    /// The dump holds no build id for it; the bytes that the dump does hold of it are equal.
    Bytes,
    /// The dump holds no build id for it; only the path agrees.
    PathOnly,
}

impl Verified {
    /// The word in the JSON contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::BuildId => "build-id",
            Self::InDump => "in-dump",
            Self::Bytes => "bytes",
            Self::PathOnly => "path-only",
        }
    }
}

/// What an ELF file says of itself in its dynamic section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// `DT_SONAME`.
    pub soname: Option<String>,
    /// `DT_NEEDED`, in order.
    pub needed: Vec<String>,
    /// `PT_INTERP`.
    pub interpreter: Option<String>,
    /// `DT_RUNPATH` and `DT_RPATH`.
    pub runpaths: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_id_is_lower_case_hex() {
        assert_eq!(BuildId::new(&[0xAB, 0x01]).map(|id| id.to_string()), Some("ab01".to_owned()));
        assert_eq!(BuildId::new(&[]), None);
        assert_eq!(BuildId::new(&[0; 65]), None);
    }
}
