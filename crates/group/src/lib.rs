//! Threads to groups by signature, in parallel. Ten thousand stacks are usually one stack.
//!
//! Two threads are in one group when they share state, stack and creator; how alike stacks must be is the [`Similarity`].
//! The signature that a report prints ignores lines, addresses and counters in names always, so that one bug has one
//! signature in every process and after a rebuild that only moves lines.
//!
//! The same signatures lay two dumps of one process over each other ([`pair`]) and put many dumps together ([`bucket`]).

#![forbid(unsafe_code)]

pub mod bucket;
mod filter;
mod hash;
mod key;
mod name;
pub mod pair;
mod spread;
pub mod time;

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
    let rows = collect(snapshot, |thread| keep.keeps(thread).then(|| Triple::of(thread, options.by)));
    let kept: usize = rows.iter().map(|row| row.threads.len()).sum();
    let mut keys = Keys::new(snapshot, options.similarity, options.by);
    let mut index: FxHashMap<u64, usize> = FxHashMap::default();
    let mut groups: Vec<(Group, Vec<u32>)> = Vec::new();
    for Row { triple, threads, waits, background } in rows {
        let key = keys.key(triple);
        if let Some((group, known)) = index.get(&key).and_then(|&at| groups.get_mut(at)) {
            group.threads.extend(threads);
            known.extend(waits);
            group.background &= background;
        } else {
            index.insert(key, groups.len());
            groups.push((Group { background, ..keys.group(triple, threads) }, waits));
        }
    }
    groups.par_iter_mut().for_each(|(group, waits)| finish(group, waits, snapshot, options.by));
    let mut groups: Vec<_> = groups.into_iter().map(|(group, _)| group).collect();
    sort(&mut groups);
    Groups {
        similarity: options.similarity,
        by: options.by,
        filtered_out: snapshot.threads.len().saturating_sub(kept),
        groups,
    }
}

/// Threads of one triple.
struct Row {
    triple: Triple,
    /// Indexes, ascending.
    threads: Vec<u32>,
    /// Seconds that those have waited of whom the dump says it.
    waits: Vec<u32>,
    /// All of them are.
    background: bool,
}

/// Threads by triple, triples in order of first sight.
fn collect(snapshot: &Snapshot<'_>, triple: impl Fn(&Thread<'_>) -> Option<Triple> + Sync) -> Vec<Row> {
    let parts: Vec<Vec<Row>> = snapshot
        .threads
        .par_chunks(CHUNK)
        .enumerate()
        .map(|(number, chunk)| {
            let mut table = Table::default();
            for (thread, at) in chunk.iter().zip(number * CHUNK..) {
                if let Some(triple) = triple(thread) {
                    let row = table.row(triple);
                    row.threads.push(at as u32);
                    row.waits.extend(Some(thread.waited_s).filter(|&waited| waited != u32::MAX));
                    row.background = row.background && key::is_background(snapshot, thread);
                }
            }
            table.rows
        })
        .collect();
    let mut all = Table::default();
    for part in parts.into_iter().flatten() {
        let row = all.row(part.triple);
        row.threads.extend(part.threads);
        row.waits.extend(part.waits);
        row.background &= part.background;
    }
    all.rows
}

#[derive(Default)]
struct Table {
    index: FxHashMap<Triple, usize>,
    /// The row that a stack had last: most stacks have one.
    by_stack: Vec<usize>,
    rows: Vec<Row>,
}

impl Table {
    fn row(&mut self, triple: Triple) -> &mut Row {
        let stack = triple.stack();
        let last = self.by_stack.get(stack).copied().unwrap_or(usize::MAX);
        if self.rows.get(last).is_some_and(|row| row.triple == triple) {
            return &mut self.rows[last];
        }
        let at = self.place(triple);
        if self.by_stack.len() <= stack {
            self.by_stack.resize(stack + 1, usize::MAX);
        }
        self.by_stack[stack] = at;
        &mut self.rows[at]
    }

    fn place(&mut self, triple: Triple) -> usize {
        *self.index.entry(triple).or_insert_with(|| {
            self.rows.push(Row { triple, threads: Vec::new(), waits: Vec::new(), background: true });
            self.rows.len() - 1
        })
    }
}

/// What can be said only when all members are there.
fn finish(group: &mut Group, waits: &mut [u32], snapshot: &Snapshot<'_>, by: GroupBy) {
    group.threads.sort_unstable();
    let members = || group.threads.iter().filter_map(|&at| snapshot.threads.get(at as usize));
    group.waited = spread::of(waits);
    let first = members().next();
    group.stack = first.and_then(|thread| thread.stack);
    group.state = first.and_then(|thread| thread.state);
    group.created_by = first.and_then(|thread| thread.created_by);
    if by == GroupBy::Stack {
        // State and creator are part of the key.
        return;
    }
    let text = |state| snapshot.state(state).map(|state| state.text.as_ref());
    let shared = |thread: &Thread<'_>| thread.state == group.state || thread.state.map(text) == group.state.map(text);
    let name = |frame| snapshot.frame(frame).and_then(|frame| frame.function.as_deref());
    let same = |thread: &Thread<'_>| {
        thread.created_by == group.created_by || thread.created_by.map(name) == group.created_by.map(name)
    };
    let (state, creator) = (members().all(shared), members().all(same));
    group.state = group.state.filter(|_| state);
    group.created_by = group.created_by.filter(|_| creator);
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
