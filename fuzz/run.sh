#!/usr/bin/env bash
# Builds the fuzz harness with edges counted and runs it: fuzz/run.sh TARGET SECONDS. On stable: LLVM's pass is in every compiler,
# and only our own crates are built with it. NECROPSY_CORPUS adds seeds; NECROPSY_FUZZ_SEED begins elsewhere.
set -euo pipefail
cd "$(dirname "$0")/.."
# For the crates of this workspace only, cargo calls this script in the place of rustc: SCRIPT rustc ARGUMENTS.
if [ "${1:-}" = rustc ] || [[ "${1:-}" == */rustc ]]; then
    exec "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=3 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
fi
exe=${CARGO_TARGET_DIR:-target}/fuzz/necropsy-fuzz
RUSTC_WORKSPACE_WRAPPER=$PWD/fuzz/run.sh cargo build -q --profile fuzz -p necropsy-fuzz
exec "$exe" --seed "${NECROPSY_FUZZ_SEED:-1}" "$@"
