//! Stores whose address can not be computed: by the pointers that it may have been counted from.

use necropsy_model::BirthKind;

use super::Tracer;
use super::context::Ctx;
use super::definition::{Kind, Loc};
use super::heap::near;
use super::lead::{Path, Spot, UNKNOWN_INDEX};
use super::op::{Arith, Mem, Op, Part, Src, mask};

/// Bytes behind a pointer in which a store at an unknown index is looked for.
const SOMEWHERE: u64 = 256;

/// Smaller numbers are found everywhere.
const RARE: u64 = 0x20;

impl Tracer<'_, '_, '_> {
    /// Pointers that the address of a store may have been counted from.
    pub fn bases_of(&mut self, ctx: Ctx, at: usize, to: &Mem) -> Vec<u64> {
        let Some(base) = to.base else { return Vec::new() };
        let array = self.run(ctx).function.stack(at).slot(&Mem { index: None, ..*to });
        let array = array.map(|offset| self.run(ctx).cfa.wrapping_add_signed(offset));
        let part = Part { reg: base, offset: 0, size: 8 };
        let mut bases: Vec<u64> = self.eval(ctx, at, Src::Reg(part)).into_iter().collect();
        bases.extend(array.filter(|_| to.index.is_some()));
        for def in self.reaching(ctx, at, Loc::Reg(part), None) {
            match (def.kind, def.loc) {
                (Kind::Entry, Loc::Reg(part)) => {
                    if let Some((caller, call)) = self.caller(ctx)
                        && let Some(known) = self.eval(caller, call, Src::Reg(part))
                    {
                        bases.push(def.undo(known));
                    }
                }
                (Kind::Address(array), _) => {
                    bases.extend(self.address_of(ctx, def.at, &Mem { index: None, ..array }));
                }
                (Kind::Result, Loc::Reg(part)) if part.reg == self.machine.result => {
                    bases.extend(self.result_of(ctx, def.at).map(|known| def.undo(known)));
                }
                // A pointer and an index: either may be the pointer.
                (Kind::Compute { kind: Arith::Add, left, right, .. }, _) => {
                    bases.extend(self.eval(ctx, def.at, left));
                    bases.extend(self.eval(ctx, def.at, right));
                }
                _ => {}
            }
        }
        bases
    }

    /// A store whose address can not be computed, through a pointer into the object.
    ///
    /// Whether there is one that fits.
    pub fn stored_somewhere(&mut self, ctx: Ctx, place: (u64, u8), value: Option<u64>, path: &Path) -> bool {
        let (address, size) = place;
        let before = self.leads.len();
        let function = self.function(ctx);
        for (at, insn) in function.insns.iter().enumerate() {
            for op in &insn.ops {
                let Op::Store { to, from } = *op else { continue };
                // An address that depends on memory may have been another then.
                let outer = std::mem::replace(&mut self.read_memory, false);
                let known = self.address_of(ctx, at, &to).filter(|_| !self.read_memory);
                self.read_memory |= outer;
                if to.size != size || known.is_some() {
                    continue;
                }
                let bases = self.bases_of(ctx, at, &to);
                if !bases.iter().any(|&base| near(base, address) && address - base < SOMEWHERE) {
                    continue;
                }
                let (mut results, mut agrees) = (false, false);
                let fits = match from {
                    Src::Const(constant) => value.is_none_or(|value| mask(constant, size) == value),
                    Src::Reg(part) => {
                        let defs = self.reaching(ctx, at, Loc::Reg(part), value);
                        results = value.is_some() && defs.iter().any(|def| def.kind == Kind::Result);
                        // The very value, and none that is met everywhere.
                        let rare = value.filter(|&value| value >= RARE && mask(value, size) == value);
                        agrees = rare.is_some() && self.eval(ctx, at, from).map(|given| mask(given, size)) == rare;
                        defs.iter().any(|def| matches!(def.kind, Kind::Value(_)))
                    }
                    _ => false,
                };
                if path.index && !fits && !agrees && self.stores_data(ctx, at, from) {
                    let spot = Spot { ctx, at };
                    let mut path = path.with(spot, "store", "stores what it read, to be used as an index".to_owned());
                    path.doubts.push(UNKNOWN_INDEX);
                    self.lead(BirthKind::Stored, spot, "stores it unchecked".to_owned(), &path);
                    return true;
                }
                if let (true, false, Src::Reg(part)) = (results || agrees, fits, from) {
                    let spot = Spot { ctx, at };
                    let mut path =
                        path.with(spot, "store", "a store into the object, at an index that is not known".to_owned());
                    if agrees {
                        path.stored = Some(spot);
                    }
                    if !agrees || value.is_none_or(|value| value <= 0xffff) {
                        path.doubts.push(UNKNOWN_INDEX);
                    }
                    self.trace(ctx, at, Loc::Reg(part), value, &path);
                    if self.leads.len() > before {
                        return true;
                    }
                }
                if fits {
                    let spot = Spot { ctx, at };
                    let mut path =
                        path.with(spot, "store", "a store into the object, at an index that is not known".to_owned());
                    if value == Some(0) && self.own_spot(spot) != spot {
                        path.doubts.push("the libraries store 0 in many places");
                    }
                    self.lead(
                        BirthKind::StoredSomewhere,
                        spot,
                        "stored through a pointer to the object".to_owned(),
                        &path,
                    );
                    return true;
                }
            }
        }
        false
    }
}
