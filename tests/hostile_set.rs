//! The hostile set: inputs made to break a reader, each with the line that the program answers.
//!
//! Whatever cost someone a crash, a hang or a lie once stands here by name. Damage without a name is in `hostile.rs`, and the
//! fuzz targets are in `fuzz/`.

#[path = "support/small_core.rs"]
mod small_core;

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use small_core::{SmallCore, page_with_links};

/// A folder with an empty `root` in it.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("root")).unwrap();
    folder
}

fn run_in(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_necropsy"));
    command.current_dir(folder).env_clear().args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What is said of a dump in one line; an error where there is no report.
fn answer(dump: &[u8]) -> String {
    let folder = folder();
    fs::write(folder.path().join("dump"), dump).unwrap();
    let output = run_in(folder.path(), &["dump", "--brief", "--sysroot", "root"]);
    for arguments in [&["dump", "--json", "--threads"][..], &["dump", "--threads", "--all", "--locals"], &["dump", "--redact"]] {
        clean(&run_in(folder.path(), &[arguments, &["--sysroot", "root"]].concat()));
    }
    clean(&output);
    assert!(output.status.code().is_some_and(|code| code == 0 || code == 2), "{output:?}");
    let said = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(said.lines().count(), 1, "{said}");
    said.trim_end().to_owned()
}

/// Nothing in an output steers a terminal.
fn clean(output: &Output) {
    for stream in [&output.stdout, &output.stderr] {
        let shown = text(stream);
        let bad = shown.chars().find(|&one| {
            one != '\n' && (one.is_control() || matches!(one, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
        });
        assert_eq!(bad, None, "{shown}");
    }
}

const SOUND: &str = "XX";

#[test]
fn a_sound_core_of_this_kind_is_told() {
    assert_eq!(answer(&SmallCore::new().bytes()), SOUND);
}

#[test]
fn counts_of_two_to_the_63() {
    let with = |change: &dyn Fn(&mut SmallCore)| {
        let mut core = SmallCore::new();
        change(&mut core);
        answer(&core.bytes())
    };
    let huge = 1_u64 << 63;
    println!("files {}", with(&|core| core.file_count = Some(huge)));
    println!("headers {}", with(&|core| core.headers = Some((0xffff, u32::MAX))));
    println!("headers {}", with(&|core| core.headers = Some((0xfffe, 0))));
    println!("name {}", with(&|core| core.claims = Some((u32::MAX, 0))));
    println!("content {}", with(&|core| core.claims = Some((5, u32::MAX))));
    println!("content {}", with(&|core| core.claims = Some((5, 1 << 31))));
}

#[test]
fn a_list_of_loaded_files_that_is_a_circle() {
    let mut core = SmallCore::new();
    for next in [&[0][..], &[1, 0], &[1, 2, 1]] {
        core.page = page_with_links(next);
        println!("{}", answer(&core.bytes()));
    }
}

#[test]
fn names_that_steer_a_terminal() {
    let evil: &[u8] = b"\x1b[2J\xe2\x80\xae\xff\xc2\x9b1m\n";
    let mut core = SmallCore::new();
    core.name = [b"x", evil].concat();
    core.arguments = [b"/srv/ledger ", evil, b"\x1b]0;pwned\x07"].concat();
    core.files = vec![[b"/srv/", evil].concat(), [b"/srv/../../", evil, b"/lib.so"].concat(), vec![b'n'; 1 << 20]];
    println!("{}", answer(&core.bytes()));
}

#[test]
fn numbers_of_texts_that_no_type_holds() {
    for dump in [
        "goroutine 99999999999999999999999 [running, 99999999999999999999999 minutes]:\nmain.a(0xffffffffffffffffffff)\n\t/srv/a.go:99999999999999999999 +0xffffffffffffffffffff\n",
        "goroutine profile: total 18446744073709551615\n18446744073709551615 @ 0xffffffffffffffff\n#\t0xffffffffffffffff\tmain.a+0xffffffffffffffff\t/srv/a.go:18446744073709551615\n\n",
        "Full thread dump OpenJDK 64-Bit Server VM (17.0.1+12 mixed mode):\n\n\"a\" #99999999999999999999 prio=99999999999 os_prio=0 cpu=1e999ms elapsed=-1.0s tid=0xffffffffffffffffffff nid=0xffffffffffffffffffff runnable\n   java.lang.Thread.State: RUNNABLE\n\tat a.b.c(D.java:99999999999999999999)\n\n",
        "0SECTION       TITLE subcomponent dump routine\n1TISIGINFO     Dump Event \"user\" (00004000) received\n1TIDATETIME    Date: 99999/99/99 at 99:99:99:999\n0SECTION       THREADS subcomponent dump routine\n3XMTHREADINFO      \"a\" J9VMThread:0xffffffffffffffffff, omrthread_t:0x01, java/lang/Thread:0x0, state:B, prio=99999999999\n3XMCPUTIME               CPU usage total: 1e999 secs, user: -1.0 secs\n4XESTACKTRACE                at a/B.c(B.java:99999999999999)\n",
        "#\n# A fatal error has been detected by the Java Runtime Environment:\n#\n#  SIGSEGV (0xffffffffffffffffff) at pc=0xffffffffffffffffffff, pid=99999999999999999999, tid=18446744073709551615\n#\n# Problematic frame:\n# C  [libc.so.6+0xffffffffffffffffff]\n#\n\n---------------  T H R E A D  ---------------\n\nStack: [0xffffffffffffffff,0x0],  sp=0x0,  free space=18446744073709551615k\n",
        "Thread 99999999999999999999 (LWP 18446744073709551615):\n#99999999999999999999  0xffffffffffffffffffff in main () at a.c:99999999999999999999\n#0  0x01 in main () at a.c:1\n",
    ] {
        println!("{}", answer(dump.as_bytes()));
    }
}
