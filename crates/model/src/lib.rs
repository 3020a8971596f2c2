//! The one data model of necropsy: what a dump says, in the terms of the field.
//!
//! Every stage reads and writes these types and no stage knows another:
//!
//! ```text
//! read -> symbolicate -> group -> diagnose -> report
//! ```
//!
//! Three rules shape all of it:
//!
//! * **Borrow the dump.** One lifetime, `'data`, runs from the mapped file to the report. A string is owned only when it is new.
//! * **Say how you know.** A [`Frame`] has a [`Trust`], an [`Evidence`] has a [`Source`].
//! * **Say why you do not know.** Absence is data ([`Absence`], [`Missing`], [`AddressState`]), never a silent `None`.
//!
//! There is no I/O here and nothing is printed here.

mod address;
pub mod advice;
mod arch;
mod arena;
mod bucket;
mod ending;
mod frame;
mod full;
pub mod go;
mod group;
pub mod hs_err;
mod intern;
pub mod jvm;
mod memory;
mod module;
pub mod oom;
mod pair;
mod process;
mod signal;
mod snapshot;
mod source;
mod spoken;
mod stated;
mod stop;
mod thread;
mod trail;
mod value;
mod vectors;
mod verdict;

pub use address::{Avma, Bias, CodeAddress, Svma};
pub use arch::{Arch, Endianness, Registers};
pub use arena::Arena;
pub use bucket::{Bucket, Occurrence, Seen, SeenBasis, Signature, SignatureFrame, Variant};
pub use ending::begins_the_end;
pub use frame::{Frame, FrameKind, Location, Missing, Symbol, SymbolSource, Trust};
pub use full::Full;
pub use group::{Group, GroupBy, Groups, Similarity, WaitSpread};
pub use intern::{FrameId, Interner, LabelsId, ModuleId, StackId, StateId};
pub use memory::{AddressState, FileBacking, Memory, Permissions, Region};
pub use module::{BuildId, Fetched, Identity, Module, SymbolStatus, Symbols, Verified};
pub use pair::{
    Comparison, Elapsed, ElapsedBasis, GroupChange, Identification, Motion, Order, Pair, PairEvidence, PairFinding,
    PairVerdict, SameProcess,
};
pub use process::{Process, Runtime, Writer};
pub use signal::{CodeName, Signal};
pub use snapshot::{Gap, Snapshot, Stack, StackEnd};
pub use source::{Source, SourceKind, Warning};
pub use spoken::{IN_A_SENTENCE, spoken};
pub use stated::{Meant, Offset, StatedAddress, StatedFile};
pub use stop::{Access, Evidenced, Fault, FaultOperand, Message, MessageKind, Sender, Stop};
pub use thread::{Activity, Lock, State, Thread, ThreadDetail, ThreadFlags, ThreadId, Wait, WaitKind};
pub use trail::{BirthKind, Chain, Trail};
pub use value::{Absence, Field, Value, Variable, VariableKind};
pub use vectors::Vectors;
pub use verdict::{
    Command, Confidence, Deadlock, DeadlockThread, Evidence, Finding, Grade, Origin, Place, Role, Severity,
    Suitability, SuitabilityStatus, Symptom, TrailStep, Verdict,
};

/// Text of a dump: borrowed from it where possible, owned only when it is new (demangled, unescaped, repaired).
pub type Text<'data> = std::borrow::Cow<'data, str>;
