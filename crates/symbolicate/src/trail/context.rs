//! Functions as they ran: frames of the stack, and calls that have returned, with the values that are known in them.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::rc::Rc;

use necropsy_model::{Avma, CodeAddress, FrameKind};

use super::function::{Function, Reader, Stack};
use super::op::{Flow, Insn, Reg, Src};
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
    /// What it was entered with in a register, when its caller called it for every element of an array: the run for one.
    pub given: Option<(Reg, u64)>,
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
        self.run(ctx).function.insns.get(index).map_or(0, |insn| self.machine.instruction_of(insn.at))
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

    pub fn make_frame(&mut self, frame: usize) -> Option<Ctx> {
        let raw = self.frames.get(frame)?;
        if raw.kind != FrameKind::Normal {
            return None;
        }
        let lookup = raw.address.lookup().0;
        let offset = |value: Option<u64>| value.zip(raw.cfa).map(|(value, cfa)| value.wrapping_sub(cfa).cast_signed());
        let fp = offset(raw.registers.get(self.machine.fp)).filter(|fp| (-0x10_0000..=0).contains(fp));
        let stack = Stack::new(self.machine, offset(raw.registers.sp()), fp);
        let at = match raw.address {
            CodeAddress::Instruction(at) => at.0,
            CodeAddress::Return(_) => self.call_before(raw.address.address().0, lookup)?,
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
            given: None,
            depth: 0,
        });
        Some(Ctx(self.runs.len() - 1))
    }

    /// The call that ends at a return address, in the function around another address.
    ///
    /// The bytes before may be read in several ways: `call *%r14` without its prefix is `call *%rsi`. The code of the function from
    /// its entry on tells which one it is; else the longer of the two.
    pub fn call_before(&mut self, back: u64, lookup: u64) -> Option<u64> {
        let calls = self.machine.calls.clone().filter_map(|length| {
            let at = back.checked_sub(length)?;
            let bytes = self.space.read(Avma(at), usize::try_from(length).ok()?).ok()?;
            let insn = (self.machine.lift)(bytes, at)?;
            let leaves = matches!(insn.flow, Flow::Call(_) | Flow::Jump(_) | Flow::Branch(..) | Flow::JumpTo(_));
            (insn.next == back && leaves).then_some(at)
        });
        let calls: Vec<u64> = calls.collect();
        let &first = calls.first()?;
        if calls.len() > 1
            && let Some(function) = self.function_at(lookup, None)
            && let Some(&known) = calls.iter().find(|&&at| function.at(at).is_some())
        {
            return Some(known);
        }
        let prefixed =
            calls.get(1).copied().filter(|&at| at + 1 == first && self.byte(at).is_some_and(self.machine.is_prefix));
        Some(prefixed.unwrap_or(first))
    }

    fn byte(&self, at: u64) -> Option<u8> {
        self.space.read(Avma(at), 1).ok()?.first().copied()
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

    /// The outermost frame that is known, and the dump does not hold the stack where it stands.
    pub fn lacks_stack(&self, ctx: Ctx) -> bool {
        let Some(frame) = self.run(ctx).frame.filter(|frame| frame + 1 == self.frames.len()) else { return false };
        let sp = self.frames.get(frame).and_then(|frame| frame.registers.sp());
        sp.is_some_and(|sp| self.word(sp, 8).is_none())
    }

    pub fn find_caller(&mut self, ctx: Ctx) -> Option<(Ctx, usize)> {
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
    pub fn same_function(&mut self, one: u64, other: u64) -> bool {
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
        self.enter_with(caller, call, target, None)
    }

    /// A call that has returned, of which one parameter is known better than its caller tells.
    pub fn enter_with(&mut self, caller: Ctx, call: usize, target: u64, given: Option<(Reg, u64)>) -> Option<Ctx> {
        let depth = self.run(caller).depth + 1;
        if depth > Limits::DESCENTS {
            return None;
        }
        if let Some(&known) = self.entered.get(&(caller, call, target, given)) {
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
            given: None,
            depth,
        });
        let ctx = Ctx(self.runs.len() - 1);
        self.runs[ctx.0].given = given;
        self.entered.insert((caller, call, target, given), ctx);
        Some(ctx)
    }

    /// A call jumped to where there is no code, so that it left no frame: the registers there are still its own.
    pub fn stands_at(&mut self, ctx: Ctx, at: usize, frame: usize) {
        let run = &mut self.runs[ctx.0];
        (run.frame, run.live) = (Some(frame), Some(at));
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
            given: None,
            depth,
        });
        Some(Ctx(self.runs.len() - 1))
    }

    /// The code of the function around an address.
    pub fn function_at(&mut self, address: u64, seed: Option<(u64, Stack)>) -> Option<Rc<Function>> {
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
        let machine = self.machine;
        let mut comes_back = |insn: &Insn| {
            // Whoever is on the stack called somebody.
            let Flow::Call(Src::Const(target)) = insn.flow else { return true };
            *targets.entry(target).or_insert_with(|| !self.is_noreturn(target))
        };
        let also: Vec<_> = seed.into_iter().collect();
        let reader = Reader { space, machine, ranges, comes_back: &mut comes_back, in_order: OnceCell::new() };
        let mut function = reader.read(entry, &also);
        if let Some(function) = &mut function {
            self.link_returns_twice(function);
        }
        let function = function.map(Rc::new);
        self.functions.insert(entry, function.clone());
        function
    }

    /// `setjmp` returns a second time, from wherever `longjmp` was called: from any call of the function.
    pub fn link_returns_twice(&mut self, function: &mut Function) {
        const NAMES: [&str; 2] = ["setjmp", "sigsetjmp"];
        let calls: Vec<(usize, u64)> = function.direct_calls().collect();
        let twice = calls.iter().filter(|&&(_, target)| {
            let behind = self.behind_plt(target);
            let name = self.function_name(behind).unwrap_or_default();
            NAMES.contains(&super::library::plain_name(&name))
        });
        let twice: Vec<usize> = twice.map(|&(at, _)| at).collect();
        function.returns_twice = !twice.is_empty();
        for at in twice {
            let others = calls.iter().filter(|&&(other, _)| other > at).map(|&(other, _)| other);
            let others: Vec<usize> = others.collect();
            function.link_back(at, &others);
        }
    }

    /// A call that has not returned may have left by `longjmp`: to the frame below it, which called `setjmp`.
    pub fn may_jump_back(&mut self, mut ctx: Ctx) -> bool {
        while !self.run(ctx).function.returns_twice {
            if self.run(ctx).frame.is_some() {
                return false;
            }
            let Some((caller, _)) = self.caller(ctx) else { return false };
            ctx = caller;
        }
        true
    }

    /// The function at the other end of an entry of the procedure linkage table.
    pub fn behind_plt(&self, target: u64) -> u64 {
        let Some((slot, found)) = unwind::behind_plt(Avma(target), self.machine.arch, self.space) else {
            return target;
        };
        self.name_by_link(slot, found.0);
        found.0
    }

    /// Where a function has no name of its own, that by which a slot was bound to it counts: libraries have several variants of
    /// `memcpy`, for one kind of processor each, and without debug information only one name for all.
    fn name_by_link(&self, slot: Avma, function: u64) {
        use object::{Object, ObjectSymbol, ObjectSymbolTable, RelocationTarget};
        if self.linked.borrow().contains_key(&function) || self.function_name(function).is_some() {
            return;
        }
        let name = || {
            let (_, image) = self.space.images.at(slot)?;
            let elf = image.elf.as_ref()?;
            let at = image.bias.to_svma(slot).0;
            let (_, bound) = elf.dynamic_relocations()?.find(|&(place, _)| place == at)?;
            let RelocationTarget::Symbol(symbol) = bound.target() else { return None };
            elf.dynamic_symbol_table()?.symbol_by_index(symbol).ok()?.name().ok().map(str::to_owned)
        };
        if let Some(name) = name() {
            self.linked.borrow_mut().insert(function, name);
        }
    }

    pub fn is_noreturn(&mut self, target: u64) -> bool {
        let behind = self.behind_plt(target);
        let name = self.function_name(behind).or_else(|| self.function_name(target));
        let Some(name) = name else { return false };
        !super::library::comes_back(&name)
    }

    /// The name of the function that an instruction leaves for; empty where it is not known.
    pub fn called_name(&mut self, ctx: Ctx, at: usize) -> Option<String> {
        let target = super::subject::called(self.insn(ctx, at)?.flow)?;
        Some(self.target(ctx, at, target).and_then(|target| self.function_name(target)).unwrap_or_default())
    }

    /// The address that a call or jump goes to, through the procedure linkage table.
    pub fn target(&mut self, ctx: Ctx, call: usize, target: Src) -> Option<u64> {
        let direct = match target {
            Src::Const(address) => address,
            source => self.eval(ctx, call, source)?,
        };
        self.space.is_code(Avma(direct)).then(|| self.behind_plt(direct))
    }
}
