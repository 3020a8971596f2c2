//! What to follow: the operand that made the instruction at fault fail, else the argument of the program's call into a library.

use necropsy_model::{Avma, BirthKind, Fault, Message, Signal, Snapshot, Stop, Trail};

use super::Tracer;
use super::chase::NULL_PAGES;
use super::context::Ctx;
use super::definition::{Kind, Loc};
use super::lead::{FREED_UNSEEN, Lead, Path, Spot};
use super::machine::Machine;
use super::op::{Condition, Flow, Part, Reg, Src};
use super::stale::Outcome;
use crate::space::AddressSpace;
use crate::unwind::Walk;

/// A thread that stopped, with its stack in place.
pub(crate) struct Scene<'a, 'b, 'data> {
    pub snapshot: &'a Snapshot<'data>,
    /// The stop that counts.
    pub stop: &'a Stop<'data>,
    /// What the process said, whichever stop it said it of.
    pub messages: &'a [Message<'data>],
    /// Index of the thread.
    pub thread: usize,
    /// Raw frame at fault.
    pub frame: usize,
    pub walk: &'a Walk,
    /// The stacks of all threads, in the order of the snapshot.
    pub walks: &'a [Walk],
    pub space: &'a AddressSpace<'b, 'data>,
}

/// The name of an operand of a check that failed.
pub(super) const CHECKED: &str = "the value that was checked";

/// What is followed: at which instruction, and its value.
pub(super) struct Subject {
    pub ctx: Ctx,
    pub at: usize,
    pub source: Src,
    pub value: Option<u64>,
    pub name: String,
    /// What a value that is not known must fulfil: condition, what it was compared with, bytes, whether it held.
    pub constraint: Option<(Condition, u64, u8, bool)>,
}

impl Subject {
    /// A value of which nothing more is known than what it is.
    pub fn new(ctx: Ctx, at: usize, source: Src, value: Option<u64>, name: String) -> Self {
        Self { ctx, at, source, value, name, constraint: None }
    }
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
    let mut tracer = Tracer::new(scene.walk, scene.frame, scene.space)?;
    let signal = scene.stop.signal?;
    // A page of a file that is gone: the pointer was right.
    // An emulator does not say which kind of error it was; that the address is right shows that it lies in a mapping.
    let of_page = signal.code == Some(2) || signal.code.is_none() && tracer.is_of_mapping(scene);
    if signal.number == Signal::BUS && of_page {
        tracer.of_shortened_file(scene);
        let known = !tracer.leads.is_empty();
        if known || signal.code.is_some() {
            return known.then(|| tracer.trail("the mapped file".to_owned(), None, scene.snapshot, scene.thread));
        }
    }
    let full =
        scene.stop.fault.as_ref().is_some_and(|fault| fault.stack.is_some() && fault.below_stack_pointer.is_some());
    if full && tracer.of_recursion(scene).is_some() {
        return Some(tracer.trail(Trail::RECURSION.to_owned(), None, scene.snapshot, scene.thread));
    }
    if tracer.of_smashed_frame(scene).is_some() || tracer.of_own_array(scene) {
        return Some(tracer.trail("the frame that was written over".to_owned(), None, scene.snapshot, scene.thread));
    }
    if tracer.of_joinable(scene).is_some() {
        return Some(tracer.trail("the thread".to_owned(), None, scene.snapshot, scene.thread));
    }
    if let Some(header) = tracer.of_damage(scene) {
        return Some(tracer.trail("the size of a block".to_owned(), Some(header), scene.snapshot, scene.thread));
    }
    let passed = if signal.number == Signal::SEGV { tracer.of_variadic(scene) } else { None };
    if let Some(subject) = passed.as_ref().filter(|_| !tracer.leads.is_empty()) {
        return Some(tracer.trail(subject.name.clone(), subject.value, scene.snapshot, scene.thread));
    }
    let subject = match (&scene.stop.fault, signal.number) {
        _ if passed.is_some() => passed,
        _ if tracer.releases_no_block(scene) => tracer.of_library_call(scene),
        (Some(fault), Signal::SEGV | Signal::BUS | Signal::FPE) => tracer.of_fault(scene, fault),
        _ => None,
    };
    let subjects = match subject.or_else(|| tracer.of_library_call(scene)) {
        Some(subject) => vec![subject],
        None => tracer.of_guard(scene),
    };
    let subject = tracer.chase_best(subjects)?;
    let useless = tracer.leads.iter().all(|lead| {
        // What a library has in its registers is its own.
        let inside = lead.kind == BirthKind::Loaded && tracer.is_of_system(tracer.address(lead.spot.ctx, lead.spot.at));
        inside || matches!(lead.kind, BirthKind::Unknown | BirthKind::Arithmetic)
    });
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
    if signal.number == Signal::ABRT {
        tracer.of_two_owners();
    }
    if signal.number == Signal::SEGV {
        tracer.of_moved_block(&subject);
    }
    if signal.number == Signal::SEGV {
        tracer.of_reused_block();
        tracer.of_spill(&subject);
        tracer.of_writers();
        tracer.of_block_maker(&subject, scene.walks.len());
    }
    if signal.number == Signal::SEGV && tracer.leads.iter().all(|lead| lead.kind == BirthKind::Unknown) {
        let known = std::mem::take(&mut tracer.leads);
        if !tracer.of_run_over_variable(&subject) {
            tracer.leads = known;
        }
    }
    if tracer.leads.is_empty() {
        // What the process said of a failed check says more.
        scene.stop.fault.as_ref()?;
        let spot = Spot { ctx: subject.ctx, at: subject.at };
        let path = Path::default().with(spot, "fault", format!("{} is bad", subject.name));
        tracer.lead(BirthKind::Unknown, spot, "bad here already".to_owned(), &path);
    }
    let unwritten = tracer.unwritten;
    let mut trail = tracer.trail(subject.name, subject.value, scene.snapshot, scene.thread);
    if let Some(memory) = unwritten {
        super::elsewhere::look(scene, memory, &mut trail);
    }
    Some(trail)
}

impl<'data> Tracer<'_, '_, 'data> {
    /// Follows each of several values of which one is bad, and keeps the one whose birth tells most.
    fn chase_best(&mut self, subjects: Vec<Subject>) -> Option<Subject> {
        /// Limits, sizes and bounds are constants and fields; what broke them was computed.
        fn tells(lead: &Lead) -> u8 {
            match lead.kind {
                BirthKind::ReturnedConstant
                | BirthKind::ReturnedComputed
                | BirthKind::ReturnedArithmetic
                | BirthKind::LibraryResult
                | BirthKind::Freed => 0,
                BirthKind::Stored | BirthKind::GlobalStore | BirthKind::StoredSomewhere => 1,
                BirthKind::Loaded | BirthKind::Arithmetic | BirthKind::Unknown => 3,
                _ => 2,
            }
        }
        let several = subjects.len() > 1;
        let mut best: Option<(u8, Subject, Vec<Lead>)> = None;
        for subject in subjects {
            self.visited.clear();
            self.chase(&subject);
            let leads = std::mem::take(&mut self.leads);
            let score = leads.iter().map(tells).min().unwrap_or(4);
            match &mut best {
                Some((known, _, leads)) if *known <= score => {
                    // Either may be it.
                    for lead in leads {
                        lead.complete &= *known < score;
                    }
                }
                _ => best = Some((score, subject, leads)),
            }
        }
        let (_, subject, mut leads) = best?;
        if several {
            // A number that something was compared with may be what it should have been.
            for lead in &mut leads {
                lead.complete &= lead.kind != BirthKind::Constant;
                let written_down = lead.path.steps.last().is_some_and(|step| step.step == "constant");
                if lead.kind == BirthKind::Stored && written_down && self.run(lead.spot.ctx).frame.is_some() {
                    lead.path.doubts.push("it may be what the other should have been");
                }
            }
        }
        self.leads = leads;
        Some(subject)
    }

    fn chase(&mut self, subject: &Subject) {
        self.constraint = subject.constraint;
        self.sought = subject.value;
        self.own_check &= subject.name == CHECKED;
        self.struck = self.run(subject.ctx).frame.unwrap_or(self.struck);
        self.part_given = false;
        let spot = Spot { ctx: subject.ctx, at: subject.at };
        let text = format!("{} is {}", subject.name, super::chase::words(subject.value));
        let path = Path::default().with(spot, "fault", text);
        if let Some((sum, operands)) = self.fault_sum.take()
            && self.too_small(spot, Some(sum), operands, &path)
        {
            return;
        }
        if let (Src::Reg(part @ Part { offset: 0, size: 8, .. }), Some(pointer)) = (subject.source, subject.value)
            && self.machine.is_user_pointer(pointer)
            && !subject.name.starts_with("argument")
            && self.ran_off(spot, part, pointer, &path)
        {
            return;
        }
        match subject.source {
            // Not the place is asked for, but what lies there.
            Src::Address(mem) => {
                if let Some(text) = self.address_of(subject.ctx, subject.at, &mem) {
                    self.text_made(spot, text, &path);
                }
            }
            source => self.start(subject.ctx, subject.at, source, subject.value, &path),
        }
    }

    /// A page behind the end of a file was touched: the pointer was right, the file has become shorter.
    fn of_shortened_file(&mut self, scene: &Scene<'_, '_, 'data>) {
        let known =
            |fault: &Fault<'_>| fault.file.is_some() || scene.stop.signal.is_some_and(|signal| signal.code.is_none());
        if !scene.stop.fault.as_ref().is_some_and(known) {
            return;
        }
        let frame = self.first_own(scene).unwrap_or(scene.frame);
        let Some(ctx) = self.of_frame(frame) else { return };
        let Some(at) = self.live(ctx) else { return };
        let text = "touches a page behind the end of the file".to_owned();
        let mut path = Path::default().with(Spot { ctx, at }, "fault", text);
        let operand =
            scene.stop.fault.as_ref().and_then(|fault| fault.operand.as_ref()).filter(|_| frame == scene.frame);
        if let Some((base, _)) = operand.and_then(|operand| operand.base)
            && let Some(reg) = self.machine.register(base)
        {
            path = self.with_gate_of(ctx, at, Src::Reg(Part { reg, offset: 0, size: 8 }), &path);
        }
        self.shortened(&path);
    }

    /// The address at fault lies in what is mapped, and would not have to be aligned.
    fn is_of_mapping(&self, scene: &Scene<'_, '_, 'data>) -> bool {
        let fault = scene.stop.fault.as_ref();
        fault.is_some_and(|fault| {
            let aligned = fault.address.zip(fault.size).is_some_and(|(at, size)| at.0.is_multiple_of(size.max(1)));
            aligned && fault.address.is_some_and(|at| self.space.memory.region(at).is_some())
        })
    }

    /// A pointer to where the kernel puts mappings, large blocks among them, and nothing is mapped there any more.
    fn of_moved_block(&mut self, subject: &Subject) {
        /// Behind a mapping so near, it was rather run over than taken away.
        const NEAR: u64 = 1 << 16;
        /// Of the mappings that malloc makes for large blocks.
        const PAGE: u64 = 4096;
        /// Sizes of the block in front of it and its own.
        const BLOCK_HEADER: u64 = 16;
        let Some(value) = subject.value.filter(|&value| self.is_of_mappings(value)) else { return };
        // A block that is a mapping of its own begins behind its header; what was handed around did not count.
        let whole = value % PAGE == BLOCK_HEADER || self.was_handed_out(subject);
        let run_over = !whole && self.space.memory.region(Avma(value - NEAR)).is_some();
        let proven = |lead: &Lead| match lead.kind {
            BirthKind::Freed => !lead.path.doubts.contains(&FREED_UNSEEN),
            kind => matches!(kind, BirthKind::ReturnedConstant | BirthKind::GlobalStore),
        };
        if run_over || self.is_mapped(value) || self.leads.iter().any(proven) {
            return;
        }
        let known = self.leads.len();
        let spot = Spot { ctx: subject.ctx, at: subject.at };
        let text =
            format!("{} is {}, where nothing is mapped any more", subject.name, super::chase::words(Some(value)));
        let path = Path::default().with(spot, "fault", text);
        if self.of_gone_mapping(subject, value, &path) == Outcome::Found {
            self.leads.drain(..known);
            return;
        }
        self.moved(&path);
        if self.leads.iter().any(|lead| lead.kind == BirthKind::Moved) {
            self.leads.retain(|lead| lead.kind == BirthKind::Moved);
        } else {
            self.leads.truncate(known);
        }
    }

    /// Mappings are put there; emulators put them elsewhere, but all together.
    fn is_of_mappings(&self, value: u64) -> bool {
        /// Bytes that the mappings of a small process take.
        const SPREAD: u64 = 1 << 30;
        let mut libraries =
            self.space.images.all().iter().filter(|image| image.debug.get().is_some_and(|debug| debug.is_of_system()));
        self.machine.mappings.contains(&value)
            || libraries.any(|image| {
                image
                    .segments
                    .first()
                    .is_some_and(|segment| image.bias.to_avma(segment.start).0.abs_diff(value) < SPREAD)
            })
    }

    fn of_fault(&mut self, scene: &Scene<'_, '_, 'data>, fault: &Fault<'data>) -> Option<Subject> {
        if fault.is_return {
            return None;
        }
        if let Some(via) = fault.via {
            // A call through a bad pointer stands in the caller, when the program counter itself is no code.
            let frame = if via == fault.pc { scene.frame } else { scene.frame + 1 };
            let ctx = self.of_frame(frame)?;
            // A jump of a function that it called left no frame.
            let at = self.function(ctx).at(via.0).or_else(|| self.live(ctx))?;
            let insn = self.insn(ctx, at)?;
            let (Flow::Call(source) | Flow::JumpTo(source)) = insn.flow else { return None };
            let value = fault.address.map(|address| address.0);
            let (ctx, at, source) = match source {
                Src::Const(called) => {
                    self.jumped_from = Some(frame);
                    let (ctx, at, source) = self.jumped_on(ctx, at, called)?;
                    self.stands_at(ctx, at, scene.frame);
                    (ctx, at, source)
                }
                source => (ctx, at, source),
            };
            let name = match source {
                Src::Reg(part) => register(self.machine, part.reg),
                _ => "the pointer that was called".to_owned(),
            };
            return Some(Subject::new(ctx, at, source, value, name));
        }
        // No code where the program counter stands, and a call of a function behind it: that function jumped there.
        if !self.is_mapped(fault.pc.0)
            && let Some((ctx, at)) = self.of_frame(1).and_then(|ctx| Some((ctx, self.live(ctx)?)))
            && let Some(Flow::Call(Src::Const(called))) = self.insn(ctx, at).map(|insn| insn.flow)
        {
            self.jumped_from = Some(1);
            let (ctx, at, source) = self.jumped_on(ctx, at, called)?;
            self.stands_at(ctx, at, 0);
            return Some(Subject::new(ctx, at, source, Some(fault.pc.0), "the pointer that was jumped to".to_owned()));
        }
        let ctx = self.of_frame(scene.frame)?;
        let at = self.live(ctx)?;
        if scene.stop.signal.is_some_and(|signal| signal.number == Signal::FPE) {
            let address = self.address(ctx, at);
            let bytes = self.space.read_most(Avma(address), self.machine.longest)?;
            let source = (self.machine.divisor)(bytes, address)?;
            let value = fault.divisor.map(|divisor| super::op::mask(divisor.cast_unsigned(), source_size(source)));
            return Some(Subject::new(ctx, at, source, value, "the divisor".to_owned()));
        }
        let operand = fault.operand.as_ref()?;
        let machine = self.machine;
        self.boundary = fault.misaligned;
        let number = |name: &str| machine.register(name);
        let base = operand.base.and_then(|(name, value)| Some((number(name)?, value)));
        let index = operand.index.and_then(|(name, value, _)| Some((number(name)?, value)));
        let whole = |(reg, value): (Reg, u64)| {
            (Src::Reg(Part { reg, offset: 0, size: 8 }), Some(value), register(machine, reg))
        };
        let is_bad = |value: u64| {
            value < NULL_PAGES
                || !machine.is_canonical(value)
                || scene.space.memory.region(Avma(value)).is_none() && scene.space.images.at(Avma(value)).is_none()
        };
        let small = |value: u64| value < NULL_PAGES;
        let sum = base.zip(operand.index).map(|((_, base), (_, index, scale))| {
            base.wrapping_add(index.wrapping_mul(scale)).wrapping_add_signed(operand.displacement)
        });
        if let (Some((base, value)), Some((index, other))) = (base, index) {
            let word = |reg| Src::Reg(Part { reg, offset: 0, size: 8 });
            self.fault_sum = sum.map(|sum| (sum, [(word(base), Some(value)), (word(index), Some(other))]));
        }
        let (source, value, name) = match (base, index) {
            (Some(base), Some(index)) => {
                // Which of the two is no address of the object: a base that is mapped is sound.
                let index_guilty = match fault.misaligned {
                    Some(boundary) => base.1.is_multiple_of(boundary),
                    None if base.1 == 0 && index.1 == 0 => self.begins_at_zero(ctx, at, base.0),
                    None => {
                        !is_bad(base.1)
                            || small(base.1)
                                && !small(index.1)
                                && is_bad(index.1)
                                && base.1 != 0
                                && !sum.is_some_and(small)
                    }
                };
                self.wants_address = !index_guilty;
                whole(if index_guilty { index } else { base })
            }
            (Some(base), None) => {
                self.wants_address = true;
                whole(base)
            }
            (None, Some(index)) => whole(index),
            (None, None) => return None,
        };
        // The stack pointer is no value that somebody made: the stack is full.
        if matches!(source, Src::Reg(part) if part.reg == machine.sp) {
            return None;
        }
        Some(Subject::new(ctx, at, source, value, name))
    }

    /// Everything that gives the register 0 here is a constant, as a counter begins: it is no pointer that should have been set.
    fn begins_at_zero(&mut self, ctx: Ctx, at: usize, reg: Reg) -> bool {
        let defs = self.reaching(ctx, at, Loc::Reg(Part { reg, offset: 0, size: 8 }), Some(0));
        !defs.is_empty() && defs.iter().all(|def| matches!(def.kind, Kind::Value(_) | Kind::Counter))
    }

    /// Where a function that was called jumped through a pointer instead of returning: it left no frame.
    fn jumped_on(&mut self, ctx: Ctx, call: usize, called: u64) -> Option<(Ctx, usize, Src)> {
        /// Jumps from function to function.
        const MOST: usize = 4;
        let (mut ctx, mut at, mut target) = (ctx, call, called);
        for _ in 0..MOST {
            let target_behind = self.behind_plt(target);
            let callee = self.enter(ctx, at, target_behind)?;
            let function = self.function(callee);
            let &[(jump, to)] = function.tails.as_slice() else {
                let mut unknown = function.tails.iter().filter(|(_, to)| !matches!(to, Src::Const(_)));
                let &(jump, to) = unknown.next().filter(|_| unknown.next().is_none())?;
                return Some((callee, jump, to));
            };
            let Src::Const(next) = to else { return Some((callee, jump, to)) };
            (ctx, at, target) = (callee, jump, next);
        }
        None
    }

    /// The innermost frame of the program itself.
    pub fn first_own(&mut self, scene: &Scene<'_, '_, 'data>) -> Option<usize> {
        /// Frames of libraries that are passed.
        const MOST_PASSED: usize = 32;
        let frames = scene.walk.frames.len();
        let first = self.behind_hooks(scene);
        (first..frames.min(first + MOST_PASSED))
            .find(|&frame| scene.walk.frames.get(frame).is_some_and(|raw| !self.is_library(raw.address.lookup().0)))
    }
}

/// What an instruction that leaves for another function leaves for.
pub(super) fn called(flow: Flow) -> Option<Src> {
    match flow {
        Flow::Call(target) | Flow::JumpTo(target) => Some(target),
        Flow::Jump(target) => Some(Src::Const(target)),
        _ => None,
    }
}

fn register(machine: &Machine, reg: Reg) -> String {
    machine.name(reg).map_or_else(|| format!("register {reg}"), str::to_owned)
}

fn source_size(source: Src) -> u8 {
    match source {
        Src::Reg(part) => part.size,
        Src::Mem(mem) => mem.size,
        _ => 8,
    }
}
