//! Modules, the build ids to fetch, and what could not be read.

use std::collections::BTreeSet;
use std::io;

use necropsy_model::{Fetched, Module, Snapshot, SymbolStatus, Verified};

use super::clean::{clean, middle};
use super::page::{Line, Page, Tone};
use super::{places, words};
use crate::Report;

/// Modules whose symbols nobody needed are listed only as long as the whole list is this short.
const SHORT: usize = 12;

/// Modules that are listed at most; a browser maps hundreds.
const MODULES: usize = 40;

/// Warnings that are listed at most.
const WARNINGS: usize = 10;

pub(super) fn write(page: &mut Page<'_>, report: &Report<'_, '_>) -> io::Result<()> {
    let snapshot = report.snapshot;
    let modules = &snapshot.modules;
    if modules.is_empty() {
        return Ok(());
    }
    let needed = |module: &&Module<'_>| {
        module.is_executable || !matches!(module.symbols.status, SymbolStatus::NotNeeded) || modules.len() <= SHORT
    };
    page.heading("MODULES", Line::new().plain(words::number(modules.len() as u64)))?;
    let shown: Vec<_> = modules.iter().filter(needed).take(MODULES).collect();
    for module in &shown {
        write_one(page, module)?;
    }
    if let Some(more @ 1..) = modules.len().checked_sub(shown.len()) {
        let words = format!("… {}, all in --json", words::count(more, "more module"));
        page.line(Line::indented(2).put(Tone::Dim, words), 4)?;
    }
    to_fetch(page, snapshot)
}

fn write_one(page: &mut Page<'_>, module: &Module<'_>) -> io::Result<()> {
    let symbols = &module.symbols;
    let (tone, status) = match symbols.status {
        SymbolStatus::NotNeeded => (Tone::Dim, "symbols not needed"),
        SymbolStatus::NotFound => (Tone::Caution, "no file found"),
        SymbolStatus::WrongBuild => (Tone::Bad, "another build found and not used"),
        SymbolStatus::Stripped => (Tone::Caution, "no symbols in the file"),
        SymbolStatus::Exported => (Tone::Caution, "exported names only"),
        SymbolStatus::Names => (Tone::Plain, "names, no lines"),
        SymbolStatus::Full => (Tone::Good, "full symbols"),
    };
    let mut line = Line::indented(2).put(Tone::Name, middle(&clean(&module.path), (page.width() / 2).max(24)));
    if module.deleted {
        line = line.put(Tone::Caution, " (deleted)");
    }
    line = line.plain("  ").keep(tone, status);
    let verified = match symbols.verified {
        Some(Verified::BuildId) => ", build id agrees",
        Some(Verified::InDump) => ", from the dump itself",
        Some(Verified::Bytes) => ", no build id in the dump, but its bytes agree",
        Some(Verified::PathOnly) => ", trusted by its path only: the dump holds no build id",
        None => "",
    };
    line = line.plain(verified);
    if let Some(reason) = &symbols.reason {
        line = line.plain(": ").plain(reason);
    }
    line = line.plain("  ");
    line = match &module.build_id {
        Some(id) => line.keep(Tone::Dim, id.to_string()),
        None => line.put(Tone::Dim, "no build id in the dump"),
    };
    page.line(line, 4)?;
    symbols.fetched.iter().try_for_each(|fetched| page.line(asked(fetched), 6))
}

/// What became of a question to symbol servers.
fn asked(fetched: &Fetched) -> Line {
    let line = Line::indented(4).plain(&fetched.what).plain(": ");
    let tone = if fetched.bytes.is_some() { Tone::Plain } else { Tone::Caution };
    line.put(tone, self::fetched(fetched))
}

/// What became of a question to symbol servers, as one phrase: where the file came from, or why there is none.
pub fn fetched(fetched: &Fetched) -> String {
    let Some(bytes) = fetched.bytes else { return fetched.why.as_deref().unwrap_or(fetched.outcome).to_owned() };
    let from = fetched.server.as_deref().map_or("from the cache".to_owned(), |server| format!("from {server}"));
    let seconds = fetched.milliseconds / 1000;
    let tenths = fetched.milliseconds % 1000 / 100;
    format!("{} {from} in {seconds}.{tenths} s", words::size(bytes))
}

/// Build ids of modules whose symbols were needed and not found: what to ask a symbol server for.
fn to_fetch(page: &mut Page<'_>, snapshot: &Snapshot<'_>) -> io::Result<()> {
    let missing = |module: &&Module<'_>| {
        matches!(module.symbols.status, SymbolStatus::NotFound | SymbolStatus::WrongBuild | SymbolStatus::Stripped)
    };
    let with_id =
        |module: &'_ Module<'_>| Some((module.build_id.as_ref()?.to_string(), clean(module.name()).into_owned()));
    let wanted: BTreeSet<_> = snapshot.modules.iter().filter(missing).filter_map(with_id).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    page.line(Line::indented(2).plain("build ids to fetch for a better answer:"), 4)?;
    for (id, name) in wanted.iter().take(MODULES) {
        page.line(Line::indented(4).plain(id).plain("  ").plain(name), 6)?;
    }
    Ok(())
}

/// What could not be read.
pub(super) fn warnings(page: &mut Page<'_>, report: &Report<'_, '_>) -> io::Result<()> {
    let warnings = &report.snapshot.warnings;
    if warnings.is_empty() {
        return Ok(());
    }
    page.heading("WARNINGS", Line::new().put(Tone::Caution, words::number(warnings.len() as u64)))?;
    for warning in warnings.iter().take(WARNINGS) {
        page.line(Line::indented(2).plain(&warning.text).join(places::source(warning.source)), 4)?;
    }
    match warnings.len().checked_sub(WARNINGS) {
        Some(more @ 1..) => {
            let words = format!("… {}, all in --json", words::count(more, "more warning"));
            page.line(Line::indented(2).put(Tone::Dim, words), 4)
        }
        _ => Ok(()),
    }
}
