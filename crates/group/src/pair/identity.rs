//! Which thread of one dump is which thread of the other.

use necropsy_model::{Snapshot, Thread, ThreadFlags, ThreadId, go::GoForm};
use rustc_hash::FxHashMap;

/// Threads of two dumps by their indexes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Matched {
    /// In both, in the order of the later dump.
    pub pairs: Vec<(u32, u32)>,
    /// Only in the earlier dump.
    pub gone: Vec<u32>,
    /// Only in the later dump.
    pub new: Vec<u32>,
    /// The number is in both, but it is another thread.
    pub contradicted: usize,
}

/// Threads are listed one by one with numbers of their own. A profile only counts them, and numbers them as they come.
pub(super) fn tells_threads_apart(snapshot: &Snapshot<'_>) -> bool {
    !snapshot.go.as_ref().is_some_and(|go| matches!(go.form, GoForm::Counts | GoForm::Profile | GoForm::Races))
}

/// What tells a thread from all others of its process: its number; threads of the runtime are counted apart.
type Key = (ThreadId, bool);

fn key(thread: &Thread<'_>) -> Key {
    (thread.id, thread.flags.contains(ThreadFlags::SYSTEM))
}

/// Matches the threads of two dumps. What stands several times in one dump under one number (Go's scheduler stacks are all called
/// goroutine 0) is left out: nobody can tell these apart.
pub(super) fn pair(old: &Snapshot<'_>, new: &Snapshot<'_>) -> Matched {
    const SEVERAL: u32 = u32::MAX;
    let mut matched = Matched::default();
    if !tells_threads_apart(old) || !tells_threads_apart(new) {
        return matched;
    }
    let index = |snapshot: &Snapshot<'_>| {
        let mut index: FxHashMap<Key, u32> = FxHashMap::default();
        index.reserve(snapshot.threads.len());
        for (at, thread) in (0..SEVERAL).zip(&snapshot.threads) {
            index.entry(key(thread)).and_modify(|known| *known = SEVERAL).or_insert(at);
        }
        index
    };
    let (by_key, later) = (index(old), index(new));
    let single = |index: &FxHashMap<Key, u32>, thread| index.get(&key(thread)).is_some_and(|&at| at != SEVERAL);
    let mut taken = vec![false; old.threads.len()];
    for (to, thread) in (0..SEVERAL).zip(&new.threads) {
        if !single(&later, thread) {
            continue;
        }
        let at = by_key.get(&key(thread)).copied();
        let known = at.and_then(|at| old.threads.get(at as usize));
        match at.zip(known) {
            Some((at, known)) if is_same(known, thread) => {
                matched.pairs.push((at, to));
                if let Some(slot) = taken.get_mut(at as usize) {
                    *slot = true;
                }
            }
            Some(_) => {
                matched.contradicted += 1;
                matched.new.push(to);
            }
            None if at.is_none() => matched.new.push(to),
            None => {}
        }
    }
    let left =
        (0..SEVERAL).zip(&old.threads).zip(&taken).filter(|((_, thread), taken)| !**taken && single(&by_key, thread));
    // Numbers that stand several times in the later dump could be anybody.
    let told = left.filter(|((_, thread), _)| later.get(&key(thread)) != Some(&SEVERAL));
    matched.gone = told.map(|((at, _), _)| at).collect();
    matched
}

/// Nothing says that two threads of one number are two threads.
fn is_same(old: &Thread<'_>, new: &Thread<'_>) -> bool {
    let os_id = |thread: &Thread<'_>| thread.detail.as_ref().and_then(|detail| detail.os_id);
    let renamed = old.name().zip(new.name()).is_some_and(|(old, new)| old != new);
    let moved = os_id(old).zip(os_id(new)).is_some_and(|(old, new)| old != new);
    // A thread of the virtual machine runs now on this, now on that thread of the kernel.
    let mounted = [old, new].iter().any(|thread| thread.flags.contains(ThreadFlags::VIRTUAL));
    // A kernel id is all there is: the kernel gives it to the next thread.
    let reusable = os_id(old) == Some(old.id.0);
    !(moved && !mounted || renamed && reusable)
}
