//! What a living process is and does, from what `/proc` shows of it.

use std::time::Duration;

use necropsy_model::Runtime;
use necropsy_model::advice::{Advice, Complaint, Fact, Observed, ObservedThread, Site};

use super::core_file::{self, size};
use super::run::Target;

/// Share of one CPU from which a process computes rather than waits.
const BUSY: f64 = 0.5;

/// Share of one CPU below which it waits.
const IDLE: f64 = 0.05;

/// Share of its cgroup's memory from which it is about to be killed.
const NEARLY_FULL: f64 = 0.9;

/// Threads that are told one by one.
const SHOWN: usize = 4;

/// The process as commands call it.
pub(super) fn target(process: &Observed) -> Target {
    let mut target = Target { pid: process.pid.to_string(), ..Target::default() };
    if let Some(inner) = process.inner_pid {
        target.inner_pid = inner.to_string();
    }
    if let [port] = process.ports.as_slice() {
        target.address = format!("localhost:{port}");
    }
    if let Some(home) = &process.java_home {
        target.jcmd = format!("{home}/bin/jcmd");
    }
    // The virtual machine only answers its own user, and root on newer ones.
    if let Some(uid) = process.uid.filter(|&uid| uid != 0 && is_jvm(process)) {
        target.jcmd = format!("sudo -u '#{uid}' {}", target.jcmd);
    }
    target
}

fn is_jvm(process: &Observed) -> bool {
    process.runtime.as_ref().is_some_and(|(runtime, _)| *runtime == Runtime::Jvm)
}

/// The failure that its use of CPU would make of a hang.
pub(super) fn presumed(process: &Observed) -> Complaint {
    let share = share(process.cpu, process.interval);
    if share >= BUSY {
        Complaint::HangBusy
    } else if share <= IDLE {
        Complaint::HangIdle
    } else {
        Complaint::Hang
    }
}

fn share(cpu: Duration, interval: Duration) -> f64 {
    if interval.is_zero() { 0.0 } else { cpu.as_secs_f64() / interval.as_secs_f64() }
}

/// What is seen, each with its source, and the headline.
pub(super) fn facts(process: &Observed, advice: &mut Advice) {
    let pid = process.pid;
    let runtime = match &process.runtime {
        Some((runtime, _)) => runtime_words(*runtime),
        None => "a process of unknown runtime",
    };
    let share = share(process.cpu, process.interval);
    let does = match process.state {
        Some('Z') => "has ended and waits to be collected by its parent: no dump can be taken of it".to_owned(),
        Some('X') => "is gone".to_owned(),
        Some('T' | 't') => "is stopped: by a signal, or by a debugger".to_owned(),
        _ if share >= BUSY => format!("computes: {} of one CPU", percent(share)),
        _ if share <= IDLE => "waits: it uses no CPU".to_owned(),
        _ => format!("does a little: {} of one CPU", percent(share)),
    };
    advice.headline = format!("{pid} ({}) is {runtime} and {does}", process.name);
    let mut say = |text: String, source: &str| advice.facts.push(Fact::new(text, source));
    if let Some(exe) = &process.exe {
        let why = process.runtime.as_ref().map(|(_, why)| format!(": {why}")).unwrap_or_default();
        say(format!("{runtime}, {exe}{why}"), "exe, maps");
    }
    if let Some((site, id)) = &process.container {
        let inner = process.inner_pid.map(|inner| format!(", where it is pid {inner}")).unwrap_or_default();
        let place = match site {
            Site::Kubernetes => "a pod of Kubernetes",
            Site::Docker => "a container",
            Site::Host => "its own namespace",
        };
        let id = if id.is_empty() { String::new() } else { format!(" {id}") };
        say(format!("it runs in {place}{id}{inner}; the commands below are for this machine"), "cgroup, status");
    }
    let count = process.threads.len();
    let computing = computing(process);
    let threads = if count == 1 { "1 thread".to_owned() } else { format!("{count} threads") };
    say(
        format!(
            "{threads}, {} of one CPU in {:.1} s; {} of them used any",
            percent(share),
            process.interval.as_secs_f64(),
            computing.len()
        ),
        "task/*/stat, read twice",
    );
    for thread in computing.iter().take(SHOWN) {
        let used = self::share(thread.cpu, process.interval);
        say(format!("thread {} ({}) used {} of one CPU", thread.id, thread.name, percent(used)), "task/*/stat");
    }
    let stuck: Vec<_> = process.threads.iter().filter(|thread| thread.state == 'D').collect();
    if let Some(first) = stuck.first() {
        let place = first.waits_in.as_deref().map(|function| format!(" in {function}")).unwrap_or_default();
        say(
            format!(
                "{} of them can not be woken{place}: a disk, a network file system or a driver, not the program",
                stuck.len()
            ),
            "task/*/stat, wchan",
        );
    }
    if let Some((place, waiting)) = most_wait(process) {
        let who = if count == 1 { "it waits".to_owned() } else { format!("{waiting} of them wait") };
        say(format!("{who} in {place} of the kernel"), "task/*/wchan");
    }
    if let Some(resident) = process.resident {
        let own = process.anonymous.map(|bytes| format!(", {} of it its own", size(bytes))).unwrap_or_default();
        say(format!("{} in memory{own}", size(resident)), "status");
    }
    if let Some(memory) = process.memory_limit {
        let used = memory.used.map(|used| format!(", {} used", size(used))).unwrap_or_default();
        let full = memory.used.is_some_and(|used| used as f64 >= NEARLY_FULL * memory.limit as f64);
        let full = if full { ": about to be killed" } else { "" };
        let killed = match memory.killed {
            None | Some(0) => String::new(),
            Some(1) => "; the kernel killed 1 process in it".to_owned(),
            Some(killed) => format!("; the kernel killed {killed} processes in it"),
        };
        say(format!("its cgroup may use {}{used}{full}{killed}", size(memory.limit)), "memory.max, memory.events");
    }
    if !process.ports.is_empty() {
        let ports: Vec<_> = process.ports.iter().take(SHOWN * 2).map(u16::to_string).collect();
        say(format!("it listens on port {}", ports.join(", ")), "net/tcp, fd");
    }
    advice.facts.extend(core_file::facts(process));
    advice.facts.extend(process.unread.iter().cloned());
}

/// Threads that used CPU while they were watched, most first.
fn computing(process: &Observed) -> Vec<&ObservedThread> {
    let mut threads: Vec<_> = process.threads.iter().filter(|thread| !thread.cpu.is_zero()).collect();
    threads.sort_by_key(|thread| (std::cmp::Reverse(thread.cpu), thread.id));
    threads
}

/// The function of the kernel in which most threads wait, with how many.
fn most_wait(process: &Observed) -> Option<(&str, usize)> {
    let mut counts: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
    for place in process.threads.iter().filter_map(|thread| thread.waits_in.as_deref()) {
        *counts.entry(place).or_default() += 1;
    }
    counts.into_iter().max_by_key(|&(name, count)| (count, std::cmp::Reverse(name)))
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

fn runtime_words(runtime: Runtime) -> &'static str {
    match runtime {
        Runtime::Jvm => "a Java virtual machine",
        Runtime::Go => "a Go program",
        Runtime::Python => "a Python program",
        Runtime::Node => "a Node.js program",
        Runtime::Rust => "a Rust program",
        Runtime::Native => "a native program",
    }
}

#[cfg(test)]
mod tests {
    use necropsy_model::advice::{MemoryLimit, Question};

    use super::super::advise;
    use super::*;

    fn seen(cpu_ms: u64, state: char) -> Observed {
        let thread = |id, cpu| ObservedThread {
            id,
            name: "worker".to_owned(),
            state,
            cpu: Duration::from_millis(cpu),
            waits_in: (cpu == 0).then(|| "futex_wait_queue".to_owned()),
        };
        Observed {
            pid: 4242,
            inner_pid: Some(1),
            name: "payments".to_owned(),
            exe: Some("/srv/payments".to_owned()),
            state: Some(state),
            runtime: Some((Runtime::Go, ".go.buildinfo".to_owned())),
            container: Some((Site::Kubernetes, "3f1c".to_owned())),
            interval: Duration::from_secs(1),
            cpu: Duration::from_millis(cpu_ms),
            threads: vec![thread(4242, 0), thread(4243, cpu_ms), thread(4244, 0)],
            ports: vec![6060],
            memory_limit: Some(MemoryLimit { limit: 1 << 30, used: Some(1 << 30), killed: Some(2) }),
            ..Observed::default()
        }
    }

    fn advice(process: Observed) -> Advice {
        advise(&Question { process: Some(process), ..Question::default() })
    }

    #[test]
    fn a_busy_process_is_told_by_its_threads_and_profiled() {
        let advice = advice(seen(980, 'R'));
        assert_eq!(advice.headline, "4242 (payments) is a Go program and computes: 98 % of one CPU");
        let said = advice.facts.iter().map(|fact| fact.text.as_str()).collect::<Vec<_>>().join("\n");
        assert!(said.contains("thread 4243 (worker) used 98 % of one CPU"), "{said}");
        assert!(said.contains("a pod of Kubernetes 3f1c, where it is pid 1"), "{said}");
        assert!(said.contains("used: about to be killed; the kernel killed 2 processes in it"), "{said}");
        let profile = advice.take.iter().find(|it| it.command.contains("profile?seconds=10")).unwrap();
        assert_eq!(profile.command, "curl -s 'http://localhost:6060/debug/pprof/profile?seconds=10' > cpu.pb.gz");
        assert!(advice.take.iter().any(|it| it.command == "gcore -o hang 4242"));
    }

    #[test]
    fn an_idle_process_waits_and_a_dead_one_is_dead() {
        let idle = advice(seen(0, 'S'));
        assert!(idle.headline.ends_with("waits: it uses no CPU"));
        assert!(idle.facts.iter().any(|fact| fact.text.contains("3 of them wait in futex_wait_queue")));
        assert!(!idle.take.iter().any(|it| it.command.contains("profile?seconds")), "a profile of it is empty");
        assert!(advice(seen(0, 'Z')).headline.contains("has ended"));
        assert!(advice(seen(0, 'D')).facts.iter().any(|fact| fact.text.contains("3 of them can not be woken")));
    }

    #[test]
    fn a_virtual_machine_is_asked_by_its_own_user() {
        let mut process = seen(0, 'S');
        process.runtime = Some((Runtime::Jvm, "libjvm.so".to_owned()));
        (process.uid, process.java_home) = (Some(1000), Some("/usr/lib/jvm/17".to_owned()));
        let advice = advice(process);
        assert!(advice.take[0].command.starts_with("sudo -u '#1000' /usr/lib/jvm/17/bin/jcmd 4242 Thread.print -l"));
    }
}
