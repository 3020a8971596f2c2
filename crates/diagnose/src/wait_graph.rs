//! Who waits for whom, for any runtime: from what threads hold and what they wait for.
//!
//! A thread waits for one lock at a time and a lock has one owner, so that a thread waits for at most one other thread. The
//! strongly connected components of such a graph are its cycles, and each is found by walking once.

use std::collections::BTreeMap;

use necropsy_model::{
    Deadlock, DeadlockThread, Frame, FrameKind, Lock, Role, Snapshot, Thread, ThreadFlags, ThreadId, Wait, WaitKind,
};

use crate::noise::is_noise;

/// The graph of a snapshot, by indexes of threads.
pub(crate) struct WaitGraph<'a, 'data> {
    snapshot: &'a Snapshot<'data>,
    /// The thread that each thread waits for.
    next: Vec<Option<usize>>,
    /// Cycles, each from its first thread in the order of the dump.
    pub cycles: Vec<Vec<usize>>,
    /// The thread at the end of the chain that each waiting thread is in; none for chains that end in a cycle.
    heads: Vec<Option<usize>>,
}

impl<'a, 'data> WaitGraph<'a, 'data> {
    pub(crate) fn of(snapshot: &'a Snapshot<'data>) -> Self {
        let next = edges(snapshot);
        let (cycles, heads) = walk(&next);
        Self { snapshot, next, cycles, heads }
    }

    /// Cycles as the report tells them.
    pub(crate) fn deadlocks(&self) -> Vec<Deadlock<'data>> {
        let told = |cycle: &Vec<usize>| Deadlock { threads: cycle.iter().filter_map(|&at| self.told(at)).collect() };
        self.cycles.iter().map(told).collect()
    }

    fn told(&self, at: usize) -> Option<DeadlockThread<'data>> {
        let thread = self.snapshot.threads.get(at)?;
        let detail = thread.detail.as_ref()?;
        let wait = detail.waits_on.as_ref()?;
        let waits_for = wait.lock.clone().or_else(|| joined(wait))?;
        let frame = own_frame(self.snapshot, thread);
        Some(DeadlockThread {
            id: thread.id,
            name: detail.name.clone(),
            at: self.snapshot.place(at, frame, Role::Waiter),
            holds: detail.holds.clone(),
            waits_for,
            kind: wait.kind,
        })
    }

    /// Heads of chains that end in no cycle, with all threads that wait for them directly or through others; most first.
    pub(crate) fn chains(&self) -> Vec<(usize, Vec<usize>)> {
        let mut chains: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (at, head) in self.heads.iter().enumerate() {
            if let Some(head) = head.filter(|&head| head != at) {
                chains.entry(head).or_default().push(at);
            }
        }
        let mut chains: Vec<_> = chains.into_iter().collect();
        chains.sort_by_key(|(head, waiters)| (std::cmp::Reverse(waiters.len()), *head));
        chains
    }

    /// The thread that a thread waits for.
    pub(crate) fn owner(&self, at: usize) -> Option<usize> {
        self.next.get(at).copied().flatten()
    }

    /// For each cycle the number of threads that wait for it without being in it. One walk for all cycles: a file may list as many
    /// as it has threads.
    pub(crate) fn behind(&self) -> Vec<usize> {
        // The cycle that each chain ends in, where that is known already.
        let mut ends: Vec<Option<Option<usize>>> = vec![None; self.next.len()];
        for (number, cycle) in self.cycles.iter().enumerate() {
            for &at in cycle {
                if let Some(end) = ends.get_mut(at) {
                    *end = Some(Some(number));
                }
            }
        }
        let mut behind = vec![0; self.cycles.len()];
        for start in 0..self.next.len() {
            let (mut path, mut at) = (Vec::new(), start);
            let end = loop {
                match ends.get(at) {
                    Some(None) => path.push(at),
                    Some(&Some(known)) => break known,
                    None => break None,
                }
                match self.owner(at) {
                    Some(next) => at = next,
                    None => break None,
                }
            };
            if let Some(count) = end.and_then(|end| behind.get_mut(end)) {
                *count += path.len();
            }
            for at in path {
                if let Some(known) = ends.get_mut(at) {
                    *known = Some(end);
                }
            }
        }
        behind
    }
}

/// The end of a thread stands for a lock that this thread holds all its life.
fn joined<'data>(wait: &Wait<'_>) -> Option<Lock<'data>> {
    Some(Lock { id: 0, name: Some(joined_words(wait)?.into()) })
}

/// What a thread waits for that joins a known one.
pub(crate) fn joined_words(wait: &Wait<'_>) -> Option<String> {
    let owner = wait.owner.filter(|_| wait.kind == WaitKind::Join)?;
    Some(format!("the end of thread {owner}"))
}

/// What a thread waits for.
pub(crate) fn wait<'t, 'data>(thread: &'t Thread<'data>) -> Option<&'t Wait<'data>> {
    thread.detail.as_ref()?.waits_on.as_ref()
}

/// The innermost frame that is neither of the runtime nor of a library that everybody passes through, by its index; the
/// innermost one when all are.
pub(crate) fn own_frame(snapshot: &Snapshot<'_>, thread: &Thread<'_>) -> usize {
    let own = |frame: &Frame<'_>| frame.kind != FrameKind::Runtime && !is_noise(snapshot, frame);
    snapshot.frames_of(thread).position(own).unwrap_or(0)
}

/// The thread that each thread waits for, where the dump proves one.
fn edges(snapshot: &Snapshot<'_>) -> Vec<Option<usize>> {
    // Text of a million goroutines names no owner, and a table of their numbers is a third of all the work.
    if !snapshot.threads.iter().any(|thread| wait(thread).is_some_and(|wait| wait.owner.is_some())) {
        return Vec::new();
    }
    let mut by_id: BTreeMap<ThreadId, usize> = BTreeMap::new();
    for (at, thread) in snapshot.threads.iter().enumerate() {
        // A thread of the runtime may have the number of another one: they are counted apart.
        if !thread.flags.contains(ThreadFlags::SYSTEM) {
            by_id.entry(thread.id).or_insert(at);
        }
    }
    let owner = |thread: &Thread<'_>| by_id.get(&wait(thread)?.owner?).copied();
    snapshot.threads.iter().map(owner).collect()
}

/// Cycles, and for each thread the end of its chain.
fn walk(next: &[Option<usize>]) -> (Vec<Vec<usize>>, Vec<Option<usize>>) {
    const NEW: usize = usize::MAX;
    // The walk that saw a thread first.
    let mut seen = vec![NEW; next.len()];
    let mut heads = vec![None; next.len()];
    let mut cycles = Vec::new();
    for start in 0..next.len() {
        let mut path = Vec::new();
        let mut at = start;
        let head = loop {
            match seen.get(at) {
                Some(&NEW) => {}
                Some(&walk) if walk == start => {
                    let from = path.iter().position(|&known| known == at).unwrap_or(0);
                    let mut cycle: Vec<usize> = path.get(from..).unwrap_or_default().to_vec();
                    let first = cycle.iter().enumerate().min_by_key(|(_, at)| **at).map_or(0, |(first, _)| first);
                    cycle.rotate_left(first);
                    cycles.push(cycle);
                    break None;
                }
                _ => break heads.get(at).copied().flatten(),
            }
            if let Some(slot) = seen.get_mut(at) {
                *slot = start;
            }
            path.push(at);
            match next.get(at).copied().flatten() {
                Some(further) => at = further,
                None => break Some(at),
            }
        };
        for at in path {
            if let Some(slot) = heads.get_mut(at) {
                *slot = head;
            }
        }
    }
    cycles.sort();
    (cycles, heads)
}

#[cfg(test)]
mod tests {
    use necropsy_model::Snapshot;

    use super::{WaitGraph, walk};

    #[test]
    fn threads_behind_each_cycle() {
        // 0 and 1 wait for each other, 2 and 7 behind them; 4 and 5 wait for 3; 6 waits for itself, 8 behind it.
        let next = vec![Some(1), Some(0), Some(0), None, Some(3), Some(4), Some(6), Some(2), Some(6)];
        let (cycles, heads) = walk(&next);
        let snapshot = Snapshot::default();
        let graph = WaitGraph { snapshot: &snapshot, next, cycles, heads };
        assert_eq!(graph.cycles, [vec![0, 1], vec![6]]);
        assert_eq!(graph.behind(), [2, 1]);
    }

    #[test]
    fn cycles_and_heads() {
        // 0 and 1 wait for each other, 2 behind them; 4 and 5 wait for 3; 6 waits for itself.
        let next = [Some(1), Some(0), Some(0), None, Some(3), Some(4), Some(6)];
        let (cycles, heads) = walk(&next);
        assert_eq!(cycles, [vec![0, 1], vec![6]]);
        assert_eq!(heads, [None, None, None, Some(3), Some(3), Some(3), None]);
        // A long chain whose end is seen first, and a ring that is entered from outside.
        assert_eq!(walk(&[None, Some(0), Some(1)]).1, [Some(0), Some(0), Some(0)]);
        assert_eq!(walk(&[Some(2), Some(2), Some(1)]).0, [vec![1, 2]]);
    }
}
