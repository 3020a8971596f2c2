//! Where a bad value came from: the chain of evidence from the operand at fault back to its birth. Facts only: how much a
//! chain is worth is for `diagnose`.

use crate::{Place, TrailStep};

/// What was followed, and where it led.
#[derive(Clone, Debug, Default)]
pub struct Trail<'data> {
    /// What held the bad value: `rdi`, `divisor ecx`.
    pub subject: String,
    /// Its value at the fault.
    pub value: Option<u64>,
    /// Chains of evidence, the best supported first. Empty when the value could not be followed at all.
    pub chains: Vec<Chain<'data>>,
    /// The search ended at a limit: chains may be missing.
    pub limit_hit: bool,
    /// What was not looked at, one phrase each.
    pub not_checked: Vec<&'static str>,
}

impl Trail<'_> {
    /// The subject where a stack is full: what the recursion goes along.
    pub const RECURSION: &'static str = "the recursion";
}

/// One way in which the value can have come to the fault.
#[derive(Clone, Debug)]
pub struct Chain<'data> {
    /// What kind of birth it ends in.
    pub kind: BirthKind,
    /// Where the value came into being, or where the trail was lost.
    pub birth: Place<'data>,
    /// The source's or the machine's word for the birth: `returns 0`, `returned by getenv`.
    pub what: String,
    /// Where it was let in: the frame, still on the stack, in which the value did not come as a parameter any more.
    pub gate: Option<Place<'data>>,
    /// Frames between fault and gate that only passed it on, innermost first.
    pub handed_through: Vec<Place<'data>>,
    /// Step by step, from the fault back.
    pub steps: Vec<TrailStep<'data>>,
    /// Nothing else that reaches the fault is consistent with the value.
    pub sole: bool,
    /// Things on the way that weaken the chain, one phrase each.
    pub doubts: Vec<&'static str>,
}

impl Trail<'_> {
    /// Not looked at: stores of other threads.
    pub const OTHER_THREADS: &'static str = "other threads";
    /// Not looked at: [`Trail::limit_hit`].
    pub const BEYOND_LIMITS: &'static str = "what lies beyond the limits of the search";
}

impl Chain<'_> {
    /// A doubt: the value was made or stored inside of a library, whose caller is shown.
    pub const INSIDE_LIBRARY: &'static str = "it was made inside of a library";
    /// A doubt: the code that made the value is a library's, inlined into the function that is shown.
    pub const INLINED_LIBRARY: &'static str = "what the library was asked for was not followed";
    /// A doubt: it is an element of a container, and was found by who puts such elements in.
    pub const PUT_IN: &'static str = "which call put it there is not known";
    /// What is told of a function whose frame was written over.
    pub const FRAME_RUN_OVER: &'static str = "an array of the frame was written past its end";
    /// A doubt: a call that has returned read it from memory whose place is not known any more; who stored it there is not known.
    pub const READ_SOMEWHERE: &'static str = "it was read from memory there; who stored it is not known";
}

/// Kinds of birth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BirthKind {
    /// A function that is no longer on the stack returned a constant.
    ReturnedConstant,
    /// A function that is no longer on the stack returned a value that it computed or found in memory.
    ReturnedComputed,
    /// A function that is no longer on the stack computed it from others.
    ReturnedArithmetic,
    /// A function of a library returned it.
    LibraryResult,
    /// A constant of a function that is still on the stack.
    Constant,
    /// A store put it into the object that it was read from.
    Stored,
    /// A store in a loop or through an index that can not be followed may have put it there.
    StoredSomewhere,
    /// The only store to the global variable that fits.
    GlobalStore,
    /// The global variable still has its initial value.
    GlobalInitial,
    /// The function that made the object never set this part of it.
    NeverSet,
    /// A local variable that nobody has set.
    UninitialisedLocal,
    /// The object was freed.
    Freed,
    /// Text that was written past the end of the object before it.
    Overrun,
    /// The size of the block lost bits when it was computed.
    SizeOverflow,
    /// A number was passed where a text was expected, among arguments of any number and kind.
    Mismatch,
    /// A loop counts further than the object reaches, up to a number that stands in its code.
    Counted,
    /// A function calls itself with what it was called with, or with numbers that it only counts on.
    EndlessRecursion,
    /// The block was moved or unmapped while it was in use.
    Moved,
    /// The file behind a mapping was made shorter.
    FileShortened,
    /// A walk along a list or tree came to its end.
    EndOfList,
    /// Read from memory whose writer was not found.
    Loaded,
    /// The result of arithmetic.
    Arithmetic,
    /// The trail was lost before the birth.
    Unknown,
}

impl BirthKind {
    /// The word in the JSON contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::ReturnedConstant => "returned-constant",
            Self::ReturnedComputed => "returned-computed",
            Self::ReturnedArithmetic => "returned-arithmetic",
            Self::LibraryResult => "library-result",
            Self::Constant => "constant",
            Self::Stored => "stored",
            Self::StoredSomewhere => "stored-somewhere",
            Self::GlobalStore => "global-store",
            Self::GlobalInitial => "global-initial",
            Self::NeverSet => "never-set",
            Self::UninitialisedLocal => "uninitialised-local",
            Self::Freed => "freed",
            Self::Overrun => "overrun",
            Self::SizeOverflow => "size-overflow",
            Self::Mismatch => "mismatch",
            Self::Counted => "counted-too-far",
            Self::EndlessRecursion => "endless-recursion",
            Self::Moved => "moved",
            Self::FileShortened => "file-shortened",
            Self::EndOfList => "end-of-list",
            Self::Loaded => "loaded",
            Self::Arithmetic => "arithmetic",
            Self::Unknown => "unknown",
        }
    }
}
