//! Names from debug information.

use std::sync::Arc;

use addr2line::Context;
use necropsy_model::{Location, Missing, Svma, Symbol, SymbolSource, Text};

use super::{Named, demangle::demangle};
use crate::image::{Dwarf, Image, Slice};

/// Inlined functions at one address; compilers nest some tens.
const MAX_INLINED: usize = 256;

/// Functions, inlined functions and lines of sorted addresses, in their order; empty where there is no debug information.
pub(super) fn look_up<'data>(image: &Image<'data>, addresses: &[Svma]) -> Vec<Vec<Named<'data>>> {
    let context = image.dwarf().and_then(|dwarf| Context::from_arc_dwarf(Arc::clone(dwarf)).ok());
    let Some(context) = context else { return vec![Vec::new(); addresses.len()] };
    addresses.iter().map(|&address| look_up_one(&context, address)).collect()
}

fn look_up_one<'data>(context: &Context<Slice<'data>>, address: Svma) -> Vec<Named<'data>> {
    let mut named = Vec::new();
    let Ok(mut frames) = context.find_frames(address.0).skip_all_loads() else { return named };
    let optimized = is_optimized(context, address);
    while let Ok(Some(frame)) = frames.next() {
        let function = frame.function.as_ref().map(|function| demangle(function.name.slice()));
        let location = frame.location.and_then(|location| {
            Some(Location::new(location.file?.to_owned(), location.line.filter(|&line| line > 0)))
        });
        let symbol = match function {
            Some(_) => Symbol::Found(SymbolSource::Dwarf),
            None => Symbol::Missing(Missing::NotCovered),
        };
        named.push(Named { function, location, inlined: true, optimized, symbol });
        if named.len() == MAX_INLINED {
            break;
        }
    }
    if let Some(outer) = named.last_mut() {
        outer.inlined = false;
        // Inlining is optimisation, whatever the producer says of itself: clang and rustc do not print their flags.
        let inlined = named.len() > 1;
        for name in &mut named {
            name.optimized |= inlined;
        }
    }
    named
}

/// The producer of the unit says that it optimised.
fn is_optimized(context: &Context<Slice<'_>>, address: Svma) -> bool {
    let Some(unit) = context.find_dwarf_and_unit(address.0).skip_all_loads() else { return false };
    producer(unit.dwarf, unit.unit).is_some_and(|text| {
        text.split_ascii_whitespace()
            .any(|word| matches!(word, "-O" | "-O1" | "-O2" | "-O3" | "-Os" | "-Ofast" | "-Og"))
    })
}

fn producer<'data>(dwarf: &Dwarf<'data>, unit: &gimli::Unit<Slice<'data>>) -> Option<Text<'data>> {
    let mut entries = unit.entries();
    let root = entries.next_dfs().ok()??;
    let value = root.attr_value(gimli::DW_AT_producer)?;
    Some(dwarf.attr_string(unit, value).ok()?.to_string_lossy())
}
