//! The return address by following the code to its return: what the rest of a function does to the stack pointer says where
//! its frame ends. Works for functions without frame pointer and without call frame information, such as musl's.

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register};
use necropsy_model::{Arch, Avma};
use rustc_hash::FxHashSet;

use super::calls::{self, Before};
use super::frame::Caller;
use super::walk::{Cursor, Walker};

/// Instructions looked at per frame, over all paths. Few functions are longer, and those that are have a return on the way.
const MAX_INSTRUCTIONS: usize = 1_024;
/// Bytes of code decoded at a time; the longest instruction has 15.
const WINDOW: usize = 64;
/// Longest instruction of the machine, in bytes.
const LONGEST: usize = 15;

/// A path through the code: where it is, and what it has done so far.
#[derive(Clone)]
struct Path {
    ip: u64,
    sp: u64,
    /// The frame pointer, as long as the path has not lost it.
    fp: Option<u64>,
    /// Preserved registers that were popped: DWARF number and slot.
    popped: Vec<(u16, u64)>,
}

/// The caller of a frame, by the first path from its address to a return whose return address stands behind a call.
pub(super) fn caller_at_return(walker: &Walker<'_, '_>, cursor: &Cursor) -> Option<Caller> {
    let registers = &cursor.registers;
    if registers.arch() != Arch::X86_64 {
        return None;
    }
    let (machine, space) = (walker.machine, walker.space);
    let start = Path { ip: cursor.pc(), sp: registers.sp()?, fp: registers.get(machine.fp), popped: Vec::new() };
    let mut open = vec![start];
    let mut seen = FxHashSet::default();
    while let Some(mut path) = open.pop() {
        // A frame that called is looked at from behind its call on.
        let mut after_call = !cursor.interrupted() && path.ip == cursor.pc();
        while seen.insert(path.ip) && seen.len() <= MAX_INSTRUCTIONS {
            let Some(instruction) = decode(walker, path.ip) else { break };
            // Padding behind a call: the call does not return, and what follows is another function.
            if std::mem::take(&mut after_call) && is_padding(&instruction) {
                break;
            }
            match instruction.flow_control() {
                // Below the stack pointer lie frames that are gone.
                FlowControl::Return if instruction.mnemonic() == Mnemonic::Ret && path.sp >= cursor.floor => {
                    let address = space.read_u64(Avma(path.sp)).ok()?;
                    if calls::before(address, Arch::X86_64, space) == Before::Call && space.is_code(Avma(address)) {
                        return caller(walker, cursor, &path, address);
                    }
                    break;
                }
                FlowControl::UnconditionalBranch => path.ip = instruction.near_branch_target(),
                FlowControl::ConditionalBranch => {
                    open.push(Path { ip: instruction.near_branch_target(), ..path.clone() });
                    path.ip = instruction.next_ip();
                }
                FlowControl::Next | FlowControl::Call | FlowControl::IndirectCall => {
                    if !run(&instruction, &mut path) {
                        break;
                    }
                    path.ip = instruction.next_ip();
                    after_call = instruction.flow_control() != FlowControl::Next;
                }
                _ => break,
            }
        }
    }
    None
}

fn decode(walker: &Walker<'_, '_>, ip: u64) -> Option<Instruction> {
    let space = walker.space;
    let bytes = space.read(Avma(ip), WINDOW).or_else(|_| space.read(Avma(ip), LONGEST)).ok()?;
    let instruction = Decoder::with_ip(64, bytes, ip, DecoderOptions::NONE).decode();
    (!instruction.is_invalid()).then_some(instruction)
}

fn is_padding(instruction: &Instruction) -> bool {
    matches!(instruction.mnemonic(), Mnemonic::Nop | Mnemonic::Int3 | Mnemonic::Endbr64)
}

/// What an instruction does to the stack pointer; `false` when that can not be told.
fn run(instruction: &Instruction, path: &mut Path) -> bool {
    match instruction.mnemonic() {
        // A call leaves the stack pointer as it found it. `syscall` is none for the decoder's purposes.
        Mnemonic::Call | Mnemonic::Syscall => true,
        Mnemonic::Leave => {
            let Some(fp) = path.fp.take() else { return false };
            path.popped.push((6, fp));
            path.sp = fp.wrapping_add(8);
            true
        }
        Mnemonic::Pop if instruction.op0_kind() == OpKind::Register => {
            match preserved(instruction.op0_register()) {
                Some(register) => path.popped.push((register, path.sp)),
                None if instruction.op0_register() == Register::RSP => return false,
                None => {}
            }
            if instruction.op0_register() == Register::RBP {
                path.fp = None;
            }
            path.sp = path.sp.wrapping_add(8);
            true
        }
        Mnemonic::Add | Mnemonic::Sub if instruction.op0_register() == Register::RSP => {
            let Ok(change) = instruction.try_immediate(1) else { return false };
            let change = if instruction.mnemonic() == Mnemonic::Add { change } else { change.wrapping_neg() };
            path.sp = path.sp.wrapping_add(change);
            true
        }
        Mnemonic::Lea if instruction.op0_register() == Register::RSP => {
            let base = match instruction.memory_base() {
                Register::RSP => Some(path.sp),
                Register::RBP => path.fp,
                _ => None,
            };
            let base = base.filter(|_| instruction.memory_index() == Register::None);
            base.map(|base| path.sp = base.wrapping_add(instruction.memory_displacement64())).is_some()
        }
        Mnemonic::Mov if instruction.op0_register() == Register::RSP => {
            let fp = path.fp.filter(|_| instruction.op1_register() == Register::RBP);
            fp.map(|fp| path.sp = fp).is_some()
        }
        _ => {
            path.sp = path.sp.wrapping_add_signed(i64::from(instruction.stack_pointer_increment()));
            if instruction.op0_register() == Register::RBP && instruction.mnemonic() != Mnemonic::Push {
                path.fp = None;
            }
            // Any other way to write the stack pointer (`and $-16,%rsp`, `xchg`) is not followed.
            instruction.op0_register() != Register::RSP
                || matches!(instruction.mnemonic(), Mnemonic::Cmp | Mnemonic::Test | Mnemonic::Push)
        }
    }
}

/// DWARF number of a preserved register other than the stack pointer.
fn preserved(register: Register) -> Option<u16> {
    Some(match register {
        Register::RBX => 3,
        Register::RBP => 6,
        Register::R12 => 12,
        Register::R13 => 13,
        Register::R14 => 14,
        Register::R15 => 15,
        _ => return None,
    })
}

fn caller(walker: &Walker<'_, '_>, cursor: &Cursor, path: &Path, address: u64) -> Option<Caller> {
    let machine = walker.machine;
    let end = path.sp.checked_add(8)?;
    let mut registers = machine.across_call(&cursor.registers);
    let mut saved = cursor.saved.clone();
    for &(register, slot) in &path.popped {
        saved.retain(|&(other, _)| other != register);
        match walker.space.read_u64(Avma(slot)) {
            Ok(value) => {
                registers.set(register, value);
                saved.push((register, slot));
            }
            Err(_) => registers.clear(register),
        }
    }
    saved.retain(|&(register, _)| registers.get(register).is_some());
    registers.set(machine.sp, end);
    registers.set(machine.pc, address);
    saved.push((machine.pc, path.sp));
    Some(Caller { registers, cfa: Some(end), saved })
}
