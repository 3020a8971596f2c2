//! Dumps through all stages and into every output.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use necropsy_diagnose::pair::{PairCase, Told};
use necropsy_group::bucket::{self, FrameRules};
use necropsy_group::pair::{self, Side};
use necropsy_model::{Arena, Groups, Order, Similarity, Snapshot, Verdict};
use necropsy_read::stored_core;
use necropsy_redact::{Redactor, through};
use necropsy_report::{BucketReport, Input, PairReport, Report, Style};
use necropsy_symbolicate::Options;

use crate::{check, seeds};

pub(super) fn cores() -> Vec<Vec<u8>> {
    let mut cores: Vec<_> = seeds::dumps("elf-core").iter().filter_map(|core| seeds::slim(core)).collect();
    cores.extend(seeds::dumps("elf-core").into_iter().filter(|core| core.get(4) == Some(&1)).map(seeds::cut));
    cores.retain(|core| core.len() <= crate::mutate::LONGEST);
    cores
}

pub(super) fn goroutines() -> Vec<Vec<u8>> {
    let mut found: Vec<_> = seeds::dumps("goroutines").iter().flat_map(|dump| seeds::pieces(dump)).collect();
    found.extend(seeds::corpus(|path, head| is_below(path, "goroutine") && !head.starts_with(b"\x7fELF")));
    found
}

pub(super) fn java_threads() -> Vec<Vec<u8>> {
    let mut found: Vec<_> = seeds::dumps("java-threads").iter().flat_map(|dump| seeds::pieces(dump)).collect();
    found.extend(seeds::corpus(|_, head| has(head, b"Full thread dump")));
    found
}

pub(super) fn java_dump_files() -> Vec<Vec<u8>> {
    let mut found = seeds::dumps("java-dump-file");
    found.push(DUMP_FILE.into());
    found
}

pub(super) fn thread_infos() -> Vec<Vec<u8>> {
    vec![THREAD_INFO.into()]
}

pub(super) fn actuators() -> Vec<Vec<u8>> {
    vec![ACTUATOR.into()]
}

pub(super) fn javacores() -> Vec<Vec<u8>> {
    let mut found = vec![JAVACORE.into()];
    found.extend(seeds::corpus(|_, head| has(head, b"1TISIGINFO")));
    found
}

pub(super) fn hs_errs() -> Vec<Vec<u8>> {
    let mut found: Vec<_> = seeds::dumps("hs-err").iter().flat_map(|dump| seeds::pieces(dump)).collect();
    found.extend(seeds::corpus(|_, head| has(head, b"Java Runtime Environment")));
    found
}

pub(super) fn native_stacks() -> Vec<Vec<u8>> {
    let mut found = seeds::dumps("native-stacks");
    found.extend(seeds::corpus(|path, head| is_below(path, "other") && has(head, b"#0 ")));
    found
}

pub(super) fn kernel_logs() -> Vec<Vec<u8>> {
    let mut found: Vec<_> = seeds::dumps("kernel-log").iter().flat_map(|dump| seeds::pieces(dump)).collect();
    found.extend(seeds::corpus(|_, head| has(head, b"segfault at") || has(head, b"oom-killer")));
    found
}

pub(super) fn apports() -> Vec<Vec<u8>> {
    let mut found: Vec<_> = seeds::dumps("apport-crash").into_iter().map(seeds::cut).collect();
    found.push(APPORT.into());
    found
}

pub(super) fn stored_cores() -> Vec<Vec<u8>> {
    vec![STORED_CORE.into()]
}

/// All text formats.
pub(super) fn any() -> Vec<Vec<u8>> {
    let own = [DUMP_FILE, THREAD_INFO, ACTUATOR, JAVACORE, APPORT];
    seeds::texts().into_iter().chain(own.map(|text| text.as_bytes().to_vec())).collect()
}

fn is_below(path: &Path, folder: &str) -> bool {
    path.components().any(|part| part.as_os_str().to_string_lossy().contains(folder))
}

fn has(bytes: &[u8], words: &[u8]) -> bool {
    bytes.get(..4096).unwrap_or(bytes).windows(words.len()).any(|window| window == words)
}

pub(super) fn elf_core(input: &[u8]) -> Result<(), String> {
    triage(input, Some("elf-core"), None, false)
}

pub(super) fn core_with_files(input: &[u8]) -> Result<(), String> {
    triage(input, Some("elf-core"), Some(&roots().path), false)
}

pub(super) fn as_goroutines(input: &[u8]) -> Result<(), String> {
    triage(input, Some("go-goroutines"), None, false)
}

pub(super) fn as_java_threads(input: &[u8]) -> Result<(), String> {
    triage(input, Some("java-threads"), None, false)
}

pub(super) fn as_java_dump_file(input: &[u8]) -> Result<(), String> {
    triage(input, Some("java-dump-file"), None, false)
}

pub(super) fn as_thread_info(input: &[u8]) -> Result<(), String> {
    triage(input, Some("java-thread-info"), None, false)
}

pub(super) fn as_actuator(input: &[u8]) -> Result<(), String> {
    triage(input, Some("java-actuator"), None, false)
}

pub(super) fn as_javacore(input: &[u8]) -> Result<(), String> {
    triage(input, Some("openj9-javacore"), None, false)
}

pub(super) fn as_hs_err(input: &[u8]) -> Result<(), String> {
    triage(input, Some("hs-err"), None, false)
}

pub(super) fn as_native_stacks(input: &[u8]) -> Result<(), String> {
    triage(input, Some("native-stacks"), None, false)
}

pub(super) fn as_kernel_log(input: &[u8]) -> Result<(), String> {
    triage(input, Some("kernel-log"), None, false)
}

/// A report of apport, and the core that it encloses as far as it can be unpacked.
pub(super) fn as_apport(input: &[u8]) -> Result<(), String> {
    triage(input, Some("apport-crash"), None, false)?;
    let mut core = Vec::new();
    let Some(enclosed) = necropsy_read::enclosed(input) else { return Ok(()) };
    // Whoever opens files has the limit; what breaks off is read as far as it goes.
    let _ = enclosed.take(MOST_ENCLOSED).read_to_end(&mut core);
    let arena = Arena::new();
    match necropsy_read::read_enclosed(input, &core, &arena) {
        Ok(_) => Ok(()),
        Err(error) => check::message(&error.to_string()).map_or(Ok(()), Err),
    }
}

/// What a keeper noted of a core: the first line is the name of its file, the others its attributes in turn.
pub(super) fn stored_core(input: &[u8]) -> Result<(), String> {
    let mut lines = input.split(|&byte| byte == b'\n');
    let name = String::from_utf8_lossy(lines.next().unwrap_or_default());
    let mut noted = stored_core::from_name(&name).unwrap_or_default();
    for (value, attribute) in lines.zip(stored_core::ATTRIBUTES.iter().cycle()) {
        stored_core::attribute(&mut noted, attribute, value);
    }
    let arena = Arena::new();
    let dump = "goroutine 1 [running]:\nmain.main()\n\t/srv/main.go:9 +0x1d\n";
    let mut known = know(dump.as_bytes(), &arena, None, None, &mut None)?;
    for known in &mut known {
        necropsy_read::note(&mut known.snapshot, &noted);
    }
    shown(&known, &mut None).map(drop)
}

pub(super) fn as_any(input: &[u8]) -> Result<(), String> {
    triage(input, None, None, false)
}

pub(super) fn redact(input: &[u8]) -> Result<(), String> {
    triage(input, None, None, true)
}

/// The file system of every case of cores with small files, in one folder that lives as long as the program.
struct Roots {
    path: PathBuf,
    _folder: tempfile::TempDir,
}

fn roots() -> &'static Roots {
    static ROOTS: OnceLock<Roots> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/elf-core");
        for case in std::fs::read_dir(fixtures).into_iter().flatten().flatten() {
            super::files::unpack(&case.path().join("root"), folder.path());
        }
        Roots { path: folder.path().to_owned(), _folder: folder }
    })
}

/// Where no file of this machine is.
pub(super) fn nowhere() -> PathBuf {
    PathBuf::from("/nonexistent")
}

/// What is known of one dump.
struct Known<'data> {
    input: Input,
    snapshot: Snapshot<'data>,
    groups: Groups,
    verdict: Verdict<'data>,
}

/// Read, symbolicate, redact if asked to, group, diagnose.
fn know<'data>(
    data: &'data [u8],
    arena: &'data Arena,
    format: Option<&str>,
    root: Option<&Path>,
    redactor: &mut Option<Redactor>,
) -> Result<Vec<Known<'data>>, String> {
    let snapshots = match necropsy_read::read(data, arena, format) {
        Ok(snapshots) => snapshots,
        Err(error) => return check::message(&error.to_string()).map_or(Ok(Vec::new()), Err),
    };
    let sysroot = Some(root.map_or_else(nowhere, Path::to_owned));
    let options = Options { sysroot, locals: true, ..Options::default() };
    let known = snapshots.into_iter().map(|mut snapshot| {
        necropsy_symbolicate::symbolicate(&mut snapshot, arena, &options);
        if let Some(redactor) = redactor {
            redactor.snapshot(&mut snapshot);
        }
        let groups = necropsy_group::group(&snapshot, Similarity::default());
        let verdict = necropsy_diagnose::diagnose(&snapshot, &groups);
        let input = Input { path: "dump".to_owned(), bytes: data.len() as u64, ..Input::default() };
        Known { input, snapshot, groups, verdict }
    });
    Ok(known.collect())
}

const STYLE: Style = Style { color: false, width: 80, threads: true, locals: true, all: true, explain: true };

/// One dump into every output; one in sixteen inputs twice, for the same input has the same report.
pub(super) fn triage(data: &[u8], format: Option<&str>, root: Option<&Path>, redacted: bool) -> Result<(), String> {
    let first = outputs(data, format, root, redacted)?;
    let sum = data.iter().fold(0_u8, |sum, &byte| sum.wrapping_mul(31).wrapping_add(byte));
    let chosen = sum < 16;
    if chosen && outputs(data, format, root, redacted)? != first {
        return Err("the same input has two reports".to_owned());
    }
    Ok(())
}

fn outputs(data: &[u8], format: Option<&str>, root: Option<&Path>, redacted: bool) -> Result<Vec<u8>, String> {
    let arena = Arena::new();
    let mut redactor = redacted.then(Redactor::new);
    let known = know(data, &arena, format, root, &mut redactor)?;
    shown(&known, &mut redactor)
}

/// Dumps in every output.
fn shown(known: &[Known<'_>], redactor: &mut Option<Redactor>) -> Result<Vec<u8>, String> {
    let mut all = Vec::new();
    for Known { input, snapshot, groups, verdict } in known {
        let report = Report { input, snapshot, groups, verdict, owner: None };
        let few = snapshot.threads.len() <= super::MOST_THREADS_SHOWN;
        let style = Style { threads: few, all: few, ..STYLE };
        let (mut text, mut json, mut brief, mut folded) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        written(through(redactor.as_mut(), &mut text, |out| necropsy_report::text(&report, style, out)))?;
        written(through(redactor.as_mut(), &mut json, |out| necropsy_report::json(&report, few, out)))?;
        written(through(redactor.as_mut(), &mut brief, |out| necropsy_report::brief(&report, out)))?;
        if redactor.is_none() {
            written(necropsy_report::folded(snapshot, groups, &mut folded))?;
        }
        let flaw =
            [&text, &brief, &folded].into_iter().find_map(|shown| check::text(shown)).or_else(|| check::json(&json));
        flaw.map_or(Ok(()), Err)?;
        all.extend([text, json, brief, folded].concat());
    }
    Ok(all)
}

fn written(done: std::io::Result<()>) -> Result<(), String> {
    done.map_err(|error| format!("a report could not be written: {error}"))
}

/// Both halves of an input as two dumps.
pub(super) fn diff(input: &[u8]) -> Result<(), String> {
    // Two different ones where the input has two halves, else one dump and the same again.
    let middle = input.len() / 2;
    let cut = input.get(middle..).unwrap_or_default().iter().position(|&byte| byte == b'\n').map(|at| middle + at + 1);
    let (a, b) = input.split_at(cut.filter(|_| input.len() % 2 == 1).unwrap_or(input.len()));
    let b = if b.is_empty() { a } else { b };
    let arena = Arena::new();
    let (first, second) = (know(a, &arena, None, None, &mut None)?, know(b, &arena, None, None, &mut None)?);
    let Some((first, second)) = first.first().zip(second.first()) else { return Ok(()) };
    let order = pair::order(&first.snapshot, &second.snapshot);
    let (before, after) = if order == Order::Turned { (second, first) } else { (first, second) };
    let comparison = pair::compare(
        Side { snapshot: &before.snapshot, groups: &before.groups },
        Side { snapshot: &after.snapshot, groups: &after.groups },
        order,
    );
    let verdict = necropsy_diagnose::pair::diagnose(&PairCase {
        before: Told { snapshot: &before.snapshot, verdict: &before.verdict },
        after: Told { snapshot: &after.snapshot, verdict: &after.verdict },
        comparison: &comparison,
    });
    let report = PairReport {
        before: (&before.input, &before.snapshot),
        after: (&after.input, &after.snapshot),
        comparison: &comparison,
        verdict: &verdict,
        owner: None,
    };
    let (mut text, mut json, mut brief) = (Vec::new(), Vec::new(), Vec::new());
    written(necropsy_report::text_pair(&report, STYLE, &mut text))?;
    written(necropsy_report::json_pair(&report, true, &mut json))?;
    written(necropsy_report::brief_pair(&report, &mut brief))?;
    check::text(&text).or_else(|| check::text(&brief)).or_else(|| check::json(&json)).map_or(Ok(()), Err)
}

/// An input as one dump among many.
pub(super) fn group(input: &[u8]) -> Result<(), String> {
    let arena = Arena::new();
    let rules = FrameRules::default();
    let known = know(input, &arena, None, None, &mut None)?;
    let occurrences: Vec<_> =
        known.iter().map(|known| bucket::occurrence(&known.snapshot, &known.verdict, &rules)).collect();
    let buckets = bucket::buckets(&occurrences);
    let report = BucketReport { buckets: &buckets, occurrences: &occurrences, failed: 0 };
    let (mut text, mut json, mut brief) = (Vec::new(), Vec::new(), Vec::new());
    written(necropsy_report::text_buckets(&report, STYLE, &mut text))?;
    written(necropsy_report::json_buckets(&report, &mut json))?;
    written(necropsy_report::brief_buckets(&report, &mut brief))?;
    // Its columns are parted by tabs, and by nothing else in them.
    let columns = |line: &[u8]| line.split(|&byte| byte == b'\t').count();
    if brief.split_inclusive(|&byte| byte == b'\n').any(|line| columns(line) != 5) {
        return Err("a row of another number of columns".to_owned());
    }
    brief.retain(|&byte| byte != b'\t');
    check::text(&text).or_else(|| check::text(&brief)).or_else(|| check::json(&json)).map_or(Ok(()), Err)
}

/// Bytes of a core that a report encloses, and that are unpacked here.
const MOST_ENCLOSED: u64 = 1 << 20;
/// A report of apport with a core of five bytes, by hand.
const APPORT: &str = "ProblemType: Crash\nArchitecture: amd64\nDate: Sat Nov 21 10:00:00 2026\nExecutablePath: /srv/app\nProcCmdline: /srv/app --port 80\nProcMaps:\n 00400000-00401000 r-xp 00000000 fe:00 77     /srv/app\n 7f1375401000-7f1375402000 r-xp 00001000 fe:00 79     /lib/libx.so\nSignal: 11\nUserGroups: N/A\nCoreDump: base64\n H4sICAAAAAAC/0NvcmVEdW1wAA==\n y0jNyckHAIamEDYFAAAA\n";
/// The name and the attributes of a core that systemd-coredump keeps, by hand.
const STORED_CORE: &str = "core.my\\x2eapp.1000.0123456789abcdef0123456789abcdef.4242.1795255200123456.zst\n4242\n1000\n11\n1795255200123456\nmy.app\n/srv/my.app\n";
/// `HotSpotDiagnosticMXBean.dumpThreads` as text, by hand.
const DUMP_FILE: &str = "4242\n2026-11-21T09:41:13.699Z\n21.0.5+11\n\n#1 \"main\"\n      java.base/java.lang.Thread.sleep0(Native Method)\n      shop.Till.main(Till.java:7)\n\n#22 \"order-1\" virtual\n      java.base/java.lang.VirtualThread.park(VirtualThread.java:582)\n      shop.Stock.take(Stock.java:31)\n\n";
/// `ThreadInfo.toString`, by hand.
const THREAD_INFO: &str = "\"left\" prio=5 Id=12 BLOCKED on java.lang.Object@1b28cdfa owned by \"right\" Id=13\n\tat shop.Till.open(Till.java:7)\n\t-  blocked on java.lang.Object@1b28cdfa\n\tat shop.Till.run(Till.java:12)\n\t-  locked java.lang.Object@eed1f14\n\n\tNumber of locked synchronizers = 1\n\t- java.util.concurrent.locks.ReentrantLock$NonfairSync@7229724f\n\n\"right\" daemon prio=5 Id=13 WAITING on java.lang.Object@eed1f14 owned by \"left\" Id=12 (in native)\n\tat java.base@17.0.1/java.lang.Object.wait(Native Method)\n\t...\n\n";
/// Spring Boot's `/actuator/threaddump`, by hand.
const ACTUATOR: &str = r#"{"threads":[{"threadName":"left","threadId":12,"blockedTime":-1,"blockedCount":1,"waitedTime":-1,"waitedCount":0,"lockName":"java.lang.Object@1b28cdfa","lockOwnerId":13,"lockOwnerName":"right","daemon":false,"inNative":false,"suspended":false,"threadState":"BLOCKED","priority":5,"stackTrace":[{"classLoaderName":"app","moduleName":null,"methodName":"open","fileName":"Till.java","lineNumber":7,"className":"shop.Till","nativeMethod":false}],"lockedMonitors":[{"className":"java.lang.Object","identityHashCode":250421012,"lockedStackDepth":0,"lockedStackFrame":{"methodName":"open","className":"shop.Till"}}],"lockedSynchronizers":[],"lockInfo":{"className":"java.lang.Object","identityHashCode":455659002}},{"threadName":"right","threadId":13,"lockOwnerId":12,"threadState":"WAITING","stackTrace":[]}]}"#;
/// A javacore with one deadlock, by hand after the calls of `javadump.cpp` in `OpenJ9`.
const JAVACORE: &str = "0SECTION       TITLE subcomponent dump routine\nNULL           ===\n1TICHARSET     UTF-8\n1TISIGINFO     Dump Event \"user\" (00004000) received\n1TIDATETIME    Date: 2026/11/21 at 09:41:13:699\n2XHOSLEVEL     OS Level         : Linux 6.1.0\n1CIJAVAVERSION JRE 21.0.5 Linux amd64-64 (build 21.0.5+11)\n1CIPROCESSID   Process ID: 17 (0x11)\n1CICMDLINE     java -jar till.jar\n0SECTION       LOCKS subcomponent dump routine\n3LKMONOBJECT       shop/Drawer@0x00000000E0000010: owner \"b\" (J9VMThread:0x0000000000000200), entry count 1\n3LKWAITERQ            Waiting to enter:\n3LKWAITER                \"a\" (J9VMThread:0x0000000000000100)\n1LKDEADLOCK    Deadlock detected !!!\n2LKDEADLOCKTHR  Thread \"a\" (0x0000000000000100)\n3LKDEADLOCKWTR    is waiting for:\n4LKDEADLOCKOBJ      shop/Drawer@0x00000000E0000010\n2LKDEADLOCKTHR  Thread \"b\" (0x0000000000000200)\n0SECTION       THREADS subcomponent dump routine\n3XMTHREADINFO      \"a\" J9VMThread:0x0000000000000100, omrthread_t:0x01, java/lang/Thread:0x00000000E00000A0, state:B, prio=5\n3XMJAVALTHREAD            (java/lang/Thread getId:0x1C, isDaemon:true)\n3XMTHREADINFO1            (native thread ID:0x3F8, native priority:0x5, native policy:UNKNOWN, vmstate:B, vm thread flags:0x00000201)\n3XMCPUTIME               CPU usage total: 1.500000000 secs, user: 1.0 secs, system: 0.5 secs, current category=\"Application\"\n3XMTHREADBLOCK     Blocked on: shop/Drawer@0x00000000E0000010 Owned by: \"b\" (J9VMThread:0x0000000000000200, java/lang/Thread:0x00000000E00000B0)\n4XESTACKTRACE                at shop/Till.open(Till.java:7(Compiled Code))\n5XESTACKTRACE                   (entered lock: shop/Till@0x00000000E0000020, entry count: 1)\n4XENATIVESTACK               __futex_wait+0x10 (0x00007F0000000010 [libc.so.6+0x10])\n3XMTHREADINFO      \"b\" J9VMThread:0x0000000000000200, omrthread_t:0x02, java/lang/Thread:0x00000000E00000B0, state:P, prio=5\n3XMTHREADBLOCK     Parked on: java/util/concurrent/locks/ReentrantLock$NonfairSync@0x00000000E0000030 Owned by: \"a\" (J9VMThread:0x0000000000000100, java/lang/Thread:0x00000000E00000A0)\n4XESTACKTRACE                at java/util/concurrent/locks/LockSupport.park(LockSupport.java:222)\n0SECTION       Javadump End section\n";
