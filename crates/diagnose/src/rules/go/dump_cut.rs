//! A dump that its writer cut.

use necropsy_model::{Confidence, Evidence, Finding, Severity, Source};

use crate::go::{Go, finding, number};
use crate::{Case, Rule};

pub(crate) static RULE: Rule = Rule { id: "go-dump-cut", doc: include_str!("dump_cut.md"), check };

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::of(case) else { return Vec::new() };
    let Some(cut) = go.facts.cut else { return Vec::new() };
    let read = go.snapshot.threads.len();
    let missing = usize::try_from(cut.highest_id).unwrap_or(usize::MAX).saturating_sub(read);
    let title = format!(
        "the dump is cut at 64 MiB after {} goroutines; by the numbers seen so far up to {} of those made before are missing or ended",
        number(read),
        number(missing)
    );
    let mut finding = finding(RULE.id, Severity::Note, Confidence::High, title);
    let bytes = usize::try_from(cut.bytes).unwrap_or(usize::MAX);
    finding.evidence.push(Evidence::new(format!("it has exactly {} bytes", number(bytes)), Source::DUMP));
    finding.next.push("take debug=1, which counts all goroutines".to_owned());
    vec![finding]
}

#[cfg(test)]
mod tests {
    use necropsy_model::go::{GoCut, GoForm};

    use super::RULE;
    use crate::go::samples::Dump;

    #[test]
    fn fires() {
        let mut dump = Dump::new(GoForm::Stacks).add(3, "chan receive", &["main.work"]);
        dump.facts().cut = Some(GoCut { bytes: 64 << 20, highest_id: 1003 });
        assert!(dump.findings(&RULE)[0].title.contains("up to 1,000 of those"), "what is missing is counted");
    }

    #[test]
    fn keeps_quiet() {
        assert!(!Dump::new(GoForm::Stacks).add(3, "chan receive", &["main.work"]).fires(&RULE));
    }
}
