#!/usr/bin/env bash
# Goroutines: necropsy beside the pipeline an on-call engineer types, wc -l as the floor, and panicparse, in one run, on the
# same files.
#
#   NECROPSY_CORPUS=DIR bash benches/goroutines.sh [RUNS]
#
# Most records of these dumps read as one before, as they do in a pool of workers. A third dump, `unlike`, has 100,000
# goroutines of which no two read alike: every call has arguments of its own.
#
# The dumps of 100,000 and 1,000,000 goroutines are written by goroutines/gen/big of the corpus, which needs Go, some 2 GB of
# memory and two minutes, once: they stay in NECROPSY_BENCH (else in a folder that is removed). panicparse is run where
# PANICPARSE names its program: over 100,000 goroutines, and over 1,000,000 with PANICPARSE_ALL=1.
#
# Prints the best and the median wall time of RUNS (5), user and system seconds and peak resident memory of the best run, the
# tools in turn, so that a noisy machine disturbs all of them alike; then ratios. Peak anonymous memory, which a mapped file
# has no part in, is sampled from /proc in runs of their own.
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${1:-5}
command -v /usr/bin/time >/dev/null || { echo "goroutines.sh: GNU time is missing" >&2; exit 2; }
necropsy=${NECROPSY:-}
if [ -z "$necropsy" ]; then
    cargo build --release -q -p necropsy
    necropsy=$PWD/target/release/necropsy
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
dumps=${NECROPSY_BENCH:-$work}
mkdir -p "$dumps"
for size in 100000 1000000; do
    [ -s "$dumps/$size.txt" ] && continue
    command -v go >/dev/null || { echo "goroutines.sh: Go is missing, and $dumps/$size.txt" >&2; exit 2; }
    if [ ! -x "$work/gen" ]; then
        source=${NECROPSY_CORPUS:?the folder with goroutines/ in it}/goroutines/gen/big
        # The path of the source stands twice in each record: one of ordinary length.
        mkdir -p "$work/src/cmd/goroutines"
        cp "$source"/* "$work/src/cmd/goroutines/"
        (cd "$work/src/cmd/goroutines" && go build -o "$work/gen" .)
    fi
    echo "writing $dumps/$size.txt" >&2
    "$work/gen" "$size" "$dumps/$size.txt" 2>/dev/null
done

if [ ! -s "$dumps/unlike.txt" ]; then
    awk '/^goroutine / { n++ }
        /^main\.\(/ { sub(/\(0x0\?, 0x0\?\)$/, sprintf("(0xc%09x, 0x%x)", n * 64, n)) }
        { print }' "$dumps/100000.txt" >"$dumps/unlike.txt"
fi
sizes='100000 1000000 unlike'

# size | tool | command
pipeline() { echo "grep -E '^goroutine [0-9]+ \\[' $1 | sed 's/[0-9]\\+/N/' | sort | uniq -c | sort -rn"; }
commands() {
    for size in $sizes; do
        f=$dumps/$size.txt
        cat <<LIST
$size|wc -l, the floor|wc -l $f
$size|**necropsy**, the full report|$necropsy $f
$size|necropsy from a pipe|cat $f | $necropsy -
$size|necropsy --json|$necropsy $f --json
$size|pipeline|$(pipeline "$f")
$size|pipeline, LC_ALL=C|export LC_ALL=C; $(pipeline "$f")
LIST
        if [ -n "${PANICPARSE:-}" ] && { [ "$size" != 1000000 ] || [ -n "${PANICPARSE_ALL:-}" ]; }; then
            echo "$size|panicparse -aggressive|$PANICPARSE -aggressive $f"
        fi
    done
}
commands >"$work/commands"
field() { sed -n "$1p" "$work/commands" | cut -d'|' -f"$2-"; }
count=$(wc -l <"$work/commands")
for size in $sizes; do cat "$dumps/$size.txt" >/dev/null; done
for run in $(seq "$runs"); do
    for line in $(seq "$count"); do
        # One round of the slow one tells enough.
        if [ "$run" -gt 1 ] && [[ $(field "$line" 2) == panicparse* && $(field "$line" 1) == 1000000* ]]; then continue; fi
        /usr/bin/time -a -o "$work/time.$line" -f '%e %U %S %M' bash -c "$(field "$line" 3)" >/dev/null 2>&1 </dev/null
    done
    echo "run $run of $runs" >&2
done

best() { sort -n "$work/time.$1" | head -1; }
median() { sort -n "$work/time.$1" | awk '{a[NR] = $1} END {print a[int((NR + 1) / 2)]}'; }
for size in $sizes; do
    printf '\n%s goroutines, %s bytes, best of %s\n\n' "$size" "$(wc -c <"$dumps/$size.txt")" "$runs"
    echo '| tool | best wall s | median wall s | user s | system s | peak MB |'
    echo '|---|---|---|---|---|---|'
    for line in $(seq "$count"); do
        [ "$(field "$line" 1 | cut -d'|' -f1)" = "$size" ] || continue
        read -r wall user system memory < <(best "$line")
        name=$(field "$line" 2 | cut -d'|' -f1)
        echo "| $name | $wall | $(median "$line") | $user | $system | $((memory / 1024)) |"
        echo "$name|$(best "$line")" >>"$work/best.$size"
    done
    echo
    awk -F'|' '
        { split($2, t, " "); wall[$1] = t[1]; cpu[$1] = t[2] + t[3]; names[NR] = $1; if ($1 ~ /^\*\*/) own = $1 }
        END {
            for (i = 1; i <= NR; i++) if (names[i] !~ /necropsy/)
                printf "beside %s: wall %.1f x, CPU %.1f x\n", names[i], wall[names[i]] / wall[own], cpu[names[i]] / cpu[own]
        }' "$work/best.$size"
done

# Anonymous memory: the highest of samples as close as the shell can take them.
anonymous() {
    "$necropsy" "$@" >/dev/null &
    local process=$! peak=0 key value unit
    while [ -d "/proc/$process" ]; do
        while read -r key value unit; do
            if [ "$key" = RssAnon: ] && [ "$value" -gt "$peak" ]; then peak=$value; fi
        done <"/proc/$process/status" 2>/dev/null || true
        kill -0 "$process" 2>/dev/null || break
    done
    wait "$process"
    echo "$peak"
}
echo
for size in 100000 1000000; do
    most=0
    for _ in 1 2 3 4 5; do
        peak=$(anonymous "$dumps/$size.txt")
        [ "$peak" -gt "$most" ] && most=$peak
    done
    threads=$(grep -c '^goroutine ' "$dumps/$size.txt")
    echo "peak anonymous memory, $size goroutines: $most KiB, $((most * 1024 / threads)) bytes for each goroutine"
done
