//! The futex system call of a thread: `futex(2)`, `include/uapi/linux/futex.h`.

use necropsy_model::{Arch, Thread};

/// `FUTEX_CMD_MASK` leaves the operation without `FUTEX_PRIVATE_FLAG` and `FUTEX_CLOCK_REALTIME`.
const OPTIONS: u64 = 0x80 | 0x100;
/// `FUTEX_WAIT`, `FUTEX_LOCK_PI`, `FUTEX_WAIT_BITSET`, `FUTEX_WAIT_REQUEUE_PI`, `FUTEX_LOCK_PI2`: those that wait.
const WAITING: [u64; 5] = [0, 6, 9, 11, 13];

/// A wait at a futex word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Futex {
    /// Address of the word.
    pub address: u64,
    /// The value it had when the wait began; without meaning for the operations on priority-inheriting locks.
    pub value: u32,
    /// The wait has a time limit.
    pub limited: bool,
}

/// The wait that a thread is in, from the registers that it entered the kernel with.
pub(super) fn of(thread: &Thread<'_>) -> Option<Futex> {
    let detail = thread.detail.as_ref()?;
    let registers = detail.registers.as_ref()?;
    // Number of the call, then the registers of its first four arguments by DWARF number.
    let (number, arguments) = match registers.arch() {
        Arch::X86_64 => (202, [5, 4, 1, 10]),
        Arch::Aarch64 => (98, [0, 1, 2, 3]),
        _ => return None,
    };
    if detail.syscall != Some(number) {
        return None;
    }
    let [address, operation, value, limit] = arguments.map(|register| registers.get(register));
    if !WAITING.contains(&(operation? & !OPTIONS)) {
        return None;
    }
    // aarch64 returns in the register of the first argument: in a core of a signal, an error number stands there.
    let address = address.filter(|&address| address > 0xffff && address >> 56 == 0 && address.is_multiple_of(4))?;
    Some(Futex { address, value: value? as u32, limited: limit? != 0 })
}
