//! How sure a finding is: derived from what it rests on.

use necropsy_model::{AddressState, Confidence, Symbol, SymbolSource, Symptom, Verified};

use crate::crash::Crash;

/// How sure the kind and the victim of a crash are.
///
/// High: the instruction was decoded, agrees with the kernel, and the victim was found by call frame information in a
/// verified file. Each thing that is missing costs one step; a contradiction costs both.
pub(crate) fn of_crash(crash: &Crash<'_, '_>) -> Confidence {
    let mut doubts = 0;
    match crash.fault() {
        Some(fault) => {
            doubts +=
                usize::from(fault.instruction.is_none() && fault.address.is_none_or(|address| address != fault.pc));
            doubts += if contradicts(crash) { 2 } else { 0 };
            // A list of some mappings does not prove that there was no other.
            doubts += usize::from(fault.state == Some(AddressState::NotListed));
        }
        // A sent signal has no instruction to look at.
        None => {
            let unseen =
                |signal: necropsy_model::Signal| signal.code.map_or_else(|| signal.is_fault_signal(), |code| code > 0);
            doubts += usize::from(crash.stop.signal.is_some_and(unseen));
        }
    }
    if let Some(place) = crash.victim() {
        let weak = place.trust.is_some_and(necropsy_model::Trust::is_weak);
        let frame = place.frame.and_then(|index| crash.snapshot.frames_of(crash.thread()?).nth(index));
        let guessed = frame.is_some_and(|frame| frame.symbol == Symbol::Found(SymbolSource::Nearest));
        let module = frame.and_then(|frame| frame.module).and_then(|id| crash.snapshot.module(id));
        let unverified = module.is_some_and(|module| module.symbols.verified == Some(Verified::PathOnly));
        doubts += usize::from(weak || guessed || unverified);
    } else {
        doubts += 1;
    }
    match doubts {
        0 => Confidence::High,
        1 => Confidence::Medium,
        _ => Confidence::Low,
    }
}

/// The kernel reported an address that the instruction can not have used.
fn contradicts(crash: &Crash<'_, '_>) -> bool {
    const SI_KERNEL: i32 = 0x80;
    const PAGE: u64 = 4096;
    let faulted = crash.stop.signal.is_some_and(|signal| {
        signal.code.is_some_and(|code| code > 0 && code != SI_KERNEL) && matches!(signal.number, 7 | 11)
    });
    let addresses = crash.stop.address.zip(crash.fault().and_then(|fault| fault.address));
    faulted && addresses.is_some_and(|(reported, used)| reported.0.abs_diff(used.0) > PAGE)
}

/// How sure the verdict is: as its first finding. That a signal was sent is certain, that the process hung before is not; what
/// proves it is a finding of its own, such as a deadlock.
pub(crate) fn of_verdict(
    case: &crate::Case<'_, '_>,
    first: Option<&necropsy_model::Finding<'_>>,
    symptom: Symptom,
) -> Confidence {
    let confidence = first.map(|finding| finding.confidence).unwrap_or_default();
    let hang = matches!(symptom, Symptom::HangIdle | Symptom::HangBusy);
    let by_signal = first.is_some_and(|finding| finding.rule == crate::rules::native::signal_sent::RULE.id);
    if hang && by_signal { confidence.min(of_hang(case)) } else { confidence }
}

/// How sure it is that a process hung: every thread's state must be known.
pub(crate) fn of_hang(case: &crate::Case<'_, '_>) -> Confidence {
    let unknown =
        |thread: &&necropsy_model::Thread<'_>| case.snapshot.activity(thread) == necropsy_model::Activity::Unknown;
    if case.snapshot.threads.iter().any(|thread| unknown(&thread)) { Confidence::Low } else { Confidence::Medium }
}
