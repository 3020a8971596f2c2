//! Which kind of failure the dump shows, and what in the dump shows it.

mod evidence;

use necropsy_model::{MessageKind, Runtime, Symptom};

use crate::Case;
use crate::crash::{Crash, Kind};
use crate::rules::native::hang_core;

pub(crate) use evidence::evidence;

/// What processes, their libraries and the kernel say when memory runs out.
const OUT_OF_MEMORY: [&str; 12] = [
    "std::bad_alloc",
    "out of memory",
    "out-of-memory",
    "OutOfMemoryError",
    "Out of memory",
    // Rust's `handle_alloc_error`.
    "memory allocation of",
    "Cannot allocate memory",
    "cannot allocate memory",
    // A cgroup's limit in the log of the kernel, and as container runtimes tell it.
    "oom-kill",
    "OOMKilled",
    // V8 says "JavaScript heap out of memory"; HotSpot this.
    "insufficient memory for the Java Runtime Environment",
    "MemoryError",
];

/// Somebody says that memory ran out.
pub(crate) fn is_out_of_memory(text: &str) -> bool {
    OUT_OF_MEMORY.iter().any(|mark| text.contains(mark))
}

/// The symptom, from the stop, the last words and what the threads did.
pub(crate) fn of(case: &Case<'_, '_>) -> Symptom {
    let stop = case.snapshot.stop.as_ref();
    let said = |is: fn(&str) -> bool| stop.is_some_and(|stop| stop.messages.iter().any(|message| is(&message.text)));
    if said(is_out_of_memory) {
        return Symptom::OutOfMemory;
    }
    if said(|text| text.contains("all goroutines are asleep")) {
        return Symptom::HangIdle;
    }
    if hang_core::is_hang(case) {
        let busy = hang_core::running(case).next().is_some();
        let asked_for = case.snapshot.stop.is_none();
        return if asked_for && hang_core::tells_nothing(case) {
            Symptom::Unclear
        } else if busy {
            Symptom::HangBusy
        } else {
            Symptom::HangIdle
        };
    }
    let crash = Crash::of(case);
    match crash.and_then(|crash| crash.kind()) {
        Some(Kind::GoPanic) => Symptom::ManagedCrash,
        // With `GOTRACEBACK=crash` the runtime of Go aborts by itself behind a panic (`dieFromSignal` of runtime/signal_unix.go),
        // whose frames have no names here.
        Some(Kind::Abort) if case.snapshot.process.runtime == Some(Runtime::Go) => Symptom::ManagedCrash,
        Some(Kind::SignalSent) if !crash.is_some_and(|crash| crash.raised_itself()) => Symptom::Unclear,
        Some(_) => Symptom::NativeCrash,
        None => by_words(case),
    }
}

/// A text dump has no signal, only words.
fn by_words(case: &Case<'_, '_>) -> Symptom {
    let mut messages = case.snapshot.stop.iter().flat_map(|stop| &stop.messages);
    let managed = |kind| matches!(kind, MessageKind::GoPanic | MessageKind::GoFatal | MessageKind::Java);
    if messages.any(|message| managed(message.kind)) { Symptom::ManagedCrash } else { Symptom::Unclear }
}
