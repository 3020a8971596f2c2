#!/usr/bin/env bash
# Names of addresses: necropsy beside eu-addr2line, binutils addr2line and llvm-symbolizer, on one large debug file.
#
#   bash benches/symbols.sh FILE.debug [RUNS]
#
# FILE is the largest debug file that Debian offers: libjvm's, of openjdk-17-dbg (156 MB, compressed sections):
#   apt-get download openjdk-17-dbg && dpkg-deb -x openjdk-17-dbg_*.deb jdk
#   bash benches/symbols.sh jdk/usr/lib/debug/.build-id/bf/8543f9….debug
# Addresses are the middles of 200 and of 10,000 functions of its symbol table, evenly spread, in an order that is no order.
# Functions, inlined functions and lines are asked for, and, in a second part, functions only. Prints user and system seconds,
# peak resident memory and wall time: the median of RUNS (3), the tools in turn. Compare CPU seconds and ratios. A tool that
# takes longer than LIMIT (300) seconds is ended and shown without figures.
set -euo pipefail
cd "$(dirname "$0")/.."
file=${1:?the debug file}
file=$(realpath "$file")
runs=${2:-3}
limit=${LIMIT:-300}
for tool in eu-addr2line addr2line nm /usr/bin/time; do
    command -v "$tool" >/dev/null || { echo "symbols.sh: $tool is missing" >&2; exit 2; }
done
if [ -z "${NECROPSY:-}" ]; then
    cargo build --release -q -p necropsy
    NECROPSY=$PWD/target/release/necropsy
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

nm -S --defined-only "$file" | awk '$3 ~ /^[tT]$/ && length($2) == 16 { print $1, $2 }' | sort -u >"$work/functions"
for count in 200 10000; do
    python3 - "$work/functions" "$count" >"$work/$count" <<'PY'
import random, sys
functions = [tuple(int(word, 16) for word in line.split()) for line in open(sys.argv[1])]
functions = [one for one in functions if one[1] > 1]
count = int(sys.argv[2])
random.seed(count)
step = max(1, len(functions) / count)
chosen = [functions[int(i * step)] for i in range(count) if int(i * step) < len(functions)]
random.shuffle(chosen)
for start, size in chosen:
    print(hex(start + size // 2))
PY
done

# addresses | tool | command
commands() {
    for count in 200 10000; do
        cat <<LIST
$count|necropsy|$NECROPSY symbolicate -q --module $file $work/$count
$count|eu-addr2line -fiC|eu-addr2line -fiC -e $file <$work/$count
$count|binutils addr2line -fiC|addr2line -fiC -e $file <$work/$count
LIST
        command -v llvm-symbolizer >/dev/null && echo "$count|llvm-symbolizer|llvm-symbolizer --obj=$file <$work/$count"
        echo "$count names only|necropsy --names-only|$NECROPSY symbolicate -q --names-only --module $file $work/$count"
        echo "$count names only|eu-addr2line -S|eu-addr2line -S -e $file <$work/$count"
    done
}

total=$(commands | wc -l)
for run in $(seq "$runs"); do
    for line in $(seq "$total"); do
        [ -e "$work/over.$line" ] && continue
        command=$(commands | sed -n "${line}p" | cut -d'|' -f3)
        timeout "$limit" /usr/bin/time -a -o "$work/time.$line" -f '%U %S %M %e' bash -c "$command" >"$work/out.$line" 2>/dev/null ||
            touch "$work/over.$line"
    done
    echo "run $run of $runs" >&2
done
median() { awk "{print $2}" "$1" 2>/dev/null | sort -n | awk '{a[NR]=$1} END{if (NR) print a[int((NR+1)/2)]}'; }

printf '\n%-18s %-26s %9s %9s %9s\n' addresses tool 'CPU s' 'peak MB' 'wall s'
for line in $(seq "$total"); do
    IFS='|' read -r count tool _ < <(commands | sed -n "${line}p")
    if [ -e "$work/over.$line" ]; then
        printf '%-18s %-26s %9s\n' "$count" "$tool" "over $limit s"
        continue
    fi
    printf '%-18s %-26s %9s %9s %9s\n' "$count" "$tool" "$(median "$work/time.$line" '$1 + $2')" \
        "$(median "$work/time.$line" '$3' | awk '{printf "%.0f", $1 / 1024}')" "$(median "$work/time.$line" '$4')"
done
named() { grep -c ' {' "$1" || true; }
echo
echo "necropsy named $(named "$work/out.1") of 200, $(named "$work/out.$((total / 2 + 1))") of 10000"
