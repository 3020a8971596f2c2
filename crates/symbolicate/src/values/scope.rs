//! The functions at an address, innermost inlined first, and the variables in scope in each.

use necropsy_model::Svma;

use super::entries::{Die, Entry};
use super::location::Frame;

/// Blocks and inlined functions inside one another.
const MAX_NESTED: usize = 256;

/// One function at an address: the one with code, or one inlined there.
pub(super) struct Level<'u, 'data> {
    /// Its entry: `DW_TAG_subprogram` or `DW_TAG_inlined_subroutine`.
    pub function: Entry<'u, 'data>,
    /// Lexical blocks of it that cover the address, outermost first.
    pub blocks: Vec<Entry<'u, 'data>>,
}

/// The functions at the address of a frame, innermost inlined first.
pub(super) fn levels<'u, 'data>(frame: &Frame<'u, '_, 'data>) -> Vec<Level<'u, 'data>> {
    let mut levels = vec![Level { function: frame.function.clone(), blocks: Vec::new() }];
    let mut inside = Some(frame.function.clone());
    let mut nested = 0;
    while let Some(scope) = inside.filter(|_| nested < MAX_NESTED) {
        nested += 1;
        inside = inner(&scope, frame.lookup);
        match (&inside, levels.last_mut()) {
            (Some(entry), _) if entry.tag == gimli::DW_TAG_inlined_subroutine => {
                levels.push(Level { function: entry.clone(), blocks: Vec::new() });
            }
            (Some(entry), Some(level)) => level.blocks.push(entry.clone()),
            _ => {}
        }
    }
    levels.reverse();
    levels
}

/// The functions at an address inside of one, innermost inlined first.
pub(super) fn functions<'u, 'data>(function: &Entry<'u, 'data>, lookup: Svma) -> Vec<Entry<'u, 'data>> {
    let mut found = vec![function.clone()];
    let mut scope = function.clone();
    for _ in 0..MAX_NESTED {
        let Some(next) = inner(&scope, lookup) else { break };
        if next.tag == gimli::DW_TAG_inlined_subroutine {
            found.push(next.clone());
        }
        scope = next;
    }
    found.reverse();
    found
}

/// The block or inlined function directly inside a scope that covers an address.
fn inner<'u, 'data>(scope: &Entry<'u, 'data>, address: Svma) -> Option<Entry<'u, 'data>> {
    let scopes = scope.children().into_iter().filter(|child| {
        matches!(
            child.tag,
            gimli::DW_TAG_lexical_block
                | gimli::DW_TAG_inlined_subroutine
                | gimli::DW_TAG_try_block
                | gimli::DW_TAG_catch_block
        )
    });
    let mut covering =
        scopes.filter(|child| child.ranges().iter().any(|&(start, end)| start <= address.0 && address.0 < end));
    covering.next()
}

impl<'u, 'data> Level<'u, 'data> {
    /// Formal parameters in the order of the source.
    ///
    /// The abstract instance gives the order and names those that this copy of the function dropped.
    pub fn parameters(&self) -> Vec<Entry<'u, 'data>> {
        let mut own: Vec<_> = parameters_of(&self.function);
        let Some(origin) = self.function.origin() else { return own };
        let mut ordered = Vec::new();
        for declared in parameters_of(&origin) {
            let at = own.iter().position(|one| one.reference(gimli::DW_AT_abstract_origin) == Some(declared.die));
            // A specification is the declaration in a class: its parameters repeat those of the definition.
            match at {
                Some(at) => ordered.push(own.remove(at)),
                None if self.function.has(gimli::DW_AT_abstract_origin) => ordered.push(declared),
                None => {}
            }
        }
        ordered.extend(own);
        ordered
    }

    /// Local variables in scope, those of the innermost block first.
    pub fn locals(&self) -> Vec<Entry<'u, 'data>> {
        let scopes: Vec<_> =
            self.blocks.iter().rev().chain([&self.function]).map(|scope| (scope, scope.children())).collect();
        let own = || scopes.iter().flat_map(|(_, children)| children);
        let referred: Vec<_> = own().filter_map(|child| child.reference(gimli::DW_AT_abstract_origin)).collect();
        let mut found: Vec<_> = own().filter(|child| is_local(child)).cloned().collect();
        // Variables that this copy of the function kept nowhere have an entry in the abstract instance only.
        for (scope, _) in &scopes {
            let origin = scope.reference(gimli::DW_AT_abstract_origin).and_then(Die::read);
            let declared = origin.map(|origin| origin.children()).unwrap_or_default().into_iter();
            found.extend(declared.filter(is_local).filter(|one| !referred.contains(&one.die)));
        }
        found
    }
}

pub(super) fn parameters_of<'u, 'data>(function: &Entry<'u, 'data>) -> Vec<Entry<'u, 'data>> {
    let children = function.children().into_iter();
    let parameters = children.flat_map(|child| match child.tag {
        gimli::DW_TAG_formal_parameter => vec![child],
        gimli::DW_TAG_GNU_formal_parameter_pack => child.children(),
        _ => Vec::new(),
    });
    parameters.filter(|child| child.tag == gimli::DW_TAG_formal_parameter).collect()
}

/// A local variable, not the declaration of a global one.
fn is_local(entry: &Entry<'_, '_>) -> bool {
    entry.tag == gimli::DW_TAG_variable && !entry.flag(gimli::DW_AT_declaration) && !entry.flag(gimli::DW_AT_external)
}
