//! AMD64 instructions as operations: Intel SDM volume 2; the tables are those of iced-x86.

use iced_x86::{
    Code, ConditionCode, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess,
    OpKind, Register,
};

use super::op::{Arith, Condition, Extend, Flags, Flow, Insn, Mem, Op, Part, Reg, Src};

pub(super) mod sweep;
pub(super) mod tables;
mod vector;

/// DWARF number of the stack pointer.
pub(super) const RSP: Reg = 7;
/// DWARF number of the frame pointer.
pub(super) const RBP: Reg = 6;
/// The register of results.
pub(super) const RAX: Reg = 0;
/// The register of the upper half of a product.
const RDX: Reg = 1;
/// Registers of integer arguments in order: System V psABI AMD64, 3.2.3.
pub(super) const ARGUMENTS: [Reg; 6] = [5, 4, 1, 2, 8, 9];
/// Registers that a function may change.
pub(super) const SCRATCH: [Reg; 9] = [0, 1, 2, 4, 5, 8, 9, 10, 11];
/// DWARF number of xmm0.
const XMM0: Reg = 17;

/// Decodes the instruction at the start of some bytes.
pub(super) fn lift(bytes: &[u8], at: u64) -> Option<Insn> {
    let instruction = Decoder::with_ip(64, bytes, at, DecoderOptions::NONE).decode();
    (!instruction.is_invalid()).then(|| Lifter { it: &instruction, ops: Vec::new(), flags: Flags::Kept }.run())
}

/// A REX prefix (Intel SDM volume 2, 2.2.1), which belongs to the instruction behind it.
pub(super) fn is_prefix(byte: u8) -> bool {
    byte & 0xf0 == 0x40
}

/// System V psABI AMD64 figure 3.36: rdx, rcx and rbx stand in another order than in machine code.
fn number(register: Register) -> Option<Reg> {
    const ORDER: [Reg; 16] = [0, 2, 1, 3, 7, 6, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15];
    let full = register.full_register();
    if full.is_gpr64() {
        return ORDER.get(full.number()).copied();
    }
    if register.is_vector_register() {
        return Reg::try_from(register.number()).ok().map(|number| XMM0 + number);
    }
    None
}

fn part(register: Register) -> Option<Part> {
    let high = matches!(register, Register::AH | Register::BH | Register::CH | Register::DH);
    let size = u8::try_from(register.size()).ok()?.min(16);
    Some(Part { reg: number(register)?, offset: u8::from(high), size })
}

/// What a write to a register changes: a 32-bit one clears the upper half.
fn written(register: Register) -> Option<Part> {
    let part = part(register)?;
    Some(if part.size == 4 { Part { size: 8, ..part } } else { part })
}

struct Lifter<'a> {
    it: &'a Instruction,
    ops: Vec<Op>,
    flags: Flags,
}

impl Lifter<'_> {
    fn run(mut self) -> Insn {
        let it = self.it;
        if it.rflags_modified() != 0 {
            self.flags = Flags::Other;
        }
        if !self.known() {
            self.ops.clear();
            self.unknown();
        }
        let flow = self.flow();
        Insn { at: it.ip(), next: it.next_ip(), ops: self.ops, flags: self.flags, tests: Flags::Kept, flow }
    }

    fn mem(&self) -> Mem {
        let it = self.it;
        let base = it.memory_base();
        let relative = it.is_ip_rel_memory_operand();
        let index = number(it.memory_index()).filter(|_| it.memory_index() != Register::None);
        Mem {
            base: if relative { None } else { number(base) },
            index: index.map(|index| (index, it.memory_index_scale() as u8)),
            displacement: if relative { it.ip_rel_memory_address() } else { it.memory_displacement64() }.cast_signed(),
            size: u8::try_from(it.memory_size().size()).unwrap_or(0).min(64),
            thread_local: matches!(it.segment_prefix(), Register::FS | Register::GS),
        }
    }

    fn operand(&self, index: u32) -> Src {
        match self.it.op_kind(index) {
            OpKind::Register => part(self.it.op_register(index)).map_or(Src::Other, Src::Reg),
            OpKind::Memory => Src::Mem(self.mem()),
            OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64 => {
                Src::Const(self.it.near_branch_target())
            }
            _ => self.it.try_immediate(index).map_or(Src::Other, Src::Const),
        }
    }

    /// Bytes that the first operand has.
    fn size(&self) -> u8 {
        match self.it.op0_kind() {
            OpKind::Register => u8::try_from(self.it.op0_register().size()).unwrap_or(8),
            OpKind::Memory => self.mem().size,
            _ => 8,
        }
    }

    fn set(&mut self, from: Src, extend: Extend) -> bool {
        match self.it.op0_kind() {
            OpKind::Register => match written(self.it.op0_register()) {
                Some(to) => self.ops.push(Op::Set { to, from, extend }),
                None => return false,
            },
            OpKind::Memory => self.ops.push(Op::Store { to: self.mem(), from }),
            _ => return false,
        }
        true
    }

    fn arith(&mut self, kind: Arith, left: Src, right: Src) -> bool {
        let size = self.size();
        match self.it.op0_kind() {
            OpKind::Register => {
                let Some(to) = written(self.it.op0_register()) else { return false };
                self.ops.push(Op::Compute { to, kind, left, right, size });
                self.flags = Flags::Result(Part { size, ..to });
            }
            OpKind::Memory => self.ops.push(Op::Update { to: self.mem(), kind, right }),
            _ => return false,
        }
        true
    }

    /// The instruction in the terms of operations; `false` when it is not one of those that are followed.
    fn known(&mut self) -> bool {
        use Mnemonic as M;
        let it = self.it;
        let stack = |displacement, size| Mem { base: Some(RSP), index: None, displacement, size, thread_local: false };
        let rsp = Part { reg: RSP, offset: 0, size: 8 };
        let grow = |kind, by| Op::Compute { to: rsp, kind, left: Src::Reg(rsp), right: Src::Const(by), size: 8 };
        match it.mnemonic() {
            M::Mov | M::Movzx | M::Movbe => self.set(self.operand(1), Extend::Zero),
            M::Movsx | M::Movsxd => {
                // Sign extension to 32 bits clears the rest: the upper half is that of the 32-bit result.
                self.set(self.operand(1), Extend::Sign)
            }
            M::Cdqe => self.widen(Register::EAX, Register::RAX),
            M::Cwde => self.widen(Register::AX, Register::EAX),
            M::Lea => self.set(Src::Address(Mem { size: 8, ..self.mem() }), Extend::Zero),
            M::Push => {
                let from = self.operand(0);
                self.ops.extend([Op::Store { to: stack(-8, 8), from }, grow(Arith::Sub, 8)]);
                it.stack_pointer_increment() == -8
            }
            M::Pop => {
                let from = Src::Mem(stack(0, 8));
                let done = self.set(from, Extend::Zero);
                self.ops.push(grow(Arith::Add, 8));
                done && it.stack_pointer_increment() == 8 && number(it.op0_register()) != Some(RSP)
            }
            M::Leave => {
                let rbp = Part { reg: RBP, offset: 0, size: 8 };
                let saved = Mem { base: Some(RBP), ..stack(0, 8) };
                let above = Src::Address(Mem { displacement: 8, ..saved });
                self.ops.push(Op::Set { to: rsp, from: above, extend: Extend::Zero });
                self.ops.push(Op::Set { to: rbp, from: Src::Mem(saved), extend: Extend::Zero });
                true
            }
            M::Xor | M::Sub | M::Pxor | M::Xorps | M::Xorpd | M::Vpxor | M::Vxorps | M::Vxorpd
                if self.same_operands() =>
            {
                let size = self.size();
                self.flags = Flags::Result(written(it.op0_register()).unwrap_or(rsp));
                if it.op0_register().is_vector_register() {
                    self.flags = Flags::Kept;
                }
                size > 0 && self.set(Src::Const(0), Extend::Zero)
            }
            // `or $-1` sets all bits: a short way to write the constant.
            M::Or if it.op0_kind() == OpKind::Register && self.all_ones() => {
                self.set(Src::Const(u64::MAX), Extend::Zero)
            }
            M::Add => self.arith(Arith::Add, self.operand(0), self.operand(1)),
            M::Sub => self.arith(Arith::Sub, self.operand(0), self.operand(1)),
            M::And => self.arith(Arith::And, self.operand(0), self.operand(1)),
            M::Or => self.arith(Arith::Or, self.operand(0), self.operand(1)),
            M::Xor => self.arith(Arith::Xor, self.operand(0), self.operand(1)),
            M::Shl => self.arith(Arith::Shl, self.operand(0), self.operand(1)),
            M::Shr => self.arith(Arith::Shr, self.operand(0), self.operand(1)),
            M::Sar => self.arith(Arith::Sar, self.operand(0), self.operand(1)),
            M::Inc => self.arith(Arith::Add, self.operand(0), Src::Const(1)),
            M::Dec => self.arith(Arith::Sub, self.operand(0), Src::Const(1)),
            M::Neg => self.arith(Arith::Sub, Src::Const(0), self.operand(0)),
            M::Not => self.arith(Arith::Xor, self.operand(0), Src::Const(u64::MAX)),
            M::Imul if it.op_count() == 2 => self.arith(Arith::Mul, self.operand(0), self.operand(1)),
            M::Imul if it.op_count() == 3 => self.arith(Arith::Mul, self.operand(1), self.operand(2)),
            M::Mul | M::Imul if it.op_count() == 1 && self.size() >= 4 => {
                let [low, high] = [RAX, RDX].map(|reg| Part { reg, offset: 0, size: self.size() });
                let (left, size) = (Src::Reg(low), self.size());
                let to = Part { size: 8, ..low };
                self.ops.push(Op::Compute { to, kind: Arith::Mul, left, right: self.operand(0), size });
                self.ops.push(Op::Compute {
                    to: Part { size: 8, ..high },
                    kind: Arith::Opaque,
                    left: Src::Other,
                    right: Src::Other,
                    size,
                });
                self.flags = Flags::Other;
                true
            }
            // Bytes in the other order.
            M::Bswap | M::Rol | M::Ror if it.op0_kind() == OpKind::Register => {
                let Some(to) = written(it.op0_register()) else { return false };
                let (left, size) = (self.operand(0), self.size());
                self.ops.push(Op::Compute { to, kind: Arith::Opaque, left, right: Src::Other, size });
                self.flags = if it.mnemonic() == M::Bswap { Flags::Kept } else { Flags::Other };
                true
            }
            M::Cmp => {
                self.flags = Flags::Compare { left: self.operand(0), right: self.operand(1), size: self.size() };
                true
            }
            M::Test => {
                self.flags = Flags::Test { left: self.operand(0), right: self.operand(1), size: self.size() };
                true
            }
            M::Xchg if it.op0_kind() == OpKind::Register && it.op1_kind() == OpKind::Register => {
                let (one, other) = (written(it.op0_register()), written(it.op1_register()));
                let (Some(one), Some(other)) = (one, other) else { return false };
                let (from_one, from_other) = (self.operand(0), self.operand(1));
                self.ops.push(Op::Set { to: one, from: from_other, extend: Extend::Zero });
                self.ops.push(Op::Set { to: other, from: from_one, extend: Extend::Zero });
                true
            }
            M::Xchg if it.op0_kind() == OpKind::Memory => {
                let (to, value) = (self.mem(), self.operand(1));
                let Some(register) = written(it.op1_register()) else { return false };
                self.ops.push(Op::Set { to: register, from: Src::Mem(to), extend: Extend::Zero });
                self.ops.push(Op::Store { to, from: value });
                true
            }
            M::Call => {
                self.flags = Flags::Other;
                true
            }
            M::Jmp | M::Ret | M::Nop | M::Endbr64 | M::Ud2 | M::Hlt | M::Int3 => true,
            M::Stosb | M::Stosd | M::Stosq | M::Stosw => {
                let to = Mem { base: Some(5), ..stack(0, 0) };
                let from = part(Register::RAX).map_or(Src::Other, Src::Reg);
                self.ops.push(Op::Fill { to, from });
                self.ops.extend([5, 2].map(Op::Write));
                true
            }
            M::Movsb | M::Movsw | M::Movsq if it.op0_kind() == OpKind::MemoryESRDI => {
                let to = Mem { base: Some(5), ..stack(0, 0) };
                self.ops.push(Op::Fill { to, from: Src::Other });
                self.ops.extend([5, 4, 2].map(Op::Write));
                true
            }
            _ if it.flow_control() == FlowControl::ConditionalBranch => true,
            _ if self.is_conditional_move() => {
                let Some(to) = written(it.op0_register()) else { return false };
                self.ops.push(Op::MaySet { to, from: self.operand(1) });
                true
            }
            _ => self.vector(),
        }
    }

    fn is_conditional_move(&self) -> bool {
        self.it.condition_code() != ConditionCode::None
            && self.it.op_count() == 2
            && self.it.flow_control() == FlowControl::Next
            && self.it.op0_kind() == OpKind::Register
    }

    fn same_operands(&self) -> bool {
        let it = self.it;
        let last = it.op_count().saturating_sub(1);
        let registers = (0..it.op_count()).all(|index| it.op_kind(index) == OpKind::Register);
        registers && last >= 1 && it.op_register(last) == it.op_register(last - 1)
    }

    fn all_ones(&self) -> bool {
        self.it.try_immediate(1).is_ok_and(|value| value == u64::MAX || value == 0xffff_ffff && self.size() == 4)
    }

    fn widen(&mut self, from: Register, to: Register) -> bool {
        let (Some(from), Some(to)) = (part(from), written(to)) else { return false };
        self.ops.push(Op::Set { to, from: Src::Reg(from), extend: Extend::Sign });
        true
    }

    /// What the decoder knows of any other instruction: which registers and which memory it writes.
    fn unknown(&mut self) {
        let writes = |access| {
            matches!(access, OpAccess::Write | OpAccess::ReadWrite | OpAccess::CondWrite | OpAccess::ReadCondWrite)
        };
        let mut factory = InstructionInfoFactory::new();
        let info = factory.info(self.it);
        for used in info.used_registers().iter().filter(|used| writes(used.access())) {
            let computed = written(used.register()).filter(|to| to.reg <= 15 && computes(self.it.mnemonic()));
            self.ops.extend(match computed {
                Some(to) => {
                    let (left, right) = (Src::Other, Src::Other);
                    let kind = match self.it.condition_code() {
                        ConditionCode::None => Arith::Opaque,
                        code => Arith::Outcome(condition(code)),
                    };
                    Some(Op::Compute { to, kind, left, right, size: to.size.min(8) })
                }
                None => number(used.register()).map(Op::Write),
            });
        }
        for used in info.used_memory().iter().filter(|used| writes(used.access())) {
            let relative = matches!(used.base(), Register::RIP | Register::EIP);
            let to = Mem {
                base: number(used.base()).filter(|_| !relative),
                index: number(used.index()).map(|index| (index, used.scale() as u8)),
                displacement: used.displacement().cast_signed(),
                size: u8::try_from(used.memory_size().size()).unwrap_or(0).min(64),
                thread_local: matches!(used.segment(), Register::FS | Register::GS),
            };
            self.ops.push(Op::Store { to, from: Src::Other });
        }
    }

    fn flow(&self) -> Flow {
        let it = self.it;
        match it.flow_control() {
            FlowControl::Next | FlowControl::XbeginXabortXend => Flow::Next,
            FlowControl::Call | FlowControl::IndirectCall => match it.code() {
                // The kernel comes back behind it.
                Code::Syscall | Code::Sysenter | Code::Vmcall => Flow::Next,
                _ => Flow::Call(self.operand(0)),
            },
            FlowControl::UnconditionalBranch => Flow::Jump(it.near_branch_target()),
            FlowControl::ConditionalBranch => Flow::Branch(it.near_branch_target(), condition(it.condition_code())),
            FlowControl::IndirectBranch => Flow::JumpTo(self.operand(0)),
            FlowControl::Return => Flow::Return,
            FlowControl::Interrupt | FlowControl::Exception => Flow::Stop,
        }
    }
}

/// Instructions whose result is a number computed from their operands, in a way that is not evaluated.
fn computes(mnemonic: Mnemonic) -> bool {
    use Mnemonic as M;
    matches!(
        mnemonic,
        M::Div
            | M::Idiv
            | M::Mul
            | M::Imul
            | M::Mulx
            | M::Adc
            | M::Sbb
            | M::Rol
            | M::Ror
            | M::Rorx
            | M::Shld
            | M::Shrd
            | M::Shlx
            | M::Shrx
            | M::Sarx
            | M::Bsf
            | M::Bsr
            | M::Tzcnt
            | M::Lzcnt
            | M::Popcnt
            | M::Bswap
            | M::Andn
            | M::Cvttsd2si
            | M::Cvttss2si
            | M::Cvtsd2si
            | M::Cvtss2si
            | M::Seta
            | M::Setae
            | M::Setb
            | M::Setbe
            | M::Sete
            | M::Setne
            | M::Setg
            | M::Setge
            | M::Setl
            | M::Setle
            | M::Sets
            | M::Setns
            | M::Seto
            | M::Setno
            | M::Setp
            | M::Setnp
    )
}

fn condition(code: ConditionCode) -> Condition {
    match code {
        ConditionCode::e => Condition::Equal,
        ConditionCode::ne => Condition::NotEqual,
        ConditionCode::b => Condition::Below,
        ConditionCode::be => Condition::BelowEqual,
        ConditionCode::a => Condition::Above,
        ConditionCode::ae => Condition::AboveEqual,
        ConditionCode::l => Condition::Less,
        ConditionCode::le => Condition::LessEqual,
        ConditionCode::g => Condition::Greater,
        ConditionCode::ge => Condition::GreaterEqual,
        ConditionCode::s => Condition::Negative,
        ConditionCode::ns => Condition::NotNegative,
        _ => Condition::Other,
    }
}

/// What a division divides by.
pub(super) fn divisor(bytes: &[u8], at: u64) -> Option<Src> {
    let instruction = Decoder::with_ip(64, bytes, at, DecoderOptions::NONE).decode();
    let divides = matches!(instruction.mnemonic(), Mnemonic::Div | Mnemonic::Idiv);
    divides.then(|| Lifter { it: &instruction, ops: Vec::new(), flags: Flags::Kept }.operand(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lifted(bytes: &[u8]) -> Insn {
        lift(bytes, 0x1000).unwrap()
    }

    const fn whole(reg: Reg) -> Part {
        Part { reg, offset: 0, size: 8 }
    }

    #[test]
    fn a_zero_is_a_constant_however_it_is_made() {
        // xor eax, eax
        let zero = Op::Set { to: whole(RAX), from: Src::Const(0), extend: Extend::Zero };
        assert_eq!(lifted(&[0x31, 0xc0]).ops, [zero]);
        // mov eax, 0
        assert_eq!(lifted(&[0xb8, 0, 0, 0, 0]).ops, [zero]);
    }

    #[test]
    fn a_write_of_32_bits_clears_the_rest_and_one_of_8_does_not() {
        // mov eax, edi
        let edi = Src::Reg(Part { reg: 5, offset: 0, size: 4 });
        assert_eq!(lifted(&[0x89, 0xf8]).ops, [Op::Set { to: whole(RAX), from: edi, extend: Extend::Zero }]);
        // mov ah, 7
        let high = Part { reg: RAX, offset: 1, size: 1 };
        assert_eq!(lifted(&[0xb4, 7]).ops, [Op::Set { to: high, from: Src::Const(7), extend: Extend::Zero }]);
    }

    #[test]
    fn a_push_is_a_store_below_the_stack_pointer() {
        // push rbx
        let Op::Store { to, from } = lifted(&[0x53]).ops[0] else { panic!("no store") };
        assert_eq!((to.base, to.displacement, from), (Some(RSP), -8, Src::Reg(whole(3))));
    }

    #[test]
    fn flags_and_flow_of_a_check() {
        // test rdi, rdi
        let rdi = Src::Reg(whole(5));
        assert_eq!(lifted(&[0x48, 0x85, 0xff]).flags, Flags::Test { left: rdi, right: rdi, size: 8 });
        // je +2
        assert_eq!(lifted(&[0x74, 2]).flow, Flow::Branch(0x1004, Condition::Equal));
        // call [rip+0x10]
        let Flow::Call(Src::Mem(slot)) = lifted(&[0xff, 0x15, 0x10, 0, 0, 0]).flow else { panic!("no call") };
        assert_eq!((slot.base, slot.displacement), (None, 0x1016));
    }

    #[test]
    fn what_is_not_followed_still_says_what_it_writes() {
        // cpuid
        let mut written: Vec<_> = lifted(&[0x0f, 0xa2]).ops;
        written.sort_by_key(|op| format!("{op:?}"));
        assert_eq!(written, [Op::Write(0), Op::Write(1), Op::Write(2), Op::Write(3)]);
    }

    #[test]
    fn the_divisor_of_a_division() {
        // idiv esi
        assert_eq!(divisor(&[0xf7, 0xfe], 0), Some(Src::Reg(Part { reg: 4, offset: 0, size: 4 })));
        // mul esi
        assert_eq!(divisor(&[0xf7, 0xe6], 0), None);
    }
}
