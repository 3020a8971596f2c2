//! Functions with which a program ends itself.

/// Beginnings of the names of functions where a panic of Rust starts (library/core/src/panicking.rs, library/std/src/panicking.rs)
/// or an exception of C++ looks for its handler (Itanium C++ ABI, exception handling, 2.4).
const STARTS: [&str; 8] = [
    "core::panicking::",
    "std::panicking::begin_panic",
    "std::panicking::rust_panic",
    "std::terminate",
    "__cxa_throw",
    "__cxa_rethrow",
    "rust_begin_unwind",
    "__rustc::rust_begin_unwind",
];

/// Whether a panic or the search for a handler begins in this function. What the program runs since, a hook or a handler of its own
/// that ends the process, is no crash site.
#[must_use]
pub fn begins_the_end(function: &str) -> bool {
    STARTS.iter().any(|start| function.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_and_throws_begin_the_end_and_hooks_do_not() {
        assert!(begins_the_end("core::panicking::panic_bounds_check"));
        assert!(begins_the_end("__cxa_throw"));
        assert!(!begins_the_end("ledger::hook"));
        assert!(!begins_the_end("std::thread::spawn"));
    }
}
