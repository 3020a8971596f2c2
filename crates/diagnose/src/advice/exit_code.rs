//! What an exit code means, what dump it leaves, and where to look.
//!
//! The codes of a Java virtual machine were measured on JDK 8 to 25: which failures leave a fatal error log and which end
//! without a word (`src/hotspot/share/utilities/vmError.cpp` writes it, `os::die` and `vm_exit` set the code).

use necropsy_model::advice::{Advice, Choice, Fact, Site};
use necropsy_model::{Runtime, Signal};

use super::catalogue::{
    CORE_NEXT, Entry, GO_CRASH_NEXT, HS_ERR, JAVA_CRASH_NEXT, JAVA_HEAP_NEXT, KEPT_CORE, LAST_END, LAST_WORDS,
    NODE_HEAP_NEXT, NODE_REPORT_NEXT, PYTHON_CRASH_NEXT, RUST_BACKTRACE_NEXT,
};
use super::commands;
use super::run::Target;

/// One way to come to an exit code.
struct Cause {
    code: u8,
    /// Runtimes for which it holds; none named is all.
    runtimes: &'static [Runtime],
    /// What happened.
    means: &'static str,
    /// What it leaves, and where.
    leaves: &'static str,
    /// What to do to see it.
    take: &'static [&'static Entry],
}

const JVM: &[Runtime] = &[Runtime::Jvm];
const GO: &[Runtime] = &[Runtime::Go];
const RUST: &[Runtime] = &[Runtime::Rust];
const PYTHON: &[Runtime] = &[Runtime::Python];
const NODE: &[Runtime] = &[Runtime::Node];
const NATIVE: &[Runtime] = &[Runtime::Native, Runtime::Rust];

/// Codes and causes; of one code the most frequent first.
const CAUSES: &[Cause] = &[
    Cause {
        code: 0,
        runtimes: &[],
        means: "it ended by itself and says that all went well: main returned, or somebody called exit(0)",
        leaves: "nothing; a supervisor that restarts it makes it look like a crash",
        take: &[LAST_WORDS],
    },
    Cause {
        code: 1,
        runtimes: JVM,
        means: "the virtual machine could not get memory from the system (\"insufficient memory for the Java Runtime Environment\")",
        leaves: "a fatal error log, hs_err_pid<pid>.log, in the working directory or /tmp",
        take: &[HS_ERR, LAST_WORDS],
    },
    Cause {
        code: 1,
        runtimes: JVM,
        means: "main threw an exception that nobody caught, OutOfMemoryError and \"unable to create native thread\" among them, or System.exit(1)",
        leaves: "no fatal error log: the stack is in its log only",
        take: &[LAST_WORDS],
    },
    Cause {
        code: 1,
        runtimes: PYTHON,
        means: "an exception that nobody caught, or sys.exit(1)",
        leaves: "a traceback in its log",
        take: &[LAST_WORDS],
    },
    Cause {
        code: 1,
        runtimes: NODE,
        means: "an exception or rejection that nobody caught, or process.exit(1)",
        leaves: "a stack in its log; a report if --report-uncaught-exception was set",
        take: &[LAST_WORDS, NODE_REPORT_NEXT],
    },
    Cause {
        code: 1,
        runtimes: &[Runtime::Go, Runtime::Native, Runtime::Rust],
        means: "the program itself chose to end: exit(1), os.Exit(1), log.Fatal",
        leaves: "no dump; its log",
        take: &[LAST_WORDS],
    },
    Cause {
        code: 2,
        runtimes: GO,
        means: "a panic that nobody recovered, a fatal error of the runtime (deadlock, concurrent map writes, out of memory), or SIGQUIT",
        leaves: "goroutine stacks in its log, standard error",
        take: &[LAST_WORDS, GO_CRASH_NEXT],
    },
    Cause {
        code: 3,
        runtimes: JVM,
        means: "-XX:+ExitOnOutOfMemoryError: a java.lang.OutOfMemoryError was thrown",
        leaves: "no fatal error log; a heap dump if -XX:+HeapDumpOnOutOfMemoryError was set too",
        take: &[LAST_WORDS, JAVA_HEAP_NEXT],
    },
    Cause {
        code: 5,
        runtimes: NODE,
        means: "V8 gave up with a fatal error",
        leaves: "its words in the log; a report if --report-on-fatalerror was set",
        take: &[LAST_WORDS, NODE_REPORT_NEXT],
    },
    Cause {
        code: 101,
        runtimes: RUST,
        means: "main panicked",
        leaves: "the panic's words in its log; a stack only with RUST_BACKTRACE=1; no core, because unwinding is no signal",
        take: &[LAST_WORDS, RUST_BACKTRACE_NEXT],
    },
    Cause {
        code: 125,
        runtimes: &[],
        means: "docker itself could not start the container",
        leaves: "the words of docker; the program never ran",
        take: &[LAST_END],
    },
    Cause {
        code: 126,
        runtimes: &[],
        means: "the command is there and can not be executed: rights, a wrong architecture, a missing interpreter",
        leaves: "the words of the shell or the container's runtime",
        take: &[LAST_END, LAST_WORDS],
    },
    Cause {
        code: 127,
        runtimes: &[],
        means: "the command, or a shared library that it needs, is not there",
        leaves: "the words of the shell or of ld.so",
        take: &[LAST_WORDS],
    },
    Cause {
        code: 134,
        runtimes: JVM,
        means: "the virtual machine crashed, or was sent SIGSEGV, SIGBUS, SIGFPE or SIGILL, reported it and aborted; CrashOnOutOfMemoryError too",
        leaves: "a fatal error log, hs_err_pid<pid>.log, in the working directory or /tmp, and a core",
        take: &[HS_ERR, KEPT_CORE, JAVA_CRASH_NEXT],
    },
    Cause {
        code: 134,
        runtimes: JVM,
        means: "native code aborted: abort(), an assertion, glibc's \"double free\", C++ std::terminate, -Xcheck:jni. The virtual machine does not handle SIGABRT",
        leaves: "no fatal error log: one line on standard error, and a core",
        take: &[LAST_WORDS, KEPT_CORE],
    },
    Cause {
        code: 134,
        runtimes: NODE,
        means: "V8 ran out of heap (\"JavaScript heap out of memory\"), or another fatal error of V8",
        leaves: "its words in the log, a core, and a report if --report-on-fatalerror was set",
        take: &[LAST_WORDS, KEPT_CORE, NODE_HEAP_NEXT],
    },
    Cause {
        code: 134,
        runtimes: GO,
        means: "GOTRACEBACK=crash and a panic, or C code aborted",
        leaves: "goroutine stacks in its log, and a core",
        take: &[LAST_WORDS, KEPT_CORE],
    },
    Cause {
        code: 134,
        runtimes: &[Runtime::Native, Runtime::Rust, Runtime::Python],
        means: "it aborted: a failed assertion, the allocator's alarm (double free, corrupted), std::terminate, a Rust panic with panic = \"abort\", a stack canary",
        leaves: "one line on standard error, and a core",
        take: &[LAST_WORDS, KEPT_CORE, CORE_NEXT],
    },
    Cause {
        code: 137,
        runtimes: &[],
        means: "the kernel killed it for memory: its cgroup was full (OOMKilled), or the machine",
        leaves: "no dump at all: SIGKILL can not be caught; the kernel's log has the table of who used what",
        take: &[LAST_END],
    },
    Cause {
        code: 137,
        runtimes: &[],
        means: "somebody sent SIGKILL: a liveness probe that failed, a stop whose grace period ran out, kill -9",
        leaves: "no dump; the events of the pod or the log of the service manager say who and when",
        take: &[LAST_END, LAST_WORDS],
    },
    Cause {
        code: 139,
        runtimes: JVM,
        means: "a stack ran over in native code, or was smashed: the virtual machine had no stack left to report on",
        leaves: "no fatal error log and no message; a core, whose stack pointer lies at the end of its stack",
        take: &[KEPT_CORE, JAVA_CRASH_NEXT, LAST_END],
    },
    Cause {
        code: 139,
        runtimes: JVM,
        means: "a second fault while it reported the first (JDK 8)",
        leaves: "a fatal error log that is torn",
        take: &[HS_ERR, KEPT_CORE],
    },
    Cause {
        code: 139,
        runtimes: GO,
        means: "SIGSEGV in C code, or with GOTRACEBACK=crash on another thread; a nil pointer in Go code is a panic, exit code 2",
        leaves: "goroutine stacks in its log, and a core",
        take: &[LAST_WORDS, KEPT_CORE, GO_CRASH_NEXT],
    },
    Cause {
        code: 139,
        runtimes: PYTHON,
        means: "SIGSEGV in an extension or in the interpreter",
        leaves: "a core; a traceback only with PYTHONFAULTHANDLER=1",
        take: &[KEPT_CORE, LAST_WORDS, PYTHON_CRASH_NEXT],
    },
    Cause {
        code: 139,
        runtimes: NATIVE,
        means: "SIGSEGV: a pointer to nowhere, or a stack that ran over",
        leaves: "a core, and a line of the kernel with the address and the offset in the file",
        take: &[KEPT_CORE, LAST_END, CORE_NEXT],
    },
    Cause {
        code: 139,
        runtimes: NODE,
        means: "SIGSEGV in a native addon or in V8",
        leaves: "a core",
        take: &[KEPT_CORE, LAST_END],
    },
    Cause {
        code: 143,
        runtimes: JVM,
        means: "SIGTERM, and it ended in good order: a rollout, a scale-down, a stop of the service",
        leaves: "nothing is wrong with it; who asked is in the events",
        take: &[LAST_END],
    },
    Cause {
        code: 143,
        runtimes: &[],
        means: "SIGTERM: somebody asked it to end, and it did without a handler of its own",
        leaves: "no dump; who asked is in the events of the pod or the log of the service manager",
        take: &[LAST_END],
    },
];

/// Explains an exit code: of a shell, a container or a service manager.
pub fn exit_code(code: i32, runtime: Option<Runtime>, site: Option<Site>) -> Advice {
    let mut advice = Advice::default();
    // Python's subprocess and others give a signal as a negative number.
    let code = if code < 0 { code.saturating_neg().saturating_add(128) } else { code };
    let fits = |cause: &&Cause| {
        i32::from(cause.code) == code
            && (cause.runtimes.is_empty() || runtime.is_none_or(|runtime| cause.runtimes.contains(&runtime)))
    };
    let mut causes: Vec<_> = CAUSES.iter().filter(fits).collect();
    // What holds for the runtime says more than what holds for all.
    if runtime.is_some() && causes.iter().any(|cause| !cause.runtimes.is_empty()) {
        causes.retain(|cause| !cause.runtimes.is_empty());
    }
    let signal = (129..=192).contains(&code).then(|| Signal { number: code - 128, code: None });
    let name = signal.map(|signal| format!(" = 128 + {}, {signal}", signal.number)).unwrap_or_default();
    let target = Target { site: site.unwrap_or_default(), ..Target::default() };
    let mut entries: Vec<&Entry> = Vec::new();
    for cause in &causes {
        let of = match (cause.runtimes, runtime) {
            ([], _) | (_, Some(_)) => String::new(),
            (runtimes, None) => format!("{}: ", runtimes.iter().map(|it| it.name()).collect::<Vec<_>>().join(", ")),
        };
        advice.facts.push(Fact::new(format!("{of}{}", cause.means), cause.leaves));
        for &entry in cause.take {
            if !entries.iter().any(|known| known.is(entry)) {
                entries.push(entry);
            }
        }
    }
    if causes.is_empty() {
        let (means, leaves): (_, &[&Entry]) = match signal {
            Some(signal) if writes_core(signal.number) => {
                (format!("it died of {signal}, which writes a core where cores are allowed"), &[KEPT_CORE, LAST_WORDS])
            }
            Some(signal) => (format!("{signal} ended it, which writes no core"), &[LAST_END, LAST_WORDS]),
            None => ("the program chose this number itself: its manual or source says what it means".to_owned(), {
                &[LAST_WORDS]
            }),
        };
        advice.facts.push(Fact::new(means, "its log"));
        entries.extend(leaves);
    }
    advice.headline = match advice.facts.as_slice() {
        [only] => format!("exit code {code}{name}: {}", only.text),
        more => format!("exit code {code}{name}: one of {} causes", more.len()),
    };
    let (next, now): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| entry.is_for_next_time());
    advice.take = commands(&target, &now);
    advice.next_time = commands(&target, &next);
    if runtime.is_none() && causes.iter().any(|cause| !cause.runtimes.is_empty()) {
        advice.choices.push(Choice {
            flag: "--runtime",
            values: super::RUNTIMES.to_vec(),
            how: "the image or the unit says what is started".to_owned(),
        });
    }
    if code == 137 {
        advice.notes.push(
            "OOMKilled=true, or `oom_kill` above 0 in memory.events of its cgroup, tells the first from the second; \
             a kill of a child only leaves the container alive"
                .to_owned(),
        );
    }
    advice
}

/// Signals whose default is a core (signal(7)): QUIT, ILL, TRAP, ABRT, BUS, FPE, SEGV, XCPU, XFSZ, SYS.
fn writes_core(signal: i32) -> bool {
    matches!(signal, 3..=8 | 11 | 24 | 25 | 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_virtual_machine_says_by_its_code_whether_there_is_a_log() {
        let leaves = |code| {
            let advice = exit_code(code, Some(Runtime::Jvm), None);
            advice.facts.iter().map(|fact| fact.source.clone()).collect::<Vec<_>>()
        };
        assert!(leaves(1)[0].starts_with("a fatal error log") && leaves(1)[1].starts_with("no fatal error log"));
        assert!(leaves(3)[0].starts_with("no fatal error log"));
        assert!(leaves(134)[0].starts_with("a fatal error log") && leaves(134)[1].starts_with("no fatal error log"));
        assert!(leaves(139)[0].starts_with("no fatal error log"));
        assert!(leaves(137)[0].starts_with("no dump at all"));
        assert_eq!(leaves(143).len(), 1);
    }

    #[test]
    fn an_unknown_runtime_is_asked_and_all_causes_are_told() {
        let advice = exit_code(134, None, Some(Site::Kubernetes));
        assert_eq!(advice.choices.len(), 1);
        assert!(advice.facts.iter().any(|fact| fact.text.starts_with("jvm: ")));
        assert!(advice.take.iter().any(|it| it.command.contains("kubectl logs POD -c CONTAINER --previous")));
        assert!(advice.headline.starts_with("exit code 134 = 128 + 6, SIGABRT"), "{}", advice.headline);
    }

    #[test]
    fn codes_that_nobody_listed_are_told_by_their_signal() {
        assert!(exit_code(136, None, None).headline.contains("SIGFPE, which writes a core"));
        assert!(exit_code(141, None, None).headline.contains("SIGPIPE ended it"));
        assert!(exit_code(42, None, None).headline.contains("chose this number itself"));
        // As Python's subprocess gives it.
        assert_eq!(exit_code(-11, None, None).headline, exit_code(139, None, None).headline);
        assert!(!exit_code(i32::MIN, None, None).headline.is_empty());
    }
}
