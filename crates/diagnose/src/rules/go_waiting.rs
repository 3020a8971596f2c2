//! Wait groups, leaks, pools, one call that everybody is in, sleepers.

use std::collections::BTreeMap;

use necropsy_model::{Activity, Confidence, Evidence, Finding, Group, Role, Severity, ThreadFlags};

use crate::go::{Go, finding, is_std, of_group};
use crate::{Case, Rule};

pub(super) static WAITGROUP: Rule = Rule {
    id: "go-waitgroup-stuck",
    doc: "\
# What it means
A goroutine waits for a wait group whose workers are stuck, or one of which returned without `Done`.
# Why it matters
The waiter is a symptom: the worker that did not finish is the cause.
# How it can be wrong
Workers that are merely busy make the same picture.
# What to do
Look at the goroutines created by the same function.
",
    check: waitgroup,
};

pub(super) static LEAK: Rule = Rule {
    id: "go-leak",
    doc: "\
# What it means
Goroutines of one creator pile up and wait at one place with widely spread ages, or the garbage collector proved that
nothing can wake them (`(leaked)`, from Go 1.26).
# Why it matters
They keep their memory until the process ends.
# How it can be wrong
Long-lived connections spread their ages too. The collector's proof can not be wrong.
# What to do
Give the goroutine a way out: a context, a closed channel, a buffer of one.
",
    check: leak,
};

pub(super) static POOL: Rule = Rule {
    id: "go-pool-exhausted",
    doc: "\
# What it means
Goroutines wait for a free connection of `database/sql`, of the HTTP transport, or for a weight of a semaphore.
# Why it matters
All connections are in use: whoever holds them is slow, stuck, or forgot to give them back.
# How it can be wrong
A short burst looks the same.
# What to do
Look for goroutines inside a query or request; look for rows and bodies that are not closed; see the pool's limits.
",
    check: pool,
};

pub(super) static DOWNSTREAM: Rule = Rule {
    id: "go-same-downstream-call",
    doc: "\
# What it means
Most goroutines of the program wait for input in one call to another service.
# Why it matters
The service behind that call is slow or gone, and there is no time limit, or a long one.
# How it can be wrong
Idle keep-alive connections of a server wait for input too; they are told apart by their frames.
# What to do
Look at the service; put a deadline on the call.
",
    check: downstream,
};

pub(super) static STORM: Rule = Rule {
    id: "go-retry-storm",
    doc: "\
# What it means
Most goroutines sleep at one place.
# Why it matters
A pool that sleeps does no work: often it is a retry with a pause, after the same error everywhere.
# How it can be wrong
Tickers and schedulers made of sleeping goroutines are healthy.
# What to do
Read what the function does around the sleep.
",
    check: storm,
};

/// Goroutines at one place from which they are many.
const MANY: usize = 10;

fn waitgroup<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::of(case).filter(Go::is_alive) else { return Vec::new() };
    let waits = |group: &&Group| {
        go.wait_kind(group) == Some(necropsy_model::WaitKind::Barrier) || go.state(group) == "sync.WaitGroup.Wait"
    };
    let Some(waiter) = go.front().find(waits) else { return Vec::new() };
    let frames = go.frames(waiter);
    let function = go
        .own_frame(waiter)
        .and_then(|at| frames.get(at))
        .and_then(|frame| frame.function.as_deref())
        .unwrap_or_default();
    // Workers that the waiting function itself, or its closures, started.
    let workers: Vec<_> = go
        .front()
        .filter(|group| {
            let creator =
                group.created_by.and_then(|id| go.snapshot.frame(id)).and_then(|frame| frame.function.as_deref());
            !waits(group) && creator.is_some_and(|creator| creator == function)
        })
        .collect();
    let count: usize = workers.iter().map(|group| group.threads.len()).sum();
    let (title, confidence) = match workers.first() {
        Some(worker) => (
            format!(
                "{} waits for a wait group while {} it started stand in {} at {}",
                go.at(waiter),
                go.share(count),
                go.state(worker),
                go.at(worker)
            ),
            Confidence::Medium,
        ),
        None => (
            format!(
                "{} waits for a wait group and none of its workers is in the dump: a Done is missing, or it waits on others",
                go.at(waiter)
            ),
            Confidence::Low,
        ),
    };
    let mut finding = finding(WAITGROUP.id, Severity::Warning, confidence, title);
    finding.places.extend(go.place(waiter, Role::Waiter));
    finding.evidence.push(of_group(&go, waiter));
    for worker in workers.iter().take(3) {
        finding.places.extend(go.place(worker, Role::Related));
        finding.evidence.push(of_group(&go, worker));
    }
    vec![finding]
}

fn leak<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::of(case).filter(Go::is_alive) else { return Vec::new() };
    let leaked = |group: &Group| {
        let marked = |&at: &u32| go.thread(at).is_some_and(|thread| thread.flags.contains(ThreadFlags::LEAKED));
        group.threads.iter().filter(|at| marked(at)).count()
    };
    let mut proved: Vec<_> =
        go.groups.groups.iter().map(|group| (leaked(group), group)).filter(|(count, _)| *count > 0).collect();
    if !proved.is_empty() {
        proved.sort_by_key(|(count, group)| (std::cmp::Reverse(*count), group.threads.first().copied()));
        let total: usize = proved.iter().map(|(count, _)| count).sum();
        let at = proved.first().map(|(_, group)| go.at(group)).unwrap_or_default();
        let title = format!("{} leaked, proved by the garbage collector; most at {at}", go.share(total));
        let mut finding = finding(LEAK.id, Severity::Critical, Confidence::High, title);
        for (count, group) in proved.iter().take(6) {
            finding.places.extend(go.place(group, Role::Waiter));
            let text = format!("{} marked (leaked) in {} at {}", go.share(*count), go.state(group), go.at(group));
            finding.evidence.push(Evidence::new(text, go.source(group)));
        }
        return vec![finding];
    }
    // Without proof: many of one creator, waiting since very different times.
    let spread = |group: &&Group| {
        group.threads.len() >= MANY
            && matches!(go.activity(group), Activity::Signal | Activity::Lock | Activity::Io)
            && group.waited.is_some_and(|spread| spread.max_s >= 600 && spread.min_s * 4 <= spread.max_s)
    };
    let Some(group) = go.front().find(spread) else { return Vec::new() };
    let Some(waited) = group.waited else { return Vec::new() };
    let creator = go.creator(group).unwrap_or_else(|| "main".to_owned());
    let title = format!(
        "{} created by {creator} pile up in {} at {}: the oldest waits {} minutes or more, the youngest {}",
        go.share(group.threads.len()),
        go.state(group),
        go.at(group),
        waited.max_s / 60,
        waited.min_s / 60
    );
    let mut finding = finding(LEAK.id, Severity::Warning, Confidence::Medium, title);
    finding.places.extend(go.place(group, Role::Waiter));
    finding.evidence.push(of_group(&go, group));
    vec![finding]
}

/// Calls in which a goroutine waits for a free member of a pool.
const POOLS: [(&str, &str); 6] = [
    ("database/sql.(*DB).conn", "a free database connection"),
    ("net/http.(*Transport).getConn", "a free HTTP connection"),
    ("golang.org/x/sync/semaphore.(*Weighted).Acquire", "a semaphore"),
    ("github.com/jackc/puddle.(*Pool).Acquire", "a free database connection"),
    ("github.com/jackc/puddle/v2.(*Pool[...]).Acquire", "a free database connection"),
    ("github.com/gomodule/redigo/redis.(*Pool).get", "a free Redis connection"),
];

fn pool<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::of(case).filter(Go::is_alive) else { return Vec::new() };
    let mut by_pool: BTreeMap<&str, Vec<&Group>> = BTreeMap::new();
    for group in go.front().filter(|group| matches!(go.state(group), "select" | "chan receive" | "semacquire")) {
        // The call that waits is right above the program's own frames: dialling is not waiting.
        let frames = go.frames(group);
        let first = frames.iter().find(|frame| frame.kind != necropsy_model::FrameKind::Runtime);
        let name = first.and_then(|frame| frame.function.as_deref()).unwrap_or_default();
        if let Some((_, what)) = POOLS.iter().find(|(call, _)| *call == name) {
            by_pool.entry(what).or_default().push(group);
        }
    }
    let findings = by_pool.into_iter().filter_map(|(what, groups)| {
        let count: usize = groups.iter().map(|group| group.threads.len()).sum();
        let most = groups.first()?;
        let title = format!("{} for {what}, first at {}{}", go.does(count, "wait"), go.at(most), go.waited(most));
        let (severity, confidence) = match count {
            MANY.. => (Severity::Critical, Confidence::Medium),
            2.. => (Severity::Warning, Confidence::Medium),
            _ => (Severity::Note, Confidence::Low),
        };
        let mut finding = finding(POOL.id, severity, confidence, title);
        for group in groups.iter().take(4) {
            finding.places.extend(go.place(group, Role::Waiter));
            finding.evidence.push(of_group(&go, group));
        }
        finding.next.push(
            "look for goroutines inside a query or request, and for rows or bodies that are not closed".to_owned(),
        );
        Some(finding)
    });
    findings.collect()
}

/// Members of the program's groups that share a state, by the innermost own function.
fn largest<'a>(go: &Go<'a, '_>, state: &str) -> Option<(usize, &'a Group)> {
    let mut by_place: BTreeMap<String, (usize, &Group)> = BTreeMap::new();
    for group in go.front().filter(|group| go.state(group) == state) {
        let entry = by_place.entry(go.at(group)).or_insert((0, group));
        entry.0 += group.threads.len();
    }
    let front: usize = go.front().map(|group| group.threads.len()).sum();
    let (count, group) = by_place
        .into_values()
        .max_by_key(|(count, group)| (*count, std::cmp::Reverse(group.threads.first().copied())))?;
    (count >= MANY && count * 2 > front).then_some((count, group))
}

fn downstream<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::of(case).filter(Go::is_alive) else { return Vec::new() };
    let Some((count, group)) = largest(&go, "IO wait") else { return Vec::new() };
    let frames = go.frames(group);
    // A server that waits for the next request of its client is idle.
    let serves = frames
        .iter()
        .filter_map(|frame| frame.function.as_deref())
        .any(|name| name.starts_with("net/http.(*conn).serve"));
    let own = frames.iter().any(|frame| frame.function.as_deref().is_some_and(|name| !is_std(name)));
    if serves || !own {
        return Vec::new();
    }
    let title =
        format!("{} wait for an answer from the network in {}{}", go.share(count), go.at(group), go.waited(group));
    let mut finding = finding(DOWNSTREAM.id, Severity::Warning, Confidence::Medium, title);
    finding.places.extend(go.place(group, Role::Waiter));
    finding.evidence.push(of_group(&go, group));
    vec![finding]
}

fn storm<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::of(case).filter(Go::is_alive) else { return Vec::new() };
    let Some((count, group)) = largest(&go, "sleep") else { return Vec::new() };
    let title = format!("{} sleep in {}: a retry with a pause, or a throttle", go.share(count), go.at(group));
    let mut finding = finding(STORM.id, Severity::Warning, Confidence::Low, title);
    finding.places.extend(go.place(group, Role::Waiter));
    finding.evidence.push(of_group(&go, group));
    vec![finding]
}
