//! A frame of a stack, how it was found and how it got its name.

use crate::{Avma, CodeAddress, ModuleId, Svma, Text, Variable};

/// One frame of a stack. Inlined functions are frames of their own.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame<'data> {
    /// Demangled function name; `None` when [`Frame::symbol`] says why there is none.
    pub function: Option<Text<'data>>,
    /// The module that holds the code.
    pub module: Option<ModuleId>,
    /// Address in that module's file.
    pub svma: Option<Svma>,
    /// Code address in the process; text dumps often print none.
    pub address: Option<CodeAddress>,
    /// Source position of the call or of the faulting instruction.
    pub location: Option<Location<'data>>,
    /// The function was inlined into the next frame.
    pub inlined: bool,
    /// Compiled with optimisation, so that line and variables are approximate.
    pub optimized: bool,
    /// What kind of frame this is.
    pub kind: FrameKind,
    /// How the frame was found.
    pub trust: Trust,
    /// Where the name came from, or why there is none.
    pub symbol: Symbol,
    /// Arguments and locals; empty when not asked for.
    pub variables: Vec<Variable<'data>>,
}

impl<'data> Frame<'data> {
    /// A frame whose name a runtime printed.
    pub fn printed(function: impl Into<Text<'data>>, location: Option<Location<'data>>) -> Self {
        Self {
            function: Some(function.into()),
            location,
            symbol: Symbol::Found(SymbolSource::Printed),
            ..Self::at(None, Trust::Printed)
        }
    }

    /// A frame of which only the address is known.
    pub fn at(address: Option<CodeAddress>, trust: Trust) -> Self {
        Self {
            function: None,
            module: None,
            svma: None,
            address,
            location: None,
            inlined: false,
            optimized: false,
            kind: FrameKind::Normal,
            trust,
            symbol: Symbol::Missing(Missing::NotLookedUp),
            variables: Vec::new(),
        }
    }
}

/// What kind of frame this is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FrameKind {
    /// An ordinary function.
    #[default]
    Normal,
    /// The kernel's signal trampoline: the frame after it is the one that was interrupted.
    SignalTrampoline,
    /// Managed code that is interpreted.
    Interpreted,
    /// Managed code compiled at run time.
    Compiled,
    /// Code of the managed runtime itself.
    Runtime,
    /// Native code called from a managed runtime.
    Native,
}

impl FrameKind {
    /// The word in the JSON contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::SignalTrampoline => "signal-trampoline",
            Self::Interpreted => "interpreted",
            Self::Compiled => "compiled",
            Self::Runtime => "runtime",
            Self::Native => "native",
        }
    }
}

/// How a frame was found, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trust {
    /// From the thread's own registers, or from those a signal handler saved.
    Context,
    /// By call frame information: `.eh_frame` or `.debug_frame`.
    Cfi,
    /// The runtime that owned the stack printed it.
    Printed,
    /// Rebuilt from call-site records: the function jumped to the frame before and is no longer on the stack.
    TailCall,
    /// By the link register, by following the code to its return, or by the chain of frame pointers.
    FramePointer,
    /// A word on the stack that looks like a return address. It may be stale.
    Scanned,
}

impl Trust {
    /// The word in the JSON contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::Context => "context",
            Self::Cfi => "cfi",
            Self::Printed => "printed",
            Self::TailCall => "tail-call",
            Self::FramePointer => "frame-pointer",
            Self::Scanned => "scanned",
        }
    }

    /// Weak enough that the text report marks the frame.
    pub fn is_weak(self) -> bool {
        matches!(self, Self::FramePointer | Self::Scanned)
    }
}

/// Where a frame's name came from, or why it has none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Symbol {
    /// The name was found.
    Found(SymbolSource),
    /// There is no name, for this reason.
    Missing(Missing),
}

/// Where a name came from, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SymbolSource {
    /// DWARF debug information.
    Dwarf,
    /// Go's own table of functions, `.gopclntab`.
    GoTable,
    /// A Breakpad symbol file.
    Breakpad,
    /// The full symbol table, `.symtab`.
    SymbolTable,
    /// The symbol table inside `.gnu_debugdata`.
    MiniDebugInfo,
    /// Only exported names (`.dynsym`) were at hand and one covers the address.
    DynamicSymbol,
    /// The nearest symbol below the address, which does not cover it: a guess.
    Nearest,
    /// The runtime printed it.
    Printed,
}

impl SymbolSource {
    /// The word in the JSON contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dwarf => "dwarf",
            Self::GoTable => "gopclntab",
            Self::Breakpad => "breakpad",
            Self::SymbolTable => "symtab",
            Self::MiniDebugInfo => "minidebuginfo",
            Self::DynamicSymbol => "dynsym",
            Self::Nearest => "nearest",
            Self::Printed => "printed",
        }
    }
}

/// Why a frame has no name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Missing {
    /// Nobody has looked yet.
    NotLookedUp,
    /// The address lies in no mapping of the process.
    NotMapped,
    /// The address lies in memory that no file backs: code made at run time, or a jump into data.
    NoModule,
    /// No file for the module was found here.
    FileNotFound,
    /// A file was found, but it is another build than the one that ran.
    WrongBuild,
    /// The right file was found, but it carries no symbols.
    Stripped,
    /// The file has symbols, but none for this address.
    NotCovered,
    /// The machine or format is not supported.
    Unsupported,
    /// The dump itself names none.
    NotPrinted,
}

impl Missing {
    /// One phrase that says why.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotLookedUp => "not looked up",
            Self::NotMapped => "address is not mapped",
            Self::NoModule => "no file behind this address",
            Self::FileNotFound => "module file not found here",
            Self::WrongBuild => "the file found here is another build",
            Self::Stripped => "file has no symbols",
            Self::NotCovered => "no symbol covers this address",
            Self::Unsupported => "machine not supported",
            Self::NotPrinted => "the dump names none",
        }
    }
}

/// A position in source code.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Location<'data> {
    /// File path as the compiler or runtime wrote it.
    pub file: Text<'data>,
    /// Line, from 1.
    pub line: Option<u32>,
    /// The line's text, where the source file is at hand.
    pub text: Option<Text<'data>>,
}

impl<'data> Location<'data> {
    /// A position without its text.
    pub fn new(file: impl Into<Text<'data>>, line: Option<u32>) -> Self {
        Self { file: file.into(), line, text: None }
    }

    /// The last component of the path.
    pub fn file_name(&self) -> &str {
        self.file.rsplit(['/', '\\']).next().unwrap_or(&self.file)
    }
}

impl Frame<'_> {
    /// The address as a debugger prints it.
    pub fn pc(&self) -> Option<Avma> {
        self.address.map(CodeAddress::address)
    }
}
