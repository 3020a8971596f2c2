//! The file behind each module, verified by build id, and the debug file that belongs to it.

mod debug;
mod finder;
mod in_dump;
mod open;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use necropsy_model::{
    Arch, Arena, Avma, Bias, Identity, Memory, Module, ModuleId, Snapshot, Svma, SymbolStatus, Symbols, Verified,
};
use object::read::elf::ProgramHeader;
use object::{LittleEndian, Object, ObjectSection, elf};
use rayon::prelude::*;

use crate::Options;
use crate::image::{Elf, Image, Images, Segment, UnwindSections};

pub(crate) use debug::DebugFile;
pub(crate) use finder::Finder;

/// Page size to which the loader rounds segments down; smaller ones only make the bias more exact.
const PAGE: u64 = 4096;

/// Finds and opens a file for every module of a snapshot, in parallel.
pub(crate) fn find<'data>(snapshot: &mut Snapshot<'data>, arena: &'data Arena, options: &Options) -> Images<'data> {
    if !matches!(snapshot.process.arch, Some(Arch::X86_64 | Arch::Aarch64)) {
        return Images::default();
    }
    let finder = Finder::new(arena, options);
    let memory = &snapshot.memory;
    let found: Vec<_> = snapshot
        .modules
        .par_iter()
        .enumerate()
        .map(|(index, module)| find_one(index, module, memory, &finder))
        .collect();
    let mut images = Vec::new();
    for (module, (image, symbols)) in snapshot.modules.iter_mut().zip(found) {
        module.symbols = symbols;
        images.extend(image);
    }
    Images::new(images)
}

type Outcome<'data> = (Option<Image<'data>>, Symbols);

fn find_one<'data>(
    index: usize,
    module: &Module<'data>,
    memory: &Memory<'data>,
    finder: &Finder<'data>,
) -> Outcome<'data> {
    let mut symbols = Symbols { status: SymbolStatus::NotFound, ..Symbols::default() };
    let Some(id) = ModuleId::new(index) else { return (None, symbols) };
    for path in candidates(module, finder) {
        let Some((data, elf)) = finder.map(&path).and_then(|data| Some((data, Elf::parse(data).ok()?))) else {
            continue;
        };
        match verify::verify(module, &elf, memory) {
            Ok(verified) => {
                symbols = Symbols {
                    status: SymbolStatus::NotNeeded,
                    from: Some(path.display().to_string()),
                    verified: Some(verified),
                    reason: None,
                };
                if verified == Verified::PathOnly {
                    symbols.reason =
                        Some("the dump holds no build id of it; only its path and layout agree".to_owned());
                }
                return (Some(from_file(id, module, data, elf, path, finder)), symbols);
            }
            Err(reason) => {
                symbols.status = SymbolStatus::WrongBuild;
                symbols.reason.get_or_insert(format!("{} is another build: {reason}", path.display()));
            }
        }
    }
    match in_dump::image(id, module, memory, finder) {
        Some(image) => {
            let from = Some("the dump itself".to_owned());
            let status = SymbolStatus::NotNeeded;
            (Some(image), Symbols { status, from, verified: Some(Verified::InDump), reason: symbols.reason })
        }
        None => {
            symbols.reason.get_or_insert_with(|| "no file of it was found here".to_owned());
            (None, symbols)
        }
    }
}

/// Files that may be the module's, best first. The user's `--exe` is the only candidate for the executable.
fn candidates(module: &Module<'_>, finder: &Finder<'_>) -> Vec<PathBuf> {
    match finder.exe() {
        Some(exe) if module.is_executable => vec![exe.to_owned()],
        _ if module.path.starts_with('[') => Vec::new(),
        _ => finder.module_files(Path::new(module.path.as_ref()), module.build_id.as_ref()),
    }
}

fn from_file<'data>(
    module: ModuleId,
    of: &Module<'data>,
    data: &'data [u8],
    elf: Elf<'data>,
    path: PathBuf,
    finder: &Finder<'data>,
) -> Image<'data> {
    let segments = segments(&elf, data);
    let first = segments.first().map_or(0, |segment| segment.start.0 & !(PAGE - 1));
    let bias = of.bias.unwrap_or(Bias(of.base.0.wrapping_sub(first)));
    Image {
        module,
        bias,
        unwind: unwind_sections(&elf),
        segments,
        elf: Some(elf),
        data,
        path: Some(path),
        finder: finder.clone(),
        debug: OnceLock::new(),
    }
}

/// The loadable segments of a file.
fn segments<'data>(elf: &Elf<'data>, data: &'data [u8]) -> Vec<Segment<'data>> {
    let endian = LittleEndian;
    let loads = elf.elf_program_headers().iter().filter(|header| header.p_type(endian) == elf::PT_LOAD);
    let mut segments: Vec<_> = loads
        .map(|header| Segment {
            start: Svma(header.p_vaddr(endian)),
            size: header.p_memsz(endian),
            bytes: header.data(endian, data).unwrap_or_default(),
            writable: header.p_flags(endian).contains(elf::PF_W),
            executable: header.p_flags(endian).contains(elf::PF_X),
        })
        .collect();
    segments.sort_by_key(|segment| segment.start);
    segments
}

/// The tables to unwind with that the file itself holds.
fn unwind_sections<'data>(elf: &Elf<'data>) -> UnwindSections<'data> {
    let at = |name: &str| {
        let section = elf.section_by_name(name)?;
        let data = section.data().ok().filter(|data| !data.is_empty())?;
        Some((Svma(section.address()), data))
    };
    let address = |name: &str| elf.section_by_name(name).map(|section| Svma(section.address()));
    UnwindSections {
        eh_frame_hdr: at(".eh_frame_hdr"),
        eh_frame: at(".eh_frame"),
        debug_frame: None,
        text: address(".text"),
        got: address(".got"),
    }
}

/// Says in each module what was found of its symbols and what the file says of itself. `used` tells which modules own a
/// frame.
pub(crate) fn report(snapshot: &mut Snapshot<'_>, images: &Images<'_>) {
    let used = modules_with_frames(snapshot);
    for image in images.all() {
        let Some(module) = snapshot.modules.get_mut(image.module.index()) else { continue };
        module.identity = image.elf.as_ref().and_then(|_| identity(image.data));
        if module.build_id.is_none() {
            module.build_id = image.elf.as_ref().and_then(verify::build_id);
        }
        if used.contains(&image.module.index()) {
            let (status, from, reason) = image.debug_file().describe(image);
            module.symbols.status = status;
            if let Some(from) = from {
                let file = module.symbols.from.take().unwrap_or_default();
                module.symbols.from = Some(format!("{file}, {from}"));
            }
            module.symbols.reason = reason.or(module.symbols.reason.take());
        }
    }
    if let Some(executable) = snapshot.modules.iter().find(|module| module.is_executable) {
        snapshot.process.build_id = snapshot.process.build_id.take().or_else(|| executable.build_id.clone());
    }
}

fn modules_with_frames(snapshot: &Snapshot<'_>) -> Vec<usize> {
    let mut used: Vec<_> = snapshot.frames.iter().filter_map(|frame| frame.module).map(ModuleId::index).collect();
    used.sort_unstable();
    used.dedup();
    used
}

/// What an ELF file says of itself; goblin reads the dynamic section in one call.
fn identity(data: &[u8]) -> Option<Identity> {
    let elf = goblin::elf::Elf::parse(data).ok()?;
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let mut runpaths = owned(&elf.runpaths);
    runpaths.extend(owned(&elf.rpaths));
    Some(Identity {
        soname: elf.soname.map(str::to_owned),
        needed: owned(&elf.libraries),
        interpreter: elf.interpreter.map(str::to_owned),
        runpaths,
    })
}

/// The bias that puts the page of the first segment at `base`.
pub(crate) fn bias_of(base: Avma, first: Svma) -> Bias {
    Bias(base.0.wrapping_sub(first.0 & !(PAGE - 1)))
}
