//! Arithmetic: which operand made the result bad.

use necropsy_model::{Avma, BirthKind};

use super::Tracer;
use super::chase::{ERROR_POINTERS, NULL_PAGES};
use super::context::Ctx;
use super::definition::{Def, Kind, Loc};
use super::lead::{Path, Spot};
use super::op::{Arith, Condition, Mem, Part, Src, mask, sign_extend};

impl Tracer<'_, '_, '_> {
    /// Arithmetic: the operand that made the result bad, or the operation itself.
    pub fn compute(&mut self, ctx: Ctx, def: &Def, kind: Arith, operands: (Src, Src), size: u8, path: &Path) {
        let (left, right) = operands;
        let here = Spot { ctx, at: def.store.unwrap_or(def.at) };
        let outer = std::mem::replace(&mut self.read_memory, false);
        let (one, other) = (self.eval(ctx, def.at, left), self.eval(ctx, def.at, right));
        // What was changed in place is not there any more.
        let sure = !self.read_memory || path.stored.is_none();
        self.read_memory |= outer;
        if sure
            && let (Some(one), Some(other), Some(value)) = (one, other, def.value)
            && kind.apply(one, other, size).is_some_and(|result| {
                // What was cut off afterwards does not count.
                let kept = size.min(def.loc.size());
                mask(result, kept) != mask(value, kept)
            })
            && !matches!(left, Src::Mem(_))
        {
            return;
        }
        // Behind `x ^ 0xff` only the lowest bit counts.
        let truth = def.value.map(|value| if value | 1 == 0xff { value & 1 } else { value });
        if self.refusing && self.run(ctx).frame.is_none() && !matches!(kind, Arith::Outcome(_) | Arith::Or) {
            let path = path.with(here, "arithmetic", "computed here".to_owned());
            self.lead(BirthKind::ReturnedArithmetic, here, "computed here".to_owned(), &path);
            return;
        }
        if let (Arith::Outcome(condition), Some(outcome @ 0..=1)) = (kind, truth)
            && self.outcome(ctx, def.at, (condition, outcome == 1), path)
        {
            return;
        }
        // What is combined with a nothing that is written down is the other operand.
        if kind == Arith::Or
            && let Some(source) = match (one, other) {
                (Some(0), _) if self.is_written_down(ctx, def.at, left) => Some(right),
                (_, Some(0)) if self.is_written_down(ctx, def.at, right) => Some(left),
                _ => None,
            }
        {
            let narrow = def.loc.size();
            let source = match source {
                Src::Reg(part) => Src::Reg(Part { size: part.size.min(narrow), ..part }),
                Src::Mem(mem) => Src::Mem(Mem { size: mem.size.min(narrow), ..mem }),
                other => other,
            };
            self.start(ctx, def.at, source, def.value, path);
            return;
        }
        if self.sizing {
            self.size_computed(Spot { ctx, at: def.at }, here, (kind, left, right), size, path);
            return;
        }
        if kind == Arith::Add
            && size == 8
            && self.too_small(Spot { ctx, at: def.at }, def.value, [(left, one), (right, other)], path)
        {
            return;
        }
        let wide = size == 8 && matches!(kind, Arith::Add | Arith::Sub);
        let sound = |value: Option<u64>| value.is_some_and(|value| value >= NULL_PAGES && self.is_mapped(value));
        let beside_sound = sound(one) || sound(other);
        if wide && def.value.is_some_and(|value| value < NULL_PAGES) && kind == Arith::Add && beside_sound {
            // No index makes NULL of a pointer.
            return;
        }
        if wide && kind == Arith::Add && def.value == Some(0) && one == Some(0) && other == Some(0) {
            // NULL plus index 0: the index is the one that was scaled or widened.
            let scaled =
                |def: &Def| def.indexed() || matches!(def.kind, Kind::Compute { kind: Arith::Mul | Arith::Shl, .. });
            // Nor is it a counter that begins, or a sum of such.
            let counted =
                |def: &Def| scaled(def) || matches!(def.kind, Kind::Value(_) | Kind::Counter | Kind::Compute { .. });
            for is_index in [&counted as &dyn Fn(&Def) -> bool, &scaled] {
                for source in [left, right] {
                    let Src::Reg(part) = source else { continue };
                    let defs = self.reaching(ctx, def.at, Loc::Reg(part), Some(0));
                    if !defs.is_empty() && !defs.iter().any(is_index) {
                        self.start(ctx, def.at, source, Some(0), path);
                        return;
                    }
                }
            }
        }
        if wide
            && kind == Arith::Add
            && let Some((source, value)) = self.beside_counter(ctx, def.at, (left, one), (right, other))
        {
            let path = path.with(Spot { ctx, at: def.at }, "arithmetic", "one operand of the sum is bad".to_owned());
            self.start(ctx, def.at, source, Some(value), &path);
            return;
        }
        let guilty = if wide { self.guilty((left, one), (right, other), kind, def.value) } else { None };
        if let Some((source, value)) = guilty {
            let solved = one.is_none() || other.is_none();
            let sound = [one, other].into_iter().flatten().find(|&value| value >= NULL_PAGES && self.is_mapped(value));
            if let (true, true, Some(sum), Some(pointer)) = (solved, path.stored.is_some(), def.value, sound)
                && sum.abs_diff(pointer) > super::sized::FARTHEST
            {
                // No index leads so far: this was not it.
                return;
            }
            let mut path =
                path.with(Spot { ctx, at: def.at }, "arithmetic", "one operand of the sum is bad".to_owned());
            path.offset |= kind == Arith::Add && beside_sound;
            self.start(ctx, def.at, source, value, &path);
            return;
        }
        // A number of an error, as functions of C return it in a pointer.
        if let (Arith::Sub, Some(0), Src::Reg(_) | Src::Mem(_), Some(value)) = (kind, one, right, def.value)
            && !wide
            && sign_extend(value, size).cast_unsigned() >= ERROR_POINTERS
        {
            let path = path.with(Spot { ctx, at: def.at }, "arithmetic", "the negative of it".to_owned());
            self.start(ctx, def.at, right, Some(mask(value.wrapping_neg(), size)), &path);
            return;
        }
        if size == 8
            && path.stored.is_some()
            && let Some(value) = def.value.filter(|&value| self.is_lost(value))
        {
            self.went_bad(value, here, "this code", path);
            return;
        }
        if let Some(source) = beside_zero(kind, (left, one), (right, other)) {
            let path = path.with(Spot { ctx, at: def.at }, "arithmetic", "what it is combined with is 0".to_owned());
            self.start(ctx, def.at, source, def.value, &path);
            return;
        }
        if let Some((source, value)) = factor(kind, left, right, size, def.value) {
            let text = format!("{} times a number that is fixed", sign_extend(value, size));
            let path = path.with(Spot { ctx, at: def.at }, "arithmetic", text);
            self.start(ctx, def.at, source, Some(value), &path);
            return;
        }
        let mut path = path.with(here, "arithmetic", "computed here".to_owned());
        let adds_up = |this: &mut Self, sum, part| this.feeds_sum(ctx, def.at, sum) && this.is_read(ctx, def.at, part);
        if kind == Arith::Add && (adds_up(self, left, right) || adds_up(self, right, left)) {
            path.doubts.push("it adds up what others made");
        }
        // It was stored by another function than the one that computed it.
        let returned = path.stored.is_some_and(|stored| stored.ctx != ctx) && self.run(ctx).frame.is_none();
        let birth = if returned {
            BirthKind::ReturnedArithmetic
        } else {
            self.kind_here(ctx, &path, BirthKind::Arithmetic, BirthKind::ReturnedArithmetic)
        };
        self.lead(birth, here, "computed here".to_owned(), &path);
    }

    /// An operand is what memory has, as it is.
    fn is_read(&mut self, ctx: Ctx, at: usize, source: Src) -> bool {
        let Src::Reg(part) = source else { return matches!(source, Src::Mem(_)) };
        let defs = self.reaching(ctx, at, Loc::Reg(part), None);
        !defs.is_empty() && defs.iter().all(|def| matches!(def.kind, Kind::Load { .. }) && !def.adjusted())
    }

    /// An operand of a sum is the sum of the turn before.
    fn feeds_sum(&mut self, ctx: Ctx, at: usize, source: Src) -> bool {
        let loc = match source {
            Src::Reg(part) => Loc::Reg(part),
            Src::Mem(mem) => match self.address_of(ctx, at, &mem) {
                Some(address) => Loc::Mem { address, size: mem.size },
                None => return false,
            },
            _ => return false,
        };
        self.reaching(ctx, at, loc, None).iter().any(|def| def.at == at && !def.adjusted() && !def.indexed())
    }

    /// A register has a constant, whichever way was taken.
    pub fn is_written_down(&mut self, ctx: Ctx, at: usize, source: Src) -> bool {
        let Src::Reg(part) = source else { return false };
        let defs = self.reaching(ctx, at, Loc::Reg(part), None);
        !defs.is_empty() && defs.iter().all(|def| matches!(def.kind, Kind::Value(_)))
    }

    /// The answer to a question is followed into what was asked, where that has one value only.
    fn outcome(&mut self, ctx: Ctx, at: usize, outcome: (Condition, bool), path: &Path) -> bool {
        let Some(setter) = self.flags_before(ctx, at) else { return false };
        let mut asked = self.compared(ctx, setter, Some(outcome), 1);
        asked.retain(|subject| subject.value.is_some());
        let [subject] = asked.as_slice() else { return false };
        let text = format!("the answer to whether it is {}", super::chase::words(subject.value));
        let path = path.with(Spot { ctx, at }, "outcome", text);
        let before = self.leads.len();
        self.start(subject.ctx, subject.at, subject.source, subject.value, &path);
        self.leads.len() > before
    }

    /// Of two small numbers of which one is 0, the other, when that one is a counter which begins here: a bad pointer that
    /// is walked along, and no offset from NULL.
    fn beside_counter(
        &mut self,
        ctx: Ctx,
        at: usize,
        left: (Src, Option<u64>),
        right: (Src, Option<u64>),
    ) -> Option<(Src, u64)> {
        let (zero, (source, value)) = match (left.1?, right.1?) {
            (0, value @ 1..NULL_PAGES) => (left.0, (right.0, value)),
            (value @ 1..NULL_PAGES, 0) => (right.0, (left.0, value)),
            _ => return None,
        };
        let mut constants = |source, value| {
            let Src::Reg(part) = source else { return false };
            let defs = self.reaching(ctx, at, Loc::Reg(part), Some(value));
            !defs.is_empty() && defs.iter().all(|def| matches!(def.kind, Kind::Value(_)))
        };
        (constants(zero, 0) && !constants(source, value)).then_some((source, value))
    }

    /// Of a sum, the operand that can not be right.
    pub fn guilty(
        &self,
        left: (Src, Option<u64>),
        right: (Src, Option<u64>),
        kind: Arith,
        sum: Option<u64>,
    ) -> Option<(Src, Option<u64>)> {
        let solved = |known: Option<u64>, of_left: bool| {
            let (sum, known) = sum.zip(known)?;
            Some(match (kind, of_left) {
                (Arith::Add, _) => sum.wrapping_sub(known),
                (_, true) => sum.wrapping_add(known),
                (_, false) => known.wrapping_sub(sum),
            })
        };
        let one = left.1.or_else(|| solved(right.1, true));
        let other = right.1.or_else(|| solved(left.1, false));
        let badness = |value: Option<u64>| {
            let value = value?;
            Some(match value {
                ERROR_POINTERS.. => 5,
                value if !self.machine.is_canonical(value) => 4,
                value if value < NULL_PAGES => 1,
                value if !self.is_mapped(value) => 3,
                _ => 0,
            })
        };
        let pick = |source: (Src, Option<u64>), value| {
            matches!(source.0, Src::Reg(_) | Src::Mem(_)).then_some((source.0, value))
        };
        if sum.is_some() && badness(sum) == Some(0) {
            return None;
        }
        match (badness(one), badness(other)) {
            // What is taken from 0 is negated.
            (Some(1), Some(_)) if kind == Arith::Sub && one == Some(0) => pick(right, other),
            // What is added to 0 is the sum.
            (Some(1), Some(_)) if one == Some(0) && other.is_some_and(|other| other >= NULL_PAGES) => {
                pick(right, other)
            }
            (Some(_), Some(1)) if other == Some(0) && one.is_some_and(|one| one >= NULL_PAGES) => pick(left, one),
            // NULL plus an offset: the one that is NULL.
            (Some(1), Some(1)) if one == Some(0) && other != Some(0) => pick(left, one),
            (Some(1), Some(1)) if other == Some(0) && one != Some(0) => pick(right, other),
            (Some(one_bad), Some(other_bad)) if one_bad == other_bad => None,
            (Some(0), Some(_)) => pick(right, other),
            (Some(_), Some(0)) => pick(left, one),
            (Some(one_bad), Some(other_bad)) if one_bad > other_bad => pick(left, one),
            (Some(_), Some(_)) => pick(right, other),
            _ => None,
        }
    }

    /// The value would be a good pointer, but nothing is mapped there any more.
    pub fn is_lost(&self, value: u64) -> bool {
        self.machine.is_user_pointer(value) && !self.is_mapped(value)
    }

    pub fn is_mapped(&self, value: u64) -> bool {
        self.space.memory.region(Avma(value)).is_some() || self.space.images.at(Avma(value)).is_some()
    }

    pub fn address_sum(&mut self, ctx: Ctx, def: &Def, mem: Mem, path: &Path) {
        let here = Spot { ctx, at: def.store.unwrap_or(def.at) };
        let word = |reg| Src::Reg(Part { reg, offset: 0, size: 8 });
        if let (Some(base), Some((index, _))) = (mem.base, mem.index) {
            let (one, other) = (self.eval(ctx, def.at, word(base)), self.eval(ctx, def.at, word(index)));
            let scale = u64::from(mem.index.map_or(1, |(_, scale)| scale)).max(1);
            let rest = def.value.map(|value| value.wrapping_sub(mem.displacement.cast_unsigned()));
            let scaled = other.map(|other| other.wrapping_mul(scale));
            if let (Some(rest), Some(one), Some(scaled)) = (rest, one, scaled)
                && def.loc.size() == 8
                && one.wrapping_add(scaled) != rest
            {
                // What is read from memory now is not what was read then.
                return;
            }
            let distance = rest.zip(one).map(|(rest, one)| rest.wrapping_sub(one));
            if def.loc.size() == 8 && distance.is_some_and(|distance| !distance.is_multiple_of(scale)) {
                // No element of the array lies there.
                return;
            }
            let solved = distance;
            let other = other.or(solved.map(|solved| (solved.cast_signed() / scale.cast_signed()).cast_unsigned()));
            let one = one.or(rest.zip(scaled).map(|(rest, scaled)| rest.wrapping_sub(scaled)));
            if self.sizing {
                let operation = (Arith::Add, word(base), word(index));
                self.size_computed(Spot { ctx, at: def.at }, here, operation, def.loc.size().min(8), path);
                return;
            }
            if self.too_small(Spot { ctx, at: def.at }, def.value, [(word(base), one), (word(index), None)], path) {
                return;
            }
            if one == Some(0) && other.is_some_and(|other| other < NULL_PAGES) && scale > 1 {
                let path =
                    path.with(Spot { ctx, at: def.at }, "arithmetic", "one operand of the sum is bad".to_owned());
                self.start(ctx, def.at, word(base), one, &path);
                return;
            }
            let chosen = self.guilty((word(base), one), (word(index), other), Arith::Add, None);
            if let Some((source, value)) = chosen {
                let mut path =
                    path.with(Spot { ctx, at: def.at }, "arithmetic", "one operand of the sum is bad".to_owned());
                let sound =
                    |value: Option<u64>| value.is_some_and(|value| value >= NULL_PAGES && self.is_mapped(value));
                path.offset |= sound(one) || sound(other);
                self.start(ctx, def.at, source, value, &path);
                return;
            }
        }
        if let (true, None, Some((index, scale))) = (self.sizing, mem.base, mem.index) {
            let operation = (Arith::Mul, word(index), Src::Const(u64::from(scale)));
            self.size_computed(Spot { ctx, at: def.at }, here, operation, def.loc.size().min(8), path);
            return;
        }
        // `lea` serves for sums of numbers too.
        let what = if def.value.is_some_and(|value| value < NULL_PAGES) { "a number" } else { "an address" };
        let path = path.with(here, "address", format!("{what} that is computed here"));
        let birth = self.kind_here(ctx, &path, BirthKind::Arithmetic, BirthKind::ReturnedArithmetic);
        self.lead(birth, here, format!("{what} computed here"), &path);
    }

    /// The part of an address that leads out of the variable that the other part points at.
    pub fn index_beyond(&mut self, ctx: Ctx, at: usize, mem: &Mem, address: u64) -> Option<(Src, u64)> {
        let (index, scale) = mem.index?;
        let word = |reg| Src::Reg(Part { reg, offset: 0, size: 8 });
        let index_value = self.eval(ctx, at, word(index))?;
        let code = Avma(self.address(ctx, at));
        let outside = |start: u64, this: &Self| {
            let (first, size) = this.variable_at(start)?;
            if address < first || address >= first.saturating_add(size) {
                return Some(());
            }
            // A member of the variable is an array, and ends before.
            let arrays = this.values.arrays_at(this.frames, code, start);
            let array = arrays.into_iter().rev().find(|array| array.start == start && array.count.is_some())?;
            (!array.covers(address)).then_some(())
        };
        let base = match mem.base {
            None => mem.displacement.cast_unsigned(),
            Some(base) => self.eval(ctx, at, word(base))?.wrapping_add_signed(mem.displacement),
        };
        if outside(base, self).is_some() {
            return Some((word(index), index_value));
        }
        let swapped = index_value.wrapping_add_signed(mem.displacement);
        let other = mem.base.filter(|_| scale == 1 && outside(swapped, self).is_some())?;
        Some((word(other), self.eval(ctx, at, word(other))?))
    }
}

/// The operand that is the whole result, since the other one is 0.
fn beside_zero(kind: Arith, left: (Src, Option<u64>), right: (Src, Option<u64>)) -> Option<Src> {
    let followed = |source: Src| matches!(source, Src::Reg(_) | Src::Mem(_)).then_some(source);
    match (kind, left.1, right.1) {
        (Arith::Add, Some(0), other) if other != Some(0) => followed(right.0),
        (Arith::Add | Arith::Sub, one, Some(0)) if one != Some(0) => followed(left.0),
        _ => None,
    }
}

/// What was read from memory and multiplied with a fixed number, where the product can be undone: an index times the size of an element.
fn factor(kind: Arith, left: Src, right: Src, size: u8, product: Option<u64>) -> Option<(Src, u64)> {
    let (Arith::Mul, Src::Mem(_), Src::Const(by @ 2..)) = (kind, left, right) else { return None };
    let (product, by) = (sign_extend(product?, size), by.cast_signed());
    (product % by == 0).then(|| (left, mask((product / by).cast_unsigned(), size)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trail::op::Reg;

    #[test]
    fn a_product_is_undone_where_it_can_be() {
        let mem = Src::Mem(Mem { base: Some(1), index: None, displacement: 8, size: 4, thread_local: false });
        assert_eq!(factor(Arith::Mul, mem, Src::Const(100), 4, Some(0xffff_ff9c)), Some((mem, 0xffff_ffff)));
        assert_eq!(factor(Arith::Mul, mem, Src::Const(100), 4, Some(101)), None);
        assert_eq!(factor(Arith::Add, mem, Src::Const(100), 4, Some(200)), None);
    }

    #[test]
    fn what_is_added_to_nothing_is_the_result() {
        let word = |reg: Reg| Src::Reg(Part { reg, offset: 0, size: 4 });
        let (one, other) = (word(1), word(2));
        assert_eq!(beside_zero(Arith::Add, (one, Some(0)), (other, Some(7))), Some(other));
        assert_eq!(beside_zero(Arith::Sub, (one, None), (other, Some(0))), Some(one));
        // 0 - 7 is another number than 7, and of two zeros neither is the one.
        assert_eq!(beside_zero(Arith::Sub, (one, Some(0)), (other, Some(7))), None);
        assert_eq!(beside_zero(Arith::Add, (one, Some(0)), (other, Some(0))), None);
        assert_eq!(beside_zero(Arith::Add, (one, Some(0)), (Src::Const(7), Some(7))), None);
    }
}
