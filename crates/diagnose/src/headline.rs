//! The one sentence of the verdict.

use necropsy_model::{Finding, Snapshot, Symptom};

/// What, where, how: the title of the first finding, or what little is known.
pub(crate) fn of(snapshot: &Snapshot<'_>, findings: &[Finding<'_>], symptom: Symptom) -> String {
    // That a signal was sent says little; that nothing crashed says it better.
    let hang = findings.iter().find(|finding| finding.rule == "not-a-crash");
    if let Some((first, hang)) = findings.first().zip(hang).filter(|(first, _)| first.rule == "signal-sent") {
        return format!("{}; {}", hang.title, first.title);
    }
    if let Some(first) = findings.first() {
        return first.title.clone();
    }
    let threads = snapshot.threads.len();
    let count = if threads == 1 { "1 thread".to_owned() } else { format!("{threads} threads") };
    let words =
        snapshot.stop.as_ref().and_then(|stop| stop.messages.first()).map(|message| message.text.replace('\n', " "));
    match (words, symptom) {
        (Some(words), _) => words,
        (None, Symptom::Unclear) => format!("{count}; the dump does not tell what failed"),
        (None, symptom) => format!("{}: {count}", symptom.name()),
    }
}
