//! What only a fatal error log of HotSpot says: facts only.

use necropsy_model::Snapshot;
use necropsy_model::hs_err::{CompileTask, Completeness, CurrentThread, HsErr, OomCall, VmOperation};
use serde::Serialize;

use super::parts::Hex;

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "HsErr"))]
pub(super) struct Log<'a> {
    /// What kind of end: signal, exception, internal-error, native-oom, no-error or unknown
    kind: &'static str,
    /// How much of the log there is: complete, header-only or cut
    completeness: &'static str,
    /// Feature release of the JDK: 8, 17, 25
    feature: Option<u32>,
    /// Who built the JDK, where its text names them
    vendor: Option<&'static str>,
    /// Milliseconds that the virtual machine had run
    uptime_ms: Option<u64>,
    /// The problematic frame as the log prints it
    problematic_frame: Option<&'a str>,
    thread: Option<Thread<'a>>,
    vm_operation: Option<Operation<'a>>,
    compile_task: Option<Task<'a>>,
    /// State of the virtual machine as printed
    vm_state: Option<&'a str>,
    native_oom: Option<Refused<'a>>,
    /// Sections that the log has, by name
    sections: Vec<&'static str>,
}

/// The thread that reported
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "HsErrThread"))]
struct Thread<'a> {
    /// Class of the thread in the virtual machine, such as `JavaThread`
    class: &'a str,
    /// State as printed
    state: Option<&'a str>,
    /// Lowest address of its stack
    stack_low: Option<Hex>,
    /// First address behind its stack
    stack_high: Option<Hex>,
    /// Stack pointer
    sp: Option<Hex>,
    /// Its frames as the log prints them, innermost first; the frames of the thread in `threads` have the same order
    frames: Vec<&'a str>,
}

/// The operation that the virtual machine was in
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "HsErrOperation"))]
struct Operation<'a> {
    /// Its name
    name: &'a str,
    /// Whether it stops all threads, as printed
    mode: Option<&'a str>,
}

/// What the compiler thread compiled
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "HsErrCompileTask"))]
struct Task<'a> {
    /// Which compiler
    compiler: Option<&'a str>,
    /// Tier, 1 to 4
    level: Option<u32>,
    /// Method
    method: Option<&'a str>,
    /// Compiled for a loop that already ran
    osr: bool,
}

/// The request for native memory that was refused
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "HsErrRefused"))]
struct Refused<'a> {
    /// The call: malloc, mmap, mprotect, thread or other
    call: &'static str,
    /// Bytes asked for
    bytes: Option<u64>,
    /// What for, in the words of the virtual machine
    purpose: Option<&'a str>,
}

impl<'a> Log<'a> {
    pub(super) fn of(snapshot: &'a Snapshot<'_>) -> Option<Self> {
        let log: &'a HsErr<'_> = snapshot.hs_err.as_deref()?;
        Some(Self {
            kind: log.header.kind.name(),
            completeness: match log.completeness {
                Completeness::Complete => "complete",
                Completeness::HeaderOnly => "header-only",
                Completeness::Cut => "cut",
            },
            feature: log.build.feature,
            vendor: log.build.vendor,
            uptime_ms: log.summary.uptime_ms.as_ref().map(|said| said.value),
            problematic_frame: log.header.problematic.as_ref().map(|frame| frame.text.as_ref()),
            thread: log.thread.as_ref().map(thread),
            vm_operation: log.vm_operation.as_ref().map(operation),
            compile_task: log.compile_task.as_ref().map(task),
            vm_state: log.process.vm_state.as_ref().map(|said| said.value.as_ref()),
            native_oom: log.header.native_oom.as_ref().map(|refused| Refused {
                call: match refused.call {
                    OomCall::Malloc => "malloc",
                    OomCall::Mmap => "mmap",
                    OomCall::Mprotect => "mprotect",
                    OomCall::Thread => "thread",
                    OomCall::Other => "other",
                },
                bytes: refused.bytes,
                purpose: refused.purpose.as_deref(),
            }),
            sections: log.sections.iter().map(|seen| seen.section.name()).collect(),
        })
    }
}

fn thread<'a>(thread: &'a CurrentThread<'_>) -> Thread<'a> {
    Thread {
        class: &thread.who.kind_text,
        state: thread.who.state.as_deref(),
        stack_low: thread.stack.map(|stack| Hex(stack.range.low)),
        stack_high: thread.stack.map(|stack| Hex(stack.range.high)),
        sp: thread.stack.and_then(|stack| stack.sp).map(Hex),
        frames: thread.frames.iter().map(|frame| frame.text.as_ref()).collect(),
    }
}

fn operation<'a>(operation: &'a VmOperation<'_>) -> Operation<'a> {
    Operation { name: &operation.name, mode: operation.mode.as_deref() }
}

fn task<'a>(task: &'a CompileTask<'_>) -> Task<'a> {
    Task { compiler: task.compiler.as_deref(), level: task.level, method: task.method.as_deref(), osr: task.osr }
}
