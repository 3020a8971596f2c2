//! Literal logs for the tests of the rules.

use necropsy_model::hs_err::{
    Completeness, CurrentThread, ErrorKind, HsErr, HsFrame, HsFrameKind, JavaMethod, SigInfo, VmThreadKind,
    VmThreadWords,
};
use necropsy_model::{Snapshot, Source};

/// A complete log.
pub(crate) fn log(change: impl FnOnce(&mut HsErr<'static>)) -> Snapshot<'static> {
    let mut log = HsErr { completeness: Completeness::Complete, ..HsErr::default() };
    log.thread = Some(CurrentThread {
        who: VmThreadWords { kind: VmThreadKind::Java, kind_text: "JavaThread".into(), ..VmThreadWords::default() },
        ..CurrentThread::default()
    });
    change(&mut log);
    Snapshot { hs_err: Some(Box::new(log)), ..Snapshot::default() }
}

/// A log of a signal with these frames.
pub(crate) fn signal(
    (name, number, code): (&'static str, u64, i64),
    address: u64,
    frames: &[&'static str],
    change: impl FnOnce(&mut HsErr<'static>),
) -> Snapshot<'static> {
    log(|log| {
        log.header.kind = ErrorKind::Signal;
        log.header.signal_name = Some(name.into());
        log.siginfo = Some(SigInfo {
            text: name.into(),
            name: Some(name.into()),
            number: Some(number),
            code: Some(code),
            address: Some(address),
            ..SigInfo::default()
        });
        if let Some(thread) = &mut log.thread {
            thread.frames = frames.iter().enumerate().map(|(at, text)| frame(text, at as u64 + 1)).collect();
        }
        change(log);
    })
}

/// SIGSEGV at an address that is not mapped.
pub(crate) const SEGV: (&str, u64, i64) = ("SIGSEGV", 11, 1);

/// A frame in short: `C libx.so f`, `V f`, `v stub`, `j pkg.Cls.m 7`, `J pkg.Cls.m`.
pub(crate) fn frame(text: &'static str, line: u64) -> HsFrame<'static> {
    let mut words = text.split(' ');
    let kind = match words.next() {
        Some("C") => HsFrameKind::Native,
        Some("V") => HsFrameKind::Vm,
        Some("v") => HsFrameKind::Stub,
        Some("J") => HsFrameKind::Compiled,
        _ => HsFrameKind::Interpreted,
    };
    let mut frame = HsFrame::new(kind, text, Source::line(line));
    match kind {
        HsFrameKind::Native => {
            frame.library = words.next().map(Into::into);
            frame.function = words.next().map(Into::into);
        }
        HsFrameKind::Vm => {
            frame.library = Some("libjvm.so".into());
            frame.function = words.next().map(Into::into);
        }
        HsFrameKind::Stub => frame.function = words.next().map(Into::into),
        _ => {
            let (class, name) = words.next().and_then(|name| name.rsplit_once('.')).unwrap_or_default();
            frame.method = Some(JavaMethod { class: class.into(), name: name.into(), descriptor: "()V".into() });
            frame.bci = words.next().and_then(|bci| bci.parse().ok());
        }
    }
    frame
}
