//! Rules for dumps of Go: one file and one page each. What they share is in [`crate::go`].

pub(crate) mod all_asleep;
pub(crate) mod background_only;
pub(crate) mod concurrent_map;
pub(crate) mod data_race;
pub(crate) mod dump_cut;
pub(crate) mod fan_out;
pub(crate) mod fatal_error;
pub(crate) mod gc_pressure;
pub(crate) mod leak;
pub(crate) mod lock_cycle;
pub(crate) mod mutex_waiters;
pub(crate) mod nil_dereference;
pub(crate) mod out_of_memory;
pub(crate) mod panic;
pub(crate) mod pool_exhausted;
pub(crate) mod proved_leak;
pub(crate) mod recursive_read_lock;
pub(crate) mod retry_storm;
pub(crate) mod same_downstream_call;
pub(crate) mod self_deadlock;
pub(crate) mod signal_in_c;
pub(crate) mod spinning;
pub(crate) mod stack_overflow;
pub(crate) mod stopping_the_world;
pub(crate) mod stuck_consumers;
pub(crate) mod stuck_producers;
pub(crate) mod test_timeout;
pub(crate) mod thread_exhaustion;
pub(crate) mod waitgroup_stuck;
pub(crate) mod waits_forever;

use std::collections::BTreeMap;

use necropsy_model::Group;

use crate::go::{Go, members};

/// Goroutines at one place from which it is a pile.
const PILE: usize = 10;

/// The place at which most goroutines of the program stand, when more than half of them are of this kind and in one place:
/// how many, and the first group of them.
fn largest<'a>(go: &Go<'a, '_>, counts: impl Fn(&Group) -> bool) -> Option<(usize, &'a Group)> {
    let mut by_place: BTreeMap<String, (usize, &Group)> = BTreeMap::new();
    for group in go.front().filter(|group| counts(group)) {
        let entry = by_place.entry(go.at(group)).or_insert((0, group));
        entry.0 += group.threads.len();
    }
    let front = members(&go.front().collect::<Vec<_>>());
    let (count, group) = by_place
        .into_values()
        .max_by_key(|(count, group)| (*count, std::cmp::Reverse(group.threads.first().copied())))?;
    (count >= PILE && count * 2 > front).then_some((count, group))
}
