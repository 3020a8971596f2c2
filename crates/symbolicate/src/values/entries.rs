//! Debug information entries: units found by address and parsed once, and the references between entries.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use elsa::FrozenBTreeMap;
use gimli::{AttributeValue, DebugInfoOffset, DwAt, DwTag, UnitOffset};
use necropsy_model::{Avma, Bias, Svma, Text};

use super::index::UnitIndex;
use crate::image::{Dwarf, Images, Slice};

/// Steps through `DW_AT_abstract_origin` and `DW_AT_specification`. Two is what compilers write; a cycle ends here.
const MAX_ORIGINS: usize = 8;

/// Children of one entry that are looked at: above the largest enumerations and classes seen (some 20,000).
const MAX_CHILDREN: usize = 65_536;

/// Ranges of one entry: a unit of a large program has some ten thousand.
const MAX_RANGES: usize = 1 << 20;

/// The debug files of all images, opened as far as they are needed.
pub(super) struct Store<'a, 'data> {
    images: &'a Images<'data>,
    files: FrozenBTreeMap<usize, Box<DebugFile<'data>>>,
}

impl<'a, 'data> Store<'a, 'data> {
    pub fn new(images: &'a Images<'data>) -> Self {
        Self { images, files: FrozenBTreeMap::new() }
    }

    /// The debug information of the image at an address of the process.
    pub fn file_at(&self, address: Avma) -> Option<&DebugFile<'data>> {
        let (index, image) = self.images.at(address)?;
        if let Some(file) = self.files.get(&index) {
            return Some(file);
        }
        let dwarf = image.dwarf()?;
        Some(self.files.insert(index, Box::new(DebugFile::new(dwarf, image.bias, false))))
    }
}

/// Which section a unit lies in, and where: `.debug_types` exists in DWARF 4 only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct UnitKey {
    types: bool,
    offset: usize,
}

/// One file of debug information.
pub(super) struct DebugFile<'data> {
    dwarf: Arc<Dwarf<'data>>,
    pub bias: Bias,
    /// A supplementary file that `dwz` made: only referred to, without code.
    supplementary: bool,
    units: FrozenBTreeMap<UnitKey, Box<Unit<'data>>>,
    /// Where units begin in `.debug_info`, ascending.
    starts: OnceCell<Vec<usize>>,
    /// First address, first address behind, start of the unit; ascending: what `.debug_aranges` lists.
    listed: OnceCell<Vec<(u64, u64, usize)>>,
    /// The same of the units that it does not list, by their root entries.
    unlisted: OnceCell<Vec<(u64, u64, usize)>>,
    /// Type units by signature, each with the offset of its type.
    signatures: OnceCell<HashMap<u64, (UnitKey, UnitOffset)>>,
    shared: OnceCell<Option<Box<DebugFile<'data>>>>,
}

impl<'data> DebugFile<'data> {
    fn new(dwarf: Arc<Dwarf<'data>>, bias: Bias, supplementary: bool) -> Self {
        Self {
            dwarf,
            bias,
            supplementary,
            units: FrozenBTreeMap::new(),
            starts: OnceCell::new(),
            listed: OnceCell::new(),
            unlisted: OnceCell::new(),
            signatures: OnceCell::new(),
            shared: OnceCell::new(),
        }
    }

    /// The debug sections.
    pub fn dwarf(&self) -> &Dwarf<'data> {
        &self.dwarf
    }

    /// The units whose code covers an address.
    ///
    /// Root entries are read only for an address that `.debug_aranges` leaves out: they lie all over the largest section.
    pub fn units_at(&self, address: Svma) -> Vec<&Unit<'data>> {
        let listed = self.listed.get_or_init(|| self.listed_ranges());
        let found = self.covering(listed, address);
        if !found.is_empty() {
            return found;
        }
        self.covering(self.unlisted.get_or_init(|| self.unlisted_ranges(listed)), address)
    }

    fn covering(&self, ranges: &[(u64, u64, usize)], address: Svma) -> Vec<&Unit<'data>> {
        // Ranges of different units do not overlap in a sound file; a few candidates before the address suffice.
        let after = ranges.partition_point(|&(start, ..)| start <= address.0);
        let candidates = ranges.get(after.saturating_sub(4)..after).unwrap_or_default().iter().rev();
        let covering = candidates.filter(|&&(_, end, _)| address.0 < end);
        covering.filter_map(|&(.., offset)| self.unit(UnitKey { types: false, offset })).collect()
    }

    /// An entry by its offset in `.debug_info`.
    pub fn entry_at(&self, offset: DebugInfoOffset) -> Option<Die<'_, 'data>> {
        let starts = self.starts.get_or_init(|| {
            let mut headers = self.dwarf.units();
            std::iter::from_fn(|| headers.next().ok().flatten()).map(|header| header.offset().0).collect()
        });
        let after = starts.partition_point(|&start| start <= offset.0);
        let unit = self.unit(UnitKey { types: false, offset: *starts.get(after.checked_sub(1)?)? })?;
        Some(Die { file: self, unit, offset: offset.to_unit_offset(&unit.parsed.header)? })
    }

    fn unit(&self, key: UnitKey) -> Option<&Unit<'data>> {
        if let Some(unit) = self.units.get(&key) {
            return Some(unit);
        }
        let header = if key.types {
            let mut headers = self.dwarf.type_units();
            std::iter::from_fn(|| headers.next().ok().flatten()).find(|header| header.offset().0 == key.offset)?
        } else {
            self.dwarf.unit_header(DebugInfoOffset(key.offset)).ok()?
        };
        let parsed = self.dwarf.unit(header).ok()?;
        Some(self.units.insert(key, Box::new(Unit { parsed, index: OnceCell::new() })))
    }

    fn listed_ranges(&self) -> Vec<(u64, u64, usize)> {
        let mut found = Vec::new();
        let mut sets = self.dwarf.debug_aranges.headers();
        while let Ok(Some(set)) = sets.next() {
            let offset = set.debug_info_offset().0;
            let mut entries = set.entries();
            while let Ok(Some(entry)) = entries.next_raw() {
                let end = entry.address().checked_add(entry.length()).filter(|_| entry.length() > 0);
                found.extend(end.map(|end| (entry.address(), end, offset)));
            }
        }
        found.sort_unstable();
        found
    }

    /// clang writes no `.debug_aranges`, so that a file may have some units in it and others not.
    fn unlisted_ranges(&self, listed: &[(u64, u64, usize)]) -> Vec<(u64, u64, usize)> {
        let listed: HashSet<_> = listed.iter().map(|&(.., offset)| offset).collect();
        let mut found = Vec::new();
        let mut headers = self.dwarf.units();
        while let Ok(Some(header)) = headers.next() {
            let offset = header.offset().0;
            if listed.contains(&offset) {
                continue;
            }
            let Ok(unit) = self.dwarf.unit(header) else { continue };
            let Ok(root) = unit.entry(unit.header.root_offset()) else { continue };
            let ranges = ranges_of(&self.dwarf, &unit, &root.attrs);
            found.extend(ranges.into_iter().map(|(start, end)| (start, end, offset)));
        }
        found.sort_unstable();
        found
    }

    fn by_signature(&self, signature: gimli::DebugTypeSignature) -> Option<Die<'_, 'data>> {
        let known = self.signatures.get_or_init(|| {
            let mut known = HashMap::new();
            let mut note = |header: gimli::UnitHeader<Slice<'data>>, types| {
                if let gimli::UnitType::Type { type_signature, type_offset } = header.type_() {
                    let key = UnitKey { types, offset: header.offset().0 };
                    known.insert(type_signature.0, (key, type_offset));
                }
            };
            let mut headers = self.dwarf.units();
            std::iter::from_fn(|| headers.next().ok().flatten()).for_each(|header| note(header, false));
            let mut headers = self.dwarf.type_units();
            std::iter::from_fn(|| headers.next().ok().flatten()).for_each(|header| note(header, true));
            known
        });
        let &(key, offset) = known.get(&signature.0)?;
        Some(Die { file: self, unit: self.unit(key)?, offset })
    }

    fn shared(&self) -> Option<&Self> {
        let open = || {
            let dwarf = self.dwarf.sup.clone().filter(|_| !self.supplementary)?;
            Some(Box::new(Self::new(dwarf, self.bias, true)))
        };
        self.shared.get_or_init(open).as_deref()
    }
}

/// A unit, and what one pass over it told.
pub(super) struct Unit<'data> {
    pub parsed: gimli::Unit<Slice<'data>>,
    index: OnceCell<UnitIndex<'data>>,
}

/// Where an entry stands. Cheap to copy; [`Die::read`] reads it.
#[derive(Clone, Copy)]
pub(super) struct Die<'u, 'data> {
    pub file: &'u DebugFile<'data>,
    pub unit: &'u Unit<'data>,
    pub offset: UnitOffset,
}

impl PartialEq for Die<'_, '_> {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.unit, other.unit) && self.offset == other.offset
    }
}

impl<'u, 'data> Die<'u, 'data> {
    /// The root entry of a unit.
    pub fn root(file: &'u DebugFile<'data>, unit: &'u Unit<'data>) -> Self {
        Self { file, unit, offset: unit.parsed.header.root_offset() }
    }

    /// Reads the entry with its attributes.
    pub fn read(self) -> Option<Entry<'u, 'data>> {
        let raw = self.unit.parsed.entry(self.offset).ok()?;
        Some(Entry { die: self, tag: raw.tag, has_children: raw.has_children, attrs: raw.attrs })
    }

    /// Another entry of the same unit.
    pub fn sibling(self, offset: UnitOffset) -> Self {
        Self { offset, ..self }
    }

    /// What one pass over the unit told of its functions and scopes.
    pub fn index(self) -> &'u UnitIndex<'data> {
        self.unit.index.get_or_init(|| UnitIndex::new(self.file.dwarf(), &self.unit.parsed))
    }

    /// The language of the unit.
    pub fn language(self) -> Option<gimli::DwLang> {
        match Self::root(self.file, self.unit).read()?.value(gimli::DW_AT_language)? {
            AttributeValue::Language(language) => Some(language),
            _ => None,
        }
    }
}

/// An entry that was read.
#[derive(Clone)]
pub(super) struct Entry<'u, 'data> {
    pub die: Die<'u, 'data>,
    pub tag: DwTag,
    pub has_children: bool,
    attrs: Vec<gimli::Attribute<Slice<'data>>>,
}

impl<'u, 'data> Entry<'u, 'data> {
    /// The value of an attribute of this very entry.
    pub fn value(&self, name: DwAt) -> Option<AttributeValue<Slice<'data>>> {
        self.attrs.iter().find(|attr| attr.name() == name).map(gimli::Attribute::value)
    }

    pub fn has(&self, name: DwAt) -> bool {
        self.attrs.iter().any(|attr| attr.name() == name)
    }

    /// A flag attribute is set.
    pub fn flag(&self, name: DwAt) -> bool {
        matches!(self.value(name), Some(AttributeValue::Flag(true)))
    }

    /// A constant, zero-extended.
    pub fn number(&self, name: DwAt) -> Option<u64> {
        self.value(name)?.udata_value()
    }

    /// Text of an attribute; invalid UTF-8 is replaced.
    pub fn text(&self, name: DwAt) -> Option<Text<'data>> {
        let value = self.value(name)?;
        let text = self.die.file.dwarf().attr_string(&self.die.unit.parsed, value).ok()?;
        Some(text.to_string_lossy())
    }

    /// The entry that an attribute refers to.
    pub fn reference(&self, name: DwAt) -> Option<Die<'u, 'data>> {
        match self.value(name)? {
            AttributeValue::UnitRef(offset) => Some(self.die.sibling(offset)),
            AttributeValue::DebugInfoRef(offset) => self.die.file.entry_at(offset),
            AttributeValue::DebugInfoRefSup(offset) => self.die.file.shared()?.entry_at(offset),
            AttributeValue::DebugTypesRef(signature) => self.die.file.by_signature(signature),
            _ => None,
        }
    }

    /// The entry this one completes: its abstract origin, else its specification.
    pub fn origin(&self) -> Option<Self> {
        let die = self.reference(gimli::DW_AT_abstract_origin).or_else(|| self.reference(gimli::DW_AT_specification));
        die?.read()
    }

    /// This entry, then those it completes.
    pub fn chain(&self) -> impl Iterator<Item = Self> + use<'u, 'data> {
        std::iter::successors(Some(self.clone()), Self::origin).take(MAX_ORIGINS)
    }

    /// The first that has the attribute: this entry or one that it completes.
    pub fn holder(&self, name: DwAt) -> Option<Self> {
        self.chain().find(|entry| entry.has(name))
    }

    /// `DW_AT_name` here or where this entry came from.
    pub fn name(&self) -> Option<Text<'data>> {
        self.holder(gimli::DW_AT_name)?.text(gimli::DW_AT_name)
    }

    /// `DW_AT_type` here or where this entry came from; `None` is `void`.
    pub fn type_die(&self) -> Option<Die<'u, 'data>> {
        self.holder(gimli::DW_AT_type)?.reference(gimli::DW_AT_type)
    }

    /// The entries directly below.
    pub fn children(&self) -> Vec<Self> {
        let mut children = Vec::new();
        if !self.has_children {
            return children;
        }
        let Ok(mut cursor) = self.die.unit.parsed.entries_at_offset(self.die.offset) else { return children };
        let moved = cursor.next_entry().and_then(|_| cursor.next_entry());
        if !matches!(moved, Ok(true)) {
            return children;
        }
        while let Some(entry) = cursor.current() {
            let die = self.die.sibling(entry.offset());
            let (tag, has_children, attrs) = (entry.tag(), entry.has_children(), entry.attrs.clone());
            children.push(Entry { die, tag, has_children, attrs });
            if children.len() >= MAX_CHILDREN || !matches!(cursor.next_sibling(), Ok(Some(_))) {
                break;
            }
        }
        children
    }

    /// Address ranges in the file's terms: first address and first address behind.
    pub fn ranges(&self) -> Vec<(u64, u64)> {
        ranges_of(self.die.file.dwarf(), &self.die.unit.parsed, &self.attrs)
    }
}

/// Address ranges of the attributes of an entry.
pub(super) fn ranges_of<'data>(
    dwarf: &Dwarf<'data>,
    unit: &gimli::Unit<Slice<'data>>,
    attrs: &[gimli::Attribute<Slice<'data>>],
) -> Vec<(u64, u64)> {
    let mut low = None;
    let mut high = None;
    for attr in attrs {
        match attr.name() {
            gimli::DW_AT_ranges => {
                let Ok(Some(mut list)) = dwarf.attr_ranges(unit, attr.value()) else { continue };
                let ranges = std::iter::from_fn(|| list.next().ok().flatten()).take(MAX_RANGES);
                return ranges.map(|range| (range.begin, range.end)).collect();
            }
            gimli::DW_AT_low_pc => low = dwarf.attr_address(unit, attr.value()).ok().flatten(),
            gimli::DW_AT_high_pc => high = Some(attr.value()),
            _ => {}
        }
    }
    let (Some(low), Some(high)) = (low, high) else { return Vec::new() };
    let end = match high {
        AttributeValue::Udata(size) => low.checked_add(size),
        address => dwarf.attr_address(unit, address).ok().flatten(),
    };
    end.filter(|&end| end > low).map(|end| (low, end)).into_iter().collect()
}
