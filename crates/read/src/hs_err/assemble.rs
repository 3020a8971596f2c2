//! From the facts of a log to a snapshot in the terms that hold for every dump.

use std::borrow::Cow;

use necropsy_model::hs_err::{
    Build, Completeness, CurrentThread, ErrorKind, FrameList, HsErr, HsFrame, HsFrameKind, Section, SigInfo, VmThread,
    VmThreadKind,
};
use necropsy_model::{
    Activity, Arch, Avma, CodeAddress, Frame, FrameKind, Location, Message, MessageKind, Missing, Module, ModuleId,
    Process, Registers, Runtime, Sender, Signal, Snapshot, Source, Stack, StackEnd, State, Stop, Svma, Symbol,
    SymbolSource, Text, Thread, ThreadFlags, ThreadId, Trust,
};

use super::scan::Scan;
use super::{build, memory, stack, warn};

/// The snapshot of a log.
pub(super) fn snapshot(scan: Scan<'_>) -> Snapshot<'_> {
    let Scan { mut log, native, java, full, .. } = scan;
    build::read(&mut log);
    complete(&mut log);
    let (frames, list, native_frames) = stack::merge(native, java);
    let mut snapshot = Snapshot { format: super::NAME, ..Snapshot::default() };
    snapshot.process = process(&log);
    snapshot.modules = memory::modules(&log);
    snapshot.memory = memory::memory(&log);
    threads(&mut snapshot, &mut log);
    current(&mut snapshot, &mut log, frames, list, native_frames);
    snapshot.stop = stop(&log);
    snapshot.warnings = warn::warnings(&log);
    snapshot.warnings.extend(full.warnings(Source::DUMP));
    snapshot.hs_err = Some(Box::new(log));
    snapshot
}

/// The last release whose logs end with the build of the VM.
const WITHOUT_TIME: u32 = 5;

/// Facts that follow from others.
fn complete(log: &mut HsErr<'_>) {
    if log.build.feature.is_some_and(|feature| feature <= WITHOUT_TIME) && log.has(Section::VmInfo) {
        log.completeness = Completeness::Complete;
    }
    if log.header.kind == ErrorKind::Unknown
        && log.header.announcement.is_none()
        && log.completeness == Completeness::Complete
    {
        let crashed = log.thread.is_some() || log.siginfo.is_some();
        log.header.kind = if crashed { ErrorKind::Unknown } else { ErrorKind::NoError };
    }
    log.header.tid_is_os_id = log.build.feature.is_some_and(|feature| feature >= 9);
    let thread_pid = log.siginfo.as_ref().and_then(|info| info.sender_pid);
    if let Some(info) = log.siginfo.as_mut().filter(|_| thread_pid.is_some() && thread_pid == log.header.pid) {
        info.sender_is_self = true;
    }
    if log.summary.command_line.is_none() {
        log.summary.command_line = log.process.arguments.command.clone();
    }
}

fn process<'d>(log: &HsErr<'d>) -> Process<'d> {
    let os = log.build.platform.as_deref().and_then(|platform| platform.split('-').next()).map(|os| match os {
        "bsd" | "macosx" => "macos",
        "linux" => "linux",
        "windows" => "windows",
        "solaris" => "solaris",
        "aix" => "aix",
        _ => "unknown",
    });
    Process {
        pid: log.header.pid,
        command_line: log.summary.command_line.as_ref().map(|said| said.value.clone()),
        runtime: Some(Runtime::Jvm),
        runtime_version: runtime_version(&log.build),
        arch: log.build.arch,
        os: os.map(Text::from),
        taken_at: log.summary.time.as_ref().map(|said| said.value.clone()),
        ..Process::default()
    }
}

/// `OpenJDK 64-Bit Server VM 17.0.15+6-Debian-1deb12u1`.
fn runtime_version<'d>(build: &Build<'d>) -> Option<Text<'d>> {
    let version = build.full_version.as_ref().or(build.version.as_ref());
    match (&build.vm_name, version) {
        (Some(name), Some(version)) => Some(Cow::Owned(format!("{name} {version}"))),
        (name, version) => name.as_ref().or(version).cloned(),
    }
}

/// The threads of the list.
fn threads<'d>(snapshot: &mut Snapshot<'d>, log: &mut HsErr<'d>) {
    let mut listed = std::mem::take(&mut log.threads);
    for known in &mut listed {
        known.thread = snapshot.threads.len();
        let thread = thread(snapshot, known);
        snapshot.threads.push(thread);
    }
    log.threads = listed;
}

fn thread<'d>(snapshot: &mut Snapshot<'d>, known: &VmThread<'d>) -> Thread<'d> {
    let mut thread = Thread::new(ThreadId(known.who.os_id.unwrap_or(known.address)), known.source);
    thread.state = state(snapshot, known.who.state.as_ref());
    let system = if known.who.kind == VmThreadKind::Java { ThreadFlags::default() } else { ThreadFlags::SYSTEM };
    thread.flags = system | if known.who.daemon { ThreadFlags::DAEMON } else { ThreadFlags::default() };
    let detail = thread.detail_mut();
    detail.name = known.who.name.clone().or_else(|| Some(known.who.kind_text.clone()));
    detail.os_id = known.who.os_id;
    thread
}

/// `_thread_in_Java` as a state; which of the blocked ones wait for what is not printed.
fn state<'d>(snapshot: &mut Snapshot<'d>, text: Option<&Text<'d>>) -> Option<necropsy_model::StateId> {
    let text = text?.clone();
    let activity = match text.as_ref() {
        "_thread_in_Java" | "_thread_in_vm" => Activity::Running,
        _ => Activity::Unknown,
    };
    snapshot.intern_state(State { text, activity })
}

/// The thread that reported, with its stack and registers.
fn current<'d>(
    snapshot: &mut Snapshot<'d>,
    log: &mut HsErr<'d>,
    frames: Vec<HsFrame<'d>>,
    list: FrameList,
    native_frames: usize,
) {
    let mut current = log.thread.take().unwrap_or_default();
    (current.frames, current.list, current.native_frames) = (frames, list, native_frames);
    if let Some(frame) = log.header.problematic.clone().filter(|_| list == FrameList::None) {
        current.frames.push(frame);
        current.list = FrameList::Problematic;
    }
    let known = current.source.is_some() || !current.frames.is_empty();
    if !known {
        return;
    }
    let at = log
        .threads
        .iter()
        .find(|known| known.current || (current.address.is_some() && current.address == Some(known.address)));
    let at = at.map(|known| known.thread);
    let index = at.unwrap_or_else(|| {
        let thread = unlisted(snapshot, &current, log);
        snapshot.threads.push(thread);
        snapshot.threads.len() - 1
    });
    current.thread = Some(index);
    let stack = stack_of(snapshot, log, &current);
    let registers = registers(log, &current);
    if let Some(thread) = snapshot.threads.get_mut(index) {
        thread.stack = stack;
        let detail = thread.detail_mut();
        detail.registers = registers;
        if detail.name.is_none() {
            detail.name.clone_from(&current.who.name);
        }
    }
    log.thread = Some(current);
}

/// The thread that reported, when the list does not have it.
fn unlisted<'d>(snapshot: &mut Snapshot<'d>, current: &CurrentThread<'d>, log: &HsErr<'d>) -> Thread<'d> {
    let header = log.header.tid.filter(|_| log.header.tid_is_os_id);
    let id = current.who.os_id.or(header).or(log.header.tid).or(current.address).unwrap_or_default();
    let source = current.source.or(log.header.error.as_ref().map(|error| error.source)).unwrap_or(Source::DUMP);
    let mut thread = Thread::new(ThreadId(id), source);
    thread.state = state(snapshot, current.who.state.as_ref());
    let own = matches!(current.who.kind, VmThreadKind::Java | VmThreadKind::Native | VmThreadKind::Unknown);
    thread.flags = if own { ThreadFlags::default() } else { ThreadFlags::SYSTEM };
    let named =
        current.who.name.clone().or_else(|| Some(current.who.kind_text.clone()).filter(|text| !text.is_empty()));
    let detail = thread.detail_mut();
    detail.name = named;
    detail.os_id = current.who.os_id.or(header);
    thread
}

fn stack_of<'d>(
    snapshot: &mut Snapshot<'d>,
    log: &HsErr<'d>,
    current: &CurrentThread<'d>,
) -> Option<necropsy_model::StackId> {
    if current.frames.is_empty() {
        return None;
    }
    let libraries = Libraries::of(&snapshot.modules);
    let frames: Vec<_> = current
        .frames
        .iter()
        .enumerate()
        .map(|(depth, known)| {
            frame(known, &libraries, &snapshot.modules, Some(log.header.pc).filter(|_| depth == 0).flatten())
        })
        .collect();
    let mut stack = Stack::default();
    for frame in frames {
        stack.frames.extend(snapshot.add_frame(frame));
    }
    stack.end = match (current.list, current.more_frames) {
        (FrameList::Problematic, _) => {
            StackEnd::Broken("the log has no stack: this is the frame that its header names".into())
        }
        (_, true) => StackEnd::Broken("the log lists no more frames".into()),
        _ => StackEnd::Complete,
    };
    snapshot.add_stack(stack)
}

/// Modules by the last part of their path, which is all that a frame prints.
struct Libraries<'d>(rustc_hash::FxHashMap<Text<'d>, usize>);

impl<'d> Libraries<'d> {
    fn of(modules: &[Module<'d>]) -> Self {
        let names = modules.iter().enumerate().map(|(index, module)| {
            let name = match &module.path {
                Cow::Borrowed(path) => Cow::Borrowed(path.rsplit(['/', '\\']).next().unwrap_or(path)),
                Cow::Owned(path) => Cow::Owned(path.rsplit(['/', '\\']).next().unwrap_or(path).to_owned()),
            };
            (name, index)
        });
        Self(names.collect())
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.0.get(name).copied()
    }
}

/// A frame in the terms of the model. `pc` is that of the innermost.
fn frame<'d>(known: &HsFrame<'d>, libraries: &Libraries<'d>, modules: &[Module<'d>], pc: Option<u64>) -> Frame<'d> {
    let module = known.library.as_deref().and_then(|name| libraries.find(name));
    let base = module.and_then(|index| modules.get(index)).map(|module| module.base.0);
    let by_offset = base.zip(known.library_offset).and_then(|(base, offset)| base.checked_add(offset));
    let address = known.pc.or(by_offset);
    let code = |address: u64| match pc {
        Some(pc) if pc == address => CodeAddress::Instruction(Avma(address)),
        _ => CodeAddress::Return(Avma(address)),
    };
    let mut frame = Frame::at(address.map(code), Trust::Printed);
    frame.function = function(known);
    frame.module = module.and_then(ModuleId::new);
    let shared =
        known.library.as_deref().is_some_and(|name| [".so", ".dll", ".dylib"].iter().any(|end| name.contains(end)));
    frame.svma = known.library_offset.filter(|_| shared).map(Svma);
    frame.location = known.location.clone().map(|(file, line)| Location::new(file, line));
    frame.kind = match known.kind {
        HsFrameKind::Native => FrameKind::Native,
        HsFrameKind::Vm | HsFrameKind::Stub => FrameKind::Runtime,
        HsFrameKind::Compiled | HsFrameKind::AheadOfTime => FrameKind::Compiled,
        HsFrameKind::Interpreted => FrameKind::Interpreted,
        HsFrameKind::Unknown => FrameKind::Normal,
    };
    frame.symbol = match frame.function {
        Some(_) => Symbol::Found(SymbolSource::Printed),
        None => Symbol::Missing(Missing::NotPrinted),
    };
    frame
}

/// `Crash.applyRefund`, `apply_refund`, `~StubRoutines::call_stub`.
fn function<'d>(known: &HsFrame<'d>) -> Option<Text<'d>> {
    match &known.method {
        Some(method) => Some(Cow::Owned(format!("{}.{}", method.class, method.name))),
        None => known.function.clone(),
    }
}

/// The registers under the names of the model.
fn registers(log: &HsErr<'_>, current: &CurrentThread<'_>) -> Option<Registers> {
    let arch = log.build.arch.filter(|arch| !arch.register_names().is_empty())?;
    if log.machine.registers.is_empty() {
        return None;
    }
    let mut registers = Registers::new(arch);
    for (number, name) in (0_u16..).zip(arch.register_names()) {
        let value = log
            .machine
            .register(name)
            .or_else(|| other_names(arch, name).iter().find_map(|name| log.machine.register(name)));
        if let Some(value) = value {
            registers.set(number, value);
        }
    }
    // JDK 11 for aarch64 prints neither.
    let sp = current.stack.and_then(|stack| stack.sp);
    for (number, value) in [(arch.program_counter(), log.header.pc), (arch.stack_pointer(), sp)] {
        if let Some((number, value)) = number.zip(value).filter(|(number, _)| registers.get(*number).is_none()) {
            registers.set(number, value);
        }
    }
    Some(registers)
}

/// Other names of a register: HotSpot writes `R0`, `fp` and `lr` on aarch64.
fn other_names(arch: Arch, name: &str) -> &'static [&'static str] {
    const BY_NUMBER: [[&str; 1]; 31] = [
        ["r0"],
        ["r1"],
        ["r2"],
        ["r3"],
        ["r4"],
        ["r5"],
        ["r6"],
        ["r7"],
        ["r8"],
        ["r9"],
        ["r10"],
        ["r11"],
        ["r12"],
        ["r13"],
        ["r14"],
        ["r15"],
        ["r16"],
        ["r17"],
        ["r18"],
        ["r19"],
        ["r20"],
        ["r21"],
        ["r22"],
        ["r23"],
        ["r24"],
        ["r25"],
        ["r26"],
        ["r27"],
        ["r28"],
        ["r29"],
        ["r30"],
    ];
    match (arch, name) {
        (Arch::Aarch64, "x29") => &["fp", "r29"],
        (Arch::Aarch64, "x30") => &["lr", "r30"],
        (Arch::Aarch64, name) => {
            let number = name.strip_prefix('x').and_then(|digits| digits.parse::<usize>().ok());
            number.and_then(|number| BY_NUMBER.get(number)).map(<[_; 1]>::as_slice).unwrap_or_default()
        }
        _ => &[],
    }
}

/// Why the process stopped. Exceptions of Windows are no signals: their facts stay in the log's own part of the model.
fn stop<'d>(log: &HsErr<'d>) -> Option<Stop<'d>> {
    if log.header.kind == ErrorKind::NoError {
        return None;
    }
    let source = log.header.error.as_ref().or(log.header.announcement.as_ref()).map(|said| said.source);
    let info = log.siginfo.as_ref();
    let signal = signal(log, info);
    let messages = match log.header.kind {
        ErrorKind::InternalError | ErrorKind::NativeOom | ErrorKind::Unknown => messages(log),
        _ => Vec::new(),
    };
    Some(Stop {
        signal,
        thread: log.thread.as_ref().and_then(|thread| thread.thread),
        frame: 0,
        address: info.and_then(|info| info.address).map(Avma),
        sender: info.and_then(|info| Some(Sender { pid: info.sender_pid?, uid: info.sender_uid.unwrap_or_default() })),
        messages,
        source,
        ..Stop::default()
    })
}

/// The signal under its number of Linux: macOS and Solaris number some otherwise.
fn signal(log: &HsErr<'_>, info: Option<&SigInfo<'_>>) -> Option<Signal> {
    if log.header.kind != ErrorKind::Signal {
        return None;
    }
    let name = log.header.signal_name.as_deref().or_else(|| info?.name.as_deref())?;
    let number = Signal::number_of(name)?;
    let code = info.and_then(|info| info.code).and_then(|code| i32::try_from(code).ok());
    // macOS gives 0 for a fault on an address that is not canonical, and 0 means "sent" on Linux.
    let macos = log.build.platform.as_deref().is_some_and(|platform| platform.starts_with("bsd"));
    let sent = log.header.sent_by_kill.then_some(0);
    Some(Signal { number, code: code.filter(|&code| !(macos && code == 0)).or(sent) })
}

fn messages<'d>(log: &HsErr<'d>) -> Vec<Message<'d>> {
    let all = log.header.messages.iter();
    all.map(|said| Message { text: said.value.clone(), kind: MessageKind::Java, source: said.source }).collect()
}
