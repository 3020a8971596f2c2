//! Memory: who wrote a place, who made the object around it, who freed it.

use necropsy_model::{Avma, BirthKind};

use super::Tracer;
use super::chase::ERROR_POINTERS;
use super::context::Ctx;
use super::definition::{Kind, Loc};
use super::heap::near;
use super::lead::{ANOTHER_FILLED, FREED_UNSEEN, Lead, NO_WAY, Path, RETURNED_ALIVE, Spot};
use super::library::{allocates, clears, plain_name};
use super::op::{Flow, Op, Part, Reg, Src, mask};

/// The argument of `memcpy` that says how many bytes.
pub(super) const COUNT_ARGUMENT: usize = 2;

/// The call at which the fault was noticed.
fn is_fault(spot: Spot, path: &Path) -> bool {
    path.steps.first().is_some_and(|step| step.spot == spot)
}

/// Functions that release an object.
pub(super) fn releases(name: &str) -> bool {
    let base = plain_name(name);
    matches!(base, "free" | "cfree" | "realloc" | "reallocarray")
        || ["operator delete", "ZdlPv", "ZdaPv"].iter().any(|start| base.starts_with(start))
}

impl Tracer<'_, '_, '_> {
    /// A call that got a pointer to the place.
    pub fn written_by_call(&mut self, ctx: Ctx, call: usize, address: u64, size: u8, value: Option<u64>, path: &Path) {
        let Some(insn) = self.insn(ctx, call) else { return };
        let Flow::Call(target) = insn.flow else { return };
        let Some(target) = self.target(ctx, call, target) else { return };
        self.written_by(Spot { ctx, at: call }, target, (address, size), value, path);
    }

    pub fn written_by(&mut self, spot: Spot, target: u64, place: (u64, u8), value: Option<u64>, path: &Path) {
        self.written_by_given(spot, target, None, place, value, path);
    }

    pub fn written_by_given(
        &mut self,
        spot: Spot,
        target: u64,
        given: Option<(Reg, u64)>,
        place: (u64, u8),
        value: Option<u64>,
        path: &Path,
    ) {
        let (address, size) = place;
        if self.is_of_system(target) {
            self.written_by_library(spot, target, place, value, path);
            return;
        }
        let name = self.name_or_place(target);
        if self.written_by_go(spot, target, &name, address, path) {
            return;
        }
        let Some(callee) = self.enter_with(spot.ctx, spot.at, target, given) else { return };
        let mut path = path.with(spot, "written-by", format!("{name} got a pointer to it"));
        path.floor = Some(callee);
        let function = self.function(callee);
        let before = self.leads.len();
        let hit = self.limit_hit;
        let mut passes = function.returns.is_empty() || function.incomplete;
        let mut lost = None;
        for &at in &function.returns {
            passes |= self.trace(callee, at, Loc::Mem { address, size }, value, &path);
            lost = lost.or(self.overwritten);
        }
        for &(at, target) in &function.tails {
            if let Some(target) = self.target(callee, at, target) {
                passes |= self.trace(callee, at, Loc::Mem { address, size }, value, &path);
                self.written_by(Spot { ctx: callee, at }, target, place, value, &path);
            }
        }
        if self.may_jump_back(spot.ctx) {
            for at in function.dead_ends() {
                passes = true;
                if self.touches(callee, at, address).is_some() {
                    self.written_by_call(callee, at, address, size, value, &path);
                }
                self.trace(callee, at, Loc::Mem { address, size }, value, &path);
            }
        }
        if self.leads.len() > before || hit != self.limit_hit {
            return;
        }
        if let (false, Some((ctx, at))) = (passes, lost) {
            self.was_overwritten(Spot { ctx, at }, Loc::Mem { address, size }, value, &path);
            return;
        }
        let stored = self.stored_somewhere(callee, place, value, &path);
        if !stored && !self.seeking && value.is_some_and(|value| value != 0) && self.fills(callee, address).is_some() {
            // An array of the object was filled: this element as well, for all that is known.
            self.part_given = true;
        }
        if !stored && !passes && !self.seeking {
            let first = function.first().unwrap_or_default();
            self.lead(
                BirthKind::Unknown,
                Spot { ctx: callee, at: first },
                format!("{name} sets it; to what was not followed"),
                &path,
            );
        }
    }

    /// What functions of the C library are known to do to memory.
    pub fn written_by_library(&mut self, spot: Spot, target: u64, place: (u64, u8), value: Option<u64>, path: &Path) {
        let Some(name) = self.function_name(target) else { return };
        let argument = |tracer: &mut Self, number: usize| {
            let &reg = self.machine.arguments.get(number)?;
            tracer.eval(spot.ctx, spot.at, Src::Reg(Part { reg, offset: 0, size: 8 }))
        };
        let outer = std::mem::replace(&mut self.read_memory, false);
        let first = argument(self, 0);
        let sure = !self.read_memory;
        self.read_memory |= outer;
        let at = self.address(spot.ctx, spot.at);
        let base = plain_name(&name);
        if self.damaged.is_some_and(|(_, header)| header == place.0)
            && self.wrote_over(spot, &name, first, place.0, path)
        {
            return;
        }
        if releases(&name) {
            // The pointer that was given may have been replaced by the result.
            let replaced = self.seeking && base.starts_with("realloc") && !self.is_mapped(place.0);
            if replaced {
                let mut path = path.with(spot, "freed", format!("{name} may have moved the object"));
                path.doubts.push("the pointer it was given has been overwritten since");
                self.lead(BirthKind::Freed, spot, format!("{name} moved an object like it"), &path);
                return;
            }
            if is_fault(spot, path) {
                return;
            }
            // A block that is alive was released only where the pointer is known for sure: it has been handed out again.
            let sized = base.starts_with("operator delete") && name.contains(", unsigned long)");
            if let (true, Some(size)) = (sized, argument(self, 1).filter(|&size| size > 0))
                && let Some(room) = self.released_block(place.0).and_then(|block| self.block_size(block))
                && super::writers::chunk_room(size).is_some_and(|expected| expected != room)
            {
                // An object of another size was deleted there.
                return;
            }
            let alive = !self.seeking && self.is_mapped(place.0) && self.released_block(place.0).is_none();
            if alive && self.comes_round(path) {
                // What the call was given in an earlier turn of the loop is not known.
                return;
            }
            if alive && value == Some(0) {
                // Handed out again since. What NULL it holds, its new owner left there.
                return;
            }
            if let Some(first) = first.filter(|&first| self.chunk_covers(first, place.0) && (sure || !alive)) {
                let mut path = path.clone();
                if path.steps.iter().any(|step| step.step == "made-by") && !path.doubts.contains(&RETURNED_ALIVE) {
                    // The call that handed it out: it rather released another.
                    path.doubts.push(RETURNED_ALIVE);
                    if !self.seeking && self.freed(place.0, &path) {
                        return;
                    }
                }
                let path = path.with(spot, "freed", format!("{name}({first:#x}) frees the object"));
                self.lead(BirthKind::Freed, spot, format!("the object is given to {name}"), &path);
            } else if first.is_some_and(|first| self.is_released(first)) {
                // Another block was released there, and its owner still leads to it.
            } else if self.seeking && (first.is_none() || !sure) && !self.is_library(at) {
                // The pointer was taken out of its place before it was given away, or the place has another by now.
                let mut path = path.with(spot, "freed", format!("{name} frees an object"));
                path.doubts.push(FREED_UNSEEN);
                self.lead(BirthKind::Freed, spot, format!("{name} may have got the object here"), &path);
            }
            return;
        }
        let Some(first) = first else { return };
        if !near(first, place.0) {
            return;
        }
        let offset = place.0.wrapping_sub(first);
        if base.starts_with("memset") {
            let Some(count) = argument(self, 2).filter(|&count| offset < count) else { return };
            let byte = argument(self, 1);
            let fits =
                value.zip(byte).is_none_or(|(value, byte)| mask(u64::from_ne_bytes([byte as u8; 8]), place.1) == value);
            if fits {
                let mut path = path.with(spot, "fill", format!("{name} fills {count} bytes here"));
                if value != Some(0) {
                    path.doubts.push(ANOTHER_FILLED);
                }
                self.lead(BirthKind::NeverSet, spot, format!("filled by {name} and not set since"), &path);
            }
        } else if base.starts_with("memcpy") || base.starts_with("memmove") || base.starts_with("mempcpy") {
            let (Some(from), Some(_)) = (argument(self, 1), argument(self, 2).filter(|&count| offset < count)) else {
                return;
            };
            let mut path = path.with(spot, "copy", format!("{name} copies it from {:#x}", from.wrapping_add(offset)));
            // Data of a length that is not fixed, where a pointer was: the copy ran out of its field.
            let wild = value.is_some_and(|value| place.1 == 8 && !self.machine.is_canonical(value));
            if wild && offset > 0 && !self.is_constant(spot, COUNT_ARGUMENT) {
                path.doubts.push("how far the field reaches is not known");
                self.lead(BirthKind::Overrun, spot, format!("{name} copies more than the field holds"), &path);
                return;
            }
            path.floor = None;
            self.memory(spot.ctx, spot.at, from.wrapping_add(offset), place.1, value, &path);
        }
    }

    /// The way leads through a call that has not returned: it was met again in a loop, and is given something else by now.
    fn comes_round(&self, path: &Path) -> bool {
        path.steps.iter().any(|step| {
            let Spot { ctx, at } = step.spot;
            let live = self.run(ctx).frame.and_then(|_| self.live(ctx));
            step.step == "written-by"
                && live.is_some_and(|live| at == live || self.run(ctx).function.after(at) == [live])
        })
    }

    /// An argument of a call is the same whenever it is made.
    pub fn is_constant(&mut self, spot: Spot, number: usize) -> bool {
        let Some(&reg) = self.machine.arguments.get(number) else { return false };
        let defs = self.reaching(spot.ctx, spot.at, Loc::Reg(Part { reg, offset: 0, size: 8 }), None);
        !defs.is_empty() && defs.iter().all(|def| matches!(def.kind, Kind::Value(_)))
    }

    /// A call that returned the object around the place.
    pub fn made_by_call(
        &mut self,
        ctx: Ctx,
        call: usize,
        object: u64,
        place: (u64, u8),
        value: Option<u64>,
        path: &Path,
    ) {
        let Some(insn) = self.insn(ctx, call) else { return };
        let Flow::Call(target) = insn.flow else { return };
        let spot = Spot { ctx, at: call };
        let Some(target) = self.target(ctx, call, target) else { return };
        self.made_by(spot, target, object, place, value, path);
    }

    pub fn made_by(&mut self, spot: Spot, target: u64, object: u64, place: (u64, u8), value: Option<u64>, path: &Path) {
        let name = self.name_or_place(target);
        let elsewhere = !self.covers(object, place.0);
        if allocates(&name) && elsewhere && (value != Some(0) || self.block_size(object).is_some()) {
            // It leads to the block, and is not the block.
            if let (Some(0), Some(at)) = (value, self.other_allocation(spot)) {
                let spot = Spot { at, ..spot };
                let path = path.with(spot, "allocated", "a block that belongs to the object is made here".to_owned());
                self.lead(BirthKind::NeverSet, spot, "allocated here, and this part never set".to_owned(), &path);
                return;
            }
            let spot = path.loaded.unwrap_or(spot);
            self.lead(BirthKind::Loaded, spot, "read from memory; who wrote it was not found".to_owned(), path);
            return;
        }
        if allocates(&name) && clears(&name) && value.is_some_and(|value| value != 0) {
            let path = path.with(spot, "allocated", format!("{name} returned the object {object:#x}, cleared"));
            let at = path.loaded.unwrap_or(spot);
            self.lead(BirthKind::Loaded, at, "read from memory; who wrote it was not found".to_owned(), &path);
            return;
        }
        let is_text = |value: u64| {
            let [first, rest @ ..] = value.to_ne_bytes();
            rest.iter().any(|&byte| byte != first) && self.text_start(place.0, value).is_some()
        };
        if allocates(&name) && value.is_some_and(is_text) {
            // Somebody wrote a text there, that begins before; a pattern was rather left by another owner.
            let at = path.loaded.unwrap_or(spot);
            self.lead(BirthKind::Loaded, at, "read from memory; who wrote it was not found".to_owned(), path);
            return;
        }
        if allocates(&name) || self.is_of_go(&name) && super::go::allocates(&name) {
            self.unwritten(place.0, place.1, value);
            let path = path.with(spot, "allocated", format!("{name} returned the object {object:#x}"));
            self.lead(BirthKind::NeverSet, spot, format!("allocated by {name} and this part never set"), &path);
            return;
        }
        if self.is_of_system(target) {
            let path = path.with(spot, "made-by", format!("{name} returned the object {object:#x}"));
            self.lead(BirthKind::Unknown, spot, format!("{name} made the object; what it set is not known"), &path);
            return;
        }
        let Some(callee) = self.enter(spot.ctx, spot.at, target) else { return };
        let path = path.with(spot, "made-by", format!("{name} returned the object {object:#x}"));
        let function = self.function(callee);
        let result = Loc::Reg(Part { reg: self.machine.result, offset: 0, size: 8 });
        for &at in &function.returns {
            for def in self.reaching(callee, at, result, Some(object)) {
                if def.kind == Kind::Result
                    && let Some(value) = def.value
                {
                    self.runs[callee.0].results.push((def.at, value));
                }
            }
        }
        // What was asked before the result was known.
        self.evaluated.retain(|&(ctx, ..), _| ctx != callee);
        self.result_known.retain(|&(ctx, _), _| ctx != callee);
        let before = self.leads.len();
        for &at in &function.returns {
            self.trace(callee, at, Loc::Mem { address: place.0, size: place.1 }, value, &path);
        }
        for &(at, target) in &function.tails {
            if let Some(target) = self.target(callee, at, target) {
                self.made_by(Spot { ctx: callee, at }, target, object, place, value, &path);
            }
        }
        let unsure = |lead: &Lead| {
            lead.kind == BirthKind::NeverSet && !lead.path.doubts.is_empty() || lead.kind == BirthKind::Loaded
        };
        if value != Some(0) && self.leads.len() > before && self.leads.iter().skip(before).all(unsure) {
            // It stores to places in the object that are not known: one of these stores fits.
            let known = self.leads.split_off(before);
            if !self.stored_somewhere(callee, place, value, &path) {
                self.leads.extend(known);
            }
        }
        let lost = |lead: &Lead| matches!(lead.kind, BirthKind::Loaded | BirthKind::Unknown);
        let made = value == Some(0) && self.is_library(target) && self.reaches_allocation(target);
        if made && self.leads.iter().skip(before).all(lost) {
            // The containers of a language begin what they make with zeros.
            self.leads.truncate(before);
            let what = format!("{} made the object, and nothing set this part since", super::guard::short(&name));
            self.lead(BirthKind::NeverSet, spot, what, &path);
            return;
        }
        if self.leads.len() == before
            && let Some(first) = function.first()
        {
            let mut path = path;
            path.doubts.push(NO_WAY);
            self.lead(
                BirthKind::Unknown,
                Spot { ctx: callee, at: first },
                format!("{name} returned the object"),
                &path,
            );
        }
    }

    /// The one other call of an allocator in a function that makes an object.
    fn other_allocation(&mut self, spot: Spot) -> Option<usize> {
        let function = self.function(spot.ctx);
        let mut found = None;
        for (at, target) in function.direct_calls().filter(|&(at, _)| at != spot.at) {
            let target = self.behind_plt(target);
            if self.function_name(target).is_some_and(|name| allocates(&name)) && found.replace(at).is_some() {
                return None;
            }
        }
        found
    }

    /// Finds who freed the object at an address before the fault.
    pub fn freed(&mut self, address: u64, path: &Path) -> bool {
        let before = self.leads.len();
        if let Some(&Spot { ctx, at }) = path.steps.first().map(|step| &step.spot) {
            let outer = std::mem::replace(&mut self.seeking, true);
            self.trace(ctx, at, Loc::Mem { address, size: 8 }, None, path);
            self.seeking = outer;
        }
        let of_search = self.leads.split_off(before.min(self.leads.len()));
        let mut freed: Vec<Lead> = of_search.into_iter().filter(|lead| lead.kind == BirthKind::Freed).collect();
        let gone = !self.is_mapped(address) || self.released_block(address).is_some();
        if !gone || freed.iter().any(|lead| !lead.path.doubts.contains(&FREED_UNSEEN)) {
            freed.retain(|lead| !lead.path.doubts.contains(&FREED_UNSEEN));
        }
        if freed.iter().any(|lead| !lead.path.doubts.contains(&RETURNED_ALIVE)) {
            freed.retain(|lead| !lead.path.doubts.contains(&RETURNED_ALIVE));
        }
        self.leads.extend(freed);
        self.leads.len() > before
    }

    /// A pointer that was right when it was made: who freed the object since.
    pub fn went_bad(&mut self, pointer: u64, spot: Spot, name: &str, path: &Path) {
        if !self.freed(pointer, path) {
            // What is there now is no pointer that the allocator gave, but text over one.
            if let (Some(super::writers::Read { address: Some(address), value, .. }), Some(loaded), false) =
                (path.read, path.loaded, self.seeking)
                && self.overrun(loaded.ctx, loaded.at, address, value, path)
            {
                return;
            }
            let text = format!("it was right when {name} returned it; what happened since was not found");
            self.lead(BirthKind::Loaded, spot, text, path);
        }
    }

    /// A number that a function got as a number and stored where a pointer is read since: as a number it is right, and the store
    /// put it into the wrong part of a union, or under the wrong tag.
    pub fn is_stored_number(&mut self, ctx: Ctx, part: Part, value: Option<u64>, path: &Path) -> bool {
        let Some(stored) = path.stored.filter(|stored| stored.ctx == ctx && self.run(ctx).frame.is_none()) else {
            return false;
        };
        let pointer = self.wants_address && value.is_some() && value == self.sought;
        let plain = value.is_some_and(|value| value != 0 && value < ERROR_POINTERS && !self.is_mapped(value));
        if !pointer || !plain || self.seeking {
            return false;
        }
        let number = self.machine.arguments.iter().position(|&reg| reg == part.reg);
        let entry = Avma(self.run(ctx).function.entry);
        if number.and_then(|number| self.values.is_number_parameter(entry, number)) != Some(true) {
            return false;
        }
        let path = path.with(stored, "number", "it came as a number, and a pointer is read there".to_owned());
        self.lead(BirthKind::Stored, stored, "stores a number where a pointer is read".to_owned(), &path);
        true
    }

    /// A store in the code gave a place another value than it has.
    pub fn was_overwritten(&mut self, spot: Spot, loc: Loc, value: Option<u64>, path: &Path) {
        let loaded = path.loaded.unwrap_or(spot);
        if let Loc::Mem { address, size } = loc {
            self.unwritten(address, size, value);
        }
        let path = path.with(spot, "overwritten", "another value was stored here: it was overwritten since".to_owned());
        if let Loc::Mem { address, .. } = loc {
            if self.overrun(loaded.ctx, loaded.at, address, value, &path)
                || self.run_over(loaded.ctx, loaded.at, address, &path)
            {
                return;
            }
            let heap = !self.on_stack(address) && !self.is_static(address);
            if heap && !self.seeking && self.freed(address, &path) {
                return;
            }
        }
        self.lead(BirthKind::Loaded, loaded, "overwritten since it was stored".to_owned(), &path);
    }

    /// A store of 32 bits of a register that held more.
    pub fn truncates(&mut self, ctx: Ctx, store: usize) -> bool {
        let Some(insn) = self.insn(ctx, store) else { return false };
        insn.ops.iter().any(|op| match *op {
            Op::Store { to, from: Src::Reg(from) } if to.size == 4 && from.size == 4 => {
                let whole = self.eval(ctx, store, Src::Reg(Part { size: 8, ..from }));
                whole.is_some_and(|whole| super::op::sign_extend(whole, 4) != whole.cast_signed() && whole >> 32 != 0)
            }
            _ => false,
        })
    }
}
