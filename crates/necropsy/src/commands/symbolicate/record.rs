//! One JSON object per address.

use std::io::{self, Write};

use necropsy_model::{Meant, Missing, Svma, Symbol};
use necropsy_symbolicate::{Named, Resolver};
use serde::Serialize;

use super::Found;

#[derive(Serialize)]
struct Record<'a> {
    /// Line of the input, from 1.
    line: u64,
    /// First byte of the token in the line, from 0.
    column: usize,
    /// What kind of text states the address.
    kind: &'static str,
    /// The token itself.
    text: String,
    /// The file, as the text or the table of modules names it.
    module: Option<String>,
    build_id: Option<String>,
    /// Address in the process, where the text states one.
    process_address: Option<String>,
    /// Address in the file.
    address: Option<String>,
    /// The address that was looked up: one less for a return address.
    looked_up: Option<String>,
    /// How the file was held to be the right one.
    verified: Option<&'static str>,
    /// How much was found of the file's symbols.
    symbols: Option<&'static str>,
    /// Why there is no name, or no more than names.
    reason: Option<String>,
    /// Innermost inlined function first.
    frames: Vec<Frame<'a>>,
}

#[derive(Serialize)]
struct Frame<'a> {
    function: Option<&'a str>,
    file: Option<&'a str>,
    line: Option<u32>,
    inlined: bool,
    /// Where the name came from.
    symbol: Option<&'static str>,
}

/// Writes the record of one address.
pub(super) fn write(
    resolver: &Resolver<'_>,
    line: u64,
    text: &[u8],
    found: &Found,
    names: &[Named<'_>],
    out: &mut dyn Write,
) -> io::Result<()> {
    let stated = found.file.as_deref();
    let report = match found.place {
        Ok((file, ..)) => resolver.report(file),
        Err(_) => stated.and_then(|file| resolver.report_of(file)),
    };
    let place = found.place.ok();
    let missing = names.iter().rev().find_map(|name| match &name.symbol {
        Symbol::Missing(why @ (Missing::NotCovered | Missing::Stripped)) => Some(why.reason().to_owned()),
        _ => None,
    });
    let why = found.place.err().map(|why| why.reason().to_owned());
    let of_file = report.as_ref().and_then(|report| report.symbols.reason.clone());
    let id = report.as_ref().and_then(|report| report.build_id.clone());
    let path = report.as_ref().map(|report| report.path.clone()).filter(|path| !path.is_empty());
    let hex = |at: Svma| format!("{at}");
    let record = Record {
        line,
        column: found.range.start,
        kind: found.kind.name,
        text: String::from_utf8_lossy(text).into_owned(),
        module: path.or_else(|| stated.and_then(|file| file.path.clone())),
        build_id: id.or_else(|| stated.and_then(|file| file.build_id.clone())).map(|id| id.to_string()),
        process_address: found.process.map(|at| at.to_string()),
        address: place.map(|(_, at, _)| hex(at)),
        looked_up: place.map(|(_, at, meant)| hex(Svma(at.0.wrapping_sub(u64::from(meant == Meant::Return))))),
        verified: report.as_ref().and_then(|report| report.symbols.verified).map(necropsy_model::Verified::name),
        symbols: report.as_ref().map(|report| report.symbols.status.name()),
        reason: [why, missing, of_file].into_iter().flatten().reduce(|all, one| format!("{all}; {one}")),
        frames: names.iter().filter(|name| name.function.is_some() || name.location.is_some()).map(frame).collect(),
    };
    necropsy_report::json_line(&record, out)
}

fn frame<'a>(name: &'a Named<'_>) -> Frame<'a> {
    Frame {
        function: name.function.as_deref(),
        file: name.location.as_ref().map(|at| &*at.file),
        line: name.location.as_ref().and_then(|at| at.line),
        inlined: name.inlined,
        symbol: match &name.symbol {
            Symbol::Found(source) => Some(source.name()),
            Symbol::Missing(_) => None,
        },
    }
}
