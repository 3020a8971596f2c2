//! The end of a container that was taken for an element. What `end()` gives of a tree or a list of libstdc++ is a node without a value
//! in the container itself; memory shows which node that is.

use necropsy_model::BirthKind;

use super::Tracer;
use super::context::Ctx;
use super::lead::{Path, Spot};
use super::op::{Part, Reg, Src};

/// Links of a node of `std::map` and `std::set`: colour, parent, left, right (`_Rb_tree_node_base` in `bits/stl_tree.h`).
const TREE_NODE: u64 = 32;
const PARENT: u64 = 8;
const LEFT: u64 = 16;
const RIGHT: u64 = 24;
/// Links of a node of `std::list`: next and previous (`_List_node_base` in `bits/stl_list.h`); behind that of the list itself is its size.
const LIST_NODE: u64 = 16;
/// Bytes of a value in front of the part that a pointer leads to.
const IN_VALUE: u64 = 64;
/// Elements of a list that are counted.
const MAX_ELEMENTS: u64 = 100_000;

impl Tracer<'_, '_, '_> {
    /// What was read through a pointer lies in the value that the end of a container does not have: whose result it was.
    pub fn of_end(&mut self, ctx: Ctx, at: usize, base: Reg, address: u64, path: &Path) -> bool {
        let source = Src::Reg(Part { reg: base, offset: 0, size: 8 });
        let Some(pointer) = self.eval(ctx, at, source) else { return false };
        let Some((node, what)) = self.end_before(pointer, address) else { return false };
        let spot = Spot { ctx, at };
        let path = path.with(spot, "end", format!("{node:#x} is the end of a {what}, and no element"));
        let known = std::mem::take(&mut self.leads);
        self.start(ctx, at, source, Some(pointer), &Path { gate: None, ..path.clone() });
        let found = std::mem::replace(&mut self.leads, known);
        let own = |spot: &&Spot| !self.is_library(self.address(spot.ctx, spot.at));
        let answer = found.iter().find_map(|lead| {
            let spot = lead.path.returned.iter().find(own).copied()?;
            Some((spot, lead.path.gate, lead.path.handed.clone()))
        });
        // Nobody handed it on: who asked for it uses it.
        let used = || {
            let lead = found.iter().find(|lead| lead.path.gate.is_some())?;
            Some((lead.path.gate?, lead.path.gate, lead.path.handed.clone()))
        };
        let Some((spot, gate, handed)) = answer.or_else(used) else { return false };
        let mut path = path.with(spot, "result", "what was looked for is not there".to_owned());
        (path.gate, path.handed) = (gate.or(path.gate), handed);
        self.lead(BirthKind::EndOfList, spot, format!("gives the end of a {what}"), &path);
        true
    }

    /// The node at or before a pointer that is the end of its container, when an address lies behind its links.
    fn end_before(&self, pointer: u64, address: u64) -> Option<(u64, &'static str)> {
        let nodes = |links: u64| {
            let before = (0..=(links + IN_VALUE) / 8).filter_map(move |words| pointer.checked_sub(words * 8));
            before.filter(move |node| address.checked_sub(*node).is_some_and(|offset| offset >= links))
        };
        let aligned = pointer.is_multiple_of(8);
        let word = |address, size| self.word(address, size);
        let tree = nodes(TREE_NODE).find(|&node| aligned && is_tree_end(&word, node));
        tree.map(|node| (node, "tree")).or_else(|| {
            let list = nodes(LIST_NODE).find(|&node| aligned && is_list_end(&word, node));
            list.map(|node| (node, "list"))
        })
    }
}

/// Words of memory: at an address, of so many bytes.
type Words<'w> = &'w dyn Fn(u64, u8) -> Option<u64>;

/// A node whose parent is the root, and the root's parent is the node: that of the tree itself.
fn is_tree_end(word: Words<'_>, node: u64) -> bool {
    let link = |node: u64, link: u64| word(node.checked_add(link)?, 8);
    let (Some(0), Some(root)) = (word(node, 4), link(node, PARENT)) else { return false };
    let (left, right) = (link(node, LEFT), link(node, RIGHT));
    if root == 0 {
        return left == Some(node) && right == Some(node) && link(node, TREE_NODE) == Some(0);
    }
    let leaf = |outermost: Option<u64>, side: u64| {
        outermost.is_some_and(|leaf| word(leaf, 4).is_some_and(|colour| colour <= 1) && link(leaf, side) == Some(0))
    };
    let is_root = root != node && link(root, PARENT) == Some(node) && word(root, 4) == Some(1);
    is_root && leaf(left, LEFT) && leaf(right, RIGHT)
}

/// A node with the number of the others behind its links.
fn is_list_end(word: Words<'_>, node: u64) -> bool {
    let Some(size) = node.checked_add(LIST_NODE).and_then(|place| word(place, 8)) else { return false };
    if !(1..=MAX_ELEMENTS).contains(&size) {
        return false;
    }
    let (mut at, mut count) = (node, 0);
    while count <= size {
        let Some(next) = word(at, 8) else { return false };
        if next.checked_add(8).and_then(|back| word(back, 8)) != Some(at) {
            return false;
        }
        if next == node {
            return count == size;
        }
        (at, count) = (next, count + 1);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words by their addresses; what is not among them reads as nothing.
    fn memory(words: &[(u64, u64)]) -> impl Fn(u64, u8) -> Option<u64> {
        move |address, size| {
            let word = words.iter().find(|&&(at, _)| at == address)?.1;
            Some(super::super::op::mask(word, size))
        }
    }

    #[test]
    fn the_end_of_a_tree_and_its_root_are_each_others_parent() {
        // The end at 0x100, the root at 0x200, one child at 0x300.
        let tree = [
            (0x100, 0),
            (0x108, 0x200),
            (0x110, 0x300),
            (0x118, 0x200),
            (0x200, 1),
            (0x208, 0x100),
            (0x210, 0x300),
            (0x218, 0),
            (0x300, 0),
            (0x308, 0x200),
            (0x310, 0),
            (0x318, 0),
        ];
        let ends: Vec<u64> =
            [0x100, 0x200, 0x300].into_iter().filter(|&node| is_tree_end(&memory(&tree), node)).collect();
        assert_eq!(ends, [0x100]);
        let empty = [(0x100, 0), (0x108, 0), (0x110, 0x100), (0x118, 0x100), (0x120, 0)];
        assert!(is_tree_end(&memory(&empty), 0x100));
    }

    #[test]
    fn the_end_of_a_list_counts_the_others() {
        let list = [
            (0x100, 0x200),
            (0x108, 0x300),
            (0x110, 2),
            (0x200, 0x300),
            (0x208, 0x100),
            (0x210, 7),
            (0x300, 0x100),
            (0x308, 0x200),
            (0x310, 0),
        ];
        let ends: Vec<u64> =
            [0x100, 0x200, 0x300].into_iter().filter(|&node| is_list_end(&memory(&list), node)).collect();
        assert_eq!(ends, [0x100]);
    }
}
