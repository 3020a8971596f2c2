//! A64 instructions as operations: Arm ARM (DDI 0487), C4.1. Procedure calls: AAPCS64.
//!
//! An instruction that extends or shifts one of its operands, or multiplies and adds, is lifted to several: their addresses are
//! those between two words, which no other instruction has, and registers that the machine does not have carry what is between.

use super::op::{Arith, Condition, Extend, Flags, Flow, Insn, Mem, Op, Part, Reg, Src, mask};
use crate::a64::{THIRTY_ONE, To, Word};

mod memory;
mod register;
pub(super) mod sweep;
pub(super) mod tables;
mod vector;

/// DWARF number of the frame pointer.
pub(super) const FP: Reg = 29;
/// DWARF number of the link register.
pub(super) const LR: Reg = 30;
/// DWARF number of the stack pointer.
pub(super) const SP: Reg = 31;
/// The register of results.
pub(super) const X0: Reg = 0;
/// DWARF number of v0 (DWARF for the Arm 64-bit Architecture, 4.1).
pub(super) const V0: Reg = 64;
/// Registers between the parts of an instruction.
pub(super) const BETWEEN: [Reg; 2] = [96, 97];
/// Registers of integer arguments in order, and the one with the address of a result in memory (AAPCS64, 6.8.2 and 6.9).
pub(super) const ARGUMENTS: [Reg; 9] = [0, 1, 2, 3, 4, 5, 6, 7, 8];
/// Bytes of an instruction.
pub(super) const WIDTH: u64 = 4;

/// A register that a function need not hand back: x0 to x18, the link register, v0 to v7, v16 to v31 (AAPCS64, 6.1).
pub(super) fn is_scratch(reg: Reg) -> bool {
    matches!(reg, 0..=18 | LR | 64..=71 | 80..=97)
}

/// Decodes the instruction around an address, of whose parts the one that begins there.
pub(super) fn lift(bytes: &[u8], at: u64) -> Option<Insn> {
    let word = Word(u32::from_le_bytes(*bytes.first_chunk()?));
    let start = at & !(WIDTH - 1);
    let mut lifter = Lifter { it: word, at: start, parts: Vec::new(), now: Step::default() };
    lifter.run().then_some(())?;
    lifter.part(usize::try_from(at - start).ok()?)
}

/// One part of an instruction.
#[derive(Debug)]
struct Step {
    ops: Vec<Op>,
    flags: Flags,
    tests: Flags,
    flow: Flow,
}

impl Default for Step {
    fn default() -> Self {
        Self { ops: Vec::new(), flags: Flags::Kept, tests: Flags::Kept, flow: Flow::Next }
    }
}

struct Lifter {
    it: Word,
    at: u64,
    parts: Vec<Step>,
    now: Step,
}

/// A whole integer register, as a place.
const fn whole(reg: u8) -> Part {
    Part { reg: reg as Reg, offset: 0, size: 8 }
}

/// A register between two parts.
const fn between(number: usize) -> Part {
    Part { reg: BETWEEN[number], offset: 0, size: 8 }
}

/// An integer register as data, where 31 is zero.
fn data(reg: u8, size: u8) -> Src {
    if reg == THIRTY_ONE { Src::Const(0) } else { Src::Reg(Part { size, ..whole(reg) }) }
}

/// An integer register where 31 is the stack pointer.
fn pointer(reg: u8, size: u8) -> Src {
    Src::Reg(Part { size, ..whole(reg) })
}

impl Lifter {
    fn part(self, number: usize) -> Option<Insn> {
        let last = self.parts.len();
        let at = self.at + number as u64;
        let next = if number < last { at + 1 } else { self.at.wrapping_add(WIDTH) };
        let step = self.parts.into_iter().chain([self.now]).nth(number)?;
        Some(Insn { at, next, ops: step.ops, flags: step.flags, tests: step.tests, flow: step.flow })
    }

    /// What follows belongs to the next part.
    fn then(&mut self) {
        self.parts.push(std::mem::take(&mut self.now));
    }

    /// The result of arithmetic or a copy; register 31 takes nothing.
    fn set(&mut self, to: u8, from: Src, extend: Extend) {
        if to != THIRTY_ONE {
            self.now.ops.push(Op::Set { to: whole(to), from, extend });
        }
    }

    fn compute(&mut self, to: u8, kind: Arith, left: Src, right: Src, size: u8) {
        if to != THIRTY_ONE {
            self.now.ops.push(Op::Compute { to: whole(to), kind, left, right, size });
        }
    }

    /// A number that is computed in a way that is not followed.
    fn opaque(&mut self, to: u8, size: u8) {
        self.compute(to, Arith::Opaque, Src::Other, Src::Other, size);
    }

    /// A part of its own gives the register between.
    fn between(&mut self, number: usize, kind: Arith, left: Src, right: Src, size: u8) -> Src {
        self.now.ops.push(Op::Compute { to: between(number), kind, left, right, size });
        Src::Reg(Part { size, ..between(number) })
    }

    /// Bytes of the registers of an instruction.
    fn size(&self) -> u8 {
        if self.it.bit(31) { 8 } else { 4 }
    }

    /// Whether the word is an instruction.
    fn run(&mut self) -> bool {
        if self.it.trap().is_some() {
            self.now.flow = Flow::Stop;
            return true;
        }
        match self.it.bits(28, 25) {
            0b1000 | 0b1001 => self.immediate(),
            0b1010 | 0b1011 => self.control(),
            0b0100 | 0b0110 | 0b1100 | 0b1110 => self.memory(),
            0b0101 | 0b1101 => self.registers(),
            0b0111 | 0b1111 => self.vectors(),
            // Scalable vectors: which register they write stands where it stands elsewhere.
            0b0010 => {
                self.now.ops.push(Op::Write(V0 + Reg::from(self.it.register(0))));
                true
            }
            _ => false,
        }
    }

    fn immediate(&mut self) -> bool {
        let (it, size) = (self.it, self.size());
        let (to, from) = (it.register(0), it.register(5));
        match it.bits(25, 23) {
            0b000 | 0b001 => {
                let distance = it.signed(23, 5) << 2 | i64::from(it.bits(30, 29));
                let target = if it.bit(31) {
                    (self.at & !0xfff).wrapping_add_signed(distance << 12)
                } else {
                    self.at.wrapping_add_signed(distance)
                };
                let place = Mem::at(target.cast_signed(), 8);
                self.set(to, Src::Address(place), Extend::Zero);
            }
            0b010 => {
                let by = u64::from(it.bits(21, 10)) << if it.bit(22) { 12 } else { 0 };
                self.add_constant(to, from, by);
            }
            // Tagged pointers.
            0b011 => self.opaque(to, 8),
            0b100 => {
                let Some(by) = it.bit_mask() else { return false };
                self.logical(to, data(from, size), Src::Const(by), it.bits(30, 29) == 3);
            }
            0b101 => return self.move_wide(to),
            0b110 => return self.bit_field(to, from),
            _ => {
                // extr; with both operands the same a rotation.
                self.opaque(to, size);
            }
        }
        true
    }

    /// `add` and `sub` with a constant. Register 31 is the stack pointer, but as the result of one that sets the flags.
    fn add_constant(&mut self, to: u8, from: u8, by: u64) {
        let (size, subtracts, compares) = (self.size(), self.it.bit(30), self.it.bit(29));
        let signed = if subtracts { by.wrapping_neg() } else { by };
        let left = pointer(from, size);
        if compares {
            // Adding a constant sets the flags as taking away its negative does, but for carries of 0.
            let right = Src::Const(if subtracts { by } else { mask(signed.wrapping_neg(), size) });
            self.now.flags = Flags::Compare { left, right, size };
            if to == THIRTY_ONE {
                return;
            }
        }
        let frame = matches!(Reg::from(from), SP | FP) && size == 8;
        let op = if by == 0 {
            Op::Set { to: whole(to), from: left, extend: Extend::Zero }
        } else if frame && Reg::from(to) != SP {
            let place = Mem { base: Some(Reg::from(from)), ..Mem::at(signed.cast_signed(), 8) };
            Op::Set { to: whole(to), from: Src::Address(place), extend: Extend::Zero }
        } else {
            let kind = if subtracts { Arith::Sub } else { Arith::Add };
            Op::Compute { to: whole(to), kind, left, right: Src::Const(by), size }
        };
        self.now.ops.push(op);
    }

    /// `and`, `orr`, `eor`, `ands`, by their constant or second operand.
    fn logical(&mut self, to: u8, left: Src, right: Src, sets_flags: bool) {
        let size = self.size();
        if sets_flags {
            self.now.flags = Flags::Test { left, right, size };
            if to == THIRTY_ONE {
                return;
            }
        }
        let kind = match self.it.bits(30, 29) {
            0 | 3 => Arith::And,
            1 => Arith::Or,
            _ => Arith::Xor,
        };
        // With a constant, register 31 is the stack pointer here.
        let op = match (kind, left, right) {
            (Arith::Or, Src::Const(0), from) | (Arith::Or, from, Src::Const(0)) => {
                Op::Set { to: whole(to), from, extend: Extend::Zero }
            }
            // uxtb, uxth, uxtw
            (Arith::And, Src::Reg(part), Src::Const(bits @ (0xff | 0xffff | 0xffff_ffff))) if part.offset == 0 => {
                let from = Src::Reg(Part { size: bits.count_ones().min(u32::from(part.size) * 8) as u8 / 8, ..part });
                Op::Set { to: whole(to), from, extend: Extend::Zero }
            }
            (Arith::Xor, one, other) if one == other && !matches!(one, Src::Const(_)) => {
                Op::Set { to: whole(to), from: Src::Const(0), extend: Extend::Zero }
            }
            _ => Op::Compute { to: whole(to), kind, left, right, size },
        };
        if to != THIRTY_ONE || matches!(right, Src::Const(_)) {
            self.now.ops.push(op);
        }
    }

    fn move_wide(&mut self, to: u8) -> bool {
        let (it, size) = (self.it, self.size());
        let shift = it.bits(22, 21) * 16;
        if size == 4 && shift > 16 {
            return false;
        }
        let value = u64::from(it.bits(20, 5)) << shift;
        match it.bits(30, 29) {
            0 => self.set(to, Src::Const(mask(!value, size)), Extend::Zero),
            2 => self.set(to, Src::Const(value), Extend::Zero),
            3 if to != THIRTY_ONE => {
                let half = Part { reg: Reg::from(to), offset: (shift / 8) as u8, size: 2 };
                let from = Src::Const(u64::from(it.bits(20, 5)));
                self.now.ops.push(Op::Set { to: half, from, extend: Extend::Zero });
            }
            3 => {}
            _ => return false,
        }
        true
    }

    /// `sbfm`, `bfm`, `ubfm`: shifts, extensions, and parts of a register.
    fn bit_field(&mut self, to: u8, from: u8) -> bool {
        let (it, size) = (self.it, self.size());
        let bits = u32::from(size) * 8;
        let (rotation, last) = (it.bits(21, 16), it.bits(15, 10));
        let signed = match it.bits(30, 29) {
            0 => true,
            2 => false,
            1 => {
                // Bits of another register are put into this one.
                self.opaque(to, size);
                return true;
            }
            _ => return false,
        };
        if rotation >= bits || last >= bits {
            return false;
        }
        let source = data(from, size);
        let extend = if signed { Extend::Sign } else { Extend::Zero };
        let low_bits = |width: u32| Src::Const(u64::MAX >> (64 - width));
        if last < rotation {
            // lsl, ubfiz, sbfiz: so many bits of it, shifted to the left.
            let (shift, width) = (bits - rotation, last + 1);
            let source = match narrow(from, 0, width) {
                _ if width + shift == bits => source,
                Some(part) => {
                    self.now.ops.push(Op::Set { to: between(0), from: Src::Reg(part), extend });
                    self.then();
                    Src::Reg(Part { size, ..between(0) })
                }
                None if !signed => {
                    let bits = self.between(0, Arith::And, source, low_bits(width), size);
                    self.then();
                    bits
                }
                None => {
                    self.opaque(to, size);
                    return true;
                }
            };
            self.compute(to, Arith::Shl, source, Src::Const(u64::from(shift)), size);
            return true;
        }
        if last + 1 == bits && rotation > 0 {
            let kind = if signed { Arith::Sar } else { Arith::Shr };
            self.compute(to, kind, source, Src::Const(u64::from(rotation)), size);
            return true;
        }
        let width = last + 1 - rotation;
        match narrow(from, rotation, width) {
            Some(part) => self.set(to, Src::Reg(part), extend),
            None if from == THIRTY_ONE => self.set(to, Src::Const(0), Extend::Zero),
            None if width == bits => self.set(to, source, Extend::Zero),
            None if signed => self.opaque(to, size),
            None => {
                let shifted = match rotation {
                    0 => source,
                    _ => {
                        let by = Src::Const(u64::from(rotation));
                        let shifted = self.between(0, Arith::Shr, source, by, size);
                        self.then();
                        shifted
                    }
                };
                self.compute(to, Arith::And, shifted, low_bits(width), size);
            }
        }
        true
    }

    fn control(&mut self) -> bool {
        let it = self.it;
        if let Some(branch) = it.branch(self.at) {
            let target = match branch.to {
                To::Address(to) => Src::Const(to),
                To::Register(register) => data(register, 8),
            };
            self.now.flow = match (branch.link, branch.ret, branch.to) {
                (true, ..) => {
                    self.now.flags = Flags::Other;
                    self.now.ops.push(Op::Write(LR));
                    Flow::Call(target)
                }
                (_, true, _) => Flow::Return,
                (_, _, To::Address(to)) => Flow::Jump(to),
                _ => Flow::JumpTo(target),
            };
            return true;
        }
        let near = |high: u32, low: u32| self.at.wrapping_add_signed(it.signed(high, low) << 2);
        let size = self.size();
        if it.bits(30, 25) == 0b01_1010 {
            let left = data(it.register(0), size);
            self.now.tests = Flags::Compare { left, right: Src::Const(0), size };
            let condition = if it.bit(24) { Condition::NotEqual } else { Condition::Equal };
            self.now.flow = Flow::Branch(near(23, 5), condition);
            return true;
        }
        if it.bits(30, 25) == 0b01_1011 {
            self.test_bit(near(18, 5));
            return true;
        }
        if it.bits(31, 24) == 0b0101_0100 {
            let target = near(23, 5);
            self.now.flow = match it.bits(3, 0) {
                14 | 15 => Flow::Jump(target),
                code => Flow::Branch(target, condition(code)),
            };
            return true;
        }
        if it.is(0xffe0_001f, 0xd400_0001) {
            // svc: the kernel comes back behind it.
            self.now.ops.push(Op::Write(X0));
            return true;
        }
        match it.bits(31, 20) {
            // mrs
            0xd53 => {
                self.now.ops.extend(Some(it.register(0)).filter(|&to| to != THIRTY_ONE).map(Reg::from).map(Op::Write));
                true
            }
            // Zeroing a block of the cache.
            0xd50 if it.is(0xffff_ffe0, 0xd50b_7420) => self.memory(),
            // Hints, signatures of the link register among them, barriers, system registers.
            0xd50 | 0xd51 => true,
            _ => false,
        }
    }

    /// `tbz`, `tbnz`: one bit; the highest one is the sign.
    fn test_bit(&mut self, target: u64) {
        let it = self.it;
        let at = it.bits(31, 31) << 5 | it.bits(23, 19);
        let set = it.bit(24);
        let size = if at >= 32 { 8 } else { 4 };
        let sign = [(7, 1), (15, 2), (31, 4), (63, 8)].into_iter().find(|&(bit, _)| bit == at).map(|(_, size)| size);
        let (tests, condition) = match sign {
            Some(size) => {
                let condition = if set { Condition::Negative } else { Condition::NotNegative };
                (Flags::Compare { left: data(it.register(0), size), right: Src::Const(0), size }, condition)
            }
            None => {
                let condition = if set { Condition::NotEqual } else { Condition::Equal };
                (Flags::Test { left: data(it.register(0), size), right: Src::Const(1 << at), size }, condition)
            }
        };
        self.now.tests = tests;
        self.now.flow = Flow::Branch(target, condition);
    }
}

/// A part of a register of whole bytes: 1, 2 or 4 of them.
fn narrow(reg: u8, first: u32, width: u32) -> Option<Part> {
    let fits = reg != THIRTY_ONE && matches!(width, 8 | 16 | 32) && first.is_multiple_of(8);
    fits.then(|| Part { reg: Reg::from(reg), offset: (first / 8) as u8, size: (width / 8) as u8 })
}

/// Arm ARM, C1.2.4.
fn condition(code: u32) -> Condition {
    match code {
        0 => Condition::Equal,
        1 => Condition::NotEqual,
        2 => Condition::AboveEqual,
        3 => Condition::Below,
        4 => Condition::Negative,
        5 => Condition::NotNegative,
        8 => Condition::Above,
        9 => Condition::BelowEqual,
        10 => Condition::GreaterEqual,
        11 => Condition::Less,
        12 => Condition::Greater,
        13 => Condition::LessEqual,
        _ => Condition::Other,
    }
}

#[cfg(test)]
mod tests;
