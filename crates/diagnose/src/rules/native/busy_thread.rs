//! A thread that computes while the others wait.

use std::time::Duration;

use necropsy_model::{Confidence, Evidence, Finding, Role, Severity, Snapshot, Thread, Writer};

use super::{advice, hang_core};
use crate::noise::is_noise;
use crate::wait_graph::own_frame;
use crate::{Case, Rule};

pub(crate) static RULE: Rule = Rule { id: "busy-thread", doc: include_str!("busy_thread.md"), check };

/// CPU time from which a thread computes, whatever the others did.
const MUCH: Duration = Duration::from_millis(200);

/// CPU time from which one that used more than all the others together does, in a process that has not lived for long.
const SOME: Duration = Duration::from_millis(20);

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    if !hang_core::is_hang(case) {
        return Vec::new();
    }
    let snapshot = case.snapshot;
    let timed = snapshot.process.writer == Some(Writer::Kernel);
    let (used, total) = times(snapshot);
    let cpu = |index: usize| used.get(index).copied().unwrap_or_default();
    let computes = |index: usize| cpu(index) >= MUCH || cpu(index) >= SOME && cpu(index) * 2 > total;
    let mut running: Vec<_> = hang_core::running(case).filter(|(index, _)| !timed || computes(*index)).collect();
    running.sort_by_key(|(index, _)| (std::cmp::Reverse(cpu(*index)), *index));
    let Some(&(index, thread)) = running.first() else { return Vec::new() };
    let frame = own_frame(snapshot, thread);
    let place = snapshot.place(index, frame, Role::Related);
    let Some(function) = place.as_ref().and_then(|place| place.function.as_deref()) else { return Vec::new() };
    let own = snapshot.frames_of(thread).nth(frame + 1).is_some_and(|frame| !is_noise(snapshot, frame));
    let caller = snapshot.place(index, frame + 1, Role::Related).filter(|_| own).and_then(|place| place.function);
    let caller = caller.map(|name| format!(", called by {name}")).unwrap_or_default();
    let others = match running.len() - 1 {
        0 => String::new(),
        1 => "; 1 other thread runs too".to_owned(),
        more => format!("; {more} other threads run too"),
    };
    let title = format!("busy: {} computes in {function}{caller}{others}", crate::rules::called(thread));
    let mut evidence = vec![Evidence::new(
        format!("{} was in no system call, in {function}", crate::rules::called(thread)),
        thread.source,
    )];
    if timed {
        let seconds = |time: Duration| time.as_secs_f64();
        let text =
            format!("it had used {:.2} of the {:.2} s of CPU time of all threads", seconds(cpu(index)), seconds(total));
        evidence.push(Evidence::new(text, thread.source));
    }
    vec![Finding {
        rule: RULE.id,
        severity: Severity::Warning,
        confidence: if timed && cpu(index) >= MUCH { Confidence::Medium } else { Confidence::Low },
        title,
        places: place.into_iter().collect(),
        evidence,
        next: vec![advice(RULE.doc)],
    }]
}

/// The CPU time of each thread, and of all.
///
/// Of the first thread the kernel gives the time of the whole process (`fill_prstatus` of `fs/binfmt_elf.c`): what the others
/// did not use is its own.
fn times(snapshot: &Snapshot<'_>) -> (Vec<Duration>, Duration) {
    let cpu = |thread: &Thread<'_>| thread.detail.as_ref().and_then(|detail| detail.cpu).unwrap_or_default();
    let mut used: Vec<_> = snapshot.threads.iter().map(cpu).collect();
    let leader = snapshot.threads.iter().position(|thread| Some(thread.id.0) == snapshot.process.pid);
    let sum = |used: &[Duration]| crate::numbers::sum(used.iter().copied());
    if let Some(all) = leader.and_then(|leader| used.get_mut(leader)) {
        let whole = std::mem::take(all);
        let others = sum(&used);
        if let Some(own) = leader.and_then(|leader| used.get_mut(leader)) {
            *own = whole.saturating_sub(others);
        }
    }
    let total = sum(&used);
    (used, total)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use necropsy_model::{Activity, Avma, Memory, Region, Signal, Snapshot, Source, State, Thread, ThreadId, Writer};

    use super::{RULE, times};
    use crate::rules::native::samples::{fired, stop};

    fn core(activity: Activity, cpu_ms: u64) -> Snapshot<'static> {
        let mut snapshot = stop(Signal::ABRT, 0, |_| {});
        let (start, end) = (Avma(0x1000), Avma(0x2000));
        let region = Region { start, end, permissions: None, bytes: &[], dumped: 0, file: None };
        snapshot.memory = Memory::new(vec![region]);
        snapshot.process.writer = Some(Writer::Kernel);
        let state = snapshot.intern_state(State { text: "running".into(), activity });
        snapshot.threads[0].state = state;
        snapshot.threads[0].detail_mut().cpu = Some(Duration::from_millis(cpu_ms));
        snapshot
    }

    #[test]
    fn fires() {
        assert!(fired(&RULE, &core(Activity::Running, 2590)));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!fired(&RULE, &core(Activity::Running, 10)), "it has hardly computed");
        assert!(!fired(&RULE, &core(Activity::Signal, 2590)), "it waits now");
        let mut young = core(Activity::Running, 50);
        assert!(fired(&RULE, &young), "it used all that the process used");
        let mut other = Thread::new(ThreadId(99), Source::DUMP);
        other.detail_mut().cpu = Some(Duration::from_millis(500));
        young.threads.push(other);
        assert!(!fired(&RULE, &young), "the other one used ten times as much");
    }

    #[test]
    fn the_first_thread_has_the_time_of_all() {
        let mut snapshot = core(Activity::Running, 2700);
        snapshot.process.pid = Some(snapshot.threads[0].id.0);
        let mut other = Thread::new(ThreadId(99), Source::DUMP);
        other.detail_mut().cpu = Some(Duration::from_millis(2600));
        snapshot.threads.push(other);
        let ms = Duration::from_millis;
        assert_eq!(times(&snapshot), (vec![ms(100), ms(2600)], ms(2700)));
    }
}
