//! The file behind each module, verified by build id, and the debug file that belongs to it.

pub(crate) mod debug;
mod fetch;
pub(crate) mod headers;
mod identity;
mod names;
mod open;
mod report;
mod search;
mod sections;
mod split;
mod verify;

use std::sync::{Arc, OnceLock};

use necropsy_debuginfod::What;
use necropsy_model::{Arch, Arena, Avma, Bias, Identity, Memory, Module, ModuleId, Offset, Snapshot, Verified};
use object::read::elf::FileHeader;
use object::{Architecture, Object};
use rayon::prelude::*;

pub(crate) use debug::Debug;
pub(crate) use fetch::{Supply, fetch, fetch_files, fetch_symbols};
pub(crate) use open::{locate, read_small};
pub(crate) use report::{fetched, report, symbols};
pub(crate) use sections::{Part, Sections};

use crate::Options;
use crate::image::{Elf, Image, Images, UnwindSections};
use crate::resolve::place;
use debug::Own;
use open::Mapped;
use search::{Search, Step};

/// What became of a module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// How its file was held to be the right one; `None` when there is none.
    pub verified: Option<Verified>,
    /// Files that were found and refused, each with the reason.
    pub refused: Vec<String>,
    /// What the file says of itself.
    pub identity: Option<Identity>,
    /// The build id of the file, where the dump states none.
    pub build_id: Option<necropsy_model::BuildId>,
}

/// Finds and opens a file for every module of a snapshot.
pub(crate) fn find<'data>(snapshot: &Snapshot<'data>, arena: &'data Arena, options: &Options) -> Images<'data> {
    // A list of modules alone does not say of which machine they are; their files will.
    let unknown = snapshot.process.arch.is_none() && snapshot.memory.is_empty();
    if !matches!(snapshot.process.arch, Some(Arch::X86_64 | Arch::Aarch64)) && !unknown {
        return Images::default();
    }
    let shared = Arc::new(options.clone());
    let finder = Finder { snapshot, options: &shared, arena };
    let found: Vec<_> =
        snapshot.modules.par_iter().enumerate().map(|(index, module)| finder.find(index, module)).collect();
    let (images, outcomes): (Vec<_>, Vec<_>) = found.into_iter().unzip();
    Images::new(images.into_iter().flatten().collect()).with_outcomes(outcomes)
}

/// Finds and opens the file of a module that no dump describes, at the addresses that the file itself states. When only the
/// debug file with the right build id is there, it stands in.
pub(crate) fn find_one<'data>(
    module: &Module<'data>,
    arena: &'data Arena,
    options: &Arc<Options>,
) -> (Option<Image<'data>>, Outcome) {
    let snapshot = Snapshot::default();
    let (own, mut outcome) = Finder { snapshot: &snapshot, options, arena }.find(0, module);
    let found = own.or_else(|| {
        let debug = Debug::new(None, module.build_id.clone(), &module.path, options, arena);
        let (_, separate) = debug.found().separate.as_ref()?;
        let segments = headers::segments(&separate.elf);
        outcome.verified = Some(Verified::BuildId);
        Some(image(ModuleId::new(0)?, necropsy_model::Bias(0), segments, UnwindSections::default(), None, debug))
    });
    (found, outcome)
}

struct Finder<'a, 'data> {
    snapshot: &'a Snapshot<'data>,
    options: &'a Arc<Options>,
    arena: &'data Arena,
}

impl<'data> Finder<'_, 'data> {
    fn find(&self, index: usize, module: &Module<'data>) -> (Option<Image<'data>>, Outcome) {
        let Some(id) = ModuleId::new(index) else { return (None, Outcome::default()) };
        let mut outcome = Outcome::default();
        let image = self
            .file(id, module, &mut outcome)
            .or_else(|| in_dump(id, module, &self.snapshot.memory, self.arena, self.options, &mut outcome));
        (image, outcome)
    }

    /// The module's own file, by the first step that proposes the right one.
    fn file(&self, id: ModuleId, module: &Module<'data>, outcome: &mut Outcome) -> Option<Image<'data>> {
        if module.path.starts_with('[') {
            return None;
        }
        let search = Search { options: self.options, arena: self.arena };
        let fetched = || Some((Step::Fetched, search.cached(module.build_id.as_ref()?, &What::Executable)?));
        let candidates = search.candidates(module).into_iter();
        for (step, path) in candidates.chain(std::iter::once_with(fetched).flatten()) {
            let file = if step == Step::Named { search.map_named(&path) } else { search.map(&path) };
            let Some(file) = file else {
                if step == Step::Named {
                    outcome.refused.push(format!("{} is not a file that can be read", path.display()));
                }
                continue;
            };
            match self.accept(id, module, file, step, outcome) {
                Ok(image) => return Some(image),
                Err(reason) => note(&mut outcome.refused, format!("found {} ({reason})", path.display())),
            }
        }
        None
    }

    fn accept(
        &self,
        id: ModuleId,
        module: &Module<'data>,
        file: Mapped<'data>,
        step: Step,
        outcome: &mut Outcome,
    ) -> Result<Image<'data>, String> {
        let elf = Elf::parse(file.bytes).map_err(|_| "not an ELF file of this machine".to_owned())?;
        let arch = match elf.architecture() {
            Architecture::X86_64 => Some(Arch::X86_64),
            Architecture::Aarch64 => Some(Arch::Aarch64),
            _ => None,
        };
        if !elf.is_little_endian() || arch.is_none() || arch != self.snapshot.process.arch.or(arch) {
            return Err("a file of another machine".to_owned());
        }
        let segments = headers::segments(&elf);
        let bias = match &module.stated {
            Some(stated) => {
                stated_bias(&elf, stated).ok_or_else(|| "no code at the place that the dump names".to_owned())?
            }
            None => {
                let bias = module.bias.or_else(|| headers::bias_of(&segments, module.base));
                bias.ok_or_else(|| "no loadable segment".to_owned())?
            }
        };
        let file_id = headers::build_id(&elf);
        let verified = verify::verify(module, file_id.as_ref(), &segments, bias, &self.snapshot.memory)?;
        if step == Step::Beside && verified == Verified::PathOnly {
            return Err("it has the name, but nothing shows that it is the file that ran".to_owned());
        }
        outcome.verified = Some(verified);
        outcome.identity = identity::read(file.bytes);
        outcome.build_id.clone_from(&file_id);
        let sections = Sections::new(elf, Some(file.pages.clone()), self.arena);
        let unwind = headers::unwind_sections(&sections, &segments);
        let own = Own { file, sections };
        let elf = Elf::parse(own.file.bytes).ok();
        let known = module.build_id.clone().or(file_id);
        let debug = Debug::new(Some(own), known, &module.path, self.options, self.arena);
        Ok(image(id, bias, segments, unwind, elf, debug))
    }
}

/// What the loader added to the addresses of a file, by one address of which the place in the file is told.
fn stated_bias(elf: &Elf<'_>, stated: &(Avma, Offset)) -> Option<Bias> {
    let (at, offset) = stated;
    let found = place::in_code(elf.elf_program_headers(), offset)?;
    let fixed = elf.elf_header().e_type(object::LittleEndian) == object::elf::ET_EXEC;
    let bias = Bias(at.0.checked_sub(found.0)?);
    // The loader moves a file by whole pages, and one that is linked to its place by nothing.
    (bias.0.is_multiple_of(headers::PAGE) && (!fixed || bias.0 == 0)).then_some(bias)
}

/// What the dump itself holds of a module that has no file: always the vDSO, with a generous `coredump_filter` all.
fn in_dump<'data>(
    id: ModuleId,
    module: &Module<'data>,
    memory: &Memory<'data>,
    arena: &'data Arena,
    options: &Arc<Options>,
    outcome: &mut Outcome,
) -> Option<Image<'data>> {
    let found = headers::in_dump(memory, module.base, module.bias)?;
    let code = found.segments.iter().filter(|segment| segment.executable);
    if code.clone().count() > 0 && code.clone().all(|segment| segment.bytes.len() as u64 == segment.size) {
        outcome.verified = Some(Verified::InDump);
    }
    let debug = Debug::new(None, module.build_id.clone(), &module.path, options, arena);
    Some(image(id, found.bias, found.segments, found.unwind, found.elf, debug))
}

fn image<'data>(
    module: ModuleId,
    bias: necropsy_model::Bias,
    segments: Vec<crate::image::Segment<'data>>,
    mut unwind: UnwindSections<'data>,
    elf: Option<Elf<'data>>,
    debug: Debug<'data>,
) -> Image<'data> {
    // Only what has no tables of its own is worth opening a debug file for.
    if unwind.eh_frame.is_none() && unwind.debug_frame.is_none() && elf.is_some() {
        unwind.debug_frame = debug.debug_frame();
    }
    Image { module, bias, segments, unwind, elf, debug: OnceLock::from(Arc::new(debug)), go: OnceLock::new() }
}

/// The image of a file that only lies in memory, at the addresses that it states itself.
pub(crate) fn image_in_memory<'data>(bytes: &[u8], arena: &'data Arena) -> Option<Image<'data>> {
    let file = open::in_memory(bytes, arena)?;
    let elf = Elf::parse(file.bytes).ok()?;
    let segments = headers::segments(&elf);
    let id = headers::build_id(&elf);
    let sections = Sections::new(elf, Some(file.pages.clone()), arena);
    let unwind = headers::unwind_sections(&sections, &segments);
    let own = Own { file, sections };
    let elf = Elf::parse(own.file.bytes).ok();
    // A root that does not exist keeps every file of this machine out.
    let nowhere = Options { sysroot: Some("/nonexistent".into()), ..Options::default() };
    let debug = Debug::new(Some(own), id, "/srv/file", &Arc::new(nowhere), arena);
    Some(image(ModuleId::new(0)?, necropsy_model::Bias(0), segments, unwind, elf, debug))
}

/// The debug information of a file of this machine.
#[cfg(test)]
pub(crate) fn debug_of<'data>(path: &std::path::Path, arena: &'data Arena) -> Option<Debug<'data>> {
    let file = open::map(path, arena)?;
    let sections = Sections::new(Elf::parse(file.bytes).ok()?, Some(file.pages.clone()), arena);
    let name = path.display().to_string();
    Some(Debug::new(Some(Own { file, sections }), None, &name, &Arc::default(), arena))
}

/// Adds a phrase once.
fn note(list: &mut Vec<String>, text: String) {
    if !list.contains(&text) {
        list.push(text);
    }
}
