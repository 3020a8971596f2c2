//! Passes over a unit: where its functions lie, and which names enclose a type.

use std::collections::HashMap;
use std::sync::OnceLock;

use gimli::{AttributeValue, UnitOffset};
use necropsy_model::{Svma, Text};

use super::entries::{Die, ranges_of};
use crate::image::{Dwarf, Slice};

/// Levels of namespaces and classes around a type that are named.
const MAX_ENCLOSING: usize = 64;

/// Functions of a unit that have code: first address, first address behind, entry; ascending.
#[derive(Default)]
pub(crate) struct Functions(Vec<(u64, u64, UnitOffset)>);

impl Functions {
    pub fn new<'data>(dwarf: &Dwarf<'data>, unit: &gimli::Unit<Slice<'data>>) -> Self {
        let mut functions = Vec::new();
        // An error ends the pass: what was found until there still serves.
        let _ = Self::fill(&mut functions, dwarf, unit);
        functions.sort_unstable_by_key(|&(start, end, offset)| (start, end, offset.0));
        functions.shrink_to_fit();
        Self(functions)
    }

    fn fill<'data>(
        functions: &mut Vec<(u64, u64, UnitOffset)>,
        dwarf: &Dwarf<'data>,
        unit: &gimli::Unit<Slice<'data>>,
    ) -> gimli::Result<()> {
        let mut entries = unit.entries_raw(None)?;
        let mut attrs = Vec::new();
        while !entries.is_empty() {
            let offset = entries.next_offset();
            let Some(abbreviation) = entries.read_abbreviation()? else { continue };
            if abbreviation.tag() != gimli::DW_TAG_subprogram {
                entries.skip_attributes(abbreviation.attributes())?;
                continue;
            }
            entries.read_attributes(abbreviation.attributes(), &mut attrs)?;
            let ranges = ranges_of(dwarf, unit, &attrs);
            // A linker that dropped the function leaves its address 0, or 1, or -1.
            let kept = ranges.into_iter().filter(|&(start, _)| start > 1);
            functions.extend(kept.map(|(start, end)| (start, end, offset)));
        }
        Ok(())
    }

    /// The function whose code covers an address: of several, the one that starts last.
    pub fn at(&self, address: Svma) -> Option<UnitOffset> {
        let after = self.0.partition_point(|&(start, ..)| start <= address.0);
        let before = self.0.get(..after)?.iter().rev();
        before.take(64).find(|&&(_, end, _)| address.0 < end).map(|&(.., offset)| offset)
    }
}

/// What one pass over a unit told of its types. Names are read when somebody asks: they lie all over the section of strings.
#[derive(Default)]
pub(crate) struct UnitIndex<'data> {
    /// Namespaces and types with members, in the order of the unit.
    enclosing: Vec<Enclosing>,
    /// The types that a name stands for in this unit, where they are defined and not only declared.
    definitions: OnceLock<HashMap<Text<'data>, Vec<UnitOffset>>>,
}

/// A namespace, or a type that may hold others.
struct Enclosing {
    offset: UnitOffset,
    /// First offset behind its children.
    end: usize,
    /// The one around it, as an index.
    parent: Option<usize>,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Namespace,
    Defined,
    Declared,
}

impl<'data> UnitIndex<'data> {
    pub fn new(unit: &gimli::Unit<Slice<'data>>) -> Self {
        let mut index = Self::default();
        // An error ends the pass: what was found until there still serves.
        let _ = index.fill(unit);
        index.enclosing.shrink_to_fit();
        index
    }

    fn fill(&mut self, unit: &gimli::Unit<Slice<'data>>) -> gimli::Result<()> {
        let mut entries = unit.entries_raw(None)?;
        let mut open: Vec<(isize, usize)> = Vec::new();
        let mut attrs = Vec::new();
        while !entries.is_empty() {
            let (offset, depth) = (entries.next_offset(), entries.next_depth());
            while let Some(&(_, at)) = open.last().filter(|&&(level, _)| depth <= level) {
                if let Some(closed) = self.enclosing.get_mut(at) {
                    closed.end = offset.0;
                }
                open.pop();
            }
            let Some(abbreviation) = entries.read_abbreviation()? else { continue };
            let tag = abbreviation.tag();
            let is_type = matches!(
                tag,
                gimli::DW_TAG_structure_type
                    | gimli::DW_TAG_class_type
                    | gimli::DW_TAG_union_type
                    | gimli::DW_TAG_enumeration_type
            );
            let namespace = matches!(tag, gimli::DW_TAG_namespace | gimli::DW_TAG_module);
            if !is_type && !namespace {
                entries.skip_attributes(abbreviation.attributes())?;
                continue;
            }
            entries.read_attributes(abbreviation.attributes(), &mut attrs)?;
            let declaration = attrs.iter().find(|attr| attr.name() == gimli::DW_AT_declaration);
            let kind = match declaration.map(gimli::Attribute::value) {
                _ if namespace => Kind::Namespace,
                Some(AttributeValue::Flag(true)) => Kind::Declared,
                _ => Kind::Defined,
            };
            let parent = open.last().map(|&(_, at)| at);
            open.push((depth, self.enclosing.len()));
            self.enclosing.push(Enclosing { offset, end: usize::MAX, parent, kind });
        }
        Ok(())
    }

    /// The innermost namespace or type that holds an entry, not the entry itself.
    fn innermost(&self, offset: UnitOffset) -> Option<usize> {
        let after = self.enclosing.partition_point(|one| one.offset.0 < offset.0);
        let mut at = after.checked_sub(1)?;
        while self.enclosing.get(at)?.end <= offset.0 {
            at = self.enclosing.get(at)?.parent?;
        }
        Some(at)
    }
}

impl<'data> Die<'_, 'data> {
    /// Names of the namespaces and types around an entry, outermost first. `None` for an unnamed namespace.
    pub fn enclosing_names(self) -> Vec<Option<Text<'data>>> {
        let index = self.index();
        let mut names = Vec::new();
        let mut next = index.innermost(self.offset);
        while let Some(around) = next.and_then(|at| index.enclosing.get(at)).filter(|_| names.len() < MAX_ENCLOSING) {
            let name = self.sibling(around.offset).own_name();
            if name.is_some() || around.kind == Kind::Namespace {
                names.push(name);
            }
            next = around.parent;
        }
        names.reverse();
        names
    }

    /// Where the type of this name is defined that this entry only declares: same name in the same namespaces.
    pub fn definition(self, name: &str) -> Option<Self> {
        let index = self.index();
        let definitions = index.definitions.get_or_init(|| {
            let mut definitions: HashMap<_, Vec<_>> = HashMap::new();
            for one in index.enclosing.iter().filter(|one| one.kind == Kind::Defined) {
                if let Some(name) = self.sibling(one.offset).own_name() {
                    definitions.entry(name).or_default().push(one.offset);
                }
            }
            definitions
        });
        let around = self.enclosing_names();
        let mut known = definitions.get(name)?.iter().map(|&offset| self.sibling(offset));
        known.find(|die| die.offset != self.offset && die.enclosing_names() == around)
    }

    fn own_name(self) -> Option<Text<'data>> {
        self.read()?.text(gimli::DW_AT_name)
    }
}
