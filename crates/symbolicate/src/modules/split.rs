//! Split debug information (`-gsplit-dwarf`): the executable holds skeletons, functions and variables are in `.dwo` files,
//! or in one package (`.dwp`). DWARF 5 section 7.3; before it GNU's extension of DWARF 4.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use gimli::{DwarfPackage, DwoId, SectionId};
use rustc_hash::FxHashMap;

use super::Debug;
use super::sections::Sections;
use crate::image::{Dwarf, Slice};

/// What was found of the split debug information of a module, by the identity of its units.
#[derive(Default)]
pub(super) struct Split<'data> {
    package: OnceLock<Option<DwarfPackage<Slice<'data>>>>,
    known: Mutex<Known<'data>>,
}

#[derive(Default)]
struct Known<'data> {
    units: FxHashMap<u64, Option<Arc<Dwarf<'data>>>>,
    missing: Vec<String>,
}

impl Split<'_> {
    /// Some of it was looked for in vain.
    pub fn is_missing(&self) -> bool {
        !self.known.lock().unwrap_or_else(PoisonError::into_inner).missing.is_empty()
    }

    /// What should be there and is not: one phrase.
    pub fn problem(&self) -> Option<String> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut missing = known.missing.clone();
        missing.sort_unstable();
        let first = missing.first()?;
        let others = match missing.len() {
            1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        Some(format!(
            "split debug information was not found: {first}{others}; its functions are named by the symbol table, \
             without inlined functions and variables"
        ))
    }
}

impl<'data> Debug<'data> {
    /// The split debug information of a skeleton unit of `parent`: from the package beside the module, else from the object
    /// file that the unit names. Only that with the skeleton's identity.
    pub fn split(&self, skeleton: &gimli::Unit<Slice<'data>>, parent: &Dwarf<'data>) -> Option<Arc<Dwarf<'data>>> {
        let id = skeleton.dwo_id?;
        let mut known = self.split.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.units.get(&id.0) {
            return known.clone();
        }
        let name = skeleton.dwo_name().ok().flatten().and_then(|value| parent.attr_string(skeleton, value).ok());
        let name = name.as_ref().and_then(text);
        let directory = skeleton.comp_dir.as_ref().and_then(text);
        let found = self.packaged(id, parent).or_else(|| self.single(id, directory, name, parent)).map(Arc::new);
        if found.is_none() {
            known.missing.push(name.unwrap_or("(unnamed)").to_owned());
        }
        known.units.insert(id.0, found.clone());
        found
    }

    /// From the package of all split debug information of a file, `FILE.dwp`.
    fn packaged(&self, id: DwoId, parent: &Dwarf<'data>) -> Option<Dwarf<'data>> {
        let open = || {
            let paths = [self.own.as_ref().map(|own| own.file.path.clone()), self.separate_path()];
            let sections = paths.into_iter().flatten().find_map(|path| {
                let mut path = path.into_os_string();
                path.push(".dwp");
                self.open(Path::new(&path))
            });
            let (_, sections) = sections?;
            let empty = Slice::new(&[], gimli::LittleEndian);
            DwarfPackage::load(|id| Ok::<_, gimli::Error>(section(&sections, id)), empty).ok()
        };
        self.split.package.get_or_init(open).as_ref()?.find_cu(id, parent).ok()?
    }

    /// From one object file.
    fn single(
        &self,
        id: DwoId,
        directory: Option<&str>,
        name: Option<&str>,
        parent: &Dwarf<'data>,
    ) -> Option<Dwarf<'data>> {
        self.split_places(directory, name).iter().find_map(|path| {
            let (_, sections) = self.open(path)?;
            let mut dwarf = Dwarf::load(|id| Ok::<_, gimli::Error>(section(&sections, id))).ok()?;
            dwarf.make_dwo(parent);
            has_unit(&dwarf, id).then_some(dwarf)
        })
    }

    /// Where a `.dwo` file may be: at its path, contained by the sysroot; beside the module and beside the dump.
    fn split_places(&self, directory: Option<&str>, name: Option<&str>) -> Vec<PathBuf> {
        let name = name.map(Path::new);
        let inside = match (directory.map(Path::new), name) {
            (_, Some(name)) if name.is_absolute() => Some(name.to_owned()),
            (Some(directory), Some(name)) => Some(directory.join(name)),
            _ => None,
        };
        let mut places: Vec<PathBuf> = inside.and_then(|path| self.locate(&path)).into_iter().collect();
        let base = name.and_then(Path::file_name);
        let own = self.own.as_ref().and_then(|own| own.file.path.parent()).map(Path::to_owned);
        places.extend(own.into_iter().chain(self.search().beside()).filter_map(|folder| Some(folder.join(base?))));
        places
    }
}

/// A section by its name in a `.dwo` file, decompressed if need be; empty when there is none.
fn section<'data>(sections: &Sections<'data>, id: SectionId) -> Slice<'data> {
    let bytes = id.dwo_name().map(|name| sections.get(name)).unwrap_or_default();
    Slice::new(bytes, gimli::LittleEndian)
}

fn text<'data>(slice: &Slice<'data>) -> Option<&'data str> {
    std::str::from_utf8(slice.slice()).ok().filter(|text| !text.is_empty())
}

/// The object file is of the compilation that the executable was linked from.
fn has_unit(dwarf: &Dwarf<'_>, id: DwoId) -> bool {
    let mut units = dwarf.units();
    std::iter::from_fn(|| units.next().ok().flatten())
        .any(|header| dwarf.unit(header).is_ok_and(|unit| unit.dwo_id == Some(id)))
}
