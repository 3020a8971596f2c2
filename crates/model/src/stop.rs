//! Why the process stopped: facts only. What they mean is for `diagnose`.

use crate::{AddressState, Avma, Permissions, Signal, Source, Text, Trail};

/// Why a dump was taken. A dump without a stop was asked for.
#[derive(Clone, Debug, Default)]
pub struct Stop<'data> {
    /// The signal that ended the process.
    pub signal: Option<Signal>,
    /// Index in [`crate::Snapshot::threads`] of the thread that stopped it.
    pub thread: Option<usize>,
    /// Index of the frame at fault in that thread's stack; not 0 when a handler ran above it.
    pub frame: usize,
    /// `si_addr`, meaningful for faults only and even then not always true.
    pub address: Option<Avma>,
    /// Who sent the signal.
    pub sender: Option<Sender>,
    /// What the faulting instruction did.
    pub fault: Option<Fault<'data>>,
    /// Where the value that decided the fault came from, as far as it could be followed.
    pub trail: Option<Box<Trail<'data>>>,
    /// What the process, its libraries or its runtime said as it died.
    pub messages: Vec<Message<'data>>,
    /// The signal that a handler was dealing with when this one came: the one that counts.
    pub original: Option<Box<Stop<'data>>>,
    /// Where the dump says so.
    pub source: Option<Source>,
}

/// Who sent a signal (`si_pid`, `si_uid`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    /// Process id of the sender, in the sender's or receiver's namespace.
    pub pid: u64,
    /// Its real user id.
    pub uid: u64,
}

/// Last words of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message<'data> {
    /// What was said.
    pub text: Text<'data>,
    /// Who said it.
    pub kind: MessageKind,
    /// Where it stands in the dump.
    pub source: Source,
}

/// Who said the last words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// A failed `assert`.
    Assert,
    /// The allocator found its heap damaged.
    Heap,
    /// A stack canary was overwritten.
    StackSmash,
    /// C++ `std::terminate`, with the exception's type and `what()` where they were found.
    Terminate,
    /// A Rust panic.
    RustPanic,
    /// A Go panic.
    GoPanic,
    /// A Go fatal error.
    GoFatal,
    /// A Java exception or the VM's own error line.
    Java,
    /// The kernel's own line about the end of the process.
    Kernel,
    /// Anything else a library printed before `abort`.
    Other,
}

impl MessageKind {
    /// The word in the JSON contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::Assert => "assert",
            Self::Heap => "heap",
            Self::StackSmash => "stack-smash",
            Self::Terminate => "terminate",
            Self::RustPanic => "rust-panic",
            Self::GoPanic => "go-panic",
            Self::GoFatal => "go-fatal",
            Self::Java => "java",
            Self::Kernel => "kernel",
            Self::Other => "other",
        }
    }
}

/// What an instruction tried to do with memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Load.
    Read,
    /// Store.
    Write,
    /// Fetch of an instruction.
    Execute,
    /// Load and store in one instruction.
    ReadWrite,
}

impl Access {
    /// The verb: "read", "write", …
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Execute => "execute",
            Self::ReadWrite => "read and write",
        }
    }
}

/// What the faulting instruction did: facts decoded from its bytes, the registers and the memory map.
#[derive(Clone, Debug, Default)]
pub struct Fault<'data> {
    /// Address of the instruction.
    pub pc: Avma,
    /// Its text in the usual assembler syntax; `None` when its bytes are not at hand or not decodable.
    pub instruction: Option<String>,
    /// What it tried to do, where known.
    pub access: Option<Access>,
    /// The address it used, computed from its operands. Unlike `si_addr` this is right for non-canonical addresses.
    pub address: Option<Avma>,
    /// Bytes accessed.
    pub size: Option<u64>,
    /// The memory operand that is to blame.
    pub operand: Option<FaultOperand>,
    /// What is known of the address used.
    pub state: Option<AddressState>,
    /// Rights of the mapping under the address used.
    pub permissions: Option<Permissions>,
    /// The file mapped there.
    pub file: Option<Text<'data>>,
    /// The address used can not exist on the machine: its upper bits are neither all zero nor all one.
    pub non_canonical: bool,
    /// Bytes to which the instruction needs the address aligned, when it is not.
    pub misaligned: Option<u64>,
    /// The expression of the source, with the field's name from DWARF: `acct->balance`.
    pub expression: Option<String>,
    /// The pointer variable in that expression: `acct`.
    pub pointer: Option<String>,
    /// A division whose divisor was this (0, or -1 for an overflow).
    pub divisor: Option<i64>,
    /// An instruction that traps by design: `ud2`, `int3`, `brk`, `udf`.
    pub is_trap: bool,
    /// A call, jump or return.
    pub is_branch: bool,
    /// Specifically a return.
    pub is_return: bool,
    /// Address of the call, jump or return that led to [`Fault::pc`], when that is no code; then [`Fault::instruction`] and
    /// [`Fault::operand`] are those of this one.
    pub via: Option<Avma>,
    /// Distance in bytes from the stack pointer down to the address used, when it lies near it.
    pub below_stack_pointer: Option<i64>,
    /// First address of the thread's stack and first address behind it, as far as the map tells.
    pub stack: Option<(Avma, Avma)>,
    /// What is known of the address in the stack pointer.
    pub stack_state: Option<AddressState>,
    /// Facts about the value that decided the address: freed chunk, poison pattern, text.
    pub value_facts: Vec<Evidenced>,
}

/// A memory operand with the values it had.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultOperand {
    /// Base register and its value.
    pub base: Option<(&'static str, u64)>,
    /// Index register, its value and scale.
    pub index: Option<(&'static str, u64, u64)>,
    /// Displacement in bytes.
    pub displacement: i64,
    /// The operand as the assembler writes it.
    pub text: String,
}

/// A fact in words with the kind of thing it is; `kind` is for rules, `text` for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidenced {
    /// Stable word: `tcache-key`, `poison`, `ascii`, `freed-chunk`, …
    pub kind: &'static str,
    /// One phrase.
    pub text: String,
    /// Where in the dump.
    pub source: Source,
}
