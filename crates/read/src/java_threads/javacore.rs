//! Javacores of Eclipse `OpenJ9` and IBM J9: text whose every line begins with a tag that says what it is.
//! `runtime/rasdump/javadump.cpp` of `OpenJ9` writes them; its documentation calls them Java dumps.
//!
//! ```text
//! 3XMTHREADINFO      "till-1" J9VMThread:0x00.., java/lang/Thread:0x00.., state:B, prio=5
//! 3XMJAVALTHREAD            (java/lang/Thread getId:0x1C, isDaemon:false)
//! 3XMTHREADBLOCK     Blocked on: shop/Drawer@0x00.. Owned by: "till-2" (J9VMThread:0x00.., java/lang/Thread:0x00..)
//! 4XESTACKTRACE                at shop/Till.open(Till.java:7(Compiled Code))
//! 5XESTACKTRACE                   (entered lock: shop/Drawer@0x00.., entry count: 1)
//! ```
//!
//! The event in the title decides what the dump is: `gpf` is a crash, `systhrow` with an `OutOfMemoryError` ran out of memory, `user` was asked for.

mod build;
mod scan;
mod stop;

use necropsy_model::{Arena, Snapshot};

use crate::text::{self, Marker};
use crate::{Error, Probe, Reader};

/// Name of the reader.
const NAME: &str = "openj9-javacore";

/// The event that asked for the dump: in the first section.
const TITLE: Marker = Marker { needle: b"1TISIGINFO ", accepts: |_| true };

/// A thread, for parts of a dump.
const THREAD: Marker = Marker { needle: b"3XMTHREADINFO ", accepts: |_| true };

/// The reader of javacores.
pub(crate) struct Javacore;

impl Reader for Javacore {
    fn name(&self) -> &'static str {
        NAME
    }

    fn probe(&self, head: &[u8]) -> Probe {
        let begins = |marker| text::find(head, marker).is_some() || text::find_wide(head, marker);
        if begins(&TITLE) || begins(&THREAD) { Probe::Yes } else { Probe::No }
    }

    fn find(&self, data: &[u8]) -> Option<usize> {
        text::find(data, &TITLE).or_else(|| text::find(data, &THREAD))
    }

    fn read<'data>(&self, data: &'data [u8], arena: &'data Arena) -> Result<Vec<Snapshot<'data>>, Error> {
        let whole = text::find(data, &TITLE).is_some() || text::find_wide(data, &TITLE);
        let prepared = text::prepare(data, arena, if whole { &TITLE } else { &THREAD });
        let (dumps, all) = scan::scan(prepared.text);
        let snapshots: Vec<_> = dumps.iter().map(|dump| build::build(dump, &prepared.lines)).collect();
        if snapshots.iter().all(|snapshot| snapshot.threads.is_empty() && snapshot.stop.is_none()) {
            return Err(Error::Unreadable { reason: "there is no Java thread in it".to_owned() });
        }
        Ok(crate::first_dumps(snapshots, scan::MAX_DUMPS, all))
    }
}

#[cfg(test)]
mod tests;
