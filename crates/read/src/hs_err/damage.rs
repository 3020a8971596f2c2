//! Marks that the reporter leaves where it failed itself.

use std::borrow::Cow;

use necropsy_model::hs_err::{Damage, DamageKind};

use super::words::{Line, after, decimal_after, hex_after};

/// Marks at most; HotSpot stops after thirty.
pub(super) const MAX_MARKS: usize = 1024;

/// The mark on a line. It may stand behind the begin of the text that the failed step had printed.
pub(super) fn mark(line: Line<'_>) -> Option<Damage<'_>> {
    let text = line.text;
    if !text.contains('[') && !text.starts_with("------ Timeout") {
        return None;
    }
    let kind = if let Some(rest) = after(text, "[error occurred during error reporting") {
        // The step stands in brackets of its own and may hold some: `(printing register info, attempt 2)`.
        let step =
            rest.split_once('(').and_then(|(_, step)| step.split_once("), id ").or_else(|| step.split_once(')')));
        let step = step.map_or("", |(step, _)| step);
        DamageKind::StepFailed { step: Cow::Borrowed(step), id: hex_after(rest, "id ") }
    } else if text.contains("[timeout occurred during error reporting")
        || text.starts_with("------ Timeout during error reporting")
    {
        DamageKind::Timeout
    } else if text.contains("[Too many errors, abort]") {
        DamageKind::TooManyErrors
    } else if text.contains("also had an error]") {
        DamageKind::OtherThreadFailed(decimal_after(text, "[thread ")?)
    } else {
        return None;
    };
    Some(Damage { kind, source: line.source })
}

#[cfg(test)]
mod tests {
    use necropsy_model::Source;

    use super::*;

    #[test]
    fn marks_of_every_kind() {
        let kind = |text| mark(Line { text, source: Source::line(1) }).map(|mark| mark.kind);
        let failed = |step: &'static str, id| Some(DamageKind::StepFailed { step: step.into(), id });
        assert_eq!(
            kind("[error occurred during error reporting (printing stack bounds), id 0xb]"),
            failed("printing stack bounds", Some(0xb))
        );
        assert_eq!(
            kind(
                "R11=0x1 [error occurred during error reporting (printing register info, attempt 2), id 0xb, SIGSEGV (0xb) at pc=0x1]"
            ),
            failed("printing register info, attempt 2", Some(0xb))
        );
        assert_eq!(kind("[thread 12 also had an error]"), Some(DamageKind::OtherThreadFailed(12)));
        assert_eq!(
            kind("[timeout occurred during error reporting in step \"printing threads\"] after 30 s."),
            Some(DamageKind::Timeout)
        );
        assert_eq!(kind("[Too many errors, abort]"), Some(DamageKind::TooManyErrors));
        assert_eq!(kind("[Global flags]"), None);
    }
}
