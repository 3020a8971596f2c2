//! System calls in which threads are found waiting: name and kind of wait. `arch/x86/entry/syscalls/syscall_64.tbl` and
//! `include/uapi/asm-generic/unistd.h`.

use necropsy_model::{Activity, Arch};

/// Numbers on x86-64 and on aarch64 (`NONE`: not there), name, what a thread in it does.
type Row = (u64, u64, &'static str, Activity);

/// A number that no system call has.
const NONE: u64 = u64::MAX;

const FUTEX: &str = "futex";

const CALLS: &[Row] = &[
    (0, 63, "read", Activity::Io),
    (1, 64, "write", Activity::Io),
    (7, NONE, "poll", Activity::Io),
    (9, 222, "mmap", Activity::Syscall),
    (16, 29, "ioctl", Activity::Io),
    (17, 67, "pread64", Activity::Io),
    (18, 68, "pwrite64", Activity::Io),
    (19, 65, "readv", Activity::Io),
    (20, 66, "writev", Activity::Io),
    (23, NONE, "select", Activity::Io),
    (24, 124, "sched_yield", Activity::Runnable),
    (34, NONE, "pause", Activity::Signal),
    (35, 101, "nanosleep", Activity::Sleep),
    (42, 203, "connect", Activity::Io),
    (43, 202, "accept", Activity::Io),
    (44, 206, "sendto", Activity::Io),
    (45, 207, "recvfrom", Activity::Io),
    (46, 211, "sendmsg", Activity::Io),
    (47, 212, "recvmsg", Activity::Io),
    (61, 260, "wait4", Activity::Signal),
    (62, 129, "kill", Activity::Syscall),
    (65, 193, "semop", Activity::Signal),
    (70, 188, "msgrcv", Activity::Signal),
    (72, 25, "fcntl", Activity::Io),
    (73, 32, "flock", Activity::Lock),
    (74, 82, "fsync", Activity::Io),
    (75, 83, "fdatasync", Activity::Io),
    (128, 137, "rt_sigtimedwait", Activity::Signal),
    (130, 133, "rt_sigsuspend", Activity::Signal),
    (200, 130, "tkill", Activity::Syscall),
    (202, 98, FUTEX, Activity::Signal),
    (208, 4, "io_getevents", Activity::Io),
    (220, 192, "semtimedop", Activity::Signal),
    (230, 115, "clock_nanosleep", Activity::Sleep),
    (231, 94, "exit_group", Activity::Syscall),
    (232, 22, "epoll_wait", Activity::Io),
    (234, 131, "tgkill", Activity::Syscall),
    (247, 95, "waitid", Activity::Signal),
    (270, 72, "pselect6", Activity::Io),
    (271, 73, "ppoll", Activity::Io),
    (281, 22, "epoll_pwait", Activity::Io),
    (288, 242, "accept4", Activity::Io),
    (299, 243, "recvmmsg", Activity::Io),
    (426, 426, "io_uring_enter", Activity::Io),
    (441, 441, "epoll_pwait2", Activity::Io),
    (449, 449, "futex_waitv", Activity::Signal),
];

/// Name of a system call and what a thread in it does. `second` is its second argument: of `futex`, the operation.
pub(super) fn describe(arch: Arch, number: u64, second: Option<u64>) -> (Option<&'static str>, Activity) {
    let own = |row: &&Row| number == if arch == Arch::Aarch64 { row.1 } else { row.0 };
    match CALLS.iter().find(own) {
        Some(&(_, _, FUTEX, activity)) => futex(second).unwrap_or((Some(FUTEX), activity)),
        Some(&(_, _, name, activity)) => (Some(name), activity),
        None => (None, Activity::Syscall),
    }
}

/// The operations of `futex(2)` that wait, without the flags in the bits above. A plain wait is a mutex, a condition
/// variable or a join alike; only `FUTEX_LOCK_PI` says that it is a lock.
fn futex(operation: Option<u64>) -> Option<(Option<&'static str>, Activity)> {
    match operation? & 0x7f {
        0 | 9 | 11 => Some((Some("futex wait"), Activity::Signal)),
        6 | 13 => Some((Some("futex lock"), Activity::Lock)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_names_are_unique() {
        assert!(CALLS.is_sorted_by_key(|row| row.0));
        let mut names: Vec<_> = CALLS.iter().map(|row| row.2).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CALLS.len());
    }

    #[test]
    fn numbers_belong_to_machines() {
        assert_eq!(describe(Arch::Aarch64, 98, Some(0x80)).0, Some("futex wait"));
        assert_eq!(describe(Arch::X86_64, 202, Some(0x86)).1, Activity::Lock);
        assert_eq!(describe(Arch::X86_64, 202, None).0, Some("futex"));
        assert_eq!(describe(Arch::X86_64, 98, None).0, None);
    }
}
