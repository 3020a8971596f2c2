//! A stack that is full because a structure leads back into itself: the links that the recursion went along, and who set them.

use necropsy_model::BirthKind;

use super::Tracer;
use super::context::Ctx;
use super::definition::{Kind, Loc};
use super::lead::{Path, Spot};
use super::op::Part;
use super::subject::Scene;

/// Frames of the recursion that are looked at: several turns of it.
const FRAMES: usize = 48;
/// Parameters of a function that may be what it goes through.
const PARAMETERS: usize = 2;
/// Links of one circle that are followed.
const LINKS: usize = 8;

/// A pointer in memory that the recursion followed: where it stands, and where it leads.
type Link = (u64, u64);

impl<'data> Tracer<'_, '_, 'data> {
    /// Who set the links of the circle that a recursion without end went along.
    pub fn of_recursion(&mut self, scene: &Scene<'_, '_, 'data>) -> Option<Spot> {
        let gap = self.gap.filter(|gap| gap.period.is_some())?;
        let links = self.links(scene.frame + 1, gap.after.min(scene.frame + FRAMES));
        let (ctx, at) = self.outside(scene.frame, gap.after)?;
        let inside = self.of_frame(scene.frame)?;
        let spot = Spot { ctx: inside, at: self.live(inside)? };
        for (address, value) in links {
            let text = format!(
                "the recursion went along the link at {address:#x}, which leads to {value:#x}, again and again"
            );
            let path = Path::default().with(spot, "recursion", text);
            self.trace(ctx, at, Loc::Mem { address, size: 8 }, Some(value), &path);
        }
        self.leads.retain(|lead| {
            matches!(lead.kind, BirthKind::Stored | BirthKind::StoredSomewhere | BirthKind::GlobalInitial)
        });
        (!self.leads.is_empty()).then_some(spot)
    }

    /// Links that calls of the recursion passed on, and that were met more than once.
    fn links(&mut self, first: usize, last: usize) -> Vec<Link> {
        let mut met: Vec<(Link, usize)> = Vec::new();
        for frame in first..last {
            let Some(ctx) = self.of_frame(frame) else { continue };
            let Some(at) = self.live(ctx) else { continue };
            for &reg in self.machine.arguments.iter().take(PARAMETERS) {
                let loc = Loc::Reg(Part { reg, offset: 0, size: 8 });
                for def in self.reaching(ctx, at, loc, None) {
                    let Kind::Load { mem, .. } = def.kind else { continue };
                    let Some(address) = self.address_of(ctx, def.at, &mem) else { continue };
                    let Some(value) = self.word(address, 8).filter(|&value| self.is_mapped(value)) else { continue };
                    if self.on_stack(address) || mem.size != 8 {
                        continue;
                    }
                    match met.iter_mut().find(|(link, _)| *link == (address, value)) {
                        Some((_, times)) => *times += 1,
                        None => met.push(((address, value), 1)),
                    }
                }
            }
        }
        met.into_iter().filter(|&(_, times)| times > 1).map(|(link, _)| link).take(LINKS).collect()
    }

    /// The frame that began the recursion.
    fn outside(&mut self, inside: usize, gap: usize) -> Option<(Ctx, usize)> {
        let mut entries = Vec::new();
        for frame in inside..gap.min(inside + FRAMES) {
            let ctx = self.of_frame(frame);
            entries.extend(ctx.map(|ctx| self.run(ctx).function.entry));
        }
        (gap..self.frames.len()).find_map(|frame| {
            let ctx = self.of_frame(frame)?;
            let foreign = !entries.contains(&self.run(ctx).function.entry);
            foreign.then(|| Some((ctx, self.live(ctx)?))).flatten()
        })
    }
}
