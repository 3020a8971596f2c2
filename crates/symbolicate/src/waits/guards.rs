//! Holders of locks that do not say who holds them, by the guards on the stacks.

use std::collections::{BTreeMap, BTreeSet};

use necropsy_model::{Full, WaitKind};

use super::{Found, Held};
use crate::space::AddressSpace;
use crate::unwind::Walk;
use crate::values::Values;

/// Locks that are looked for.
const MAX_LOCKS: usize = 32;
/// Frames of all threads that are looked at.
const MAX_FRAMES: usize = 4096;

/// The thread, by its index, whose variables hold each lock that names no owner. Where guards of several threads refer to
/// one lock, some are out of use, and nothing is claimed.
pub(super) fn holders(
    waits: &[(usize, bool, Found)],
    walks: &[Walk],
    space: &AddressSpace<'_, '_>,
    full: &mut Full,
) -> BTreeMap<u64, usize> {
    let unowned = |found: &Found| {
        // A reader waits for a writer that holds the lock, or behind one that waits itself.
        let behind_writer = found.kind == WaitKind::ReadLock && found.held == Held::Alone;
        found.owner.is_none() && (behind_writer || matches!(found.kind, WaitKind::Lock | WaitKind::WriteLock))
    };
    let unowned = waits.iter().filter(|(.., found)| unowned(found));
    let locks: BTreeMap<u64, Held> = unowned.filter_map(|(.., found)| Some((found.lock?, found.held))).collect();
    let locks: BTreeMap<u64, Held> =
        full.first("locks whose holders are looked for", MAX_LOCKS, locks).into_iter().collect();
    if locks.is_empty() {
        return BTreeMap::new();
    }
    let values = Values::new(*space);
    let frames = walks.iter().enumerate();
    let frames = frames.flat_map(|(thread, walk)| (0..walk.frames.len()).map(move |frame| (thread, walk, frame)));
    let mut threads: BTreeMap<u64, BTreeSet<usize>> = BTreeMap::new();
    for (thread, walk, frame) in full.first("frames in which holders of locks are looked for", MAX_FRAMES, frames) {
        for (guarded, reads) in values.guarded(&walk.frames, frame) {
            // A guard of the other kind than the lock is held by is out of use.
            let fits = |held: Held| reads == matches!(held, Held::Readers(_));
            for (&lock, _) in locks.range(guarded).filter(|(_, held)| fits(**held)) {
                threads.entry(lock).or_default().insert(thread);
            }
        }
    }
    let only = |(lock, threads): (u64, BTreeSet<usize>)| match threads.len() {
        1 => threads.first().map(|&thread| (lock, thread)),
        _ => None,
    };
    threads.into_iter().filter_map(only).collect()
}
