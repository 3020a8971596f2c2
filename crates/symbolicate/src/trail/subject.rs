//! What to follow: the operand that made the instruction at fault fail, else the argument of the program's call into a library.

use necropsy_model::{Arch, Avma, BirthKind, Fault, Signal, Snapshot, Stop, Trail};

use super::Tracer;
use super::context::Ctx;
use super::lead::{Path, Spot};
use super::op::{Flags, Flow, Part, Reg, Src};
use super::reach::Loc;
use super::x86_64::ARGUMENTS;
use crate::space::AddressSpace;
use crate::unwind::Walk;

/// The first pages are never mapped (`vm.mmap_min_addr`).
const NULL_PAGES: u64 = 0x1_0000;

/// A thread that stopped, with its stack in place.
pub(crate) struct Scene<'a, 'b, 'data> {
    pub snapshot: &'a Snapshot<'data>,
    /// The stop that counts.
    pub stop: &'a Stop<'data>,
    /// Index of the thread.
    pub thread: usize,
    /// Raw frame at fault.
    pub frame: usize,
    pub walk: &'a Walk,
    pub space: &'a AddressSpace<'b, 'data>,
}

/// What is followed: at which instruction, and its value.
struct Subject {
    ctx: Ctx,
    at: usize,
    source: Src,
    value: Option<u64>,
    name: String,
}

/// Follows the value that decided a stop.
///
/// The search calls itself as often as functions call each other; a thread of its own has room for that wherever it is asked.
pub(crate) fn follow<'data>(scene: &Scene<'_, '_, 'data>) -> Option<Trail<'data>> {
    /// Bytes of stack: the deepest search of a debug build needs less than half.
    const STACK: usize = 64 << 20;
    std::thread::scope(|scope| {
        let search = || search(scene);
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, search).ok()?;
        thread.join().ok().flatten()
    })
}

fn search<'data>(scene: &Scene<'_, '_, 'data>) -> Option<Trail<'data>> {
    let pc = scene.walk.frames.first()?;
    if pc.registers.arch() != Arch::X86_64 {
        return None;
    }
    let mut tracer = Tracer::new(scene.walk, scene.space);
    let signal = scene.stop.signal?;
    // A page of a file that is gone: the pointer was right.
    if signal.number == Signal::BUS && signal.code == Some(2) {
        tracer.of_shortened_file(scene);
        let known = !tracer.leads.is_empty();
        return known.then(|| tracer.trail("the mapped file".to_owned(), None, scene.snapshot, scene.thread));
    }
    let subject = match (&scene.stop.fault, signal.number) {
        (Some(fault), Signal::SEGV | Signal::BUS | Signal::FPE) => tracer.of_fault(scene, fault),
        _ => None,
    };
    let subject = match subject {
        Some(subject) => subject,
        None => match tracer.of_library_call(scene) {
            Some(subject) => subject,
            None => tracer.of_guard(scene)?,
        },
    };
    tracer.chase(&subject);
    let useless = tracer.leads.iter().all(|lead| matches!(lead.kind, BirthKind::Unknown | BirthKind::Arithmetic));
    let in_library = tracer.is_library(tracer.address(subject.ctx, subject.at));
    let mut subject = subject;
    if useless
        && in_library
        && let Some(other) = tracer.of_library_call(scene)
    {
        tracer.leads.clear();
        tracer.visited.clear();
        tracer.chase(&other);
        subject = other;
    }
    if signal.number == Signal::SEGV {
        tracer.of_moved_block(&subject);
    }
    if tracer.leads.is_empty() {
        // What the process said of a failed check says more.
        scene.stop.fault.as_ref()?;
        let spot = Spot { ctx: subject.ctx, at: subject.at };
        let path = Path::default().with(spot, "fault", format!("{} is bad", subject.name));
        tracer.lead(BirthKind::Unknown, spot, "nothing that was followed led anywhere".to_owned(), &path);
    }
    Some(tracer.trail(subject.name, subject.value, scene.snapshot, scene.thread))
}

impl<'data> Tracer<'_, '_, 'data> {
    fn chase(&mut self, subject: &Subject) {
        let spot = Spot { ctx: subject.ctx, at: subject.at };
        let text = format!("{} is {}", subject.name, super::chase::words(subject.value));
        let path = Path::default().with(spot, "fault", text);
        self.start(subject.ctx, subject.at, subject.source, subject.value, &path);
    }

    /// A page behind the end of a file was touched: the pointer was right, the file has become shorter.
    fn of_shortened_file(&mut self, scene: &Scene<'_, '_, 'data>) {
        if scene.stop.fault.as_ref().is_none_or(|fault| fault.file.is_none()) {
            return;
        }
        let frame = self.first_own(scene).unwrap_or(scene.frame);
        let Some(ctx) = self.of_frame(frame) else { return };
        let Some(at) = self.live(ctx) else { return };
        let text = "touches a page behind the end of the file".to_owned();
        self.shortened(&Path::default().with(Spot { ctx, at }, "fault", text));
    }

    /// A pointer to where the kernel puts mappings, large blocks among them, and nothing is mapped there any more.
    fn of_moved_block(&mut self, subject: &Subject) {
        /// The mapping area of x86-64.
        const MAPPINGS: std::ops::Range<u64> = 0x7000_0000_0000..1 << 47;
        /// Behind a mapping so near, it was rather run over than taken away.
        const NEAR: u64 = 1 << 16;
        let Some(value) = subject.value.filter(|value| MAPPINGS.contains(value)) else { return };
        let run_over = self.space.memory.region(Avma(value - NEAR)).is_some();
        let proven = |kind| matches!(kind, BirthKind::Freed | BirthKind::ReturnedConstant | BirthKind::GlobalStore);
        if run_over || self.is_mapped(value) || self.leads.iter().any(|lead| proven(lead.kind)) {
            return;
        }
        let known = self.leads.len();
        let spot = Spot { ctx: subject.ctx, at: subject.at };
        let text =
            format!("{} is {}, where nothing is mapped any more", subject.name, super::chase::words(Some(value)));
        self.moved(&Path::default().with(spot, "fault", text));
        if self.leads.iter().any(|lead| lead.kind == BirthKind::Moved) {
            self.leads.retain(|lead| lead.kind == BirthKind::Moved);
        } else {
            self.leads.truncate(known);
        }
    }

    fn of_fault(&mut self, scene: &Scene<'_, '_, 'data>, fault: &Fault<'data>) -> Option<Subject> {
        if fault.is_return {
            return None;
        }
        if let Some(via) = fault.via {
            // A call through a bad pointer stands in the caller, when the program counter itself is no code.
            let frame = if via == fault.pc { scene.frame } else { scene.frame + 1 };
            let ctx = self.of_frame(frame)?;
            let at = self.function(ctx).at(via.0)?;
            let insn = self.insn(ctx, at)?;
            let (Flow::Call(source) | Flow::JumpTo(source)) = insn.flow else { return None };
            let value = fault.address.map(|address| address.0);
            let name = match source {
                Src::Reg(part) => register(part.reg),
                _ => "the pointer that was called".to_owned(),
            };
            return Some(Subject { ctx, at, source, value, name });
        }
        let ctx = self.of_frame(scene.frame)?;
        let at = self.live(ctx)?;
        if scene.stop.signal.is_some_and(|signal| signal.number == Signal::FPE) {
            let address = self.address(ctx, at);
            let bytes = (1..=15).rev().find_map(|length| self.space.read(Avma(address), length).ok())?;
            let source = super::x86_64::divisor(bytes, address)?;
            let value = fault.divisor.map(|divisor| super::op::mask(divisor.cast_unsigned(), source_size(source)));
            return Some(Subject { ctx, at, source, value, name: "the divisor".to_owned() });
        }
        let operand = fault.operand.as_ref()?;
        let names = Arch::X86_64.register_names();
        let number = |name: &str| names.iter().position(|&other| other == name).and_then(|at| Reg::try_from(at).ok());
        let base = operand.base.and_then(|(name, value)| Some((number(name)?, value)));
        let index = operand.index.and_then(|(name, value, _)| Some((number(name)?, value)));
        let whole = |(reg, value): (Reg, u64)| (Src::Reg(Part { reg, offset: 0, size: 8 }), Some(value), register(reg));
        let is_bad = |value: u64| {
            value < NULL_PAGES
                || !matches!(value >> 47, 0 | 0x1_ffff)
                || scene.space.memory.region(Avma(value)).is_none() && scene.space.images.at(Avma(value)).is_none()
        };
        let small = |value: u64| value < NULL_PAGES;
        let (source, value, name) = match (base, index) {
            (Some(base), Some(index)) => {
                // Which of the two is no address of the object: a base that is mapped is sound.
                let index_guilty =
                    !is_bad(base.1) || small(base.1) && !small(index.1) && is_bad(index.1) && base.1 != 0;
                whole(if index_guilty { index } else { base })
            }
            (Some(base), None) => whole(base),
            (None, Some(index)) => whole(index),
            (None, None) => return None,
        };
        // The stack pointer is no value that somebody made: the stack is full.
        if matches!(source, Src::Reg(part) if part.reg == super::x86_64::RSP) {
            return None;
        }
        Some(Subject { ctx, at, source, value, name })
    }

    /// The innermost frame of the program itself.
    fn first_own(&mut self, scene: &Scene<'_, '_, 'data>) -> Option<usize> {
        /// Frames of libraries that are passed.
        const MOST_PASSED: usize = 32;
        let frames = scene.walk.frames.len();
        (scene.frame..frames.min(scene.frame + MOST_PASSED))
            .find(|&frame| scene.walk.frames.get(frame).is_some_and(|raw| !self.is_library(raw.address.lookup().0)))
    }

    /// The value that made a check fail: what was compared before the call that ended the process.
    fn of_guard(&mut self, scene: &Scene<'_, '_, 'data>) -> Option<Subject> {
        /// Instructions between a check and the call that it guards.
        const REACH: usize = 48;
        let frame = self.first_own(scene).filter(|&frame| frame != scene.frame)?;
        let ctx = self.of_frame(frame)?;
        let at = self.live(ctx)?;
        let target = called(self.insn(ctx, at)?.flow)?;
        let called = self.target(ctx, at, target).and_then(|target| self.function_name(target)).unwrap_or_default();
        let first = Src::Reg(Part { reg: *ARGUMENTS.first()?, offset: 0, size: 8 });
        let unwraps = ["::unwrap", "::expect", "panic_bounds_check"];
        if unwraps.iter().any(|name| called.ends_with(name)) {
            let value = self.eval(ctx, at, first);
            let name = format!("what {called} was given");
            return Some(Subject { ctx, at, source: first, value, name });
        }
        if !ends_process(&called) {
            return None;
        }
        let function = self.function(ctx);
        let mut open = std::collections::VecDeque::from([at]);
        let mut seen = vec![at];
        let (branch, taken, condition) = loop {
            let here = open.pop_front()?;
            let mut found = None;
            for edge in function.before(here) {
                if let Some(Flow::Branch(_, condition)) = function.insns.get(edge.from).map(|insn| insn.flow) {
                    found = Some((edge.from, edge.taken, condition));
                    break;
                }
                if !seen.contains(&edge.from) && seen.len() < REACH {
                    seen.push(edge.from);
                    open.push_back(edge.from);
                }
            }
            if let Some(found) = found {
                break found;
            }
        };
        let mut setter = branch;
        for _ in 0..REACH {
            let [edge] = function.before(setter) else { return None };
            setter = edge.from;
            if function.insns.get(setter)?.flags != Flags::Kept {
                break;
            }
        }
        let (source, against, size) = match function.insns.get(setter)?.flags {
            Flags::Compare { left, right: Src::Const(right), size } => (left, Some(right), size),
            Flags::Test { left, right, size } if left == right => (left, Some(0), size),
            Flags::Compare { left, size, .. } => (left, None, size),
            _ => return None,
        };
        let value = self.eval(ctx, setter, source);
        if value.is_none()
            && let Some(against) = against
        {
            if condition.holds(against, against, size) == Some(taken)
                && matches!(condition, super::op::Condition::Equal | super::op::Condition::NotEqual)
            {
                return Some(Subject {
                    ctx,
                    at: setter,
                    source,
                    value: Some(against),
                    name: "the value that was checked".to_owned(),
                });
            }
            self.constraint = Some((condition, against, size, taken));
        }
        Some(Subject { ctx, at: setter, source, value, name: "the value that was checked".to_owned() })
    }

    /// The innermost call of the program into a library, and the argument that is bad.
    fn of_library_call(&mut self, scene: &Scene<'_, '_, 'data>) -> Option<Subject> {
        let frame = self.first_own(scene).filter(|&frame| frame != scene.frame)?;
        let ctx = self.of_frame(frame)?;
        let at = self.live(ctx)?;
        let target = called(self.insn(ctx, at)?.flow)?;
        let called = self.target(ctx, at, target).and_then(|target| self.function_name(target)).unwrap_or_default();
        let culprit = scene.stop.fault.as_ref().and_then(|fault| fault.address).map(|address| address.0);
        let faulted = scene.stop.fault.is_some();
        let freed = scene.stop.messages.iter().any(|message| message.kind == necropsy_model::MessageKind::Heap);
        let base = super::chase::plain_name(&called).to_owned();
        let releases = matches!(base.as_str(), "free" | "cfree" | "realloc") || base.starts_with("operator delete");
        if !(faulted || releases && freed) {
            return None;
        }
        let arguments = self.arguments(ctx, at);
        let near = |value: u64| culprit.is_some_and(|culprit| culprit.wrapping_sub(value) < 4096);
        let chosen = if releases {
            arguments.iter().find(|&&(number, _)| number == 0)
        } else {
            let exact = arguments.iter().find(|&&(_, value)| near(value));
            exact.or_else(|| arguments.iter().find(|&&(_, value)| value < NULL_PAGES))
        };
        let &(number, value) = chosen?;
        let &reg = ARGUMENTS.get(number)?;
        let name = format!("argument {} of {called}", number + 1);
        if releases && scene.stop.messages.iter().any(|message| message.text.contains("double free")) {
            // Who freed it first: the object itself is looked for, not the pointer.
            let spot = Spot { ctx, at };
            let path = Path::default().with(spot, "fault", format!("{called} got {value:#x}, which was free already"));
            self.seeking = true;
            self.trace(ctx, at, Loc::Mem { address: value, size: 8 }, None, &path);
            self.seeking = false;
            self.leads.retain(|lead| lead.kind == BirthKind::Freed);
            if !self.leads.is_empty() {
                return Some(Subject { ctx, at, source: Src::Other, value: Some(value), name });
            }
            self.visited.clear();
        }
        Some(Subject { ctx, at, source: Src::Reg(Part { reg, offset: 0, size: 8 }), value: Some(value), name })
    }
}

/// What an instruction that leaves for another function leaves for.
fn called(flow: Flow) -> Option<Src> {
    match flow {
        Flow::Call(target) | Flow::JumpTo(target) => Some(target),
        Flow::Jump(target) => Some(Src::Const(target)),
        _ => None,
    }
}

/// Functions that end the process because a check failed.
fn ends_process(name: &str) -> bool {
    let base = super::chase::plain_name(name);
    matches!(base, "assert_fail" | "assert_fail_base" | "assert" | "assert_perror_fail" | "assert_rtn" | "abort")
        || name.starts_with("core::panicking::")
        || name.starts_with("core::option::")
        || name.starts_with("core::result::")
        || name.starts_with("core::slice::index::")
        || name.starts_with("std::panicking::begin_panic")
        || name.starts_with("std::__glibcxx_assert_fail")
}

fn register(reg: Reg) -> String {
    Arch::X86_64
        .register_names()
        .get(usize::from(reg))
        .map_or_else(|| format!("register {reg}"), |name| (*name).to_owned())
}

fn source_size(source: Src) -> u8 {
    match source {
        Src::Reg(part) => part.size,
        Src::Mem(mem) => mem.size,
        _ => 8,
    }
}
