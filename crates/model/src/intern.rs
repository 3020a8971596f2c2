//! Ids of interned things. Ten thousand goroutines on one stack cost one stack.

use std::num::NonZeroU32;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(NonZeroU32);

        impl $name {
            /// The id of the element at `index`; `None` past four thousand million of them.
            pub fn new(index: usize) -> Option<Self> {
                u32::try_from(index).ok()?.checked_add(1).and_then(NonZeroU32::new).map(Self)
            }

            /// The index of the element.
            pub fn index(self) -> usize {
                self.0.get() as usize - 1
            }
        }
    };
}

id!(
    /// A frame of [`crate::Snapshot::frames`].
    FrameId
);
id!(
    /// A stack of [`crate::Snapshot::stacks`].
    StackId
);
id!(
    /// A state of [`crate::Snapshot::states`].
    StateId
);
id!(
    /// A label set of [`crate::Snapshot::labels`].
    LabelsId
);
id!(
    /// A module of [`crate::Snapshot::modules`].
    ModuleId
);

/// Gives equal things one index. Small tables only (states, labels): look-up hashes the whole value.
#[derive(Debug)]
pub struct Interner<T> {
    seen: std::collections::HashMap<T, u32>,
    items: Vec<T>,
}

impl<T: Clone + Eq + std::hash::Hash> Default for Interner<T> {
    fn default() -> Self {
        Self { seen: std::collections::HashMap::new(), items: Vec::new() }
    }
}

impl<T: Clone + Eq + std::hash::Hash> Interner<T> {
    /// The index of `item`, new or known; indexes run from zero in order of first sight.
    pub fn intern(&mut self, item: T) -> usize {
        if let Some(&index) = self.seen.get(&item) {
            return index as usize;
        }
        let index = self.items.len();
        self.seen.insert(item.clone(), index as u32);
        self.items.push(item);
        index
    }

    /// The items in order of first sight.
    pub fn into_items(self) -> Vec<T> {
        self.items
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_small_and_round_trip() {
        assert_eq!(std::mem::size_of::<Option<StackId>>(), 4);
        assert_eq!(StackId::new(41).map(StackId::index), Some(41));
        assert_eq!(StackId::new(u32::MAX as usize), None);
    }

    #[test]
    fn equal_items_share_an_index() {
        let mut interner = Interner::default();
        assert_eq!([interner.intern("a"), interner.intern("b"), interner.intern("a")], [0, 1, 0]);
        assert_eq!(interner.into_items(), ["a", "b"]);
    }
}
