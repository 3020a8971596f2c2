//! `siginfo`, registers, memory around them.

use super::Said;
use crate::{Access, Source, Text};

/// `siginfo:`: `siginfo_t` of Unix, an exception record of Windows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SigInfo<'data> {
    /// The line as printed behind `siginfo:`.
    pub text: Text<'data>,
    /// `SIGSEGV`, `EXCEPTION_ACCESS_VIOLATION`.
    pub name: Option<Text<'data>>,
    /// `si_signo`, or the exception code.
    pub number: Option<u64>,
    /// `si_code`.
    pub code: Option<i64>,
    /// `SEGV_MAPERR`, `SI_USER`, …
    pub code_name: Option<Text<'data>>,
    /// `si_addr`, or the address of an access violation.
    pub address: Option<u64>,
    /// `si_pid` of a signal that was sent.
    pub sender_pid: Option<u64>,
    /// `si_uid` of the sender.
    pub sender_uid: Option<u64>,
    /// The log says that this process sent it itself.
    pub sender_is_self: bool,
    /// What an access violation of Windows tried.
    pub access: Option<PrintedAccess>,
    /// Where.
    pub source: Option<Source>,
}

/// What an exception record of Windows says was tried (`ExceptionInformation[0]`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrintedAccess {
    /// 0: `reading address`.
    Read,
    /// 1: `writing address`.
    Write,
    /// 8: data execution prevention.
    Execute,
}

impl PrintedAccess {
    /// In the terms of the general model.
    pub fn access(self) -> Access {
        match self {
            Self::Read => Access::Read,
            Self::Write => Access::Write,
            Self::Execute => Access::Execute,
        }
    }
}

/// Registers, stack words, instruction bytes.
#[derive(Clone, Debug, Default)]
pub struct MachineState<'data> {
    /// Integer registers in the order of the log, names in lower case: `rax`, `x0`, `r15`, `eflags`.
    pub registers: Vec<Register<'data>>,
    /// `ERR=` of x86: bit 0 the page was present, bit 1 write, bit 2 user, bit 4 instruction fetch.
    pub error_code: Option<Said<u64>>,
    /// `TRAPNO=` of x86: 13 is general protection (a non-canonical address), 14 a page fault.
    pub trap: Option<Said<u64>>,
    /// `Register to memory mapping:`.
    pub mapped: Vec<MappedValue<'data>>,
    /// `Stack slot to memory mapping:`; names are `sp+0`, `sp+8`, …
    pub slots: Vec<MappedValue<'data>>,
    /// `Top of Stack:`.
    pub stack: Option<Bytes<'data>>,
    /// `Instructions:`; the pc stands among them.
    pub instructions: Option<Bytes<'data>>,
    /// The pc of `Instructions: (pc=…)`.
    pub instructions_pc: Option<u64>,
    /// Entries of the lock stack, innermost first (JDK 21 and later).
    pub lock_stack: Vec<Said<Text<'data>>>,
}

impl MachineState<'_> {
    /// A register by its name in lower case.
    pub fn register(&self, name: &str) -> Option<u64> {
        self.registers.iter().find(|register| register.name == name).map(|register| register.value)
    }

    /// What the VM says of the value of a register.
    pub fn mapping(&self, name: &str) -> Option<&MappedValue<'_>> {
        self.mapped.iter().find(|mapped| mapped.name == name)
    }
}

/// A register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Register<'data> {
    /// Name in lower case.
    pub name: Text<'data>,
    /// Value.
    pub value: u64,
    /// Where.
    pub source: Source,
}

/// What the VM says of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedValue<'data> {
    /// Register in lower case, or `sp+8`.
    pub name: Text<'data>,
    /// The value.
    pub value: u64,
    /// What kind of thing it points at.
    pub kind: ValueKind,
    /// The first line as printed behind the value.
    pub text: Text<'data>,
    /// Library and offset in it.
    pub library: Option<(Text<'data>, u64)>,
    /// Where.
    pub source: Source,
}

/// What a value points at, as `os::print_location` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueKind {
    /// Zero.
    Null,
    /// An object of the Java heap.
    Object,
    /// The heap, but no object: `is pointing into object`, `is an unallocated location in the heap`.
    Heap,
    /// Its own or another thread's stack.
    Stack,
    /// A thread of the VM.
    Thread,
    /// A library.
    Library,
    /// A method.
    Method,
    /// Other metadata: a class.
    Metadata,
    /// Compiled code, a stub, the interpreter.
    Code,
    /// A JNI handle.
    JniHandle,
    /// A block of `malloc` under native memory tracking.
    Malloc,
    /// `points into unknown readable memory`.
    Readable,
    /// `is an unknown value`.
    Unknown,
    /// Something else.
    Other,
}

/// Bytes of memory as the log shows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bytes<'data> {
    /// Address of the first byte.
    pub start: u64,
    /// The bytes in memory order.
    pub bytes: std::borrow::Cow<'data, [u8]>,
    /// First line.
    pub source: Source,
}
