//! A function that calls itself with what it was called with, or only counts on: what each turn gets follows from the turn before.

use necropsy_model::BirthKind;

use super::Tracer;
use super::chase::words;
use super::context::Ctx;
use super::definition::{Kind, Loc};
use super::lead::{Path, Spot};
use super::op::{Mem, Op, Part, Reg, Src};

/// Turns of the recursion that are compared.
const TURNS: usize = 6;
/// Fewer prove nothing; the two that there are at least lie as far apart as the stack is deep.
const FEWEST: usize = 2;
/// Instructions of the function that are asked which parameters it uses.
const MOST_INSTRUCTIONS: usize = 2000;

impl Tracer<'_, '_, '_> {
    /// The call by which a function calls itself, where all its turns among these frames got the same arguments.
    /// Or where they only count on: `apart` frames lie between the two of which the arguments are known.
    pub fn of_unchanged_arguments(&mut self, first: usize, last: usize, apart: u64) -> Option<Spot> {
        let turns = self.turns(first, last);
        let &spot = turns.first().filter(|_| turns.len() >= FEWEST)?;
        let parameters = self.parameters(spot.ctx);
        let mut given = Vec::new();
        let mut counts = Vec::new();
        for reg in parameters {
            let part = Part { reg, offset: 0, size: 8 };
            let values: Vec<_> = turns.iter().map(|turn| self.eval(turn.ctx, turn.at, Src::Reg(part))).collect();
            let same = values.iter().all(|value| value.is_some() && *value == values[0]);
            if !same && !self.hands_on(spot, part) {
                if values.len() != 2 || !self.counts_on(spot, part) {
                    return None;
                }
                counts.push(match (values[0], values[1]) {
                    (Some(late), Some(early)) => {
                        format!("from {} on by {} each turn", words(Some(early)), step(early, late, apart)?)
                    }
                    // The code tells it alone.
                    _ => "on in each turn, by its code".to_owned(),
                });
                continue;
            }
            given.extend(values[0].map(|value| words(Some(value))));
        }
        if let [_, ..] = counts.as_slice() {
            let path = Path::default().with(spot, "recursion", format!("it counts {}", counts.join(", ")));
            self.lead(BirthKind::EndlessRecursion, spot, "counts on past its end".to_owned(), &path);
            return Some(spot);
        }
        if given.is_empty() {
            return None;
        }
        let text =
            format!("each of {} turns that were compared got the same arguments: {}", turns.len(), given.join(", "));
        let path = Path::default().with(spot, "recursion", text);
        self.lead(BirthKind::EndlessRecursion, spot, String::new(), &path);
        Some(spot)
    }

    /// Calls of a function by itself, the innermost first.
    fn turns(&mut self, first: usize, last: usize) -> Vec<Spot> {
        let mut turns: Vec<Spot> = Vec::new();
        for frame in first.max(1)..last {
            let (Some(ctx), Some(callee)) = (self.of_frame(frame), self.of_frame(frame - 1)) else { continue };
            if self.run(ctx).function.entry != self.run(callee).function.entry {
                continue;
            }
            let Some(at) = self.live(ctx) else { continue };
            if turns.first().is_none_or(|turn| self.address(turn.ctx, turn.at) == self.address(ctx, at)) {
                turns.push(Spot { ctx, at });
            }
            if turns.len() >= TURNS {
                break;
            }
        }
        turns
    }

    /// Registers of arguments that a function reads before it writes them.
    pub fn parameters(&mut self, ctx: Ctx) -> Vec<Reg> {
        let function = self.function(ctx);
        let mut found: Vec<Reg> = Vec::new();
        for (at, insn) in function.insns.iter().enumerate().take(MOST_INSTRUCTIONS) {
            for reg in insn.ops.iter().flat_map(read_by).flatten() {
                if found.contains(&reg) || !self.machine.arguments.contains(&reg) {
                    continue;
                }
                let defs = self.reaching(ctx, at, Loc::Reg(Part { reg, offset: 0, size: 8 }), None);
                let came_in = |from: Loc| matches!(from, Loc::Reg(from) if from.reg == reg);
                if defs.iter().any(|def| def.kind == Kind::Entry && came_in(def.loc)) {
                    found.push(reg);
                }
            }
        }
        found
    }

    /// A call passes a parameter on, counted by a constant.
    fn counts_on(&mut self, call: Spot, part: Part) -> bool {
        let part = Part { size: 4, ..part };
        let defs = self.reaching(call.ctx, call.at, Loc::Reg(part), None);
        !defs.is_empty() && defs.iter().all(|def| def.kind == Kind::Entry && def.adjusted())
    }

    /// A call passes a parameter on as it came.
    fn hands_on(&mut self, call: Spot, part: Part) -> bool {
        let defs = self.reaching(call.ctx, call.at, Loc::Reg(part), None);
        let as_it_came = |def: &super::definition::Def| {
            def.kind == Kind::Entry && !def.adjusted() && matches!(def.loc, Loc::Reg(from) if from.reg == part.reg)
        };
        !defs.is_empty() && defs.iter().all(as_it_came)
    }
}

/// What a number of 32 bits was counted on by in each of so many turns.
fn step(early: u64, late: u64, turns: u64) -> Option<i64> {
    /// Whoever counts, counts by little.
    const LARGEST: i64 = 64;
    let signed = |value: u64| super::op::sign_extend(value, 4);
    let (by, turns) = (signed(late) - signed(early), i64::try_from(turns).ok().filter(|&turns| turns > 0)?);
    let step = by / turns;
    (by % turns == 0 && step != 0 && step.abs() <= LARGEST).then_some(step)
}

/// Registers that an effect reads.
fn read_by(op: &Op) -> [Option<Reg>; 4] {
    let of_mem = |mem: &Mem| [mem.base, mem.index.map(|(index, _)| index)];
    let of = |source: &Src| match source {
        Src::Reg(part) => [Some(part.reg), None],
        Src::Mem(mem) | Src::Address(mem) => of_mem(mem),
        Src::Const(_) | Src::Other => [None; 2],
    };
    let ([a, b], [c, d]) = match op {
        Op::Set { from, .. } | Op::MaySet { from, .. } => (of(from), [None; 2]),
        Op::Compute { left, right, .. } => (of(left), of(right)),
        Op::Store { to, from } | Op::Fill { to, from } => (of_mem(to), of(from)),
        Op::Update { to, right, .. } => (of_mem(to), of(right)),
        Op::Write(_) => ([None; 2], [None; 2]),
    };
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_the_same_in_every_turn() {
        assert_eq!(step(10, 10_u64.wrapping_sub(3000) & 0xffff_ffff, 1000), Some(-3));
        assert_eq!((step(0, 2001, 1000), step(5, 5, 1000), step(0, 7, 0)), (None, None, None));
    }

    #[test]
    fn registers_of_addresses_are_read_too() {
        let mem = Mem { base: Some(7), index: Some((6, 8)), displacement: 0, size: 8, thread_local: false };
        assert_eq!(read_by(&Op::Store { to: mem, from: Src::Const(1) }), [Some(7), Some(6), None, None]);
        assert_eq!(read_by(&Op::Write(3)), [None; 4]);
    }
}
