//! Bytes that are opened or made after the dump was mapped, kept until the report is written.

use elsa::sync::FrozenVec;

type Owner = Box<dyn AsRef<[u8]> + Send + Sync>;

/// Owns every byte that comes late (an executable, a debug file, an unescaped log line) and lends it for as long as it lives.
///
/// It only grows, so that a loan of it has the one lifetime `'data` of the pipeline.
#[derive(Default)]
pub struct Arena {
    kept: FrozenVec<Owner>,
}

impl Arena {
    /// An arena that holds nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps `bytes` (a `Vec<u8>`, a memory map) and lends them.
    pub fn keep(&self, bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> &[u8] {
        self.kept.push_get(Box::new(bytes)).as_ref()
    }

    /// Keeps a string and lends it.
    pub fn keep_str(&self, text: String) -> &str {
        // The bytes came from a `String`, so that the fallback is never taken.
        std::str::from_utf8(self.keep(text.into_bytes())).unwrap_or_default()
    }
}

impl std::fmt::Debug for Arena {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arena").field("kept", &self.kept.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loans_outlive_later_growth() {
        let arena = Arena::new();
        let first = arena.keep_str("first".to_owned());
        for number in 0..1000 {
            arena.keep(vec![number as u8; 16]);
        }
        assert_eq!(first, "first");
    }
}
