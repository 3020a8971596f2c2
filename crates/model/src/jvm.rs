//! What only a Java virtual machine says. Filled by the readers of thread dumps and fatal error logs, read by the rules.

/// Facts of a JVM dump that have no place in the general model.
#[derive(Clone, Debug, Default)]
pub struct JvmFacts<'data> {
    /// Cycles that the VM itself reported, by thread name.
    pub reported_deadlocks: Vec<Vec<crate::Text<'data>>>,
    /// The dump lists who owns locks of `java.util.concurrent` (`-l`), so that a lock without an owner has none.
    pub lists_synchronizers: bool,
}
