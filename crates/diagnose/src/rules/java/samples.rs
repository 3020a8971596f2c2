//! Literal thread dumps for the tests of the rules.

use std::time::Duration;

use necropsy_model::jvm::JvmFacts;
use necropsy_model::{
    Activity, Frame, FrameKind, Lock, Snapshot, Source, Stack, State, Thread, ThreadId, Wait, WaitKind,
};

/// A dump without threads.
pub(crate) fn empty() -> Snapshot<'static> {
    Snapshot {
        jvm: Some(Box::new(JvmFacts { lists_synchronizers: true, ..JvmFacts::default() })),
        ..Snapshot::default()
    }
}

/// Adds a thread with these methods, innermost first.
pub(crate) fn add<'s>(
    snapshot: &'s mut Snapshot<'static>,
    name: &'static str,
    state: &'static str,
    activity: Activity,
    methods: &[&'static str],
) -> &'s mut Thread<'static> {
    let number = snapshot.threads.len() as u64 + 1;
    let mut thread = Thread::new(ThreadId(number), Source::line(number));
    let mut frames = Vec::new();
    for &method in methods {
        let mut frame = Frame::printed(method, None);
        if ["java.", "jdk.", "sun."].iter().any(|package| method.starts_with(package)) {
            frame.kind = FrameKind::Runtime;
        }
        frames.extend(snapshot.add_frame(frame));
    }
    thread.stack = snapshot.add_stack(Stack { frames, ..Stack::default() });
    thread.state = snapshot.intern_state(State { text: state.into(), activity });
    let detail = thread.detail_mut();
    detail.name = Some(name.into());
    detail.elapsed = Some(Duration::from_secs(10));
    snapshot.threads.push(thread);
    let last = snapshot.threads.len() - 1;
    &mut snapshot.threads[last]
}

/// A lock.
pub(crate) fn lock(id: u64, class: &'static str) -> Lock<'static> {
    Lock { id, name: Some(class.into()) }
}

/// What a thread waits for.
pub(crate) fn waits(kind: WaitKind, id: u64, class: &'static str, owner: Option<u64>) -> Wait<'static> {
    Wait { kind, lock: Some(lock(id, class)), owner: owner.map(ThreadId), limited: false, source: Source::line(id) }
}
