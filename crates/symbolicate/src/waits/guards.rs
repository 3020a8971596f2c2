//! Holders of locks that do not say who holds them, by the guards on the stacks.

use std::collections::{BTreeMap, BTreeSet};

use necropsy_model::WaitKind;

use super::Found;
use crate::space::AddressSpace;
use crate::unwind::Walk;
use crate::values::Values;

/// Locks that are looked for; each is looked for in all stacks.
const MAX_LOCKS: usize = 32;
/// Frames of all threads that are looked at for one lock.
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
    let values = Values::new(*space);
    let mut holders = BTreeMap::new();
    for lock in locks.into_iter().take(MAX_LOCKS) {
        let frames = walks.iter().enumerate();
        let frames = frames.flat_map(|(thread, walk)| (0..walk.frames.len()).map(move |frame| (thread, frame)));
        let held = |&(thread, frame): &(usize, usize)| {
            walks.get(thread).is_some_and(|walk| values.guards(&walk.frames, frame, lock))
        };
        let threads: BTreeSet<usize> = frames.take(MAX_FRAMES).filter(held).map(|(thread, _)| thread).collect();
        if let (Some(&thread), 1) = (threads.first(), threads.len()) {
            holders.insert(lock, thread);
        }
    }
    holders
}
