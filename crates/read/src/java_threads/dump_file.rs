//! Thread dumps that `jcmd PID Thread.dump_to_file` writes, as JSON and as text: the only ones with all virtual threads.
//! `jdk.internal.vm.ThreadDumper` of JDK 21 to 25 writes them; only JDK 25 prints states and monitors.

mod json;
mod text;

use necropsy_model::{Arena, Snapshot};

use super::listed;
use crate::{Error, Probe, Reader};

/// Name of the reader.
const NAME: &str = "java-dump-file";

/// The reader of `Thread.dump_to_file`.
pub(crate) struct DumpFile;

impl Reader for DumpFile {
    fn name(&self) -> &'static str {
        NAME
    }

    fn probe(&self, head: &[u8]) -> Probe {
        if json::is_json(head) || text::is_text(head) { Probe::Yes } else { Probe::No }
    }

    fn read<'data>(&self, data: &'data [u8], arena: &'data Arena) -> Result<Vec<Snapshot<'data>>, Error> {
        let dump = if json::is_json(data) { json::parse(data)? } else { text::parse(data) };
        Ok(vec![listed::snapshot(dump, NAME, arena)?])
    }
}

#[cfg(test)]
mod tests {
    use necropsy_model::{Activity, ThreadFlags, ThreadId, WaitKind};

    use super::*;

    const JSON: &str = r#"{"threadDump": {"processId": "7", "time": "2026-11-21T01:47:38Z", "runtimeVersion": "25.0.3+9-LTS",
        "threadContainers": [{"container": "<root>", "parent": null, "owner": null, "threads": [
        {"tid": "27", "virtual": true, "name": "left", "state": "BLOCKED", "blockedOn": "java.lang.Object@b",
         "stack": ["Main.left(Main.java:3)", "java.base\/java.lang.VirtualThread.run(VirtualThread.java:460)"],
         "monitorsOwned": [{"depth": 0, "locks": ["java.lang.Object@a"]}]},
        {"tid": "28", "virtual": true, "name": "right", "state": "BLOCKED", "blockedOn": "java.lang.Object@a",
         "stack": ["Main.right(Main.java:4)"], "monitorsOwned": [{"depth": 0, "locks": ["java.lang.Object@b", null]}]},
        {"tid": "13", "name": "Finalizer", "state": "WAITING", "waitingOn": "Q$Lock@c", "stack": ["java.base/java.lang.Object.wait0(Native Method)"],
         "monitorsOwned": [{"depth": 4, "locks": ["Q$Lock@c"]}]},
        {"tid": "14", "name": "", "stack": []}], "threadCount": "4"}]}}"#;

    const TEXT: &str = "7\n2026-11-21T01:47:37.1Z\n25.0.3+9-LTS\n\n#27 \"left \"x\"\" virtual BLOCKED 2026-11-21T01:47:37.1Z\n    \
        at Main.left(Main.java:3)\n    - locked <java.lang.Object@a>\n    - waiting to lock <java.lang.Object@b>\n\n\
        #28 \"right\" virtual BLOCKED 2026-11-21T01:47:37.1Z\n    at Main.right(Main.java:4)\n    - locked <java.lang.Object@b>\n    \
        - waiting to lock <java.lang.Object@a>\n\n#3 \"main\" WAITING 2026-11-21T01:47:37.1Z\n    at java.base/jdk.internal.misc.Unsafe.park(Native Method)\n    \
        - parking to wait for <java.util.concurrent.FutureTask@e>\n";

    fn read<'a>(text: &'a str, arena: &'a Arena) -> Snapshot<'a> {
        assert_eq!(DumpFile.probe(text.as_bytes()), Probe::Yes);
        DumpFile.read(text.as_bytes(), arena).unwrap().remove(0)
    }

    #[test]
    fn both_forms_give_who_waits_for_whom() {
        for text in [JSON, TEXT] {
            let arena = Arena::new();
            let dump = read(text, &arena);
            let owner = |at: usize| dump.threads[at].detail.as_ref().unwrap().waits_on.as_ref().unwrap().owner;
            assert_eq!((owner(0), owner(1)), (Some(ThreadId(28)), Some(ThreadId(27))));
            assert!(dump.threads[0].flags.contains(ThreadFlags::VIRTUAL));
            assert_eq!(dump.activity(&dump.threads[0]), Activity::Lock);
            assert_eq!((dump.process.pid, dump.process.runtime_version.as_deref()), (Some(7), Some("25.0.3+9-LTS")));
            let first = dump.frames_of(&dump.threads[0]).next().unwrap();
            assert_eq!(
                (first.function.as_deref(), first.location.as_ref().unwrap().line),
                (Some("Main.left"), Some(3))
            );
        }
    }

    #[test]
    fn a_monitor_that_is_waited_on_is_not_held() {
        let arena = Arena::new();
        let dump = read(JSON, &arena);
        assert!(dump.threads[2].detail.as_ref().unwrap().holds.is_empty());
        let arena = Arena::new();
        let dump = read(TEXT, &arena);
        assert_eq!(dump.threads[0].name(), Some("left \"x\""));
        assert_eq!(dump.threads[2].detail.as_ref().unwrap().waits_on.as_ref().unwrap().kind, WaitKind::Join);
    }

    #[test]
    fn old_texts_have_no_states() {
        let arena = Arena::new();
        let dump = read(
            "7\n2026-11-21T01:47:37.1Z\n21.0.8+9\n\n#22 \"vm-left\" virtual\n      Main.left(Main.java:3)\n      java.base/java.lang.VirtualThread.run(V.java:1)\n\n",
            &arena,
        );
        assert_eq!(dump.frames_of(&dump.threads[0]).count(), 2);
        assert_eq!(dump.activity(&dump.threads[0]), Activity::Unknown);
    }

    #[test]
    fn cut_dumps_are_read_as_far_as_they_go() {
        for end in 0..TEXT.len() {
            let arena = Arena::new();
            let _ = DumpFile.read(TEXT.get(..end).unwrap_or_default().as_bytes(), &arena);
        }
        let arena = Arena::new();
        let error = DumpFile.read(&JSON.as_bytes()[..400], &arena).unwrap_err().to_string();
        assert!(error.contains("JSON"), "{error}");
    }
}
