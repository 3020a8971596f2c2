//! Addresses of a snapshot to frames, names and values.
//!
//! ```text
//! modules   find the file behind each module, verified by build id
//! unwind    registers of a thread -> raw frames with all the registers that can be recovered
//! names     raw frames -> functions, inlined functions, lines
//! values    raw frames -> arguments and locals
//! parked    goroutines that no thread runs -> threads
//! waits     futex words -> locks, their names and their owners
//! runtime   which language runtime the process ran
//! stop      faulting instruction, last words, the signal below a handler
//! resolve   addresses that a text states -> names, without a dump
//! trail     from the operand at fault back to where its value came into being
//! ```
//!
//! Nothing here is an error: what failed is a reason in the frame, in the module, or a warning.

mod a64;
mod assemble;
#[doc(hidden)]
pub mod doors;
mod go_table;
mod goroutine;
mod image;
mod modules;
mod names;
mod parked;
mod resolve;
mod runtime;
mod space;
mod stop;
mod trail;
mod unwind;
mod values;
mod waits;

use std::path::PathBuf;
use std::sync::Arc;

use necropsy_debuginfod::Client;
use necropsy_model::{Arena, Snapshot};
use rayon::prelude::*;

pub use names::{Depth, Named};
pub use resolve::{FileId, FileReport, PlaceNames, Resolver, Unresolved, names_of};
use space::AddressSpace;

/// Where to look for files, and how much to read of them.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The main executable, when it is not at the path in the dump.
    pub exe: Option<PathBuf>,
    /// Root of the file system that the process saw; paths of the dump are looked up below it and never outside.
    pub sysroot: Option<PathBuf>,
    /// Directories of debug files, each with `.build-id/`; before `/usr/lib/debug`.
    pub debug_dirs: Vec<PathBuf>,
    /// The folder of the dump, where people keep executable and libraries too.
    pub dump_dir: Option<PathBuf>,
    /// Read the locals of every frame, not only the arguments of the stopped thread.
    pub locals: bool,
    /// Show source lines from servers too.
    pub sources: bool,
    /// Files that were fetched before, and the servers that may be asked for more.
    pub client: Option<Arc<Client>>,
}

/// How often files are fetched and the stacks walked again: each round may reach modules that the one before did not.
const MOST_ROUNDS: usize = 8;

/// Unwinds and names a snapshot in place. A text dump, whose runtime printed frames and names, passes through untouched, but
/// for the faulting instruction where the text shows its bytes.
pub fn symbolicate<'data>(snapshot: &mut Snapshot<'data>, arena: &'data Arena, options: &Options) {
    if snapshot.memory.is_empty() {
        waits::printed::find(snapshot);
        return;
    }
    if snapshot.threads.iter().any(|thread| thread.stack.is_some()) {
        // Somebody else walked the stacks, and files of this machine are not those that ran.
        let memory = std::mem::take(&mut snapshot.memory);
        stop::printed::explain(snapshot, &memory);
        snapshot.memory = memory;
        return;
    }
    let mut images = modules::find(snapshot, arena, options);
    parked::add(snapshot, &images);
    let mut walks = walk(snapshot, &images);
    let supply = modules::Supply::new(options);
    for supply in supply.iter().cycle().take(MOST_ROUNDS) {
        // A server is asked only for what a frame lies in, and the next frame is known only with the module of this one.
        if !modules::fetch(snapshot, &images, &walks, supply) {
            break;
        }
        images = modules::find(snapshot, arena, options);
        walks = walk(snapshot, &images);
    }
    runtime::tell(snapshot, &images);
    let memory = std::mem::take(&mut snapshot.memory);
    let space = AddressSpace::new(&memory, &images).with_signed_bits(snapshot.process.pointer_mask);
    stop::recall(snapshot, &mut walks, &space);
    let names = names::look_up(&walks, &images);
    assemble::stacks(snapshot, &walks, &names, &space, options);
    waits::find(snapshot, &walks, &space);
    stop::explain(snapshot, &walks, &space);
    assemble::births(snapshot, options);
    modules::report(snapshot, &images, options);
    snapshot.memory = memory;
}

/// The raw frames of every thread.
fn walk<'data>(snapshot: &Snapshot<'data>, images: &image::Images<'data>) -> Vec<unwind::Walk> {
    let space = AddressSpace::new(&snapshot.memory, images).with_signed_bits(snapshot.process.pointer_mask);
    let stopped = snapshot.stop.as_ref().and_then(|stop| stop.thread).unwrap_or(0);
    let shared = unwind::Limits::shared_by(snapshot.threads.len());
    let threads = snapshot.threads.par_iter().enumerate();
    let walk = |(index, thread)| {
        let limits = if index == stopped { unwind::Limits::FULL } else { shared };
        unwind::walk(thread, &space, limits)
    };
    threads.map(walk).collect()
}
