//! Addresses of a snapshot to frames, names and values.

use necropsy_model::{Arena, Snapshot};
use std::path::PathBuf;

/// Where to look for files, and how much to read of them.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The main executable, when it is not at the path in the dump.
    pub exe: Option<PathBuf>,
    /// Root of the file system that the process saw; paths of the dump are looked up below it and never outside.
    pub sysroot: Option<PathBuf>,
    /// Directories of debug files, each with `.build-id/`; before `/usr/lib/debug`.
    pub debug_dirs: Vec<PathBuf>,
    /// Read the locals of every frame, not only the arguments of the stopped thread.
    pub locals: bool,
}

/// Names and unwinds a snapshot in place. Nothing here is an error: what failed is a reason in the frame or a warning.
pub fn symbolicate<'data>(snapshot: &mut Snapshot<'data>, arena: &'data Arena, options: &Options) {
    let _ = (snapshot, arena, options);
}
