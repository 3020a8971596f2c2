//! NULL in an element of a block that something else points to: who made the block, and left the element out.

use std::collections::BTreeSet;

use necropsy_model::{Avma, BirthKind};

use super::Tracer;
use super::definition::{Kind, Loc};
use super::lead::{Lead, Path};
use super::op::{Arith, Mem, Op, Part, Src};
use super::subject::Subject;
use super::{Limits, sweep};

/// Pointers to a block that are looked at.
const HOLDERS: usize = 4;
/// Bytes that are searched for them.
const SEARCHED: usize = 64 << 20;
/// Stores of NULL to elements that are looked at.
const STORES: usize = 64;

impl Tracer<'_, '_, '_> {
    /// A part of a block is NULL, and nobody is seen to have set it: the one function that made the block never did.
    pub fn of_block_maker(&mut self, subject: &Subject, threads: usize) {
        let lost = |lead: &Lead| {
            matches!(lead.kind, BirthKind::Loaded | BirthKind::Unknown)
                || lead.kind == BirthKind::NeverSet && !lead.path.doubts.is_empty()
        };
        if threads > 1 || self.leads.is_empty() || !self.leads.iter().all(lost) {
            return;
        }
        let Some((address, offset, mut path)) = self.leads.iter().find_map(|lead| {
            let read = lead.path.read.filter(|read| read.value == Some(0) && read.size == 8)?;
            Some((read.address?, read.offset, lead.path.clone()))
        }) else {
            return;
        };
        if self.on_stack(address) || self.is_static(address) || self.word(address, 8) != Some(0) {
            return;
        }
        let Some((block, _)) = self.block_around(address) else { return };
        if self.is_released(block) || self.clears_elements() {
            return;
        }
        let loaded = path.steps.iter().position(|step| step.memory == Some(address));
        path.steps.truncate(loaded.map_or(1, |at| at + 1));
        (path.stored, path.floor, path.value) = (None, None, Some(block));
        path.doubts.clear();
        path.returned.clear();
        let known = std::mem::take(&mut self.leads);
        if self.may_be_emptied(offset, &path) {
            self.leads = known;
            return;
        }
        let found = self.makers(subject, address, block, &path);
        let functions: BTreeSet<u64> = found.iter().map(|lead| self.run(lead.spot.ctx).function.entry).collect();
        match found.into_iter().next() {
            Some(mut lead) if functions.len() == 1 => {
                "made the block here, and this part of it was never set".clone_into(&mut lead.what);
                lead.path.doubts.clear();
                self.leads = vec![lead];
            }
            _ => self.leads = known,
        }
    }

    /// The code stores something that may be NULL as far from a pointer as this was read.
    fn may_be_emptied(&mut self, offset: i64, path: &Path) -> bool {
        let Ok(offset) = u64::try_from(offset) else { return true };
        let (stores, ..) = self.sites(offset, 8, 0);
        self.by_place = true;
        let open = self.follow_stores(&stores, 0, 8, path);
        self.by_place = false;
        let found = std::mem::take(&mut self.leads);
        self.visited.clear();
        open || !found.is_empty()
    }

    /// Where the block was allocated, by what points to it.
    fn makers(&mut self, subject: &Subject, address: u64, block: u64, path: &Path) -> Vec<Lead> {
        let mut found = Vec::new();
        for holder in self.holders(block) {
            let mut path = path.with(
                super::lead::Spot { ctx: subject.ctx, at: subject.at },
                "held",
                format!("{holder:#x} points to the block around {address:#x}"),
            );
            path.seen_in(holder);
            path.read = Some(super::writers::Read { address: Some(holder), offset: 0, size: 8, value: Some(block) });
            self.visited.clear();
            self.allocating = true;
            self.memory(subject.ctx, subject.at, holder, 8, Some(block), &path);
            let mut leads = std::mem::take(&mut self.leads);
            if leads.iter().all(|lead| lead.kind != BirthKind::NeverSet) && !self.on_stack(holder) {
                self.lead(
                    BirthKind::Loaded,
                    super::lead::Spot { ctx: subject.ctx, at: subject.at },
                    String::new(),
                    &path,
                );
                self.of_writers();
                leads = std::mem::take(&mut self.leads);
            }
            self.allocating = false;
            // Containers of a library set what they make.
            leads.retain(|lead| lead.kind == BirthKind::NeverSet && self.own_spot(lead.spot) == lead.spot);
            found.extend(leads);
            if !found.is_empty() {
                break;
            }
        }
        found
    }

    /// Where a pointer to the block stands: in other blocks and in variables, else in frames that are still there.
    fn holders(&self, block: u64) -> Vec<u64> {
        let sp = self.frames.first().and_then(|frame| frame.registers.sp()).unwrap_or_default();
        let (mut lasting, mut local) = (Vec::new(), Vec::new());
        let mut left = SEARCHED;
        for region in self.space.memory.regions() {
            if !region.permissions.is_some_and(|rights| rights.write) {
                continue;
            }
            let Some(rest) = left.checked_sub(region.bytes.len()) else { break };
            left = rest;
            let on_stack = self.on_stack(region.start.0);
            for (at, word) in region.bytes.chunks_exact(8).enumerate() {
                if word != block.to_le_bytes() {
                    continue;
                }
                let place = region.start.0 + at as u64 * 8;
                if on_stack && place >= sp {
                    local.push(place);
                } else if !on_stack
                    && !self
                        .space
                        .images
                        .at(Avma(place))
                        .is_some_and(|(_, image)| image.debug.get().is_some_and(|debug| debug.is_of_system()))
                {
                    lasting.push(place);
                }
            }
        }
        if lasting.is_empty() {
            local.truncate(HOLDERS);
            return local;
        }
        // Several keep it: whose it is can not be told.
        if lasting.len() > HOLDERS { Vec::new() } else { lasting }
    }

    /// The program puts NULL into elements of arrays of pointers: this one may have been set, and emptied.
    fn clears_elements(&mut self) -> bool {
        let mut stores = Vec::new();
        for image in self.space.images.all() {
            if image.debug.get().is_some_and(|debug| debug.is_of_system()) {
                continue;
            }
            let Some(instructions) = sweep::instructions(image, self.machine) else { return true };
            for insn in instructions {
                if insn.stores_zero() && !self.is_library(insn.at()) {
                    stores.push(insn.at());
                }
                if stores.len() > STORES {
                    return true;
                }
            }
        }
        stores.into_iter().any(|store| self.stores_to_element(store))
    }

    /// The address of a store is counted from that of an array.
    fn stores_to_element(&mut self, store: u64) -> bool {
        let Some(ctx) = self.detached_at(store, Limits::DESCENTS / 2) else { return false };
        let function = self.function(ctx);
        let Some(at) = function.at(store) else { return false };
        let Some(insn) = function.insns.get(at) else { return false };
        insn.ops.iter().any(|op| {
            let Op::Store { to, .. } = op else { return false };
            if function.stack(at).slot(to).is_some() {
                return false;
            }
            if to.index.is_some() {
                return true;
            }
            let Some(base) = to.base else { return false };
            let defs = self.reaching(ctx, at, Loc::Reg(Part { reg: base, offset: 0, size: 8 }), None);
            defs.iter().any(|def| match def.kind {
                Kind::Compute { kind: Arith::Add, left, right, .. } => {
                    matches!((left, right), (Src::Reg(_) | Src::Mem(_), Src::Reg(_) | Src::Mem(_)))
                }
                Kind::Address(Mem { index, .. }) => index.is_some(),
                _ => false,
            })
        })
    }
}
