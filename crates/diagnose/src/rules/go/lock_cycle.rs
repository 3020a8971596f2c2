//! Locks taken in opposite order: each goroutine has what another wants.

use std::collections::BTreeMap;

use necropsy_model::{Confidence, Finding, Role, Severity};

use crate::go::locks::{self, Candidate, Lock, Reason};
use crate::go::{Go, finding};
use crate::{Case, Rule};

pub(crate) static RULE: Rule = Rule { id: "go-lock-cycle", doc: include_str!("lock_cycle.md"), check };

/// Goroutines of a circle; longer ones are taken for chance.
const LONGEST: usize = 4;

/// Locks between which a circle is looked for.
const LOCKS: usize = 64;

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::alive(case) else { return Vec::new() };
    let found = by_arguments(&go).or_else(|| by_line(&go));
    found.into_iter().collect()
}

/// From one lock to the next: a candidate holder of the first waits for the second.
struct Edge {
    to: usize,
    holder: Candidate,
}

/// A circle that the arguments tell.
fn by_arguments<'data>(go: &Go<'_, 'data>) -> Option<Finding<'data>> {
    // Whoever is in a circle waits itself, and its arguments are known.
    let mut wanted: Vec<u64> = locks::sampled(go).map(|(_, address)| address).collect();
    wanted.sort_unstable();
    wanted.dedup();
    wanted.truncate(LOCKS);
    let edges: Vec<Vec<Edge>> = wanted
        .iter()
        .map(|&address| {
            let holders = locks::candidates(go, address).into_iter();
            let edge = |holder: Candidate| {
                let to = wanted.binary_search(&locks::wanted(go, holder.thread)?).ok()?;
                Some(Edge { to, holder })
            };
            holders.filter_map(edge).collect()
        })
        .collect();
    let cycle = (0..edges.len()).find_map(|start| walk(&edges, start, &mut vec![start], &mut Vec::new()))?;
    let locks = locks::locks(go);
    let lock_at = |at: usize| locks.iter().find(|lock| wanted.get(at) == Some(&lock.address));
    // As good as the worst reason of the circle.
    let worst = cycle.iter().map(|&(_, holder)| holder.reason).max()?;
    let confidence = match (worst, go.is_all_asleep()) {
        (Reason::Lock | Reason::Receiver, true) => Confidence::High,
        (Reason::Lock | Reason::Receiver, false) | (_, true) => Confidence::Medium,
        (Reason::Near | Reason::Stale, false) => Confidence::Low,
    };
    let mut ids: Vec<_> = cycle.iter().filter_map(|(_, holder)| go.thread(holder.thread)).map(|it| it.id).collect();
    ids.sort_unstable();
    let names: Vec<_> = ids.iter().map(ToString::to_string).collect();
    let behind: usize =
        cycle.iter().filter_map(|(lock, _)| lock_at(*lock)).map(|lock| lock.threads.len()).sum::<usize>();
    let behind = behind.saturating_sub(cycle.len());
    let more = match behind {
        0 => String::new(),
        more => format!("; {} behind them", go.does(more, "wait")),
    };
    let at = |id: &necropsy_model::ThreadId| {
        let thread = go.snapshot.threads.iter().find(|thread| thread.id == *id)?;
        let frames: Vec<_> = go.snapshot.frames_of(thread).collect();
        frames.get(crate::go::own(&frames)?).map(|frame| crate::go::words(frame))
    };
    let mut places: Vec<_> = ids.iter().filter_map(at).collect();
    places.dedup();
    let title = format!(
        "goroutines {} wait for each other's locks, it seems, at {}{more}",
        names.join(" and "),
        places.join(" and ")
    );
    let mut finding = finding(RULE.id, Severity::Critical, confidence, title);
    for (lock, holder) in &cycle {
        finding.evidence.extend(lock_at(*lock).map(|lock| locks::evidence(go, lock)).into_iter().flatten().take(2));
        let frames: Vec<_> = go.thread(holder.thread).into_iter().flat_map(|it| go.snapshot.frames_of(it)).collect();
        let waits = crate::go::own(&frames);
        finding.places.extend(waits.and_then(|at| go.snapshot.place(holder.thread as usize, at, Role::Waiter)));
    }
    finding.next.push("take these locks in one order everywhere".to_owned());
    Some(finding)
}

/// A circle of locks that begins and ends at the first of the path, as locks with the holders that lead on.
fn walk(
    edges: &[Vec<Edge>],
    at: usize,
    path: &mut Vec<usize>,
    holders: &mut Vec<(usize, Candidate)>,
) -> Option<Vec<(usize, Candidate)>> {
    for edge in edges.get(at)? {
        // Each holder once: one goroutine that knows all the locks is no circle.
        if holders.iter().any(|(_, holder)| holder.thread == edge.holder.thread) {
            continue;
        }
        holders.push((at, edge.holder));
        if path.first() == Some(&edge.to) && path.len() > 1 {
            return Some(holders.clone());
        }
        if path.len() < LONGEST && !path.contains(&edge.to) {
            path.push(edge.to);
            let found = walk(edges, edge.to, path, holders);
            path.pop();
            if found.is_some() {
                return found;
            }
        }
        holders.pop();
    }
    None
}

/// Goroutines at one line that wait for different locks: what a function leaves that takes two of them in the order of its
/// arguments. Only where nothing tells who holds the locks.
fn by_line<'data>(go: &Go<'_, 'data>) -> Option<Finding<'data>> {
    let mut at_line: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (thread, address) in locks::sampled(go) {
        let frames: Vec<_> = go.snapshot.frames_of(go.thread(thread)?).collect();
        let Some(own) = frames.iter().find(|frame| crate::go::in_program(frame)) else { continue };
        let addresses = at_line.entry(crate::go::words(own)).or_default();
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    let held =
        |&address: &u64| locks::candidates(go, address).iter().any(|candidate| candidate.reason <= Reason::Receiver);
    let (place, addresses) = at_line
        .into_iter()
        .find(|(_, addresses)| (2..=LONGEST).contains(&addresses.len()) && !addresses.iter().any(held))?;
    let locks = locks::locks(go);
    let several: Vec<&Lock> = locks.iter().filter(|lock| addresses.contains(&lock.address)).collect();
    // The first few of many that wait each for its own lock are no circle.
    if locks.len() > several.len() + LONGEST {
        return None;
    }
    let confidence = if go.is_all_asleep() { Confidence::Medium } else { Confidence::Low };
    let title = format!(
        "goroutines wait at one line, {place}, for {} different locks: two locks taken in opposite order look like this",
        several.len()
    );
    let mut finding = finding(RULE.id, Severity::Critical, confidence, title);
    for lock in &several {
        finding.evidence.extend(locks::evidence(go, lock));
        let first = lock.threads.first().copied();
        let frames: Vec<_> =
            first.and_then(|at| go.thread(at)).into_iter().flat_map(|it| go.snapshot.frames_of(it)).collect();
        let own = crate::go::own(&frames);
        finding.places.extend(first.zip(own).and_then(|(at, own)| go.snapshot.place(at as usize, own, Role::Waiter)));
    }
    finding.next.push(format!("see whether {place} already holds another lock of the same kind, and in which order"));
    Some(finding)
}

#[cfg(test)]
mod tests {
    use necropsy_model::go::GoForm;
    use necropsy_model::{Confidence, WaitKind};

    use super::RULE;
    use crate::go::samples::Dump;

    const CALLS: [&str; 3] = ["sync.(*Mutex).Lock", "main.(*Account).add", "main.(*Account).pay"];

    /// The account at `own` pays one whose lock is at `wanted`.
    fn pays(dump: Dump, own: u64, wanted: u64) -> Dump {
        let dump = dump.add(1, "sync.Mutex.Lock", &CALLS).waits_for(WaitKind::Lock, wanted);
        dump.arguments(&[(1, 0, wanted), (2, 0, own)])
    }

    #[test]
    fn fires() {
        let two = |dump| pays(pays(dump, 0xc000_1000, 0xc000_2000), 0xc000_2000, 0xc000_1000);
        let found = two(Dump::new(GoForm::Stacks)).findings(&RULE);
        assert_eq!(found[0].confidence, Confidence::Medium);
        assert!(found[0].title.starts_with("goroutines 1 and 2 wait for each other"), "{}", found[0].title);
        assert_eq!(two(Dump::asleep()).findings(&RULE)[0].confidence, Confidence::High);
    }

    #[test]
    fn one_line_and_two_locks_are_a_weak_sign() {
        let waits = |dump: Dump, lock| {
            dump.add(1, "sync.Mutex.Lock", &CALLS).waits_for(WaitKind::Lock, lock).arguments(&[(2, 0, 1)])
        };
        let dump = waits(waits(Dump::new(GoForm::Stacks), 0xc000_1000), 0xc000_2000);
        assert_eq!(dump.findings(&RULE)[0].confidence, Confidence::Low);
    }

    #[test]
    fn keeps_quiet() {
        let chain = pays(pays(Dump::new(GoForm::Stacks), 0xc000_1000, 0xc000_2000), 0xc000_2000, 0xc000_3000);
        assert!(!chain.fires(&RULE), "the last one waits for somebody else");
        let one = Dump::new(GoForm::Stacks).add(9, "sync.Mutex.Lock", &CALLS).waits_for(WaitKind::Lock, 0xc000_1000);
        assert!(!one.arguments(&[(2, 0, 1)]).fires(&RULE), "a queue for one lock");
    }
}
