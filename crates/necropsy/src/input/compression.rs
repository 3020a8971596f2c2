//! Compressed dumps: recognised by content, as `systemd-coredump`, `gzip` and `curl` leave them, whatever their name.

use std::fs::File;
use std::io::{self, Read};

use super::Error;
use super::spool::{CHUNK, Spool};

/// How an input is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    Gzip,
    Xz,
    Zstd,
    Lz4,
    Bzip2,
}

/// Bytes that take room on the disk may be this many times the compressed ones. Zeros do not count, so that a core of
/// untouched memory passes; text repeated without end does not.
const RATIO: u64 = 1000;
/// Below this many bytes nobody counts.
const HARMLESS: u64 = 1 << 30;
/// Memory for the dictionary of xz, in KiB; `xz -9` needs 64 MiB.
const XZ_MEMORY: u32 = 256 * 1024;

impl Compression {
    /// Recognises a stream by its first bytes: RFC 1952, the .xz file format 1.1, RFC 8878, the LZ4 frame format, bzip2.
    pub(super) fn of(data: &[u8]) -> Option<Self> {
        match data {
            [0x1f, 0x8b, 8, ..] => Some(Self::Gzip),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            // A skippable frame may stand in front; pzstd and zstd's seekable format write one.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            [0x04, 0x22, 0x4d, 0x18, ..] => Some(Self::Lz4),
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..] => Some(Self::Bzip2),
            _ => None,
        }
    }

    /// The word in the JSON contract.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
            Self::Lz4 => "lz4",
            Self::Bzip2 => "bzip2",
        }
    }

    /// A decoder of all the streams that stand one behind the other in `data`.
    fn decoder(self, data: &[u8]) -> io::Result<Box<dyn Read + '_>> {
        Ok(match self {
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(data)),
            Self::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(data, true, XZ_MEMORY)),
            Self::Zstd => Box::new(zstd::Decoder::with_buffer(data)?),
            Self::Lz4 => Box::new(Lz4Frames::new(data)),
            Self::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(data)),
        })
    }
}

/// All frames of an LZ4 file: the decoder of the crate stops behind the first, and takes the end of the file for the end of
/// a frame when it comes between two blocks.
struct Lz4Frames<'data> {
    data: &'data [u8],
    decoder: lz4_flex::frame::FrameDecoder<&'data [u8]>,
}

impl<'data> Lz4Frames<'data> {
    fn new(data: &'data [u8]) -> Self {
        Self { data, decoder: lz4_flex::frame::FrameDecoder::new(data) }
    }

    /// The file ends with the end mark of a frame, four zeros, and the checksum that bit 2 of its flags promises.
    fn is_whole(&self) -> bool {
        let checksum = self.data.get(4).is_some_and(|flags| flags & 4 != 0);
        let mark_end = self.data.len().saturating_sub(if checksum { 4 } else { 0 });
        self.data.get(..mark_end).is_some_and(|data| data.ends_with(&[0; 4]))
    }
}

impl Read for Lz4Frames<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.decoder.read(buffer)? {
                0 if !self.decoder.get_ref().is_empty() => {}
                0 if !self.is_whole() => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "incomplete frame")),
                length => return Ok(length),
            }
        }
    }
}

/// Decompresses into a temporary file of at most `limit` bytes. A stream that is cut or damaged yields what stands before
/// the damage, and a warning.
pub(super) fn decompress(compression: Compression, data: &[u8], limit: u64) -> Result<(File, Option<String>), Error> {
    let name = compression.name();
    let damaged = |source| Error::Damaged { compression: name, source };
    let mut decoder = compression.decoder(data).map_err(damaged)?;
    let mut spool = Spool::new(limit)?;
    let most = HARMLESS.max((data.len() as u64).saturating_mul(RATIO));
    let mut buffer = vec![0; CHUNK];
    let warning = loop {
        match decoder.read(&mut buffer) {
            Ok(0) => break None,
            Ok(length) => spool.write(buffer.get(..length).unwrap_or_default())?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if spool.length() == 0 => return Err(damaged(error)),
            Err(error) => {
                let length = spool.length();
                break Some(format!("the {name} stream is cut or damaged behind {length} bytes of the dump ({error})"));
            }
        }
        if spool.written() > most {
            return Err(Error::Bomb { compression: name, ratio: RATIO });
        }
    };
    Ok((spool.finish()?, warning))
}
