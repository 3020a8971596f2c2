//! A fatal error log with every part that the report shows.

use necropsy_model::Source;
use necropsy_model::hs_err::{
    AddressRange, CompileTask, CurrentThread, HsErr, HsFrame, HsFrameKind, NativeOom, OomCall, Said, Section,
    SeenSection, StackBounds, VmOperation, VmThreadWords,
};

pub(crate) fn log() -> HsErr<'static> {
    let at = Source::line;
    let frame = |line| HsFrame::new(HsFrameKind::Native, "C  [libtill.so+0x1119]  read_balance+0x0", at(line));
    let mut log = HsErr::default();
    log.header.problematic = Some(frame(9));
    log.header.native_oom = Some(NativeOom {
        call: OomCall::Malloc,
        bytes: Some(65536),
        verb: "failed to allocate".into(),
        purpose: Some("Chunk::new".into()),
        source: at(3),
    });
    (log.build.feature, log.build.vendor) = (Some(25), Some("Temurin"));
    log.summary.uptime_ms = Some(Said::new(259, at(24)));
    let range = AddressRange { low: 0x7000_0000, high: 0x7010_0000 };
    log.thread = Some(CurrentThread {
        who: VmThreadWords {
            kind_text: "JavaThread".into(),
            state: Some("_thread_in_native".into()),
            ..VmThreadWords::default()
        },
        stack: Some(StackBounds { range, sp: Some(0x700f_f000), free: None, source: at(30) }),
        frames: vec![frame(32)],
        ..CurrentThread::default()
    });
    log.vm_operation = Some(VmOperation {
        name: "G1CollectForAllocation".into(),
        mode: Some("safepoint".into()),
        requested_by: None,
        source: at(40),
    });
    log.compile_task = Some(CompileTask {
        compiler: Some("C2".into()),
        id: Some(43),
        osr: true,
        level: Some(4),
        method: Some("Till::main".into()),
        text: "C2: 760 43 % 4 Till::main @ 2 (9 bytes)".into(),
        source: at(42),
    });
    log.process.vm_state = Some(Said::new("not at safepoint (normal execution)".into(), at(60)));
    log.sections = vec![SeenSection { section: Section::Header, source: at(1) }];
    log
}
