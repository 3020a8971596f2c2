#!/usr/bin/env bash
# Java: necropsy beside the pipelines an on-call engineer types, in one run, on the same files.
#
#   NECROPSY_CORPUS=DIR bash benches/java.sh [RUNS]
#
# `10000.txt` is a Thread.print of 10,000 threads, written by this script from the words of HotSpot: pools of workers on some twenty stacks, with
# locks held and waited for. `largest.log` is the largest hs_err log below hserr/ of the corpus; `all` are all logs of hserr/real in one call.
# jstall (JSTALL: its jar, run with java) is measured beside it where it is at hand.
#
# Prints the best and the median wall time of RUNS (9), user and system seconds and peak resident memory of the best run, the tools in turn.
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${1:-9}
command -v /usr/bin/time >/dev/null || { echo "java.sh: GNU time is missing" >&2; exit 2; }
necropsy=${NECROPSY:-}
if [ -z "$necropsy" ]; then
    cargo build --release -q -p necropsy
    necropsy=$PWD/target/release/necropsy
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Threads of the dump: every tenth waits for a monitor that one of them holds, the others wait for work, read from sockets, sleep or compute.
awk 'BEGIN {
    print "4711:\n2026-11-21 10:00:00\nFull thread dump OpenJDK 64-Bit Server VM (21.0.8+9-LTS mixed mode, sharing):\n"
    for (n = 1; n <= 10000; n++) {
        pool = int((n - 1) / 500); kind = n % 10
        name = sprintf("http-nio-%d-exec-%d", 8080 + pool, n)
        phase = "waiting on condition"; state = "WAITING (parking)"
        if (kind == 0) { phase = "waiting for monitor entry"; state = "BLOCKED (on object monitor)" }
        if (kind == 1 || kind == 2) { phase = "runnable"; state = "RUNNABLE" }
        if (n == 1) { phase = "waiting on condition"; state = "TIMED_WAITING (sleeping)" }
        printf "\"%s\" #%d [%d] daemon prio=5 os_prio=0 cpu=%.2fms elapsed=%.2fs tid=0x%016x nid=%d %s  [0x%016x]\n", \
            name, n + 20, n + 5000, n % 97, 3600.5, 140000000000000 + n * 4096, n + 5000, phase, 139000000000000 + n * 4096
        printf "   java.lang.Thread.State: %s\n", state
        if (n == 1) {
            print "\tat java.lang.Thread.sleep(java.base@21.0.8/Native Method)"
            print "\tat shop.Cache.load(Cache.java:41)\n\t- locked <0x00000000f0000010> (a shop.Cache)"
        } else if (kind == 0) {
            print "\tat shop.Cache.get(Cache.java:17)\n\t- waiting to lock <0x00000000f0000010> (a shop.Cache)"
        } else if (kind == 1) {
            print "\tat sun.nio.ch.SocketDispatcher.read0(java.base@21.0.8/Native Method)"
            print "\tat sun.nio.ch.NioSocketImpl.tryRead(java.base@21.0.8/NioSocketImpl.java:256)"
            print "\tat shop.Payment.ask(Payment.java:77)"
        } else if (kind == 2) {
            print "\tat shop.Price.of(Price.java:" 20 + n % 3 ")"
        } else {
            print "\tat jdk.internal.misc.Unsafe.park(java.base@21.0.8/Native Method)"
            printf "\t- parking to wait for  <0x%016x> (a java.util.concurrent.locks.AbstractQueuedSynchronizer$ConditionObject)\n", 4026531840 + pool * 64
            print "\tat java.util.concurrent.locks.LockSupport.park(java.base@21.0.8/LockSupport.java:371)"
            print "\tat java.util.concurrent.LinkedBlockingQueue.take(java.base@21.0.8/LinkedBlockingQueue.java:435)"
            print "\tat java.util.concurrent.ThreadPoolExecutor.getTask(java.base@21.0.8/ThreadPoolExecutor.java:1070)"
        }
        print "\tat shop.Handler.handle" kind "(Handler.java:" 100 + kind ")"
        for (depth = 1; depth <= 12; depth++) print "\tat shop.web.Filter" depth ".doFilter(Filter" depth ".java:" depth * 10 ")"
        print "\tat java.util.concurrent.ThreadPoolExecutor$Worker.run(java.base@21.0.8/ThreadPoolExecutor.java:642)"
        print "\tat java.lang.Thread.run(java.base@21.0.8/Thread.java:1583)\n\n   Locked ownable synchronizers:\n\t- None\n"
    }
    print "\"VM Thread\" os_prio=0 cpu=1.00ms elapsed=3600.50s tid=0x00007f0000000000 nid=22 runnable\n\nJNI global refs: 30, weak refs: 2\n"
}' >"$work/10000.txt"
logs=${NECROPSY_CORPUS:?the folder with hserr/ in it}/hserr
largest=$(find "$logs" -type f -name '*.log' -printf '%s %p\n' | sort -n | tail -1 | cut -d' ' -f2-)
cp "$largest" "$work/largest.log"
printf '10,000 threads: %s bytes; largest log: %s bytes; logs: %s files, %s bytes\n\n' "$(stat -c %s "$work/10000.txt")" \
    "$(stat -c %s "$work/largest.log")" "$(find "$logs/real" -type f | wc -l)" "$(du -sb "$logs/real" | cut -f1)"

# What is typed: states and their counts; stacks without their locks and addresses, equal ones counted.
states="grep java.lang.Thread.State $work/10000.txt | sort | uniq -c | sort -rn"
stacks="awk '/^\"/ { s = \"\"; next } /^\\tat / { s = s \$0 } /^\$/ { if (s) print s; s = \"\" }' $work/10000.txt | sort | uniq -c | sort -rn"
signals="grep -hE '^# +(SIG|EXCEPTION|Internal Error|Out of Memory)|^# [CVJjv] ' $logs/real/* | sort | uniq -c | sort -rn"
commands() {
    cat <<LIST
10,000 threads|wc -l, the floor|wc -l $work/10000.txt
10,000 threads|**necropsy**, the full report|$necropsy $work/10000.txt
10,000 threads|necropsy from a pipe|cat $work/10000.txt | $necropsy -
10,000 threads|necropsy --json|$necropsy $work/10000.txt --json
10,000 threads|grep, sort, uniq: states alone|$states
10,000 threads|awk, sort, uniq: stacks|$stacks
largest log|wc -l, the floor|wc -l $work/largest.log
largest log|**necropsy**, the full report|$necropsy $work/largest.log
largest log|grep for the header|grep -E '^# ' $work/largest.log
all logs of real/|**necropsy** --brief, and what they say together|$necropsy --brief $logs/real/*
all logs of real/|grep, sort, uniq: signals and frames|$signals
LIST
    if [ -n "${JSTALL:-}" ]; then
        echo "10,000 threads|jstall status|java -jar $JSTALL status $work/10000.txt"
    fi
}
line=0
declare -A all
for run in $(seq "$runs"); do
    line=0
    while IFS='|' read -r subject tool command; do
        line=$((line + 1))
        # The command may hold bars of its own.
        /usr/bin/time -f '%e %U %S %M' -o "$work/time" bash -c "$command" >/dev/null 2>"$work/err" || true
        all[$line]+="$(tail -1 "$work/time")"$'\n'
        names[line]="$subject|$tool"
    done < <(commands)
done
echo '| subject | tool | best wall s | median | user s | system s | peak MB |'
echo '|---|---|---|---|---|---|---|'
for number in $(seq "$line"); do
    sorted=$(printf '%s' "${all[$number]}" | sort -n)
    best=$(head -1 <<<"$sorted")
    median=$(sed -n "$(((runs + 1) / 2))p" <<<"$sorted" | cut -d' ' -f1)
    IFS='|' read -r subject tool <<<"${names[number]}"
    # shellcheck disable=SC2086
    set -- $best
    echo "| $subject | $tool | $1 | $median | $2 | $3 | $(($4 / 1024)) |"
done
