//! `--fail-on`: what makes the exit status 1.

use necropsy_diagnose::RULES;
use necropsy_model::{Severity, Symptom, Verdict};

/// Something a report may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// A kind of trouble.
    Trouble(Trouble),
    /// This symptom.
    Symptom(Symptom),
    /// A finding of this severity or a higher one.
    Severity(Severity),
    /// A finding of this rule.
    Rule(&'static str),
}

/// Kinds of trouble, over all runtimes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The process died of a fault, a panic or an uncaught exception.
    Crash,
    /// It hangs, idle or busy.
    Hang,
    /// Threads wait for each other, or one for itself.
    Deadlock,
    /// Goroutines pile up that nobody ends.
    Leak,
    /// Memory ran out.
    Oom,
    /// Two threads used the same thing at once.
    Race,
}

/// What can be named, and what it stands for.
const TROUBLES: [(&str, Trouble); 6] = [
    ("crash", Trouble::Crash),
    ("hang", Trouble::Hang),
    ("deadlock", Trouble::Deadlock),
    ("leak", Trouble::Leak),
    ("oom", Trouble::Oom),
    ("race", Trouble::Race),
];
const SYMPTOMS: [Symptom; 6] = [
    Symptom::NativeCrash,
    Symptom::ManagedCrash,
    Symptom::OutOfMemory,
    Symptom::HangIdle,
    Symptom::HangBusy,
    Symptom::Unclear,
];
const SEVERITIES: [Severity; 3] = [Severity::Note, Severity::Warning, Severity::Critical];

/// Rules whose finding is a deadlock though no cycle of known threads and locks could be drawn.
const DEADLOCKS: [&str; 8] = [
    "deadlock",
    "go-all-asleep",
    "go-lock-cycle",
    "go-recursive-read-lock",
    "go-self-deadlock",
    "java-class-init-cycle",
    "java-pool-waits-for-itself",
    "lock-in-signal-handler",
];
/// Rules whose finding is a leak.
const LEAKS: [&str; 2] = ["go-leak", "go-proved-leak"];
/// Rules whose finding is a race.
const RACES: [&str; 2] = ["go-data-race", "go-concurrent-map"];

impl Condition {
    /// The condition of that name.
    pub(crate) fn named(name: &str) -> Result<Self, String> {
        let trouble = TROUBLES.iter().find(|(known, _)| *known == name).map(|&(_, trouble)| Self::Trouble(trouble));
        let symptom = || SYMPTOMS.iter().find(|known| known.name() == name).map(|&known| Self::Symptom(known));
        let severity = || SEVERITIES.iter().find(|known| known.name() == name).map(|&known| Self::Severity(known));
        let rule = || RULES.iter().find(|rule| rule.id == name).map(|rule| Self::Rule(rule.id));
        trouble.or_else(symptom).or_else(severity).or_else(rule).ok_or_else(|| {
            let troubles = TROUBLES.iter().map(|(name, _)| *name);
            let symptoms = SYMPTOMS.iter().map(|symptom| symptom.name());
            let severities = SEVERITIES.iter().map(|severity| severity.name());
            let known: Vec<_> = troubles.chain(symptoms).chain(severities).collect();
            format!("there are: {}, and the ids of rules", known.join(", "))
        })
    }

    /// Whether a verdict says so.
    pub(crate) fn is_met(self, verdict: &Verdict<'_>) -> bool {
        let found = |rules: &[&str]| verdict.findings.iter().any(|finding| rules.contains(&finding.rule));
        match self {
            Self::Trouble(Trouble::Crash) => {
                matches!(verdict.symptom, Symptom::NativeCrash | Symptom::ManagedCrash)
            }
            Self::Trouble(Trouble::Hang) => matches!(verdict.symptom, Symptom::HangIdle | Symptom::HangBusy),
            Self::Trouble(Trouble::Deadlock) => !verdict.deadlocks.is_empty() || found(&DEADLOCKS),
            Self::Trouble(Trouble::Leak) => found(&LEAKS),
            Self::Trouble(Trouble::Oom) => verdict.symptom == Symptom::OutOfMemory,
            Self::Trouble(Trouble::Race) => found(&RACES),
            Self::Symptom(symptom) => verdict.symptom == symptom,
            Self::Severity(severity) => verdict.findings.iter().any(|finding| finding.severity >= severity),
            Self::Rule(rule) => found(&[rule]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use necropsy_model::{Confidence, Deadlock, Finding};

    fn found(rule: &'static str, severity: Severity) -> Verdict<'static> {
        let finding = Finding {
            rule,
            severity,
            confidence: Confidence::High,
            title: String::new(),
            places: Vec::new(),
            evidence: Vec::new(),
            next: Vec::new(),
        };
        Verdict { findings: vec![finding], ..Verdict::default() }
    }

    fn met(name: &str, verdict: &Verdict<'_>) -> bool {
        Condition::named(name).unwrap().is_met(verdict)
    }

    #[test]
    fn every_name_stands_for_what_it_says() {
        let of = |symptom| Verdict { symptom, ..Verdict::default() };
        for (name, symptom) in [
            ("crash", Symptom::NativeCrash),
            ("crash", Symptom::ManagedCrash),
            ("hang", Symptom::HangIdle),
            ("hang", Symptom::HangBusy),
            ("oom", Symptom::OutOfMemory),
            ("out-of-memory", Symptom::OutOfMemory),
            ("native-crash", Symptom::NativeCrash),
            ("unclear", Symptom::Unclear),
        ] {
            assert!(met(name, &of(symptom)), "{name}");
        }
        assert!(!met("crash", &of(Symptom::HangIdle)) && !met("hang", &of(Symptom::Unclear)));
        assert!(met("deadlock", &Verdict { deadlocks: vec![Deadlock { threads: Vec::new() }], ..Verdict::default() }));
        assert!(met("deadlock", &found("go-lock-cycle", Severity::Critical)));
        assert!(met("leak", &found("go-leak", Severity::Warning)));
        assert!(met("race", &found("go-data-race", Severity::Warning)));
        assert!(met("null-pointer", &found("null-pointer", Severity::Critical)));
        assert!(!met("null-pointer", &found("wild-pointer", Severity::Critical)));
        assert!(
            met("warning", &found("go-leak", Severity::Critical)) && met("note", &found("go-leak", Severity::Note))
        );
        assert!(!met("critical", &found("go-leak", Severity::Warning)));
        assert!(Condition::named("apocalypse").unwrap_err().contains("deadlock"));
    }

    #[test]
    fn rules_that_are_named_exist_and_no_name_is_taken_twice() {
        let known = |id: &&str| RULES.iter().any(|rule| rule.id == *id);
        assert!(DEADLOCKS.iter().chain(&LEAKS).chain(&RACES).all(&known));
        // `deadlock` is a kind of trouble and a rule of the same meaning; the kind is the wider one.
        let names = TROUBLES.iter().map(|(name, _)| *name).chain(SYMPTOMS.map(Symptom::name));
        let taken: Vec<_> = names.chain(SEVERITIES.map(Severity::name)).filter(known).collect();
        assert_eq!(taken, ["deadlock"]);
    }
}
