//! Data processing of registers: arithmetic, logic, choices, products.

use super::super::op::{Arith, Extend, Flags, Op, Src};
use super::{Lifter, between, data, narrow, pointer, whole};
use crate::a64::THIRTY_ONE;

impl Lifter {
    pub(super) fn registers(&mut self) -> bool {
        let (it, size) = (self.it, self.size());
        let to = it.register(0);
        match (it.bits(28, 24), it.bits(23, 21)) {
            (0b01010, _) => self.logical_shifted(),
            (0b01011, _) if it.bit(21) => self.add_extended(),
            (0b01011, _) => self.add_shifted(),
            // adc, sbc, and what only sets flags.
            (0b11010, 0b000) => {
                if it.bit(29) {
                    self.now.flags = Flags::Other;
                }
                if it.bits(15, 10) == 0 {
                    self.opaque(to, size);
                }
                true
            }
            (0b11010, 0b010) => {
                // ccmp, ccmn: what they say depends on what was compared before.
                self.now.flags = Flags::Other;
                true
            }
            (0b11010, 0b100) => self.select(),
            (0b11010, 0b110) => {
                if it.bit(30) {
                    self.one_source();
                } else {
                    self.two_sources();
                }
                true
            }
            (0b11011, _) => self.product(),
            _ => false,
        }
    }

    /// The second operand, shifted by a constant; a part of its own where it is shifted.
    fn shifted(&mut self, kind: u32, by: u32) -> Src {
        let size = self.size();
        let source = data(self.it.register(16), size);
        if by == 0 {
            return source;
        }
        let kind = match kind {
            0 => Arith::Shl,
            1 => Arith::Shr,
            2 => Arith::Sar,
            _ => Arith::Opaque,
        };
        let shifted = self.between(0, kind, source, Src::Const(u64::from(by)), size);
        self.then();
        shifted
    }

    fn logical_shifted(&mut self) -> bool {
        let (it, size) = (self.it, self.size());
        let left = data(it.register(5), size);
        let mut right = self.shifted(it.bits(23, 22), it.bits(15, 10));
        if it.bit(21) {
            // bic, orn, eon, bics: the second operand is negated; `mvn` and -1 are made so.
            let ones = if size == 8 { u64::MAX } else { 0xffff_ffff };
            right = match right {
                Src::Const(value) => Src::Const(value ^ ones),
                _ if left == Src::Const(0) && it.bits(30, 29) == 1 => {
                    self.compute(it.register(0), Arith::Xor, right, Src::Const(ones), size);
                    return true;
                }
                other => {
                    let negated = self.between(1, Arith::Xor, other, Src::Const(ones), size);
                    self.then();
                    negated
                }
            };
        }
        if let (Src::Const(_), true) = (right, it.register(0) == THIRTY_ONE) {
            return true;
        }
        self.logical(it.register(0), left, right, it.bits(30, 29) == 3);
        true
    }

    fn add_shifted(&mut self) -> bool {
        let (it, size) = (self.it, self.size());
        let (to, by) = (it.register(0), it.bits(15, 10));
        let left = data(it.register(5), size);
        let plain = !it.bit(29) && !it.bit(30);
        // A pointer and a scaled index: one address, as on machines that have it in one operand.
        if let (true, 0, 1..=7, 8, Src::Reg(base), Src::Reg(index)) =
            (plain, it.bits(23, 22), by, size, left, data(it.register(16), size))
        {
            self.set(to, Self::scaled(base.reg, index.reg, by), Extend::Zero);
            return true;
        }
        let right = self.shifted(it.bits(23, 22), by);
        self.sum(to, left, right);
        true
    }

    fn scaled(base: u16, index: u16, shift: u32) -> Src {
        let mem = super::Mem { base: Some(base), index: Some((index, 1 << shift)), ..super::Mem::at(0, 8) };
        Src::Address(mem)
    }

    /// `add` and `sub` of two registers of which the second is extended.
    fn add_extended(&mut self) -> bool {
        let (it, size) = (self.it, self.size());
        let (to, shift) = (it.register(0), it.bits(12, 10));
        let left = pointer(it.register(5), size);
        let option = it.bits(15, 13);
        if shift > 4 {
            return false;
        }
        let extend = if option & 4 == 0 { Extend::Zero } else { Extend::Sign };
        let full = option & 3 == 3 || option & 3 == 2 && size == 4;
        let mut right = data(it.register(16), size);
        if let (false, Some(part)) = (full, narrow(it.register(16), 0, 8 << (option & 3))) {
            self.now.ops.push(Op::Set { to: between(0), from: Src::Reg(part), extend });
            self.then();
            right = Src::Reg(super::Part { size, ..between(0) });
        }
        let plain = !it.bit(29) && !it.bit(30);
        if let (true, 1.., 8, Src::Reg(base), Src::Reg(index)) = (plain, shift, size, left, right) {
            let from = Self::scaled(base.reg, index.reg, shift);
            self.now.ops.push(Op::Set { to: whole(to), from, extend: Extend::Zero });
            return true;
        }
        if shift > 0 {
            right = self.between(1, Arith::Shl, right, Src::Const(u64::from(shift)), size);
            self.then();
        }
        if to == THIRTY_ONE && !it.bit(29) {
            // The stack pointer moves by something that is not known.
            let kind = if it.bit(30) { Arith::Sub } else { Arith::Add };
            self.now.ops.push(Op::Compute { to: whole(to), kind, left, right, size });
            return true;
        }
        self.sum(to, left, right);
        true
    }

    /// The sum or difference, and the flags that it leaves.
    fn sum(&mut self, to: u8, left: Src, right: Src) {
        let (size, subtracts) = (self.size(), self.it.bit(30));
        if self.it.bit(29) {
            self.now.flags = match (subtracts, right) {
                (true, _) => Flags::Compare { left, right, size },
                (false, Src::Const(by)) => {
                    Flags::Compare { left, right: Src::Const(super::mask(by.wrapping_neg(), size)), size }
                }
                _ => Flags::Other,
            };
        }
        match (left, right) {
            (Src::Const(0), from) if !subtracts => self.set(to, from, Extend::Zero),
            (from, Src::Const(0)) => self.set(to, from, Extend::Zero),
            _ => self.compute(to, if subtracts { Arith::Sub } else { Arith::Add }, left, right, size),
        }
    }

    /// `csel`, `csinc`, `csinv`, `csneg`: the first operand when the condition holds, else the second, changed.
    fn select(&mut self) -> bool {
        let (it, size) = (self.it, self.size());
        let (to, one, other) = (it.register(0), it.register(5), it.register(16));
        let change = it.bits(30, 30) << 1 | it.bits(10, 10);
        if to == THIRTY_ONE {
            return true;
        }
        if one == THIRTY_ONE && other == THIRTY_ONE && change == 1 {
            // cset: whether the condition holds.
            self.opaque(to, 1);
            return true;
        }
        let (first, second) = (data(one, size), data(other, size));
        let ones = if size == 8 { u64::MAX } else { 0xffff_ffff };
        match (change, second) {
            (0, _) => self.set(to, second, Extend::Zero),
            (1, Src::Const(_)) => self.set(to, Src::Const(1), Extend::Zero),
            (1, _) => self.compute(to, Arith::Add, second, Src::Const(1), size),
            (2, Src::Const(_)) => self.set(to, Src::Const(ones), Extend::Zero),
            (2, _) => self.compute(to, Arith::Xor, second, Src::Const(ones), size),
            (_, Src::Const(_)) => self.set(to, Src::Const(0), Extend::Zero),
            _ => self.compute(to, Arith::Sub, Src::Const(0), second, size),
        }
        self.now.ops.push(Op::MaySet { to: whole(to), from: first });
        true
    }

    fn two_sources(&mut self) {
        let (it, size) = (self.it, self.size());
        let (to, left, right) = (it.register(0), data(it.register(5), size), data(it.register(16), size));
        let kind = match it.bits(15, 10) {
            0b00_1000 => Arith::Shl,
            0b00_1001 => Arith::Shr,
            0b00_1010 => Arith::Sar,
            _ => Arith::Opaque,
        };
        match kind {
            Arith::Opaque => self.opaque(to, size),
            _ => self.compute(to, kind, left, right, size),
        }
    }

    fn one_source(&mut self) {
        // Signatures are put on and taken off; the pointer is the same.
        if self.it.bits(20, 16) != 1 {
            self.opaque(self.it.register(0), self.size());
        }
    }

    /// `madd`, `msub`, and their forms with operands of 32 bits and results of 64.
    fn product(&mut self) -> bool {
        let (it, size) = (self.it, self.size());
        let (to, one, other, third) = (it.register(0), it.register(5), it.register(16), it.register(10));
        let (left, right) = match it.bits(23, 21) {
            0b000 => (data(one, size), data(other, size)),
            0b001 | 0b101 => {
                let extend = if it.bit(23) { Extend::Zero } else { Extend::Sign };
                for (number, reg) in [one, other].into_iter().enumerate() {
                    let from = data(reg, 4);
                    self.now.ops.push(Op::Set { to: between(number), from, extend });
                }
                self.then();
                (Src::Reg(between(0)), Src::Reg(between(1)))
            }
            // The upper half of a product.
            0b010 | 0b110 => {
                self.opaque(to, 8);
                return true;
            }
            _ => return false,
        };
        let subtracts = it.bit(15);
        if third == THIRTY_ONE && !subtracts {
            self.compute(to, Arith::Mul, left, right, size);
            return true;
        }
        let product = self.between(0, Arith::Mul, left, right, size);
        self.then();
        let kind = if subtracts { Arith::Sub } else { Arith::Add };
        self.compute(to, kind, data(third, size), product, size);
        true
    }
}
