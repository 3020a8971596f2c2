//! Vector registers as far as compilers keep pointers in them.

use iced_x86::{Mnemonic, OpKind, Register};

use super::super::op::{Extend, Mem, Op, Part, Src};
use super::{Lifter, number};

impl Lifter<'_> {
    /// Moves of vector registers, in which compilers keep pairs of pointers.
    pub(super) fn vector(&mut self) -> bool {
        use Mnemonic as M;
        let it = self.it;
        let to_register = it.op0_kind() == OpKind::Register;
        let half = |register: Register, offset: u8| number(register).map(|reg| Part { reg, offset, size: 8 });
        match it.mnemonic() {
            M::Movaps
            | M::Movups
            | M::Movdqa
            | M::Movdqu
            | M::Movapd
            | M::Movupd
            | M::Lddqu
            | M::Vmovaps
            | M::Vmovups
            | M::Vmovdqa
            | M::Vmovdqu
                if it.op_count() == 2 && self.size() <= 16 =>
            {
                self.set(self.operand(1), Extend::Zero)
            }
            M::Movq | M::Movd | M::Movss | M::Movsd | M::Vmovq | M::Vmovd
                if it.op_count() == 2
                    && (!to_register
                        || it.op1_kind() == OpKind::Memory
                        || matches!(it.mnemonic(), M::Movq | M::Movd | M::Vmovq | M::Vmovd)) =>
            {
                let size = if matches!(it.mnemonic(), M::Movd | M::Movss | M::Vmovd) { 4 } else { 8 };
                let size = if it.op0_register().is_gpr64() || it.op1_register().is_gpr64() { 8 } else { size };
                let narrow = |from| match from {
                    Src::Reg(part) => Src::Reg(Part { size, ..part }),
                    from => from,
                };
                self.set(narrow(self.operand(1)), Extend::Zero)
            }
            M::Movhps | M::Movhpd if to_register => {
                let Some(to) = half(it.op0_register(), 8) else { return false };
                self.ops.push(Op::Set { to, from: self.operand(1), extend: Extend::Zero });
                true
            }
            M::Movhps | M::Movhpd => {
                let Some(from) = half(it.op1_register(), 8) else { return false };
                self.ops.push(Op::Store { to: Mem { size: 8, ..self.mem() }, from: Src::Reg(from) });
                true
            }
            M::Punpcklqdq | M::Movlhps | M::Unpcklpd if to_register && it.op1_kind() == OpKind::Register => {
                let (Some(to), Some(from)) = (half(it.op0_register(), 8), half(it.op1_register(), 0)) else {
                    return false;
                };
                self.ops.push(Op::Set { to, from: Src::Reg(from), extend: Extend::Zero });
                true
            }
            M::Pinsrq if to_register => {
                let offset = if it.try_immediate(2).is_ok_and(|half| half == 1) { 8 } else { 0 };
                let Some(to) = half(it.op0_register(), offset) else { return false };
                self.ops.push(Op::Set { to, from: self.operand(1), extend: Extend::Zero });
                true
            }
            _ => false,
        }
    }
}
