//! Numbers that are put together of bytes, as files and messages have them.

use super::Tracer;
use super::context::Ctx;
use super::definition::{Kind, Loc};
use super::op::{Arith, Src};

/// Sums and shifts that a number is put together with, of its bytes.
pub(super) const SUMS: usize = 4;

impl Tracer<'_, '_, '_> {
    /// A store puts bytes of data where they are used, as they are or put together.
    pub fn stores_data(&mut self, ctx: Ctx, at: usize, from: Src) -> bool {
        let Src::Reg(part) = from else { return false };
        let defs = self.reaching(ctx, at, Loc::Reg(part), None);
        !defs.is_empty()
            && defs.iter().all(|def| match def.kind {
                Kind::Load { .. } => true,
                Kind::Compute { kind, left, right, .. } => self.is_assembled(ctx, def.at, (kind, left, right), SUMS),
                _ => false,
            })
    }

    /// A number is put together of bytes that were read: `p[0] | p[1] << 8`.
    pub fn is_assembled(&mut self, ctx: Ctx, at: usize, operation: (Arith, Src, Src), left: usize) -> bool {
        let (kind, one, other) = operation;
        // All of them at once, in the other order.
        let swapped = kind == Arith::Opaque && matches!((one, other), (Src::Reg(_), Src::Other));
        if left == 0 || !swapped && !matches!(kind, Arith::Or | Arith::Add | Arith::Shl) {
            return false;
        }
        let whole = swapped || kind == Arith::Shl;
        [one, other].into_iter().all(|source| {
            let part = match source {
                Src::Const(_) => return kind == Arith::Shl,
                Src::Other => return swapped,
                Src::Mem(mem) => return whole || mem.size == 1,
                Src::Reg(part) => part,
                Src::Address(_) => return false,
            };
            let defs = self.reaching(ctx, at, Loc::Reg(part), None);
            !defs.is_empty()
                && defs.iter().all(|def| match def.kind {
                    Kind::Load { mem, .. } => whole || mem.size == 1,
                    Kind::Compute { kind, left: one, right: other, .. } => {
                        self.is_assembled(ctx, def.at, (kind, one, other), left - 1)
                    }
                    _ => false,
                })
        })
    }
}
