//! From definition to definition: across copies, calls and memory, to where the value came into being.

use necropsy_model::{Avma, BirthKind, Chain};

use super::context::Ctx;
use super::definition::{Def, Kind, Loc};
use super::lead::{Lead, Path, RETURNED_ALIVE, Spot};
use super::op::{Extend, Op, Src};
use super::{Limits, Tracer};

/// The first pages are never mapped (`vm.mmap_min_addr`).
pub(super) const NULL_PAGES: u64 = 0x1_0000;
/// `MAX_ERRNO` of the kernel's `include/linux/err.h`.
pub(super) const ERROR_POINTERS: u64 = 0_u64.wrapping_sub(4095);

/// Numbers that are put in many places.
const SMALL: u64 = 0xffff;

/// A value in words.
pub(super) fn words(value: Option<u64>) -> String {
    match value {
        Some(0) => "0".to_owned(),
        Some(value) if value >= ERROR_POINTERS => format!("{}", value.cast_signed()),
        Some(value) => format!("{value:#x}"),
        None => "a value that is not known".to_owned(),
    }
}

impl Tracer<'_, '_, '_> {
    /// Follows a source of an instruction.
    pub fn start(&mut self, ctx: Ctx, at: usize, source: Src, value: Option<u64>, path: &Path) {
        match source {
            Src::Reg(part) => {
                self.trace(ctx, at, Loc::Reg(part), value, path);
            }
            Src::Mem(mem) => {
                let def = Def::start(at, Loc::Mem { address: 0, size: mem.size }, value);
                self.load(ctx, &def, mem, Extend::Zero, path);
            }
            Src::Address(_) | Src::Const(_) | Src::Other => {}
        }
    }

    /// Follows a place backwards from an instruction.
    ///
    /// Whether the entry of the function can be reached without a definition on the way.
    pub fn trace(&mut self, ctx: Ctx, at: usize, loc: Loc, value: Option<u64>, path: &Path) -> bool {
        if path.steps.len() >= Limits::STEPS || self.leads.len() >= Limits::LEADS {
            self.limit_hit = true;
            return true;
        }
        if !self.visited.insert((ctx, at, loc, value)) {
            return true;
        }
        self.overwritten = None;
        let defs = self.reaching(ctx, at, loc, value);
        let passes = defs.iter().any(|def| def.kind == Kind::Entry);
        let known = self.leads.len();
        if let (Some((ctx, at)), true, None) = (self.overwritten, defs.is_empty(), path.floor) {
            self.was_overwritten(Spot { ctx, at }, loc, value, path);
        }
        if defs.is_empty() && path.steps.len() <= 1 {
            let text = format!("nothing that reaches this point gives {}", words(value));
            self.lead(BirthKind::Unknown, Spot { ctx, at }, text, path);
        }
        let mut hiding: Vec<usize> = Vec::new();
        let function = self.function(ctx);
        for def in defs {
            // Only another call, on another way, may have written what a later one did not.
            let call = matches!(def.kind, Kind::Out | Kind::Element(..)) && !self.seeking;
            if !hiding.is_empty() && (!call || hiding.iter().any(|&later| !function.can_pass_by(def.at, later, at))) {
                continue;
            }
            let mut path = path.clone();
            path.value = def.value;
            path.narrow |= def.widened_from(4) && def.kind != Kind::Entry;
            let widened = [1, 2, 4].into_iter().find(|&bytes| def.widened_from(bytes));
            path.bits = path.bits.into_iter().chain(widened).min();
            let spot = Spot { ctx, at: def.at };
            if path.gate.is_none() && self.run(ctx).frame.is_some() && def.kind != Kind::Entry {
                path.gate = Some(spot);
            }
            if let Some(store) =
                def.store.filter(|_| !matches!(def.kind, Kind::Out | Kind::Element(..) | Kind::Entry) || def.loc != loc)
            {
                if path.stored.is_some() {
                    path.doubts.push("it was copied from one place in memory to another");
                }
                path.stored = Some(Spot { ctx, at: store });
                path.floor = None;
                let pointer = def.value.is_some_and(|value| (NULL_PAGES..ERROR_POINTERS).contains(&value));
                let lost = def.value.is_some_and(|value| self.is_lost(value));
                if pointer && def.adjusted() && def.loc.size() == 8 && lost {
                    let value = def.value.unwrap_or_default();
                    self.went_bad(value, Spot { ctx, at: store }, "this code", &path);
                    continue;
                }
                if pointer && def.adjusted() && def.loc.size() == 8 {
                    // NULL is not made by adding, but a pointer that was right may be made wrong.
                    let spot = Spot { ctx, at: store };
                    let path = path.with(spot, "changed", "arithmetic on the pointer, stored here".to_owned());
                    self.lead(BirthKind::Stored, spot, "changes the pointer and stores it".to_owned(), &path);
                    continue;
                }
                // Who counts up did not make it negative.
                let negative = value.is_some_and(|value| super::op::sign_extend(value, loc.size()) < 0);
                let of_loc = matches!((def.kind, loc), (Kind::Load { mem, .. }, Loc::Mem { address, .. })
                    if self.address_of(ctx, def.at, &mem) == Some(address));
                if negative && of_loc && Self::counts_up(&def) {
                    continue;
                }
                // A counter: whoever counted last gave it the value that it has.
                if let (Kind::Load { mem, .. }, Loc::Mem { address, .. }, true) = (def.kind, loc, def.adjusted())
                    && self.address_of(ctx, def.at, &mem) == Some(address)
                {
                    let spot = Spot { ctx, at: store };
                    let mut path = path.with(spot, "changed", "what it read there, changed, is stored back".to_owned());
                    path.doubts.push("who changed it before is not known");
                    self.lead(BirthKind::Stored, spot, "changes the value and stores it".to_owned(), &path);
                    continue;
                }
                // The same in one instruction.
                if let (Kind::Compute { left: Src::Mem(_), .. }, true, false) = (def.kind, store == def.at, self.sizing)
                {
                    let spot = Spot { ctx, at: store };
                    let path = path.with(spot, "changed", "what stood there was changed in place".to_owned());
                    self.lead(BirthKind::Stored, spot, "changes the value in place".to_owned(), &path);
                    continue;
                }
                if let (true, Loc::Mem { address, size: 8 }) = (self.not_owned, loc)
                    && !self.is_own(ctx, address)
                {
                    // As an address it is right; what it was put into is what gets released.
                    let spot = Spot { ctx, at: store };
                    let path = path.with(spot, "store", "an address that no block begins at is stored here".to_owned());
                    self.lead(BirthKind::Stored, spot, "puts it where a block is expected".to_owned(), &path);
                    continue;
                }
                if path.narrow && self.truncates(ctx, store) {
                    let spot = Spot { ctx, at: store };
                    let path = path.with(spot, "truncated", "stores the low half of a wider value".to_owned());
                    self.lead(BirthKind::Stored, spot, "cuts a pointer to 32 bits".to_owned(), &path);
                    continue;
                }
            }
            if let (Some(boundary), Some(before), Some(after)) = (self.boundary, def.value, value)
                && def.adjusted()
                && before.is_multiple_of(boundary)
                && !after.is_multiple_of(boundary)
            {
                let spot = path.returned.last().copied().filter(|returned| returned.ctx == ctx).unwrap_or(spot);
                let text =
                    format!("{after:#x} is no multiple of {boundary}; {before:#x}, which it was counted from, is");
                let path = path.with(spot, "changed", text);
                let kind = self.kind_here(ctx, &path, BirthKind::Arithmetic, BirthKind::ReturnedComputed);
                self.lead(kind, spot, "counts the pointer on to where it is not aligned".to_owned(), &path);
                continue;
            }
            let before = self.leads.len();
            let written = matches!(def.kind, Kind::Out | Kind::Element(..));
            self.define(ctx, &def, &path);
            // What was written later hides what was written before; another way may have written what this one can not.
            if written && self.leads.iter().skip(before).any(|lead| !lead.contradicts()) {
                // What is changed only has what others made of it as well.
                let changed = |lead: &Lead| lead.path.steps.last().is_some_and(|step| step.step == "changed");
                if !self.leads.iter().skip(before).all(changed) {
                    break;
                }
                hiding.push(def.at);
            }
        }
        let found = |lead: &Lead| !matches!(lead.kind, BirthKind::Loaded | BirthKind::Unknown);
        if self.leads.iter().skip(known).any(found) {
            let new = self.leads.split_off(known);
            self.leads.extend(new.into_iter().filter(|lead| !lead.contradicts()));
        }
        passes
    }

    pub fn define(&mut self, ctx: Ctx, def: &Def, path: &Path) {
        let spot = Spot { ctx, at: def.at };
        let here = Spot { ctx, at: def.store.unwrap_or(def.at) };
        match def.kind {
            Kind::Value(value) => {
                let own = self
                    .insn(ctx, def.at)
                    .is_some_and(|insn| insn.ops.iter().any(|op| matches!(op, Op::Store { from: Src::Const(_), .. })));
                let here = if own { spot } else { here };
                // The check that failed would have held for this one.
                if let (None, Some((condition, against, size, taken))) = (def.value, self.constraint)
                    && condition.holds(value, against, size).is_some_and(|outcome| outcome != taken)
                {
                    return;
                }
                if let Some(part) = self.implied_parameter(ctx, def.at, def.value)
                    && let Some((caller, call)) = self.caller(ctx)
                {
                    let before = self.leads.len();
                    let path =
                        path.with(here, "parameter", "returned only where its parameter was that too".to_owned());
                    self.trace(caller, call, Loc::Reg(part), def.value, &path);
                    if self.leads.len() > before {
                        return;
                    }
                }
                let mut path = path.with(here, "constant", format!("{} is put here", words(Some(value))));
                path.literal = def.value == Some(value) && !self.is_mapped(value);
                let negative = |sought: u64| sought.wrapping_neg() == value;
                if value <= SMALL && self.sought.is_some_and(|sought| sought > SMALL && !negative(sought)) {
                    path.doubts.push("it is only a small part of the value");
                }
                let kind = self.kind_here(ctx, &path, BirthKind::Constant, BirthKind::ReturnedConstant);
                if kind == BirthKind::Constant && self.own_check && self.is_inlined_library(here) {
                    path.doubts.push(Chain::INLINED_LIBRARY);
                    let what = format!("its code, inlined here, gives {}", words(Some(value)));
                    self.lead(BirthKind::LibraryResult, here, what, &path);
                    return;
                }
                self.lead(kind, here, format!("gives {}", words(Some(value))), &path);
            }
            Kind::Entry => self.enter_from_caller(ctx, def, path),
            Kind::Load { .. } if path.index && path.stored.is_some() && self.run(ctx).frame.is_none() => {
                // Data from outside became an index here: what it was copied from did no wrong.
                let here = path.stored.unwrap_or(here);
                let path = path.with(here, "store", "stores what it read, to be used as an index".to_owned());
                self.lead(BirthKind::Stored, here, "stores it unchecked".to_owned(), &path);
            }
            Kind::Compute { kind, left, right, .. }
                if path.index
                    && path.stored.is_some()
                    && self.run(ctx).frame.is_none()
                    && self.is_assembled(ctx, def.at, (kind, left, right), super::wire::SUMS) =>
            {
                // The same, byte by byte.
                let here = path.stored.unwrap_or(here);
                let path = path.with(here, "store", "stores what it read, to be used as an index".to_owned());
                self.lead(BirthKind::Stored, here, "stores it unchecked".to_owned(), &path);
            }
            Kind::Load { mem, extend } if path.offset && path.stored.is_none() && self.run(ctx).frame.is_none() => {
                let before = self.leads.len();
                self.load(ctx, def, mem, extend, path);
                // Who filled the data did no wrong: whoever reads an offset out of them has to look at it.
                let data = |this: &Self, lead: &Lead| {
                    let constant = lead.path.steps.last().is_some_and(|step| step.step == "constant");
                    let put = matches!(lead.kind, BirthKind::Stored | BirthKind::Constant);
                    put && constant && this.run(lead.spot.ctx).frame.is_some()
                };
                let found = self.leads.get(before..).unwrap_or_default();
                if !found.is_empty() && found.iter().all(|lead| data(self, lead)) {
                    self.leads.truncate(before);
                    let mut path = path.with(spot, "data", "an offset, read from data that others filled".to_owned());
                    path.doubts.push(Chain::READ_SOMEWHERE);
                    self.lead(
                        BirthKind::ReturnedComputed,
                        spot,
                        "read an offset and did not check it".to_owned(),
                        &path,
                    );
                }
            }
            Kind::Load { .. } if self.refusing && def.adjusted() && self.run(ctx).frame.is_none() => {
                // The number was sound where it was read; what was added made it what was refused.
                let path = path.with(here, "arithmetic", "computed here of what it read".to_owned());
                self.lead(BirthKind::ReturnedArithmetic, here, "computed here".to_owned(), &path);
            }
            Kind::Load { mem, extend } => self.load(ctx, def, mem, extend, path),
            Kind::Result => {
                let part = match def.loc {
                    Loc::Reg(part) => part,
                    Loc::Mem { .. } => return,
                };
                self.result(ctx, def.at, part, def.value, path);
            }
            Kind::Out => {
                if let Loc::Mem { address, size } = def.loc {
                    self.written_by_call(ctx, def.at, address, size, def.value, path);
                }
            }
            Kind::Element(reg, element) => {
                if let Loc::Mem { address, size } = def.loc {
                    self.written_to_element(spot, (reg, element), (address, size), def.value, path);
                }
            }
            Kind::Maker(_) if self.seeking => {
                // It was alive when it was handed out, as a rule.
                if let Loc::Mem { address, size } = def.loc {
                    let mut path = path.clone();
                    path.doubts.push(RETURNED_ALIVE);
                    self.written_by_call(ctx, def.at, address, size, def.value, &path);
                }
            }
            Kind::Maker(object) => {
                if let Loc::Mem { address, size } = def.loc {
                    self.made_by_call(ctx, def.at, object, (address, size), def.value, path);
                }
            }
            Kind::Compute { kind, left, right, size } => self.compute(ctx, def, kind, (left, right), size, path),
            Kind::Address(mem) => self.address_sum(ctx, def, mem, path),
            Kind::Fill => {
                let path = path.with(spot, "fill", "memory is filled here".to_owned());
                let kind = if def.value == Some(0) { BirthKind::NeverSet } else { BirthKind::StoredSomewhere };
                self.lead(kind, spot, "filled here and not set since".to_owned(), &path);
            }
            Kind::Counter if self.bound_of(ctx, def, path) => {}
            Kind::Unknown | Kind::Counter if self.refusing && self.run(ctx).frame.is_none() => {
                let path = path.with(spot, "arithmetic", "counted or computed here".to_owned());
                self.lead(BirthKind::ReturnedArithmetic, here, "computed here".to_owned(), &path);
            }
            Kind::Unknown | Kind::Counter => {
                let path = path.with(spot, "lost", "an instruction that is not followed".to_owned());
                self.lead(BirthKind::Unknown, here, "changed in a way that is not followed".to_owned(), &path);
            }
        }
    }

    /// A copy that adds one or some to a number.
    fn counts_up(def: &Def) -> bool {
        def.value.is_some_and(|value| {
            let (was, is) = (value, def.undo(value));
            let size = def.loc.size();
            super::op::sign_extend(is, size) > super::op::sign_extend(was, size)
        })
    }

    /// The kind of a birth by where it lies: in a frame, in a call that returned, or before a store.
    pub fn kind_here(&self, ctx: Ctx, path: &Path, alive: BirthKind, gone: BirthKind) -> BirthKind {
        if path.stored.is_some() && alive != BirthKind::Unknown {
            BirthKind::Stored
        } else if self.run(ctx).frame.is_some() {
            alive
        } else {
            gone
        }
    }

    fn function_called(&self, ctx: Ctx, name: &str) -> bool {
        self.function_name(self.run(ctx).function.entry).as_deref() == Some(name)
    }

    /// What a function was entered with: the caller's.
    pub fn enter_from_caller(&mut self, ctx: Ctx, def: &Def, path: &Path) {
        let spot = Spot { ctx, at: def.at };
        let mut path = path.clone();
        let caller = self.caller(ctx);
        match def.loc {
            Loc::Reg(part) => {
                let name = self.machine.name(part.reg).unwrap_or("a register");
                let behind_handler = caller.is_none() && self.is_handler(ctx);
                let jumped = if behind_handler { self.only_jump_to(self.run(ctx).function.entry) } else { None };
                let Some((caller, call)) = caller.or(jumped) else {
                    let entry = self.run(ctx).function.entry;
                    if self.by_place && self.given_by_all(entry, part, def.value, &path) {
                        return;
                    }
                    let text = if self.lacks_stack(ctx) {
                        format!("came in {name} from the caller, whose stack was not recorded")
                    } else {
                        format!("came in {name} from a caller that is not known")
                    };
                    self.lead(BirthKind::Unknown, spot, text, &path);
                    return;
                };
                let parameter = self.machine.arguments.contains(&part.reg);
                // Nothing but room for a variable was made by putting it away.
                if part.reg == self.machine.result
                    && !parameter
                    && path.returned.last().is_none_or(|returned| returned.ctx != ctx)
                    && let Some(place) = self.room_made(ctx, def)
                {
                    self.never_set(spot, place, &path);
                    return;
                }
                if part.reg == self.machine.result
                    && !parameter
                    && let Some(&returned) = path.returned.last().filter(|returned| returned.ctx == ctx)
                {
                    // No caller passes a parameter there.
                    let path = path.with(returned, "no-result", "ends without setting its result".to_owned());
                    let what = "the function ends without a result".to_owned();
                    self.lead(BirthKind::UninitialisedLocal, returned, what, &path);
                    return;
                }
                if parameter && self.is_of_system(self.address(caller, call)) && self.function_called(ctx, "main") {
                    let spot = path.stored.unwrap_or(spot);
                    let kind = if path.stored.is_some() { BirthKind::Stored } else { BirthKind::Arithmetic };
                    self.lead(kind, spot, "made of what the program was started with".to_owned(), &path);
                    return;
                }
                if parameter && self.is_stored_number(ctx, part, def.value, &path) {
                    return;
                }
                if parameter {
                    path = path.with(spot, "parameter", format!("came as a parameter, in {name}"));
                    if self.run(ctx).frame.is_some_and(|frame| frame > self.struck) && path.gate.is_none() {
                        path.handed.push(Spot { ctx, at: self.live(ctx).unwrap_or(def.at) });
                    }
                }
                self.trace(caller, call, def.loc, def.value, &path);
            }
            Loc::Mem { address, .. } => {
                if path.floor == Some(ctx) {
                    return;
                }
                if self.is_own(ctx, address) {
                    let known = self.leads.len();
                    let live = self.run(ctx).frame.is_some() && !self.seeking;
                    if live && self.stored_somewhere(ctx, (address, def.loc.size()), def.value, &path) {
                        let found = self.leads.iter_mut().skip(known);
                        found.for_each(|lead| lead.complete &= lead.kind != BirthKind::StoredSomewhere);
                        return;
                    }
                    self.never_set(spot, address, &path);
                    return;
                }
                let outer = caller.or_else(|| self.interrupted_below(ctx));
                match outer {
                    Some((outer, call)) => {
                        self.trace(outer, call, def.loc, def.value, &path);
                    }
                    None => {
                        let spot = path.loaded.unwrap_or(spot);
                        if self.overrun(spot.ctx, spot.at, address, def.value, &path) {
                            return;
                        }
                        self.unwritten(address, def.loc.size(), def.value);
                        self.lead(
                            BirthKind::Loaded,
                            spot,
                            "read from memory; who wrote it was not found".to_owned(),
                            &path,
                        );
                    }
                }
            }
        }
    }

    /// What wrote a place in memory.
    pub fn memory(&mut self, ctx: Ctx, at: usize, address: u64, size: u8, value: Option<u64>, path: &Path) {
        if self.is_static(address) {
            self.global(ctx, at, address, size, value, path);
            return;
        }
        self.trace(ctx, at, Loc::Mem { address, size }, value, path);
    }

    /// The address lies on the stack of the thread, where no frame is any more.
    pub fn is_below_stack(&self, address: u64) -> bool {
        let sp = self.frames.first().and_then(|frame| frame.registers.sp());
        self.on_stack(address) && sp.is_some_and(|sp| address < sp)
    }

    /// The address lies on the stack of the thread.
    pub fn on_stack(&self, address: u64) -> bool {
        if let Some((low, high)) = self.stack {
            return low <= address && address < high;
        }
        let sp = self.frames.first().and_then(|frame| frame.registers.sp());
        let region = sp.and_then(|sp| self.space.memory.region(Avma(sp)));
        region.is_some_and(|region| region.start.0 <= address && address < region.end.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_in_words() {
        assert_eq!(
            [Some(0), Some(u64::MAX), Some(0x10), None].map(words),
            ["0", "-1", "0x10", "a value that is not known"]
        );
    }
}
