//! The debug information of a module: in the file itself, in a separate debug file, or in `.gnu_debugdata`.

use std::borrow::Cow;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gimli::{EndianSlice, LittleEndian};
use necropsy_model::{BuildId, SymbolStatus};
use object::{Object, ObjectSection};

use super::{Finder, verify};
use crate::image::{Dwarf, Elf, Image, Slice};

/// A section may unpack to this much. libjvm's `.debug_info`, the largest that Debian ships, has 257 MB.
const MAX_SECTION: u64 = 8 << 30;
/// `.gnu_debugdata` may unpack to this much; Fedora's largest are some 20 MB.
const MAX_MINI: u64 = 256 << 20;

/// What a module's debug information is, once it was looked for.
pub(crate) struct DebugFile<'data> {
    /// DWARF, wherever it was.
    pub dwarf: Option<Arc<Dwarf<'data>>>,
    /// The separate file, with its own symbol table.
    pub elf: Option<Elf<'data>>,
    /// The ELF file inside `.gnu_debugdata`.
    pub mini: Option<Elf<'data>>,
    /// Where the separate file was.
    path: Option<PathBuf>,
    /// Why there is less than there could be.
    reason: Option<String>,
}

impl<'data> DebugFile<'data> {
    /// Looks for the debug information of an image.
    pub fn find(image: &Image<'data>) -> Self {
        let mut found = Self { dwarf: None, elf: None, mini: None, path: None, reason: None };
        let Some(elf) = &image.elf else { return found };
        let own = image.path.as_deref().unwrap_or(Path::new("/"));
        if has_dwarf(elf) {
            found.load(elf, own, &image.finder);
        } else if let Some((path, data, separate)) = separate(elf, own, &image.finder) {
            let _ = data;
            found.load(&separate, &path, &image.finder);
            found.path = Some(path);
            found.elf = Some(separate);
        }
        if elf.symbol_table().is_none() && found.elf.is_none() {
            found.mini = mini(elf, &image.finder);
        }
        found
    }

    fn load(&mut self, elf: &Elf<'data>, path: &Path, finder: &Finder<'data>) {
        let supplementary = supplementary(elf, path, finder);
        if let Err(reason) = &supplementary {
            self.reason = Some(reason.clone());
        }
        let load = |elf: &Elf<'data>| Dwarf::load(|id| Ok::<_, gimli::Error>(section(elf, id.name(), finder)));
        let Ok(mut dwarf) = load(elf) else { return };
        if let Ok(Some(other)) = supplementary
            && let Ok(other) = load(&other)
        {
            dwarf.set_sup(other);
        }
        dwarf.populate_abbreviations_cache(gimli::AbbreviationsCacheStrategy::Duplicates);
        self.dwarf = Some(Arc::new(dwarf));
    }

    /// What was found, in words: status, file, and why there is no more.
    pub fn describe(&self, image: &Image<'_>) -> (SymbolStatus, Option<String>, Option<String>) {
        let tables = [image.elf.as_ref(), self.elf.as_ref(), self.mini.as_ref()];
        let named = tables.into_iter().flatten().any(|elf| elf.symbol_table().is_some());
        let exported = image.elf.as_ref().is_some_and(|elf| elf.dynamic_symbol_table().is_some());
        let (status, reason) = match (self.dwarf.is_some(), named, exported) {
            (true, ..) => (SymbolStatus::Full, None),
            (_, true, _) => (SymbolStatus::Names, Some("no debug information: names without lines")),
            (_, _, true) => (SymbolStatus::Exported, Some("stripped: only exported names")),
            _ => (SymbolStatus::Stripped, Some("stripped: the file has no symbols")),
        };
        let from = self.path.as_ref().map(|path| path.display().to_string());
        let from = from.or_else(|| self.mini.is_some().then(|| ".gnu_debugdata".to_owned()));
        (status, from, self.reason.clone().or_else(|| reason.map(str::to_owned)))
    }
}

fn has_dwarf(elf: &Elf<'_>) -> bool {
    elf.section_by_name(".debug_info").is_some_and(|section| section.size() > 0)
        || elf.section_by_name(".zdebug_info").is_some()
}

/// The bytes of a section, unpacked where it is compressed; empty when there is none or it unpacks to too much.
fn section<'data>(elf: &Elf<'data>, name: &str, finder: &Finder<'data>) -> Slice<'data> {
    let data = elf.section_by_name(name).and_then(|section| {
        let compressed = section.compressed_data().ok()?;
        if compressed.uncompressed_size > MAX_SECTION {
            return None;
        }
        compressed.decompress().ok()
    });
    let bytes = match data {
        Some(Cow::Borrowed(bytes)) => bytes,
        Some(Cow::Owned(bytes)) => finder.arena().keep(bytes),
        None => &[],
    };
    EndianSlice::new(bytes, LittleEndian)
}

type Separate<'data> = (PathBuf, &'data [u8], Elf<'data>);

/// The separate debug file: by build id, else by debug link with its checksum.
fn separate<'data>(elf: &Elf<'data>, own: &Path, finder: &Finder<'data>) -> Option<Separate<'data>> {
    let open = |path: PathBuf| {
        let data = finder.map(&path)?;
        Some((path, data, Elf::parse(data).ok()?))
    };
    let ran = verify::build_id(elf);
    if let Some(id) = &ran {
        let files = finder.debug_files(id).into_iter().filter_map(open);
        if let Some(found) = files.into_iter().find(|(_, _, found)| verify::build_id(found).as_ref() == Some(id)) {
            return Some(found);
        }
    }
    let (link, checksum) = elf.gnu_debuglink().ok()??;
    let link = std::str::from_utf8(link).ok()?;
    finder.linked_files(own, link).into_iter().filter_map(open).find(|(_, data, found)| {
        let same = verify::build_id(found).zip(ran.clone()).is_none_or(|(found, ran)| found == ran);
        same && crc32fast::hash(data) == checksum
    })
}

/// The supplementary file that dwz made, which several debug files share; an error says that it is missing.
fn supplementary<'data>(elf: &Elf<'data>, path: &Path, finder: &Finder<'data>) -> Result<Option<Elf<'data>>, String> {
    let Ok(Some((link, id))) = elf.gnu_debugaltlink() else { return Ok(None) };
    let link = String::from_utf8_lossy(link).into_owned();
    let Some(id) = BuildId::new(id) else { return Ok(None) };
    let files = finder.supplementary_files(path, Path::new(&link), &id).into_iter();
    let mut open = files.filter_map(|path| Elf::parse(finder.map(&path)?).ok());
    let found = open.find(|found| verify::build_id(found).as_ref() == Some(&id));
    // addr2line passes over this in silence: lines without names.
    found.map(Some).ok_or_else(|| format!("debug information is incomplete: it needs {link} (build id {id})"))
}

/// The ELF file in `.gnu_debugdata`, which holds nothing but a symbol table.
fn mini<'data>(elf: &Elf<'data>, finder: &Finder<'data>) -> Option<Elf<'data>> {
    let packed = elf.section_by_name(".gnu_debugdata")?.data().ok()?;
    let mut bytes = Vec::new();
    lzma_rust2::XzReader::new(packed, true).take(MAX_MINI).read_to_end(&mut bytes).ok()?;
    Elf::parse(finder.arena().keep(bytes)).ok()
}
