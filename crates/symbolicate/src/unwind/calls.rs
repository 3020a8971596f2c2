//! Whether an address is one that a call returns to, from the instruction before it.

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic};
use necropsy_model::{Arch, Avma};

use crate::space::AddressSpace;

/// Longest encoding of a call on x86-64 that compilers and linkers write: prefixes, opcode, `ModRM`, SIB, 32-bit offset.
const LONGEST_CALL: u64 = 8;

/// What the code before an address says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    /// A call ends there.
    Call,
    /// No call ends there.
    Other,
    /// The code is neither in the dump nor in a file at hand.
    Unknown,
}

/// Looks at the instruction that ends at `address`.
pub(super) fn before(address: u64, arch: Arch, space: &AddressSpace<'_, '_>) -> Before {
    match arch {
        Arch::X86_64 => before_x86_64(address, space),
        Arch::Aarch64 => before_aarch64(address, space),
        _ => Before::Unknown,
    }
}

/// Where the direct call that ends at `address` went, through an entry of the procedure linkage table to the function itself;
/// `None` for an indirect call.
pub(super) fn target(address: u64, arch: Arch, space: &AddressSpace<'_, '_>) -> Option<u64> {
    let direct = match arch {
        Arch::X86_64 => call_x86_64(address, space)
            .ok()?
            .filter(|call| call.flow_control() == FlowControl::Call)?
            .near_branch_target(),
        Arch::Aarch64 => {
            let start = address.checked_sub(4)?;
            let word = space.read_u32(Avma(start)).ok().filter(|word| word >> 26 == 0b10_0101)?;
            // 26 bits of signed distance in words.
            start.wrapping_add_signed(i64::from((word << 6).cast_signed() >> 6) * 4)
        }
        _ => return None,
    };
    Some(behind_plt(direct, arch, space).unwrap_or(direct))
}

/// Where the call that ends at `address` went, also through a word of memory at a fixed place: `call *slot(%rip)`, which
/// `-fno-plt` writes instead of an entry of the procedure linkage table. `None` for a call through a register.
pub(super) fn fixed_target(address: u64, arch: Arch, space: &AddressSpace<'_, '_>) -> Option<u64> {
    target(address, arch, space).or_else(|| {
        let call = (arch == Arch::X86_64).then(|| call_x86_64(address, space).ok()?)?;
        let slot = call.filter(Instruction::is_ip_rel_memory_operand)?.ip_rel_memory_address();
        space.read_u64(Avma(slot)).ok()
    })
}

/// The function behind an entry of the procedure linkage table.
pub(super) fn behind_plt(address: u64, arch: Arch, space: &AddressSpace<'_, '_>) -> Option<u64> {
    through_plt(address, arch, space).map(|(_, function)| function)
}

/// The same, with the slot that the entry goes through before it.
pub(super) fn through_plt(address: u64, arch: Arch, space: &AddressSpace<'_, '_>) -> Option<(u64, u64)> {
    /// Bytes of an entry of the table.
    const ENTRY: usize = 16;
    let slot = plt_slot(space.read(Avma(address), ENTRY).ok()?, address, arch)?;
    let function = space.read_u64(Avma(slot)).ok()?;
    // A function that does nothing but jump through a global pointer looks the same, and that pointer may lead nowhere.
    space.is_code(Avma(function)).then_some((slot, function))
}

/// The word that holds the address of the function behind an entry of the procedure linkage table, from the entry's code.
pub(crate) fn plt_slot(bytes: &[u8], address: u64, arch: Arch) -> Option<u64> {
    match arch {
        Arch::X86_64 => slot_x86_64(bytes, address),
        Arch::Aarch64 => slot_aarch64(bytes, address),
        _ => None,
    }
}

/// `jmp *slot(%rip)`, perhaps behind `endbr64`.
fn slot_x86_64(bytes: &[u8], address: u64) -> Option<u64> {
    let mut decoder = Decoder::with_ip(64, bytes, address, DecoderOptions::NONE);
    let mut instruction = decoder.decode();
    if instruction.mnemonic() == Mnemonic::Endbr64 {
        instruction = decoder.decode();
    }
    let through_slot =
        instruction.flow_control() == FlowControl::IndirectBranch && instruction.is_ip_rel_memory_operand();
    through_slot.then(|| instruction.ip_rel_memory_address())
}

/// `adrp x16, page`, `ldr x17, [x16, #offset]`, perhaps behind `bti c` (ELF for the Arm 64-bit Architecture, appendix on PLTs).
fn slot_aarch64(bytes: &[u8], address: u64) -> Option<u64> {
    const BTI_C: u32 = 0xd503_245f;
    let word = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let skip = if word(0)? == BTI_C { 4 } else { 0 };
    let (page, load) = (word(skip)?, word(skip + 4)?);
    if page & 0x9f00_001f != 0x9000_0010 || load & 0xffc0_03ff != 0xf940_0211 {
        return None;
    }
    // 21 bits of signed distance in pages: 19 of them from bit 5, the two lowest at bit 29.
    let pages = ((page >> 5 & 0x7_ffff) << 2 | page >> 29 & 3) << 11;
    let distance = i64::from(pages.cast_signed() >> 11) << 12;
    let offset = u64::from(load >> 10 & 0xfff) * 8;
    (address.checked_add(skip as u64)? & !0xfff).checked_add_signed(distance)?.checked_add(offset)
}

fn before_x86_64(address: u64, space: &AddressSpace<'_, '_>) -> Before {
    match call_x86_64(address, space) {
        Ok(Some(_)) => Before::Call,
        Ok(None) => Before::Other,
        Err(NotRead) => Before::Unknown,
    }
}

/// No code before the address could be read.
struct NotRead;

/// The call that ends at an address.
fn call_x86_64(address: u64, space: &AddressSpace<'_, '_>) -> Result<Option<Instruction>, NotRead> {
    let mut read = false;
    for length in 2..=LONGEST_CALL {
        let Some(start) = address.checked_sub(length) else { break };
        let Ok(bytes) = space.read(Avma(start), length as usize) else { continue };
        read = true;
        let instruction = Decoder::with_ip(64, bytes, start, DecoderOptions::NONE).decode();
        let call = matches!(instruction.flow_control(), FlowControl::Call | FlowControl::IndirectCall);
        if call && instruction.len() as u64 == length && !instruction.is_invalid() {
            return Ok(Some(instruction));
        }
    }
    if read { Ok(None) } else { Err(NotRead) }
}

fn before_aarch64(address: u64, space: &AddressSpace<'_, '_>) -> Before {
    if !address.is_multiple_of(4) {
        return Before::Other;
    }
    let Some(start) = address.checked_sub(4) else { return Before::Other };
    match space.read_u32(Avma(start)) {
        Ok(word) if is_aarch64_call(word) => Before::Call,
        Ok(_) => Before::Other,
        Err(_) => Before::Unknown,
    }
}

/// `bl`, `blr`, and `blraa`, `blrab`, `blraaz`, `blrabz` with pointer authentication (Arm ARM, C4.1.66 "Branches").
fn is_aarch64_call(word: u32) -> bool {
    let bl = word >> 26 == 0b10_0101;
    let blr = word & 0xffff_fc1f == 0xd63f_0000;
    let authenticated = word & 0xfeff_f800 == 0xd63f_0800;
    bl || blr || authenticated
}

#[cfg(test)]
mod tests {
    use necropsy_model::Memory;

    use super::*;
    use crate::image::Images;
    use crate::unwind::tests::code_region;

    fn before_end_of(bytes: &'static [u8], arch: Arch) -> Before {
        let memory = Memory::new(vec![code_region(0x1000, bytes)]);
        let images = Images::default();
        before(0x1000 + bytes.len() as u64, arch, &AddressSpace::new(&memory, &images))
    }

    #[test]
    fn calls_are_recognised_in_every_form() {
        let calls: [&[u8]; 7] = [
            &[0x90, 0xe8, 1, 2, 3, 4],
            &[0x90, 0xff, 0xd0],
            &[0x41, 0xff, 0xd4],
            &[0xff, 0x15, 1, 2, 3, 4],
            &[0xff, 0x50, 0x18],
            &[0x41, 0xff, 0x94, 0xc5, 0, 1, 0, 0],
            &[0x66, 0x66, 0x48, 0xe8, 1, 2, 3, 4],
        ];
        for call in calls {
            assert_eq!(before_end_of(call, Arch::X86_64), Before::Call, "{call:x?}");
        }
        assert_eq!(before_end_of(&[0x48, 0x89, 0xe5, 0x5d, 0xc3], Arch::X86_64), Before::Other);
        assert_eq!(before_end_of(&[], Arch::X86_64), Before::Unknown);
    }

    #[test]
    fn an_entry_of_the_linkage_table_leads_to_its_slot() {
        // adrp x16, one page on; ldr x17, [x16, #16].
        let words: [u32; 2] = [0xb000_0010, 0xf940_0a11];
        let code: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(plt_slot(&code, 0x1000, Arch::Aarch64), Some(0x2010));
        assert_eq!(plt_slot(&code[..6], 0x1000, Arch::Aarch64), None);
        // endbr64; jmp *0x10(%rip).
        let code = [0xf3, 0x0f, 0x1e, 0xfa, 0xff, 0x25, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(plt_slot(&code, 0x1000, Arch::X86_64), Some(0x101a));
        assert_eq!(plt_slot(&[0x90; 16], 0x1000, Arch::X86_64), None);
    }

    #[test]
    fn a_call_through_a_fixed_word_has_a_target() {
        let code: &'static [u8] = &[0xff, 0x15, 2, 0, 0, 0, 0x90, 0x90, 0x34, 0x12, 0, 0, 0, 0, 0, 0];
        let memory = Memory::new(vec![code_region(0x1000, code)]);
        let images = Images::default();
        let space = AddressSpace::new(&memory, &images);
        assert_eq!(fixed_target(0x1006, Arch::X86_64, &space), Some(0x1234));
        assert_eq!(target(0x1006, Arch::X86_64, &space), None);
    }

    #[test]
    fn aarch64_calls_are_recognised() {
        for call in [0x9400_0001_u32, 0xd63f_0020, 0xd63f_0820, 0xd73f_0822] {
            assert!(is_aarch64_call(call), "{call:x}");
        }
        for other in [0x1400_0001_u32, 0xd61f_0020, 0xd65f_03c0, 0xd503_201f] {
            assert!(!is_aarch64_call(other), "{other:x}");
        }
        assert_eq!(before_end_of(&[1, 0, 0, 0x94], Arch::Aarch64), Before::Call);
    }
}
