//! Numbers of objects that have a hash and no address.

use rustc_hash::FxHashSet;

/// Numbers that objects have. Two objects may have one hash; both need a number, and a file may give a hash to every object in it.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    taken: FxHashSet<u64>,
    /// Numbers that were made because another object had the hash.
    made: u64,
}

impl Numbers {
    /// All numbers that are taken already.
    pub(super) fn without(taken: impl Iterator<Item = u64>) -> Self {
        Self { taken: taken.collect(), made: 0 }
    }

    /// The hash itself where no other object has it, else a number above all hashes, which have 32 bits. 0 is nobody's.
    pub(super) fn number(&mut self, hash: u64) -> u64 {
        if hash != 0 && self.taken.insert(hash) {
            return hash;
        }
        loop {
            // Never the same twice, so that this ends after as many turns as numbers are taken.
            self.made += 1;
            let number = (hash & u64::from(u32::MAX)) | (self.made << 32);
            if self.taken.insert(number) {
                return number;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_of_one_hash_have_numbers_of_their_own() {
        let mut numbers = Numbers::without([7, 9 | 1 << 32].into_iter());
        assert_eq!(numbers.number(5), 5);
        assert_eq!(numbers.number(5), 5 | 1 << 32);
        assert_eq!(numbers.number(9), 9);
        assert_eq!(numbers.number(7), 7 | 2 << 32);
        // The number that would come next is taken: the one behind it.
        let mut numbers = Numbers::without([9, 9 | 1 << 32].into_iter());
        assert_eq!(numbers.number(9), 9 | 2 << 32);
        assert_eq!(numbers.number(0), 3 << 32);
    }

    #[test]
    fn a_hash_of_64_bits_ends_too() {
        let mut numbers = Numbers::default();
        assert_eq!(numbers.number(u64::MAX), u64::MAX);
        assert_eq!(numbers.number(u64::MAX), u64::from(u32::MAX) | 1 << 32);
        let zeros: FxHashSet<u64> = (0..100_000).map(|_| numbers.number(0)).collect();
        assert_eq!(zeros.len(), 100_000);
    }
}
