//! Functions, inlined functions and lines from debug information.

use std::cell::{OnceCell, RefCell};
use std::path::PathBuf;
use std::sync::Arc;

use addr2line::LookupContinuation;
use addr2line::{Context, LookupResult, SplitDwarfLoad};
use gimli::{AttributeValue, DwoId, UnitOffset, UnitRef, UnitSectionOffset};
use necropsy_model::{Location, Svma, Text};
use rustc_hash::FxHashMap;

use super::demangle::demangle;
use crate::image::{Dwarf, Slice};
use crate::modules::{Debug, Sections};

/// Most functions inlined into each other at one address; compilers stop at some dozens.
const MOST_INLINED: usize = 256;
/// Most parameters and locals of a function to look at.
const MOST_CHILDREN: usize = 64;

/// One function at an address.
pub(super) struct Function<'data> {
    pub name: Option<Text<'data>>,
    pub location: Option<Location<'data>>,
}

/// What debug information says of an address: innermost first.
pub(super) struct Functions<'data> {
    pub functions: Vec<Function<'data>>,
    pub optimized: bool,
}

/// The debug information of one module, prepared for look-ups. Not shared between threads: one module, one worker.
pub(super) struct Lines<'a, 'data> {
    context: Context<Slice<'data>>,
    debug: &'a Debug<'data>,
    split: RefCell<Split<'data>>,
    /// What the options of a unit say, by where the unit begins.
    units: RefCell<FxHashMap<UnitSectionOffset, Producer>>,
}

#[derive(Default)]
struct Split<'data> {
    files: FxHashMap<u64, Option<Arc<Dwarf<'data>>>>,
    package: OnceCell<Option<gimli::DwarfPackage<Slice<'data>>>>,
    missing: Vec<PathBuf>,
}

/// What a unit says of optimisation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Producer {
    Optimized,
    NotOptimized,
    /// clang and rustc do not say: the function's own records tell.
    Silent,
}

impl<'a, 'data> Lines<'a, 'data> {
    /// Prepares the debug information of a module.
    pub fn new(debug: &'a Debug<'data>) -> Option<Self> {
        let context = Context::from_arc_dwarf(debug.lean()?).ok()?;
        Some(Self { context, debug, split: RefCell::default(), units: RefCell::default() })
    }

    /// Names an address; `interrupted` at the instruction itself, not behind a call.
    pub fn look_up(&self, address: Svma, interrupted: bool) -> Option<Functions<'data>> {
        let mut frames = self.resolve(self.context.find_frames(address.0)).ok()?;
        let mut functions = Vec::new();
        let mut outermost = None;
        while let Ok(Some(frame)) = frames.next() {
            let name = frame.function.and_then(|function| text(&function.name).map(demangle));
            let location = frame.location.and_then(|at| {
                let file = at.file?.to_owned();
                Some(Location::new(file, at.line.filter(|&line| line > 0)))
            });
            outermost = frame.dw_die_offset;
            functions.push(Function { name, location });
            if functions.len() > MOST_INLINED {
                break;
            }
        }
        if functions.is_empty() {
            return None;
        }
        let inlined = functions.len() > 1;
        if interrupted
            && let [Function { location: Some(location), .. }] = functions.as_mut_slice()
            && let Some(line) = self.statement(address)
        {
            location.line = Some(line);
        }
        let optimized = self.optimized(address, outermost, inlined);
        Some(Functions { functions, optimized })
    }

    /// The line of the statement at an address, where the row that a look-up ends with is none.
    ///
    /// gcc writes several rows for one address: those of statements whose code was moved away, and the line that the
    /// instruction belongs to. The last of them is often marked as no place to stop; gdb takes the last one that is. Seen on
    /// aarch64 at -O2, where `x->a -= n; x->version++;` began with the load of the second.
    fn statement(&self, address: Svma) -> Option<u32> {
        let unit = self.resolve(self.context.find_dwarf_and_unit(address.0))?;
        let mut rows = unit.line_program.clone()?.rows();
        let mut last: Option<gimli::LineRow> = None;
        let mut stop: Option<gimli::LineRow> = None;
        while let Ok(Some((_, row))) = rows.next_row() {
            let covered = last.filter(|last| last.address() <= address.0 && address.0 < row.address());
            if let Some(last) = covered {
                let stop =
                    stop.filter(|stop| stop.address() == last.address() && stop.file_index() == last.file_index());
                return stop.filter(|_| !last.is_stmt())?.line().and_then(|line| u32::try_from(line.get()).ok());
            }
            if row.is_stmt() {
                stop = Some(*row);
            }
            last = Some(*row).filter(|row| !row.end_sequence());
        }
        None
    }

    /// Debug information that should be there and is not.
    pub fn problems(&self) -> Vec<String> {
        let split = self.split.borrow();
        let Some(first) = split.missing.first() else { return Vec::new() };
        let others = match split.missing.len() {
            1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        vec![format!(
            "split debug information was not found: {}{others}; lines are named, functions are not",
            first.display()
        )]
    }

    fn resolve<C>(&self, mut result: LookupResult<C>) -> C::Output
    where
        C: LookupContinuation<Buf = Slice<'data>>,
    {
        loop {
            match result {
                LookupResult::Output(output) => return output,
                LookupResult::Load { load, continuation } => result = continuation.resume(self.load(&load)),
            }
        }
    }

    fn load(&self, load: &SplitDwarfLoad<Slice<'data>>) -> Option<Arc<Dwarf<'data>>> {
        let id = load.dwo_id;
        let mut split = self.split.borrow_mut();
        if let Some(known) = split.files.get(&id.0) {
            return known.clone();
        }
        let found = self.packaged(&split, load).or_else(|| self.single(load)).map(Arc::new);
        if found.is_none() {
            split.missing.push(PathBuf::from(load.path.as_ref().and_then(text).unwrap_or("(unnamed)")));
        }
        split.files.insert(id.0, found.clone());
        found
    }

    fn packaged(&self, split: &Split<'data>, load: &SplitDwarfLoad<Slice<'data>>) -> Option<Dwarf<'data>> {
        let open = || {
            let sections = self.debug.package()?;
            let empty = Slice::new(&[], gimli::LittleEndian);
            let section = |id: gimli::SectionId| {
                let bytes = id.dwo_name().map(|name| sections.get(name)).unwrap_or_default();
                Ok::<_, gimli::Error>(Slice::new(bytes, gimli::LittleEndian))
            };
            gimli::DwarfPackage::load(section, empty).ok()
        };
        split.package.get_or_init(open).as_ref()?.find_cu(load.dwo_id, &load.parent).ok()?
    }

    fn single(&self, load: &SplitDwarfLoad<Slice<'data>>) -> Option<Dwarf<'data>> {
        let directory = load.comp_dir.as_ref().and_then(text);
        let places = self.debug.split_places(directory, load.path.as_ref().and_then(text));
        places.iter().find_map(|path| {
            let mut dwarf = split_dwarf(&self.debug.split_file(path)?)?;
            dwarf.make_dwo(&load.parent);
            has_id(&dwarf, load.dwo_id).then_some(dwarf)
        })
    }

    /// Whether the code at an address was optimised, so that lines and variables are approximate.
    fn optimized(&self, address: Svma, function: Option<UnitOffset>, inlined: bool) -> bool {
        let Some(unit) = self.resolve(self.context.find_dwarf_and_unit(address.0)) else { return inlined };
        let known = self.units.borrow().get(&unit.header.offset()).copied();
        let producer = known.unwrap_or_else(|| {
            let producer = producer(unit);
            self.units.borrow_mut().insert(unit.header.offset(), producer);
            producer
        });
        match producer {
            Producer::Optimized => true,
            Producer::NotOptimized => false,
            Producer::Silent => inlined || function.is_some_and(|function| moves_variables(unit, function)),
        }
    }
}

fn text<'data>(slice: &Slice<'data>) -> Option<&'data str> {
    std::str::from_utf8(slice.slice()).ok().filter(|text| !text.is_empty())
}

fn split_dwarf<'data>(sections: &Sections<'data>) -> Option<Dwarf<'data>> {
    let section = |id: gimli::SectionId| {
        let bytes = id.dwo_name().map(|name| sections.get(name)).unwrap_or_default();
        Ok::<_, gimli::Error>(Slice::new(bytes, gimli::LittleEndian))
    };
    Dwarf::load(section).ok()
}

/// The object file is of the compilation that the executable was linked from.
fn has_id(dwarf: &Dwarf<'_>, id: DwoId) -> bool {
    let mut units = dwarf.units();
    while let Ok(Some(header)) = units.next() {
        if dwarf.unit(header).is_ok_and(|unit| unit.dwo_id == Some(id)) {
            return true;
        }
    }
    false
}

/// gcc records its options in `DW_AT_producer` (`-grecord-gcc-switches`, on by default); `-O0` is not among them.
fn producer(unit: UnitRef<'_, Slice<'_>>) -> Producer {
    let producer = || {
        let mut entries = unit.entries();
        let root = entries.next_dfs().ok()??;
        let value = root.attr_value(gimli::DW_AT_producer)?;
        unit.attr_string(value).ok()
    };
    let producer = producer();
    let producer = producer.as_ref().and_then(text).unwrap_or_default();
    if !producer.starts_with("GNU ") {
        return Producer::Silent;
    }
    let level = producer.split_whitespace().rfind(|option| option.starts_with("-O"));
    match level {
        None | Some("-O0") => Producer::NotOptimized,
        Some(_) => Producer::Optimized,
    }
}

/// A function whose variables lie in location lists, or whose calls are all described, was optimised.
fn moves_variables(unit: UnitRef<'_, Slice<'_>>, function: UnitOffset) -> bool {
    let Ok(mut tree) = unit.entries_tree(Some(function)) else { return false };
    let Ok(root) = tree.root() else { return false };
    let described = [gimli::DW_AT_call_all_calls, gimli::DW_AT_GNU_all_call_sites, gimli::DW_AT_APPLE_optimized];
    if described.iter().any(|&name| root.entry().attr(name).is_some()) {
        return true;
    }
    let mut children = root.children();
    for _ in 0..MOST_CHILDREN {
        let Ok(Some(child)) = children.next() else { break };
        let location = child.entry().attr_value(gimli::DW_AT_location);
        if matches!(
            location,
            Some(
                AttributeValue::LocationListsRef(_)
                    | AttributeValue::DebugLocListsIndex(_)
                    | AttributeValue::SecOffset(_)
            )
        ) {
            return true;
        }
    }
    false
}
