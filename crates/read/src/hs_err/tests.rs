use necropsy_model::hs_err::{Completeness, DamageKind, ErrorKind, FrameList, HsErr, Section};
use necropsy_model::{Arena, Avma, FrameKind, Snapshot};

use crate::read;

/// A log with one of everything that the general model takes over, in the order of JDK 8: threads and map after registers.
const LOG: &str = "#
# A fatal error has been detected by the Java Runtime Environment:
#
#  SIGSEGV (0xb) at pc=0x00007f0000001010, pid=7, tid=0x00007f00aaaa0700
#
# JRE version: OpenJDK Runtime Environment (8.0_342-b07) (build 1.8.0_342-b07)
# Java VM: OpenJDK 64-Bit Server VM (25.342-b07 mixed mode linux-amd64 compressed oops)
# Problematic frame:
# C  [libx.so+0x1010]  poke+0x10
#

---------------  T H R E A D  ---------------

Current thread (0x00007f0010000000):  JavaThread \"main\" [_thread_in_native, id=8, stack(0x00007f0020000000,0x00007f0020100000)]

siginfo: si_signo: 11 (SIGSEGV), si_code: 1 (SEGV_MAPERR), si_addr: 0x0000000000000008

Registers:
RAX=0x0000000000000000, RSP=0x00007f00200ff000, RIP=0x00007f0000001010, TRAPNO=0x000000000000000e

Instructions: (pc=0x00007f0000001010)
0x00007f0000001000:   90 90 90 90 90 90 90 90 90 90 90 90 90 90 90 90
0x00007f0000001010:   48 8b 50 08 c3 90 90 90 90 90 90 90 90 90 90 90

Stack: [0x00007f0020000000,0x00007f0020100000],  sp=0x00007f00200ff000,  free space=1020k
Native frames: (J=compiled Java code, j=interpreted, Vv=VM code, C=native code)
C  [libx.so+0x1010]  poke+0x10
j  Shop.poke(J)V+0
Java frames: (J=compiled Java code, j=interpreted, Vv=VM code)
j  Shop.poke(J)V+0
j  Shop.main([Ljava/lang/String;)V+9
v  ~StubRoutines::call_stub

---------------  P R O C E S S  ---------------

Java Threads: ( => current thread )
  0x00007f0010001000 JavaThread \"Finalizer\" daemon [_thread_blocked, id=9, stack(0x00007f0021000000,0x00007f0021100000)]
=>0x00007f0010000000 JavaThread \"main\" [_thread_in_native, id=8, stack(0x00007f0020000000,0x00007f0020100000)]

VM state:not at safepoint (normal execution)

Dynamic libraries:
7f0000000000-7f0000002000 r-xp 00000000 fe:00 12 /opt/libx.so
7f0020000000-7f0020100000 rw-p 00000000 00:00 0 

VM Arguments:
java_command: Shop
Environment Variables:
LANG=C

time: Sat Nov 21 01:22:10 2026
elapsed time: 3 seconds (0d 0h 0m 3s)
";

fn one<'d>(text: &'d str, arena: &'d Arena) -> Snapshot<'d> {
    let mut all = read(text.as_bytes(), arena, None).unwrap();
    assert_eq!(all.len(), 1, "{:?}", all.iter().map(|snapshot| snapshot.format).collect::<Vec<_>>());
    all.remove(0)
}

fn log<'a, 'd>(snapshot: &'a Snapshot<'d>) -> &'a HsErr<'d> {
    snapshot.hs_err.as_deref().unwrap()
}

#[test]
fn a_log_becomes_a_snapshot() {
    let arena = Arena::new();
    let snapshot = one(LOG, &arena);
    assert!(snapshot.warnings.is_empty(), "{:?}", snapshot.warnings);
    assert_eq!(log(&snapshot).completeness, Completeness::Complete);
    let stop = snapshot.stop.as_ref().unwrap();
    let signal = stop.signal.unwrap();
    assert_eq!((signal.number, signal.code, stop.address), (11, Some(1), Some(Avma(8))));
    let thread = snapshot.stopped_thread().unwrap();
    assert_eq!((thread.id.0, thread.name()), (8, Some("main")));
    assert_eq!(thread.registers().unwrap().by_name("rip"), Some(0x7f00_0000_1010));
    let frames: Vec<_> =
        snapshot.frames_of(thread).map(|frame| (frame.function.as_deref().unwrap(), frame.kind)).collect();
    assert_eq!(
        frames,
        [
            ("poke", FrameKind::Native),
            ("Shop.poke", FrameKind::Interpreted),
            ("Shop.main", FrameKind::Interpreted),
            ("~StubRoutines::call_stub", FrameKind::Runtime)
        ]
    );
    assert_eq!(log(&snapshot).thread.as_ref().unwrap().list, FrameList::Both);
    assert_eq!(snapshot.modules.len(), 1);
    assert_eq!(snapshot.memory.read(Avma(0x7f00_0000_1010), 4), Ok(&[0x48, 0x8b, 0x50, 0x08][..]));
}

#[test]
fn a_header_alone_is_a_log() {
    let arena = Arena::new();
    let head = LOG.split("\n\n---").next().unwrap();
    let snapshot = one(head, &arena);
    assert_eq!(log(&snapshot).completeness, Completeness::HeaderOnly);
    assert_eq!(log(&snapshot).thread.as_ref().unwrap().list, FrameList::Problematic);
    assert_eq!(snapshot.frames_of(snapshot.stopped_thread().unwrap()).count(), 1);
    assert_eq!(snapshot.warnings.len(), 1);
}

#[test]
fn a_cut_log_says_so_and_does_not_call_its_map_whole() {
    let arena = Arena::new();
    let snapshot = one(LOG.split("\nVM Arguments").next().unwrap(), &arena);
    assert_eq!(log(&snapshot).completeness, Completeness::Cut);
    assert!(!log(&snapshot).process.map.is_all);
    assert!(snapshot.warnings[0].text.contains("memory map"), "{:?}", snapshot.warnings);
}

#[test]
fn a_tail_of_nul_bytes_is_told() {
    let arena = Arena::new();
    let text = format!("{}{}", LOG.split("\nNative frames").next().unwrap(), "\0".repeat(4096));
    let snapshot = one(&text, &arena);
    let nul = log(&snapshot).damage.iter().find(|mark| matches!(mark.kind, DamageKind::NulBytes(4096)));
    assert!(nul.is_some(), "{:?}", log(&snapshot).damage);
}

#[test]
fn prefixes_wide_characters_and_line_ends_are_undone() {
    let arena = Arena::new();
    let lines = |prefix: &str, end: &str| LOG.lines().flat_map(|line| [prefix, line, end]).collect::<String>();
    let wide: Vec<u8> = LOG.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let marked = [&[0xff, 0xfe], wide.as_slice()].concat();
    let latin: Vec<u8> =
        LOG.replace("LANG=C", "USER=@").bytes().map(|byte| if byte == b'@' { 0xe9 } else { byte }).collect();
    let inputs: Vec<Vec<u8>> = vec![
        lines("2026-08-01T10:00:00.123456789Z stdout F ", "\n").into_bytes(),
        lines("web-1  | ", "\n").into_bytes(),
        lines("", "\r\n").into_bytes(),
        format!("Starting shop\n{LOG}Aborted (core dumped)\n").into_bytes(),
        wide,
        marked,
        latin,
    ];
    for data in &inputs {
        let all = read(data, &arena, None).unwrap();
        let [snapshot] = all.as_slice() else { panic!("{}", all.len()) };
        let name = String::from_utf8_lossy(&data[..40.min(data.len())]).into_owned();
        assert_eq!(log(snapshot).completeness, Completeness::Complete, "{name}");
        assert_eq!(snapshot.threads.len(), 2, "{name}");
        assert!(snapshot.warnings.is_empty(), "{name}: {:?}", snapshot.warnings);
    }
}

#[test]
fn two_logs_in_one_text_are_two() {
    let arena = Arena::new();
    let text = format!("{LOG}{LOG}");
    let all = read(text.as_bytes(), &arena, None).unwrap();
    assert_eq!(all.len(), 2);
    assert!(log(&all[0]).header.followed && !log(&all[1]).header.followed);
    assert_eq!(
        log(&all[1]).section(Section::Thread).map(|source| source.to_string()),
        Some(format!("line {}", LOG.lines().count() + 12))
    );
}

#[test]
fn a_report_without_an_error_is_no_crash() {
    let arena = Arena::new();
    let text = "#\n# JRE version: OpenJDK Runtime Environment (17.0.2+8) (build 17.0.2+8-86)\n\n---------------  S U M M A R Y ------------\n\nTime: now elapsed time: 1 seconds\n\n---------------  P R O C E S S  ---------------\n\nVM state: not at safepoint (normal execution)\n\nEND.\n";
    let snapshot = one(text, &arena);
    assert_eq!(log(&snapshot).header.kind, ErrorKind::NoError);
    assert!(snapshot.stop.is_none() && snapshot.warnings.is_empty());
}

#[test]
fn steps_that_failed_are_told() {
    let arena = Arena::new();
    let text =
        LOG.replace("Native frames:", "[error occurred during error reporting (printing native stack), id 0xb]\n\nX:");
    let snapshot = one(&text, &arena);
    let warnings: Vec<_> = snapshot.warnings.iter().map(|warning| warning.text.as_ref()).collect();
    assert_eq!(
        warnings,
        [
            "the log has no native frames",
            "the VM failed itself (SIGSEGV) while printing native stack: that part is missing"
        ]
    );
    assert_eq!(log(&snapshot).thread.as_ref().unwrap().list, FrameList::Java);
}
