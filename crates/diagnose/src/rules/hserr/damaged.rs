//! Logs that are not whole.

use necropsy_model::hs_err::{Completeness, DamageKind, Section};
use necropsy_model::{Confidence, Evidence, Finding, Severity, Source};

use crate::jvm::hs_err::Hs;
use crate::{Case, Rule};

pub(crate) static RULE: Rule = Rule {
    id: "jvm-log-not-whole",
    doc: "\
# What it means
The log stops before its end, or steps of it failed. Nothing concluded from it is sure.
# Why it matters
The part that would settle the question may be the one that is missing.
# How it can be wrong
Pasted logs are often cut on purpose.
# What to do
Get the whole file. If its end is NUL bytes, the machine went down while it was written; if it stops in a line, the disk was full or the
process was killed.
",
    check,
};

/// Parts that verdicts rest on.
const PARTS: [Section; 6] = [
    Section::Thread,
    Section::SigInfo,
    Section::Registers,
    Section::NativeFrames,
    Section::DynamicLibraries,
    Section::Memory,
];

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(hs) = Hs::of(case) else { return Vec::new() };
    let nul = hs.log.damage.iter().find(|damage| matches!(damage.kind, DamageKind::NulBytes(_)));
    let title = match hs.log.completeness {
        _ if nul.is_some() => "the log ends in NUL bytes: the machine went down while it was written",
        Completeness::Cut => "the log stops before its end",
        Completeness::HeaderOnly => "only the header of the log is here",
        Completeness::Complete => return Vec::new(),
    };
    let missing: Vec<_> = PARTS.iter().filter(|part| !hs.log.has(**part)).map(|part| part.name()).collect();
    let lacks = if missing.is_empty() { String::new() } else { format!("; it lacks {}", missing.join(", ")) };
    let mut finding = hs.finding(&RULE, Confidence::Medium, format!("{title}{lacks}"));
    finding.severity = Severity::Warning;
    let last = hs.log.sections.last().map_or(Source::DUMP, |seen| seen.source);
    let text =
        hs.log.sections.last().map_or("there is no section at all".to_owned(), |seen| {
            format!("the last section is {}", seen.section.name())
        });
    finding.evidence.push(Evidence::new(text, nul.map_or(last, |damage| damage.source)));
    vec![finding]
}

#[cfg(test)]
mod tests {
    use super::super::samples::log;
    use super::*;
    use crate::rules::native::samples::fired;

    #[test]
    fn fires() {
        assert!(fired(&RULE, &log(|log| log.completeness = Completeness::Cut)));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!fired(&RULE, &log(|_| {})));
    }
}
