//! What the keeper of a dump noted beside it, when the process died: apport in its report, systemd in the name of the file and in its
//! extended attributes. The dump itself wins where it says the same thing.

use necropsy_model::{Message, MessageKind, Seen, SeenBasis, Signal, Snapshot, Source, Stop, Text, Warning};

/// What a keeper noted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Noted {
    /// Who kept it: `systemd-coredump`, `apport`.
    pub keeper: &'static str,
    /// Process id.
    pub pid: Option<u64>,
    /// User id.
    pub uid: Option<u64>,
    /// Number of the signal.
    pub signal: Option<i32>,
    /// Name of the thread that died, or of the process: at most 15 bytes.
    pub name: Option<String>,
    /// Path of the executable.
    pub exe: Option<String>,
    /// Command line, whole.
    pub command_line: Option<String>,
    /// When it died.
    pub time: Option<String>,
    /// The words of a failed assertion.
    pub assertion: Option<String>,
}

/// Adds what a keeper noted and the dump does not say. Where both say it and differ, a warning tells: notes of another dump are
/// worse than none.
pub fn note(snapshot: &mut Snapshot<'_>, noted: &Noted) {
    let owned = |text: &Option<String>| text.clone().map(Text::from);
    let process = &mut snapshot.process;
    let mut differs = Vec::new();
    if let Some((noted, dumped)) = noted.pid.zip(process.pid).filter(|(noted, dumped)| noted != dumped) {
        // In a container the process has another number; the kernel writes that of the first namespace it was asked for.
        differs.push(format!("process {noted}, the dump is of {dumped}"));
    }
    let stopped = snapshot.stop.as_ref().and_then(|stop| stop.signal).map(|signal| signal.number);
    if let Some((noted, dumped)) = noted.signal.zip(stopped).filter(|(noted, dumped)| noted != dumped) {
        let name = |number| Signal { number, code: None }.to_string();
        differs.push(format!("{}, the dump holds {}", name(noted), name(dumped)));
    }
    process.pid = process.pid.or(noted.pid);
    process.uid = process.uid.or(noted.uid);
    // The kernel cuts the command line at 80 bytes, and a keeper reads it whole.
    let longer = noted.command_line.as_ref().filter(|line| {
        let known = process.command_line.as_deref().unwrap_or_default();
        line.starts_with(known.trim_end()) && line.len() > known.len()
    });
    if let Some(line) = longer {
        process.command_line = Some(line.clone().into());
        process.command_line_cut = false;
    }
    process.exe = process.exe.take().or_else(|| owned(&noted.exe)).or_else(|| owned(&noted.name));
    process.taken_at = process.taken_at.take().or_else(|| owned(&noted.time));
    if let Some(number) = noted.signal.filter(|_| stopped.is_none()) {
        let stop = snapshot.stop.get_or_insert_with(Stop::default);
        stop.signal = Some(Signal { number, code: None });
        stop.thread = stop.thread.or_else(|| (!snapshot.threads.is_empty()).then_some(0));
    }
    if let (Some(words), Some(stop)) = (&noted.assertion, &mut snapshot.stop) {
        let known = stop.messages.iter().any(|message| message.kind == MessageKind::Assert);
        if !known {
            let text = words.trim().to_owned().into();
            stop.messages.push(Message { text, kind: MessageKind::Assert, source: Source::DUMP });
        }
    }
    for text in differs {
        snapshot.warnings.push(Warning::new(format!("{} noted {text}", noted.keeper), Source::DUMP));
    }
}

/// Microseconds since 1970 as a date in UTC.
pub(crate) fn date(micros: u64) -> Option<String> {
    let seconds = i64::try_from(micros / 1_000_000).ok()?;
    Some(format!("{} UTC", Seen { seconds, basis: SeenBasis::File }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(date(0).as_deref(), Some("1970-01-01 00:00:00 UTC"));
        assert_eq!(date(1_709_251_199_000_000).as_deref(), Some("2024-02-29 23:59:59 UTC"));
        assert_eq!(date(1_795_255_200_123_456).as_deref(), Some("2026-11-21 10:00:00 UTC"));
        assert!(date(u64::MAX).is_some_and(|date| date.ends_with(" UTC")));
    }

    #[test]
    fn the_dump_wins_and_what_differs_is_told() {
        let mut snapshot = Snapshot::default();
        snapshot.process.pid = Some(7);
        snapshot.process.command_line = Some("server --port 80".into());
        snapshot.process.command_line_cut = true;
        let noted = Noted {
            keeper: "apport",
            pid: Some(8),
            signal: Some(6),
            command_line: Some("server --port 8080".to_owned()),
            assertion: Some("a.c:1: f: Assertion `x' failed.\n".to_owned()),
            ..Noted::default()
        };
        note(&mut snapshot, &noted);
        assert_eq!((snapshot.process.pid, snapshot.process.command_line_cut), (Some(7), false));
        assert_eq!(snapshot.process.command_line.as_deref(), Some("server --port 8080"));
        let stop = snapshot.stop.unwrap();
        assert_eq!((stop.signal.unwrap().number, stop.messages.len(), stop.thread), (6, 1, None));
        assert_eq!(snapshot.warnings[0].text, "apport noted process 8, the dump is of 7");
    }
}
