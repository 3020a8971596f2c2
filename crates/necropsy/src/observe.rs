//! A living process as `/proc` shows it (proc(5)): files are read and nothing else. No ptrace, no signal, nothing that the
//! process could notice.

mod cgroup;
mod runtime;
mod text;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use necropsy_model::advice::{CoreSettings, Fact, Observed, ObservedThread};
use necropsy_model::{Full, Source};

use text::{Stat, Status};

/// How long a process is watched to see whether it computes: a busy thread gets 100 ticks of its clock meanwhile.
const WATCHED: Duration = Duration::from_secs(1);

/// Most bytes read of a file of `/proc`; `maps` of a virtual machine has some megabytes.
const MOST: u64 = 64 << 20;

/// Most threads that are looked at one by one.
const THREADS: usize = 20_000;

/// Most open files that are looked at for sockets.
const FILES: usize = 20_000;

/// Where the kernel shows processes.
const PROC: &str = "/proc";

/// Looks at a process for a second.
///
/// An error when there is no such process.
pub(crate) fn observe(pid: u64) -> io::Result<Observed> {
    let folder = Path::new(PROC).join(pid.to_string());
    let status = read(&folder.join("status")).map_err(|error| {
        if Path::new(PROC).join("self").exists() {
            error
        } else {
            io::Error::new(error.kind(), "there is no /proc here, which shows processes")
        }
    })?;
    let status = Status::parse(&status);
    let mut process =
        Observed { pid, name: status.name.clone(), state: status.state, uid: status.uid, ..Observed::default() };
    process.inner_pid = status.inner_pids.last().copied().filter(|&inner| inner != pid);
    (process.resident, process.anonymous) = (status.resident, status.anonymous);

    let begun = Instant::now();
    let before = threads(&folder, &mut Full::default());
    // What takes time is read while the clock runs.
    identify(&folder, &mut process);
    process.core = core_settings(&folder, &status, &mut process.unread);
    let mut full = Full::default();
    process.ports = ports(&folder, &mut full);
    std::thread::sleep(WATCHED.saturating_sub(begun.elapsed()));
    let after = threads(&folder, &mut full);
    process.interval = begun.elapsed();

    let tick =
        Duration::from_secs(1).checked_div(u32::try_from(rustix::param::clock_ticks_per_second()).unwrap_or(100));
    let tick = tick.unwrap_or(Duration::from_millis(10));
    for (id, stat) in &after {
        let earlier = before.binary_search_by_key(id, |&(other, _)| other).ok().and_then(|at| before.get(at));
        let earlier = earlier.map_or(stat.ticks, |(_, stat)| stat.ticks);
        let ticks = u32::try_from(stat.ticks.saturating_sub(earlier)).unwrap_or(u32::MAX);
        let waits_in = fs::read_to_string(folder.join(format!("task/{id}/wchan"))).ok();
        process.threads.push(ObservedThread {
            id: *id,
            name: stat.name.clone(),
            state: stat.state,
            cpu: tick.saturating_mul(ticks),
            waits_in: waits_in.filter(|function| !function.is_empty() && function != "0"),
        });
    }
    process.unread.extend(full.warnings(Source::DUMP).map(|warning| Fact::new(warning.text.into_owned(), "task")));
    process.cpu = process.threads.iter().fold(Duration::ZERO, |sum, thread| sum.saturating_add(thread.cpu));
    if process.threads.is_empty() {
        process.unread.push(Fact::new("its threads can not be read", "task"));
    }
    Ok(process)
}

/// What it runs, and where.
fn identify(folder: &Path, process: &mut Observed) {
    let exe = fs::read_link(folder.join("exe"));
    match &exe {
        Ok(path) => process.exe = Some(path.to_string_lossy().into_owned()),
        Err(error) => process.unread.push(Fact::new(format!("what it runs can not be read: {error}"), "exe")),
    }
    match read(&folder.join("maps")) {
        Ok(maps) => {
            if maps.len() as u64 >= MOST {
                process
                    .unread
                    .push(Fact::new(format!("only the first {} MiB of its mappings are read", MOST >> 20), "maps"));
            }
            let files = text::mapped_files(&maps);
            process.runtime = runtime::of(&files, process.exe.as_deref(), &folder.join("exe"));
            let root = folder.join("root");
            process.java_home = runtime::java_home(&files)
                .filter(|home| root.join(home.trim_start_matches('/')).join("bin/jcmd").exists());
        }
        Err(error) => {
            let text =
                format!("its files and so its runtime can not be read: {error}; run this as root or as its user");
            process.unread.push(Fact::new(text, "maps"));
        }
    }
    let groups = read(&folder.join("cgroup")).unwrap_or_default();
    process.container = cgroup::container(&groups).or_else(|| {
        // Without a namespace of cgroups of its own the path says nothing; the numbers of processes still do.
        process.inner_pid.map(|_| (necropsy_model::advice::Site::Host, String::new()))
    });
    process.memory_limit = cgroup::memory(&groups);
}

/// The threads with their CPU time, by number.
fn threads(folder: &Path, full: &mut Full) -> Vec<(u64, Stat)> {
    let entries = fs::read_dir(folder.join("task")).into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u64>().ok());
    let mut numbers = full.first("threads", THREADS, numbers);
    numbers.sort_unstable();
    let stat = |id: u64| Some((id, Stat::parse(&read(&folder.join(format!("task/{id}/stat"))).ok()?)?));
    numbers.into_iter().filter_map(stat).collect()
}

/// What decides about a core.
fn core_settings(folder: &Path, status: &Status, unread: &mut Vec<Fact>) -> CoreSettings {
    let limits = read(&folder.join("limits")).unwrap_or_else(|error| {
        unread.push(Fact::new(format!("its limits can not be read: {error}"), "limits"));
        String::new()
    });
    let (soft_limit, hard_limit) = text::core_limits(&limits);
    let pattern = read(&Path::new(PROC).join("sys/kernel/core_pattern")).ok().map(|text| text.trim_end().to_owned());
    let filter = read(&folder.join("coredump_filter")).ok();
    let filter = filter.and_then(|text| u64::from_str_radix(text.trim(), 16).ok());
    let directory = core_directory(folder, pattern.as_deref());
    let free = directory.as_deref().and_then(|path| rustix::fs::statvfs(path).ok());
    let free = free.map(|room| room.f_bavail.saturating_mul(room.f_frsize));
    CoreSettings {
        soft_limit,
        hard_limit,
        pattern,
        filter,
        dumpable: dumpable(folder, status),
        directory: directory.map(|path| path.to_string_lossy().into_owned()),
        free,
    }
}

/// The files in `/proc` of a process that may not be dumped belong to root (`task_dump_owner` of `fs/proc/base.c`). Of root's
/// own processes that says nothing.
fn dumpable(folder: &Path, status: &Status) -> Option<bool> {
    use std::os::unix::fs::MetadataExt;
    let user = status.uid.filter(|&uid| uid != 0)?;
    let owner = u64::from(fs::metadata(folder.join("status")).ok()?.uid());
    Some(owner == user)
}

/// The directory where the kernel would write, seen through the root of the process.
fn core_directory(folder: &Path, pattern: Option<&str>) -> Option<PathBuf> {
    match pattern? {
        pipe if pipe.starts_with('|') => {
            let systemd = Path::new("/var/lib/systemd/coredump");
            (pipe.contains("systemd-coredump") && systemd.is_dir()).then(|| systemd.to_owned())
        }
        absolute if absolute.starts_with('/') => {
            let folder = folder.join("root").join(Path::new(absolute).parent()?.strip_prefix("/").ok()?);
            folder.is_dir().then_some(folder)
        }
        _ => {
            let folder = folder.join("cwd");
            folder.is_dir().then_some(folder)
        }
    }
}

/// TCP ports on which it listens: its sockets, by the inodes in the table of its network namespace.
fn ports(folder: &Path, full: &mut Full) -> Vec<u16> {
    let links = full.first("open files", FILES, fs::read_dir(folder.join("fd")).into_iter().flatten().flatten());
    let inodes: BTreeSet<u64> =
        links.iter().filter_map(|entry| text::socket(&fs::read_link(entry.path()).ok()?.to_string_lossy())).collect();
    let tables = ["net/tcp", "net/tcp6"].map(|name| read(&folder.join(name)).unwrap_or_default());
    let ports: BTreeSet<u16> = tables.iter().flat_map(|table| text::listening(table, &inodes)).collect();
    ports.into_iter().collect()
}

/// A file of `/proc`, whose size it does not tell.
fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(MOST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_living_process_is_seen_as_it_is() {
        let pid = u64::from(std::process::id());
        let process = observe(pid).unwrap();
        assert_eq!(process.pid, pid);
        assert!(process.exe.is_some() && !process.threads.is_empty() && process.resident.is_some());
        assert!(process.threads.iter().any(|thread| thread.id == pid), "its first thread has its number");
        assert!(process.interval >= WATCHED);
        assert!(process.core.soft_limit.is_some() && process.core.pattern.is_some());
        assert!(observe(u64::MAX).is_err(), "there is no such process");
    }
}
