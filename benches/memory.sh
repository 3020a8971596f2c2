#!/usr/bin/env bash
# benches/memory.sh [BINARY]: peak memory against the size of the input, for every reader. A dump of the lab, as often as it takes for 1, 10 and 50 MB.
#
# Text dumps are put one behind the other, as they lie in a log, with other thread numbers where equal ones would be folded; cores and
# the apport report around them are made of a program that holds so many MB of random bytes. Peak memory is `ru_maxrss` of the process, pages
# of the mapped input included. Needs gcc, python3, zstd, kernel.core_pattern = core.
set -euo pipefail
cd "$(dirname "$0")/.."
binary=$(realpath "${1:-target/release/necropsy}")
fixtures=$PWD/fixtures
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat >hold.c <<'C'
#include <stdlib.h>
int main(int argc, char **argv) {
    size_t size = (size_t)atol(argv[argc - 1]) << 20;
    unsigned *memory = malloc(size), seed = 1;
    for (size_t at = 0; at < size / sizeof *memory; at++)
        memory[at] = seed = seed * 1664525 + 1013904223;
    abort();
}
C
gcc -O1 -g hold.c -o hold
core() { # MB FILE
    mkdir run
    { (cd run && ulimit -c unlimited && ../hold "$1") || true; } >/dev/null 2>&1
    mv run/core* "$2"
    rmdir run
}
dump_of() { # CASE: its dump, unpacked
    local file
    file=$(ls "$fixtures/$1"/dump* | head -1)
    case $file in *.zst) zstd -dcq "$file" ;; *) cat "$file" ;; esac
}
repeat() { # CASE MB FILE
    dump_of "$1" >one
    python3 - one "$2" "$3" "$1" <<'P'
import json, re, sys
text, size, out, case = open(sys.argv[1], "rb").read(), int(sys.argv[2]), open(sys.argv[3], "wb"), sys.argv[4]
times = -(-size * 1000 * 1000 // len(text))
if case.startswith("java-dump-file"):  # one dump of more threads
    dump = json.loads(text)
    containers = dump["threadDump"]["threadContainers"]
    dump["threadDump"]["threadContainers"] = [
        {**one, "threads": [{**thread, "tid": str(int(thread["tid"]) + 1_000_000 * turn)} for thread in one["threads"]],
         "container": one["container"] if turn == 0 else f"{one['container']}{turn}"}
        for turn in range(times) for one in containers if turn == 0 or one["parent"]]
    out.write(json.dumps(dump, indent=2).encode())
    times = 0
for turn in range(times):
    more = text
    if case.startswith("goroutines"):  # one dump of more goroutines
        more = re.sub(rb"^goroutine (\d+)", lambda m: b"goroutine %d" % (int(m[1]) + 1_000_000 * turn), text, flags=re.M)
    if case.startswith("kernel-log"):  # other places, so that each is an end of its own
        more = re.sub(rb"\[117f,", lambda m: b"[%x," % (0x117f + turn), text)
    if case.startswith("native"):
        more = re.sub(rb"\(LWP (\d+)\)", lambda m: b"(LWP %d)" % (int(m[1]) + 100_000 * turn), text)
    out.write(more)
P
}
peak() { # FILE: KB, seconds of CPU
    python3 - "$binary" "$1" <<'P'
import resource, subprocess, sys
done = subprocess.run([sys.argv[1], "--json", "--no-config", sys.argv[2]], stdout=subprocess.DEVNULL)
assert done.returncode == 0, "the input is not read"
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_maxrss, f"{used.ru_utime + used.ru_stime:.2f}")
P
}
printf '| reader | input | peak | input | peak | input | peak | slope |\n|---|---|---|---|---|---|---|---|\n'
row() { # NAME FILE…
    local name=$1 line="" first="" last=""
    shift
    for file; do
        size=$(stat -c %s "$file")
        read -r kb _ < <(peak "$file")
        line+=$(awk -v s="$size" -v k="$kb" 'BEGIN { printf " %.1f MB | %.0f MB |", s / 1e6, k * 1024 / 1e6 }')
        [ -n "$first" ] || first="$size $kb"
        last="$size $kb"
    done
    # Bytes of memory for each further byte of input.
    slope=$(echo "$first $last" | awk '{ printf "%.1f", ($4 - $2) * 1024 / ($3 - $1) }')
    echo "| $name |$line $slope |"
}
for size in 1 10 100; do core $size "core.$size"; done
row elf-core core.1 core.10 core.100
for size in 1 10 100; do zstd -qf "core.$size"; done
row "elf-core, zstd" core.1.zst core.10.zst core.100.zst
for size in 1 10 100; do
    python3 - "core.$size" "crash.$size" <<'P'
import base64, gzip, sys
data = gzip.compress(open(sys.argv[1], "rb").read(), 1)
with open(sys.argv[2], "w") as out:
    out.write("ProblemType: Crash\nArchitecture: amd64\nCoreDump: base64\n")
    for at in range(0, len(data), 1 << 20):
        out.write(" " + base64.b64encode(data[at:at + (1 << 20)]).decode() + "\n")
    out.write("Signal: 6\n")
P
done
row apport-crash crash.1 crash.10 crash.100
rm -f core.* crash.*
for case in goroutines/leak java-threads/monitor-deadlock java-dump-file/virtual-monitors hs-err/jni-null native-stacks/gdb-core kernel-log/segfault; do
    for size in 1 10 50; do repeat "$case" "$size" "text.$size"; done
    row "${case%%/*}" text.1 text.10 text.50
done
