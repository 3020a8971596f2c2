//! Lines to a snapshot.

use std::collections::HashMap;

use necropsy_model::{
    Avma, CodeAddress, Frame, FrameKind, Full, Gap, Location, Missing, Module, ModuleId, Process, Runtime, Signal,
    Snapshot, Source, Stack, StackEnd, Stop, Svma, Symbol, SymbolSource, Text, Thread, ThreadId, Trust, Value, Warning,
};

use super::heading::Heading;
use super::{NAME, arguments, frame, heading};

/// Frames among which `raise` and `abort` stand: below the system call and the parts of `pthread_kill`.
const ABORT_DEPTH: usize = 6;

/// A stack as it was printed.
struct Printed<'data> {
    /// The debugger's number and the kernel's id of its thread, where a heading names them.
    number: Option<u64>,
    id: Option<u64>,
    name: Option<&'data str>,
    headed: bool,
    source: Source,
    frames: Vec<Frame<'data>>,
}

/// Reads all stacks of a text: those of one process.
pub(super) fn snapshot(text: &str) -> Snapshot<'_> {
    let mut building = Building::default();
    for (number, line) in (1..).zip(text.lines()) {
        building.line(line, Source::line(number));
    }
    building.finish()
}

#[derive(Default)]
struct Building<'data> {
    process: Process<'data>,
    signal: Option<(i32, Source)>,
    current: Option<u64>,
    stacks: Vec<Printed<'data>>,
    modules: Vec<Module<'data>>,
    by_path: HashMap<&'data str, ModuleId>,
    /// The last heading announced a thread whose stack has not begun.
    open: bool,
    /// Lists that found no room for all.
    full: Full,
    /// Lines of frames that are longer than any, and the first of them.
    too_long: Option<(u64, Source)>,
}

impl<'data> Building<'data> {
    fn line(&mut self, line: &'data str, source: Source) {
        if let Some(parsed) = frame::parse(line) {
            self.frame(&parsed, source);
        } else if frame::is_too_long(line) {
            let (lines, _) = self.too_long.get_or_insert((0, source));
            *lines += 1;
        } else if let Some((file, line)) = frame::source_line(line) {
            let last = self.stacks.last_mut().and_then(|stack| stack.frames.last_mut());
            if let Some(last) = last.filter(|frame| frame.location.is_none() && frame.address.is_some()) {
                last.location = Some(Location::new(file, Some(line)));
            }
        } else if let Some(heading) = heading::parse(line) {
            self.heading(&heading, source);
        }
    }

    fn heading(&mut self, heading: &Heading<'data>, source: Source) {
        match *heading {
            Heading::Thread { number, id, name } => {
                self.stacks.push(Printed { number, id, name, headed: true, source, frames: Vec::new() });
                self.open = true;
            }
            Heading::Signal(number) => self.signal = self.signal.or(Some((number, source))),
            Heading::Current(number) => self.current = Some(number),
            Heading::Pid(pid) => self.process.pid = self.process.pid.or(Some(pid)),
            Heading::Executable(path) => self.process.exe = Some(path.into()),
            Heading::CommandLine(line) => self.process.command_line = Some(line.into()),
            Heading::Time(time) => self.process.taken_at = Some(time.into()),
        }
    }

    fn frame(&mut self, parsed: &frame::Line<'data>, source: Source) {
        if parsed.number == 0 && !std::mem::take(&mut self.open) {
            // A stack without a heading. gdb prints the innermost frame when it starts, and again in the stack.
            let repeated = self.stacks.last().is_some_and(|last| !last.headed && last.frames.len() <= 1);
            if repeated {
                self.stacks.pop();
            }
            let stack = Printed { number: None, id: None, name: None, headed: false, source, frames: Vec::new() };
            self.stacks.push(stack);
        }
        self.open = false;
        let frame = self.made(parsed);
        if let Some(stack) = self.stacks.last_mut() {
            stack.frames.push(frame);
        }
    }

    fn made(&mut self, parsed: &frame::Line<'data>) -> Frame<'data> {
        let address = parsed.address.map(|address| match parsed.number {
            0 => CodeAddress::Instruction(Avma(address)),
            _ => CodeAddress::Return(Avma(address)),
        });
        let mut frame = Frame::at(address, Trust::Printed);
        if parsed.signal {
            frame.kind = FrameKind::SignalTrampoline;
            frame.function = Some("<signal handler called>".into());
        }
        frame.function = frame.function.or(parsed.function.map(Text::from));
        frame.symbol = match frame.function {
            Some(_) => Symbol::Found(SymbolSource::Printed),
            None => Symbol::Missing(Missing::NotPrinted),
        };
        frame.location = parsed.file.map(|file| Location::new(file, parsed.line));
        frame.variables = arguments::parse(parsed.arguments, &mut self.full);
        frame.module = parsed.module.and_then(|path| self.module(path));
        frame.svma = parsed.offset.map(Svma);
        frame
    }

    fn module(&mut self, path: &'data str) -> Option<ModuleId> {
        if let Some(&known) = self.by_path.get(path) {
            return Some(known);
        }
        let id = ModuleId::new(self.modules.len())?;
        self.by_path.insert(path, id);
        self.modules.push(Module::at_path(path));
        Some(id)
    }

    /// `bt` and then `thread apply all bt` print one stack twice, once without a heading.
    fn drop_repeated(&mut self) {
        let path = |stack: &Printed<'data>| -> Vec<_> {
            stack.frames.iter().map(|frame| (frame.function.clone(), frame.address)).collect()
        };
        // In their order: the first one that does not stand before a path begins with it, if any does.
        let mut headed: Vec<_> = self.stacks.iter().filter(|stack| stack.headed).map(path).collect();
        headed.sort_unstable();
        self.stacks.retain(|stack| {
            let path = path(stack);
            let at = headed.partition_point(|known| *known < path);
            stack.headed || !headed.get(at).is_some_and(|known| known.starts_with(&path))
        });
    }

    fn finish(mut self) -> Snapshot<'data> {
        self.stacks.retain(|stack| !stack.frames.is_empty());
        self.drop_repeated();
        self.process.runtime = Some(Runtime::Native);
        let mut snapshot =
            Snapshot { format: NAME, process: self.process, modules: self.modules, ..Snapshot::default() };
        snapshot.warnings.extend(self.full.warnings(Source::DUMP));
        if let Some((lines, first)) = self.too_long {
            let (them, frames) =
                if lines == 1 { ("1 line is", "the frame on it is") } else { ("lines are", "the frames on them are") };
            let count = if lines == 1 { String::new() } else { format!("{lines} ") };
            let text = format!("{count}{them} longer than {} bytes: {frames} left out", frame::LONGEST);
            snapshot.warnings.push(Warning::new(text, first));
        }
        // Of a core the debugger numbers the thread that died 1; coredumpctl prints it first.
        let current = self.current.or(Some(1));
        let stopped = self.stacks.iter().position(|stack| stack.number.is_some() && stack.number == current);
        for (index, stack) in self.stacks.into_iter().enumerate() {
            let id = ThreadId(stack.id.or(stack.number).unwrap_or(index as u64 + 1));
            let mut thread = Thread::new(id, stack.source);
            thread.detail_mut().name = stack.name.map(Text::from);
            thread.stack = add_stack(&mut snapshot, stack.frames);
            snapshot.threads.push(thread);
        }
        // eu-stack does not print the signal of a core; a thread in `abort` is as good.
        let aborts = || {
            let at = snapshot.threads.iter().position(|thread| aborts(&snapshot, thread))?;
            Some((Signal::ABRT, snapshot.threads.get(at)?.source, Some(at)))
        };
        let told = self.signal.map(|(number, source)| (number, source, stopped.or(Some(0))));
        let stop = told.or_else(aborts).map(|(number, source, thread)| Stop {
            signal: Some(Signal { number, code: None }),
            thread,
            source: Some(source),
            ..Stop::default()
        });
        snapshot.stop = stop;
        if let Some(mut stop) = snapshot.stop.take() {
            below_handler(&snapshot, &mut stop);
            snapshot.stop = Some(stop);
        }
        snapshot
    }
}

/// What a signal handler interrupted is what counts. The handler's argument says which signal that was, where gdb printed it: a handler of
/// SIGSEGV that ends in `abort` leaves a process that died of SIGABRT.
fn below_handler(snapshot: &Snapshot<'_>, stop: &mut Stop<'_>) {
    let Some(thread) = stop.thread.and_then(|at| snapshot.threads.get(at)) else { return };
    let frames: Vec<_> = snapshot.frames_of(thread).collect();
    let Some(at) = frames.iter().position(|frame| frame.kind == FrameKind::SignalTrampoline) else { return };
    let handler = at.checked_sub(1).and_then(|handler| frames.get(handler));
    let number = handler.and_then(|frame| frame.variables.first()).and_then(|argument| match &argument.value {
        Value::Printed(text) => text.parse().ok().filter(|number| (1..=64).contains(number)),
        _ => None,
    });
    match number.map(|number| Signal { number, code: None }) {
        Some(first) if stop.signal != Some(first) => {
            let thread = stop.thread;
            let original = Stop { signal: Some(first), thread, frame: at + 1, source: stop.source, ..Stop::default() };
            stop.original = Some(Box::new(original));
        }
        _ => stop.frame = at + 1,
    }
}

/// The thread is in `abort`, which sends the signal to itself.
fn aborts(snapshot: &Snapshot<'_>, thread: &Thread<'_>) -> bool {
    let names = snapshot.frames_of(thread).take(ABORT_DEPTH).filter_map(|frame| frame.function.as_deref());
    let plain = |name: &str| name.split('@').next().unwrap_or(name).trim_start_matches('_').to_owned();
    let mut names = names.map(plain).skip_while(|name| name != "raise" && name != "GI_raise");
    names.next().is_some() && names.any(|name| name == "abort" || name == "GI_abort")
}

fn add_stack<'data>(snapshot: &mut Snapshot<'data>, frames: Vec<Frame<'data>>) -> Option<necropsy_model::StackId> {
    let mut stack = Stack { frames: Vec::with_capacity(frames.len()), gap: None::<Gap>, end: StackEnd::Complete };
    for frame in frames {
        stack.frames.extend(snapshot.add_frame(frame));
    }
    snapshot.add_stack(stack)
}
