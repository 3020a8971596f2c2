//! Which files the process ran: from `NT_FILE`, the loader's list, and the images in memory, in this order of trust.

use necropsy_model::{Avma, Bias, Full, Memory, Module, Symbols, Text};
use rustc_hash::FxHashMap;

use super::auxv::Auxv;
use super::bytes::Layout;
use super::file::Mapping;
use super::image::Image;
use super::link_map;

/// What the modules are found with.
pub(super) struct Clues<'a, 'data> {
    pub memory: &'a Memory<'data>,
    pub mappings: &'a [Mapping<'data>],
    pub auxv: Auxv,
    pub layout: Layout,
    /// The executable's path by `AT_EXECFN` or, failing that, its name.
    pub exec_path: Option<Text<'data>>,
}

/// Finds the modules, in order of address.
pub(super) fn find<'data>(clues: &Clues<'_, 'data>, full: &mut Full) -> Vec<Module<'data>> {
    let mut modules = mapped(clues);
    modules.sort_by_key(|module| module.base);
    linked(clues, &mut modules, full);
    modules.sort_by_key(|module| module.base);
    unclaimed(clues, &mut modules);
    let executable = executable(clues, &mut modules);
    if let Some(module) = executable.and_then(|index| modules.get_mut(index)) {
        module.is_executable = true;
    }
    modules.sort_by_key(|module| module.base);
    modules
}

/// A file mapped as an image, while its mappings are gathered.
struct Part<'a, 'data> {
    first: &'a Mapping<'data>,
    end: u64,
    image: Option<Image>,
    executable: Rights,
}

/// What the core says of the right to execute a file's mappings. gcore leaves whole mappings out, and their rights with them.
#[derive(Clone, Copy, Default)]
struct Rights {
    granted: bool,
    unknown: bool,
}

/// Modules from `NT_FILE`.
fn mapped<'data>(clues: &Clues<'_, 'data>) -> Vec<Module<'data>> {
    let mut parts: Vec<Part<'_, 'data>> = Vec::new();
    // The part of a path to which its next mapping may belong.
    let mut latest: FxHashMap<&str, usize> = FxHashMap::default();
    for mapping in clues.mappings {
        let image = (mapping.offset == 0).then(|| Image::read(clues.memory, mapping.start)).flatten();
        let known = latest.get(mapping.path.as_ref()).copied();
        let index =
            known.filter(|&index| parts.get(index).is_some_and(|part| continues(part, mapping, image.as_ref())));
        let index = index.unwrap_or_else(|| {
            parts.push(Part { first: mapping, end: mapping.end, image, executable: Rights::default() });
            latest.insert(mapping.path.as_ref(), parts.len() - 1);
            parts.len() - 1
        });
        let Some(part) = parts.get_mut(index) else { continue };
        part.end = part.end.max(mapping.end);
        match clues.memory.region(Avma(mapping.start)).and_then(|region| region.permissions) {
            Some(permissions) => part.executable.granted |= permissions.execute,
            None => part.executable.unknown = true,
        }
    }
    parts.into_iter().filter_map(|part| part_to_module(clues, part)).collect()
}

/// A mapping belongs to the image below it, unless it is the same file loaded once more.
///
/// The data of a small program lies in the first page of its file, so that its mapping too begins at offset 0 and shows
/// an ELF header. Only the image's own extent tells that from a second copy.
fn continues(part: &Part<'_, '_>, mapping: &Mapping<'_>, image: Option<&Image>) -> bool {
    match &part.image {
        Some(known) => image.is_none() || mapping.start < known.end(),
        None => true,
    }
}

fn part_to_module<'data>(clues: &Clues<'_, 'data>, part: Part<'_, 'data>) -> Option<Module<'data>> {
    let Part { first, end, image, executable } = part;
    let is_module = if let Some(image) = &image {
        // A debugger or an indexer maps libraries as data; nobody runs those.
        !image.has_code() || executable.granted || executable.unknown
    } else {
        let head = clues.memory.tail(Avma(first.start));
        executable.granted && (head.is_empty() || first.offset != 0)
    };
    if !is_module {
        return None;
    }
    let module = Module {
        path: first.path.clone(),
        deleted: first.deleted,
        build_id: image.as_ref().and_then(|image| image.build_id(clues.memory)),
        base: Avma(first.start),
        size: extent(clues.memory, first.start, end, image.as_ref()),
        bias: image.as_ref().map(|image| image.bias),
        stated: None,
        is_executable: false,
        symbols: Symbols::default(),
        identity: None,
    };
    Some(module)
}

/// Bytes from `start` to the end of the image, its uninitialised data included. `NT_FILE` lists only what a file backs.
/// Headers that state an end which was never mapped are damaged.
fn extent(memory: &Memory<'_>, start: u64, end: u64, image: Option<&Image>) -> u64 {
    let stated = image.map(Image::end).filter(|&stated| stated > end);
    let stated = stated.filter(|&stated| memory.region(Avma(stated - 1)).is_some());
    stated.unwrap_or(end) - start
}

/// Adds what only the loader's list knows, and the bias of modules whose headers were not dumped.
fn linked<'data>(clues: &Clues<'_, 'data>, modules: &mut Vec<Module<'data>>, full: &mut Full) {
    for (index, link) in link_map::walk(clues.memory, &clues.auxv, clues.layout, full).into_iter().enumerate() {
        let dynamic = Avma(link.dynamic);
        if let Some(known) = holder(modules, dynamic).and_then(|known| modules.get_mut(known)) {
            known.bias = known.bias.or(Some(Bias(link.bias)));
            continue;
        }
        let path = if index == 0 && link.path.is_empty() { clues.exec_path.clone() } else { Some(link.path) };
        let Some(path) = path.filter(|path| !path.is_empty()) else { continue };
        let Some(region) = clues.memory.region(dynamic) else { continue };
        let image = image_of(clues.memory, dynamic, link.bias);
        let base = image.as_ref().map_or(region.start.0, |image| image.base);
        // The vDSO is in the list too, under the name it gives itself.
        if clues.auxv.vdso == Some(base) {
            continue;
        }
        let module = Module {
            path,
            deleted: false,
            build_id: image.as_ref().and_then(|image| image.build_id(clues.memory)),
            base: Avma(base),
            size: extent(clues.memory, base, region.end.0.max(base), image.as_ref()),
            bias: Some(Bias(link.bias)),
            stated: None,
            is_executable: false,
            symbols: Symbols::default(),
            identity: None,
        };
        let at = modules.partition_point(|other| other.base <= module.base);
        modules.insert(at, module);
    }
}

/// The image whose dynamic section lies at `dynamic`: the nearest one below that was moved by `bias`. A prelinked library
/// was not moved at all, so that `l_addr` is 0 and says nothing of where it begins.
fn image_of(memory: &Memory<'_>, dynamic: Avma, bias: u64) -> Option<Image> {
    /// Regions to go back over: an image has a handful, other mappings may stand in its holes.
    const REACH: usize = 32;
    let regions = memory.regions();
    let after = regions.partition_point(|region| region.start <= dynamic);
    let below = regions.get(after.saturating_sub(REACH)..after)?.iter().rev();
    let mut images = below.filter_map(|region| Image::read(memory, region.start.0));
    images.find(|image| image.bias == Bias(bias) && dynamic.0 < image.end())
}

/// The module, of those in order of base, that covers an address; the last to begin wins where modules interleave.
fn holder(modules: &[Module<'_>], address: Avma) -> Option<usize> {
    /// Modules that one look-up goes back over: more than any layout interleaves.
    const REACH: usize = 16;
    let after = modules.partition_point(|module| module.base <= address);
    (after.saturating_sub(REACH)..after)
        .rev()
        .find(|&index| modules.get(index).is_some_and(|module| module.covers(address)))
}

/// Adds the images in memory that nobody listed: the vDSO always, everything when there is no `NT_FILE`.
fn unclaimed<'data>(clues: &Clues<'_, 'data>, modules: &mut Vec<Module<'data>>) {
    let mut found = Vec::new();
    let mut claimed_to = 0;
    for region in clues.memory.regions() {
        let base = region.start;
        if base.0 < claimed_to || !region.bytes.starts_with(b"\x7fELF") || holder(modules, base).is_some() {
            continue;
        }
        let Some(image) = Image::read(clues.memory, base.0) else { continue };
        let size = extent(clues.memory, base.0, region.end.0, Some(&image));
        claimed_to = base.0.saturating_add(size);
        found.push(Module {
            path: name(clues, &image, size),
            deleted: false,
            build_id: image.build_id(clues.memory),
            base,
            size,
            bias: Some(image.bias),
            stated: None,
            is_executable: false,
            symbols: Symbols::default(),
            identity: None,
        });
    }
    modules.append(&mut found);
    modules.sort_by_key(|module| module.base);
    // A cut core may have lost its bytes; that there was a vDSO is known all the same.
    let vdso = clues.auxv.vdso.and_then(|base| clues.memory.region(Avma(base)));
    if let Some(region) = vdso.filter(|region| holder(modules, region.start).is_none()) {
        modules.push(Module {
            path: "[vdso]".into(),
            deleted: false,
            build_id: None,
            base: region.start,
            size: region.end.0 - region.start.0,
            bias: None,
            stated: None,
            is_executable: false,
            symbols: Symbols::default(),
            identity: None,
        });
    }
    modules.sort_by_key(|module| module.base);
}

/// What to call an image that no list names.
fn name<'data>(clues: &Clues<'_, 'data>, image: &Image, size: u64) -> Text<'data> {
    let inside = |address: Option<u64>| address.is_some_and(|address| address.wrapping_sub(image.base) < size);
    let auxv = &clues.auxv;
    if auxv.vdso == Some(image.base) {
        return "[vdso]".into();
    }
    let is_main = inside(auxv.program_headers) || inside(auxv.entry);
    let own = if is_main { clues.exec_path.clone() } else { None };
    let loader = || {
        let main = clues.memory.region(Avma(auxv.program_headers?))?.start.0;
        Image::read(clues.memory, main)?.interpreter(clues.memory)
    };
    let loader = if auxv.loader == Some(image.base) { loader() } else { None };
    own.or(loader).or_else(|| image.soname(clues.memory)).unwrap_or_else(|| "[unnamed]".into())
}

/// Finds the main executable among the modules, or makes it up from what the kernel said of it.
fn executable<'data>(clues: &Clues<'_, 'data>, modules: &mut Vec<Module<'data>>) -> Option<usize> {
    let at = clues.auxv.program_headers.or(clues.auxv.entry);
    let by_address = at.and_then(|at| holder(modules, Avma(at)));
    if by_address.is_some() {
        return by_address;
    }
    let path = clues.exec_path.as_ref();
    let by_path = modules.iter().position(|module| Some(&module.path) == path);
    if by_path.is_some() {
        return by_path;
    }
    // qemu-user dumps neither code nor a list of files. What is left is where the program headers were.
    let region = clues.memory.region(Avma(at?))?;
    let module = Module {
        path: path?.clone(),
        deleted: false,
        build_id: None,
        base: region.start,
        size: contiguous(clues.memory, region.start) - region.start.0,
        bias: None,
        stated: None,
        is_executable: true,
        symbols: Symbols::default(),
        identity: None,
    };
    modules.push(module);
    Some(modules.len() - 1)
}

/// The end of the regions that follow each other without a hole.
fn contiguous(memory: &Memory<'_>, start: Avma) -> u64 {
    let from = memory.regions().partition_point(|region| region.start < start);
    let mut end = start.0;
    for region in memory.regions().iter().skip(from) {
        if region.start.0 != end {
            break;
        }
        end = region.end.0;
    }
    end
}
