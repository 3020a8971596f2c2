//! Addresses of code inside lines of text: one file per kind of token, one line per kind in [`KINDS`].
//!
//! A kind knows how one program prints an address: which file it names, what its numbers are counted from, and whether they
//! are return addresses. Nothing here opens a file.

mod asan;
mod backtrace;
mod bare;
mod build_id;
mod coredumpctl;
mod faulthandler;
mod go;
mod hotspot;
pub(crate) mod kernel;
mod modules;
mod plus;
mod rust;
mod scan;

use std::ops::Range;

use necropsy_model::{Full, StatedAddress};

pub use modules::{Stated, stated_build};

/// A kind of token. To add one, add its file and its line in [`KINDS`].
pub struct Kind {
    /// Name in kebab-case, for the JSON.
    pub name: &'static str,
    /// Bytes without which a line holds no such token.
    pub needle: &'static [u8],
    /// The first token of this kind in a line at or behind an offset.
    pub find: fn(&Line<'_>, usize) -> Option<Token>,
}

/// All kinds. Where two claim the same bytes, the first one has them.
pub static KINDS: &[Kind] = &[
    kernel::KIND,
    asan::KIND,
    coredumpctl::KIND,
    faulthandler::KIND,
    hotspot::KIND,
    backtrace::KIND,
    build_id::KIND,
    plus::KIND,
    rust::KIND,
    go::KIND,
    bare::KIND,
];

/// A line of text, without its end.
#[derive(Clone, Copy, Debug)]
pub struct Line<'t> {
    /// Its bytes.
    pub bytes: &'t [u8],
    /// The line before it: some lists say only in their heading what they are.
    pub previous: &'t [u8],
}

/// An address in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Bytes of the line that state it.
    pub range: Range<usize>,
    /// What they state.
    pub address: StatedAddress,
}

/// Most tokens of one line. A line with more is data, not a message.
const MOST_TOKENS: usize = 4096;

/// The tokens of a line in the order of their bytes, each with its kind. With `bare`, plain addresses too. `full` learns when there are
/// more than are read.
pub fn find(line: &Line<'_>, bare: bool, full: &mut Full) -> Vec<(&'static Kind, Token)> {
    let mut found: Vec<(&'static Kind, Token)> = Vec::new();
    for kind in KINDS {
        if kind.name == bare::KIND.name && !bare || !scan::contains(line.bytes, kind.needle) {
            continue;
        }
        let mut at = 0;
        while let Some(token) = (kind.find)(line, at)
            && token.range.end > at
            && full.room("addresses on one line", found.len(), MOST_TOKENS)
        {
            at = token.range.end;
            let taken = |(_, other): &(&Kind, Token)| {
                token.range.start < other.range.end && other.range.start < token.range.end
            };
            if !found.iter().any(taken) {
                found.push((kind, token));
            }
        }
    }
    // The same address without its file is not told twice.
    let told = found.iter().filter(|(_, token)| token.address.file.is_some());
    let told: Vec<_> = told.filter_map(|(_, token)| token.address.process).collect();
    let again =
        |token: &Token| token.address.file.is_none() && token.address.process.is_some_and(|at| told.contains(&at));
    found.retain(|(_, token)| !again(token));
    found.sort_by_key(|(_, token)| token.range.start);
    found
}

#[cfg(test)]
mod tests;
