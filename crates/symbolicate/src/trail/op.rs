//! What an instruction does to registers and memory, in terms that hold for every machine: small operations that a table per
//! machine lifts instructions to. Only what a backward search needs is told apart; the rest is [`Op::Write`].

/// A register by DWARF number; vector registers stand behind the integer ones.
pub(super) type Reg = u16;

/// A memory operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Mem {
    /// Base register; none where the displacement is the address itself.
    pub base: Option<Reg>,
    /// Index register and scale.
    pub index: Option<(Reg, u8)>,
    /// Bytes added; the address itself where there is no base.
    pub displacement: i64,
    /// Bytes accessed.
    pub size: u8,
    /// Relative to thread-local storage.
    pub thread_local: bool,
}

impl Mem {
    /// An address without registers.
    pub const fn at(displacement: i64, size: u8) -> Self {
        Self { base: None, index: None, displacement, size, thread_local: false }
    }
}

/// A part of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Part {
    pub reg: Reg,
    /// First byte.
    pub offset: u8,
    /// Bytes.
    pub size: u8,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Src {
    /// A register or a part of it.
    Reg(Part),
    /// A constant of the instruction.
    Const(u64),
    /// Memory.
    Mem(Mem),
    /// The address that an operand names.
    Address(Mem),
    /// Something else.
    Other,
}

/// How a narrow value fills a wide register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extend {
    Zero,
    Sign,
}

/// Kinds of arithmetic that can be undone or evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arith {
    Add,
    Sub,
    And,
    Or,
    Xor,
    Mul,
    Shl,
    Shr,
    Sar,
    /// 1 where the flags say so, else 0.
    Outcome(Condition),
    /// Another operation, whose result is not computed.
    Opaque,
}

impl Arith {
    /// The result of so many bytes; `None` where this is not computed.
    pub fn apply(self, left: u64, right: u64, size: u8) -> Option<u64> {
        let bits = u32::from(size) * 8;
        let count = u32::try_from(right & u64::from(bits.max(32) - 1)).ok()?;
        let result = match self {
            Self::Add => left.wrapping_add(right),
            Self::Sub => left.wrapping_sub(right),
            Self::And => left & right,
            Self::Or => left | right,
            Self::Xor => left ^ right,
            Self::Mul => left.wrapping_mul(right),
            Self::Shl => left.wrapping_shl(count),
            Self::Shr => mask(left, size).wrapping_shr(count),
            Self::Sar => sign_extend(left, size).wrapping_shr(count) as u64,
            Self::Outcome(_) | Self::Opaque => return None,
        };
        Some(mask(result, size))
    }
}

/// An effect of an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// A part of a register takes a value, extended where the source is narrower.
    Set { to: Part, from: Src, extend: Extend },
    /// The same, or it keeps what it has: a conditional move.
    MaySet { to: Part, from: Src },
    /// A part of a register takes the result of arithmetic on two values of `size` bytes.
    Compute { to: Part, kind: Arith, left: Src, right: Src, size: u8 },
    /// Memory takes a value.
    Store { to: Mem, from: Src },
    /// Memory is changed by arithmetic with a value.
    Update { to: Mem, kind: Arith, right: Src },
    /// A register is written in a way that is not followed.
    Write(Reg),
    /// Memory from an operand on, of unknown extent, is written in a way that is not followed.
    Fill { to: Mem, from: Src },
}

/// Conditions of branches, with the operands of the comparison in the order of the instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Equal,
    NotEqual,
    Below,
    BelowEqual,
    Above,
    AboveEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Negative,
    NotNegative,
    Other,
}

impl Condition {
    /// Whether it holds for a comparison of two values of so many bytes.
    pub fn holds(self, left: u64, right: u64, size: u8) -> Option<bool> {
        let (ul, ur) = (mask(left, size), mask(right, size));
        let (sl, sr) = (sign_extend(left, size), sign_extend(right, size));
        Some(match self {
            Self::Equal => ul == ur,
            Self::NotEqual => ul != ur,
            Self::Below => ul < ur,
            Self::BelowEqual => ul <= ur,
            Self::Above => ul > ur,
            Self::AboveEqual => ul >= ur,
            Self::Less => sl < sr,
            Self::LessEqual => sl <= sr,
            Self::Greater => sl > sr,
            Self::GreaterEqual => sl >= sr,
            Self::Negative => sign_extend(sl.wrapping_sub(sr) as u64, size) < 0,
            Self::NotNegative => sign_extend(sl.wrapping_sub(sr) as u64, size) >= 0,
            Self::Other => return None,
        })
    }
}

/// What the flags of the machine tell after an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flags {
    /// They are as before.
    Kept,
    /// The comparison of two values of so many bytes.
    Compare { left: Src, right: Src, size: u8 },
    /// Whether the common bits of two values are zero.
    Test { left: Src, right: Src, size: u8 },
    /// The result that this register now has, compared with zero.
    Result(Part),
    /// Something else.
    Other,
}

/// Where control goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// To the next instruction.
    Next,
    /// To an address.
    Jump(u64),
    /// To an address when the flags say so, else to the next instruction.
    Branch(u64, Condition),
    /// To where a value says.
    JumpTo(Src),
    /// To a function and back.
    Call(Src),
    /// To the caller.
    Return,
    /// Nowhere.
    Stop,
}

/// A lifted instruction.
#[derive(Clone, Debug)]
pub(super) struct Insn {
    /// Its address.
    pub at: u64,
    /// The address behind it.
    pub next: u64,
    /// What it does, in order. Sources are those before the instruction.
    pub ops: Vec<Op>,
    /// What it leaves in the flags.
    pub flags: Flags,
    /// What a branch tests itself; [`Flags::Kept`] where it asks the flags.
    pub tests: Flags,
    /// Where control goes.
    pub flow: Flow,
}

/// The low `size` bytes.
pub(super) fn mask(value: u64, size: u8) -> u64 {
    if size >= 8 { value } else { value & ((1_u64 << (u32::from(size) * 8)) - 1) }
}

/// The low `size` bytes as a signed number.
pub(super) fn sign_extend(value: u64, size: u8) -> i64 {
    if size >= 8 || size == 0 {
        return value.cast_signed();
    }
    let unused = 64 - u32::from(size) * 8;
    (value << unused).cast_signed() >> unused
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_compare_so_many_bytes() {
        assert_eq!(Condition::Equal.holds(0x1_0000_0000, 0, 4), Some(true));
        assert_eq!(Condition::Equal.holds(0x1_0000_0000, 0, 8), Some(false));
        assert_eq!(Condition::Less.holds(0xffff_ffff, 0, 4), Some(true));
        assert_eq!(Condition::Below.holds(0xffff_ffff, 0, 4), Some(false));
        assert_eq!(Condition::Negative.holds(0x80, 0, 1), Some(true));
        assert_eq!(Condition::Other.holds(0, 0, 8), None);
    }

    #[test]
    fn arithmetic_keeps_its_width() {
        assert_eq!(Arith::Add.apply(0xffff_ffff, 1, 4), Some(0));
        assert_eq!(Arith::Sar.apply(0x80, 1, 1), Some(0xc0));
        assert_eq!(Arith::Shr.apply(0x80, 1, 1), Some(0x40));
        assert_eq!(Arith::Sub.apply(0, 1, 8), Some(u64::MAX));
    }
}
