//! Functions that are no longer on the stack because they jumped to the next one: tail calls.
//!
//! The call before a return address names the function that was called. When the frame it led to belongs to another function,
//! the called one has jumped there, directly or over others. The chain is rebuilt from the jumps in the code, as gdb does from
//! call-site records (`gdb/dwarf2/frame-tailcall.c`): only what every possible chain has in common is listed. The code itself
//! is the better witness: it is there without debug information, and clang's and Rust's records often lack the jump.

use iced_x86::{Decoder, DecoderOptions, FlowControl};
use necropsy_model::{Arch, Avma, CodeAddress, FrameKind, Gap, Svma, Trust};
use object::{Object, ObjectSymbol};

use super::cfi::{Cfa, Row, Rule};
use super::walk::Walker;
use super::{RawFrame, calls};
use crate::image::Image;

/// Longest chain of jumps between two frames.
const MAX_LINKS: usize = 8;
/// Functions whose code is read to rebuild one chain.
const MAX_FUNCTIONS: usize = 64;
/// Chains between two frames that are compared; with more, nothing useful is common to all.
const MAX_CHAINS: usize = 16;
/// Bytes of the largest function whose jumps are read.
const MAX_CODE: u64 = 64 << 10;

/// A jump from one function to another: the address behind it.
type Jump = u64;

/// Adds the frames that tail calls removed.
pub(super) fn rebuild(
    walker: &mut Walker<'_, '_>,
    frames: Vec<RawFrame>,
    gap: Option<Gap>,
) -> (Vec<RawFrame>, Option<Gap>) {
    let mut moved = gap;
    let mut rebuilt: Vec<RawFrame> = Vec::with_capacity(frames.len());
    let mut frames = frames.into_iter().enumerate().peekable();
    while let Some((index, callee)) = frames.next() {
        let across_gap = gap.is_some_and(|gap| gap.after == index + 1);
        let between = match frames.peek() {
            Some((_, caller)) if !across_gap => {
                chain(walker, &callee, caller).into_iter().map(|jump| lost(walker, jump, &callee, caller)).collect()
            }
            _ => Vec::new(),
        };
        if let (Some(gap), Some(moved)) = (gap, &mut moved)
            && index < gap.after
        {
            moved.after += between.len();
            // One turn of the recursion has grown, and with it every turn that is not listed.
            if let (Some(turn), Some(period)) = (gap.period, &mut moved.period)
                && index + turn >= gap.after
            {
                *period += between.len();
                moved.omitted += gap.omitted / turn as u64 * between.len() as u64;
            }
        }
        rebuilt.push(callee);
        rebuilt.extend(between);
    }
    (rebuilt, moved)
}

/// A frame for a jump. Before it jumped, the function put back every register that it had to preserve.
fn lost(walker: &Walker<'_, '_>, jump: Jump, callee: &RawFrame, caller: &RawFrame) -> RawFrame {
    let machine = walker.machine;
    let mut registers = machine.across_call(&caller.registers);
    registers.set(machine.pc, jump);
    if let Some(cfa) = callee.cfa {
        let pushed = if machine.lr.is_none() { 8 } else { 0 };
        registers.set(machine.sp, cfa.wrapping_sub(pushed));
    }
    let saved = caller.saved.iter().copied().filter(|&(register, _)| machine.preserves(register)).collect();
    RawFrame {
        address: CodeAddress::Return(Avma(jump)),
        registers,
        cfa: callee.cfa,
        trust: Trust::TailCall,
        kind: FrameKind::Normal,
        saved,
        vectors: necropsy_model::Vectors::default(),
    }
}

/// The jumps between a call and the frame that it led to, innermost first; empty when it led there directly, and when the
/// chain is not certain.
fn chain(walker: &mut Walker<'_, '_>, callee: &RawFrame, caller: &RawFrame) -> Vec<Jump> {
    let plain = callee.kind == FrameKind::Normal && caller.kind == FrameKind::Normal && caller.trust == Trust::Cfi;
    let CodeAddress::Return(return_address) = caller.address else { return Vec::new() };
    if !plain {
        return Vec::new();
    }
    let arch = caller.registers.arch();
    let Some(called) = calls::fixed_target(return_address.0, arch, walker.space) else { return Vec::new() };
    let Some(goal) = walker.function_at(callee.address.lookup()) else { return Vec::new() };
    if goal.covers(called) || !walker.is_whole(&goal) {
        return Vec::new();
    }
    let mut search = Search { walker, goal: goal.start, arch, chains: Vec::new(), functions: 0, complete: true };
    search.follow(called, &mut Vec::new(), &mut Vec::new());
    if !search.complete {
        return Vec::new();
    }
    let mut certain = common(&search.chains);
    certain.reverse();
    certain
}

/// What all chains begin and end with.
fn common(chains: &[Vec<Jump>]) -> Vec<Jump> {
    let Some((first, others)) = chains.split_first() else { return Vec::new() };
    let shortest = chains.iter().map(Vec::len).min().unwrap_or(0);
    let agree = |place: usize, from_end: bool| {
        let at = |chain: &Vec<Jump>| {
            let index = if from_end { chain.len().checked_sub(place + 1)? } else { place };
            chain.get(index).copied()
        };
        others.iter().all(|other| at(other) == at(first))
    };
    let head = (0..shortest).take_while(|&place| agree(place, false)).count();
    let tail = (0..shortest - head).take_while(|&place| agree(place, true)).count();
    let mut certain: Vec<Jump> = first.iter().copied().take(head).collect();
    certain.extend(first.iter().skip(first.len() - tail));
    certain
}

struct Search<'a, 'b, 'data> {
    walker: &'a mut Walker<'b, 'data>,
    goal: u64,
    arch: Arch,
    chains: Vec<Vec<Jump>>,
    functions: usize,
    complete: bool,
}

impl Search<'_, '_, '_> {
    /// Looks for chains from the function at `entry`; `open` are the functions on the way, so that a cycle is walked once.
    fn follow(&mut self, entry: u64, jumps: &mut Vec<Jump>, open: &mut Vec<u64>) {
        self.functions += 1;
        if self.functions > MAX_FUNCTIONS || self.chains.len() >= MAX_CHAINS {
            self.complete = false;
            return;
        }
        if jumps.len() >= MAX_LINKS || open.contains(&entry) {
            return;
        }
        let Some(function) = self.walker.function_at(Avma(entry)).filter(|function| function.start == entry) else {
            return;
        };
        open.push(entry);
        for (behind, target) in self.walker.jumps_out_of(&function, self.arch) {
            jumps.push(behind);
            if target == self.goal {
                self.chains.push(jumps.clone());
            } else {
                self.follow(target, jumps, open);
            }
            jumps.pop();
        }
        open.pop();
    }
}

/// A function, as its call frame information bounds it. The cold part of a function has bounds of its own.
struct Function {
    start: u64,
    end: u64,
}

impl Function {
    fn covers(&self, address: u64) -> bool {
        (self.start..self.end).contains(&address)
    }
}

impl Walker<'_, '_> {
    fn function_at(&mut self, address: Avma) -> Option<Function> {
        let (bias, row) = self.row_at(address);
        let (start, end) = row.ok()?.range;
        Some(Function { start: bias.to_avma(start).0, end: bias.to_avma(end).0 })
    }

    /// A function, not the cold part of one, to which its other part jumps: the stack is as a call leaves it at the start.
    fn is_whole(&mut self, function: &Function) -> bool {
        let start = Avma(function.start);
        self.as_at_entry(start) && !self.is_cold_part(start)
    }

    /// The stack at an address is as a call leaves it, and no register has been saved.
    fn as_at_entry(&mut self, address: Avma) -> bool {
        let saves = |row: &Row<'_>| {
            row.rules.iter().any(|&(register, rule)| {
                register != row.return_register && matches!(rule, Rule::Offset(_) | Rule::Expression(_))
            })
        };
        self.stack_as_at_entry(address) && self.row_at(address).1.is_ok_and(|row| !saves(&row))
    }

    /// The stack at an address is as a call leaves it.
    ///
    /// At a jump that ends a function the rules may still name the slots of registers that were popped: gcc states the new
    /// height of the stack, but not that the registers are back (`pop %rbx; jmp apply_refund`).
    fn stack_as_at_entry(&mut self, address: Avma) -> bool {
        let pushed = if self.machine.lr.is_none() { 8 } else { 0 };
        let sp = self.machine.sp;
        self.row_at(address)
            .1
            .is_ok_and(|row| matches!(row.cfa, Cfa::Register(register, offset) if register == sp && offset == pushed))
    }

    /// The instruction before gives the frame back. clang says for aarch64 where the stack stands up to the body of a function,
    /// and not how the end of it puts it back (`-fasynchronous-unwind-tables` is off there).
    fn is_behind_epilogue(&self, at: u64, arch: Arch) -> bool {
        let word = |back: u64| at.checked_sub(back).and_then(|at| self.space.read_u32(Avma(at)).ok());
        let authenticates = |word: &u32| matches!(word, 0xd503_23bf | 0xd503_23ff);
        let last = if arch == Arch::Aarch64 { word(4) } else { None };
        let last = if last.as_ref().is_some_and(authenticates) { word(8) } else { last };
        // add sp, sp, #n; ldp a, b, [sp], #n; ldr a, [sp], #n
        last.is_some_and(|word| {
            word & 0xff80_03ff == 0x9100_03ff || word & 0xffc0_03e0 == 0xa8c0_03e0 || word & 0xffe0_0fe0 == 0xf840_07e0
        })
    }

    /// The symbol table calls it the cold part of a function (gcc's `name.cold`, older ones `name.cold.0`).
    fn is_cold_part(&self, start: Avma) -> bool {
        let Some((_, image)) = self.space.images.at(start) else { return false };
        symbol_at(image, image.bias.to_svma(start)).is_some_and(|name| name.contains(".cold"))
    }

    /// Jumps that leave a function with the stack as it was at entry: address behind the jump, address jumped to.
    fn jumps_out_of(&mut self, function: &Function, arch: Arch) -> Vec<(Jump, u64)> {
        let length = function.end.saturating_sub(function.start);
        let Some(length) = usize::try_from(length).ok().filter(|_| length <= MAX_CODE) else { return Vec::new() };
        let Ok(code) = self.space.read(Avma(function.start), length) else { return Vec::new() };
        let branches = match arch {
            Arch::X86_64 => branches_x86_64(code, function.start),
            _ => branches_aarch64(code, function.start),
        };
        let mut jumps = Vec::new();
        for (at, behind, target) in branches {
            if !function.covers(target) && (self.stack_as_at_entry(Avma(at)) || self.is_behind_epilogue(at, arch)) {
                jumps.push((behind, calls::behind_plt(target, arch, self.space).unwrap_or(target)));
            }
        }
        jumps
    }
}

/// The name of the symbol that starts at an address.
fn symbol_at<'data>(image: &Image<'data>, address: Svma) -> Option<&'data str> {
    let elf = image.elf.as_ref()?;
    elf.symbols().find(|symbol| symbol.address() == address.0)?.name().ok()
}

/// A branch: where it stands, the address behind it, where it goes.
type Branch = (u64, u64, u64);

fn branches_x86_64(code: &[u8], start: u64) -> Vec<Branch> {
    let decoder = Decoder::with_ip(64, code, start, DecoderOptions::NONE);
    let direct = |flow| matches!(flow, FlowControl::UnconditionalBranch | FlowControl::ConditionalBranch);
    let branches = decoder.into_iter().filter(|instruction| direct(instruction.flow_control()));
    branches.map(|branch| (branch.ip(), branch.next_ip(), branch.near_branch_target())).collect()
}

/// `b label` (Arm ARM, C6.2 "B"): a signed distance of 26 bits, in words. Compilers make no tail calls of other branches.
fn branches_aarch64(code: &[u8], start: u64) -> Vec<Branch> {
    let words = code.chunks_exact(4).zip((start..u64::MAX).step_by(4));
    let branch = |(word, at): (&[u8], u64)| {
        let word = u32::from_le_bytes(word.try_into().ok()?);
        let distance = i64::from((word << 6).cast_signed() >> 6) * 4;
        (word >> 26 == 0b00_0101).then(|| (at, at + 4, at.wrapping_add_signed(distance)))
    };
    words.filter_map(branch).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_all_chains_share_is_certain() {
        assert_eq!(common(&[vec![1, 2, 3]]), [1, 2, 3]);
        assert_eq!(common(&[vec![1, 2, 9], vec![1, 3, 4, 9]]), [1, 9]);
        assert_eq!(common(&[vec![1], vec![2]]), [0_u64; 0]);
        assert_eq!(common(&[vec![1, 2], vec![1, 3, 2]]), [1, 2]);
        assert_eq!(common(&[]), [0_u64; 0]);
    }

    #[test]
    fn branches_of_both_machines_are_read() {
        let code = [0x90, 0xe9, 0x10, 0, 0, 0, 0x74, 0x02, 0xe8, 1, 2, 3, 4];
        assert_eq!(branches_x86_64(&code, 0x100), [(0x101, 0x106, 0x116), (0x106, 0x108, 0x10a)]);
        let code = [0x1f, 0x20, 0x03, 0xd5, 0xfe, 0xff, 0xff, 0x17, 1, 0, 0, 0x94];
        assert_eq!(branches_aarch64(&code, 0x100), [(0x104, 0x108, 0xfc)]);
    }
}
