//! Signal frames: the kernel's trampoline, and the registers it saved of the frame that it interrupted.
//!
//! The layout is the kernel's: `struct rt_sigframe` in `arch/x86/include/asm/sigframe.h` and `arch/arm64/kernel/signal.c`,
//! `struct sigcontext` in the `uapi/asm/sigcontext.h` of both.

use necropsy_model::{Arch, Avma, Registers, Vectors};

use super::frame::Caller;
use super::machine::Machine;
use crate::space::AddressSpace;

/// Where a machine's trampoline and signal frame keep things.
struct Layout {
    /// Instructions of the trampoline: load the number of `rt_sigreturn`, enter the kernel. glibc, musl, Go's runtime and
    /// the vDSO write the same ones, and only some of them come with call frame information.
    code: &'static [&'static [u8]],
    /// From the stack pointer in the trampoline to the first saved register.
    registers: u64,
    /// DWARF numbers of the saved registers, in order, eight bytes each.
    order: &'static [u16],
    vectors: VectorsAt,
}

/// Where a signal frame keeps the vector registers.
enum VectorsAt {
    /// So far behind the stack pointer stands a pointer to an FXSAVE image, which has them at byte 160.
    Behind(u64),
    /// So far behind the stack pointer begins the `fpsimd_context`, by its magic number: 16 bytes, then the registers.
    Tagged(u64, u32),
}

/// `mov $15,%rax` or `mov $15,%eax`, `syscall`. The return address of the frame was popped, so that `sp` points at the
/// `ucontext`: flags, link and stack are 40 bytes, then r8 to r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip.
const X86_64: Layout = Layout {
    code: &[&[0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05], &[0xb8, 0x0f, 0, 0, 0, 0x0f, 0x05]],
    registers: 40,
    order: &[8, 9, 10, 11, 12, 13, 14, 15, 5, 4, 6, 3, 1, 0, 2, 7, 16],
    vectors: VectorsAt::Behind(40 + 23 * 8),
};

/// `mov x8,#139`, `svc #0`. `sp` points at the `siginfo` of 128 bytes; the `sigcontext` lies 176 bytes into the `ucontext`
/// behind it and starts with the fault address; then x0 to x30, sp, pc.
const AARCH64: Layout = Layout {
    code: &[&[0x68, 0x11, 0x80, 0xd2, 0x01, 0, 0, 0xd4]],
    registers: 128 + 176 + 8,
    order: &[
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29,
        30, 31, 32,
    ],
    vectors: VectorsAt::Tagged(128 + 176 + 288, 0x4650_8001),
};

fn layout(arch: Arch) -> Option<&'static Layout> {
    match arch {
        Arch::X86_64 => Some(&X86_64),
        Arch::Aarch64 => Some(&AARCH64),
        _ => None,
    }
}

/// The instructions at an address are those of a signal trampoline.
pub(super) fn is_trampoline(address: u64, arch: Arch, space: &AddressSpace<'_, '_>) -> bool {
    let codes = layout(arch).map(|layout| layout.code).unwrap_or_default();
    codes.iter().any(|code| space.read(Avma(address), code.len()) == Ok(code))
}

/// The vector registers of the interrupted frame, as far as the signal frame has them.
pub(super) fn vectors(registers: &Registers, space: &AddressSpace<'_, '_>) -> Vectors {
    let found = layout(registers.arch()).zip(registers.sp()).and_then(|(layout, sp)| {
        let (at, count) = match layout.vectors {
            VectorsAt::Behind(pointer) => (space.read_u64(Avma(sp.checked_add(pointer)?)).ok()?.checked_add(160)?, 16),
            VectorsAt::Tagged(context, magic) => {
                let context = sp.checked_add(context)?;
                space.read_u32(Avma(context)).ok().filter(|&found| found == magic)?;
                (context.checked_add(16)?, 32)
            }
        };
        space.read(Avma(at), count * 16).ok()
    });
    Vectors { low: found.unwrap_or_default().as_chunks().0.to_vec(), high: Vec::new() }
}

/// The interrupted frame, read from the signal frame of a trampoline with these registers.
pub(super) fn interrupted(registers: &Registers, machine: &Machine, space: &AddressSpace<'_, '_>) -> Option<Caller> {
    let layout = layout(registers.arch())?;
    let first = registers.sp()?.checked_add(layout.registers)?;
    let mut caller = Caller { registers: Registers::new(registers.arch()), cfa: None, saved: Vec::new() };
    for (&register, slot) in layout.order.iter().zip((first..u64::MAX).step_by(8)) {
        caller.registers.set(register, space.read_u64(Avma(slot)).ok()?);
        caller.saved.push((register, slot));
    }
    caller.registers.set(machine.pc, machine.strip(caller.registers.pc()?, space));
    Some(caller)
}
