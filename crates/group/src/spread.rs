//! Waiting times of a group.

use necropsy_model::{Thread, WaitSpread};

/// The spread over those threads that have a waiting time; `None` when none has.
pub(crate) fn of<'t, 'data: 't>(threads: impl Iterator<Item = &'t Thread<'data>>) -> Option<WaitSpread> {
    let mut waits: Vec<u32> = threads.map(|thread| thread.waited_s).filter(|&waited| waited != u32::MAX).collect();
    waits.sort_unstable();
    let middle = waits.len() / 2;
    Some(WaitSpread {
        min_s: u64::from(*waits.first()?),
        median_s: u64::from(*waits.get(middle)?),
        max_s: u64::from(*waits.last()?),
        known: waits.len(),
    })
}
