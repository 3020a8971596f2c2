//! Addresses. Two address spaces are two types: they coincide in toy binaries, so a mix-up passes tests and breaks on PIE.

use std::fmt;

/// An address in the process: actual virtual memory address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Avma(pub u64);

/// An address as the object file states it: stated virtual memory address (the ELF `p_vaddr`, `st_value`, DWARF addresses).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Svma(pub u64);

/// What the loader added to a file's addresses: `avma = svma + bias`, modulo 2^64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Bias(pub u64);

impl Bias {
    /// The address in the process of an address of the file.
    pub fn to_avma(self, svma: Svma) -> Avma {
        Avma(svma.0.wrapping_add(self.0))
    }

    /// The address in the file of an address of the process.
    pub fn to_svma(self, avma: Avma) -> Svma {
        Svma(avma.0.wrapping_sub(self.0))
    }
}

impl Avma {
    /// This address plus `offset`, or `None` past the end of the address space.
    pub fn checked_add(self, offset: u64) -> Option<Self> {
        self.0.checked_add(offset).map(Self)
    }
}

impl fmt::Display for Avma {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Display for Svma {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// A code address of a frame, and which kind it is.
///
/// A return address points *behind* the call. When the call is the last instruction of a function (a call that never
/// returns) it even points into the next function. Every look-up of a caller therefore goes one byte back;
/// the frame that was interrupted (frame 0, and the one below a signal handler) does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CodeAddress {
    /// The instruction that was about to run.
    Instruction(Avma),
    /// The instruction to which a call will return.
    Return(Avma),
}

impl CodeAddress {
    /// The address itself, as a debugger prints it.
    pub fn address(self) -> Avma {
        match self {
            Self::Instruction(address) | Self::Return(address) => address,
        }
    }

    /// The address to look up in symbol, line and unwind tables.
    pub fn lookup(self) -> Avma {
        match self {
            Self::Instruction(address) => address,
            Self::Return(address) => Avma(address.0.wrapping_sub(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_return_address_is_looked_up_inside_the_call() {
        assert_eq!(CodeAddress::Return(Avma(0x1005)).lookup(), Avma(0x1004));
        assert_eq!(CodeAddress::Instruction(Avma(0x1005)).lookup(), Avma(0x1005));
    }

    #[test]
    fn bias_is_modular() {
        let bias = Bias(0x5555_5555_4000_u64.wrapping_sub(0x40_0000));
        assert_eq!(bias.to_svma(bias.to_avma(Svma(0x40_1000))), Svma(0x40_1000));
    }
}
