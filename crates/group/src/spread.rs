//! Waiting times of a group.

use necropsy_model::WaitSpread;

/// The spread of these times; `None` when there are none. Their order is lost.
pub(crate) fn of(waits: &mut [u32]) -> Option<WaitSpread> {
    waits.sort_unstable();
    let middle = waits.len() / 2;
    Some(WaitSpread {
        min_s: u64::from(*waits.first()?),
        median_s: u64::from(*waits.get(middle)?),
        max_s: u64::from(*waits.last()?),
        known: waits.len(),
    })
}
