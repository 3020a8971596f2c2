use necropsy_model::{Arch, Avma, Memory, Region};

use super::*;
use crate::image::Images;

const CODE: u64 = 0x40_1000;
const DATA: u64 = 0x60_0000;

fn region(start: u64, bytes: &'static [u8], rights: &str) -> Region<'static> {
    let permissions =
        Some(Permissions { read: rights.contains('r'), write: rights.contains('w'), execute: rights.contains('x') });
    Region { start: Avma(start), end: Avma(start + 0x1000), permissions, bytes, dumped: bytes.len() as u64, file: None }
}

/// The fault of an instruction with these registers set.
fn run(code: &'static [u8], set: &[(&str, u64)], signal: Signal, address: Option<u64>) -> Fault<'static> {
    static STACK: [u8; 64] = [0x41; 64];
    let mut registers = Registers::new(Arch::X86_64);
    for (name, value) in [("rip", CODE), ("rsp", 0x7fff_0000)].iter().chain(set) {
        let slot = Arch::X86_64.register_names().iter().position(|other| other == name).unwrap();
        registers.set(slot as u16, *value);
    }
    let memory =
        Memory::new(vec![region(CODE, code, "r-x"), region(DATA, &[0; 64], "r--"), region(0x7fff_0000, &STACK, "rw-")]);
    let images = Images::default();
    let space = AddressSpace::new(&memory, &images);
    let scene =
        Scene { registers: &registers, thread_pointer: None, signal, address: address.map(Avma), space: &space };
    explain(&scene).unwrap()
}

const SEGV_MAPERR: Signal = Signal { number: Signal::SEGV, code: Some(1) };
const SEGV_KERNEL: Signal = Signal { number: Signal::SEGV, code: Some(0x80) };

#[test]
fn a_read_through_null_plus_offset() {
    // mov rax,[rdi+8]
    let fault = run(&[0x48, 0x8b, 0x47, 0x08], &[("rdi", 0)], SEGV_MAPERR, Some(8));
    assert_eq!(fault.instruction.as_deref(), Some("mov rax,[rdi+8]"));
    assert_eq!((fault.access, fault.address, fault.size), (Some(Access::Read), Some(Avma(8)), Some(8)));
    assert_eq!(fault.operand.unwrap().base, Some(("rdi", 0)));
    assert_eq!(fault.state, Some(AddressState::NotMapped));
}

#[test]
fn a_non_canonical_pointer_is_told_from_null_although_the_kernel_says_zero() {
    // add qword ptr [rdi],1
    let fault = run(&[0x48, 0x83, 0x07, 0x01], &[("rdi", 0x4141_4141_4141_4141)], SEGV_KERNEL, Some(0));
    assert_eq!((fault.address, fault.non_canonical), (Some(Avma(0x4141_4141_4141_4141)), true));
    assert_eq!(fault.access, Some(Access::ReadWrite));
    assert_eq!(fault.value_facts.first().map(|fact| fact.kind), Some("ascii"));
}

#[test]
fn a_return_to_text_is_a_return_to_a_bad_address() {
    let fault = run(&[0xc3], &[], SEGV_KERNEL, Some(0));
    assert!(fault.is_return && fault.non_canonical);
    assert_eq!((fault.access, fault.address), (Some(Access::Execute), Some(Avma(0x4141_4141_4141_4141))));
}

#[test]
fn a_function_that_jumped_on_did_not_return() {
    // It calls a jump: jmp [rdi+8] (the second instruction), and the slot below the stack pointer holds the same 0 by chance.
    static HOOKED: [u8; 16] = [0xe8, 0x00, 0, 0, 0, 0xff, 0x67, 0x08, 0xc3, 0, 0, 0, 0, 0, 0, 0];
    let decoded = jump(&HOOKED, DATA);
    assert_eq!(decoded, Some((CODE + 5, "jmp qword ptr [rdi+8]".to_owned())));
    // Elsewhere it leads somewhere else.
    assert_eq!(jump(&HOOKED, CODE), None);
}

/// The jump behind the first five bytes of code that leads to address 0, with this `rdi`.
fn jump(code: &'static [u8], rdi: u64) -> Option<(u64, String)> {
    let mut registers = Registers::new(Arch::X86_64);
    registers.set(Arch::X86_64.register("rdi")?, rdi);
    let memory = Memory::new(vec![region(CODE, code, "r-x"), region(DATA, &[0; 64], "r--")]);
    let images = Images::default();
    let space = AddressSpace::new(&memory, &images);
    let signal = SEGV_MAPERR;
    let scene = Scene { registers: &registers, thread_pointer: None, signal, address: Some(Avma(0)), space: &space };
    let (at, decoded) = jump_between(&scene, CODE + 5, CODE + code.len() as u64, 0)?;
    Some((at, decoded.text))
}

#[test]
fn a_write_to_constants() {
    // mov byte ptr [rax],120
    let signal = Signal { number: Signal::SEGV, code: Some(2) };
    let fault = run(&[0xc6, 0x00, 0x78], &[("rax", DATA + 4)], signal, Some(DATA + 4));
    assert_eq!((fault.access, fault.permissions.map(|rights| rights.write)), (Some(Access::Write), Some(false)));
}

#[test]
fn a_misaligned_vector_load() {
    // movaps xmm0,[rax]
    let fault = run(&[0x0f, 0x28, 0x00], &[("rax", DATA + 4)], SEGV_KERNEL, Some(0));
    assert_eq!((fault.misaligned, fault.address), (Some(16), Some(Avma(DATA + 4))));
}

#[test]
fn a_division_by_zero_and_a_trap() {
    // idiv ecx
    let fault = run(&[0xf7, 0xf9], &[("rcx", 0)], Signal { number: Signal::FPE, code: Some(1) }, Some(CODE));
    assert_eq!(fault.divisor, Some(0));
    let fault = run(&[0x0f, 0x0b], &[], Signal { number: Signal::ILL, code: Some(2) }, Some(CODE));
    assert!(fault.is_trap);
}

#[test]
fn a_call_through_null_is_explained_by_the_caller() {
    // call [rax+0x10], and the return address of it on the stack
    static STACK: [u8; 16] = [0x03, 0x10, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut registers = Registers::new(Arch::X86_64);
    registers.set(16, 0);
    registers.set(7, 0x7fff_0000);
    registers.set(0, DATA);
    let memory = Memory::new(vec![
        region(CODE, &[0xff, 0x50, 0x10, 0x90], "r-x"),
        region(DATA, &[0; 64], "rw-"),
        region(0x7fff_0000, &STACK, "rw-"),
    ]);
    let images = Images::default();
    let space = AddressSpace::new(&memory, &images);
    let address = Some(Avma(0));
    let scene = Scene { registers: &registers, thread_pointer: None, signal: SEGV_MAPERR, address, space: &space };
    let fault = explain(&scene).unwrap();
    assert_eq!(fault.instruction.as_deref(), Some("call qword ptr [rax+0x10]"));
    assert_eq!((fault.via, fault.address, fault.access), (Some(Avma(CODE)), Some(Avma(0)), Some(Access::Execute)));
}
