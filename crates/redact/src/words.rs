//! Lists: what is known to say nothing about anybody.

use std::sync::LazyLock;

use regex::Regex;

/// The last part of a path.
pub(crate) fn base(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

/// Whether a thread has the name that a runtime or a well-known library gives it.
pub(crate) fn is_runtime_thread(name: &str) -> bool {
    static NAMES: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(
            r"(?x)^(?:
            main | Finalizer | Reference\ Handler | Signal\ Dispatcher | Common-Cleaner | Cleaner-\d+ | Attach\ Listener
            | Service\ Thread | Monitor\ Deflation\ Thread | Notification\ Thread | DestroyJavaVM | process\ reaper
            | VM\ Thread | VM\ Periodic\ Task\ Thread | Sweeper\ thread | String\ Deduplication\ Thread
            | (?:C1|C2|JVMCI)\ CompilerThread\d+ | GC\ Thread\#?\d+ | GC\ task\ thread\#\d+(?:\ \(.*\))?
            | (?:G1|Shenandoah|Z[A-Z]|Gang\ worker|Concurrent\ Mark)[\ \#A-Za-z0-9().-]{0,40}
            | [Pp]ool-\d+(?:-thread-\d+)? | [Tt]hread-\d+ | ForkJoinPool(?:\.commonPool|-\d+)-worker-\d+
            | VirtualThread-unparker | VirtualThread-unblocker | (?:Read|Write)-Poller | RMI\ .{0,30} | http-nio-\d+-\w+-\d+
            | tokio-runtime-w\w* | rayon-\d+ | systemd | kworker.{0,12} | thread\ main
            )$",
        )
        .ok()
    });
    NAMES.as_ref().is_some_and(|names| names.is_match(name))
}

/// Whether an argument of a virtual machine is a switch or a number, on which verdicts about memory depend.
pub(crate) fn is_plain_flag(argument: &str) -> bool {
    static FLAGS: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let flags = r"^-(?:X(?:mx|ms|ss|mn)\d+[kKmMgGtT]?|XX:[+-]\w+|XX:\w+=\d+[kKmMgGtT]?|Xint|Xcomp|Xmixed|Xrs|Xbatch|Xcheck:jni|Xshare:\w+|server|client|jar|cp|classpath|d64|ea|esa)$";
        Regex::new(flags).ok()
    });
    FLAGS.as_ref().is_some_and(|flags| flags.is_match(argument))
}

/// What follows a phrase of a runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// Words of the runtime: numbers, names of types.
    Runtime,
    /// Words of the program.
    Program,
}

/// Phrases that runtimes and C libraries print, by which rules know what happened. Sources: `runtime/panic.go`,
/// `runtime/error.go`, `runtime/map.go`, `runtime/chan.go`, `sync/*.go` of Go; `malloc/malloc.c`, `debug/fortify_fail.c`,
/// `assert/assert.c` of glibc; `library/core/src/panicking.rs` of Rust; `vmError.cpp`, `exceptions.cpp` of `HotSpot`.
pub(crate) const PHRASES: [(&str, Tail); 75] = [
    ("runtime error: ", Tail::Runtime),
    ("invalid memory address or nil pointer dereference", Tail::Runtime),
    ("assignment to entry in nil map", Tail::Runtime),
    ("close of closed channel", Tail::Runtime),
    ("close of nil channel", Tail::Runtime),
    ("send on closed channel", Tail::Runtime),
    ("all goroutines are asleep - deadlock!", Tail::Runtime),
    ("concurrent map ", Tail::Runtime),
    ("interface conversion: ", Tail::Runtime),
    ("sync: ", Tail::Runtime),
    ("negative WaitGroup counter", Tail::Runtime),
    ("test timed out after ", Tail::Runtime),
    ("deadlock: main bubble goroutine has exited but blocked goroutines remain", Tail::Runtime),
    ("all goroutines in bubble are blocked", Tail::Runtime),
    ("unexpected signal during runtime execution", Tail::Runtime),
    ("stack overflow", Tail::Runtime),
    ("goroutine stack exceeds ", Tail::Runtime),
    ("runtime: out of memory", Tail::Runtime),
    ("out of memory", Tail::Runtime),
    ("cannot allocate memory", Tail::Runtime),
    ("Cannot allocate memory", Tail::Runtime),
    ("memory allocation of ", Tail::Runtime),
    ("thread exhaustion", Tail::Runtime),
    ("newosproc", Tail::Runtime),
    ("Assertion `", Tail::Runtime),
    ("Assertion failed: ", Tail::Runtime),
    ("double free", Tail::Runtime),
    ("free(): ", Tail::Runtime),
    ("malloc(): ", Tail::Runtime),
    ("malloc_consolidate(): ", Tail::Runtime),
    ("munmap_chunk(): ", Tail::Runtime),
    ("realloc(): ", Tail::Runtime),
    ("corrupted size vs. prev_size", Tail::Runtime),
    ("corrupted double-linked list", Tail::Runtime),
    ("corrupted unsorted chunks", Tail::Runtime),
    ("tcache_thread_shutdown(): ", Tail::Runtime),
    ("*** stack smashing detected ***", Tail::Runtime),
    ("*** buffer overflow detected ***", Tail::Runtime),
    ("*** longjmp causes uninitialized stack frame ***", Tail::Runtime),
    ("terminate called after throwing an instance of ", Tail::Runtime),
    ("terminate called without an active exception", Tail::Runtime),
    ("terminate called recursively", Tail::Runtime),
    ("pure virtual method called", Tail::Runtime),
    ("std::bad_alloc", Tail::Runtime),
    ("std::bad_array_new_length", Tail::Runtime),
    ("what():  ", Tail::Program),
    ("index out of bounds: ", Tail::Runtime),
    ("index out of range ", Tail::Runtime),
    ("slice bounds out of range ", Tail::Runtime),
    ("called `Option::unwrap()` on a `None` value", Tail::Runtime),
    ("called `Result::unwrap()` on an `Err` value: ", Tail::Program),
    ("attempt to ", Tail::Runtime),
    ("range end index ", Tail::Runtime),
    ("range start index ", Tail::Runtime),
    ("slice index starts at ", Tail::Runtime),
    ("already borrowed", Tail::Runtime),
    ("already mutably borrowed", Tail::Runtime),
    ("explicit panic", Tail::Runtime),
    ("not yet implemented", Tail::Program),
    ("not implemented", Tail::Program),
    ("internal error: entered unreachable code", Tail::Program),
    ("panicked at ", Tail::Runtime),
    ("java.lang.OutOfMemoryError: ", Tail::Runtime),
    ("Java heap space", Tail::Runtime),
    ("GC overhead limit exceeded", Tail::Runtime),
    ("Metaspace", Tail::Runtime),
    ("unable to create native thread", Tail::Runtime),
    ("unable to create new native thread", Tail::Runtime),
    ("Requested array size exceeds VM limit", Tail::Runtime),
    ("java.lang.StackOverflowError", Tail::Runtime),
    ("java.lang.NullPointerException", Tail::Program),
    ("integer divide by zero", Tail::Runtime),
    ("divide by zero", Tail::Runtime),
    ("Segmentation fault", Tail::Runtime),
    ("free of unallocated memory", Tail::Runtime),
];
