#!/bin/bash
# Ten thousand crash dumps put together by what they died of, against a pipeline of the shell.
#
#   bash benches/group.sh [NECROPSY]        the release build unless another binary is named
#
# The dumps are made from the project's own fixtures: panics and fatal errors of Go with other goroutine numbers, addresses and lines, and
# fatal error logs of a Java virtual machine, cut to their head (20 kB) as log collectors cut them. Another process of the same program
# has other addresses; every tenth dump has other lines, as after a rebuild.
set -eu
export LC_ALL=C
here=$(cd "$(dirname "$0")/.." && pwd)
necropsy=${1:-$here/target/release/necropsy}
[ -x "$necropsy" ] || { echo "no $necropsy: cargo build --release" >&2; exit 1; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
count=${COUNT:-10000}
logs=${LOGS:-1000}

go_cases="nil-dereference panic-custom panic-nested panic-repanic map-writes all-asleep out-of-memory"
hs_cases="jni-null jni-freed unsafe-wild sent-segv native-oom java-oom"
for case in $go_cases; do files="${files:-} $here/fixtures/goroutines/$case/dump.txt"; done
for case in $hs_cases; do files="$files $here/fixtures/hs-err/$case/dump.txt"; done
awk -v folder="$folder" -v count="$count" -v logs="$logs" '
    FNR == 1 { kinds++; java[kinds] = FILENAME ~ /hs-err/ }
    { if (length(text[kinds]) < 20000) text[kinds] = text[kinds] $0 "\n" }
    END {
        for (kind = 1; kind <= kinds; kind++) { if (java[kind]) j[++js] = kind; else g[++gs] = kind }
        for (at = 0; at < count; at++) {
            # Some crashes are more frequent than others: of two neighbours, one twice as much.
            rank = int(exp(rand() * log(1 + (at < logs ? js : gs))))
            body = text[at < logs ? j[rank] : g[rank]]
            if (at >= logs) {
                gsub(/goroutine [0-9]+ \[/, "goroutine " (1 + int(rand() * 9000)) " [", body)
                gsub(/0xc000/, sprintf("0xc%03x", int(rand() * 4096)), body)
                if (at % 10 == 0) gsub(/\.go:1/, ".go:2", body)
            } else {
                gsub(/0x00007f/, sprintf("0x00007%x", int(rand() * 16)), body)
            }
            name = sprintf("%s/dump-%05d.txt", folder, at)
            printf "%s", body > name
            close(name)
        }
    }' $files
echo "$count dumps, $(du -sb "$folder" | cut -f1) bytes, $(nproc) CPUs"

measure() { # NAME CMD…: the best of five runs, and the largest memory
    name=$1
    shift
    best=
    for _ in 1 2 3 4 5; do
        /usr/bin/time -f '%e %U %S %M' -o "$folder.time" "$@" >"$folder.out" 2>/dev/null || true
        now=$(cat "$folder.time")
        if [ -z "$best" ] || awk "BEGIN { exit !(${now%% *} < ${best%% *}) }"; then best=$now; fi
    done
    set -- $best
    printf '%-34s %6s s wall  %6s s user  %6s s system  %8s kB  %5s lines\n' "$name" "$1" "$2" "$3" "$4" "$(wc -l <"$folder.out")"
    rm -f "$folder.time" "$folder.out"
}

measure "necropsy group --brief" "$necropsy" group --brief "$folder"
measure "necropsy group --json" "$necropsy" group --json "$folder"
# What one would type: the first line that names the error, counted. It sees no stack, and numbers in a message split what is one.
measure "grep | sort | uniq -c" sh -c "grep -rhm1 -E '^(panic|fatal error):|^#  [A-Z]' '$folder' | sort | uniq -c | sort -rn"
# The first frame of the program in each file, the way a careful shell loop finds it.
measure "awk: error and first own frame" sh -c "find '$folder' -type f | xargs awk '
    FNR == 1 { error = \"\"; done = 0 }
    !done && error == \"\" && /^(panic|fatal error):|^#  [A-Z]/ { error = \$0 }
    !done && error != \"\" && /^(main|example)\\./ { sub(/\\(.*/, \"\"); print error, \$0; done = 1 }' | sort | uniq -c | sort -rn"
