//! Log of the Linux kernel (`dmesg`, `journalctl -k`, `/var/log/kern.log`) with the end of a process in it: often the only
//! trace that is left. One report for each end; the same end again is counted.
//!
//! [`mod@line`] takes away what stands before the kernel's words, [`fault`] reads the line of a signal, [`machine`] registers and
//! bytes of code below it, [`oom`] what is printed when memory ran out, [`build`] makes snapshots of all.

mod build;
mod fault;
mod line;
mod machine;
mod oom;

use memchr::memmem;
use necropsy_model::{Arena, Snapshot};

use crate::{Error, Probe, Reader, text};

/// Name of the reader.
const NAME: &str = "kernel-log";

/// Bytes of which every line that matters has some.
const MARKS: [&[u8]; 6] = [
    b"]: segfault at ",
    b"] general protection",
    b"] trap ",
    b"]: unhandled ",
    b" invoked oom-killer: ",
    b"Killed process ",
];

/// The reader of kernel logs.
pub(crate) struct KernelLog;

impl Reader for KernelLog {
    fn name(&self) -> &'static str {
        NAME
    }

    fn probe(&self, head: &[u8]) -> Probe {
        if first(head).is_some() { Probe::Maybe } else { Probe::No }
    }

    fn find(&self, data: &[u8]) -> Option<usize> {
        first(data)
    }

    fn read<'data>(&self, data: &'data [u8], arena: &'data Arena) -> Result<Vec<Snapshot<'data>>, Error> {
        let text = text::decoded(data, arena);
        let snapshots = build::snapshots(text, arena);
        if snapshots.is_empty() {
            return Err(Error::Unreadable { reason: "no process ends in it".to_owned() });
        }
        Ok(snapshots)
    }
}

/// Where the first line about the end of a process begins.
fn first(data: &[u8]) -> Option<usize> {
    let lines = MARKS.iter().filter_map(|mark| {
        memmem::find_iter(data, mark).find_map(|at| {
            let start = data.get(..at)?.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
            let line = data.get(start..)?;
            let line = line.get(..memchr::memchr(b'\n', line).unwrap_or(line.len()))?;
            let words = String::from_utf8_lossy(line);
            is_end(line::parse(&words).words).then_some(start)
        })
    });
    lines.min()
}

fn is_end(words: &str) -> bool {
    words.contains(" invoked oom-killer: ")
        || fault::parse(words).is_some()
        || oom::Block::default().line(words, necropsy_model::Source::DUMP).is_some()
}

#[cfg(test)]
mod tests;
