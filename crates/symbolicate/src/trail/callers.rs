//! Where the program itself calls certain functions of the C library: by reading the code of its modules once. For what leaves
//! no value behind to follow: a block that was moved, a file that was made shorter.

use std::collections::{HashMap, HashSet, VecDeque};

use necropsy_model::{Avma, BirthKind};

use super::lead::{Path, Spot};
use super::library::plain_name;
use super::op::Src;
use super::{Tracer, sweep};

/// Calls that are kept.
const MAX_CALLS: usize = 64;

/// What may take a block away from under a pointer into it: large blocks are mappings of their own.
const MOVES: [&str; 4] = ["realloc", "reallocarray", "mremap", "munmap"];
/// What releases blocks, and may do it by the way.
const RELEASES: [&str; 4] = ["free", "cfree", "realloc", "reallocarray"];
/// What makes a file shorter.
const SHORTENS: [&str; 4] = ["ftruncate", "ftruncate64", "truncate", "truncate64"];
/// What maps a file.
const MAPS: [&str; 2] = ["mmap", "mmap64"];

impl Tracer<'_, '_, '_> {
    /// Calls of these functions in the program's own modules, by address. A jump to one is a call too.
    fn callers_of(&mut self, names: &[&str]) -> Vec<u64> {
        let mut found = Vec::new();
        let images = self.space.images.all();
        for image in images {
            if image.debug.get().is_some_and(|debug| debug.is_of_system()) {
                continue;
            }
            let Some(instructions) = sweep::instructions(image, self.machine) else {
                self.limit_hit = true;
                continue;
            };
            let word = |slot| self.space.read_u64(Avma(slot)).ok();
            let calls = instructions.filter_map(|insn| Some((insn.at(), insn.goes_to(word)?)));
            let calls: Vec<(u64, (u64, bool))> = calls.collect();
            let mut behind: HashMap<(u64, bool), u64> = HashMap::new();
            for &(_, call) in &calls {
                behind.entry(call).or_insert_with(|| if call.1 { self.behind_plt(call.0) } else { call.0 });
            }
            let called = self.called_so(behind.values().copied().collect(), names);
            let of_these = calls.iter().filter(|(_, call)| behind.get(call).is_some_and(|to| called.contains(to)));
            found.extend(of_these.map(|&(at, _)| at).take(MAX_CALLS - found.len()));
        }
        found
    }

    /// Those of many functions that have one of these names. The tables of names are read once for all of them.
    fn called_so(&self, functions: Vec<u64>, names: &[&str]) -> HashSet<u64> {
        let known = self.namer.functions(&functions);
        let linked = self.linked.borrow();
        let name = |at: &u64| known.get(at).map(AsRef::as_ref).or_else(|| linked.get(at).map(String::as_str));
        let mut called: HashSet<u64> = functions.into_iter().collect();
        called.retain(|at| name(at).is_some_and(|name| names.contains(&plain_name(name))));
        called
    }

    fn is_called(&self, address: u64, names: &[&str]) -> bool {
        self.function_name(address).is_some_and(|name| names.contains(&plain_name(&name)))
    }

    /// The calls that may explain a stop, as leads: of one function they are the answer, of several nobody is blamed.
    fn leads_of_callers(&mut self, kind: BirthKind, calls: &[u64], what: &str, path: &Path) {
        let mut spots: Vec<(u64, Spot)> = Vec::new();
        for &call in calls {
            let Some(ctx) = self.detached(call) else { continue };
            let function = self.function(ctx);
            let Some(at) = function.at(call) else { continue };
            if !self.is_of_system(call) && !self.names(call).iter().all(super::own::is_standard) {
                spots.push((function.entry, Spot { ctx, at }));
            }
        }
        let mut entries: Vec<u64> = spots.iter().map(|&(entry, _)| entry).collect();
        entries.sort_unstable();
        entries.dedup();
        if let (BirthKind::FileShortened, Some(from), 2..) = (kind, path.steps.first(), entries.len())
            && let Some(last) = self.last_called(from.spot, &entries)
        {
            spots.retain(|&(entry, _)| entry == last);
        }
        let sole = spots.iter().all(|(entry, _)| spots.first().is_some_and(|(first, _)| first == entry));
        let kind = if sole { kind } else { BirthKind::Unknown };
        let what = if sole { what.to_owned() } else { format!("one of several functions of which each {what}") };
        for (_, spot) in spots {
            let path = path.with(spot, "called", what.clone());
            self.lead(kind, spot, what.clone(), &path);
        }
    }

    /// Of several functions the one that was called last before an instruction, by the frames or below a call of theirs.
    fn last_called(&mut self, from: Spot, entries: &[u64]) -> Option<u64> {
        /// Calls below a call of a frame.
        const BELOW: usize = 3;
        let mut here = Some((from.ctx, from.at));
        while let Some((ctx, at)) = here {
            let function = self.function(ctx);
            let mut seen = HashSet::new();
            let mut open = VecDeque::from([at]);
            while let Some(at) = open.pop_front() {
                for edge in function.before(at) {
                    if !seen.insert(edge.from) {
                        continue;
                    }
                    open.push_back(edge.from);
                    let called = function.insns.get(edge.from).and_then(|insn| super::subject::called(insn.flow));
                    let Some(target) = called.and_then(|target| self.target(ctx, edge.from, target)) else { continue };
                    let mut reached = HashSet::new();
                    self.reached(target, entries, BELOW, &mut reached);
                    match reached.len() {
                        0 => {}
                        1 => return reached.into_iter().next(),
                        _ => return None,
                    }
                }
            }
            here = self.caller(ctx);
        }
        None
    }

    /// Which of several functions a function is, or calls.
    fn reached(&mut self, target: u64, entries: &[u64], left: usize, reached: &mut HashSet<u64>) {
        if entries.contains(&target) {
            reached.insert(target);
        } else if left > 0 && !self.is_library(target) {
            let Some(function) = self.function_at(target, None) else { return };
            let tails = function.tails.iter().filter_map(|&(_, next)| match next {
                Src::Const(next) => Some(next),
                _ => None,
            });
            for next in function.direct_calls().map(|(_, next)| next).chain(tails) {
                let next = self.behind_plt(next);
                self.reached(next, entries, left - 1, reached);
            }
        }
    }

    /// Who made the file shorter whose mapping was touched behind its end. Who maps it itself gives it its length before.
    pub fn shortened(&mut self, path: &Path) {
        let mut calls = self.callers_of(&SHORTENS);
        calls.retain(|&call| {
            let Some(ctx) = self.detached(call) else { return false };
            let targets: Vec<u64> = self.function(ctx).direct_calls().map(|(_, target)| target).collect();
            !targets.into_iter().any(|target| self.is_called(self.behind_plt(target), &MAPS))
        });
        self.leads_of_callers(BirthKind::FileShortened, &calls, "makes a file shorter", path);
    }

    /// The one function of the program that releases anything, when no call on the way is known to have done it.
    pub fn only_releaser(&mut self, path: &Path) -> bool {
        let calls = self.callers_of(&RELEASES);
        let before = self.leads.len();
        let mut path = path.clone();
        path.doubts.push("found only as the one place of the program that releases");
        self.leads_of_callers(BirthKind::Freed, &calls, "releases blocks", &path);
        if self.leads.get(before..).is_some_and(|found| found.iter().any(|lead| lead.kind == BirthKind::Freed)) {
            return true;
        }
        self.leads.truncate(before);
        false
    }

    /// Who may have moved or unmapped the block that a pointer led into.
    pub fn moved(&mut self, path: &Path) {
        let calls = self.callers_of(&MOVES);
        self.leads_of_callers(BirthKind::Moved, &calls, "may move or unmap a block that is in use", path);
    }
}
