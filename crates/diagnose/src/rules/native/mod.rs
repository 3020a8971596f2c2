//! Rules for native code: one file and one page each. Which kind a crash is, is decided in one place, [`crate::crash`].

pub(crate) mod abort_called;
pub(crate) mod arithmetic_trap;
pub(crate) mod assertion_failed;
pub(crate) mod bus_error_truncated_file;
pub(crate) mod busy_thread;
pub(crate) mod call_through_bad_pointer;
pub(crate) mod call_through_null;
pub(crate) mod compiler_trap;
pub(crate) mod crash_at_exit;
pub(crate) mod crash_in_signal_handler;
pub(crate) mod division_by_zero;
pub(crate) mod double_free;
pub(crate) mod execute_of_data;
pub(crate) mod go_locks;
pub(crate) mod go_panic_in_core;
pub(crate) mod guard_page;
pub(crate) mod hang_core;
pub(crate) mod heap_corruption;
pub(crate) mod holder_unknown;
pub(crate) mod illegal_instruction;
pub(crate) mod lock_in_signal_handler;
pub(crate) mod lock_owner_gone;
pub(crate) mod misaligned_access;
pub(crate) mod non_canonical_pointer;
pub(crate) mod null_pointer;
pub(crate) mod null_pointer_offset;
pub(crate) mod oom_killed;
pub(crate) mod pool_starved;
pub(crate) mod return_to_bad_address;
pub(crate) mod rust_panic;
pub(crate) mod same_call;
#[cfg(test)]
pub(crate) mod samples;
pub(crate) mod signal_sent;
pub(crate) mod stack_overflow;
pub(crate) mod stack_smashing;
pub(crate) mod truncated_core;
pub(crate) mod uncaught_cpp_exception;
pub(crate) mod unexplained_fault;
pub(crate) mod use_after_free;
pub(crate) mod wild_pointer;
mod wording;
pub(crate) mod write_to_read_only;

use necropsy_model::{Finding, Role, Severity};

use crate::Rule;
use crate::crash::Crash;

/// A finding about a crash: its victim, who handed the bad value through, and the evidence.
pub(crate) fn finding<'data>(rule: &Rule, crash: &Crash<'_, 'data>, title: wording::Title<'data>) -> Finding<'data> {
    let mut places: Vec<_> = crash.victim().into_iter().collect();
    let mut next = vec![advice(rule.doc)];
    for (index, argument) in crash.handed_through() {
        let Some(place) = crash.snapshot.place(crash.thread, index, Role::HandedThrough) else { continue };
        let value = crash.bad_value().unwrap_or_default();
        let function = place.function.as_deref().unwrap_or("the caller");
        next.push(format!("walk outwards: {function} only passed the value on ({argument} = {value:#x})"));
        if places.first().is_none_or(|victim| victim.frame != place.frame) {
            places.push(place);
        }
    }
    let mut evidence = title.words;
    evidence.extend(crash.evidence());
    let (confidence, severity) = (crash.confidence(), Severity::Critical);
    Finding { rule: rule.id, severity, confidence, title: title.text, places, evidence, next }
}

/// The last section of a rule's page, on one line.
pub(crate) fn advice(doc: &str) -> String {
    let section = doc.rsplit("# What to do").next().unwrap_or(doc);
    section.split_whitespace().collect::<Vec<_>>().join(" ")
}
