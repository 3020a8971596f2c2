//! Arguments and locals of a frame.

use crate::{AddressState, Text};

/// A variable of a frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Variable<'data> {
    /// Name in the source; arguments of text dumps have none.
    pub name: Option<Text<'data>>,
    /// Type as the source writes it.
    pub type_name: Option<Text<'data>>,
    /// Argument or local.
    pub kind: VariableKind,
    /// Its value, or why there is none.
    pub value: Value<'data>,
}

/// What a variable is to its function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VariableKind {
    /// A formal parameter.
    Argument,
    /// A local variable in scope at the frame's address.
    Local,
}

/// A value as a reader of the source expects it.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'data> {
    /// Not known, for this reason.
    Absent(Absence),
    /// A signed integer.
    Int(i128),
    /// An unsigned integer.
    Uint(u128),
    /// A floating-point number.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// A character: its code and, where printable, the character.
    Char(u32),
    /// An enumerator by name, with its number; no name when the number has none.
    Enum {
        /// Name of the enumerator.
        name: Option<Text<'data>>,
        /// Its number.
        value: i128,
    },
    /// A pointer or reference.
    Pointer {
        /// Where it points.
        address: u64,
        /// The function or global it points at.
        symbol: Option<Text<'data>>,
        /// What it points at, where that was read (strings, one level of a structure).
        target: Option<Box<Value<'data>>>,
    },
    /// Text, from `char *`, `std::string`, `&str` and the like; invalid UTF-8 was replaced.
    Text {
        /// The text, cut at a limit.
        text: Text<'data>,
        /// It is longer than what is shown.
        cut: bool,
    },
    /// A structure, union, tuple or variant.
    Struct {
        /// Name of the variant, where it is one (`Some`, `Err`).
        variant: Option<Text<'data>>,
        /// Members in order.
        fields: Vec<Field<'data>>,
    },
    /// An array, slice or vector.
    Array {
        /// The first elements.
        elements: Vec<Value<'data>>,
        /// How many there are, where known.
        length: Option<u64>,
    },
    /// As a runtime printed it.
    Printed(Text<'data>),
}

/// A member of a structure.
#[derive(Clone, Debug, PartialEq)]
pub struct Field<'data> {
    /// Name; tuples have numbers, anonymous members none.
    pub name: Option<Text<'data>>,
    /// Its value.
    pub value: Value<'data>,
}

/// Why a value is not known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Absence {
    /// The compiler kept it nowhere.
    OptimizedOut,
    /// It has a place, but not at this instruction.
    NotLiveHere,
    /// It was in a register that a function called since may have overwritten.
    RegisterClobbered,
    /// The memory that held it can not be read.
    Memory(AddressState),
    /// The memory that held it was given back to the allocator: the value was moved away or dropped.
    Freed,
    /// Its location or type uses something that is not supported.
    Unsupported(&'static str),
    /// Deeper than what is shown.
    TooDeep,
    /// The runtime printed that it can not tell.
    NotPrinted,
}

impl Absence {
    /// One phrase that says why.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::OptimizedOut => "optimized out",
            Self::NotLiveHere => "not live here",
            Self::RegisterClobbered => "register overwritten since",
            Self::Memory(AddressState::NotMapped) => "address not mapped",
            Self::Memory(AddressState::CutOff) => "memory cut off the dump",
            Self::Memory(AddressState::NoAccess) => "memory without access",
            Self::Memory(_) => "memory not in the dump",
            Self::Freed => "memory freed since",
            Self::Unsupported(what) => what,
            Self::TooDeep => "not shown",
            Self::NotPrinted => "not printed by the runtime",
        }
    }
}
