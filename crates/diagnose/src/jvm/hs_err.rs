//! What the rules about fatal error logs of HotSpot share: the view of a log, and the words for it.

use necropsy_model::hs_err::{
    AddressRange, Completeness, CurrentThread, DamageKind, HsErr, HsFrame, HsFrameKind, MapEntry, Section, SigInfo,
    VmThreadKind,
};
use necropsy_model::{Access, Confidence, Evidence, Finding, Location, Place, Role, Severity, Snapshot, Source, Trust};

use super::libraries::{Library, kind};
use crate::{Case, Rule};

/// Addresses below are a NULL pointer plus the offset of a field or of an array's element (`vm.mmap_min_addr` is 64 KiB, and
/// Windows maps nothing there either).
const NULL_PAGES: u64 = 0x1_0000;

/// `si_code` of a signal that the kernel raised without saying where: on x86-64 general protection.
const SI_KERNEL: i64 = 128;

/// x86 exception 13.
const GENERAL_PROTECTION: u64 = 13;

/// A case that is a fatal error log.
#[derive(Clone, Copy)]
pub(crate) struct Hs<'a, 'data> {
    pub snapshot: &'a Snapshot<'data>,
    pub log: &'a HsErr<'data>,
}

/// What ended the process, across systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// SIGSEGV, or an access violation of Windows.
    Segv,
    /// SIGBUS.
    Bus,
    /// SIGILL, or an illegal instruction of Windows.
    Ill,
    /// SIGFPE, or an integer division of Windows.
    Fpe,
    /// `EXCEPTION_IN_PAGE_ERROR`: the page of a mapped file could not be read.
    InPage,
    /// `EXCEPTION_STACK_OVERFLOW`.
    Stack,
    /// Another signal or exception.
    OtherSignal,
    /// The virtual machine gave up by itself.
    Internal,
    /// Native memory was refused.
    Memory,
    /// Not told.
    Unknown,
}

impl<'a, 'data> Hs<'a, 'data> {
    pub(crate) fn of(case: &Case<'a, 'data>) -> Option<Self> {
        Some(Self { snapshot: case.snapshot, log: case.snapshot.hs_err.as_deref()? })
    }

    pub(crate) fn thread(&self) -> Option<&'a CurrentThread<'data>> {
        self.log.thread.as_ref()
    }

    /// The stack, innermost first; the problematic frame of the header where there is none.
    pub(crate) fn frames(&self) -> &'a [HsFrame<'data>] {
        let stack = self.thread().map(|thread| thread.frames.as_slice()).unwrap_or_default();
        if stack.is_empty() { self.log.header.problematic.as_slice() } else { stack }
    }

    pub(crate) fn top(&self) -> Option<&'a HsFrame<'data>> {
        self.frames().first()
    }

    /// What ended the process.
    pub(crate) fn ended(&self) -> Ended {
        use necropsy_model::hs_err::ErrorKind;
        match self.log.header.kind {
            ErrorKind::NativeOom => return Ended::Memory,
            ErrorKind::InternalError => return Ended::Internal,
            _ => {}
        }
        let name = self.log.siginfo.as_ref().and_then(|info| info.name.as_deref());
        match name.or(self.log.header.signal_name.as_deref()).unwrap_or_default() {
            "SIGSEGV" | "EXCEPTION_ACCESS_VIOLATION" => Ended::Segv,
            "SIGBUS" => Ended::Bus,
            "SIGILL" | "EXCEPTION_ILLEGAL_INSTRUCTION" | "EXCEPTION_PRIV_INSTRUCTION" => Ended::Ill,
            "SIGFPE" | "EXCEPTION_INT_DIVIDE_BY_ZERO" => Ended::Fpe,
            "EXCEPTION_IN_PAGE_ERROR" => Ended::InPage,
            "EXCEPTION_STACK_OVERFLOW" => Ended::Stack,
            "" if !matches!(self.log.header.kind, ErrorKind::Signal | ErrorKind::Exception) => Ended::Unknown,
            _ => Ended::OtherSignal,
        }
    }

    /// A signal or exception at an instruction; not one that somebody sent.
    pub(crate) fn is_fault(&self) -> bool {
        let fault = matches!(
            self.ended(),
            Ended::Segv | Ended::Bus | Ended::Ill | Ended::Fpe | Ended::InPage | Ended::Stack | Ended::OtherSignal
        );
        fault && !self.log.header.sent_by_kill && self.info().is_none_or(|info| info.sender_pid.is_none())
    }

    pub(crate) fn info(&self) -> Option<&'a SigInfo<'data>> {
        self.log.siginfo.as_ref()
    }

    /// The processor refused the address itself, so that `si_addr` 0 says nothing: a non-canonical address.
    pub(crate) fn is_general_protection(&self) -> bool {
        let Some(info) = self.info().filter(|_| self.ended() == Ended::Segv) else { return false };
        let trap = self.log.machine.trap.map(|trap| trap.value);
        let unsaid = info.address.unwrap_or(0) == 0 && matches!(info.code, Some(0 | SI_KERNEL));
        trap == Some(GENERAL_PROTECTION) || trap.is_none() && unsaid || info.code == Some(SI_KERNEL)
    }

    /// The address that was used, where it is known.
    pub(crate) fn address(&self) -> Option<u64> {
        let decoded = self.snapshot.stop.as_ref().and_then(|stop| stop.fault.as_ref()?.address);
        let said = self.info().and_then(|info| info.address).filter(|_| !self.is_general_protection());
        match self.ended() {
            Ended::Segv | Ended::Bus | Ended::InPage => decoded.map(|address| address.0).or(said),
            _ => None,
        }
    }

    /// A NULL pointer, perhaps with an offset.
    pub(crate) fn is_null(&self) -> bool {
        self.ended() == Ended::Segv && self.address().is_some_and(|address| address < NULL_PAGES)
    }

    /// The fetch of an instruction failed.
    pub(crate) fn is_execute(&self) -> bool {
        let pc = self.log.header.pc.or(self.log.machine.instructions_pc);
        let at_pc = pc.is_some() && self.address() == pc && self.ended() == Ended::Segv;
        self.access() == Some(Access::Execute) || at_pc
    }

    /// Read or write, as the exception record or the error code of the processor says.
    pub(crate) fn access(&self) -> Option<Access> {
        const WRITE: u64 = 2;
        const FETCH: u64 = 16;
        if let Some(access) = self.info().and_then(|info| info.access) {
            return Some(access.access());
        }
        let decoded = self.snapshot.stop.as_ref().and_then(|stop| stop.fault.as_ref()?.access);
        let code = self.log.machine.error_code.filter(|_| self.log.machine.trap.is_some_and(|trap| trap.value == 14));
        let said = code.map(|code| match code.value {
            value if value & FETCH != 0 => Access::Execute,
            value if value & WRITE != 0 => Access::Write,
            _ => Access::Read,
        });
        said.or(decoded)
    }

    /// The address in words: `NULL + 0x8`, `0x7f00…`, `a non-canonical address`.
    pub(crate) fn address_in_words(&self) -> String {
        match self.address() {
            Some(0) => "NULL".to_owned(),
            Some(address) if self.is_null() => format!("NULL + {address:#x}"),
            Some(address) => format!("{address:#x}"),
            None if self.is_general_protection() => "a non-canonical address".to_owned(),
            None => "an address that the log does not give".to_owned(),
        }
    }

    /// What was tried, in words: `read NULL + 0x8`.
    pub(crate) fn tried(&self) -> String {
        let verb = match self.access() {
            _ if self.is_execute() => "jumped to",
            Some(Access::Read) => "read",
            Some(Access::Write) => "wrote",
            Some(Access::Execute) => "jumped to",
            Some(Access::ReadWrite) => "changed",
            None => "used",
        };
        format!("{verb} {}", self.address_in_words())
    }

    /// The kind of library of a native frame.
    #[expect(clippy::unused_self, reason = "it reads as the others do: hs.library(frame)")]
    pub(crate) fn library(&self, frame: &HsFrame<'_>) -> Option<Library> {
        match frame.kind {
            HsFrameKind::Vm => Some(Library::Vm),
            HsFrameKind::Native => Some(frame.library.as_deref().map_or(Library::Other, kind)),
            _ => None,
        }
    }

    /// The frame stands in a library of the program or of a third party.
    pub(crate) fn is_foreign(&self, frame: &HsFrame<'_>) -> bool {
        frame.library.is_some() && self.library(frame) == Some(Library::Other)
    }

    /// The first frame that is not of the C library: the caller that handed it its arguments.
    pub(crate) fn caller(&self) -> Option<(usize, &'a HsFrame<'data>)> {
        let base = |frame: &HsFrame<'_>| self.library(frame) == Some(Library::Base);
        self.frames().iter().enumerate().find(|(_, frame)| !base(frame))
    }

    /// The first Java frame at or above this one in the order of calls.
    pub(crate) fn java_from(&self, index: usize) -> Option<(usize, &'a HsFrame<'data>)> {
        self.frames().iter().enumerate().skip(index).find(|(_, frame)| frame.kind.is_java())
    }

    /// The first Java frame that is not of the JDK.
    pub(crate) fn own_java(&self) -> Option<(usize, &'a HsFrame<'data>)> {
        const JDK: [&str; 6] = ["java.", "javax.", "jdk.", "sun.", "com.sun.", "java/"];
        let own = |frame: &HsFrame<'_>| {
            let class = frame.method.as_ref().map(|method| &*method.class);
            frame.kind.is_java() && class.is_some_and(|class| !JDK.iter().any(|package| class.starts_with(package)))
        };
        self.frames().iter().enumerate().find(|(_, frame)| own(frame))
    }

    /// The Java frame that passed the value: the caller of the native method, for that one only declares it.
    pub(crate) fn passer(&self) -> Option<(usize, &'a HsFrame<'data>)> {
        let (at, first) = self.java_from(0)?;
        // A native method has no bytecode: the interpreter prints its wrapper at 0, right above the native frames.
        let below_native = at > 0 && self.frames().get(at - 1).is_some_and(|frame| frame.kind == HsFrameKind::Native);
        let wrapper = below_native && first.bci == Some(0);
        if wrapper { self.java_from(at + 1).or(Some((at, first))) } else { Some((at, first)) }
    }

    /// The thread works for the collector, or is the one that runs operations of the virtual machine.
    pub(crate) fn is_gc(&self) -> bool {
        const OPERATIONS: [&str; 8] =
            ["GC", "Collect", "Mark", "Shenandoah", "ZOperation", "ZPhase", "CMS_", "HeapDumper"];
        match self.thread().map(|thread| thread.who.kind) {
            Some(VmThreadKind::Gc) => true,
            Some(VmThreadKind::Vm) => {
                let operation = self.log.vm_operation.as_ref().map(|operation| &*operation.name);
                operation.is_some_and(|name| OPERATIONS.iter().any(|part| name.contains(part)))
            }
            _ => false,
        }
    }

    /// The thread compiles.
    pub(crate) fn is_compiler(&self) -> bool {
        self.thread().is_some_and(|thread| thread.who.kind == VmThreadKind::Compiler) || self.log.compile_task.is_some()
    }

    /// The mapping under the address used.
    pub(crate) fn mapping(&self) -> Option<&'a MapEntry<'data>> {
        self.log.process.map.at(self.address()?)
    }

    /// A value lies in the Java heap.
    pub(crate) fn is_heap(&self, value: u64) -> bool {
        let heap = &self.log.process.heap;
        let lines = heap.lines.iter().filter_map(|line| line.range);
        heap.range.map(|said| said.value).into_iter().chain(lines).any(|range: AddressRange| range.contains(value))
    }

    /// A VM argument begins with this.
    pub(crate) fn argument(&self, start: &str) -> Option<(&'a str, Source)> {
        let arguments = &self.log.process.arguments.vm;
        let said = arguments.iter().find(|argument| argument.text.starts_with(start));
        said.map(|argument| (&*argument.text, argument.source)).or_else(|| {
            // SUMMARY has the arguments too, also where the section of arguments is cut off.
            let line = self.log.summary.command_line.as_ref()?;
            let word = line.value.split_whitespace().find(|word| word.starts_with(start))?;
            Some((word, line.source))
        })
    }

    /// The thread's own words: `JavaThread "main" in native code`.
    pub(crate) fn thread_in_words(&self) -> String {
        let Some(thread) = self.thread() else { return "a thread that the log does not name".to_owned() };
        match (thread.who.kind, thread.who.name.as_deref()) {
            (VmThreadKind::Native, _) => "a thread that the virtual machine does not know".to_owned(),
            (VmThreadKind::Unknown, None) => "a thread".to_owned(),
            (_, Some(name)) => format!("{} \"{name}\"", thread.who.kind_text),
            (_, None) => thread.who.kind_text.to_string(),
        }
    }

    /// A frame in words: `apply_refund in librefund.so`, `Crash.processEvent at bytecode 7`.
    #[expect(clippy::unused_self, reason = "it reads as the others do: hs.words(frame)")]
    pub(crate) fn words(&self, frame: &HsFrame<'_>) -> String {
        if let Some(method) = &frame.method {
            let bci = frame.bci.map(|bci| format!(" at bytecode {bci}")).unwrap_or_default();
            return format!("{}.{}{bci}", method.class, method.name);
        }
        let function = frame.function.as_deref().map(short);
        let place = frame.location.as_ref().map(|(file, line)| match line {
            Some(line) => format!(" at {file}:{line}"),
            None => format!(" in {file}"),
        });
        match (function, frame.library.as_deref()) {
            (Some(function), Some(library)) => format!("{function} in {library}{}", place.unwrap_or_default()),
            (Some(function), None) => function,
            (None, Some(library)) => match frame.library_offset {
                Some(offset) => format!("{library}+{offset:#x}"),
                None => library.to_owned(),
            },
            (None, None) => match frame.pc {
                Some(pc) => format!("{pc:#x}, which is in no library"),
                None => frame.text.to_string(),
            },
        }
    }

    /// The place of a frame for a report.
    pub(crate) fn place(&self, index: usize, role: Role) -> Option<Place<'data>> {
        let frame = self.frames().get(index)?;
        let thread = self.thread().and_then(|thread| thread.thread);
        if let Some(place) = thread.and_then(|thread| self.snapshot.place(thread, index, role)) {
            return Some(place);
        }
        let method = frame.method.as_ref().map(|method| format!("{}.{}", method.class, method.name).into());
        Some(Place {
            thread: None,
            frame: Some(index),
            function: method.or_else(|| frame.function.clone()),
            module: frame.library.clone(),
            svma: None,
            location: frame.location.as_ref().map(|(file, line)| Location::new(file.clone(), *line)),
            inlined: false,
            trust: Some(Trust::Printed),
            role,
        })
    }

    /// What the log itself allows: of a log that is cut, nothing is sure.
    pub(crate) fn at_most(&self, confidence: Confidence) -> Confidence {
        match self.log.completeness {
            Completeness::Complete => confidence,
            Completeness::Cut => confidence.min(Confidence::Medium),
            Completeness::HeaderOnly => confidence.min(Confidence::Low),
        }
    }

    /// A finding with the stack's place and the lines that every verdict rests on.
    pub(crate) fn finding(&self, rule: &Rule, confidence: Confidence, title: String) -> Finding<'data> {
        Finding {
            rule: rule.id,
            severity: Severity::Critical,
            confidence: self.at_most(confidence),
            title,
            places: Vec::new(),
            evidence: Vec::new(),
            next: vec![crate::rules::native::advice(rule.doc)],
        }
    }

    /// The lines about the fault: signal, problematic frame, thread.
    pub(crate) fn basics(&self) -> Vec<Evidence<'data>> {
        let mut evidence = Vec::new();
        if let Some(info) = self.info() {
            let source = info.source.or_else(|| self.log.section(Section::SigInfo)).unwrap_or(Source::DUMP);
            evidence.push(Evidence::new(format!("siginfo: {}", info.text.trim()), source));
        } else if let Some(error) = &self.log.header.error {
            evidence.push(Evidence::new(error.value.trim().to_owned(), error.source));
        }
        if let Some(top) = self.top() {
            let thread = self.thread_in_words();
            evidence.push(Evidence::new(format!("innermost frame of {thread}: {}", self.words(top)), top.source));
        }
        evidence
    }

    /// The reporter itself crashed with this signal in so many steps.
    pub(crate) fn failed_steps(&self, signal: u64) -> usize {
        let failed =
            |kind: &DamageKind<'_>| matches!(kind, DamageKind::StepFailed { id: Some(id), .. } if *id == signal);
        self.log.damage.iter().filter(|damage| failed(&damage.kind)).count()
    }
}

/// A C++ function without its parameters.
pub(crate) fn short(function: &str) -> String {
    let name = function.split(" [clone").next().unwrap_or(function);
    match name.find('(') {
        Some(at) if at > 0 && !name.starts_with("operator") => name.get(..at).unwrap_or(name).to_owned(),
        _ => name.to_owned(),
    }
}

/// Bytes in words.
pub(crate) fn bytes(value: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "kB")];
    match UNITS.iter().find(|(unit, _)| value >= *unit) {
        Some((unit, name)) => format!("{:.1} {name}", value as f64 / *unit as f64),
        None => format!("{value} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_short() {
        assert_eq!(short("Foo::bar(int, char const*) const [clone .part.0]"), "Foo::bar");
        assert_eq!(bytes(1 << 20), "1.0 MB");
        assert_eq!(bytes(12), "12 bytes");
    }
}
