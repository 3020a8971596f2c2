//! Which edges of the code an input reached, as LLVM's `sancov-module` pass counts them.
//!
//! The pass puts one byte per edge into a section and calls `__sanitizer_cov_8bit_counters_init` with its bounds before
//! `main` (clang, its page on sanitizer coverage, "Inline 8bit-counters"). Built without the pass, nobody calls it and nothing is counted.

#![allow(unsafe_code)]

use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

static START: AtomicPtr<u8> = AtomicPtr::new(std::ptr::null_mut());
static LENGTH: AtomicUsize = AtomicUsize::new(0);

// SAFETY: the name is the one that the pass calls, and nothing else in the program has it. The bounds are only kept.
#[unsafe(no_mangle)]
extern "C" fn __sanitizer_cov_8bit_counters_init(start: *mut u8, end: *mut u8) {
    // Each object file calls with the bounds of the one section that the linker made of all.
    START.store(start, Ordering::Relaxed);
    LENGTH.store(end.addr().saturating_sub(start.addr()), Ordering::Relaxed);
}

/// The edges reached so far.
#[derive(Default)]
pub struct Coverage {
    /// For each edge, how often it was passed in one run, as a set of classes.
    seen: Vec<u8>,
    edges: usize,
}

impl Coverage {
    /// Edges reached so far; 0 where nothing counts them.
    pub fn edges(&self) -> usize {
        self.edges
    }

    /// The code counts its edges.
    pub fn is_counted() -> bool {
        LENGTH.load(Ordering::Relaxed) > 0
    }

    /// Takes over the counts of the last run and sets them back; says whether something in it was new.
    pub fn take(&mut self) -> bool {
        let (start, length) = (START.load(Ordering::Relaxed), LENGTH.load(Ordering::Relaxed));
        if start.is_null() || length == 0 {
            return false;
        }
        // SAFETY: the linker made the section, it lives as long as the program, and holds nothing but these bytes. Other
        // threads may add to them; a count that is lost or torn changes which inputs are kept, and nothing else.
        let counts = unsafe { std::slice::from_raw_parts_mut(start, length) };
        self.seen.resize(length, 0);
        let mut new = false;
        for (chunk, seen) in counts.chunks_mut(64).zip(self.seen.chunks_mut(64)) {
            if chunk.iter().fold(0, |all, &count| all | count) == 0 {
                continue;
            }
            for (count, seen) in chunk.iter_mut().zip(seen) {
                let class = class(*count);
                *count = 0;
                if class & !*seen != 0 {
                    self.edges += usize::from(*seen == 0);
                    *seen |= class;
                    new = true;
                }
            }
        }
        new
    }
}

/// Once, twice, some, many: a loop that runs ten times is as good as one that runs eleven times.
fn class(count: u8) -> u8 {
    match count {
        0 => 0,
        1 => 1,
        2 => 2,
        3..=7 => 4,
        8..=31 => 8,
        32..=127 => 16,
        _ => 32,
    }
}
