//! The fuzz harness: whatever bytes come in, a report or one error comes out.
//!
//! ```text
//! targets    what is run: one per reader and parser, one line each in TARGETS
//! seeds      inputs to begin with: the fixtures, and the corpus that NECROPSY_CORPUS names
//! mutate     damage that knows sections, lines, numbers and words
//! coverage   which edges of the code an input reached, where the compiler counts them
//! check      what no output may contain
//! trial      one input through one target: panics, memory, flaws of the output
//! campaign   inputs without end, findings to files
//! ```
//!
//! Coverage is counted by LLVM's own pass, which stable Rust can run (`fuzz/run.sh` has the flags); without it, mutation is
//! blind and everything else is the same. The same trials are the property suite of `cargo test` (`tests/survive.rs`).

pub mod campaign;
pub mod check;
pub mod coverage;
#[path = "../../tests/support/memory.rs"]
mod memory;
pub mod mutate;
#[path = "../../tests/support/mutation.rs"]
#[allow(dead_code, reason = "a file can only be damaged in place where nothing else may move")]
mod mutation;
pub mod seeds;
pub mod targets;
pub mod trial;

pub use memory::Counting;
pub use mutation::Random;
