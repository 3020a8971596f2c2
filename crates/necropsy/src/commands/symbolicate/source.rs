//! Where the text comes from: whole lines, as many as there are, without waiting for more.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Bytes that are read at a time.
const CHUNK: usize = 256 << 10;
/// Chunks that wait for the reader of lines.
const WAITING: usize = 16;
/// Most bytes of one batch. What is named at once needs memory for each different address, a kilobyte with lines; each batch
/// runs over the line tables of its units again.
const BATCH: usize = 2 << 20;
/// Longest line that is looked at; a longer one is data, and is passed on in pieces.
const LONGEST_LINE: usize = 1 << 20;

/// An input. Reading goes on beside the naming, so that a batch is all that came meanwhile: a line at a time where somebody
/// types, megabytes where a file is read.
pub(super) struct Source {
    chunks: Receiver<io::Result<Vec<u8>>>,
    rest: Vec<u8>,
    ended: bool,
}

impl Source {
    /// Opens a path; `-` is standard input.
    pub fn open(path: &Path) -> io::Result<Self> {
        let (sender, chunks) = sync_channel(WAITING);
        if path.as_os_str() == "-" {
            std::thread::spawn(move || pump(io::stdin().lock(), &sender));
        } else {
            let file = File::open(path)?;
            if file.metadata()?.is_dir() {
                return Err(io::Error::other("this is a directory"));
            }
            std::thread::spawn(move || pump(file, &sender));
        }
        Ok(Self { chunks, rest: Vec::new(), ended: false })
    }

    /// The next lines, with their ends; the last one of the input may have none. `None` at the end.
    pub fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(lines) = self.whole_lines() {
                return Ok(Some(lines));
            }
            if self.ended {
                return Ok(None);
            }
            match self.chunks.recv() {
                Ok(chunk) => self.rest.extend_from_slice(&chunk?),
                Err(_) => self.ended = true,
            }
            while self.rest.len() < BATCH
                && let Ok(chunk) = self.chunks.try_recv()
            {
                self.rest.extend_from_slice(&chunk?);
            }
        }
    }

    fn whole_lines(&mut self) -> Option<Vec<u8>> {
        let end = match memchr::memrchr(b'\n', &self.rest) {
            Some(last) => last + 1,
            None if self.ended || self.rest.len() > LONGEST_LINE => self.rest.len(),
            None => 0,
        };
        if end == 0 {
            return None;
        }
        let behind = self.rest.split_off(end);
        Some(std::mem::replace(&mut self.rest, behind))
    }
}

/// Passes bytes on as they come.
fn pump(mut from: impl Read, to: &SyncSender<io::Result<Vec<u8>>>) {
    let mut buffer = vec![0; CHUNK];
    loop {
        let chunk = match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) => Ok(buffer.get(..length).unwrap_or_default().to_vec()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let failed = chunk.is_err();
        if to.send(chunk).is_err() || failed {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> (SyncSender<io::Result<Vec<u8>>>, Source) {
        let (sender, chunks) = sync_channel(WAITING);
        (sender, Source { chunks, rest: Vec::new(), ended: false })
    }

    #[test]
    fn a_line_comes_as_soon_as_it_is_whole_and_the_last_one_without_its_end() {
        let (sender, mut source) = source();
        sender.send(Ok(b"one\ntw".to_vec())).unwrap();
        assert_eq!(source.next().unwrap().as_deref(), Some(&b"one\n"[..]));
        sender.send(Ok(b"o\nthree".to_vec())).unwrap();
        assert_eq!(source.next().unwrap().as_deref(), Some(&b"two\n"[..]));
        drop(sender);
        assert_eq!(source.next().unwrap().as_deref(), Some(&b"three"[..]));
        assert_eq!(source.next().unwrap(), None);
    }

    #[test]
    fn a_line_without_end_is_passed_on() {
        let (sender, mut source) = source();
        let piece = vec![b'x'; LONGEST_LINE + 1];
        sender.send(Ok(piece.clone())).unwrap();
        assert_eq!(source.next().unwrap(), Some(piece));
    }

    #[test]
    fn bytes_pass_a_pump_unchanged_and_an_error_ends_it() {
        struct Broken(bool);
        impl Read for Broken {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                if std::mem::replace(&mut self.0, true) {
                    return Err(io::Error::other("gone"));
                }
                buffer[..3].copy_from_slice(b"a\nb");
                Ok(3)
            }
        }
        let (sender, mut source) = source();
        pump(Broken(false), &sender);
        drop(sender);
        assert!(source.next().is_err(), "the lines before it are lost with it: the exit status says so");
    }
}
