//! Groups that grew and groups that shrank.

use necropsy_model::{Group, GroupChange, Pair};
use rustc_hash::FxHashMap;

use super::Side;

/// All groups of both dumps by signature, the largest change first. Signatures know no lines, so that threads which went on
/// within their functions are still in the same group.
pub(super) fn changes(before: Side<'_, '_>, after: Side<'_, '_>, pairs: &[Pair]) -> Vec<GroupChange> {
    let mut table = Table::default();
    // The later dump first: its threads are the examples.
    let is = table.add(after, |change, group| change.after += group.threads.len());
    let was = table.add(before, |change, group| change.before += group.threads.len());
    for pair in pairs {
        let group = |of: &[u32], thread: u32| of.get(thread as usize).copied();
        let same = group(&was, pair.before).filter(|&at| Some(at) == group(&is, pair.after));
        if let Some(change) = same.and_then(|at| table.changes.get_mut(at as usize)) {
            change.stayed += 1;
        }
    }
    let mut changes = table.changes;
    changes.sort_by(|a, b| {
        let rank = |change: &GroupChange| std::cmp::Reverse((change.change().unsigned_abs(), change.after));
        rank(a).cmp(&rank(b)).then_with(|| a.signature.cmp(&b.signature))
    });
    changes
}

#[derive(Default)]
struct Table {
    index: FxHashMap<String, u32>,
    changes: Vec<GroupChange>,
}

impl Table {
    /// Adds the groups of a dump; for each of its threads, the change it is part of.
    fn add(&mut self, side: Side<'_, '_>, count: impl Fn(&mut GroupChange, &Group)) -> Vec<u32> {
        let mut of_thread = vec![u32::MAX; side.snapshot.threads.len()];
        for group in &side.groups.groups {
            let at = *self.index.entry(group.signature.clone()).or_insert_with(|| {
                self.changes.push(GroupChange {
                    signature: group.signature.clone(),
                    before: 0,
                    after: 0,
                    stayed: 0,
                    example: group.threads.first().copied().unwrap_or_default(),
                    background: true,
                });
                self.changes.len() as u32 - 1
            });
            if let Some(change) = self.changes.get_mut(at as usize) {
                count(change, group);
                change.background &= group.background;
            }
            for &thread in &group.threads {
                if let Some(slot) = of_thread.get_mut(thread as usize) {
                    *slot = at;
                }
            }
        }
        of_thread
    }
}
