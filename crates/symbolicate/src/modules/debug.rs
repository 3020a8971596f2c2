//! The debug information of a module: in the file itself, or in a separate file that belongs to it. Nothing is opened
//! before somebody asks.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use gimli::SectionId;
use necropsy_debuginfod::What;
use necropsy_model::{Arena, BuildId};
use object::{Object, ObjectSection};

use super::headers;
use super::open::Mapped;
use super::search::Search;
use super::sections::{Part, Sections};
use super::split::Split;
use crate::Options;
use crate::image::{Dwarf, Elf};

/// Most bytes of an unpacked `.gnu_debugdata`; real ones hold a symbol table of some megabytes.
const MOST_MINI: usize = 256 << 20;
/// Most memory for unpacking it, in KiB.
const MOST_MINI_MEMORY: u32 = 128 << 10;

/// Looks for the debug information of one module at first use, and keeps it.
pub(crate) struct Debug<'data> {
    /// The module's own file.
    pub own: Option<Own<'data>>,
    pub(super) build_id: Option<BuildId>,
    /// Path of the module in the dump.
    path: PathBuf,
    options: Arc<Options>,
    arena: &'data Arena,
    found: OnceLock<Found<'data>>,
    /// Files of split debug information.
    pub(super) split: Split<'data>,
    mini: OnceLock<Option<Elf<'data>>>,
    sent: OnceLock<Option<Elf<'data>>>,
}

/// The file of a module.
pub(crate) struct Own<'data> {
    pub file: Mapped<'data>,
    pub sections: Sections<'data>,
}

/// What was found of debug information.
#[derive(Default)]
pub(crate) struct Found<'data> {
    /// The separate debug file.
    pub separate: Option<(PathBuf, Sections<'data>)>,
    /// The file that `dwz` moved common parts to.
    pub supplementary: Option<(PathBuf, Sections<'data>)>,
    /// Its build id.
    pub supplementary_id: Option<BuildId>,
    /// What should be there and is not: one phrase each.
    pub problems: Vec<String>,
}

impl Found<'_> {
    /// Names are in a file that `dwz` made, and that is not here: lines without names.
    pub(super) fn lacks_common_file(&self) -> bool {
        self.supplementary_id.is_some() && self.supplementary.is_none()
    }
}

impl<'data> Debug<'data> {
    /// For a module whose file was found, or of which only the build id is known.
    pub fn new(
        own: Option<Own<'data>>,
        build_id: Option<BuildId>,
        path: &str,
        options: &Arc<Options>,
        arena: &'data Arena,
    ) -> Self {
        Self {
            own,
            build_id,
            path: PathBuf::from(path),
            options: Arc::clone(options),
            arena,
            found: OnceLock::new(),
            split: Split::default(),
            mini: OnceLock::new(),
            sent: OnceLock::new(),
        }
    }

    /// Where a path of the process is on this machine.
    pub fn locate(&self, path: &Path) -> Option<PathBuf> {
        super::open::locate(path, self.options.sysroot.as_deref())
    }

    /// Build id of the module, as far as it is known.
    pub fn build_id(&self) -> Option<&BuildId> {
        self.build_id.as_ref()
    }

    /// Name of the module's file.
    pub fn name(&self) -> Option<String> {
        Some(self.path.file_name()?.to_string_lossy().into_owned())
    }

    /// Directories of debug files that the user named.
    pub fn user_dirs(&self) -> &[PathBuf] {
        &self.options.debug_dirs
    }

    /// Maps a file below one of them.
    pub fn map(&self, path: &Path) -> Option<Mapped<'data>> {
        self.search().map(path)
    }

    pub(super) fn search(&self) -> Search<'_, 'data> {
        Search { options: &self.options, arena: self.arena }
    }

    /// What was found; looks for it when nobody has.
    pub fn found(&self) -> &Found<'data> {
        self.found.get_or_init(|| self.find())
    }

    /// What should be there and is not, as far as somebody looked.
    pub fn problems(&self) -> Vec<String> {
        let found = self.found.get().map(|found| found.problems.as_slice()).unwrap_or_default();
        found.iter().cloned().chain(self.split.problem()).collect()
    }

    /// A shared library at a place where the system keeps its own, or the kernel's page.
    pub fn is_of_system(&self) -> bool {
        let place = ["/lib/", "/lib64/", "/usr/lib/", "/usr/lib64/", "/lib32/", "/nix/store/", "/usr/local/lib/"];
        let path = self.path.to_string_lossy();
        let name = self.file_name().unwrap_or_default();
        let known =
            ["libc.so", "libc-", "libstdc++", "libm.so", "libpthread", "ld-linux", "ld-musl", "libgcc_s", "libc++"];
        path.starts_with('[')
            || name.contains(".so") && place.iter().any(|place| path.starts_with(place))
            || known.iter().any(|known| name.starts_with(known))
    }

    /// The name of the module's file.
    pub fn file_name(&self) -> Option<String> {
        self.path.file_name().map(|name| name.to_string_lossy().into_owned())
    }

    /// What was found so far, without looking.
    pub fn found_already(&self) -> Option<&Found<'data>> {
        self.found.get()
    }

    /// There is debug information.
    pub fn has_dwarf(&self) -> bool {
        self.holder().is_some()
    }

    /// A section of the debug information; empty where there is none.
    pub fn section(&self, id: SectionId) -> &'data [u8] {
        self.holder().map(|holder| holder.get(id.name())).unwrap_or_default()
    }

    /// A section of the debug information has to be unpacked before it can be read.
    pub fn is_compressed(&self, id: SectionId) -> bool {
        self.holder().is_some_and(|holder| holder.is_compressed(id.name()))
    }

    /// Bytes of a section of the debug information, unpacked.
    pub fn unpacked_size(&self, id: SectionId) -> usize {
        self.holder().map(|holder| holder.unpacked_size(id.name())).unwrap_or_default()
    }

    /// Gives back the memory of the pages that were read of the files.
    pub fn forget_pages(&self) {
        let found = self.found_already();
        let own = self.own.as_ref().map(|own| &own.sections);
        let separate = found.and_then(|found| found.separate.as_ref()).map(|(_, sections)| sections);
        let supplementary = found.and_then(|found| found.supplementary.as_ref()).map(|(_, sections)| sections);
        own.into_iter().chain(separate).chain(supplementary).for_each(Sections::forget_pages);
    }

    /// The file with the debug information.
    fn holder(&self) -> Option<&Sections<'data>> {
        let own = self.own.as_ref().map(|own| &own.sections).filter(|sections| sections.has_dwarf());
        let separate = || self.found().separate.as_ref().map(|(_, sections)| sections);
        own.or_else(|| separate().filter(|sections| sections.has_dwarf()))
    }

    /// The debug information, or the part of it that is asked for.
    pub fn dwarf(&self, part: Part) -> Option<Arc<Dwarf<'data>>> {
        let mut dwarf = self.holder()?.dwarf(part);
        if let Some((_, supplementary)) = &self.found().supplementary {
            dwarf.set_sup(supplementary.dwarf(Part { info: usize::MAX, ..part }));
        }
        Some(Arc::new(dwarf))
    }

    /// The symbol table of `.gnu_debugdata`: the names that Fedora leaves in stripped files.
    pub fn mini(&self) -> Option<&Elf<'data>> {
        let unpack = || {
            let packed = self.own.as_ref()?.sections.get(".gnu_debugdata");
            let bytes = unpack_xz(packed)?;
            Elf::parse(self.arena.keep(bytes)).ok()
        };
        self.mini.get_or_init(unpack).as_ref()
    }

    fn find(&self) -> Found<'data> {
        let mut found = Found::default();
        let own_has = self.own.as_ref().is_some_and(|own| own.sections.has_dwarf());
        if !own_has {
            found.separate = self.separate(&mut found.problems);
        }
        let (holder, path) = match (&self.own, &found.separate) {
            (Some(own), None) => (&own.sections, own.file.path.as_path()),
            (_, Some((path, sections))) => (sections, path.as_path()),
            (None, None) => return found,
        };
        if let Ok(Some((name, id))) = holder.elf.gnu_debugaltlink() {
            let id = BuildId::new(id);
            found.supplementary_id.clone_from(&id);
            match self.supplementary(path, name, id.as_ref()) {
                Some(file) => found.supplementary = Some(file),
                None => found.problems.push(format!(
                    "names of {} are incomplete: their common part {} (build id {}) was not found",
                    path.display(),
                    String::from_utf8_lossy(name),
                    id.map(|id| id.to_string()).unwrap_or_default(),
                )),
            }
        }
        found
    }

    /// The symbol table that a server sent alone, where no file here has one.
    pub fn sent_names(&self) -> Option<&Elf<'data>> {
        let build = || {
            let id = self.build_id.as_ref()?;
            let section = |name: &str| {
                let path = self.search().cached(id, &What::Section(name.to_owned()))?;
                super::names::section(self.search().map(&path)?.bytes)
            };
            let file = super::names::table(&section(".symtab")?, &section(".strtab")?)?;
            Elf::parse(self.arena.keep(file)).ok()
        };
        self.sent.get_or_init(|| if self.has_names() { None } else { build() }).as_ref()
    }

    /// There is a full symbol table among the files here.
    pub fn has_names(&self) -> bool {
        let own = self.own.as_ref().map(|own| &own.sections.elf);
        let separate = self.found().separate.as_ref().map(|(_, sections)| &sections.elf);
        own.into_iter().chain(separate).any(|elf| has_section(elf, ".symtab")) || self.mini().is_some()
    }

    /// On this machine, then among what was fetched from servers.
    fn separate(&self, problems: &mut Vec<String>) -> Option<(PathBuf, Sections<'data>)> {
        self.separate_here(problems).or_else(|| {
            let path = self.search().cached(self.build_id.as_ref()?, &What::DebugInfo)?;
            self.open(&path).filter(|(_, sections)| headers::build_id(&sections.elf) == self.build_id)
        })
    }

    /// By build id, beside the file, by `.gnu_debuglink`.
    fn separate_here(&self, problems: &mut Vec<String>) -> Option<(PathBuf, Sections<'data>)> {
        let search = self.search();
        let same_build = |elf: &Elf<'data>| self.build_id.is_some() && headers::build_id(elf) == self.build_id;
        if let Some(id) = &self.build_id {
            let name = self.path.file_name().unwrap_or_default().to_string_lossy();
            let beside = search.beside().map(|directory| directory.join(format!("{name}.debug")));
            let mut places = search.by_build_id(id, ".debug").chain(beside);
            let found = places.find_map(|path| self.open(&path).filter(|(_, sections)| same_build(&sections.elf)));
            if found.is_some() {
                return found;
            }
        }
        let own = self.own.as_ref()?;
        let (name, crc) = own.sections.elf.gnu_debuglink().ok().flatten()?;
        let name = Path::new(std::str::from_utf8(name).ok()?);
        // The link is a name, not a path.
        let name = name.file_name().filter(|&base| base == name.as_os_str())?;
        let mut rejected = None;
        for path in self.linked_places(&search, own, name) {
            let Some((path, sections)) = self.open(&path) else { continue };
            if path == own.file.path {
                continue;
            }
            let right = same_build(&sections.elf)
                || (headers::build_id(&sections.elf).is_none() || self.build_id.is_none())
                    && crc32fast::hash(sections.elf.data()) == crc;
            if right {
                return Some((path, sections));
            }
            rejected.get_or_insert(path);
        }
        problems.extend(rejected.map(|path| format!("{} is of another build and was not used", path.display())));
        None
    }

    /// gdb's order: beside the file, in `.debug` beside it, in the debug directories under the file's path.
    fn linked_places(&self, search: &Search<'_, 'data>, own: &Own<'data>, name: &std::ffi::OsStr) -> Vec<PathBuf> {
        let directory = own.file.path.parent().unwrap_or(Path::new("/"));
        let mut places = vec![directory.join(name), directory.join(".debug").join(name)];
        places.extend(search.beside().map(|directory| directory.join(name)));
        let in_dump = self.path.parent().and_then(|path| path.strip_prefix("/").ok()).unwrap_or(Path::new(""));
        let safe = in_dump.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        if safe {
            places.extend(search.debug_dirs().map(|debug| debug.join(in_dump).join(name)));
        }
        places
    }

    fn supplementary(&self, holder: &Path, name: &[u8], id: Option<&BuildId>) -> Option<(PathBuf, Sections<'data>)> {
        let id = id?;
        let search = self.search();
        let name = Path::new(std::str::from_utf8(name).ok()?);
        let mut places: Vec<PathBuf> = search.by_build_id(id, ".debug").collect();
        if name.is_absolute() {
            places.extend(self.locate(name));
        } else {
            places.push(holder.parent().unwrap_or(Path::new(".")).join(name));
        }
        if let Some(base) = name.file_name() {
            places.extend(holder.parent().map(|directory| directory.join(base)));
            places.extend(search.debug_dirs().map(|directory| directory.join(".dwz").join(base)));
            places.extend(search.beside().map(|directory| directory.join(base)));
        }
        places.extend(search.cached(id, &What::DebugInfo));
        let right = |sections: &Sections<'data>| headers::build_id(&sections.elf).as_ref() == Some(id);
        places.iter().find_map(|path| self.open(path).filter(|(_, sections)| right(sections)))
    }

    pub(super) fn open(&self, path: &Path) -> Option<(PathBuf, Sections<'data>)> {
        let file = self.search().map(path)?;
        let elf = Elf::parse(file.bytes).ok()?;
        Some((file.path, Sections::new(elf, Some(file.pages), self.arena)))
    }

    /// `.debug_frame` of the separate file, for a module that has no tables of its own.
    pub fn debug_frame(&self) -> Option<&'data [u8]> {
        let (_, sections) = self.found().separate.as_ref()?;
        Some(sections.get(".debug_frame")).filter(|bytes| !bytes.is_empty())
    }

    /// The path of the separate debug file.
    pub(super) fn separate_path(&self) -> Option<PathBuf> {
        Some(self.found().separate.as_ref()?.0.clone())
    }

    /// Where the files came from, in words.
    pub fn files(&self) -> Vec<String> {
        let found = self.found_already();
        let own = self.own.as_ref().map(|own| own.file.path.clone());
        let separate = found.and_then(|found| Some(found.separate.as_ref()?.0.clone()));
        let supplementary = found.and_then(|found| Some(found.supplementary.as_ref()?.0.clone()));
        let all = own.into_iter().chain(separate).chain(supplementary);
        all.map(|path| path.display().to_string()).collect()
    }
}

/// Unpacks `.gnu_debugdata`.
pub(crate) fn unpack_xz(packed: &[u8]) -> Option<Vec<u8>> {
    use std::io::Read;
    if packed.is_empty() {
        return None;
    }
    let mut out = Vec::new();
    let reader = lzma_rust2::XzReader::new_mem_limit(packed, false, MOST_MINI_MEMORY);
    let read = reader.take(MOST_MINI as u64 + 1).read_to_end(&mut out);
    (read.is_ok() && out.len() <= MOST_MINI).then_some(out)
}

/// The section is there at all.
pub(super) fn has_section(elf: &Elf<'_>, name: &str) -> bool {
    elf.section_by_name(name).is_some_and(|section| section.size() > 0)
}
