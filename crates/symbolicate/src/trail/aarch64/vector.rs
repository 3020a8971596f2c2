//! Vector registers as far as compilers keep pointers in them.

use super::super::op::{Extend, Flags, Op, Part, Reg, Src};
use super::{Lifter, V0, data, whole};

impl Lifter {
    /// Moves of vector registers; whatever else is said to write its register.
    pub(super) fn vectors(&mut self) -> bool {
        let it = self.it;
        let (to, from, other) = (it.register(0), it.register(5), it.register(16));
        let part = |register: u8, offset: u8, size: u8| Part { reg: V0 + Reg::from(register), offset, size };
        let full = if it.bit(30) { 16 } else { 8 };
        if let Some(done) = self.between_banks() {
            return done;
        }
        // fcmp, fccmp.
        if it.is(0xff20_fc07, 0x1e20_2000) || it.is(0xff20_0c00, 0x1e20_0400) {
            self.now.flags = Flags::Other;
            return true;
        }
        // The element and its size, by the lowest bit that is set.
        let marked = it.bits(20, 16);
        let log = marked.trailing_zeros().min(4);
        let (element, index) = (1_u8 << log.min(3), (marked >> (log + 1)) as u8);
        let place = index.wrapping_mul(element);
        let constant = self.vector_constant();
        let mut set = |to: Part, from: Src| self.now.ops.push(Op::Set { to, from, extend: Extend::Zero });
        let whole_to = part(to, 0, 16);
        if it.is(0xffbf_fc00, 0x1e20_4000) {
            // fmov of one scalar.
            let size = if it.bit(22) { 8 } else { 4 };
            set(whole_to, Src::Reg(part(from, 0, size)));
        } else if let Some(constant) = constant {
            set(whole_to, Src::Const(constant));
        } else if it.is(0xbfe0_fc00, 0x0ea0_1c00) && from == other {
            set(whole_to, Src::Reg(part(from, 0, full)));
        } else if it.is(0xbfe0_fc00, 0x2e20_1c00) && from == other {
            set(whole_to, Src::Const(0));
        } else if it.is(0xffe0_fc00, 0x4e00_1c00) && log < 4 {
            set(part(to, place, element), data(from, element));
        } else if it.is(0xffe0_8400, 0x6e00_0400) && log < 4 {
            let at = (it.bits(14, 11) >> log) as u8 * element;
            set(part(to, place, element), Src::Reg(part(from, at, element)));
        } else if it.is(0xbfe0_fc00, 0x0e00_0c00) && log == 3 {
            set(part(to, 0, 8), data(from, 8));
            set(part(to, 8, 8), data(from, 8));
        } else if it.is(0xffe0_fc00, 0x5e00_0400) && log < 4 {
            set(whole_to, Src::Reg(part(from, place, element)));
        } else if it.is(0xffe0_8c00, 0x4ec0_0800) && it.bits(13, 12) != 0 {
            // zip1, uzp1, trn1 of two pairs of doublewords give both low ones, zip2, uzp2, trn2 both high ones.
            let half = if it.bit(14) { 8 } else { 0 };
            set(part(to, 0, 8), Src::Reg(part(from, half, 8)));
            set(part(to, 8, 8), Src::Reg(part(other, half, 8)));
        } else {
            self.now.ops.push(Op::Write(V0 + Reg::from(to)));
        }
        true
    }

    /// Between vector and integer registers.
    fn between_banks(&mut self) -> Option<bool> {
        let it = self.it;
        let (to, from) = (it.register(0), it.register(5));
        let part = |register: u8, offset: u8, size: u8| Part { reg: V0 + Reg::from(register), offset, size };
        let size = self.size();
        if it.is(0x7f20_fc00, 0x1e20_0000) {
            let (kind, rounding, operation) = (it.bits(23, 22), it.bits(20, 19), it.bits(18, 16));
            let upper = kind == 2 && rounding == 1;
            match operation {
                0b110 if rounding == 0 || upper => {
                    let from = Src::Reg(part(from, if upper { 8 } else { 0 }, size));
                    self.set(to, from, Extend::Zero);
                }
                0b111 if upper => {
                    let op = Op::Set { to: part(to, 8, 8), from: data(from, 8), extend: Extend::Zero };
                    self.now.ops.push(op);
                }
                0b111 if rounding == 0 => {
                    let op = Op::Set { to: part(to, 0, 16), from: data(from, size), extend: Extend::Zero };
                    self.now.ops.push(op);
                }
                0b010 | 0b011 => self.now.ops.push(Op::Write(V0 + Reg::from(to))),
                _ => self.opaque(to, size),
            }
            return Some(true);
        }
        // With a fixed point: to integers, else from them.
        if it.is(0x7f20_0000, 0x1e00_0000) {
            if it.bits(18, 16) & 6 == 0 {
                self.opaque(to, size);
            } else {
                self.now.ops.push(Op::Write(V0 + Reg::from(to)));
            }
            return Some(true);
        }
        let (unsigned, signed) = (it.is(0xbfe0_fc00, 0x0e00_3c00), it.is(0xbfe0_fc00, 0x0e00_2c00));
        if unsigned || signed {
            let marked = it.bits(20, 16);
            let log = marked.trailing_zeros();
            if log > 3 {
                return Some(false);
            }
            let at = ((marked >> (log + 1)) << log) as u8;
            let extend = if signed { Extend::Sign } else { Extend::Zero };
            if to != crate::a64::THIRTY_ONE {
                let op = Op::Set { to: whole(to), from: Src::Reg(part(from, at, 1 << log)), extend };
                self.now.ops.push(op);
            }
            return Some(true);
        }
        None
    }

    /// `movi` of all zeros, the only constant that vector registers carry to pointers.
    fn vector_constant(&self) -> Option<u64> {
        let it = self.it;
        let zero = it.bits(18, 16) == 0 && it.bits(9, 5) == 0;
        // Modes with an odd number below 12 combine with what the register has.
        let mode = it.bits(15, 12);
        let writes = mode >= 12 || mode & 1 == 0;
        let negated = it.bit(29) && mode < 14;
        (it.is(0x9ff8_0400, 0x0f00_0400) && zero && writes && !negated && mode != 15).then_some(0)
    }
}
