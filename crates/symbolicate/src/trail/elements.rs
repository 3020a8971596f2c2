//! Calls in a loop that get a pointer to one element of an array after the other: which element holds a place, and what the call
//! for that one did.

use super::Tracer;
use super::context::Ctx;
use super::definition::{Changed, Kind, Loc};
use super::lead::{Path, Spot};
use super::op::{Arith, Flow, Op, Part, Reg, Src};

/// Parameters that may be the pointer to the element.
const PARAMETERS: usize = 3;
/// Smallest and largest element that is believed.
const SIZES: std::ops::RangeInclusive<u64> = 4..=4096;
/// Elements of one array.
const ELEMENTS: u64 = 1 << 16;

impl Tracer<'_, '_, '_> {
    /// The parameter in which a call got a pointer to the element around an address, and that pointer.
    pub fn element_given(&mut self, ctx: Ctx, call: usize, address: u64) -> Option<(Reg, u64)> {
        if self.stop_at_slots || self.seeking || self.in_elements {
            return None;
        }
        let address_here = self.address(ctx, call);
        if self.is_library(address_here) {
            return None;
        }
        self.in_elements = true;
        let found = self.machine.arguments.iter().take(PARAMETERS).find_map(|&reg| {
            let part = Part { reg, offset: 0, size: 8 };
            if self.eval(ctx, call, Src::Reg(part)).is_some() {
                return None;
            }
            let (base, size) = self.walk_of(ctx, call, part)?;
            let offset = address.checked_sub(base)?;
            let fits = SIZES.contains(&size) && offset / size < ELEMENTS && self.same_array(ctx, base, address);
            fits.then(|| (reg, base + offset / size * size))
        });
        self.in_elements = false;
        found
    }

    /// An array may reach from one address to another.
    fn same_array(&mut self, ctx: Ctx, base: u64, address: u64) -> bool {
        if self.on_stack(base) {
            let frame = self.run(ctx).frame;
            let local = |at| frame.and_then(|frame| self.values.local_at(self.frames, frame, at));
            return self.on_stack(address) && self.covers(base, address) && {
                let (one, other) = (local(base), local(address));
                one.is_none() || one == other
            };
        }
        if self.is_static(base) {
            return self.variable_at(base).is_some_and(|(start, size)| address.wrapping_sub(start) < size);
        }
        self.covers(base, address)
    }

    /// The array that a pointer walks along, and the bytes of one step.
    fn walk_of(&mut self, ctx: Ctx, at: usize, part: Part) -> Option<(u64, u64)> {
        let word = |reg| Src::Reg(Part { reg, offset: 0, size: 8 });
        for def in self.reaching(ctx, at, Loc::Reg(part), None) {
            let scaled = scale_of(def.changes.as_deref());
            match def.kind {
                Kind::Compute { kind: Arith::Add, left, right, size: 8 } if !def.adjusted() => {
                    for (base, index) in [(left, right), (right, left)] {
                        let Some(base) = self.eval(ctx, def.at, base).filter(|&base| self.is_mapped(base)) else {
                            continue;
                        };
                        let Src::Reg(index) = index else { continue };
                        if let Some(size) = self.stride_of(ctx, def.at, index) {
                            return Some((base, size));
                        }
                    }
                }
                Kind::Address(mem) if !def.adjusted() => {
                    if let (Some(base), Some((index, by))) = (mem.base, mem.index)
                        && let Some(base) = self.eval(ctx, def.at, word(base)).filter(|&base| self.is_mapped(base))
                    {
                        let index = Part { reg: index, offset: 0, size: 8 };
                        let size = self.stride_of(ctx, def.at, index).unwrap_or(1) * u64::from(by).max(1) * scaled;
                        return Some((base.wrapping_add_signed(mem.displacement), size));
                    }
                }
                _ => {}
            }
        }
        self.counted_pointer(ctx, at, part)
    }

    /// What an index is multiplied with.
    fn stride_of(&mut self, ctx: Ctx, at: usize, index: Part) -> Option<u64> {
        self.reaching(ctx, at, Loc::Reg(index), None).into_iter().find_map(|def| {
            let scaled = scale_of(def.changes.as_deref());
            let own = match def.kind {
                Kind::Compute { kind: Arith::Mul, right: Src::Const(by), .. } => by,
                Kind::Compute { kind: Arith::Shl, right: Src::Const(by @ 0..=12), .. } => 1 << by,
                // `lea (%rax,%rax,2)`, and the same by an addition.
                Kind::Address(mem) => match (mem.base, mem.index) {
                    (Some(base), Some((index, by))) if base == index => u64::from(by) + 1,
                    _ => 1,
                },
                Kind::Compute { kind: Arith::Add | Arith::Sub, left, right, .. } => {
                    self.multiple_of_one(ctx, def.at, left, right)?
                }
                _ => 1,
            };
            Some(own.checked_mul(scaled)?).filter(|&size| size > 1)
        })
    }

    /// `4 * i + i` is five times `i`.
    fn multiple_of_one(&mut self, ctx: Ctx, at: usize, left: Src, right: Src) -> Option<u64> {
        let insn = self.insn(ctx, at)?;
        let mut factors = [left, right].map(|source| match source {
            Src::Reg(part) => {
                let defs = self.reaching(ctx, at, Loc::Reg(part), None);
                defs.first().map(|def| scale_of(def.changes.as_deref()))
            }
            Src::Mem(_) => Some(1),
            _ => None,
        });
        let (one, other) = (factors[0].take()?, factors[1].take()?);
        let subtracts = insn.ops.iter().any(|op| matches!(op, Op::Compute { kind: Arith::Sub, .. }));
        if subtracts { one.checked_sub(other) } else { one.checked_add(other) }
    }

    /// A register that is an array before a loop, and is counted on in it.
    fn counted_pointer(&mut self, ctx: Ctx, at: usize, part: Part) -> Option<(u64, u64)> {
        /// Instructions before the call in which its parameter is copied.
        const REACH: usize = 12;
        let function = self.function(ctx);
        let counts = |reg: Reg, op: &Op| match *op {
            Op::Compute { to, kind: Arith::Add, left: Src::Reg(left), right: Src::Const(by), size: 8 } => {
                let whole = Part { reg, offset: 0, size: 8 };
                (to.reg == reg && left == whole && SIZES.contains(&by)).then_some(by)
            }
            _ => None,
        };
        let step_of = |reg: Reg| {
            let steps = function.insns.iter().enumerate();
            let mut steps = steps.filter_map(|(at, insn)| Some((at, insn.ops.iter().find_map(|op| counts(reg, op))?)));
            steps.next().filter(|_| steps.next().is_none())
        };
        let (mut here, mut reg) = (at, part.reg);
        'back: for _ in 0..REACH {
            if step_of(reg).is_some() {
                break;
            }
            let Some(edge) = function.before(here).first() else { break };
            here = edge.from;
            let insn = function.insns.get(here)?;
            if matches!(insn.flow, Flow::Call(_)) {
                break;
            }
            for op in insn.ops.iter().rev() {
                match *op {
                    Op::Set { to, from: Src::Reg(from), .. } if to.reg == reg && to.size == 8 => {
                        reg = from.reg;
                        continue 'back;
                    }
                    _ => {}
                }
            }
        }
        let whole = Part { reg, offset: 0, size: 8 };
        let (step, size) = step_of(reg)?;
        // What it had before the first turn.
        let defs = self.reaching(ctx, step, Loc::Reg(whole), None);
        let first = defs.into_iter().find(|def| def.changes.is_none() && def.at != step)?;
        let base = match first.kind {
            Kind::Address(mem) => self.address_of(ctx, first.at, &mem),
            Kind::Value(value) => Some(value),
            Kind::Load { mem, .. } => self.eval(ctx, first.at, Src::Mem(mem)),
            Kind::Entry => self.caller(ctx).and_then(|(caller, call)| self.eval(caller, call, Src::Reg(whole))),
            Kind::Result => self.result_of(ctx, first.at),
            _ => None,
        }?;
        self.is_mapped(base).then_some((base, size))
    }

    /// What the call for the element around a place wrote there.
    pub fn written_to_element(
        &mut self,
        spot: Spot,
        given: (Reg, u64),
        place: (u64, u8),
        value: Option<u64>,
        path: &Path,
    ) {
        let Some(Flow::Call(target)) = self.insn(spot.ctx, spot.at).map(|insn| insn.flow) else { return };
        let Some(target) = self.target(spot.ctx, spot.at, target) else { return };
        let path =
            path.with(spot, "element", format!("called for each element, for the one at {:#x} as well", given.1));
        self.written_by_given(spot, target, Some(given), place, value, &path);
    }
}

/// What all copies on the way multiply with.
fn scale_of(change: Option<&super::definition::Change>) -> u64 {
    let (mut next, mut scale) = (change, 1_u64);
    while let Some(change) = next {
        if let Changed::Scaled { by, .. } = change.what {
            scale = scale.saturating_mul(by);
        }
        next = change.before.as_deref();
    }
    scale
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::super::definition::Change;
    use super::*;

    #[test]
    fn factors_of_copies_multiply_and_sums_count_not() {
        let scaled = |by, before| Some(Rc::new(Change { what: Changed::Scaled { by, size: 8 }, before }));
        let added = Some(Rc::new(Change { what: Changed::Added { by: 16, size: 8 }, before: scaled(8, None) }));
        assert_eq!(scale_of(None), 1);
        assert_eq!(scale_of(scaled(3, added).as_deref()), 24);
    }
}
