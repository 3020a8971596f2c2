//! How a dump is taken, and the exact command for where the process runs.

use necropsy_model::advice::Site;

/// How a dump is taken. `{pid}` in a command is the process as it is called where the command runs, `{file}` what it writes,
/// `{jcmd}` the tool of its JDK.
pub(crate) enum Run {
    /// A program beside the process prints it.
    Prints { command: &'static str, file: &'static str, ending: &'static str, twice: bool },
    /// A program beside the process makes the process write a file.
    Writes { command: &'static str, file: &'static str },
    /// A program stops the process for a moment (ptrace) and prints; it has to see the process and needs the right to.
    Traces { command: &'static str, file: &'static str, ending: &'static str, twice: bool },
    /// The same, and leaves a file.
    Leaves { command: &'static str, file: &'static str },
    /// The process serves it.
    Fetches { path: &'static str, file: &'static str, ending: &'static str, twice: bool },
    /// The process prints it where it logs, on a signal.
    Signals { signal: &'static str, twice: bool },
    /// An environment variable for the next start.
    Sets { variable: &'static str, value: &'static str },
    /// A line for each place.
    Shell { host: &'static str, docker: &'static str, k8s: &'static str },
}

/// The process as commands call it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Where it runs.
    pub site: Site,
    /// Its number where it is seen from outside, or a shell expression for it.
    pub pid: String,
    /// Its number inside of its container.
    pub inner_pid: String,
    /// `host:port` where it serves.
    pub address: String,
    /// How `jcmd` is called.
    pub jcmd: String,
    /// Directory for files that the process writes.
    pub directory: String,
}

impl Default for Target {
    fn default() -> Self {
        Self {
            site: Site::Host,
            pid: "PID".to_owned(),
            inner_pid: "1".to_owned(),
            address: "HOST:PORT".to_owned(),
            jcmd: "jcmd".to_owned(),
            directory: "/tmp".to_owned(),
        }
    }
}

/// How a container's first process is called on its machine.
const DOCKER_PID: &str = "$(docker inspect -f '{{.State.Pid}}' CONTAINER)";

impl Run {
    /// The exact command.
    pub(crate) fn command(&self, target: &Target) -> String {
        match *self {
            Self::Prints { command, file, ending, twice } => {
                let run = target.beside(command, "");
                twofold(twice, |number| format!("{run} > {file}{number}.{ending}"))
            }
            Self::Writes { command, file } => {
                let written = format!("{}/{file}", target.directory);
                let run = target.beside(command, &written);
                match target.site {
                    Site::Host => run,
                    Site::Docker => format!("{run}; docker cp CONTAINER:{written} {file}"),
                    Site::Kubernetes => format!("{run}; kubectl cp -c CONTAINER POD:{written} {file}"),
                }
            }
            Self::Traces { command, file, ending, twice } => {
                let run = target.looking_in(command, "");
                twofold(twice, |number| format!("{run} > {file}{number}.{ending}"))
            }
            Self::Leaves { command, file } => {
                // What a debugging container writes for itself is gone when it ends; the process's own files are not.
                let written = format!("/proc/1/root{}/{file}", target.directory);
                match target.site {
                    Site::Host | Site::Docker => target.looking_in(command, file),
                    Site::Kubernetes => {
                        let run = target.looking_in(command, &written);
                        // gcore puts the number of the process behind the name.
                        let file = if command.starts_with("gcore") { format!("{file}.1") } else { file.to_owned() };
                        format!("{run}; kubectl cp -c CONTAINER POD:{}/{file} {file}", target.directory)
                    }
                }
            }
            Self::Fetches { path, file, ending, twice } => {
                let fetch = |address: &str| {
                    twofold(twice, |number| format!("curl -s 'http://{address}{path}' > {file}{number}.{ending}"))
                };
                match target.site {
                    Site::Host => fetch(&target.address),
                    Site::Docker => format!(
                        "IP=$(docker inspect -f '{{{{range .NetworkSettings.Networks}}}}{{{{.IPAddress}}}}{{{{end}}}}' CONTAINER); {}",
                        fetch("'$IP':PORT")
                    ),
                    Site::Kubernetes => {
                        format!("kubectl port-forward POD 6060:PORT & sleep 2; {}; kill %1", fetch("localhost:6060"))
                    }
                }
            }
            Self::Signals { signal, twice } => {
                let send = match target.site {
                    Site::Host => format!("kill -{signal} {}", target.pid),
                    Site::Docker => format!("docker kill -s {signal} CONTAINER"),
                    Site::Kubernetes => {
                        format!("kubectl exec POD -c CONTAINER -- kill -{signal} {}", target.inner_pid)
                    }
                };
                let send = twofold(twice, |_| send.clone());
                match target.site {
                    Site::Host => send,
                    Site::Docker => format!("{send}; sleep 1; docker logs --since 1m CONTAINER > log.txt 2>&1"),
                    Site::Kubernetes => format!("{send}; sleep 1; kubectl logs POD -c CONTAINER --since 1m > log.txt"),
                }
            }
            Self::Sets { variable, value } => match target.site {
                Site::Host => format!("export {variable}='{value}'"),
                Site::Docker => format!("docker run -e {variable}='{value}' -v /var/dumps:/dumps IMAGE"),
                Site::Kubernetes => format!("kubectl set env deployment/NAME {variable}='{value}'"),
            },
            Self::Shell { host, docker, k8s } => {
                let line = match target.site {
                    Site::Host => host,
                    Site::Docker => docker,
                    Site::Kubernetes => k8s,
                };
                line.replace("{pid}", &target.pid)
            }
        }
    }

    /// What the place adds to the cost.
    pub(crate) fn cost_of_place(&self, site: Site) -> &'static str {
        match (self, site) {
            (Self::Sets { .. }, Site::Kubernetes) => "it replaces the pods: take what there is to take first",
            (Self::Traces { .. } | Self::Leaves { .. }, Site::Kubernetes) => {
                "DEBUG_IMAGE has the tool; a pod keeps its debugging container until it is deleted"
            }
            (Self::Prints { .. } | Self::Writes { .. }, Site::Docker | Site::Kubernetes) => {
                "the tool and `cat` in the image of the container"
            }
            _ => "",
        }
    }
}

impl Target {
    /// A command that runs where the process runs.
    fn beside(&self, command: &str, file: &str) -> String {
        let (prefix, pid) = match self.site {
            Site::Host => ("", &self.pid),
            Site::Docker => ("docker exec CONTAINER ", &self.inner_pid),
            Site::Kubernetes => ("kubectl exec POD -c CONTAINER -- ", &self.inner_pid),
        };
        let command = command.replace("{jcmd}", &self.jcmd).replace("{pid}", pid).replace("{file}", file);
        // A second command, or a pattern, is for the shell inside.
        let shell = self.site != Site::Host && command.contains([';', '*']);
        if shell { format!("{prefix}sh -c '{command}'") } else { format!("{prefix}{command}") }
    }

    /// A command that looks into the process from outside.
    fn looking_in(&self, command: &str, file: &str) -> String {
        let (prefix, pid) = match self.site {
            Site::Host => ("", self.pid.as_str()),
            Site::Docker => ("", DOCKER_PID),
            Site::Kubernetes => (
                "kubectl debug POD -it --image=DEBUG_IMAGE --target=CONTAINER --profile=sysadmin -- ",
                self.inner_pid.as_str(),
            ),
        };
        format!("{prefix}{}", command.replace("{pid}", pid).replace("{file}", file))
    }
}

/// The command, or itself twice, ten seconds apart.
fn twofold(twice: bool, command: impl Fn(&str) -> String) -> String {
    if twice { format!("{}; sleep 10; {}", command("-1"), command("-2")) } else { command("") }
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::{CATALOGUE, CORE, GO_STACKS, JAVA_HEAP, JAVA_THREADS, KERNEL_WAITS};
    use super::*;

    fn at(site: Site) -> Target {
        Target { site, pid: "4242".to_owned(), ..Target::default() }
    }

    #[test]
    fn commands_are_exact_for_the_place() {
        assert_eq!(
            JAVA_THREADS.run.command(&at(Site::Host)),
            "jcmd 4242 Thread.print -l > threads-1.txt; sleep 10; jcmd 4242 Thread.print -l > threads-2.txt"
        );
        assert_eq!(
            JAVA_HEAP.run.command(&at(Site::Docker)),
            "docker exec CONTAINER jcmd 1 GC.heap_dump /tmp/heap.hprof; docker cp CONTAINER:/tmp/heap.hprof heap.hprof"
        );
        assert_eq!(
            CORE.run.command(&at(Site::Kubernetes)),
            "kubectl debug POD -it --image=DEBUG_IMAGE --target=CONTAINER --profile=sysadmin -- gcore -o \
             /proc/1/root/tmp/hang 1; kubectl cp -c CONTAINER POD:/tmp/hang.1 hang.1"
        );
        assert_eq!(
            GO_STACKS.run.command(&Target { address: "127.0.0.1:6060".to_owned(), ..at(Site::Host) }),
            "curl -s 'http://127.0.0.1:6060/debug/pprof/goroutine?debug=2' > goroutines-1.txt; sleep 10; \
             curl -s 'http://127.0.0.1:6060/debug/pprof/goroutine?debug=2' > goroutines-2.txt"
        );
    }

    #[test]
    fn a_pattern_is_for_the_shell_inside() {
        let command = KERNEL_WAITS.run.command(&at(Site::Kubernetes));
        assert!(command.contains("-- sh -c 'grep -s . /proc/1/task/*/wchan"), "{command}");
    }

    #[test]
    fn no_command_keeps_a_placeholder_of_the_table() {
        for entry in CATALOGUE {
            for site in [Site::Host, Site::Docker, Site::Kubernetes] {
                let command = entry.run.command(&at(site));
                assert!(!command.is_empty(), "{}", entry.what);
                for left in ["{pid}", "{file}", "{jcmd}"] {
                    assert!(!command.contains(left), "{}: {command}", entry.what);
                }
                // Quotes are balanced: it can be pasted.
                assert!(command.matches('\'').count() % 2 == 0, "{command}");
            }
        }
    }
}
