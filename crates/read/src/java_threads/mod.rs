//! Thread dumps of the Java virtual machine: `jstack`, `jcmd Thread.print` and SIGQUIT of HotSpot, JDK 1.4 to 25.
//!
//! [`crate::text::prepare`] undoes what logs did to the text, [`scan`] sorts its lines, [`build`] makes one snapshot of each
//! dump.

mod actuator;
mod build;
mod deadlock;
mod dump_file;
mod frame;
mod header;
mod javacore;
mod jhsdb;
mod join;
mod listed;
mod note;
mod numbers;
mod scan;
mod stacks;
mod state;
mod thread_info;

use memchr::memmem;
use necropsy_model::{Arena, Snapshot};

use crate::text::{self, Marker};
use crate::{Error, Probe, Reader};

pub(crate) use actuator::Actuator;
pub(crate) use dump_file::DumpFile;
pub(crate) use javacore::Javacore;
pub use join::join;
pub(crate) use thread_info::ThreadInfo;

/// Name of the reader.
const NAME: &str = "java-threads";

/// Begins the first line of a dump.
const START: &[u8] = b"Full thread dump ";

/// Dumps in one file that get a report of their own.
const MAX_DUMPS: usize = 256;

/// The first line of a dump.
const MARKER: Marker = Marker { needle: START, accepts: is_start };

/// The state of a thread, for pasted parts of a dump.
const STATE: Marker = Marker { needle: b"   java.lang.Thread.State: ", accepts: |_| true };

/// The reader of Java thread dumps.
pub(crate) struct JavaThreads;

impl Reader for JavaThreads {
    fn name(&self) -> &'static str {
        NAME
    }

    fn probe(&self, head: &[u8]) -> Probe {
        if text::find(head, &MARKER).is_some() || utf16(head) {
            Probe::Yes
        } else if text::find(head, &STATE).is_some() {
            Probe::Maybe
        } else {
            Probe::No
        }
    }

    fn find(&self, data: &[u8]) -> Option<usize> {
        text::find(data, &MARKER).or_else(|| text::find(data, &STATE))
    }

    fn read<'data>(&self, data: &'data [u8], arena: &'data Arena) -> Result<Vec<Snapshot<'data>>, Error> {
        let whole = text::find(data, &MARKER).is_some() || utf16(data);
        let prepared = text::prepare(data, arena, if whole { &MARKER } else { &STATE });
        let dumps = scan::scan(prepared.text);
        let snapshots: Vec<_> = dumps.iter().take(MAX_DUMPS).map(|dump| build::build(dump, &prepared.lines)).collect();
        if snapshots.iter().all(|snapshot| snapshot.threads.is_empty()) {
            return Err(Error::Unreadable { reason: "there is no Java thread in it".to_owned() });
        }
        Ok(crate::first_dumps(snapshots, MAX_DUMPS, dumps.len()))
    }
}

/// Every virtual machine calls itself one: `OpenJDK 64-Bit Server VM (…)`, `Java HotSpot(TM) Client VM (…)`.
fn is_start(line: &[u8]) -> bool {
    memmem::find(line, b"VM").is_some() || memmem::find(line, b"Java").is_some()
}

/// The first line in UTF-16.
fn utf16(data: &[u8]) -> bool {
    let wide: Vec<u8> = START.iter().flat_map(|&byte| [byte, 0]).collect();
    memmem::find(data, wide.get(..wide.len() - 1).unwrap_or_default()).is_some()
}

#[cfg(test)]
mod tests;
