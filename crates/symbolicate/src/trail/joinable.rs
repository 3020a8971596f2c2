//! A `std::thread` that is destroyed or assigned to while it still stands for a thread: who started that thread.
//!
//! Destructor and assignment call `std::terminate` where `joinable()` holds (C++ standard, `[thread.thread.destr]`,
//! `[thread.thread.assign]`). Nothing is wrong with any
//! value: the store that made the object stand for a thread is what nobody has answered with `join` or `detach`.

use necropsy_model::{BirthKind, Signal};

use super::Tracer;
use super::context::Ctx;
use super::lead::{Lead, Path, Spot};
use super::op::{Op, Part, Src};
use super::subject::Scene;
use crate::names::Named;

/// Frames of the machinery between the destructor and the signal.
const MOST_PASSED: usize = 32;
/// What calls `std::terminate` for an object that still stands for a thread, without its parameters.
const REFUSE: [&str; 2] = ["std::thread::~thread", "std::thread::operator="];

/// `join` and `detach` leave it like that.
fn clears(op: &Op) -> bool {
    matches!(op, Op::Store { from: Src::Const(0), .. })
}

fn refuses(function: &str) -> bool {
    REFUSE.iter().any(|name| function.starts_with(name))
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
        let (ctx, at, object) = self.destroyed(destructor)?;
        let text =
            format!("the std::thread at {object:#x} is destroyed, and its thread was neither joined nor detached");
        let thread = self.word(object, 8).filter(|&thread| thread != 0)?;
        let path = Path::default().with(own, "fault", text);
        // The second time any store: the object that the thread was moved out of is gone.
        for known in [Some(thread), None] {
            self.visited.clear();
            self.memory(ctx, at, object, 8, known, &path);
            let leads = std::mem::take(&mut self.leads);
            for lead in leads {
                let Some(stored) = lead.path.stored.or_else(|| self.sets(&lead, object)) else { continue };
                if !self.insn(stored.ctx, stored.at).is_some_and(|insn| insn.ops.iter().any(clears)) {
                    self.gives_thread(lead, stored);
                }
            }
            if !self.leads.is_empty() {
                return Some(own);
            }
        }
        None
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
