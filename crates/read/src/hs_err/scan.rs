//! One pass over the lines of a log: a header says what the lines below it are, whatever came before.

use std::borrow::Cow;

use necropsy_model::hs_err::{Completeness, Damage, DamageKind, HsErr, HsFrame, Said, Section, SeenSection};
use necropsy_model::{Arena, Full, Text};

use super::words::{Line, after, hex_after, milliseconds, range};
use super::{arguments, damage, events, frame, header, heap, machine, maps, system, thread};

/// Frames of one list at most; HotSpot prints 100 of a native stack and all of a Java stack of up to 1024.
const MAX_FRAMES: usize = 8192;
/// Threads at most.
const MAX_THREADS: usize = 1 << 20;
/// Lines of short lists (mutexes, agents, lock stack) at most.
const MAX_SHORT: usize = 1024;
/// Sections at most: each is noted once.
const MAX_SECTIONS: usize = 64;

/// What the lines below a header are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    /// Nothing that is read.
    #[default]
    None,
    CompileTask,
    NativeFrames,
    JavaFrames,
    Registers,
    TopOfStack,
    Instructions,
    Slots,
    LockStack,
    Threads,
    Mutexes,
    Counts,
    Heap,
    Precious,
    Metaspace,
    CodeCache,
    Events,
    Libraries,
    Agents,
    Arguments,
    Flags,
    Environment,
    Handlers,
    NativeMemory,
    Os,
    MemInfo,
    ProcessMemory,
    Tunable,
    Container,
    CpuInfo,
    Memory,
}

/// Begins of header lines, the section they begin, and what follows.
const HEADERS: [(&str, Option<Section>, Part); 63] = [
    ("---------------  S U M M A R Y", Some(Section::Summary), Part::None),
    ("---------------  T H R E A D", Some(Section::Thread), Part::None),
    ("---------------  P R O C E S S", Some(Section::Process), Part::None),
    ("---------------  S Y S T E M", Some(Section::System), Part::None),
    ("Command Line:", None, Part::None),
    ("Host:", None, Part::None),
    ("Time:", None, Part::None),
    ("Current thread", None, Part::None),
    ("Current CompileTask:", None, Part::CompileTask),
    ("Stack: [", Some(Section::StackBounds), Part::None),
    ("Native frames:", Some(Section::NativeFrames), Part::NativeFrames),
    ("Retrying call stack printing", None, Part::NativeFrames),
    ("Java frames:", Some(Section::JavaFrames), Part::JavaFrames),
    ("siginfo:", Some(Section::SigInfo), Part::None),
    ("Registers:", Some(Section::Registers), Part::Registers),
    ("Register to memory mapping:", Some(Section::RegisterMapping), Part::Registers),
    ("Top of Stack:", Some(Section::TopOfStack), Part::TopOfStack),
    ("Instructions:", Some(Section::Instructions), Part::Instructions),
    ("Stack slot to memory mapping:", Some(Section::StackSlots), Part::Slots),
    ("Lock stack of current Java thread", None, Part::LockStack),
    ("VM_Operation (", None, Part::None),
    ("Threads class SMR info:", None, Part::None),
    ("Java Threads:", Some(Section::Threads), Part::Threads),
    ("Other Threads:", Some(Section::Threads), Part::Threads),
    ("Threads with active compile tasks:", None, Part::None),
    ("VM state:", Some(Section::VmState), Part::None),
    ("VM Mutex/Monitor currently owned by a thread:", Some(Section::Mutexes), Part::Mutexes),
    ("OutOfMemory and StackOverflow Exception counts:", None, Part::Counts),
    ("Heap address:", None, Part::None),
    ("heap address:", None, Part::None),
    ("CDS archive(s) mapped at:", None, Part::None),
    ("GC Precious Log:", None, Part::Precious),
    ("Heap Regions:", None, Part::None),
    ("Heap:", Some(Section::Heap), Part::Heap),
    ("Card table byte_map:", None, Part::None),
    ("Marking Bits", None, Part::None),
    ("Polling page:", None, Part::None),
    ("Metaspace:", Some(Section::Metaspace), Part::Metaspace),
    ("CodeHeap '", Some(Section::CodeCache), Part::CodeCache),
    ("CodeCache:", Some(Section::CodeCache), Part::CodeCache),
    ("Code Cache ", Some(Section::CodeCache), Part::CodeCache),
    ("Compilation:", None, Part::None),
    ("Dynamic libraries:", Some(Section::DynamicLibraries), Part::Libraries),
    ("JVMTI agents:", None, Part::Agents),
    ("VM Arguments:", Some(Section::Arguments), Part::Arguments),
    ("[Global flags]", Some(Section::GlobalFlags), Part::Flags),
    ("Logging:", None, Part::None),
    ("Release file:", None, Part::None),
    ("Environment Variables:", Some(Section::Environment), Part::Environment),
    ("Active Locale:", None, Part::None),
    ("Signal Handlers:", Some(Section::SignalHandlers), Part::Handlers),
    ("Native Memory Tracking:", Some(Section::NativeMemory), Part::NativeMemory),
    ("rlimit", Some(Section::Limits), Part::None),
    ("/proc/meminfo:", Some(Section::MemInfo), Part::MemInfo),
    ("/proc/cpuinfo:", None, Part::CpuInfo),
    ("/proc/sys/", None, Part::Tunable),
    ("/sys/", None, Part::Tunable),
    ("Process Memory:", None, Part::ProcessMemory),
    ("container (cgroup) information:", Some(Section::Container), Part::Container),
    ("container information not found", None, Part::None),
    ("CPU Model and flags", None, Part::CpuInfo),
    ("CPU:", Some(Section::Cpu), Part::CpuInfo),
    ("vm_info:", Some(Section::VmInfo), Part::None),
];

/// Headers whose whole line matters for telling them from other text, and the fields at the end of old logs.
const SHORT_HEADERS: [(&str, Option<Section>, Part); 9] = [
    ("OS:", None, Part::Os),
    ("Memory:", Some(Section::Memory), Part::Memory),
    ("uname:", None, Part::None),
    ("libc:", None, Part::None),
    ("OS uptime:", None, Part::None),
    ("load average:", None, Part::None),
    ("time:", None, Part::None),
    ("elapsed time:", None, Part::None),
    ("END.", None, Part::None),
];

/// The state of the pass.
#[derive(Default)]
pub(super) struct Scan<'d> {
    pub log: HsErr<'d>,
    /// `Native frames:`.
    pub native: Vec<HsFrame<'d>>,
    /// `Java frames:`.
    pub java: Vec<HsFrame<'d>>,
    header: header::State,
    part: Part,
    stack: machine::Rows,
    instructions: machine::Rows,
    /// The map was followed by another header: it is not cut.
    map_ended: bool,
    ended: bool,
    nul_bytes: u64,
    last: Option<Line<'d>>,
    /// Lists that found no room for all.
    pub full: Full,
}

impl<'d> Scan<'d> {
    /// Takes the next line.
    pub(super) fn line(&mut self, line: Line<'d>) {
        let zeros = line.text.bytes().filter(|&byte| byte == 0).count();
        let line = if zeros == 0 {
            line
        } else {
            // Pages that were never written: what stands before them was.
            self.nul_bytes = self.nul_bytes.saturating_add(zeros as u64);
            Line { text: line.text.split('\0').find(|part| !part.is_empty()).unwrap_or_default(), ..line }
        };
        if !line.text.is_empty() {
            self.last = Some(line);
        }
        if let Some(rest) = line.text.strip_prefix('#') {
            if self.log.sections.iter().all(|seen| seen.section == Section::Header) {
                self.seen(Section::Header, line);
                header::line(&mut self.log, &mut self.header, Line { text: rest, ..line }, &mut self.full);
            }
            return;
        }
        if let Some(mark) = damage::mark(line) {
            if self.full.room("marks of failed steps", self.log.damage.len(), damage::MAX_MARKS) {
                self.log.damage.push(mark);
            }
            return;
        }
        let first = line.text.as_bytes().first().copied().unwrap_or(b' ');
        if !first.is_ascii_digit() && first != b' ' && !line.text.starts_with("Event: ") && self.is_header(line) {
            return;
        }
        self.body(line);
    }

    fn is_header(&mut self, line: Line<'d>) -> bool {
        if let Some(ring) = events::header(line) {
            self.seen(Section::Events, line);
            events::push(&mut self.log.process.events, ring, &mut self.full);
            self.enter(Part::Events);
            return true;
        }
        if line.text.trim_end() == "Heap" {
            self.seen(Section::Heap, line);
            self.enter(Part::Heap);
            return true;
        }
        let all = HEADERS.iter().chain(&SHORT_HEADERS);
        let Some(&(start, section, part)) = all.into_iter().find(|(start, ..)| line.text.starts_with(start)) else {
            return self.is_said(line);
        };
        if let Some(section) = section {
            self.seen(section, line);
        }
        self.enter(part);
        self.header_text(start, line);
        true
    }

    /// Facts on lines without a header.
    fn is_said(&mut self, line: Line<'d>) -> bool {
        if line.text.contains("virtualization detected") {
            self.log.system.hypervisor = Some(Said::new(Cow::Borrowed(line.text.trim()), line.source));
            return true;
        }
        if line.text.starts_with("JavaThread 0x") && line.text.contains("was being processed") {
            if let Some(thread) = &mut self.log.thread {
                thread.being_processed = Some(Said::new(Cow::Borrowed(line.text.trim()), line.source));
            }
            return true;
        }
        false
    }

    fn enter(&mut self, part: Part) {
        self.map_ended |= self.part == Part::Libraries;
        self.part = part;
    }

    fn seen(&mut self, section: Section, line: Line<'_>) {
        let known = self.log.sections.iter().any(|seen| seen.section == section);
        if !known && self.log.sections.len() < MAX_SECTIONS {
            self.log.sections.push(SeenSection { section, source: line.source });
        }
    }

    /// What a header line itself says.
    fn header_text(&mut self, start: &str, line: Line<'d>) {
        let text = line.text;
        let rest = text.get(start.len()..).unwrap_or_default().trim();
        let said = || Some(Said::new(Cow::Borrowed(rest), line.source)).filter(|_| !rest.is_empty());
        let (log, full) = (&mut self.log, &mut self.full);
        match start {
            "Command Line:" => log.summary.command_line = said(),
            "Host:" => {
                log.summary.host = said();
                let (name, cores, memory) = system::host(rest);
                (log.summary.host_name, log.summary.cores, log.summary.memory) =
                    (name.map(Cow::Borrowed), cores, memory);
            }
            "Time:" => self.time(line, rest),
            "time:" => {
                log.summary.time = said();
                self.ended = true;
            }
            "elapsed time:" => {
                log.summary.uptime_ms = milliseconds(rest).map(|time| Said::new(time, line.source));
                self.ended = true;
            }
            "END." => self.ended = true,
            "Current thread"
                // `Current thread: …` of an assertion in the reporter is no such line.
                if (rest.starts_with('(') || rest.starts_with("is native")) => {
                    log.thread = Some(thread::current(line));
                }
            "Stack: [" => {
                if let (Some(thread), Some(stack)) = (&mut log.thread, thread::stack(line)) {
                    thread.stack = Some(stack);
                }
            }
            "Retrying call stack printing" => self.native.clear(),
            "siginfo:" => log.siginfo = Some(machine::siginfo(line)),
            "Instructions:" => log.machine.instructions_pc = hex_after(text, "pc="),
            "VM_Operation (" => log.vm_operation = thread::operation(line),
            "VM state:" => heap::vm_state(&mut log.process, line, rest),
            "Heap address:" | "heap address:" => heap::address(&mut log.process, line),
            "CDS archive(s) mapped at:" => log.process.cds = range(text).map(|range| Said::new(range, line.source)),
            "Card table byte_map:" => log.process.card_table = range(text).map(|range| Said::new(range, line.source)),
            "Polling page:" => {
                log.process.polling_page = hex_after(text, "page:").map(|page| Said::new(page, line.source));
            }
            "CodeHeap '" | "CodeCache:" | "Code Cache " => heap::code_heap(&mut log.process, line, full),
            "Compilation:" => log.process.compilation = said(),
            "rlimit" => system::limits(&mut log.system, line, full),
            "/proc/sys/" | "/sys/"
                if !system::tunable(&mut log.system, line, full) => {
                    self.part = Part::None;
                }
            "container information not found" => log.system.no_container_information = true,
            "CPU:" => system::cpu(&mut log.system.cpu, line),
            "vm_info:" => log.build.vm_info = said(),
            "OS:" => {
                log.system.os = said();
                if !rest.is_empty() {
                    self.part = Part::None;
                }
            }
            "uname:" => log.system.uname = said(),
            "libc:" => log.system.libc = said(),
            "OS uptime:" => log.system.os_uptime = said(),
            "load average:" => log.system.load_average = said(),
            "Memory:" => log.system.memory = Some(system::memory(line)),
            _ => {}
        }
    }

    /// `Time: Sat Nov 21 01:22:10 2026 UTC elapsed time: 0.259027 seconds (0d 0h 0m 0s)`.
    fn time(&mut self, line: Line<'d>, rest: &'d str) {
        let summary = &mut self.log.summary;
        let (time, elapsed) = rest.split_once(" elapsed time:").unwrap_or((rest, ""));
        summary.time = Some(Said::new(Cow::Borrowed(time.trim()), line.source));
        summary.uptime_ms = milliseconds(elapsed).map(|time| Said::new(time, line.source));
    }

    /// A line below a header.
    fn body(&mut self, line: Line<'d>) {
        let text = line.text.trim();
        let (log, full) = (&mut self.log, &mut self.full);
        let process = &mut log.process;
        match self.part {
            Part::CompileTask => {
                if let Some(task) = thread::compile_task(line) {
                    log.compile_task = Some(task);
                    self.part = Part::None;
                }
            }
            Part::NativeFrames => {
                frames(&mut self.native, line, log.thread.as_mut().map(|thread| &mut thread.more_frames), full);
            }
            Part::JavaFrames => frames(&mut self.java, line, None, full),
            Part::Registers => machine::register_line(&mut log.machine, line, full),
            Part::TopOfStack => self.stack.line(line, big_endian(&log.build), full),
            Part::Instructions => self.instructions.line(line, big_endian(&log.build), full),
            Part::Slots => machine::slot(&mut log.machine, line, full),
            Part::LockStack if text.starts_with("LockStack[") || text.starts_with("0x") => {
                short("entries of the lock stack", &mut log.machine.lock_stack, line, full);
            }
            Part::Threads => {
                let listed = thread::listed(line);
                log.threads.extend(listed.filter(|_| full.room("threads", log.threads.len(), MAX_THREADS)));
            }
            Part::Mutexes if text.starts_with('[') => short("mutexes", &mut process.mutexes, line, full),
            Part::Counts => heap::exception_count(process, line, full),
            Part::Heap => heap::line(process, line, full),
            Part::Precious if !text.is_empty() => {
                short("settings of the heap", &mut process.heap.precious, line, full);
            }
            Part::Metaspace => heap::metaspace(process, line),
            Part::CodeCache if text.starts_with("bounds") => heap::bounds(process, line),
            Part::Events => events::event(&mut process.events, line, full),
            Part::Libraries => maps::line(&mut process.map, line, full),
            Part::Agents if !text.is_empty() && text != "none" => short("agents", &mut process.agents, line, full),
            Part::Arguments => arguments::line(&mut process.arguments, line, full),
            Part::Flags => arguments::flag(&mut process.flags, line, full),
            Part::Environment => arguments::variable(log, line, full),
            Part::Handlers => arguments::handler(&mut process.handlers, line, full),
            Part::NativeMemory => arguments::native_memory(&mut process.native_memory, line, full),
            Part::Os => self.os(line, text),
            Part::MemInfo => system::meminfo(&mut log.system, line, full),
            Part::ProcessMemory => system::process_memory(&mut log.system, line, full),
            Part::Tunable => {
                system::tunable_value(&mut log.system, line);
                self.part = Part::None;
            }
            Part::Container => system::container(&mut log.system, line, full),
            Part::CpuInfo => system::cpu_model(&mut log.system.cpu, line),
            Part::Memory => {
                if let Some(memory) = &mut log.system.memory {
                    system::memory_more(memory, line);
                }
            }
            Part::None | Part::LockStack | Part::Mutexes | Part::Precious | Part::CodeCache | Part::Agents => {}
        }
    }

    /// `/etc/os-release` or the one line of a distribution.
    fn os(&mut self, line: Line<'d>, text: &'d str) {
        if let Some(name) = after(text, "PRETTY_NAME=") {
            self.log.system.os = Some(Said::new(Cow::Borrowed(name.trim_matches('"')), line.source));
        } else if self.log.system.os.is_none() && !text.is_empty() {
            self.log.system.os = Some(Said::new(Cow::Borrowed(text), line.source));
        }
    }

    /// Completes what needs the whole log.
    pub(super) fn finish(mut self, torn: bool, arena: &'d Arena) -> Self {
        let log = &mut self.log;
        let pc = log.machine.instructions_pc.or(log.header.pc);
        let sp = log.thread.as_ref().and_then(|thread| thread.stack?.sp);
        log.machine.stack = self.stack.finish(sp, arena);
        log.machine.instructions = self.instructions.finish(pc, arena);
        self.stack = machine::Rows::default();
        self.instructions = machine::Rows::default();
        maps::finish(&mut log.process.map, self.map_ended);
        log.header.tid_is_os_id = false;
        log.completeness = if self.ended {
            Completeness::Complete
        } else if log.sections.iter().all(|seen| seen.section == Section::Header) {
            Completeness::HeaderOnly
        } else {
            Completeness::Cut
        };
        if let Some(last) = self.last {
            let mut mark = |kind| log.damage.push(Damage { kind, source: last.source });
            if self.nul_bytes > 0 {
                mark(DamageKind::NulBytes(self.nul_bytes));
            }
            if torn && log.completeness == Completeness::Cut {
                mark(DamageKind::TornLine);
            }
        }
        self
    }
}

/// A line of a list of frames.
fn frames<'d>(list: &mut Vec<HsFrame<'d>>, line: Line<'d>, more: Option<&mut bool>, full: &mut Full) {
    if line.text.starts_with("...<more frames>...") {
        if let Some(more) = more {
            *more = true;
        }
    } else if let Some(frame) = frame::parse(line).filter(|_| full.room("frames of one stack", list.len(), MAX_FRAMES))
    {
        list.push(frame);
    }
}

/// A line of a short list.
fn short<'d>(what: &'static str, list: &mut Vec<Said<Text<'d>>>, line: Line<'d>, full: &mut Full) {
    if full.room(what, list.len(), MAX_SHORT) {
        list.push(Said::new(Cow::Borrowed(line.text.trim()), line.source));
    }
}

/// Words of the dump are printed in the order of the machine.
fn big_endian(build: &necropsy_model::hs_err::Build<'_>) -> bool {
    let vm = build.vm.as_ref().map(|vm| vm.value.as_ref()).unwrap_or_default();
    ["sparc", "s390", "ppc64,", "ppc64)", "ppc64 ", "-ppc "].iter().any(|machine| vm.contains(machine))
}

#[cfg(test)]
mod tests {
    use necropsy_model::Source;

    use super::*;

    #[test]
    fn a_full_list_of_threads_says_so() {
        let text = "  0x00007f0010001000 JavaThread \"Finalizer\" daemon [_thread_blocked, id=9]";
        let line = Line { text, source: Source::line(1) };
        let mut scan = Scan { part: Part::Threads, ..Scan::default() };
        scan.log.threads.resize(MAX_THREADS, thread::listed(line).unwrap());
        scan.body(line);
        let told: Vec<_> = scan.full.warnings(Source::DUMP).collect();
        assert_eq!(told[0].text, "there are more than 1048576 threads; the others are left out");
    }
}
