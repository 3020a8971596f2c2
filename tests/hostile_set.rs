//! The hostile set: inputs made to break a reader, each with the line that the program answers.
//!
//! Whatever cost someone a crash, a hang or a lie once stands here by name. Damage without a name is in `hostile.rs`, and the
//! fuzz targets are in `fuzz/`.

#[path = "support/small_core.rs"]
mod small_core;
#[path = "support/stage.rs"]
mod stage;

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
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
    for arguments in [&["dump", "--json"][..], &["dump", "--all", "--locals"], &["dump", "--redact"]] {
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

const SOUND: &str = "dump: native-crash: code in ledger accessed memory through a NULL pointer [high]";

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
    // Files of `NT_FILE`; sizes of a note's name and content. The rest of the core is as good as before.
    assert_eq!(with(&|core| core.file_count = Some(1 << 63)), SOUND);
    assert_eq!(with(&|core| core.file_count = Some(u64::MAX)), SOUND);
    assert_eq!(with(&|core| core.claims = Some((u32::MAX, 0))), SOUND);
    assert_eq!(with(&|core| core.claims = Some((5, u32::MAX))), SOUND);
    assert_eq!(with(&|core| core.claims = Some((5, 1 << 31))), SOUND);
    // Program headers, more than the file has bytes: those behind the real ones are read from whatever stands there.
    assert_eq!(with(&|core| core.headers = Some((0xfffe, 0))), SOUND);
    assert_eq!(with(&|core| core.headers = Some((0xffff, u32::MAX))), SOUND);
}

#[test]
fn a_list_of_loaded_files_that_is_a_circle() {
    let mut core = SmallCore::new();
    for next in [&[0][..], &[1, 0], &[1, 2, 1]] {
        core.page = page_with_links(next);
        assert_eq!(answer(&core.bytes()), SOUND.replace("high", "medium"));
    }
}

#[test]
fn a_list_of_loaded_files_without_end() {
    let said = |count: usize| {
        let mut core = SmallCore::new();
        core.page = page_with_links(&(1..=count).collect::<Vec<_>>());
        core.files.clear();
        let folder = folder();
        fs::write(folder.path().join("dump"), core.bytes()).unwrap();
        text(&run_in(folder.path(), &["dump", "--json", "--sysroot", "root"]).stdout)
    };
    // Behind the last one stands what no list holds.
    let full = "there are more than 16384 libraries in the list of the dynamic loader; the others are left out";
    assert!(!said(100).contains("libraries in the list"));
    let told = said(16_500);
    assert!(
        told.contains(full),
        "{} {} {}",
        told.matches("lib.so").count(),
        said(10).matches("lib.so").count(),
        said(100).matches("lib.so").count()
    );
}

/// Times of two threads that no number of seconds holds together.
#[test]
fn times_without_end() {
    let mut status = vec![0_u8; 336];
    status[32] = 9;
    status[48..56].copy_from_slice(&u64::MAX.to_le_bytes());
    let mut core = SmallCore::new();
    core.notes = vec![("CORE", 1, status.clone()), ("CORE", 1, status)];
    answer(&core.bytes());
    let thread = |name: &str| {
        format!(
            "\"{name}\" #1 prio=5 os_prio=0 cpu=18446744073709550000000.00ms elapsed=18446744073709550000.00s tid=0x01 nid=0x1 runnable  [0x01]\n   \
             java.lang.Thread.State: RUNNABLE\n\tat shop.Cart.add(Cart.java:7)\n\n"
        )
    };
    let dump = format!(
        "2026-11-21 09:41:13\nFull thread dump OpenJDK 64-Bit Server VM (17.0.1+12):\n\n{}{}",
        thread("a"),
        thread("b")
    );
    assert!(answer(dump.as_bytes()).starts_with("dump: "));
}

#[test]
fn names_that_steer_a_terminal() {
    let evil: &[u8] = b"\x1b[2J\xe2\x80\xae\xff\xc2\x9b1m\n";
    let mut core = SmallCore::new();
    core.name = [b"x", evil].concat();
    core.arguments = [b"/srv/ledger ", evil, b"\x1b]0;pwned\x07"].concat();
    core.files = vec![[b"/srv/", evil].concat(), [b"/srv/../../", evil, b"/lib.so"].concat(), vec![b'n'; 1 << 20]];
    let shown = r"dump: native-crash: code in x\x1b[2J\u{202e}?\x9b1m\n accessed memory through a NULL pointer [high]";
    assert_eq!(answer(&core.bytes()), shown.replace('?', "\u{fffd}"));
}

#[test]
fn numbers_of_texts_that_no_type_holds() {
    for (dump, expected) in [
        (
            "goroutine 99999999999999999999999 [running, 99999999999999999999999 minutes]:\nmain.a(0xffffffffffffffffffff)\n\t/srv/a.go:99999999999999999999 +0xffffffffffffffffffff\n",
            "necropsy: dump: not a dump that necropsy knows: this is text without a dump in it",
        ),
        (
            "goroutine profile: total 18446744073709551615\n18446744073709551615 @ 0xffffffffffffffff\n#\t0xffffffffffffffff\tmain.a+0xffffffffffffffff\t/srv/a.go:18446744073709551615\n\n",
            "dump: unclear: 1,048,576 of 1,048,576 goroutines in not printed at main.a in a.go [low]",
        ),
        (
            "Full thread dump OpenJDK 64-Bit Server VM (17.0.1+12 mixed mode):\n\n\"a\" #99999999999999999999 prio=99999999999 os_prio=0 cpu=1e999ms elapsed=-1.0s tid=0xffffffffffffffffffff nid=0xffffffffffffffffffff runnable\n   java.lang.Thread.State: RUNNABLE\n\tat a.b.c(D.java:99999999999999999999)\n\n",
            "dump: unclear: nothing stands out among what could be read of 1 thread: no deadlock, no queue for a lock [low]",
        ),
        (
            "0SECTION       TITLE subcomponent dump routine\n1TISIGINFO     Dump Event \"user\" (00004000) received\n1TIDATETIME    Date: 99999/99/99 at 99:99:99:999\n0SECTION       THREADS subcomponent dump routine\n3XMTHREADINFO      \"a\" J9VMThread:0xffffffffffffffffff, omrthread_t:0x01, java/lang/Thread:0x0, state:B, prio=99999999999\n3XMCPUTIME               CPU usage total: 1e999 secs, user: -1.0 secs\n4XESTACKTRACE                at a/B.c(B.java:99999999999999)\n",
            "dump: unclear: nothing stands out among what could be read of 1 thread: no deadlock, no queue for a lock [low]",
        ),
        (
            "#\n# A fatal error has been detected by the Java Runtime Environment:\n#\n#  SIGSEGV (0xffffffffffffffffff) at pc=0xffffffffffffffffffff, pid=99999999999999999999, tid=18446744073709551615\n#\n# Problematic frame:\n# C  [libc.so.6+0xffffffffffffffffff]\n#\n\n---------------  T H R E A D  ---------------\n\nStack: [0xffffffffffffffff,0x0],  sp=0x0,  free space=18446744073709551615k\n",
            "dump: native-crash: libc.so.6 used an address that the log does not give: the caller handed it a bad value, and the native stack does not name it [low]",
        ),
        (
            "Thread 99999999999999999999 (LWP 18446744073709551615):\n#99999999999999999999  0xffffffffffffffffffff in main () at a.c:99999999999999999999\n#0  0x01 in main () at a.c:1\n",
            "dump: unclear: the dump tells neither a signal nor what the only thread did [low]",
        ),
    ] {
        assert_eq!(answer(dump.as_bytes()), expected);
    }
}

/// A case of the fixtures, with its files below `root`.
fn staged(case: &str) -> stage::Staged {
    stage::Staged::new(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/elf-core").join(case))
}

/// How much is known of the executable's symbols when something else stands at a place below the root.
fn instead(path: &str, put: &dyn Fn(&Path)) -> String {
    let staged = staged("debuglink");
    let at = staged.folder().join("root").join(path);
    fs::remove_file(&at).unwrap();
    put(&at);
    // Whatever stands there is passed over at once: opening a pipe would wait for ever.
    let said = staged.run(&["--json"]);
    let report: serde_json::Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
    let modules = report["modules"].as_array().unwrap();
    let exe = modules.iter().find(|module| module["path"] == "/srv/ledger/refund").unwrap();
    exe["symbols"]["status"].as_str().unwrap().to_owned()
}

fn pipe(at: &Path) {
    assert!(Command::new("mkfifo").arg(at).status().unwrap().success());
}

#[test]
fn a_module_that_is_no_file() {
    let module = "srv/ledger/refund";
    assert_eq!(instead(module, &|at| fs::write(at, "no ELF").unwrap()), "wrong-build");
    assert_eq!(instead(module, &pipe), "not-found");
    assert_eq!(instead(module, &|at| fs::create_dir(at).unwrap()), "not-found");
    for target in ["/proc/self/exe", "/dev/zero", "/proc/self/mem", "../../../../../../../../etc/passwd", "refund"] {
        assert_eq!(instead(module, &|at| symlink(target, at).unwrap()), "not-found", "{target}");
    }
}

#[test]
fn a_debug_file_that_is_no_file_or_lies_outside() {
    let staged = staged("debuglink");
    let found: Vec<_> = walk(&staged.folder().join("root"));
    let debug = found.iter().find(|path| Path::new(path).extension().is_some_and(|ending| ending == "debug")).unwrap();
    let copy = |to: &Path| assert!(fs::copy(staged.folder().join("root").join(debug), to).unwrap() > 0);
    assert_eq!(instead(debug, &pipe), "stripped");
    assert_eq!(instead(debug, &|at| fs::create_dir(at).unwrap()), "stripped");
    assert_eq!(instead(debug, &|at| symlink("/dev/zero", at).unwrap()), "stripped");
    // The right file, by a link that stays below the root, and by links that leave it.
    let inside = |at: &Path| {
        let root = at.ancestors().find(|path| path.ends_with("root")).unwrap();
        copy(&root.join("kept"));
        symlink("/kept", at).unwrap();
    };
    assert_eq!(instead(debug, &inside), "full");
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().join("kept");
    copy(&target);
    assert_eq!(instead(debug, &|at| symlink(&target, at).unwrap()), "stripped");
    let up = format!("{}{}", "../".repeat(20), target.strip_prefix("/").unwrap().display());
    assert_eq!(instead(debug, &|at| symlink(&up, at).unwrap()), "stripped");
}

/// Files below a folder, relative to it.
fn walk(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut pending = vec![folder.to_owned()];
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            pending.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            found.push(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned());
        }
    }
    found
}

#[test]
fn a_stream_of_zeros_that_is_larger_than_allowed() {
    let folder = folder();
    let mut encoder = zstd::Encoder::new(fs::File::create(folder.path().join("dump.zst")).unwrap(), 1).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..1100 {
        encoder.write_all(&zeros).unwrap();
    }
    encoder.finish().unwrap();
    let output = run_in(folder.path(), &["dump.zst", "--max-size", "1"]);
    let said = "necropsy: dump.zst: the dump is larger than 1073741824 bytes; a higher limit is given in GiB with --max-size\n";
    assert_eq!((text(&output.stderr).as_str(), output.status.code()), (said, Some(2)));
    assert_eq!(text(&output.stdout), "");
}

/// The signals that this process ignores, as bits from 1 on (`SigIgn` in `proc_pid_status(5)`).
fn ignored_signals() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}

#[test]
fn what_is_unpacked_has_no_name_and_is_gone_with_the_process() {
    // What a test in the background ignores, or one under `nohup`, its children ignore too.
    let ignored = ignored_signals();
    for (signal, number) in [("-INT", 2), ("-TERM", 15), ("-HUP", 1), ("-KILL", 9)] {
        if ignored & 1 << (number - 1) != 0 {
            continue;
        }
        let folder = folder();
        let temporary = folder.path().join("tmp");
        fs::create_dir(&temporary).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_necropsy"));
        command.current_dir(folder.path()).env_clear().env("TMPDIR", &temporary).arg("-");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // More than a pipe holds, and no end: the process waits with a part of it unpacked.
        let mut encoder = zstd::Encoder::new(child.stdin.take().unwrap(), 1).unwrap();
        let noise: Vec<u8> = (0..400_000_u64).flat_map(|number| number.wrapping_mul(number).to_le_bytes()).collect();
        encoder.write_all(&SmallCore::new().bytes()).unwrap();
        encoder.write_all(&noise).unwrap();
        encoder.flush().unwrap();
        let descriptors = format!("/proc/{}/fd", child.id());
        let spool = || {
            let links = fs::read_dir(&descriptors).into_iter().flatten().flatten();
            let inside = |path: &std::path::PathBuf| fs::read_link(path).is_ok_and(|to| to.starts_with(&temporary));
            links.map(|link| link.path()).find(inside)
        };
        let started = std::time::Instant::now();
        let path = loop {
            if let Some(path) = spool() {
                break path;
            }
            assert!(started.elapsed().as_secs() < 60, "it writes no temporary file");
            std::thread::sleep(std::time::Duration::from_millis(10));
        };
        // Nobody can open it by a name, and nobody else may read it.
        assert!(fs::read_link(&path).unwrap().to_string_lossy().ends_with(" (deleted)"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        assert!(!child.wait().unwrap().success());
        assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0, "{signal}");
        drop(encoder);
    }
}
