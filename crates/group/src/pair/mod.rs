//! Two dumps of one process laid over each other, thread by thread: what moved and what did not.
//!
//! Facts only. A thread is the same thread when its number says so, and its name or kernel id does not say no: goroutine ids and
//! Java's thread numbers are never used twice in a process, kernel thread ids are.

mod changes;
mod identity;
mod motion;
mod process;

use std::time::Duration;

use necropsy_model::{Comparison, Groups, Identification, Order, Pair, SameProcess, Snapshot};

pub use process::order;

/// One of two dumps.
#[derive(Clone, Copy)]
pub struct Side<'a, 'data> {
    /// The dump.
    pub snapshot: &'a Snapshot<'data>,
    /// Its groups.
    pub groups: &'a Groups,
}

/// Lays the later dump over the earlier one. `order` says how it is known which is which.
pub fn compare(before: Side<'_, '_>, after: Side<'_, '_>, order: Order) -> Comparison {
    let (old, new) = (before.snapshot, after.snapshot);
    let matched = identity::pair(old, new);
    let elapsed = process::elapsed(old, new, &matched.pairs);
    let identity = process::identify(old, new, &matched);
    if identity.same == SameProcess::No {
        return Comparison { order, identity, elapsed, ..Comparison::default() };
    }
    let mut motions = motion::Motions::new(old, new);
    let mut pairs: Vec<Pair> = matched.pairs.iter().filter_map(|&(at, to)| motions.pair(at, to)).collect();
    let span = elapsed.filter(|elapsed| !elapsed.basis.is_rough());
    for pair in &mut pairs {
        pair.woke |= span.is_some_and(|span| motion::woke(old, new, pair, span.time));
    }
    let cpu: Option<Duration> = pairs.iter().filter_map(|pair| pair.cpu).reduce(Duration::saturating_add);
    let groups = changes::changes(before, after, &pairs);
    // Profiles have neither numbers nor times; two of one program share at least what waits in the background.
    let shared = groups.iter().any(|change| change.before > 0 && change.after > 0);
    if identity.same == SameProcess::NotTold && pairs.is_empty() && !shared && !groups.is_empty() {
        let because = vec!["no group of threads is in both".to_owned()];
        let identity = Identification { same: SameProcess::No, because };
        return Comparison { order, identity, elapsed, ..Comparison::default() };
    }
    let by_thread = identity::tells_threads_apart(old) && identity::tells_threads_apart(new);
    Comparison { order, elapsed, identity, by_thread, pairs, gone: matched.gone, new: matched.new, groups, cpu }
}

#[cfg(test)]
mod tests;
