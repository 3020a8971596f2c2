//! What the unwinder must know of a machine: a table per machine, one algorithm.

use necropsy_model::{Arch, Registers};

use crate::space::AddressSpace;
use necropsy_model::Avma;

/// Conventions of a machine, by DWARF register number.
#[derive(Debug)]
pub(crate) struct Machine {
    /// Program counter.
    pub pc: u16,
    /// Stack pointer.
    pub sp: u16,
    /// Frame pointer, by convention.
    pub fp: u16,
    /// Link register, on machines whose calls do not push.
    pub lr: Option<u16>,
    /// Registers that a function must hand back as it got them: the psABI's "preserved across function calls".
    preserved: &'static [u16],
    /// Vendor of its own call frame instructions.
    pub vendor: gimli::Vendor,
}

/// System V psABI AMD64, figure 3.4: rbx, rbp, r12 to r15.
const X86_64: Machine =
    Machine { pc: 16, sp: 7, fp: 6, lr: None, preserved: &[3, 6, 12, 13, 14, 15], vendor: gimli::Vendor::Default };

/// AAPCS64, section 6.1.1: x19 to x29. x18 is the platform register and not kept here.
const AARCH64: Machine = Machine {
    pc: 32,
    sp: 31,
    fp: 29,
    lr: Some(30),
    preserved: &[19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29],
    vendor: gimli::Vendor::AArch64,
};

/// Virtual address bits of user space where the dump does not tell: Linux arm64 gives 48 unless asked for 52.
const AARCH64_USER_BITS: u32 = 48;
/// The smaller user space that kernels with 39-bit addresses give; pointer authentication then starts at bit 39.
const AARCH64_SMALL_USER_BITS: u32 = 39;

impl Machine {
    /// The table of a machine; `None` where stacks are not unwound.
    pub fn of(arch: Arch) -> Option<&'static Self> {
        match arch {
            Arch::X86_64 => Some(&X86_64),
            Arch::Aarch64 => Some(&AARCH64),
            _ => None,
        }
    }

    /// A function hands this register back as it got it.
    pub fn preserves(&self, register: u16) -> bool {
        self.preserved.contains(&register)
    }

    /// A code pointer without its authentication code. A signed pointer looks like one to nowhere: eu-stack 0.188 printed
    /// `0x001c000000400888`, lldb 16 stopped there.
    pub fn strip(&self, address: u64, space: &AddressSpace<'_, '_>) -> u64 {
        if self.lr.is_none() || space.is_code(Avma(address)) {
            return address;
        }
        // What the kernel said of this process comes before what is usual.
        let told = address & !space.signed_bits;
        if told != address && space.is_code(Avma(told)) {
            return told;
        }
        let below = |bits: u32| address & ((1 << bits) - 1);
        let small = below(AARCH64_SMALL_USER_BITS);
        let wide = below(AARCH64_USER_BITS);
        if !space.is_code(Avma(wide)) && space.is_code(Avma(small)) { small } else { wide }
    }

    /// What a caller sees when its callee has saved nothing: preserved registers only.
    pub fn across_call(&self, registers: &Registers) -> Registers {
        let mut kept = Registers::new(registers.arch());
        for &register in self.preserved {
            if let Some(value) = registers.get(register) {
                kept.set(register, value);
            }
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use necropsy_model::Memory;

    use super::*;
    use crate::image::Images;
    use crate::unwind::tests::code_region;

    #[test]
    fn signed_addresses_lose_what_the_kernel_says_is_signature() {
        // With 52 bits of address the signature begins at bit 55; bit 51 is address.
        let code = 0x0008_0000_0040_0000;
        let memory = Memory::new(vec![code_region(code, &[0; 16])]);
        let images = Images::default();
        let space = AddressSpace::new(&memory, &images);
        let signed = code | 0x5500_0000_0000_0000;
        assert_ne!(AARCH64.strip(signed, &space), code);
        assert_eq!(AARCH64.strip(signed, &space.with_signed_bits(Some(0x7f00_0000_0000_0000))), code);
        assert_eq!(X86_64.strip(signed, &space), signed);
    }
}
