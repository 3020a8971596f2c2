//! What the fast path remembers: hashes of records, and the records that came before, byte for byte.
//!
//! In a dump of a million goroutines nine records of ten read as one before them, arguments and all. For those nothing is
//! looked at line by line.

/// A fast hash for one run of the program: sixteen bytes at a time, folded multiplication as in wyhash.
pub(super) struct Hash(u64);

impl Hash {
    const KEY: u64 = 0x9e37_79b9_7f4a_7c15;
    const OTHER: u64 = 0xa076_1d64_78bd_642f;

    pub(super) fn new() -> Self {
        Self(0x2d35_8dcc_aa6c_78a5)
    }

    #[inline]
    pub(super) fn add_word(&mut self, word: u64) {
        self.0 = fold(self.0 ^ word, Self::KEY);
    }

    /// Adds bytes and how many there are.
    #[inline]
    pub(super) fn add(&mut self, bytes: &[u8]) {
        let (words, tail) = bytes.as_chunks::<16>();
        for word in words {
            let (low, high) = halves(word);
            self.0 = fold(self.0 ^ low, Self::OTHER ^ high);
        }
        let mut last = [0; 16];
        if let Some(head) = last.get_mut(..tail.len()) {
            head.copy_from_slice(tail);
        }
        let (low, high) = halves(&last);
        self.0 = fold(self.0 ^ low ^ (bytes.len() as u64) << 56, Self::KEY ^ high);
    }

    pub(super) fn finish(self) -> u64 {
        self.0
    }

    /// The hash of a whole record: two lanes, so that one multiplication need not wait for the other.
    #[inline]
    fn of(bytes: &[u8]) -> u64 {
        let (words, tail) = bytes.as_chunks::<32>();
        let (mut one, mut two) = (Self::KEY, Self::OTHER);
        for word in words {
            let (first, second) = word.split_at(16);
            if let (Ok(first), Ok(second)) = (first.try_into(), second.try_into()) {
                let (low, high) = halves(first);
                one = fold(one ^ low, Self::OTHER ^ high);
                let (low, high) = halves(second);
                two = fold(two ^ low, Self::KEY ^ high);
            }
        }
        let mut rest = Self(one ^ two.rotate_left(32));
        rest.add(tail);
        rest.add_word(bytes.len() as u64);
        rest.0
    }
}

#[inline]
fn halves(word: &[u8; 16]) -> (u64, u64) {
    let word = u128::from_le_bytes(*word);
    (word as u64, (word >> 64) as u64)
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a).wrapping_mul(u128::from(b));
    (product as u64) ^ ((product >> 64) as u64)
}

/// Records that a part of the text may remember: a power of two. A table of this size stays in the processor's cache.
const SLOTS: usize = 4096;

/// What a record came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// Index of its stack.
    pub stack: u32,
    /// Lines, with the empty one behind it.
    pub lines: u32,
    /// Address of what it waits for; 0 for none.
    pub wait: u64,
}

#[derive(Clone)]
struct Slot<'d> {
    hash: u64,
    text: &'d [u8],
    known: Known,
    /// The slot of the record that came after this one the last time.
    next: usize,
}

/// Records that came before.
pub(super) struct Seen<'d> {
    slots: Vec<Option<Slot<'d>>>,
    /// The slot of the record at hand.
    last: usize,
}

impl<'d> Seen<'d> {
    pub(super) fn new() -> Self {
        Self { slots: vec![None; SLOTS], last: 0 }
    }

    /// The record at the start of `rest`, when it is the one that came after the last one before: a pool of workers is one
    /// record over and over, and what starts together stands together. Its length, without the empty line behind it.
    #[inline]
    pub(super) fn follow(&mut self, rest: &[u8]) -> Option<(usize, Known)> {
        let at = self.slots.get(self.last)?.as_ref()?.next;
        let Slot { text, known, .. } = self.slots.get(at)?.as_ref()?;
        if rest.starts_with(text) && rest.get(text.len()) == Some(&b'\n') {
            self.last = at;
            return Some((text.len(), *known));
        }
        None
    }

    /// What the same text came to before, and the hash under which to keep it.
    #[inline]
    pub(super) fn find(&mut self, text: &[u8]) -> (u64, Option<Known>) {
        let hash = Hash::of(text);
        let at = hash as usize % SLOTS;
        let slot = self.slots.get(at).and_then(Option::as_ref);
        // Equal hashes of different texts would be a wrong answer: the text itself decides.
        let known = slot.filter(|slot| slot.hash == hash && slot.text == text).map(|slot| slot.known);
        if known.is_some() {
            self.step(at);
        }
        (hash, known)
    }

    /// Keeps what a text came to, in place of whatever had its slot.
    pub(super) fn keep(&mut self, hash: u64, text: &'d [u8], known: Known) {
        let at = hash as usize % SLOTS;
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = Some(Slot { hash, text, known, next: at });
        }
        self.step(at);
    }

    fn step(&mut self, at: usize) {
        if let Some(Some(last)) = self.slots.get_mut(self.last) {
            last.next = at;
        }
        self.last = at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_counts() {
        let text: Vec<u8> = (0..100).collect();
        for length in 0..text.len() {
            let hash = Hash::of(&text[..length]);
            let mut lines = Hash::new();
            lines.add(&text[..length]);
            let lines = lines.finish();
            for at in 0..length {
                let mut other = text[..length].to_vec();
                other[at] ^= 1;
                assert_ne!(Hash::of(&other), hash);
                let mut hash = Hash::new();
                hash.add(&other);
                assert_ne!(hash.finish(), lines);
            }
            assert_ne!(Hash::of(&text[..=length]), hash);
        }
    }

    #[test]
    fn a_text_is_known_by_itself_and_not_by_its_hash() {
        let mut seen = Seen::new();
        let (hash, none) = seen.find(b"main.f()");
        assert!(none.is_none());
        seen.keep(hash, b"main.g()", Known { stack: 1, lines: 3, wait: 0 });
        assert!(seen.find(b"main.f()").1.is_none());
        seen.keep(hash, b"main.f()", Known { stack: 2, lines: 3, wait: 0 });
        assert_eq!(seen.find(b"main.f()").1.map(|known| known.stack), Some(2));
    }

    #[test]
    fn what_followed_before_is_tried_first() {
        let mut seen = Seen::new();
        for (text, stack) in [(&b"f\n"[..], 1), (b"g\n", 2), (b"f\n", 1)] {
            let (hash, known) = seen.find(text);
            if known.is_none() {
                seen.keep(hash, text, Known { stack, lines: 1, wait: 0 });
            }
        }
        let mut follow = |rest: &[u8]| seen.follow(rest).map(|(length, known)| (length, known.stack));
        assert_eq!(follow(b"g\n\ngoroutine"), Some((2, 2)));
        assert_eq!(follow(b"g\n\n"), None);
        assert_eq!(follow(b"f\nmore"), None);
        assert_eq!(follow(b"f\n"), None);
        assert_eq!(follow(b"f\n\n"), Some((2, 1)));
    }
}
