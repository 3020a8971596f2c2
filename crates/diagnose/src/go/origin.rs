//! Where a bad value came from, as far as the text of a Go dump tells: the first panic of a chain; and who passed a nil.

use necropsy_model::{Confidence, Finding, Frame, FrameKind, Grade, Origin, Place, Role, TrailStep};

use super::Go;
use super::panics::{NIL_PAGE, is_nil};

/// The origin, by what the rules named and what the runtime printed.
pub(super) fn of<'data>(
    go: &Go<'_, 'data>,
    findings: &[Finding<'data>],
    crash: Option<&Place<'data>>,
) -> Option<Origin<'data>> {
    let finding = findings.iter().find(|finding| matches!(finding.rule, "go-panic" | "go-nil-dereference"))?;
    first_panic(finding, crash).or_else(|| passed_nil(go))
}

/// The place where a chain of panics began is the finding's origin place, where a rule named one.
fn first_panic<'data>(finding: &Finding<'data>, crash: Option<&Place<'data>>) -> Option<Origin<'data>> {
    let birth = finding.places.iter().find(|place| place.role == Role::Origin)?;
    // The frame that died is no origin of itself.
    if crash.is_some_and(|crash| crash.frame == birth.frame && crash.thread == birth.thread) {
        return None;
    }
    Some(Origin {
        birth: birth.clone(),
        kind: "first panic of the chain".to_owned(),
        value: None,
        confidence: finding.confidence,
        grade: Grade::B,
        why: "the first panic of the chain, as the runtime printed it".to_owned(),
        not_checked: Vec::new(),
        gate: None,
        handed_through: Vec::new(),
        alternatives: Vec::new(),
        trail: Vec::new(),
    })
}

/// The frame that passed a nil to the frames above it: the runtime prints the words of their arguments (`traceback.go`,
/// `printArgs`). Who made it is not in the text, so that nobody is blamed.
///
/// Since Go 1.17 arguments come in registers, and `?` marks a word of which the runtime does not know whether it was put away yet. Such
/// a 0 counts for the receiver of the method that died only: the fault itself says that it is nil.
fn passed_nil<'data>(go: &Go<'_, 'data>) -> Option<Origin<'data>> {
    let stop = go.snapshot.stop.as_ref().filter(|_| is_nil(go))?;
    go.facts.signal.as_ref()?.address.filter(|&address| address < NIL_PAGE)?;
    let thread = stop.thread?;
    let shown = go.snapshot.threads.get(thread)?;
    let frames: Vec<&Frame<'_>> = go.snapshot.frames_of(shown).collect();
    let sample = go.facts.samples.iter().find(|sample| usize::try_from(sample.thread) == Ok(thread))?;
    // Inlined calls have no words: theirs are among those of the next frame that has any.
    let outer = |from: usize| (from..frames.len()).find(|&at| !frames[at].inlined);
    let victim = outer(stop.frame)?;
    let is_method = |at: usize| frames[at].function.as_deref().is_some_and(|name| name.contains(".(*"));
    let nil = |at: usize| {
        sample.arguments.iter().find(|word| {
            let receiver = at == stop.frame && word.position == 0 && is_method(at);
            usize::from(word.frame) == at && word.value == 0 && (!word.stale || receiver)
        })
    };
    nil(victim)?;
    let callers = std::iter::successors(Some(victim), |&at| outer(at + 1)).take_while(|&at| nil(at).is_some());
    let passed: Vec<usize> = callers.collect();
    let gate = passed.last()? + 1;
    frames.get(gate).filter(|frame| frame.kind != FrameKind::Runtime)?;
    let place = |at: usize, role| go.snapshot.place(thread, at, role);
    let step = |&at: &usize| {
        let position = nil(at)?.position + 1;
        let text = format!("word {position} of its arguments is 0");
        Some(TrailStep { place: place(at, Role::Related)?, step: "parameter", text, source: shown.source })
    };
    Some(Origin {
        birth: place(gate, Role::Origin)?,
        kind: "unknown".to_owned(),
        value: Some("nil".to_owned()),
        confidence: Confidence::Low,
        grade: Grade::D,
        why: "it passed a nil; who made it, a text does not tell".to_owned(),
        not_checked: vec!["what the calls before it returned".to_owned()],
        gate: place(gate, Role::Gate),
        handed_through: passed
            .iter()
            .filter(|&&at| at != stop.frame)
            .filter_map(|&at| place(at, Role::Related))
            .collect(),
        alternatives: Vec::new(),
        trail: passed.iter().filter_map(step).collect(),
    })
}

#[cfg(test)]
mod tests {
    use necropsy_model::go::{GoArgument, GoSample};

    use super::*;
    use crate::go::samples::Dump;

    const WORDS: &str = "runtime error: invalid memory address or nil pointer dereference";

    /// Words of arguments as (frame, position, value, stale), of a stack of three calls.
    fn gate(innermost: &'static str, words: &[(u16, u16, u64, bool)]) -> Option<(String, usize)> {
        let calls = [innermost, "main.process", "main.main"];
        let mut dump = Dump::panic(WORDS).signal("SIGSEGV", 0x18, false).add(1, "running", &calls);
        let argument = |&(frame, position, value, stale): &_| GoArgument { frame, position, value, stale };
        let arguments = words.iter().map(argument).collect();
        dump.facts().samples.push(GoSample { thread: 0, stack: None, arguments });
        let go = Go { snapshot: &dump.snapshot, facts: dump.snapshot.go.as_deref()?, groups: &dump.groups };
        let origin = passed_nil(&go)?;
        Some((origin.gate?.function?.into_owned(), origin.handed_through.len()))
    }

    #[test]
    fn the_caller_of_the_outermost_frame_that_got_a_nil_passed_it() {
        let process = Some(("main.process".to_owned(), 0));
        assert_eq!(gate("main.refund", &[(0, 0, 0, false), (1, 0, 7, false)]), process);
        assert_eq!(gate("main.refund", &[(0, 1, 0, false), (1, 0, 0, false)]), Some(("main.main".to_owned(), 1)));
        assert_eq!(gate("main.(*Account).Balance", &[(0, 0, 0, true), (1, 0, 0, true)]), process);
    }

    #[test]
    fn a_word_that_may_be_stale_tells_nothing() {
        assert_eq!(gate("main.refund", &[(0, 0, 0, true)]), None);
        assert_eq!(gate("main.(*Account).Balance", &[(0, 1, 0, true)]), None);
        assert_eq!(gate("main.refund", &[(0, 0, 0xc000, false)]), None);
    }
}
