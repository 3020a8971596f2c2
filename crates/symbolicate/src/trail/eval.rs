//! Values that registers and memory had, where they can be told from what the core holds.

use necropsy_model::Avma;

use super::context::Ctx;
use super::definition::{Kind, Loc};
use super::op::{Mem, Op, Part, Reg, Src};
use super::{Limits, Tracer};

/// Bytes below the frames of Go in which functions ran that have returned.
const BELOW: u64 = 512;

impl Tracer<'_, '_, '_> {
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

    pub fn eval_register(&mut self, ctx: Ctx, at: usize, part: Part) -> Option<u64> {
        if part.reg == self.machine.sp && part.offset == 0 {
            let sp = self.run(ctx).function.stack(at).sp?;
            return Some(super::op::mask(self.run(ctx).cfa.wrapping_add_signed(sp), part.size));
        }
        let key = (ctx, at, part);
        if let Some(&(known, read)) = self.evaluated.get(&key) {
            self.read_memory |= read;
            return known;
        }
        // What is being asked for is not known while it is: a loop.
        if self.eval_depth >= Limits::EVALUATIONS || self.states >= Limits::STATES || !self.asked.insert(key) {
            self.cut_short = true;
            return None;
        }
        self.eval_depth += 1;
        let outer = std::mem::replace(&mut self.read_memory, false);
        let cut = std::mem::replace(&mut self.cut_short, false);
        let found = self.find_register(ctx, at, part);
        self.eval_depth -= 1;
        self.asked.remove(&key);
        // Asked from elsewhere, it may be known after all.
        if found.is_some() || !self.cut_short || self.eval_depth == 0 || self.states > Limits::STATES / 2 {
            self.evaluated.insert(key, (found, self.read_memory));
        }
        self.cut_short |= cut;
        self.read_memory |= outer;
        found
    }

    pub fn find_register(&mut self, ctx: Ctx, at: usize, part: Part) -> Option<u64> {
        let frame = self.run(ctx).frame;
        if let (Some(frame), Some(live)) = (frame, self.live(ctx))
            && !self.changed_between(ctx, at, live, Loc::Reg(part))
            && let Some(value) = self.live_value(ctx, frame, part.reg)
        {
            return Some(super::op::mask(value >> (u32::from(part.offset) * 8), part.size));
        }
        if let (Some(frame), Some(live)) = (frame, self.live(ctx))
            && part.offset == 0
            && let Some(added) = self.added_between(ctx, at, live, part.reg)
            && let Some(value) = self.live_value(ctx, frame, part.reg)
        {
            return Some(super::op::mask(value.wrapping_sub(added), part.size));
        }
        if let Some(value) = self.eval_by_definitions(ctx, at, Loc::Reg(part)) {
            return Some(value);
        }
        let whole = self.kept_elsewhere(ctx, at, part.reg)?;
        Some(super::op::mask(whole >> (u32::from(part.offset) * 8), part.size))
    }

    /// What a register had before an instruction of a frame, when another place has the same: a copy that was made of it before or after
    /// while it still had the value, in a slot of the frame or in a register, which nothing changed since.
    ///
    /// A load overwrites the register that it read through, a call all that it need not keep; what a caller wants to see again
    /// it has put away.
    fn kept_elsewhere(&mut self, ctx: Ctx, at: usize, reg: Reg) -> Option<u64> {
        /// Instructions on the one way there, and on.
        const REACH: usize = 40;
        let (frame, live) = (self.run(ctx).frame?, self.live(ctx)?);
        let function = self.function(ctx);
        let whole = Part { reg, offset: 0, size: 8 };
        let mut here = at;
        for _ in 0..REACH {
            let &[edge] = function.before(here) else { break };
            let behind = std::mem::replace(&mut here, edge.from);
            if let Some(value) = self.copied_by(ctx, here, behind, live, frame, whole) {
                return Some(value);
            }
            if self.may_change(ctx, here, Loc::Reg(whole)) {
                break;
            }
        }
        here = at;
        for _ in 0..REACH {
            if here == live {
                break;
            }
            let Some(behind) = function.only_way(here, live) else { break };
            if let Some(value) = self.copied_by(ctx, here, behind, live, frame, whole) {
                return Some(value);
            }
            if self.may_change(ctx, here, Loc::Reg(whole)) {
                break;
            }
            here = behind;
        }
        None
    }

    /// Where an instruction copied a register to, when nothing changed that copy between the instruction behind it and another.
    fn kept_copy(&mut self, ctx: Ctx, (at, behind): (usize, usize), live: usize, whole: Part) -> Option<Loc> {
        let insn = self.insn(ctx, at)?;
        insn.ops.iter().find_map(|op| {
            let copy = match *op {
                Op::Store { to, from: Src::Reg(from) } if from == whole && to.size == 8 => {
                    let offset = self.run(ctx).function.stack(at).slot(&to)?;
                    Loc::Mem { address: self.run(ctx).cfa.wrapping_add_signed(offset), size: 8 }
                }
                Op::Set { to, from: Src::Reg(from), .. } if from == whole && to.reg != whole.reg && to.size == 8 => {
                    Loc::Reg(to)
                }
                _ => return None,
            };
            (behind == live || !self.changed_between(ctx, behind, live, copy)).then_some(copy)
        })
    }

    /// The value that an instruction copied out of a register, where that copy is still there.
    fn copied_by(&mut self, ctx: Ctx, at: usize, behind: usize, live: usize, frame: usize, whole: Part) -> Option<u64> {
        match self.kept_copy(ctx, (at, behind), live, whole)? {
            Loc::Mem { address, size } => self.word(address, size),
            Loc::Reg(to) => self.frames.get(frame)?.registers.get(to.reg),
        }
    }

    /// What was added to a register on the one way from an instruction to another: a loop counts on before it calls.
    fn added_between(&mut self, ctx: Ctx, from: usize, to: usize, reg: Reg) -> Option<u64> {
        /// Instructions on the way.
        const REACH: usize = 64;
        let function = self.function(ctx);
        let (mut at, mut sum) = (from, 0_u64);
        let whole = Part { reg, offset: 0, size: 8 };
        for _ in 0..REACH {
            if at == to {
                return Some(sum);
            }
            let insn = function.insns.get(at)?;
            match *insn.ops.as_slice() {
                [Op::Compute { to, kind, left: Src::Reg(left), right: Src::Const(by), size: 8 }]
                    if to.reg == reg && left == whole =>
                {
                    sum = match kind {
                        super::op::Arith::Add => sum.wrapping_add(by),
                        super::op::Arith::Sub => sum.wrapping_sub(by),
                        _ => return None,
                    };
                }
                _ if self.may_change(ctx, at, Loc::Reg(whole)) => return None,
                _ => {}
            }
            let &[next] = function.after(at) else { return None };
            at = next;
        }
        None
    }

    /// A register of a frame where it stands: as the unwinder recovered it, else as its callee was entered with it.
    pub fn live_value(&mut self, ctx: Ctx, frame: usize, reg: Reg) -> Option<u64> {
        // The function that jumped from here used them for itself.
        if self.jumped_from == Some(frame) && (self.machine.is_scratch)(reg) {
            return None;
        }
        if let Some(value) = self.frames.get(frame)?.registers.get(reg) {
            return Some(value);
        }
        let callee = self.of_frame(frame.checked_sub(1)?)?;
        if reg >= self.machine.vectors || self.caller(callee).is_none_or(|(caller, _)| caller != ctx) {
            return None;
        }
        let first = self.function(callee).first()?;
        self.entry_value(callee, first, reg)
    }

    /// What a frame was entered with in a register, as far as it still has it: in the register, or where it put it first.
    pub fn entry_value(&mut self, ctx: Ctx, first: usize, reg: Reg) -> Option<u64> {
        /// Instructions at the start of a function that put its parameters away.
        const REACH: usize = 32;
        let part = Part { reg, offset: 0, size: 8 };
        let (frame, live) = (self.run(ctx).frame?, self.live(ctx)?);
        if !self.changed_between(ctx, first, live, Loc::Reg(part))
            && let Some(value) = self.live_value(ctx, frame, reg)
        {
            return Some(value);
        }
        let function = self.function(ctx);
        // Large frames begin with a loop that touches their pages.
        for at in (first..function.insns.len()).take(REACH) {
            let &[next] = function.after(at) else { continue };
            let Some(copy) = self.kept_copy(ctx, (at, next), live, part) else { continue };
            if function.can_pass_by(first, at, live) || self.changed_between(ctx, first, at, Loc::Reg(part)) {
                continue;
            }
            match copy {
                Loc::Mem { address, size } => return self.word(address, size),
                Loc::Reg(to) => {
                    if let Some(value) = self.live_value(ctx, frame, to.reg) {
                        return Some(value);
                    }
                }
            }
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
        if self.is_gone(ctx, address) {
            return None;
        }
        self.read_memory |= !own;
        self.word(address, size)
    }

    /// The address lies in a frame that is gone: what is there now was written by others.
    pub fn is_gone(&mut self, ctx: Ctx, address: u64) -> bool {
        let (mut outermost, mut gone) = (ctx, None);
        while self.run(outermost).frame.is_none() {
            gone = Some(self.run(outermost).cfa);
            let Some((caller, _)) = self.caller(outermost) else { break };
            outermost = caller;
        }
        gone.is_some_and(|cfa| address < cfa && cfa - address < 0x10_0000)
    }

    /// The address lies in the frame of a run, or below it.
    pub fn is_own(&self, ctx: Ctx, address: u64) -> bool {
        let outside = self.stack.is_some_and(|(low, _)| address < low.saturating_sub(BELOW));
        address < self.run(ctx).cfa && self.run(ctx).cfa - address < 0x10_0000 && !outside
    }

    /// Memory as it is now.
    pub fn word(&self, address: u64, size: u8) -> Option<u64> {
        let bytes = self.space.read(Avma(address), usize::from(size)).ok().filter(|_| size <= 8)?;
        let mut wide = [0; 8];
        wide.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(u64::from_le_bytes(wide))
    }

    /// The value by the definitions that reach the instruction, when they all agree.
    pub fn eval_by_definitions(&mut self, ctx: Ctx, at: usize, loc: Loc) -> Option<u64> {
        let outer = std::mem::replace(&mut self.stop_at_slots, true);
        let found = self.reaching(ctx, at, loc, None);
        self.stop_at_slots = outer;
        let mut agreed = None;
        for def in found {
            let value = match def.kind {
                Kind::Value(value) => value,
                Kind::Load { mem, extend } => {
                    let value = self.eval(ctx, def.at, Src::Mem(mem))?;
                    super::definition::extended(value, mem.size, extend)
                }
                Kind::Address(mem) => self.address_of(ctx, def.at, &mem)?,
                Kind::Compute { kind, left, right, size } => {
                    let left = self.eval(ctx, def.at, left)?;
                    let right = self.eval(ctx, def.at, right)?;
                    kind.apply(left, right, size)?
                }
                Kind::Result => match def.loc {
                    Loc::Reg(part) if part.reg == self.machine.result && part.offset == 0 => {
                        match self.result_of(ctx, def.at) {
                            Some(known) => known,
                            None => self.looked_up(ctx, def.at)?,
                        }
                    }
                    _ => return None,
                },
                Kind::Entry => match def.loc {
                    Loc::Reg(part) => match self.run(ctx).given {
                        Some((reg, known)) if reg == part.reg && part.offset == 0 => super::op::mask(known, part.size),
                        _ => self.entered_with(ctx, part)?,
                    },
                    Loc::Mem { address, size } if !self.is_own(ctx, address) && !self.is_gone(ctx, address) => {
                        self.read_memory = true;
                        self.word(address, size)?
                    }
                    Loc::Mem { .. } => return None,
                },
                Kind::Out | Kind::Element(..) | Kind::Maker(_) => continue,
                Kind::Unknown | Kind::Counter | Kind::Fill => return None,
            };
            let value = def.undo(value);
            if agreed.is_some_and(|agreed| agreed != value) {
                return None;
            }
            agreed = Some(value);
        }
        agreed
    }

    /// What a function was entered with: as it put it away itself, else as its caller had it.
    fn entered_with(&mut self, ctx: Ctx, part: Part) -> Option<u64> {
        let first = self.function(ctx).first()?;
        if let Some(value) = self.entry_value(ctx, first, part.reg) {
            return Some(super::op::mask(value >> (u32::from(part.offset) * 8), part.size));
        }
        let (caller, call) = self.caller(ctx)?;
        self.eval(caller, call, Src::Reg(part))
    }

    /// Something on a way from one instruction to another may change a register or a place in memory.
    pub fn changed_between(&mut self, ctx: Ctx, from: usize, to: usize, loc: Loc) -> bool {
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
        let known = self.machine.arguments.iter().enumerate().filter_map(|(number, &reg)| {
            let value = self.eval(ctx, call, Src::Reg(Part { reg, offset: 0, size: 8 }))?;
            Some((number, value))
        });
        known.collect()
    }
}
