//! Branches that a value would not have taken.

use super::Tracer;
use super::context::Ctx;
use super::definition::{Kind, Loc};
use super::op::{Condition, Flags, Flow, Op, Part, Reg, Src};

impl Tracer<'_, '_, '_> {
    /// A branch would not have gone this way had the place held the value.
    pub fn contradicts(&mut self, ctx: Ctx, branch: usize, taken: bool, loc: Loc, value: Option<u64>) -> bool {
        /// Instructions between a comparison and its branch, and before the comparison, that are looked at.
        const REACH: usize = 12;
        let mut left = REACH;
        let Some(value) = value else { return false };
        let function = self.function(ctx);
        let Some(Flow::Branch(target, condition)) = function.insns.get(branch).map(|insn| insn.flow) else {
            return false;
        };
        if function.insns.get(branch).is_some_and(|insn| insn.next == target) {
            return false;
        }
        let mut at = branch;
        let own = function.insns.get(branch).map_or(Flags::Kept, |insn| insn.tests);
        let mut tested = Some(own).filter(|&own| own != Flags::Kept);
        while tested.is_none() && left > 0 {
            left -= 1;
            let [edge] = function.before(at) else { break };
            at = edge.from;
            let Some(insn) = function.insns.get(at) else { break };
            if insn.flags != Flags::Kept {
                tested = Some(insn.flags);
                break;
            }
            if matches!(insn.flow, Flow::Call(_)) || self.may_change(ctx, at, loc) {
                break;
            }
        }
        let Some(tested) = tested else { return false };
        // Places that hold the same at the comparison.
        let mut same: Vec<Loc> = vec![loc];
        let mut back = at;
        // Registers written between there and the comparison hold something else by then.
        let mut killed: Vec<Reg> = Vec::new();
        for _ in 0..REACH {
            let [edge] = function.before(back) else { break };
            back = edge.from;
            let Some(insn) = function.insns.get(back) else { break };
            if matches!(insn.flow, Flow::Call(_)) {
                break;
            }
            let alive = |place: &Loc, killed: &[Reg]| match place {
                Loc::Reg(part) => !killed.contains(&part.reg),
                Loc::Mem { .. } => true,
            };
            let mut lost = false;
            for op in insn.ops.iter().rev() {
                match *op {
                    Op::Set { to, from, .. } if matches!(loc, Loc::Reg(part) if part.reg == to.reg) => {
                        same.extend(self.place(ctx, back, from).filter(|place| alive(place, &killed)));
                        lost = true;
                    }
                    Op::Store { to, from } if self.is_place(ctx, back, Src::Mem(to), loc) => {
                        same.extend(self.place(ctx, back, from).filter(|place| alive(place, &killed)));
                        lost = true;
                    }
                    Op::Set { to, from, .. } if self.is_place(ctx, back, from, loc) => {
                        same.extend(Some(Loc::Reg(to)).filter(|place| alive(place, &killed)));
                    }
                    _ => lost |= self.may_change(ctx, back, loc),
                }
                killed.extend(match *op {
                    Op::Set { to, .. } | Op::MaySet { to, .. } | Op::Compute { to, .. } => Some(to.reg),
                    Op::Write(reg) => Some(reg),
                    _ => None,
                });
            }
            if lost {
                break;
            }
        }
        let mut known = |source: Src| match source {
            Src::Const(constant) => Some((constant, false)),
            source => {
                let hit = same.iter().any(|&loc| self.is_place(ctx, at, source, loc));
                hit.then_some((value, true))
            }
        };
        let outcome = match tested {
            Flags::Compare { left, right, size } => {
                let (Some((left, one)), Some((right, other))) = (known(left), known(right)) else { return false };
                if !one && !other {
                    return false;
                }
                condition.holds(left, right, size)
            }
            Flags::Test { left, right, size } => {
                let (Some((left, one)), Some((right, other))) = (known(left), known(right)) else { return false };
                if !one && !other {
                    return false;
                }
                condition.holds(left & right, 0, size)
            }
            Flags::Result(part) => {
                let Loc::Reg(held) = loc else { return false };
                if held.reg != part.reg {
                    return false;
                }
                let simple = matches!(
                    condition,
                    Condition::Equal | Condition::NotEqual | Condition::Negative | Condition::NotNegative
                );
                if simple { condition.holds(value, 0, part.size.min(held.size)) } else { None }
            }
            Flags::Kept | Flags::Other => None,
        };
        outcome.is_some_and(|outcome| outcome != taken)
    }

    pub fn place(&mut self, ctx: Ctx, at: usize, source: Src) -> Option<Loc> {
        match source {
            Src::Reg(part) => Some(Loc::Reg(part)),
            Src::Mem(mem) => {
                let offset = self.run(ctx).function.stack(at).slot(&mem);
                let address = match offset {
                    Some(offset) => self.run(ctx).cfa.wrapping_add_signed(offset),
                    None => return None,
                };
                Some(Loc::Mem { address, size: mem.size })
            }
            _ => None,
        }
    }

    /// A source is the same place: whole, or its low part.
    pub fn is_place(&mut self, ctx: Ctx, at: usize, source: Src, loc: Loc) -> bool {
        match (self.place(ctx, at, source), loc) {
            (Some(Loc::Reg(one)), Loc::Reg(other)) => {
                one.reg == other.reg && one.offset == other.offset && one.size <= other.size
            }
            (Some(Loc::Mem { address, size }), Loc::Mem { address: other, size: wide }) => {
                address == other && size <= wide
            }
            _ => false,
        }
    }

    /// The parameter that a branch before an instruction has just found to be the value: `if (!s) return s;` compiled to
    /// `return NULL`.
    pub fn implied_parameter(&mut self, ctx: Ctx, at: usize, value: Option<u64>) -> Option<Part> {
        /// Instructions between the branch and the constant.
        const REACH: usize = 6;
        let value = value.filter(|_| self.run(ctx).frame.is_none())?;
        // Of what has several words in Go, a text or a slice, the length stands in a register of its own: no pointer is handed back there.
        if self.machine.convention == super::machine::Convention::Go {
            return None;
        }
        let function = self.function(ctx);
        let (mut here, mut found) = (at, None);
        for _ in 0..REACH {
            let &[edge] = function.before(here) else { return None };
            if let Some(Flow::Branch(_, condition)) = function.insns.get(edge.from).map(|insn| insn.flow) {
                found = Some((edge, condition));
                break;
            }
            here = edge.from;
        }
        let (edge, condition) = found?;
        let equal = matches!((condition, edge.taken), (Condition::Equal, true) | (Condition::NotEqual, false));
        let (setter, flags) = match function.insns.get(edge.from)?.tests {
            Flags::Kept => {
                let &[before] = function.before(edge.from) else { return None };
                (before.from, function.insns.get(before.from)?.flags)
            }
            own => (edge.from, own),
        };
        let part = match flags {
            Flags::Test { left: Src::Reg(left), right: Src::Reg(right), .. } if left == right && value == 0 => left,
            Flags::Compare { left: Src::Reg(left), right: Src::Const(right), .. } if right == value => left,
            _ => return None,
        };
        if !equal || !self.machine.arguments.contains(&part.reg) {
            return None;
        }
        let whole = Part { size: 8, ..part };
        let defs = self.reaching(ctx, setter, Loc::Reg(whole), Some(value));
        match defs.as_slice() {
            [def] if def.kind == Kind::Entry => match def.loc {
                Loc::Reg(part) => Some(part),
                Loc::Mem { .. } => None,
            },
            _ => None,
        }
    }
}
