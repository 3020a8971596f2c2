//! Goroutines that wait for a free member of a pool.

use std::collections::BTreeMap;

use necropsy_model::{Confidence, Finding, FrameKind, Group, Role, Severity};

use super::PILE;
use crate::go::{Go, finding, members, show};
use crate::{Case, Rule};

pub(crate) static RULE: Rule = Rule { id: "go-pool-exhausted", doc: include_str!("pool_exhausted.md"), check };

/// Calls in which a goroutine waits for a free member of a pool.
///
/// `getConn` of Go's `net/http/transport.go` waits for a dial as well as for a free connection; from Go 1.23 on
/// `queueForDial` only dials when `MaxConnsPerHost` lets it, so that nobody dials in an exhausted pool.
const POOLS: [(&str, &str); 8] = [
    ("database/sql.(*DB).conn", "a free database connection"),
    ("net/http.(*Transport).getConn", "a free HTTP connection"),
    ("golang.org/x/sync/semaphore.(*Weighted).Acquire", "a semaphore"),
    ("golang.org/x/sync/errgroup.(*Group).Go", "a free place in an errgroup"),
    ("github.com/jackc/puddle.(*Pool).Acquire", "a free database connection"),
    ("github.com/jackc/puddle/v2.(*Pool[...]).Acquire", "a free database connection"),
    ("github.com/gomodule/redigo/redis.(*Pool).get", "a free Redis connection"),
    ("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).waitTurn", "a free Redis connection"),
];

/// Calls that open a connection: then the pool is not full.
const DIALS: [&str; 2] = ["net/http.(*Transport).dialConn", "net/http.(*Transport).dial"];

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::alive(case) else { return Vec::new() };
    let mut by_pool: BTreeMap<&str, Vec<&Group>> = BTreeMap::new();
    for group in
        go.front().filter(|group| matches!(go.state(group), "select" | "chan receive" | "chan send" | "semacquire"))
    {
        // The call that waits is right above the program's own frames: dialling is not waiting.
        let frames = go.frames(group);
        let first = frames.iter().find(|frame| frame.kind != FrameKind::Runtime);
        let name = first.and_then(|frame| frame.function.as_deref()).unwrap_or_default();
        if let Some((_, what)) = POOLS.iter().find(|(call, _)| *call == name) {
            by_pool.entry(what).or_default().push(group);
        }
    }
    let dials = go.any(|group| {
        go.frames(group).iter().any(|frame| frame.function.as_deref().is_some_and(|name| DIALS.contains(&name)))
    });
    let findings = by_pool.into_iter().filter_map(|(what, groups)| {
        let count = members(&groups);
        let most = groups.first()?;
        let title = format!("{} for {what}, first at {}{}", go.does(count, "wait"), go.at(most), go.waited(most));
        let dialling = dials && what == "a free HTTP connection";
        let (severity, confidence) = match count {
            _ if dialling => (Severity::Note, Confidence::Low),
            PILE.. => (Severity::Critical, Confidence::Medium),
            2.. => (Severity::Warning, Confidence::Medium),
            _ => (Severity::Note, Confidence::Low),
        };
        let mut finding = finding(RULE.id, severity, confidence, title);
        show(&go, &groups, Role::Waiter, &mut finding);
        users(&go, &groups, &mut finding);
        finding.next.push(
            "look for goroutines inside a query or request, and for rows or bodies that are not closed".to_owned(),
        );
        Some(finding)
    });
    findings.collect()
}

/// Goroutines that use what the others wait for: in a query, or in a request that has its connection.
fn users<'data>(go: &Go<'_, 'data>, waiting: &[&Group], finding: &mut Finding<'data>) {
    const USES: [&str; 5] = [
        "net/http.(*persistConn).roundTrip",
        "database/sql.(*Rows).Next",
        "database/sql.(*DB).queryDC",
        "database/sql.(*DB).execDC",
        "database/sql.(*Tx).QueryContext",
    ];
    let uses = go.front().filter(|group| !waiting.iter().any(|waits| waits.threads == group.threads)).find(|group| {
        go.frames(group).iter().any(|frame| frame.function.as_deref().is_some_and(|name| USES.contains(&name)))
    });
    if let Some(group) = uses {
        finding.places.extend(go.place(group, Role::Holder));
        let text =
            format!("{} one and waits in {} at {}", go.does(group.threads.len(), "use"), go.state(group), go.at(group));
        finding.evidence.push(necropsy_model::Evidence::new(text, go.source(group)));
    }
}

#[cfg(test)]
mod tests {
    use necropsy_model::go::GoForm;
    use necropsy_model::{Role, Severity};

    use super::RULE;
    use crate::go::samples::Dump;

    const WAITS: [&str; 3] = ["net/http.(*Transport).getConn", "net/http.(*Transport).roundTrip", "main.charge"];

    #[test]
    fn fires() {
        let dump = Dump::new(GoForm::Stacks).add(48, "select", &WAITS);
        let uses = ["net/http.(*persistConn).roundTrip", "net/http.(*Transport).roundTrip", "main.charge"];
        let found = dump.add(2, "select", &uses).findings(&RULE);
        assert!(found[0].title.contains("wait for a free HTTP connection, first at main.charge"), "{}", found[0].title);
        assert!(found[0].places.iter().any(|place| place.role == Role::Holder));
        let sql = Dump::new(GoForm::Stacks).add(3, "select", &["database/sql.(*DB).conn", "main.load"]);
        assert_eq!(sql.findings(&RULE)[0].severity, Severity::Warning);
    }

    #[test]
    fn keeps_quiet() {
        let dials = Dump::new(GoForm::Stacks).add(1, "IO wait", &["net/http.(*Transport).dialConn"]);
        assert_eq!(dials.add(48, "select", &WAITS).findings(&RULE)[0].severity, Severity::Note, "they dial");
        let inside = ["net.(*Dialer).DialContext", "database/sql.(*DB).conn", "main.load"];
        assert!(!Dump::new(GoForm::Stacks).add(3, "select", &inside).fires(&RULE), "dialling is not waiting");
    }
}
