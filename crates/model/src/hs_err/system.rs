//! The SYSTEM part: machine, limits, memory.

use super::{Said, SaidText};
use crate::{Source, Text};

/// Machine and limits.
#[derive(Clone, Debug, Default)]
pub struct SystemState<'data> {
    /// `OS:`, its first line or the `PRETTY_NAME`.
    pub os: Option<SaidText<'data>>,
    /// `uname:`.
    pub uname: Option<SaidText<'data>>,
    /// `libc:`.
    pub libc: Option<SaidText<'data>>,
    /// `OS uptime:` as printed.
    pub os_uptime: Option<SaidText<'data>>,
    /// `rlimit:`.
    pub rlimits: Vec<Rlimit<'data>>,
    /// `load average:` as printed.
    pub load_average: Option<SaidText<'data>>,
    /// `/proc/meminfo`, in bytes.
    pub meminfo: Vec<Measure<'data>>,
    /// Files of `/proc/sys` and `/sys` with their values: `/proc/sys/vm/max_map_count`, `65530`.
    pub tunables: Vec<(Text<'data>, SaidText<'data>)>,
    /// `Process Memory:` in bytes: `Virtual Size`, `Resident Set Size`, `Swapped out`.
    pub process_memory: Vec<Measure<'data>>,
    /// Lines of `container (cgroup) information:`: `memory_limit_in_bytes` and its value as printed.
    pub container: Vec<(Text<'data>, SaidText<'data>)>,
    /// The log says that there is no container information; absence of it is not absence of a limit.
    pub no_container_information: bool,
    /// `KVM virtualization detected`, `HyperV virtualization detected`.
    pub hypervisor: Option<SaidText<'data>>,
    /// CPU.
    pub cpu: Cpu<'data>,
    /// `Memory:`.
    pub memory: Option<MemoryLine<'data>>,
}

impl<'data> SystemState<'data> {
    /// A limit by its name: `NPROC`.
    pub fn rlimit(&self, name: &str) -> Option<&Rlimit<'data>> {
        self.rlimits.iter().find(|limit| limit.name == name)
    }

    /// A line of `/proc/meminfo` in bytes.
    pub fn meminfo(&self, name: &str) -> Option<u64> {
        self.meminfo.iter().find(|line| line.name == name).map(|line| line.bytes)
    }

    /// A file of `/proc/sys` by the end of its path: `max_map_count`.
    pub fn tunable(&self, name: &str) -> Option<&SaidText<'data>> {
        let ends = |path: &str| path.strip_suffix(name).is_some_and(|before| before.ends_with('/'));
        self.tunables.iter().find(|(path, _)| ends(path)).map(|(_, value)| value)
    }

    /// A line of the container information.
    pub fn container(&self, key: &str) -> Option<&SaidText<'data>> {
        self.container.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }
}

/// A limit of `getrlimit`, in the unit of the system call: bytes, or a number of things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rlimit<'data> {
    /// `STACK`, `CORE`, `NPROC`, `NOFILE`, `AS`, `DATA`, `FSIZE`, `CPU`.
    pub name: Text<'data>,
    /// The soft limit, the one that refuses.
    pub soft: Limit,
    /// The hard limit, where printed (JDK 17 and later).
    pub hard: Option<Limit>,
    /// Where.
    pub source: Source,
}

/// A limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// None: `infinity`.
    Unlimited,
    /// This much.
    At(u64),
}

/// A named number of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measure<'data> {
    /// Its name.
    pub name: Text<'data>,
    /// Bytes.
    pub bytes: u64,
    /// Where.
    pub source: Source,
}

/// CPU.
#[derive(Clone, Debug, Default)]
pub struct Cpu<'data> {
    /// `CPU:` as printed.
    pub text: Option<SaidText<'data>>,
    /// `model name` of `/proc/cpuinfo`, or the brand of `Host:`.
    pub model: Option<SaidText<'data>>,
    /// `total N`.
    pub total: Option<u32>,
    /// `family N`.
    pub family: Option<u32>,
    /// `model N`.
    pub model_number: Option<u32>,
    /// `stepping N`.
    pub stepping: Option<u32>,
    /// `microcode 0x…`.
    pub microcode: Option<u64>,
}

/// `Memory: 4k page, physical …(… free), swap …(… free)`, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryLine<'data> {
    /// As printed, with the lines that Windows adds.
    pub text: SaidText<'data>,
    /// Page.
    pub page: Option<u64>,
    /// Memory of the machine or, in a container, what the VM holds for it.
    pub physical: Option<u64>,
    /// Free of it.
    pub physical_free: Option<u64>,
    /// Swap.
    pub swap: Option<u64>,
    /// Free of it.
    pub swap_free: Option<u64>,
    /// `TotalPageFile size` of Windows: the commit limit.
    pub commit_limit: Option<Said<u64>>,
    /// `AvailPageFile size` of Windows: what may still be committed.
    pub commit_free: Option<Said<u64>>,
    /// `current process WorkingSet (physical memory assigned to process)`.
    pub working_set: Option<Said<u64>>,
    /// `current process commit charge ("private bytes")`.
    pub commit_charge: Option<Said<u64>>,
}
