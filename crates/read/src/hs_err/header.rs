//! The `#` lines.

use std::borrow::Cow;

use necropsy_model::Full;
use necropsy_model::hs_err::{CoreNote, ErrorHeader, ErrorKind, HsErr, NativeOom, OomCall, Said};

use super::frame;
use super::words::{Line, after, decimal_after, hex_after, leading_decimal, leading_hex};

/// Lines of one header at most; the longest, of a native out-of-memory, has 35.
const MAX_LINES: usize = 200;

/// First lines of a report: JDK 5, early 6, and all since; the last is that of a native out-of-memory.
const ANNOUNCEMENTS: [&str; 3] = [
    "A fatal error has been detected by ",
    "An unexpected error has been detected by ",
    "There is insufficient memory for the Java Runtime Environment",
];

/// Lines that are the same for every cause.
const CANNED: [&str; 3] =
    ["Possible reasons:", "Possible solutions:", "This output file may be truncated or incomplete."];

/// The line announces a fatal error; `text` stands behind `# `.
pub(super) fn is_announcement(text: &str) -> bool {
    ANNOUNCEMENTS.iter().any(|start| text.starts_with(start))
}

/// The state of reading a header.
#[derive(Default)]
pub(super) struct State {
    lines: usize,
    /// The next line is the problematic frame.
    frame_next: bool,
    /// The next line is the path of the log or of the core.
    path_next: bool,
    /// Canned advice goes on.
    canned: bool,
    /// `Problematic frame:` and what follows are past.
    past_error: bool,
}

/// Takes a line, without its `#`.
pub(super) fn line<'d>(log: &mut HsErr<'d>, state: &mut State, line: Line<'d>, full: &mut Full) {
    if !full.room("lines of the header", state.lines, MAX_LINES) {
        return;
    }
    state.lines += 1;
    let text = line.text.trim();
    let header = &mut log.header;
    if std::mem::take(&mut state.frame_next) {
        // Where the log goes to standard output too, another thread's mishap is written into the line.
        let frame = text.split("[thread ").next().unwrap_or(text).trim_end();
        header.problematic = frame::parse(Line { text: frame, ..line });
        state.past_error = true;
        return;
    }
    if std::mem::take(&mut state.path_next) {
        header.log_path = Some(Said::new(Cow::Borrowed(text), line.source));
        return;
    }
    if text.is_empty() {
        state.canned = false;
        return;
    }
    if is_announcement(text) {
        header.announcement = Some(Said::new(Cow::Borrowed(text), line.source));
        if text.starts_with("There is insufficient") {
            header.kind = ErrorKind::NativeOom;
        }
    } else if text.starts_with("Problematic frame:") {
        state.frame_next = true;
        state.past_error = true;
    } else if let Some(version) = text.strip_prefix("JRE version:") {
        log.build.jre = Some(Said::new(Cow::Borrowed(version.trim()), line.source));
        state.past_error = true;
    } else if let Some(vm) = text.strip_prefix("Java VM:") {
        log.build.vm = Some(Said::new(Cow::Borrowed(vm.trim()), line.source));
        state.past_error = true;
    } else if text.starts_with("An error report file with more information is saved as") {
        state.path_next = true;
    } else if text.starts_with("The crash happened outside the Java Virtual Machine") {
        header.outside_vm = true;
    } else if let Some(note) = core(line, text) {
        header.core = Some(note);
    } else if header.error.is_none() && text.contains("pid=") && text.contains("tid=") {
        error(header, line, text);
    } else if CANNED.iter().any(|start| text.starts_with(start)) {
        state.canned = true;
    } else if !state.past_error && !state.canned {
        message(header, line, text);
    }
}

/// `SIGSEGV (0xb) at pc=0x…, pid=…, tid=…`, `Internal Error (file.cpp:12), pid=…`, `Out of Memory Error (…)`.
fn error<'d>(header: &mut ErrorHeader<'d>, line: Line<'d>, text: &'d str) {
    header.error = Some(Said::new(Cow::Borrowed(text), line.source));
    header.pc = hex_after(text, "pc=");
    header.pid = decimal_after(text, "pid=");
    header.tid = after(text, "tid=")
        .and_then(|rest| if rest.starts_with("0x") { leading_hex(rest) } else { leading_decimal(rest) });
    header.sent_by_kill = text.contains("(sent by kill)");
    let (name, behind) = text.split_once(" (").unwrap_or((text, ""));
    let raised = |behind: &'d str| {
        let place = behind.split_once("), pid=").map_or(behind, |(place, _)| place);
        let (file, number) = place.rsplit_once(':').unwrap_or((place, ""));
        let file = file.rsplit(['/', '\\']).next().unwrap_or(file);
        (!file.is_empty() && !file.starts_with("0x")).then(|| (Cow::Borrowed(file), number.parse().ok()))
    };
    match name {
        "Out of Memory Error" => {
            header.kind = ErrorKind::NativeOom;
            header.raised_at = raised(behind);
        }
        "Internal Error" => {
            header.kind = ErrorKind::InternalError;
            header.raised_at = raised(behind);
            // Windows calls an exception that it has no name for an internal error with its code.
            header.signal_number = behind.starts_with("0x").then(|| leading_hex(behind)).flatten();
            if header.signal_number.is_some() {
                header.kind = ErrorKind::Exception;
            }
        }
        _ => {
            header.kind = if name.starts_with("SIG") { ErrorKind::Signal } else { ErrorKind::Exception };
            header.signal_name = Some(Cow::Borrowed(name));
            header.signal_number = leading_hex(behind);
        }
    }
}

/// `Native memory allocation (mmap) failed to map N bytes for X`, or what the VM said as it gave up.
fn message<'d>(header: &mut ErrorHeader<'d>, line: Line<'d>, text: &'d str) {
    if let Some(found) = native_oom(line, text).filter(|_| header.native_oom.is_none()) {
        header.native_oom = Some(found);
    } else if header.kind == ErrorKind::NativeOom && header.native_oom.is_none() && is_thread_refusal(text) {
        header.native_oom = Some(NativeOom {
            call: OomCall::Thread,
            bytes: None,
            verb: Cow::Borrowed("failed to create"),
            purpose: Some(Cow::Borrowed(text)),
            source: line.source,
        });
    }
    if let Some(what) = after(text, "OutOfMemory encountered: ") {
        header.java_oom = Some(Said::new(Cow::Borrowed(what), line.source));
    }
    header.messages.push(Said::new(Cow::Borrowed(text), line.source));
}

/// `Cannot create worker GC thread. Out of system resources.`, `unable to create native thread`.
fn is_thread_refusal(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.contains("thread") && (text.contains("cannot create") || text.contains("unable to create"))
}

fn native_oom<'d>(line: Line<'d>, text: &'d str) -> Option<NativeOom<'d>> {
    let rest = text.strip_prefix("Native memory allocation (")?;
    let (call, rest) = rest.split_once(") ")?;
    let call = match call {
        "malloc" => OomCall::Malloc,
        "mmap" => OomCall::Mmap,
        "mprotect" => OomCall::Mprotect,
        _ => OomCall::Other,
    };
    let digits = rest.find(|c: char| c.is_ascii_digit())?;
    let (verb, rest) = rest.split_at_checked(digits)?;
    let bytes = leading_decimal(rest);
    let purpose = after(rest, "Error detail: ").or_else(|| after(rest, " bytes for "));
    let purpose = purpose.map(str::trim).filter(|purpose| !purpose.is_empty());
    Some(NativeOom {
        call,
        bytes,
        verb: Cow::Borrowed(verb.trim()),
        purpose: purpose.map(Cow::Borrowed),
        source: line.source,
    })
}

/// What the header says of a core.
fn core<'d>(line: Line<'d>, text: &'d str) -> Option<CoreNote<'d>> {
    let note = |written, path: Option<&'d str>| {
        let path = path.map(|path| Cow::Borrowed(path.trim())).filter(|path| !path.is_empty());
        Some(CoreNote { written, path, line: Said::new(Cow::Borrowed(text), line.source) })
    };
    if let Some(rest) = text.strip_prefix("Core dump will be written.") {
        return note(true, after(rest, "Default location: "));
    }
    if let Some(rest) = text.strip_prefix("Core dump written.") {
        return note(true, after(rest, "Default location: "));
    }
    let refused = ["No core dump will be written", "Failed to write core dump", "CreateCoredumpOnCrash turned off"];
    if refused.iter().any(|start| text.starts_with(start)) {
        return note(false, None);
    }
    None
}

#[cfg(test)]
mod tests {
    use necropsy_model::Source;

    use super::*;

    fn read(lines: &'static [&'static str]) -> HsErr<'static> {
        let (mut log, mut state) = (HsErr::default(), State::default());
        for (number, &text) in (1..).zip(lines) {
            line(&mut log, &mut state, Line { text, source: Source::line(number) }, &mut Full::default());
        }
        log
    }

    #[test]
    fn a_signal() {
        let log = read(&[
            " A fatal error has been detected by the Java Runtime Environment:",
            "",
            "  SIGSEGV (0xb) at pc=0x00007f10 (sent by kill), pid=7, tid=8",
            "",
            " Problematic frame:",
            " C  [libc.so.6+0x10]  __nanosleep+0x4",
            "",
            " Core dump will be written. Default location: /tmp/core.7",
        ]);
        assert_eq!(log.header.kind, ErrorKind::Signal);
        assert_eq!((log.header.pc, log.header.pid, log.header.tid), (Some(0x7f10), Some(7), Some(8)));
        assert!(log.header.sent_by_kill);
        assert_eq!(log.header.problematic.unwrap().function.as_deref(), Some("__nanosleep"));
        let core = log.header.core.unwrap();
        assert_eq!((core.written, core.path.as_deref()), (true, Some("/tmp/core.7")));
    }

    #[test]
    fn internal_errors() {
        let log = read(&[
            "  Internal Error (./src/hotspot/share/utilities/debug.cpp:271), pid=1, tid=9",
            "  fatal error: OutOfMemory encountered: Java heap space",
        ]);
        assert_eq!(log.header.kind, ErrorKind::InternalError);
        assert_eq!(log.header.raised_at, Some(("debug.cpp".into(), Some(271))));
        assert_eq!(log.header.java_oom.unwrap().value, "Java heap space");
        let log = read(&["  Internal Error (0xc0000029), pid=8576, tid=8224"]);
        assert_eq!((log.header.kind, log.header.signal_number), (ErrorKind::Exception, Some(0xc000_0029)));
    }

    #[test]
    fn native_memory_that_was_refused() {
        let log = read(&[
            " There is insufficient memory for the Java Runtime Environment to continue.",
            " Native memory allocation (mmap) failed to map 65536 bytes for Failed to commit metaspace.",
            " Possible reasons:",
            "   The system is out of physical RAM or swap space",
            "  Out of Memory Error (allocation.cpp:44), pid=23638, tid=23670",
        ]);
        let refused = log.header.native_oom.unwrap();
        assert_eq!((refused.call, refused.bytes), (OomCall::Mmap, Some(65536)));
        assert_eq!(refused.purpose.as_deref(), Some("Failed to commit metaspace."));
        assert_eq!(refused.verb, "failed to map");
        assert_eq!(log.header.messages.len(), 1, "the advice is no message");
        assert_eq!((log.header.kind, log.header.pid), (ErrorKind::NativeOom, Some(23638)));
        let log = read(&[
            " There is insufficient memory for the Java Runtime Environment to continue.",
            " Native memory allocation (malloc) failed to allocate 1048576 bytes. Error detail: AllocateHeap",
        ]);
        assert_eq!(log.header.native_oom.unwrap().purpose.as_deref(), Some("AllocateHeap"));
        let log = read(&[
            " There is insufficient memory for the Java Runtime Environment to continue.",
            " Cannot create worker GC thread. Out of system resources.",
        ]);
        assert_eq!(log.header.native_oom.unwrap().call, OomCall::Thread);
    }
}
