//! Debug information of one file: units found by address and parsed once.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use elsa::sync::FrozenBTreeMap;
use gimli::{AttributeValue, DebugAranges, DebugInfoOffset, SectionId, UnitOffset};
use necropsy_model::{Avma, Bias, Svma};
use rustc_hash::FxHashMap;

use super::entries::{Die, ranges_of};
use super::index::{Functions, UnitIndex};
use crate::image::{Dwarf, Images, Slice};
use crate::modules::{Debug, Part};

/// Units that claim one address: two where a linker dropped one of two equal functions and left its range.
const MAX_CLAIMS: usize = 4;

/// Units without code in a row that are stepped over one by one, before a list of all units is made.
const MAX_STEPS: usize = 4096;

/// Ranges of a file that are kept for addresses that are asked for one by one; a browser has two million. Of a file with more, the section
/// is read again each time.
const MAX_RANGES: usize = 1 << 22;

/// Bytes of the largest section that are read before their pages are given back.
const FORGET_AFTER: usize = 8 << 20;

/// The debug files of all images.
pub(super) struct Store<'a, 'data> {
    images: &'a Images<'data>,
}

impl<'a, 'data> Store<'a, 'data> {
    pub fn new(images: &'a Images<'data>) -> Self {
        Self { images }
    }

    /// The debug information of the image at an address of the process.
    pub fn file_at(&self, address: Avma) -> Option<&'a DebugFile<'data>> {
        let (index, image) = self.images.at(address)?;
        self.images.debug_file(index, &[image.bias.to_svma(address)])
    }
}

/// Which section a unit lies in, and where: `.debug_types` exists in DWARF 4 only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct UnitKey {
    types: bool,
    offset: usize,
}

/// First address, first address behind, and where the unit begins whose code it is.
type Range = (u64, u64, usize);

/// The units that claim an address, by ascending ranges: first address of the range, and where the unit begins.
///
/// Ranges of different units do not overlap in a sound file; a few candidates before the address suffice.
fn claims(ranges: &[Range], address: Svma) -> impl Iterator<Item = (u64, usize)> {
    let after = ranges.partition_point(|&(start, ..)| start <= address.0);
    let candidates = ranges.get(after.saturating_sub(MAX_CLAIMS)..after).unwrap_or_default();
    candidates.iter().filter(move |&&(_, end, _)| address.0 < end).map(|&(start, _, offset)| (start, offset))
}

/// One file of debug information.
///
/// Of a large file only the units are touched in which something is looked for: a page that was read stays in memory, and
/// the headers and root entries of all units lie on most pages of the largest section.
pub(crate) struct DebugFile<'data> {
    /// Of compressed debug information, as many units from the first on as the names of all frames need.
    dwarf: Arc<Dwarf<'data>>,
    /// All units, once somebody needs another one.
    whole: OnceLock<Arc<Dwarf<'data>>>,
    with_locations: OnceLock<Arc<Dwarf<'data>>>,
    /// Where it came from; `None` for what belongs to another file (split or supplementary).
    source: Option<Arc<Debug<'data>>>,
    pub bias: Bias,
    /// A supplementary file that `dwz` made: only referred to, without code.
    supplementary: bool,
    units: FrozenBTreeMap<UnitKey, Box<Unit<'data>>>,
    /// Where the units of an address begin, as far as somebody asked: the one whose range begins last first.
    located: RwLock<FxHashMap<Svma, Arc<[usize]>>>,
    /// Where the units begin that `.debug_aranges` lists, ascending.
    listed: OnceLock<Vec<usize>>,
    /// What it lists, ascending, once somebody asks for a single address; `None` where that is too much to keep.
    ranges: OnceLock<Option<Vec<Range>>>,
    /// The ranges of the units that it does not list, by their root entries; ascending.
    unlisted: OnceLock<Vec<Range>>,
    /// Where units begin in `.debug_info`, ascending.
    starts: OnceLock<Vec<usize>>,
    /// Type units by signature, each with the offset of its type.
    signatures: OnceLock<HashMap<u64, (UnitKey, UnitOffset)>>,
    shared: OnceLock<Option<Box<DebugFile<'data>>>>,
}

impl<'data> DebugFile<'data> {
    /// The debug information of a module, of which addresses, sorted, will be looked up.
    pub fn of(source: &Arc<Debug<'data>>, bias: Bias, addresses: &[Svma]) -> Option<Self> {
        if !source.has_dwarf() {
            return None;
        }
        let mut info = usize::MAX;
        if source.is_compressed(SectionId::DebugInfo) {
            let aranges = DebugAranges::new(source.section(SectionId::DebugAranges), gimli::LittleEndian);
            let listed = Listed::read(&aranges, addresses);
            let last = listed.claims.iter().flatten().map(|&(_, offset)| offset).max();
            let behind = last.and_then(|last| listed.starts.iter().copied().find(|&start| start > last));
            // An address that is not listed is looked for in all units. And when most of them are unpacked, all are: for the
            // next address of a text they would be unpacked a second time, beside the first.
            let most = source.unpacked_size(SectionId::DebugInfo) / 2;
            let sound = |&end: &usize| end <= most && listed.claims.iter().all(|claims| !claims.is_empty());
            info = behind.filter(sound).unwrap_or(usize::MAX);
        }
        let dwarf = source.dwarf(Part { info, locations: false })?;
        Some(Self { source: Some(Arc::clone(source)), ..Self::new(dwarf, bias, false) })
    }

    fn new(dwarf: Arc<Dwarf<'data>>, bias: Bias, supplementary: bool) -> Self {
        Self {
            dwarf,
            whole: OnceLock::new(),
            with_locations: OnceLock::new(),
            source: None,
            bias,
            supplementary,
            units: FrozenBTreeMap::new(),
            located: RwLock::default(),
            listed: OnceLock::new(),
            ranges: OnceLock::new(),
            unlisted: OnceLock::new(),
            starts: OnceLock::new(),
            signatures: OnceLock::new(),
            shared: OnceLock::new(),
        }
    }

    /// The debug sections that names and types need; of units perhaps not all.
    pub fn dwarf(&self) -> &Dwarf<'data> {
        &self.dwarf
    }

    /// The same with all units.
    fn whole(&self) -> &Dwarf<'data> {
        self.whole.get_or_init(|| self.load(Part { info: usize::MAX, locations: false }))
    }

    /// The same with location lists, without units.
    pub fn with_locations(&self) -> &Dwarf<'data> {
        self.with_locations.get_or_init(|| self.load(Part { info: 0, locations: true }))
    }

    fn load(&self, part: Part) -> Arc<Dwarf<'data>> {
        let loaded = self.source.as_ref().and_then(|source| source.dwarf(part));
        loaded.unwrap_or_else(|| Arc::clone(&self.dwarf))
    }

    /// The function that has the code at an address.
    pub fn function_at(&self, address: Svma) -> Option<Die<'_, 'data>> {
        self.units_at(address).into_iter().find_map(|unit| self.function_in(unit, address))
    }

    /// The function of a unit that has the code at an address.
    pub fn function_in<'u>(&'u self, unit: &'u Unit<'data>, address: Svma) -> Option<Die<'u, 'data>> {
        let root = self.code_of(unit);
        Some(root.sibling(root.unit.functions(root.file).at(address)?))
    }

    /// The root of the entries of a unit: of a skeleton, those in the file of split debug information.
    fn code_of<'u>(&'u self, unit: &'u Unit<'data>) -> Die<'u, 'data> {
        let load = || {
            let dwarf = self.source.as_ref()?.split(&unit.parsed, &self.dwarf)?;
            // Type units may come first, and in GNU's form only the root entry tells whose the unit is.
            let mut headers = dwarf.units();
            let units = std::iter::from_fn(|| headers.next().ok().flatten());
            let mut parsed =
                units.filter_map(|header| dwarf.unit(header).ok()).find(|split| split.dwo_id == unit.parsed.dwo_id)?;
            parsed.copy_relocated_attributes(&unit.parsed);
            Some(Box::new((Self::new(dwarf, self.bias, false), Unit::new(parsed))))
        };
        let split = unit.parsed.dwo_id.and_then(|_| unit.split.get_or_init(load).as_deref());
        split.map_or(Die::root(self, unit), |(file, unit)| Die::root(file, unit))
    }

    /// The units whose code covers an address.
    pub fn units_at(&self, address: Svma) -> Vec<&Unit<'data>> {
        let known = || self.located.read().unwrap_or_else(PoisonError::into_inner).get(&address).cloned();
        let found = known().or_else(|| {
            self.locate(&[address]);
            known()
        });
        let found = found.iter().flat_map(|found| found.iter());
        found.filter_map(|&offset| self.unit(UnitKey { types: false, offset })).collect()
    }

    /// Looks for the units of many addresses, which are sorted, at once.
    ///
    /// Root entries are read only for an address that `.debug_aranges` leaves out: they lie all over the largest section.
    pub fn locate(&self, addresses: &[Svma]) {
        let mut found = self.claims_listed(addresses);
        if found.iter().any(Vec::is_empty) {
            let unlisted = self.unlisted.get_or_init(|| self.unlisted_ranges());
            for (&address, found) in addresses.iter().zip(&mut found).filter(|(_, found)| found.is_empty()) {
                found.extend(claims(unlisted, address));
            }
        }
        let mut located = self.located.write().unwrap_or_else(PoisonError::into_inner);
        for (&address, mut claims) in addresses.iter().zip(found) {
            claims.sort_unstable_by(|one, other| other.cmp(one));
            claims.dedup_by_key(|&mut (_, offset)| offset);
            claims.truncate(MAX_CLAIMS);
            located.insert(address, claims.into_iter().map(|(_, offset)| offset).collect());
        }
    }

    /// What `.debug_aranges` says of addresses, which are sorted.
    ///
    /// A report asks for all its frames at once, and a trail for one address after the other: 300 passes for one address each
    /// once took half of the time on a binary of 162 MB.
    fn claims_listed(&self, addresses: &[Svma]) -> Vec<Vec<(u64, usize)>> {
        let aranges = &self.dwarf.debug_aranges;
        if let [address] = addresses
            && let Some(ranges) = self.ranges.get_or_init(|| self.ranges_listed())
        {
            return vec![claims(ranges, *address).collect()];
        }
        let Listed { claims, starts } = Listed::read(aranges, addresses);
        self.listed.get_or_init(|| starts);
        claims
    }

    /// The ranges that `.debug_aranges` lists, ascending.
    fn ranges_listed(&self) -> Option<Vec<Range>> {
        let mut ranges = Vec::new();
        let mut more = false;
        let starts = each_range(&self.dwarf.debug_aranges, |range| match ranges.len() {
            ..MAX_RANGES => ranges.push(range),
            _ => more = true,
        });
        self.listed.get_or_init(|| starts);
        ranges.sort_unstable();
        (!more).then_some(ranges)
    }

    /// An entry by its offset in `.debug_info`.
    pub fn entry_at(&self, offset: DebugInfoOffset) -> Option<Die<'_, 'data>> {
        let start = self.start_before(offset.0)?;
        let unit = self.unit(UnitKey { types: false, offset: start })?;
        Some(Die { file: self, unit, offset: offset.to_unit_offset(&unit.parsed.header)? })
    }

    /// Where the unit begins that holds an offset: steps there from the last unit before it that is known.
    fn start_before(&self, offset: usize) -> Option<usize> {
        let last = |starts: &[usize]| {
            let after = starts.partition_point(|&start| start <= offset);
            starts.get(after.checked_sub(1)?).copied()
        };
        let mut start = self.listed.get().and_then(|listed| last(listed)).unwrap_or(0);
        for _ in 0..MAX_STEPS {
            let header = self.header(start)?;
            let end = start.checked_add(header.length_including_self())?;
            if offset < end {
                return Some(start);
            }
            start = end;
        }
        last(self.starts.get_or_init(|| {
            let mut headers = self.whole().units();
            std::iter::from_fn(|| headers.next().ok().flatten()).map(|header| header.offset().0).collect()
        }))
    }

    fn header(&self, start: usize) -> Option<gimli::UnitHeader<Slice<'data>>> {
        let header = self.dwarf.unit_header(DebugInfoOffset(start)).ok();
        header.or_else(|| self.whole().unit_header(DebugInfoOffset(start)).ok())
    }

    fn unit(&self, key: UnitKey) -> Option<&Unit<'data>> {
        if let Some(unit) = self.units.get(&key) {
            return Some(unit);
        }
        let header = if key.types {
            let mut headers = self.dwarf.type_units();
            std::iter::from_fn(|| headers.next().ok().flatten()).find(|header| header.offset().0 == key.offset)?
        } else {
            self.header(key.offset)?
        };
        let parsed = self.dwarf.unit(header).ok()?;
        Some(self.units.insert(key, Box::new(Unit::new(parsed))))
    }

    /// clang writes no `.debug_aranges`, so that a file may have some units in it and others not.
    fn unlisted_ranges(&self) -> Vec<Range> {
        let listed: HashSet<_> = self.listed.get().into_iter().flatten().copied().collect();
        let mut found = Vec::new();
        let mut headers = self.whole().units();
        let mut forgotten = 0;
        while let Ok(Some(header)) = headers.next() {
            let offset = header.offset().0;
            if offset.saturating_sub(forgotten) > FORGET_AFTER {
                forgotten = offset;
                self.source.iter().for_each(|source| source.forget_pages());
            }
            if listed.contains(&offset) {
                continue;
            }
            let Some((unit, root)) = self.bare_unit(header) else { continue };
            let ranges = ranges_of(&self.dwarf, &unit, &root);
            found.extend(ranges.into_iter().map(|(start, end)| (start, end, offset)));
        }
        found.sort_unstable();
        found
    }

    /// A unit and the attributes of its root, without the names and the line program that [`gimli::Dwarf::unit`] reads with
    /// them: those of all units lie on most pages of their sections.
    fn bare_unit(
        &self,
        header: gimli::UnitHeader<Slice<'data>>,
    ) -> Option<(gimli::Unit<Slice<'data>>, Attributes<'data>)> {
        let encoding = header.encoding();
        let kind = self.dwarf.file_type;
        let mut unit = gimli::Unit {
            abbreviations: self.dwarf.abbreviations(&header).ok()?,
            header,
            name: None,
            comp_dir: None,
            low_pc: 0,
            str_offsets_base: gimli::DebugStrOffsetsBase::default_for_encoding_and_file(encoding, kind),
            addr_base: gimli::DebugAddrBase(0),
            loclists_base: gimli::DebugLocListsBase::default_for_encoding_and_file(encoding, kind),
            rnglists_base: gimli::DebugRngListsBase::default_for_encoding_and_file(encoding, kind),
            line_program: None,
            dwo_id: None,
        };
        let root = unit.entry(unit.header.root_offset()).ok()?.attrs;
        for attr in &root {
            match attr.value() {
                AttributeValue::DebugAddrBase(base) => unit.addr_base = base,
                AttributeValue::DebugRngListsBase(base) => unit.rnglists_base = base,
                _ => {}
            }
        }
        let low = root.iter().find(|attr| attr.name() == gimli::DW_AT_low_pc);
        let low = low.and_then(|attr| self.dwarf.attr_address(&unit, attr.value()).ok().flatten());
        unit.low_pc = low.unwrap_or(0);
        Some((unit, root))
    }

    pub fn by_signature(&self, signature: gimli::DebugTypeSignature) -> Option<Die<'_, 'data>> {
        let known = self.signatures.get_or_init(|| {
            let mut known = HashMap::new();
            let mut note = |header: gimli::UnitHeader<Slice<'data>>, types| {
                if let gimli::UnitType::Type { type_signature, type_offset } = header.type_() {
                    let key = UnitKey { types, offset: header.offset().0 };
                    known.insert(type_signature.0, (key, type_offset));
                }
            };
            let mut headers = self.whole().units();
            std::iter::from_fn(|| headers.next().ok().flatten()).for_each(|header| note(header, false));
            let mut headers = self.dwarf.type_units();
            std::iter::from_fn(|| headers.next().ok().flatten()).for_each(|header| note(header, true));
            known
        });
        let &(key, offset) = known.get(&signature.0)?;
        Some(Die { file: self, unit: self.unit(key)?, offset })
    }

    pub fn shared(&self) -> Option<&Self> {
        let open = || {
            let dwarf = self.dwarf.sup.clone().filter(|_| !self.supplementary)?;
            Some(Box::new(Self::new(dwarf, self.bias, true)))
        };
        self.shared.get_or_init(open).as_deref()
    }
}

type Attributes<'data> = Vec<gimli::Attribute<Slice<'data>>>;

/// What `.debug_aranges` says of addresses.
struct Listed {
    /// Of each address: first address of a range that covers it, and where the unit of that range begins.
    claims: Vec<Vec<(u64, usize)>>,
    /// Where the units begin that are listed at all, ascending.
    starts: Vec<usize>,
}

impl Listed {
    /// Looks for addresses, which are sorted.
    fn read(aranges: &DebugAranges<Slice<'_>>, addresses: &[Svma]) -> Self {
        let mut claims: Vec<Vec<(u64, usize)>> = vec![Vec::new(); addresses.len()];
        let starts = each_range(aranges, |(start, end, offset)| {
            let from = addresses.partition_point(|address| address.0 < start);
            let to = addresses.partition_point(|address| address.0 < end);
            for claims in claims.get_mut(from..to).into_iter().flatten() {
                claims.push((start, offset));
            }
        });
        Self { claims, starts }
    }
}

/// One pass over the ranges that `.debug_aranges` lists; where the units of it begin, ascending.
fn each_range(aranges: &DebugAranges<Slice<'_>>, mut range: impl FnMut(Range)) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut sets = aranges.headers();
    while let Ok(Some(set)) = sets.next() {
        let offset = set.debug_info_offset().0;
        starts.push(offset);
        let mut entries = set.entries();
        while let Ok(Some(entry)) = entries.next_raw() {
            let start = entry.address();
            if let Some(end) = start.checked_add(entry.length()).filter(|&end| end > start) {
                range((start, end, offset));
            }
        }
    }
    starts.sort_unstable();
    starts.dedup();
    starts
}

/// A unit, and what passes over it told.
pub(crate) struct Unit<'data> {
    pub parsed: gimli::Unit<Slice<'data>>,
    functions: OnceLock<Functions>,
    index: OnceLock<UnitIndex<'data>>,
    /// What the file of split debug information holds of it.
    split: OnceLock<Option<Box<(DebugFile<'data>, Unit<'data>)>>>,
}

impl<'data> Unit<'data> {
    /// Where it begins in its section.
    pub fn start(&self) -> usize {
        self.parsed.header.offset().0
    }

    /// Its functions.
    pub fn functions(&self, file: &DebugFile<'data>) -> &Functions {
        self.functions.get_or_init(|| Functions::new(file.dwarf(), &self.parsed))
    }

    /// What a pass over it told of its types.
    pub fn index(&self) -> &UnitIndex<'data> {
        self.index.get_or_init(|| UnitIndex::new(&self.parsed))
    }

    fn new(parsed: gimli::Unit<Slice<'data>>) -> Self {
        Self { parsed, functions: OnceLock::new(), index: OnceLock::new(), split: OnceLock::new() }
    }
}
