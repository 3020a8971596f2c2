//! CPU, garbage collection, a stopped world, and a dump that was cut.

use necropsy_model::{Confidence, Evidence, Finding, Group, Role, Severity, Source};

use crate::go::{Go, finding, number, of_group};
use crate::{Case, Rule};

pub(super) static SPINNING: Rule = Rule {
    id: "go-spinning",
    doc: "\
# What it means
Goroutines run, or want to run, in code of the program while the dump was taken.
# Why it matters
In a process that hangs with its CPU busy, these are the ones that use it.
# How it can be wrong
One moment is one sample: any healthy program has a goroutine that runs. The goroutine that writes the dump is left out.
# What to do
Take a CPU profile, or a second dump, and see whether the same goroutines run.
",
    check: spinning,
};

pub(super) static GC: Rule = Rule {
    id: "go-gc-pressure",
    doc: "\
# What it means
Goroutines are made to help the garbage collector, or wait for it.
# Why it matters
The program allocates faster than the collector frees: it looks slow or hung at full CPU.
# How it can be wrong
A dump may fall into an ordinary collection: one or two such goroutines mean nothing.
# What to do
Take an allocation profile; look at GOGC, GOMEMLIMIT and the memory limit of the container.
",
    check: gc,
};

pub(super) static WORLD: Rule = Rule {
    id: "go-stopping-the-world",
    doc: "\
# What it means
A goroutine waits for all others to stop, and one does not.
# Why it matters
Nobody runs until the last one yields.
# How it can be wrong
A stop takes microseconds; a dump may fall into one.
# What to do
Look at the goroutines that run: a long copy, a system call in assembler, a loop in old Go (before 1.14).
",
    check: world,
};

pub(super) static CUT: Rule = Rule {
    id: "go-dump-cut",
    doc: "\
# What it means
The dump has exactly 64 MiB: `debug=2` of runtime/pprof stops there, in the middle of a word, and says nothing.
# Why it matters
Goroutines are missing, and the cause may be among them.
# How it can be wrong
A complete dump of exactly this size is next to impossible.
# What to do
Use `debug=1`, which counts all of them, or `runtime.Stack` with a large buffer.
",
    check: cut,
};

fn spinning<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::of(case).filter(Go::is_alive) else { return Vec::new() };
    let writes = |group: &Group| {
        go.frames(group).iter().filter_map(|frame| frame.function.as_deref()).any(|name| {
            matches!(
                name,
                "runtime/pprof.writeGoroutineStacks"
                    | "runtime/pprof.writeRuntimeProfile"
                    | "runtime.Stack"
                    | "runtime/debug.Stack"
            ) || name.starts_with("testing.(*M).startAlarm")
        })
    };
    let own = |group: &Group| {
        let frames = go.frames(group);
        let first =
            frames.iter().find_map(|frame| frame.function.as_deref().filter(|name| !name.starts_with("runtime.")));
        first.is_some_and(|name| !crate::go::is_std(name))
    };
    let busy: Vec<_> = go
        .front()
        .filter(|group| crate::go::verdict::is_busy(go.activity(group)) && !writes(group) && own(group))
        .filter(|group| !is_just_main_waiting(&go, group))
        .collect();
    let Some(first) = busy.first() else { return Vec::new() };
    let count: usize = busy.iter().map(|group| group.threads.len()).sum();
    let title = format!("{} on a CPU or queue for one, first in {}", go.does(count, "run"), go.at(first));
    let mut finding = finding(SPINNING.id, Severity::Note, Confidence::Low, title);
    for group in busy.iter().take(4) {
        finding.places.extend(go.place(group, Role::Related));
        finding.evidence.push(of_group(&go, group));
    }
    finding.next.push("take a second dump: a goroutine that runs in both is the one that uses the CPU".to_owned());
    vec![finding]
}

/// A goroutine that asks for a dump or blocks next is `runnable` in it: its innermost call is of the runtime.
fn is_just_main_waiting(go: &Go<'_, '_>, group: &Group) -> bool {
    let frames = go.frames(group);
    frames.first().and_then(|frame| frame.function.as_deref()).is_some_and(|name| {
        name == "runtime.block"
            || name.starts_with("runtime.gopark")
            || name.starts_with("syscall.")
            || name.starts_with("internal/runtime/syscall")
    })
}

fn gc<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::of(case).filter(Go::is_alive) else { return Vec::new() };
    let helps = |group: &&Group| {
        matches!(
            go.state(group),
            "GC assist marking" | "GC assist wait" | "wait for GC cycle" | "GC weak to strong wait"
        )
    };
    let groups: Vec<_> = go.groups.groups.iter().filter(helps).collect();
    let count: usize = groups.iter().map(|group| group.threads.len()).sum();
    let Some(most) = groups.first().filter(|_| count >= 3) else { return Vec::new() };
    let title = format!("{} help or wait for the garbage collector, first at {}", go.share(count), go.at(most));
    let mut finding = finding(GC.id, Severity::Warning, Confidence::Medium, title);
    for group in groups.iter().take(4) {
        finding.places.extend(go.place(group, Role::Related));
        finding.evidence.push(of_group(&go, group));
    }
    vec![finding]
}

fn world<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::of(case).filter(Go::is_alive) else { return Vec::new() };
    let stops = |group: &&Group| {
        matches!(
            go.state(group),
            "stopping the world" | "flushing proc caches" | "trace goroutine status" | "trace proc status"
        )
    };
    let Some(group) = go.groups.groups.iter().find(stops) else { return Vec::new() };
    let title =
        format!("the world is being stopped ({}) at {}, and a goroutine keeps running", go.state(group), go.at(group));
    let mut finding = finding(WORLD.id, Severity::Warning, Confidence::Medium, title);
    finding.places.extend(go.place(group, Role::Waiter));
    finding.evidence.push(of_group(&go, group));
    vec![finding]
}

fn cut<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::of(case) else { return Vec::new() };
    let Some(cut) = go.facts.cut else { return Vec::new() };
    let read = go.snapshot.threads.len();
    let missing = usize::try_from(cut.highest_id).unwrap_or(usize::MAX).saturating_sub(read);
    let title = format!(
        "the dump is cut at 64 MiB after {} goroutines; by the numbers seen so far up to {} of those made before are missing or ended",
        number(read),
        number(missing)
    );
    let mut finding = finding(CUT.id, Severity::Note, Confidence::High, title);
    finding.evidence.push(Evidence::new(format!("it has exactly {} bytes", number(cut.bytes as usize)), Source::DUMP));
    finding.next.push("take debug=1, which counts all goroutines".to_owned());
    vec![finding]
}
