//! Code of Go's compiler: its convention for calls, and what its runtime does.

use necropsy_model::{Avma, BirthKind, MessageKind, go};

use super::Tracer;
use super::context::Ctx;
use super::definition::{Kind, Loc};
use super::lead::{Path, Spot};
use super::machine::Convention;
use super::op::{Flow, Insn, Mem, Op, Part, Reg, Src};
use super::subject::{Scene, Subject};
use crate::space::AddressSpace;
use crate::unwind::RawFrame;

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

/// Bytes of arguments and results on the stack.
const RESULTS: u64 = 256;

/// The part of a goroutine's stack that its frames take, from those that ran below the one at `frame` on.
pub(super) fn stack_of(frames: &[RawFrame], frame: usize) -> Option<(u64, u64)> {
    /// Bytes that frames take which lie on one another: the runtime goes to a stack of its own to end the process.
    const TOGETHER: u64 = 1 << 14;
    let (below, above) = frames.split_at_checked(frame)?;
    let mut low = above.first()?.registers.sp()?;
    for sp in below.iter().rev().map_while(|frame| frame.registers.sp()) {
        if sp > low || low - sp > TOGETHER {
            break;
        }
        low = sp;
    }
    let high = above.iter().filter_map(|frame| frame.cfa).max()?;
    Some((low, high.checked_add(RESULTS)?))
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

impl<'data> Tracer<'_, '_, 'data> {
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

    /// A call gives its results on the stack, as assembly does (`abi0`), and this place lies among them or among its arguments.
    pub fn is_result_on_stack(&mut self, ctx: Ctx, call: usize, address: u64) -> bool {
        if self.machine.convention != Convention::Go || !self.is_own(ctx, address) {
            return false;
        }
        let Some(Flow::Call(Src::Const(target))) = self.insn(ctx, call).map(|insn| insn.flow) else { return false };
        let sp = self.run(ctx).function.stack(call).sp.map(|sp| self.run(ctx).cfa.wrapping_add_signed(sp));
        let near = sp.is_some_and(|sp| address.wrapping_sub(sp) < RESULTS);
        near && self.is_assembly(target) && self.finds_goroutine_behind(ctx, call)
    }

    /// Behind a function of the old convention, which keeps no register, the compiler loads the one with the goroutine anew; others of
    /// the assembler go by the convention of the compiler.
    fn finds_goroutine_behind(&self, ctx: Ctx, call: usize) -> bool {
        /// Instructions behind the call.
        const REACH: usize = 3;
        let function = self.function(ctx);
        let goroutine = self.machine.name(14).filter(|&name| name == "r14").map(|_| 14);
        let behind = function.insns.iter().skip(call + 1).take(REACH);
        let mut ops = behind.flat_map(|insn| &insn.ops);
        goroutine.is_some_and(|reg| {
            ops.any(|op| {
                matches!(*op, Op::Set { to, .. } if to.reg == reg) || matches!(*op, Op::Write(other) if other == reg)
            })
        })
    }

    /// A function of Go's assembler, by its source: arguments and results on the stack (`cmd/compile/abi-internal.md`, "ABI0").
    fn is_assembly(&self, target: u64) -> bool {
        let names = self.names(target);
        let file = names.last().and_then(|name| name.location.as_ref()).map(|location| &location.file);
        file.is_some_and(|file| file.ends_with(".s"))
    }

    /// What functions of Go's runtime and of its assembly put where they were told to.
    pub fn written_by_go(&mut self, spot: Spot, target: u64, name: &str, place: u64, path: &Path) -> bool {
        if !self.is_of_go(name) {
            return false;
        }
        let what = if name.starts_with("runtime.chanrecv") {
            "received from a channel: it is closed, or this was sent".to_owned()
        } else if self.is_result_on_stack(spot.ctx, spot.at, place) && self.is_assembly(target) {
            format!("returned by {name}")
        } else {
            return false;
        };
        let path = path.with(spot, "result", what.clone());
        self.lead(BirthKind::LibraryResult, spot, what, &path);
        true
    }

    /// The runtime refused what it was given: the map that is nil.
    pub fn refused_by_go(&mut self, scene: &Scene<'_, '_, 'data>) -> Vec<Subject> {
        let mut said = scene.messages.iter().filter(|message| message.kind == MessageKind::GoPanic);
        if self.machine.convention != Convention::Go || !said.any(|said| said.text.contains("entry in nil map")) {
            return Vec::new();
        }
        let frame = self.first_own(scene);
        let place = frame.and_then(|frame| self.of_frame(frame)).and_then(|ctx| Some((ctx, self.live(ctx)?)));
        let Some((ctx, at)) = place else { return Vec::new() };
        let name = self.called_name(ctx, at);
        // Its type comes first (`runtime/map.go`).
        let map = self.machine.arguments.get(1).filter(|_| name.is_some_and(|name| name.contains("mapassign")));
        let source = map.map(|&reg| Src::Reg(Part { reg, offset: 0, size: 8 }));
        source.map(|source| Subject::new(ctx, at, source, Some(0), "the map".to_owned())).into_iter().collect()
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
    fn a_goroutine_has_the_stack_that_its_frames_take() {
        use necropsy_model::{Arch, CodeAddress, FrameKind, Registers, Trust, Vectors};
        let frame = |sp: u64| {
            let mut registers = Registers::new(Arch::X86_64);
            registers.set(7, sp);
            let (address, kind) = (CodeAddress::Return(Avma(0x40_1000)), FrameKind::Normal);
            RawFrame {
                address,
                registers,
                cfa: Some(sp + 0x80),
                trust: Trust::Cfi,
                kind,
                saved: Vec::new(),
                vectors: Vectors::default(),
            }
        };
        // The signal's own stack, the runtime on the goroutine's, the frame at fault and its caller.
        let frames = [0x7000, 0xc0_2000, 0xc0_2100, 0xc0_2200].map(frame);
        assert_eq!(stack_of(&frames, 2), Some((0xc0_2000, 0xc0_2280 + RESULTS)));
        assert_eq!(stack_of(&frames, 0), Some((0x7000, 0xc0_2280 + RESULTS)), "what is innermost has nothing below it");
        assert_eq!(stack_of(&frames, 9), None);
    }

    #[test]
    fn arguments_and_results_go_in_the_same_registers() {
        assert!(X86_64.starts_with(X86_64_ARGUMENTS) && AARCH64.starts_with(AARCH64_ARGUMENTS));
        assert!(X86_64_KEPT.iter().all(|reg| !X86_64.contains(reg)));
        assert!(AARCH64_KEPT.iter().all(|reg| !AARCH64.contains(reg)));
    }
}
