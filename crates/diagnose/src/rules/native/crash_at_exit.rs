//! A crash while the process ended by itself.

use necropsy_model::{Evidence, Finding, Role, Severity};

use super::advice;
use crate::Rule;
use crate::crash::{Crash, Kind};

pub(crate) static RULE: Rule = Rule {
    id: "crash-during-shutdown",
    doc: include_str!("crash_at_exit.md"),
    check: |case| {
        let Some(crash) = Crash::of(case).filter(|crash| crash.kind() != Some(Kind::SignalSent)) else {
            return Vec::new();
        };
        let snapshot = case.snapshot;
        let exits = |index: usize| {
            let thread = snapshot.threads.get(index)?;
            let ends = |name: &str| EXITS.contains(&name.trim_start_matches("__GI_"));
            let frame = snapshot.frames_of(thread).position(|frame| frame.function.as_deref().is_some_and(ends))?;
            Some((index, frame, thread))
        };
        let Some((index, frame, thread)) = (0..snapshot.threads.len()).find_map(exits) else { return Vec::new() };
        let title = if index == crash.thread {
            "it crashed while the process ended: in an exit handler or a destructor of a global object".to_owned()
        } else {
            format!("it crashed while the process ended: {} was in exit", crate::rules::called(thread))
        };
        // The function that exit called is the one that takes things away.
        let handler = frame.checked_sub(1).and_then(|_| {
            let own = crate::wait_graph::own_frame(snapshot, thread);
            (own < frame).then(|| snapshot.place(index, own, Role::Related))?
        });
        let mut places: Vec<_> = handler.into_iter().collect();
        places.extend(snapshot.place(index, frame, Role::Related));
        let text = format!("{} has exit on its stack", crate::rules::called(thread));
        let evidence = vec![Evidence::new(text, thread.source)];
        let (severity, confidence) = (Severity::Warning, crash.confidence());
        vec![Finding { rule: RULE.id, severity, confidence, title, places, evidence, next: vec![advice(RULE.doc)] }]
    },
};

/// Functions that run exit handlers and destructors.
const EXITS: [&str; 5] = ["exit", "__run_exit_handlers", "__cxa_finalize", "_dl_fini", "__funcs_on_exit"];

#[cfg(test)]
mod tests {
    use necropsy_model::{Frame, Snapshot, Source, Stack, Thread, ThreadId};

    use super::RULE;
    use crate::rules::native::samples::{fault, fired};

    fn beside(function: &'static str) -> Snapshot<'static> {
        let mut snapshot = fault(0, |_| {});
        let frames = ["close_ledger", function, "main"].map(|name| snapshot.add_frame(Frame::printed(name, None)));
        let frames = frames.into_iter().flatten().collect();
        let mut thread = Thread::new(ThreadId(2), Source::DUMP);
        thread.stack = snapshot.add_stack(Stack { frames, ..Stack::default() });
        snapshot.threads.push(thread);
        snapshot
    }

    #[test]
    fn fires() {
        assert!(fired(&RULE, &beside("exit")));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!fired(&RULE, &beside("exit_status_of")));
    }
}
