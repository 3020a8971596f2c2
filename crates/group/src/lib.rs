//! Threads to groups by signature, in parallel. Ten thousand stacks are usually one stack.
//!
//! Two threads are in one group when they share state, stack and creator; how alike stacks must be is the [`Similarity`].
//! The signature that a report prints ignores lines, addresses and counters in names always, so that one bug has one
//! signature in every process and after a rebuild that only moves lines.

#![forbid(unsafe_code)]

mod filter;
mod hash;
mod key;
mod name;
mod spread;

use necropsy_model::{Group, GroupBy, Groups, Similarity, Snapshot, Thread};
use rayon::prelude::*;
use rustc_hash::FxHashMap;

pub use filter::Filter;
pub use name::normalise;

use key::{Keys, Triple};

/// Threads that one task takes at a time; groups come out in the same order whatever this is.
const CHUNK: usize = 64 * 1024;

/// How to group.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How alike stacks must be.
    pub similarity: Similarity,
    /// What members have in common.
    pub by: GroupBy,
    /// Which threads to look at.
    pub filter: Filter,
}

/// Groups the threads of a snapshot by state, stack and creator.
pub fn group(snapshot: &Snapshot<'_>, similarity: Similarity) -> Groups {
    group_with(snapshot, &Options { similarity, ..Options::default() })
}

/// Groups the threads of a snapshot as `options` says.
pub fn group_with(snapshot: &Snapshot<'_>, options: &Options) -> Groups {
    let keep = options.filter.prepare(snapshot);
    let by_triple = collect(&snapshot.threads, |thread| keep.keeps(thread).then(|| Triple::of(thread, options.by)));
    let kept: usize = by_triple.iter().map(|(_, threads)| threads.len()).sum();
    let mut keys = Keys::new(snapshot, options.similarity, options.by);
    let mut index: FxHashMap<u64, usize> = FxHashMap::default();
    let mut groups: Vec<Group> = Vec::new();
    for (triple, threads) in by_triple {
        let key = keys.key(triple);
        if let Some(group) = index.get(&key).and_then(|&at| groups.get_mut(at)) {
            group.threads.extend(threads);
        } else {
            index.insert(key, groups.len());
            groups.push(keys.group(triple, threads));
        }
    }
    for group in &mut groups {
        finish(group, snapshot);
    }
    sort(&mut groups);
    Groups {
        similarity: options.similarity,
        by: options.by,
        filtered_out: snapshot.threads.len().saturating_sub(kept),
        groups,
    }
}

/// Thread indexes by triple, triples in order of first sight.
fn collect(threads: &[Thread<'_>], triple: impl Fn(&Thread<'_>) -> Option<Triple> + Sync) -> Vec<(Triple, Vec<u32>)> {
    let parts: Vec<Vec<(Triple, Vec<u32>)>> = threads
        .par_chunks(CHUNK)
        .enumerate()
        .map(|(number, chunk)| {
            let mut table = Table::default();
            for (thread, at) in chunk.iter().zip(number * CHUNK..) {
                if let Some(triple) = triple(thread) {
                    table.members(triple).push(at as u32);
                }
            }
            table.rows
        })
        .collect();
    let mut all = Table::default();
    for (triple, threads) in parts.into_iter().flatten() {
        all.members(triple).extend(threads);
    }
    all.rows
}

#[derive(Default)]
struct Table {
    index: FxHashMap<Triple, usize>,
    rows: Vec<(Triple, Vec<u32>)>,
}

impl Table {
    fn members(&mut self, triple: Triple) -> &mut Vec<u32> {
        let row = *self.index.entry(triple).or_insert_with(|| {
            self.rows.push((triple, Vec::new()));
            self.rows.len() - 1
        });
        &mut self.rows[row].1
    }
}

/// What can be said only when all members are there.
fn finish(group: &mut Group, snapshot: &Snapshot<'_>) {
    group.threads.sort_unstable();
    let members = || group.threads.iter().filter_map(|&at| snapshot.threads.get(at as usize));
    group.waited = spread::of(members());
    group.background = members().all(|thread| key::is_background(snapshot, thread));
    let first = members().next();
    group.stack = first.and_then(|thread| thread.stack);
    let state = first.and_then(|thread| thread.state);
    let text = |state| snapshot.state(state).map(|state| state.text.as_ref());
    let shared = |thread: &Thread<'_>| thread.state == state || thread.state.map(text) == state.map(text);
    group.state = state.filter(|_| members().all(shared));
    let creator = first.and_then(|thread| thread.created_by);
    let name = |frame| snapshot.frame(frame).and_then(|frame| frame.function.as_deref());
    let same = |thread: &Thread<'_>| thread.created_by == creator || thread.created_by.map(name) == creator.map(name);
    group.created_by = creator.filter(|_| members().all(same));
}

/// Biggest first, idle background last; equal ones in the order of the dump.
fn sort(groups: &mut [Group]) {
    groups.sort_by(|a, b| {
        let rank = |group: &Group| (group.background, std::cmp::Reverse(group.threads.len()));
        rank(a).cmp(&rank(b)).then_with(|| a.threads.first().cmp(&b.threads.first()))
    });
}

#[cfg(test)]
mod tests;
