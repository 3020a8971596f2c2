//! What the search must know of a machine: a table per machine, one algorithm.

use std::ops::{Range, RangeInclusive};

use necropsy_model::{Arch, Avma};

use super::jump_table::Table;
use super::op::{Insn, Reg, Src};
use super::sweep::Swept;
use super::{aarch64, go, x86_64};
use crate::image::Image;
use crate::space::AddressSpace;

/// Instructions before a jump, nearest first.
pub(super) type Near<'a> = [&'a Insn];

/// Decodes all code of a module.
type Sweep = for<'i> fn(&'i Image<'_>) -> Box<dyn Iterator<Item = Swept> + 'i>;

/// A machine. Registers have their DWARF numbers.
pub(super) struct Machine {
    pub arch: Arch,
    pub convention: Convention,
    /// Stack pointer.
    pub sp: Reg,
    /// Frame pointer, by convention.
    pub fp: Reg,
    /// The first register of results.
    pub result: Reg,
    /// All registers of results.
    pub results: &'static [Reg],
    /// Registers of integer arguments in order.
    pub arguments: &'static [Reg],
    /// A register that a function may change.
    pub is_scratch: fn(Reg) -> bool,
    /// Vector registers stand from this one on.
    pub vectors: Reg,
    /// Where the stack pointer stands at the entry of a function, counted from the canonical frame address.
    pub entry: i64,
    /// Instructions begin at multiples of this.
    pub width: u64,
    /// Longest instruction, in bytes.
    pub longest: usize,
    /// Lengths that a call may have.
    pub calls: RangeInclusive<u64>,
    /// Decodes the instruction at the start of some bytes; between two instructions, a part of the one before.
    pub lift: fn(&[u8], u64) -> Option<Insn>,
    /// A byte that belongs to the instruction behind it.
    pub is_prefix: fn(u8) -> bool,
    /// What a division divides by.
    pub divisor: fn(&[u8], u64) -> Option<Src>,
    /// The table that an indirect jump goes through, from the instructions before it.
    pub table: fn(Src, &Near<'_>) -> Option<Table>,
    /// Addresses are made by several instructions.
    pub folds: bool,
    /// All code of a module.
    pub sweep: Sweep,
    /// Bits of an address that a program has.
    pub user_bits: u32,
    /// Where the kernel puts mappings.
    pub mappings: Range<u64>,
}

const X86_64: Machine = Machine {
    arch: Arch::X86_64,
    convention: Convention::C,
    sp: x86_64::RSP,
    fp: x86_64::RBP,
    result: x86_64::RAX,
    // rax and rdx, xmm0 and xmm1.
    results: &[0, 1, 17, 18],
    arguments: &x86_64::ARGUMENTS,
    is_scratch: |reg| x86_64::SCRATCH.contains(&reg) || reg > 16,
    vectors: 17,
    entry: -8,
    width: 1,
    longest: 15,
    calls: 2..=8,
    lift: x86_64::lift,
    is_prefix: x86_64::is_prefix,
    divisor: x86_64::divisor,
    table: x86_64::tables::table,
    folds: false,
    sweep: x86_64::sweep::instructions,
    user_bits: 47,
    mappings: 0x7000_0000_0000..1 << 47,
};

const AARCH64: Machine = Machine {
    arch: Arch::Aarch64,
    convention: Convention::C,
    sp: aarch64::SP,
    fp: aarch64::FP,
    result: aarch64::X0,
    // x0 and x1, v0 to v3.
    results: &[0, 1, 64, 65, 66, 67],
    arguments: &aarch64::ARGUMENTS,
    is_scratch: aarch64::is_scratch,
    vectors: aarch64::V0,
    entry: 0,
    width: aarch64::WIDTH,
    longest: 4,
    calls: 4..=4,
    lift: aarch64::lift,
    is_prefix: |_| false,
    // A division by 0 gives 0 here.
    divisor: |_, _| None,
    table: aarch64::tables::table,
    folds: true,
    sweep: aarch64::sweep::instructions,
    user_bits: 48,
    mappings: 0xf000_0000_0000..1 << 48,
};

static C_ON_X86_64: Machine = X86_64;
static C_ON_AARCH64: Machine = AARCH64;
static GO_ON_X86_64: Machine = Machine {
    result: go::X86_64[0],
    results: go::X86_64,
    arguments: go::X86_64_ARGUMENTS,
    is_scratch: |reg| !go::X86_64_KEPT.contains(&reg),
    convention: Convention::Go,
    ..X86_64
};
static GO_ON_AARCH64: Machine = Machine {
    results: go::AARCH64,
    arguments: go::AARCH64_ARGUMENTS,
    is_scratch: |reg| !go::AARCH64_KEPT.contains(&reg),
    convention: Convention::Go,
    ..AARCH64
};

/// Who made the code: how functions call each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Convention {
    /// The psABI of the machine.
    C,
    /// Go's own (`cmd/compile/abi-internal.md`).
    Go,
}

impl Machine {
    /// The table of a machine and a convention; `None` where nothing is followed.
    pub fn of(arch: Arch, convention: Convention) -> Option<&'static Self> {
        match (arch, convention) {
            (Arch::X86_64, Convention::C) => Some(&C_ON_X86_64),
            (Arch::X86_64, Convention::Go) => Some(&GO_ON_X86_64),
            (Arch::Aarch64, Convention::C) => Some(&C_ON_AARCH64),
            (Arch::Aarch64, Convention::Go) => Some(&GO_ON_AARCH64),
            _ => None,
        }
    }

    /// Decodes the instruction at an address.
    pub fn decode(&self, space: &AddressSpace<'_, '_>, at: u64) -> Option<Insn> {
        let start = Avma(self.instruction_of(at));
        let bytes = space.read_most(start, self.longest)?;
        (self.lift)(bytes, at)
    }

    /// The instruction that a part of one belongs to.
    pub fn instruction_of(&self, at: u64) -> u64 {
        at & !(self.width - 1)
    }

    /// The name of a register.
    pub fn name(&self, reg: Reg) -> Option<&'static str> {
        self.arch.register_names().get(usize::from(reg)).copied()
    }

    /// The register of a name.
    pub fn register(&self, name: &str) -> Option<Reg> {
        self.arch.register(name)
    }

    /// It can be an address, of a program or of the kernel: the upper bits are all alike.
    pub fn is_canonical(&self, value: u64) -> bool {
        let upper = value >> self.user_bits;
        upper == 0 || upper == u64::MAX >> self.user_bits
    }

    /// It would be a good pointer of a program.
    pub fn is_user_pointer(&self, value: u64) -> bool {
        value >> 32 != 0 && value >> self.user_bits == 0
    }
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{:?}, {:?}", self.arch, self.convention)
    }
}
