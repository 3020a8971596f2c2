//! A frame whose canary or return address was written over: what ran over its arrays.

use necropsy_model::Signal;

use super::Tracer;
use super::context::Ctx;
use super::lead::{Path, Spot};
use super::op::Op;
use super::subject::Scene;

/// Bytes below the end of a frame in which return address, saved registers and canary lie.
const GUARDED: u64 = 72;
/// Frames of the machinery between a canary and the signal.
const MOST_PASSED: usize = 32;

impl<'data> Tracer<'_, '_, 'data> {
    /// Finds what wrote past the end of an array in the frame that was overwritten; where it lies.
    pub fn of_smashed_frame(&mut self, scene: &Scene<'_, '_, 'data>) -> Option<Spot> {
        let (ctx, at) = self.smashed_frame(scene)?;
        let spot = Spot { ctx, at };
        let end = self.run(ctx).cfa;
        let path = Path::default().with(spot, "fault", "its frame was written over".to_owned());
        for address in (8..GUARDED).step_by(8).filter_map(|below| end.checked_sub(below)) {
            let text = self.word(address, 8).and_then(|word| self.text_start(address, word));
            if let Some(start) = text
                && self.writer_before(ctx, at, start, &path)
            {
                return Some(spot);
            }
        }
        // What it writes itself, at an index that is not known, may be it as well.
        if self.fills_own_frame(ctx) || !self.run_over(ctx, at, end.checked_sub(8)?, &path) {
            return None;
        }
        Some(spot)
    }

    /// The frame that was written over, and where it stands.
    pub fn smashed_frame(&mut self, scene: &Scene<'_, '_, 'data>) -> Option<(Ctx, usize)> {
        let frame = if scene.stop.fault.as_ref().is_some_and(|fault| fault.is_return) {
            scene.frame
        } else if scene.stop.signal.is_some_and(|signal| signal.number == Signal::ABRT) {
            let mut passed = scene.walk.frames.iter().enumerate().skip(scene.frame).take(MOST_PASSED);
            let check = passed.find(|(_, raw)| {
                let name = self.function_name(raw.address.lookup().0);
                name.is_some_and(|name| super::library::plain_name(&name).starts_with("stack_chk_fail"))
            });
            check?.0 + 1
        } else {
            return None;
        };
        let ctx = self.of_frame(frame)?;
        Some((ctx, self.live(ctx)?))
    }

    /// A store of a function into an array of its own frame, at an index that is not a constant.
    fn fills_own_frame(&mut self, ctx: Ctx) -> bool {
        let function = self.function(ctx);
        function.insns.iter().enumerate().any(|(at, insn)| {
            insn.ops.iter().any(|op| {
                let (Op::Store { to, .. } | Op::Update { to, .. }) = op else { return false };
                if function.stack(at).slot(to).is_some() {
                    return false;
                }
                self.address_of(ctx, at, to).is_none()
                    && self.bases_of(ctx, at, to).iter().any(|&base| self.is_own(ctx, base))
            })
        })
    }
}
