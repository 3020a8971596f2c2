//! The origin by the flow of the value: the chain of evidence from the operand at fault back to its birth, graded.

use necropsy_model::{BirthKind, Chain, Grade, Origin, Place, Role, Trail};

use super::confidence;
use crate::Noise;
use crate::crash::{Crash, Kind};

/// Other explanations that are worth a line.
const MOST_ALTERNATIVES: usize = 3;

/// The origin at the end of the best chain of the trail.
pub(super) fn origin<'data>(crash: &Crash<'_, 'data>) -> Option<Origin<'data>> {
    let trail = crash.stop.trail.as_deref()?;
    let (best, others) = trail.chains.split_first()?;
    let (grade, why) = match grade(best, trail, crash.noise) {
        // What a function gave out before, and refuses now: who asked it again is not known.
        _ if refused_its_own(best, crash) => (Grade::D, "the function that refused it had given it out itself"),
        graded => graded,
    };
    let why = why.replace("NULL", nothing(crash));
    let unknown = grade == Grade::D;
    let birth = if unknown { best.gate.as_ref().unwrap_or(&best.birth) } else { born(best, crash) };
    let alternatives = others.iter().filter(|other| !same(&other.birth, &best.birth)).map(|other| &other.birth);
    let nearest = [&best.birth].into_iter().filter(|nearest| unknown && !same(nearest, birth));
    let alternatives = nearest.chain(alternatives).take(MOST_ALTERNATIVES);
    Some(Origin {
        birth: Place { role: Role::Origin, ..birth.clone() },
        kind: if unknown { BirthKind::Unknown.name() } else { best.kind.name() }.to_owned(),
        value: trail.value.map(|number| value(number, &trail.subject, nothing(crash))),
        confidence: confidence(grade),
        grade,
        why: if best.what.is_empty() { why } else { format!("{}; {why}", best.what) },
        not_checked: trail.not_checked.iter().map(|&text| text.to_owned()).collect(),
        gate: best.gate.clone().map(|gate| Place { role: Role::Gate, ..gate }),
        handed_through: best.handed_through.clone(),
        alternatives: alternatives.cloned().map(|other| Place { role: Role::Related, ..other }).collect(),
        trail: best.steps.clone(),
    })
}

/// A trap in the function that made the value when it ran before.
fn refused_its_own(chain: &Chain<'_>, crash: &Crash<'_, '_>) -> bool {
    let traps = matches!(crash.kind(), Some(Kind::CompilerTrap | Kind::IllegalInstruction));
    traps
        && chain.birth.frame.is_none()
        && crash.victim().is_some_and(|victim| victim.function.is_some() && victim.function == chain.birth.function)
}

/// The birth at the end of a chain. A function that everybody releases memory with is not to blame: when it is the victim as
/// well, the earlier call of it is.
fn born<'a, 'data>(chain: &'a Chain<'data>, crash: &Crash<'_, 'data>) -> &'a Place<'data> {
    let helper = |place: &Place<'_>| place.function.is_some() && place.function == chain.birth.function;
    let victim = crash.victim().is_some_and(|victim| helper(&victim));
    let earlier = chain.steps.iter().rev().map(|step| &step.place).find(|place| !helper(place));
    earlier.filter(|_| victim && chain.kind == BirthKind::Freed).unwrap_or(&chain.birth)
}

fn same(one: &Place<'_>, other: &Place<'_>) -> bool {
    let line = |place: &Place<'_>| place.location.as_ref().and_then(|location| location.line);
    one.function == other.function && line(one) == line(other) && one.svma == other.svma
}

/// What was followed is a number, and no pointer.
fn is_number(subject: &str) -> bool {
    subject.starts_with("the divisor") || subject.starts_with("the value")
}

/// What a pointer to nothing is called in the language of the code that died.
fn nothing(crash: &Crash<'_, '_>) -> &'static str {
    let victim = crash.victim();
    let file = victim.as_ref().and_then(|victim| Some(victim.location.as_ref()?.file.as_ref()));
    match file.and_then(|file| file.rsplit_once('.')) {
        Some((_, "go")) => "nil",
        Some((_, "rs")) => "null",
        _ => "NULL",
    }
}

fn value(value: u64, subject: &str, nothing: &str) -> String {
    let number = is_number(subject);
    match value {
        0 if !number => nothing.to_owned(),
        value if number => value.cast_signed().to_string(),
        value => format!("{value:#x}"),
    }
}

/// Smaller numbers are found everywhere, and so is a byte that fills memory.
fn is_rare(value: u64) -> bool {
    let [first, rest @ ..] = value.to_ne_bytes();
    value > 0xffff && rest.iter().any(|&byte| byte != first)
}

/// The grade of a chain, and what it rests on.
fn grade(chain: &Chain<'_>, trail: &Trail<'_>, noise: &Noise) -> (Grade, &'static str) {
    if noise.is_place(&chain.birth) {
        return (Grade::D, "what a library did with it was not followed");
    }
    if chain.doubts.contains(&Chain::READ_SOMEWHERE) {
        let computed = chain.kind == BirthKind::ReturnedComputed;
        let (grade, why) = match chain.kind {
            _ if trail.limit_hit => (Grade::D, "it was read from memory there, and more is in doubt"),
            BirthKind::ReturnedConstant if chain.sole => {
                (Grade::C, "a return that fits; another gives what it read from memory")
            }
            _ if computed && chain.sole => (Grade::C, "read from memory by the call; who stored it there is not known"),
            _ => (Grade::D, "one of several ways, of which one read it from memory"),
        };
        return (grade, why);
    }
    let (mut grade, why) = match (chain.kind, chain.sole) {
        (BirthKind::ReturnedConstant, true) => (Grade::A, "the only return that fits the value"),
        (BirthKind::GlobalStore, true) => (Grade::A, "the only store to it that fits"),
        (BirthKind::LibraryResult, _) if chain.doubts.contains(&Chain::INSIDE_LIBRARY) => {
            (Grade::D, "a library put it there by itself; which call made it do so is not known")
        }
        (BirthKind::LibraryResult, true) if chain.doubts.contains(&Chain::INLINED_LIBRARY) => {
            (Grade::B, "what was asked of it was not followed")
        }
        (BirthKind::LibraryResult, true) => (Grade::AMinus, "the result of a library call, and nothing else fits"),
        (BirthKind::ReturnedComputed, true) => (Grade::AMinus, "computed by the call, and nothing else fits"),
        (BirthKind::Stored, true) => stored(chain, trail),
        (BirthKind::Freed, false) if !chain.doubts.is_empty() => (Grade::D, "one of several that may have freed it"),
        (BirthKind::Freed, _) => (Grade::B, "the object was freed here before it was used"),
        (BirthKind::Overrun, _) if chain.what == Chain::FRAME_RUN_OVER => {
            (Grade::B, "nothing else writes into the frame at a place that is not fixed")
        }
        (BirthKind::Overrun, _) => (Grade::B, "what it writes runs from the object it was given into this one"),
        (BirthKind::SizeOverflow, _) => (Grade::B, "the block that was run over is too small by that"),
        (BirthKind::Mismatch, _) => (Grade::C, "the last argument that was taken from the list is this number"),
        (BirthKind::GlobalInitial, true) => (Grade::B, "no store of this value to the global was found"),
        (BirthKind::ReturnedConstant | BirthKind::LibraryResult, false) => {
            (Grade::B, "one of several returns that fit the value")
        }
        (BirthKind::Constant, true) if trail.value == Some(0) && !is_number(&trail.subject) => {
            (Grade::C, "the only definition that fits, and it is NULL")
        }
        (BirthKind::Constant, true) if trail.value.is_some_and(is_rare) && !is_number(&trail.subject) => {
            (Grade::C, "the only definition that fits, a number that no code puts anywhere by chance")
        }
        // A number of a kind that stands in memory where one store alone can have put it.
        (BirthKind::Constant, true)
            if trail.value.is_some_and(is_rare) && chain.steps.iter().any(|step| step.step == "load") =>
        {
            (Grade::C, "the only definition that fits, and memory still holds it")
        }
        (BirthKind::Moved, _) => (Grade::C, "nothing else in the program moves or unmaps blocks"),
        (BirthKind::EndlessRecursion, _) => (Grade::C, "what each turn gets follows from the turn before alone"),
        (BirthKind::Counted, true) => (Grade::C, "the loop ends nowhere else"),
        (BirthKind::FileShortened, _) => (Grade::C, "nothing in the program made a file shorter after it"),
        (BirthKind::ReturnedArithmetic, true) => {
            (Grade::C, "the call computed it; what it was computed from was not followed")
        }
        (BirthKind::EndOfList, _) if chain.steps.iter().any(|step| step.step == "end") => {
            (Grade::C, "what was looked for is not there, and that was not checked")
        }
        (BirthKind::EndOfList, _) => (Grade::C, "the list was expected to go on"),
        (BirthKind::NeverSet, _) => (Grade::C, "the function that made the object never set it"),
        (BirthKind::UninitialisedLocal, _) => (Grade::C, "no store to the variable on the way"),
        (BirthKind::StoredSomewhere, _) => (Grade::C, "a store that may have been to this place"),
        // Whichever of them changed it last, the others had their part in it.
        (BirthKind::Stored, false)
            if chain.steps.last().is_some_and(|step| step.step == "changed" && !step.text.contains("the pointer")) =>
        {
            (Grade::D, "one of several that change it")
        }
        (
            BirthKind::Stored | BirthKind::ReturnedComputed | BirthKind::ReturnedArithmetic | BirthKind::GlobalStore,
            false,
        ) => (Grade::C, "one of several writers that fit the value"),
        (BirthKind::GlobalInitial | BirthKind::Counted, false)
        | (BirthKind::Constant | BirthKind::Loaded | BirthKind::Arithmetic | BirthKind::Unknown, _) => {
            (Grade::D, "further back it could not be followed")
        }
    };
    if trail.limit_hit || !chain.doubts.is_empty() {
        grade = next_lower(grade);
    }
    if chain.doubts.contains(&Chain::PUT_IN) {
        grade = grade.max(Grade::C);
    }
    if chain.doubts.iter().any(|doubt| doubt.starts_with("allocations")) {
        grade = Grade::D;
    }
    (grade, why)
}

/// The only store to the place that a value was read from, by what was stored.
fn stored(chain: &Chain<'_>, trail: &Trail<'_>) -> (Grade, &'static str) {
    let last = chain.steps.last();
    let alive = chain.birth.frame.is_some();
    match last.map(|step| step.step) {
        // It may be data, and whoever read it as something else to blame.
        Some("constant") if alive && trail.value.is_some_and(|value| value != 0) => {
            (Grade::C, "the last store to the place it was read from, of a number that is written down in the frame")
        }
        Some("number") => (Grade::C, "the last store to the place it was read from, of what is a number by its type"),
        Some("address") => {
            (Grade::C, "the last store to the place it was read from, of an address that is sound in itself")
        }
        Some("shared") => (Grade::C, "each release is right in itself: the owner it was done for has the pointer"),
        Some("root") => (Grade::C, "nothing else asks for one; whoever walked on did not ask whether there is one"),
        Some("thread") => (Grade::C, "nothing else gives the object a thread; who was to join it is not in the dump"),
        Some("changed") if last.is_some_and(|step| step.text.contains("in place")) => {
            (Grade::C, "the last to change it; what stood there before was not followed")
        }
        _ => (Grade::B, "the last store to the place it was read from"),
    }
}

fn next_lower(grade: Grade) -> Grade {
    match grade {
        Grade::A => Grade::AMinus,
        Grade::AMinus => Grade::B,
        Grade::B => Grade::C,
        Grade::C | Grade::D => Grade::D,
    }
}

#[cfg(test)]
mod tests {
    use necropsy_model::{Frame, Groups, Location, Signal, Snapshot, Source, Stack, Stop, Thread, ThreadId, TrailStep};

    use super::*;
    use crate::Case;

    fn place(function: &'static str, line: u32) -> Place<'static> {
        let location = Some(Location::new("receipt.c", Some(line)));
        let function = Some(function.into());
        Place {
            thread: None,
            frame: None,
            function,
            module: None,
            svma: None,
            location,
            inlined: false,
            trust: None,
            role: Role::Related,
        }
    }

    /// A process that died in `victim`, with a chain of these places that ends where the object was freed.
    fn freed(victim: &'static str, steps: &[(&'static str, u32)]) -> Option<String> {
        let places: Vec<_> = steps.iter().map(|&(function, line)| place(function, line)).collect();
        let step = |place: &Place<'static>| TrailStep {
            place: place.clone(),
            step: "written-by",
            text: "a step".to_owned(),
            source: Source::DUMP,
        };
        let chain = Chain {
            kind: BirthKind::Freed,
            birth: places.last()?.clone(),
            what: String::new(),
            gate: None,
            handed_through: Vec::new(),
            steps: places.iter().map(step).collect(),
            sole: true,
            doubts: Vec::new(),
        };
        let mut snapshot = Snapshot::default();
        let frame = Frame::printed(victim, None);
        let frames = snapshot.add_frame(frame).into_iter().collect();
        let mut thread = Thread::new(ThreadId(1), Source::DUMP);
        thread.stack = snapshot.add_stack(Stack { frames, ..Stack::default() });
        snapshot.threads.push(thread);
        let signal = Some(Signal { number: Signal::ABRT, code: Some(-6) });
        let trail = Some(Box::new(Trail { chains: vec![chain], ..Trail::default() }));
        snapshot.stop = Some(Stop { signal, thread: Some(0), trail, ..Stop::default() });
        let groups = Groups::default();
        let noise = Noise::default();
        let crash = Crash::of(&Case { snapshot: &snapshot, groups: &groups, noise: &noise })?;
        origin(&crash).and_then(|origin| origin.birth.function.map(|name| name.to_string()))
    }

    #[test]
    fn a_helper_that_releases_twice_is_not_blamed_but_its_first_caller() {
        let steps = [("release", 26), ("main", 45), ("cancel_order", 32), ("release", 26)];
        assert_eq!(freed("release", &steps).as_deref(), Some("cancel_order"));
    }

    #[test]
    fn a_pointer_to_nothing_in_the_words_of_its_language() {
        assert_eq!(value(0, "rax", "nil"), "nil");
        assert_eq!(value(0, "the divisor", "nil"), "0");
        assert_eq!(value(0xffff_ffff_ffff_ffff, "the value that was checked", "NULL"), "-1");
    }

    #[test]
    fn a_constant_beside_something_read_from_memory_is_a_guess() {
        let mut chain = Chain {
            kind: BirthKind::ReturnedConstant,
            birth: place("find", 22),
            what: String::new(),
            gate: None,
            handed_through: Vec::new(),
            steps: Vec::new(),
            sole: true,
            doubts: Vec::new(),
        };
        let (trail, noise) = (Trail { value: Some(0), ..Trail::default() }, Noise::default());
        assert_eq!(grade(&chain, &trail, &noise).0, Grade::A);
        chain.doubts = vec![Chain::READ_SOMEWHERE];
        assert_eq!(grade(&chain, &trail, &noise).0, Grade::C);
        chain.sole = false;
        assert_eq!(grade(&chain, &trail, &noise).0, Grade::D);
        // What a library put there by itself blames nobody.
        (chain.kind, chain.sole, chain.doubts) = (BirthKind::LibraryResult, true, vec![Chain::INSIDE_LIBRARY]);
        assert_eq!(grade(&chain, &trail, &noise).0, Grade::D);
    }

    #[test]
    fn another_function_that_released_it_is_blamed() {
        assert_eq!(freed("read_name", &[("read_name", 9), ("drop_session", 4)]).as_deref(), Some("drop_session"));
    }

    /// The grade of a chain of this kind with one step, without a doubt and without another.
    fn graded(kind: BirthKind, subject: &str, value: u64, step: &'static str) -> Grade {
        graded_at(place("main", 81), kind, subject, value, step, "a step")
    }

    fn graded_at(
        birth: Place<'static>,
        kind: BirthKind,
        subject: &str,
        value: u64,
        step: &'static str,
        text: &str,
    ) -> Grade {
        let text = text.to_owned();
        let steps = vec![TrailStep { place: birth.clone(), step, text, source: Source::DUMP }];
        let (gate, what) = (None, String::new());
        let chain =
            Chain { kind, birth, what, gate, handed_through: Vec::new(), steps, sole: true, doubts: Vec::new() };
        let trail = Trail { subject: subject.to_owned(), value: Some(value), ..Trail::default() };
        grade(&chain, &trail, &Noise::default()).0
    }

    #[test]
    fn a_number_that_was_refused_and_still_stands_in_memory_has_an_origin() {
        let number = |value, step| graded(BirthKind::Constant, "the value that was checked", value, step);
        assert_eq!(number(5_u64.wrapping_neg(), "load"), Grade::C);
        assert_eq!(number(5_u64.wrapping_neg(), "constant"), Grade::D, "a number of the frame itself");
        assert_eq!(number(3, "load"), Grade::D, "small numbers stand everywhere");
        assert_eq!(number(0x7f7f_7f7f_7f7f_7f7f, "load"), Grade::D, "a byte that fills memory");
    }

    #[test]
    fn what_was_stored_decides_what_the_last_store_is_worth() {
        let gone = |step, text| graded_at(place("fill", 9), BirthKind::Stored, "rdi", 0x7030, step, text);
        let alive = |value| {
            let birth = Place { frame: Some(2), ..place("main", 9) };
            graded_at(birth, BirthKind::Stored, "rdi", value, "constant", "")
        };
        assert_eq!(gone("constant", ""), Grade::B);
        assert_eq!(gone("address", ""), Grade::C);
        assert_eq!(gone("changed", "what stood there was changed in place"), Grade::C);
        assert_eq!(gone("changed", "arithmetic on the pointer, stored here"), Grade::B);
        assert_eq!((alive(0), alive(0x7030)), (Grade::B, Grade::C));
    }

    #[test]
    fn a_loop_that_counts_too_far_is_to_blame_where_it_alone_counts() {
        assert_eq!(graded(BirthKind::Counted, "rsi", 0x1000, "bound"), Grade::C);
    }
}
