//! Holders of locks that do not say who holds them, by the guards on the stacks.

use std::collections::{BTreeMap, BTreeSet};

use necropsy_model::WaitKind;

use super::Found;
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
) -> BTreeMap<u64, usize> {
    let unowned = |found: &Found| found.owner.is_none() && matches!(found.kind, WaitKind::Lock | WaitKind::WriteLock);
    let locks: BTreeSet<u64> =
        waits.iter().filter(|(.., found)| unowned(found)).filter_map(|(.., found)| found.lock).collect();
    let locks: BTreeSet<u64> = locks.into_iter().take(MAX_LOCKS).collect();
    if locks.is_empty() {
        return BTreeMap::new();
    }
    let values = Values::new(*space);
    let frames = walks.iter().enumerate();
    let frames = frames.flat_map(|(thread, walk)| (0..walk.frames.len()).map(move |frame| (thread, walk, frame)));
    let mut threads: BTreeMap<u64, BTreeSet<usize>> = BTreeMap::new();
    for (thread, walk, frame) in frames.take(MAX_FRAMES) {
        for guarded in values.guarded(&walk.frames, frame) {
            for &lock in locks.range(guarded) {
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
