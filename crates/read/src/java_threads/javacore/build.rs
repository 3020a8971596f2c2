//! From the lines of a javacore to a snapshot.

use std::borrow::Cow;

use necropsy_model::jvm::JvmFacts;
use necropsy_model::{
    Activity, Avma, CodeAddress, Frame, FrameId, FrameKind, Location, Lock, Missing, Module, ModuleId, Process,
    Runtime, Snapshot, State, Symbol, Text, Thread, ThreadFlags, ThreadId, Trust, Wait, WaitKind, Warning,
};
use rustc_hash::{FxHashMap, FxHashSet};

use super::super::stacks::Stacks;
use super::super::{build as hotspot_build, frame as hotspot, state};
use super::scan::{Kind, Object, Owner, RawDump, RawThread};
use super::stop;
use crate::text::LineMap;

/// Categories of threads that are the virtual machine's own.
const SYSTEM: [&[u8]; 4] = [b"System-JVM", b"GC", b"JIT", b"Resource-Monitor"];

/// Libraries of the virtual machine: native frames in them lie below its own Java frames.
const VM_LIBRARIES: [&str; 4] = ["libj9", "libjclse", "libjvm", "libomr"];

/// Builds the snapshot of a dump.
pub(super) fn build<'d>(dump: &RawDump<'d>, lines: &LineMap) -> Snapshot<'d> {
    let mut builder = Builder {
        snapshot: Snapshot { format: super::NAME, ..Snapshot::default() },
        lines,
        frames: FxHashMap::default(),
        stacks: Stacks::default(),
        modules: FxHashMap::default(),
        waits: Vec::new(),
    };
    let arch = stop::arch(dump);
    builder.snapshot.process = process(dump, arch);
    let crashed = dump.event == b"gpf" || dump.event == b"abort";
    let registers = stop::registers(dump, arch);
    let pc = registers.as_ref().and_then(necropsy_model::Registers::pc);
    let (mut current, mut seen) = (None, FxHashSet::default());
    let mut by_vm_thread: FxHashMap<u64, usize> = FxHashMap::default();
    for raw in &dump.threads {
        // The current thread has a section of its own and is listed again with the others; mounted virtual threads are seen on their carrier.
        if raw.is_virtual && raw.mounted || raw.vm_thread.is_some_and(|address| !seen.insert(address)) {
            continue;
        }
        let index = builder.snapshot.threads.len();
        by_vm_thread.extend(raw.vm_thread.map(|address| (address, index)));
        if raw.current && current.is_none() {
            current = Some(index);
        }
        builder.thread(raw, raw.current && crashed, pc);
    }
    let mut waits = std::mem::take(&mut builder.waits);
    let mut snapshot = builder.snapshot;
    if let Some(thread) = current.and_then(|index| snapshot.threads.get_mut(index)).filter(|_| crashed) {
        thread.detail_mut().registers = registers;
    }
    locks(&mut snapshot, dump, &by_vm_thread, &mut waits);
    let source = dump.line.map_or(necropsy_model::Source::DUMP, |line| lines.source(line));
    snapshot.stop = stop::stop(dump, current, source);
    if !dump.ended {
        let last = dump.threads.last().map(|thread| thread.line).or(dump.line);
        let place = last.map_or(necropsy_model::Source::DUMP, |line| lines.source(line));
        snapshot
            .warnings
            .push(Warning::new("the dump has no end: threads and sections behind this place may be missing", place));
    }
    let named = |cycle: &Vec<&'d [u8]>| cycle.iter().map(|name| text(name)).collect::<Vec<_>>();
    let reported_deadlocks = dump.deadlocks.iter().filter(|cycle| !cycle.is_empty()).map(named).collect();
    // The owner of a synchronizer is read from the object itself.
    snapshot.jvm = Some(Box::new(JvmFacts {
        reported_deadlocks,
        lists_synchronizers: true,
        is_openj9: true,
        ..JvmFacts::default()
    }));
    snapshot
}

fn text(bytes: &[u8]) -> Text<'_> {
    String::from_utf8_lossy(bytes)
}

fn process<'d>(dump: &RawDump<'d>, arch: Option<necropsy_model::Arch>) -> Process<'d> {
    let some = |bytes: &'d [u8]| Some(text(bytes)).filter(|text| !text.is_empty());
    let os = some(dump.os).map(|os| os.split(' ').next().unwrap_or_default().to_ascii_lowercase());
    Process {
        pid: dump.pid,
        command_line: some(dump.command).filter(|command| !command.starts_with('[')),
        runtime: Some(Runtime::Jvm),
        runtime_version: some(dump.version).map(|version| format!("OpenJ9 {version}").into()),
        taken_at: some(dump.taken_at),
        os: os.map(Cow::Owned),
        arch,
        ..Process::default()
    }
}

struct Builder<'m, 'd> {
    snapshot: Snapshot<'d>,
    lines: &'m LineMap,
    frames: FxHashMap<&'d [u8], Option<FrameId>>,
    stacks: Stacks,
    modules: FxHashMap<&'d [u8], Option<ModuleId>>,
    /// What each thread waits for, with the owner that its line names.
    waits: Vec<(usize, Owner, &'d [u8])>,
}

impl<'d> Builder<'_, 'd> {
    fn thread(&mut self, raw: &RawThread<'d>, crashed: bool, pc: Option<u64>) {
        let java: Vec<_> = raw.frames.iter().filter_map(|line| self.java_frame(line)).collect();
        let names: Vec<String> =
            java.iter().filter_map(|&id| Some(self.snapshot.frame(id)?.function.as_deref()?.to_owned())).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut ids = Vec::new();
        if crashed || java.is_empty() {
            let native: Vec<_> = raw.native.iter().filter_map(|line| self.native_frame(line)).collect();
            ids = self.above(native, pc, !java.is_empty());
        }
        ids.extend(java);
        let index = self.snapshot.threads.len();
        let wait = raw.block.as_ref().map(|block| {
            self.waits.push((index, block.owner, block.initialises));
            let class = block.object.map(|object| class_name(object.class)).unwrap_or_default();
            let kind = match block.kind {
                _ if class.ends_with("ClassInitializationLock") => WaitKind::ClassInit,
                Kind::Blocked => WaitKind::Lock,
                Kind::Waiting if names.contains(&"java.lang.Thread.join") => WaitKind::Join,
                Kind::Waiting => WaitKind::Condition,
                Kind::Parked => state::parked(&class, &names),
            };
            // Neither `Object.wait` nor a park says in the dump whether it has a limit; the method below it does.
            let limited = names.iter().take(3).any(|name| name.ends_with(".parkNanos") || name.ends_with(".parkUntil"));
            Wait { kind, lock: block.object.map(lock), owner: None, limited, source: self.lines.source(block.line) }
        });
        let (printed, hotspot) = words(raw.state, &names);
        let system = SYSTEM.contains(&raw.category) || raw.vm_thread.is_none() && !raw.is_virtual;
        let activity = match raw.state {
            b"" if raw.is_virtual => Activity::Unknown,
            b"" => Activity::Idle,
            _ if names.is_empty() && system => Activity::Idle,
            _ => state::activity(hotspot, "", wait.as_ref().map(|wait| wait.kind), &names),
        };
        let number = raw.number.or(raw.os_id).or(raw.object).or(raw.vm_thread).unwrap_or_default();
        let mut thread = Thread::new(ThreadId(number), self.lines.source(raw.line));
        let printed = if raw.is_virtual { Cow::Borrowed("unmounted") } else { printed };
        thread.state = self.snapshot.intern_state(State { text: printed, activity });
        thread.stack = self.stacks.intern(&mut self.snapshot, ids);
        let mark = |set: bool, flag| if set { flag } else { ThreadFlags::default() };
        thread.flags = mark(raw.daemon, ThreadFlags::DAEMON)
            | mark(system, ThreadFlags::SYSTEM)
            | mark(raw.is_virtual, ThreadFlags::VIRTUAL);
        let detail = thread.detail_mut();
        detail.name = Some(text(raw.name)).filter(|name| !name.is_empty());
        detail.os_id = raw.os_id;
        detail.priority = raw.priority;
        detail.cpu = raw.cpu;
        for &object in &raw.entered {
            let waits = wait.as_ref().and_then(|wait| wait.lock.as_ref()).is_some_and(|lock| lock.id == object.id);
            if !waits && !detail.holds.iter().any(|held| held.id == object.id) {
                detail.holds.push(lock(object));
            }
        }
        detail.waits_on = wait;
        self.snapshot.threads.push(thread);
    }

    /// The native frames that belong above the Java ones: from the program counter of the crash, because the dump's own frames lie above
    /// it, down to the virtual machine's library, below which only its call of the method stands.
    fn above(&self, native: Vec<FrameId>, pc: Option<u64>, java: bool) -> Vec<FrameId> {
        let at = |id: &FrameId| self.snapshot.frame(*id).and_then(Frame::pc).map(|pc| pc.0);
        let from = pc.and_then(|pc| native.iter().position(|id| at(id) == Some(pc))).unwrap_or(0);
        let of_vm = |id: &FrameId| {
            let module =
                self.snapshot.frame(*id).and_then(|frame| frame.module).and_then(|id| self.snapshot.module(id));
            module.is_some_and(|module| VM_LIBRARIES.iter().any(|name| module.name().starts_with(name)))
        };
        native
            .into_iter()
            .skip(from)
            .enumerate()
            .take_while(|(index, id)| !java || *index == 0 || !of_vm(id))
            .map(|(_, id)| id)
            .collect()
    }

    /// `shop/Till.open(Till.java:7(Compiled Code))`.
    fn java_frame(&mut self, line: &'d [u8]) -> Option<FrameId> {
        if let Some(&known) = self.frames.get(line) {
            return known;
        }
        let id = java_frame(line).and_then(|frame| self.snapshot.add_frame(frame));
        self.frames.insert(line, id);
        id
    }

    /// `clone+0x43 (0x00002AE37BE88643 [libc.so.6+0x101643])`; without a symbol it begins with the bracket.
    fn native_frame(&mut self, line: &'d [u8]) -> Option<FrameId> {
        if let Some(&known) = self.frames.get(line) {
            return known;
        }
        let open = memchr::memrchr(b'(', line)?;
        let inside = std::str::from_utf8(line.get(open + 1..)?).ok()?;
        let digits = inside.strip_prefix("0x")?.split([' ', ')']).next()?;
        let address = CodeAddress::Return(Avma(u64::from_str_radix(digits, 16).ok()?));
        let symbol = line.get(..open)?.trim_ascii();
        let end = memchr::memmem::rfind(symbol, b"+0x").unwrap_or(symbol.len());
        let name = symbol.get(..end).filter(|name| !name.is_empty());
        let mut frame = match name {
            Some(name) => Frame::printed(text(name), None),
            None => Frame { symbol: Symbol::Missing(Missing::NotPrinted), ..Frame::at(None, Trust::Printed) },
        };
        frame.address = Some(address);
        frame.kind = FrameKind::Native;
        let bracket = memchr::memrchr(b'[', line).and_then(|at| line.get(at + 1..));
        let library =
            bracket.map(|rest| rest.get(..memchr::memmem::rfind(rest, b"+0x").unwrap_or(0)).unwrap_or_default());
        frame.module = library.filter(|library| !library.is_empty()).and_then(|library| self.module(library));
        let id = self.snapshot.add_frame(frame);
        self.frames.insert(line, id);
        id
    }

    /// The library of this name: its place in memory is not in the dump.
    fn module(&mut self, name: &'d [u8]) -> Option<ModuleId> {
        if let Some(&known) = self.modules.get(name) {
            return known;
        }
        let id = ModuleId::new(self.snapshot.modules.len());
        self.snapshot.modules.push(Module::at_path(text(name)));
        self.modules.insert(name, id);
        id
    }
}

/// What the letter means, and the state in HotSpot's words.
fn words<'s>(state: &'s [u8], frames: &[&str]) -> (Cow<'s, str>, &'static str) {
    let sleeps = frames.iter().take(3).any(|frame| frame.starts_with("java.lang.Thread.sleep"));
    let (text_, hotspot) = match state {
        b"R" => ("runnable (R)", "RUNNABLE"),
        b"B" => ("blocked (B)", "BLOCKED"),
        b"P" => ("parked (P)", "WAITING (parking)"),
        b"CW" if sleeps => ("sleeping (CW)", "TIMED_WAITING (sleeping)"),
        b"CW" => ("waiting (CW)", "WAITING"),
        b"S" => ("suspended (S)", ""),
        b"Z" => ("ended (Z)", ""),
        b"I" => ("interrupted (I)", "RUNNABLE"),
        b"" => ("native thread", ""),
        other => return (text(other), ""),
    };
    (Cow::Borrowed(text_), hotspot)
}

/// A class as Java writes it. The number of a hidden class stays behind its slash.
fn class_name(class: &[u8]) -> Text<'_> {
    let class = text(class);
    match class.find("/0x") {
        Some(at) => {
            let (name, number) = class.split_at_checked(at).unwrap_or((&class, ""));
            format!("{}{number}", name.replace('/', ".")).into()
        }
        None if class.contains('/') => class.replace('/', ".").into(),
        None => class,
    }
}

fn lock(object: Object<'_>) -> Lock<'_> {
    Lock { id: object.id, name: Some(class_name(object.class)) }
}

/// A method in HotSpot's spelling, with its place.
fn java_frame(line: &[u8]) -> Option<Frame<'_>> {
    let open = memchr::memchr(b'(', line)?;
    let function = class_name(line.get(..open)?);
    if function.is_empty() {
        return None;
    }
    let inside = line.get(open + 1..)?;
    let compiled = memchr::memmem::find(inside, b"(Compiled Code)").is_some();
    let end = inside.iter().position(|byte| matches!(byte, b'(' | b')')).unwrap_or(inside.len());
    let place = text(inside.get(..end)?);
    let native = place == "Native Method";
    let location = place.rsplit_once(':').and_then(|(file, line)| {
        let line = line.parse().ok()?;
        (file != "Bytecode PC").then(|| Location::new(file.to_owned(), Some(line)))
    });
    let location = location.or_else(|| place.ends_with(".java").then(|| Location::new(place.into_owned(), None)));
    let jdk = hotspot::is_jdk(&function) || function.starts_with("com.ibm.oti.") || function.starts_with("openj9.");
    let mut frame = Frame::printed(function, location);
    frame.kind = match () {
        () if jdk => FrameKind::Runtime,
        () if native => FrameKind::Native,
        () if compiled => FrameKind::Compiled,
        () => FrameKind::Normal,
    };
    Some(frame)
}

/// Who holds what: the section on locks and the lines of waiting threads name owners by their address.
fn locks<'d>(
    snapshot: &mut Snapshot<'d>,
    dump: &RawDump<'d>,
    by_vm_thread: &FxHashMap<u64, usize>,
    waits: &mut Vec<(usize, Owner, &'d [u8])>,
) {
    let mut held = hotspot_build::held(snapshot);
    let mut give = |snapshot: &mut Snapshot<'d>, owner: u64, lock: Lock<'d>| {
        let Some(&index) = by_vm_thread.get(&owner) else { return };
        if let Some(thread) = snapshot.threads.get_mut(index).filter(|_| held.insert((index, lock.id))) {
            thread.detail_mut().holds.push(lock);
        }
    };
    let mut named: FxHashMap<String, ThreadId> = FxHashMap::default();
    if waits.iter().any(|(.., initialises)| !initialises.is_empty()) {
        for thread in &snapshot.threads {
            let Some(name) = thread.name() else { continue };
            named.entry(name.to_owned()).or_insert(thread.id);
        }
    }
    for &(object, owner) in &dump.monitors {
        if let Owner::Thread(owner) = owner {
            give(snapshot, owner, lock(object));
        }
    }
    for (waiter, owner, initialises) in waits.drain(..) {
        let id = match owner {
            Owner::Thread(address) => {
                by_vm_thread.get(&address).and_then(|&index| snapshot.threads.get(index)).map(|thread| thread.id)
            }
            _ if !initialises.is_empty() => named.get(&*text(initialises)).copied(),
            _ => None,
        };
        let Some(thread) = snapshot.threads.get_mut(waiter) else { continue };
        let source = thread.source;
        let Some(wait) = thread.detail_mut().waits_on.as_mut() else { continue };
        wait.owner = id;
        let wanted = wait.lock.clone().filter(|_| wait.kind != WaitKind::ClassInit && wait.kind != WaitKind::Condition);
        match (owner, wanted) {
            (Owner::Thread(owner), Some(lock)) => give(snapshot, owner, lock),
            (Owner::Ended, _) => {
                let text = "the owner of the lock that this thread waits for has ended: nobody will ever give it back";
                snapshot.warnings.push(Warning::new(text, source));
            }
            _ => {}
        }
    }
}
