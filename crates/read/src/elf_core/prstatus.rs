//! `NT_PRSTATUS`: one thread with its registers. `struct elf_prstatus` of `include/linux/elfcore.h`.
//!
//! The structure is the same everywhere but for the size of a word and the alignment of an int; only the registers at its
//! end are each machine's own (`elf_gregset_t`).

use std::time::Duration;

use necropsy_model::{Arch, Registers};

use super::bytes::Layout;

/// What the note says of a thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Prstatus {
    /// Thread id, `pr_pid`.
    pub tid: Option<u64>,
    /// Parent process id.
    pub parent: Option<u64>,
    /// `pr_cursig`: the signal that stopped the process. The kernel writes it into every thread's note.
    pub signal: Option<i32>,
    /// `pr_utime` plus `pr_stime`.
    pub cpu: Option<Duration>,
    /// Registers, on machines whose stacks are unwound.
    pub registers: Option<Registers>,
    /// Base of the thread's local storage.
    pub thread_pointer: Option<u64>,
    /// The number of a system call, where the register set tells: `orig_rax` of x86-64.
    pub syscall: Option<i64>,
}

/// Where the fields stand, in bytes.
struct Offsets {
    signal: usize,
    tid: usize,
    parent: usize,
    /// `pr_utime`; `pr_stime` follows it.
    times: usize,
    registers: usize,
}

/// Where the fields stand, word size by word size.
///
/// m68k aligns an int to two bytes and is the one exception among Linux machines. The 32-bit layout also holds for x32,
/// whose registers are 64-bit words behind 32-bit fields, and for MIPS n32.
fn offsets(arch: Arch, layout: Layout) -> Offsets {
    match (arch, layout.wide) {
        (Arch::M68k, _) => Offsets { signal: 12, tid: 22, parent: 26, times: 38, registers: 70 },
        (_, false) => Offsets { signal: 12, tid: 24, parent: 28, times: 40, registers: 72 },
        (_, true) => Offsets { signal: 12, tid: 32, parent: 36, times: 48, registers: 112 },
    }
}

/// DWARF numbers of the words of a register set, in its order; `NONE` for words without one.
struct RegisterSet {
    dwarf: &'static [u16],
    /// Word with the system call's number.
    syscall: Option<usize>,
    /// Word with the thread pointer.
    thread_pointer: Option<usize>,
}

/// A word of the register set that has no DWARF number of ours.
const NONE: u16 = u16::MAX;

/// `struct user_regs_struct` of `arch/x86/include/asm/user_64.h`: r15 first, then `orig_rax` at 15, `fs_base` at 21.
const X86_64: RegisterSet = RegisterSet {
    dwarf: &[15, 14, 13, 12, 6, 3, 11, 10, 9, 8, 0, 2, 1, 4, 5, NONE, 16, NONE, NONE, 7],
    syscall: Some(15),
    thread_pointer: Some(21),
};

/// `struct user_pt_regs` of `arch/arm64/include/uapi/asm/ptrace.h`: x0 to x30, sp, pc: DWARF's own order.
const AARCH64: RegisterSet = RegisterSet {
    dwarf: &[
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29,
        30, 31, 32,
    ],
    syscall: None,
    thread_pointer: None,
};

fn register_set(arch: Arch) -> Option<&'static RegisterSet> {
    match arch {
        Arch::X86_64 => Some(&X86_64),
        Arch::Aarch64 => Some(&AARCH64),
        _ => None,
    }
}

/// Reads the note; what a cut note does not hold is `None`.
pub(super) fn read(body: &[u8], arch: Arch, layout: Layout) -> Prstatus {
    let at = offsets(arch, layout);
    let set = register_set(arch);
    let words = body.get(at.registers..).unwrap_or_default();
    let word = |index: Option<usize>| layout.word(words, index?.checked_mul(layout.word_size())?);
    Prstatus {
        tid: layout.u32(body, at.tid).map(u64::from),
        parent: layout.u32(body, at.parent).map(u64::from),
        signal: layout.u16(body, at.signal).map(i32::from),
        cpu: cpu(body, at.times, layout),
        registers: set.and_then(|set| registers(words, set, arch, layout)),
        thread_pointer: set.and_then(|set| word(set.thread_pointer)),
        syscall: set.and_then(|set| word(set.syscall)).map(u64::cast_signed),
    }
}

fn registers(words: &[u8], set: &RegisterSet, arch: Arch, layout: Layout) -> Option<Registers> {
    let mut registers = Registers::new(arch);
    for (&number, value) in set.dwarf.iter().zip(layout.words(words)) {
        if number != NONE {
            registers.set(number, value);
        }
    }
    registers.pc().map(|_| registers)
}

/// Two `struct timeval`: seconds and microseconds, a word each. On big-endian 64-bit SPARC the microseconds are an int in
/// the upper half of the word; the upper half alone is then what does not fit in a second.
fn cpu(body: &[u8], at: usize, layout: Layout) -> Option<Duration> {
    let word = |index: usize| layout.word(body, at.checked_add(index * layout.word_size())?);
    let time = |index: usize| {
        let micros = word(index + 1)?;
        let micros = if micros < 1_000_000 { micros } else { micros >> 32 };
        (micros < 1_000_000).then_some(())?;
        Duration::from_secs(word(index)?).checked_add(Duration::from_micros(micros))
    };
    time(0)?.checked_add(time(2)?)
}

#[cfg(test)]
mod tests {
    use necropsy_model::Endianness;

    use super::*;

    fn put(body: &mut [u8], at: usize, bytes: &[u8]) {
        body[at..at + bytes.len()].copy_from_slice(bytes);
    }

    #[test]
    fn the_registers_of_x86_64_get_their_dwarf_numbers() {
        let mut body = vec![0; 336];
        put(&mut body, 12, &11_u16.to_le_bytes());
        put(&mut body, 32, &4242_u32.to_le_bytes());
        put(&mut body, 48, &2_u64.to_le_bytes());
        put(&mut body, 72, &500_000_u64.to_le_bytes());
        for index in 0..27_u64 {
            put(&mut body, 112 + 8 * index as usize, &(100 + index).to_le_bytes());
        }
        let read = read(&body, Arch::X86_64, Layout { endian: Endianness::Little, wide: true });
        let registers = read.registers.unwrap();
        let named = |name| registers.by_name(name);
        assert_eq!([named("r15"), named("rbp"), named("rax"), named("rdi")], [100, 104, 110, 114].map(Some));
        assert_eq!((registers.pc(), registers.sp()), (Some(116), Some(119)));
        assert_eq!((read.syscall, read.thread_pointer), (Some(115), Some(121)));
        assert_eq!((read.tid, read.signal), (Some(4242), Some(11)));
        assert_eq!(read.cpu, Some(Duration::from_millis(2500)));
    }

    #[test]
    fn a_cut_note_has_no_registers_but_its_thread() {
        let mut body = vec![0; 120];
        put(&mut body, 32, &7_u32.to_le_bytes());
        let read = read(&body, Arch::Aarch64, Layout { endian: Endianness::Little, wide: true });
        assert_eq!((read.tid, read.registers), (Some(7), None));
    }

    #[test]
    fn big_endian_machines_with_small_words() {
        let mut body = vec![0; 200];
        put(&mut body, 12, &6_u16.to_be_bytes());
        put(&mut body, 24, &99_u32.to_be_bytes());
        let read = read(&body, Arch::S390, Layout { endian: Endianness::Big, wide: false });
        assert_eq!((read.tid, read.signal, read.registers), (Some(99), Some(6), None));
    }
}
