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
        let tree = nodes(TREE_NODE).find(|&node| aligned && self.is_tree_end(node));
        tree.map(|node| (node, "tree")).or_else(|| {
            let list = nodes(LIST_NODE).find(|&node| aligned && self.is_list_end(node));
            list.map(|node| (node, "list"))
        })
    }

    /// A node whose parent is the root, and the root's parent is the node: that of the tree itself.
    fn is_tree_end(&self, node: u64) -> bool {
        let link = |node: u64, link: u64| self.word(node.checked_add(link)?, 8);
        let (Some(0), Some(root)) = (self.word(node, 4), link(node, PARENT)) else { return false };
        let (left, right) = (link(node, LEFT), link(node, RIGHT));
        if root == 0 {
            return left == Some(node) && right == Some(node) && link(node, TREE_NODE) == Some(0);
        }
        let leaf = |outermost: Option<u64>, side: u64| {
            outermost
                .is_some_and(|leaf| self.word(leaf, 4).is_some_and(|colour| colour <= 1) && link(leaf, side) == Some(0))
        };
        root != node
            && link(root, PARENT) == Some(node)
            && self.word(root, 4) == Some(1)
            && leaf(left, LEFT)
            && leaf(right, RIGHT)
    }

    /// A node with the number of the others behind its links.
    fn is_list_end(&self, node: u64) -> bool {
        let Some(size) = node.checked_add(LIST_NODE).and_then(|place| self.word(place, 8)) else { return false };
        if !(1..=MAX_ELEMENTS).contains(&size) {
            return false;
        }
        let (mut at, mut count) = (node, 0);
        loop {
            let Some(next) = self.word(at, 8) else { return false };
            if next.checked_add(8).and_then(|back| self.word(back, 8)) != Some(at) {
                return false;
            }
            if next == node {
                return count == size;
            }
            (at, count) = (next, count + 1);
            if count > size {
                return false;
            }
        }
    }
}
