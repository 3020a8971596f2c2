//! Many threads wait for input in one call of the program.

use std::collections::BTreeMap;

use necropsy_model::{Activity, Confidence, Evidence, Finding, Role, Severity};

use super::{advice, hang_core};
use crate::wait_graph::own_frame;
use crate::{Case, Rule};

pub(crate) static RULE: Rule = Rule { id: "same-downstream-call", doc: include_str!("same_call.md"), check };

/// Threads at one place from which it is worth a finding.
const MANY: usize = 5;

/// Calls that wait for one peer, as the state of a thread names them. Those that wait for anybody, such as poll and accept, are idle.
const PEER: [&str; 6] = ["in read ", "in recvfrom ", "in recvmsg ", "in connect ", "in readv ", "in write "];

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    if !hang_core::is_hang(case) {
        return Vec::new();
    }
    let snapshot = case.snapshot;
    let mut places: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, thread) in snapshot.threads.iter().enumerate() {
        let state = thread.state.and_then(|id| snapshot.state(id));
        let waits = state.is_some_and(|state| {
            state.activity == Activity::Io && PEER.iter().any(|call| state.text.starts_with(call))
        });
        let place = snapshot.place(index, own_frame(snapshot, thread), Role::Waiter);
        if let Some(function) = place.and_then(|place| place.function).filter(|_| waits) {
            places.entry(function.into_owned()).or_default().push(index);
        }
    }
    let mut many: Vec<_> = places.into_iter().filter(|(_, threads)| threads.len() >= MANY).collect();
    many.sort_by_key(|(_, threads)| std::cmp::Reverse(threads.len()));
    let finding = |(function, threads): (String, Vec<usize>)| {
        let first = *threads.first()?;
        let thread = snapshot.threads.get(first)?;
        let state = thread.state.and_then(|id| snapshot.state(id))?;
        let total = snapshot.threads.len();
        Some(Finding {
            rule: RULE.id,
            severity: Severity::Warning,
            confidence: Confidence::Medium,
            title: format!("{} of {total} threads wait for an answer in {function}", threads.len()),
            places: snapshot.place(first, own_frame(snapshot, thread), Role::Waiter).into_iter().collect(),
            evidence: vec![Evidence::new(
                format!("{} is {}, called by {function}", crate::rules::called(thread), state.text),
                thread.source,
            )],
            next: vec![advice(RULE.doc)],
        })
    };
    many.into_iter().filter_map(finding).collect()
}

#[cfg(test)]
mod tests {
    use necropsy_model::{Activity, Avma, Frame, Memory, Region, Snapshot, Source, Stack, State, Thread, ThreadId};

    use super::{MANY, RULE};
    use crate::rules::native::samples::fired;

    fn workers(state: &'static str) -> Snapshot<'static> {
        let mut snapshot = Snapshot::default();
        let (start, end) = (Avma(0x1000), Avma(0x2000));
        let region = Region { start, end, permissions: None, bytes: &[], dumped: 0, file: None };
        snapshot.memory = Memory::new(vec![region]);
        for id in 1..=MANY as u64 {
            let frames = snapshot.add_frame(Frame::printed("ask_rate", None)).into_iter().collect();
            let mut thread = Thread::new(ThreadId(id), Source::offset(id));
            thread.stack = snapshot.add_stack(Stack { frames, ..Stack::default() });
            thread.state = snapshot.intern_state(State { text: state.into(), activity: Activity::Io });
            snapshot.threads.push(thread);
        }
        snapshot
    }

    #[test]
    fn fires() {
        assert!(fired(&RULE, &workers("in read (system call 0)")));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!fired(&RULE, &workers("in epoll_wait (system call 232)")), "they wait for anybody");
    }
}
