//! The dump is cut short.

use necropsy_model::{Confidence, Evidence, Finding, Severity, Source};

use super::advice;
use crate::{Case, Rule};

pub(crate) static RULE: Rule = Rule {
    id: "truncated-core",
    doc: include_str!("truncated_core.md"),
    check: |case| {
        let (meant, missing) = cut(case);
        if missing == 0 {
            return Vec::new();
        }
        let share = missing.saturating_mul(100) / meant.max(1);
        let title = format!("the dump is cut short: {share} % of the memory it was to hold is missing");
        let evidence =
            vec![Evidence::new(format!("{missing} of {meant} bytes of memory are not in the file"), Source::DUMP)];
        let (severity, confidence, next) = (Severity::Warning, Confidence::High, vec![advice(RULE.doc)]);
        vec![Finding { rule: RULE.id, severity, confidence, title, places: Vec::new(), evidence, next }]
    },
};

/// Bytes that the dump was to hold, and how many of them are missing.
pub(crate) fn cut(case: &Case<'_, '_>) -> (u64, u64) {
    let regions = case.snapshot.memory.regions();
    let sizes = regions.iter().map(|region| (region.dumped, region.dumped.saturating_sub(region.bytes.len() as u64)));
    sizes.fold((0, 0), |(all, lost), (meant, missing)| {
        (u64::saturating_add(all, meant), u64::saturating_add(lost, missing))
    })
}

#[cfg(test)]
mod tests {
    use necropsy_model::{Avma, Memory, Region, Snapshot};

    use super::RULE;
    use crate::rules::native::samples::fired;

    fn snapshot(dumped: u64) -> Snapshot<'static> {
        let (start, end) = (Avma(0x1000), Avma(0x2000));
        let memory = Memory::new(vec![Region { start, end, permissions: None, bytes: &[0; 16], dumped, file: None }]);
        Snapshot { memory, ..Snapshot::default() }
    }

    #[test]
    fn fires() {
        assert!(fired(&RULE, &snapshot(64)));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!fired(&RULE, &snapshot(16)));
    }
}
