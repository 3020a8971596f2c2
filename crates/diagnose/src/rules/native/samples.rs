//! Literal snapshots for the tests of rules.

use necropsy_model::{
    Avma, Evidenced, Fault, Frame, Groups, Location, Message, MessageKind, Signal, Snapshot, Source, Stack, Stop,
    Thread, ThreadId,
};

use crate::{Case, Rule};

/// A snapshot of one thread in `pay` that a signal stopped.
pub(crate) fn stop(number: i32, code: i32, change: impl FnOnce(&mut Fault<'static>)) -> Snapshot<'static> {
    let mut snapshot = Snapshot::default();
    let frame = Frame::printed("pay", Some(Location::new("bank.c", Some(7))));
    let frames = snapshot.add_frame(frame).into_iter().collect();
    let mut thread = Thread::new(ThreadId(1), Source::DUMP);
    thread.stack = snapshot.add_stack(Stack { frames, ..Stack::default() });
    snapshot.threads.push(thread);
    let mut fault = Fault { pc: Avma(0x40_1000), instruction: Some("some instruction".to_owned()), ..Fault::default() };
    change(&mut fault);
    let (signal, fault) = (Some(Signal { number, code: Some(code) }), Some(fault).filter(|_| code > 0));
    let address = fault.as_ref().and_then(|fault| fault.address).filter(|_| code > 0);
    snapshot.stop = Some(Stop { signal, thread: Some(0), address, fault, ..Stop::default() });
    snapshot
}

/// A thread with these frames, innermost first, that got a signal.
pub(crate) fn stopped(number: i32, code: i32, functions: &[&'static str]) -> Snapshot<'static> {
    let mut snapshot = Snapshot::default();
    let mut frames = Vec::new();
    for (line, function) in (1..).zip(functions) {
        let frame = Frame::printed(*function, Some(Location::new("pay.cc", Some(line))));
        frames.extend(snapshot.add_frame(frame));
    }
    let mut thread = Thread::new(ThreadId(1), Source::DUMP);
    thread.stack = snapshot.add_stack(Stack { frames, ..Stack::default() });
    snapshot.threads.push(thread);
    let signal = Some(Signal { number, code: Some(code) });
    snapshot.stop = Some(Stop { signal, thread: Some(0), ..Stop::default() });
    snapshot
}

/// A segmentation fault at an address.
pub(crate) fn fault(address: u64, change: impl FnOnce(&mut Fault<'static>)) -> Snapshot<'static> {
    stop(Signal::SEGV, 1, |fault| {
        fault.address = Some(Avma(address));
        change(fault);
    })
}

/// A process that aborted with these words.
pub(crate) fn words(kind: MessageKind, text: &'static str) -> Snapshot<'static> {
    let mut snapshot = stop(Signal::ABRT, -6, |_| {});
    if let Some(stop) = &mut snapshot.stop {
        stop.messages.push(Message { text: text.into(), kind, source: Source::offset(64) });
    }
    snapshot
}

/// A fact about the bad value.
pub(crate) fn fact(kind: &'static str) -> Evidenced {
    Evidenced { kind, text: "a fact".to_owned(), source: Source::offset(32) }
}

/// The rule fires on a snapshot; then what it says must be complete.
pub(crate) fn fired(rule: &Rule, snapshot: &Snapshot<'static>) -> bool {
    let groups = Groups::default();
    let findings = (rule.check)(&Case { snapshot, groups: &groups, noise: &crate::Noise::default() });
    for finding in &findings {
        assert_eq!(finding.rule, rule.id);
        assert!(!finding.title.is_empty() && !finding.evidence.is_empty() && !finding.next.is_empty());
        assert!(finding.next.iter().all(|step| !step.is_empty()));
    }
    !findings.is_empty()
}
