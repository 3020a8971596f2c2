//! What an instruction does, in terms that hold for every machine.

use necropsy_model::{Access, FaultOperand};

/// An instruction with the values its operands had.
#[derive(Clone, Debug, Default)]
pub(super) struct Decoded {
    /// Text in the usual assembler syntax.
    pub text: String,
    /// Bytes.
    pub length: u64,
    /// What it is for.
    pub flow: Flow,
    /// Memory operands, those written in its text first.
    pub memory: Vec<MemoryOperand>,
    /// A division, and what it divides by.
    pub divisor: Option<Divisor>,
}

/// What an instruction does to the flow of control.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Flow {
    /// Nothing.
    #[default]
    Next,
    /// Traps by design.
    Trap,
    /// Calls what the target says.
    Call(Target),
    /// Jumps to what the target says.
    Jump(Target),
    /// Returns to what the target says.
    Return(Target),
}

impl Flow {
    pub fn target(&self) -> Option<&Target> {
        match self {
            Self::Call(target) | Self::Jump(target) | Self::Return(target) => Some(target),
            Self::Next | Self::Trap => None,
        }
    }
}

/// Where a branch goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// To this address; written in the instruction.
    Fixed(u64),
    /// To the address in a register.
    Register(&'static str, Option<u64>),
    /// To the address in the first memory operand.
    Memory,
}

/// What a division divides by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Divisor {
    /// This value.
    Value(i64),
    /// The first memory operand, of this many bytes.
    Memory(u64),
}

/// A memory operand with the values it had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MemoryOperand {
    /// Base, index, displacement and text.
    pub parts: FaultOperand,
    /// Effective address; `None` when a register is not known.
    pub address: Option<u64>,
    /// Bytes; 0 when it depends on more than the instruction.
    pub size: u64,
    /// What is done to it.
    pub access: Access,
    /// Alignment that the instruction demands.
    pub alignment: Option<u64>,
    /// Its only register, when the value is not known.
    pub lone: Option<&'static str>,
    /// The stack slot of a push, call or return: not in the text.
    pub implicit: bool,
}

impl MemoryOperand {
    /// The address lies in what is accessed.
    pub fn covers(&self, address: u64) -> bool {
        self.address.is_some_and(|start| address.wrapping_sub(start) < self.size.max(1))
    }

    /// The address is no multiple of what the instruction demands.
    pub fn misaligned(&self) -> Option<u64> {
        let (address, alignment) = self.address.zip(self.alignment)?;
        (address.checked_rem(alignment)? != 0).then_some(alignment)
    }
}
