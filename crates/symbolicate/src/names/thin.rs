//! Functions of the C library whose lines and arguments nobody asks for.

use std::ops::Range;

use necropsy_model::Svma;
use object::read::elf::Sym;

use crate::image::{Elf, Image};

/// What lies below `main` and below a thread's function: glibc's `csu/libc-start.c`, `nptl/pthread_create.c` and `clone3.S`,
/// musl's `src/env/__libc_start_main.c` and `src/thread/pthread_create.c`.
const START_UP: [&str; 9] = [
    "start",
    "start_call_main",
    "start_main",
    "start_main_impl",
    "start_main_stage2",
    "generic_start_main",
    "start_thread",
    "clone",
    "clone3",
];

/// What only makes a system call, after which the kernel's number says more than the line (glibc's
/// `sysdeps/unix/sysv/linux`). Those that wait for a lock are not among them: their arguments name it.
const SYSTEM_CALLS: [&str; 30] = [
    "accept",
    "accept4",
    "clock_nanosleep",
    "connect",
    "epoll_pwait",
    "epoll_wait",
    "ioctl",
    "kill",
    "nanosleep",
    "pause",
    "poll",
    "ppoll",
    "pread64",
    "pselect",
    "pwrite64",
    "read",
    "readv",
    "recv",
    "recvfrom",
    "recvmsg",
    "select",
    "send",
    "sendmsg",
    "sendto",
    "sigsuspend",
    "sigtimedwait",
    "sigwaitinfo",
    "wait4",
    "waitpid",
    "write",
];

/// Where these functions are in an image, by all its symbol tables; sorted.
///
/// Where a distribution's compressed debug file is installed, unpacking it for the last two frames of each stack and for
/// parked threads took more than half of the time for a small core.
pub(crate) fn ranges(image: &Image<'_>) -> Vec<Range<u64>> {
    let debug = image.debug.get();
    let separate = debug.and_then(|debug| debug.found().separate.as_ref()).map(|(_, sections)| &sections.elf);
    let mut found: Vec<_> = image.elf.iter().chain(separate).flat_map(of_file).collect();
    found.sort_by_key(|range| range.start);
    found
}

/// Whether an address lies in one of these ranges.
pub(crate) fn covers(ranges: &[Range<u64>], address: Svma) -> bool {
    ranges.iter().any(|range| range.contains(&address.0))
}

fn of_file<'a>(elf: &'a Elf<'_>) -> impl Iterator<Item = Range<u64>> + 'a {
    let tables = [elf.elf_symbol_table(), elf.elf_dynamic_symbol_table()];
    tables.into_iter().flat_map(|table| {
        table.iter().filter_map(|symbol| {
            let size = symbol.st_size(object::LittleEndian);
            let start = symbol.st_value(object::LittleEndian);
            let name = table.symbol_name(object::LittleEndian, symbol).ok().filter(|_| size > 0)?;
            is_thin(name).then(|| start..start.saturating_add(size))
        })
    })
}

/// Whether a symbol is one of these functions under any of its names: `__GI___poll`, `__libc_read`, `clock_nanosleep@@GLIBC_2.17`.
fn is_thin(symbol: &[u8]) -> bool {
    let name = symbol.split(|&byte| byte == b'@').next().unwrap_or_default();
    let name = name.strip_prefix(b"__GI_").unwrap_or(name);
    let plain = &name[name.iter().take_while(|&&byte| byte == b'_').count()..];
    let plain = plain.strip_prefix(b"libc_").unwrap_or(plain);
    START_UP.iter().chain(&SYSTEM_CALLS).any(|thin| thin.as_bytes() == plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_names_of_a_thin_function_are_known() {
        for name in [
            "_start",
            "__libc_start_main_impl",
            "__clone3",
            "__GI___poll",
            "__libc_pause",
            "clock_nanosleep@@GLIBC_2.17",
        ] {
            assert!(is_thin(name.as_bytes()), "{name}");
        }
        for name in ["", "___", "pthread_mutex_lock", "restart", "strlen", "__GI_raise", "libc_"] {
            assert!(!is_thin(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn addresses_are_covered_to_the_last_byte() {
        let ranges = [0x10..0x20, 0x40..0x48];
        assert!(covers(&ranges, Svma(0x10)) && covers(&ranges, Svma(0x47)));
        assert!(!covers(&ranges, Svma(0x20)) && !covers(&ranges, Svma(0x48)) && !covers(&[], Svma(0)));
    }
}
