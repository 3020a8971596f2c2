//! Locks that goroutines wait for: the argument of the method that waits, in the frames of a goroutine that no thread runs.
//!
//! Go writes down whether a lock is held and how many wait, and nowhere who holds it (`internal/sync/mutex.go`, `sync/rwmutex.go`).

use std::collections::{BTreeMap, BTreeSet};

use necropsy_model::{Avma, Full, Snapshot, Thread, ThreadFlags, Value, WaitKind};

use super::{Found, Held};
use crate::space::AddressSpace;
use crate::unwind::Walk;
use crate::values::{Depth, Values};

/// Innermost frames among which the method is looked for: it lies under four of the runtime, or more with the race detector.
const LOOKED_AT: usize = 12;
/// Goroutines whose lock is looked for.
const MOST: usize = 4096;
/// Locks for which those that may hold them are looked for, and frames that are looked at for it, once for each lock.
const MOST_LOCKS: usize = 16;
const MOST_FRAMES: usize = 1 << 15;

/// Methods that wait, the parameter that is the lock, and what they want. `sync.Mutex` stands on `internal/sync.Mutex` since 1.24.
const METHODS: [(&str, &str, WaitKind); 7] = [
    ("internal/sync.(*Mutex).lockSlow", "m", WaitKind::Lock),
    ("internal/sync.(*Mutex).Lock", "m", WaitKind::Lock),
    ("sync.(*Mutex).lockSlow", "m", WaitKind::Lock),
    ("sync.(*Mutex).Lock", "m", WaitKind::Lock),
    ("sync.(*RWMutex).RLock", "rw", WaitKind::ReadLock),
    ("sync.(*RWMutex).Lock", "rw", WaitKind::WriteLock),
    ("sync.(*RWMutex).rLockSlow", "rw", WaitKind::ReadLock),
];

/// What each goroutine waits for, by the index of its thread.
pub(super) fn find(
    snapshot: &Snapshot<'_>,
    walks: &[Walk],
    space: &AddressSpace<'_, '_>,
    full: &mut Full,
) -> Vec<(usize, Found)> {
    let values = Values::new(*space);
    let parked = |thread: &Thread<'_>| {
        thread.flags.contains(ThreadFlags::VIRTUAL) && snapshot.activity(thread) == necropsy_model::Activity::Lock
    };
    let waiting = snapshot.threads.iter().enumerate().filter(|(_, thread)| parked(thread));
    let waiting = full.first("goroutines whose locks are looked for", MOST, waiting);
    let found = |(index, thread): (usize, &Thread<'_>)| {
        let walk = walks.get(index)?;
        let names = snapshot.frames_of(thread).take(LOOKED_AT).filter_map(|frame| frame.function.as_deref());
        let names: Vec<&str> = names.collect();
        // A writer of an RWMutex first waits in the mutex within it: the outermost method that waits says what is wanted.
        let kind = |name: &&str| METHODS.iter().find(|(method, ..)| method == name);
        let &(_, parameter, kind) = names.iter().filter_map(kind).next_back()?;
        let lock = (0..walk.frames.len().min(LOOKED_AT)).find_map(|frame| {
            let variables = values.variables(&walk.frames, frame, Depth::Arguments);
            let mut all = variables.into_iter().flatten();
            all.find_map(|variable| match variable.value {
                Value::Pointer { address, .. } if variable.name.as_deref() == Some(parameter) => Some(address),
                _ => None,
            })
        })?;
        Some((index, of(lock, kind, space)?))
    };
    waiting.into_iter().filter_map(found).collect()
}

/// The threads, by their indexes, whose variables lead to a lock that others wait for, with those locks: each may hold them.
pub(super) fn candidates(
    found: &[(usize, Found)],
    snapshot: &Snapshot<'_>,
    walks: &[Walk],
    space: &AddressSpace<'_, '_>,
    full: &mut Full,
) -> BTreeMap<usize, Vec<u64>> {
    let waits: BTreeMap<usize, u64> = found.iter().filter_map(|(index, found)| Some((*index, found.lock?))).collect();
    let locks: BTreeSet<u64> = waits.values().copied().collect();
    let locks = full.first("locks whose holders are looked for among goroutines", MOST_LOCKS, locks);
    if locks.is_empty() {
        return BTreeMap::new();
    }
    let values = Values::new(*space);
    let mut candidates: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
    let mut frames = 0;
    for (index, walk) in walks.iter().enumerate() {
        if !snapshot.threads.get(index).is_some_and(|thread| thread.flags.contains(ThreadFlags::VIRTUAL)) {
            continue;
        }
        for &lock in locks.iter().filter(|lock| waits.get(&index) != Some(lock)) {
            let leads = |frame: usize| !values.members_at(&walk.frames, frame, lock).is_empty();
            frames += walk.frames.len();
            if !full.room(
                "frames of goroutines in which holders of locks are looked for",
                frames.saturating_sub(1),
                MOST_FRAMES,
            ) {
                return candidates;
            }
            if (0..walk.frames.len()).any(leads) {
                candidates.entry(index).or_default().push(lock);
            }
        }
    }
    candidates
}

/// The lock at an address; none where its state does not say that somebody waits.
fn of(lock: u64, kind: WaitKind, space: &AddressSpace<'_, '_>) -> Option<Found> {
    /// `mutexLocked`, and the waiters behind three bits.
    const LOCKED: u32 = 1;
    const WAITERS: u32 = 3;
    /// `RWMutex`: a mutex, two semaphores, `readerCount`, `readerWait`.
    const READER_COUNT: u64 = 16;
    const READER_WAIT: u64 = 20;
    let word = |offset: u64| space.read_u32(Avma(lock.checked_add(offset)?)).ok();
    let held = if kind == WaitKind::Lock {
        let state = word(0).filter(|state| state >> WAITERS > 0)?;
        if state & LOCKED == LOCKED { Held::Alone } else { Held::NotTold }
    } else {
        // A writer that holds the lock or wants it takes 1 << 30 off the count of readers.
        let pending = word(READER_COUNT)? >> 31 == 1;
        match word(READER_WAIT)? {
            readers @ 1..0x4000_0000 => Held::Readers(readers),
            0 if pending => Held::Alone,
            _ => return None,
        }
    };
    Some(Found { kind, lock: Some(lock), owner: None, held })
}

#[cfg(test)]
mod tests {
    use necropsy_model::{Memory, Permissions, Region};

    use super::*;
    use crate::image::Images;

    fn held(words: &[u32], kind: WaitKind) -> Option<Held> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let permissions = Some(Permissions { read: true, write: true, execute: false });
        let (start, end, dumped) = (Avma(0x1000), Avma(0x2000), bytes.len() as u64);
        let memory = Memory::new(vec![Region { start, end, permissions, bytes: &bytes, dumped, file: None }]);
        let images = Images::default();
        of(0x1000, kind, &AddressSpace::new(&memory, &images)).map(|found| found.held)
    }

    #[test]
    fn a_mutex_says_that_it_is_held_and_not_by_whom() {
        assert_eq!(held(&[1 | 6 << 3, 0], WaitKind::Lock), Some(Held::Alone));
        assert_eq!(held(&[6 << 3, 0], WaitKind::Lock), Some(Held::NotTold), "just given back");
        assert_eq!(held(&[1, 0], WaitKind::Lock), None, "nobody waits: it is another word");
        assert_eq!(held(&[], WaitKind::Lock), None);
    }

    #[test]
    fn readers_that_a_writer_waits_for_are_counted() {
        let writer_waits = [1, 0, 0, 0, 0xc000_0002, 2];
        assert_eq!(held(&writer_waits, WaitKind::WriteLock), Some(Held::Readers(2)));
        assert_eq!(held(&[1, 0, 0, 0, 0xc000_0000, 0], WaitKind::ReadLock), Some(Held::Alone));
        assert_eq!(held(&[0, 0, 0, 0, 1, 0], WaitKind::ReadLock), None, "no writer, nobody waits");
    }
}
