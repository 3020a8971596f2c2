//! A private temporary file for what can not be mapped as it is. Holes stay holes.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};

use super::Error;

/// Bytes moved at once.
pub(super) const CHUNK: usize = 128 * 1024;

/// Granularity of holes: the block of most file systems.
const BLOCK: usize = 4096;

/// Bytes that may be unpacked into memory where there is no directory for temporary files: in a container of one program, or for a
/// user who may write nowhere. A core that is larger would take the memory that the container has left.
const IN_MEMORY: u64 = 1 << 30;

/// A temporary file that has no name: it is gone when the last map of it is, however the process ends.
pub(super) struct Spool {
    file: File,
    length: u64,
    /// Bytes really written, holes not counted.
    written: u64,
    limit: u64,
    /// Why it is in memory and not on a disk.
    in_memory: Option<io::Error>,
}

impl Spool {
    /// An empty file that may grow to `limit` bytes.
    pub(super) fn new(limit: u64) -> Result<Self, Error> {
        let (file, in_memory) = match private() {
            Ok(file) => (file, None),
            Err(error) => match memory() {
                Ok(file) => (file, Some(error)),
                Err(_) => return Err(failed(error)),
            },
        };
        Ok(Self { file, length: 0, written: 0, limit, in_memory })
    }

    /// Bytes so far.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Bytes that take room on the disk.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Appends; blocks of zeros are seeked over. A core of gigabytes is mostly untouched memory.
    pub(super) fn write(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        if self.limit.saturating_sub(self.length) < bytes.len() as u64 {
            return Err(Error::TooLarge { limit: self.limit });
        }
        while !bytes.is_empty() {
            let (run, zero) = run(bytes, self.length);
            let (now, rest) = bytes.split_at(run);
            if !zero {
                self.file.seek(SeekFrom::Start(self.length)).map_err(failed)?;
                self.file.write_all(now).map_err(failed)?;
                self.written += now.len() as u64;
                if let Some(source) = self.in_memory.take_if(|_| self.written > IN_MEMORY) {
                    return Err(Error::NoDirectory { directory: directory(), limit: IN_MEMORY, source });
                }
            }
            self.length += now.len() as u64;
            bytes = rest;
        }
        Ok(())
    }

    /// The file, holes at its end included.
    pub(super) fn finish(self) -> Result<File, Error> {
        self.file.set_len(self.length).map_err(failed)?;
        Ok(self.file)
    }
}

/// How many bytes at the start of `bytes`, which stand at `position`, are all zero blocks or all other ones, and which.
fn run(bytes: &[u8], position: u64) -> (usize, bool) {
    // The first piece ends at a block boundary of the file, so that holes line up with its blocks.
    let first = BLOCK - (position % BLOCK as u64) as usize;
    let mut end = 0;
    let mut kind = None;
    while let Some(rest) = bytes.get(end..).filter(|rest| !rest.is_empty()) {
        let size = if end == 0 { first } else { BLOCK };
        let piece = rest.get(..size).unwrap_or(rest);
        let zero = piece == &[0; BLOCK][..piece.len()];
        if *kind.get_or_insert(zero) != zero {
            break;
        }
        end += piece.len();
    }
    (end, kind.unwrap_or_default())
}

/// A file without a name. `open(2)` with `O_TMPFILE` gives it the permissions that the umask leaves, mostly those of everybody; a dump
/// holds passwords.
fn private() -> io::Result<File> {
    let file = tempfile::tempfile()?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

/// A file that is nowhere but in memory: `memfd_create(2)`.
fn memory() -> io::Result<File> {
    #[cfg(target_os = "linux")]
    return Ok(rustix::fs::memfd_create("necropsy", rustix::fs::MemfdFlags::CLOEXEC)?.into());
    #[cfg(not(target_os = "linux"))]
    return Err(io::ErrorKind::Unsupported.into());
}

fn directory() -> String {
    std::env::temp_dir().display().to_string()
}

fn failed(source: io::Error) -> Error {
    Error::Spool { directory: directory(), source }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn zeros_become_holes_and_come_back_as_zeros() {
        let mut content = vec![0_u8; 300_000];
        content[5000..5010].copy_from_slice(b"0123456789");
        content[200_000] = 1;
        let mut spool = Spool::new(1 << 20).unwrap();
        for piece in content.chunks(7919) {
            spool.write(piece).unwrap();
        }
        assert!(spool.written() < 30_000, "{}", spool.written());
        let mut file = spool.finish().unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        let mut back = Vec::new();
        file.read_to_end(&mut back).unwrap();
        assert!(back == content);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn memory_serves_where_there_is_no_directory() {
        let mut spool = Spool {
            file: memory().unwrap(),
            in_memory: Some(io::ErrorKind::NotFound.into()),
            ..Spool::new(1 << 40).unwrap()
        };
        spool.write(&[0; 10_000]).unwrap();
        spool.write(b"end").unwrap();
        let mut back = Vec::new();
        spool.file.seek(SeekFrom::Start(0)).unwrap();
        spool.file.read_to_end(&mut back).unwrap();
        assert!(back.ends_with(b"end"));
        spool.written = IN_MEMORY;
        assert!(matches!(spool.write(b"x"), Err(Error::NoDirectory { limit: IN_MEMORY, .. })));
    }

    #[test]
    fn the_limit_counts_holes_too() {
        let mut spool = Spool::new(10_000).unwrap();
        spool.write(&[0; 9_999]).unwrap();
        assert!(matches!(spool.write(&[0; 2]), Err(Error::TooLarge { limit: 10_000 })));
    }
}
