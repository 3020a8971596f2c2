//! Machines and their registers, by DWARF register number.

/// Byte order of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endianness {
    /// Least significant byte first.
    Little,
    /// Most significant byte first.
    Big,
}

/// The machine a process ran on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arch {
    /// AMD64, `EM_X86_64` with 64-bit pointers.
    X86_64,
    /// `EM_X86_64` with 32-bit pointers.
    X32,
    /// IA-32.
    X86,
    /// `AArch64`.
    Aarch64,
    /// 32-bit Arm.
    Arm,
    /// RISC-V, 64 bit.
    Riscv64,
    /// `PowerPC`, 32 bit.
    Ppc,
    /// `PowerPC`, 64 bit.
    Ppc64,
    /// IBM Z, 31 bit.
    S390,
    /// IBM Z, 64 bit.
    S390x,
    /// SPARC.
    Sparc,
    /// MIPS.
    Mips,
    /// Motorola 68000.
    M68k,
    /// Another machine, by its ELF `e_machine`.
    Other(u16),
}

impl Arch {
    /// The name people and package managers use.
    pub fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86-64",
            Self::X32 => "x32",
            Self::X86 => "i386",
            Self::Aarch64 => "aarch64",
            Self::Arm => "arm",
            Self::Riscv64 => "riscv64",
            Self::Ppc => "ppc",
            Self::Ppc64 => "ppc64",
            Self::S390 => "s390",
            Self::S390x => "s390x",
            Self::Sparc => "sparc",
            Self::Mips => "mips",
            Self::M68k => "m68k",
            Self::Other(_) => "unknown machine",
        }
    }

    /// DWARF number of the register of this name.
    pub fn register(self, name: &str) -> Option<u16> {
        let slot = self.register_names().iter().position(|&other| other == name)?;
        u16::try_from(slot).ok()
    }

    /// Register names by DWARF number: System V psABI AMD64 figure 3.36, `AArch64` "DWARF for the Arm 64-bit Architecture".
    /// Empty for machines whose stacks are not unwound.
    pub fn register_names(self) -> &'static [&'static str] {
        match self {
            Self::X86_64 => &[
                "rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
                "r15", "rip",
            ],
            Self::Aarch64 => &[
                "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15",
                "x16", "x17", "x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", "x29",
                "x30", "sp", "pc",
            ],
            _ => &[],
        }
    }

    /// DWARF number of the stack pointer, where this machine is unwound.
    pub fn stack_pointer(self) -> Option<u16> {
        match self {
            Self::X86_64 => Some(7),
            Self::Aarch64 => Some(31),
            _ => None,
        }
    }

    /// DWARF number of the program counter, where this machine is unwound.
    pub fn program_counter(self) -> Option<u16> {
        match self {
            Self::X86_64 => Some(16),
            Self::Aarch64 => Some(32),
            _ => None,
        }
    }

    /// DWARF number of the frame pointer, where this machine is unwound.
    pub fn frame_pointer(self) -> Option<u16> {
        match self {
            Self::X86_64 => Some(6),
            Self::Aarch64 => Some(29),
            _ => None,
        }
    }

    /// DWARF number of the link register; machines that push the return address have none.
    pub fn link_register(self) -> Option<u16> {
        (self == Self::Aarch64).then_some(30)
    }
}

/// Most registers any machine of [`Arch::register_names`] has.
const SLOTS: usize = 34;

/// The integer registers of a frame, by DWARF number; an unknown one is absent, not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registers {
    arch: Arch,
    known: u64,
    values: [u64; SLOTS],
}

impl Registers {
    /// No register known.
    pub fn new(arch: Arch) -> Self {
        Self { arch, known: 0, values: [0; SLOTS] }
    }

    /// The machine that gives the numbers their meaning.
    pub fn arch(&self) -> Arch {
        self.arch
    }

    /// The value of a register, if it is known.
    pub fn get(&self, register: u16) -> Option<u64> {
        let slot = usize::from(register);
        (slot < SLOTS && self.known & (1 << slot) != 0).then(|| self.values[slot])
    }

    /// Sets a register; a number the machine does not have is ignored.
    pub fn set(&mut self, register: u16, value: u64) {
        if let Some(slot) = self.values.get_mut(usize::from(register)) {
            *slot = value;
            self.known |= 1 << register;
        }
    }

    /// Forgets a register.
    pub fn clear(&mut self, register: u16) {
        if usize::from(register) < SLOTS {
            self.known &= !(1 << register);
        }
    }

    /// The program counter.
    pub fn pc(&self) -> Option<u64> {
        self.get(self.arch.program_counter()?)
    }

    /// The stack pointer.
    pub fn sp(&self) -> Option<u64> {
        self.get(self.arch.stack_pointer()?)
    }

    /// A register by its name.
    pub fn by_name(&self, name: &str) -> Option<u64> {
        self.get(self.arch.register(name)?)
    }

    /// Known registers with their names, in DWARF order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let names = self.arch.register_names().iter().enumerate();
        names.filter_map(|(slot, &name)| Some((name, self.get(u16::try_from(slot).ok()?)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_register_is_absent_not_zero() {
        let mut registers = Registers::new(Arch::X86_64);
        assert_eq!(registers.get(0), None);
        registers.set(0, 0);
        assert_eq!(registers.by_name("rax"), Some(0));
        registers.clear(0);
        assert_eq!(registers.get(0), None);
        registers.set(4000, 1);
        assert_eq!(registers.get(4000), None);
    }
}
