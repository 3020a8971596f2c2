//! Who writes this part of such an object: by reading the code of the program once, for an object that no call on the way made or
//! got. Only where one function alone fits, it is an answer.

use std::collections::BTreeSet;

use necropsy_model::BirthKind;

use super::chase::{allocates, plain_name};
use super::context::Ctx;
use super::definition::Loc;
use super::lead::{Lead, NO_MEMORY, Path, Spot};
use super::op::{Op, Part, Src, mask};
use super::{Limits, Tracer, sweep};

/// Stores that are looked at: more of them are more than one writer.
const MAX_STORES: usize = 48;
/// Calls of allocators.
const MAX_ALLOCATIONS: usize = 256;

/// Found by the field's place in the object alone.
const BY_PLACE: &str = "the writer was found by the place of the field alone";

/// What was read last on a path: address, bytes, value.
pub(super) type Read = (u64, u8, Option<u64>);

impl Tracer<'_, '_, '_> {
    /// Nothing that was followed tells: looks for the one writer of the field that was read last, else for the one maker of such
    /// objects that never sets it.
    pub fn of_writers(&mut self) {
        let lost = |lead: &Lead| matches!(lead.kind, BirthKind::Loaded | BirthKind::Unknown);
        if self.leads.iter().any(|lead| !lost(lead)) {
            return;
        }
        let read = self.leads.iter().find_map(|lead| Some((lead.path.read?, lead.path.clone())));
        let Some(((address, size, value), path)) = read else { return };
        let Some(value) = value.filter(|_| !self.on_stack(address) && !self.is_static(address)) else { return };
        let Some((block, room)) = self.block_around(address) else { return };
        if self.is_released(block) {
            return;
        }
        let known = std::mem::take(&mut self.leads);
        let (stores, calls) = self.sites(address - block, size);
        let open = self.follow_stores(&stores, value, size, &path);
        let found = std::mem::take(&mut self.leads);
        let writers: BTreeSet<u64> = found.iter().map(|lead| self.run(lead.spot.ctx).function.entry).collect();
        match writers.len() {
            1 if !open => self.leads = found,
            0 if !open && value == 0 => self.only_maker(&calls, &stores, room, &path),
            _ => {}
        }
        if self.leads.is_empty() {
            self.leads = known;
        }
    }

    /// Start and size of the heap block around an address.
    fn block_around(&self, address: u64) -> Option<(u64, u64)> {
        /// Bytes before the address in which its block may begin.
        const REACH: u64 = 4096;
        let starts = (0..REACH / 16).map_while(|step| (address & !15).checked_sub(step * 16));
        starts.into_iter().find_map(|start| {
            let size = self.block_size(start)?;
            (address - start < size).then_some((start, size))
        })
    }

    /// Stores of the program to a place at an offset from a pointer, and its calls.
    fn sites(&mut self, offset: u64, size: u8) -> (Vec<u64>, Vec<u64>) {
        let (mut stores, mut calls) = (Vec::new(), Vec::new());
        for image in self.space.images.all() {
            if image.debug.get().is_some_and(|debug| debug.is_of_system()) {
                continue;
            }
            let Some(instructions) = sweep::instructions(image, self.machine) else {
                // A module that was not read may have writers of its own.
                stores.resize(MAX_STORES, 0);
                return (stores, calls);
            };
            for insn in instructions {
                if insn.stores_at(offset, size) && stores.len() < MAX_STORES {
                    stores.push(insn.at());
                }
                if let Some((target, true)) = insn.goes_to(|_| None)
                    && calls.len() < MAX_ALLOCATIONS
                    && self.is_allocation(target)
                {
                    calls.push(insn.at());
                }
            }
        }
        (stores, calls)
    }

    fn is_allocation(&mut self, target: u64) -> bool {
        let behind = self.behind_plt(target);
        if let Some(&known) = self.allocating.get(&behind) {
            return known;
        }
        // A copy of a text is no object with fields.
        let copies = |name: &str| matches!(plain_name(name), "strdup" | "strndup" | "mmap" | "mmap64");
        let found = self.function_name(behind).is_some_and(|name| allocates(&name) && !copies(&name));
        self.allocating.insert(behind, found);
        found
    }

    /// Follows what is stored. Whether a store is left of which nothing is known.
    fn follow_stores(&mut self, stores: &[u64], value: u64, size: u8, path: &Path) -> bool {
        if stores.len() >= MAX_STORES {
            return true;
        }
        let mut open = false;
        for &store in stores {
            let Some(ctx) = self.detached_at(store, Limits::DESCENTS / 2) else { continue };
            let Some(at) = self.function(ctx).at(store) else { continue };
            let Some(insn) = self.insn(ctx, at) else { continue };
            let names = self.names(store);
            if self.is_library(store) || names.iter().all(super::lead::is_standard) {
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
        let open = found.iter().any(|lead| lost(lead) && !failed(lead));
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

    /// A run of the function around an address, so many calls deep.
    fn detached_at(&mut self, address: u64, depth: usize) -> Option<Ctx> {
        let ctx = self.detached(address)?;
        self.runs[ctx.0].depth = depth;
        Some(ctx)
    }
}

/// Bytes that can be used of a block of glibc that was asked for so many (`request2size` in `malloc/malloc.c`).
fn chunk_room(request: u64) -> Option<u64> {
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
