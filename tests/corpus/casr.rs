//! Faults of the CASR corpus whose executable matches. The kinds are ours: some classes of that corpus name how a fault could
//! be exploited, not what happened. An index out of range that leaves the stack's mapping is a wild pointer here, also when
//! the instruction is a call that reads its target through it (`callAv`).

use crate::{Core, judge};

const TRUTH: [(&str, &str, &str); 26] = [
    // The C library of these cores is not at hand: main is found by its call into it.
    ("bin/abort", "abort-called", "main"),
    ("bin/canary", "stack-smashing", "main"),
    ("bin/heapError", "double-free", "main"),
    ("bin/safeFunc", "abort-called", "main"),
    ("bin/callAvTainted", "wild-pointer", "main"),
    ("bin/sourceAvNearNull", "null-pointer", "main"),
    // Everything on the stack was overwritten.
    ("bin/segFaultOnPc", "return-to-bad-address", "*"),
    ("bin/badInstruction", "compiler-trap", "main"),
    ("bin/callAv", "wild-pointer", "main"),
    ("bin/destAv", "non-canonical-pointer", "main"),
    ("bin/destAvNearNull", "null-pointer", "main"),
    ("bin/destAvTainted", "wild-pointer", "main"),
    ("bin/returnAv", "return-to-bad-address", "main"),
    ("bin/sourceAv", "non-canonical-pointer", "main"),
    ("arm_bin/badInstruction", "compiler-trap", "main"),
    ("arm_bin/destAv", "non-canonical-pointer", "main"),
    ("arm_bin/destAvNearNull", "null-pointer", "main"),
    ("arm_bin/destAvTainted", "wild-pointer", "main"),
    ("arm_bin/callAvTainted", "wild-pointer", "main"),
    ("arm_bin/sourceAv", "non-canonical-pointer", "main"),
    ("arm_bin/segFaultOnPc", "return-to-bad-address", "*"),
    ("arm_bin/abort", "abort-called", "main"),
    ("arm_bin/canary", "stack-smashing", "main"),
    ("arm_bin/heapError", "double-free", "main"),
    ("arm_bin/safeFunc", "abort-called", "main"),
    ("arm_bin/sourceAvNearNull", "null-pointer", "main"),
];

#[test]
fn faults_of_two_machines_are_told() {
    let cores = TRUTH.iter().map(|&(name, rule, victim)| {
        let (folder, case) = name.split_once('/').unwrap_or_default();
        let exe = Some(format!("cores/casr/{folder}/test_{case}"));
        Core { core: format!("cores/casr/{folder}/core.test_{case}.zst"), exe, rule, victim }
    });
    judge(&cores.collect::<Vec<_>>());
}
