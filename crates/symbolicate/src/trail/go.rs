//! Code of Go's compiler: its convention for calls, and what its runtime does.

use necropsy_model::{Avma, BirthKind, go};

use super::Tracer;
use super::context::Ctx;
use super::definition::{Kind, Loc};
use super::lead::{Path, Spot};
use super::machine::Convention;
use super::op::{Flow, Insn, Mem, Part, Reg, Src};
use crate::space::AddressSpace;

/// Registers of results in order, then those of floats: rax, rbx, rcx, rdi, rsi, r8 to r11, xmm0 to xmm14
/// (`cmd/compile/abi-internal.md`, "amd64 architecture").
pub(super) const X86_64: &[Reg] =
    &[0, 3, 2, 5, 4, 8, 9, 10, 11, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31];
/// Arguments go in the same ones.
pub(super) const X86_64_ARGUMENTS: &[Reg] = &[0, 3, 2, 5, 4, 8, 9, 10, 11];
/// The frame pointer, the stack pointer, and r14, which holds the goroutine. Nothing else outlives a call.
pub(super) const X86_64_KEPT: &[Reg] = &[6, 7, 14];
/// x0 to x15, v0 to v15 ("arm64 architecture").
pub(super) const AARCH64: &[Reg] = &[
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 64, 65, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76, 77, 78,
    79,
];
pub(super) const AARCH64_ARGUMENTS: &[Reg] = &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
/// x28 is the goroutine, x29 and 31 are frame and stack pointer.
pub(super) const AARCH64_KEPT: &[Reg] = &[28, 29, 31];

/// Functions of the runtime behind which a function does not go on. After `morestack` it begins anew.
const NO_RETURN: [&str; 8] = [
    "runtime.morestack",
    "runtime.gopanic",
    "runtime.panic",
    "runtime.goPanic",
    "runtime.throw",
    "runtime.fatal",
    "runtime.Goexit",
    "os.Exit",
];
/// Functions that end a check which the compiler put before an operation.
const FAILED_CHECKS: [&str; 5] =
    ["runtime.panicBounds", "runtime.panicIndex", "runtime.panicSlice", "runtime.panicdivide", "runtime.panicshift"];
/// Functions of the runtime that give out the place of a map's element, or of a zero where there is none (`runtime/map.go`).
const LOOKS_UP: [&str; 2] = ["runtime.mapaccess", "internal/runtime/maps.runtime_mapaccess"];

/// Functions of the runtime in assembly that keep the registers of their caller, but for some that nobody expects anything in
/// (`runtime/asm_amd64.s`, `runtime/duff_amd64.s`).
const KEEPS_REGISTERS: [&str; 2] = ["runtime.gcWriteBarrier", "runtime.duff"];

/// Functions of the runtime that give out memory, and never nil: without memory the program ends (`runtime/malloc.go`).
const ALLOCATES: [&str; 5] =
    ["runtime.mallocgc", "runtime.newobject", "runtime.make", "runtime.growslice", "runtime.newarray"];

/// The convention of the code at an address.
pub(super) fn convention(address: Avma, space: &AddressSpace<'_, '_>) -> Convention {
    let go = space.images.at(address).is_some_and(|(_, image)| image.is_go(image.bias.to_svma(address)));
    if go { Convention::Go } else { Convention::C }
}

/// Whether a function of this name gives out memory.
pub(super) fn allocates(name: &str) -> bool {
    ALLOCATES.iter().any(|known| name.starts_with(known))
}

/// Whether a check of the compiler ends in a function of this name.
pub(super) fn ends_check(name: &str) -> bool {
    FAILED_CHECKS.iter().any(|known| name.starts_with(known))
}

/// Whether a function of this name comes back to its caller.
pub(super) fn comes_back(name: &str) -> bool {
    !NO_RETURN.iter().any(|known| name.starts_with(known))
}

impl Tracer<'_, '_, '_> {
    /// A function of Go's standard library: it lies in the program, with everything else.
    pub fn is_of_go(&self, name: &str) -> bool {
        self.machine.convention == Convention::Go && go::is_standard_library(name)
    }

    /// A call leaves the registers of its caller alone, by a convention of its own.
    pub fn keeps_registers(&mut self, insn: &Insn) -> bool {
        let Flow::Call(Src::Const(target)) = insn.flow else { return false };
        let go = self.machine.convention == Convention::Go;
        let name = if go { self.function_name(target) } else { None };
        name.is_some_and(|name| KEEPS_REGISTERS.iter().any(|known| name.starts_with(known)))
    }

    /// A value that was read where a map's look-up pointed: the element, or the zero that stands for one that is not there.
    pub fn map_element(&mut self, ctx: Ctx, at: usize, mem: &Mem, path: &Path) -> bool {
        let Some(reg) = mem.base.filter(|_| self.machine.convention == Convention::Go) else { return false };
        let place = Loc::Reg(Part { reg, offset: 0, size: 8 });
        let defs = self.reaching(ctx, at, place, None);
        let [def] = defs.as_slice() else { return false };
        let target = self.insn(ctx, def.at).filter(|_| matches!(def.kind, Kind::Result)).map(|insn| insn.flow);
        let Some(Flow::Call(target)) = target else { return false };
        let name = self.target(ctx, def.at, target).and_then(|target| self.function_name(target));
        let found = name.is_some_and(|name| LOOKS_UP.iter().any(|known| name.starts_with(known)));
        if found {
            let what = "read from a map: there is no such key, or this is stored under it".to_owned();
            self.lead(BirthKind::LibraryResult, Spot { ctx, at }, what, path);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runtime_does_not_come_back_from_a_panic() {
        assert!(!comes_back("runtime.panicIndex"));
        assert!(!comes_back("runtime.morestack_noctxt.abi0"));
        assert!(comes_back("runtime.mapaccess1_faststr"));
        assert!(comes_back("main.panicIndex"));
    }

    #[test]
    fn arguments_and_results_go_in_the_same_registers() {
        assert!(X86_64.starts_with(X86_64_ARGUMENTS) && AARCH64.starts_with(AARCH64_ARGUMENTS));
        assert!(X86_64_KEPT.iter().all(|reg| !X86_64.contains(reg)));
        assert!(AARCH64_KEPT.iter().all(|reg| !AARCH64.contains(reg)));
    }
}
