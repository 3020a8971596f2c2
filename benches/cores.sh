#!/usr/bin/env bash
# Cores: necropsy beside gdb and eu-stack, in one run, on the same files.
#
#   NECROPSY_CORPUS=DIR bash benches/cores.sh [RUNS]
#
# Prints user and system seconds, peak resident memory, and wall time: the median of RUNS (5), the tools in turn, so that a
# noisy machine disturbs all of them alike. Compare CPU seconds and ratios, not wall time. Needs gdb, eu-stack (elfutils),
# zstd and GNU time.
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${1:-5}
cores=${NECROPSY_CORPUS:?the folder with cores/ in it}/cores/local
for tool in gdb eu-stack zstd /usr/bin/time; do
    command -v "$tool" >/dev/null || { echo "cores.sh: $tool is missing" >&2; exit 2; }
done
cargo build --release -q -p necropsy
necropsy=$PWD/target/release/necropsy

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unpack() { zstd -dqf --sparse "$1" -o "$work/$2"; }
unpack "$cores/bigrust/core.zst" big.core
unpack "$cores/bigrust/minidump-stackwalk.zst" big.exe
unpack "$cores/simple/core.O2.zst" small.core
cp "$cores/simple/crash1_O2" "$work/small.exe"
unpack "$cores/py/core.zst" py.core
unpack "$cores/simple/core.xnum.zst" xnum.core
chmod +x "$work"/*.exe

# subject | tool | command
commands() {
    cat <<LIST
big|necropsy: names, inlines, lines, arguments|$necropsy $work/big.core --exe $work/big.exe
big|eu-stack -i -s: names, inlines, lines|eu-stack -i -s --core=$work/big.core -e $work/big.exe
big|eu-stack: names only|eu-stack --core=$work/big.core -e $work/big.exe
big|gdb: bt of one thread|gdb -nx -batch -ex bt $work/big.exe $work/big.core
small|necropsy|$necropsy $work/small.core --exe $work/small.exe
small|eu-stack -i -s|eu-stack -i -s --core=$work/small.core -e $work/small.exe
small|gdb: thread apply all bt|gdb -nx -batch -ex 'thread apply all bt' $work/small.exe $work/small.core
py|necropsy|$necropsy $work/py.core
py|eu-stack|eu-stack --core=$work/py.core
py|gdb: thread apply all bt|gdb -nx -batch -ex 'thread apply all bt' -ex quit --core $work/py.core
xnum|necropsy|$necropsy $work/xnum.core
xnum|eu-stack|eu-stack --core=$work/xnum.core
xnum|gdb: bt|gdb -nx -batch -ex bt --core $work/xnum.core
LIST
}

echo "big: 162 MB debug binary; small: 0.7 MB core; py: 428 MB core, 51 threads; xnum: 70,031 segments"
nl=$(commands | wc -l)
for run in $(seq "$runs"); do
    for line in $(seq "$nl"); do
        command=$(commands | sed -n "${line}p" | cut -d'|' -f3)
        /usr/bin/time -a -o "$work/time.$line" -f '%U %S %M %e' bash -c "exec $command" >/dev/null 2>&1 </dev/null || true
    done
    echo "run $run of $runs" >&2
done
median() { grep -E '^[0-9.]+ [0-9.]+ [0-9]+ [0-9.]+$' "$1" | awk "{print $2}" | sort -n | awk '{a[NR]=$1} END{print a[int((NR+1)/2)]}'; }
printf '\n%-7s %-46s %9s %9s %9s\n' subject tool 'CPU s' 'peak MB' 'wall s'
for line in $(seq "$nl"); do
    IFS='|' read -r subject tool _ < <(commands | sed -n "${line}p")
    memory=$(median "$work/time.$line" '$3' | awk '{printf "%.0f", $1 / 1024}')
    printf '%-7s %-46s %9s %9s %9s\n' "$subject" "$tool" "$(median "$work/time.$line" '$1 + $2')" "$memory" "$(median "$work/time.$line" '$4')"
done
