//! Go's own records of a thread: which goroutines it has in hand. Offsets of `runtime/runtime2.go` that have not moved since
//! Go 1.5, because assembly and debuggers know them: `stack`, two guards, `_panic`, `_defer`, `m`, `sched`.

use necropsy_model::{Arch, Avma, Registers};

use crate::space::AddressSpace;

/// `g.stack`: lowest address, first address behind.
const STACK: u64 = 0;
/// `g._panic`: the innermost panic.
const PANIC: u64 = 32;
/// `g.m`: its thread.
const M: u64 = 48;
/// `g.sched`: where it goes on, as stack pointer, code address and the goroutine itself.
const SCHED: u64 = 56;
/// Words of `m` that are looked through: its goroutines stand in the first 30.
const M_WORDS: u64 = 64;

/// A goroutine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Goroutine {
    /// Address of its `g`.
    pub address: u64,
    /// Its stack: lowest address, first address behind.
    pub stack: (u64, u64),
    /// Its innermost panic, 0 for none.
    pub panic: u64,
    /// Where it goes on: stack pointer and code address.
    pub resumes_at: (u64, u64),
}

impl Goroutine {
    pub fn read(address: u64, space: &AddressSpace<'_, '_>) -> Option<Self> {
        let word = |offset: u64| space.read_u64(Avma(address.checked_add(offset)?)).ok();
        let stack = (word(STACK)?, word(STACK + 8)?);
        let plausible = address.is_multiple_of(8) && stack.0 < stack.1;
        let resumes_at = (word(SCHED)?, word(SCHED + 8)?);
        plausible.then_some(Self { address, stack, panic: word(PANIC)?, resumes_at })
    }

    /// An address of its stack.
    pub fn owns(&self, address: u64) -> bool {
        (self.stack.0..self.stack.1).contains(&address)
    }
}

/// The goroutines of a thread, the one it ran last first: that of its scheduler or signal handler, then those that its `m`
/// names. Empty for threads that Go does not know.
pub(crate) fn of_thread(
    registers: &Registers,
    thread_pointer: Option<u64>,
    space: &AddressSpace<'_, '_>,
) -> Vec<Goroutine> {
    // `runtime/tls_arm64.s`, `cmd/link`: on x86-64 the word below the thread pointer, on aarch64 a register of its own.
    let current = match registers.arch() {
        Arch::X86_64 => thread_pointer.and_then(|base| space.read_u64(Avma(base.checked_sub(8)?)).ok()),
        Arch::Aarch64 => registers.get(28),
        _ => None,
    };
    let Some(current) = current.and_then(|address| Goroutine::read(address, space)) else { return Vec::new() };
    let owner = |address: u64| space.read_u64(Avma(address.checked_add(M)?)).ok();
    let Some(m) = owner(current.address).filter(|&m| m != 0) else { return Vec::new() };
    let mut found = vec![current];
    for index in 0..M_WORDS {
        let Some(word) = m.checked_add(8 * index).and_then(|slot| space.read_u64(Avma(slot)).ok()) else { break };
        let known = found.iter().any(|one| one.address == word);
        if !known && owner(word) == Some(m) {
            found.extend(Goroutine::read(word, space));
        }
    }
    found
}

/// The goroutine that a thread left when it went to its system stack, where it is about to come back to: its `sched` points
/// at itself and into its stack.
pub(crate) fn left_behind(
    registers: &Registers,
    thread_pointer: Option<u64>,
    space: &AddressSpace<'_, '_>,
) -> Option<Goroutine> {
    let sp = registers.sp()?;
    let saved = |one: &Goroutine| {
        let itself = one.address.checked_add(SCHED + 16).and_then(|slot| space.read_u64(Avma(slot)).ok());
        itself == Some(one.address) && one.owns(one.resumes_at.0) && !one.owns(sp)
    };
    of_thread(registers, thread_pointer, space).into_iter().skip(1).find(saved)
}

#[cfg(test)]
pub(crate) mod samples {
    /// Thread pointer, `m`, the scheduler's goroutine and the user's, with the stack of the latter.
    pub const THREAD: u64 = 0x1100;
    pub const M_AT: u64 = 0x1200;
    pub const SYSTEM: u64 = 0x1400;
    pub const USER: u64 = 0x1600;
    pub const USER_STACK: (u64, u64) = (0x5000, 0x6000);

    /// The words of a thread that runs on its system stack, by address; the user's goroutine goes on at these.
    pub fn words(sp: u64, pc: u64, panic: u64) -> Vec<(u64, u64)> {
        let mut words = vec![(THREAD - 8, SYSTEM), (M_AT, SYSTEM), (M_AT + 8 * 20, USER)];
        for (goroutine, (low, high)) in [(SYSTEM, (0x7000, 0x8000)), (USER, USER_STACK)] {
            words.extend([(goroutine, low), (goroutine + 8, high), (goroutine + 48, M_AT)]);
        }
        words.extend([(USER + 32, panic), (USER + 56, sp), (USER + 64, pc), (USER + 72, USER)]);
        words
    }
}

#[cfg(test)]
mod tests {
    use necropsy_model::{Memory, Permissions, Region};

    use super::samples::{SYSTEM, THREAD, USER, words};
    use super::*;
    use crate::image::Images;

    #[test]
    fn the_user_goroutine_waits_below_the_system_stack() {
        let mut bytes = vec![0_u8; 0x1000];
        for (address, word) in words(0x5800, 0x40_1000, 0) {
            let at = usize::try_from(address - 0x1000).unwrap();
            bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
        }
        let permissions = Some(Permissions { read: true, write: true, execute: false });
        let (start, end) = (Avma(0x1000), Avma(0x2000));
        let bytes: &'static [u8] = bytes.leak();
        let memory = Memory::new(vec![Region { start, end, permissions, bytes, dumped: 0x1000, file: None }]);
        let images = Images::default();
        let space = AddressSpace::new(&memory, &images);
        let mut registers = Registers::new(Arch::X86_64);
        registers.set(7, 0x7800);
        let found: Vec<_> = of_thread(&registers, Some(THREAD), &space).iter().map(|one| one.address).collect();
        assert_eq!(found, [SYSTEM, USER]);
        assert_eq!(left_behind(&registers, Some(THREAD), &space).map(|one| one.resumes_at), Some((0x5800, 0x40_1000)));
        // On its own stack it has not been left.
        registers.set(7, 0x5800);
        assert_eq!(left_behind(&registers, Some(THREAD), &space), None);
        assert_eq!(of_thread(&registers, None, &space), []);
    }
}
