//! A stack that is full because a structure leads back into itself: the links that the recursion went along, and who set them.

use necropsy_model::BirthKind;

use super::Tracer;
use super::context::Ctx;
use super::definition::{Kind, Loc};
use super::lead::{Path, Spot};
use super::op::{Part, Src};
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
        // The one that closes the circle leads back to where the recursion began.
        let begun: Vec<u64> = self.arguments(ctx, at).into_iter().map(|(_, value)| value).collect();
        let closing: Vec<Link> = links.iter().copied().filter(|(_, value)| begun.contains(value)).collect();
        let links = if closing.len() == 1 { closing } else { links };
        for (address, value) in links {
            let text = format!(
                "the recursion went along the link at {address:#x}, which leads to {value:#x}, again and again"
            );
            let path = Path::default().with(spot, "recursion", text);
            self.memory(ctx, at, address, 8, Some(value), &path);
        }
        self.leads.retain_mut(|lead| {
            // Whoever stored the link made the circle, wherever the pointer came from.
            if let Some(stored) = lead.path.stored
                && stored != lead.spot
            {
                lead.ends_with(BirthKind::Stored, stored, "stores the link", ("store", "stores the link"));
            }
            matches!(
                lead.kind,
                BirthKind::Stored | BirthKind::StoredSomewhere | BirthKind::GlobalInitial | BirthKind::GlobalStore
            )
        });
        let (first, last) = (scene.frame + 1, gap.after.min(scene.frame + FRAMES));
        if self.leads.is_empty() && self.goes_by_memory(first, last) {
            // Its own code makes no turn like the one before: what it reads does.
            let path = Path::default().with(spot, "recursion", "it goes on with what it reads from memory".to_owned());
            self.lead(BirthKind::Unknown, spot, "what leads it in a circle was not found".to_owned(), &path);
        } else if self.leads.is_empty() && gap.period == Some(1) {
            // The frame behind those that are not listed is a turn from long before.
            return self.of_unchanged_arguments(first, gap.after + 1, gap.omitted + 1);
        }
        (!self.leads.is_empty()).then_some(spot)
    }

    /// An argument of the calls that make the recursion is read from memory outside of the stack.
    fn goes_by_memory(&mut self, first: usize, last: usize) -> bool {
        (first..last).any(|frame| {
            let Some(ctx) = self.of_frame(frame) else { return false };
            let Some(at) = self.live(ctx) else { return false };
            self.parameters(ctx).into_iter().any(|reg| {
                let loc = Loc::Reg(Part { reg, offset: 0, size: 8 });
                self.reaching(ctx, at, loc, None).iter().any(|def| match def.kind {
                    Kind::Load { mem, .. } => {
                        self.address_of(ctx, def.at, &mem).is_none_or(|address| !self.on_stack(address))
                    }
                    _ => false,
                })
            })
        })
    }

    /// Links that calls of the recursion passed on, and that were met more than once; where too few frames are listed for that, the
    /// circle that begins with one of them.
    fn links(&mut self, first: usize, last: usize) -> Vec<Link> {
        let mut met: Vec<(Link, usize)> = Vec::new();
        // Objects that were passed on, and where in the one before the pointer to it stood.
        let mut passed: Vec<(u64, i64, bool)> = Vec::new();
        for frame in first..last {
            let Some(ctx) = self.of_frame(frame) else { continue };
            let Some(at) = self.live(ctx) else { continue };
            for &reg in self.machine.arguments.iter().take(PARAMETERS) {
                let loc = Loc::Reg(Part { reg, offset: 0, size: 8 });
                let given = self.eval(ctx, at, Src::Reg(Part { reg, offset: 0, size: 8 }));
                for def in self.reaching(ctx, at, loc, given) {
                    let Kind::Load { mem, .. } = def.kind else { continue };
                    if mem.size != 8 {
                        continue;
                    }
                    let array = match mem.index {
                        Some((_, 8)) => true,
                        None => false,
                        Some(_) => continue,
                    };
                    if let Some(given) = given.filter(|&given| self.is_mapped(given)) {
                        passed.push((given, mem.displacement, array));
                    }
                    let Some(address) = self.address_of(ctx, def.at, &mem) else { continue };
                    let Some(value) = self.word(address, 8).filter(|&value| self.is_mapped(value)) else { continue };
                    if self.on_stack(address) {
                        continue;
                    }
                    match met.iter_mut().find(|(link, _)| *link == (address, value)) {
                        Some((_, times)) => *times += 1,
                        None => met.push(((address, value), 1)),
                    }
                }
            }
        }
        let again: Vec<Link> =
            met.into_iter().filter(|&(_, times)| times > 1).map(|(link, _)| link).take(LINKS).collect();
        if !again.is_empty() {
            return again;
        }
        let word = |address| self.word(address, 8);
        let mut circles = passed.into_iter().filter_map(|(object, offset, array)| {
            let size = |object| self.block_size(object);
            if array { circle_of_arrays(object, offset, word, size) } else { circle(object, offset, word) }
        });
        circles.next().unwrap_or_default()
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

/// The links of the circle that an object lies in, all at the same place of their objects.
fn circle(object: u64, offset: i64, word: impl Fn(u64) -> Option<u64>) -> Option<Vec<Link>> {
    let mut links: Vec<Link> = Vec::new();
    let mut next = object;
    while links.len() < LINKS {
        let address = next.wrapping_add_signed(offset);
        next = word(address).filter(|&value| value != 0)?;
        links.push((address, next));
        if next == object {
            return Some(links);
        }
    }
    None
}

/// The shortest circle through an object, along the pointers in arrays that begin at an offset in the objects and reach to their end.
fn circle_of_arrays(
    object: u64,
    offset: i64,
    word: impl Fn(u64) -> Option<u64>,
    size_of: impl Fn(u64) -> Option<u64>,
) -> Option<Vec<Link>> {
    /// Objects that are looked at.
    const OBJECTS: usize = 4096;
    /// Elements of one array.
    const ELEMENTS: u64 = 64;
    let offset = u64::try_from(offset).ok()?;
    // Objects, each with the link that leads to it and the object with that link.
    let mut known: Vec<(u64, Option<(Link, usize)>)> = vec![(object, None)];
    let mut next = 0;
    while let Some(&(from, _)) = known.get(next) {
        let size = size_of(from).unwrap_or_default();
        let elements = (0..ELEMENTS).map(|index| offset + index * 8).take_while(|at| at + 8 <= size);
        for address in elements.filter_map(|at| from.checked_add(at)) {
            let Some(to) = word(address) else { continue };
            if to == object {
                let mut links = vec![(address, to)];
                let mut at = next;
                while let Some(&(_, Some((link, before)))) = known.get(at) {
                    links.push(link);
                    at = before;
                }
                links.reverse();
                return (links.len() <= LINKS).then_some(links);
            }
            let new = size_of(to).is_some() && known.iter().all(|&(object, _)| object != to);
            if new && known.len() < OBJECTS {
                known.push((to, Some(((address, to), next))));
            }
        }
        next += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_along_arrays_of_pointers() {
        let memory = [(0x1008, 0x5000), (0x1010, 0x2000), (0x2008, 0x3000), (0x3010, 0x1000)];
        let word = |address| memory.iter().find(|(at, _)| *at == address).map_or(Some(0), |&(_, value)| Some(value));
        let size = |object: u64| [0x1000, 0x2000, 0x3000, 0x5000].contains(&object).then_some(0x18);
        let links = vec![(0x1010, 0x2000), (0x2008, 0x3000), (0x3010, 0x1000)];
        assert_eq!(circle_of_arrays(0x1000, 8, word, size), Some(links));
        assert_eq!(circle_of_arrays(0x5000, 8, word, size), None);
    }

    #[test]
    fn links_that_lead_back_are_a_circle() {
        let memory = [(0x1010, 0x2000), (0x2010, 0x3000), (0x3010, 0x1000), (0x4010, 0x1000), (0x5010, 0)];
        let word = |address| memory.iter().find(|(at, _)| *at == address).map(|&(_, value)| value);
        let links = vec![(0x3010, 0x1000), (0x1010, 0x2000), (0x2010, 0x3000)];
        assert_eq!(circle(0x3000, 0x10, word), Some(links));
        assert_eq!(circle(0x5000, 0x10, word), None, "the end of a list");
        assert_eq!(circle(0x4000, 0x10, word), None, "it leads into a circle and is no part of it");
    }
}
