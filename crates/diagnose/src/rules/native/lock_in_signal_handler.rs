//! A signal handler that waits for a lock which the code it interrupted holds.

use necropsy_model::{Confidence, Evidence, Finding, FrameKind, Role, Severity, WaitKind};

use super::advice;
use crate::wait_graph::{own_frame, wait};
use crate::{Case, Rule};

pub(crate) static RULE: Rule =
    Rule { id: "lock-in-signal-handler", doc: include_str!("lock_in_signal_handler.md"), check };

/// Functions that share a lock, by a part of their names.
const FAMILIES: [(&str, &[&str]); 4] = [
    ("the allocator", &["malloc", "calloc", "realloc", "free", "operator new", "operator delete", "arena_get"]),
    ("a stream", &["printf", "fwrite", "fputs", "puts", "putc", "fflush", "fread", "fgets", "_IO_"]),
    ("the time zone", &["localtime", "tzset", "mktime", "strftime", "tz_convert"]),
    ("the dynamic loader", &["dlopen", "dlsym", "_dl_", "dl_iterate_phdr"]),
];

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let threads = 0..case.snapshot.threads.len();
    threads.filter_map(|index| finding(case, index)).collect()
}

fn finding<'data>(case: &Case<'_, 'data>, index: usize) -> Option<Finding<'data>> {
    let snapshot = case.snapshot;
    let thread = snapshot.threads.get(index)?;
    let wait = wait(thread).filter(|wait| wait.kind == WaitKind::Lock)?;
    let handler = snapshot.frames_of(thread).position(|frame| frame.kind == FrameKind::SignalTrampoline)?;
    let names =
        || snapshot.frames_of(thread).enumerate().filter_map(|(at, frame)| Some((at, frame.function.as_deref()?)));
    let shared = FAMILIES.iter().find_map(|(family, parts)| {
        let is_member = |name: &str| parts.iter().any(|part| name.contains(part));
        let waits = names().any(|(at, name)| at < handler && is_member(name));
        let held = names().find(|&(at, name)| at > handler && is_member(name))?;
        waits.then_some((*family, held))
    });
    let own = wait.owner == Some(thread.id);
    let interrupted = match shared {
        Some((_, held)) => held.1,
        None if own => names().find(|&(at, _)| at > handler)?.1,
        None => return None,
    };
    let lock = match shared {
        Some((family, _)) => format!("a lock of {family}"),
        None => crate::rules::lock(wait),
    };
    // The kernel called it: it stands right above what it returns to.
    let entered = snapshot.frames_of(thread).take(handler).last().and_then(|frame| frame.function.as_deref());
    let entered = entered.map(|name| format!(" {name}")).unwrap_or_default();
    let mut evidence = vec![
        Evidence::new(format!("the handler{entered} waits for {}", crate::rules::lock(wait)), wait.source),
        Evidence::new(format!("the signal interrupted {interrupted}"), thread.source),
    ];
    if own {
        evidence.push(Evidence::new("the lock names this thread as its owner", wait.source));
    }
    Some(Finding {
        rule: RULE.id,
        severity: Severity::Critical,
        confidence: if own { Confidence::High } else { Confidence::Medium },
        title: format!(
            "{} waits in a signal handler for {lock}, held by {interrupted}, which the signal interrupted",
            crate::rules::called(thread)
        ),
        places: snapshot.place(index, own_frame(snapshot, thread), Role::Waiter).into_iter().collect(),
        evidence,
        next: vec![advice(RULE.doc)],
    })
}

#[cfg(test)]
mod tests {
    use necropsy_model::{Frame, Lock, Snapshot, Source, Stack, Thread, ThreadId, Wait};

    use super::*;
    use crate::rules::native::samples::fired;

    fn stack(functions: &[&'static str]) -> Snapshot<'static> {
        let mut snapshot = Snapshot::default();
        let mut frames = Vec::new();
        for &name in functions {
            let mut frame = Frame::printed(name, None);
            if name == "<signal handler called>" {
                frame.kind = FrameKind::SignalTrampoline;
            }
            frames.extend(snapshot.add_frame(frame));
        }
        let mut thread = Thread::new(ThreadId(7), Source::DUMP);
        thread.stack = snapshot.add_stack(Stack { frames, ..Stack::default() });
        let lock = Some(Lock { id: 0x1000, name: None });
        thread.detail_mut().waits_on =
            Some(Wait { kind: WaitKind::Lock, lock, owner: None, limited: false, source: Source::DUMP });
        snapshot.threads.push(thread);
        snapshot
    }

    #[test]
    fn fires() {
        let stopped =
            stack(&["__lll_lock_wait_private", "malloc", "on_alarm", "<signal handler called>", "_int_malloc"]);
        assert!(fired(&RULE, &stopped));
        let groups = necropsy_model::Groups::default();
        let case = Case { snapshot: &stopped, groups: &groups, noise: &crate::Noise::default() };
        assert!(check(&case)[0].evidence[0].text.starts_with("the handler on_alarm waits for"));
    }

    #[test]
    fn keeps_quiet() {
        let other = stack(&["__lll_lock_wait_private", "malloc", "on_alarm", "<signal handler called>", "compute"]);
        assert!(!fired(&RULE, &other), "the interrupted code did not allocate");
        assert!(!fired(&RULE, &stack(&["__lll_lock_wait_private", "malloc", "work", "_int_malloc"])), "no handler");
    }
}
