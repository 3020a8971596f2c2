//! What was found of each module's symbols, in words.

use necropsy_model::{Module, ModuleId, Snapshot, Source, SymbolStatus, Symbols, Verified, Warning};
use rustc_hash::FxHashSet;

use super::{Outcome, debug};
use crate::image::{Image, Images};

/// Says in each module what was found of its symbols. Modules in which no frame lies are not looked at any further.
pub(crate) fn report(snapshot: &mut Snapshot<'_>, images: &Images<'_>) {
    let needed: FxHashSet<ModuleId> = snapshot.frames.iter().filter_map(|frame| frame.module).collect();
    for index in 0..snapshot.modules.len() {
        let (Some(id), Some(module)) = (ModuleId::new(index), snapshot.modules.get_mut(index)) else { continue };
        let Some(outcome) = images.outcome(id) else { continue };
        module.identity.clone_from(&outcome.identity);
        module.symbols = symbols(module, outcome, images.of(id), needed.contains(&id));
        if module.build_id.is_none() {
            module.build_id.clone_from(&outcome.build_id);
        }
        let problems =
            images.of(id).and_then(|image| image.debug.get()).map(|debug| debug.problems()).unwrap_or_default();
        snapshot.warnings.extend(problems.into_iter().map(|problem| Warning::new(problem, Source::DUMP)));
    }
}

/// What was found of the symbols of one module.
pub(crate) fn symbols(module: &Module<'_>, outcome: &Outcome, image: Option<&Image<'_>>, needed: bool) -> Symbols {
    let debug = image.and_then(|image| image.debug.get());
    let files = debug.map(|debug| debug.files()).unwrap_or_default();
    let in_dump = (outcome.verified == Some(Verified::InDump)).then(|| "the dump itself".to_owned());
    let from = (!files.is_empty()).then(|| files.join(", ")).or(in_dump);
    let refused = || (!outcome.refused.is_empty()).then(|| outcome.refused.join("; "));
    let mut reasons: Vec<String> = Vec::new();
    let trusted = match outcome.verified {
        Some(Verified::PathOnly) => {
            Some("the core holds no build id and none of its bytes; the path and the layout agree")
        }
        Some(Verified::Bytes) => Some("the core holds no build id; the bytes it holds of the file are equal"),
        _ => None,
    };
    // A module without a size is none of a dump: nothing but its name was stated.
    let dumped = module.size > 0;
    reasons.extend(trusted.filter(|_| dumped).map(str::to_owned));
    if dumped && module.build_id.is_none() && outcome.build_id.is_some() {
        reasons.push("the build id is the file's, not the core's".to_owned());
    }
    reasons.extend(refused());
    if !needed {
        let reason = (!reasons.is_empty()).then(|| reasons.join("; "));
        return Symbols { status: SymbolStatus::NotNeeded, from, verified: outcome.verified, reason };
    }
    let status = status(outcome, image);
    // The vDSO is in the dump whole: there is nothing to fetch.
    if status == SymbolStatus::NotFound && !dumped {
        reasons.insert(0, NO_FILE.to_owned());
        return Symbols { status, from, verified: outcome.verified, reason: Some(reasons.join("; ")) };
    }
    let by_go = status <= SymbolStatus::Names && image.is_some_and(|image| image.go_table().is_some());
    let status = if by_go { SymbolStatus::Names } else { status };
    if by_go {
        reasons.insert(0, GO_TABLE.to_owned());
    } else if let Some(reason) = why(status).filter(|_| outcome.verified != Some(Verified::InDump)) {
        reasons.insert(0, reason.to_owned());
    }
    if debug.is_some_and(|debug| debug.split.is_missing()) {
        reasons.insert(0, "but its split debug information was not found".to_owned());
    }
    let reason = (!reasons.is_empty()).then(|| reasons.join("; "));
    Symbols { status, from, verified: outcome.verified, reason }
}

/// How much there is, by what the files hold.
fn status(outcome: &Outcome, image: Option<&Image<'_>>) -> SymbolStatus {
    let debug = image.and_then(|image| image.debug.get());
    if debug.is_some_and(|debug| debug.has_dwarf()) {
        return SymbolStatus::Full;
    }
    let separate = debug.and_then(|debug| debug.found_already()?.separate.as_ref());
    let has = |name| {
        image.and_then(|image| image.elf.as_ref()).is_some_and(|elf| debug::has_section(elf, name))
            || separate.is_some_and(|(_, sections)| debug::has_section(&sections.elf, name))
    };
    if has(".symtab") || has(".gnu_debugdata") {
        SymbolStatus::Names
    } else if has(".dynsym") {
        SymbolStatus::Exported
    } else if image.is_some_and(|image| image.elf.is_some()) {
        SymbolStatus::Stripped
    } else if outcome.refused.is_empty() {
        SymbolStatus::NotFound
    } else {
        SymbolStatus::WrongBuild
    }
}

const NO_FILE: &str = "no such file, and none in the directories of debug files";
const GO_TABLE: &str =
    "no debug information: functions, lines and inlined functions are those of Go's own table; no variables";

fn why(status: SymbolStatus) -> Option<&'static str> {
    match status {
        SymbolStatus::NotFound => {
            Some("not at the path in the core, not beside the dump, not in a directory of debug files")
        }
        SymbolStatus::Stripped => Some("the file has no symbols and no debug file was found"),
        SymbolStatus::Exported => Some("the file has only exported names and no debug file was found"),
        SymbolStatus::Names => Some("names only: no debug file was found, so no lines, inlined functions or variables"),
        SymbolStatus::WrongBuild | SymbolStatus::Full | SymbolStatus::NotNeeded => None,
    }
}
