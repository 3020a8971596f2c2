//! The texts of `/proc`: `proc_pid_status(5)`, `proc_pid_stat(5)`, `proc_pid_maps(5)`, `proc_pid_limits(5)`, `proc_net(5)`.

use std::collections::BTreeSet;

/// What is needed of `status`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Status {
    pub name: String,
    pub state: Option<char>,
    /// Effective user.
    pub uid: Option<u64>,
    /// Numbers in the namespaces from here inwards; the last one is its own.
    pub inner_pids: Vec<u64>,
    /// Bytes in memory.
    pub resident: Option<u64>,
    /// Bytes that no file backs, swapped out or not.
    pub anonymous: Option<u64>,
}

impl Status {
    pub(super) fn parse(text: &str) -> Self {
        let value = |key: &str| {
            let mut lines = text.lines();
            lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(':').map(str::trim))
        };
        let numbers =
            |key| value(key).into_iter().flat_map(|value| value.split_whitespace()).filter_map(|it| it.parse().ok());
        let kilobytes = |key| numbers(key).next().map(|value: u64| value.saturating_mul(1024));
        let add = |a: Option<u64>, b: Option<u64>| match (a, b) {
            (Some(a), b) => Some(a.saturating_add(b.unwrap_or(0))),
            (None, b) => b,
        };
        Self {
            name: value("Name").unwrap_or_default().to_owned(),
            state: value("State").and_then(|value| value.chars().next()),
            uid: numbers("Uid").nth(1),
            inner_pids: numbers("NSpid").collect(),
            resident: kilobytes("VmRSS"),
            anonymous: add(add(kilobytes("RssAnon"), kilobytes("RssShmem")), kilobytes("VmSwap")),
        }
    }
}

/// What is needed of `stat`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stat {
    pub name: String,
    pub state: char,
    /// CPU time of the thread, in ticks: user and system.
    pub ticks: u64,
}

impl Stat {
    pub(super) fn parse(text: &str) -> Option<Self> {
        // The name may hold spaces and parentheses: it ends at the last one.
        let (head, rest) = text.rsplit_once(')')?;
        let name = head.split_once('(')?.1.to_owned();
        let fields: Vec<_> = rest.split_whitespace().collect();
        let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
        // Fields 14 and 15 of the line; the state, field 3, is the first one here.
        let ticks = number(11)?.saturating_add(number(12)?);
        Some(Self { name, state: fields.first()?.chars().next()?, ticks })
    }
}

/// Files of `maps`, each once.
pub(super) fn mapped_files(maps: &str) -> BTreeSet<String> {
    let path = |line: &str| Some(line.get(line.find('/')?..)?.trim_end_matches(" (deleted)").to_owned());
    maps.lines().filter_map(path).collect()
}

/// Soft and hard limit of a core in `limits`; `u64::MAX` is none.
pub(super) fn core_limits(limits: &str) -> (Option<u64>, Option<u64>) {
    let Some(line) = limits.lines().find_map(|line| line.strip_prefix("Max core file size")) else {
        return (None, None);
    };
    let mut values = line.split_whitespace().map(|value| match value {
        "unlimited" => Some(u64::MAX),
        value => value.parse().ok(),
    });
    (values.next().flatten(), values.next().flatten())
}

/// The inode of a link such as `socket:[4711]`.
pub(super) fn socket(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// Ports of listening sockets among these, from `net/tcp` or `net/tcp6`.
pub(super) fn listening(table: &str, inodes: &BTreeSet<u64>) -> Vec<u16> {
    // TCP_LISTEN of include/net/tcp_states.h.
    const LISTEN: &str = "0A";
    let port = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (_, port) = fields.get(1)?.rsplit_once(':')?;
        let own = fields.get(9)?.parse().is_ok_and(|inode: u64| inodes.contains(&inode));
        (own && *fields.get(3)? == LISTEN).then(|| u16::from_str_radix(port, 16).ok())?
    };
    table.lines().skip(1).filter_map(port).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_of_a_process_in_a_container() {
        let text = "Name:\tledger api\nState:\tS (sleeping)\nUid:\t0\t1000\t0\t0\nNSpid:\t4242\t7\nVmRSS:\t 2048 kB\nRssAnon:\t 1024 kB\nVmSwap:\t 1024 kB\n";
        let status = Status::parse(text);
        assert_eq!((status.name.as_str(), status.state, status.uid), ("ledger api", Some('S'), Some(1000)));
        assert_eq!(
            (status.inner_pids, status.resident, status.anonymous),
            (vec![4242, 7], Some(2 << 20), Some(2 << 20))
        );
        assert_eq!(Status::parse("").state, None);
    }

    #[test]
    fn stat_with_a_name_that_looks_like_the_rest() {
        let stat = Stat::parse("77 (a) R (x) S 1 77 77 0 -1 4194560 9 0 0 0 250 50 0 0 20 0 3 0 100 200").unwrap();
        assert_eq!((stat.name.as_str(), stat.state, stat.ticks), ("a) R (x", 'S', 300));
        assert_eq!(Stat::parse("77 (cut"), None);
        assert_eq!(Stat::parse("77 (cut) S 1 2"), None);
    }

    #[test]
    fn maps_limits_and_sockets() {
        let maps = "55a0-55b0 r-xp 0 08:01 9 /usr/bin/my java\n7f00-7f01 r--p 0 08:01 8 /lib/libc.so.6 (deleted)\n7ffe-7fff rw-p 0 0 0 [stack]\n";
        assert_eq!(mapped_files(maps).into_iter().collect::<Vec<_>>(), ["/lib/libc.so.6", "/usr/bin/my java"]);
        let limits = "Limit                     Soft Limit           Hard Limit           Units\nMax core file size        0                    unlimited            bytes\n";
        assert_eq!(core_limits(limits), (Some(0), Some(u64::MAX)));
        assert_eq!(core_limits(""), (None, None));
        let table = "  sl  local_address rem_address   st tx rx tr tm uid timeout inode\n   0: 0100007F:17AC 00000000:0000 0A 0:0 0:0 0 0 0 4711 1\n   1: 0100007F:0050 0100007F:1 01 0:0 0:0 0 0 0 4711 1\n";
        assert_eq!(listening(table, &[socket("socket:[4711]").unwrap()].into()), [6060]);
        assert!(listening(table, &BTreeSet::new()).is_empty());
    }
}
