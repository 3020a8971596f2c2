//! A `std::thread` that is destroyed or assigned to while it still stands for a thread: who started that thread.
//!
//! Destructor and assignment call `std::terminate` where `joinable()` holds (C++ standard, `[thread.thread.destr]`,
//! `[thread.thread.assign]`). Nothing is wrong with any
//! value: the store that made the object stand for a thread is what nobody has answered with `join` or `detach`.

use std::collections::HashMap;

use necropsy_model::{BirthKind, Signal};

use super::Tracer;
use super::context::Ctx;
use super::lead::{Lead, Path, Spot};
use super::op::{Flow, Op, Part, Src};
use super::subject::{Scene, called};
use crate::names::Named;

/// Frames of the machinery between the destructor and the signal.
const MOST_PASSED: usize = 32;
/// Functions that call one another between the program's own call and the start of a thread: containers have many.
const DEPTH: usize = 12;
/// Functions that are asked whether they start threads.
const MOST_FUNCTIONS: usize = 2000;
/// What starts a thread: libstdc++'s own function, and the C library's.
const STARTS: [&str; 2] = ["std::thread::_M_start_thread", "pthread_create"];
/// What calls `std::terminate` for an object that still stands for a thread, without its parameters.
const REFUSE: [&str; 2] = ["std::thread::~thread", "std::thread::operator="];

/// `join` and `detach` leave it like that.
fn clears(op: &Op) -> bool {
    matches!(op, Op::Store { from: Src::Const(0), .. })
}

fn refuses(function: &str) -> bool {
    REFUSE.iter().any(|name| function.starts_with(name))
}

/// Calls that start threads, and what is known of functions on the way to them.
#[derive(Default)]
struct Starts {
    found: Vec<Spot>,
    reaching: HashMap<u64, bool>,
}

/// Code of the destructor or of the assignment. Where a compiler makes one of several calls of `std::terminate`, only the file is left of where they were.
fn is_of_thread(name: &Named<'_>) -> bool {
    name.function.as_deref().is_some_and(refuses)
        || name.location.as_ref().is_some_and(|location| location.file.ends_with("/std_thread.h"))
}

impl<'data> Tracer<'_, '_, 'data> {
    /// Finds who gave the destroyed `std::thread` its thread; where it is destroyed.
    pub fn of_joinable(&mut self, scene: &Scene<'_, '_, 'data>) -> Option<Spot> {
        scene.stop.signal.filter(|signal| signal.number == Signal::ABRT)?;
        let last = scene.walk.frames.len().min(scene.frame + MOST_PASSED);
        let destructor = (scene.frame..last).find(|&frame| {
            let address = scene.walk.frames.get(frame).map(|raw| raw.address.lookup().0);
            address.is_some_and(|address| self.names(address).iter().any(is_of_thread))
        })?;
        let own = (destructor..last).find_map(|frame| {
            let ctx = self.of_frame(frame)?;
            let spot = Spot { ctx, at: self.live(ctx)? };
            (self.own_spot(spot) == spot).then_some(spot)
        })?;
        let destroyed = self.destroyed(destructor);
        let at_place = destroyed.map(|(.., object)| format!(" at {object:#x}")).unwrap_or_default();
        let text = format!("the std::thread{at_place} is destroyed, and its thread was neither joined nor detached");
        let path = Path::default().with(own, "fault", text);
        let stored = destroyed.is_some_and(|(ctx, at, object)| self.gets_thread(Spot { ctx, at }, object, &path));
        (stored || self.only_start(own, &path)).then_some(own)
    }

    /// Who made the object stand for the thread that it stands for.
    fn gets_thread(&mut self, seen: Spot, object: u64, path: &Path) -> bool {
        let Some(thread) = self.word(object, 8).filter(|&thread| thread != 0) else { return false };
        // The second time any store: the object that the thread was moved out of is gone.
        for known in [Some(thread), None] {
            self.visited.clear();
            self.memory(seen.ctx, seen.at, object, 8, known, path);
            let leads = std::mem::take(&mut self.leads);
            for lead in leads {
                let Some(stored) = lead.path.stored.or_else(|| self.sets(&lead, object)) else { continue };
                if !self.insn(stored.ctx, stored.at).is_some_and(|insn| insn.ops.iter().any(clears)) {
                    self.gives_thread(lead, stored);
                }
            }
            if !self.leads.is_empty() {
                return true;
            }
        }
        false
    }

    /// The one call that starts threads among those that were made before by the innermost frame that has made such a call: the
    /// container that holds the object has grown or moved since.
    fn only_start(&mut self, own: Spot, path: &Path) -> bool {
        let mut starts = Starts::default();
        let (mut ctx, mut at, mut gate) = (own.ctx, own.at, None);
        for _ in 0..MOST_PASSED {
            for call in self.calls_before(ctx, at, None) {
                self.starts_of(Spot { ctx, at: call }, DEPTH, &mut starts);
                gate = gate.or_else(|| (!starts.found.is_empty()).then_some(Spot { ctx, at: call }));
            }
            let Some((caller, call)) = self.caller(ctx).filter(|_| starts.found.is_empty()) else { break };
            (ctx, at) = (caller, call);
        }
        // A container that may have to grow calls it in two ways.
        let Some(&start) = starts.found.first().filter(|start| starts.found.iter().all(|it| it.ctx == start.ctx))
        else {
            return false;
        };
        let mut path = path.with(start, "thread", "nothing else that the frame called starts threads".to_owned());
        path.gate = gate;
        self.lead(BirthKind::Stored, start, "starts the thread".to_owned(), &path);
        true
    }

    /// The calls of the program's own code that a call leads to and that start threads.
    fn starts_of(&mut self, spot: Spot, left: usize, starts: &mut Starts) {
        let Some(source) = self.insn(spot.ctx, spot.at).and_then(|insn| called(insn.flow)) else { return };
        let Some(target) = self.target(spot.ctx, spot.at, source) else { return };
        if left == 0 || !self.starts_threads(target, left, starts) {
            return;
        }
        let names = self.names(target);
        if self.is_of_system(target) || names.iter().all(super::own::is_standard) {
            let own = self.own_spot(spot);
            if !starts.found.contains(&own) {
                starts.found.push(own);
            }
            return;
        }
        let Some(callee) = self.enter(spot.ctx, spot.at, target) else { return };
        let function = self.function(callee);
        let calls = function.insns.iter().enumerate().filter(|(_, insn)| matches!(insn.flow, Flow::Call(_)));
        for (at, _) in calls {
            self.starts_of(Spot { ctx: callee, at }, left - 1, starts);
        }
    }

    /// A function from which a thread can be started.
    fn starts_threads(&mut self, target: u64, left: usize, starts: &mut Starts) -> bool {
        if let Some(&known) = starts.reaching.get(&target) {
            return known;
        }
        if self.function_name(target).is_some_and(|name| STARTS.iter().any(|start| name.contains(start))) {
            return true;
        }
        if left == 0 || self.is_of_system(target) || starts.reaching.len() >= MOST_FUNCTIONS {
            return false;
        }
        // A recursion adds nothing.
        starts.reaching.insert(target, false);
        let Some(function) = self.function_at(target, None) else { return false };
        let calls = function.insns.iter().filter_map(|insn| called(insn.flow));
        let targets: Vec<u64> =
            calls.filter_map(|source| if let Src::Const(to) = source { Some(to) } else { None }).collect();
        let found = targets.into_iter().any(|to| {
            let to = self.behind_plt(to);
            self.starts_threads(to, left - 1, starts)
        });
        starts.reaching.insert(target, found);
        found
    }

    /// A chain that ends where an object gets its thread.
    fn gives_thread(&mut self, mut lead: Lead, stored: Spot) {
        let stored = self.own_spot(stored);
        // How the library moves it about is of no interest, nor what was doubtful in that.
        let inside = lead.path.steps.iter().position(|step| step.spot.ctx == stored.ctx);
        lead.path.steps.truncate(inside.unwrap_or(usize::MAX).max(1));
        lead.path.doubts.clear();
        let words = ("thread", "the object gets its thread here");
        lead.ends_with(BirthKind::Stored, stored, "starts the thread", words);
        if self.leads.iter().all(|known| known.spot != lead.spot) {
            self.leads.push(lead);
        }
    }

    /// The store to a place in the function that is known to set it. What it stores came out of a frame that is gone.
    fn sets(&mut self, lead: &Lead, place: u64) -> Option<Spot> {
        let ctx = lead.spot.ctx;
        if lead.kind != BirthKind::Unknown || self.run(ctx).frame.is_some() {
            return None;
        }
        let function = self.function(ctx);
        let store = function.insns.iter().enumerate().rposition(|(at, insn)| {
            insn.ops.iter().any(|op| match *op {
                Op::Store { to, from } => from != Src::Const(0) && self.address_of(ctx, at, &to) == Some(place),
                _ => false,
            })
        });
        Some(Spot { ctx, at: store? })
    }

    /// The object that the destructor of this frame was called for, and the place from which it is seen.
    fn destroyed(&mut self, frame: usize) -> Option<(Ctx, usize, u64)> {
        let ctx = self.of_frame(frame)?;
        let at = self.live(ctx)?;
        if self.function_name(self.address(ctx, at)).is_some_and(|name| refuses(&name)) {
            let (caller, call) = self.caller(ctx)?;
            let &reg = self.machine.arguments.first()?;
            let object = self.eval(caller, call, Src::Reg(Part { reg, offset: 0, size: 8 }))?;
            return Some((caller, call, object));
        }
        // It is inlined: what was compared with 0 is the object's only member.
        let checked = self.compared_before(ctx, at);
        let place = checked.into_iter().find_map(|subject| match subject.source {
            Src::Mem(mem) => self.address_of(subject.ctx, subject.at, &mem),
            _ => None,
        });
        Some((ctx, at, place?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_not_hold_a_thread_refuses_it() {
        assert!(refuses("std::thread::~thread()") && refuses("std::thread::operator=(std::thread&&)"));
        assert!(!refuses("std::thread::join()") && !refuses("std::jthread::~jthread()"));
    }

    #[test]
    fn join_clears_and_a_start_does_not() {
        let to = super::super::op::Mem { base: Some(7), index: None, displacement: 0, size: 8, thread_local: false };
        assert!(clears(&Op::Store { to, from: Src::Const(0) }));
        assert!(!clears(&Op::Store { to, from: Src::Reg(Part { reg: 0, offset: 0, size: 8 }) }));
    }
}
