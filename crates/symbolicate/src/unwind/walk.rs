//! The walk: from frame to frame outwards, by the best method that each frame allows.

use necropsy_model::{
    AddressState, Avma, Bias, CodeAddress, FrameKind, Registers, StackEnd, Thread, Trust, Vectors, Warning,
};
use std::cell::Cell;
use std::sync::Arc;

use super::calls::{self, Before};
use super::cfi::{Context, GoFunction, NoRow, Row};
use super::fold::Folder;
use super::frame::{Callee, Caller, Fault};
use super::machine::Machine;
use super::{RawFrame, Walk, fallback, signal, tail_calls};
use crate::goroutine;
use crate::space::AddressSpace;

/// Frames walked per thread, listed or folded. A stack of 64 MiB of the smallest frames has four million; a recursion
/// of a million frames has told its story.
const MAX_FRAMES: usize = 1 << 20;
/// How often a walk may go to lower addresses: signal frames on stacks of their own, coroutines, Go's system stack.
const MAX_STACK_SWITCHES: usize = 16;
/// Bytes of code of the longest `_start`.
const LONGEST_START: u64 = 128;
/// Arguments of a command that are believed.
const MAX_ARGUMENTS: u64 = 1 << 16;
/// Frames found by scans per walk. A stack that needs more is a list of leftovers.
const MAX_SCANNED: usize = 64;
/// Frames walked of all threads together, the stopped one apart. Many threads on one crafted stack would else cost their number
/// times its depth: a core of 1.4 MB with a thousand threads took 75 s and 437 MB.
const ALL_FRAMES: usize = 1 << 21;
/// Words of stacks that scans look at, of all threads together: a few seconds. A core of 36 MB with 100,000 threads had no end.
const ALL_SCANNED_WORDS: usize = 1 << 26;
/// Frames that every thread gets, however many there are.
const LEAST_FRAMES: usize = 32;

/// How much work one walk may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Frames walked.
    pub frames: usize,
    /// Words of the stack that scans look at.
    pub scanned_words: usize,
}

impl Limits {
    /// For the thread that matters.
    pub const FULL: Self = Self { frames: MAX_FRAMES, scanned_words: MAX_SCANNED * fallback::SCANNED_WORDS };

    /// For each of so many threads. It depends on nothing but their number, so that the report does not depend on timing.
    pub fn shared_by(threads: usize) -> Self {
        let share = |all: usize| all / threads.max(1);
        Self {
            frames: share(ALL_FRAMES).clamp(LEAST_FRAMES, Self::FULL.frames),
            scanned_words: share(ALL_SCANNED_WORDS).min(Self::FULL.scanned_words),
        }
    }
}

/// A frame of which the caller is sought.
#[derive(Clone, Debug)]
pub(super) struct Cursor {
    pub address: CodeAddress,
    pub registers: Registers,
    pub saved: Vec<(u16, u64)>,
    pub vectors: Vectors,
    pub kind: FrameKind,
    pub trust: Trust,
    /// No frame further out lies below this address.
    pub floor: u64,
}

impl Cursor {
    /// It was interrupted, not called from: all its registers hold, and its address is not behind a call.
    pub fn interrupted(&self) -> bool {
        matches!(self.address, CodeAddress::Instruction(_))
    }

    /// The code address itself.
    pub fn pc(&self) -> u64 {
        self.address.address().0
    }
}

/// What a step led to.
enum Step {
    /// The caller, or the interrupted frame; and the CFA of the frame that was stepped from.
    Next(Box<Cursor>, Option<u64>),
    /// The end of the stack; and the CFA of the last frame.
    End(StackEnd, Option<u64>),
}

/// Unwinds the stack of a thread.
pub(super) fn walk(thread: &Thread<'_>, space: &AddressSpace<'_, '_>, limits: Limits) -> Walk {
    let broken = |why: String| Walk { end: StackEnd::Broken(why), ..Walk::default() };
    let Some(registers) = thread.registers() else { return broken("the dump has no registers of this thread".into()) };
    let Some(machine) = Machine::of(registers.arch()) else {
        return broken(format!("stacks of {} are not unwound", registers.arch().name()));
    };
    let Some(pc) = registers.pc() else { return broken("the dump has no program counter of this thread".into()) };
    let mut walker = Walker {
        space,
        machine,
        context: Context::new(),
        thread_pointer: thread.detail.as_ref().and_then(|detail| detail.thread_pointer),
        switches: 0,
        scanned: 0,
        words_left: Cell::new(limits.scanned_words),
        warnings: Vec::new(),
        damaged: false,
    };
    let mut cursor = Cursor {
        address: CodeAddress::Instruction(Avma(pc)),
        registers: *registers,
        saved: Vec::new(),
        vectors: thread.detail.as_ref().map(|detail| detail.vectors.clone()).unwrap_or_default(),
        kind: FrameKind::Normal,
        trust: Trust::Context,
        floor: registers.sp().unwrap_or(0),
    };
    let mut frames = Folder::default();
    let mut end = StackEnd::Broken(format!("more than {} frames", limits.frames));
    for _ in 0..limits.frames {
        let row = walker.row(&mut cursor);
        let step = walker.step(&cursor, &row);
        let (Step::Next(_, cfa) | Step::End(_, cfa)) = &step;
        frames.push(RawFrame {
            address: cursor.address,
            registers: cursor.registers,
            cfa: *cfa,
            trust: cursor.trust,
            kind: cursor.kind,
            saved: std::mem::take(&mut cursor.saved),
            vectors: std::mem::take(&mut cursor.vectors),
        });
        match step {
            Step::Next(next, _) => cursor = *next,
            Step::End(why, _) => {
                end = why;
                break;
            }
        }
    }
    if end != StackEnd::Complete && walker.damaged {
        let text = "unwind information is damaged or of an unknown kind; frames beyond it are less certain";
        walker.warnings.push(Warning { text: text.into(), source: thread.source });
    }
    let (frames, gap) = frames.finish();
    let (frames, gap) = tail_calls::rebuild(&mut walker, frames, gap);
    Walk { frames, gap, end, warnings: walker.warnings }
}

/// The bias of the image at a frame and the row of rules that holds there.
pub(super) type RowAt<'data> = (Bias, Result<Arc<Row<'data>>, NoRow>);

pub(super) struct Walker<'a, 'data> {
    pub space: &'a AddressSpace<'a, 'data>,
    pub machine: &'static Machine,
    context: Context,
    /// Base of the thread's local storage.
    thread_pointer: Option<u64>,
    switches: usize,
    scanned: usize,
    /// Words that scans may still look at.
    pub words_left: Cell<usize>,
    warnings: Vec<Warning<'static>>,
    damaged: bool,
}

impl<'data> Walker<'_, 'data> {
    /// The rules at a frame. Learns on the way whether the frame is a signal trampoline, whose address is not one behind a
    /// call: the kernel made it the return address of the handler, and the instruction before it is another function.
    fn row(&mut self, cursor: &mut Cursor) -> RowAt<'data> {
        if !cursor.interrupted() && signal::is_trampoline(cursor.pc(), cursor.registers.arch(), self.space) {
            cursor.kind = FrameKind::SignalTrampoline;
        }
        let mut found = self.row_at(cursor.address.lookup());
        if let (_, Ok(row)) = &found
            && row.signal
        {
            cursor.kind = FrameKind::SignalTrampoline;
        }
        if cursor.kind == FrameKind::SignalTrampoline && !cursor.interrupted() {
            cursor.address = CodeAddress::Instruction(cursor.address.address());
            found = self.row_at(cursor.address.lookup());
        }
        self.damaged |= matches!(found.1, Err(NoRow::Damaged(_)));
        found
    }

    pub fn row_at(&mut self, address: Avma) -> RowAt<'data> {
        let images = self.space.images;
        let Some((index, image)) = images.at(address) else { return (Bias(0), Err(NoRow::NotCovered)) };
        let found = images.tables(index, self.machine).ok_or(NoRow::NotCovered);
        (image.bias, found.and_then(|tables| tables.row(image, image.bias.to_svma(address), &mut self.context)))
    }

    fn step(&mut self, cursor: &Cursor, (bias, row): &RowAt<'data>) -> Step {
        let registers = &cursor.registers;
        if cursor.kind == FrameKind::SignalTrampoline
            && let Some(caller) = signal::interrupted(registers, self.machine, self.space)
        {
            return self.go_to_interrupted(cursor, caller);
        }
        if cursor.interrupted() && !self.space.is_code(Avma(cursor.pc())) {
            return self.behind_bad_pointer(cursor);
        }
        if self.go_function(cursor) == Some(GoFunction::LeavesStack)
            && let Some(step) = self.back_to_goroutine(cursor)
        {
            return step;
        }
        let Ok(row) = row else { return self.without_rules(cursor, no_rules(cursor, self.space)) };
        if self.misses_return_address(cursor, row) {
            return self.without_rules(cursor, "the unwind information leaves the return address in a register".into());
        }
        let callee = Callee { registers, saved: &cursor.saved, space: self.space, bias: *bias, machine: self.machine };
        match callee.apply(row) {
            Ok(caller) if row.signal => self.go_to_interrupted(cursor, caller),
            Ok(caller) => match self.go_to_caller(cursor, caller, Trust::Cfi) {
                // The rules were applied to a guess, and did not fit.
                Step::End(StackEnd::Broken(why), _) if cursor.trust == Trust::Scanned => {
                    self.without_rules(cursor, why)
                }
                step => step,
            },
            Err(Fault::Outermost) => Step::End(StackEnd::Complete, None),
            Err(Fault::Memory(address, state)) => Step::End(StackEnd::Broken(unreadable(address, state)), None),
            Err(fault @ (Fault::Register(_) | Fault::Expression)) => {
                self.without_rules(cursor, unknown(&fault, registers))
            }
        }
    }

    /// On a machine with a link register, rules that leave the return address there hold for leaf functions only. A function
    /// that has called another lost it, and following it would list the same frame twice (eu-stack 0.188 does).
    fn misses_return_address(&self, cursor: &Cursor, row: &Row<'data>) -> bool {
        use super::cfi::Rule;
        let unsaved = matches!(row.rule(row.return_register), None | Some(Rule::Same));
        self.machine.lr == Some(row.return_register) && unsaved && !cursor.interrupted()
    }

    fn go_to_interrupted(&mut self, cursor: &Cursor, caller: Caller) -> Step {
        let Some(pc) = caller.registers.pc() else { return Step::End(bad_frame("no program counter"), None) };
        let floor = caller.registers.sp().unwrap_or(0);
        if floor <= cursor.floor && !self.switch_allowed() {
            return Step::End(StackEnd::Broken("looping stack: too many changes of stack".into()), caller.cfa);
        }
        let next = Cursor {
            address: CodeAddress::Instruction(Avma(pc)),
            registers: caller.registers,
            saved: caller.saved,
            vectors: signal::vectors(&cursor.registers, self.space),
            kind: FrameKind::Normal,
            trust: Trust::Context,
            floor,
        };
        Step::Next(Box::new(next), caller.cfa)
    }

    /// A step to a caller, after the checks that end a walk.
    fn go_to_caller(&mut self, cursor: &Cursor, caller: Caller, trust: Trust) -> Step {
        let Some(pc) = caller.registers.pc() else { return Step::End(bad_frame("no return address"), caller.cfa) };
        let floor = caller.registers.sp().or(caller.cfa).unwrap_or(cursor.floor);
        if pc == 0 {
            // Where stacks of threads and of goroutines begin.
            return Step::End(StackEnd::Complete, caller.cfa);
        }
        if !self.space.is_code(Avma(pc)) {
            if self.at_argument_count(pc, &caller) {
                return Step::End(StackEnd::Complete, caller.cfa);
            }
            let why = format!("the return address {pc:#x} is not in executable memory");
            return Step::End(StackEnd::Broken(why), caller.cfa);
        }
        // A leaf function with a link register has no frame of its own: the stack pointer may stand still once.
        let stands = floor == cursor.floor && self.machine.lr.is_some() && cursor.interrupted();
        if floor <= cursor.floor && !stands && !(pc != cursor.pc() && floor != cursor.floor && self.switch_allowed()) {
            return Step::End(StackEnd::Broken("looping stack: the stack pointer does not advance".into()), caller.cfa);
        }
        let next = Cursor {
            address: if self.go_function(cursor) == Some(GoFunction::Sigpanic) {
                CodeAddress::Instruction(Avma(pc))
            } else {
                CodeAddress::Return(Avma(pc))
            },
            registers: caller.registers,
            saved: caller.saved,
            vectors: Vectors::default(),
            kind: FrameKind::Normal,
            trust,
            floor,
        };
        Step::Next(Box::new(next), caller.cfa)
    }

    fn go_function(&self, cursor: &Cursor) -> Option<GoFunction> {
        let images = self.space.images;
        let (index, image) = images.at(cursor.address.lookup())?;
        let tables = images.tables(index, self.machine)?;
        tables.go_function(image, image.bias.to_svma(cursor.address.lookup()))
    }

    /// From Go's system stack to the goroutine that the thread left for it.
    fn back_to_goroutine(&mut self, cursor: &Cursor) -> Option<Step> {
        let left = goroutine::left_behind(&cursor.registers, self.thread_pointer, self.space)?;
        let (sp, pc) = left.resumes_at;
        if !self.space.is_code(Avma(pc)) || !self.switch_allowed() {
            return None;
        }
        let mut registers = Registers::new(cursor.registers.arch());
        registers.set(self.machine.sp, sp);
        registers.set(self.machine.pc, pc);
        let called = calls::before(pc, cursor.registers.arch(), self.space) == Before::Call;
        let address = if called { CodeAddress::Return(Avma(pc)) } else { CodeAddress::Instruction(Avma(pc)) };
        let next = Cursor {
            address,
            registers,
            saved: Vec::new(),
            vectors: Vectors::default(),
            kind: FrameKind::Normal,
            trust: Trust::Cfi,
            floor: sp,
        };
        Some(Step::Next(Box::new(next), None))
    }

    fn switch_allowed(&mut self) -> bool {
        self.switches += 1;
        self.switches <= MAX_STACK_SWITCHES
    }

    /// The frame is `_start`, at the entry address of its executable: nobody called it, though not every C library says so
    /// in its unwind information.
    fn at_entry(&self, cursor: &Cursor) -> bool {
        let Some((_, image)) = self.space.images.at(cursor.address.lookup()) else { return false };
        let entry = image.elf.as_ref().map(object::Object::entry).filter(|&entry| entry != 0);
        let pc = image.bias.to_svma(cursor.address.lookup()).0;
        entry.and_then(|entry| pc.checked_sub(entry)).is_some_and(|offset| offset < LONGEST_START)
    }

    /// What was taken for a return address is `argc`, the first word of a process's stack (System V psABI AMD64, 3.4.1): the
    /// pointers to the arguments follow, then a zero.
    fn at_argument_count(&self, count: u64, caller: &Caller) -> bool {
        let Some(first) = caller.registers.sp().filter(|_| count <= MAX_ARGUMENTS && self.machine.lr.is_none()) else {
            return false;
        };
        let word = |index: u64| self.space.read_u64(Avma(first.wrapping_add(8 * index))).ok();
        word(count) == Some(0) && (0..count).all(|index| word(index).is_some_and(|argument| argument > first))
    }

    /// The program counter is not in code: something called or jumped through a bad pointer, and that something is the
    /// caller. Nothing ran in between, so that all its registers are the ones it had.
    fn behind_bad_pointer(&mut self, cursor: &Cursor) -> Step {
        let registers = &cursor.registers;
        let mut caller = Caller { registers: *registers, cfa: None, saved: cursor.saved.clone() };
        let found = match (self.machine.lr, registers.sp()) {
            (Some(lr), _) => registers.get(lr).map(|address| self.machine.strip(address, self.space)),
            (None, Some(sp)) => match self.space.read_u64(Avma(sp)) {
                Ok(address) => {
                    caller.registers.set(self.machine.sp, sp.wrapping_add(8));
                    Some(address)
                }
                Err(state) => return Step::End(StackEnd::Broken(unreadable(Avma(sp), state)), None),
            },
            (None, None) => None,
        };
        let called = |&address: &u64| {
            self.space.is_code(Avma(address)) && calls::before(address, registers.arch(), self.space) != Before::Other
        };
        let why = format!("the program counter {:#x} is not in executable memory", cursor.pc());
        let Some(address) = found.filter(called) else { return self.without_rules(cursor, why) };
        caller.registers.set(self.machine.pc, address);
        caller.cfa = caller.registers.sp();
        self.go_to_caller(cursor, caller, Trust::Cfi)
    }

    /// No rules, or rules that need what is not known: the other ways, then a scan; else the end, for this reason.
    fn without_rules(&mut self, cursor: &Cursor, why: String) -> Step {
        if self.at_entry(cursor) {
            return Step::End(StackEnd::Complete, None);
        }
        for &(way, trust) in fallback::WAYS {
            if let Some(caller) = way(self, cursor)
                && let next @ (Step::Next(..) | Step::End(StackEnd::Complete, _)) =
                    self.go_to_caller(cursor, caller, trust)
            {
                return next;
            }
        }
        self.scanned += 1;
        let spent = if self.scanned > MAX_SCANNED {
            format!("; {MAX_SCANNED} frames above were found by scans, and no further scan is tried")
        } else if let Some(caller) = fallback::scan(self, cursor) {
            return self.go_to_caller(cursor, caller, Trust::Scanned);
        } else if self.words_left.get() == 0 {
            "; stacks of so many threads are not scanned further".to_owned()
        } else {
            String::new()
        };
        Step::End(StackEnd::Broken(why + &spent), None)
    }
}

fn bad_frame(what: &str) -> StackEnd {
    StackEnd::Broken(format!("bad frame: {what}"))
}

fn no_rules(cursor: &Cursor, space: &AddressSpace<'_, '_>) -> String {
    let pc = cursor.pc();
    match space.images.at(cursor.address.lookup()) {
        Some(_) => format!("no unwind information covers {pc:#x}"),
        None => format!("no file at hand with unwind information for {pc:#x}"),
    }
}

fn unreadable(address: Avma, state: AddressState) -> String {
    format!("stack memory at {address} is {}", state.reason())
}

fn unknown(fault: &Fault, registers: &Registers) -> String {
    match fault {
        Fault::Register(register) => {
            let name = registers.arch().register_names().get(usize::from(*register)).copied();
            format!("bad frame: the value of {} is not known", name.unwrap_or("a register"))
        }
        _ => "bad frame: an expression of the unwind information can not be evaluated".into(),
    }
}
