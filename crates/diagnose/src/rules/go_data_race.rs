//! A race the detector saw.

use necropsy_model::{Confidence, Evidence, Finding, Role, Severity};

use crate::go::{Go, finding, words};
use crate::{Case, Rule};

pub(super) static RULE: Rule = Rule {
    id: "go-data-race",
    doc: "\
# What it means
Two goroutines used one address, at least one of them to write, and nothing ordered them.
# Why it matters
What the program then does is not defined. The access that came before is the origin side.
# How it can be wrong
The detector has no false alarms; it sees only what ran.
# What to do
Guard the value named by both sides with one lock, or hand it over on a channel.
",
    check,
};

/// Races that get a finding of their own.
const SHOWN: usize = 10;

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::of(case) else { return Vec::new() };
    let races = go.facts.races.iter().take(SHOWN).filter_map(|race| {
        let [first, second, ..] = race.accesses.as_slice() else { return None };
        let place = |access: &necropsy_model::go::GoAccess<'data>, role| {
            let thread = go.snapshot.threads.get(access.thread?)?;
            let frames: Vec<_> = go.snapshot.frames_of(thread).collect();
            let at = crate::go::own(&frames)?;
            Some((go.snapshot.place(access.thread?, at, role)?, words(frames.get(at)?)))
        };
        let (now, before) = (place(first, Role::Victim)?, place(second, Role::Origin)?);
        let title = format!(
            "data race: {} by {} and {} by {}",
            first.what.to_lowercase(),
            now.1,
            second.what.to_lowercase(),
            before.1
        );
        let mut finding = finding(RULE.id, Severity::Critical, Confidence::High, title);
        finding.places = vec![now.0, before.0];
        for access in [first, second] {
            let who = access.goroutine.map_or_else(|| "a goroutine".to_owned(), |id| format!("goroutine {id}"));
            let address = access.address.map(|address| format!(" of {address:#x}")).unwrap_or_default();
            finding.evidence.push(Evidence::new(format!("{}{address} by {who}", access.what), access.source));
        }
        Some(finding)
    });
    races.collect()
}
