//! What gives a place its value, and what copies made of the value on the way.

use std::rc::Rc;

use super::op::{Arith, Extend, Mem, Part, Reg, Src, mask, sign_extend};

/// Where a value is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Loc {
    /// In a register or a part of it.
    Reg(Part),
    /// In memory.
    Mem { address: u64, size: u8 },
}

impl Loc {
    pub fn size(self) -> u8 {
        match self {
            Self::Reg(part) => part.size,
            Self::Mem { size, .. } => size,
        }
    }
}

/// What gives a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A constant.
    Value(u64),
    /// A load.
    Load { mem: Mem, extend: Extend },
    /// An address that is not a plain copy of a register.
    Address(Mem),
    /// Arithmetic.
    Compute { kind: Arith, left: Src, right: Src, size: u8 },
    /// The result of a call.
    Result,
    /// A call that got a pointer to the place.
    Out,
    /// A call that got a pointer to each element of an array in turn: to the one with the place, in this register.
    Element(Reg, u64),
    /// A call that returned the pointer to the object around the place: the object's address.
    Maker(u64),
    /// A loop that counts: each turn makes another value.
    Counter,
    /// What the function was entered with.
    Entry,
    /// An instruction that fills memory.
    Fill,
    /// An instruction that is not followed.
    Unknown,
}

/// A definition that reaches.
#[derive(Clone, Debug)]
pub(super) struct Def {
    /// The instruction.
    pub at: usize,
    pub kind: Kind,
    /// Where the value was kept there.
    pub loc: Loc,
    /// The value there, if it is known.
    pub value: Option<u64>,
    /// The last store that it went through on the way from there.
    pub store: Option<usize>,
    /// Copies in between that change it, the last one first.
    pub changes: Option<Rc<Change>>,
}

impl Def {
    /// Where a search begins.
    pub fn start(at: usize, loc: Loc, value: Option<u64>) -> Self {
        Self { at, kind: Kind::Unknown, loc, value, store: None, changes: None }
    }

    /// It was changed by arithmetic on the way from there.
    pub fn adjusted(&self) -> bool {
        let mut next = self.changes.as_deref();
        while let Some(change) = next {
            if matches!(change.what, Changed::Added { by, .. } if by != 0) {
                return true;
            }
            next = change.before.as_deref();
        }
        false
    }

    /// It was scaled or widened on the way from there, as an index is.
    pub fn indexed(&self) -> bool {
        let mut next = self.changes.as_deref();
        while let Some(change) = next {
            if matches!(change.what, Changed::Scaled { .. } | Changed::Extended { .. }) {
                return true;
            }
            next = change.before.as_deref();
        }
        false
    }

    /// So many bytes of it were widened on the way from there.
    pub fn widened_from(&self, bytes: u8) -> bool {
        let mut next = self.changes.as_deref();
        while let Some(change) = next {
            if matches!(change.what, Changed::Extended { size, .. } if size == bytes) {
                return true;
            }
            next = change.before.as_deref();
        }
        false
    }

    /// The value asked for, from the value that the definition gave.
    pub fn undo(&self, value: u64) -> u64 {
        let mut value = mask(value, self.loc.size());
        let mut next = self.changes.as_deref();
        while let Some(change) = next {
            value = match change.what {
                Changed::Added { by, size } => mask(value.wrapping_add(by), size),
                Changed::Extended { size, extend } => extended(value, size, extend),
                Changed::Scaled { by, size } => mask(value.wrapping_mul(by), size),
                Changed::TakenFrom { .. } | Changed::Flipped { .. } => change.what.before(value),
            };
            next = change.before.as_deref();
        }
        value
    }
}

/// A copy that changed the value, and those behind it.
#[derive(Debug)]
pub(super) struct Change {
    pub what: Changed,
    pub before: Option<Rc<Change>>,
}

/// How a copy changed the value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Changed {
    Added {
        by: u64,
        size: u8,
    },
    Extended {
        size: u8,
        extend: Extend,
    },
    Scaled {
        by: u64,
        size: u8,
    },
    /// It was taken from a constant.
    TakenFrom {
        of: u64,
        size: u8,
    },
    /// It was combined with a constant, bit for bit.
    Flipped {
        by: u64,
        size: u8,
    },
}

impl Changed {
    /// The value before a change that is its own inverse; others leave it as it is.
    pub fn before(self, value: u64) -> u64 {
        match self {
            Self::TakenFrom { of, size } => mask(of.wrapping_sub(value), size),
            Self::Flipped { by, size } => mask(value ^ by, size),
            Self::Added { .. } | Self::Extended { .. } | Self::Scaled { .. } => value,
        }
    }
}

/// A narrow value in a wide register.
pub(super) fn extended(value: u64, size: u8, extend: Extend) -> u64 {
    match extend {
        Extend::Zero => mask(value, size),
        Extend::Sign => sign_extend(value, size).cast_unsigned(),
    }
}
