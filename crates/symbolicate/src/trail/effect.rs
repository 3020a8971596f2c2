//! What one operation does to the place that is followed: nothing, a copy from elsewhere, a definition, or a proof that the
//! value can not have come this way.

use super::Tracer;
use super::context::Ctx;
use super::definition::{Changed, Kind, Loc, extended};
use super::op::{Arith, Extend, Flow, Mem, Op, Part, Src, mask, sign_extend};
use super::reach::State;

/// Largest element of an array that is believed.
const ELEMENT: u64 = 1 << 20;

/// A register, of 4 or 8 bytes, times a number.
fn scaled_copy(from: Part, by: u64, value: Option<u64>) -> Effect {
    let by = by.max(1);
    let value = match value.map(|value| sign_extend(value, from.size)) {
        Some(value) if value % by.cast_signed() != 0 => return Effect::Impossible,
        value => value.map(|value| mask((value / by.cast_signed()).cast_unsigned(), from.size)),
    };
    Effect::Copy { loc: Loc::Reg(from), value, changed: Some(Changed::Scaled { by, size: from.size }) }
}

/// What an operation does to a place.
pub(super) enum Effect {
    /// Nothing.
    None,
    /// It gives it a value of this kind.
    Def(Kind),
    /// It copies it from elsewhere.
    Copy { loc: Loc, value: Option<u64>, changed: Option<Changed> },
    /// It can not have given it the value.
    Impossible,
}

impl Tracer<'_, '_, '_> {
    /// Two small members share a register, as structures of up to 16 bytes are returned: `high << 32 | low` and `both >> 32`.
    /// Where this half of the result comes from.
    fn half(&mut self, ctx: Ctx, at: usize, operation: (Arith, Src, Src), part: Part) -> Option<Part> {
        const HALF: u64 = 32;
        let of = |reg, offset| Some(Part { reg, offset, size: part.size });
        match operation {
            _ if part.size > 4 || !matches!(part.offset, 0 | 4) => None,
            (Arith::Shl, Src::Reg(from), Src::Const(HALF)) if part.offset == 4 && from.offset == 0 => of(from.reg, 0),
            (Arith::Shr | Arith::Sar, Src::Reg(from), Src::Const(HALF)) if part.offset == 0 && from.offset == 0 => {
                of(from.reg, 4)
            }
            (Arith::Or, Src::Reg(left), Src::Reg(right)) => {
                let (high, low) = match (self.is_high_half(ctx, at, left), self.is_high_half(ctx, at, right)) {
                    (true, false) => (left, right),
                    (false, true) => (right, left),
                    _ => return None,
                };
                let from = if part.offset == 4 { high } else { low };
                of(from.reg, from.offset + part.offset)
            }
            _ => None,
        }
    }

    /// A register was moved up by 32 bits.
    fn is_high_half(&mut self, ctx: Ctx, at: usize, part: Part) -> bool {
        let defs = self.reaching(ctx, at, Loc::Reg(part), None);
        let moved = |kind| matches!(kind, Kind::Compute { kind: Arith::Shl, right: Src::Const(32), .. });
        !defs.is_empty() && defs.iter().all(|def| moved(def.kind))
    }

    pub fn effect(&mut self, ctx: Ctx, at: usize, op: &Op, state: &State) -> Effect {
        match (*op, state.loc) {
            (Op::Set { to, from, extend }, Loc::Reg(part)) if to.reg == part.reg => {
                self.set(ctx, at, (to.offset, to.size), (part.offset, part.size), from, extend, state)
            }
            (Op::MaySet { to, from }, Loc::Reg(part)) if to.reg == part.reg => {
                self.set(ctx, at, (to.offset, to.size), (part.offset, part.size), from, Extend::Zero, state)
            }
            (Op::Compute { to, kind, left, right, size }, Loc::Reg(part)) if to.reg == part.reg => {
                if to.offset == 0
                    && size == 8
                    && let Some(from) = self.half(ctx, at, (kind, left, right), part)
                {
                    return Effect::Copy { loc: Loc::Reg(from), value: state.value, changed: None };
                }
                if part.offset != to.offset {
                    return Effect::Def(Kind::Unknown);
                }
                if part.size > size && state.value.is_some_and(|value| value != mask(value, size)) {
                    return Effect::Impossible;
                }
                let by = match (kind, left, right) {
                    (Arith::Add, Src::Reg(from), Src::Const(by)) | (Arith::Add, Src::Const(by), Src::Reg(from)) => {
                        Some((from, by))
                    }
                    (Arith::Sub, Src::Reg(from), Src::Const(by)) => Some((from, by.wrapping_neg())),
                    _ => None,
                };
                // An index times the size of an element.
                let factor = match (kind, left, right) {
                    (Arith::Shl, Src::Reg(from), Src::Const(count @ 1..=16)) => Some((from, 1_u64 << count)),
                    (Arith::Mul, Src::Reg(from), Src::Const(by @ 2..=ELEMENT))
                    | (Arith::Mul, Src::Const(by @ 2..=ELEMENT), Src::Reg(from)) => Some((from, by)),
                    _ => None,
                };
                if let Some((from, by)) = factor.filter(|_| size == part.size && !self.sizing) {
                    // Of 32 bits, upper ones may be gone: only a number that can be undone counts.
                    let undone = |value| sign_extend(value, 4) % by.cast_signed() == 0;
                    let multiplied = kind == Arith::Mul && state.value.is_some_and(undone);
                    if size == 8 || size == 4 && multiplied {
                        return scaled_copy(Part { size, ..from }, by, state.value);
                    }
                }
                // What can be undone: `-x`, `5 - x`, `~x`.
                let undone = match (kind, left, right) {
                    (Arith::Sub, Src::Const(of), Src::Reg(from)) => Some((from, Changed::TakenFrom { of, size })),
                    (Arith::Xor, Src::Reg(from), Src::Const(by)) => Some((from, Changed::Flipped { by, size })),
                    _ => None,
                };
                if let Some((from, changed)) = undone.filter(|_| size == part.size.min(size)) {
                    let value = state.value.map(|value| changed.before(mask(value, size)));
                    return Effect::Copy { loc: Loc::Reg(Part { size, ..from }), value, changed: Some(changed) };
                }
                // A truth value of one byte is cut to its bit; nothing is left of what is cut to none.
                match (kind, left, right) {
                    (Arith::And, Src::Reg(from), Src::Const(1)) if size == 1 => {
                        return Effect::Copy {
                            loc: Loc::Reg(Part { size, ..from }),
                            value: state.value,
                            changed: None,
                        };
                    }
                    (Arith::And, _, Src::Const(0)) if state.value.is_none_or(|value| value == 0) => {
                        return Effect::Def(Kind::Value(0));
                    }
                    _ => {}
                }
                let Some((from, by)) = by else { return Effect::Def(Kind::Compute { kind, left, right, size }) };
                let width = size.min(part.size);
                Effect::Copy {
                    loc: Loc::Reg(Part { size: width, ..from }),
                    value: state.value.map(|value| mask(value.wrapping_sub(by), width)),
                    changed: Some(Changed::Added { by, size: width }),
                }
            }
            (Op::Write(reg), Loc::Reg(part)) if reg == part.reg => Effect::Def(Kind::Unknown),
            (Op::Store { to, from }, Loc::Mem { address, size }) => {
                let Some(start) = self.address_of(ctx, at, &to) else {
                    self.part_given |= self.may_store_to(ctx, at, &to, address);
                    return Effect::None;
                };
                let Some((offset, covered)) = overlap((start, to.size), (address, size)) else { return Effect::None };
                if !covered {
                    return Effect::Def(Kind::Unknown);
                }
                if let (Some(value), false, true) = (state.value, self.is_own(ctx, address), to.size == size) {
                    // What is read from memory now may not be what was read then.
                    let outer = std::mem::replace(&mut self.read_memory, false);
                    let stored = self.eval(ctx, at, from).map(|stored| mask(stored, size));
                    let stored = stored.filter(|_| !self.read_memory);
                    self.read_memory |= outer;
                    if stored.is_some_and(|stored| stored != value) {
                        self.overwritten = Some((ctx, at));
                        return Effect::Impossible;
                    }
                }
                self.set(ctx, at, (0, to.size), (offset, size), from, Extend::Zero, state)
            }
            (Op::Update { to, kind, right }, Loc::Mem { address, size }) => {
                let Some(start) = self.address_of(ctx, at, &to) else { return Effect::None };
                let by = match (kind, right) {
                    (Arith::Add, Src::Const(by)) => Some(by),
                    (Arith::Sub, Src::Const(by)) => Some(by.wrapping_neg()),
                    _ => None,
                };
                match overlap((start, to.size), (address, size)) {
                    None => Effect::None,
                    Some((0, true)) if to.size == size && self.is_own(ctx, address) && by.is_some() => {
                        let by = by.unwrap_or_default();
                        Effect::Copy {
                            loc: state.loc,
                            value: state.value.map(|value| mask(value.wrapping_sub(by), size)),
                            changed: Some(Changed::Added { by, size }),
                        }
                    }
                    Some((0, true)) => Effect::Def(Kind::Compute { kind, left: Src::Mem(to), right, size: to.size }),
                    Some(_) => Effect::Def(Kind::Unknown),
                }
            }
            (Op::Fill { to, .. }, Loc::Mem { address, .. }) => {
                /// Bytes that one instruction fills, when their number is not known.
                const FILLED: u64 = 256;
                let Some(start) = self.address_of(ctx, at, &to) else { return Effect::None };
                if address.wrapping_sub(start) < FILLED { Effect::Def(Kind::Fill) } else { Effect::None }
            }
            _ => Effect::None,
        }
    }

    /// What a copy to the bytes `to` (first, count) says of the bytes `asked`.
    #[expect(clippy::too_many_arguments, reason = "both ends of a copy, and the point of the search")]
    fn set(
        &mut self,
        ctx: Ctx,
        at: usize,
        to: (u8, u8),
        asked: (u8, u8),
        from: Src,
        extend: Extend,
        state: &State,
    ) -> Effect {
        let Some(skip) = asked.0.checked_sub(to.0) else {
            return if asked.0 + asked.1 <= to.0 { Effect::None } else { Effect::Def(Kind::Unknown) };
        };
        if skip >= to.1 {
            return Effect::None;
        }
        if skip + asked.1 > to.1 {
            return Effect::Def(Kind::Unknown);
        }
        let size = match from {
            Src::Reg(part) => part.size,
            Src::Mem(mem) => mem.size,
            Src::Const(_) | Src::Address(_) => 8,
            Src::Other => return Effect::Def(Kind::Unknown),
        };
        if let Src::Const(constant) = from {
            let shifted = if skip >= 8 { 0 } else { constant >> (u32::from(skip) * 8) };
            let given = mask(shifted, asked.1);
            let fits = state.value.is_none_or(|value| mask(value, asked.1.min(8)) == mask(given, asked.1.min(8)));
            return if fits { Effect::Def(Kind::Value(given)) } else { Effect::Impossible };
        }
        if skip >= size {
            return match (extend, state.value) {
                (Extend::Zero, Some(value)) if value != 0 => Effect::Impossible,
                (Extend::Zero, _) => Effect::Def(Kind::Value(0)),
                (Extend::Sign, _) => Effect::Def(Kind::Unknown),
            };
        }
        let whole = skip + asked.1 <= size;
        let width = if whole { asked.1 } else { size - skip };
        let mut value = state.value;
        let mut changed = None;
        if !whole {
            let wide = |value| mask(extended(value, width, extend), asked.1);
            if value.is_some_and(|value| wide(value) != value) {
                return Effect::Impossible;
            }
            value = value.map(|value| mask(value, width));
            changed = Some(Changed::Extended { size: width, extend });
        }
        match from {
            Src::Reg(part) => {
                let loc = Loc::Reg(Part { reg: part.reg, offset: part.offset + skip, size: width });
                if part.reg == self.machine.sp {
                    return self.pointer_to_stack(
                        ctx,
                        at,
                        Mem { base: Some(self.machine.sp), index: None, displacement: 0, size: 8, thread_local: false },
                        state,
                    );
                }
                Effect::Copy { loc, value, changed }
            }
            Src::Mem(mem) => {
                let mem = Mem { displacement: mem.displacement.wrapping_add(i64::from(skip)), size: width, ..mem };
                self.slot_or_load(ctx, at, mem, if whole { Extend::Zero } else { extend }, value, changed)
            }
            Src::Address(mem) => {
                let slot = self.run(ctx).function.stack(at).slot(&mem).is_some();
                if slot || mem.base == Some(self.machine.sp) {
                    return self.pointer_to_stack(ctx, at, mem, state);
                }
                match (mem.base, mem.index) {
                    (Some(base), None) => {
                        let by = mem.displacement.cast_unsigned();
                        let loc = Loc::Reg(Part { reg: base, offset: 0, size: width });
                        Effect::Copy {
                            loc,
                            value: value.map(|value| mask(value.wrapping_sub(by), width)),
                            changed: Some(Changed::Added { by, size: width }),
                        }
                    }
                    (None, None) => {
                        let given = mem.displacement.cast_unsigned();
                        let fits = value.is_none_or(|value| mask(given, width) == value);
                        if fits { Effect::Def(Kind::Value(given)) } else { Effect::Impossible }
                    }
                    (None, Some((index, by))) if mem.displacement == 0 && width == 8 => {
                        let from = Part { reg: index, offset: 0, size: 8 };
                        scaled_copy(from, u64::from(by).max(1), value)
                    }
                    // `lea (%rax,%rax,2)` is three times it.
                    (Some(base), Some((index, by)))
                        if base == index && mem.displacement == 0 && width == 8 && !self.sizing =>
                    {
                        let from = Part { reg: index, offset: 0, size: 8 };
                        scaled_copy(from, u64::from(by).saturating_add(1), value)
                    }
                    _ => Effect::Def(Kind::Address(mem)),
                }
            }
            Src::Const(_) | Src::Other => Effect::Def(Kind::Unknown),
        }
    }

    fn pointer_to_stack(&mut self, ctx: Ctx, at: usize, mem: Mem, state: &State) -> Effect {
        let known = self.address_of(ctx, at, &mem);
        match (known, state.value) {
            (Some(known), Some(value)) if mask(known, state.loc.size()) != value => Effect::Impossible,
            _ => Effect::Def(Kind::Address(mem)),
        }
    }

    /// A load: the slots of the function's own frame are followed at once.
    fn slot_or_load(
        &mut self,
        ctx: Ctx,
        at: usize,
        mem: Mem,
        extend: Extend,
        value: Option<u64>,
        changed: Option<Changed>,
    ) -> Effect {
        let slot = self.run(ctx).function.stack(at).slot(&mem);
        let Some(offset) = slot else { return Effect::Def(Kind::Load { mem, extend }) };
        let address = self.run(ctx).cfa.wrapping_add_signed(offset);
        if offset >= 0 || mem.base != Some(self.machine.sp) && mem.base != Some(self.machine.fp) {
            // An argument on the stack, or the caller's.
            return Effect::Copy { loc: Loc::Mem { address, size: mem.size }, value, changed };
        }
        if self.stop_at_slots && self.live(ctx).is_some() {
            return Effect::Def(Kind::Load { mem, extend });
        }
        let loc = Loc::Mem { address, size: mem.size };
        if let (Some(value), Some(live)) = (value, self.live(ctx))
            && let Some(content) = self.word(address, mem.size)
            && content != value
            && !self.may_change_after(ctx, at, live, loc)
        {
            return Effect::Impossible;
        }
        Effect::Copy { loc, value, changed }
    }

    /// Something between a load and the point where the frame stands may have changed its slot.
    pub fn may_change_after(&mut self, ctx: Ctx, from: usize, live: usize, loc: Loc) -> bool {
        let function = self.function(ctx);
        let mut seen = vec![false; function.insns.len()];
        let mut open = vec![from];
        while let Some(at) = open.pop() {
            if seen.get(at).copied().unwrap_or(true) {
                continue;
            }
            seen[at] = true;
            if self.may_change(ctx, at, loc) {
                return true;
            }
            if at != live {
                open.extend(function.after(at).iter().copied());
            }
        }
        false
    }

    /// An instruction may change a place. Calls are trusted not to change what they were not given.
    pub fn may_change(&mut self, ctx: Ctx, at: usize, loc: Loc) -> bool {
        let function = self.function(ctx);
        let Some(insn) = function.insns.get(at) else { return true };
        if let (Flow::Call(_), Loc::Reg(part)) = (insn.flow, loc)
            && (self.machine.is_scratch)(part.reg)
        {
            if self.keeps_registers(insn) {
                return false;
            }
            return self.clobbers(ctx, at, part.reg) || self.gives_back(ctx, at, part.reg);
        }
        insn.ops.iter().any(|op| match (*op, loc) {
            (Op::Set { to, .. } | Op::MaySet { to, .. } | Op::Compute { to, .. }, Loc::Reg(part)) => to.reg == part.reg,
            (Op::Write(reg), Loc::Reg(part)) => reg == part.reg,
            (Op::Store { to, .. } | Op::Update { to, .. }, Loc::Mem { address, size }) => {
                let start = match (self.run(ctx).function.stack(at).slot(&to), to.base) {
                    (Some(offset), _) => Some(self.run(ctx).cfa.wrapping_add_signed(offset)),
                    (None, None) if to.index.is_none() => Some(to.displacement.cast_unsigned()),
                    _ => None,
                };
                start.is_some_and(|start| overlap((start, to.size), (address, size)).is_some())
            }
            _ => false,
        })
    }
}

/// How the bytes asked for lie in those that are stored: offset of the first, and whether all are covered.
fn overlap(stored: (u64, u8), asked: (u64, u8)) -> Option<(u8, bool)> {
    let (start, size) = stored;
    let (address, wanted) = asked;
    let end = start.checked_add(u64::from(size))?;
    let behind = address.checked_add(u64::from(wanted))?;
    if behind <= start || end <= address {
        return None;
    }
    let covered = start <= address && behind <= end;
    let offset = u8::try_from(address.saturating_sub(start)).unwrap_or(0);
    Some((if covered { offset } else { 0 }, covered))
}
