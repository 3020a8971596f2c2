//! AMD64 instructions: Intel SDM volume 2, AMD64 APM volume 3; the tables are those of iced-x86.

use iced_x86::{
    Code, Decoder, DecoderOptions, EncodingKind, FlowControl, Formatter, Instruction, InstructionInfoFactory,
    IntelFormatter, Mnemonic, OpAccess, OpKind, Register, UsedMemory,
};
use necropsy_model::{Access, FaultOperand, Registers};

use super::decoded::{Decoded, Divisor, Flow, MemoryOperand, Target};

/// The longest instruction.
pub(super) const LONGEST: usize = 15;

/// Decodes the instruction at `pc` with the values its operands had. `thread_pointer` is the base of `fs`.
pub(super) fn decode(pc: u64, bytes: &[u8], registers: &Registers, thread_pointer: Option<u64>) -> Option<Decoded> {
    let mut decoder = Decoder::with_ip(64, bytes, pc, DecoderOptions::NONE);
    let instruction = decoder.decode();
    if instruction.is_invalid() {
        return None;
    }
    let mut factory = InstructionInfoFactory::new();
    let info = factory.info(&instruction);
    let values = Values { registers, thread_pointer };
    let explicit = instruction.op_kinds().any(|kind| kind == OpKind::Memory);
    let mut memory: Vec<_> =
        info.used_memory().iter().filter_map(|used| operand(used, &instruction, &values, explicit)).collect();
    memory.sort_by_key(|operand| operand.implicit);
    let divisor = divisor(&instruction, &values);
    Some(Decoded {
        text: text(&instruction),
        length: instruction.len() as u64,
        flow: flow(&instruction, &values),
        memory,
        divisor,
    })
}

/// Lengths that an indirect or direct call can have, longest first.
pub(super) const CALL_LENGTHS: std::ops::RangeInclusive<u64> = 2..=8;

struct Values<'a> {
    registers: &'a Registers,
    thread_pointer: Option<u64>,
}

impl Values<'_> {
    fn get(&self, register: Register) -> Option<u64> {
        match register {
            // Segment bases are zero in 64-bit mode but for these two, and the C library leaves gs alone.
            Register::FS => return self.thread_pointer,
            Register::GS => return None,
            register if register.is_segment_register() => return Some(0),
            Register::RIP => return self.registers.pc(),
            _ => {}
        }
        let value = self.registers.by_name(name(register)?)?;
        Some(match register.size() {
            8 => value,
            4 => value & 0xffff_ffff,
            2 => value & 0xffff,
            _ if matches!(register, Register::AH | Register::BH | Register::CH | Register::DH) => (value >> 8) & 0xff,
            _ => value & 0xff,
        })
    }
}

/// The name of the 64-bit register that a register is a part of, as [`Registers`] calls it.
fn name(register: Register) -> Option<&'static str> {
    Some(match register.full_register() {
        Register::RAX => "rax",
        Register::RBX => "rbx",
        Register::RCX => "rcx",
        Register::RDX => "rdx",
        Register::RSI => "rsi",
        Register::RDI => "rdi",
        Register::RBP => "rbp",
        Register::RSP => "rsp",
        Register::R8 => "r8",
        Register::R9 => "r9",
        Register::R10 => "r10",
        Register::R11 => "r11",
        Register::R12 => "r12",
        Register::R13 => "r13",
        Register::R14 => "r14",
        Register::R15 => "r15",
        _ => return None,
    })
}

fn operand(used: &UsedMemory, instruction: &Instruction, values: &Values<'_>, explicit: bool) -> Option<MemoryOperand> {
    let access = match used.access() {
        OpAccess::Read | OpAccess::CondRead => Access::Read,
        OpAccess::Write | OpAccess::CondWrite => Access::Write,
        OpAccess::ReadWrite | OpAccess::ReadCondWrite => Access::ReadWrite,
        OpAccess::None | OpAccess::NoMemAccess => return None,
    };
    let address = used.virtual_address(0, |register, _, _| values.get(register));
    let stack_slot = used.base() == Register::RSP && used.index() == Register::None;
    let implicit = stack_slot && !(explicit && instruction.memory_base() == Register::RSP);
    let (base, index) = match (used.base(), used.index()) {
        // The decoder has already added the address of the next instruction.
        (Register::RIP, _) => (None, None),
        (base, index) => (pair(base, values), pair(index, values)),
    };
    let lone =
        (used.base() != Register::RIP && used.index() == Register::None && base.is_none()).then_some(used.base());
    let parts = FaultOperand {
        base,
        index: index.map(|(name, value)| (name, value, u64::from(used.scale()))),
        displacement: used.displacement().cast_signed(),
        text: operand_text(used),
    };
    let size = used.memory_size().size() as u64;
    Some(MemoryOperand {
        parts,
        address,
        size,
        access,
        alignment: alignment(instruction, used),
        lone: lone.and_then(name),
        implicit,
    })
}

fn pair(register: Register, values: &Values<'_>) -> Option<(&'static str, u64)> {
    Some((name(register)?, values.get(register)?))
}

fn operand_text(used: &UsedMemory) -> String {
    let lower = |register: Register| format!("{register:?}").to_lowercase();
    let segment = match used.segment() {
        Register::FS => "fs:",
        Register::GS => "gs:",
        _ => "",
    };
    let base = Some(used.base()).filter(|&base| base != Register::None).map(lower);
    let index = Some(used.index()).filter(|&index| index != Register::None);
    let index = index.map(|index| format!("{}*{}", lower(index), used.scale()));
    let registers = base.into_iter().chain(index).collect::<Vec<_>>().join("+");
    let displacement = used.displacement().cast_signed();
    let displacement = match (registers.is_empty(), displacement) {
        (true, _) => format!("{displacement:#x}"),
        (false, 0) => String::new(),
        (false, 1..) => format!("+{displacement:#x}"),
        (false, _) => format!("-{:#x}", displacement.unsigned_abs()),
    };
    format!("[{segment}{registers}{displacement}]")
}

/// SSE instructions in their old encoding demand that 16 bytes of memory are aligned, but for the few that say "unaligned";
/// VEX and EVEX encodings demand it only of the moves that say "aligned" (SDM volume 1, 14.9).
fn alignment(instruction: &Instruction, used: &UsedMemory) -> Option<u64> {
    let size = used.memory_size().size() as u64;
    let says_aligned = matches!(
        instruction.mnemonic(),
        Mnemonic::Vmovaps
            | Mnemonic::Vmovapd
            | Mnemonic::Vmovdqa
            | Mnemonic::Vmovdqa32
            | Mnemonic::Vmovdqa64
            | Mnemonic::Vmovntps
            | Mnemonic::Vmovntpd
            | Mnemonic::Vmovntdq
            | Mnemonic::Vmovntdqa
    );
    let says_unaligned = matches!(
        instruction.mnemonic(),
        Mnemonic::Movups
            | Mnemonic::Movupd
            | Mnemonic::Movdqu
            | Mnemonic::Lddqu
            | Mnemonic::Pcmpestri
            | Mnemonic::Pcmpestrm
            | Mnemonic::Pcmpistri
            | Mnemonic::Pcmpistrm
    );
    match instruction.encoding() {
        EncodingKind::VEX | EncodingKind::EVEX => says_aligned.then_some(size),
        EncodingKind::Legacy => match instruction.mnemonic() {
            Mnemonic::Cmpxchg16b | Mnemonic::Fxsave | Mnemonic::Fxsave64 | Mnemonic::Fxrstor | Mnemonic::Fxrstor64 => {
                Some(16)
            }
            Mnemonic::Xsave | Mnemonic::Xsave64 | Mnemonic::Xsavec | Mnemonic::Xsavec64 | Mnemonic::Xrstor => Some(64),
            _ => (size == 16 && uses_xmm(instruction) && !says_unaligned).then_some(16),
        },
        _ => None,
    }
}

fn uses_xmm(instruction: &Instruction) -> bool {
    (0..instruction.op_count()).any(|index| instruction.op_register(index).is_xmm())
}

fn flow(instruction: &Instruction, values: &Values<'_>) -> Flow {
    match instruction.code() {
        // hlt is for the kernel alone: musl's abort and the C runtime's last resort trap with it.
        Code::Ud0 | Code::Ud2 | Code::Int3 | Code::Int1 | Code::Int_imm8 | Code::Hlt => return Flow::Trap,
        _ => {}
    }
    if matches!(instruction.mnemonic(), Mnemonic::Ud0 | Mnemonic::Ud1) {
        return Flow::Trap;
    }
    let target = || match instruction.op0_kind() {
        OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64 => {
            Target::Fixed(instruction.near_branch_target())
        }
        OpKind::Register => {
            let register = instruction.op0_register();
            Target::Register(name(register).unwrap_or("?"), values.get(register))
        }
        _ => Target::Memory,
    };
    match instruction.flow_control() {
        FlowControl::Call | FlowControl::IndirectCall => Flow::Call(target()),
        FlowControl::UnconditionalBranch | FlowControl::IndirectBranch => Flow::Jump(target()),
        FlowControl::Return => Flow::Return(Target::Memory),
        _ => Flow::Next,
    }
}

fn divisor(instruction: &Instruction, values: &Values<'_>) -> Option<Divisor> {
    if !matches!(instruction.mnemonic(), Mnemonic::Div | Mnemonic::Idiv) {
        return None;
    }
    if instruction.op0_kind() == OpKind::Memory {
        return Some(Divisor::Memory(instruction.memory_size().size() as u64));
    }
    let register = instruction.op0_register();
    let value = values.get(register)?;
    Some(Divisor::Value(match register.size() {
        8 => value.cast_signed(),
        4 => i64::from(value as u32 as i32),
        2 => i64::from(value as u16 as i16),
        _ => i64::from(value as u8 as i8),
    }))
}

fn text(instruction: &Instruction) -> String {
    let mut formatter = IntelFormatter::new();
    let options = formatter.options_mut();
    options.set_hex_prefix("0x");
    options.set_hex_suffix("");
    options.set_uppercase_hex(false);
    options.set_small_hex_numbers_in_decimal(true);
    options.set_branch_leading_zeros(false);
    let mut text = String::new();
    formatter.format(instruction, &mut text);
    text
}
