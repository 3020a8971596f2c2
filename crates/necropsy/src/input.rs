//! Opening inputs: a path or standard input, decompressed when need be, mapped, never read whole.

mod compression;
mod spool;
mod stored;

use std::fs::{File, Metadata};
use std::io::{self, IsTerminal, Read, Seek};
use std::path::Path;

use memmap2::{Mmap, MmapOptions};
use necropsy_model::Arena;
use necropsy_read::Noted;
use necropsy_report::Input;

use compression::Compression;
use spool::Spool;

/// An opened input.
pub(crate) struct Opened<'data> {
    /// Its bytes.
    pub data: &'data [u8],
    /// Where they came from.
    pub input: Input,
    /// What the user must know of how it was opened.
    pub warnings: Vec<String>,
    /// The file that enclosed it, where there was one.
    pub outer: Option<&'data [u8]>,
    /// What its keeper noted beside it.
    pub noted: Option<Noted>,
}

/// Most bytes of a dump that comes through a pipe or out of a compressed file, unless `--max-size` says otherwise: the
/// cores of the largest databases, and less than most disks have left.
pub(crate) const DEFAULT_LIMIT: u64 = 64 << 30;

/// Why an input could not be opened: one sentence each.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("could not be read: {0}")]
    Io(#[from] io::Error),
    #[error("this is a directory; give the dump in it")]
    Directory,
    #[error("there is no file in this directory")]
    NoFiles,
    #[error("this is a named pipe; give it as standard input: necropsy - < PIPE")]
    Pipe,
    #[error("this is a device, not a dump")]
    Device,
    #[error("this is a socket, not a dump")]
    Socket,
    #[error("the file is empty")]
    Empty,
    #[error("standard input is a terminal; pipe a dump into it or name a file")]
    Terminal,
    #[error("the dump is larger than {limit} bytes; a higher limit is given in GiB with --max-size")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    #[error("the {compression} stream grows beyond {ratio} times its size without end; this is no dump")]
    Bomb { compression: &'static str, ratio: u64 },
    #[error("the {compression} stream can not be decompressed: {source}")]
    Damaged { compression: &'static str, source: io::Error },
    #[error(
        "it has more than {limit} bytes unpacked, and there is no directory for it ({directory}: {source}); name one with TMPDIR"
    )]
    NoDirectory { directory: String, limit: u64, source: io::Error },
    #[error("the temporary file for it can not be written in {directory}: {source}")]
    Spool { directory: String, source: io::Error },
}

/// Opens a path; `-` is standard input. What has to be unpacked first may have `limit` bytes.
pub(crate) fn open<'data>(path: &Path, limit: u64, arena: &'data Arena) -> Result<Opened<'data>, Error> {
    let raw = if path.as_os_str() == "-" { standard_input(limit)? } else { file(path, limit)? };
    let mut warnings = Vec::new();
    let compression = Compression::of(&raw);
    let map = match compression {
        None => raw,
        Some(compression) => {
            let (file, warning) = compression::decompress(compression, &raw, limit)?;
            warnings.extend(warning);
            map(&file)?
        }
    };
    let mut data = arena.keep(map);
    let mut outer = None;
    match necropsy_read::enclosed(data).map(|encoded| unpack(encoded, limit)) {
        Some(Ok((inner, warning))) => {
            warnings.extend(warning);
            outer = Some(data);
            data = arena.keep(inner);
        }
        // What else the file says is still worth a report.
        Some(Err(error @ (Error::Damaged { .. } | Error::Empty | Error::Io(_)))) => {
            warnings.push(format!("the core inside of it is not read: {error}"));
        }
        Some(Err(error)) => return Err(error),
        None => {}
    }
    let noted = stored::noted(path);
    let compression = compression.map(Compression::name);
    // A name that is not UTF-8 is shown with replacement characters, and opened as it is.
    let path = path.to_string_lossy().into_owned();
    let input = Input { path, bytes: data.len() as u64, compression, ..Input::default() };
    Ok(Opened { data, input, warnings, outer, noted })
}

/// Unpacks a dump that another file encloses: first out of that file, then what is compressed in it.
fn unpack(encoded: impl Read, limit: u64) -> Result<(Mmap, Option<String>), Error> {
    let packed = spool(encoded, limit)?;
    let Some(compression) = Compression::of(&packed) else { return Ok((packed, None)) };
    let (file, warning) = compression::decompress(compression, &packed, limit)?;
    Ok((map(&file)?, warning))
}

/// Maps a file, or the pipe that a shell made of `<(…)`.
fn file(path: &Path, limit: u64) -> Result<Mmap, Error> {
    let metadata = std::fs::metadata(path)?;
    // Opening a named pipe waits for its writer, possibly for ever. One that a shell made has its writer already.
    let inherited = path.starts_with("/dev") || path.starts_with("/proc");
    match kind(&metadata) {
        None => map(&File::open(path)?),
        Some(Error::Pipe) if inherited => spool(File::open(path)?, limit),
        Some(refused) => Err(refused),
    }
}

/// Maps standard input when it is a file, and spools it when it is a pipe.
fn standard_input(limit: u64) -> Result<Mmap, Error> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return Err(Error::Terminal);
    }
    #[cfg(unix)]
    {
        use std::os::fd::AsFd;
        let mut file = File::from(stdin.as_fd().try_clone_to_owned()?);
        // A program before us may have read from the file already; then only the rest of it is meant.
        if file.metadata()?.is_file() && file.stream_position()? == 0 {
            return map(&file);
        }
    }
    spool(stdin.lock(), limit)
}

/// Why a path of this kind is no dump; `None` for a file.
fn kind(metadata: &Metadata) -> Option<Error> {
    let kind = metadata.file_type();
    if kind.is_dir() {
        return Some(Error::Directory);
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if kind.is_fifo() {
            return Some(Error::Pipe);
        }
        if kind.is_socket() {
            return Some(Error::Socket);
        }
        if kind.is_char_device() || kind.is_block_device() {
            return Some(Error::Device);
        }
    }
    None
}

/// Copies a stream into a temporary file and maps that.
fn spool(mut from: impl Read, limit: u64) -> Result<Mmap, Error> {
    let mut spool = Spool::new(limit)?;
    let mut buffer = vec![0; spool::CHUNK];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => spool.write(buffer.get(..length).unwrap_or_default())?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    map(&spool.finish()?)
}

/// Maps a file. Its length is taken once, so that a file that grows meanwhile changes nothing.
#[allow(unsafe_code)]
fn map(file: &File) -> Result<Mmap, Error> {
    let length = file.metadata()?.len();
    if length == 0 {
        return Err(Error::Empty);
    }
    let length = usize::try_from(length).map_err(|_| Error::TooLarge { limit: usize::MAX as u64 })?;
    // SAFETY: the mapping is private and read-only, and lives in the arena as long as any loan of it. What Rust can not
    // check is another process: one that writes to the file changes bytes under us, which costs wrong numbers in the
    // report but no memory safety, because no reader looks at a byte twice and trusts the two to agree (lengths are checked
    // by `get` against the slice, which does not change). One that cuts the file makes the kernel end us with SIGBUS, as
    // it ends every debugger that maps its core. Copying a dump of many gigabytes to avoid that would be the worse trade.
    let map = unsafe { MmapOptions::new().len(length).map(file) };
    Ok(map?)
}

#[cfg(test)]
mod tests;
