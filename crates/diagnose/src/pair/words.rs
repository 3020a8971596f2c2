//! Words that several rules share.

use std::time::Duration;

use necropsy_model::{Elapsed, PairFinding, Place, Severity, Snapshot, Thread};

pub(super) use crate::numbers::number;

use super::{PairCase, busy_loop, standstill};

/// `10.0 s`, `47 s`, `5 min`.
pub(super) fn time(time: Duration) -> String {
    match time.as_secs() {
        0..20 => format!("{:.1} s", time.as_secs_f64()),
        seconds @ 20..180 => format!("{seconds} s"),
        seconds => format!("{} min", seconds / 60),
    }
}

/// ` in 10.0 s`, or nothing when nobody knows how far the dumps are apart.
pub(super) fn within(elapsed: Option<Elapsed>) -> String {
    match elapsed {
        Some(elapsed) if elapsed.basis.is_rough() => format!(" in about {}", time(elapsed.time)),
        Some(elapsed) => format!(" in {}", time(elapsed.time)),
        None => String::new(),
    }
}

/// What the runtime calls its threads: a core lists threads of the kernel, whatever ran on them.
pub(super) fn noun(snapshot: &Snapshot<'_>) -> &'static str {
    if snapshot.go.is_some() && snapshot.memory.is_empty() { "goroutine" } else { "thread" }
}

/// A number of threads: `1 thread`, `2,004 goroutines`.
pub(super) fn count(of: usize, noun: &str) -> String {
    format!("{} {noun}{}", number(of), if of == 1 { "" } else { "s" })
}

/// A thread by its name, else by its number.
pub(super) fn called(snapshot: &Snapshot<'_>, thread: &Thread<'_>) -> String {
    match thread.name() {
        Some(name) => format!("\"{name}\""),
        None => format!("{} {}", noun(snapshot), thread.id),
    }
}

/// `parse at shop.c:20`.
pub(super) fn at(place: &Place<'_>) -> String {
    let module = || place.module.as_deref().map(|module| module.rsplit('/').next().unwrap_or_default());
    let function = place.function.as_deref().or_else(module).unwrap_or("an unknown function");
    match place.location.as_ref().and_then(|location| Some((location.file_name(), location.line?))) {
        Some((file, line)) => format!("{function} at {file}:{line}"),
        None => function.to_owned(),
    }
}

/// The one sentence. A busy loop while all others stand still is told as what it is.
pub(super) fn headline(case: &PairCase<'_, '_>, findings: &[PairFinding<'_>]) -> String {
    let Some(first) = findings.first() else { return "nothing can be said about these two dumps".to_owned() };
    let busy = busy_loop::threads(case);
    let all_else_still = standstill::moved_besides(case, &busy) == 0 && case.program().count() > busy.len();
    if first.rule == busy_loop::RULE.id && all_else_still && first.severity > Severity::Note {
        return format!("nothing moved{} but {}", within(case.comparison.elapsed), first.title);
    }
    first.title.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_numbers_read_well() {
        assert_eq!([9_960, 47_000, 300_000].map(|ms| time(Duration::from_millis(ms))), ["10.0 s", "47 s", "5 min"]);
        assert_eq!([count(1, "thread"), count(2004, "goroutine")], ["1 thread", "2,004 goroutines"]);
    }
}
