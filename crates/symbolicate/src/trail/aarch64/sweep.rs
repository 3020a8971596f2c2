//! What a sweep over all code asks of one instruction. An address is made by several: what registers have is followed from
//! instruction to instruction as they stand in the file, so that behind a branch it may be wrong. Whoever asks looks again, in
//! the function around.

use super::super::fold::Known;
use super::super::machine::Machine;
use super::super::op::{Flow, Insn, Mem, Op, Reg, Src};
use super::super::sweep::{Does, Named, Swept, Use};
use super::{ARGUMENTS, SP, WIDTH, X0, lift};
use crate::a64::Word;
use crate::image::{Image, Segment};

/// An instruction, or a part of one: as it stands there, and with the addresses that registers have put in.
pub(in super::super) struct Arm64 {
    plain: Insn,
    folded: Insn,
    /// It makes the address of a page, of which another instruction makes that of a variable.
    page: bool,
}

struct Reader<'i> {
    code: &'i [u8],
    at: u64,
    end: u64,
    start: u64,
    known: Known,
    machine: &'static Machine,
}

impl<'i> Reader<'i> {
    fn new(segment: &'i Segment<'_>, start: u64, machine: &'static Machine) -> Self {
        let end = start.saturating_add(segment.bytes.len() as u64);
        Self { code: segment.bytes, at: start, end, start, known: Known::NOTHING, machine }
    }
}

impl Iterator for Reader<'_> {
    type Item = Swept;

    fn next(&mut self) -> Option<Swept> {
        while self.at < self.end {
            let at = self.at;
            let from = usize::try_from((at & !(WIDTH - 1)).checked_sub(self.start)?).ok()?;
            let bytes = self.code.get(from..)?;
            let Some(plain) = lift(bytes, at) else {
                self.at = (at & !(WIDTH - 1)) + WIDTH;
                continue;
            };
            self.at = plain.next;
            let mut folded = plain.clone();
            self.known.fold(&mut folded);
            // Behind a call or a return stands code that is reached from elsewhere, with its registers as they were.
            let flow = std::mem::replace(&mut folded.flow, Flow::Next);
            self.known.step(&folded, self.machine);
            folded.flow = flow;
            let page =
                bytes.first_chunk().is_some_and(|word| Word(u32::from_le_bytes(*word)).is(0x9f00_0000, 0x9000_0000));
            return Some(Swept::Arm64(Box::new(Arm64 { plain, folded, page })));
        }
        None
    }
}

pub(in super::super) fn instructions<'i>(image: &'i Image<'_>) -> Box<dyn Iterator<Item = Swept> + 'i> {
    let machine = Machine::of(necropsy_model::Arch::Aarch64, super::super::machine::Convention::C);
    let code = image.segments.iter().filter(|segment| segment.executable);
    Box::new(code.flat_map(move |segment| {
        machine.map(|machine| Reader::new(segment, image.bias.to_avma(segment.start).0, machine)).into_iter().flatten()
    }))
}

impl Arm64 {
    pub fn at(&self) -> u64 {
        self.plain.at
    }

    pub fn goes_to(&self) -> Option<u64> {
        match self.plain.flow {
            Flow::Call(Src::Const(target)) | Flow::Jump(target) => Some(target),
            _ => None,
        }
    }

    pub fn jumps_to(&self) -> Option<u64> {
        match self.plain.flow {
            Flow::Jump(target) => Some(target),
            _ => None,
        }
    }

    pub fn stores_at(&self, offset: u64, size: u8) -> bool {
        self.plain.ops.iter().any(|op| match op {
            Op::Store { to, .. } | Op::Update { to, .. } => {
                to.base.is_some_and(|base| base != SP)
                    && to.index.is_none()
                    && to.displacement.cast_unsigned() == offset
                    && to.size == size
            }
            _ => false,
        })
    }

    pub fn stores_zero(&self) -> bool {
        self.plain.ops.iter().any(|op| match op {
            Op::Store { to, from: Src::Const(0) } => to.base.is_some_and(|base| base != SP) && to.size == 8,
            _ => false,
        })
    }

    pub fn names(&self) -> Option<Named> {
        if self.page {
            return None;
        }
        let lone = |mem: &Mem| mem.base.is_none() && mem.index.is_none();
        let named = |mem: &Mem, does| {
            let size = u64::from(mem.size).max(1);
            Some(Named { address: mem.displacement.cast_unsigned(), size, does })
        };
        // Of a pair, both places.
        let mut found: Option<Named> = None;
        for op in &self.folded.ops {
            let next = match op {
                Op::Set { to, from: Src::Address(mem), .. } if lone(mem) => named(mem, Does::Takes(to.reg)),
                Op::Set { from: Src::Mem(mem), .. } if lone(mem) => named(mem, Does::Reads),
                Op::Store { to, .. } | Op::Update { to, .. } | Op::Fill { to, .. } if lone(to) => {
                    named(to, Does::Writes)
                }
                _ => None,
            };
            found = match (found, next) {
                (Some(one), Some(other)) if one.does == other.does => {
                    Some(Named { size: one.size + other.size, address: one.address.min(other.address), ..one })
                }
                (one, other) => one.or(other),
            };
        }
        found
    }

    pub fn has_constant(&self, constant: u64) -> bool {
        let takes = |op: &Op| matches!(op, Op::Set { from: Src::Const(value), .. } if *value == constant);
        self.folded.ops.iter().any(takes)
    }

    pub fn use_of(&self, register: Reg) -> Use {
        let is = |source: &Src| matches!(source, Src::Reg(part) if part.reg == register);
        let (mut element, mut reads, mut named, mut replaces) = (false, false, false, false);
        let mut in_address = false;
        for (op, folded) in self.plain.ops.iter().zip(&self.folded.ops) {
            let touches =
                |mem: &Mem| mem.base == Some(register) || mem.index.is_some_and(|(index, _)| index == register);
            // A fixed place is seen by its address.
            let fixed = |mem: &Mem| mem.base.is_none() && mem.index.is_none();
            let (to, from) = match op {
                Op::Set { to, from, .. } => (Some(to), Some(from)),
                Op::MaySet { from, .. } => {
                    named |= is(from);
                    (None, None)
                }
                Op::Compute { to, left, right, .. } => {
                    let resolved = matches!(folded, Op::Set { .. });
                    named |= !resolved && (is(left) || is(right));
                    (Some(to), None)
                }
                Op::Store { to, from } | Op::Fill { to, from } => {
                    let resolved = matches!(folded, Op::Store { to, .. } if fixed(to));
                    named |= is(from) || touches(to) && !resolved;
                    (None, None)
                }
                Op::Update { to, right, .. } => {
                    named |= is(right) || touches(to);
                    (None, None)
                }
                Op::Write(_) => (None, None),
            };
            match (from, folded) {
                (Some(Src::Mem(_)), Op::Set { from: Src::Mem(mem), .. }) if fixed(mem) => {}
                (Some(Src::Mem(mem)), _) if touches(mem) => {
                    in_address = true;
                    element |= mem.base.is_some() && mem.index.is_some();
                    reads = true;
                }
                (Some(Src::Address(_)), Op::Set { from: Src::Address(mem), .. }) if fixed(mem) => {}
                (Some(Src::Address(mem)), _) if touches(mem) => named = true,
                (Some(from), _) if is(from) => named = true,
                _ => {}
            }
            replaces |= to.is_some_and(|to| to.reg == register);
        }
        let called = matches!(self.plain.flow, Flow::Call(ref target) | Flow::JumpTo(ref target) if is(target));
        match (in_address, named || called, self.plain.flow) {
            (false, false, Flow::Next | Flow::Branch(..)) if replaces => Use::Last,
            (false, false, Flow::Next | Flow::Branch(..)) => Use::None,
            (true, false, Flow::Next) if element && reads && replaces => Use::Last,
            (true, false, Flow::Next) if element && reads => Use::Indexes,
            (false, false, Flow::Return) if register != X0 => Use::Last,
            (false, false, Flow::Call(_) | Flow::Jump(_)) if !ARGUMENTS.contains(&register) => Use::None,
            _ => Use::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use necropsy_model::Arch;

    use super::super::super::machine::Convention;
    use super::*;

    const AT: u64 = 0x40_0000;

    fn swept(words: &[u32]) -> Vec<Arm64> {
        let code: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let machine = Machine::of(Arch::Aarch64, Convention::C).unwrap();
        let end = AT + code.len() as u64;
        let reader = Reader { code: &code, at: AT, end, start: AT, known: Known::NOTHING, machine };
        let arm = |swept| match swept {
            Swept::Arm64(insn) => *insn,
            Swept::Amd64(_) => unreachable!("of another machine"),
        };
        reader.map(arm).collect()
    }

    #[test]
    fn what_is_done_at_an_address_that_two_instructions_make() {
        // adrp x0; ldr x1, [x0, #24]; str x1, [x0, #32]; add x2, x0, #8; stp x3, x4, [x0, #48]
        let insns = swept(&[0x9000_0000, 0xf940_0c01, 0xf900_1001, 0x9100_2002, 0xa903_1003]);
        let named = |address, size, does| Some(Named { address: AT + address, size, does });
        assert_eq!(insns[0].names(), None, "the page alone is no place");
        assert_eq!(insns[1].names(), named(24, 8, Does::Reads));
        assert_eq!(insns[2].names(), named(32, 8, Does::Writes));
        assert!(matches!(insns[3].names(), Some(Named { address: 0x40_0008, does: Does::Takes(2), .. })));
        assert_eq!(insns[4].names(), named(48, 16, Does::Writes), "a pair is one place");
    }

    #[test]
    fn words_that_are_no_instruction_are_passed() {
        let insns = swept(&[0, 0xf940_0c01]);
        assert_eq!(insns.last().map(Arm64::at), Some(AT + 4));
    }

    #[test]
    fn stores_to_a_part_of_an_object_and_not_to_the_stack() {
        // str w5, [x19, #40]; str w5, [sp, #40]
        let insns = swept(&[0xb900_2a65, 0xb900_2be5]);
        assert!(insns[0].stores_at(40, 4) && !insns[0].stores_at(40, 8) && !insns[0].stores_at(44, 4));
        assert!(!insns[1].stores_at(40, 4));
    }

    #[test]
    fn where_calls_and_jumps_go() {
        // bl 3fffa0; ret
        let insns = swept(&[0x97ff_ffe8, 0xd65f_03c0]);
        assert_eq!((insns[0].goes_to(), insns[0].jumps_to()), (Some(AT - 0x60), None));
        assert_eq!(insns[1].goes_to(), None);
    }

    #[test]
    fn what_becomes_of_the_address_of_an_array() {
        let use_of = |word, register| swept(&[word])[0].use_of(register);
        assert_eq!(use_of(0xf862_7801, 0), Use::Indexes); // ldr x1, [x0, x2, lsl #3]
        assert_eq!(use_of(0xf862_7800, 0), Use::Last); // ldr x0, [x0, x2, lsl #3]
        assert_eq!(use_of(0xf822_7801, 0), Use::Other); // str x1, [x0, x2, lsl #3]
        assert_eq!(use_of(0xaa00_03e3, 0), Use::Other); // mov x3, x0
        assert_eq!(use_of(0xaa00_03e3, 3), Use::Last);
        assert_eq!((use_of(0xd65f_03c0, 0), use_of(0xd65f_03c0, 1)), (Use::Other, Use::Last)); // ret
        assert_eq!((use_of(0x97ff_ffe8, 19), use_of(0x97ff_ffe8, 1)), (Use::None, Use::Other)); // bl
    }
}
