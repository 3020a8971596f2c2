//! What happens to each field of the model. A field that is not named here does not compile.

use necropsy_model::hs_err::Said;
use necropsy_model::{
    Chain, Evidenced, Fault, FaultOperand, Fetched, FileBacking, Frame, Identity, Location, Lock, Message, MessageKind,
    Module, Place, Process, Snapshot, Stack, StackEnd, State, Stop, Symbols, Text, Thread, ThreadDetail, Trail,
    TrailStep, Value, Variable, Wait, Warning,
    jvm::{Joined, JvmFacts},
    oom::{OomKill, OomTask},
};

use crate::Redactor;
use crate::placeholder::Kind;

/// Something with parts that must not be shown.
pub(crate) trait Redact {
    /// Replaces them.
    fn redact(&mut self, redactor: &mut Redactor);
}

/// Texts inside something.
pub(crate) trait Texts {
    /// Calls for each of them.
    fn each(&mut self, replace: &mut dyn FnMut(&str) -> String);
}

impl Texts for Text<'_> {
    fn each(&mut self, replace: &mut dyn FnMut(&str) -> String) {
        let new = replace(self);
        if new != **self {
            *self = new.into();
        }
    }
}

impl Texts for String {
    fn each(&mut self, replace: &mut dyn FnMut(&str) -> String) {
        *self = replace(self);
    }
}

impl<T: Texts> Texts for Option<T> {
    fn each(&mut self, replace: &mut dyn FnMut(&str) -> String) {
        if let Some(text) = self {
            text.each(replace);
        }
    }
}

impl<T: Texts> Texts for Vec<T> {
    fn each(&mut self, replace: &mut dyn FnMut(&str) -> String) {
        for text in self {
            text.each(replace);
        }
    }
}

impl<T: Texts> Texts for Said<T> {
    fn each(&mut self, replace: &mut dyn FnMut(&str) -> String) {
        let Said { value, source: _ } = self;
        value.each(replace);
    }
}

/// A text with something that stays beside it: a source, a number.
impl<T: Texts, U> Texts for (T, U) {
    fn each(&mut self, replace: &mut dyn FnMut(&str) -> String) {
        self.0.each(replace);
    }
}

impl<T: Redact> Redact for Option<T> {
    fn redact(&mut self, redactor: &mut Redactor) {
        if let Some(part) = self {
            part.redact(redactor);
        }
    }
}

impl<T: Redact> Redact for Vec<T> {
    fn redact(&mut self, redactor: &mut Redactor) {
        for part in self {
            part.redact(redactor);
        }
    }
}

impl<T: Redact> Redact for Box<T> {
    fn redact(&mut self, redactor: &mut Redactor) {
        (**self).redact(redactor);
    }
}

/// What the tables say of a field.
impl Redactor {
    /// It stays: a number, a word of ours, the structure.
    #[allow(clippy::unused_self, reason = "it stands in the tables beside those that need it")]
    pub(crate) fn keep<T>(&mut self, _: &mut T) {}

    /// It is a structure with a table of its own.
    pub(crate) fn inner(&mut self, part: &mut impl Redact) {
        part.redact(self);
    }

    /// It is left out.
    #[allow(clippy::unused_self, reason = "it stands in the tables beside those that need it")]
    pub(crate) fn erase<T: Default>(&mut self, part: &mut T) {
        *part = T::default();
    }

    /// The path of a module or of a source file.
    pub(crate) fn path(&mut self, texts: &mut impl Texts) {
        texts.each(&mut |text| self.file_path(text));
    }

    /// Words that may quote those of the program.
    pub(crate) fn sentence(&mut self, texts: &mut impl Texts) {
        texts.each(&mut |text| self.free(text));
    }

    /// What the program said.
    pub(crate) fn words(&mut self, texts: &mut impl Texts) {
        texts.each(&mut |text| self.message(text));
    }

    /// Name of a thread.
    pub(crate) fn thread(&mut self, texts: &mut impl Texts) {
        texts.each(&mut |text| self.thread_name(text));
    }

    /// A program and its arguments.
    pub(crate) fn command(&mut self, texts: &mut impl Texts) {
        texts.each(&mut |text| self.command_line(text));
    }

    /// Host name.
    pub(crate) fn host(&mut self, texts: &mut impl Texts) {
        texts.each(&mut |text| self.remembered(Kind::Host, text));
    }
}

macro_rules! table {
    ($(#[$doc:meta])* $name:ident $(<$life:lifetime>)? { $($field:ident: $how:ident),* $(,)? }) => {
        $(#[$doc])*
        impl $crate::table::Redact for $name $(<$life>)? {
            fn redact(&mut self, redactor: &mut $crate::Redactor) {
                let $name { $($field),* } = self;
                $(redactor.$how($field);)*
            }
        }
    };
}
pub(crate) use table;

table!(
    /// Frames come before sentences, which quote what stands in them; threads come before messages for the same reason.
    Snapshot<'_> {
        format: keep, process: inner, modules: inner, threads: inner, labels: label_sets, frames: inner, stacks: inner,
        states: inner, stop: inner, memory: keep, go: inner, jvm: inner, hs_err: inner,
        oom: inner, warnings: inner,
    }
);
table!(Process<'_> {
    pid: keep, parent_pid: keep, uid: keep, exe: path, command_line: command, command_line_cut: keep, runtime: keep,
    runtime_version: keep, arch: keep, pointer_mask: keep, os: sentence, build_id: keep, taken_at: keep, writer: keep,
});
table!(Module<'_> {
    path: path, deleted: keep, build_id: keep, base: keep, size: keep, bias: keep, stated: keep, is_executable: keep,
    symbols: inner, identity: inner,
});
table!(Symbols { status: keep, from: sentence, verified: keep, reason: sentence, fetched: inner });
table!(
    /// The server may be one of the house.
    Fetched { what: sentence, outcome: keep, server: host, bytes: keep, milliseconds: keep, why: sentence }
);
table!(Identity { soname: keep, needed: keep, interpreter: path, runpaths: sentence });
table!(Thread<'_> {
    id: keep, source: keep, stack: keep, state: keep, created_by: keep, labels: keep, waited_s: keep, flags: keep,
    detail: inner,
});
table!(ThreadDetail<'_> {
    name: thread, os_id: keep, registers: keep, vectors: keep, thread_pointer: keep, cpu: keep, elapsed: keep,
    priority: keep, holds: inner, by_guard: keep, may_hold: keep, waits_on: inner, created_in: keep, syscall: keep, carries: keep,
});
table!(
    /// The name of a lock is a class or a variable.
    Lock<'_> { id: keep, name: sentence }
);
table!(Wait<'_> { kind: keep, lock: inner, owner: keep, limited: keep, source: keep });
table!(State<'_> { text: sentence, activity: keep });
table!(
    /// Names of functions are the structure that stays. The numbers of classes made at run time are addresses.
    Frame<'_> {
        function: keep, module: keep, svma: keep, address: keep, location: inner, inlined: keep, optimized: keep,
        kind: keep, trust: keep, symbol: keep, variables: inner,
    }
);
table!(
    /// The text of a source line is left out: it may hold string literals, and the line number stays.
    Location<'_> { file: path, line: keep, text: erase }
);
table!(Variable<'_> { name: keep, type_name: keep, kind: keep, value: inner });
table!(Stack { frames: keep, gap: keep, end: inner });
table!(Stop<'_> {
    signal: keep, thread: keep, frame: keep, address: keep, sender: keep, fault: inner, trail: inner, messages: inner,
    original: inner, source: keep,
});
table!(Fault<'_> {
    pc: keep, instruction: keep, access: keep, address: keep, size: keep, operand: inner, state: keep, permissions: keep,
    file: path, non_canonical: keep, misaligned: keep, expression: keep, pointer: keep, divisor: keep, is_trap: keep,
    is_branch: keep, is_return: keep, via: keep, below_stack_pointer: keep, stack: keep, stack_state: keep,
    value_facts: inner,
});
table!(FaultOperand { base: keep, index: keep, displacement: keep, text: keep });
table!(Evidenced { kind: keep, text: sentence, source: keep });
table!(Trail<'_> { subject: sentence, value: keep, chains: inner, limit_hit: keep, not_checked: keep });
table!(Chain<'_> {
    kind: keep, birth: inner, what: sentence, gate: inner, handed_through: inner, steps: inner, sole: keep, doubts: keep,
});
table!(TrailStep<'_> { place: inner, step: keep, text: sentence, source: keep });
table!(Place<'_> {
    thread: keep, frame: keep, function: keep, module: path, svma: keep, location: inner, inlined: keep, trust: keep,
    role: keep,
});
table!(Warning<'_> { text: sentence, source: keep });
table!(FileBacking<'_> { path: path, offset: keep });
table!(OomKill<'_> {
    killed: inner, invoked_by: thread, scope: keep, cgroup: path, usage: keep, limit: keep, tasks: inner, cut: keep, source: keep,
});
table!(OomTask<'_> { pid: keep, name: thread, resident: keep, score: keep, source: keep });
table!(JvmFacts<'_> { reported_deadlocks: thread, lists_synchronizers: keep, is_openj9: keep, joined: inner });
table!(Joined { format: keep, path: sentence, threads: keep, virtual_threads: keep, stacks: keep, objects: keep });

impl Redact for Message<'_> {
    fn redact(&mut self, redactor: &mut Redactor) {
        let Message { text, kind, source: _ } = self;
        match kind {
            // These are words of a C library, of the compiler's code or of a virtual machine.
            MessageKind::Heap
            | MessageKind::StackSmash
            | MessageKind::Java
            | MessageKind::GoFatal
            | MessageKind::Kernel => {
                redactor.sentence(text);
            }
            MessageKind::Assert
            | MessageKind::Terminate
            | MessageKind::RustPanic
            | MessageKind::GoPanic
            | MessageKind::Other => redactor.words(text),
        }
    }
}

impl Redact for StackEnd {
    fn redact(&mut self, redactor: &mut Redactor) {
        match self {
            Self::Complete => {}
            Self::Broken(reason) => redactor.sentence(reason),
        }
    }
}

impl Redactor {
    /// Label sets: names stay, values go.
    fn label_sets(&mut self, sets: &mut [Vec<(Text<'_>, Text<'_>)>]) {
        for (_, value) in sets.iter_mut().flatten() {
            *value = self.remembered(Kind::Label, value).into();
        }
    }
}

impl Redact for Value<'_> {
    fn redact(&mut self, redactor: &mut Redactor) {
        let placeholder = match self {
            // NULL and zero are what a crash is about, and say nothing about anybody.
            Value::Absent(_) | Value::Int(0) | Value::Uint(0) => return,
            Value::Int(number) => redactor.placeholder(Kind::Int, &number.to_string()),
            Value::Uint(number) => redactor.placeholder(Kind::Int, &number.to_string()),
            Value::Float(number) => redactor.placeholder(Kind::Float, &number.to_string()),
            Value::Bool(truth) => redactor.placeholder(Kind::Bool, if *truth { "true" } else { "false" }),
            Value::Char(code) => redactor.placeholder(Kind::Char, &code.to_string()),
            Value::Enum { name, value } => {
                let name = name.as_deref().map_or_else(|| value.to_string(), str::to_owned);
                redactor.placeholder(Kind::Enum, &name)
            }
            // The address becomes a placeholder when it is written; rules compare it before.
            Value::Pointer { address: _, symbol: _, target } => return redactor.inner(target),
            Value::Text { text, cut } => {
                *text = redactor.remembered(Kind::Text, text).into();
                *cut = false;
                return;
            }
            Value::Struct { variant: _, fields } => {
                return fields.iter_mut().for_each(|field| field.value.redact(redactor));
            }
            Value::Array { elements, length: _ } => return redactor.inner(elements),
            Value::Printed(text) => redactor.printed(text),
        };
        *self = Value::Printed(placeholder.into());
    }
}
