//! Thirty-six ways to stop (`cores/local/zoo`): each with the right rule on top and the right function as the victim.

use crate::{Core, judge};

/// Name of the core, rule on top, victim (empty for a process that did not crash).
const TRUTH: [(&str, &str, &str); 36] = [
    ("assert.O0", "assertion-failed", "do_assert"),
    ("assert.O2", "assertion-failed", "do_assert"),
    ("bus.O0", "bus-error-truncated-file", "busfault"),
    ("bus.O2", "bus-error-truncated-file", "busfault"),
    ("callnull.O0", "call-through-null", "call_null"),
    ("callnull.O2", "call-through-null", "call_null"),
    // The handler crashed too; the first fault is the one that counts.
    ("crashinhandler.O0", "null-pointer", "use_node"),
    ("crashinhandler.O2", "null-pointer", "use_node"),
    ("dblfree.O0", "double-free", "dblfree"),
    ("deadlock.O0", "deadlock", ""),
    ("deadlock.O2", "deadlock", ""),
    ("fpe.O0", "division-by-zero", "divz"),
    ("fpe.O2", "division-by-zero", "divz"),
    ("guard.O0", "guard-page", "guard"),
    ("guard.O2", "guard-page", "guard"),
    ("nullparam.O0", "null-pointer", "use_node"),
    ("nullparam.O2", "null-pointer", "use_node"),
    ("reraise.O0", "null-pointer", "use_node"),
    ("reraise.O2", "null-pointer", "use_node"),
    ("rowrite.O0", "write-to-read-only", "ro_write"),
    ("rowrite.O2", "write-to-read-only", "ro_write"),
    ("smash.O0", "return-to-bad-address", "smash"),
    ("smash.O2", "return-to-bad-address", "smash"),
    ("smash.ssp", "stack-smashing", "smash"),
    ("spin.O0", "busy-thread", ""),
    ("spin.O2", "busy-thread", ""),
    ("stackoverflow.O0", "stack-overflow", "recurse"),
    ("stackoverflow.O2", "stack-overflow", "recurse"),
    ("thread.O0", "null-pointer", "use_node"),
    ("thread.O2", "null-pointer", "use_node"),
    ("trap.O0", "compiler-trap", "main"),
    ("trap.O2", "compiler-trap", "main"),
    ("uaf.O0", "use-after-free", "find"),
    ("uaf.O2", "use-after-free", "find"),
    ("wild.O0", "non-canonical-pointer", "use_node"),
    ("wild.O2", "non-canonical-pointer", "use_node"),
];

#[test]
fn every_kind_of_stop_is_told() {
    let cores = TRUTH.iter().map(|&(name, rule, victim)| {
        let build = name.rsplit('.').next().unwrap_or_default();
        let core = format!("cores/local/zoo/{name}.core.zst");
        Core { core, exe: Some(format!("cores/local/zoo/zoo_{build}")), rule, victim }
    });
    judge(&cores.collect::<Vec<_>>());
}
