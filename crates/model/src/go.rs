//! What only a Go runtime says. Filled by the goroutine reader, read by the rules.

/// Facts of a Go dump that have no place in the general model.
#[derive(Clone, Debug, Default)]
pub struct GoFacts<'data> {
    /// Which form of dump, in the reader's word: `sigquit`, `panic`, `pprof-debug2`, …
    pub form: &'static str,
    /// Text between the start of the dump and the first goroutine: panic lines, fatal error, signal line.
    pub preamble: Vec<crate::Text<'data>>,
}
