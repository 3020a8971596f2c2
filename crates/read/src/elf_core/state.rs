//! What a thread was doing, as far as its registers tell without a stack.

use necropsy_model::{Activity, Arch, Avma, Memory, Registers, State};

use super::prstatus::Prstatus;
use super::syscalls;

/// What a thread was doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Doing {
    /// Number of the system call it was in.
    pub syscall: Option<u64>,
    /// The state for the report.
    pub state: Option<State<'static>>,
}

/// How a machine calls the kernel.
struct Convention {
    /// DWARF number of the register with the number of the call, and of the second argument.
    number: u16,
    second_argument: u16,
    /// The instruction, which stands right before the program counter while the call lasts.
    instruction: &'static [u8],
}

fn convention(arch: Arch) -> Option<Convention> {
    match arch {
        Arch::X86_64 => Some(Convention { number: 0, second_argument: 4, instruction: &[0x0f, 0x05] }),
        Arch::Aarch64 => Some(Convention { number: 8, second_argument: 1, instruction: &[0x01, 0, 0, 0xd4] }),
        _ => None,
    }
}

/// Tells what a thread was doing. Nothing is known on machines whose registers are not read.
pub(super) fn of(status: &Prstatus, arch: Arch, memory: &Memory<'_>) -> Doing {
    let Some((registers, convention)) = status.registers.as_ref().zip(convention(arch)) else {
        return Doing::default();
    };
    match in_syscall(status, registers, &convention, memory) {
        Call::Unknown => Doing::default(),
        Call::None => {
            let running = State { text: "running".into(), activity: Activity::Running };
            Doing { syscall: None, state: Some(running) }
        }
        Call::Number(number) => {
            let (name, activity) = syscalls::describe(arch, number, registers.get(convention.second_argument));
            let text = match name {
                Some(name) => format!("in {name} (system call {number})"),
                None => format!("in system call {number}"),
            };
            Doing { syscall: Some(number), state: Some(State { text: text.into(), activity }) }
        }
    }
}

/// Whether a thread was in a system call.
enum Call {
    Number(u64),
    None,
    /// The core does not tell.
    Unknown,
}

/// The system call a thread was in.
///
/// The code before the program counter is the proof where it is in the core. Mostly it is not, because the default filter
/// leaves out what a file holds; then the kernel's own word counts. aarch64 keeps no such word in its registers: x8 holds
/// the last call's number long after it, so that without `NT_ARM_SYSTEM_CALL` and without the code nothing is claimed.
fn in_syscall(status: &Prstatus, registers: &Registers, convention: &Convention, memory: &Memory<'_>) -> Call {
    let length = convention.instruction.len();
    let before = registers.pc().and_then(|pc| pc.checked_sub(length as u64));
    let code = before.and_then(|before| memory.read(Avma(before), length).ok());
    if code.is_some_and(|code| code != convention.instruction) {
        return Call::None;
    }
    match (status.syscall, code) {
        (Some(number), _) => u64::try_from(number).map_or(Call::None, Call::Number),
        (None, Some(_)) => registers.get(convention.number).map_or(Call::Unknown, Call::Number),
        (None, None) => Call::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use necropsy_model::{Permissions, Region};

    use super::*;

    fn thread(arch: Arch, pc: u64, set: &[(u16, u64)], syscall: Option<i64>) -> Prstatus {
        let mut registers = Registers::new(arch);
        registers.set(arch.program_counter().unwrap(), pc);
        for &(register, value) in set {
            registers.set(register, value);
        }
        Prstatus { registers: Some(registers), syscall, ..Prstatus::default() }
    }

    fn code(bytes: &'static [u8]) -> Memory<'static> {
        let permissions = Some(Permissions { read: true, write: false, execute: true });
        let (start, end) = (Avma(0x1000), Avma(0x2000));
        Memory::new(vec![Region { start, end, permissions, bytes, dumped: bytes.len() as u64, file: None }])
    }

    #[test]
    fn the_kernel_says_that_a_thread_is_in_a_call() {
        let waiting = of(&thread(Arch::X86_64, 0x9000, &[(4, 0x189)], Some(202)), Arch::X86_64, &Memory::default());
        let state = waiting.state.unwrap();
        assert_eq!((state.text.as_ref(), state.activity), ("in futex wait (system call 202)", Activity::Signal));
        let running = of(&thread(Arch::X86_64, 0x9000, &[], Some(-1)), Arch::X86_64, &Memory::default());
        assert_eq!(running.state.unwrap().activity, Activity::Running);
    }

    #[test]
    fn the_code_in_the_core_has_the_last_word() {
        let inside = of(&thread(Arch::X86_64, 0x1002, &[], Some(0)), Arch::X86_64, &code(&[0x0f, 0x05, 0x90]));
        assert_eq!(inside.syscall, Some(0));
        let outside = of(&thread(Arch::X86_64, 0x1002, &[], Some(0)), Arch::X86_64, &code(&[0x90, 0x90, 0x90]));
        assert_eq!(outside.syscall, None);
    }

    #[test]
    fn a_stale_x8_is_no_system_call() {
        let stale = of(&thread(Arch::Aarch64, 0x9000, &[(8, 98)], None), Arch::Aarch64, &Memory::default());
        assert_eq!(stale, Doing::default());
        let inside = of(&thread(Arch::Aarch64, 0x1004, &[(8, 98)], None), Arch::Aarch64, &code(&[1, 0, 0, 0xd4]));
        assert_eq!(inside.syscall, Some(98));
    }
}
