//! What the control groups of a process tell: its container, and its memory. cgroups(7).

use std::fs;
use std::path::Path;

use necropsy_model::advice::{MemoryLimit, Site};

/// Digits of a container's id that people use.
const SHORT: usize = 12;

/// A limit above this is none: version 1 prints the largest multiple of a page.
const NO_LIMIT: u64 = 1 << 60;

/// The container of a process, from `/proc/PID/cgroup`.
pub(super) fn container(groups: &str) -> Option<(Site, String)> {
    groups.lines().find_map(|line| {
        let path = line.splitn(3, ':').nth(2)?;
        let pod = path.contains("kubepods");
        let other = ["docker", "libpod", "containerd", "crio", "lxc"].iter().any(|name| path.contains(name));
        (pod || other).then(|| (if pod { Site::Kubernetes } else { Site::Docker }, id(path)))
    })
}

/// The id of a container in a path: its last part that is a long hexadecimal number.
fn id(path: &str) -> String {
    let parts = path.rsplit(['/', '-', '.', ':']);
    let mut long = parts.filter(|part| part.len() >= SHORT && part.bytes().all(|byte| byte.is_ascii_hexdigit()));
    long.next().and_then(|part| part.get(..SHORT)).unwrap_or_default().to_owned()
}

/// Limit, use and kills of the memory cgroup, where it has a limit and can be seen from here.
pub(super) fn memory(groups: &str) -> Option<MemoryLimit> {
    let path = |wanted: &dyn Fn(&str) -> bool| {
        groups.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':');
            let (_, names, path) = (parts.next()?, parts.next()?, parts.next()?);
            wanted(names).then(|| path.trim_start_matches('/').to_owned())
        })
    };
    let number = |path: std::path::PathBuf| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    if let Some(unified) = path(&str::is_empty) {
        let folder = Path::new("/sys/fs/cgroup").join(unified);
        let limit = number(folder.join("memory.max")).or_else(|| number("/sys/fs/cgroup/memory.max".into()));
        let folder = if folder.join("memory.max").exists() { folder } else { "/sys/fs/cgroup".into() };
        if let Some(limit) = limit.filter(|&limit| limit < NO_LIMIT) {
            let killed = fs::read_to_string(folder.join("memory.events")).ok().and_then(|text| kills(&text));
            return Some(MemoryLimit { limit, used: number(folder.join("memory.current")), killed });
        }
    }
    let v1 = path(&|names| names.split(',').any(|name| name == "memory"))?;
    let folder = Path::new("/sys/fs/cgroup/memory").join(v1);
    let limit = number(folder.join("memory.limit_in_bytes")).filter(|&limit| limit < NO_LIMIT)?;
    let killed = fs::read_to_string(folder.join("memory.oom_control")).ok().and_then(|text| kills(&text));
    Some(MemoryLimit { limit, used: number(folder.join("memory.usage_in_bytes")), killed })
}

/// The count of `oom_kill`.
fn kills(events: &str) -> Option<u64> {
    events.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "3f1c9a7b2d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8";

    #[test]
    fn containers_by_their_paths() {
        let of = |path: &str| container(&format!("0::{}\n", path.replace("ID", ID)));
        let short = "3f1c9a7b2d4e".to_owned();
        let pod = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1a_2b.slice/cri-containerd-ID.scope";
        assert_eq!(of(pod), Some((Site::Kubernetes, short.clone())));
        assert_eq!(of("/kubepods/besteffort/pod1-2/ID"), Some((Site::Kubernetes, short.clone())));
        assert_eq!(of("/system.slice/docker-ID.scope"), Some((Site::Docker, short.clone())));
        assert_eq!(container(&format!("12:memory:/docker/{ID}\n")), Some((Site::Docker, short)));
        assert_eq!(of("/user.slice/user-1000.slice/session-2.scope"), None);
        assert_eq!(container(""), None);
    }

    #[test]
    fn kills_are_counted() {
        assert_eq!(kills("low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n"), Some(2));
        assert_eq!(kills("under_oom 0\n"), None);
    }
}
