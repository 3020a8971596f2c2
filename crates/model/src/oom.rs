//! What the kernel prints when it kills a process because memory ran out: `mm/oom_kill.c`, `mm/memcontrol.c`.

use crate::{Source, Text};

/// A process that the kernel killed for its memory.
#[derive(Clone, Debug, Default)]
pub struct OomKill<'data> {
    /// The process that was killed, with the memory it held.
    pub killed: Option<OomTask<'data>>,
    /// Name of the thread that asked for memory when there was none: seldom who holds it.
    pub invoked_by: Option<Text<'data>>,
    /// Whose memory ran out.
    pub scope: OomScope,
    /// The control group whose limit was reached.
    pub cgroup: Option<Text<'data>>,
    /// Bytes that the control group used.
    pub usage: Option<u64>,
    /// Its limit in bytes.
    pub limit: Option<u64>,
    /// Tasks that could have been killed, in the order of the log.
    pub tasks: Vec<OomTask<'data>>,
    /// The beginning of the report is not in the log.
    pub cut: bool,
    /// Where the log says so.
    pub source: Source,
}

/// A process of the kernel's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OomTask<'data> {
    /// Process id.
    pub pid: u64,
    /// Its name, at most 15 bytes.
    pub name: Text<'data>,
    /// Bytes in memory: anonymous, of files, and shared.
    pub resident: Option<u64>,
    /// `oom_score_adj`: -1000 is never killed, 1000 is killed first.
    pub score: Option<i64>,
    /// Where the log says so.
    pub source: Source,
}

/// Whose memory ran out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OomScope {
    /// The log does not say.
    #[default]
    Unknown,
    /// The machine's.
    Machine,
    /// A control group's: the limit of a container or of a unit.
    Cgroup,
    /// That of the memory nodes which a cpuset or a memory policy allows.
    Nodes,
}
