//! Which dump to take, and the exact commands: for a description, for a living process, for an exit code, and in the verdict
//! about a dump that was the wrong one.
//!
//! What there is to take is one table (`catalogue.rs`); how it is taken where the process runs is in `run.rs`.

pub(crate) mod catalogue;
mod claim;
pub(crate) mod core_file;
mod exit_code;
mod observed;
pub(crate) mod run;

use necropsy_model::advice::{Advice, Choice, Complaint, Question, Site};
use necropsy_model::{Command, Runtime};

pub use claim::claim;
pub use exit_code::exit_code;

use catalogue::{CATALOGUE, Entry};
use run::Target;

/// Runtimes as the command line calls them, and how to know one.
const RUNTIMES: [(&str, &str); 6] = [
    ("jvm", "runs as `java`, or libjvm.so is in /proc/PID/maps"),
    ("go", "`go version EXECUTABLE` names a version"),
    ("python", "runs as `python`, or libpython is in /proc/PID/maps"),
    ("node", "runs as `node`"),
    ("rust", "a program of rustc"),
    ("native", "C, C++ and everything else"),
];

/// Entries as commands.
pub(crate) fn commands(target: &Target, entries: &[&Entry]) -> Vec<Command> {
    entries.iter().map(|entry| command(target, entry)).collect()
}

/// An entry as a command.
fn command(target: &Target, entry: &Entry) -> Command {
    let pause = match entry.pause {
        "" | "none" => String::new(),
        pause => format!("pause: {pause}"),
    };
    let size = if entry.size.is_empty() { String::new() } else { format!("disk: {}", entry.size) };
    let place = entry.run.cost_of_place(target.site);
    // What a host needs is asked of the image in a container.
    let needs: Vec<_> = [entry.needs, place].into_iter().filter(|part| !part.is_empty()).collect();
    let needs = if needs.is_empty() { String::new() } else { format!("needs: {}", needs.join("; ")) };
    let parts: Vec<_> = [pause, size, needs].into_iter().filter(|part| !part.is_empty()).collect();
    Command { what: entry.what.to_owned(), command: entry.run.command(target), cost: parts.join("; ") }
}

/// What to take for a description, or of a living process.
pub fn advise(question: &Question) -> Advice {
    let process = question.process.as_ref();
    let site = question.site.or_else(|| process.map(|_| Site::Host));
    let runtime = question.runtime.or_else(|| process.and_then(|process| Some(process.runtime.as_ref()?.0)));
    let mut advice = Advice { choices: choices(question, runtime, site), ..Advice::default() };
    let target = process.map_or_else(Target::default, observed::target);
    let target = Target { site: site.unwrap_or_default(), ..target };
    if let Some(process) = process {
        observed::facts(process, &mut advice);
    }
    let complaint = question.complaint.or_else(|| process.map(observed::presumed));
    let Some(complaint) = complaint else {
        "say what is wrong, of what and where; then this prints what to take and how".clone_into(&mut advice.headline);
        return advice;
    };
    let alive = process.is_some_and(|process| !matches!(process.state, Some('Z' | 'X')));
    for entry in CATALOGUE.iter().filter(|entry| entry.suits(runtime, complaint)) {
        if entry.is_for_next_time() {
            advice.next_time.push(command(&target, entry));
        } else if !(alive && is_for_the_dead(entry, complaint)) {
            advice.take.push(command(&target, entry));
        }
    }
    // Whether it was killed or still grows is not said: what only a living one can give is lost first.
    if complaint == Complaint::OutOfMemory && process.is_none() {
        let dead: Vec<_> = DEAD.iter().map(|entry| entry.what).collect();
        advice.take.sort_by_key(|command| dead.contains(&command.what.as_str()));
        advice.notes.push(
            "while it lives, take these in order; of one that was killed only how it ended and what it said last are left"
                .to_owned(),
        );
    }
    if advice.headline.is_empty() {
        advice.headline = headline(complaint, runtime);
    }
    advice.notes.extend(notes(complaint, runtime, target.site).into_iter().map(str::to_owned));
    advice
}

/// What is left of a process that died.
const DEAD: [&Entry; 4] = [catalogue::LAST_END, catalogue::LAST_WORDS, catalogue::HS_ERR, catalogue::KEPT_CORE];

/// A process that lives has no last end, and no log of it.
fn is_for_the_dead(entry: &Entry, complaint: Complaint) -> bool {
    complaint == Complaint::OutOfMemory && DEAD.iter().any(|it| entry.is(it))
}

fn headline(complaint: Complaint, runtime: Option<Runtime>) -> String {
    let of = match runtime {
        Some(Runtime::Jvm) => " in a Java virtual machine",
        Some(Runtime::Go) => " in a Go program",
        Some(Runtime::Python) => " in a Python program",
        Some(Runtime::Node) => " in a Node.js program",
        Some(Runtime::Rust) => " in a Rust program",
        Some(Runtime::Native) => " in a native program",
        None => "",
    };
    let needs = match complaint {
        Complaint::Crash => "the stack and the memory as it died: a core, and its last words",
        Complaint::OutOfMemory => "what holds the memory, not what asked last: a heap dump or profile, twice",
        Complaint::HangIdle => "what every thread waits for, twice; a CPU profile of it is empty",
        Complaint::HangBusy => "where the time goes: a profile, and the threads twice; a heap dump tells nothing",
        Complaint::Hang => "the threads twice; whether it uses CPU decides what else",
    };
    format!("{}{of} takes {needs}", complaint.words())
}

/// What to mind.
fn notes(complaint: Complaint, runtime: Option<Runtime>, site: Site) -> Vec<&'static str> {
    let hangs = matches!(complaint, Complaint::Hang | Complaint::HangIdle | Complaint::HangBusy);
    let mut notes = Vec::new();
    if complaint != Complaint::Crash {
        notes.push(match site {
            Site::Kubernetes => {
                "before you restart: take it out of the Service instead (`kubectl label pod POD app-`, the label of your \
                 selector), which leaves the pod alive; a restart loses everything but --previous logs"
            }
            _ => "before you restart: take it out of the load balancer and leave it alive; a restart loses what it knows",
        });
        notes.push("a liveness probe kills what stands still: a pause longer than its patience ends the process");
    }
    if hangs {
        notes.push(
            "take two, ten seconds apart: one shows where threads are, two show which are stuck (`necropsy diff A B`)",
        );
    }
    if complaint == Complaint::OutOfMemory {
        notes
            .push("a kill by the kernel or the cgroup (exit code 137) leaves no dump: take it while the process grows");
    }
    if runtime == Some(Runtime::Jvm) && complaint == Complaint::Crash {
        notes.push("exit codes of a virtual machine differ by cause: `necropsy advise --exit-code 139 --runtime jvm`");
    }
    notes.push(
        "a dump holds what the process held: customers' data, passwords, keys. Keep it where backups of the database \
         may lie, and pass on the report instead",
    );
    notes
}

/// What was not said, with what it may be.
fn choices(question: &Question, runtime: Option<Runtime>, site: Option<Site>) -> Vec<Choice> {
    let pid = question.process.as_ref().map_or_else(|| "PID".to_owned(), |process| process.pid.to_string());
    let mut choices = Vec::new();
    if question.complaint.is_none() {
        choices.push(Choice {
            flag: "--symptom",
            values: vec![
                ("crash", "it died"),
                ("oom", "it was killed for its memory, or grows"),
                ("hang", "it lives and does not answer"),
            ],
            how: "the exit code tells of one that died: necropsy advise --exit-code N".to_owned(),
        });
    }
    let unsaid = question.process.is_none() && matches!(question.complaint, None | Some(Complaint::Hang));
    if unsaid {
        choices.push(Choice {
            flag: "--cpu",
            values: vec![("0", "of a hang: it waits"), ("100", "of a hang: it computes, one CPU or more")],
            how: format!("top -b -n 1 -H -p {pid}"),
        });
    }
    if runtime.is_none() {
        choices.push(Choice {
            flag: "--runtime",
            values: RUNTIMES.to_vec(),
            how: format!("readlink /proc/{pid}/exe; necropsy advise --pid {pid}"),
        });
    }
    if site.is_none() {
        choices.push(Choice {
            flag: "--where",
            values: vec![
                ("host", "on this machine"),
                ("docker", "in a container of docker"),
                ("k8s", "in a pod of Kubernetes"),
            ],
            how: format!("cat /proc/{pid}/cgroup"),
        });
    }
    choices
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(complaint: Complaint, runtime: Runtime, site: Site) -> Advice {
        advise(&Question { complaint: Some(complaint), runtime: Some(runtime), site: Some(site), process: None })
    }

    #[test]
    fn of_memory_the_living_come_first() {
        let advice = asked(Complaint::OutOfMemory, Runtime::Go, Site::Host);
        let dead = advice.take.iter().position(|it| it.what == catalogue::LAST_END.what).unwrap();
        let heap = advice.take.iter().position(|it| it.what == catalogue::GO_HEAP.what).unwrap();
        assert!(heap < dead);
        assert!(advice.notes.iter().any(|note| note.starts_with("while it lives")));
    }

    #[test]
    fn a_full_description_asks_nothing() {
        let advice = asked(Complaint::HangIdle, Runtime::Jvm, Site::Kubernetes);
        assert!(advice.choices.is_empty());
        assert!(advice.take[0].command.starts_with("kubectl exec POD -c CONTAINER -- jcmd 1 Thread.print -l"));
        assert!(advice.notes.iter().any(|note| note.contains("ten seconds apart")));
        assert!(advice.notes.iter().any(|note| note.contains("customers' data")));
    }

    #[test]
    fn what_is_not_said_is_asked_with_its_choices() {
        let flags = |question: &Question| advise(question).choices.iter().map(|it| it.flag).collect::<Vec<_>>();
        assert_eq!(flags(&Question::default()), ["--symptom", "--cpu", "--runtime", "--where"]);
        let hang = Question { complaint: Some(Complaint::Hang), ..Question::default() };
        assert_eq!(flags(&hang), ["--cpu", "--runtime", "--where"]);
        let crash = Question { complaint: Some(Complaint::Crash), ..Question::default() };
        assert_eq!(flags(&crash), ["--runtime", "--where"]);
        assert!(!advise(&crash).take.is_empty(), "what holds for every runtime is told at once");
    }

    #[test]
    fn sigquit_ends_a_go_program_and_not_a_virtual_machine() {
        let go = asked(Complaint::HangIdle, Runtime::Go, Site::Host);
        let last = go.take.iter().rposition(|it| it.command == "kill -QUIT PID").unwrap();
        assert_eq!(last, go.take.len() - 1, "what ends the process comes last");
        assert!(go.take[last].what.contains("ENDS"));
    }
}
