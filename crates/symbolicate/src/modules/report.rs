//! What was found of each module's symbols, in words.

use necropsy_debuginfod::{Client, Found, Origin, Record, What};
use necropsy_model::{Fetched, Module, ModuleId, Snapshot, Source, SymbolStatus, Symbols, Verified, Warning};
use rustc_hash::FxHashSet;

use super::{Outcome, debug};
use crate::Options;
use crate::image::{Image, Images};

/// Says in each module what was found of its symbols. Modules in which no frame lies are not looked at any further.
pub(crate) fn report(snapshot: &mut Snapshot<'_>, images: &Images<'_>, options: &Options) {
    let records = options.client.as_ref().map(|client| client.records()).unwrap_or_default();
    let needed: FxHashSet<ModuleId> = snapshot.frames.iter().filter_map(|frame| frame.module).collect();
    for index in 0..snapshot.modules.len() {
        let (Some(id), Some(module)) = (ModuleId::new(index), snapshot.modules.get_mut(index)) else { continue };
        let Some(outcome) = images.outcome(id) else { continue };
        module.identity.clone_from(&outcome.identity);
        module.symbols = symbols(module, outcome, images.of(id), needed.contains(&id));
        module.symbols.fetched = fetched(module, images.of(id), &records);
        if module.build_id.is_none() {
            module.build_id.clone_from(&outcome.build_id);
        }
        let problems =
            images.of(id).and_then(|image| image.debug.get()).map(|debug| debug.problems()).unwrap_or_default();
        snapshot.warnings.extend(problems.into_iter().map(|problem| Warning::new(problem, Source::DUMP)));
    }
    let complaints = options.client.iter().flat_map(|client| complaints(client));
    snapshot.warnings.extend(complaints.map(|text| Warning::new(text, Source::DUMP)));
}

/// What of the user's settings could not be followed.
fn complaints(client: &Client) -> Vec<String> {
    let refused = client.refused().iter().map(|server| format!("symbol server {server}"));
    refused.chain(client.complaints().iter().cloned()).collect()
}

/// What servers were asked for on behalf of a module.
pub(crate) fn fetched(module: &Module<'_>, image: Option<&Image<'_>>, records: &[Record]) -> Vec<Fetched> {
    let debug = image.and_then(|image| image.debug.get()).and_then(|debug| debug.found_already());
    let shared = debug.and_then(|found| found.supplementary_id.as_ref());
    let of = |record: &Record| {
        let (what, server, bytes, why) = match &record.outcome {
            Ok(Found { origin: Origin::Cache, bytes, .. }) => ("cached", None, Some(*bytes), None),
            Ok(Found { origin: Origin::Server(server), bytes, .. }) => {
                ("fetched", Some(server.clone()), Some(*bytes), None)
            }
            Err(miss) => (miss.name(), None, None, Some(miss.to_string())),
        };
        let name = if Some(&record.id) == shared { "common debug file".to_owned() } else { record.what.name() };
        let milliseconds = u64::try_from(record.took.as_millis()).unwrap_or(u64::MAX);
        Fetched { what: name, outcome: what, server, bytes, milliseconds, why }
    };
    let ids = [module.build_id.as_ref(), shared];
    // Sources are many and small; what they are for is seen where they are shown.
    let about = |record: &&Record| ids.contains(&Some(&record.id)) && !matches!(record.what, What::Source(_));
    records.iter().filter(about).map(of).collect()
}

/// What was found of the symbols of one module.
pub(crate) fn symbols(module: &Module<'_>, outcome: &Outcome, image: Option<&Image<'_>>, needed: bool) -> Symbols {
    let debug = image.and_then(|image| image.debug.get());
    let files = debug.map(|debug| debug.files()).unwrap_or_default();
    let in_dump = (outcome.verified == Some(Verified::InDump)).then(|| "the dump itself".to_owned());
    let from = (!files.is_empty()).then(|| files.join(", ")).or(in_dump);
    let refused = || (!outcome.refused.is_empty()).then(|| outcome.refused.join("; "));
    let mut reasons: Vec<String> = Vec::new();
    let logged = module.stated.is_some();
    let trusted = match outcome.verified {
        Some(Verified::PathOnly) if logged => {
            Some("the kernel logs no build id, and here no code: only the name and the place of the code agree")
        }
        Some(Verified::Bytes) if logged => {
            Some("the kernel logs no build id; the code that it logged is equal to the file's")
        }
        Some(Verified::PathOnly) => {
            Some("the core holds no build id and none of its bytes; the path and the layout agree")
        }
        Some(Verified::Bytes) => Some("the core holds no build id; the bytes it holds of the file are equal"),
        _ => None,
    };
    // A module without a size is none of a dump: nothing but its name was stated.
    let dumped = module.size > 0;
    reasons.extend(trusted.filter(|_| dumped).map(str::to_owned));
    if dumped && !logged && module.build_id.is_none() && outcome.build_id.is_some() {
        reasons.push("the build id is the file's, not the core's".to_owned());
    }
    reasons.extend(refused());
    if !needed {
        let reason = (!reasons.is_empty()).then(|| reasons.join("; "));
        return Symbols {
            status: SymbolStatus::NotNeeded,
            from,
            verified: outcome.verified,
            reason,
            fetched: Vec::new(),
        };
    }
    let status = status(outcome, image);
    // The vDSO is in the dump whole: there is nothing to fetch.
    if status == SymbolStatus::NotFound && !dumped {
        reasons.insert(0, NO_FILE.to_owned());
        return Symbols {
            status,
            from,
            verified: outcome.verified,
            reason: Some(reasons.join("; ")),
            fetched: Vec::new(),
        };
    }
    let by_go = status <= SymbolStatus::Names && image.is_some_and(|image| image.go_table().is_some());
    let status = if by_go { SymbolStatus::Names } else { status };
    if by_go {
        reasons.insert(0, GO_TABLE.to_owned());
    } else if status == SymbolStatus::NotFound && logged {
        reasons.insert(0, NO_PATH.to_owned());
    } else if let Some(reason) = why(status).filter(|_| outcome.verified != Some(Verified::InDump)) {
        reasons.insert(0, reason.to_owned());
    }
    if debug.is_some_and(|debug| debug.split.is_missing()) {
        reasons.insert(0, "but its split debug information was not found".to_owned());
    }
    if debug.and_then(|debug| debug.found_already()).is_some_and(super::debug::Found::lacks_common_file) {
        reasons.insert(0, "but the common part of its debug information was not found".to_owned());
    }
    let reason = (!reasons.is_empty()).then(|| reasons.join("; "));
    Symbols { status, from, verified: outcome.verified, reason, fetched: Vec::new() }
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
    let sent = || debug.is_some_and(|debug| debug.sent_names().is_some());
    if has(".symtab") || has(".gnu_debugdata") || sent() {
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
const NO_PATH: &str = "the kernel logs no path, and no file of that name is among the programs and libraries here; name it with --exe, or put it beside the log";
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
