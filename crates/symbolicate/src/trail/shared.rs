//! A block that two objects own: each released it, and rightly. Who gave it to the second one is to name.

use std::collections::BTreeSet;

use necropsy_model::BirthKind;

use super::Tracer;
use super::context::Ctx;
use super::definition::{Kind, Loc};
use super::lead::{Path, Spot};
use super::op::{Part, Src};

impl Tracer<'_, '_, '_> {
    /// A call released a block for the second time, and the first release is known as a call of the same function with another
    /// object: finds the store that put the block into that one.
    pub fn shared_block(&mut self, ctx: Ctx, at: usize, block: u64, path: &Path) {
        let part = Part { reg: self.machine.arguments[0], offset: 0, size: 8 };
        let defs = self.reaching(ctx, at, Loc::Reg(part), Some(block));
        let [def] = defs.as_slice() else { return };
        let Kind::Load { mem, .. } = def.kind else { return };
        let (Some(base), None, 8) = (mem.base, mem.index, mem.size) else { return };
        let word = Src::Reg(Part { reg: base, offset: 0, size: 8 });
        let Some(holder) = self.eval(ctx, def.at, word) else { return };
        let released = std::mem::take(&mut self.leads);
        for lead in &released {
            let Spot { ctx, at } = lead.spot;
            for (_, other) in self.arguments(ctx, at) {
                if other == holder || self.block_size(other).is_none() {
                    continue;
                }
                let text = format!("the object at {other:#x} had the block too, and was released before");
                let path = path.with(lead.spot, "shared", text);
                let place = Loc::Mem { address: other.wrapping_add_signed(mem.displacement), size: 8 };
                self.visited.clear();
                self.trace(ctx, at, place, Some(block), &path);
            }
        }
        // Where the one owner's pointer was read to be given to the other.
        let place = holder.wrapping_add_signed(mem.displacement);
        let found = std::mem::replace(&mut self.leads, released);
        let copies = found.into_iter().filter_map(|lead| {
            let copies = |step: &super::lead::Step| step.step == "load" && step.memory == Some(place);
            let shared = lead.path.steps.iter().position(|step| step.step == "shared")?;
            let copy = shared + lead.path.steps.iter().skip(shared).position(copies)?;
            let mut path = lead.path;
            path.steps.truncate(copy + 1);
            Some((path.steps.last()?.spot, path))
        });
        let copies: Vec<(Spot, Path)> = copies.collect();
        let writers: BTreeSet<u64> = copies.iter().map(|(spot, _)| self.run(spot.ctx).function.entry).collect();
        if let (Some((spot, mut path)), 1) = (copies.into_iter().next(), writers.len()) {
            self.leads.clear();
            path.doubts = vec!["that both owners release it may be the mistake"];
            self.lead(BirthKind::Stored, spot, "gives the block to a second owner".to_owned(), &path);
        }
    }
}
