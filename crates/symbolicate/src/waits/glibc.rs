//! glibc's locks in memory, of 64-bit machines: `sysdeps/nptl/bits/pthreadtypes.h`, `struct_mutex.h`, `struct_rwlock.h`,
//! `bits/thread-shared-types.h`. The layouts are a promise to programs and did not change since 2.25.

use necropsy_model::{Avma, ThreadId, WaitKind};

use super::futex::Futex;
use super::{Found, Held, Owners};
use crate::space::AddressSpace;

/// `struct __pthread_mutex_s`: lock, count, owner, number of users, kind.
mod mutex_at {
    pub(super) const OWNER: u64 = 8;
    pub(super) const USERS: u64 = 12;
    pub(super) const KIND: u64 = 16;
}

/// The word of a lock that others wait for (`sysdeps/nptl/lowlevellock.h`).
const CONTENDED: u32 = 2;
/// `FUTEX_TID_MASK`: the owner in a robust or priority-inheriting lock's word; above it are flags.
const OWNER_IN_WORD: u32 = 0x3fff_ffff;
/// All bits of `__kind` that glibc defines: type, robust, protocol, shared, elision, and ceiling.
const KIND_BITS: u32 = 0x3ff | 0xfff8_0000;
/// Threads that use one mutex at once at most: more than any machine has.
const MAX_USERS: u32 = 0x10_0000;

/// A mutex, proved by its fields: contended, with a kind, users and an owner that exist.
pub(super) fn mutex(space: &AddressSpace<'_, '_>, futex: &Futex, owners: &Owners) -> Option<Found> {
    let owner = owner(space, futex)?;
    Some(Found {
        kind: WaitKind::Lock,
        lock: Some(futex.address),
        owner: Some(owners.thread(owner)?),
        held: Held::NotTold,
    })
}

/// The same where the stack says that it is a mutex: then its owner may also be a thread that ended with the lock held.
pub(super) fn mutex_by_name(space: &AddressSpace<'_, '_>, futex: &Futex) -> Option<Found> {
    let owner = ThreadId(u64::from(owner(space, futex)?));
    Some(Found { kind: WaitKind::Lock, lock: Some(futex.address), owner: Some(owner), held: Held::NotTold })
}

fn owner(space: &AddressSpace<'_, '_>, futex: &Futex) -> Option<u32> {
    let field = |offset: u64| space.read_u32(Avma(futex.address.checked_add(offset)?)).ok();
    let word = field(0)?;
    let (owner, users, kind) = (field(mutex_at::OWNER)?, field(mutex_at::USERS)?, field(mutex_at::KIND)?);
    let held = word == CONTENDED || (word & OWNER_IN_WORD == owner && word != owner);
    // Thread ids end at `PID_MAX_LIMIT`, 4 Mi.
    let sane = kind & !KIND_BITS == 0 && (1..MAX_USERS).contains(&users) && (1..=0x40_0000).contains(&owner);
    (held && sane).then_some(owner)
}

/// The lock of a `FILE` (`_IO_lock_t` in `sysdeps/nptl/stdio-lock.h`): lock, count, and the owner's control block.
pub(super) fn stream(space: &AddressSpace<'_, '_>, futex: &Futex, owners: &Owners) -> Option<Found> {
    let word = space.read_u32(Avma(futex.address)).ok().filter(|&word| word == CONTENDED)?;
    let pointer = space.read_u64(Avma(futex.address.checked_add(8)?)).ok()?;
    let owner = owners.by_pointer(pointer).filter(|_| word == CONTENDED)?;
    Some(Found { kind: WaitKind::Lock, lock: Some(futex.address), owner: Some(owner), held: Held::NotTold })
}

/// `pthread_join` waits at the thread id in the other thread's control block, which the kernel clears when it ends.
pub(super) fn join(space: &AddressSpace<'_, '_>, futex: &Futex, owners: &Owners) -> Option<Found> {
    let word = space.read_u32(Avma(futex.address)).ok().filter(|&word| word == futex.value)?;
    Some(Found { kind: WaitKind::Join, lock: None, owner: Some(owners.thread(word)?), held: Held::NotTold })
}

/// A reader-writer lock: `__readers`, `__writers`, `__wrphase_futex`, `__writers_futex`, …, `__cur_writer` at 24.
///
/// Readers wait at the phase; writers there too, or at their own word behind it. Who holds it for reading is written nowhere.
pub(super) fn rwlock(space: &AddressSpace<'_, '_>, futex: &Futex, kind: WaitKind, owners: &Owners) -> Found {
    const PHASE: u64 = 8;
    const WRITERS: u64 = 12;
    const WRITER: u64 = 24;
    /// `PTHREAD_RWLOCK_WRPHASE` and `PTHREAD_RWLOCK_READER_SHIFT` of `nptl/pthread_rwlock_common.c`.
    const WRITE_PHASE: u32 = 1;
    const READERS: u32 = 3;
    // The lock is aligned to eight bytes, so that the address tells which of the two words it is.
    let offset = if futex.address.is_multiple_of(8) { PHASE } else { WRITERS };
    let lock = futex.address.saturating_sub(offset);
    let writer = lock.checked_add(WRITER).and_then(|at| space.read_u32(Avma(at)).ok());
    let owner = writer.and_then(|writer| owners.thread(writer));
    // While it is not in the phase of writers, those counted above the flags read.
    let readers = space.read_u32(Avma(lock)).ok().filter(|word| word & WRITE_PHASE == 0).map(|word| word >> READERS);
    let held = match (owner, readers) {
        (Some(_), _) => Held::Alone,
        (None, Some(readers @ 1..)) => Held::Readers(readers),
        _ => Held::NotTold,
    };
    Found { kind, lock: Some(lock), owner, held }
}

/// A condition variable, whose waiters wait at one of the two `__g_signals` since 2.25. Nobody holds one, and a thread
/// that waits does not hold its mutex.
pub(super) fn condition(futex: &Futex) -> Found {
    const FIRST_GROUP: u64 = 40;
    const SECOND_GROUP: u64 = 44;
    let offset = if futex.address.is_multiple_of(8) { FIRST_GROUP } else { SECOND_GROUP };
    Found {
        kind: WaitKind::Condition,
        lock: Some(futex.address.saturating_sub(offset)),
        owner: None,
        held: Held::NotTold,
    }
}
