//! The `#` lines, the build of the VM, and the summary.

use super::{HsFrame, Said, SaidText};
use crate::{Arch, Source, Text};

/// What kind of end a log reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// A signal of Unix: `SIGSEGV (0xb) at pc=…`.
    Signal,
    /// A structured exception of Windows: `EXCEPTION_ACCESS_VIOLATION (0xc0000005) at pc=…`.
    Exception,
    /// `Internal Error (file.cpp:12)`: the VM itself gave up: `guarantee`, `fatal`, `ShouldNotReachHere`.
    InternalError,
    /// `There is insufficient memory …`, `Out of Memory Error (file.cpp:12)`: native memory was refused.
    NativeOom,
    /// The layout of a log without an error, as `jcmd VM.info` prints it: nothing crashed.
    NoError,
    /// The line is not there or not known.
    #[default]
    Unknown,
}

impl ErrorKind {
    /// The word in the JSON contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::Signal => "signal",
            Self::Exception => "exception",
            Self::InternalError => "internal-error",
            Self::NativeOom => "native-oom",
            Self::NoError => "no-error",
            Self::Unknown => "unknown",
        }
    }
}

/// The lines that begin with `#`.
#[derive(Clone, Debug, Default)]
pub struct ErrorHeader<'data> {
    /// What kind of end.
    pub kind: ErrorKind,
    /// `A fatal error has been detected by …`.
    pub announcement: Option<SaidText<'data>>,
    /// The line with `pid=`: `SIGSEGV (0xb) at pc=0x…, pid=7, tid=8`, `Internal Error (x.cpp:1), pid=7, tid=8`.
    pub error: Option<SaidText<'data>>,
    /// `SIGSEGV`, `EXCEPTION_ACCESS_VIOLATION`; of an internal error on Windows the code in hex may stand here.
    pub signal_name: Option<Text<'data>>,
    /// `0xb`, `0xc0000005`.
    pub signal_number: Option<u64>,
    /// `pc=`.
    pub pc: Option<u64>,
    /// `pid=`.
    pub pid: Option<u64>,
    /// `tid=`: a pthread handle up to JDK 8, the kernel's number since 9. See [`ErrorHeader::tid_is_os_id`].
    pub tid: Option<u64>,
    /// `tid=` is the number that `[id=N]` of the thread list has too.
    pub tid_is_os_id: bool,
    /// `(sent by kill)` behind the pc, from JDK 11 on.
    pub sent_by_kill: bool,
    /// Source file of the VM that gave up, without its build path, and the line: `debug.cpp`, 271.
    pub raised_at: Option<(Text<'data>, Option<u32>)>,
    /// What the VM said as it gave up, line by line: `fatal error: …`, `guarantee(x) failed: …`, `Error: ShouldNotReachHere()`.
    pub messages: Vec<SaidText<'data>>,
    /// What stands behind `OutOfMemory encountered: `: a Java heap or metaspace that ran out under `CrashOnOutOfMemoryError`.
    pub java_oom: Option<SaidText<'data>>,
    /// The refused request, of a native out-of-memory.
    pub native_oom: Option<NativeOom<'data>>,
    /// `Problematic frame:`; on JDK 17 and later the caller when the pc is wild.
    pub problematic: Option<HsFrame<'data>>,
    /// What became of a core.
    pub core: Option<CoreNote<'data>>,
    /// `The crash happened outside the Java Virtual Machine in native code.` stands there; printed for every `C` frame.
    pub outside_vm: bool,
    /// Path of this log, where a console said it: `An error report file with more information is saved as:`.
    pub log_path: Option<SaidText<'data>>,
    /// Headers after this one in the same text belong to other logs; true when this log is the first of several.
    pub followed: bool,
}

/// A request for native memory that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NativeOom<'data> {
    /// Which call.
    pub call: OomCall,
    /// Bytes asked for.
    pub bytes: Option<u64>,
    /// `failed to map`, `failed to allocate`, `failed to protect`, `failed to commit`: the verb.
    pub verb: Text<'data>,
    /// What for: `AllocateHeap`, `Chunk::new`, `committing reserved memory.`, `G1 virtual space`.
    pub purpose: Option<Text<'data>>,
    /// Where.
    pub source: Source,
}

/// The call that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OomCall {
    /// `malloc`.
    Malloc,
    /// `mmap`, `VirtualAlloc`.
    Mmap,
    /// `mprotect`.
    Mprotect,
    /// Creation of a thread: `unable to create native thread`, `Cannot create GC thread`.
    Thread,
    /// Another.
    Other,
}

/// What the header says of a core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreNote<'data> {
    /// A core was or will be written.
    pub written: bool,
    /// Path or pattern; may hold ` (or dumping to …)`.
    pub path: Option<Text<'data>>,
    /// The line.
    pub line: SaidText<'data>,
}

/// Which virtual machine wrote the log.
#[derive(Clone, Debug, Default)]
pub struct Build<'data> {
    /// `JRE version: …` as printed.
    pub jre: Option<SaidText<'data>>,
    /// `Java VM: …` as printed.
    pub vm: Option<SaidText<'data>>,
    /// `vm_info: …` as printed.
    pub vm_info: Option<SaidText<'data>>,
    /// Feature release: 6, 8, 17, 25.
    pub feature: Option<u32>,
    /// Version as the first brackets of `JRE version:` say it: `17.0.15+6`, `8.0_201-b09`.
    pub version: Option<Text<'data>>,
    /// What stands behind `build` in `JRE version:`: `17.0.15+6-Debian-1deb12u1`.
    pub full_version: Option<Text<'data>>,
    /// `OpenJDK Runtime Environment Temurin-25.0.3+9`, `Java(TM) SE Runtime Environment`.
    pub runtime_name: Option<Text<'data>>,
    /// What the text names as vendor: `Temurin`, `Corretto`, `Zulu`, `Oracle`, `Debian`, …
    pub vendor: Option<&'static str>,
    /// `OpenJDK 64-Bit Server VM`.
    pub vm_name: Option<Text<'data>>,
    /// Words in the brackets of `Java VM:`: `mixed mode`, `tiered`, `compressed oops`, `g1 gc`.
    pub attributes: Vec<Text<'data>>,
    /// Collector: `g1`, `parallel`, `serial`, `concurrent mark sweep`, `z`, `shenandoah`, `epsilon`.
    pub collector: Option<Text<'data>>,
    /// `linux-amd64`, `windows-x86`, `bsd-aarch64`.
    pub platform: Option<Text<'data>>,
    /// Machine of the VM.
    pub arch: Option<Arch>,
    /// Bits of a pointer.
    pub bits: Option<u32>,
    /// When it was built, as `vm_info:` says.
    pub built: Option<Text<'data>>,
    /// A debug build: `fastdebug`, `slowdebug`; its asserts do not exist in a product.
    pub debug: bool,
}

/// Command line, host and times.
#[derive(Clone, Debug, Default)]
pub struct Summary<'data> {
    /// `Command Line:`, else arguments and `java_command` of the VM arguments.
    pub command_line: Option<SaidText<'data>>,
    /// `Host:`.
    pub host: Option<SaidText<'data>>,
    /// First part of `Host:`: CPU model, or the host's name.
    pub host_name: Option<Text<'data>>,
    /// `N cores`.
    pub cores: Option<u32>,
    /// Memory of `Host:` in bytes.
    pub memory: Option<u64>,
    /// `Time:` or `time:` as printed; local time, with its zone where the VM knew one.
    pub time: Option<SaidText<'data>>,
    /// How long the VM had run, in milliseconds.
    pub uptime_ms: Option<Said<u64>>,
}
