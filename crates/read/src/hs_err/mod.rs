//! Fatal error logs of HotSpot, `hs_err_pid*.log`: JDK 5 to 25, whole, cut, torn, or only the header that a console shows.
//!
//! [`crate::text::prepare`] undoes what logs did to the text, [`split`] finds the logs in it, [`scan`] reads each in one pass
//! driven by the headers of its sections, and [`assemble`] makes a snapshot of it. Order and presence of sections differ
//! between builds of one release, so that nothing follows from the version.

mod arguments;
mod assemble;
mod build;
mod damage;
mod events;
mod frame;
mod header;
mod heap;
mod machine;
mod maps;
mod memory;
mod scan;
mod stack;
mod system;
mod thread;
mod warn;
mod words;

use necropsy_model::{Arena, Snapshot};

use self::scan::Scan;
use self::words::Line;
use crate::text::{self, LineMap, Marker};
use crate::{Error, Probe, Reader};

/// Name of the reader.
const NAME: &str = "hs-err";

/// Logs in one text that get a report of their own.
const MAX_LOGS: usize = 256;

/// The line that announces a fatal error.
const ANNOUNCEMENT: Marker = Marker { needle: b"# ", accepts: announces };

/// The first banner, for logs that lost their header and for `jcmd VM.info`.
const BANNER: Marker = Marker { needle: b"---------------  ", accepts: is_banner };

/// The reader of fatal error logs.
pub(crate) struct HsErrLog;

impl Reader for HsErrLog {
    fn name(&self) -> &'static str {
        NAME
    }

    fn probe(&self, head: &[u8]) -> Probe {
        if text::find(head, &ANNOUNCEMENT).is_some() || text::find_wide(head, &ANNOUNCEMENT) {
            Probe::Yes
        } else if text::find(head, &BANNER).is_some() {
            Probe::Maybe
        } else {
            Probe::No
        }
    }

    fn find(&self, data: &[u8]) -> Option<usize> {
        text::find(data, &ANNOUNCEMENT).or_else(|| text::find(data, &BANNER))
    }

    fn read<'data>(&self, data: &'data [u8], arena: &'data Arena) -> Result<Vec<Snapshot<'data>>, Error> {
        let announced = text::find(data, &ANNOUNCEMENT).is_some() || text::find_wide(data, &ANNOUNCEMENT);
        let prepared = text::prepare(data, arena, if announced { &ANNOUNCEMENT } else { &BANNER });
        let text = match std::str::from_utf8(prepared.text) {
            Ok(text) => text,
            // Windows writes paths and error texts in its own code page.
            Err(_) => arena.keep_str(String::from_utf8_lossy(prepared.text).into_owned()),
        };
        let (logs, all) = split(text, announced, &prepared.lines);
        if logs.is_empty() {
            return Err(Error::Unreadable { reason: "there is no fatal error log in it".to_owned() });
        }
        let torn = !text.ends_with('\n');
        let count = logs.len();
        let mut snapshots = Vec::with_capacity(count);
        for (index, lines) in logs.into_iter().enumerate() {
            let mut scan = Scan::default();
            for line in lines {
                scan.line(line);
            }
            let mut scan = scan.finish(torn && index + 1 == all, arena);
            scan.log.header.followed = index + 1 < count;
            snapshots.push(assemble::snapshot(scan));
        }
        Ok(crate::first_dumps(snapshots, MAX_LOGS, all))
    }
}

/// The text behind `# ` announces a fatal error.
fn announces(line: &[u8]) -> bool {
    let text = line.strip_prefix(b"# ").unwrap_or(line);
    let text = text.get(..text.len().min(80)).unwrap_or_default();
    header::is_announcement(&String::from_utf8_lossy(text))
}

fn is_banner(line: &[u8]) -> bool {
    let name = line.strip_prefix(b"---------------  ").unwrap_or(line);
    [b"S U M M A R Y".as_slice(), b"T H R E A D", b"P R O C E S S", b"S Y S T E M"]
        .iter()
        .any(|word| name.starts_with(word))
}

/// The lines of each of the first logs, and how many there are. Each begins at the `#` line before its announcement; what stands before
/// the first is not read.
fn split<'d>(text: &'d str, announced: bool, map: &LineMap) -> (Vec<Vec<Line<'d>>>, usize) {
    let mut logs: Vec<Vec<Line<'d>>> = Vec::new();
    if !announced {
        logs.push(Vec::new());
    }
    let mut all = logs.len();
    for (number, text) in (0..).zip(text.lines()) {
        let starts = text.strip_prefix("# ").is_some_and(header::is_announcement);
        if starts {
            all += 1;
            if all > MAX_LOGS {
                continue;
            }
            logs.push(Vec::new());
        }
        if let Some(log) = logs.last_mut().filter(|_| all <= MAX_LOGS) {
            log.push(Line { text, source: map.source(number) });
        }
    }
    (logs, all)
}

#[cfg(test)]
mod tests;
