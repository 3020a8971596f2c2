//! Vector registers.

/// The vector registers of a frame by their own number: `xmm0`, `v0`. Compilers keep floats and small structures in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vectors {
    /// The low 16 bytes of each; empty where none is known.
    pub low: Vec<[u8; 16]>,
    /// The 16 bytes above them (`ymm0`); empty where the machine has none or the dump does not tell.
    pub high: Vec<[u8; 16]>,
}

impl Vectors {
    /// The bytes of a register, lowest first: 32, 16, or none.
    pub fn get(&self, number: usize) -> Option<Vec<u8>> {
        let low = self.low.get(number)?;
        Some(low.iter().chain(self.high.get(number).into_iter().flatten()).copied().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_register_is_as_wide_as_it_is_known() {
        let vectors = Vectors { low: vec![[1; 16], [2; 16]], high: vec![[3; 16]] };
        assert_eq!(vectors.get(0).map(|bytes| (bytes.len(), bytes[0], bytes[16])), Some((32, 1, 3)));
        assert_eq!(vectors.get(1).map(|bytes| bytes.len()), Some(16));
        assert_eq!(vectors.get(2), None);
    }
}
