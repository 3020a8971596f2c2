//! Which kind of failure the dump shows.

use necropsy_model::{MessageKind, Symptom};

use crate::Case;
use crate::crash::{Crash, Kind};
use crate::rules::native::hang_core;

/// What processes say when memory runs out.
const OUT_OF_MEMORY: [&str; 6] = [
    "std::bad_alloc",
    "out of memory",
    "OutOfMemoryError",
    "Out of memory",
    "Cannot allocate memory",
    "memory allocation of",
];

/// The symptom, from the stop, the last words and what the threads did.
pub(crate) fn of(case: &Case<'_, '_>) -> Symptom {
    let stop = case.snapshot.stop.as_ref();
    let said = |mark: &str| stop.is_some_and(|stop| stop.messages.iter().any(|message| message.text.contains(mark)));
    if OUT_OF_MEMORY.iter().any(|mark| said(mark)) {
        return Symptom::OutOfMemory;
    }
    if said("all goroutines are asleep") {
        return Symptom::HangIdle;
    }
    if hang_core::is_hang(case) {
        let busy = hang_core::running(case).next().is_some();
        return if busy { Symptom::HangBusy } else { Symptom::HangIdle };
    }
    let crash = Crash::of(case);
    match crash.and_then(|crash| crash.kind()) {
        Some(Kind::GoPanic) => Symptom::ManagedCrash,
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
