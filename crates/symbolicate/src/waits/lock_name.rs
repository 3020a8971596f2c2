//! The variable that a lock is: a global by its symbol, a member by the types of those who wait for it.

use std::collections::{BTreeMap, BTreeSet};

use necropsy_model::{Avma, Full, Svma, Text};

use crate::names::{DataSymbol, data_symbols};
use crate::space::AddressSpace;
use crate::unwind::Walk;
use crate::values::{Member, Values};

/// Frames of a waiting thread whose variables are looked at: those of the libraries have none or know only the bare lock.
const LOOKED_AT: usize = 12;
/// Locks of one dump that are named; a process with more of them contended at once has one problem, not thousands.
const MAX_NAMED: usize = 256;

/// Parts of a member's path inside the lock itself: pthread types, libstdc++, libc++, Rust's standard library, `parking_lot`.
const INSIDE: [&str; 8] = ["__data", "__lock", "_M_mutex", "_M_cond", "__m_", "inner", "futex", "raw"];

/// The end of a path into Rust's `RwLock` and into the locks of `parking_lot`: an atomic called `state`, as a program's own
/// member may be too.
const ATOMIC_STATE: &str = "state.v.value";

/// Packages of Go's locks themselves: their methods know only the bare lock.
const GO_LOCKS: [&str; 3] = ["sync.", "internal/sync.", "runtime."];
/// The end of a path into a Go mutex, and into one called `mu` that holds another since Go 1.24.
const GO_STATE: &str = ".state";
const GO_TWICE: (&str, &str) = ("mu.mu", ".mu");

/// Names of the locks: `ledger_lock`, `us.lock`, or `account.lock` where the object has no name.
pub(super) fn of<'w, 'data>(
    locks: &BTreeSet<u64>,
    seekers: impl Iterator<Item = (u64, &'w Walk)>,
    space: &AddressSpace<'_, 'data>,
    full: &mut Full,
) -> BTreeMap<u64, Text<'data>> {
    let symbols = symbols(locks, space);
    let values = Values::new(*space);
    let mut names = BTreeMap::new();
    // Ten thousand threads that wait at one place know no more of a lock than one of them.
    let mut asked = BTreeSet::new();
    for (lock, walk) in seekers {
        let places: Vec<u64> = walk.frames.iter().take(LOOKED_AT).map(|frame| frame.address.address().0).collect();
        if !names.contains_key(&lock)
            && asked.insert((lock, places))
            && full.room("locks with a name", names.len(), MAX_NAMED)
        {
            let member = member(&values, walk, lock);
            if let Some(name) = name(lock, symbols.get(&lock), member) {
                names.insert(lock, name);
            }
        }
    }
    names
}

fn name<'data>(lock: u64, symbol: Option<&(u64, DataSymbol<'data>)>, member: Option<Member>) -> Option<Text<'data>> {
    match (symbol, member) {
        (Some((start, symbol)), Some(member)) if member.object == *start => {
            Some(format!("{}.{}", symbol.name, member.path).into())
        }
        (Some((start, symbol)), _) if *start == lock => Some(symbol.name.clone()),
        (Some((start, symbol)), _) => Some(format!("{}+{:#x}", symbol.name, lock - start).into()),
        (None, Some(member)) => Some(format!("{}.{}", member.of, member.path).into()),
        (None, None) => None,
    }
}

/// The symbol that covers each lock, with its address in the process.
fn symbols<'data>(locks: &BTreeSet<u64>, space: &AddressSpace<'_, 'data>) -> BTreeMap<u64, (u64, DataSymbol<'data>)> {
    let mut wanted: BTreeMap<usize, Vec<Svma>> = BTreeMap::new();
    for &lock in locks {
        if let Some((index, image)) = space.images.at(Avma(lock)) {
            wanted.entry(index).or_default().push(image.bias.to_svma(Avma(lock)));
        }
    }
    let mut found = BTreeMap::new();
    for (index, addresses) in wanted {
        let Some(image) = space.images.all().get(index) else { continue };
        for (address, symbol) in addresses.iter().zip(data_symbols(image, &addresses)) {
            if let Some(symbol) = symbol {
                found.insert(image.bias.to_avma(*address).0, (image.bias.to_avma(symbol.start).0, symbol));
            }
        }
    }
    found
}

/// The member that a lock is, of the innermost frame that knows it as more than a bare lock.
fn member(values: &Values<'_, '_>, walk: &Walk, lock: u64) -> Option<Member> {
    (0..walk.frames.len().min(LOOKED_AT)).find_map(|index| {
        let members = values.members_at(&walk.frames, index, lock).into_iter();
        let outer = members.filter(|member| !GO_LOCKS.iter().any(|package| member.of.starts_with(package)));
        outer.map(|member| Member { path: outside(&member.path), ..member }).find(|member| !member.path.is_empty())
    })
}

/// The path up to the lock, without what is inside it.
fn outside(path: &str) -> String {
    let inside = |part: &&str| INSIDE.iter().any(|inside| part.starts_with(inside));
    let path = path.strip_suffix(ATOMIC_STATE).unwrap_or(path);
    let path = path.strip_suffix(GO_STATE).unwrap_or(path);
    let path = if path.ends_with(GO_TWICE.0) { path.strip_suffix(GO_TWICE.1).unwrap_or(path) } else { path };
    path.split('.').take_while(|part| !part.is_empty() && !inside(part)).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_ends_at_the_lock() {
        assert_eq!(outside("lock.__data.__lock"), "lock");
        assert_eq!(outside("queue.mutex._M_mutex.__data.__lock"), "queue.mutex");
        assert_eq!(outside("__data.__lock"), "");
        assert_eq!((outside("mu.mu.state"), outside("mu.state")), ("mu".to_owned(), "mu".to_owned()));
        assert_eq!(outside("state.v.value"), "");
        assert_eq!(outside("shop.state.inner.futex.v.value"), "shop.state");
        assert_eq!(outside("ledger.inner.futex.v.value"), "ledger");
    }

    #[test]
    fn a_lock_is_called_by_its_variable() {
        let symbol = (0x1000, DataSymbol { name: "us".into(), start: Svma(0x10) });
        let member = |object| Some(Member { object, of: "account".to_owned(), path: "lock".to_owned() });
        assert_eq!(name(0x1008, Some(&symbol), member(0x1000)).as_deref(), Some("us.lock"));
        assert_eq!(name(0x1008, Some(&symbol), None).as_deref(), Some("us+0x8"));
        assert_eq!(name(0x1000, Some(&symbol), None).as_deref(), Some("us"));
        assert_eq!(name(0x9000, None, member(0x9000)).as_deref(), Some("account.lock"));
        assert_eq!(name(0x9000, None, None), None);
    }
}
