//! One pass over a unit: where its functions lie, and which names enclose a type.

use std::collections::HashMap;

use gimli::{AttributeValue, UnitOffset};
use necropsy_model::{Svma, Text};

use super::entries::ranges_of;
use crate::image::{Dwarf, Slice};

/// Levels of namespaces and classes around a type that are named.
const MAX_ENCLOSING: usize = 64;

/// What one pass over a unit told.
#[derive(Default)]
pub(super) struct UnitIndex<'data> {
    /// Functions that have code: first address, first address behind, entry; ascending.
    functions: Vec<(u64, u64, UnitOffset)>,
    /// Namespaces and types with members, in the order of the unit.
    enclosing: Vec<Enclosing<'data>>,
    /// The type that a name stands for in this unit, where it is defined and not only declared.
    definitions: HashMap<Text<'data>, Vec<usize>>,
}

/// A namespace, or a type that may hold others.
struct Enclosing<'data> {
    offset: UnitOffset,
    /// First offset behind its children.
    end: usize,
    /// The one around it, as an index.
    parent: Option<usize>,
    name: Option<Text<'data>>,
    namespace: bool,
}

impl<'data> UnitIndex<'data> {
    pub fn new(dwarf: &Dwarf<'data>, unit: &gimli::Unit<Slice<'data>>) -> Self {
        let mut index = Self::default();
        // An error ends the pass: what was found until there still serves.
        let _ = index.fill(dwarf, unit);
        index.functions.sort_unstable_by_key(|&(start, end, offset)| (start, end, offset.0));
        index
    }

    fn fill(&mut self, dwarf: &Dwarf<'data>, unit: &gimli::Unit<Slice<'data>>) -> gimli::Result<()> {
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
            if !is_type && !namespace && tag != gimli::DW_TAG_subprogram {
                entries.skip_attributes(abbreviation.attributes())?;
                continue;
            }
            entries.read_attributes(abbreviation.attributes(), &mut attrs)?;
            if tag == gimli::DW_TAG_subprogram {
                let ranges = ranges_of(dwarf, unit, &attrs);
                // A linker that dropped the function leaves its address 0, or 1, or -1.
                let kept = ranges.into_iter().filter(|&(start, _)| start > 1);
                self.functions.extend(kept.map(|(start, end)| (start, end, offset)));
                continue;
            }
            let value = |name| attrs.iter().find(|attr| attr.name() == name).map(gimli::Attribute::value);
            let name = value(gimli::DW_AT_name).and_then(|value| dwarf.attr_string(unit, value).ok());
            let name = name.map(|name| name.to_string_lossy());
            let declared = matches!(value(gimli::DW_AT_declaration), Some(AttributeValue::Flag(true)));
            let at = self.enclosing.len();
            if let Some(name) = name.clone().filter(|_| is_type && !declared) {
                self.definitions.entry(name).or_default().push(at);
            }
            let parent = open.last().map(|&(_, at)| at);
            self.enclosing.push(Enclosing { offset, end: usize::MAX, parent, name, namespace });
            open.push((depth, at));
        }
        Ok(())
    }

    /// The function whose code covers an address: of several, the one that starts last.
    pub fn function_at(&self, address: Svma) -> Option<UnitOffset> {
        let after = self.functions.partition_point(|&(start, ..)| start <= address.0);
        let before = self.functions.get(..after)?.iter().rev();
        before.take(64).find(|&&(_, end, _)| address.0 < end).map(|&(.., offset)| offset)
    }

    /// Names of the namespaces and types around an entry, outermost first. `None` for an unnamed namespace.
    pub fn enclosing_names(&self, offset: UnitOffset) -> Vec<Option<&Text<'data>>> {
        let mut names = Vec::new();
        let mut next = self.innermost(offset);
        while let Some(around) = next.and_then(|at| self.enclosing.get(at)).filter(|_| names.len() < MAX_ENCLOSING) {
            if around.name.is_some() || around.namespace {
                names.push(around.name.as_ref());
            }
            next = around.parent;
        }
        names.reverse();
        names
    }

    /// The innermost one that holds an entry, not the entry itself.
    fn innermost(&self, offset: UnitOffset) -> Option<usize> {
        let after = self.enclosing.partition_point(|one| one.offset.0 < offset.0);
        let mut at = after.checked_sub(1)?;
        while self.enclosing.get(at)?.end <= offset.0 {
            at = self.enclosing.get(at)?.parent?;
        }
        Some(at)
    }

    /// Where a type is defined that another entry of the unit only declares: same name in the same namespaces.
    pub fn definition(&self, name: &str, declared: UnitOffset) -> Option<UnitOffset> {
        let around = self.enclosing_names(declared);
        let known = self.definitions.get(name)?.iter().filter_map(|&at| self.enclosing.get(at));
        known.map(|one| one.offset).find(|&offset| offset != declared && self.enclosing_names(offset) == around)
    }
}
