//! Functions, inlined functions and lines of raw frames.

mod demangle;
mod dwarf;
mod source;
mod table;

use std::collections::HashMap;

use necropsy_model::{Location, Missing, Svma, Symbol, SymbolSource, Text};
use rayon::prelude::*;

use crate::image::{Image, Images};
use crate::unwind::Walk;

pub(crate) use source::line_text;

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
    let mut addresses: Vec<Vec<Svma>> = vec![Vec::new(); images.all().len()];
    for frame in walks.iter().flat_map(|walk| &walk.frames) {
        let lookup = frame.address.lookup();
        if let Some((index, image)) = images.at(lookup) {
            addresses[index].push(image.bias.to_svma(lookup));
        }
    }
    let named = images.all().par_iter().zip(addresses).enumerate().map(|(index, (image, mut addresses))| {
        addresses.sort_unstable();
        addresses.dedup();
        let names = name_all(image, &addresses);
        addresses.into_iter().zip(names).map(move |(address, names)| ((index, address), names)).collect::<Vec<_>>()
    });
    named.collect::<Vec<_>>().into_iter().flatten().collect()
}

/// Names of sorted addresses of one image, in their order.
fn name_all<'data>(image: &Image<'data>, addresses: &[Svma]) -> Vec<Vec<Named<'data>>> {
    if addresses.is_empty() {
        return Vec::new();
    }
    let mut names = dwarf::look_up(image, addresses);
    let unnamed: Vec<Svma> = addresses
        .iter()
        .zip(&names)
        .filter(|(_, found)| found.last().is_none_or(|outer| outer.function.is_none()))
        .map(|(&address, _)| address)
        .collect();
    let symbols = table::look_up(image, &unnamed);
    for (address, found) in addresses.iter().zip(&mut names) {
        if let Ok(index) = unnamed.binary_search(address) {
            complete(found, symbols.get(index).cloned().flatten(), image);
        }
    }
    names
}

/// Puts a name of the symbol table where debug information has none.
fn complete<'data>(found: &mut Vec<Named<'data>>, symbol: Option<(Text<'data>, SymbolSource)>, image: &Image<'data>) {
    let outer = match found.last_mut() {
        Some(outer) => outer,
        None => {
            let symbol = Symbol::Missing(Missing::NotCovered);
            found.push(Named { function: None, location: None, inlined: false, optimized: false, symbol });
            let Some(outer) = found.last_mut() else { return };
            outer
        }
    };
    match symbol {
        Some((name, source)) => {
            outer.function = Some(name);
            outer.symbol = Symbol::Found(source);
        }
        None => {
            outer.symbol =
                Symbol::Missing(if table::is_empty(image) { Missing::Stripped } else { Missing::NotCovered });
        }
    }
}
