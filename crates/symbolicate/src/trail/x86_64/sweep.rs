//! What a sweep over all code asks of one instruction.

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register};

use super::super::op::Reg;
use super::super::sweep::{Does, Named, Swept, Use};
use super::{ARGUMENTS, RAX, number};
use crate::image::Image;

pub(in super::super) fn instructions<'i>(image: &'i Image<'_>) -> Box<dyn Iterator<Item = Swept> + 'i> {
    let code = image.segments.iter().filter(|segment| segment.executable);
    let decoded = code.flat_map(|segment| {
        let start = image.bias.to_avma(segment.start).0;
        Decoder::with_ip(64, segment.bytes, start, DecoderOptions::NONE).into_iter()
    });
    Box::new(decoded.filter(|insn| !insn.is_invalid()).map(Swept::Amd64))
}

pub(in super::super) fn goes_to(insn: &Instruction, word: impl Fn(u64) -> Option<u64>) -> Option<(u64, bool)> {
    match insn.flow_control() {
        FlowControl::Call | FlowControl::UnconditionalBranch => Some((insn.near_branch_target(), true)),
        FlowControl::IndirectCall | FlowControl::IndirectBranch if insn.is_ip_rel_memory_operand() => {
            Some((word(insn.ip_rel_memory_address())?, false))
        }
        _ => None,
    }
}

pub(in super::super) fn jumps_to(insn: &Instruction) -> Option<u64> {
    let jumps = insn.mnemonic() == Mnemonic::Jmp && insn.op0_kind() == OpKind::NearBranch64;
    jumps.then(|| insn.near_branch_target())
}

pub(in super::super) fn stores_at(insn: &Instruction, offset: u64, size: u8) -> bool {
    if insn.op_count() == 0 || insn.op0_kind() != OpKind::Memory || insn.memory_index() != Register::None {
        return false;
    }
    let base = insn.memory_base();
    base.is_gpr64()
        && base != Register::RSP
        && insn.memory_displacement64() == offset
        && insn.memory_size().size() == usize::from(size)
        && writes(insn)
}

pub(in super::super) fn stores_zero(insn: &Instruction) -> bool {
    insn.mnemonic() == Mnemonic::Mov
        && insn.op0_kind() == OpKind::Memory
        && insn.memory_base().is_gpr64()
        && insn.memory_base() != Register::RSP
        && insn.memory_size().size() == 8
        && insn.try_immediate(1).is_ok_and(|value| value == 0)
}

/// A store of a vector register at an offset from a pointer, over a narrower place.
pub(in super::super) fn stores_around(insn: &Instruction, offset: u64, size: u8) -> bool {
    let wide = insn.memory_size().size() as u64;
    let base = insn.memory_base();
    insn.op_count() == 2
        && insn.op0_kind() == OpKind::Memory
        && (insn.op1_register().is_xmm() || insn.op1_register().is_ymm())
        && insn.memory_index() == Register::None
        && base.is_gpr64()
        && base != Register::RSP
        && wide > u64::from(size)
        && offset.checked_sub(insn.memory_displacement64()).is_some_and(|inside| inside + u64::from(size) <= wide)
}

pub(in super::super) fn names(insn: &Instruction) -> Option<Named> {
    let address = named_address(insn)?;
    let does = match insn.mnemonic() {
        Mnemonic::Lea => Does::Takes(number(insn.op0_register())?),
        _ if insn.op0_kind() == OpKind::Memory && writes(insn) => Does::Writes,
        _ => Does::Reads,
    };
    Some(Named { address, size: (insn.memory_size().size() as u64).max(1), does })
}

fn named_address(insn: &Instruction) -> Option<u64> {
    if insn.is_ip_rel_memory_operand() {
        return Some(insn.ip_rel_memory_address());
    }
    let memory = insn.op_kinds().any(|kind| kind == OpKind::Memory);
    let absolute = insn.memory_base() == Register::None && insn.memory_index() == Register::None;
    let plain = insn.segment_prefix() == Register::None;
    (memory && absolute && plain).then(|| insn.memory_displacement64())
}

pub(in super::super) fn has_constant(insn: &Instruction, constant: u64) -> bool {
    insn.op_count() > 1 && insn.try_immediate(insn.op_count() - 1).is_ok_and(|value| value == constant)
}

fn writes(insn: &Instruction) -> bool {
    insn.flow_control() == FlowControl::Next
        && !matches!(insn.mnemonic(), Mnemonic::Cmp | Mnemonic::Test | Mnemonic::Push | Mnemonic::Nop | Mnemonic::Bt)
}

pub(in super::super) fn use_of(insn: &Instruction, register: Reg) -> Use {
    let is = |other: Register| other != Register::None && number(other) == Some(register);
    let in_address = is(insn.memory_base()) || is(insn.memory_index());
    let element = insn.memory_base() != Register::None && insn.memory_index() != Register::None;
    let reads = insn.op0_kind() == OpKind::Register || matches!(insn.mnemonic(), Mnemonic::Cmp | Mnemonic::Test);
    let reads = reads && insn.mnemonic() != Mnemonic::Lea;
    let mut operands = (0..insn.op_count()).filter(|&at| insn.op_kind(at) == OpKind::Register);
    let replaces = matches!(insn.mnemonic(), Mnemonic::Mov | Mnemonic::Lea | Mnemonic::Movsxd | Mnemonic::Movzx)
        && insn.op0_kind() == OpKind::Register
        && is(insn.op0_register());
    let named = operands.any(|at| is(insn.op_register(at)) && !(at == 0 && replaces));
    match (in_address, named, insn.flow_control()) {
        // Where else it goes from here is not followed, but the register is not given away.
        (false, false, FlowControl::Next | FlowControl::ConditionalBranch) if replaces => Use::Last,
        (false, false, FlowControl::Next | FlowControl::ConditionalBranch) => Use::None,
        (true, false, FlowControl::Next) if element && reads && replaces => Use::Last,
        (true, false, FlowControl::Next) if element && reads => Use::Indexes,
        (false, false, FlowControl::Return) if register != RAX => Use::Last,
        (false, false, FlowControl::Call | FlowControl::IndirectCall | FlowControl::UnconditionalBranch)
            if !ARGUMENTS.contains(&register) =>
        {
            Use::None
        }
        (true, false, FlowControl::IndirectCall | FlowControl::IndirectBranch) if element => Use::Last,
        _ => Use::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8]) -> Instruction {
        Decoder::with_ip(64, bytes, 0x1000, DecoderOptions::NONE).decode()
    }

    fn target(bytes: &[u8]) -> Option<(u64, bool)> {
        goes_to(&decoded(bytes), |slot| (slot == 0x3000).then_some(0x7f00_0000_1230))
    }

    #[test]
    fn calls_jumps_and_those_through_a_slot_lead_somewhere() {
        assert_eq!(target(&[0xe8, 0x7b, 0xfe, 0xff, 0xff]), Some((0xe80, true)));
        assert_eq!(target(&[0xe9, 0xfb, 0x00, 0x00, 0x00]), Some((0x1100, true)));
        assert_eq!(target(&[0xff, 0x15, 0xfa, 0x1f, 0x00, 0x00]), Some((0x7f00_0000_1230, false)));
    }

    #[test]
    fn what_stays_in_the_function_or_can_not_be_read_leads_nowhere() {
        // jmp *%rax; mov %rsp,%rbp; call through a slot that is not in the dump.
        assert_eq!(target(&[0xff, 0xe0]), None);
        assert_eq!(target(&[0x48, 0x89, 0xe5]), None);
        assert_eq!(target(&[0xff, 0x15, 0x00, 0x00, 0x00, 0x00]), None);
    }

    #[test]
    fn a_store_at_an_offset_and_what_is_none() {
        let stores = |bytes: &[u8], offset, size| stores_at(&decoded(bytes), offset, size);
        // mov %rdx,0x10(%rax)
        assert!(stores(&[0x48, 0x89, 0x50, 0x10], 0x10, 8));
        assert!(!stores(&[0x48, 0x89, 0x50, 0x10], 0x10, 4) && !stores(&[0x48, 0x89, 0x50, 0x10], 8, 8));
        // mov 0x10(%rax),%rdx reads; mov %rdx,0x10(%rsp) stores to the frame.
        assert!(!stores(&[0x48, 0x8b, 0x50, 0x10], 0x10, 8));
        assert!(!stores(&[0x48, 0x89, 0x54, 0x24, 0x10], 0x10, 8));
    }
}
