//! Functions as they ran: frames of the stack, and calls that have returned, with the values that are known in them.

use std::collections::HashMap;
use std::rc::Rc;

use necropsy_model::{Avma, CodeAddress, FrameKind};

use super::function::{Function, Reader, Stack};
use super::op::{Flow, Insn, Mem, Op, Part, Reg, Src};
use super::reach::{Kind, Loc};
use super::x86_64::{ARGUMENTS, RAX, RSP};
use super::{Limits, Tracer};
use crate::unwind;

/// Who called a run.
#[derive(Clone, Copy, Debug)]
enum Caller {
    /// Nobody has looked.
    Unasked,
    /// It is not known.
    Unknown,
    /// This run, with this instruction.
    Known(Ctx, usize),
}

/// A function as it ran once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Ctx(pub usize);

/// One run of a function.
#[derive(Debug)]
pub(super) struct Run {
    pub function: Rc<Function>,
    /// Raw frame, when it is still on the stack.
    pub frame: Option<usize>,
    /// Who called it, and with which instruction; looked for when it is needed.
    caller: Caller,
    /// Canonical frame address; one of its own where it is not known.
    pub cfa: u64,
    /// Where the registers of the frame hold.
    live: Option<usize>,
    /// Results of its own calls that are known: instruction and value.
    pub results: Vec<(usize, u64)>,
    /// Calls between it and the stack.
    pub depth: usize,
}

/// Where frame addresses that are not known begin: addresses that no process has.
const NOWHERE: u64 = 0xdead_0000_0000_0000;

impl Tracer<'_, '_, '_> {
    pub fn run(&self, ctx: Ctx) -> &Run {
        &self.runs[ctx.0]
    }

    pub fn function(&self, ctx: Ctx) -> Rc<Function> {
        Rc::clone(&self.run(ctx).function)
    }

    pub fn insn(&self, ctx: Ctx, index: usize) -> Option<Insn> {
        self.run(ctx).function.insns.get(index).cloned()
    }

    pub fn address(&self, ctx: Ctx, index: usize) -> u64 {
        self.run(ctx).function.insns.get(index).map_or(0, |insn| insn.at)
    }

    /// The run of a raw frame.
    pub fn of_frame(&mut self, frame: usize) -> Option<Ctx> {
        if let Some(&known) = self.of_frames.get(&frame) {
            return known;
        }
        let made = self.make_frame(frame);
        self.of_frames.insert(frame, made);
        made
    }

    fn make_frame(&mut self, frame: usize) -> Option<Ctx> {
        let raw = self.frames.get(frame)?;
        if raw.kind != FrameKind::Normal {
            return None;
        }
        let lookup = raw.address.lookup().0;
        let stack = Stack {
            sp: raw.registers.sp().zip(raw.cfa).map(|(sp, cfa)| sp.wrapping_sub(cfa).cast_signed()),
            fp: raw.registers.get(super::x86_64::RBP).zip(raw.cfa).map(|(fp, cfa)| fp.wrapping_sub(cfa).cast_signed()),
        };
        let stack = Stack { fp: stack.fp.filter(|fp| (-0x10_0000..=0).contains(fp)), ..stack };
        let at = match raw.address {
            CodeAddress::Instruction(at) => at.0,
            CodeAddress::Return(_) => self.call_before(raw.address.address().0)?,
        };
        let function = self.function_at(lookup, Some((at, stack)))?;
        let live = function.at(at)?;
        let cfa = raw.cfa.unwrap_or(NOWHERE.wrapping_add((frame as u64) << 24));
        self.runs.push(Run {
            function,
            frame: Some(frame),
            caller: Caller::Unasked,
            cfa,
            live: Some(live),
            results: Vec::new(),
            depth: 0,
        });
        Some(Ctx(self.runs.len() - 1))
    }

    /// The instruction that ends at a return address.
    fn call_before(&self, back: u64) -> Option<u64> {
        let mut factory = iced_x86::InstructionInfoFactory::new();
        (2..=8).find_map(|length| {
            let at = back.checked_sub(length)?;
            let bytes = self.space.read(Avma(at), usize::try_from(length).ok()?).ok()?;
            let insn = super::x86_64::lift(bytes, at, &mut factory)?;
            let leaves = matches!(insn.flow, Flow::Call(_) | Flow::Jump(_) | Flow::Branch(..) | Flow::JumpTo(_));
            (insn.next == back && leaves).then_some(at)
        })
    }

    /// The instruction at which the frame of a run stands.
    pub fn live(&self, ctx: Ctx) -> Option<usize> {
        self.run(ctx).live
    }

    /// Who called a run, and with which instruction.
    pub fn caller(&mut self, ctx: Ctx) -> Option<(Ctx, usize)> {
        match self.run(ctx).caller {
            Caller::Known(caller, call) => return Some((caller, call)),
            Caller::Unknown => return None,
            Caller::Unasked => {}
        }
        let found = self.find_caller(ctx);
        self.runs[ctx.0].caller = found.map_or(Caller::Unknown, |(caller, call)| Caller::Known(caller, call));
        found
    }

    fn find_caller(&mut self, ctx: Ctx) -> Option<(Ctx, usize)> {
        let frame = self.run(ctx).frame?;
        // Frames that are not listed lie between these two.
        if self.gap.is_some_and(|gap| gap.after == frame + 1) {
            return None;
        }
        let caller = self.of_frame(frame.checked_add(1)?)?;
        let call = self.live(caller)?;
        let interrupted = matches!(self.frames.get(frame + 1)?.address, CodeAddress::Instruction(_));
        if interrupted {
            return None;
        }
        let insn = self.insn(caller, call)?;
        let target = match insn.flow {
            Flow::Call(target) | Flow::JumpTo(target) => self.target(caller, call, target),
            Flow::Jump(target) | Flow::Branch(target, _) => Some(self.behind_plt(target)),
            _ => return None,
        };
        let entry = self.run(ctx).function.entry;
        let same = target.is_none_or(|target| target == entry || self.same_function(target, entry));
        same.then_some((caller, call))
    }

    /// Two entries of one function: aliases, `endbr64` skipped, resolvers of indirect functions.
    fn same_function(&mut self, one: u64, other: u64) -> bool {
        let range = |address| unwind::function_range(self.space, Avma(address));
        let (Some((start, end)), Some(other_range)) = (range(one), range(other)) else { return true };
        (start, end) == other_range || other.wrapping_sub(start.0) < 16
    }

    /// The frame was entered by the kernel, for a signal.
    pub fn is_handler(&self, ctx: Ctx) -> bool {
        let next = self.run(ctx).frame.and_then(|frame| self.frames.get(frame + 1));
        next.is_some_and(|next| next.kind == FrameKind::SignalTrampoline)
    }

    /// The interrupted frame below a signal handler, and where it stood.
    pub fn interrupted_below(&mut self, ctx: Ctx) -> Option<(Ctx, usize)> {
        let frame = self.run(ctx).frame?;
        let trampoline = self.frames.get(frame + 1)?;
        if trampoline.kind != FrameKind::SignalTrampoline {
            return None;
        }
        let below = self.of_frame(frame + 2)?;
        Some((below, self.live(below)?))
    }

    /// A call that has returned.
    pub fn enter(&mut self, caller: Ctx, call: usize, target: u64) -> Option<Ctx> {
        let depth = self.run(caller).depth + 1;
        if depth > Limits::DESCENTS {
            return None;
        }
        if let Some(&known) = self.entered.get(&(caller, call, target)) {
            return Some(known);
        }
        let function = self.function_at(target, None).filter(|function| function.entry == target)?;
        let tail = !matches!(self.insn(caller, call)?.flow, Flow::Call(_));
        let stack = self.run(caller).function.stack(call);
        let cfa = match (tail, stack.sp) {
            (true, _) => self.run(caller).cfa,
            (false, Some(sp)) => self.run(caller).cfa.wrapping_add_signed(sp),
            (false, None) => NOWHERE.wrapping_add((self.runs.len() as u64) << 24),
        };
        self.runs.push(Run {
            function,
            frame: None,
            caller: Caller::Known(caller, call),
            cfa,
            live: None,
            results: Vec::new(),
            depth,
        });
        let ctx = Ctx(self.runs.len() - 1);
        self.entered.insert((caller, call, target), ctx);
        Some(ctx)
    }

    /// A run of a function of which only the code is known.
    pub fn detached(&mut self, address: u64) -> Option<Ctx> {
        let function = self.function_at(address, None)?;
        let cfa = NOWHERE.wrapping_add((self.runs.len() as u64) << 24);
        let depth = Limits::DESCENTS - 1;
        self.runs.push(Run {
            function,
            frame: None,
            caller: Caller::Unknown,
            cfa,
            live: None,
            results: Vec::new(),
            depth,
        });
        Some(Ctx(self.runs.len() - 1))
    }

    /// The code of the function around an address.
    fn function_at(&mut self, address: u64, seed: Option<(u64, Stack)>) -> Option<Rc<Function>> {
        let mut ranges = self.values.function_ranges(Avma(address));
        let (start, end) = unwind::function_range(self.space, Avma(address))
            .map(|(start, end)| (start.0, end.0))
            .or_else(|| ranges.iter().copied().find(|&(start, end)| start <= address && address < end))?;
        if ranges.is_empty() {
            ranges = vec![(start, end)];
        }
        // The first range of a function is the one with its entry (gcc and clang write it first).
        let entry = ranges.first().map_or(start, |&(start, _)| start);
        if let Some(known) = self.functions.get(&entry) {
            let known = known.clone();
            let covers = |function: &Function| seed.is_none_or(|(at, _)| function.at(at).is_some());
            if known.as_ref().is_none_or(|known| covers(known)) {
                return known;
            }
        }
        if self.functions.len() >= Limits::FUNCTIONS {
            self.limit_hit = true;
            return None;
        }
        let space = self.space;
        let mut targets: HashMap<u64, bool> = HashMap::new();
        let mut comes_back = |insn: &Insn| {
            // Whoever is on the stack called somebody.
            let Flow::Call(Src::Const(target)) = insn.flow else { return true };
            *targets.entry(target).or_insert_with(|| !self.is_noreturn(target))
        };
        let also: Vec<_> = seed.into_iter().collect();
        let reader = Reader { space, ranges, comes_back: &mut comes_back };
        let mut function = reader.read(entry, &also);
        if let Some(function) = &mut function {
            self.link_returns_twice(function);
        }
        let function = function.map(Rc::new);
        self.functions.insert(entry, function.clone());
        function
    }

    /// `setjmp` returns a second time, from wherever `longjmp` was called: from any call of the function.
    fn link_returns_twice(&mut self, function: &mut Function) {
        const NAMES: [&str; 2] = ["setjmp", "sigsetjmp"];
        let calls: Vec<(usize, u64)> = function.direct_calls().collect();
        let twice = calls.iter().filter(|&&(_, target)| {
            let behind = self.behind_plt(target);
            let name = self.function_name(behind).unwrap_or_default();
            NAMES.contains(&super::chase::plain_name(&name))
        });
        let twice: Vec<usize> = twice.map(|&(at, _)| at).collect();
        for at in twice {
            let others = calls.iter().filter(|&&(other, _)| other > at).map(|&(other, _)| other);
            let others: Vec<usize> = others.collect();
            function.link_back(at, &others);
        }
    }

    /// The function at the other end of an entry of the procedure linkage table.
    pub fn behind_plt(&self, target: u64) -> u64 {
        unwind::behind_plt(Avma(target), self.space).map_or(target, |found| found.0)
    }

    fn is_noreturn(&mut self, target: u64) -> bool {
        const NAMES: [&str; 15] = [
            "abort",
            "exit",
            "Exit",
            "quick_exit",
            "assert_fail",
            "assert_perror_fail",
            "assert",
            "stack_chk_fail",
            "fortify_fail",
            "chk_fail",
            "longjmp",
            "siglongjmp",
            "longjmp_chk",
            "pthread_exit",
            "Unwind_Resume",
        ];
        const STARTS: [&str; 12] = [
            "__cxa_throw",
            "__cxa_rethrow",
            "__cxa_bad_",
            "__cxa_call_unexpected",
            "std::terminate",
            "std::__throw_",
            "core::panicking::",
            "core::option::unwrap_failed",
            "core::option::expect_failed",
            "core::result::unwrap_failed",
            "core::slice::index::slice_",
            "std::panicking::begin_panic",
        ];
        let behind = self.behind_plt(target);
        let name = self.function_name(behind).or_else(|| self.function_name(target));
        let Some(name) = name else { return false };
        let base = super::chase::plain_name(&name);
        let name = name.as_str();
        NAMES.contains(&base)
            || STARTS.iter().any(|start| name.starts_with(start))
            || name.starts_with("core::str::slice_error_fail")
            || name == "alloc::alloc::handle_alloc_error"
            || base == "clang_call_terminate"
    }

    /// The address that a call or jump goes to, through the procedure linkage table.
    pub fn target(&mut self, ctx: Ctx, call: usize, target: Src) -> Option<u64> {
        let direct = match target {
            Src::Const(address) => address,
            source => self.eval(ctx, call, source)?,
        };
        self.space.is_code(Avma(direct)).then(|| self.behind_plt(direct))
    }

    /// The address that a memory operand names at an instruction.
    pub fn address_of(&mut self, ctx: Ctx, at: usize, mem: &Mem) -> Option<u64> {
        if mem.thread_local {
            return None;
        }
        if let Some(offset) = self.run(ctx).function.stack(at).slot(mem) {
            return Some(self.run(ctx).cfa.wrapping_add_signed(offset));
        }
        let word = |reg| Src::Reg(Part { reg, offset: 0, size: 8 });
        let base = match mem.base {
            Some(base) => self.eval(ctx, at, word(base))?,
            None => 0,
        };
        let index = match mem.index {
            Some((index, scale)) => self.eval(ctx, at, word(index))?.wrapping_mul(u64::from(scale)),
            None => 0,
        };
        Some(base.wrapping_add(index).wrapping_add_signed(mem.displacement))
    }

    /// The value that a source had before an instruction, where it can be told.
    pub fn eval(&mut self, ctx: Ctx, at: usize, source: Src) -> Option<u64> {
        match source {
            Src::Const(value) => Some(value),
            Src::Reg(part) => self.eval_register(ctx, at, part),
            Src::Address(mem) => self.address_of(ctx, at, &mem),
            Src::Mem(mem) => {
                let address = self.address_of(ctx, at, &mem)?;
                self.eval_memory(ctx, at, address, mem.size)
            }
            Src::Other => None,
        }
    }

    fn eval_register(&mut self, ctx: Ctx, at: usize, part: Part) -> Option<u64> {
        if part.reg == RSP && part.offset == 0 {
            let sp = self.run(ctx).function.stack(at).sp?;
            return Some(super::op::mask(self.run(ctx).cfa.wrapping_add_signed(sp), part.size));
        }
        let key = (ctx, at, part);
        if let Some(&(known, read)) = self.evaluated.get(&key) {
            self.read_memory |= read;
            return known;
        }
        if self.eval_depth >= Limits::EVALUATIONS || self.states >= Limits::STATES {
            return None;
        }
        // What is being asked for is not known while it is: a loop.
        self.evaluated.insert(key, (None, false));
        self.eval_depth += 1;
        let outer = std::mem::replace(&mut self.read_memory, false);
        let found = self.find_register(ctx, at, part);
        self.eval_depth -= 1;
        self.evaluated.insert(key, (found, self.read_memory));
        self.read_memory |= outer;
        found
    }

    fn find_register(&mut self, ctx: Ctx, at: usize, part: Part) -> Option<u64> {
        let frame = self.run(ctx).frame;
        if let (Some(frame), Some(live)) = (frame, self.live(ctx))
            && !self.changed_between(ctx, at, live, Loc::Reg(part))
            && let Some(value) = self.live_value(ctx, frame, part.reg)
        {
            return Some(super::op::mask(value >> (u32::from(part.offset) * 8), part.size));
        }
        self.eval_by_definitions(ctx, at, Loc::Reg(part))
    }

    /// A register of a frame where it stands: as the unwinder recovered it, else as its callee was entered with it.
    fn live_value(&mut self, ctx: Ctx, frame: usize, reg: Reg) -> Option<u64> {
        if let Some(value) = self.frames.get(frame)?.registers.get(reg) {
            return Some(value);
        }
        let callee = self.of_frame(frame.checked_sub(1)?)?;
        if reg > 16 || self.caller(callee).is_none_or(|(caller, _)| caller != ctx) {
            return None;
        }
        let first = self.function(callee).first()?;
        self.entry_value(callee, first, reg)
    }

    /// What a frame was entered with in a register, as far as it still has it: in the register, or where it put it first.
    fn entry_value(&mut self, ctx: Ctx, first: usize, reg: Reg) -> Option<u64> {
        /// Instructions at the start of a function that put its parameters away.
        const REACH: usize = 24;
        let part = Part { reg, offset: 0, size: 8 };
        let (frame, live) = (self.run(ctx).frame?, self.live(ctx)?);
        if !self.changed_between(ctx, first, live, Loc::Reg(part))
            && let Some(value) = self.live_value(ctx, frame, reg)
        {
            return Some(value);
        }
        let function = self.function(ctx);
        let mut at = first;
        for _ in 0..REACH {
            let insn = function.insns.get(at)?;
            for op in &insn.ops {
                match *op {
                    Op::Store { to, from: Src::Reg(from) } if from == part => {
                        let offset = function.stack(at).slot(&to)?;
                        let address = self.run(ctx).cfa.wrapping_add_signed(offset);
                        let &[next] = function.after(at) else { return None };
                        let loc = Loc::Mem { address, size: 8 };
                        if next == live || !self.changed_between(ctx, next, live, loc) {
                            return self.word(address, 8);
                        }
                    }
                    Op::Set { to, from: Src::Reg(from), .. } if from == part && to.reg != reg && to.size == 8 => {
                        let &[next] = function.after(at) else { return None };
                        if (next == live || !self.changed_between(ctx, next, live, Loc::Reg(to)))
                            && let Some(value) = self.live_value(ctx, frame, to.reg)
                        {
                            return Some(value);
                        }
                    }
                    _ => {}
                }
            }
            if self.may_change(ctx, at, Loc::Reg(part)) {
                return None;
            }
            let &[next] = function.after(at) else { return None };
            at = next;
        }
        None
    }

    /// Memory as it was before an instruction: as it is now, unless that is a frame which is gone.
    pub fn eval_memory(&mut self, ctx: Ctx, at: usize, address: u64, size: u8) -> Option<u64> {
        let own = self.is_own(ctx, address);
        let loc = Loc::Mem { address, size };
        if own {
            let stale = match self.live(ctx) {
                Some(live) => self.changed_between(ctx, at, live, loc),
                None => true,
            };
            if stale {
                if self.eval_depth >= Limits::EVALUATIONS {
                    return None;
                }
                self.eval_depth += 1;
                let found = self.eval_by_definitions(ctx, at, loc);
                self.eval_depth -= 1;
                return found;
            }
        }
        self.read_memory |= !own;
        self.word(address, size)
    }

    /// The address lies in the frame of a run, or below it.
    pub fn is_own(&self, ctx: Ctx, address: u64) -> bool {
        address < self.run(ctx).cfa && self.run(ctx).cfa - address < 0x10_0000
    }

    /// Memory as it is now.
    pub fn word(&self, address: u64, size: u8) -> Option<u64> {
        let bytes = self.space.read(Avma(address), usize::from(size)).ok().filter(|_| size <= 8)?;
        let mut wide = [0; 8];
        wide.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(u64::from_le_bytes(wide))
    }

    /// The value by the definitions that reach the instruction, when they all agree.
    fn eval_by_definitions(&mut self, ctx: Ctx, at: usize, loc: Loc) -> Option<u64> {
        let outer = std::mem::replace(&mut self.stop_at_slots, true);
        let found = self.reaching(ctx, at, loc, None);
        self.stop_at_slots = outer;
        let mut agreed = None;
        for def in found {
            let value = match def.kind {
                Kind::Value(value) => value,
                Kind::Load { mem, extend } => {
                    let value = self.eval(ctx, def.at, Src::Mem(mem))?;
                    super::reach::extended(value, mem.size, extend)
                }
                Kind::Address(mem) => self.address_of(ctx, def.at, &mem)?,
                Kind::Compute { kind, left, right, size } => {
                    let left = self.eval(ctx, def.at, left)?;
                    let right = self.eval(ctx, def.at, right)?;
                    kind.apply(left, right, size)?
                }
                Kind::Result => match def.loc {
                    Loc::Reg(part) if part.reg == RAX && part.offset == 0 => self.result_of(ctx, def.at)?,
                    _ => return None,
                },
                Kind::Entry => match def.loc {
                    Loc::Reg(part) => {
                        let (caller, call) = self.caller(ctx)?;
                        self.eval(caller, call, Src::Reg(part))?
                    }
                    Loc::Mem { address, size } if !self.is_own(ctx, address) => {
                        self.read_memory = true;
                        self.word(address, size)?
                    }
                    Loc::Mem { .. } => return None,
                },
                Kind::Out | Kind::Maker(_) => continue,
                Kind::Unknown | Kind::Fill => return None,
            };
            let value = def.undo(value);
            if agreed.is_some_and(|agreed| agreed != value) {
                return None;
            }
            agreed = Some(value);
        }
        agreed
    }

    /// Something on a way from one instruction to another may change a register or a place in memory.
    fn changed_between(&mut self, ctx: Ctx, from: usize, to: usize, loc: Loc) -> bool {
        if from == to {
            return false;
        }
        let function = self.function(ctx);
        // Instructions from which `to` can be reached without passing `from` again.
        let mut behind = vec![false; function.insns.len()];
        let mut open: Vec<usize> = function.before(to).iter().map(|edge| edge.from).collect();
        while let Some(at) = open.pop() {
            if behind.get(at).copied().unwrap_or(true) {
                continue;
            }
            behind[at] = true;
            if at != from {
                open.extend(function.before(at).iter().map(|edge| edge.from));
            }
        }
        if !behind.get(from).copied().unwrap_or(false) {
            // It does not lead there at all: nothing is known.
            return true;
        }
        let mut seen = vec![false; function.insns.len()];
        let mut open = vec![from];
        while let Some(at) = open.pop() {
            if at == to && at != from || seen.get(at).copied().unwrap_or(true) || !behind[at] {
                continue;
            }
            seen[at] = true;
            if self.may_change(ctx, at, loc) {
                return true;
            }
            open.extend(function.after(at).iter().copied());
        }
        false
    }

    /// The first arguments of a call, as far as they are known.
    pub fn arguments(&mut self, ctx: Ctx, call: usize) -> Vec<(usize, u64)> {
        let known = ARGUMENTS.iter().enumerate().filter_map(|(number, &reg)| {
            let value = self.eval(ctx, call, Src::Reg(Part { reg, offset: 0, size: 8 }))?;
            Some((number, value))
        });
        known.collect()
    }
}
