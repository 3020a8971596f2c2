//! What only a Java virtual machine says. Filled by the readers of thread dumps and fatal error logs, read by the rules.

/// What names of threads begin with that serve requests: words of servers. Such threads wait for work in the server's own code, never in the
/// program's.
pub const SERVERS: [&str; 9] = [
    "http-",
    "https-",
    "ajp-",
    "qtp",
    "XNIO-",
    "default task-",
    "grpc-default-executor-",
    "executor-thread-",
    "catalina-exec-",
];

/// Facts of a JVM dump that have no place in the general model.
#[derive(Clone, Debug, Default)]
pub struct JvmFacts<'data> {
    /// Cycles that the VM itself reported, by thread name.
    pub reported_deadlocks: Vec<Vec<crate::Text<'data>>>,
    /// The dump lists who owns locks of `java.util.concurrent` (`-l`), so that a lock without an owner has none.
    pub lists_synchronizers: bool,
    /// It is `OpenJ9`: other commands take its dumps.
    pub is_openj9: bool,
    /// The second listing of the same process that was put into this dump.
    pub joined: Option<Joined>,
}

/// What a second listing of the same process added to a dump.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Joined {
    /// Name of its reader.
    pub format: &'static str,
    /// Its path as it was given; empty until somebody who knows it says so.
    pub path: String,
    /// Threads that the dump itself does not list.
    pub threads: usize,
    /// Virtual ones among them.
    pub virtual_threads: usize,
    /// Stacks of threads that the dump lists without one.
    pub stacks: usize,
    /// Locks that are proved to be the same objects in both.
    pub objects: usize,
}
