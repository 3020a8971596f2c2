//! A race the detector saw.

use necropsy_model::{Confidence, Evidence, Finding, Role, Severity};

use crate::go::{Go, finding, words};
use crate::{Case, Rule};

pub(crate) static RULE: Rule = Rule { id: "go-data-race", doc: include_str!("data_race.md"), check };

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
        finding.next.push("guard the value with one lock, or hand it over on a channel".to_owned());
        Some(finding)
    });
    races.collect()
}

#[cfg(test)]
mod tests {
    use necropsy_model::go::{GoAccess, GoForm, GoRace};
    use necropsy_model::{Role, Source, ThreadId};

    use super::RULE;
    use crate::go::samples::Dump;

    fn race(accesses: &[&'static str]) -> Dump {
        let mut dump = Dump::new(GoForm::Races).add(1, "running", &["main.read"]).add(1, "running", &["main.write"]);
        let access = |(at, what): (usize, &&'static str)| GoAccess {
            what: (*what).into(),
            address: Some(0xc000_0000),
            goroutine: Some(ThreadId(at as u64 + 1)),
            thread: Some(at),
            source: Source::line(2),
        };
        let accesses = accesses.iter().enumerate().map(access).collect();
        dump.facts().races.push(GoRace { accesses, source: None });
        dump
    }

    #[test]
    fn fires() {
        let found = race(&["Read", "Previous write"]).findings(&RULE);
        assert_eq!(found[0].places[1].role, Role::Origin);
        assert!(found[0].title.contains("previous write by main.write"), "{}", found[0].title);
    }

    #[test]
    fn keeps_quiet() {
        assert!(!race(&["Read"]).fires(&RULE), "one side is no race");
        assert!(!Dump::new(GoForm::Stacks).add(2, "running", &["main.read"]).fires(&RULE));
    }
}
