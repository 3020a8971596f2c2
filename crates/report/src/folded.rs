//! Folded stacks, one line for each: `main;work;lock 4096`, what flamegraph.pl, inferno and speedscope read.

use std::collections::BTreeMap;
use std::io::{self, Write};

use necropsy_model::{Groups, Snapshot, StackId, StateId};

use crate::text::clean;

/// Writes a line for each distinct stack of the groups: outermost frame first, the state last, and how many threads.
pub fn folded(snapshot: &Snapshot<'_>, groups: &Groups, out: &mut dyn Write) -> io::Result<()> {
    let mut counts: BTreeMap<(Option<StackId>, Option<StateId>), usize> = BTreeMap::new();
    for &index in groups.groups.iter().flat_map(|group| &group.threads) {
        if let Some(thread) = snapshot.threads.get(index as usize) {
            *counts.entry((thread.stack, thread.state)).or_default() += 1;
        }
    }
    // Stacks that differ in lines only are one line here.
    let mut lines: BTreeMap<String, usize> = BTreeMap::new();
    for ((stack, state), count) in counts {
        let ids = stack.and_then(|id| snapshot.stack(id)).map(|stack| stack.frames.as_slice()).unwrap_or_default();
        let frames = ids.iter().rev().filter_map(|&id| snapshot.frame(id));
        let names = frames.map(|frame| word(frame.function.as_deref().unwrap_or("?")));
        let state = state.and_then(|id| snapshot.state(id)).map(|state| format!("[{}]", word(&state.text)));
        let line: Vec<_> = names.chain(state).collect();
        *lines.entry(line.join(";")).or_default() += count;
    }
    lines.into_iter().try_for_each(|(line, count)| writeln!(out, "{line} {count}"))
}

/// A name without what separates names here.
fn word(name: &str) -> String {
    clean(name).replace(';', ":")
}

#[cfg(test)]
mod tests {
    use necropsy_model::{Frame, Group, Source, Stack, Thread, ThreadId};

    use super::*;

    #[test]
    fn outermost_first_and_counted() {
        let mut snapshot = Snapshot::default();
        let frames = ["main.work", "main.main"].map(|name| snapshot.add_frame(Frame::printed(name, None)).unwrap());
        let stack = snapshot.add_stack(Stack { frames: frames.to_vec(), ..Stack::default() });
        for id in 1..3 {
            let mut thread = Thread::new(ThreadId(id), Source::line(id));
            thread.stack = stack;
            snapshot.threads.push(thread);
        }
        let group = Group {
            signature: String::new(),
            threads: vec![0, 1],
            state: None,
            stack,
            created_by: None,
            waited: None,
            background: false,
            title: None,
        };
        let groups = Groups { groups: vec![group], ..Groups::default() };
        let mut out = Vec::new();
        folded(&snapshot, &groups, &mut out).unwrap();
        assert_eq!(String::from_utf8_lossy(&out), "main.main;main.work 2\n");
    }
}
