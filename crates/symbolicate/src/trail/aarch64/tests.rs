use super::super::definition::extended;
use super::*;

/// The parts of a word at `0x40_0000`, which gives what `aarch64-linux-gnu-objdump` reads as the text beside it.
fn lifted(word: u32) -> Vec<Insn> {
    let mut parts = Vec::new();
    let mut at = 0x40_0000;
    while at < 0x40_0004 {
        let insn = lift(&word.to_le_bytes(), at).unwrap();
        at = insn.next;
        parts.push(insn);
    }
    assert_eq!(at, 0x40_0004);
    parts
}

fn one(word: u32) -> Insn {
    let mut parts = lifted(word);
    assert_eq!(parts.len(), 1, "{parts:?}");
    parts.remove(0)
}

const fn x(reg: u8) -> Src {
    Src::Reg(whole(reg))
}

const fn w(reg: u8) -> Src {
    Src::Reg(Part { size: 4, ..whole(reg) })
}

fn set(to: u8, from: Src) -> Vec<Op> {
    vec![Op::Set { to: whole(to), from, extend: Extend::Zero }]
}

fn based(base: Reg, displacement: i64, size: u8) -> Mem {
    Mem { base: Some(base), ..Mem::at(displacement, size) }
}

#[test]
fn moves_and_constants() {
    assert_eq!(one(0xaa01_03e0).ops, set(0, x(1))); // mov x0, x1
    assert_eq!(one(0x2a01_03e0).ops, set(0, w(1))); // mov w0, w1
    assert_eq!(one(0xd280_0000).ops, set(0, Src::Const(0))); // mov x0, #0
    assert_eq!(one(0x1280_0000).ops, set(0, Src::Const(0xffff_ffff))); // mov w0, #-1
    assert_eq!(one(0x9280_0000).ops, set(0, Src::Const(u64::MAX))); // mov x0, #-1
    assert_eq!(one(0xb200_f3e0).ops, set(0, Src::Const(0x5555_5555_5555_5555))); // mov x0, #0x5555555555555555
    assert_eq!(one(0x9100_03fd).ops, set(29, x(31))); // mov x29, sp
    assert_eq!(one(0xaa1f_03e2).ops, set(2, Src::Const(0))); // mov x2, xzr
    // movk x0, #0x1234, lsl #16
    let half = Part { reg: 0, offset: 2, size: 2 };
    assert_eq!(one(0xf2a2_4680).ops, [Op::Set { to: half, from: Src::Const(0x1234), extend: Extend::Zero }]);
    assert_eq!(one(0x9000_0003).ops, set(3, Src::Address(Mem::at(0x40_0000, 8)))); // adrp x3, 400000
    assert_eq!(one(0x1000_0083).ops, set(3, Src::Address(Mem::at(0x40_0010, 8)))); // adr x3, 400010
}

#[test]
fn arithmetic_and_flags() {
    let sum = |kind, left, right, size| vec![Op::Compute { to: whole(0), kind, left, right, size }];
    assert_eq!(one(0x8b02_0020).ops, sum(Arith::Add, x(1), x(2), 8)); // add x0, x1, x2
    assert_eq!(one(0x4b02_0020).ops, sum(Arith::Sub, w(1), w(2), 4)); // sub w0, w1, w2
    assert_eq!(one(0x9140_0420).ops, sum(Arith::Add, x(1), Src::Const(0x1000), 8)); // add x0, x1, #0x1, lsl #12
    assert_eq!(one(0x9240_0c20).ops, sum(Arith::And, x(1), Src::Const(15), 8)); // and x0, x1, #0xf
    assert_eq!(one(0x9240_1c20).ops, set(0, Src::Reg(Part { size: 1, ..whole(1) }))); // and x0, x1, #0xff
    assert_eq!(one(0xd37d_f020).ops, sum(Arith::Shl, x(1), Src::Const(3), 8)); // lsl x0, x1, #3
    assert_eq!(one(0x5304_7c20).ops, sum(Arith::Shr, w(1), Src::Const(4), 4)); // lsr w0, w1, #4
    assert_eq!(one(0x9b02_7c20).ops, sum(Arith::Mul, x(1), x(2), 8)); // mul x0, x1, x2
    assert_eq!(one(0xcb01_03e0).ops, sum(Arith::Sub, Src::Const(0), x(1), 8)); // neg x0, x1
    assert_eq!(one(0xaa21_03e0).ops, sum(Arith::Xor, x(1), Src::Const(u64::MAX), 8)); // mvn x0, x1
    assert_eq!(one(0x9100_43e0).ops, set(0, Src::Address(based(SP, 16, 8)))); // add x0, sp, #0x10
    assert_eq!(one(0xd100_43a0).ops, set(0, Src::Address(based(FP, -16, 8)))); // sub x0, x29, #0x10
    let compare = |left, right, size| Flags::Compare { left, right, size };
    assert_eq!(one(0xf100_001f).flags, compare(x(0), Src::Const(0), 8)); // cmp x0, #0x0
    assert_eq!(one(0x6b01_001f).flags, compare(w(0), w(1), 4)); // cmp w0, w1
    assert_eq!(one(0x3100_041f).flags, compare(w(0), Src::Const(0xffff_ffff), 4)); // cmn w0, #0x1
    assert_eq!(one(0x7200_001f).flags, Flags::Test { left: w(0), right: Src::Const(1), size: 4 }); // tst w0, #0x1
    assert!(one(0xf100_001f).ops.is_empty());
}

#[test]
fn parts_of_registers() {
    let of = |reg, offset, size| Src::Reg(Part { reg, offset, size });
    let sign = |from| vec![Op::Set { to: whole(0), from, extend: Extend::Sign }];
    assert_eq!(one(0x9340_7c20).ops, sign(of(1, 0, 4))); // sxtw x0, w1
    assert_eq!(one(0x1300_3c20).ops, sign(of(1, 0, 2))); // sxth w0, w1
    assert_eq!(one(0x5300_1c20).ops, set(0, of(1, 0, 1))); // uxtb w0, w1
    assert_eq!(one(0xd348_3c20).ops, set(0, of(1, 1, 1))); // ubfx x0, x1, #8, #8
    // sbfiz x0, x1, #4, #32
    let parts = lifted(0x937c_7c20);
    assert_eq!(parts[0].ops, [Op::Set { to: between(0), from: of(1, 0, 4), extend: Extend::Sign }]);
    let (left, right) = (Src::Reg(between(0)), Src::Const(4));
    assert_eq!(parts[1].ops, [Op::Compute { to: whole(0), kind: Arith::Shl, left, right, size: 8 }]);
    // ubfiz x0, x1, #3, #4
    let parts = lifted(0xd37d_0c20);
    let mask = Op::Compute { to: between(0), kind: Arith::And, left: x(1), right: Src::Const(15), size: 8 };
    assert_eq!((&parts[0].ops[..], parts.len()), (&[mask][..], 2));
    // The low bits of a word, as the machine has them.
    assert_eq!(extended(0xffff_ffff, 4, Extend::Sign), u64::MAX);
}

#[test]
fn loads_and_stores() {
    let load = |to, mem| Op::Set { to: whole(to), from: Src::Mem(mem), extend: Extend::Zero };
    assert_eq!(one(0xf940_0402).ops, [load(2, based(0, 8, 8))]); // ldr x2, [x0, #8]
    assert_eq!(one(0x3940_0022).ops, [load(2, based(1, 0, 1))]); // ldrb w2, [x1]
    let signed = Op::Set { to: whole(0), from: Src::Mem(based(1, 4, 4)), extend: Extend::Sign };
    assert_eq!(one(0xb980_0420).ops, [signed]); // ldrsw x0, [x1, #4]
    assert_eq!(one(0xb900_0c1f).ops, [Op::Store { to: based(0, 12, 4), from: Src::Const(0) }]); // str wzr, [x0, #12]
    let scaled = Mem { index: Some((1, 8)), ..based(0, 0, 8) };
    assert_eq!(one(0xf861_7802).ops, [load(2, scaled)]); // ldr x2, [x0, x1, lsl #3]
    // ldr x2, [x0, w1, sxtw #3]
    let parts = lifted(0xf861_d802);
    assert_eq!(parts[0].ops, [Op::Set { to: between(0), from: w(1), extend: Extend::Sign }]);
    assert_eq!(parts[1].ops, [load(2, Mem { index: Some((BETWEEN[0], 8)), ..based(0, 0, 8) })]);
    // stp x29, x30, [sp, #-16]!
    let down =
        Op::Compute { to: whole(31), kind: Arith::Add, left: x(31), right: Src::Const(16_u64.wrapping_neg()), size: 8 };
    let stores = [(-16, 29), (-8, 30)].map(|(at, from)| Op::Store { to: based(SP, at, 8), from: x(from) });
    assert_eq!(one(0xa9bf_7bfd).ops, [stores[0], stores[1], down]);
    // ldr x0, [x1], #8
    let up = Op::Compute { to: whole(1), kind: Arith::Add, left: x(1), right: Src::Const(8), size: 8 };
    assert_eq!(one(0xf840_8420).ops, [load(0, based(1, 0, 8)), up]);
    // ldp x0, x1, [x2, #16]
    assert_eq!(one(0xa941_0440).ops, [load(0, based(2, 16, 8)), load(1, based(2, 24, 8))]);
    // ldr x0, 400008
    assert_eq!(one(0x5800_0040).ops, [load(0, Mem::at(0x40_0008, 8))]);
    // ldaddl w1, w2, [x0]
    let add = Op::Update { to: based(0, 0, 4), kind: Arith::Add, right: w(1) };
    assert_eq!(one(0xb861_0002).ops, [load(2, based(0, 0, 4)), add]);
    // prfm pldl1keep, [x0]
    assert!(one(0xf980_0000).ops.is_empty());
}

#[test]
fn branches_and_what_they_test() {
    assert_eq!(one(0x9400_0002).flow, Flow::Call(Src::Const(0x40_0008))); // bl 400008
    assert_eq!(one(0xd63f_0060).flow, Flow::Call(x(3))); // blr x3
    assert_eq!(one(0xd61f_0220).flow, Flow::JumpTo(x(17))); // br x17
    assert_eq!([one(0xd65f_03c0).flow, one(0xd65f_0bff).flow], [Flow::Return; 2]); // ret; retaa
    assert_eq!(one(0x1400_0003).flow, Flow::Jump(0x40_000c)); // b 40000c
    assert_eq!(one(0x5400_0048).flow, Flow::Branch(0x40_0008, Condition::Above)); // b.hi 400008
    // cbz x1, 400008
    let zero = one(0xb400_0041);
    assert_eq!(zero.flow, Flow::Branch(0x40_0008, Condition::Equal));
    assert_eq!((zero.tests, zero.flags), (Flags::Compare { left: x(1), right: Src::Const(0), size: 8 }, Flags::Kept));
    // tbnz w0, #31, 400008
    let sign = one(0x37f8_0040);
    assert_eq!(sign.flow, Flow::Branch(0x40_0008, Condition::Negative));
    assert_eq!(sign.tests, Flags::Compare { left: w(0), right: Src::Const(0), size: 4 });
    // tbz x0, #3, 400008
    assert_eq!(one(0x3618_0040).tests, Flags::Test { left: w(0), right: Src::Const(8), size: 4 });
    // brk #0x3e8; udf #0; nop; paciasp
    assert_eq!([one(0xd420_7d00).flow, one(0).flow], [Flow::Stop; 2]);
    assert!([0xd503_201f, 0xd503_233f].map(one).iter().all(|insn| insn.ops.is_empty() && insn.flow == Flow::Next));
}

#[test]
fn choices_keep_the_one_or_the_other() {
    // csel x0, x1, x2, eq
    let choice = [Op::Set { to: whole(0), from: x(2), extend: Extend::Zero }, Op::MaySet { to: whole(0), from: x(1) }];
    assert_eq!(one(0x9a82_0020).ops, choice);
    // cset w0, eq
    let truth = Op::Compute { to: whole(0), kind: Arith::Opaque, left: Src::Other, right: Src::Other, size: 1 };
    assert_eq!(one(0x1a9f_17e0).ops, [truth]);
    // csetm x0, eq
    assert_eq!(one(0xda9f_13e0).ops[0], Op::Set { to: whole(0), from: Src::Const(u64::MAX), extend: Extend::Zero });
    // madd x0, x1, x2, x3
    let parts = lifted(0x9b02_0c20);
    let product = Op::Compute { to: between(0), kind: Arith::Mul, left: x(1), right: x(2), size: 8 };
    let right = Src::Reg(between(0));
    assert_eq!(parts[0].ops, [product]);
    assert_eq!(parts[1].ops, [Op::Compute { to: whole(0), kind: Arith::Add, left: x(3), right, size: 8 }]);
    // add x0, x1, w2, sxtw #4
    let parts = lifted(0x8b22_d020);
    let address = Mem { index: Some((BETWEEN[0], 16)), ..based(1, 0, 8) };
    assert_eq!(parts[1].ops, set(0, Src::Address(address)));
}

#[test]
fn vector_registers_that_carry_pointers() {
    let v = |reg: u16, offset, size| Part { reg: V0 + reg, offset, size };
    let put = |to, from| vec![Op::Set { to, from, extend: Extend::Zero }];
    assert_eq!(one(0x3dc0_0400).ops, put(v(0, 0, 16), Src::Mem(based(0, 16, 16)))); // ldr q0, [x0, #16]
    assert_eq!(one(0x3d80_0020).ops, [Op::Store { to: based(1, 0, 16), from: Src::Reg(v(0, 0, 16)) }]); // str q0, [x1]
    assert_eq!(one(0x4f00_0400).ops, put(v(0, 0, 16), Src::Const(0))); // movi v0.4s, #0x0
    assert_eq!(one(0x9e66_0020).ops, set(0, Src::Reg(v(1, 0, 8)))); // fmov x0, d1
    assert_eq!(one(0x9e67_0001).ops, put(v(1, 0, 16), x(0))); // fmov d1, x0
    assert_eq!(one(0x4e18_1c20).ops, put(v(0, 8, 8), x(1))); // mov v0.d[1], x1
    assert_eq!(one(0x4ea1_1c20).ops, put(v(0, 0, 16), Src::Reg(v(1, 0, 16)))); // mov v0.16b, v1.16b
    assert_eq!(one(0x4e08_3c20).ops, set(0, Src::Reg(v(1, 0, 8)))); // mov x0, v1.d[0]
    assert_eq!(one(0x1e62_0020).ops, [Op::Write(V0)]); // scvtf d0, w1
    assert_eq!(one(0x4ea2_8420).ops, [Op::Write(V0)]); // add v0.4s, v1.4s, v2.4s
}

#[test]
fn no_word_upsets_it() {
    let mut word = 1_u32;
    for _ in 0..200_000 {
        word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let mut at = 0x1000;
        while let Some(insn) = lift(&word.to_le_bytes(), at).filter(|insn| insn.next < 0x1004) {
            assert!(insn.next > at);
            at = insn.next;
        }
    }
}
