//! Values that were read from memory.

use necropsy_model::{Avma, BirthKind, Chain};

use super::Tracer;
use super::chase::words;
use super::context::Ctx;
use super::definition::{Def, Kind, Loc};
use super::lead::{CHANGED, Path, Spot};
use super::op::{Arith, Extend, Mem, Op, Part, Src, mask};

/// Where objects are taken to lie whose address is lost: no process has these addresses, and no frame.
const NOWHERE_OBJECTS: u64 = 0xdeae_0000_0000_0000;

/// An address of such an object.
pub(super) fn is_lost_object(address: u64) -> bool {
    address >> 48 == NOWHERE_OBJECTS >> 48
}

impl Tracer<'_, '_, '_> {
    /// A value that was read from memory.
    pub fn load(&mut self, ctx: Ctx, def: &Def, mem: Mem, extend: Extend, path: &Path) {
        let spot = Spot { ctx, at: def.at };
        let value = def.value.map(|value| mask(value, mem.size));
        if def
            .value
            .is_some_and(|value| mask(super::definition::extended(value, mem.size, extend), def.loc.size()) != value)
        {
            return;
        }
        let address = self.address_of(ctx, def.at, &mem);
        let live = self.run(ctx).frame.is_some() && mem.size == 8;
        // Nobody reads there and goes on: what the address was read from has changed since.
        let address = address.filter(|&address| address >= super::chase::NULL_PAGES);
        let address = address.or_else(|| self.only_place_of(def.value.filter(|_| live)?));
        let address = match address {
            None if live && !self.seeking => {
                self.first_element(ctx, def.at, &mem, value).or_else(|| self.only_hole(ctx, def.at, &mem, value))
            }
            known => known,
        };
        let text = match address {
            Some(address) => format!("read from memory at {address:#x}"),
            None => "read from memory".to_owned(),
        };
        let mut path = path.with(spot, "load", text);
        if let Some(address) = address {
            path.seen_in(address);
        }
        let whole = mem.base.is_some() && mem.index.is_none();
        path.read = (whole || address.is_some()).then_some(super::writers::Read {
            address,
            offset: mem.displacement,
            size: mem.size,
            value,
        });
        path.floor = None;
        path.narrow = mem.size == 4;
        path.loaded = Some(spot);
        if address.is_none() && live && !self.seeking && value.is_some_and(|value| self.was_key(value, spot, &path)) {
            return;
        }
        let Some(address) = address else {
            if self.map_element(ctx, def.at, &mem, &path) {
                return;
            }
            if self.found_by_key(ctx, def.at, &mem, value, &path) {
                return;
            }
            if value == Some(0)
                && let Some(address) = self.place_in_lost_object(ctx, def.at, &mem)
            {
                let before = self.leads.len();
                self.memory(ctx, def.at, address, mem.size, value, &path);
                // In a call that is gone, the pointer may have been another's: what was not found says nothing.
                let found = self.leads.get(before..).unwrap_or_default();
                let lost = |lead: &super::lead::Lead| matches!(lead.kind, BirthKind::Loaded | BirthKind::Unknown);
                if live || found.iter().any(|lead| !lost(lead)) {
                    return;
                }
                self.leads.truncate(before);
            }
            let cycle = mem.base.is_some_and(|base| self.feeds_itself(ctx, def.at, base));
            // A link that is stored, and is not what the walk found: who ended the list is to name.
            let answered = path.returned.last().is_some_and(|returned| returned.ctx == ctx);
            let ends = value == Some(0) && path.stored.is_some() && !answered && whole;
            let kind = match (self.run(ctx).frame.is_some(), cycle) {
                (false, _) if ends => BirthKind::Loaded,
                (true, true) if value == Some(0) => BirthKind::EndOfList,
                (true, _) => BirthKind::Loaded,
                (false, _) => BirthKind::ReturnedComputed,
            };
            let spot = match (kind, path.returned.last()) {
                // The walk found nothing: what it returns is the answer, not the link it read last.
                (BirthKind::ReturnedComputed, Some(&returned)) if cycle && returned.ctx == ctx => returned,
                _ => spot,
            };
            if kind == BirthKind::ReturnedComputed && !cycle {
                path.doubts.push(Chain::READ_SOMEWHERE);
            }
            let what = match (cycle, kind) {
                (true, BirthKind::ReturnedComputed) => "it went through a list and found nothing",
                (true, _) => "the last link of a list was followed",
                (false, _) => "read from memory whose place is not known any more",
            };
            self.lead(kind, spot, what.to_owned(), &path);
            return;
        };
        if let Some((source, index)) = self.index_beyond(ctx, def.at, &mem, address) {
            let mut path = path.with(spot, "index", format!("the index {} is beyond the object", words(Some(index))));
            path.index = true;
            self.start(ctx, def.at, source, Some(index), &path);
            return;
        }
        if let (Some(base), None, true) = (mem.base, mem.index, self.is_inside_function(address)) {
            // A pointer to data that leads into code: it is bad itself.
            let source = Src::Reg(Part { reg: base, offset: 0, size: 8 });
            let value = self.eval(ctx, def.at, source);
            let path = path.with(spot, "code", format!("there is code at {address:#x}, and no data"));
            self.start(ctx, def.at, source, value, &path);
            return;
        }
        let now = self.word(address, mem.size);
        if let (Some(now), Some(value)) = (now, value)
            && now != value
            && !self.is_own(ctx, address)
        {
            path.doubts.push(CHANGED);
        }
        if !self.seeking
            && !self.on_stack(address)
            && let Some(base) = mem.base
            && let Some((outer, at, source, index)) = self.strayed(ctx, def.at, base, address)
        {
            let what = if self.is_static(address) { "variable" } else { "block" };
            let text = format!("{address:#x} lies outside of the {what} that it was counted from");
            let mut path = path.with(Spot { ctx: outer, at }, "index", text);
            path.index = true;
            self.start(outer, at, source, Some(index), &path);
            return;
        }
        if !self.seeking
            && let Some(block) = self.released_block(address)
        {
            let pointer = mem.base.map(|reg| Src::Reg(Part { reg, offset: 0, size: 8 }));
            let path = pointer.map_or_else(|| path.clone(), |pointer| self.with_gate_of(ctx, def.at, pointer, &path));
            let mut path =
                path.with(spot, "released", format!("the block at {block:#x} bears the marks of a released one"));
            path.seen_in(block);
            if !self.who_released_block(Spot { ctx, at: def.at }, mem.base, block, &path) {
                self.lead(
                    BirthKind::Loaded,
                    spot,
                    "read from a released object; who released it was not found".to_owned(),
                    &path,
                );
            }
            return;
        }
        if !self.seeking
            && self.run(ctx).frame.is_some()
            && let Some(base) = mem.base.filter(|_| mem.index.is_none())
            && self.of_end(ctx, def.at, base, address, &path)
        {
            return;
        }
        if self.is_reused_frame(ctx, def.at, &mem, address)
            && let Some(base) = mem.base
            && let Some(value) = self.eval(ctx, def.at, Src::Reg(Part { reg: base, offset: 0, size: 8 }))
        {
            let text = "the object lay in the frame of a function that has returned";
            if self.of_gone_frame(ctx, value, &path.with(spot, "gone", text.to_owned())) {
                return;
            }
        }
        if self.is_below_stack(address)
            && self.run(ctx).function.stack(def.at).slot(&mem).is_none()
            && self.run(ctx).frame.is_some()
            && let Some(base) = mem.base
        {
            let text = "the object lay in the frame of a function that has returned";
            let path = path.with(spot, "gone", text.to_owned());
            let source = Src::Reg(Part { reg: base, offset: 0, size: 8 });
            let value = self.eval(ctx, def.at, source);
            if value.is_some_and(|value| self.of_gone_frame(ctx, value, &path)) {
                return;
            }
            self.start(ctx, def.at, source, value, &path);
            return;
        }
        self.memory(ctx, def.at, address, mem.size, value, &path);
    }

    /// The address lies in the code of a function, and is not its beginning.
    fn is_inside_function(&self, address: u64) -> bool {
        let range = || crate::unwind::function_range(self.space, Avma(address));
        self.space.is_code(Avma(address)) && range().is_some_and(|(start, _)| start.0 < address)
    }

    /// A field of an object that a call returned, and of which nobody is seen to have the address any more: the load went into the register
    /// of the pointer. The object gets an address that no process has, by which the code tells who wrote the field.
    fn place_in_lost_object(&mut self, ctx: Ctx, at: usize, mem: &Mem) -> Option<u64> {
        /// Frames that handed the pointer through.
        const FRAMES: usize = 8;
        /// Bytes between such objects.
        const APART: u64 = 1 << 20;
        if self.seeking || self.by_place || mem.index.is_some() {
            return None;
        }
        let (mut outer, mut from, mut reg) = (ctx, at, mem.base?);
        for _ in 0..FRAMES {
            let defs = self.reaching(outer, from, Loc::Reg(Part { reg, offset: 0, size: 8 }), None);
            let [def] = defs.as_slice() else { return None };
            match (def.kind, def.loc) {
                (Kind::Entry, Loc::Reg(part)) if def.changes.is_none() => {
                    reg = part.reg;
                    (outer, from) = self.caller(outer)?;
                }
                (Kind::Result, Loc::Reg(part)) if def.changes.is_none() && part.reg == self.machine.result => {
                    if self.result_of(outer, def.at).is_some() {
                        return None;
                    }
                    self.lost_objects += 1;
                    let object = NOWHERE_OBJECTS.wrapping_add(self.lost_objects * APART);
                    self.runs[outer.0].results.push((def.at, object));
                    // What was asked before it had an address.
                    self.evaluated.clear();
                    self.result_known.clear();
                    return self.address_of(ctx, at, mem);
                }
                _ => return None,
            }
        }
        None
    }

    /// The element that a loop came to, whose counter is not known any more: the first one that has the value, which the loop
    /// would not have survived before.
    fn first_element(&mut self, ctx: Ctx, at: usize, mem: &Mem, value: Option<u64>) -> Option<u64> {
        /// Elements that are looked at.
        const MOST: u64 = 1 << 16;
        let (index, scale) = mem.index.filter(|&(_, scale)| scale == mem.size && mem.size == 8)?;
        let value = value.filter(|&value| value < super::chase::NULL_PAGES)?;
        let base = self.eval(ctx, at, Src::Reg(Part { reg: mem.base?, offset: 0, size: 8 }))?;
        let from = self.counts_from_zero(ctx, at, index)?;
        let first = base.wrapping_add(from * u64::from(scale)).wrapping_add_signed(mem.displacement);
        let elements = (0..MOST).map_while(|index| {
            let address = first.checked_add(index * u64::from(scale))?;
            Some((address, self.word(address, mem.size)?))
        });
        let found = elements.into_iter().find(|&(_, element)| element == value)?.0;
        let inside = self.block_size(base).is_none_or(|size| found.wrapping_sub(base) < size);
        inside.then_some(found)
    }

    /// The one element of a table that is NULL, where it is not known which one was read.
    fn only_hole(&mut self, ctx: Ctx, at: usize, mem: &Mem, value: Option<u64>) -> Option<u64> {
        let (_, scale) = mem.index.filter(|&(_, scale)| scale == 8 && mem.size == 8 && value == Some(0))?;
        let base = match mem.base {
            Some(base) => self.eval(ctx, at, Src::Reg(Part { reg: base, offset: 0, size: 8 }))?,
            None => 0,
        };
        let start = base.wrapping_add_signed(mem.displacement);
        let (first, size) = self.variable_at(start).filter(|&(first, _)| first == start)?;
        let elements = (0..size / u64::from(scale)).map(|index| first + index * u64::from(scale));
        let mut holes = elements.filter(|&element| self.word(element, 8) == Some(0));
        holes.next().filter(|_| holes.next().is_none())
    }

    /// A register begins a loop as 0 and is counted up by one: 0.
    fn counts_from_zero(&mut self, ctx: Ctx, at: usize, index: super::op::Reg) -> Option<u64> {
        let whole = Part { reg: index, offset: 0, size: 8 };
        let by_one = |op: &Op| {
            matches!(*op, Op::Compute { to, kind: Arith::Add, left: Src::Reg(left), right: Src::Const(1), .. }
                if to.reg == index && left.reg == index)
        };
        let function = self.function(ctx);
        let counts = function.insns.iter().any(|insn| insn.ops.iter().any(by_one));
        let defs = self.reaching(ctx, at, Loc::Reg(whole), None);
        let begins = |def: &Def| def.kind == Kind::Value(0) || def.adjusted() || def.kind == Kind::Counter;
        let zero = defs.iter().any(|def| def.kind == Kind::Value(0) && !def.adjusted());
        (counts && zero && defs.iter().all(begins)).then_some(0)
    }

    /// A register that a load writes feeds its own address: a walk along a list.
    pub fn feeds_itself(&mut self, ctx: Ctx, at: usize, base: super::op::Reg) -> bool {
        let loc = Loc::Reg(Part { reg: base, offset: 0, size: 8 });
        let defs = self.reaching(ctx, at, loc, None);
        defs.iter().any(|def| def.at == at && matches!(def.kind, Kind::Load { .. }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_that_lie_nowhere_are_no_addresses_of_a_process() {
        assert!(is_lost_object(NOWHERE_OBJECTS + 0x10_0008));
        assert!(!is_lost_object(0x7fff_ffff_f000) && !is_lost_object(0) && !is_lost_object(u64::MAX));
    }
}
