//! Names from Go's own table.

use necropsy_model::{Location, Svma, SymbolSource};

use super::dwarf::{Function, Functions};
use crate::go_table::GoTable;

/// The functions at an address, if the table covers it.
pub(super) fn functions<'data>(table: &GoTable<'data>, address: Svma) -> Option<Functions<'data>> {
    let frames = table.look_up(address).into_iter().map(|frame| Function {
        name: frame.name,
        location: frame.position.map(|(file, line)| Location::new(file, Some(line))),
    });
    let functions: Vec<_> = frames.collect();
    (!functions.is_empty()).then_some(Functions { functions, optimized: false, source: SymbolSource::GoTable })
}
