use necropsy_model::{CodeAddress, FrameKind, Memory, Permissions, Region, Registers, Trust};

use super::*;
use crate::image::Images;
use crate::unwind::{RawFrame, Walk};

/// First address of the memory that a test builds.
const START: u64 = 0x700_0000;
const SIZE: usize = 0x2000;
/// Where it puts the unwinder's header.
const HEADER: u64 = START + 0x100;
/// `std::type_info` of the thrown class, and of the class it inherits from.
const DERIVED: u64 = START + 0x400;
const BASE: u64 = START + 0x440;
/// Stack pointer, thread pointer.
const STACK_TOP: u64 = START + 0x1000;
const THREAD: u64 = START + 0xf00;

/// Words and texts by address.
fn memory(words: &[(u64, u64)], texts: &[(u64, &str)]) -> Memory<'static> {
    let mut bytes = vec![0_u8; SIZE];
    let mut put = |address: u64, what: &[u8]| {
        let at = usize::try_from(address - START).unwrap();
        bytes[at..at + what.len()].copy_from_slice(what);
    };
    for (address, word) in words {
        put(*address, &word.to_le_bytes());
    }
    for (address, text) in texts {
        put(*address, text.as_bytes());
    }
    let permissions = Some(Permissions { read: true, write: true, execute: false });
    let bytes: &'static [u8] = bytes.leak();
    let (start, end) = (Avma(START), Avma(START + SIZE as u64));
    Memory::new(vec![Region { start, end, permissions, bytes, dumped: SIZE as u64, file: None }])
}

/// A thrown `bank::Refused`, derived from `std::runtime_error` with the text "no money", held by `count`.
fn thrown(count: u64, at: &[(u64, u64)]) -> Memory<'static> {
    let class = u64::from_be_bytes(*b"GNUCC++\0");
    let words = [
        (HEADER - 96, count),
        (HEADER - 80, DERIVED),
        (HEADER, class),
        (HEADER + OBJECT + 8, START + 0x700),
        (DERIVED, 0x1234),
        (DERIVED + 8, START + 0x600),
        (DERIVED + 16, BASE),
        (BASE, 0x1234),
        (BASE + 8, START + 0x640),
    ];
    let texts = [(START + 0x600, "N4bank7RefusedE"), (START + 0x640, "St13runtime_error"), (START + 0x700, "no money")];
    memory(&[&words, at].concat(), &texts)
}

fn said(memory: &Memory<'static>, thread_pointer: Option<u64>) -> Option<String> {
    let mut registers = Registers::new(Arch::X86_64);
    registers.set(7, STACK_TOP);
    let frame = RawFrame {
        address: CodeAddress::Instruction(Avma(0x1000)),
        registers,
        cfa: None,
        trust: Trust::Context,
        kind: FrameKind::Normal,
        saved: Vec::new(),
        vectors: necropsy_model::Vectors::default(),
    };
    let walk = Walk { frames: vec![frame], ..Walk::default() };
    let images = Images::default();
    let space = AddressSpace::new(memory, &images);
    let message = find(&Place { walk: &walk, thread_pointer, space: &space }, std::iter::empty())?;
    assert_eq!(message.kind, MessageKind::Terminate);
    Some(message.text.into_owned())
}

#[test]
fn the_runtime_knows_what_is_caught() {
    let caught = thrown(1, &[(THREAD - 64, HEADER - TYPE)]);
    assert_eq!(said(&caught, Some(THREAD)).as_deref(), Some("bank::Refused: no money"));
    assert_eq!(said(&caught, None), None);
}

#[test]
fn a_reference_on_the_stack_is_enough() {
    for reference in [HEADER, HEADER + OBJECT, HEADER - TYPE] {
        let caught = thrown(1, &[(STACK_TOP + 0x40, reference)]);
        assert_eq!(said(&caught, None).as_deref(), Some("bank::Refused: no money"));
    }
}

#[test]
fn an_exception_of_freed_memory_is_none() {
    assert_eq!(said(&thrown(0x7_0000_1234, &[(STACK_TOP + 0x40, HEADER)]), None), None);
    assert_eq!(said(&thrown(0, &[(STACK_TOP + 0x40, HEADER)]), None), None);
}

#[test]
fn a_class_that_inherits_from_itself_ends() {
    let caught = thrown(1, &[(STACK_TOP + 0x40, HEADER), (DERIVED + 16, DERIVED)]);
    assert_eq!(said(&caught, None).as_deref(), Some("bank::Refused"));
}

#[test]
fn a_base_of_several_is_found_at_its_offset() {
    let bases = [
        (STACK_TOP + 0x40, HEADER),
        (DERIVED + 16, 2 << 32),
        (DERIVED + 24, BASE + 0x20),
        (DERIVED + 32, 2),
        (DERIVED + 40, BASE),
        (DERIVED + 48, 0x1002),
        (BASE + 0x28, START + 0x680),
        (HEADER + OBJECT + 8, 0),
        (HEADER + OBJECT + 0x18, START + 0x700),
    ];
    assert_eq!(said(&thrown(1, &bases), None).as_deref(), Some("bank::Refused: no money"));
}

#[test]
fn numbers_and_texts_are_thrown_too() {
    let number = thrown(1, &[(STACK_TOP + 0x40, HEADER), (HEADER + OBJECT, 0xffff_ffd6)]);
    let space_of = |memory: &Memory<'static>, name: &str| {
        let images = Images::default();
        let space = AddressSpace::new(memory, &images);
        Reader { space: &space }.value(name, HEADER + OBJECT)
    };
    assert_eq!(space_of(&number, "i").as_deref(), Some("-42"));
    let text = thrown(1, &[(HEADER + OBJECT, START + 0x700)]);
    assert_eq!(space_of(&text, "PKc").as_deref(), Some("no money"));
    assert_eq!(space_of(&text, "N4bank7RefusedE"), None);
}

#[test]
fn a_handler_that_aborts_is_not_an_uncaught_exception() {
    let ended = |names: &[Option<&str>]| terminated(names.iter().copied(), false);
    assert!(ended(&[Some("abort"), None, Some("std::terminate()"), Some("main")]));
    assert!(ended(&[Some("__GI_abort"), None, None]));
    assert!(ended(&[None, None]));
    assert!(!ended(&[Some("raise"), Some("abort"), Some("bank::give_up()"), Some("main")]));
    assert!(!terminated([None, None].into_iter(), true));
    assert!(terminated([Some("std::terminate()")].into_iter(), true));
}

#[test]
fn a_freed_exception_is_not_the_one() {
    // A chunk on a free list whose mangled link is small: that of a heap at a low address.
    let freed = [(HEADER - 104, 0xa1), (HEADER - 88, 0x9e37_79b9_7f4a_7c15), (STACK_TOP + 0x40, HEADER)];
    assert_eq!(said(&thrown((HEADER - 96) >> 12, &freed), None), None);
}

#[test]
fn the_librarys_own_handler_handles_nothing() {
    let pad = START + 0x1800;
    let told = |operand: u64| {
        let memory = thrown(
            1,
            &[
                (HEADER - LANDING_PAD, pad),
                (pad + 8, operand),
                (START + 0x1b00, u64::from_le_bytes(*b"  what()")),
                (START + 0x1b08, u64::from_le_bytes(*b":  \0\0\0\0\0")),
            ],
        );
        let images = Images::default();
        let space = AddressSpace::new(&memory, &images);
        Reader { space: &space }.thrown(HEADER).map(|thrown| thrown.handled)
    };
    assert_eq!(told(0), Some(true));
    assert_eq!(told(START + 0x1b00), Some(false), "absolute");
    assert_eq!(told(0x1b00 - 0x1800 - 12), Some(false), "relative");
}
