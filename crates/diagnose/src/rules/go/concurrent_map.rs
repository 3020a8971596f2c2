//! A map that several goroutines used at once.

use necropsy_model::{Evidence, Finding, Role};

use crate::go::{Go, fatal, of_group};
use crate::{Case, Rule};

pub(crate) static RULE: Rule = Rule { id: "go-concurrent-map", doc: include_str!("concurrent_map.md"), check };

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::of(case) else { return Vec::new() };
    if fatal::line(&go).is_none_or(|line| !fatal::is_map(&line.text)) {
        return Vec::new();
    }
    let means = "a map was used by several goroutines at once; this one noticed, the other side is another goroutine";
    let mut found = fatal::found(&go, RULE.id, means, "run with -race, or guard the map with one mutex");
    if let Some(finding) = &mut found {
        others(&go, finding);
    }
    found.into_iter().collect()
}

/// Goroutines that stand in the function that noticed, or want a CPU in code of the program: one may be the other side.
fn others<'data>(go: &Go<'_, 'data>, finding: &mut Finding<'data>) {
    let Some(noticed) = finding.places.first().and_then(|place| place.function.clone()) else { return };
    let stopped = go.snapshot.stop.as_ref().and_then(|stop| stop.thread);
    let same = go.front().filter(|group| {
        let victim = |&at: &u32| Some(at as usize) == stopped;
        let stands = go.frames(group).iter().any(|frame| frame.function.as_deref() == Some(&*noticed));
        stands && !group.threads.iter().all(victim)
    });
    for group in same.take(3) {
        finding.places.extend(go.place(group, Role::Related));
        let text = format!("it may be the other side: {}", of_group(go, group).text);
        finding.evidence.push(Evidence::new(text, go.source(group)));
    }
}

#[cfg(test)]
mod tests {
    use necropsy_model::Role;

    use super::RULE;
    use crate::go::samples::Dump;

    #[test]
    fn fires() {
        let dump = Dump::fatal("concurrent map writes").add(1, "running", &["main.put", "main.serve"]);
        let found = dump.add(3, "runnable", &["main.put", "main.serve"]).findings(&RULE);
        assert!(found[0].places.iter().any(|place| place.role == Role::Related), "the other side is named");
    }

    #[test]
    fn keeps_quiet() {
        assert!(!Dump::fatal("stack overflow").add(1, "running", &["main.put"]).fires(&RULE));
        assert!(!Dump::panic("concurrent map writes").add(1, "running", &["main.put"]).fires(&RULE));
    }
}
