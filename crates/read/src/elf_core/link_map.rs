//! The dynamic loader's own list of what it loaded: `struct r_debug` and `struct link_map` of glibc's and musl's `link.h`.
//!
//! A crash may leave the list cut, cyclic or overwritten. It is therefore the second source, behind `NT_FILE`.

use necropsy_model::{Avma, Full, Memory, Text};
use rustc_hash::FxHashSet;

use super::auxv::Auxv;
use super::bytes::{Layout, text};
use super::headers::{DYNAMIC, PHDR};
use super::image::{Image, LONGEST_PATH, dynamic_entry};

/// Most libraries of a process: far more than any loads, and a bound on a list that a crash overwrote.
const MOST_LINKS: usize = 16_384;
/// Bytes of a dynamic section to look at for `DT_DEBUG`.
const DYNAMIC_SIZE: usize = 64 * 1024;
/// `DT_DEBUG`.
const DT_DEBUG: u64 = 21;

/// One loaded file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link<'data> {
    /// What was added to its addresses, `l_addr`.
    pub bias: u64,
    /// Its path, `l_name`; empty for the executable.
    pub path: Text<'data>,
    /// Its dynamic section, `l_ld`.
    pub dynamic: u64,
}

/// The list, as far as it can be followed; empty for a static executable.
pub(super) fn walk<'data>(memory: &Memory<'data>, auxv: &Auxv, layout: Layout, full: &mut Full) -> Vec<Link<'data>> {
    let Some(first) = first(memory, auxv, layout) else { return Vec::new() };
    let mut links = Vec::new();
    let mut seen = FxHashSet::default();
    let mut at = first;
    while at != 0
        && seen.insert(at)
        && full.room("libraries in the list of the dynamic loader", links.len(), MOST_LINKS)
    {
        let Some([bias, name, dynamic, next]) = words(memory, at, layout) else { break };
        let path = memory.tail(Avma(name));
        links.push(Link { bias, path: text(path.get(..LONGEST_PATH).unwrap_or(path)), dynamic });
        at = next;
    }
    links
}

/// The head of the list: program headers, dynamic section, `DT_DEBUG`, `r_map`.
fn first(memory: &Memory<'_>, auxv: &Auxv, layout: Layout) -> Option<u64> {
    let dynamic = dynamic_section(memory, auxv)?;
    let bytes = memory.tail(Avma(dynamic));
    let debug = dynamic_entry(bytes.get(..DYNAMIC_SIZE).unwrap_or(bytes), DT_DEBUG, layout)?;
    // An int, padded to a word, stands before r_map.
    let [_, map] = words(memory, debug, layout)?;
    Some(map)
}

/// Where the executable's dynamic section lies. The kernel says where its program headers are; the file begins somewhere
/// before them, nearly always one ELF header before.
fn dynamic_section(memory: &Memory<'_>, auxv: &Auxv) -> Option<u64> {
    let table = auxv.program_headers?;
    let image = Image::read(memory, memory.region(Avma(table))?.start.0)?;
    let stated = image.segments.iter().find(|segment| segment.kind == PHDR).map(|segment| segment.address);
    let bias = stated.map_or(image.bias.0, |stated| table.wrapping_sub(stated));
    let dynamic = image.segments.iter().find(|segment| segment.kind == DYNAMIC)?;
    Some(dynamic.address.wrapping_add(bias))
}

/// `N` words of the process at `address`.
fn words<const N: usize>(memory: &Memory<'_>, address: u64, layout: Layout) -> Option<[u64; N]> {
    let bytes = memory.read(Avma(address), N * layout.word_size()).ok()?;
    let mut words = layout.words(bytes);
    let mut out = [0; N];
    for slot in &mut out {
        *slot = words.next()?;
    }
    Some(out)
}
