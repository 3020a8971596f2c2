//! Too many threads of the operating system.

use necropsy_model::{Activity, Confidence, Finding, Group, Role, Severity};

use crate::go::{Go, fatal, finding, members, number, show};
use crate::{Case, Rule};

pub(crate) static RULE: Rule = Rule { id: "go-thread-exhaustion", doc: include_str!("thread_exhaustion.md"), check };

/// Goroutines in system calls from which a live process is on its way: a twentieth of the limit of Go's
/// `runtime/proc.go` (`sched.maxmcount`, 10,000).
const MANY: usize = 500;

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::of(case) else { return Vec::new() };
    let in_calls: Vec<&Group> =
        go.groups.groups.iter().filter(|group| go.activity(group) == Activity::Syscall).collect();
    let next = "look at the goroutines in syscall; bound how many of them run at once";
    if fatal::line(&go).is_some_and(|line| fatal::is_threads(&line.text)) {
        let means = "too many operating-system threads: each goroutine in a blocking system call or C call holds one";
        let mut found = fatal::found(&go, RULE.id, means, next);
        if let Some(finding) = &mut found {
            show(&go, &in_calls, Role::Related, finding);
        }
        return found.into_iter().collect();
    }
    let front: Vec<&Group> = in_calls.into_iter().filter(|group| !group.background).collect();
    let count = members(&front);
    let Some(most) = front.first().filter(|_| go.is_alive() && count >= MANY) else { return Vec::new() };
    let title = format!(
        "{} stand in system calls or C, each of which holds a thread, most at {}",
        go.share(count),
        go.at(most)
    );
    let mut finding = finding(RULE.id, Severity::Warning, Confidence::Medium, title);
    show(&go, &front, Role::Related, &mut finding);
    finding.next.push(format!("{next}; the process ends at {} threads", number(10_000)));
    vec![finding]
}

#[cfg(test)]
mod tests {
    use necropsy_model::go::GoForm;

    use super::RULE;
    use crate::go::samples::Dump;

    #[test]
    fn fires() {
        let dump = Dump::fatal("thread exhaustion").add(12, "syscall", &["runtime.cgocall", "main.lookup"]);
        assert_eq!(dump.findings(&RULE)[0].evidence.len(), 2);
        assert!(Dump::new(GoForm::Stacks).add(600, "syscall", &["syscall.read", "main.load"]).fires(&RULE));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!Dump::new(GoForm::Stacks).add(20, "syscall", &["syscall.read", "main.load"]).fires(&RULE));
        assert!(!Dump::fatal("stack overflow").add(600, "syscall", &["main.load"]).fires(&RULE));
    }
}
