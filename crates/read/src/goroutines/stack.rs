//! A record taken apart: frames, creator, what was left out. Only the first record of each distinct stack comes here.

use memchr::memmem;
use necropsy_model::{
    Arena, Avma, CodeAddress, Frame, FrameId, FrameKind, Full, Gap, Location, Snapshot, Stack, StackEnd, Text,
};
use rustc_hash::FxHashMap;

use super::frame::{call, is_position, is_runtime, position};
use super::header;
use crate::text::lines;

/// Frames of one goroutine that are believed; the runtime prints at most 100 and says how many it left out.
const MAX_FRAMES: usize = 4096;

/// How the stack of one that made a goroutine begins.
pub(super) const ORIGIN: &[u8] = b"[originating from goroutine ";

/// Ancestors of one goroutine that are read; `tracebackancestors` may be any number.
const MAX_ANCESTORS: usize = 32;

/// Frames and stacks of a dump, each once.
pub(super) struct Interner<'d> {
    arena: &'d Arena,
    frames: FxHashMap<FrameKey<'d>, FrameId>,
    stacks: FxHashMap<(Vec<FrameId>, u64), necropsy_model::StackId>,
    /// Lists that found no room for all.
    pub full: Full,
}

#[derive(PartialEq, Eq, Hash)]
struct FrameKey<'d> {
    name: &'d [u8],
    file: &'d [u8],
    line: u32,
    pc: Option<u64>,
    inlined: bool,
}

/// A record's stack and the call that created the goroutine.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Resolved {
    pub stack: Option<necropsy_model::StackId>,
    pub creator: Option<FrameId>,
    /// It is a goroutine of the runtime itself.
    pub system: bool,
}

impl<'d> Interner<'d> {
    pub(super) fn new(arena: &'d Arena) -> Self {
        Self { arena, frames: FxHashMap::default(), stacks: FxHashMap::default(), full: Full::default() }
    }

    /// Takes a record apart, given the bytes behind its header.
    pub(super) fn resolve(&mut self, body: &'d [u8], snapshot: &mut Snapshot<'d>) -> Resolved {
        self.take(body, true, snapshot)
    }

    /// Those that made a goroutine, nearest first: number, stack, creator.
    pub(super) fn ancestors(&mut self, text: &'d [u8], snapshot: &mut Snapshot<'d>) -> Vec<(u64, Resolved)> {
        let mut ancestors = Vec::new();
        for start in memmem::find_iter(text, ORIGIN) {
            let Some(rest) = text.get(start + ORIGIN.len()..) else { break };
            let line = crate::text::line_at(rest);
            let Some((id, _)) = header::number(line) else { break };
            if !self.full.room("ancestors of one goroutine", ancestors.len(), MAX_ANCESTORS) {
                break;
            }
            let body = rest.get(line.len() + 1..).unwrap_or_default();
            ancestors.push((id, self.take(body, false, snapshot)));
        }
        ancestors
    }

    /// An inlined call has no arguments but `...`; those of ancestors never have others.
    fn take(&mut self, body: &'d [u8], has_arguments: bool, snapshot: &mut Snapshot<'d>) -> Resolved {
        let mut frames = Vec::new();
        let mut gap = None;
        let mut creator = None;
        let mut end = StackEnd::Complete;
        let mut all = lines(body).map(|(_, line)| line).peekable();
        while let Some(line) = all.next() {
            if line.starts_with(ORIGIN) {
                break;
            }
            if let Some(omitted) = elided(line) {
                gap = Some(Gap { after: frames.len(), omitted, period: None });
                continue;
            }
            if memmem::find(line, b"stack unavailable").is_some() {
                end = StackEnd::Broken("it ran on another machine thread while the dump was written".to_owned());
                continue;
            }
            let place = all.next_if(|next| is_position(next)).unwrap_or_default();
            if let Some(name) = line.strip_prefix(b"created by ") {
                let name = memmem::rfind(name, b" in goroutine ").and_then(|at| name.get(..at)).unwrap_or(name);
                creator = self.frame(name.trim_ascii(), place, false, false, snapshot);
                break;
            }
            let call = call(line);
            let innermost = frames.is_empty();
            let inlined = has_arguments && call.arguments == Some(b"...");
            frames.extend(self.frame(call.name, place, inlined, innermost, snapshot));
            if frames.len() >= MAX_FRAMES {
                end = StackEnd::Broken(format!("it has more than {MAX_FRAMES} frames"));
                break;
            }
        }
        let name = |id: FrameId| snapshot.frame(id).and_then(|frame| frame.function.as_deref());
        let system = creator.and_then(name).is_some_and(|name| super::frame::package(name) == "runtime")
            && frames.iter().all(|&id| name(id).is_some_and(is_runtime));
        let key = (frames, gap.map_or(0, |gap| gap.omitted));
        let stack = if let Some(&known) = self.stacks.get(&key) {
            Some(known)
        } else {
            let stack = snapshot.add_stack(Stack { frames: key.0.clone(), gap, end });
            stack.inspect(|&stack| {
                self.stacks.insert(key, stack);
            })
        };
        Resolved { stack, creator, system }
    }

    /// Frames of pairs of lines, call and position, as the race detector prints them.
    pub(super) fn pairs(&mut self, lines: &[&'d [u8]], snapshot: &mut Snapshot<'d>) -> Vec<FrameId> {
        let (pairs, _) = lines.as_chunks::<2>();
        let frame = |(at, [name, place]): (usize, &[&'d [u8]; 2])| {
            self.frame(call(name.trim_ascii()).name, place, false, at == 0, snapshot)
        };
        pairs.iter().enumerate().filter_map(frame).collect()
    }

    fn frame(
        &mut self,
        name: &'d [u8],
        place: &'d [u8],
        inlined: bool,
        innermost: bool,
        snapshot: &mut Snapshot<'d>,
    ) -> Option<FrameId> {
        let position = position(place);
        let key = FrameKey { name, file: position.file, line: position.line, pc: position.pc, inlined };
        if let Some(&known) = self.frames.get(&key) {
            return Some(known);
        }
        let location = (!position.file.is_empty())
            .then(|| Location::new(self.text(position.file), Some(position.line).filter(|&line| line > 0)));
        let mut frame = Frame::printed(self.text(name), location);
        frame.inlined = inlined;
        frame.address = position
            .pc
            .map(Avma)
            .map(|pc| if innermost { CodeAddress::Instruction(pc) } else { CodeAddress::Return(pc) });
        if frame.function.as_deref().is_some_and(is_runtime) {
            frame.kind = FrameKind::Runtime;
        }
        let id = snapshot.add_frame(frame)?;
        self.frames.insert(key, id);
        Some(id)
    }

    /// Text of the dump: borrowed where it is UTF-8.
    fn text(&self, bytes: &'d [u8]) -> Text<'d> {
        match String::from_utf8_lossy(bytes) {
            Text::Owned(owned) => Text::Borrowed(self.arena.keep_str(owned)),
            borrowed @ Text::Borrowed(_) => borrowed,
        }
    }
}

/// Frames that the runtime left out: `...209517 frames elided...`; before Go 1.21 it did not count them.
fn elided(line: &[u8]) -> Option<u64> {
    let rest = line.strip_prefix(b"...")?;
    if rest.starts_with(b"additional frames elided") {
        return Some(0);
    }
    let (omitted, rest) = header::number(rest)?;
    rest.starts_with(b" frames elided").then_some(omitted)
}
