//! Where the bytes of a variable are: in memory, or collected from registers and constants, with holes.

use std::borrow::Cow;
use std::rc::Rc;

use necropsy_model::{Absence, Avma};

use crate::space::AddressSpace;

/// Bytes collected for one object that is not in memory as a whole: no compiler splits larger ones.
pub(super) const MAX_COLLECTED: usize = 4096;

/// The bytes of a variable, or of a part of one.
#[derive(Clone, Debug)]
pub(super) enum Object {
    /// In the memory of the process, at an address.
    Memory(u64),
    /// Collected, from this offset on.
    Collected(Rc<Collected>, usize),
    /// Nowhere, for this reason.
    Absent(Absence),
}

/// Bytes from registers, constants and pieces of memory.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub bytes: Vec<u8>,
    /// First offset, first offset behind, and why there is nothing.
    pub holes: Vec<(usize, usize, Absence)>,
}

/// A pointer whose target the compiler keeps, but not in memory.
pub(super) const NO_ADDRESS: Absence = Absence::Unsupported("pointer to something that is not in memory");

impl Object {
    /// An object of these bytes.
    pub fn bytes(bytes: Vec<u8>) -> Self {
        Self::Collected(Rc::new(Collected { bytes, holes: Vec::new() }), 0)
    }

    /// The part that begins `offset` bytes further.
    pub fn at(&self, offset: u64) -> Self {
        match self {
            Self::Memory(address) => Self::Memory(address.wrapping_add(offset)),
            Self::Collected(collected, from) => {
                let from = usize::try_from(offset).ok().and_then(|offset| from.checked_add(offset));
                Self::Collected(Rc::clone(collected), from.unwrap_or(usize::MAX))
            }
            Self::Absent(reason) => Self::Absent(reason.clone()),
        }
    }

    /// Its address, when it is in memory.
    pub fn address(&self) -> Option<u64> {
        match self {
            Self::Memory(address) => Some(*address),
            _ => None,
        }
    }

    /// Its first `length` bytes.
    pub fn read<'o, 'data: 'o>(
        &'o self,
        space: &AddressSpace<'_, 'data>,
        length: usize,
    ) -> Result<Cow<'o, [u8]>, Absence> {
        match self {
            // An empty text or array points anywhere: nothing is read.
            Self::Memory(_) if length == 0 => Ok(Cow::Borrowed(&[])),
            Self::Memory(address) => space.read(Avma(*address), length).map(Cow::Borrowed).map_err(Absence::Memory),
            Self::Absent(reason) => Err(reason.clone()),
            Self::Collected(collected, from) => {
                let end = from.checked_add(length).ok_or(Absence::OptimizedOut)?;
                if let Some((.., reason)) =
                    collected.holes.iter().find(|(start, stop, _)| *start < end && *from < *stop)
                {
                    return Err(reason.clone());
                }
                collected.bytes.get(*from..end).map(Cow::Borrowed).ok_or(Absence::OptimizedOut)
            }
        }
    }

    /// An unsigned little-endian number of `length` bytes, at most 16.
    pub fn number(&self, space: &AddressSpace<'_, '_>, length: usize) -> Result<u128, Absence> {
        let bytes = self.read(space, length.min(16))?;
        let mut wide = [0; 16];
        wide.iter_mut().zip(bytes.iter()).for_each(|(to, from)| *to = *from);
        Ok(u128::from_le_bytes(wide))
    }

    /// A 64-bit word.
    pub fn word(&self, space: &AddressSpace<'_, '_>) -> Result<u64, Absence> {
        self.number(space, 8).map(|number| number as u64)
    }
}

impl Collected {
    /// Appends `bits` bits of `source`, from bit `from` on; a hole where there is none. `filled` counts bits so far.
    pub fn append(&mut self, filled: &mut usize, bits: usize, from: usize, source: Result<&[u8], Absence>) {
        let Some(end) = filled.checked_add(bits).filter(|end| end.div_ceil(8) <= MAX_COLLECTED) else { return };
        self.bytes.resize(end.div_ceil(8), 0);
        match source {
            Err(reason) => self.holes.push((*filled / 8, end.div_ceil(8), reason)),
            Ok(source) => {
                for bit in 0..bits {
                    let (to, at) = (*filled + bit, from.saturating_add(bit));
                    let set = source.get(at / 8).is_some_and(|byte| byte >> (at % 8) & 1 == 1);
                    if let Some(byte) = self.bytes.get_mut(to / 8).filter(|_| set) {
                        *byte |= 1 << (to % 8);
                    }
                }
            }
        }
        *filled = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_join_on_bits_and_a_hole_costs_only_its_part() {
        let (mut collected, mut filled) = (Collected::default(), 0);
        collected.append(&mut filled, 4, 0, Ok(&[0x0a]));
        collected.append(&mut filled, 4, 4, Ok(&[0xb0]));
        collected.append(&mut filled, 8, 0, Err(Absence::OptimizedOut));
        collected.append(&mut filled, 8, 0, Ok(&[0x7f]));
        let memory = necropsy_model::Memory::default();
        let images = crate::image::Images::default();
        let space = AddressSpace::new(&memory, &images);
        let object = Object::Collected(Rc::new(collected), 0);
        assert_eq!(object.number(&space, 1), Ok(0xba));
        assert_eq!(object.number(&space, 2), Err(Absence::OptimizedOut));
        assert_eq!(object.at(2).number(&space, 1), Ok(0x7f));
        assert_eq!(object.at(3).number(&space, 1), Err(Absence::OptimizedOut));
        assert_eq!(object.at(u64::MAX).number(&space, 1), Err(Absence::OptimizedOut));
    }
}
