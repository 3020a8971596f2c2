//! Debug information entries, and the references between them.

use gimli::{AttributeValue, DwAt, DwTag, UnitOffset};
use necropsy_model::Text;

use super::debug_file::{DebugFile, Unit};
use super::index::UnitIndex;
use crate::image::{Dwarf, Slice};

/// Steps through `DW_AT_abstract_origin` and `DW_AT_specification`. Two is what compilers write; a cycle ends here.
const MAX_ORIGINS: usize = 8;

/// Children of one entry that are looked at: above the largest enumerations and classes seen (some 20,000).
const MAX_CHILDREN: usize = 65_536;

/// Ranges of one entry: a unit of a large program has some ten thousand.
const MAX_RANGES: usize = 1 << 20;

/// Where an entry stands. Cheap to copy; [`Die::read`] reads it.
#[derive(Clone, Copy)]
pub(crate) struct Die<'u, 'data> {
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

    /// Address ranges that attributes of an entry of this unit state.
    pub fn ranges_of(self, attrs: &[gimli::Attribute<Slice<'data>>]) -> Vec<(u64, u64)> {
        ranges_of(self.file.dwarf(), &self.unit.parsed, attrs)
    }

    /// Another entry of the same unit.
    pub fn sibling(self, offset: UnitOffset) -> Self {
        Self { offset, ..self }
    }

    /// What one pass over the unit told of its types.
    pub fn index(self) -> &'u UnitIndex<'data> {
        self.unit.index()
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
pub(crate) struct Entry<'u, 'data> {
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
