//! Origins that the stack itself shows, without following a value: where an exception was thrown, whose frame was
//! overwritten; and, where only the failed check is known, that check as the nearest evidence.

use necropsy_model::{
    Frame, Gap, Grade, MessageKind, Origin, Place, Role, Source, Trail, TrailStep, Value, VariableKind,
};

use super::confidence;
use crate::crash::{Crash, Kind};

/// Arrays of a smashed frame that are named.
const MOST_ARRAYS: usize = 4;
/// Arguments of a recursion that are named.
const MOST_ARGUMENTS: usize = 4;

/// The place where an exception that nobody caught was thrown.
///
/// The search for a handler is the first of two phases (Itanium C++ ABI, "Exception Handling", 1.3): when it finds none,
/// nothing has been unwound yet, and the thrower is still on the stack, above `__cxa_throw`.
pub(super) fn thrown<'data>(crash: &Crash<'_, 'data>) -> Option<Origin<'data>> {
    let throws = |frame: &Frame<'_>| frame.function.as_deref().is_some_and(|name| name.starts_with("__cxa_throw"));
    let mut frames = crash.frames().skip_while(|(_, frame)| !throws(frame));
    let (throw, _) = frames.next().filter(|_| crash.kind() == Some(Kind::UncaughtCppException))?;
    let (index, _) = frames.find(|(_, frame)| !crash.noise.is_frame(crash.snapshot, frame))?;
    let (kind, grade, why) = if index == throw + 1 {
        ("thrown", Grade::B, "it called __cxa_throw, and nothing was unwound since")
    } else {
        // Which of the program's values the library did not like is not seen by that.
        ("unknown", Grade::D, "what it called in a library threw; what it gave to it was not followed")
    };
    Site { crash, index, kind, grade, why, step: "throw" }.origin(said(crash, MessageKind::Terminate))
}

/// Who made or unmade the object whose virtual function was called before there was one.
///
/// While a constructor or a destructor of a base class runs, the object is of that class (Itanium C++ ABI, 2.6.2, "Virtual Tables
/// During Object Construction"): a function that only a derived class has leads to `__cxa_pure_virtual`.
pub(super) fn half_made<'data>(crash: &Crash<'_, 'data>) -> Option<Origin<'data>> {
    let pure = |frame: &Frame<'_>| {
        let name = frame.function.as_deref();
        name.is_some_and(|name| matches!(name, "__cxa_pure_virtual" | "__cxa_deleted_virtual"))
    };
    let mut frames = crash.frames().skip_while(|(_, frame)| !pure(frame));
    frames.next().filter(|_| crash.kind() == Some(Kind::UncaughtCppException))?;
    let makes = |frame: &Frame<'_>| frame.function.as_deref().is_some_and(is_constructor_or_destructor);
    let (index, _) = frames.find(|(_, frame)| makes(frame) && !crash.noise.is_frame(crash.snapshot, frame))?;
    let why = "it still runs, and until it is through the object has no such function";
    Site { crash, index, kind: "half-made", grade: Grade::C, why, step: "half-made" }.origin(None)
}

/// A constructor (`a::B::B(int)`) or a destructor (`a::B::~B()`), by its name.
fn is_constructor_or_destructor(function: &str) -> bool {
    let (mut depth, mut end, mut parts) = (0_usize, function.len(), vec![0]);
    for (at, character) in function.char_indices() {
        match character {
            '<' => depth += 1,
            '>' => depth = depth.saturating_sub(1),
            ':' if depth == 0 && function.get(at..at + 2) == Some("::") => parts.push(at + 2),
            '(' if depth == 0 && at > 0 => {
                end = at;
                break;
            }
            _ => {}
        }
    }
    let [.., class, own] = parts.as_slice() else { return false };
    let name = |text: Option<&str>| text.map(|text| text.split('<').next().unwrap_or(text).to_owned());
    let class = name(function.get(*class..own.saturating_sub(2)));
    let own = name(function.get(*own..end));
    class.is_some() && own.map(|own| own.trim_start_matches('~').to_owned()) == class
}

/// The function whose own frame was written over: its canary is dead, or its return address is.
pub(super) fn smashed<'data>(crash: &Crash<'_, 'data>) -> Option<Origin<'data>> {
    let checks = |frame: &Frame<'_>| {
        frame.function.as_deref().is_some_and(|name| name.trim_start_matches("__GI_").starts_with("__stack_chk_fail"))
    };
    let (index, why) = match crash.kind()? {
        Kind::StackSmashing => {
            let (check, _) = crash.frames().find(|(_, frame)| checks(frame))?;
            (check + 1, "its stack canary was overwritten; only a write past the end of one of its variables does that")
        }
        Kind::ReturnToBadAddress if crash.fault().is_some_and(|fault| fault.is_return) => {
            (crash.stop.frame, "its own return address was overwritten when it came to return")
        }
        _ => return None,
    };
    let frame = crash.frames().find(|(at, _)| *at == index).map(|(_, frame)| frame)?;
    if crash.noise.is_frame(crash.snapshot, frame) {
        return None;
    }
    Site { crash, index, kind: "overrun-of-local", grade: Grade::C, why, step: "overrun" }.origin(arrays(frame))
}

/// The function that calls itself with what it was called with: nothing it does can end that.
pub(super) fn unchanged<'data>(crash: &Crash<'_, 'data>) -> Option<Origin<'data>> {
    let gap = crash.kind().filter(|&kind| kind == Kind::StackOverflow).and_then(|_| gap(crash))?;
    // One turn before the frames that are not listed, and one behind them: far apart.
    let (last, first) = (gap.period.filter(|&period| period == 1).and(gap.after.checked_sub(1))?, gap.after);
    let frame = |index| crash.frames().find(|(at, _)| *at == index).map(|(_, frame)| frame);
    let (late, early) = (frame(last)?, frame(first)?);
    if late.function.is_none() || late.function != early.function || crash.noise.is_frame(crash.snapshot, late) {
        return None;
    }
    let given = parameters(late);
    if given != parameters(early) || given.iter().any(|(_, value)| matches!(value, Value::Absent(_))) {
        return None;
    }
    // A structure that it reads, and that leads back into itself, is followed by the trail.
    if given.is_empty() || crash.stop.trail.as_deref().is_some_and(|trail| trail.subject == Trail::RECURSION) {
        return None;
    }
    let words = given.iter().filter_map(|(name, value)| Some(format!("{} = {}", (*name)?, argument(value)?)));
    let words: Vec<_> = words.take(MOST_ARGUMENTS).collect();
    let words = format!("{} frames apart, it was called with the same {}", gap.omitted, words.join(", "));
    let words = Some((words, Source::DUMP));
    let why = "its arguments are the same turn after turn";
    Site { crash, index: last, kind: "endless-recursion", grade: Grade::C, why, step: "recursion" }.origin(words)
}

/// The parameters of a frame with their values.
fn parameters<'a, 'data>(frame: &'a Frame<'data>) -> Vec<(Option<&'a str>, &'a Value<'data>)> {
    let given = frame.variables.iter().filter(|variable| variable.kind == VariableKind::Argument);
    given.map(|variable| (variable.name.as_deref(), &variable.value)).collect()
}

/// An argument in words, where it is one word.
fn argument(value: &Value<'_>) -> Option<String> {
    match value {
        Value::Int(number) => Some(number.to_string()),
        Value::Uint(number) => Some(number.to_string()),
        Value::Pointer { address, .. } => Some(format!("{address:#x}")),
        _ => None,
    }
}

/// The check that failed, where the value that made it fail was not found: it blames nobody.
pub(super) fn nearest<'data>(crash: &Crash<'_, 'data>) -> Option<Origin<'data>> {
    let (why, said_by) = match crash.kind()? {
        Kind::AssertionFailed => {
            ("the check that failed is known; the value that made it fail was not followed", Some(MessageKind::Assert))
        }
        Kind::Abort => ("it called abort; what made it do so was not followed", Some(MessageKind::Other)),
        Kind::RustPanic => {
            ("the panic is known; the value that led to it was not followed", Some(MessageKind::RustPanic))
        }
        Kind::DoubleFree => {
            ("the second release is known; the first left no trace of its place", Some(MessageKind::Heap))
        }
        Kind::HeapCorruption => {
            ("the allocator noticed it here; what did the damage came before", Some(MessageKind::Heap))
        }
        Kind::StackOverflow => ("the recursion is known; what it goes through without end was not followed", None),
        _ => return None,
    };
    let place = crash.victim()?;
    let index = place.frame?;
    let words = said_by.and_then(|kind| said(crash, kind)).or_else(|| recursion(crash));
    Site { crash, index, kind: "unknown", grade: Grade::D, why, step: "check" }.origin(words)
}

/// A frame that is shown as origin.
struct Site<'a, 'b, 'data> {
    crash: &'a Crash<'b, 'data>,
    index: usize,
    kind: &'static str,
    grade: Grade,
    why: &'static str,
    step: &'static str,
}

impl<'data> Site<'_, '_, 'data> {
    /// An origin with one step: what the frame shows, and what the process said.
    fn origin(self, words: Option<(String, Source)>) -> Option<Origin<'data>> {
        let Self { crash, index, kind, grade, why, step } = self;
        let birth = crash.snapshot.place(crash.thread, index, Role::Origin)?;
        let (_, frame) = crash.frames().find(|(at, _)| *at == index)?;
        let seen = frame.pc().map_or(Source::DUMP, |pc| crash.snapshot.memory.source(pc));
        let (text, source) = words.unwrap_or_else(|| (why.to_owned(), seen));
        let place = Place { role: Role::Related, ..birth.clone() };
        Some(Origin {
            birth,
            kind: kind.to_owned(),
            value: None,
            confidence: confidence(grade),
            grade,
            why: why.to_owned(),
            not_checked: Vec::new(),
            gate: None,
            handed_through: Vec::new(),
            alternatives: Vec::new(),
            trail: vec![TrailStep { place, step, text, source }],
        })
    }
}

/// What the process said of it.
fn said(crash: &Crash<'_, '_>, kind: MessageKind) -> Option<(String, Source)> {
    let mut messages = crash.last.messages.iter();
    messages.find(|message| message.kind == kind).map(|message| (message.text.replace('\n', " "), message.source))
}

/// The arrays of a frame: what was written past its end is one of them.
fn arrays(frame: &Frame<'_>) -> Option<(String, Source)> {
    let is_array = |value: &Value<'_>| matches!(value, Value::Array { .. } | Value::Text { .. });
    let locals = frame.variables.iter().filter(|variable| variable.kind == VariableKind::Local);
    let named = locals.filter(|variable| is_array(&variable.value)).filter_map(|variable| {
        let type_name = variable.type_name.as_deref().map(|name| format!(" ({name})")).unwrap_or_default();
        Some(format!("{}{type_name}", variable.name.as_deref()?))
    });
    let mut names: Vec<_> = named.take(MOST_ARRAYS + 1).collect();
    if let Some(beyond) = names.get_mut(MOST_ARRAYS) {
        "…".clone_into(beyond);
    }
    (!names.is_empty()).then(|| (format!("arrays in its frame: {}", names.join(", ")), Source::DUMP))
}

/// Where frames of a recursion are not listed.
fn gap(crash: &Crash<'_, '_>) -> Option<Gap> {
    crash.thread()?.stack.and_then(|id| crash.snapshot.stack(id))?.gap
}

/// The functions of one turn of a recursion.
fn recursion(crash: &Crash<'_, '_>) -> Option<(String, Source)> {
    let gap = gap(crash)?;
    let period = gap.period?;
    let first = gap.after.checked_sub(period)?;
    let turn = crash.frames().filter(|(index, _)| (first..gap.after).contains(index));
    let names: Vec<_> = turn.filter_map(|(_, frame)| frame.function.as_deref()).collect();
    let turns = gap.omitted.checked_div(period as u64).unwrap_or_default();
    (!names.is_empty()).then(|| (format!("{turns} turns of {}", names.join(" < ")), Source::DUMP))
}

#[cfg(test)]
mod tests {
    use necropsy_model::{Access, Avma, Confidence, Fault, Groups, Message, Signal, Snapshot, Variable};

    use super::*;
    use crate::Case;
    use crate::rules::native::samples::stopped;

    fn way<'data>(
        way: fn(&Crash<'_, 'data>) -> Option<Origin<'data>>,
        snapshot: &Snapshot<'data>,
    ) -> Option<Origin<'data>> {
        let groups = Groups::default();
        Crash::of(&Case { snapshot, groups: &groups, noise: &crate::Noise::default() }).and_then(|crash| way(&crash))
    }

    #[test]
    fn the_function_above_the_throw_is_the_origin() {
        let frames = ["raise", "abort", "std::terminate()", "__cxa_throw", "ledger::parse(int)", "main"];
        let origin = way(thrown, &stopped(Signal::ABRT, -6, &frames)).unwrap();
        assert_eq!(origin.birth.function.as_deref(), Some("ledger::parse(int)"));
        assert_eq!((origin.grade, origin.kind.as_str()), (Grade::B, "thrown"));
        assert_eq!(origin.confidence, Confidence::Medium);
    }

    #[test]
    fn a_throw_of_the_library_is_only_the_callers_doing() {
        let frames =
            ["raise", "abort", "std::terminate()", "__cxa_throw", "std::__throw_out_of_range(char const*)", "parse"];
        let origin = way(thrown, &stopped(Signal::ABRT, -6, &frames)).unwrap();
        assert_eq!(origin.birth.function.as_deref(), Some("parse"));
        assert_eq!((origin.grade, origin.kind.as_str()), (Grade::D, "unknown"));
    }

    #[test]
    fn terminate_without_a_throw_has_no_thrower() {
        let frames = ["raise", "abort", "std::terminate()", "std::thread::~thread()", "serve"];
        assert!(way(thrown, &stopped(Signal::ABRT, -6, &frames)).is_none());
        // What throws while another signal ends the process threw nothing that matters.
        assert!(way(thrown, &stopped(Signal::SEGV, 1, &["fill", "__cxa_throw", "parse"])).is_none());
    }

    #[test]
    fn whoever_still_makes_the_object_let_a_pure_function_be_called() {
        let frames = |made| {
            let names = ["raise", "abort", "std::terminate()", "__cxa_pure_virtual", "measure(Widget const&)"];
            let mut names = names.to_vec();
            names.extend([made, "Box::Box(int)", "main"]);
            names
        };
        let origin = way(half_made, &stopped(Signal::ABRT, -6, &frames("Widget::Widget(Screen&)"))).unwrap();
        assert_eq!(origin.birth.function.as_deref(), Some("Widget::Widget(Screen&)"));
        assert_eq!((origin.grade, origin.kind.as_str()), (Grade::C, "half-made"));
        let nobody = ["raise", "abort", "std::terminate()", "__cxa_pure_virtual", "draw(Widget*)", "main"];
        assert!(way(half_made, &stopped(Signal::ABRT, -6, &nobody)).is_none(), "the object is gone for long");
    }

    #[test]
    fn constructors_and_destructors_by_their_names() {
        for name in
            ["Widget::Widget(Screen&)", "ui::Box<int>::Box(ui::Screen&, int)", "a::B::~B()", "Pool<a::T>::~Pool()"]
        {
            assert!(is_constructor_or_destructor(name), "{name}");
        }
        for name in ["Widget::draw()", "main", "run(Box::Box const&)", "(anonymous namespace)::draw(int)", "a::b(a::a)"]
        {
            assert!(!is_constructor_or_destructor(name), "{name}");
        }
    }

    #[test]
    fn the_function_whose_canary_died() {
        let frames = ["raise", "abort", "__fortify_fail", "__stack_chk_fail", "format", "main"];
        let mut snapshot = stopped(Signal::ABRT, -6, &frames);
        snapshot.frames[4].variables.push(Variable {
            name: Some("text".into()),
            type_name: Some("char [18]".into()),
            kind: VariableKind::Local,
            value: Value::Array { elements: Vec::new(), length: Some(18) },
        });
        let origin = way(smashed, &snapshot).unwrap();
        assert_eq!(origin.birth.function.as_deref(), Some("format"));
        assert_eq!(origin.grade, Grade::C);
        assert_eq!(origin.trail[0].text, "arrays in its frame: text (char [18])");
    }

    #[test]
    fn a_library_whose_canary_died_is_not_blamed() {
        let frames = ["raise", "abort", "__stack_chk_fail", "memcpy", "main"];
        assert!(way(smashed, &stopped(Signal::ABRT, -6, &frames)).is_none());
        assert!(way(smashed, &stopped(Signal::ABRT, -6, &["raise", "abort", "format"])).is_none());
    }

    #[test]
    fn the_function_that_returned_to_nowhere() {
        let mut snapshot = stopped(Signal::SEGV, 128, &["decode", "serve"]);
        let fault = Fault {
            pc: Avma(0x40_1000),
            access: Some(Access::Execute),
            is_return: true,
            is_branch: true,
            ..Fault::default()
        };
        if let Some(stop) = &mut snapshot.stop {
            stop.fault = Some(fault);
        }
        let origin = way(smashed, &snapshot).unwrap();
        assert_eq!((origin.birth.function.as_deref(), origin.grade), (Some("decode"), Grade::C));
    }

    #[test]
    fn a_failed_check_is_evidence_and_blames_nobody() {
        let mut snapshot = stopped(Signal::ABRT, -6, &["raise", "abort", "__assert_fail", "drop", "consume"]);
        if let Some(stop) = &mut snapshot.stop {
            let text = "ring.c:22: drop: Assertion `n <= used' failed.".into();
            stop.messages.push(Message { text, kind: MessageKind::Assert, source: Source::offset(64) });
        }
        let origin = way(nearest, &snapshot).unwrap();
        assert_eq!((origin.grade, origin.kind.as_str()), (Grade::D, "unknown"));
        assert_eq!(origin.birth.function.as_deref(), Some("drop"));
        assert!(origin.trail[0].text.contains("n <= used") && origin.trail[0].source == Source::offset(64));
        // A fault with an address has a value to follow, and no check.
        assert!(way(nearest, &stopped(Signal::SEGV, 1, &["pay"])).is_none());
    }

    /// A full stack of these frames, of which 40 are left out behind the first ones.
    fn full(frames: &[&'static str], after: usize, period: usize) -> Snapshot<'static> {
        let mut snapshot = stopped(Signal::SEGV, 1, frames);
        snapshot.stacks[0].gap = Some(Gap { after, omitted: 40, period: Some(period) });
        let fault = Fault {
            pc: Avma(0x40_1000),
            address: Some(Avma(0x7ffc_0000_0ff8)),
            state: Some(necropsy_model::AddressState::NotMapped),
            below_stack_pointer: Some(8),
            stack: Some((Avma(0x7ffc_0000_1000), Avma(0x7ffc_0080_0000))),
            ..Fault::default()
        };
        if let Some(stop) = &mut snapshot.stop {
            stop.fault = Some(fault);
        }
        snapshot
    }

    #[test]
    fn arguments_that_never_change_are_the_recursions_own_doing() {
        let mut snapshot = full(&["sort", "sort", "sort", "main"], 2, 1);
        assert!(way(unchanged, &snapshot).is_none(), "what it was called with is not known");
        for frame in 1..3 {
            let rows = Value::Pointer { address: 0x7000, symbol: None, target: None };
            for (name, value) in [("rows", rows), ("low", Value::Int(3))] {
                let (name, kind) = (Some(name.into()), VariableKind::Argument);
                snapshot.frames[frame].variables.push(Variable { name, type_name: None, kind, value });
            }
        }
        let origin = way(unchanged, &snapshot).unwrap();
        assert_eq!((origin.birth.function.as_deref(), origin.birth.frame), (Some("sort"), Some(1)));
        assert_eq!(origin.trail[0].text, "40 frames apart, it was called with the same rows = 0x7000, low = 3");
        if let Some(stop) = &mut snapshot.stop {
            stop.trail = Some(Box::new(Trail { subject: Trail::RECURSION.to_owned(), ..Trail::default() }));
        }
        assert!(way(unchanged, &snapshot).is_none(), "what it reads leads it in a circle");
        if let Some(stop) = &mut snapshot.stop {
            stop.trail = None;
        }
        snapshot.frames[1].variables[1].value = Value::Int(4);
        assert!(way(unchanged, &snapshot).is_none(), "it counts");
    }

    #[test]
    fn a_recursion_names_its_turn() {
        let snapshot = full(&["expand", "expand_all", "main"], 2, 2);
        let origin = way(nearest, &snapshot).unwrap();
        assert_eq!(origin.trail[0].text, "20 turns of expand < expand_all");
    }
}
