//! The crash of a snapshot as rules look at it: the signal that counts, its victim, and which kind of fault it is.

use necropsy_model::{
    Access, AddressState, Confidence, Evidence, Fault, Frame, MessageKind, Place, Role, Signal, Snapshot, Source, Stop,
    Thread, Value, VariableKind, begins_the_end,
};

use crate::{Case, Noise, confidence};

/// NULL plus this much is still NULL: the first pages are never mapped (`vm.mmap_min_addr`).
const NULL_PAGES: u64 = 0x1_0000;
/// An access this near to the stack pointer is one of the stack.
const NEAR_STACK: i64 = 0x1_0000;

/// A crash.
#[derive(Clone, Copy)]
pub(crate) struct Crash<'a, 'data> {
    /// The dump.
    pub snapshot: &'a Snapshot<'data>,
    /// Code that is seldom to blame.
    pub noise: &'a Noise,
    /// The signal that counts: the one below a handler, when there is one.
    pub stop: &'a Stop<'data>,
    /// The signal that ended the process.
    pub last: &'a Stop<'data>,
    /// Index of the thread.
    pub thread: usize,
}

/// What kind of crash it is. The order of [`Crash::kind`] decides between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    NullPointer,
    NullPointerOffset,
    CallThroughNull,
    CallThroughBadPointer,
    NonCanonicalPointer,
    UseAfterFree,
    StackOverflow,
    WriteToReadOnly,
    NoAccessPage,
    ExecuteOfData,
    MisalignedAccess,
    DivisionByZero,
    ArithmeticTrap,
    IllegalInstruction,
    CompilerTrap,
    TruncatedFile,
    ReturnToBadAddress,
    WildPointer,
    UnexplainedFault,
    StackSmashing,
    AssertionFailed,
    DoubleFree,
    HeapCorruption,
    UncaughtCppException,
    RustPanic,
    GoPanic,
    Abort,
    SignalSent,
}

impl<'a, 'data> Crash<'a, 'data> {
    /// The crash of a case, if its dump shows a signal.
    pub fn of(case: &Case<'a, 'data>) -> Option<Self> {
        // What a Go runtime printed of its own end is judged by the rules for Go.
        let printed = case.snapshot.go.is_some() && case.snapshot.memory.is_empty();
        let last = case.snapshot.stop.as_ref().filter(|stop| stop.signal.is_some() && !printed)?;
        let stop = last.original.as_deref().unwrap_or(last);
        let thread = stop.thread.or(last.thread)?;
        Some(Self { snapshot: case.snapshot, noise: case.noise, stop, last, thread })
    }

    /// The crash, when it is of this kind.
    pub fn of_kind(case: &Case<'a, 'data>, kind: Kind) -> Option<Self> {
        Self::of(case).filter(|crash| crash.kind() == Some(kind))
    }

    /// The fault, empty when the instruction could not be looked at.
    pub fn fault(&self) -> Option<&'a Fault<'data>> {
        self.stop.fault.as_ref()
    }

    /// The thread.
    pub fn thread(&self) -> Option<&'a Thread<'data>> {
        self.snapshot.threads.get(self.thread)
    }

    /// Frames from the one at fault outwards, with their indexes.
    pub fn frames(&self) -> impl Iterator<Item = (usize, &'a Frame<'data>)> {
        let frames = self.thread().into_iter().flat_map(|thread| self.snapshot.frames_of(thread));
        frames.enumerate().skip(self.stop.frame)
    }

    /// The thread passed through a function whose name begins so, before it came to the program's own code.
    pub fn passed(&self, names: &[&str]) -> bool {
        let machinery = self.frames().take_while(|(_, frame)| self.noise.is_frame(self.snapshot, frame));
        machinery
            .filter_map(|(_, frame)| frame.function.as_deref())
            .any(|function| names.iter().any(|name| function.trim_start_matches("__GI_").starts_with(name)))
    }

    fn said(&self, kind: MessageKind) -> Option<&'a str> {
        self.last.messages.iter().find(|message| message.kind == kind).map(|message| message.text.as_ref())
    }

    /// The first frame that is not noise, else the frame at fault.
    pub fn victim(&self) -> Option<Place<'data>> {
        let ended =
            self.stop.signal.is_some_and(|signal| matches!(signal.number, Signal::ABRT | Signal::ILL | Signal::TRAP));
        let begins = |frame: &Frame<'_>| ended && frame.function.as_deref().is_some_and(begins_the_end);
        let begun = self.frames().filter(|(_, frame)| begins(frame)).last();
        let behind = begun.map_or(0, |(index, _)| index);
        let own = |(index, frame): &(usize, &Frame<'_>)| *index >= behind && !self.noise.is_frame(self.snapshot, frame);
        let users = |(index, frame): &(usize, &Frame<'_>)| *index >= behind && self.noise.is_own(self.snapshot, frame);
        let own = self.frames().find(users).or_else(|| self.frames().find(own));
        let index = own.map_or(self.stop.frame, |(index, _)| index);
        self.snapshot.place(self.thread, index, Role::Victim)
    }

    /// Which kind of crash it is.
    pub fn kind(&self) -> Option<Kind> {
        let signal = self.stop.signal?;
        let sent = signal.code.is_some_and(|code| code <= 0);
        match signal.number {
            _ if self.made_a_panic() => Some(Kind::GoPanic),
            Signal::ABRT if self.aborted_itself(signal) => Some(self.abort_kind()),
            _ if sent => Some(Kind::SignalSent),
            Signal::SEGV | Signal::BUS | Signal::FPE | Signal::ILL | Signal::TRAP => Some(self.fault_kind(signal)),
            _ => Some(Kind::SignalSent),
        }
    }

    /// Go's runtime made a panic of the fault (`runtime.sigpanic`), and died of that.
    pub fn made_a_panic(&self) -> bool {
        let fault = self.stop.signal.is_some_and(Signal::is_fault_signal) && !std::ptr::eq(self.stop, self.last);
        fault && self.said(MessageKind::GoPanic).is_some()
    }

    /// A thread raised the signal of a fault itself, as `raise` does: no fault, and no sign of a hang.
    pub fn raised_itself(&self) -> bool {
        self.stop.signal.is_some_and(|signal| signal.is_fault_signal() && self.aborted_itself(signal))
            && self.kind() == Some(Kind::SignalSent)
    }

    /// `abort` and `raise` send the signal to their own thread (`SI_TKILL`); without a siginfo there is nothing that says no.
    fn aborted_itself(&self, signal: Signal) -> bool {
        const SI_TKILL: i32 = -6;
        let own = self.stop.sender.is_none_or(|sender| Some(sender.pid) == self.snapshot.process.pid);
        own && signal.code.is_none_or(|code| code == SI_TKILL)
    }

    fn abort_kind(&self) -> Kind {
        if self.passed(&["__stack_chk_fail"]) {
            return Kind::StackSmashing;
        }
        if self.passed(&["__assert_fail", "__assert"]) {
            return Kind::AssertionFailed;
        }
        let heap = |text: &str| if text.contains("double free") { Kind::DoubleFree } else { Kind::HeapCorruption };
        let heap_said = self.said(MessageKind::Heap).map(heap);
        if self.passed(&["malloc_printerr"]) {
            return heap_said.unwrap_or(Kind::HeapCorruption);
        }
        if self.passed(&["std::terminate", "__cxxabiv1::__terminate", "__cxa_throw", "__gnu_cxx::__verbose_terminate"])
        {
            return Kind::UncaughtCppException;
        }
        if self.passed(&[
            "core::panicking",
            "std::panicking",
            "rust_panic",
            "__rust_abort",
            "__rustc::rust_begin_unwind",
        ]) {
            return Kind::RustPanic;
        }
        if self.passed(&["runtime.gopanic", "runtime.throw", "runtime.fatal", "runtime.dieFromSignal", "runtime.crash"])
        {
            return Kind::GoPanic;
        }
        // Without names the words in memory decide. Only one thing can have been said last, but older words may linger.
        if self.said(MessageKind::StackSmash).is_some() {
            return Kind::StackSmashing;
        }
        if let Some(kind) = heap_said {
            return kind;
        }
        let by_words = [
            (MessageKind::Assert, Kind::AssertionFailed),
            (MessageKind::RustPanic, Kind::RustPanic),
            (MessageKind::Terminate, Kind::UncaughtCppException),
            (MessageKind::GoPanic, Kind::GoPanic),
            (MessageKind::GoFatal, Kind::GoPanic),
        ];
        by_words.iter().find(|(said, _)| self.said(*said).is_some()).map_or(Kind::Abort, |&(_, kind)| kind)
    }

    fn fault_kind(&self, signal: Signal) -> Kind {
        let Some(fault) = self.fault() else {
            return self.kind_by_address(signal);
        };
        match signal.number {
            Signal::FPE if fault.divisor.is_some() || matches!(signal.code, Some(1 | 3)) => {
                return Kind::DivisionByZero;
            }
            Signal::FPE => return Kind::ArithmeticTrap,
            Signal::TRAP => return Kind::CompilerTrap,
            _ if fault.is_trap && self.rust_panicked() => return Kind::RustPanic,
            _ if fault.is_trap => return Kind::CompilerTrap,
            Signal::ILL if fault.access != Some(Access::Execute) => return Kind::IllegalInstruction,
            _ => {}
        }
        if is_stack_overflow(fault) {
            return Kind::StackOverflow;
        }
        if fault.access == Some(Access::Execute) {
            return execute_kind(fault);
        }
        let facts = |kind: &str| fault.value_facts.iter().any(|fact| fact.kind == kind);
        let mapped = fault.state.is_some_and(|state| state != AddressState::NotMapped);
        match signal {
            Signal { number: Signal::BUS, code: Some(1) } => return Kind::MisalignedAccess,
            Signal { number: Signal::BUS, code: Some(2) } if fault.file.is_some() => return Kind::TruncatedFile,
            _ => {}
        }
        if fault.misaligned.is_some() && mapped {
            return Kind::MisalignedAccess;
        }
        if facts("tcache-key") || facts("freed-chunk") || facts("poison") {
            return Kind::UseAfterFree;
        }
        if fault.non_canonical {
            return Kind::NonCanonicalPointer;
        }
        match (fault.address, fault.permissions) {
            (None, _) => self.kind_by_address(signal),
            (Some(address), _) if address.0 < NULL_PAGES => {
                let whole = fault.operand.as_ref().map_or(address.0 == 0, |operand| operand.displacement == 0);
                if whole && address.0 == 0 { Kind::NullPointer } else { Kind::NullPointerOffset }
            }
            _ if fault.state == Some(AddressState::NoAccess) => Kind::NoAccessPage,
            (_, Some(rights)) if rights.read && !rights.write && writes(fault) => Kind::WriteToReadOnly,
            (_, Some(rights)) if rights == necropsy_model::Permissions::default() => Kind::NoAccessPage,
            _ => Kind::WildPointer,
        }
    }

    /// What is left when the instruction is not at hand: the kernel's word.
    fn kind_by_address(&self, signal: Signal) -> Kind {
        const SI_KERNEL: i32 = 0x80;
        match (signal, self.stop.address) {
            (Signal { number: Signal::FPE, .. }, _) => Kind::DivisionByZero,
            (Signal { number: Signal::ILL, .. }, _) => Kind::IllegalInstruction,
            (Signal { number: Signal::TRAP, .. }, _) => Kind::CompilerTrap,
            (Signal { code: Some(SI_KERNEL), .. }, _) => Kind::NonCanonicalPointer,
            (Signal { number: Signal::SEGV, .. }, Some(address)) if address.0 == 0 => Kind::NullPointer,
            (Signal { number: Signal::SEGV, .. }, Some(address)) if address.0 < NULL_PAGES => Kind::NullPointerOffset,
            (_, None) => Kind::UnexplainedFault,
            _ => Kind::WildPointer,
        }
    }

    fn rust_panicked(&self) -> bool {
        self.said(MessageKind::RustPanic).is_some() || self.passed(&["core::panicking", "std::panicking"])
    }

    /// The value of the pointer that was used.
    pub fn bad_value(&self) -> Option<u64> {
        let fault = self.fault()?;
        let base = fault.operand.as_ref().and_then(|operand| operand.base).map(|(_, value)| value);
        base.filter(|_| fault.access != Some(Access::Execute)).or(fault.address.map(|address| address.0))
    }

    /// Callers of the victim that only passed the bad value on: frame index and the argument that holds it.
    pub fn handed_through(&self) -> Vec<(usize, String)> {
        let Some(value) = self.bad_value() else { return Vec::new() };
        let Some(victim) = self.victim().and_then(|place| place.frame) else { return Vec::new() };
        let has_it = |frame: &Frame<'_>| {
            let mut arguments = frame.variables.iter().filter(|variable| variable.kind == VariableKind::Argument);
            let found =
                arguments.find(|variable| matches!(variable.value, Value::Pointer { address, .. } if address == value));
            found.and_then(|variable| variable.name.as_deref()).map(str::to_owned)
        };
        let callers = self.frames().skip_while(|(index, _)| *index < victim);
        callers.map_while(|(index, frame)| Some((index, has_it(frame)?))).collect()
    }

    /// What the dump says of the stop, as evidence: signal, instruction, address, and the facts about the value.
    pub fn evidence(&self) -> Vec<Evidence<'data>> {
        let mut evidence = Vec::new();
        let source = self.stop.source.unwrap_or(Source::DUMP);
        if let Some(signal) = self.stop.signal {
            let code = signal.code_name().map(|code| format!(" ({}: {})", code.name, code.meaning)).unwrap_or_default();
            evidence.push(Evidence::new(format!("{signal}{code}"), source));
        }
        let Some(fault) = self.fault() else { return evidence };
        let at = self.snapshot.memory.source(fault.pc);
        if let Some(instruction) = &fault.instruction {
            evidence.push(Evidence::new(format!("{} at {}", instruction, fault.via.unwrap_or(fault.pc)), at));
        }
        if let Some(operand) = &fault.operand {
            let index = operand.index.map(|(name, value, _)| format!(", {name} = {value:#x}")).unwrap_or_default();
            if let Some((name, value)) = operand.base {
                evidence.push(Evidence::new(
                    format!("{name} = {value:#x}{index}"),
                    self.thread().map_or(source, |thread| thread.source),
                ));
            }
        }
        if let Some((address, state)) = fault.address.zip(fault.state) {
            let file = fault.file.as_ref().map(|file| format!(", {file}")).unwrap_or_default();
            let rights = fault.permissions.map(|rights| format!(" ({rights}{file})")).unwrap_or_default();
            evidence.push(Evidence::new(format!("{address} is {}{rights}", state.reason()), source));
        }
        evidence.extend(fault.value_facts.iter().map(|fact| Evidence::new(fact.text.clone(), fact.source)));
        evidence
    }

    /// The words of a kind, as evidence.
    pub fn words(&self, kinds: &[MessageKind]) -> Vec<Evidence<'data>> {
        let said = self.last.messages.iter().filter(|message| kinds.contains(&message.kind));
        said.map(|message| {
            // An exception is read from its object; what the C++ runtime printed of it would begin so.
            let thrown = message.kind == MessageKind::Terminate && !message.text.starts_with("terminate called");
            let what = if thrown { "thrown" } else { "said" };
            Evidence::new(format!("{what}: {}", message.text), message.source)
        })
        .collect()
    }

    /// How sure the kind is.
    pub fn confidence(&self) -> Confidence {
        confidence::of_crash(self)
    }
}

/// A kernel's log says that no page was there.
fn no_page_logged(fault: &Fault<'_>) -> bool {
    fault.value_facts.iter().any(|fact| fact.kind == "kernel-no-page")
}

fn writes(fault: &Fault<'_>) -> bool {
    matches!(fault.access, Some(Access::Write | Access::ReadWrite))
}

/// The stack pointer is at or below the lowest page of its stack, and the access was near it.
fn is_stack_overflow(fault: &Fault<'_>) -> bool {
    let near = fault.below_stack_pointer.is_some_and(|distance| (-NEAR_STACK..=NEAR_STACK * 16).contains(&distance));
    let missing =
        matches!(fault.state, Some(AddressState::NotMapped | AddressState::NoAccess | AddressState::NotDumped));
    let at_end = fault.stack.zip(fault.address).is_some_and(|((start, _), address)| address < start);
    // A kernel's log has no map. A stack grows by itself up to its limit, so that a missing page next to its pointer is the limit.
    let no_page = fault.state == Some(AddressState::NotListed) && fault.stack.is_none() && no_page_logged(fault);
    near && (missing && at_end || no_page) && !fault.non_canonical
}

fn execute_kind(fault: &Fault<'_>) -> Kind {
    let near_null = fault.address.is_some_and(|address| address.0 < NULL_PAGES);
    let mapped = fault.state.is_some_and(|state| state != AddressState::NotMapped);
    match (fault.is_return, near_null) {
        (true, _) => Kind::ReturnToBadAddress,
        (false, true) => Kind::CallThroughNull,
        (false, false) if mapped => Kind::ExecuteOfData,
        (false, false) => Kind::CallThroughBadPointer,
    }
}
