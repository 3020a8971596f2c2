//! The releases that a call leads to, whatever was given to them: for a pointer whose owner has another by now, so that nothing
//! tells any more which block it was that went.

use std::collections::HashSet;
use std::rc::Rc;

use necropsy_model::Avma;

use super::Tracer;
use super::context::Ctx;
use super::definition::{Kind, Loc};
use super::lead::Spot;
use super::library::plain_name;
use super::op::{Flow, Mem, Part, Src};

/// Calls that one search looks at: some milliseconds.
const MAX_CALLS: usize = 3000;
/// Tables of virtual functions of one module.
const MAX_TABLES: usize = 10_000;
/// Functions that one virtual call may go to.
const MAX_OVERRIDES: usize = 64;
/// Two words in front of the functions of a table: the offset to the whole object and its type (Itanium C++ ABI, 2.5.2).
const TABLE_HEADER: u64 = 16;
/// Smaller blocks are never mappings of their own (`DEFAULT_MMAP_THRESHOLD` in glibc's `malloc/malloc.c`).
const LARGE_BLOCK: u64 = 128 << 10;

/// The block that went.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gone {
    /// The pointer into it.
    pub pointer: u64,
    /// Where it begins and the bytes that could be used of it; `None` where nothing is mapped any more.
    pub block: Option<(u64, u64)>,
}

/// A call that releases something.
#[derive(Clone, Copy, Debug)]
pub(super) struct Release {
    pub spot: Spot,
    /// The function of the program that it is made for.
    pub owner: u64,
    /// That function got a pointer into the block.
    pub given: bool,
    /// It releases objects of just this size.
    pub sized: bool,
}

/// Releases that were found.
#[derive(Debug, Default)]
pub(super) struct Releases {
    pub found: Vec<Release>,
    /// A call whose target is not known may have released something.
    pub open: bool,
    /// Functions that were entered for one of the program's.
    seen: HashSet<(u64, u64)>,
    calls: usize,
}

impl Tracer<'_, '_, '_> {
    /// The releases that a call or a jump to another function leads to.
    pub fn releases_of(&mut self, ctx: Ctx, at: usize, gone: Gone, releases: &mut Releases) {
        releases.calls += 1;
        if releases.calls > MAX_CALLS {
            self.limit_hit = true;
            releases.open = true;
            return;
        }
        let Some(insn) = self.insn(ctx, at) else { return };
        let Some(source) = super::subject::called(insn.flow) else { return };
        if let Src::Const(direct) = source
            && self.was_never_called(direct)
        {
            return;
        }
        if let Some(target) = self.target(ctx, at, source) {
            self.releases_below(ctx, at, target, gone, releases);
            return;
        }
        let Some(slot) = self.table_slot(ctx, at, source) else {
            releases.open = true;
            return;
        };
        let Some(functions) = self.functions_in_slot(slot) else {
            releases.open = true;
            return;
        };
        for target in functions {
            self.releases_below(ctx, at, target, gone, releases);
        }
    }

    fn releases_below(&mut self, ctx: Ctx, at: usize, target: u64, gone: Gone, releases: &mut Releases) {
        if self.is_of_system(target) {
            let Some(name) = self.function_name(target) else { return };
            if let Some(sized) = self.may_be_of(ctx, at, &name, gone) {
                self.release(Spot { ctx, at }, sized, gone, releases);
            }
            return;
        }
        if !self.reaches_release(target) || self.function_name(target).is_some_and(|name| is_scope_guard(&name)) {
            return;
        }
        let owner = self.acts_for(Spot { ctx, at });
        let owner = self.run(owner.ctx).function.entry;
        if !releases.seen.insert((owner, target)) {
            return;
        }
        let Some(callee) = self.enter(ctx, at, target) else {
            releases.open = true;
            return;
        };
        let function = self.function(callee);
        let calls = function.insns.iter().enumerate().filter(|(_, insn)| matches!(insn.flow, Flow::Call(_)));
        for (at, _) in calls {
            self.releases_of(callee, at, gone, releases);
        }
        for &(at, target) in &function.tails {
            if let Some(target) = self.target(callee, at, target) {
                self.releases_below(callee, at, target, gone, releases);
            } else {
                self.releases_of(callee, at, gone, releases);
            }
        }
    }

    /// The entry of a linkage table that leads back into it: it is bound at the first call.
    fn was_never_called(&mut self, direct: u64) -> bool {
        let behind = self.behind_plt(direct);
        let image = |address| self.space.images.at(Avma(address)).map(|(index, _)| index);
        behind != direct
            && image(behind) == image(direct)
            && self.function_at(behind, None).is_none_or(|function| function.entry != behind)
    }

    fn release(&mut self, spot: Spot, sized: bool, gone: Gone, releases: &mut Releases) {
        let own = self.acts_for(spot);
        let into = |value: u64| match gone.block {
            Some((block, room)) => value.wrapping_sub(block) < room,
            None => value == gone.pointer,
        };
        let caller = self.caller(own.ctx).filter(|_| self.run(own.ctx).frame.is_none());
        let given = caller.is_some_and(|(ctx, at)| self.arguments(ctx, at).iter().any(|&(_, value)| into(value)));
        let owner = self.run(own.ctx).function.entry;
        releases.found.push(Release { spot, owner, given, sized });
    }

    /// A call of a function of the C library may have released the block: whether it says so by the size.
    fn may_be_of(&mut self, ctx: Ctx, at: usize, name: &str, gone: Gone) -> Option<bool> {
        let plain = plain_name(name);
        let unmaps = matches!(plain, "munmap" | "mremap") && gone.block.is_none();
        if super::library::moves_text(name) {
            return Some(false);
        }
        if !unmaps && !super::memory::releases(name) {
            return None;
        }
        let mut argument = |number: usize| {
            let &reg = self.machine.arguments.get(number)?;
            let outer = std::mem::replace(&mut self.read_memory, false);
            let value = self.eval(ctx, at, Src::Reg(Part { reg, offset: 0, size: 8 })).filter(|_| !self.read_memory);
            self.read_memory |= outer;
            value
        };
        let (pointer, size) = (argument(0), argument(1));
        if let Some(pointer) = pointer {
            let covers = match gone.block {
                Some((block, room)) => pointer.wrapping_sub(block) < room,
                None => super::heap::near(pointer, gone.pointer) || pointer <= gone.pointer,
            };
            if !covers {
                return None;
            }
        }
        let sized = plain.starts_with("operator delete") && name.contains(", unsigned long)");
        match (size.filter(|_| sized), gone.block) {
            (Some(size), Some((_, room))) => (super::writers::chunk_room(size) == Some(room)).then_some(true),
            (Some(size), None) => (size >= LARGE_BLOCK).then_some(false),
            (None, _) => Some(false),
        }
    }

    /// The call of the program's own code that a spot is for: libraries, destructors and moves do what they are asked to.
    fn acts_for(&mut self, mut spot: Spot) -> Spot {
        /// Functions that asked one another.
        const MOST: usize = 64;
        for _ in 0..MOST {
            spot = self.own_spot(spot);
            if !self.is_destructor(spot) {
                break;
            }
            let Some((ctx, at)) = self.caller(spot.ctx) else { break };
            spot = Spot { ctx, at };
        }
        spot
    }

    /// Bytes into the table of virtual functions, for a call through one.
    fn table_slot(&mut self, ctx: Ctx, at: usize, source: Src) -> Option<u64> {
        let (mem, at, added) = match source {
            Src::Mem(mem) => (mem, at, 0),
            Src::Reg(part) => self.loaded_from(ctx, at, Loc::Reg(part))?,
            _ => return None,
        };
        let table = Part { reg: mem.base.filter(|_| mem.index.is_none() && added == 0)?, offset: 0, size: 8 };
        let (_, _, added) = self.loaded_from(ctx, at, Loc::Reg(table))?;
        let slot = mem.displacement.checked_add_unsigned(added)?;
        u64::try_from(slot).ok().filter(|slot| slot.is_multiple_of(8))
    }

    /// The one load that gave a place its value, and what was added since.
    fn loaded_from(&mut self, ctx: Ctx, at: usize, loc: Loc) -> Option<(Mem, usize, u64)> {
        let defs = self.reaching(ctx, at, loc, None);
        let [def] = defs.as_slice() else { return None };
        match def.kind {
            Kind::Load { mem, .. } => Some((mem, def.at, def.undo(0))),
            _ => None,
        }
    }

    /// The functions that the tables of the program have in a slot; `None` where there are too many.
    fn functions_in_slot(&mut self, slot: u64) -> Option<Vec<u64>> {
        let tables = self.virtual_tables();
        let tables = tables.iter().filter(|&&(_, size)| TABLE_HEADER + slot < size);
        let entries = tables.filter_map(|&(start, _)| self.word(start.checked_add(TABLE_HEADER + slot)?, 8));
        let mut functions: Vec<u64> = entries.filter(|&entry| self.space.is_code(Avma(entry))).collect();
        functions.sort_unstable();
        functions.dedup();
        (functions.len() <= MAX_OVERRIDES).then_some(functions)
    }

    /// Where the tables of virtual functions of the program's classes begin, and their sizes.
    fn virtual_tables(&mut self) -> Rc<Vec<(u64, u64)>> {
        use object::{Object, ObjectSymbol};
        if let Some(known) = &self.tables {
            return Rc::clone(known);
        }
        let mut tables = Vec::new();
        for image in self.space.images.all() {
            if image.debug.get().is_some_and(|debug| debug.is_of_system()) {
                continue;
            }
            let Some(elf) = image.elf.as_ref() else { continue };
            let named = elf.symbols().filter(|symbol| symbol.name_bytes().is_ok_and(|name| name.starts_with(b"_ZTV")));
            let start = |symbol: u64| image.bias.to_avma(necropsy_model::Svma(symbol)).0;
            tables.extend(named.take(MAX_TABLES).map(|table| (start(table.address()), table.size())));
        }
        let tables = Rc::new(tables);
        self.tables = Some(Rc::clone(&tables));
        tables
    }
}

/// A function of a standard library that releases only what nobody has seen: a node that was not needed, a copy that failed.
fn is_scope_guard(function: &str) -> bool {
    const NAMES: [&str; 5] =
        ["::~__allocated_ptr", "::~_Auto_node", "::~_Scoped_node", "::~_Guard", "::~_UninitDestroyGuard"];
    function.contains("std::") && NAMES.iter().any(|guard| function.contains(guard))
}

impl Releases {
    /// Those that tell most: of functions that got a pointer into the block, else of objects of its size.
    pub fn telling(&self) -> Vec<Release> {
        let mut found = self.found.clone();
        for tells in [|release: &Release| release.given, |release: &Release| release.sized] {
            if found.iter().any(tells) {
                found.retain(tells);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guards_of_containers_release_what_nobody_has_seen() {
        assert!(is_scope_guard("std::_Rb_tree<int, int>::_Auto_node::~_Auto_node()"));
        assert!(is_scope_guard("std::__allocated_ptr<std::allocator<int> >::~__allocated_ptr()"));
        assert!(!is_scope_guard("std::vector<int>::~vector()") && !is_scope_guard("Lock::_Guard::~_Guard()"));
    }

    #[test]
    fn who_got_the_block_tells_more_than_who_releases_such_a_size() {
        let release = |owner, given, sized| Release { spot: Spot { ctx: Ctx(0), at: 0 }, owner, given, sized };
        let owners = |found: Vec<Release>| {
            let releases = Releases { found, ..Releases::default() };
            releases.telling().iter().map(|release| release.owner).collect::<Vec<_>>()
        };
        assert_eq!(owners(vec![release(1, false, false), release(2, false, true)]), [2]);
        assert_eq!(owners(vec![release(1, true, false), release(2, false, true)]), [1]);
        assert_eq!(owners(vec![release(1, false, false), release(2, false, false)]), [1, 2]);
        assert!(owners(Vec::new()).is_empty());
    }
}
