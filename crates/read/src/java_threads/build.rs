//! From raw threads to a snapshot: frames and stacks interned, states judged, owners of locks found.

use std::borrow::Cow;

use necropsy_model::jvm::JvmFacts;
use necropsy_model::{
    Activity, FrameId, Lock, Process, Runtime, Snapshot, State, Text, Thread, ThreadFlags, ThreadId, Wait, WaitKind,
    Warning,
};
use rustc_hash::{FxHashMap, FxHashSet};

use super::note::{Note, Object};
use super::scan::{RawDump, RawThread};
use super::stacks::Stacks;
use super::{frame, jhsdb, state};
use crate::text::LineMap;

/// Lines that could not be read and are named; the others are counted.
const NAMED: usize = 3;

/// Builds the snapshot of a dump.
pub(super) fn build<'d>(dump: &RawDump<'d>, lines: &LineMap) -> Snapshot<'d> {
    let mut builder = Builder {
        snapshot: Snapshot::default(),
        lines,
        frames: FxHashMap::default(),
        stacks: Stacks::default(),
        from_outside: dump.from_outside,
    };
    builder.snapshot.format = super::NAME;
    builder.snapshot.process = process(dump);
    for thread in &dump.threads {
        builder.thread(thread);
    }
    let cycles = dump.deadlocks.cycles.iter().filter(|cycle| !cycle.is_empty());
    let reported_deadlocks = cycles.map(|cycle| cycle.iter().map(|link| text(link.name)).collect()).collect();
    let mut snapshot = builder.snapshot;
    held_by_section(&mut snapshot, dump);
    owners(&mut snapshot);
    initialisers(&mut snapshot);
    warn(&mut snapshot, dump, lines);
    snapshot.jvm =
        Some(Box::new(JvmFacts { reported_deadlocks, lists_synchronizers: dump.synchronizers, ..JvmFacts::default() }));
    snapshot
}

fn text(bytes: &[u8]) -> Text<'_> {
    String::from_utf8_lossy(bytes)
}

fn process<'d>(dump: &RawDump<'d>) -> Process<'d> {
    let some = |bytes: &'d [u8]| Some(text(bytes)).filter(|text| !text.is_empty());
    Process {
        pid: dump.pid,
        runtime: Some(Runtime::Jvm),
        runtime_version: some(dump.vm),
        taken_at: some(dump.taken_at),
        ..Process::default()
    }
}

struct Builder<'m, 'd> {
    snapshot: Snapshot<'d>,
    lines: &'m LineMap,
    frames: FxHashMap<&'d [u8], FrameId>,
    stacks: Stacks,
    from_outside: bool,
}

impl<'d> Builder<'_, 'd> {
    fn thread(&mut self, raw: &RawThread<'d>) {
        let header = &raw.header;
        let ids: Vec<_> = raw.frames.iter().filter_map(|frame| self.frame(frame)).collect();
        let names: Vec<&str> = ids.iter().filter_map(|&id| self.snapshot.frame(id)?.function.as_deref()).collect();
        let system = names.first().and_then(|name| jhsdb::activity(name)).filter(|_| self.from_outside);
        let names: Vec<&str> = if self.from_outside { java_only(&self.snapshot, &ids) } else { names };
        let (holds, mut wait) = locks(raw, &names, self.lines, self.from_outside);
        let mut state_text = text(raw.state.trim_ascii());
        let phase = text(header.phase);
        if wait.as_ref().is_some_and(|wait| wait.kind == WaitKind::Condition) && state_text.starts_with("BLOCKED") {
            // It was notified and wants the monitor back.
            if let Some(wait) = &mut wait {
                wait.kind = WaitKind::Lock;
            }
        }
        let mut activity = state::activity(&state_text, &phase, wait.as_ref().map(|wait| wait.kind), &names);
        if let Some(system) = system.filter(|_| state_text.is_empty() || activity == Activity::Running) {
            activity = system;
        }
        if state_text.is_empty() {
            state_text = match (raw.carries, raw.mounted) {
                (Some(_), _) => Cow::Borrowed("carries a virtual thread"),
                (_, true) => Cow::Borrowed("mounted"),
                _ if raw.native => Cow::Borrowed("native thread"),
                _ => phase,
            };
        }
        let number = header.number.or(header.os_id).unwrap_or_default();
        let mut thread = Thread::new(ThreadId(number), self.lines.source(raw.line));
        thread.state = self.snapshot.intern_state(State { text: state_text, activity });
        thread.stack = self.stacks.intern(&mut self.snapshot, ids);
        let daemon = if header.daemon { ThreadFlags::DAEMON } else { ThreadFlags::default() };
        let of_vm = header.priority.is_none()
            && header.number.is_none()
            && !raw.mounted
            && (raw.frames.is_empty() || raw.native);
        let system = if of_vm { ThreadFlags::SYSTEM } else { ThreadFlags::default() };
        let on_carrier = if raw.mounted { ThreadFlags::VIRTUAL } else { ThreadFlags::default() };
        thread.flags = daemon | system | on_carrier;
        let detail = thread.detail_mut();
        detail.name = Some(text(header.name)).filter(|_| !raw.mounted && !raw.native);
        detail.os_id = header.os_id;
        detail.priority = header.priority;
        detail.cpu = header.cpu;
        detail.elapsed = header.elapsed;
        detail.holds = holds;
        detail.waits_on = wait;
        detail.carries = raw.carries.map(ThreadId);
        self.snapshot.threads.push(thread);
    }

    fn frame(&mut self, line: &'d [u8]) -> Option<FrameId> {
        if let Some(&known) = self.frames.get(line) {
            return Some(known);
        }
        let frame = if self.from_outside { jhsdb::parse(line) } else { frame::parse(line) };
        let id = self.snapshot.add_frame(frame?)?;
        self.frames.insert(line, id);
        Some(id)
    }
}

/// The names of the Java methods among these frames: only they tell what a Java thread does.
fn java_only<'s>(snapshot: &'s Snapshot<'_>, ids: &[FrameId]) -> Vec<&'s str> {
    let names = ids.iter().filter_map(|&id| snapshot.frame(id)?.function.as_deref());
    names.filter(|name| !jhsdb::is_native(name)).collect()
}

/// What a thread holds, and the first thing it waits for.
fn locks<'d>(
    raw: &RawThread<'d>,
    frames: &[&str],
    lines: &LineMap,
    from_outside: bool,
) -> (Vec<Lock<'d>>, Option<Wait<'d>>) {
    let lock =
        |object: Object<'d>| Lock { id: object.id, name: Some(text(object.class)).filter(|name| !name.is_empty()) };
    let mut holds: Vec<Lock<'d>> = Vec::new();
    let mut held = FxHashSet::default();
    let mut wait: Option<Wait<'d>> = None;
    // Monitors named in `waiting on` and `waiting to re-lock`: given back by Object.wait, though a frame says `locked`.
    let mut released = FxHashSet::default();
    let from_outside = from_outside && raw.state.trim_ascii_start().starts_with(b"BLOCKED");
    let wanted = if from_outside { entered_last(raw) } else { None };
    let join = frames.contains(&"java.lang.Thread.join");
    for (at, &(line, note)) in raw.notes.iter().enumerate() {
        let source = lines.source(line);
        let note = match (note, wanted) {
            (Note::Locked(object) | Note::WaitsToLock(object), Some(last)) if at <= last => {
                if at == last {
                    Note::WaitsToLock(object)
                } else {
                    Note::Locked(object)
                }
            }
            (note, _) => note,
        };
        let found = match note {
            Note::Locked(object) | Note::Owns(object) => {
                if held.insert(object.id) {
                    holds.push(lock(object));
                }
                continue;
            }
            Note::WaitsToLock(object) => {
                released.insert(object.id);
                (WaitKind::Lock, lock(object))
            }
            Note::WaitsOn(object) => {
                released.insert(object.id);
                (if join { WaitKind::Join } else { WaitKind::Condition }, lock(object))
            }
            Note::Parks(object) => (state::parked(&text(object.class), frames), lock(object)),
            Note::ClassInit(class) => (WaitKind::ClassInit, Lock { id: 0, name: Some(text(class)) }),
            Note::Other => continue,
        };
        wait.get_or_insert(Wait {
            kind: found.0,
            lock: Some(found.1),
            owner: None,
            limited: raw.state.trim_ascii_start().starts_with(b"TIMED_"),
            source,
        });
    }
    holds.retain(|held| !released.contains(&held.id));
    (holds, wait)
}

/// The monitor that a thread waits to enter, by its note: the last one of the innermost frame. `jhsdb` lists the monitors of a frame in the
/// order in which they were entered; of the last it says `locked` in JDK 17, and in JDK 25 it says `waiting to lock` of the first.
fn entered_last(raw: &RawThread<'_>) -> Option<usize> {
    let top = raw.notes.get(..raw.top_notes)?;
    let monitor = |(_, note): &(u64, Note<'_>)| matches!(note, Note::Locked(_) | Note::WaitsToLock(_));
    let waits = top.iter().any(|(_, note)| matches!(note, Note::WaitsOn(_)));
    top.iter().rposition(monitor).filter(|_| !waits)
}

/// A class as Java writes it: `jhsdb` writes `java/util/concurrent/locks/ReentrantLock$FairSync`.
fn class_name(class: &[u8]) -> Text<'_> {
    if class.starts_with(b"java/") { text(class).replace('/', ".").into() } else { text(class) }
}

/// The VM's section names holders that threads do not list without `-l`, and in the mixed mode of `jhsdb` it alone tells of locks.
fn held_by_section<'d>(snapshot: &mut Snapshot<'d>, dump: &RawDump<'d>) {
    // The first thread of each name, and whether it is the only one.
    let mut named: FxHashMap<String, (usize, bool)> = FxHashMap::default();
    if dump.deadlocks.cycles.iter().any(|cycle| !cycle.is_empty()) {
        for (at, thread) in snapshot.threads.iter().enumerate() {
            let Some(name) = thread.name() else { continue };
            named.entry(name.to_owned()).and_modify(|known| known.1 = false).or_insert((at, true));
        }
    }
    let mut held = if named.is_empty() { FxHashSet::default() } else { held(snapshot) };
    for link in dump.deadlocks.cycles.iter().flatten() {
        let (Some(id), Some(holder)) = (link.id, link.holder) else { continue };
        let name = text(holder);
        let waiter = text(link.name);
        let lock = Lock { id, name: Some(class_name(link.class)) };
        if dump.from_outside
            && let Some(thread) = named.get(&*waiter).and_then(|&(at, _)| snapshot.threads.get_mut(at))
        {
            let source = thread.source;
            let wait = Wait { kind: WaitKind::Lock, lock: Some(lock), owner: None, limited: false, source };
            thread.detail_mut().waits_on.get_or_insert(wait);
        }
        let Some(&(at, true)) = named.get(&*name) else { continue };
        if let Some(thread) = snapshot.threads.get_mut(at).filter(|_| held.insert((at, id))) {
            thread.detail_mut().holds.push(Lock { id, name: Some(text(link.class)) });
        }
    }
}

/// What each thread holds, by its place in the list and the number of the lock: a thread may hold as many as a file can list.
pub(super) fn held(snapshot: &Snapshot<'_>) -> FxHashSet<(usize, u64)> {
    let of = |(at, thread): (usize, &Thread<'_>)| {
        let holds = thread.detail.iter().flat_map(|detail| &detail.holds);
        holds.map(|lock| (at, lock.id)).collect::<Vec<_>>()
    };
    snapshot.threads.iter().enumerate().flat_map(of).collect()
}

/// Waits for locks that exactly one thread holds get their owner.
pub(super) fn owners(snapshot: &mut Snapshot<'_>) {
    let mut holders: FxHashMap<u64, Option<ThreadId>> = FxHashMap::default();
    for thread in &snapshot.threads {
        for held in thread.detail.iter().flat_map(|detail| &detail.holds) {
            holders.entry(held.id).and_modify(|owner| *owner = None).or_insert(Some(thread.id));
        }
    }
    for thread in &mut snapshot.threads {
        let Some(wait) = thread.detail.as_mut().and_then(|detail| detail.waits_on.as_mut()) else { continue };
        if matches!(wait.kind, WaitKind::Lock | WaitKind::ReadLock | WaitKind::WriteLock) {
            let id = wait.lock.as_ref().map(|lock| lock.id);
            wait.owner = id.and_then(|id| holders.get(&id).copied().flatten());
        }
    }
}

/// Who waits for a class to be initialised waits for the thread in its static initialiser.
fn initialisers(snapshot: &mut Snapshot<'_>) {
    let wanted = |thread: &Thread<'_>| {
        let wait = thread.detail.as_ref()?.waits_on.as_ref().filter(|wait| wait.kind == WaitKind::ClassInit)?;
        Some(format!("{}.<clinit>", wait.lock.as_ref()?.name.as_ref()?))
    };
    let mut running: FxHashMap<String, Option<ThreadId>> =
        snapshot.threads.iter().filter_map(wanted).map(|name| (name, None)).collect();
    if running.is_empty() {
        return;
    }
    for thread in &snapshot.threads {
        for frame in snapshot.frames_of(thread) {
            if let Some(found @ None) = frame.function.as_deref().and_then(|name| running.get_mut(name)) {
                *found = Some(thread.id);
            }
        }
    }
    for thread in &mut snapshot.threads {
        let Some(owner) = wanted(thread).and_then(|name| running.get(&name).copied().flatten()) else { continue };
        if let Some(wait) = thread.detail.as_mut().and_then(|detail| detail.waits_on.as_mut()) {
            wait.owner = Some(owner);
        }
    }
}

/// What could not be read.
fn warn(snapshot: &mut Snapshot<'_>, dump: &RawDump<'_>, lines: &LineMap) {
    for &line in dump.unread.iter().take(NAMED) {
        snapshot.warnings.push(Warning::new("this line of a stack could not be read", lines.source(line)));
    }
    if let (Some(more @ 1..), Some(&line)) = (dump.unread.len().checked_sub(NAMED), dump.unread.get(NAMED)) {
        let text = format!("{more} more lines of stacks could not be read");
        snapshot.warnings.push(Warning::new(text, lines.source(line)));
    }
    let of_vm = snapshot.threads.iter().any(|thread| thread.flags.contains(ThreadFlags::SYSTEM));
    if dump.from_outside {
        let native = |frame: &necropsy_model::Frame<'_>| frame.function.as_deref().is_none_or(jhsdb::is_native);
        let lost = |thread: &&Thread<'_>| {
            let stands = !thread.flags.contains(ThreadFlags::SYSTEM) && thread.stack.is_some();
            stands && snapshot.frames_of(thread).all(native)
        };
        let count = snapshot.threads.iter().filter(lost).count();
        if count > 0 {
            let text = format!(
                "{count} Java threads show no Java frame: the walk from outside ended in native code; `jhsdb jstack --locks` or `jcmd PID Thread.print -l` \
                 shows them"
            );
            let line = dump.line.map_or(necropsy_model::Source::DUMP, |line| lines.source(line));
            snapshot.warnings.push(Warning::new(text, line));
        }
        return;
    }
    if !dump.ended && !of_vm {
        let last = dump.threads.last().map(|thread| thread.line).or(dump.line).unwrap_or_default();
        let text = "the dump has no end behind this thread: others may be missing";
        snapshot.warnings.push(Warning::new(text, lines.source(last)));
    }
}
