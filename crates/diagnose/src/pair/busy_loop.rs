//! Threads that computed between two dumps and never left a function.

use necropsy_model::{Confidence, Motion, Pair, PairFinding, Role, Severity};

use super::words::{at, called, count, noun, time};
use super::{PairCase, PairRule};

pub(super) static RULE: PairRule = PairRule {
    id: "busy-loop",
    doc: "\
# What it means
A thread used CPU between the two dumps and stood in the same call in both: it went round in that function, or in what that
function calls, and did not return. Where the dumps do not say how much CPU a thread used (goroutine dumps, gcore), it was on a
CPU in both.
# Why it matters
In a process that hangs and uses CPU this is the thread to look at, and this is the function whose condition to end never comes.
# How it can be wrong
A long computation looks the same: a sort, a compression, a report. Dumps that are far apart, and a loop over the same list in both,
make a loop without end more likely. A thread that is merely on a CPU in both dumps may have done anything in between.
# What to do
Read the loop at that place: what ends it, and who changes that. A profile of ten seconds tells where in it the time goes.
",
    check,
};

/// Threads that were busy, those that used most first.
pub(super) fn threads<'a>(case: &PairCase<'a, '_>) -> Vec<&'a Pair> {
    let mut busy: Vec<_> =
        case.program().filter(|pair| case.is_busy(pair)).filter(|pair| rests_on_enough(case, pair)).collect();
    busy.sort_by_key(|pair| (std::cmp::Reverse(pair.cpu), pair.after));
    busy
}

/// Without CPU times, a thread that was on a CPU in both dumps must also have stayed in one function of the program.
fn rests_on_enough(case: &PairCase<'_, '_>, pair: &Pair) -> bool {
    pair.cpu.is_some() || case.stays_in(pair).is_some()
}

fn check<'data>(case: &PairCase<'_, 'data>) -> Vec<PairFinding<'data>> {
    let busy = threads(case);
    let Some(first) = busy.first() else { return Vec::new() };
    let snapshot = case.after.snapshot;
    let Some(thread) = case.is(first) else { return Vec::new() };
    let stays = case.stays_in(first);
    let place = match stays {
        Some(frame) => snapshot.place(first.after as usize, frame, Role::Related),
        None => case.place(first, Role::Related),
    };
    let elapsed = case.comparison.elapsed.filter(|elapsed| !elapsed.basis.is_rough());
    let name = called(snapshot, thread);
    let others = match busy.len() - 1 {
        0 => String::new(),
        more => format!(", and {} busy besides", count(more, &format!("more {}", noun(snapshot)))),
    };
    let place_words = place.as_ref().map_or_else(|| "an unknown place".to_owned(), at);
    let title = match stays {
        Some(_) => format!("{name}: busy loop in {place_words}{others}"),
        None => format!("{name}: busy with different work, last in {place_words}{others}"),
    };
    // Each thing that is not known makes it less sure: how much it used, in what time, and in what.
    let doubts = usize::from(first.cpu.is_none())
        + usize::from(first.cpu.is_some() && elapsed.is_none())
        + usize::from(stays.is_none())
        + usize::from(first.motion == Motion::Moved && first.cpu.is_none());
    let confidence = match doubts {
        0 => Confidence::High,
        1 => Confidence::Medium,
        _ => Confidence::Low,
    };
    let mut evidence = Vec::new();
    for pair in busy.iter().take(3) {
        let Some(thread) = case.is(pair) else { continue };
        let name = called(snapshot, thread);
        let used = match (pair.cpu, elapsed) {
            (Some(cpu), Some(elapsed)) => format!(
                "used {} of CPU in {} ({:.0} % of one)",
                time(cpu),
                time(elapsed.time),
                cpu.as_secs_f64() / elapsed.time.as_secs_f64().max(f64::MIN_POSITIVE) * 100.0
            ),
            (Some(cpu), None) => format!("used {} of CPU", time(cpu)),
            (None, _) => "was on a CPU in both dumps, which do not say how much CPU it used".to_owned(),
        };
        evidence.push(case.evidence(pair, format!("{name} {used}, and {}", stack_words(case, pair))));
    }
    let ids = busy.iter().filter_map(|pair| case.is(pair)).map(|thread| thread.id);
    vec![PairFinding {
        rule: RULE.id,
        severity: if stays.is_some() && confidence > Confidence::Low { Severity::Critical } else { Severity::Warning },
        confidence,
        title,
        places: place.into_iter().collect(),
        evidence,
        threads: ids.take(PairFinding::MOST_THREADS).collect(),
        next: vec![
            "read the loop there: what ends it, and who changes that; then take a profile of ten seconds".to_owned(),
        ],
    }]
}

/// How its two stacks compare.
fn stack_words(case: &PairCase<'_, '_>, pair: &Pair) -> String {
    let shared = match pair.common {
        1 => "1 frame is the same".to_owned(),
        common => format!("{common} frames are the same"),
    };
    match (pair.motion, case.stays_in(pair)) {
        (Motion::Still, _) => "stands at the same line in both".to_owned(),
        (_, Some(frame)) => {
            let place = case.after.snapshot.place(pair.after as usize, frame, Role::Related);
            let function = place.and_then(|place| place.function.map(std::borrow::Cow::into_owned)).unwrap_or_default();
            format!("did not return from {function}: {shared} in both, counted from the outermost")
        }
        (_, None) => "the two stacks share nothing but machinery".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use necropsy_model::{Confidence, Severity};

    use super::super::samples::{Sample, burning, printing, stuck};
    use super::RULE;

    #[test]
    fn fires() {
        let sample: Sample = burning(Some(9900), &[("peek", 2), ("parse", 22), ("run", 7)]);
        let found = sample.found(&RULE);
        assert!(found[0].title.contains("busy loop in parse at shop.c:22"), "{}", found[0].title);
        assert_eq!((found[0].severity, found[0].confidence), (Severity::Critical, Confidence::High));
        assert!(
            sample.headline().starts_with("nothing moved in 10.0 s but \"parser\": busy loop in parse"),
            "{}",
            sample.headline()
        );
        let unknown = burning(None, &[("parse", 22), ("run", 7)]).found(&RULE);
        assert_eq!(unknown[0].confidence, Confidence::Medium, "no CPU times");
    }

    #[test]
    fn keeps_quiet() {
        assert!(burning(Some(100), &[("peek", 2), ("parse", 22), ("run", 7)]).found(&RULE).is_empty());
        assert!(stuck(3).found(&RULE).is_empty());
        assert!(printing().found(&RULE).is_empty(), "the goroutine that prints the dump is on a CPU in every dump");
    }
}
