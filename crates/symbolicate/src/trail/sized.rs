//! A block that is too small: its size was computed in fewer bits than it needs.

use necropsy_model::BirthKind;

use super::Tracer;
use super::context::Ctx;
use super::definition::{Kind, Loc};
use super::lead::{Path, Spot};
use super::library::plain_name;
use super::op::{Arith, Mem, Part, Reg, Src};

/// Bytes behind the start of a block that an index is believed to lead: more is another pointer.
const FARTHEST: u64 = 1 << 36;

/// A sum: its value, and its operands with theirs.
pub(super) type Sum = (u64, [(Src, Option<u64>); 2]);

impl Tracer<'_, '_, '_> {
    /// The sum of a pointer to a block and something leads behind the block: looks for a size that overflowed.
    ///
    /// Whether there is one.
    pub fn too_small(&mut self, spot: Spot, sum: Option<u64>, operands: [(Src, Option<u64>); 2], path: &Path) -> bool {
        if path.loaded.is_some() || self.sizing || self.seeking {
            return false;
        }
        // The element that was reached, of a row that begins inside of the block.
        let Some(sum) = sum.max(self.sought) else { return false };
        for (source, value) in operands {
            let Some(value) = value else { continue };
            let Some((at, source, block, size)) = self.counted_from(spot, source, value) else { continue };
            if sum < block.saturating_add(size) || sum - block > FARTHEST {
                continue;
            }
            let known = self.leads.len();
            let text = format!("{sum:#x} lies behind the block at {block:#x}, which has {size} bytes");
            let path = path.with(spot, "beyond", text);
            let visited = self.visited.clone();
            self.sizing = true;
            self.start(at.ctx, at.at, source, Some(block), &path);
            self.sizing = false;
            self.visited = visited;
            let found = self.leads.split_off(known.min(self.leads.len()));
            self.leads.extend(found.into_iter().filter(|lead| lead.kind == BirthKind::SizeOverflow));
            if self.leads.len() > known {
                return true;
            }
        }
        false
    }

    /// The block that a pointer begins, or that it was counted from: where, as what, the block and its size.
    fn counted_from(&mut self, mut spot: Spot, mut source: Src, mut value: u64) -> Option<(Spot, Src, u64, u64)> {
        /// Frames that handed the pointer through, and sums.
        const STEPS: usize = 8;
        for _ in 0..STEPS {
            if let Some(size) = self.block_size(value) {
                return Some((spot, source, value, size));
            }
            let Src::Reg(part) = source else { return None };
            let defs = self.reaching(spot.ctx, spot.at, Loc::Reg(part), Some(value));
            let [def] = defs.as_slice() else { return None };
            let word = |reg| Src::Reg(Part { reg, offset: 0, size: 8 });
            let (left, right) = match (def.kind, def.loc) {
                (Kind::Entry, Loc::Reg(entered)) if !def.adjusted() => {
                    let (ctx, at) = self.caller(spot.ctx)?;
                    (spot, source) = (Spot { ctx, at }, Src::Reg(entered));
                    continue;
                }
                (Kind::Compute { kind: Arith::Add, left, right, size: 8 }, _) => (left, right),
                (Kind::Address(Mem { base: Some(base), index: Some((index, _)), .. }), _) => (word(base), word(index)),
                _ => return None,
            };
            spot.at = def.at;
            let known = [left, right].map(|source| (source, self.eval(spot.ctx, spot.at, source)));
            // Of a pointer and an offset the pointer is the larger.
            (source, value) =
                known.into_iter().filter_map(|(source, value)| Some((source, value?))).max_by_key(|x| x.1)?;
        }
        None
    }

    /// The pointer that an address was computed from is the sum of a block and of something that leads out of it: that.
    pub fn strayed(&mut self, mut ctx: Ctx, mut at: usize, base: Reg, address: u64) -> Option<(Ctx, usize, Src, u64)> {
        /// Frames that handed the pointer through.
        const FRAMES: usize = 6;
        let mut part = Part { reg: base, offset: 0, size: 8 };
        for _ in 0..FRAMES {
            let value = self.eval(ctx, at, Src::Reg(part))?;
            let defs = self.reaching(ctx, at, Loc::Reg(part), Some(value));
            let [def] = defs.as_slice() else { return None };
            let word = |reg| Src::Reg(Part { reg, offset: 0, size: 8 });
            let (left, right) = match (def.kind, def.loc) {
                (Kind::Entry, Loc::Reg(entered)) => {
                    part = entered;
                    (ctx, at) = self.caller(ctx)?;
                    continue;
                }
                (Kind::Compute { kind: Arith::Add, left, right, size: 8 }, _) => (left, right),
                (Kind::Address(Mem { base: Some(base), index: Some((index, _)), .. }), _) => (word(base), word(index)),
                _ => return None,
            };
            let at = def.at;
            let (one, other) = (self.eval(ctx, at, left)?, self.eval(ctx, at, right)?);
            for (block, (source, value)) in [(one, (right, other)), (other, (left, one))] {
                let Some(size) = self.block_size(block) else { continue };
                let outside = address < block || address >= block.saturating_add(size);
                return outside.then_some((ctx, at, source, value));
            }
            return None;
        }
        None
    }

    /// The allocation was found: follows what it was asked for.
    pub fn size_of_allocation(&mut self, spot: Spot, name: &str, path: &Path) {
        let arguments: &[usize] = match plain_name(name) {
            "calloc" => &[0, 1],
            "realloc" => &[1],
            "reallocarray" => &[1, 2],
            _ => &[0],
        };
        let mut path = path.with(spot, "allocated", format!("{name} gave the block"));
        (path.stored, path.narrow, path.loaded, path.bits) = (None, false, None, None);
        path.returned.clear();
        for &reg in arguments.iter().filter_map(|&number| self.machine.arguments.get(number)) {
            let source = Src::Reg(Part { reg, offset: 0, size: 8 });
            self.start(spot.ctx, spot.at, source, None, &path);
        }
    }

    /// Arithmetic on the way to a size: the birth, when it lost bits; else its operands are followed.
    pub fn size_computed(&mut self, spot: Spot, here: Spot, operation: (Arith, Src, Src), size: u8, path: &Path) {
        let size = path.bits.map_or(size, |bits| bits.min(size));
        if size <= 4 && self.lost_bits(spot.ctx, spot.at, operation, size, 3) {
            let text = format!("the result does not fit into {} bits", u32::from(size) * 8);
            let path = path.with(here, "overflow", text.clone());
            self.lead(BirthKind::SizeOverflow, here, text, &path);
            return;
        }
        for source in [operation.1, operation.2] {
            self.start(spot.ctx, spot.at, source, None, path);
        }
    }

    /// Arithmetic on the way to a size: whether it lost bits, by the operands that it had.
    pub fn lost_bits(&mut self, ctx: Ctx, at: usize, operation: (Arith, Src, Src), size: u8, depth: usize) -> bool {
        let (kind, left, right) = operation;
        let (one, other) = (self.eval(ctx, at, left), self.eval(ctx, at, right));
        if let (Some(one), Some(other)) = (one, other) {
            let (one, other) = (u128::from(super::op::mask(one, size)), u128::from(super::op::mask(other, size)));
            let whole = match kind {
                Arith::Add => one + other,
                Arith::Mul => one * other,
                Arith::Shl => one << (other & 31).min(63),
                _ => 0,
            };
            if whole >> (u32::from(size) * 8) != 0 {
                return true;
            }
        }
        depth > 0
            && [left, right].into_iter().any(|source| {
                let Src::Reg(part) = source else { return false };
                let defs = self.reaching(ctx, at, Loc::Reg(part), None);
                defs.iter().any(|def| match def.kind {
                    Kind::Compute { kind, left, right, .. } => {
                        self.lost_bits(ctx, def.at, (kind, left, right), size, depth - 1)
                    }
                    _ => false,
                })
            })
    }
}
