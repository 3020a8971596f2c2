//! Functions, inlined functions and lines of raw frames.

pub(crate) mod breakpad;
mod data;
mod demangle;
mod dwarf;
mod go;
mod plt;
mod source;
mod symbols;
pub(crate) mod thin;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use necropsy_model::{Avma, CodeAddress, Location, Missing, Svma, Symbol, SymbolSource, Text};
use rayon::prelude::*;
use rustc_hash::FxHashMap;

use crate::image::{Image, Images};
use crate::unwind::Walk;
use demangle::demangle;
pub(crate) use demangle::type_name;
use dwarf::Functions;

pub(crate) use data::{DataSymbol, data_address, data_symbols};
pub(crate) use source::{line_of, line_text};

/// A name of an address. One address has several when functions were inlined there.
#[derive(Clone, Debug)]
pub struct Named<'data> {
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
    let mut wanted: BTreeMap<usize, Vec<(Svma, bool)>> = BTreeMap::new();
    for frame in walks.iter().flat_map(|walk| &walk.frames) {
        let at = frame.address.lookup();
        if let Some((index, image)) = images.at(at) {
            let interrupted = matches!(frame.address, CodeAddress::Instruction(_));
            wanted.entry(index).or_default().push((image.bias.to_svma(at), interrupted));
        }
    }
    let named: Vec<_> = wanted
        .into_par_iter()
        .filter_map(|(index, mut addresses)| {
            addresses.sort_unstable_by_key(|&(address, interrupted)| (address, !interrupted));
            addresses.dedup_by_key(|(address, _)| *address);
            let names = name_all(images, index, &addresses)?;
            Some((index, addresses, names))
        })
        .collect();
    // What comes after names reads other pages: all kept together would be the peak.
    images.all().iter().filter_map(|image| image.debug.get()).for_each(|debug| debug.forget_pages());
    let named = named.into_iter().flat_map(|(index, addresses, names)| {
        addresses.into_iter().zip(names).map(move |((address, _), names)| ((index, address), names))
    });
    named.collect()
}

/// Names single addresses as they come, each once.
pub(crate) struct Namer<'a, 'data> {
    images: &'a Images<'data>,
    known: RefCell<FxHashMap<u64, Rc<Vec<Named<'data>>>>>,
}

impl<'a, 'data> Namer<'a, 'data> {
    /// Names addresses of these images.
    pub fn new(images: &'a Images<'data>) -> Self {
        Self { images, known: RefCell::default() }
    }

    /// The names of an address, innermost inlined function first; none outside the images.
    pub fn at(&self, address: Avma) -> Rc<Vec<Named<'data>>> {
        if let Some(known) = self.known.borrow().get(&address.0) {
            return Rc::clone(known);
        }
        let found = Rc::new(self.find(address).unwrap_or_default());
        self.known.borrow_mut().insert(address.0, Rc::clone(&found));
        found
    }

    /// The functions at many addresses by the tables of symbols alone, which are read once for all of them.
    pub fn functions(&self, addresses: &[u64]) -> HashMap<u64, Text<'data>> {
        let mut of_images: BTreeMap<usize, Vec<(Svma, bool)>> = BTreeMap::new();
        for &address in addresses {
            if let Some((index, image)) = self.images.at(Avma(address)) {
                of_images.entry(index).or_default().push((image.bias.to_svma(Avma(address)), false));
            }
        }
        let mut found = HashMap::new();
        for (index, mut wanted) in of_images {
            wanted.sort_unstable();
            wanted.dedup();
            let Some(image) = self.images.all().get(index) else { continue };
            let names = name_with(self.images, index, &wanted, Depth::Names).unwrap_or_default();
            for (&(address, _), named) in wanted.iter().zip(names) {
                let function = named.into_iter().next_back().and_then(|named| named.function);
                found.extend(function.map(|function| (image.bias.to_avma(address).0, function)));
            }
        }
        found
    }

    fn find(&self, address: Avma) -> Option<Vec<Named<'data>>> {
        let (index, image) = self.images.at(address)?;
        name_all(self.images, index, &[(image.bias.to_svma(address), false)])?.into_iter().next()
    }
}

/// Names the addresses of one image, which are sorted; each with whether a frame was interrupted there.
fn name_all<'data>(images: &Images<'data>, index: usize, addresses: &[(Svma, bool)]) -> Option<Vec<Vec<Named<'data>>>> {
    name_with(images, index, addresses, Depth::Full)
}

/// How much is read to name an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// Debug information: functions, inlined functions, lines.
    #[default]
    Full,
    /// Symbol tables: functions. A hundredth of the time and memory.
    Names,
}

/// Names the addresses of one image, which are sorted; each with whether it was interrupted there.
pub(crate) fn name_with<'data>(
    images: &Images<'data>,
    index: usize,
    addresses: &[(Svma, bool)],
    depth: Depth,
) -> Option<Vec<Vec<Named<'data>>>> {
    let image = images.all().get(index)?;
    let plain: Vec<Svma> = addresses.iter().map(|&(address, _)| address).collect();
    let file = if depth == Depth::Full { images.debug_file(index, &plain) } else { None };
    let mut found = match file {
        Some(file) => dwarf::look_up(file, addresses),
        None => addresses.iter().map(|_| None).collect(),
    };
    for (functions, &(address, _)) in found.iter_mut().zip(addresses).filter(|(functions, _)| functions.is_none()) {
        *functions = image.go_table().and_then(|table| go::functions(table, address));
    }
    if depth == Depth::Full && file.is_none() && found.iter().any(Option::is_none) {
        let named = image.debug.get().and_then(|debug| breakpad::look_up(image, debug, &plain));
        for (functions, named) in found.iter_mut().zip(named.into_iter().flatten()) {
            *functions = functions.take().or(named);
        }
    }
    let symbols = from_tables(image, addresses, &found);
    let has_symbols = file.is_some() || symbols.any_table || image.go_table().is_some();
    let named = found.into_iter().zip(symbols.chosen);
    Some(named.map(|(functions, symbol)| combine(functions, symbol, has_symbols)).collect())
}

/// Debug information first; the symbol names what it leaves unnamed.
fn combine<'data>(
    functions: Option<Functions<'data>>,
    symbol: Option<(Text<'data>, SymbolSource)>,
    has_symbols: bool,
) -> Vec<Named<'data>> {
    let missing = if has_symbols { Missing::NotCovered } else { Missing::Stripped };
    let by_symbol = |symbol: Option<(Text<'data>, SymbolSource)>, missing: Missing| match symbol {
        Some((name, source)) => (Some(name), Symbol::Found(source)),
        None => (None, Symbol::Missing(missing)),
    };
    let Some(Functions { functions, optimized, source }) = functions else {
        let (function, symbol) = by_symbol(symbol, missing);
        return vec![Named { function, location: None, inlined: false, optimized: false, symbol }];
    };
    let last = functions.len().saturating_sub(1);
    let mut symbol = symbol;
    let named = functions.into_iter().enumerate().map(|(level, found)| {
        let (function, symbol) = match found.name {
            Some(name) => (Some(name), Symbol::Found(source)),
            None => by_symbol(if level == last { symbol.take() } else { None }, missing.clone()),
        };
        Named { function, location: found.location, inlined: level < last, optimized, symbol }
    });
    named.collect()
}

struct FromTables<'data> {
    chosen: Vec<Option<(Text<'data>, SymbolSource)>>,
    any_table: bool,
}

/// Names from symbol tables for those addresses that debug information does not name, best table first.
fn from_tables<'data>(
    image: &Image<'data>,
    addresses: &[(Svma, bool)],
    found: &[Option<Functions<'data>>],
) -> FromTables<'data> {
    let mut chosen: Vec<Option<(Text<'data>, SymbolSource)>> = vec![None; addresses.len()];
    let unnamed = |functions: &Option<Functions<'data>>| {
        functions.as_ref().is_none_or(|found| found.functions.last().is_none_or(|last| last.name.is_none()))
    };
    let open: Vec<(usize, Svma)> = found
        .iter()
        .zip(addresses)
        .enumerate()
        .filter(|(_, (found, _))| unnamed(found))
        .map(|(index, (_, &(at, _)))| (index, at))
        .collect();
    if open.is_empty() {
        return FromTables { chosen, any_table: false };
    }
    let targets: Vec<Svma> = open.iter().map(|&(_, at)| at).collect();
    let debug = image.debug.get();
    let separate = debug.and_then(|debug| debug.found().separate.as_ref()).map(|(_, sections)| &sections.elf);
    let tables = [
        (image.elf.as_ref(), false, SymbolSource::SymbolTable),
        (separate, false, SymbolSource::SymbolTable),
        (debug.and_then(|debug| debug.sent_names()), false, SymbolSource::SymbolTable),
        (debug.and_then(|debug| debug.mini()), false, SymbolSource::MiniDebugInfo),
        (image.elf.as_ref(), true, SymbolSource::DynamicSymbol),
    ];
    let mut any_table = false;
    for (elf, dynamic, source) in tables {
        let Some(elf) = elf else { continue };
        let table = if dynamic { elf.elf_dynamic_symbol_table() } else { elf.elf_symbol_table() };
        any_table |= !table.is_empty();
        for (&(index, _), symbol) in open.iter().zip(symbols::scan(elf, dynamic, &targets, source)) {
            let (Some(symbol), Some(slot)) = (symbol, chosen.get_mut(index)) else { continue };
            let better = match slot {
                None => true,
                Some((_, known)) => *known == SymbolSource::Nearest && symbol.source != SymbolSource::Nearest,
            };
            if better {
                *slot = Some((demangle(symbol.name), symbol.source));
            }
        }
    }
    for &(index, address) in &open {
        let Some(slot) = chosen.get_mut(index) else { continue };
        if slot.as_ref().is_none_or(|(_, known)| *known == SymbolSource::Nearest)
            && let Some(name) = plt::name(image, address)
        {
            *slot = Some((name, SymbolSource::DynamicSymbol));
        }
    }
    FromTables { chosen, any_table }
}
