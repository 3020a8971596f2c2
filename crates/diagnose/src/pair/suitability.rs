//! Whether two dumps were the right ones, and how to take better ones.

use necropsy_model::{Command, PairFinding, Runtime, SameProcess, Severity, Suitability, SuitabilityStatus, Writer};

use super::PairCase;

/// Less than this apart, two dumps are one moment.
const TOO_CLOSE_S: f64 = 0.5;

/// Two dumps that are not of one process.
pub(super) fn refused(case: &PairCase<'_, '_>, why: String) -> Suitability {
    Suitability { status: SuitabilityStatus::Wrong, why, take_instead: vec![again(case)] }
}

pub(super) fn of(case: &PairCase<'_, '_>, findings: &[PairFinding<'_>]) -> Suitability {
    let comparison = case.comparison;
    let partial =
        |why: &str, take| Suitability { status: SuitabilityStatus::Partial, why: why.to_owned(), take_instead: take };
    let proved =
        findings.first().is_some_and(|finding| finding.rule == "same-deadlock" && finding.severity > Severity::Note);
    if proved {
        return Suitability {
            status: SuitabilityStatus::Right,
            why: "the circle is in both dumps".to_owned(),
            take_instead: Vec::new(),
        };
    }
    match comparison.elapsed {
        Some(elapsed) if elapsed.time.as_secs_f64() < TOO_CLOSE_S => {
            return partial(
                "they are less than half a second apart: too close to tell slow from stuck",
                vec![again(case)],
            );
        }
        _ => {}
    }
    if comparison.identity.same == SameProcess::NotTold {
        return partial("nothing in them tells whether they are of one process", vec![again(case)]);
    }
    if !comparison.by_thread {
        return partial(
            "they count threads by their stacks, so that growth is seen and motion is not",
            vec![again(case)],
        );
    }
    if case.after.snapshot.process.writer == Some(Writer::Gcore)
        || case.before.snapshot.process.writer == Some(Writer::Gcore)
    {
        return partial(
            "gcore writes no CPU times: who was on a CPU at both moments is all that can be told",
            vec![profile(case)],
        );
    }
    if comparison.elapsed.is_none() {
        return partial(
            "they do not say when they were taken, so that shares of time can not be told",
            vec![again(case)],
        );
    }
    Suitability {
        status: SuitabilityStatus::Right,
        why: "two dumps of one process, far enough apart to tell what moves".to_owned(),
        take_instead: Vec::new(),
    }
}

/// Two dumps, ten seconds apart, for this runtime.
fn again(case: &PairCase<'_, '_>) -> Command {
    let process = &case.after.snapshot.process;
    let pid = process.pid.map_or_else(|| "PID".to_owned(), |pid| pid.to_string());
    let text = case.after.snapshot.memory.is_empty();
    let command = match process.runtime {
        Some(Runtime::Go) if text => {
            "for i in 1 2; do curl -s 'http://HOST:6060/debug/pprof/goroutine?debug=2' > goroutines-$i.txt; sleep 10; done".to_owned()
        }
        Some(Runtime::Jvm) if text => {
            format!("for i in 1 2; do jcmd {pid} Thread.print -l > threads-$i.txt; sleep 10; done")
        }
        _ => format!("for i in 1 2; do gcore -o core-$i {pid}; sleep 10; done"),
    };
    let cost = "pause: less than a second each for text, about a second a GB for a core".to_owned();
    Command { what: "two dumps of one process, ten seconds apart".to_owned(), command, cost }
}

/// Where the time goes.
fn profile(case: &PairCase<'_, '_>) -> Command {
    let pid = case.after.snapshot.process.pid.map_or_else(|| "PID".to_owned(), |pid| pid.to_string());
    Command {
        what: "CPU time of each thread, now and in ten seconds; the process goes on".to_owned(),
        command: format!("top -b -H -n 2 -d 10 -p {pid}"),
        cost: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use necropsy_model::{Identification, SameProcess, SuitabilityStatus};

    use super::super::samples::stuck;

    #[test]
    fn what_is_missing_is_told() {
        assert_eq!(stuck(3).verdict().suitability.status, SuitabilityStatus::Right);
        let mut other = stuck(3);
        let because = vec!["different processes: 1 and 2".to_owned()];
        other.comparison.identity = Identification { same: SameProcess::No, because };
        let verdict = other.verdict();
        assert_eq!(verdict.suitability.status, SuitabilityStatus::Wrong);
        assert!(
            verdict.findings.is_empty() && verdict.headline.contains("different processes: 1 and 2"),
            "{}",
            verdict.headline
        );
    }
}
