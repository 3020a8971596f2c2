//! Hostile input: whatever a file says, there is a report or one error; no panic, no hang, no memory beyond a bound.
//!
//! Every fixture, cut and damaged, goes through all stages in this process. `NECROPSY_FUZZ_SECONDS` makes it as many seconds as
//! are wanted (`just damage`), `NECROPSY_FUZZ_SEED` begins elsewhere, `NECROPSY_FUZZ_TRACE` names every case before it runs.

#![allow(clippy::print_stderr)] // a long run says where it is

#[path = "support/memory.rs"]
mod memory;
#[path = "support/mutation.rs"]
mod mutation;
#[path = "support/stage.rs"]
mod stage;

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use memory::{Counting, peak_of};
use mutation::{Patch, Random, patch, swap, zones_of_dump, zones_of_elf};
use necropsy_model::{Arena, Similarity};
use necropsy_report::{Input, Report, Style};
use necropsy_symbolicate::Options;
use stage::Staged;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes that a report may take whatever the input is: unpacked sections of debug information, frames up to their limit.
const FLOOR: usize = 96 << 20;
/// Bytes that a report may take for each byte of the dump.
const PER_BYTE: usize = 24;
/// No damaged fixture takes as long, not in a debug build on a busy machine either. A clock only for what never ends.
const HANGS: Duration = Duration::from_mins(1);
/// Damaged copies of each dump and of the files below its sysroot, when no time is given.
const COPIES: u64 = 2;

/// One test at a time: they share the count of bytes.
static ALONE: Mutex<()> = Mutex::new(());

/// A dump to be damaged, with the files it is read with.
struct Victim {
    name: String,
    dump: Vec<u8>,
    staged: Option<Staged>,
    /// ELF files below the sysroot, and where damage to them hurts.
    files: Vec<(PathBuf, Vec<u8>, Vec<Range<usize>>)>,
}

/// Every fixture, and the text dumps below.
fn victims() -> Vec<Victim> {
    let mut victims = Vec::new();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    for format in folders(&fixtures) {
        for case in folders(&format) {
            let Some(dump) = stage::dump_of(&case) else { continue };
            let mut bytes = fs::read(&dump).unwrap();
            if dump.extension().is_some_and(|ending| ending == "zst") {
                bytes = zstd::decode_all(bytes.as_slice()).unwrap();
            }
            let staged = Staged::new(&case);
            let mut files = Vec::new();
            elf_files(&root(&staged), &mut files);
            let name = case.file_name().unwrap().to_string_lossy().into_owned();
            victims.push(Victim { name, dump: bytes, staged: Some(staged), files });
        }
    }
    for (index, text) in TEXTS.iter().enumerate() {
        let (name, dump) = (format!("text-{index}"), text.as_bytes().to_vec());
        victims.push(Victim { name, dump, staged: None, files: Vec::new() });
    }
    victims
}

/// The sysroot of a case.
fn root(staged: &Staged) -> PathBuf {
    staged.folder.path().join("root")
}

fn folders(of: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(of).unwrap().flatten();
    let mut folders: Vec<_> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

/// A file, its bytes, and where damage to it hurts.
type Target = (PathBuf, Vec<u8>, Vec<Range<usize>>);

fn elf_files(folder: &Path, found: &mut Vec<Target>) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().flatten().collect();
    entries.sort_by_key(fs::DirEntry::path);
    for entry in entries {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            elf_files(&entry.path(), found);
        } else if kind.is_file() {
            let bytes = fs::read(entry.path()).unwrap();
            let zones = zones_of_elf(&bytes);
            if !zones.is_empty() {
                found.push((entry.path(), bytes, zones));
            }
        }
    }
}

/// What went wrong, by what it looks like; each with the first case that showed it.
#[derive(Default)]
struct Findings(BTreeMap<String, String>);

impl Findings {
    /// Runs all stages over a dump and notes what a user must never see.
    fn triage(&mut self, case: &str, data: &[u8], root: Option<&Path>) {
        if std::env::var_os("NECROPSY_FUZZ_TRACE").is_some() {
            eprintln!("{case}");
        }
        *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) = Some((case.to_owned(), Instant::now()));
        let mut result = Ok(None);
        let peak = peak_of(|| result = catch_unwind(AssertUnwindSafe(|| reports(data, root))));
        *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let mut note = |what: String| {
            self.0.entry(what).or_insert_with(|| case.to_owned());
        };
        if peak > FLOOR + PER_BYTE * data.len() {
            note(format!("about {} MiB of memory", (peak >> 20).next_power_of_two()));
        }
        match result {
            Ok(Some(flaw)) => note(flaw),
            Ok(None) => {}
            Err(_) => {
                let place = PANIC.lock().unwrap_or_else(PoisonError::into_inner).take();
                note(place.unwrap_or_else(|| "a panic".to_owned()));
            }
        }
    }
}

/// Where the last panic was.
static PANIC: Mutex<Option<String>> = Mutex::new(None);
/// The case that runs, and since when.
static RUNNING: Mutex<Option<(String, Instant)>> = Mutex::new(None);

/// All reports of a dump; what is wrong with them, if anything is.
fn reports(data: &[u8], root: Option<&Path>) -> Option<String> {
    let arena = Arena::new();
    let options = Options { sysroot: root.map(Path::to_owned), locals: true, ..Options::default() };
    let snapshots = match necropsy_read::read(data, &arena, None) {
        Ok(snapshots) => snapshots,
        Err(error) => {
            let said = error.to_string();
            return (said.trim().is_empty() || said.lines().count() > 1).then(|| format!("an error of {said:?}"));
        }
    };
    for mut snapshot in snapshots {
        necropsy_symbolicate::symbolicate(&mut snapshot, &arena, &options);
        let groups = necropsy_group::group(&snapshot, Similarity::default());
        let verdict = necropsy_diagnose::diagnose(&snapshot, &groups);
        let input = Input { path: "dump".to_owned(), bytes: data.len() as u64, ..Input::default() };
        let report = Report { input: &input, snapshot: &snapshot, groups: &groups, verdict: &verdict, owner: None };
        let style = Style { color: false, width: 80, threads: true, locals: true, all: true, explain: true };
        let (mut text, mut json, mut brief) = (Vec::new(), Vec::new(), Vec::new());
        necropsy_report::text(&report, style, &mut text).unwrap();
        necropsy_report::json(&report, true, &mut json).unwrap();
        necropsy_report::brief(&report, &mut brief).unwrap();
        for shown in [&text, &brief] {
            let Ok(shown) = std::str::from_utf8(shown) else { return Some("text that is no UTF-8".to_owned()) };
            if let Some(raw) = shown.chars().find(|&one| one != '\n' && is_dangerous(one)) {
                return Some(format!("{raw:?} reaches the terminal"));
            }
        }
        if serde_json::from_slice::<serde::de::IgnoredAny>(&json).is_err() {
            return Some("JSON that can not be parsed".to_owned());
        }
    }
    None
}

/// Control characters, and those that turn the direction of text around (Unicode Standard Annex 9).
fn is_dangerous(one: char) -> bool {
    one.is_control()
        || matches!(one, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Notes where panics happen instead of printing them, and ends the process when a case does not end.
fn watch() {
    std::panic::set_hook(Box::new(|info| {
        let message = info.payload_as_str().unwrap_or_default().chars().take(120).collect::<String>();
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        *PANIC.lock().unwrap_or_else(PoisonError::into_inner) = Some(format!("panic at {place}: {message}"));
    }));
    std::thread::spawn(|| {
        loop {
            std::thread::sleep(Duration::from_secs(1));
            let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some((case, since)) = running.filter(|(_, since)| since.elapsed() > HANGS) {
                eprintln!("{case}: still running after {} s", since.elapsed().as_secs());
                std::process::abort();
            }
        }
    });
}

fn judge(findings: &Findings) {
    let _ = std::panic::take_hook();
    let listed: Vec<_> = findings.0.iter().map(|(what, case)| format!("{what} (first: {case})")).collect();
    assert!(listed.is_empty(), "{} findings:\n{}", listed.len(), listed.join("\n"));
}

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is not a number")))
}

#[test]
fn every_cut_is_survived() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    watch();
    let mut findings = Findings::default();
    for (index, victim) in victims().iter().enumerate() {
        let root = victim.staged.as_ref().map(root);
        let length = victim.dump.len();
        // Cores of more than a megabyte at every kilobyte of the first one where its notes stand in front, as kernels write them,
        // and at every third where they stand at the end, as gcore does. Text at many bytes, the others here and there.
        let step = match (victim.staged.as_ref(), victim.name.as_str()) {
            (Some(_), "refund-aarch64-o2" | "gcore-hang") => {
                assert!(length > 1 << 20, "{} has only {length} bytes", victim.name);
                if victim.name == "gcore-hang" { 3072 } else { 1024 }
            }
            (Some(_), _) => (length / 8).max(1),
            (None, _) => 3,
        };
        for cut in (index % step..length.min(1 << 20)).step_by(step) {
            findings.triage(&format!("{} cut at {cut}", victim.name), &victim.dump[..cut], root.as_deref());
        }
    }
    judge(&findings);
}

#[test]
fn damage_is_survived() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    watch();
    let end = setting("NECROPSY_FUZZ_SECONDS").map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let first = setting("NECROPSY_FUZZ_SEED").unwrap_or(0);
    let mut findings = Findings::default();
    let mut victims = victims();
    let mut runs = 0_u64;
    for round in first.. {
        let more = end.map_or(round < first + COPIES, |end| Instant::now() < end);
        if !more {
            break;
        }
        for (index, victim) in victims.iter_mut().enumerate() {
            let mut random = Random(round << 16 | index as u64);
            damage_dump(victim, round, &mut random, &mut findings);
            damage_files(victim, round, &mut random, &mut findings);
            runs += 2;
        }
    }
    eprintln!("{runs} damaged inputs");
    judge(&findings);
}

/// The case whose executable lies at `srv/ledger/refund` below its sysroot.
fn refund() -> Staged {
    Staged::new(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/elf-core/refund-c-o2"))
}

#[test]
fn a_path_of_the_dump_that_is_no_file_is_passed_over() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let staged = refund();
    let exe = root(&staged).join("srv/ledger/refund");
    fs::remove_file(&exe).unwrap();
    // Opening a named pipe would wait for ever for its writer.
    assert!(std::process::Command::new("mkfifo").arg(&exe).status().unwrap().success());
    assert!(staged.run(&[]).contains("module file not found here"));
    // A link that points outside is taken as the process would: relative to its root.
    let elsewhere = refund();
    fs::remove_file(&exe).unwrap();
    std::os::unix::fs::symlink(root(&elsewhere).join("srv/ledger/refund"), &exe).unwrap();
    assert!(staged.run(&[]).contains("module file not found here"));
    fs::remove_file(&exe).unwrap();
    std::os::unix::fs::symlink("/proc/self/exe", &exe).unwrap();
    assert!(staged.run(&[]).contains("module file not found here"));
}

#[test]
fn what_the_user_names_must_be_there() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let staged = refund();
    assert_eq!(staged.run(&["--debug-dir", "absent"]), "necropsy: --debug-dir absent: there is no such directory\n");
    assert_eq!(staged.run(&["--exe", "root"]), "necropsy: --exe root: there is no such file\n");
    let evil = staged.run(&["\u{1b}[31m\u{202e}evil"]);
    assert!(!evil.contains(['\u{1b}', '\u{202e}']), "{evil:?}");
}

fn damage_dump(victim: &mut Victim, round: u64, random: &mut Random, findings: &mut Findings) {
    let is_text = !victim.dump.starts_with(b"\x7fELF");
    let zones = zones_of_dump(&victim.dump);
    let count = 1 + random.below(8);
    let mut patches: Vec<Patch> = Vec::new();
    for _ in 0..count {
        patches.push(patch(&victim.dump, &zones, is_text, random));
    }
    swap(&mut victim.dump, &mut patches);
    let root = victim.staged.as_ref().map(root);
    findings.triage(&format!("{} damaged, seed {round}", victim.name), &victim.dump, root.as_deref());
    patches.reverse();
    swap(&mut victim.dump, &mut patches);
}

fn damage_files(victim: &mut Victim, round: u64, random: &mut Random, findings: &mut Findings) {
    let Some(staged) = victim.staged.as_ref().filter(|_| !victim.files.is_empty()) else { return };
    // The executable and its debug file matter more than the C library, and cost less.
    let small: Vec<_> = victim.files.iter().filter(|(_, bytes, _)| bytes.len() < 400_000).collect();
    let files = if small.is_empty() || random.below(4) == 0 { victim.files.iter().collect() } else { small };
    let (path, bytes, zones) = *random.pick(&files);
    let patches: Vec<Patch> = (0..=random.below(6)).map(|_| patch(bytes, zones, false, random)).collect();
    let file = fs::File::options().write(true).open(path).unwrap();
    for (at, new) in &patches {
        file.write_all_at(new, *at as u64).unwrap();
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    findings.triage(&format!("{} with {name} damaged, seed {round}", victim.name), &victim.dump, Some(&root(staged)));
    for (at, new) in &patches {
        file.write_all_at(&bytes[*at..*at + new.len()], *at as u64).unwrap();
    }
}

/// Text dumps as small as they can be and still say something of everything.
const TEXTS: [&str; 6] = [
    "panic: runtime error: invalid memory address or nil pointer dereference [recovered]\n\tpanic: again\n[signal SIGSEGV: segmentation violation code=0x1 addr=0x18 pc=0x48f0a5]\n\ngoroutine 1 [running]:\nmain.apply(0x0, {0xc000012345, 0x5}, ...)\n\t/srv/ledger/apply.go:12 +0x25\nmain.main()\n\t/srv/ledger/main.go:9 +0x1d\nexit status 2\n",
    "fatal error: all goroutines are asleep - deadlock!\n\ngoroutine 1 gp=0x1 m=0 mp=0x2 [chan receive, 47 minutes, locked to thread]:\nmain.(*pool[...]).take(0xc0000a0000)\n\t/srv/pool.go:88 +0x1c fp=0x1 sp=0x2 pc=0x3\ncreated by main.start in goroutine 7\n\t/srv/pool.go:20 +0x44\n\ngoroutine 18 [sync.Mutex.Lock, 3 minutes]:\nsync.runtime_SemacquireMutex(0xc000014094, 0x0, 0x1)\n\t/go/src/runtime/sema.go:71 +0x25\nsync.(*Mutex).lockSlow(0xc000014090)\n\t/go/src/sync/mutex.go:138 +0xf0\nmain.a.func1()\n\t/srv/a.go:5 +0x1\n...additional frames elided...\ncreated by main.a\n\t/srv/a.go:3 +0x2\n",
    "goroutine profile: total 12\n10 @ 0x43a 0x44b 0x55c\n# labels: {\"job\":\"import\"}\n#\t0x43a\tmain.work+0x1a\t/srv/w.go:10\n#\t0x44b\tmain.loop+0x2b\t/srv/w.go:22\n\n2 @ 0x1 0x2\n#\t0x1\truntime.gopark+0x1\t/go/src/runtime/proc.go:1\n",
    "==================\nWARNING: DATA RACE\nWrite at 0x00c00001c0a8 by goroutine 7:\n  main.a()\n      /srv/a.go:9 +0x1\n\nPrevious read at 0x00c00001c0a8 by main goroutine:\n  main.main()\n      /srv/a.go:19 +0x2\n\nGoroutine 7 (running) created at:\n  main.main()\n      /srv/a.go:3 +0x3\n==================\n",
    "{\"log\":\"goroutine 9 [select (no cases)]:\\n\",\"stream\":\"stderr\"}\n{\"log\":\"main.x()\\n\",\"stream\":\"stderr\"}\n{\"log\":\"\\t/srv/x.go:1 +0x1\\n\",\"stream\":\"stderr\"}\n",
    "2026-01-02T03:04:05Z stderr F goroutine 5 [IO wait]:\n2026-01-02T03:04:05Z stderr F net.(*conn).Read(0xc1)\n2026-01-02T03:04:05Z stderr F \t/go/src/net/net.go:1 +0x1\n",
];
