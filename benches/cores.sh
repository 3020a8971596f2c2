#!/usr/bin/env bash
# Cores: necropsy beside gdb and eu-stack, in one run, on the same files.
#
#   NECROPSY_CORPUS=DIR bash benches/cores.sh [RUNS]
#
# Prints user and system seconds, peak resident memory, and wall time: the median of RUNS (5), the tools in turn, so that a
# noisy machine disturbs all of them alike, and beside them how many times as much each tool took as necropsy. Compare CPU
# seconds and ratios, not wall time. Peak memory counts mapped pages of files too, as the kernel does. The last lines hold the
# figures against the goals. Needs gdb, eu-stack (elfutils), zstd and GNU time; a small core is the harder for it the more
# debug files the machine has (libc6-dbg: the C library's, compressed).
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
big|gdb: thread apply all bt|gdb -nx -batch -ex 'thread apply all bt' $work/big.exe $work/big.core
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
times() { awk -v a="$1" -v b="$2" 'BEGIN { if (b > 0) printf "%.1f x", a / b; else printf "-" }'; }

printf '\n%-6s %-44s %8s %9s %8s %8s %8s\n' subject tool 'CPU s' 'of ours' 'peak MB' 'of ours' 'wall s'
ours=
for line in $(seq "$nl"); do
    IFS='|' read -r subject tool _ < <(commands | sed -n "${line}p")
    cpu=$(median "$work/time.$line" '$1 + $2')
    memory=$(median "$work/time.$line" '$3' | awk '{printf "%.0f", $1 / 1024}')
    wall=$(median "$work/time.$line" '$4')
    if [ "$subject" != "$ours" ]; then
        ours=$subject our_cpu=$cpu our_memory=$memory
        declare "memory_$subject=$memory" "wall_$subject=$wall" "user_$subject=$(median "$work/time.$line" '$1')"
    fi
    case $tool in *' -i -s'*) declare "eu_user_$subject=$(median "$work/time.$line" '$1')" ;; esac
    printf '%-6s %-44s %8s %9s %8s %8s %8s\n' "$subject" "$tool" "$cpu" "$(times "$cpu" "$our_cpu")" "$memory" \
        "$(times "$memory" "$our_memory")" "$wall"
done

goal() { awk -v what="$1" -v is="$2" -v most="$3" 'BEGIN { printf "%-56s %6s of %-6s %s\n", what, is, most, is <= most ? "held" : "MISSED" }'; }
echo
goal 'big: user seconds, at most those of eu-stack -i -s' "$user_big" "$eu_user_big"
goal 'big: peak MB' "$memory_big" 60
goal 'small: wall seconds' "$wall_small" 0.02
goal 'py: peak MB' "$memory_py" 60
goal 'xnum: wall seconds' "$wall_xnum" 0.2
