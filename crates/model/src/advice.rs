//! What a user says went wrong, what is seen of a living process, and what to take: the terms of `necropsy advise`.

use std::time::Duration;

use crate::{Command, Confidence, Runtime, Symptom};

/// Where a process runs, which decides how it is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Site {
    /// On this machine, outside of a container or seen from outside of it.
    #[default]
    Host,
    /// In a container that `docker` manages.
    Docker,
    /// In a pod.
    Kubernetes,
}

impl Site {
    /// The word in the JSON contract and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Docker => "docker",
            Self::Kubernetes => "k8s",
        }
    }
}

/// What a user says went wrong, before anybody looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Complaint {
    /// It died.
    Crash,
    /// It was killed for its memory, or grows.
    OutOfMemory,
    /// It does not answer; whether it uses CPU is not said.
    Hang,
    /// It does not answer and uses no CPU.
    HangIdle,
    /// It does not answer and uses CPU.
    HangBusy,
}

impl Complaint {
    /// The word in the JSON contract and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::OutOfMemory => "oom",
            Self::Hang => "hang",
            Self::HangIdle => "hang-idle",
            Self::HangBusy => "hang-busy",
        }
    }

    /// In words, as the object of "not" or "looks like".
    pub fn words(self) -> &'static str {
        match self {
            Self::Crash => "a crash",
            Self::OutOfMemory => "memory running out",
            Self::Hang => "a hang",
            Self::HangIdle => "a hang that uses no CPU",
            Self::HangBusy => "a hang that uses CPU",
        }
    }

    /// The symptom is what the user says.
    pub fn is(self, symptom: Symptom) -> bool {
        match self {
            Self::Crash => matches!(symptom, Symptom::NativeCrash | Symptom::ManagedCrash),
            Self::OutOfMemory => symptom == Symptom::OutOfMemory,
            Self::Hang => matches!(symptom, Symptom::HangIdle | Symptom::HangBusy),
            Self::HangIdle => symptom == Symptom::HangIdle,
            Self::HangBusy => symptom == Symptom::HangBusy,
        }
    }
}

/// How a claim stands against the evidence of a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The dump shows it.
    Confirmed,
    /// The dump shows something else.
    Contradicted,
    /// The dump can not tell.
    Open,
}

impl Standing {
    /// The word in the JSON contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Contradicted => "contradicted",
            Self::Open => "open",
        }
    }
}

/// A user's claim against the evidence of a dump.
#[derive(Clone, Debug)]
pub struct Claim {
    /// What the user said.
    pub complaint: Complaint,
    /// How it stands.
    pub standing: Standing,
    /// How sure that is.
    pub confidence: Confidence,
    /// Why, in one sentence.
    pub why: String,
    /// The dumps that serve the claim, where this one does not.
    pub take: Vec<Command>,
}

/// What is known of a failure before there is a dump.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// What the user says.
    pub complaint: Option<Complaint>,
    /// The runtime.
    pub runtime: Option<Runtime>,
    /// Where it runs.
    pub site: Option<Site>,
    /// What is seen of the process, where its number was given.
    pub process: Option<Observed>,
}

/// What there is to take, and how.
#[derive(Clone, Debug, Default)]
pub struct Advice {
    /// One sentence.
    pub headline: String,
    /// What was seen or is known, each with its source.
    pub facts: Vec<Fact>,
    /// To take now, the cheapest that may answer first.
    pub take: Vec<Command>,
    /// To set so that the next time leaves a dump.
    pub next_time: Vec<Command>,
    /// What to mind.
    pub notes: Vec<String>,
    /// What is not known, with the choices.
    pub choices: Vec<Choice>,
}

/// A fact and where it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// One phrase.
    pub text: String,
    /// A file, or what else said so.
    pub source: String,
}

impl Fact {
    /// A fact with its source.
    pub fn new(text: impl Into<String>, source: impl Into<String>) -> Self {
        Self { text: text.into(), source: source.into() }
    }
}

/// A flag that was not given, and what it may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The flag.
    pub flag: &'static str,
    /// Its values, each with what it means.
    pub values: Vec<(&'static str, &'static str)>,
    /// How to find out.
    pub how: String,
}

/// What `/proc` shows of a living process. Nothing of it was asked of the process itself.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Number of the process, as seen from here.
    pub pid: u64,
    /// Its number inside of its own pid namespace, when that is another one.
    pub inner_pid: Option<u64>,
    /// Short name.
    pub name: String,
    /// Path of the executable, as the process sees it.
    pub exe: Option<String>,
    /// Effective user.
    pub uid: Option<u64>,
    /// The letter of its state.
    pub state: Option<char>,
    /// The runtime, and what shows it.
    pub runtime: Option<(Runtime, String)>,
    /// The container: where, and its id.
    pub container: Option<(Site, String)>,
    /// How long was watched.
    pub interval: Duration,
    /// CPU time that it used meanwhile.
    pub cpu: Duration,
    /// Its threads, in the order of their numbers.
    pub threads: Vec<ObservedThread>,
    /// Bytes in memory.
    pub resident: Option<u64>,
    /// Bytes that no file backs, those that were swapped out with them: about what a core holds.
    pub anonymous: Option<u64>,
    /// Limit and use of its memory cgroup in bytes, and how often it killed.
    pub memory_limit: Option<MemoryLimit>,
    /// Ports on which it listens.
    pub ports: Vec<u16>,
    /// Directory of the JDK that runs it.
    pub java_home: Option<String>,
    /// What decides about a core.
    pub core: CoreSettings,
    /// What could not be read, and why.
    pub unread: Vec<Fact>,
}

/// A thread of a living process.
#[derive(Clone, Debug, Default)]
pub struct ObservedThread {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// The letter of its state.
    pub state: char,
    /// CPU time that it used while it was watched.
    pub cpu: Duration,
    /// The function of the kernel that it sleeps in.
    pub waits_in: Option<String>,
}

/// A memory cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryLimit {
    /// Bytes it may use.
    pub limit: u64,
    /// Bytes it uses.
    pub used: Option<u64>,
    /// Processes that the kernel killed in it.
    pub killed: Option<u64>,
}

/// What decides whether a core is written, where and what is in it (core(5)).
#[derive(Clone, Debug, Default)]
pub struct CoreSettings {
    /// Soft limit in bytes; `u64::MAX` is none.
    pub soft_limit: Option<u64>,
    /// Hard limit in bytes; `u64::MAX` is none.
    pub hard_limit: Option<u64>,
    /// `kernel.core_pattern`.
    pub pattern: Option<String>,
    /// `coredump_filter`.
    pub filter: Option<u64>,
    /// Whether the process may be dumped, as far as the owner of its files in `/proc` tells.
    pub dumpable: Option<bool>,
    /// Directory in which the kernel would write, as seen from here.
    pub directory: Option<String>,
    /// Bytes free there.
    pub free: Option<u64>,
}
