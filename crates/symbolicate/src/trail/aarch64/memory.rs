//! Loads and stores.

use super::super::op::{Arith, Extend, Mem, Op, Part, Reg, Src};
use super::{Lifter, V0, between, data, narrow, whole};
use crate::a64::{Access, THIRTY_ONE, What};

impl Lifter {
    pub(super) fn memory(&mut self) -> bool {
        // prfm: memory that may be wanted soon.
        let (single, offset) = (self.it.bits(29, 27) == 0b111, self.it.bits(25, 24));
        if single && !self.it.bit(26) && self.it.bits(31, 30) == 3 && self.it.bits(23, 22) == 2 && offset < 2 {
            return true;
        }
        if self.it.is(0xff00_0000, 0xd800_0000) {
            return true;
        }
        let Some(access) = self.it.access(self.at) else { return false };
        let mem = self.operand(&access);
        match access.what {
            What::Load { .. } | What::Store if access.structure.is_some() => self.structure(&access, mem),
            What::Load { signed, .. } => {
                for (number, register) in access.registers.into_iter().flatten().enumerate() {
                    let from = Mem { displacement: step(mem, number), ..mem };
                    self.load(&access, register, from, signed);
                }
            }
            What::OrderedLoad | What::ExclusiveLoad => {
                for (number, register) in access.registers.into_iter().flatten().enumerate() {
                    let from = Mem { displacement: step(mem, number), ..mem };
                    self.set(register, Src::Mem(from), Extend::Zero);
                }
            }
            What::Store | What::OrderedStore | What::ExclusiveStore => {
                for (number, register) in access.registers.into_iter().flatten().enumerate() {
                    let to = Mem { displacement: step(mem, number), ..mem };
                    let from = if access.vector {
                        Src::Reg(Part { reg: V0 + Reg::from(register), offset: 0, size: access.size })
                    } else {
                        data(register, access.size)
                    };
                    self.now.ops.push(Op::Store { to, from });
                }
                if let Some(status) = access.operand {
                    self.opaque(status, 4);
                }
            }
            What::Atomic(_) | What::Swap | What::CompareSwap => self.atomic(&access, mem),
            What::ZeroBlock => self.now.ops.push(Op::Fill { to: mem, from: Src::Const(0) }),
        }
        if let (Some(update), Some(base)) = (access.update, access.base) {
            let base = whole(base);
            let right = Src::Const(update.by.cast_unsigned());
            self.now.ops.push(Op::Compute { to: base, kind: Arith::Add, left: Src::Reg(base), right, size: 8 });
        } else if let (true, Some(base)) = (access.lost, access.base) {
            self.now.ops.push(Op::Write(Reg::from(base)));
        }
        true
    }

    /// The memory of an access; an index that is extended is a part of its own.
    fn operand(&mut self, access: &Access) -> Mem {
        let mut mem = Mem::at(access.displacement, access.size);
        mem.base = access.base.map(Reg::from);
        if let Some(index) = access.index
            && index.register != THIRTY_ONE
        {
            let register = match (index.option, narrow(index.register, 0, 32)) {
                (2 | 6, Some(part)) => {
                    let extend = if index.option == 6 { Extend::Sign } else { Extend::Zero };
                    self.now.ops.push(Op::Set { to: between(0), from: Src::Reg(part), extend });
                    self.then();
                    between(0).reg
                }
                _ => Reg::from(index.register),
            };
            mem.index = Some((register, 1 << index.shift));
        }
        mem
    }

    fn load(&mut self, access: &Access, register: u8, from: Mem, signed: bool) {
        if access.vector {
            // The rest of the register is cleared.
            let to = Part { reg: V0 + Reg::from(register), offset: 0, size: 16 };
            self.now.ops.push(Op::Set { to, from: Src::Mem(from), extend: Extend::Zero });
            return;
        }
        let extend = if signed { Extend::Sign } else { Extend::Zero };
        self.set(register, Src::Mem(from), extend);
    }

    /// Memory is read into one register, and combined with another.
    fn atomic(&mut self, access: &Access, mem: Mem) {
        let [Some(register), _] = access.registers else { return };
        let Some(operand) = access.operand else { return };
        let value = data(operand, access.size);
        match access.what {
            What::Atomic(operation) => {
                self.set(register, Src::Mem(mem), Extend::Zero);
                let kind = match operation {
                    0 => Arith::Add,
                    2 => Arith::Xor,
                    3 => Arith::Or,
                    _ => Arith::Opaque,
                };
                self.now.ops.push(Op::Update { to: mem, kind, right: value });
            }
            What::CompareSwap => {
                self.set(operand, Src::Mem(mem), Extend::Zero);
                self.now.ops.push(Op::Store { to: mem, from: Src::Other });
            }
            _ => {
                self.set(register, Src::Mem(mem), Extend::Zero);
                self.now.ops.push(Op::Store { to: mem, from: value });
            }
        }
    }

    /// `ld1`, `st1` of whole registers, one after the other; what mixes elements is not followed.
    fn structure(&mut self, access: &Access, mem: Mem) {
        let [Some(first), _] = access.registers else { return };
        let load = matches!(access.what, What::Load { .. });
        let number = |step: u8| V0 + Reg::from((first + step) & 31);
        match access.structure {
            Some(count @ 1..) => {
                for register in 0..count {
                    let place = Mem { displacement: step(mem, usize::from(register)), ..mem };
                    let part = Part { reg: number(register), offset: 0, size: access.size };
                    self.now.ops.push(if load {
                        Op::Set { to: Part { size: 16, ..part }, from: Src::Mem(place), extend: Extend::Zero }
                    } else {
                        Op::Store { to: place, from: Src::Reg(part) }
                    });
                }
            }
            _ if load => self.now.ops.extend((0..4).map(|register| Op::Write(number(register)))),
            _ => self.now.ops.push(Op::Fill { to: mem, from: Src::Other }),
        }
    }
}

/// The displacement of one of several registers.
fn step(mem: Mem, number: usize) -> i64 {
    mem.displacement.wrapping_add(i64::from(mem.size) * number as i64)
}
