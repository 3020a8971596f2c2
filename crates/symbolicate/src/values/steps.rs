//! The instructions before one, as far as they tell where a register came from.

use iced_x86::{Decoder, DecoderOptions, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register};
use necropsy_model::{Arch, Avma};

use crate::space::AddressSpace;

/// What one instruction did to one register, by DWARF numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Loaded it from memory at a register plus a displacement.
    Load(u16, i64),
    /// Copied it from another register.
    Copy(u16),
    /// Stored it to memory at a register plus a displacement, which leaves it as it is.
    Store(u16, i64),
    /// Wrote it in another way.
    Other,
}

/// An instruction and the register that it wrote or stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub address: u64,
    /// `None` where the flow of control may have come from or gone elsewhere: nothing before it counts.
    pub register: Option<u16>,
    pub step: Step,
}

/// What the instructions from `start` up to `end` wrote, in order. Empty when the code can not be read.
pub(super) fn between(space: &AddressSpace<'_, '_>, arch: Arch, start: u64, end: u64) -> Vec<Written> {
    let length = end.checked_sub(start).and_then(|length| usize::try_from(length).ok());
    let code = length.and_then(|length| space.read(Avma(start), length).ok()).unwrap_or_default();
    match arch {
        Arch::X86_64 => x86_64(code, start),
        Arch::Aarch64 => aarch64(code, start),
        _ => Vec::new(),
    }
}

fn x86_64(code: &[u8], start: u64) -> Vec<Written> {
    let mut decoder = Decoder::with_ip(64, code, start, DecoderOptions::NONE);
    let (mut instruction, mut factory) = (Instruction::default(), InstructionInfoFactory::new());
    let mut written = Vec::new();
    while decoder.can_decode() {
        decoder.decode_out(&mut instruction);
        let address = instruction.ip();
        if instruction.is_invalid() || is_barrier(&instruction) {
            written.push(Written { address, register: None, step: Step::Other });
            continue;
        }
        if let Some((register, step)) = store(&instruction) {
            written.push(Written { address, register: Some(register), step });
            continue;
        }
        let step = step(&instruction);
        for used in factory.info(&instruction).used_registers() {
            let writes = matches!(
                used.access(),
                OpAccess::Write | OpAccess::ReadWrite | OpAccess::CondWrite | OpAccess::ReadCondWrite
            );
            if let Some(register) = dwarf_number(used.register()).filter(|_| writes) {
                written.push(Written { address, register: Some(register), step });
            }
        }
    }
    written
}

/// Calls clobber, jumps lead elsewhere; a conditional jump that was not taken changes nothing.
fn is_barrier(instruction: &Instruction) -> bool {
    use iced_x86::FlowControl as Flow;
    !matches!(instruction.flow_control(), Flow::Next | Flow::ConditionalBranch)
}

fn step(instruction: &Instruction) -> Step {
    if instruction.mnemonic() != Mnemonic::Mov || !instruction.op0_register().is_gpr64() {
        return Step::Other;
    }
    match instruction.op1_kind() {
        OpKind::Register => dwarf_number(instruction.op1_register()).map_or(Step::Other, Step::Copy),
        OpKind::Memory => slot(instruction).map_or(Step::Other, |(base, displacement)| Step::Load(base, displacement)),
        _ => Step::Other,
    }
}

/// A register stored whole.
fn store(instruction: &Instruction) -> Option<(u16, Step)> {
    let whole = instruction.mnemonic() == Mnemonic::Mov
        && instruction.op0_kind() == OpKind::Memory
        && instruction.op1_register().is_gpr64();
    let (base, displacement) = slot(instruction).filter(|_| whole)?;
    Some((dwarf_number(instruction.op1_register())?, Step::Store(base, displacement)))
}

/// Memory at a register plus a displacement, and nothing else.
fn slot(instruction: &Instruction) -> Option<(u16, i64)> {
    let plain = instruction.memory_index() == Register::None && instruction.segment_prefix() == Register::None;
    let base = dwarf_number(instruction.memory_base()).filter(|_| plain)?;
    Some((base, instruction.memory_displacement64().cast_signed()))
}

/// System V psABI AMD64 figure 3.36: rdx, rcx and rbx stand in another order than in machine code.
fn dwarf_number(register: Register) -> Option<u16> {
    const ORDER: [u16; 16] = [0, 2, 1, 3, 7, 6, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15];
    let number = register.is_gpr().then(|| register.full_register().number())?;
    ORDER.get(number).copied()
}

/// Arm Architecture Reference Manual, C4.1: only what compilers use to load pointers is told apart.
fn aarch64(code: &[u8], start: u64) -> Vec<Written> {
    let words = code.chunks_exact(4).zip((start..).step_by(4));
    let words = words.map(|(bytes, address)| (u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]), address));
    let written = words.map(|(word, address)| {
        let to = Some((word & 31) as u16);
        let base = (word >> 5 & 31) as u16;
        // Unconditional branches: B, BL, BR, BLR, RET.
        if word & 0x7c00_0000 == 0x1400_0000 || word & 0xfe00_0000 == 0xd600_0000 {
            return Written { address, register: None, step: Step::Other };
        }
        // LDR Xt, [Xn, #imm12 * 8].
        if word & 0xffc0_0000 == 0xf940_0000 {
            let displacement = i64::from(word >> 10 & 0xfff) * 8;
            return Written { address, register: to, step: Step::Load(base, displacement) };
        }
        // STR Xt, [Xn, #imm12 * 8].
        if word & 0xffc0_0000 == 0xf900_0000 {
            let displacement = i64::from(word >> 10 & 0xfff) * 8;
            return Written { address, register: to, step: Step::Store(base, displacement) };
        }
        // LDUR Xt, [Xn, #simm9].
        if word & 0xffe0_0c00 == 0xf840_0000 {
            let displacement = i64::from((word << 11) as i32 >> 23);
            return Written { address, register: to, step: Step::Load(base, displacement) };
        }
        // MOV Xd, Xm is ORR Xd, XZR, Xm.
        if word & 0xffe0_ffe0 == 0xaa00_03e0 {
            return Written { address, register: to, step: Step::Copy((word >> 16 & 31) as u16) };
        }
        Written { address, register: to, step: Step::Other }
    });
    written.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_and_copies_are_told_from_other_writes() {
        // mov rax,[rbp-8]; mov rdx,rax; mov eax,[rdx]; call; mov rcx,[rsp+0x10]; mov [rsp+0x10],rax
        let code = b"\x48\x8b\x45\xf8\x48\x89\xc2\x8b\x02\xe8\0\0\0\0\x48\x8b\x4c\x24\x10\x48\x89\x44\x24\x10";
        let written = x86_64(code, 0x1000);
        let plain: Vec<_> = written.iter().map(|one| (one.register, one.step)).collect();
        let expected = [
            (Some(0), Step::Load(6, -8)),
            (Some(1), Step::Copy(0)),
            (Some(0), Step::Other),
            (None, Step::Other),
            (Some(2), Step::Load(7, 16)),
            (Some(0), Step::Store(7, 16)),
        ];
        assert_eq!(plain, expected);
    }

    #[test]
    fn aarch64_loads() {
        // ldr x0,[sp,#24]; mov x1,x0; ldur x2,[x29,#-16]; bl; str x0,[sp,#24]
        let words = [0xf940_0fe0_u32, 0xaa00_03e1, 0xf85f_03a2, 0x9400_0000, 0xf900_0fe0];
        let code: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let plain: Vec<_> = aarch64(&code, 0).iter().map(|one| (one.register, one.step)).collect();
        let expected = [
            (Some(0), Step::Load(31, 24)),
            (Some(1), Step::Copy(0)),
            (Some(2), Step::Load(29, -16)),
            (None, Step::Other),
            (Some(0), Step::Store(31, 24)),
        ];
        assert_eq!(plain, expected);
    }
}
