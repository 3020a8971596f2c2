//! What shows the symptom, piece by piece: how it stopped, what it said, what its threads did, what time they used.

use std::collections::BTreeMap;
use std::time::Duration;

use necropsy_model::{Activity, Evidence, MessageKind, Snapshot, Source, Stop, Symptom, Thread, ThreadFlags, Writer};

use crate::wait_graph::WaitGraph;

/// Pieces of one kind that are told; a dump may hold many last words.
const SHOWN: usize = 3;

/// Waits from which it is worth a word how long they are.
const LONG: Duration = Duration::from_mins(1);

/// What shows the symptom, strongest first.
pub(crate) fn evidence<'data>(snapshot: &Snapshot<'data>, symptom: Symptom) -> Vec<Evidence<'data>> {
    let words = words(snapshot);
    let stop = how_it_stopped(snapshot);
    let threads = || {
        let pieces = circles(snapshot).into_iter().chain(states(snapshot)).chain(times(snapshot));
        pieces.chain(longest_wait(snapshot)).collect::<Vec<_>>()
    };
    match symptom {
        Symptom::NativeCrash => stop.into_iter().chain(words).collect(),
        Symptom::ManagedCrash => words.into_iter().chain(stop).collect(),
        Symptom::OutOfMemory => {
            let (of_memory, other): (Vec<_>, Vec<_>) =
                words.into_iter().partition(|it| super::is_out_of_memory(&it.text));
            of_memory.into_iter().chain(stop).chain(other).collect()
        }
        Symptom::HangIdle | Symptom::HangBusy => threads().into_iter().chain(stop).chain(words).collect(),
        Symptom::Unclear => stop.into_iter().chain(words).chain(threads()).collect(),
    }
}

/// The signal and who sent it, or that the dump was asked for.
fn how_it_stopped<'data>(snapshot: &Snapshot<'data>) -> Option<Evidence<'data>> {
    let first = snapshot.stop.as_ref();
    let Some(stop) = first else {
        let asked = snapshot.go.is_none() && snapshot.hs_err.is_none() || !snapshot.threads.is_empty();
        return asked
            .then(|| Evidence::new("it was asked for: no signal and no panic ended the process", Source::DUMP));
    };
    let stop = original(stop);
    let signal = stop.signal?;
    let source = stop.source.or(first.and_then(|stop| stop.source)).unwrap_or(Source::DUMP);
    let code = signal.code_name().map(|code| format!(" ({}: {})", code.name, code.meaning)).unwrap_or_default();
    let text = match (stop.sender, signal.code) {
        (Some(sender), Some(code)) if code <= 0 && Some(sender.pid) == snapshot.process.pid => {
            format!("{signal}, raised by the process itself")
        }
        (Some(sender), Some(code)) if code <= 0 => {
            format!("{signal} was sent by process {} (user {}), which is no fault", sender.pid, sender.uid)
        }
        (_, Some(1..)) if signal.is_fault_signal() => format!("{signal}{code}, raised by the processor"),
        _ => format!("{signal}{code}"),
    };
    Some(Evidence::new(text, source))
}

/// The signal below a handler counts.
fn original<'a, 'data>(mut stop: &'a Stop<'data>) -> &'a Stop<'data> {
    while let Some(below) = &stop.original {
        stop = below;
    }
    stop
}

/// Panics, fatal errors and other last words.
fn words<'data>(snapshot: &Snapshot<'data>) -> Vec<Evidence<'data>> {
    let mut words = Vec::new();
    if let Some(go) = &snapshot.go {
        words.extend(go.fatal.iter().map(|line| Evidence::new(format!("fatal error: {}", line.text), line.source)));
        let panics = go.panics.iter().filter(|panic| !panic.recovered);
        words.extend(panics.map(|panic| Evidence::new(format!("panic: {}", first_line(&panic.value)), panic.source)));
        words.extend(go.remarks.iter().map(|line| Evidence::new(line.text.clone(), line.source)));
    }
    let messages = snapshot.stop.iter().flat_map(|stop| &original(stop).messages);
    let new =
        messages.filter(|message| snapshot.go.is_none() || !words.iter().any(|it| it.text.contains(&*message.text)));
    let mut said: Vec<_> = new
        .map(|message| Evidence::new(format!("{}: {}", by(message.kind), first_line(&message.text)), message.source))
        .collect();
    words.append(&mut said);
    words.truncate(SHOWN);
    words
}

/// Who spoke.
fn by(kind: MessageKind) -> &'static str {
    if kind == MessageKind::Kernel { "the kernel" } else { "said" }
}

fn first_line(text: &str) -> &str {
    text.trim().lines().next().unwrap_or_default()
}

/// Threads that wait for each other in a circle.
fn circles<'data>(snapshot: &Snapshot<'data>) -> Vec<Evidence<'data>> {
    let graph = WaitGraph::of(snapshot);
    let told = |cycle: &Vec<usize>| {
        let first = snapshot.threads.get(*cycle.first()?)?;
        let text = match cycle.len() {
            1 => format!("thread {} waits for itself", first.id),
            count => format!("{count} threads wait for each other in a circle"),
        };
        Some(Evidence::new(text, first.source))
    };
    graph.cycles.iter().filter_map(told).take(SHOWN).collect()
}

/// What the threads of the program did, by kind, and the first that ran.
fn states<'data>(snapshot: &Snapshot<'data>) -> Vec<Evidence<'data>> {
    // Goroutines of a core that are on no thread are counted apart, by the rule for cores.
    let parked = |thread: &Thread<'_>| !snapshot.memory.is_empty() && thread.flags.contains(ThreadFlags::VIRTUAL);
    let own = || snapshot.threads.iter().filter(|it| !it.flags.contains(ThreadFlags::SYSTEM) && !parked(it));
    let mut counts: BTreeMap<Activity, usize> = BTreeMap::new();
    for thread in own() {
        *counts.entry(snapshot.activity(thread)).or_default() += 1;
    }
    let total: usize = counts.values().sum();
    if total == 0 {
        return Vec::new();
    }
    let parts: Vec<_> = counts.iter().map(|(activity, count)| format!("{count} {}", does(*activity))).collect();
    let noun = if total == 1 { "thread" } else { "threads" };
    let mut evidence = vec![Evidence::new(format!("of {total} {noun}, {}", parts.join(", ")), Source::DUMP)];
    let running = own().filter(|thread| snapshot.activity(thread) == Activity::Running);
    evidence.extend(running.take(SHOWN).map(|thread| {
        let used = cpu(thread).map(|used| format!(" and had used {} of CPU", seconds(used))).unwrap_or_default();
        Evidence::new(format!("{} ran{used}", called(thread)), thread.source)
    }));
    evidence
}

/// CPU time by thread, or why there is none.
fn times<'data>(snapshot: &Snapshot<'data>) -> Vec<Evidence<'data>> {
    if snapshot.process.writer == Some(Writer::Gcore) {
        let text = "gcore writes no CPU times: a thread that is in no system call is the one that runs";
        return vec![Evidence::new(text, Source::DUMP)];
    }
    // The kernel gives the first thread the time of all (`fill_prstatus` of `fs/binfmt_elf.c`): alone it tells the sum.
    let leader = |thread: &Thread<'_>| {
        snapshot.process.writer == Some(Writer::Kernel) && Some(thread.id.0) == snapshot.process.pid
    };
    let timed = || snapshot.threads.iter().filter(|thread| !thread.flags.contains(ThreadFlags::SYSTEM));
    let mut used: Vec<_> = timed().filter_map(|thread| Some((cpu(thread)?, thread))).collect();
    if used.len() > 1 {
        used.retain(|(_, thread)| !leader(thread));
    }
    let Some(&(most, thread)) = used.iter().max_by_key(|(used, thread)| (*used, std::cmp::Reverse(thread.id))) else {
        return Vec::new();
    };
    let all = crate::numbers::sum(used.iter().map(|(used, _)| *used));
    let text = if all.is_zero() {
        format!("{} threads used no CPU time", used.len())
    } else {
        format!(
            "{} used {} of the {} of CPU time of {} threads",
            called(thread),
            seconds(most),
            seconds(all),
            used.len()
        )
    };
    vec![Evidence::new(text, thread.source)]
}

/// How long threads have waited, where the dump says.
fn longest_wait<'data>(snapshot: &Snapshot<'data>) -> Option<Evidence<'data>> {
    let waits = snapshot.threads.iter().filter_map(|thread| Some((thread.waited()?, thread)));
    let (longest, thread) = waits.max_by_key(|(waited, thread)| (*waited, std::cmp::Reverse(thread.id)))?;
    let count = snapshot.threads.iter().filter(|thread| thread.waited().is_some_and(|waited| waited >= LONG)).count();
    let text = format!("{count} threads have waited for a minute or more, {} for {}", called(thread), seconds(longest));
    (longest >= LONG).then(|| Evidence::new(text, thread.source))
}

fn cpu(thread: &Thread<'_>) -> Option<Duration> {
    thread.detail.as_ref()?.cpu
}

fn called(thread: &Thread<'_>) -> String {
    match thread.name() {
        Some(name) => format!("\"{name}\""),
        None => format!("thread {}", thread.id),
    }
}

fn seconds(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 60.. => format!("{} min", seconds / 60),
        _ => format!("{:.2} s", time.as_secs_f64()),
    }
}

/// What threads do, with how many before it.
fn does(activity: Activity) -> &'static str {
    match activity {
        Activity::Running => "on a CPU",
        Activity::Runnable => "queued for a CPU",
        Activity::Syscall => "in a system call",
        Activity::Lock => "waiting for a lock",
        Activity::Signal => "waiting for another thread",
        Activity::Io => "waiting for input or output",
        Activity::Sleep => "sleeping",
        Activity::Idle => "idle",
        Activity::Never => "waiting for what can never come",
        Activity::Unknown => "in a state that the dump does not tell",
    }
}

#[cfg(test)]
mod tests {
    use necropsy_model::{Message, Sender, Signal, State, ThreadId};

    use super::*;
    use crate::rules::native::samples::{fault, stop, words as aborted};

    fn said(snapshot: &Snapshot<'static>, symptom: Symptom) -> Vec<String> {
        evidence(snapshot, symptom).into_iter().map(|it| it.text.into_owned()).collect()
    }

    fn threads(times: &[(Activity, u64)]) -> Snapshot<'static> {
        let mut snapshot = Snapshot::default();
        snapshot.process.pid = Some(1);
        for (at, &(activity, ms)) in (1..).zip(times) {
            let mut thread = Thread::new(ThreadId(at), Source::line(at));
            thread.state = snapshot.intern_state(State { text: activity.name().into(), activity });
            thread.detail_mut().cpu = Some(Duration::from_millis(ms));
            snapshot.threads.push(thread);
        }
        snapshot
    }

    #[test]
    fn a_fault_is_told_from_a_signal_that_was_sent() {
        assert!(said(&fault(0, |_| {}), Symptom::NativeCrash)[0].ends_with("raised by the processor"));
        let mut sent = stop(Signal::ABRT, 0, |_| {});
        sent.stop.as_mut().unwrap().sender = Some(Sender { pid: 77, uid: 0 });
        assert_eq!(
            said(&sent, Symptom::HangIdle).last().unwrap(),
            "SIGABRT was sent by process 77 (user 0), which is no fault"
        );
    }

    #[test]
    fn a_busy_thread_is_told_by_its_time_but_the_first_one_has_the_sum_of_all() {
        let mut snapshot = threads(&[(Activity::Signal, 2600), (Activity::Running, 2590), (Activity::Signal, 0)]);
        snapshot.process.writer = Some(Writer::Kernel);
        let said = said(&snapshot, Symptom::HangBusy);
        assert_eq!(said[0], "of 3 threads, 1 on a CPU, 2 waiting for another thread");
        assert_eq!(said[1], "thread 2 ran and had used 2.59 s of CPU");
        assert_eq!(said[2], "thread 2 used 2.59 s of the 2.59 s of CPU time of 2 threads");
    }

    #[test]
    fn gcore_has_no_times() {
        let mut snapshot = threads(&[(Activity::Signal, 0), (Activity::Running, 0)]);
        snapshot.process.writer = Some(Writer::Gcore);
        assert!(said(&snapshot, Symptom::HangBusy).iter().any(|text| text.starts_with("gcore writes no CPU times")));
    }

    #[test]
    fn words_about_memory_come_first() {
        let mut snapshot = aborted(MessageKind::Other, "terminate called");
        let messages = &mut snapshot.stop.as_mut().unwrap().messages;
        messages.push(Message { text: "std::bad_alloc".into(), kind: MessageKind::Terminate, source: Source::DUMP });
        assert_eq!(said(&snapshot, Symptom::OutOfMemory)[0], "said: std::bad_alloc");
    }
}
