//! Caches of a test's own, and a file that a server may send.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use necropsy_debuginfod::{Client, Failure, Found, Miss, Settings, Use};
use necropsy_model::BuildId;
use tempfile::TempDir;

use crate::symbol_server::{Play, SymbolServer};

/// Shorter than any wait of a real server, so that the tests of silence are quick.
pub const SILENCE: Duration = Duration::from_millis(300);

pub fn id(byte: u8) -> BuildId {
    BuildId::new(&[byte; 20]).unwrap()
}

/// Bytes behind the note.
const CODE: usize = 5000;

/// An ELF file that holds nothing but a build id: header, two program headers, the note, and code to its end.
pub fn elf(id: &BuildId) -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    let note = {
        let mut note = Vec::new();
        for word in [4, id.bytes().len() as u32, 3] {
            note.extend(word.to_le_bytes());
        }
        note.extend(b"GNU\0");
        note.extend(id.bytes());
        note
    };
    file.extend(3_u16.to_le_bytes());
    file.extend(62_u16.to_le_bytes());
    file.extend(1_u32.to_le_bytes());
    for word in [0_u64, 64, 0] {
        file.extend(word.to_le_bytes());
    }
    file.extend(0_u32.to_le_bytes());
    for half in [64_u16, 56, 2, 64, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    file.extend(4_u32.to_le_bytes());
    file.extend(4_u32.to_le_bytes());
    for word in [176, 0, 0, note.len() as u64, note.len() as u64, 4] {
        file.extend(word.to_le_bytes());
    }
    file.extend(1_u32.to_le_bytes());
    file.extend(5_u32.to_le_bytes());
    let size = 176 + note.len() as u64 + CODE as u64;
    for word in [0, 0, 0, size, size, 4096] {
        file.extend(word.to_le_bytes());
    }
    file.extend(note);
    file.extend([0x55; CODE]);
    file
}

pub fn path(id: &BuildId, what: &str) -> String {
    format!("/buildid/{id}/{what}")
}

pub struct Lab {
    pub directory: TempDir,
}

impl Lab {
    pub fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub fn shared(&self) -> PathBuf {
        self.directory.path().join("shared")
    }

    pub fn settings(&self, urls: &[String]) -> Settings {
        Settings {
            mode: Use::Full,
            urls: urls.to_vec(),
            silence: SILENCE,
            shared_cache: Some(self.shared()),
            own_cache: Some(self.directory.path().join("own")),
            ..Settings::default()
        }
    }

    pub fn client(&self, urls: &[String]) -> Client {
        Client::new(self.settings(urls))
    }

    /// Every file below the shared cache, with its size.
    pub fn files(&self) -> Vec<(PathBuf, u64)> {
        fn walk(directory: &Path, found: &mut Vec<(PathBuf, u64)>) {
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                match entry.metadata().unwrap() {
                    metadata if metadata.is_dir() => walk(&entry.path(), found),
                    metadata => found.push((entry.path(), metadata.len())),
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.shared(), &mut found);
        found
    }
}

pub fn one(play: Play) -> SymbolServer {
    SymbolServer::start([(path(&id(1), "debuginfo"), play)], Play::Status(404))
}

pub fn failure(outcome: Result<Found, Miss>) -> Failure {
    match outcome {
        Err(Miss::Failed(failures)) if failures.len() == 1 => failures.into_iter().next().unwrap().1,
        other => panic!("{other:?}"),
    }
}
