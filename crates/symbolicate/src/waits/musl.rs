//! musl's mutex in memory: `_m_type`, `_m_lock`, `_m_waiters` of `src/internal/pthread_impl.h`.

use necropsy_model::{Avma, WaitKind};

use super::futex::Futex;
use super::{Found, Held, Owners};
use crate::space::AddressSpace;

/// The bit that waiters set in the lock's word.
const WAITED_FOR: u32 = 0x8000_0000;
/// `EBUSY`: all that a normal mutex keeps while it is held; only the other types name their owner.
const HELD: u32 = 16;

/// A mutex that somebody waits for; the owner where its type keeps one.
pub(super) fn mutex(space: &AddressSpace<'_, '_>, futex: &Futex, owners: &Owners) -> Option<Found> {
    let lock = futex.address.checked_sub(4).filter(|lock| lock.is_multiple_of(8))?;
    let word = space.read_u32(Avma(futex.address)).ok()?;
    let kind = space.read_u32(Avma(lock)).ok()?;
    let names_owner = kind % 4 != 0;
    // Types 0 to 2, with flags for priority, robust and shared ones.
    if word & WAITED_FOR == 0 || kind % 4 == 3 || kind & !0x8f != 0 {
        return None;
    }
    let id = word & !WAITED_FOR & 0x3fff_ffff;
    let owner = if !names_owner && id == HELD { None } else { Some(owners.thread(id)?) };
    Some(Found { kind: WaitKind::Lock, lock: Some(lock), owner, held: Held::NotTold })
}
