//! Frames and their variables.

use necropsy_model::{self as model, CodeAddress, Snapshot, StackEnd, Symbol, VariableKind};
use serde::Serialize;

use super::parts::Hex;
use crate::value;

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Frame<'a> {
    /// Demangled function name
    function: Option<&'a str>,
    /// Path of the module
    module: Option<&'a str>,
    /// Address in the module's file
    module_offset: Option<Hex>,
    /// Address in the process, as a debugger prints it
    address: Option<Hex>,
    /// Source file as the compiler or runtime wrote it
    file: Option<&'a str>,
    /// Line, from 1
    line: Option<u32>,
    /// Text of that line, where the source file is at hand
    line_text: Option<&'a str>,
    /// The function was inlined into the next frame
    inlined: bool,
    /// Compiled with optimisation: line and values are approximate
    optimized: bool,
    /// Kind of frame: normal, signal-trampoline, interpreted, compiled, runtime or native
    kind: &'static str,
    /// How the frame was found: context, cfi, printed, tail-call, frame-pointer or scanned
    trust: &'static str,
    /// Where the name came from: dwarf, gopclntab, breakpad, symtab, minidebuginfo, dynsym, nearest or printed
    symbol: Option<&'static str>,
    /// Why there is no name
    missing: Option<&'static str>,
    /// Arguments in order
    args: Vec<Variable<'a>>,
    /// Local variables in scope
    locals: Vec<Variable<'a>>,
}

impl<'a> Frame<'a> {
    pub(super) fn new(frame: &'a model::Frame<'_>, snapshot: &'a Snapshot<'_>) -> Self {
        let location = frame.location.as_ref();
        let (symbol, missing) = match &frame.symbol {
            Symbol::Found(source) => (Some(source.name()), None),
            Symbol::Missing(missing) => (None, Some(missing.reason())),
        };
        let variables = |kind| {
            let of_kind = frame.variables.iter().filter(move |variable| variable.kind == kind);
            of_kind.map(Variable::new).collect()
        };
        Self {
            function: frame.function.as_deref(),
            module: frame.module.and_then(|id| snapshot.module(id)).map(|module| &*module.path),
            module_offset: frame.svma.map(|svma| Hex(svma.0)),
            address: frame.address.map(|address: CodeAddress| Hex(address.address().0)),
            file: location.map(|location| &*location.file),
            line: location.and_then(|location| location.line),
            line_text: location.and_then(|location| location.text.as_deref()),
            inlined: frame.inlined,
            optimized: frame.optimized,
            kind: frame.kind.name(),
            trust: frame.trust.name(),
            symbol,
            missing,
            args: variables(VariableKind::Argument),
            locals: variables(VariableKind::Local),
        }
    }
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Variable<'a> {
    /// Name in the source
    name: Option<&'a str>,
    /// Type as the source writes it
    #[serde(rename = "type")]
    type_name: Option<&'a str>,
    /// Value as a reader of the source expects it
    value: Option<String>,
    /// Why there is no value
    absent: Option<&'static str>,
}

impl<'a> Variable<'a> {
    fn new(variable: &'a model::Variable<'_>) -> Self {
        let (value, absent) = match &variable.value {
            model::Value::Absent(absence) => (None, Some(absence.reason())),
            value => (Some(value::render(value)), None),
        };
        Self { name: variable.name.as_deref(), type_name: variable.type_name.as_deref(), value, absent }
    }
}

/// A stack: its frames and what is known of those that are not listed.
pub(super) struct Stack<'a> {
    pub frames: Vec<Frame<'a>>,
    pub gap: Option<Gap>,
    pub end: Option<&'a str>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Gap {
    /// Frames listed before the ones left out
    after: usize,
    /// Frames left out
    omitted: u64,
    /// Frames of one turn of the recursion that they repeat
    period: Option<usize>,
}

impl<'a> Stack<'a> {
    pub(super) fn new(stack: Option<&'a model::Stack>, snapshot: &'a Snapshot<'_>) -> Self {
        let Some(stack) = stack else { return Self { frames: Vec::new(), gap: None, end: None } };
        let frames = stack.frames.iter().filter_map(|&id| snapshot.frame(id));
        let gap = stack.gap.map(|gap| Gap { after: gap.after, omitted: gap.omitted, period: gap.period });
        let end = match &stack.end {
            StackEnd::Complete => None,
            StackEnd::Broken(reason) => Some(reason.as_str()),
        };
        Self { frames: frames.map(|frame| Frame::new(frame, snapshot)).collect(), gap, end }
    }
}
