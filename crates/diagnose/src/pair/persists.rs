//! What both dumps say alone.

use necropsy_model::{Finding, PairEvidence, PairFinding, Severity};

use super::{PairCase, PairRule};

pub(super) static RULE: PairRule = PairRule {
    id: "found-in-both",
    doc: "\
# What it means
A rule for single dumps found the same in both: same rule, same function.
# Why it matters
What two dumps show is no accident of the moment.
# How it can be wrong
As the rule itself; its page says how.
# What to do
As the rule itself says.
",
    check,
};

/// Rules for single dumps whose subject has a rule of its own for two.
const OWN: [&str; 2] = ["deadlock", "busy-thread"];

fn check<'data>(case: &PairCase<'_, 'data>) -> Vec<PairFinding<'data>> {
    let place =
        |finding: &Finding<'_>| finding.places.first().and_then(|place| place.function.as_deref().map(str::to_owned));
    let known = |finding: &&Finding<'data>| {
        let earlier = case.before.verdict.findings.iter();
        earlier.filter(|other| other.rule == finding.rule).any(|other| place(other) == place(finding))
    };
    // What is worth knowing alone is not worth more twice.
    let counts = |finding: &&Finding<'_>| finding.severity > Severity::Note && !OWN.contains(&finding.rule);
    let told = case.after.verdict.findings.iter().filter(counts).filter(known);
    told.map(|finding| PairFinding {
        rule: RULE.id,
        // It is said by each dump alone; what only both say comes first.
        severity: finding.severity.min(Severity::Warning),
        confidence: finding.confidence,
        title: format!("in both dumps ({}): {}", finding.rule, finding.title),
        places: finding.places.clone(),
        evidence: finding
            .evidence
            .iter()
            .take(2)
            .map(|evidence| PairEvidence {
                text: evidence.text.to_string(),
                before: None,
                after: Some(evidence.source),
            })
            .collect(),
        threads: Vec::new(),
        next: finding.next.clone(),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use necropsy_model::{Confidence, Finding, Severity};

    use super::super::samples::stuck;
    use super::RULE;

    fn finding(rule: &'static str) -> Finding<'static> {
        Finding {
            rule,
            severity: Severity::Warning,
            confidence: Confidence::Medium,
            title: "a pool is exhausted".to_owned(),
            places: Vec::new(),
            evidence: Vec::new(),
            next: Vec::new(),
        }
    }

    #[test]
    fn fires() {
        let mut sample = stuck(2);
        sample.verdicts.0.findings.push(finding("java-pool-exhausted"));
        sample.verdicts.1.findings.push(finding("java-pool-exhausted"));
        assert_eq!(sample.found(&RULE)[0].title, "in both dumps (java-pool-exhausted): a pool is exhausted");
    }

    #[test]
    fn keeps_quiet() {
        let mut sample = stuck(2);
        sample.verdicts.0.findings.push(finding("java-pool-exhausted"));
        sample.verdicts.1.findings.push(finding("java-finalizer"));
        assert!(sample.found(&RULE).is_empty());
    }
}
