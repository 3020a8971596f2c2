//! The code of a module from beginning to end, for what has no index: who stores to a variable, who calls a function.

use super::machine::Machine;
use super::op::Reg;
use crate::image::Image;

/// Bytes of code of the largest module that is read: some tenths of a second.
const MAX_CODE: usize = 8 << 20;

/// An instruction as a sweep sees it, decoded as far as its machine does it without knowing the function around.
pub(super) enum Swept {
    Amd64(iced_x86::Instruction),
    Arm64(Box<super::aarch64::sweep::Arm64>),
}

/// An address that an instruction names, and what it does there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub address: u64,
    /// Bytes, at least one.
    pub size: u64,
    pub does: Does,
}

/// What an instruction does at the address that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Does {
    /// It reads there.
    Reads,
    /// It writes there.
    Writes,
    /// The address itself is put into this register.
    Takes(Reg),
}

/// What an instruction does with a register that has the address of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Nothing.
    None,
    /// It reads an element.
    Indexes,
    /// It reads an element, or nothing, and the register has something else afterwards.
    Last,
    /// Something else: the address may go anywhere.
    Other,
}

impl Swept {
    /// Its address.
    pub fn at(&self) -> u64 {
        match self {
            Self::Amd64(insn) => insn.ip(),
            Self::Arm64(insn) => insn.at(),
        }
    }

    /// Where a call or jump goes, and whether it says so itself; else `word` reads the slot that it goes through.
    pub fn goes_to(&self, word: impl Fn(u64) -> Option<u64>) -> Option<(u64, bool)> {
        match self {
            Self::Amd64(insn) => super::x86_64::sweep::goes_to(insn, word),
            Self::Arm64(insn) => insn.goes_to().map(|target| (target, true)),
        }
    }

    /// Where a jump goes that is always taken and says so itself.
    pub fn jumps_to(&self) -> Option<u64> {
        match self {
            Self::Amd64(insn) => super::x86_64::sweep::jumps_to(insn),
            Self::Arm64(insn) => insn.jumps_to(),
        }
    }

    /// A store of so many bytes at an offset from a pointer that is no stack pointer.
    pub fn stores_at(&self, offset: u64, size: u8) -> bool {
        match self {
            Self::Amd64(insn) => super::x86_64::sweep::stores_at(insn, offset, size),
            Self::Arm64(insn) => insn.stores_at(offset, size),
        }
    }

    /// A store of NULL through a pointer that is no stack pointer.
    pub fn stores_zero(&self) -> bool {
        match self {
            Self::Amd64(insn) => super::x86_64::sweep::stores_zero(insn),
            Self::Arm64(insn) => insn.stores_zero(),
        }
    }

    /// A wide store over a part of such an object, as memory is cleared by.
    pub fn stores_around(&self, offset: u64, size: u8) -> bool {
        match self {
            Self::Amd64(insn) => super::x86_64::sweep::stores_around(insn, offset, size),
            Self::Arm64(_) => false,
        }
    }

    /// The constant address that an operand names.
    pub fn names(&self) -> Option<Named> {
        match self {
            Self::Amd64(insn) => super::x86_64::sweep::names(insn),
            Self::Arm64(insn) => insn.names(),
        }
    }

    /// An operand is this constant.
    pub fn has_constant(&self, constant: u64) -> bool {
        match self {
            Self::Amd64(insn) => super::x86_64::sweep::has_constant(insn, constant),
            Self::Arm64(insn) => insn.has_constant(constant),
        }
    }

    /// What it does with a register that has the address of an array.
    pub fn use_of(&self, register: Reg) -> Use {
        match self {
            Self::Amd64(insn) => super::x86_64::sweep::use_of(insn, register),
            Self::Arm64(insn) => insn.use_of(register),
        }
    }
}

/// All instructions of a module that can be decoded; `None` where it has too much code.
pub(super) fn instructions<'i>(
    image: &'i Image<'_>,
    machine: &Machine,
) -> Option<Box<dyn Iterator<Item = Swept> + 'i>> {
    let code: usize =
        image.segments.iter().filter(|segment| segment.executable).map(|segment| segment.bytes.len()).sum();
    (code <= MAX_CODE).then(|| (machine.sweep)(image))
}
