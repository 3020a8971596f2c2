//! Walks over hand-made stacks and hand-assembled call frame information.

use std::sync::OnceLock;

use gimli::write::{
    Address, CallFrameInstruction as Cfi, CommonInformationEntry, DebugFrame, EhFrame, EndianVec, Expression,
    FrameDescriptionEntry, FrameTable,
};
use gimli::{Encoding, Format, LittleEndian, Register};
use necropsy_model::{
    Arch, Avma, Bias, CodeAddress, FrameKind, Memory, ModuleId, Permissions, Region, Registers, Source, StackEnd, Svma,
    Thread, ThreadId, Trust,
};

use super::{Limits, Walk, walk};
use crate::image::{Image, Images, Segment, UnwindSections};
use crate::space::AddressSpace;

/// Where the test image is loaded, and where its file says it is: different, so that a mix-up shows.
const BASE: u64 = 0x5555_0000_0000;
const FILE: u64 = 0x1000;
const EH_FRAME: u64 = 0x9000;
const STACK: u64 = 0x7fff_0000_0000;

const RBX: u16 = 3;
const RBP: u16 = 6;
const RSP: u16 = 7;
const RIP: u16 = 16;

/// Executable memory with these bytes.
pub(super) fn code_region(start: u64, bytes: &'static [u8]) -> Region<'static> {
    region(start, bytes, true)
}

fn region(start: u64, bytes: &'static [u8], execute: bool) -> Region<'static> {
    let permissions = Some(Permissions { read: true, write: !execute, execute });
    let end = Avma(start + bytes.len().max(1) as u64);
    Region { start: Avma(start), end, permissions, bytes, dumped: bytes.len() as u64, file: None }
}

fn words(words: &[u64]) -> &'static [u8] {
    words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>().leak()
}

/// A function of the test image: offset of its start, its length, its rules.
type Function = (u64, u32, Vec<(u32, Cfi)>);

struct Scene {
    arch: Arch,
    code: Vec<u8>,
    functions: Vec<Function>,
    /// Put the rules into `.debug_frame` instead of `.eh_frame`.
    debug_frame: bool,
    stacks: Vec<(u64, Vec<u64>)>,
    registers: Vec<(u16, u64)>,
    limits: Limits,
}

impl Scene {
    fn new(arch: Arch) -> Self {
        // 0x90 is `nop`; `call *%rax` before every multiple of 16 makes those plausible return addresses.
        let mut code = vec![0x90; 0x400];
        for end in (0x10..0x400).step_by(0x10) {
            code[end - 2..end].copy_from_slice(&[0xff, 0xd0]);
        }
        let limits = Limits::FULL;
        Self {
            arch,
            code,
            functions: Vec::new(),
            debug_frame: false,
            stacks: Vec::new(),
            registers: Vec::new(),
            limits,
        }
    }

    /// A function at `start` of 0x40 bytes, whose rules hold from its first byte on.
    fn function(&mut self, start: u64, rules: Vec<Cfi>) {
        self.functions.push((start, 0x40, rules.into_iter().map(|rule| (0, rule)).collect()));
    }

    fn image(&self) -> Image<'static> {
        let encoding =
            Encoding { address_size: 8, format: Format::Dwarf32, version: if self.debug_frame { 4 } else { 1 } };
        let return_register = if self.arch == Arch::X86_64 { 16 } else { 30 };
        let mut cie = CommonInformationEntry::new(encoding, 1, -8, Register(return_register));
        if self.arch == Arch::X86_64 {
            cie.add_instruction(Cfi::Cfa(Register(RSP), 8));
            cie.add_instruction(Cfi::Offset(Register(RIP), -8));
        } else {
            cie.add_instruction(Cfi::Cfa(Register(31), 0));
        }
        let mut table = FrameTable::default();
        let cie = table.add_cie(cie);
        for (start, length, rules) in &self.functions {
            let mut fde = FrameDescriptionEntry::new(Address::Constant(FILE + start), *length);
            for (offset, rule) in rules {
                fde.add_instruction(*offset, rule.clone());
            }
            table.add_fde(cie, fde);
        }
        let mut unwind = UnwindSections::default();
        if self.debug_frame {
            let mut section = DebugFrame::from(EndianVec::new(LittleEndian));
            table.write_debug_frame(&mut section).expect("rules are sound");
            unwind.debug_frame = Some(section.0.into_vec().leak());
        } else {
            let mut section = EhFrame::from(EndianVec::new(LittleEndian));
            table.write_eh_frame(&mut section).expect("rules are sound");
            unwind.eh_frame = Some((Svma(EH_FRAME), section.0.into_vec().leak()));
        }
        let code: &'static [u8] = self.code.clone().leak();
        let segment =
            Segment { start: Svma(FILE), size: code.len() as u64, bytes: code, writable: false, executable: true };
        Image {
            module: ModuleId::new(0).expect("small"),
            bias: Bias(BASE - FILE),
            segments: vec![segment],
            unwind,
            elf: None,
            debug: OnceLock::new(),
            go: OnceLock::new(),
        }
    }

    fn walk(&self) -> Walk {
        let mut regions: Vec<_> =
            self.stacks.iter().map(|(start, stack)| region(*start, words(stack), false)).collect();
        let image = self.image();
        // As with the default filter of Linux: the code is mapped, but not dumped.
        let mut code = region(BASE, &[], true);
        code.end = Avma(BASE + self.code.len() as u64);
        regions.push(code);
        let memory = Memory::new(regions);
        let images = Images::new(vec![image]);
        let mut thread = Thread::new(ThreadId(1), Source::offset(0));
        let mut registers = Registers::new(self.arch);
        for &(register, value) in &self.registers {
            registers.set(register, value);
        }
        thread.detail_mut().registers = Some(registers);
        walk(&thread, &AddressSpace::new(&memory, &images), self.limits)
    }
}

fn offsets(walk: &Walk) -> Vec<u64> {
    walk.frames.iter().map(|frame| frame.address.address().0.wrapping_sub(BASE)).collect()
}

fn why(walk: &Walk) -> &str {
    match &walk.end {
        StackEnd::Complete => "complete",
        StackEnd::Broken(why) => why,
    }
}

/// `inner` has saved rbx and moved its stack pointer; `outer` is the outermost.
fn two_functions() -> Scene {
    let mut scene = Scene::new(Arch::X86_64);
    scene.function(0x100, vec![Cfi::CfaOffset(24), Cfi::Offset(Register(RBX), -16)]);
    scene.function(0x200, vec![Cfi::Undefined(Register(RIP))]);
    scene.stacks = vec![(STACK, vec![0x11, 0xb0b, BASE + 0x210, 0x44])];
    scene.registers = vec![(RIP, BASE + 0x108), (RSP, STACK), (RBX, 0xbad), (RBP, 0xf00), (0, 0xaaa)];
    scene
}

#[test]
fn saved_registers_are_read_and_clobbered_ones_are_unknown() {
    for debug_frame in [false, true] {
        let walk = Scene { debug_frame, ..two_functions() }.walk();
        assert_eq!(walk.end, StackEnd::Complete);
        assert_eq!(offsets(&walk), [0x108, 0x210]);
        let [inner, outer] = &walk.frames[..] else { panic!("two frames") };
        assert_eq!((inner.trust, outer.trust), (Trust::Context, Trust::Cfi));
        assert_eq!(inner.cfa, Some(STACK + 24));
        assert_eq!(outer.address, CodeAddress::Return(Avma(BASE + 0x210)));
        assert_eq!(outer.registers.get(RBX), Some(0xb0b));
        assert_eq!(outer.registers.get(RBP), Some(0xf00), "preserved, though nobody saved it");
        assert_eq!(outer.registers.get(0), None, "rax is not preserved");
        assert_eq!(outer.registers.sp(), Some(STACK + 24));
        assert_eq!(outer.saved, [(RIP, STACK + 16), (RBX, STACK + 8)]);
    }
}

#[test]
fn expressions_are_evaluated_with_memory_and_limits() {
    let mut scene = two_functions();
    let mut cfa = Expression::new();
    cfa.op_breg(Register(RSP), 0);
    cfa.op_deref();
    let mut slot = Expression::new();
    slot.op_plus_uconst(8);
    scene.functions[0].2 = vec![(0, Cfi::CfaExpression(cfa)), (0, Cfi::Expression(Register(RBX), slot))];
    scene.stacks = vec![(STACK, vec![STACK + 24, 0, BASE + 0x210, 0, 0xb0b])];
    let found = scene.walk();
    assert_eq!(offsets(&found), [0x108, 0x210]);
    assert_eq!(found.frames[1].registers.get(RBX), Some(0xb0b));
    assert_eq!(found.frames[1].registers.sp(), Some(STACK + 24));

    let mut endless = Expression::new();
    endless.op_breg(Register(RSP), 0);
    let start = endless.op_skip();
    endless.set_target(start, 0);
    scene.functions[0].2 = vec![(0, Cfi::CfaExpression(endless))];
    scene.stacks = vec![(STACK, vec![0; 8])];
    assert_eq!(why(&scene.walk()), "bad frame: an expression of the unwind information can not be evaluated");
}

#[test]
fn a_stack_that_does_not_advance_is_said_to_loop() {
    let mut scene = two_functions();
    scene.functions[0].2 = vec![(0, Cfi::CfaOffset(0)), (0, Cfi::Offset(Register(RIP), 16))];
    assert_eq!(why(&scene.walk()), "looping stack: the stack pointer does not advance");
}

#[test]
fn missing_stack_memory_is_named() {
    let mut scene = two_functions();
    scene.stacks = vec![(STACK, vec![0x11, 0xb0b])];
    let found = scene.walk();
    assert_eq!(why(&found), format!("stack memory at {:#x} is not mapped", STACK + 16));
    assert_eq!(found.frames.len(), 1);
}

#[test]
fn a_return_address_in_data_ends_the_stack() {
    let mut scene = two_functions();
    scene.stacks[0].1[2] = 0x4141_4141_4141_4141;
    assert_eq!(why(&scene.walk()), "the return address 0x4141414141414141 is not in executable memory");
}

#[test]
fn a_call_through_a_null_pointer_continues_at_the_caller_with_all_its_registers() {
    let mut scene = two_functions();
    scene.registers = vec![(RIP, 0), (RSP, STACK - 8), (0, 0xaaa)];
    scene.stacks = vec![(STACK - 8, vec![BASE + 0x120, 0, 0xb0b, BASE + 0x210])];
    let found = scene.walk();
    assert_eq!(offsets(&found)[1..], [0x120, 0x210]);
    assert_eq!(found.frames[1].registers.get(0), Some(0xaaa));
    assert_eq!(found.frames[1].registers.sp(), Some(STACK));
}

#[test]
fn a_signal_frame_on_another_stack_gives_back_every_register() {
    const HANDLER_STACK: u64 = STACK + 0x10_0000;
    let mut scene = two_functions();
    // The handler's own frame is plain; it returns to a trampoline that has no unwind information, as musl's.
    scene.function(0x300, Vec::new());
    scene.code[0x380..0x389].copy_from_slice(&[0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05]);
    scene.registers = vec![(RIP, BASE + 0x304), (RSP, HANDLER_STACK)];
    let mut frame = vec![BASE + 0x380, 0, 0, 0, 0, 0];
    frame.extend([8, 9, 10, 11, 12, 13, 14, 15, 0xd1, 0x51, 0xf00, 0xbad, 0xdd, 0xaaa, 0xcc, STACK, BASE + 0x100]);
    scene.stacks.push((HANDLER_STACK, frame));
    let found = scene.walk();
    assert_eq!(offsets(&found), [0x304, 0x380, 0x100, 0x210]);
    let kinds: Vec<_> = found.frames.iter().map(|frame| (frame.kind, frame.trust)).collect();
    assert_eq!(kinds[1], (FrameKind::SignalTrampoline, Trust::Cfi));
    assert_eq!(kinds[2], (FrameKind::Normal, Trust::Context));
    let interrupted = &found.frames[2];
    // The fault was in the first instruction: one byte back lies another function.
    assert_eq!(interrupted.address, CodeAddress::Instruction(Avma(BASE + 0x100)));
    assert_eq!(interrupted.registers.by_name("rax"), Some(0xaaa));
    assert_eq!(interrupted.registers.by_name("r15"), Some(15));
    assert_eq!(interrupted.registers.sp(), Some(STACK));
}

#[test]
fn a_signed_return_address_is_stripped_and_a_leaf_is_not_listed_twice() {
    const LR: u16 = 30;
    const SP: u16 = 31;
    let mut scene = Scene::new(Arch::Aarch64);
    scene.function(0x80, Vec::new());
    scene.function(0x100, vec![Cfi::NegateRaState, Cfi::CfaOffset(16), Cfi::Offset(Register(LR), -8)]);
    scene.function(0x200, vec![Cfi::Undefined(Register(LR))]);
    scene.registers = vec![(32, BASE + 0x88), (SP, STACK), (LR, BASE + 0x120), (19, 0x19), (0, 0)];
    scene.stacks = vec![(STACK, vec![0, (0x001c << 48) | (BASE + 0x210), 0])];
    let found = scene.walk();
    assert_eq!(offsets(&found), [0x88, 0x120, 0x210]);
    assert_eq!(found.end, StackEnd::Complete);
    assert_eq!(found.frames[2].registers.get(19), Some(0x19));

    // Rules that leave the return address in the link register hold for the leaf only.
    scene.functions[1].2.clear();
    let found = scene.walk();
    assert_eq!(offsets(&found), [0x88, 0x120]);
}

#[test]
fn a_hundred_thousand_frames_of_recursion_are_folded() {
    let mut scene = Scene::new(Arch::X86_64);
    scene.function(0x100, vec![Cfi::CfaOffset(16)]);
    scene.function(0x200, vec![Cfi::Undefined(Register(RIP))]);
    let mut stack = [0, BASE + 0x130].repeat(100_000);
    stack.extend([0, BASE + 0x210, 0]);
    scene.stacks = vec![(STACK, stack)];
    scene.registers = vec![(RIP, BASE + 0x108), (RSP, STACK)];
    let found = scene.walk();
    assert_eq!(offsets(&found), [0x108, 0x130, 0x130, 0x210]);
    let gap = found.gap.expect("folded");
    assert_eq!((gap.after, gap.omitted, gap.period), (2, 99_998, Some(1)));
}

#[test]
fn frame_pointers_lead_through_code_without_rules() {
    let mut scene = two_functions();
    // 0x3xx has no rules at all.
    scene.registers = vec![(RIP, BASE + 0x304), (RSP, STACK - 0x20), (RBP, STACK - 0x10), (RBX, 0xb)];
    scene.stacks = vec![(STACK - 0x20, vec![0, 0, 0xf00, BASE + 0x120, 0, 0xb0b, BASE + 0x210])];
    let found = scene.walk();
    assert_eq!(offsets(&found), [0x304, 0x120, 0x210]);
    assert_eq!(found.frames[1].trust, Trust::FramePointer);
    assert_eq!(found.frames[2].trust, Trust::Cfi, "rules take over again");
    assert_eq!(found.frames[2].registers.get(RBX), Some(0xb0b));
}

#[test]
fn the_argument_count_is_where_a_process_starts() {
    let mut scene = two_functions();
    scene.functions[1].2.clear();
    scene.stacks = vec![(STACK, vec![0, 0, BASE + 0x210, 1, STACK + 64, 0, 0, 0, 0])];
    let found = scene.walk();
    assert_eq!((offsets(&found), why(&found)), (vec![0x108, 0x210], "complete"));
    // One argument, but no pointer to it.
    scene.stacks[0].1[4] = 5;
    assert_eq!(why(&scene.walk()), "the return address 0x1 is not in executable memory");
}

#[test]
fn a_thread_that_can_not_be_unwound_says_why() {
    let mut scene = two_functions();
    scene.arch = Arch::X86_64;
    scene.registers.clear();
    assert_eq!(why(&scene.walk()), "the dump has no program counter of this thread");
}

#[test]
fn code_without_rules_is_followed_to_its_return() {
    let mut scene = two_functions();
    // push %rbx; sub $16,%rsp; call; add $16,%rsp; test; je over a trap; pop %rbx; ret
    let body = [0x48, 0x83, 0xc4, 0x10, 0x85, 0xc0, 0x75, 0x02, 0x5b, 0xc3, 0x0f, 0x0b];
    scene.code[0x310..0x31c].copy_from_slice(&body);
    scene.registers = vec![(RIP, BASE + 0x310), (RSP, STACK), (RBX, 0xbad), (RBP, 0xf00)];
    scene.stacks = vec![(STACK, vec![0, 0, 0x11, BASE + 0x120, 0, 0xb0b, BASE + 0x210])];
    let found = scene.walk();
    assert_eq!(offsets(&found), [0x310, 0x120, 0x210]);
    assert_eq!(found.frames[1].trust, Trust::FramePointer);
    assert_eq!(found.frames[1].registers.get(RBX), Some(0x11));
    assert_eq!(found.frames[1].saved, [(RBX, STACK + 16), (RIP, STACK + 24)]);
}

#[test]
fn a_scan_is_the_last_resort_and_skips_what_is_not_behind_a_call() {
    let mut scene = two_functions();
    // An endless loop without a return, a word in code that no call precedes, and one whose call went elsewhere.
    scene.code[0x310..0x312].copy_from_slice(&[0xeb, 0xfe]);
    scene.code[0x22b..0x230].copy_from_slice(&[0xe8, 0x10, 0xff, 0xff, 0xff]);
    scene.code[0x320..0x330].fill(0x90);
    scene.code[0x323..0x328].copy_from_slice(&[0xe8, 0xd8, 0, 0, 0]);
    scene.registers = vec![(RIP, BASE + 0x310), (RSP, STACK)];
    scene.stacks = vec![(STACK, vec![BASE + 0x123, BASE + 0x328, BASE + 0x120, 0, 0xb0b, BASE + 0x210])];
    let found = scene.walk();
    assert_eq!(offsets(&found), [0x310, 0x120, 0x210]);
    assert_eq!(found.frames[1].trust, Trust::Scanned);
    assert_eq!(found.frames[2].trust, Trust::Cfi);
}

#[test]
fn a_function_that_jumped_to_the_next_is_put_back() {
    let mut scene = two_functions();
    // 0x220: call 0x300; 0x300 jumps to 0x340, that to 0x100, where it was interrupted.
    scene.code[0x220..0x225].copy_from_slice(&[0xe8, 0xdb, 0, 0, 0]);
    scene.code[0x308..0x30d].copy_from_slice(&[0xe9, 0x33, 0, 0, 0]);
    scene.code[0x350..0x355].copy_from_slice(&[0xe9, 0xab, 0xfd, 0xff, 0xff]);
    scene.function(0x300, Vec::new());
    scene.function(0x340, Vec::new());
    scene.functions[0].2 = vec![(4, Cfi::CfaOffset(24)), (4, Cfi::Offset(Register(RBX), -16))];
    scene.stacks[0].1[2] = BASE + 0x225;
    let found = scene.walk();
    assert_eq!(offsets(&found), [0x108, 0x355, 0x30d, 0x225]);
    let rebuilt = &found.frames[1];
    assert_eq!(rebuilt.trust, Trust::TailCall);
    assert_eq!(rebuilt.cfa, Some(STACK + 24));
    assert_eq!(rebuilt.registers.sp(), Some(STACK + 16));
    assert_eq!(rebuilt.registers.get(RBX), Some(0xb0b), "put back before the jump");
    assert_eq!(rebuilt.registers.get(0), None);

    // A second way from 0x300 to 0x100: which one it took is not known.
    scene.code[0x310..0x315].copy_from_slice(&[0xe9, 0xeb, 0xfd, 0xff, 0xff]);
    assert_eq!(offsets(&scene.walk()), [0x108, 0x225]);
}

#[test]
fn many_threads_share_the_work_of_walking() {
    assert_eq!(Limits::shared_by(1), Limits::FULL);
    let many = Limits::shared_by(100_000);
    assert!(many.frames * 100_000 <= 1 << 22 && many.frames >= 32, "{many:?}");
    assert!(many.scanned_words * 100_000 <= 1 << 26, "{many:?}");
    let mut scene = two_functions();
    scene.limits = Limits { frames: 1, scanned_words: 0 };
    let found = scene.walk();
    assert_eq!((found.frames.len(), why(&found)), (1, "more than 1 frames"));
}
