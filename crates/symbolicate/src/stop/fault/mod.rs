//! The faulting instruction: what it tried to do, to which address, and which operand is to blame.

mod aarch64;
mod decoded;
mod x86_64;

use necropsy_model::{Access, AddressState, Arch, Avma, Fault, FaultOperand, Permissions, Registers, Signal};

use self::decoded::{Decoded, Divisor, Flow, MemoryOperand, Target};
use super::values_facts;
use crate::space::AddressSpace;
use crate::unwind;

/// The stack grows this far below its pointer in one go at most: a bigger frame is rare and touches its pages in order.
const NEAR_STACK: u64 = 1 << 20;
/// `SI_KERNEL`: the kernel raised the signal and knows no address.
const SI_KERNEL: i32 = 0x80;

/// What is known of a fault before its instruction is looked at.
pub(super) struct Scene<'a, 'b, 'data> {
    /// Registers at the instruction.
    pub registers: &'a Registers,
    /// Base of thread-local storage.
    pub thread_pointer: Option<u64>,
    /// The signal.
    pub signal: Signal,
    /// `si_addr`.
    pub address: Option<Avma>,
    /// Memory.
    pub space: &'a AddressSpace<'b, 'data>,
}

/// Explains the instruction at the program counter of a scene.
pub(super) fn explain<'data>(scene: &Scene<'_, '_, 'data>) -> Option<Fault<'data>> {
    let pc = scene.registers.pc()?;
    let mut fault = Fault { pc: Avma(pc), ..Fault::default() };
    // A dump that does not list all memory says nothing of a program counter outside of it, unless that is what faulted.
    let unlisted = scene.space.memory.state(Avma(pc)) == AddressState::NotListed;
    let runs = scene.space.is_code(Avma(pc)) || unlisted && scene.address != Some(Avma(pc));
    if !runs && matches!(scene.signal.number, Signal::SEGV | Signal::BUS | Signal::ILL) {
        executed_no_code(scene, pc, &mut fault);
    } else if let Some(decoded) = decode(scene, pc) {
        judge(scene, &decoded, &mut fault);
    } else {
        fault.address = scene.reported().map(Avma);
    }
    describe_address(scene, &mut fault);
    describe_stack(scene, &mut fault);
    fault.value_facts = values_facts::of(&fault, scene.space);
    Some(fault)
}

impl Scene<'_, '_, '_> {
    /// `si_addr`, where the kernel knew it.
    fn reported(&self) -> Option<u64> {
        let faulted = self.signal.code.is_none_or(|code| code > 0 && code != SI_KERNEL);
        self.address.filter(|_| faulted && matches!(self.signal.number, Signal::SEGV | Signal::BUS)).map(|at| at.0)
    }
}

fn decode(scene: &Scene<'_, '_, '_>, pc: u64) -> Option<Decoded> {
    match scene.registers.arch() {
        Arch::X86_64 => {
            let bytes = scene.space.read_most(Avma(pc), x86_64::LONGEST)?;
            x86_64::decode(pc, bytes, scene.registers, scene.thread_pointer)
        }
        Arch::Aarch64 => {
            let word = scene.space.read_u32(Avma(pc)).ok()?;
            Some(aarch64::decode(pc, word, scene.registers))
        }
        _ => None,
    }
}

/// Fills in what an instruction did.
fn judge(scene: &Scene<'_, '_, '_>, decoded: &Decoded, fault: &mut Fault<'_>) {
    fault.instruction = Some(decoded.text.clone());
    fault.is_trap = decoded.flow == Flow::Trap;
    fault.is_branch = matches!(decoded.flow, Flow::Call(_) | Flow::Jump(_) | Flow::Return(_));
    fault.is_return = matches!(decoded.flow, Flow::Return(_));
    if scene.signal.number == Signal::FPE {
        fault.divisor = decoded.divisor.and_then(|divisor| match divisor {
            Divisor::Value(value) => Some(value),
            Divisor::Memory(size) => load(scene.space, decoded.memory.first()?.address?, size),
        });
    }
    if fault.is_trap && scene.signal.number != Signal::BUS {
        return;
    }
    if let Some(target) = bad_target(scene, decoded) {
        fault.access = Some(Access::Execute);
        fault.address = Some(Avma(target));
        fault.operand = branch_operand(decoded);
        fault.via = Some(fault.pc);
        return;
    }
    let Some(culprit) = culprit(scene, &decoded.memory) else {
        fault.address = scene.reported().map(Avma);
        return;
    };
    fault.access = Some(culprit.access);
    fault.address = exact(scene, culprit);
    fault.size = Some(culprit.size).filter(|&size| size != 0);
    let mut parts = culprit.parts.clone();
    if let Some((name, address)) = culprit.lone.zip(fault.address) {
        // A log tells the address and not the registers: with one register in the operand, that one follows.
        parts.base = Some((name, address.0.wrapping_sub(parts.displacement.cast_unsigned())));
    }
    fault.operand = Some(parts);
    fault.misaligned = culprit.misaligned();
}

/// The first byte that could not be accessed: an access that begins in one page may fault in the next.
fn exact(scene: &Scene<'_, '_, '_>, culprit: &MemoryOperand) -> Option<Avma> {
    let reported = scene.reported().filter(|&address| culprit.covers(address));
    reported.or(culprit.address).or_else(|| scene.reported().filter(|_| culprit.address.is_none())).map(Avma)
}

/// A little-endian signed integer.
fn load(space: &AddressSpace<'_, '_>, address: u64, size: u64) -> Option<i64> {
    let bytes = space.read(Avma(address), usize::try_from(size).ok().filter(|size| (1..=8).contains(size))?).ok()?;
    let mut wide = [if bytes.last()? & 0x80 == 0 { 0 } else { 0xff }; 8];
    wide.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(i64::from_le_bytes(wide))
}

/// Where a branch would have gone, when that is no code.
///
/// A processor that checks the target before it leaves the branch faults on the branch itself: Intel does for addresses
/// that are not canonical.
fn bad_target(scene: &Scene<'_, '_, '_>, decoded: &Decoded) -> Option<u64> {
    let target = match decoded.flow.target()? {
        Target::Fixed(_) => return None,
        Target::Register(_, value) => (*value)?,
        Target::Memory => scene.space.read_u64(Avma(decoded.memory.first()?.address?)).ok()?,
    };
    let known = matches!(scene.signal.number, Signal::SEGV | Signal::BUS) && !scene.space.is_code(Avma(target));
    // A push on a stack that is full faults too, and then the target is not to blame.
    let stack_is_bad = decoded
        .memory
        .iter()
        .any(|operand| operand.implicit && operand.access == Access::Write && refuses(scene.space, operand));
    (known && !stack_is_bad).then_some(target)
}

fn branch_operand(decoded: &Decoded) -> Option<FaultOperand> {
    match decoded.flow.target()? {
        Target::Register(name, value) => {
            let base = value.map(|value| (*name, value));
            Some(FaultOperand { base, text: (*name).to_owned(), ..FaultOperand::default() })
        }
        Target::Memory => decoded.memory.first().map(|operand| operand.parts.clone()),
        Target::Fixed(_) => None,
    }
}

/// The memory operand to blame: the one that covers what the kernel reported, else the one that can not be.
fn culprit<'a>(scene: &Scene<'_, '_, '_>, operands: &'a [MemoryOperand]) -> Option<&'a MemoryOperand> {
    if let Some(reported) = scene.reported() {
        let near = |operand: &&MemoryOperand| operand.address.is_some_and(|at| at.abs_diff(reported) < 4096);
        let covering = operands.iter().find(|operand| operand.covers(reported));
        if let Some(found) = covering.or_else(|| operands.iter().find(near)) {
            return Some(found);
        }
    }
    let arch = scene.registers.arch();
    let ghost = |operand: &&MemoryOperand| operand.address.is_some_and(|at| !is_canonical(arch, at));
    operands
        .iter()
        .find(ghost)
        .or_else(|| operands.iter().find(|operand| operand.misaligned().is_some()))
        .or_else(|| operands.iter().find(|operand| refuses(scene.space, operand)))
        .or_else(|| operands.first().filter(|_| operands.len() == 1))
}

/// The mapping under an operand does not allow what the instruction does.
fn refuses(space: &AddressSpace<'_, '_>, operand: &MemoryOperand) -> bool {
    let Some(address) = operand.address else { return false };
    match space.memory.region(Avma(address)) {
        None => {
            space.images.at(Avma(address)).is_none() && space.memory.state(Avma(address)) == AddressState::NotMapped
        }
        Some(region) => region.permissions.is_some_and(|rights| !allows(rights, operand.access)),
    }
}

fn allows(rights: Permissions, access: Access) -> bool {
    match access {
        Access::Read => rights.read,
        Access::Write => rights.write,
        Access::Execute => rights.execute,
        Access::ReadWrite => rights.read && rights.write,
    }
}

/// The address can exist. x86-64: bits 47 (56 with five-level paging) and up are equal; a program gets more than 47 bits
/// only when it asks. aarch64: user addresses have at most 52 bits, and the top byte is a tag that is ignored.
fn is_canonical(arch: Arch, address: u64) -> bool {
    match arch {
        Arch::X86_64 => matches!(address >> 47, 0 | 0x1_ffff),
        Arch::Aarch64 => matches!((address << 8) >> 60, 0 | 0xf),
        _ => true,
    }
}

/// The program counter is no code: finds the branch that went there.
fn executed_no_code(scene: &Scene<'_, '_, '_>, pc: u64, fault: &mut Fault<'_>) {
    fault.access = Some(Access::Execute);
    fault.address = Some(Avma(pc));
    fault.is_branch = true;
    let Some(sp) = scene.registers.sp() else { return };
    if let Some((at, decoded)) = calling_instruction(scene, sp, pc) {
        fault.instruction = Some(decoded.text.clone());
        fault.operand = branch_operand(&decoded);
        fault.via = Some(Avma(at));
    } else if scene.registers.arch() == Arch::X86_64 {
        // A return has popped its address; it still stands below the stack pointer.
        let popped = sp.checked_sub(8).and_then(|slot| scene.space.read_u64(Avma(slot)).ok());
        fault.is_return = popped == Some(pc);
    } else if scene.registers.arch() == Arch::Aarch64 {
        // A call leaves the address behind itself in the link register; a return goes to what is in it, without its top byte.
        let without_tag = |address: u64| address << 8;
        fault.is_return = scene.registers.by_name("x30").map(without_tag) == Some(without_tag(pc));
    }
}

/// The call whose return address is the newest, when its operand leads to `pc`. Nothing of the callee ran, so that all
/// registers are still those of the call, but for the stack pointer and the link register.
fn calling_instruction(scene: &Scene<'_, '_, '_>, sp: u64, pc: u64) -> Option<(u64, Decoded)> {
    let mut registers = *scene.registers;
    if registers.arch() == Arch::Aarch64 {
        let at = registers.by_name("x30")?.checked_sub(4)?;
        let decoded = aarch64::decode(at, scene.space.read_u32(Avma(at)).ok()?, &registers);
        return leads_to(scene, &decoded, pc).then_some((at, decoded));
    }
    let back = scene.space.read_u64(Avma(sp)).ok().filter(|&back| scene.space.is_code(Avma(back.wrapping_sub(1))))?;
    registers.set(registers.arch().stack_pointer()?, sp.wrapping_add(8));
    x86_64::CALL_LENGTHS.rev().find_map(|length| {
        let at = back.checked_sub(length)?;
        let bytes = scene.space.read(Avma(at), usize::try_from(length).ok()?).ok()?;
        registers.set(registers.arch().program_counter()?, at);
        let decoded = x86_64::decode(at, bytes, &registers, scene.thread_pointer)?;
        if decoded.length != length {
            None
        } else if leads_to(scene, &decoded, pc) {
            Some((at, decoded))
        } else if let Flow::Call(Target::Fixed(called)) = decoded.flow {
            let called = unwind::behind_plt(Avma(called), Arch::X86_64, scene.space).map_or(called, |(_, at)| at.0);
            jumping_instruction(scene, called, pc)
        } else {
            None
        }
    })
}

/// The jump of a function to `pc`, from where a call would go back to its caller: `return hook(x);`, optimised. All registers are still those
/// of the jump. On the stack it looks like a return to a bad address, where the words below it happen to be `pc`: 0 they often are.
fn jumping_instruction(scene: &Scene<'_, '_, '_>, called: u64, pc: u64) -> Option<(u64, Decoded)> {
    /// Bytes of code that are looked through.
    const REACH: u64 = 4096;
    let (_, end) = unwind::function_range(scene.space, Avma(called))?;
    jump_between(scene, called, end.0.min(called.saturating_add(REACH)), pc)
}

/// The first jump to `pc` in a piece of code.
fn jump_between(scene: &Scene<'_, '_, '_>, start: u64, end: u64, pc: u64) -> Option<(u64, Decoded)> {
    let mut registers = *scene.registers;
    let counter = registers.arch().program_counter()?;
    let mut at = start;
    while at < end {
        let bytes = scene.space.read_most(Avma(at), x86_64::LONGEST)?;
        registers.set(counter, at);
        let decoded = x86_64::decode(at, bytes, &registers, scene.thread_pointer)?;
        if matches!(decoded.flow, Flow::Jump(Target::Register(..) | Target::Memory)) && leads_to(scene, &decoded, pc) {
            return Some((at, decoded));
        }
        at = at.checked_add(decoded.length.max(1))?;
    }
    None
}

/// The instruction is a call, or a jump, to `pc`.
fn leads_to(scene: &Scene<'_, '_, '_>, decoded: &Decoded, pc: u64) -> bool {
    let (Flow::Call(target) | Flow::Jump(target)) = &decoded.flow else { return false };
    let to = match target {
        Target::Fixed(to) => Some(*to),
        Target::Register(_, value) => *value,
        Target::Memory => {
            let slot = decoded.memory.first().and_then(|operand| operand.address);
            slot.and_then(|slot| scene.space.read_u64(Avma(slot)).ok())
        }
    };
    to == Some(pc)
}

/// Fills in what the memory map says of the address used.
fn describe_address<'data>(scene: &Scene<'_, '_, 'data>, fault: &mut Fault<'data>) {
    let Some(address) = fault.address else { return };
    fault.non_canonical = !is_canonical(scene.registers.arch(), address.0);
    fault.state = Some(scene.space.memory.state(address));
    if let Some(region) = scene.space.memory.region(address) {
        fault.permissions = region.permissions;
        fault.file = region.file.as_ref().map(|file| file.path.clone());
    } else if let Some((_, image)) = scene.space.images.at(address) {
        let svma = image.bias.to_svma(address).0;
        let segment = image.segments.iter().find(|segment| svma.wrapping_sub(segment.start.0) < segment.size);
        fault.state = Some(AddressState::NotDumped);
        fault.permissions =
            segment.map(|segment| Permissions { read: true, write: segment.writable, execute: segment.executable });
    }
}

/// Fills in where the stack pointer and the stack are.
fn describe_stack(scene: &Scene<'_, '_, '_>, fault: &mut Fault<'_>) {
    let Some(sp) = scene.registers.sp() else { return };
    let memory = scene.space.memory;
    fault.stack_state = Some(memory.state(Avma(sp)));
    if let Some(address) = fault.address {
        let distance = sp.wrapping_sub(address.0).cast_signed();
        fault.below_stack_pointer = Some(distance).filter(|distance| distance.unsigned_abs() <= NEAR_STACK);
    }
    let rights = |region: &&necropsy_model::Region<'_>| {
        region.permissions.is_some_and(|rights| rights.write) && region.file.is_none()
    };
    let own = memory.region(Avma(sp)).filter(rights);
    let above = || {
        let next = memory.regions().partition_point(|region| region.start.0 <= sp);
        memory.regions().iter().skip(next).take(2).find(rights).filter(|region| region.start.0 - sp <= NEAR_STACK)
    };
    fault.stack = own.or_else(above).map(|region| (region.start, region.end));
}

#[cfg(test)]
mod tests;
