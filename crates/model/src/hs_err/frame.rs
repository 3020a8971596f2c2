//! Frames as `frame::print_on_error` writes them.

use crate::{Source, Text};

/// A frame with all that its line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HsFrame<'data> {
    /// The letter.
    pub kind: HsFrameKind,
    /// The line as printed, without its end.
    pub text: Text<'data>,
    /// File in the brackets: `libjvm.so`, `jvm.dll`.
    pub library: Option<Text<'data>>,
    /// Offset in that file.
    pub library_offset: Option<u64>,
    /// Function of native code; name of a stub.
    pub function: Option<Text<'data>>,
    /// Offset in that function.
    pub function_offset: Option<u64>,
    /// File and line of native code (JDK 17 and later, with debug information).
    pub location: Option<(Text<'data>, Option<u32>)>,
    /// Method of a `J`, `j` or `A` frame.
    pub method: Option<JavaMethod<'data>>,
    /// Bytecode index of an interpreted frame; exact.
    pub bci: Option<u32>,
    /// Number of the compilation.
    pub compile_id: Option<u32>,
    /// `c1`, `c2`, `jvmci`.
    pub compiler: Option<Text<'data>>,
    /// Compiled for a loop that was already running.
    pub osr: bool,
    /// Bytes of bytecode of a compiled method.
    pub bytecode_size: Option<u32>,
    /// Begin of the compiled code, and offset of the pc in it.
    pub code: Option<(u64, u64)>,
    /// Address of the pc, where printed.
    pub pc: Option<u64>,
    /// Module and version behind a method: `java.base@17.0.15`.
    pub module: Option<Text<'data>>,
    /// Where in the log.
    pub source: Source,
}

impl<'data> HsFrame<'data> {
    /// A frame of which only the letter and the line are known.
    pub fn new(kind: HsFrameKind, text: impl Into<Text<'data>>, source: Source) -> Self {
        Self {
            kind,
            text: text.into(),
            library: None,
            library_offset: None,
            function: None,
            function_offset: None,
            location: None,
            method: None,
            bci: None,
            compile_id: None,
            compiler: None,
            osr: false,
            bytecode_size: None,
            code: None,
            pc: None,
            module: None,
            source,
        }
    }
}

/// Kinds of frames, by the letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HsFrameKind {
    /// `C`: native code outside of the VM.
    Native,
    /// `V`: code of the VM's library.
    Vm,
    /// `v`: code that the VM generated: stubs, adapters, blobs.
    Stub,
    /// `J`: a compiled method.
    Compiled,
    /// `A`: a method compiled ahead of time (JDK 9 to 16).
    AheadOfTime,
    /// `j`: an interpreted method.
    Interpreted,
    /// No letter: a bare address, or a line the VM did not know.
    Unknown,
}

impl HsFrameKind {
    /// The letter; a question mark where there is none.
    pub fn letter(self) -> char {
        match self {
            Self::Native => 'C',
            Self::Vm => 'V',
            Self::Stub => 'v',
            Self::Compiled => 'J',
            Self::AheadOfTime => 'A',
            Self::Interpreted => 'j',
            Self::Unknown => '?',
        }
    }

    /// A Java method.
    pub fn is_java(self) -> bool {
        matches!(self, Self::Compiled | Self::AheadOfTime | Self::Interpreted)
    }
}

/// A method as printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JavaMethod<'data> {
    /// Class with dots: `java.lang.Thread`.
    pub class: Text<'data>,
    /// Method: `run`, `<init>`.
    pub name: Text<'data>,
    /// Descriptor of the JVM specification 4.3.3: `(JI)J`; empty where not printed.
    pub descriptor: Text<'data>,
}
