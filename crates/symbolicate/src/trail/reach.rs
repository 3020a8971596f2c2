//! Which instructions of a function can have given a register or a place in memory its value: backwards over all paths,
//! through copies, with the value, where it is known, as a filter.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use super::context::Ctx;
use super::op::{Arith, Extend, Flow, Mem, Op, Part, Reg, Src, mask, sign_extend};
use super::x86_64::{RBP, RSP, SCRATCH};
use super::{Limits, Tracer};

/// Where a value is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Loc {
    /// In a register or a part of it.
    Reg(Part),
    /// In memory.
    Mem { address: u64, size: u8 },
}

impl Loc {
    pub fn size(self) -> u8 {
        match self {
            Self::Reg(part) => part.size,
            Self::Mem { size, .. } => size,
        }
    }
}

/// What gives a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A constant.
    Value(u64),
    /// A load.
    Load { mem: Mem, extend: Extend },
    /// An address that is not a plain copy of a register.
    Address(Mem),
    /// Arithmetic.
    Compute { kind: Arith, left: Src, right: Src, size: u8 },
    /// The result of a call.
    Result,
    /// A call that got a pointer to the place.
    Out,
    /// A call that returned the pointer to the object around the place: the object's address.
    Maker(u64),
    /// What the function was entered with.
    Entry,
    /// An instruction that fills memory.
    Fill,
    /// An instruction that is not followed.
    Unknown,
}

/// A definition that reaches.
#[derive(Clone, Debug)]
pub(super) struct Def {
    /// The instruction.
    pub at: usize,
    pub kind: Kind,
    /// Where the value was kept there.
    pub loc: Loc,
    /// The value there, if it is known.
    pub value: Option<u64>,
    /// The last store that it went through on the way from there.
    pub store: Option<usize>,
    /// Copies in between that change it, the last one first.
    changes: Option<Rc<Change>>,
}

impl Def {
    /// Where a search begins.
    pub fn start(at: usize, loc: Loc, value: Option<u64>) -> Self {
        Self { at, kind: Kind::Unknown, loc, value, store: None, changes: None }
    }

    /// It was changed by arithmetic on the way from there.
    pub fn adjusted(&self) -> bool {
        let mut next = self.changes.as_deref();
        while let Some(change) = next {
            if matches!(change.what, Changed::Added { by, .. } if by != 0) {
                return true;
            }
            next = change.before.as_deref();
        }
        false
    }

    /// It was scaled or widened on the way from there, as an index is.
    pub fn indexed(&self) -> bool {
        let mut next = self.changes.as_deref();
        while let Some(change) = next {
            if matches!(change.what, Changed::Scaled { .. } | Changed::Extended { .. }) {
                return true;
            }
            next = change.before.as_deref();
        }
        false
    }

    /// The value asked for, from the value that the definition gave.
    pub fn undo(&self, value: u64) -> u64 {
        let mut value = mask(value, self.loc.size());
        let mut next = self.changes.as_deref();
        while let Some(change) = next {
            value = match change.what {
                Changed::Added { by, size } => mask(value.wrapping_add(by), size),
                Changed::Extended { size, extend } => extended(value, size, extend),
                Changed::Scaled { by, size } => mask(value.wrapping_mul(u64::from(by)), size),
            };
            next = change.before.as_deref();
        }
        value
    }
}

#[derive(Debug)]
struct Change {
    what: Changed,
    before: Option<Rc<Change>>,
}

#[derive(Clone, Copy, Debug)]
enum Changed {
    Added { by: u64, size: u8 },
    Extended { size: u8, extend: Extend },
    Scaled { by: u8, size: u8 },
}

/// A narrow value in a wide register.
pub(super) fn extended(value: u64, size: u8, extend: Extend) -> u64 {
    match extend {
        Extend::Zero => mask(value, size),
        Extend::Sign => sign_extend(value, size).cast_unsigned(),
    }
}

/// A point of the search: before this instruction, the value is kept there.
#[derive(Clone)]
struct State {
    at: usize,
    loc: Loc,
    value: Option<u64>,
    store: Option<usize>,
    changes: Option<Rc<Change>>,
}

/// The value that a place was visited with, and the changes on the way.
type Visit = (Option<u64>, *const Change);

/// Adds a definition at an instruction.
type Add = dyn Fn(&mut Vec<Def>, usize, Kind, &State);

/// What an operation does to a place.
enum Effect {
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
    /// The definitions of a place that reach an instruction, nearest first.
    pub fn reaching(&mut self, ctx: Ctx, at: usize, loc: Loc, value: Option<u64>) -> Vec<Def> {
        let function = self.function(ctx);
        let mut found: Vec<Def> = Vec::new();
        let mut seen: HashMap<(usize, Loc), Vec<Visit>> = HashMap::new();
        let value = value.map(|value| mask(value, loc.size()));
        let mut open = VecDeque::from([State { at, loc, value, store: None, changes: None }]);
        let mut states = 0_usize;
        let add = |found: &mut Vec<Def>, at: usize, kind: Kind, state: &State| {
            let known = found.iter().any(|one| one.at == at && one.kind == kind && one.loc == state.loc);
            if !known && found.len() < Limits::DEFINITIONS {
                found.push(Def {
                    at,
                    kind,
                    loc: state.loc,
                    value: state.value,
                    store: state.store,
                    changes: state.changes.clone(),
                });
            }
        };
        while let Some(state) = open.pop_front() {
            if function.first() == Some(state.at) {
                add(&mut found, state.at, Kind::Entry, &state);
            }
            for edge in function.before(state.at) {
                states += 1;
                self.states += 1;
                if states > Limits::STATES_OF_QUERY || self.states > Limits::STATES {
                    self.limit_hit = true;
                    return found;
                }
                if edge.from == state.at && function.insns.len() == 1 {
                    continue;
                }
                if self.contradicts(ctx, edge.from, edge.taken, state.loc, state.value) {
                    continue;
                }
                let times = seen.entry((edge.from, state.loc)).or_default();
                let changes = state.changes.as_ref().map_or(std::ptr::null(), Rc::as_ptr);
                if let Some(&(_, before)) = times.iter().find(|&&(value, _)| value == state.value) {
                    // Another turn of a loop that counts: its value is not one.
                    if self.stop_at_slots && before != changes {
                        add(&mut found, edge.from, Kind::Unknown, &state);
                    }
                    continue;
                }
                // A counter: each turn of the loop would be another value.
                if times.len() >= 3 {
                    // Nobody counts to NULL.
                    if value != Some(0) {
                        add(&mut found, edge.from, Kind::Unknown, &state);
                    }
                    continue;
                }
                times.push((state.value, changes));
                self.back_over(ctx, edge.from, &state, &mut found, &mut open, &add);
            }
        }
        found
    }

    /// One instruction backwards.
    fn back_over(
        &mut self,
        ctx: Ctx,
        at: usize,
        state: &State,
        found: &mut Vec<Def>,
        open: &mut VecDeque<State>,
        add: &Add,
    ) {
        let function = self.function(ctx);
        let Some(insn) = function.insns.get(at) else { return };
        if matches!(insn.flow, Flow::Call(_)) {
            match state.loc {
                Loc::Reg(part) if is_result(part.reg) => return add(found, at, Kind::Result, state),
                Loc::Reg(part) if SCRATCH.contains(&part.reg) || part.reg > 16 => {
                    if self.clobbers(ctx, at, part.reg) {
                        return;
                    }
                }
                Loc::Reg(_) => {}
                Loc::Mem { address, .. } => match self.touches(ctx, at, address) {
                    Some(Kind::Maker(object)) => return add(found, at, Kind::Maker(object), state),
                    Some(kind) => add(found, at, kind, state),
                    None => {}
                },
            }
        }
        for op in insn.ops.iter().rev() {
            let may = matches!(op, Op::MaySet { .. });
            match self.effect(ctx, at, op, state) {
                Effect::None => {}
                Effect::Impossible if may => {}
                Effect::Impossible => return,
                Effect::Def(kind) => {
                    // A store is remembered: the line that stores is more telling than the one that computed.
                    let outside = matches!(state.loc, Loc::Mem { address, .. } if !self.is_own(ctx, address));
                    let store = state.store.or(outside.then_some(at));
                    add(found, at, kind, &State { store, ..state.clone() });
                    if !may {
                        return;
                    }
                }
                Effect::Copy { loc, value, changed } => {
                    let store = match state.loc {
                        Loc::Mem { address, .. } if !self.is_own(ctx, address) => state.store.or(Some(at)),
                        _ => state.store,
                    };
                    let changes = match changed {
                        Some(what) => Some(Rc::new(Change { what, before: state.changes.clone() })),
                        None => state.changes.clone(),
                    };
                    open.push_back(State { at, loc, value, store, changes });
                    if !may {
                        return;
                    }
                }
            }
        }
        open.push_back(State { at, ..state.clone() });
    }

    fn effect(&mut self, ctx: Ctx, at: usize, op: &Op, state: &State) -> Effect {
        match (*op, state.loc) {
            (Op::Set { to, from, extend }, Loc::Reg(part)) if to.reg == part.reg => {
                self.set(ctx, at, (to.offset, to.size), (part.offset, part.size), from, extend, state)
            }
            (Op::MaySet { to, from }, Loc::Reg(part)) if to.reg == part.reg => {
                self.set(ctx, at, (to.offset, to.size), (part.offset, part.size), from, Extend::Zero, state)
            }
            (Op::Compute { to, kind, left, right, size }, Loc::Reg(part)) if to.reg == part.reg => {
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
                if let (Arith::Shl, Src::Reg(from), Src::Const(count @ 1..=4), 8, 8) =
                    (kind, left, right, size, part.size)
                {
                    let by = 1_u8 << count;
                    if state.value.is_some_and(|value| !value.is_multiple_of(u64::from(by))) {
                        return Effect::Impossible;
                    }
                    let value = state.value.map(|value| (value.cast_signed() / i64::from(by)).cast_unsigned());
                    return Effect::Copy { loc: Loc::Reg(from), value, changed: Some(Changed::Scaled { by, size: 8 }) };
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
                let Some(start) = self.address_of(ctx, at, &to) else { return Effect::None };
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
                if part.reg == RSP {
                    return self.pointer_to_stack(
                        ctx,
                        at,
                        Mem { base: Some(RSP), index: None, displacement: 0, size: 8, thread_local: false },
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
                if slot || mem.base == Some(RSP) {
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
                        let loc = Loc::Reg(Part { reg: index, offset: 0, size: 8 });
                        let scale = u64::from(by).max(1);
                        if value.is_some_and(|value| !value.is_multiple_of(scale)) {
                            return Effect::Impossible;
                        }
                        let value = value.map(|value| (value.cast_signed() / scale.cast_signed()).cast_unsigned());
                        Effect::Copy { loc, value, changed: Some(Changed::Scaled { by, size: 8 }) }
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
        if offset >= 0 || mem.base != Some(RSP) && mem.base != Some(RBP) {
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
            && (SCRATCH.contains(&part.reg) || part.reg > 16)
        {
            return true;
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

fn is_result(reg: Reg) -> bool {
    // rax and rdx, xmm0 and xmm1.
    matches!(reg, 0 | 1 | 17 | 18)
}

/// An object that begins at a pointer may reach to an address.
pub(super) fn near(pointer: u64, address: u64) -> bool {
    /// Bytes of an object whose size is not known.
    const OBJECT: u64 = 2048;
    pointer > 0xffff && address.wrapping_sub(pointer) < OBJECT
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
