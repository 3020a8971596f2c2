//! Loops that count too far: what they count up to.

use necropsy_model::BirthKind;

use super::Tracer;
use super::context::Ctx;
use super::definition::{Def, Loc};
use super::lead::{Lead, Path, Spot};
use super::op::{Flags, Flow, Op, Src, mask};

impl Tracer<'_, '_, '_> {
    /// Follows the number that a counter is compared with in the branch that ends the loop.
    ///
    /// Whether there is one, and it led anywhere.
    pub fn bound_of(&mut self, ctx: Ctx, def: &Def, path: &Path) -> bool {
        let Some(counted) = def.value.filter(|_| !self.seeking && !self.sizing) else { return false };
        let function = self.function(ctx);
        let mut bounds: Vec<(usize, Src, u64)> = Vec::new();
        for (branch, insn) in function.insns.iter().enumerate() {
            let Flow::Branch(..) = insn.flow else { continue };
            let Some(setter) = self.flags_before(ctx, branch) else { continue };
            let Some(Flags::Compare { left, right, size }) = function.insns.get(setter).map(|insn| insn.flags) else {
                continue;
            };
            for (counter, bound) in [(left, right), (right, left)] {
                if !self.is_counter(ctx, setter, counter, def.loc) {
                    continue;
                }
                // It has not been reached yet.
                let limit = self.eval(ctx, setter, bound).map(|limit| mask(limit, size));
                if let Some(limit) = limit.filter(|&limit| limit > mask(counted, size)) {
                    bounds.push((setter, bound, limit));
                }
            }
        }
        bounds.dedup();
        let &[(at, bound, limit)] = bounds.as_slice() else { return false };
        let path = path.with(Spot { ctx, at }, "bound", format!("a loop counts up to {limit:#x}"));
        let before = self.leads.len();
        let mut followed = path.clone();
        if self.run(ctx).frame.is_some() {
            followed.doubts.push("whether the loop counts too far or the block is too small is not known");
        }
        self.start(ctx, at, bound, Some(limit), &followed);
        let fixed = |lead: &Lead| lead.kind == BirthKind::Constant && lead.spot.ctx == ctx;
        let found = self.leads.get(before..).unwrap_or_default();
        // A loop that has ended got its count right, for all that is known.
        let runs = self.run(ctx).frame.is_some();
        if runs && (matches!(bound, Src::Const(_)) || !found.is_empty() && found.iter().all(fixed)) {
            // The limit stands in the code of the loop itself.
            self.leads.truncate(before);
            let what = format!("up to {limit:#x}");
            self.lead(BirthKind::Counted, Spot { ctx, at }, what, &path);
        }
        self.leads.len() > before
    }

    /// A source is the counter, or a copy of it.
    fn is_counter(&mut self, ctx: Ctx, at: usize, source: Src, counter: Loc) -> bool {
        /// Instructions between the copy and the comparison.
        const NEAR: usize = 4;
        if self.is_place(ctx, at, source, counter) {
            return true;
        }
        let (Src::Reg(part), Loc::Mem { address, .. }) = (source, counter) else { return false };
        let function = self.function(ctx);
        let mut here = at;
        for _ in 0..NEAR {
            let &[edge] = function.before(here) else { return false };
            here = edge.from;
            let Some(insn) = function.insns.get(here) else { return false };
            let set = insn.ops.iter().find_map(|op| match *op {
                Op::Set { to, from, .. } if to.reg == part.reg => Some(from),
                _ => None,
            });
            if let Some(from) = set {
                return matches!(self.place(ctx, here, from), Some(Loc::Mem { address: from, .. }) if from == address);
            }
            if self.may_change(ctx, here, Loc::Reg(part)) {
                return false;
            }
        }
        false
    }
}
