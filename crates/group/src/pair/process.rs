//! Whether two dumps are of one process, which is the earlier one, and how far they are apart.

use std::time::Duration;

use necropsy_model::{
    Elapsed, ElapsedBasis, Identification, Order, Process, Runtime, SameProcess, Snapshot, Thread, ThreadFlags,
};

use super::identity::{self, Matched, tells_threads_apart};
use crate::name::normalise;
use crate::time;

/// Ages of two dumps of one process agree to this: jstack prints hundredths, but walks the threads one after the other.
const AGES_AGREE_MS: i64 = 2000;

/// The time between two dumps, by the clock on the wall and by the ages of threads, agrees to this: dumps print whole seconds.
const CLOCKS_AGREE_MS: u64 = 3000;

/// Which of two dumps is the earlier one: by the ages of their threads, else by their times, else by the CPU time they used.
pub fn order(first: &Snapshot<'_>, second: &Snapshot<'_>) -> Order {
    let pairs = identity::pair(first, second).pairs;
    let apart = by_ages(first, second, &pairs).or_else(|| by_times(first, second)).filter(|apart| *apart != 0);
    let apart = apart.or_else(|| by_cpu(first, second)).or_else(|| by_waits(first, second, &pairs));
    match apart {
        None | Some(0) => Order::NotTold,
        Some(1..) => Order::AsGiven,
        Some(_) => Order::Turned,
    }
}

/// The time between the dumps.
pub(super) fn elapsed(old: &Snapshot<'_>, new: &Snapshot<'_>, pairs: &[(u32, u32)]) -> Option<Elapsed> {
    let time = |ms: i64| u64::try_from(ms).ok().map(Duration::from_millis);
    let of = |ms: Option<i64>, basis| Some(Elapsed { time: time(ms?)?, basis });
    of(by_ages(old, new, pairs), ElapsedBasis::ThreadAges)
        .or_else(|| of(by_times(old, new), ElapsedBasis::TimesTaken))
        .or_else(|| of(by_waits(old, new, pairs).filter(|ms| *ms > 0), ElapsedBasis::WaitingTimes))
}

/// How much older threads are in the second dump, in milliseconds, ascending.
fn ages(old: &Snapshot<'_>, new: &Snapshot<'_>, pairs: &[(u32, u32)]) -> Vec<i64> {
    let age = |snapshot: &Snapshot<'_>, at: u32| {
        let thread = snapshot.threads.get(at as usize)?;
        i64::try_from(thread.detail.as_ref()?.elapsed?.as_millis()).ok()
    };
    let mut ages: Vec<_> = pairs.iter().filter_map(|&(at, to)| age(new, to)?.checked_sub(age(old, at)?)).collect();
    ages.sort_unstable();
    ages
}

fn middle(sorted: &[i64]) -> Option<i64> {
    sorted.get(sorted.len() / 2).copied()
}

fn by_ages(old: &Snapshot<'_>, new: &Snapshot<'_>, pairs: &[(u32, u32)]) -> Option<i64> {
    middle(&ages(old, new, pairs))
}

fn by_times(old: &Snapshot<'_>, new: &Snapshot<'_>) -> Option<i64> {
    let at = |snapshot: &Snapshot<'_>| time::milliseconds(snapshot.process.taken_at.as_deref()?);
    at(new)?.checked_sub(at(old)?)
}

/// CPU time only grows.
fn by_cpu(old: &Snapshot<'_>, new: &Snapshot<'_>) -> Option<i64> {
    let sum = |snapshot: &Snapshot<'_>| {
        let times = snapshot.threads.iter().filter_map(|thread| thread.detail.as_ref()?.cpu);
        i64::try_from(times.reduce(Duration::saturating_add)?.as_millis()).ok()
    };
    sum(new)?.checked_sub(sum(old)?).filter(|ms| *ms != 0)
}

/// How much longer threads have waited in the second dump, in milliseconds: those that waited all through agree, to a minute.
fn by_waits(old: &Snapshot<'_>, new: &Snapshot<'_>, pairs: &[(u32, u32)]) -> Option<i64> {
    let waited = |snapshot: &Snapshot<'_>, at: u32| {
        let thread = snapshot.threads.get(at as usize)?;
        i64::try_from(thread.waited()?.as_millis()).ok()
    };
    let mut grown: Vec<_> =
        pairs.iter().filter_map(|&(at, to)| waited(new, to)?.checked_sub(waited(old, at)?)).collect();
    grown.retain(|ms| *ms != 0);
    grown.sort_unstable();
    middle(&grown)
}

/// Whether both are of one process, and why.
pub(super) fn identify(old: &Snapshot<'_>, new: &Snapshot<'_>, matched: &Matched) -> Identification {
    let (was, is) = (&old.process, &new.process);
    if let Some(why) = contradiction(old, new) {
        return Identification { same: SameProcess::No, because: vec![why] };
    }
    let mut because = Vec::new();
    let pid = was.pid.is_some() && was.pid == is.pid;
    if let Some(pid) = was.pid.filter(|_| pid) {
        because.push(format!("both are of process {pid}"));
    }
    if !tells_threads_apart(old) || !tells_threads_apart(new) {
        let same = if pid { SameProcess::Yes } else { SameProcess::NotTold };
        return Identification { same, because };
    }
    let alike = matched.pairs.len();
    if matched.contradicted > alike && !pid {
        let total = alike + matched.contradicted;
        because.push(format!(
            "{} of {total} threads with one number are other threads of the kernel",
            matched.contradicted
        ));
        return Identification { same: SameProcess::No, because };
    }
    let ages = ages(old, new, &matched.pairs);
    // Every start of a program makes its threads in the same order and pace: their ages must also fit the time on the wall.
    let shift = middle(&ages).zip(by_times(old, new)).map(|(older, later)| older.abs_diff(later));
    if let Some(shift) = shift.filter(|&shift| shift > CLOCKS_AGREE_MS && ages.len() >= 3 && !pid) {
        because.push(format!("its threads are {} s too young or too old for the time between the dumps", shift / 1000));
        return Identification { same: SameProcess::No, because };
    }
    let agree = middle(&ages)
        .map_or(0, |middle| ages.iter().filter(|age| age.abs_diff(middle) <= AGES_AGREE_MS as u64).count());
    if ages.len() >= 3 && agree * 10 >= ages.len() * 9 {
        because.push(format!("{agree} threads are in both, and began at the same moments"));
        return Identification { same: SameProcess::Yes, because };
    }
    if ages.len() >= 3 && agree * 2 < ages.len() {
        because.push(format!(
            "{} of {} threads with one number began at different moments",
            ages.len() - agree,
            ages.len()
        ));
        return Identification { same: SameProcess::No, because };
    }
    let (same, other) = origins(old, new, &matched.pairs);
    let other = other + matched.contradicted;
    if matched.pairs.is_empty() && !old.threads.is_empty() && !new.threads.is_empty() {
        because.push("no thread is in both".to_owned());
        return Identification { same: if pid { SameProcess::NotTold } else { SameProcess::No }, because };
    }
    if other > same && !pid {
        because.push(format!(
            "{other} of {} threads with one number were made by different code or are called differently",
            same + other
        ));
        return Identification { same: SameProcess::No, because };
    }
    if same > 0 {
        because.push(format!("{same} threads with one number were made by the same code or have the same name"));
    }
    let same = match (pid, same) {
        (true, _) => SameProcess::Yes,
        (false, 0) => SameProcess::NotTold,
        (false, _) => SameProcess::Likely,
    };
    Identification { same, because }
}

/// Threads of one number whose creator or name agrees, and those where it does not.
fn origins(old: &Snapshot<'_>, new: &Snapshot<'_>, pairs: &[(u32, u32)]) -> (usize, usize) {
    let creator = |snapshot: &Snapshot<'_>, thread: &Thread<'_>| {
        let function = snapshot.frame(thread.created_by?)?.function.as_deref()?;
        Some(normalise(function).into_owned())
    };
    let mut counts = (0, 0);
    for &(at, to) in pairs {
        let Some((was, is)) = old.threads.get(at as usize).zip(new.threads.get(to as usize)) else { continue };
        let created = creator(old, was).zip(creator(new, is)).map(|(was, is)| was == is);
        let named = was.name().zip(is.name()).map(|(was, is)| was == is);
        // The names of the runtime's own threads are the same in all processes.
        let own = !was.flags.contains(ThreadFlags::SYSTEM);
        match created.or(named).filter(|_| own) {
            Some(true) => counts.0 += 1,
            Some(false) => counts.1 += 1,
            None => {}
        }
    }
    counts
}

/// What two dumps of one process can not disagree in.
fn contradiction(old: &Snapshot<'_>, new: &Snapshot<'_>) -> Option<String> {
    let (was, is) = (&old.process, &new.process);
    let differ = |what: &str, was: Option<String>, is: Option<String>| {
        let (was, is) = was.zip(is)?;
        (was != is).then(|| format!("{what}: {was} and {is}"))
    };
    let text = |value: &Option<necropsy_model::Text<'_>>| value.as_deref().map(str::to_owned);
    let managed = |process: &Process<'_>| {
        process
            .runtime
            .filter(|runtime| !matches!(runtime, Runtime::Native | Runtime::Rust))
            .map(|runtime| runtime.name().to_owned())
    };
    if old.memory.is_empty() != new.memory.is_empty() {
        return Some(
            "one lists threads of the kernel, the other those of a runtime: give two dumps of one kind".to_owned(),
        );
    }
    if old.hs_err.is_some() || new.hs_err.is_some() {
        return Some("a fatal error log is written as the process dies: there is no second dump of it".to_owned());
    }
    differ("different processes", was.pid.map(|pid| pid.to_string()), is.pid.map(|pid| pid.to_string()))
        .or_else(|| differ("different runtimes", managed(was), managed(is)))
        .or_else(|| {
            differ(
                "different builds",
                was.build_id.as_ref().map(ToString::to_string),
                is.build_id.as_ref().map(ToString::to_string),
            )
        })
        .or_else(|| differ("different programs", text(&was.exe), text(&is.exe)))
        .or_else(|| differ("different versions of the runtime", text(&was.runtime_version), text(&is.runtime_version)))
        .or_else(|| {
            differ(
                "different machines",
                was.arch.map(|arch| arch.name().to_owned()),
                is.arch.map(|arch| arch.name().to_owned()),
            )
        })
}
