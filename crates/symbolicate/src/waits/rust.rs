//! Locks of Rust in memory: those of the standard library that are one futex word, and `parking_lot`'s, whose waiters sleep at
//! a word of their own. Neither writes down who holds it; the state tells whether, and how many read.

use necropsy_model::{Avma, WaitKind};

use super::futex::Futex;
use super::{Found, Held};
use crate::space::AddressSpace;

/// `library/std/src/sys/sync/rwlock/futex.rs`: all 30 lower bits for a writer, else the number of readers.
const STD_WRITER: u32 = (1 << 30) - 1;

/// `RwLock` of std: `state`, and behind it `writer_notify`, at which writers wait.
pub(super) fn std_rwlock(space: &AddressSpace<'_, '_>, futex: &Futex, kind: WaitKind) -> Found {
    const NOTIFY: u64 = 4;
    let offset = if kind == WaitKind::WriteLock { NOTIFY } else { 0 };
    let lock = futex.address.saturating_sub(offset);
    let held = match space.read_u32(Avma(lock)).ok().map(|state| state & STD_WRITER) {
        Some(STD_WRITER) => Held::Alone,
        Some(readers @ 1..) => Held::Readers(readers),
        _ => Held::NotTold,
    };
    Found { kind, lock: Some(lock), owner: None, held }
}

/// `ThreadData` of `parking_lot_core/src/parking_lot.rs` as rustc lays it out, fields with the larger alignment first: `key`,
/// `next_in_queue`, two tokens, then the futex word of its parker. The key is the address of what is waited for.
const KEY_BEFORE_WORD: u64 = 0x20;

/// A lock or condition variable of `parking_lot`; none where its state does not say that somebody waits.
pub(super) fn parking_lot(space: &AddressSpace<'_, '_>, futex: &Futex, kind: WaitKind) -> Option<Found> {
    /// `raw_mutex.rs`, one byte: held, and waited for.
    const MUTEX: u64 = 3;
    /// `raw_rwlock.rs`: anybody waits, a writer waits for readers to leave, a writer holds it, and from bit 4 on the readers.
    const PARKED: u64 = 3;
    const WRITER: u64 = 8;
    const READERS: u32 = 4;
    let key = space.read_u64(Avma(futex.address.checked_sub(KEY_BEFORE_WORD)?)).ok()?;
    let found = |lock, held| Some(Found { kind, lock: Some(lock), owner: None, held });
    match kind {
        WaitKind::ReadLock | WaitKind::WriteLock => {
            // A writer that waits for readers to leave does so at the next address.
            let lock = key & !1;
            let state = space.read_u64(Avma(lock)).ok().filter(|state| state & PARKED != 0)?;
            let readers = u32::try_from(state >> READERS).ok()?;
            let held = match readers {
                1.. => Held::Readers(readers),
                0 if state & WRITER != 0 => Held::Alone,
                0 => Held::NotTold,
            };
            found(lock, held)
        }
        WaitKind::Condition => space.read_u64(Avma(key)).ok().and_then(|_| found(key, Held::NotTold)),
        _ => {
            let word = space.read_u32(Avma(key)).ok().filter(|word| u64::from(word & 0xff) == MUTEX);
            word.and_then(|_| found(key, Held::Alone))
        }
    }
}
