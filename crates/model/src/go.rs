//! What only a Go runtime says. Filled by the goroutine reader, read by the rules.

use crate::{Activity, FrameId, Source, StackId, Text, ThreadId, WaitKind};

/// Facts of a Go dump that have no place in the general model.
#[derive(Clone, Debug, Default)]
pub struct GoFacts<'data> {
    /// Which form of dump.
    pub form: GoForm,
    /// Chain of panics, outermost first: the first is the origin, the last is what killed.
    pub panics: Vec<GoPanic<'data>>,
    /// Line behind `fatal error: `.
    pub fatal: Option<GoLine<'data>>,
    /// Lines of the runtime that go with it: sizes, limits, `signal arrived during cgo execution`.
    pub remarks: Vec<GoLine<'data>>,
    /// The `[signal …]` line or banner.
    pub signal: Option<GoSignal<'data>>,
    /// Tests that ran when `go test` gave up, with their times in seconds.
    pub running_tests: Vec<(Text<'data>, Option<u32>)>,
    /// Data races of the race detector.
    pub races: Vec<GoRace<'data>>,
    /// Addresses of what threads wait for, by ascending thread; only where the runtime printed one that is not stale.
    pub waits: Vec<GoWait>,
    /// What the threads of a stack wait for, parallel to [`crate::Snapshot::stacks`].
    pub stack_waits: Vec<Option<WaitKind>>,
    /// Arguments of the first few threads of each stack, by ascending thread.
    pub samples: Vec<GoSample>,
    /// Those that made a thread, nearest first, for the first few threads of each stack (`GODEBUG=tracebackancestors`).
    pub ancestors: Vec<GoAncestor>,
    /// Stack of the machine thread that threw (`runtime stack:`), and where it stands.
    pub runtime_stack: Option<(StackId, Source)>,
    /// Registers, a block for each machine thread that printed them.
    pub registers: Vec<GoRegisters<'data>>,
    /// The writer stopped at its limit, so that goroutines are missing.
    pub cut: Option<GoCut>,
    /// The collector proved leaks and the dump marks them.
    pub leak_profile: bool,
    /// Threads that were printed several times, once for each machine thread.
    pub repeated: usize,
}

/// Forms of Go dumps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum GoForm {
    /// Goroutines without a word about why: `debug=2`, `runtime.Stack`.
    #[default]
    Stacks,
    /// After SIGQUIT or another signal that was sent.
    Signalled,
    /// A panic that nobody recovered.
    Panic,
    /// `fatal error: `.
    Fatal,
    /// A panic that was recovered and logged, such as by `net/http`.
    Recovered,
    /// `debug=1`: counts by stack.
    Counts,
    /// The binary profile, `debug=0`.
    Profile,
    /// Reports of the race detector.
    Races,
}

impl GoForm {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stacks => "goroutine stacks",
            Self::Signalled => "goroutine stacks after a signal",
            Self::Panic => "panic",
            Self::Fatal => "fatal error",
            Self::Recovered => "recovered panic in a log",
            Self::Counts => "goroutine profile (debug=1)",
            Self::Profile => "goroutine profile (protobuf)",
            Self::Races => "race detector report",
        }
    }
}

/// A line of the runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoLine<'data> {
    /// What it says.
    pub text: Text<'data>,
    /// Where it stands.
    pub source: Source,
}

/// A panic as `printpanics` of `runtime/panic.go` prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoPanic<'data> {
    /// Its value, all lines of it.
    pub value: Text<'data>,
    /// A deferred function recovered it.
    pub recovered: bool,
    /// Recovered and raised again with the same value.
    pub repanicked: bool,
    /// Where it stands.
    pub source: Source,
}

/// A signal that the runtime reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoSignal<'data> {
    /// `SIGSEGV: segmentation violation`.
    pub name: Text<'data>,
    /// `code` or `sigcode`.
    pub code: Option<u64>,
    /// `addr`.
    pub address: Option<u64>,
    /// `pc` or `PC`.
    pub pc: Option<u64>,
    /// It came while C code ran.
    pub in_c: bool,
    /// Where it stands.
    pub source: Source,
}

/// What a thread waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoWait {
    /// Index in [`crate::Snapshot::threads`].
    pub thread: u32,
    /// Address of the mutex, wait group, condition or channel.
    pub address: u64,
}

/// Arguments of one thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoSample {
    /// Index in [`crate::Snapshot::threads`].
    pub thread: u32,
    /// Its stack.
    pub stack: Option<StackId>,
    /// Arguments that are numbers: frame, value, and whether the slot may be stale (`?`).
    pub arguments: Vec<GoArgument>,
}

/// A word among the arguments of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoArgument {
    /// Frame, 0 innermost.
    pub frame: u16,
    /// Place in the argument list, counting the words of aggregates.
    pub position: u16,
    /// The word.
    pub value: u64,
    /// The runtime can not tell whether it still holds (`?`, from Go 1.18).
    pub stale: bool,
}

/// One that made a goroutine, or made one that did; it may have ended since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoAncestor {
    /// Index in [`crate::Snapshot::threads`] of the goroutine that was made.
    pub thread: u32,
    /// Number of the ancestor.
    pub goroutine: ThreadId,
    /// Its stack at that moment.
    pub stack: Option<StackId>,
    /// The call that created the ancestor itself.
    pub created_by: Option<FrameId>,
}

/// Registers of a machine thread when the signal came (`dumpregs` of `runtime/signal_amd64.go` and its siblings).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoRegisters<'data> {
    /// The goroutine that it ran.
    pub goroutine: Option<ThreadId>,
    /// Names, as the runtime calls them, and values.
    pub values: Vec<(Text<'data>, u64)>,
    /// Where they stand.
    pub source: Source,
}

/// A dump that its writer cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoCut {
    /// Bytes of the dump.
    pub bytes: u64,
    /// Highest id in it: an upper bound of the goroutines that were ever made when nothing was cut.
    pub highest_id: u64,
}

/// A report of the race detector.
#[derive(Clone, Debug, Default)]
pub struct GoRace<'data> {
    /// Accesses: the one that was noticed, then the one before it.
    pub accesses: Vec<GoAccess<'data>>,
    /// Where it stands.
    pub source: Option<Source>,
}

/// One side of a race.
#[derive(Clone, Debug)]
pub struct GoAccess<'data> {
    /// `Read`, `Write`, `Previous write`, …
    pub what: Text<'data>,
    /// Address.
    pub address: Option<u64>,
    /// Goroutine; 1 is the main one.
    pub goroutine: Option<ThreadId>,
    /// Index of the thread that stands for this access.
    pub thread: Option<usize>,
    /// Where it stands.
    pub source: Source,
}

/// Roots of the standard library's packages.
const STD: [&str; 46] = [
    "archive",
    "bufio",
    "bytes",
    "cmp",
    "compress",
    "container",
    "context",
    "crypto",
    "database",
    "debug",
    "embed",
    "encoding",
    "errors",
    "expvar",
    "flag",
    "fmt",
    "go",
    "hash",
    "html",
    "image",
    "index",
    "internal",
    "io",
    "iter",
    "log",
    "maps",
    "math",
    "mime",
    "net",
    "os",
    "panic",
    "path",
    "plugin",
    "reflect",
    "regexp",
    "runtime",
    "slices",
    "sort",
    "strconv",
    "strings",
    "sync",
    "syscall",
    "testing",
    "text",
    "time",
    "unicode",
];

/// Whether a function is of Go's standard library, by the root of its package.
pub fn is_standard_library(name: &str) -> bool {
    let head = name.split(['(', '[']).next().unwrap_or_default();
    let root = head.split(['/', '.']).next().unwrap_or_default();
    // A path with a domain (`go.uber.org/…`, `net.example/…`) is not of the standard library.
    let domain = head.split_once('/').is_some_and(|(first, _)| first.contains('.'));
    !domain && STD.contains(&root)
}

/// What a goroutine with this status does, by the tables `waitReasonStrings` and `gStatusStrings` of Go's `runtime/runtime2.go`,
/// up to 1.27. A status of a later Go is unknown.
pub fn activity(status: &str) -> Activity {
    match status {
        "running" => Activity::Running,
        "runnable" | "preempted" | "copystack" => Activity::Runnable,
        "syscall" | "waiting for cgo callback" => Activity::Syscall,
        "IO wait" => Activity::Io,
        "sleep" => Activity::Sleep,
        "chan receive (nil chan)" | "chan send (nil chan)" | "select (no cases)" => Activity::Never,
        "semacquire" | "sync.Mutex.Lock" | "sync.RWMutex.RLock" | "sync.RWMutex.Lock" | "semarelease" => Activity::Lock,
        "chan receive"
        | "chan send"
        | "select"
        | "sync.WaitGroup.Wait"
        | "sync.Cond.Wait"
        | "coroutine"
        | "synctest.Run"
        | "synctest.Wait"
        | "panicwait"
        | "waiting"
        | "wait for debug call"
        | "chan receive (synctest)"
        | "chan send (synctest)"
        | "select (synctest)" => Activity::Signal,
        "idle"
        | "dead"
        | "force gc (idle)"
        | "GC worker (idle)"
        | "GC sweep wait"
        | "GC scavenge wait"
        | "finalizer wait"
        | "cleanup wait"
        | "GOMAXPROCS updater (idle)"
        | "trace reader (blocked)"
        | "timer goroutine (idle)" => Activity::Idle,
        "garbage collection" | "garbage collection scan" | "GC worker (active)" | "GC mark termination" => {
            Activity::Running
        }
        _ => Activity::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_of_the_runtime() {
        assert_eq!(activity("chan receive"), Activity::Signal);
        assert_eq!(activity("chan receive (nil chan)"), Activity::Never);
        assert_eq!(activity("GC worker (idle)"), Activity::Idle);
        assert_eq!(activity("a state of tomorrow"), Activity::Unknown);
    }

    #[test]
    fn the_standard_library_is_known_by_its_roots() {
        for name in ["net/http.(*conn).serve", "runtime.gopark", "testing.tRunner", "database/sql.(*DB).conn"] {
            assert!(is_standard_library(name), "{name}");
        }
        for name in ["main.main", "go.uber.org/zap.New", "real-time-forum/server.F", "github.com/a/b.F"] {
            assert!(!is_standard_library(name), "{name}");
        }
    }
}
