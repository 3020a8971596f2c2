//! Names of addresses that somebody states: of one file, of files that a text names, or of the modules of a dump.

mod fetch;
pub(crate) mod place;

use std::path::Path;
use std::sync::Arc;

use necropsy_model::{
    Arena, Avma, Bias, BuildId, Meant, Module, ModuleId, Snapshot, StatedAddress, StatedFile, Svma, Symbols,
};
use rayon::prelude::*;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::Options;
use crate::image::Images;
use crate::modules::{self, Outcome, Supply};
use crate::names::{self, Depth, Named};

/// Files that one run opens on behalf of a text. A text that names more is not the log of some programs.
const MOST_FILES: usize = 4096;
/// Answers of files and symbols that are kept; beyond, they are looked for again.
const MOST_KNOWN: usize = 1 << 16;
/// Where loaders look for a library of which only the name is known, and shells for a program.
pub(crate) const SYSTEM: &[&str] = &[
    "/lib64",
    "/usr/lib64",
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib/aarch64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/lib",
    "/usr/lib",
    "/usr/local/lib",
    "/usr/local/bin",
    "/usr/bin",
    "/usr/sbin",
    "/bin",
    "/sbin",
];

/// A file that was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId {
    set: usize,
    module: ModuleId,
}

/// Why an address has no file, or no place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unresolved {
    /// Neither a file nor a table of modules says what the address belongs to.
    NoModule,
    /// No file for the module was found, or only one of another build.
    NoFile,
    /// The file has no code there.
    NotCode,
    /// The text names more files than are opened.
    TooManyFiles,
}

impl Unresolved {
    /// One phrase.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NoModule => "no module covers the address",
            Self::NoFile => "no file of the module, or none of its build, was found",
            Self::NotCode => "the file has no code at the address",
            Self::TooManyFiles => "too many files are named",
        }
    }
}

/// What became of a file.
#[derive(Clone, Debug)]
pub struct FileReport {
    /// Its path as it was stated.
    pub path: String,
    /// Its build id.
    pub build_id: Option<BuildId>,
    /// What was found.
    pub symbols: Symbols,
    /// What should be there and is not, one phrase each: why lines have no names, or names no lines.
    pub problems: Vec<String>,
}

/// A file that the user named, perhaps for a module of another name.
#[derive(Clone, Debug)]
struct Given {
    name: String,
    id: Option<FileId>,
}

/// Files that were opened together: one by its name, or all modules of a dump.
struct Set<'data> {
    images: Images<'data>,
    modules: Vec<(Module<'data>, Outcome)>,
}

/// Opens files as a text names them, each once, and names addresses in them.
pub struct Resolver<'data> {
    arena: &'data Arena,
    options: Arc<Options>,
    depth: Depth,
    given: Vec<Given>,
    sets: Vec<Set<'data>>,
    /// Where the options of files differ that the user named, by set.
    of_user: FxHashMap<usize, Arc<Options>>,
    /// The set of the modules of the dump.
    table: Option<usize>,
    dump: Snapshot<'data>,
    supply: Option<Arc<Supply>>,
    /// Files that servers were asked for because they are not here, and those whose symbols they were asked for.
    asked: FxHashSet<BuildId>,
    fetched: FxHashSet<FileId>,
    known: FxHashMap<StatedFile, Option<FileId>>,
    symbols: FxHashMap<(FileId, String), Option<u64>>,
}

/// Names of places, sorted by file and by the address that was looked up.
pub struct PlaceNames<'data>(Vec<((FileId, Svma), Vec<Named<'data>>)>);

impl<'data> PlaceNames<'data> {
    /// The names of one of the places, innermost inlined function first.
    pub fn of(&self, (file, at, meant): (FileId, Svma, Meant)) -> &[Named<'data>] {
        let at = self.0.binary_search_by_key(&(file, look_up(at, meant)), |&(place, _)| place);
        at.ok().and_then(|at| self.0.get(at)).map_or(&[], |(_, names)| names)
    }
}

impl<'data> Resolver<'data> {
    /// A resolver that knows no file yet.
    pub fn new(arena: &'data Arena, options: Options, depth: Depth) -> Self {
        Self {
            arena,
            supply: Supply::new(&options).map(Arc::new),
            options: Arc::new(options),
            depth,
            given: Vec::new(),
            sets: Vec::new(),
            of_user: FxHashMap::default(),
            table: None,
            dump: Snapshot::default(),
            asked: FxHashSet::default(),
            fetched: FxHashSet::default(),
            known: FxHashMap::default(),
            symbols: FxHashMap::default(),
        }
    }

    /// Adds a file of the user, for the module of this name. `false` when it can not be read.
    pub fn give(&mut self, name: &str, file: &Path) -> bool {
        let options = Arc::new(Options { exe: Some(file.to_owned()), ..(*self.options).clone() });
        let stated = StatedFile { path: Some(name.to_owned()), build_id: None };
        self.of_user.insert(self.sets.len(), Arc::clone(&options));
        let id = self.open(&stated, &options, true);
        self.given.push(Given { name: base(name).to_owned(), id });
        id.is_some()
    }

    /// Adds the modules of a dump: addresses of its process have names from now on. `false` when it lists none.
    pub fn with_table(&mut self, snapshot: Snapshot<'data>) -> bool {
        self.dump = snapshot;
        self.table = Some(self.sets.len());
        self.sets.push(Set { images: Images::default(), modules: Vec::new() });
        self.find_table();
        !self.dump.modules.is_empty()
    }

    /// Finds the files of the modules of the dump, as far as they are here by now.
    fn find_table(&mut self) {
        let images = modules::find(&self.dump, self.arena, &self.options);
        let outcome = |index| ModuleId::new(index).and_then(|id| images.outcome(id).cloned());
        let found = self.dump.modules.iter().enumerate();
        let modules = found.map(|(index, module)| (module.clone(), outcome(index).unwrap_or_default())).collect();
        if let Some(set) = self.table.and_then(|table| self.sets.get_mut(table)) {
            *set = Set { images, modules };
        }
    }

    /// Addresses without a module mean something: there is a table, or one file that all lie in.
    pub fn names_plain_addresses(&self) -> bool {
        self.table.is_some() || self.given.len() == 1
    }

    /// The user named a file, or the dump lists a module, of this name.
    pub fn knows(&self, name: &str) -> bool {
        let listed = self.table.and_then(|set| self.sets.get(set)).map_or(&[][..], |set| &set.modules);
        self.given.iter().any(|given| given.name == name) || listed.iter().any(|(module, _)| module.name() == name)
    }

    /// The file and the place in it that an address states. A return address stays one.
    pub fn place(&mut self, address: &StatedAddress) -> Result<(FileId, Svma), Unresolved> {
        if let Some(found) = address.process.and_then(|process| self.in_table(process)) {
            return Ok(found);
        }
        let Some((file, offset)) = &address.file else {
            let process = address.process.ok_or(Unresolved::NoModule)?;
            let [Given { id: Some(only), .. }] = self.given.as_slice() else { return Err(Unresolved::NoModule) };
            let found = Svma(process.0);
            let code = self.image(*only).is_some_and(|image| place::is_code(image, found));
            return if code { Ok((*only, found)) } else { Err(Unresolved::NotCode) };
        };
        let id = self.file(file)?;
        let image = self.image(id).ok_or(Unresolved::NoFile)?;
        let found = match offset {
            necropsy_model::Offset::Symbol { name, offset } => {
                let fixed = address.process.and_then(|process| place::fixed(image, process));
                let symbol = if fixed.is_some() { None } else { self.symbol(id, name) };
                fixed.or_else(|| Some(Svma(symbol?.checked_add(*offset)?)))
            }
            offset => place::of(image, offset, address.process),
        };
        let image = self.image(id).ok_or(Unresolved::NoFile)?;
        found.filter(|&at| place::is_code(image, at)).map(|at| (id, at)).ok_or(Unresolved::NotCode)
    }

    /// The names of places, innermost inlined function first: each file once, its places sorted and without repetition, files
    /// in parallel. What is meant by an address decides whether the instruction before it is looked up.
    pub fn names(&self, places: &[(FileId, Svma, Meant)]) -> PlaceNames<'data> {
        let mut wanted: Vec<(FileId, Svma, bool)> =
            places.iter().map(|&(file, at, meant)| (file, look_up(at, meant), meant == Meant::Instruction)).collect();
        // Of two that mean the same byte, the interrupted one goes first.
        wanted.sort_unstable_by_key(|&(file, at, interrupted)| (file, at, !interrupted));
        wanted.dedup_by_key(|&mut (file, at, _)| (file, at));
        let groups: Vec<&[(FileId, Svma, bool)]> = wanted.chunk_by(|one, other| one.0 == other.0).collect();
        let named = groups.into_par_iter().map(|group| {
            let addresses: Vec<(Svma, bool)> = group.iter().map(|&(_, at, interrupted)| (at, interrupted)).collect();
            let file = group.first().map(|&(file, ..)| file)?;
            let set = self.sets.get(file.set)?;
            let image = set.images.index_of(file.module)?;
            let found = names::name_with(&set.images, image, &addresses, self.depth)?;
            Some(addresses.into_iter().zip(found).map(move |((at, _), names)| ((file, at), names)))
        });
        let named: Vec<_> = named.collect();
        let images = self.sets.iter().flat_map(|set| set.images.all());
        images.filter_map(|image| image.debug.get()).for_each(|debug| debug.forget_pages());
        PlaceNames(named.into_iter().flatten().flatten().collect())
    }

    /// What became of a file.
    pub fn report(&self, id: FileId) -> Option<FileReport> {
        let set = self.sets.get(id.set)?;
        let (module, outcome) = set.modules.get(id.module.index())?;
        Some(report(module, outcome, Some(set.images.of(id.module)?)))
    }

    /// What became of the file that a text names, when it was not found.
    pub fn report_of(&self, file: &StatedFile) -> Option<FileReport> {
        let wanted = |(module, _): &&(Module<'data>, Outcome)| {
            file.path.as_deref() == Some(&module.path)
                && file.build_id.as_ref().is_none_or(|id| module.build_id.as_ref() == Some(id))
                || file.path.is_none() && file.build_id == module.build_id
        };
        let mut modules = self.sets.iter().rev().flat_map(|set| &set.modules);
        modules.find(wanted).map(|(module, outcome)| report(module, outcome, None))
    }

    fn image(&self, id: FileId) -> Option<&crate::image::Image<'data>> {
        self.sets.get(id.set)?.images.of(id.module)
    }

    fn in_table(&self, process: Avma) -> Option<(FileId, Svma)> {
        let set = self.table?;
        let (_, found) = self.sets.get(set)?.images.at(process)?;
        let at = found.bias.to_svma(process);
        place::is_code(found, at).then_some((FileId { set, module: found.module }, at))
    }

    fn file(&mut self, stated: &StatedFile) -> Result<FileId, Unresolved> {
        if let Some(&known) = self.known.get(stated) {
            return known.ok_or(Unresolved::NoFile);
        }
        let found = self.of_table(stated).or_else(|| self.of_user(stated));
        if found.is_none() && self.sets.len() >= MOST_FILES {
            return Err(Unresolved::TooManyFiles);
        }
        let found = found.or_else(|| self.on_this_machine(stated));
        if self.known.len() >= MOST_KNOWN {
            self.known.clear();
        }
        self.known.insert(stated.clone(), found);
        found.ok_or(Unresolved::NoFile)
    }

    /// A module of the dump, by its build id, else by its path or name where no other has it.
    fn of_table(&self, stated: &StatedFile) -> Option<FileId> {
        let set = self.table?;
        let table = self.sets.get(set)?;
        let same = |module: &Module<'data>| match (&stated.build_id, &stated.path) {
            (Some(id), _) => module.build_id.as_ref() == Some(id),
            (None, Some(path)) => *module.path == **path || !path.contains('/') && module.name() == path,
            (None, None) => false,
        };
        let images = table.images.all().iter();
        let mut found =
            images.filter(|image| table.modules.get(image.module.index()).is_some_and(|(module, _)| same(module)));
        let module = found.next()?.module;
        found.next().is_none().then_some(FileId { set, module })
    }

    /// A file of the user, by its build id, else by its name. A build id that is stated and another than the file's rules it out.
    fn of_user(&self, stated: &StatedFile) -> Option<FileId> {
        let id_of = |given: &Given| self.report(given.id?)?.build_id;
        if let Some(id) = &stated.build_id {
            return self.given.iter().find(|given| id_of(given).as_ref() == Some(id)).and_then(|given| given.id);
        }
        let name = base(stated.path.as_deref()?);
        let named = |given: &&Given| given.name == name || given.name.strip_suffix(".debug") == Some(name);
        self.given.iter().find(named).and_then(|given| given.id)
    }

    fn on_this_machine(&mut self, stated: &StatedFile) -> Option<FileId> {
        let options = Arc::clone(&self.options);
        let bare = stated.path.as_deref().filter(|path| !path.contains('/'));
        // `./server(+0x1166)`: who reads the text where the program ran means this file.
        let relative = stated.path.as_deref().filter(|path| bare.is_none() && !path.starts_with('/'));
        let here = relative.filter(|_| options.sysroot.is_none()).and_then(|path| std::path::absolute(path).ok());
        if let Some(path) = here.filter(|path| path.is_file()).and_then(|path| path.into_os_string().into_string().ok())
        {
            return self.open(&StatedFile { path: Some(path), ..stated.clone() }, &options, false);
        }
        let Some(name) = bare else { return self.open(stated, &options, false) };
        let root = self.options.sysroot.clone();
        let there = |directory: &&&str| {
            let path = Path::new(directory).join(name);
            modules::locate(&path, root.as_deref()).is_some_and(|path| path.is_file())
        };
        let path = SYSTEM.iter().find(there).map(|directory| format!("{directory}/{name}"));
        let path = path.or_else(|| stated.path.clone());
        self.open(&StatedFile { path, build_id: stated.build_id.clone() }, &options, false)
    }

    fn open(&mut self, stated: &StatedFile, options: &Arc<Options>, given: bool) -> Option<FileId> {
        let module = Module {
            build_id: stated.build_id.clone(),
            bias: Some(Bias(0)),
            is_executable: given,
            ..Module::at_path(stated.path.clone().unwrap_or_default())
        };
        let found = Self::find_one(module, self.arena, options);
        let module = found.images.all().first().map(|image| image.module);
        self.sets.push(found);
        module.map(|module| FileId { set: self.sets.len() - 1, module })
    }

    /// One file that no dump describes.
    fn find_one(module: Module<'data>, arena: &'data Arena, options: &Arc<Options>) -> Set<'data> {
        let (image, outcome) = modules::find_one(&module, arena, options);
        Set { images: Images::new(image.into_iter().collect()), modules: vec![(module, outcome)] }
    }

    fn symbol(&mut self, id: FileId, name: &str) -> Option<u64> {
        let key = (id, name.to_owned());
        if let Some(&known) = self.symbols.get(&key) {
            return known;
        }
        let found = self.image(id).and_then(|image| place::symbol(image, name));
        if self.symbols.len() >= MOST_KNOWN {
            self.symbols.clear();
        }
        self.symbols.insert(key, found);
        found
    }
}

/// The names of addresses of one file, which states them itself: each with its names, innermost inlined function first.
/// Nothing where the file can not be read.
pub fn names_of<'data>(
    file: &Path,
    addresses: &[Svma],
    arena: &'data Arena,
    options: Options,
    depth: Depth,
) -> Option<Vec<(Svma, Vec<Named<'data>>)>> {
    let mut resolver = Resolver::new(arena, options, depth);
    resolver.give(&file.to_string_lossy(), file);
    let id = resolver.given.first()?.id?;
    let places: Vec<_> = addresses.iter().map(|&at| (id, at, Meant::Unknown)).collect();
    let named = resolver.names(&places);
    Some(places.into_iter().map(|place| (place.1, named.of(place).to_vec())).collect())
}

/// The address that is looked up.
fn look_up(at: Svma, meant: Meant) -> Svma {
    Svma(if meant == Meant::Return { at.0.wrapping_sub(1) } else { at.0 })
}

fn report(module: &Module<'_>, outcome: &Outcome, image: Option<&crate::image::Image<'_>>) -> FileReport {
    FileReport {
        path: module.path.to_string(),
        build_id: module.build_id.clone().or_else(|| outcome.build_id.clone()),
        symbols: modules::symbols(module, outcome, image, true),
        problems: image.and_then(|image| image.debug.get()).map(|debug| debug.problems()).unwrap_or_default(),
    }
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
