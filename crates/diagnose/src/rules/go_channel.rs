//! Goroutines that pile up at one channel, and those that can never go on.

use necropsy_model::{Activity, Confidence, Evidence, Finding, Group, Role, Severity};

use crate::go::{Go, finding, of_group};
use crate::{Case, Rule};

pub(super) static CONSUMERS: Rule = Rule {
    id: "go-stuck-consumers",
    doc: "\
# What it means
Many goroutines receive at one place and nobody in the dump sends.
# Why it matters
Either the producer is gone, or the workers are idle because there is no work.
# How it can be wrong
A pool without work looks the same. A sender that is busy elsewhere is not in `chan send`.
# What to do
Find who should send to, or close, the channel; compare a second dump.
",
    check: consumers,
};

pub(super) static PRODUCERS: Rule = Rule {
    id: "go-stuck-producers",
    doc: "\
# What it means
Goroutines wait to send at one place: the receiver is gone or too slow.
# Why it matters
A sender is blocked until somebody receives: when the receiver returned early, for ever.
# How it can be wrong
A slow receiver is not a dead one: a moment later the same goroutines may have gone on.
# What to do
Look for the receiver: did it return on an error or a timeout without draining the channel?
",
    check: producers,
};

pub(super) static NEVER: Rule = Rule {
    id: "go-waits-forever",
    doc: "\
# What it means
A goroutine uses a nil channel or a select without cases: nothing in the program can ever wake it.
# Why it matters
It is a leak, or the program's way to stay alive in main.
# How it can be wrong
`select {}` in main is deliberate in many programs, and is not reported.
# What to do
Find the channel that was never made.
",
    check: never,
};

/// Waiters at one place from which it is a pile.
const PILE: usize = 10;

fn piles<'a>(go: &Go<'a, '_>, state: &str) -> Vec<&'a Group> {
    go.front().filter(|group| go.state(group) == state).collect()
}

fn consumers<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::of(case).filter(Go::is_alive) else { return Vec::new() };
    let waiting = piles(&go, "chan receive");
    let Some(most) = waiting.iter().max_by_key(|group| group.threads.len()).filter(|group| group.threads.len() >= PILE)
    else {
        return Vec::new();
    };
    let sends = go.any(|group| matches!(go.state(group), "chan send"));
    let creator = go.creator(most).map(|creator| format!(", created by {creator}")).unwrap_or_default();
    let nobody = if sends { "" } else { "; nobody in the dump sends" };
    let title =
        format!("{} at {}{}{creator}{nobody}", go.does(most.threads.len(), "receive"), go.at(most), go.waited(most));
    let many = most.threads.len() * 2 >= go.snapshot.threads.len();
    let (severity, confidence) = match (sends, many) {
        (false, true) => (Severity::Critical, Confidence::Medium),
        (false, false) => (Severity::Warning, Confidence::Low),
        (true, _) => (Severity::Note, Confidence::Low),
    };
    let mut finding = finding(CONSUMERS.id, severity, confidence, title);
    finding.places.extend(go.place(most, Role::Waiter));
    finding.evidence.push(of_group(&go, most));
    minutes(&go, most, &mut finding);
    finding
        .next
        .push("find who should send to this channel or close it; an idle pool of workers looks the same".to_owned());
    vec![finding]
}

fn producers<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::of(case).filter(Go::is_alive) else { return Vec::new() };
    let mut waiting = piles(&go, "chan send");
    waiting.sort_by_key(|group| std::cmp::Reverse(group.threads.len()));
    let Some(most) = waiting.first() else { return Vec::new() };
    let creator = go.creator(most).map(|creator| format!(", created by {creator}")).unwrap_or_default();
    let title =
        format!("{} to send at {}{}{creator}", go.does(most.threads.len(), "wait"), go.at(most), go.waited(most));
    let long = most.waited.is_some_and(|spread| spread.max_s >= 60);
    let (severity, confidence) = match (most.threads.len(), long || go.is_all_asleep()) {
        (PILE.., _) | (_, true) => (Severity::Critical, Confidence::Medium),
        _ => (Severity::Warning, Confidence::Low),
    };
    let mut finding = finding(PRODUCERS.id, severity, confidence, title);
    for group in waiting.iter().take(4) {
        finding.places.extend(go.place(group, Role::Waiter));
        finding.evidence.push(of_group(&go, group));
    }
    minutes(&go, most, &mut finding);
    finding.next.push(
        "find the receiver: has it returned, or does it wait for something that these goroutines hold?".to_owned(),
    );
    vec![finding]
}

fn never<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::of(case).filter(Go::is_alive) else { return Vec::new() };
    let is_main = |group: &Group| go.frames(group).iter().any(|frame| frame.function.as_deref() == Some("main.main"));
    let stuck: Vec<_> = go
        .front()
        .filter(|group| go.activity(group) == Activity::Never)
        .filter(|group| !(go.state(group) == "select (no cases)" && is_main(group)))
        .collect();
    let Some(most) = stuck.iter().max_by_key(|group| (group.threads.len(), std::cmp::Reverse(group.threads.first())))
    else {
        return Vec::new();
    };
    let count: usize = stuck.iter().map(|group| group.threads.len()).sum();
    let title = format!("{} can never go on: {} at {}", go.share(count), go.state(most), go.at(most));
    let severity = if count >= PILE { Severity::Critical } else { Severity::Warning };
    let mut finding = finding(NEVER.id, severity, Confidence::High, title);
    for group in stuck.iter().take(4) {
        finding.places.extend(go.place(group, Role::Waiter));
        finding.evidence.push(of_group(&go, group));
    }
    vec![finding]
}

/// What the minutes of a header mean, where they are shown or missing.
fn minutes<'data>(go: &Go<'_, 'data>, group: &Group, finding: &mut Finding<'data>) {
    let text = match group.waited {
        Some(_) => {
            "the minutes are a lower bound: the garbage collector stamps them, and it starts counting when it first sees the wait"
        }
        None => {
            "no minutes are printed; that does not mean they just arrived: the stamp is set by a garbage collection"
        }
    };
    finding.evidence.push(Evidence::new(text, go.source(group)));
}
