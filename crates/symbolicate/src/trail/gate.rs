//! The gate of an object: where the pointer to it stopped being a parameter. Of a value that was read through a pointer that is
//! stale, the pointer was let in, and not what was read.

use super::Tracer;
use super::context::Ctx;
use super::definition::{Def, Kind, Loc};
use super::lead::{Path, Spot};
use super::op::Src;

/// Frames that may have passed a pointer on.
const FRAMES: usize = 64;

impl Tracer<'_, '_, '_> {
    /// The path with the gate of a pointer, where the frames that got it are still there.
    pub fn with_gate_of(&mut self, ctx: Ctx, at: usize, pointer: Src, path: &Path) -> Path {
        let value = self.eval(ctx, at, pointer);
        let mut path = path.clone();
        let Some(mut loc) = self.place(ctx, at, pointer) else { return path };
        let (first, mut ctx, mut at, mut handed) = (ctx, ctx, at, Vec::new());
        for _ in 0..FRAMES {
            if self.run(ctx).frame.is_none() {
                return path;
            }
            let defs = self.reaching(ctx, at, loc, value);
            let Some(nearest) = made_here(&defs) else {
                let Some(entry) = defs.first() else { return path };
                let (entry, spot) = (entry.loc, Spot { ctx, at: entry.at });
                let Some((caller, call)) = self.caller(ctx).filter(|_| matches!(entry, Loc::Reg(_))) else {
                    return path;
                };
                if self.run(ctx).frame.is_some_and(|frame| frame > self.struck) {
                    handed.push(Spot { ctx, at: self.live(ctx).unwrap_or(spot.at) });
                }
                (ctx, at, loc) = (caller, call, entry);
                continue;
            };
            // Read where it was used: what it was read from may have come from elsewhere.
            if ctx == first {
                return path;
            }
            path.gate = Some(Spot { ctx, at: nearest.at });
            path.handed = handed;
            return path;
        }
        path
    }
}

/// The nearest definition that is no parameter.
fn made_here(defs: &[Def]) -> Option<&Def> {
    defs.iter().find(|def| def.kind != Kind::Entry)
}

#[cfg(test)]
mod tests {
    use super::super::op::Part;
    use super::*;

    #[test]
    fn a_parameter_is_made_elsewhere() {
        let loc = Loc::Reg(Part { reg: 5, offset: 0, size: 8 });
        let entry = Def { kind: Kind::Entry, ..Def::start(0, loc, None) };
        let result = Def { kind: Kind::Result, ..Def::start(7, loc, None) };
        assert!(made_here(std::slice::from_ref(&entry)).is_none() && made_here(&[]).is_none());
        assert_eq!(made_here(&[entry, result]).map(|def| def.at), Some(7));
    }
}
