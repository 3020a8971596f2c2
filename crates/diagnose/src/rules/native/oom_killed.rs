//! The kernel killed the process, because memory ran out.

use std::collections::BTreeMap;

use necropsy_model::oom::{OomKill, OomScope, OomTask};
use necropsy_model::{Confidence, Evidence, Finding, Severity};

use super::advice;
use crate::Rule;
use crate::advice::core_file::size;

/// Processes that are told, by name.
const SHOWN: usize = 3;

pub(crate) static RULE: Rule = Rule {
    id: "oom-killed",
    doc: include_str!("oom_killed.md"),
    check: |case| {
        let Some(kill) = case.snapshot.oom.as_deref() else { return Vec::new() };
        let Some(killed) = &kill.killed else { return Vec::new() };
        let held = killed.resident.map(|bytes| format!(", which held {}", size(bytes))).unwrap_or_default();
        let title = format!("the kernel killed {} (process {}){held}: {}", killed.name, killed.pid, why(kill));
        vec![Finding {
            rule: RULE.id,
            severity: Severity::Critical,
            confidence: Confidence::High,
            title,
            places: Vec::new(),
            evidence: evidence(kill, killed),
            next: vec![advice(RULE.doc)],
        }]
    },
};

/// Whose memory ran out.
fn why(kill: &OomKill<'_>) -> String {
    let group = kill.cgroup.as_deref().filter(|_| kill.scope == OomScope::Cgroup);
    match (kill.scope, group, kill.limit) {
        (OomScope::Cgroup, Some(group), Some(limit)) => {
            format!("the control group {group} reached its limit of {}", size(limit))
        }
        (OomScope::Cgroup, Some(group), None) => format!("the control group {group} reached its limit"),
        (OomScope::Cgroup, None, Some(limit)) => format!("its control group reached its limit of {}", size(limit)),
        (OomScope::Cgroup, None, None) => "its control group reached its limit".to_owned(),
        (OomScope::Machine, ..) => "the memory of the machine ran out".to_owned(),
        (OomScope::Nodes, ..) => "the memory nodes that it may use are full".to_owned(),
        (OomScope::Unknown, ..) => "memory ran out".to_owned(),
    }
}

fn evidence<'data>(kill: &OomKill<'data>, killed: &OomTask<'data>) -> Vec<Evidence<'data>> {
    let mut evidence = Vec::new();
    if let Some((usage, limit)) = kill.usage.zip(kill.limit) {
        let text = format!("the control group used {} of {}", size(usage), size(limit));
        evidence.push(Evidence::new(text, kill.source));
    }
    let all: u64 = kill.tasks.iter().filter_map(|task| task.resident).fold(0, u64::saturating_add);
    if let Some(held) = killed.resident.filter(|_| kill.tasks.len() > 1 && all > 0) {
        let share = u128::from(held) * 100 / u128::from(all);
        let text = format!(
            "it held {share} % of the {} of the {} processes in the kernel's table",
            size(all),
            kill.tasks.len()
        );
        evidence.push(Evidence::new(text, killed.source));
    }
    let mut by_name: BTreeMap<&str, (u64, usize)> = BTreeMap::new();
    for task in &kill.tasks {
        let sum = by_name.entry(&task.name).or_default();
        *sum = (sum.0.saturating_add(task.resident.unwrap_or(0)), sum.1 + 1);
    }
    let mut by_name: Vec<_> = by_name.into_iter().collect();
    by_name.sort_by_key(|&(name, (bytes, _))| (std::cmp::Reverse(bytes), name));
    if by_name.len() > 1 || by_name.first().is_some_and(|(_, (_, count))| *count > 1) {
        let told = by_name.iter().take(SHOWN).map(|(name, (bytes, count))| match count {
            1 => format!("{name} {}", size(*bytes)),
            count => format!("{name} {} in {count} processes", size(*bytes)),
        });
        let text = format!("most memory by name: {}", told.collect::<Vec<_>>().join(", "));
        evidence.push(Evidence::new(text, kill.source));
    }
    let spared =
        kill.tasks.iter().filter(|task| task.resident > killed.resident && task.score.is_some_and(|score| score < 0));
    evidence.extend(spared.max_by_key(|task| task.resident).map(|task| {
        let text = format!(
            "{} (process {}) held more, {}, and was spared by its oom_score_adj of {}",
            task.name,
            task.pid,
            size(task.resident.unwrap_or_default()),
            task.score.unwrap_or_default()
        );
        Evidence::new(text, task.source)
    }));
    if let Some(name) = kill.invoked_by.as_deref().filter(|&name| name != &*killed.name) {
        let text = format!("{name} asked for memory at that moment, and is not to blame for that");
        evidence.push(Evidence::new(text, kill.source));
    }
    if kill.cut {
        let text = "the log holds only the end of the kernel's report: who else held memory is not in it";
        evidence.push(Evidence::new(text, kill.source));
    }
    if evidence.is_empty() {
        evidence.push(Evidence::new("the kernel's report", kill.source));
    }
    evidence
}

#[cfg(test)]
mod tests {
    use necropsy_model::{Groups, MessageKind, Snapshot, Source};

    use super::*;
    use crate::Case;
    use crate::rules::native::samples::{fired, words};

    fn task(pid: u64, name: &'static str, mib: u64, score: i64) -> OomTask<'static> {
        OomTask { pid, name: name.into(), resident: Some(mib << 20), score: Some(score), source: Source::line(pid) }
    }

    fn snapshot() -> Snapshot<'static> {
        let tasks = vec![task(1, "db", 900, -900), task(2, "worker", 100, 0), task(3, "worker", 200, 0)];
        let kill = OomKill {
            killed: Some(task(3, "worker", 200, 0)),
            invoked_by: Some("sshd".into()),
            scope: OomScope::Cgroup,
            cgroup: Some("/shop".into()),
            limit: Some(1200 << 20),
            tasks,
            ..OomKill::default()
        };
        Snapshot { oom: Some(Box::new(kill)), ..Snapshot::default() }
    }

    #[test]
    fn fires() {
        let (snapshot, groups) = (snapshot(), Groups::default());
        assert!(fired(&RULE, &snapshot));
        let case = Case { snapshot: &snapshot, groups: &groups, noise: &crate::Noise::default() };
        let finding = (RULE.check)(&case).remove(0);
        assert_eq!(
            finding.title,
            "the kernel killed worker (process 3), which held 200 MiB: the control group /shop reached its limit of 1.2 GiB"
        );
        let said: Vec<_> = finding.evidence.iter().map(|it| it.text.as_ref()).collect();
        assert_eq!(said[0], "it held 16 % of the 1.2 GiB of the 3 processes in the kernel's table");
        assert_eq!(said[1], "most memory by name: db 900 MiB, worker 300 MiB in 2 processes");
        assert!(said[2].contains("db (process 1) held more") && said[2].contains("-900"), "{}", said[2]);
        assert!(said[3].starts_with("sshd asked for memory"), "{}", said[3]);
    }

    #[test]
    fn keeps_quiet() {
        assert!(!fired(&RULE, &words(MessageKind::Kernel, "Out of memory")));
    }
}
