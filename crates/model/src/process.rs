//! The process a dump was taken from.

use crate::{Arch, BuildId, Text};

/// The process, as far as the dump says.
#[derive(Clone, Debug, Default)]
pub struct Process<'data> {
    /// Process id.
    pub pid: Option<u64>,
    /// Parent process id.
    pub parent_pid: Option<u64>,
    /// Real user id.
    pub uid: Option<u64>,
    /// Path of the executable.
    pub exe: Option<Text<'data>>,
    /// Command line as far as the dump kept it.
    pub command_line: Option<Text<'data>>,
    /// The kernel kept only the first 80 bytes of the command line.
    pub command_line_cut: bool,
    /// Language runtime.
    pub runtime: Option<Runtime>,
    /// Its version, as printed, or as its executable or library says.
    pub runtime_version: Option<Text<'data>>,
    /// Machine.
    pub arch: Option<Arch>,
    /// Bits of a code pointer that hold a signature (aarch64 PAC) and are cleared to get the address; `None` where the
    /// dump does not say, which does not mean that there are none.
    pub pointer_mask: Option<u64>,
    /// Operating system, lower case.
    pub os: Option<Text<'data>>,
    /// Build id of the executable.
    pub build_id: Option<BuildId>,
    /// When the dump was taken, in the dump's own words.
    pub taken_at: Option<Text<'data>>,
    /// Which program wrote the dump; what is missing in it follows from that.
    pub writer: Option<Writer>,
}

/// The runtime that managed the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Runtime {
    /// None but the libraries of C and C++.
    Native,
    /// Rust's standard library.
    Rust,
    /// Go.
    Go,
    /// A Java virtual machine.
    Jvm,
    /// `CPython`.
    Python,
    /// Node.js.
    Node,
}

impl Runtime {
    /// The word in the JSON contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Rust => "rust",
            Self::Go => "go",
            Self::Jvm => "jvm",
            Self::Python => "python",
            Self::Node => "node",
        }
    }
}

/// Which program wrote a dump; what is missing in it follows from that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// The Linux kernel, `fs/binfmt_elf.c`, when the process died of a signal.
    Kernel,
    /// gdb's `gcore`, of a live process: its per-thread CPU times are zero.
    Gcore,
    /// qemu-user's `linux-user/elfload.c`: no `NT_SIGINFO`, no `NT_FILE`.
    QemuUser,
    /// Nobody: the kernel logged the end (`show_signal_msg` of `arch/x86/mm/fault.c`), with one address and no stack.
    KernelLog,
}

impl Writer {
    /// The word in the JSON contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Gcore => "gcore",
            Self::QemuUser => "qemu-user",
            Self::KernelLog => "kernel-log",
        }
    }
}
