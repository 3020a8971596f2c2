//! Who writes this part of such an object: by reading the code of the program once, for an object that no call on the way made or
//! got. Only where one function alone fits, it is an answer.

use std::collections::BTreeSet;

use necropsy_model::BirthKind;

use super::context::Ctx;
use super::definition::Loc;
use super::lead::{Lead, NO_MEMORY, NO_WAY, Path, Spot};
use super::library::{allocates, plain_name};
use super::op::{Op, Part, Src, mask};
use super::{Limits, Tracer, sweep};

/// Stores that are looked at: more of them are more than one writer.
const MAX_STORES: usize = 48;
/// Calls of allocators.
const MAX_ALLOCATIONS: usize = 256;

/// Found by the field's place in the object alone.
const BY_PLACE: &str = "the writer was found by the place of the field alone";

/// Calls of the C library that are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LibraryCall {
    Allocates,
    Fills,
    Other,
}

/// What was read last on a path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Read {
    /// Where, if that is known.
    pub address: Option<u64>,
    /// Bytes between the pointer that was used and the place.
    pub offset: i64,
    /// Bytes read.
    pub size: u8,
    pub value: Option<u64>,
}

/// The function that an instruction calls or jumps to, where it names it.
fn direct(insn: &sweep::Swept) -> Option<u64> {
    insn.goes_to(|_| None).filter(|&(_, direct)| direct).map(|(target, _)| target)
}

impl Tracer<'_, '_, '_> {
    /// Nothing that was followed tells: looks for the one writer of the field that was read last, else for the one maker of such
    /// objects that never sets it.
    pub fn of_writers(&mut self) {
        let lost = |lead: &Lead| matches!(lead.kind, BirthKind::Loaded | BirthKind::Unknown);
        // The end of a container is known for what it is.
        let known_end = |lead: &Lead| lead.path.steps.iter().any(|step| step.step == "end");
        let ends = |lead: &Lead| lead.kind == BirthKind::EndOfList && !known_end(lead);
        if self.leads.iter().any(|lead| !lost(lead) && !ends(lead)) {
            return;
        }
        let list = self.leads.iter().any(ends);
        let read = self.leads.iter().find_map(|lead| Some((lead.path.read?, lead.path.clone())));
        let Some((Read { address, offset, size, value: Some(value) }, path)) = read else { return };
        let (offset, room) = match address {
            Some(address) => {
                if self.on_stack(address) || self.is_static(address) {
                    return;
                }
                let Some((block, room)) = self.block_around(address) else { return };
                if self.is_released(block) {
                    return;
                }
                if self.is_vector((block, room), address) {
                    let known = std::mem::take(&mut self.leads);
                    self.put_into_vector(address - block, value, &path);
                    if self.leads.is_empty() {
                        self.leads = known;
                    }
                    return;
                }
                (address - block, Some(room))
            }
            // The pointer is gone: it was to the object, if to anything.
            None => match u64::try_from(offset) {
                Ok(offset) if value == 0 && size == 8 => (offset, None),
                _ => return,
            },
        };
        let known = std::mem::take(&mut self.leads);
        let (stores, calls, fills) = self.sites(offset, size, value);
        self.by_place = true;
        let open = self.follow_stores(&stores, value, size, &path);
        self.by_place = false;
        for &fill in &fills {
            self.follow_fill(fill, (offset, size), room, value, &path);
        }
        let found = std::mem::take(&mut self.leads);
        let writers: BTreeSet<u64> = found.iter().map(|lead| self.run(lead.spot.ctx).function.entry).collect();
        let given = |lead: &Lead| lead.path.steps.iter().any(|step| step.step == "given");
        match writers.len() {
            1 if !open && !list => self.leads = found,
            // A list ends in NULL, and whoever walks on is to blame; here a function does nothing but ask for an object without this
            // link.
            1 if !open && found.iter().all(|lead| given(lead) && self.makes_roots(lead)) => {
                self.leads = found;
                for lead in &mut self.leads {
                    lead.path.doubts.clear();
                    let words = ("root", "asks for an object without this link");
                    lead.ends_with(
                        BirthKind::Stored,
                        lead.spot,
                        "makes an object without a link that others have",
                        words,
                    );
                }
            }
            0 if !open && value == 0 && !list => {
                if let Some(room) = room {
                    self.only_maker(&calls, &stores, room, &path);
                }
            }
            _ => {}
        }
        if self.leads.is_empty() {
            self.leads = known;
        }
    }

    /// The function that gave the NULL calls the one that stored it once, and is not on the stack any more: it makes the root of something.
    /// Who makes a list calls it for each element.
    fn makes_roots(&self, lead: &Lead) -> bool {
        let stored = lead.path.steps.iter().find(|step| step.step == "store").map(|step| step.spot.ctx);
        let Some(storing) = stored.map(|ctx| self.run(ctx).function.entry) else { return false };
        let giver = self.function(lead.spot.ctx);
        let jumps = giver.tails.iter().map(|&(_, target)| target);
        let calls = giver.direct_calls().map(|(_, target)| Src::Const(target)).chain(jumps);
        let stands = |at: u64| giver.insns.iter().any(|insn| (insn.at..insn.next).contains(&at));
        let on_stack = self.frames.iter().any(|frame| stands(frame.address.lookup().0));
        calls.filter(|&target| target == Src::Const(storing)).count() == 1 && !on_stack
    }

    /// Start and size of the heap block around an address.
    pub fn block_around(&self, address: u64) -> Option<(u64, u64)> {
        /// Bytes before the address in which its block may begin.
        const REACH: u64 = 4096;
        let starts = (0..REACH / 16).map_while(|step| (address & !15).checked_sub(step * 16));
        starts.into_iter().find_map(|start| {
            let size = self.block_size(start)?;
            (address - start < size).then_some((start, size))
        })
    }

    /// Stores of the program to a place at an offset from a pointer, and its calls of allocators and of `memset`.
    pub fn sites(&mut self, offset: u64, size: u8, value: u64) -> (Vec<u64>, Vec<u64>, Vec<u64>) {
        let (mut stores, mut calls, mut fills) = (Vec::new(), Vec::new(), Vec::new());
        for image in self.space.images.all() {
            if image.debug.get().is_some_and(|debug| debug.is_of_system()) {
                continue;
            }
            let Some(instructions) = sweep::instructions(image, self.machine) else {
                // A module that was not read may have writers of its own.
                stores.resize(MAX_STORES, 0);
                return (stores, calls, fills);
            };
            let called = sweep::instructions(image, self.machine).into_iter().flatten();
            let targets: Vec<u64> = called.filter_map(|insn| direct(&insn)).collect();
            self.learn_library_calls(targets);
            for insn in instructions {
                let stores_it = insn.stores_at(offset, size) || value == 0 && insn.stores_around(offset, size);
                if stores_it && stores.len() < MAX_STORES && !self.is_linked_library(insn.at()) {
                    stores.push(insn.at());
                }
                let Some(target) = direct(&insn) else { continue };
                match self.library_calls.get(&target).copied().unwrap_or(LibraryCall::Other) {
                    _ if self.is_linked_library(insn.at()) => {}
                    LibraryCall::Allocates if calls.len() < MAX_ALLOCATIONS => calls.push(insn.at()),
                    LibraryCall::Fills if fills.len() < MAX_STORES => fills.push(insn.at()),
                    _ => {}
                }
            }
        }
        (stores, calls, fills)
    }

    /// What these functions are, by their names in the tables of symbols: some thousand of them are asked for at once.
    fn learn_library_calls(&mut self, mut unknown: Vec<u64>) {
        // A copy of a text is no object with fields.
        let copies = |name: &str| matches!(plain_name(name), "strdup" | "strndup" | "mmap" | "mmap64");
        unknown.sort_unstable();
        unknown.dedup();
        unknown.retain(|target| !self.library_calls.contains_key(target));
        let behind: Vec<u64> = unknown.iter().map(|&target| self.behind_plt(target)).collect();
        let names = self.namer.functions(&behind);
        for (target, behind) in unknown.into_iter().zip(behind) {
            let linked = self.linked.borrow().get(&behind).cloned();
            let found = match names.get(&behind).map(ToString::to_string).or(linked) {
                Some(name) if allocates(&name) && !copies(&name) => LibraryCall::Allocates,
                Some(name) if plain_name(&name).starts_with("memset") && self.is_of_system(behind) => {
                    LibraryCall::Fills
                }
                _ => LibraryCall::Other,
            };
            self.library_calls.insert(target, found);
        }
    }

    /// A call of `memset` that fills such objects, this part included, with the value.
    fn follow_fill(&mut self, call: u64, place: (u64, u8), room: Option<u64>, value: u64, path: &Path) {
        let (offset, size) = place;
        let Some(ctx) = self.detached_at(call, Limits::DESCENTS / 2) else { return };
        let Some(at) = self.function(ctx).at(call) else { return };
        let mut argument = |number: usize| {
            let &reg = self.machine.arguments.get(number)?;
            self.eval(ctx, at, Src::Reg(Part { reg, offset: 0, size: 8 }))
        };
        let (byte, count) = (argument(1), argument(2));
        let fits = byte.is_some_and(|byte| mask(u64::from_ne_bytes([byte as u8; 8]), size) == value);
        let whole = count.is_some_and(|count| {
            offset + u64::from(size) <= count && room.is_none_or(|room| count <= room && room - count < 24)
        });
        if fits && whole {
            let spot = Spot { ctx, at };
            let mut path = path.with(spot, "fill", "such objects are filled here".to_owned());
            path.stored = Some(spot);
            path.doubts.push(BY_PLACE);
            self.lead(BirthKind::Stored, spot, "fills such objects".to_owned(), &path);
        }
    }

    /// Follows what is stored. Whether a store is left of which nothing is known.
    pub fn follow_stores(&mut self, stores: &[u64], value: u64, size: u8, path: &Path) -> bool {
        if stores.len() >= MAX_STORES {
            return true;
        }
        let mut open = false;
        for &store in stores {
            let Some(ctx) = self.detached_at(store, Limits::DESCENTS / 2) else { continue };
            let Some(at) = self.function(ctx).at(store) else { continue };
            let Some(insn) = self.insn(ctx, at) else { continue };
            let names = self.names(store);
            if self.is_library(store) || names.iter().all(super::own::is_standard) {
                continue;
            }
            for op in &insn.ops {
                let Op::Store { from, .. } = *op else { continue };
                open |= self.follow_store(Spot { ctx, at }, from, value, size, path);
            }
        }
        open
    }

    fn follow_store(&mut self, spot: Spot, from: Src, value: u64, size: u8, path: &Path) -> bool {
        let before = self.leads.len();
        let mut path = path.with(spot, "store", "a store to this part of such objects".to_owned());
        path.stored = Some(spot);
        path.floor = None;
        path.value = Some(value);
        path.returned.clear();
        path.doubts.push(BY_PLACE);
        match from {
            Src::Const(constant) if mask(constant, size) == value => {
                self.lead(BirthKind::Stored, spot, "stores the value".to_owned(), &path);
            }
            Src::Reg(part) => {
                self.trace(spot.ctx, spot.at, Loc::Reg(Part { size: size.min(part.size), ..part }), Some(value), &path);
            }
            _ => {}
        }
        let found = self.leads.split_off(before.min(self.leads.len()));
        let lost = |lead: &Lead| {
            matches!(lead.kind, BirthKind::Loaded | BirthKind::Unknown | BirthKind::Arithmetic | BirthKind::EndOfList)
        };
        let failed = |lead: &Lead| lead.path.doubts.contains(&NO_MEMORY);
        // Another value was put where it would have come from: this store stored that one.
        let another = |lead: &Lead| lead.path.steps.last().is_some_and(|step| step.step == "overwritten");
        let refuted = |lead: &Lead| lead.path.doubts.contains(&NO_WAY);
        let open = found.iter().any(|lead| lost(lead) && !failed(lead) && !another(lead) && !refuted(lead));
        self.leads.extend(found.into_iter().filter(|lead| !lost(lead) && !failed(lead)));
        open
    }

    /// The one function that allocates blocks of this size: it never set the field.
    fn only_maker(&mut self, calls: &[u64], stores: &[u64], room: u64, path: &Path) {
        let mut makers: Vec<Spot> = Vec::new();
        for &call in calls {
            let Some(ctx) = self.detached_at(call, 0) else { continue };
            let Some(at) = self.function(ctx).at(call) else { continue };
            match self.allocated_size(ctx, at) {
                // Any size: it may be this one.
                None => return,
                Some(size) if chunk_room(size) == Some(room) => makers.push(Spot { ctx, at }),
                Some(_) => {}
            }
        }
        let entries: BTreeSet<u64> = makers.iter().map(|spot| self.run(spot.ctx).function.entry).collect();
        let (Some(&spot), 1) = (makers.first(), entries.len()) else { return };
        // It sets the field: what became of that is another question.
        let function = self.function(spot.ctx);
        if stores.iter().any(|&store| function.at(store).is_some()) {
            return;
        }
        let mut path = path.with(spot, "allocated", "only here blocks of this size are made".to_owned());
        path.value = None;
        self.part_given = false;
        self.lead(BirthKind::NeverSet, spot, "allocated here, and nothing sets this part to it".to_owned(), &path);
    }

    /// What an allocator was asked for.
    fn allocated_size(&mut self, ctx: Ctx, at: usize) -> Option<u64> {
        let target = super::subject::called(self.insn(ctx, at)?.flow)?;
        let target = self.target(ctx, at, target)?;
        let name = self.function_name(target)?;
        let mut argument = |number: usize| {
            let &reg = self.machine.arguments.get(number)?;
            self.eval(ctx, at, Src::Reg(Part { reg, offset: 0, size: 8 }))
        };
        match plain_name(&name) {
            "calloc" => argument(0)?.checked_mul(argument(1)?),
            "realloc" | "aligned_alloc" | "memalign" => argument(1),
            name if name == "malloc" || name.starts_with("operator new") => argument(0),
            _ => None,
        }
    }

    /// What all callers give a function in a register.
    pub fn given_by_all(&mut self, entry: u64, part: Part, value: Option<u64>, path: &Path) -> bool {
        /// Callers that are asked.
        const MOST: usize = 24;
        /// Functions that pass it on.
        const HANDED: usize = 3;
        if path.steps.iter().filter(|step| step.step == "given").count() >= HANDED {
            return false;
        }
        let mut calls = Vec::new();
        for image in self.space.images.all() {
            if image.debug.get().is_some_and(|debug| debug.is_of_system()) {
                continue;
            }
            let Some(instructions) = sweep::instructions(image, self.machine) else { return false };
            let to_it = instructions.filter(|insn| insn.goes_to(|_| None) == Some((entry, true)));
            calls.extend(to_it.map(|insn| insn.at()).take(MOST + 1));
        }
        if calls.is_empty() || calls.len() > MOST {
            return false;
        }
        for call in calls {
            let Some(ctx) = self.detached_at(call, Limits::DESCENTS / 2) else { return false };
            let Some(at) = self.function(ctx).at(call) else { return false };
            let spot = Spot { ctx, at };
            let mut path = path.with(spot, "given", "a caller that gives it the parameter".to_owned());
            // A whole pointer was passed: it lost its upper half where it was stored.
            let whole = Loc::Reg(Part { size: 8, ..part });
            let cut = part.size == 4 && {
                let defs = self.reaching(ctx, at, whole, None);
                !defs.is_empty() && defs.iter().all(|def| !def.widened_from(4))
            };
            path.stored = path.stored.filter(|_| cut);
            self.trace(ctx, at, Loc::Reg(part), value, &path);
        }
        true
    }

    /// A run of the function around an address, so many calls deep.
    pub fn detached_at(&mut self, address: u64, depth: usize) -> Option<Ctx> {
        let ctx = self.detached(address)?;
        self.runs[ctx.0].depth = depth;
        Some(ctx)
    }
}

/// Bytes that can be used of a block of glibc that was asked for so many (`request2size` in `malloc/malloc.c`).
pub(super) fn chunk_room(request: u64) -> Option<u64> {
    let chunk = request.checked_add(8 + 15)? & !15;
    Some(chunk.max(0x20) - 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_of_blocks_as_glibc_rounds_it() {
        assert_eq!([0, 1, 24, 25, 40].map(chunk_room), [24, 24, 24, 40, 40].map(Some));
        assert_eq!(chunk_room(u64::MAX), None);
    }
}
