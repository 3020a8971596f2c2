//! Reports of Ubuntu's apport, `/var/crash/*.crash`: fields of text, one of which is the core, compressed and in base64
//! (`problem_report.py`, `report.py` of apport; its `doc/data-format.tex` names the fields).
//!
//! [`Reader::enclosed`] gives the core's bytes; whoever opened the file unpacks them. Without a core (it was removed, or never kept) the
//! stacks that apport printed are read, and its list of mappings.

mod fields;

use std::io::Read;

use necropsy_model::{Arch, Arena, Snapshot, Source, Warning};

use self::fields::{Decoder, Field};
use crate::elf_core::ElfCore;
use crate::noted::{Noted, note};
use crate::{Error, Probe, Reader, maps, native_stacks};

/// The reader of apport's reports.
pub(crate) struct Apport;

/// Where `ProblemType` is looked for: the fields stand in order of their names but for this one, which stands first.
const FIRST_LINES: usize = 4096;

impl Reader for Apport {
    fn name(&self) -> &'static str {
        "apport-crash"
    }

    fn probe(&self, head: &[u8]) -> Probe {
        let head = head.get(..FIRST_LINES).unwrap_or(head);
        let text = String::from_utf8_lossy(head);
        let kind = text.lines().find_map(|line| line.strip_prefix("ProblemType: "));
        // A report of a kernel oops or of a package holds no process.
        if kind.is_some_and(|kind| kind.trim() == "Crash") { Probe::Yes } else { Probe::No }
    }

    fn enclosed<'data>(&self, data: &'data [u8]) -> Option<Box<dyn Read + 'data>> {
        let (all, _) = fields::parse(data);
        let core = all.iter().find(|field| field.key == b"CoreDump" && field.is_encoded())?;
        Some(Box::new(Decoder::new(core)))
    }

    fn read<'data>(&self, data: &'data [u8], arena: &'data Arena) -> Result<Vec<Snapshot<'data>>, Error> {
        let (all, whole) = fields::parse(data);
        let text = |key: &str| field(&all, key).map(Field::text);
        let printed = text("ThreadStacktrace").or_else(|| text("Stacktrace"));
        let mut snapshot = printed.map(|text| native_stacks::of_text(arena.keep_str(text))).unwrap_or_default();
        snapshot.format = self.name();
        let listed = text("ProcMaps").and_then(|text| maps(arena.keep_str(text).as_bytes()));
        // gdb names modules by their paths too; the list of mappings is whole.
        if let Some(listed) = listed.filter(|_| snapshot.modules.is_empty()) {
            snapshot.modules = listed.modules;
            snapshot.warnings.extend(listed.warnings);
        }
        if snapshot.threads.is_empty() && field(&all, "Signal").is_none() {
            return Err(Error::Unreadable { reason: "the report holds neither a core nor a stack".to_owned() });
        }
        finish(&mut snapshot, &all, whole);
        let why = "the report holds no core that can be read, only what apport printed";
        snapshot.warnings.push(Warning::new(why, Source::DUMP));
        Ok(vec![snapshot])
    }

    fn read_enclosed<'data>(
        &self,
        outer: &'data [u8],
        inner: &'data [u8],
        arena: &'data Arena,
    ) -> Result<Vec<Snapshot<'data>>, Error> {
        let (all, whole) = fields::parse(outer);
        let mut snapshots = ElfCore.read(inner, arena)?;
        for snapshot in &mut snapshots {
            snapshot.format = self.name();
            finish(snapshot, &all, whole);
        }
        Ok(snapshots)
    }
}

fn field<'a, 't>(all: &'a [Field<'t>], key: &str) -> Option<&'a Field<'t>> {
    all.iter().find(|field| field.key == key.as_bytes())
}

/// Adds what the fields say; `whole` says that they are all.
fn finish(snapshot: &mut Snapshot<'_>, all: &[Field<'_>], whole: bool) {
    if !whole {
        snapshot.warnings.push(Warning::full("fields", fields::MOST_FIELDS, Source::DUMP));
    }
    let text =
        |key: &str| field(all, key).map(Field::text).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let status = text("ProcStatus").unwrap_or_default();
    let number = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let noted = Noted {
        keeper: "apport",
        pid: number("Pid:"),
        uid: number("Uid:"),
        signal: text("Signal").and_then(|signal| signal.parse().ok()),
        name: None,
        exe: text("ExecutablePath"),
        command_line: text("ProcCmdline"),
        time: text("Date"),
        assertion: text("AssertionMessage"),
    };
    note(snapshot, &noted);
    let arch = text("Architecture").and_then(|arch| match arch.as_str() {
        "amd64" => Some(Arch::X86_64),
        "arm64" => Some(Arch::Aarch64),
        "i386" => Some(Arch::X86),
        _ => None,
    });
    snapshot.process.arch = snapshot.process.arch.or(arch);
    if let Some(reason) = text("UnreportableReason") {
        let reason = reason.replace('\n', " ");
        snapshot.warnings.push(Warning::new(format!("apport would not report it: {reason}"), Source::DUMP));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &[u8] = b"ProblemType: Crash\nArchitecture: amd64\nDate: Sat Nov 21 10:00:00 2026\nExecutablePath: /usr/bin/ledger\n\
ProcCmdline: ledger --all\nProcMaps:\n 55d0c3a2a000-55d0c3a2c000 r-xp 00000000 fe:00 77     /usr/bin/ledger\nProcStatus:\n Name:\tledger\n Pid:\t42\n Uid:\t1000\t1000\n\
Signal: 11\nStacktrace:\n #0  0x000055d0c3a2b149 in refund (a=0x0) at ledger.c:7\n No locals.\n #1  0x000055d0c3a2b200 in main () at ledger.c:20\n";

    #[test]
    fn a_report_without_a_core_gives_what_it_prints() {
        let arena = Arena::new();
        assert_eq!(Apport.probe(REPORT), Probe::Yes);
        assert!(Apport.enclosed(REPORT).is_none());
        let all = Apport.read(REPORT, &arena).unwrap();
        let snapshot = &all[0];
        assert_eq!((snapshot.process.pid, snapshot.process.uid), (Some(42), Some(1000)));
        assert_eq!(snapshot.process.exe.as_deref(), Some("/usr/bin/ledger"));
        assert_eq!(snapshot.stop.as_ref().unwrap().signal.unwrap().number, 11);
        assert_eq!(snapshot.frames_of(&snapshot.threads[0]).count(), 2);
        assert!(snapshot.warnings[0].text.contains("no core"));
    }

    #[test]
    fn other_reports_and_broken_ones() {
        let arena = Arena::new();
        assert_eq!(Apport.probe(b"ProblemType: KernelOops\nSignal: 11\n"), Probe::No);
        assert_eq!(Apport.probe(b"Signal: 11\n"), Probe::No);
        assert!(Apport.read(b"ProblemType: Crash\n", &arena).is_err());
        assert!(Apport.read(b"ProblemType: Crash\nSignal: many\nCoreDump: base64\n", &arena).is_ok());
    }

    #[test]
    fn the_core_is_handed_out_as_it_was_encoded() {
        let report = [b"ProblemType: Crash\nCoreDump: base64\n H4sI\n AAAA\nSignal: 6\n".as_slice()].concat();
        let mut bytes = Vec::new();
        Apport.enclosed(&report).unwrap().read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, [0x1f, 0x8b, 8, 0, 0, 0]);
    }
}
