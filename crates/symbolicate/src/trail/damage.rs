//! A heap that the allocator found damaged: the header that was written over, and who wrote there, from the block in front of it.

use necropsy_model::{Avma, BirthKind, MessageKind};

use super::Tracer;
use super::definition::Loc;
use super::lead::{NO_VARIABLE, Path, Spot, UNKNOWN_INDEX};
use super::library::{is_variant_of, plain_name};
use super::op::{Part, Src};
use super::subject::Scene;

/// Blocks that are walked from the start of the heap.
const BLOCKS: usize = 1 << 16;
/// Bytes of the two words in front of a block (`malloc_chunk`).
const HEADER: u64 = 16;
/// Smallest block with its header (`MINSIZE`).
const SMALLEST: u64 = 32;
/// More bytes than any process has.
pub(super) const ENDLESS: u64 = 1 << 47;
/// Bits of a size that are flags.
const FLAGS: u64 = 7;

/// What functions of the C library write memory from their first argument on.
pub(super) const WRITERS: [&str; 20] = [
    "memset",
    "memcpy",
    "memmove",
    "mempcpy",
    "strcpy",
    "strncpy",
    "strcat",
    "strncat",
    "stpcpy",
    "sprintf",
    "vsprintf",
    "snprintf",
    "vsnprintf",
    "gets",
    "fgets",
    "wcscpy",
    "wmemset",
    "wmemcpy",
    "bzero",
    "fread",
];

impl<'data> Tracer<'_, '_, 'data> {
    /// Who wrote over the header of a block; what the header is now.
    pub fn of_damage(&mut self, scene: &Scene<'_, '_, 'data>) -> Option<u64> {
        let mut messages = scene.stop.messages.iter().filter(|message| message.kind == MessageKind::Heap);
        let message = messages.next().filter(|message| !message.text.contains("double free detected"))?;
        let frame = self.first_own(scene).filter(|&frame| frame != scene.frame)?;
        let ctx = self.of_frame(frame)?;
        let at = self.live(ctx)?;
        let name = self.called_name(ctx, at)?;
        let released = super::memory::releases(&name).then(|| self.arguments(ctx, at)).and_then(|arguments| {
            let first = arguments.into_iter().find(|&(number, _)| number == 0);
            first.map(|(_, block)| block)
        });
        let (block, header) =
            self.damaged_header(released).or_else(|| self.header_by_message(&message.text, released?))?;
        let value = self.word(header, 8)?;
        let text = format!("the size behind the block at {block:#x} was written over: it is {value:#x}");
        let mut path = Path::default().with(Spot { ctx, at }, "fault", text);
        path.seen_in(header);
        self.damaged = Some((block, header));
        self.trace(ctx, at, Loc::Mem { address: header, size: 8 }, Some(value), &path);
        self.only_writers();
        let known = !self.leads.is_empty();
        let found = known || self.overrun(ctx, at, header, Some(value), &path) || self.run_over(ctx, at, header, &path);
        self.damaged = None;
        self.visited.clear();
        if !found {
            self.leads.clear();
        }
        found.then_some(value)
    }

    /// Whatever stored to a header of the allocator's ran over: the program has no business there.
    fn only_writers(&mut self) {
        self.leads.retain_mut(|lead| {
            if lead.path.steps.iter().any(|step| step.step == "count") {
                return true;
            }
            let spot = if lead.kind == BirthKind::Overrun { Some(lead.spot) } else { lead.path.stored };
            let Some(spot) = spot else { return false };
            let step = ("overrun", "stores past the end of the block");
            lead.ends_with(BirthKind::Overrun, spot, "writes past the end of the block", step);
            lead.path.doubts.retain(|&doubt| doubt == UNKNOWN_INDEX || doubt == NO_VARIABLE);
            true
        });
    }

    /// A function of the C library that was given a block, and whose header behind it was written over.
    pub fn wrote_over(&mut self, spot: Spot, name: &str, first: Option<u64>, place: u64, path: &Path) -> bool {
        let base = plain_name(name);
        let known = WRITERS.iter().any(|known| is_variant_of(base, known));
        if !known || !first.is_some_and(|first| self.covers(first, place)) {
            return false;
        }
        // So many bytes no process has: the count is bad, and not the call.
        let counts = ["memset", "memcpy", "memmove", "mempcpy", "strncpy", "strncat"];
        if counts.iter().any(|known| is_variant_of(base, known))
            && let Some(&reg) = self.machine.arguments.get(super::memory::COUNT_ARGUMENT)
        {
            let count = Src::Reg(Part { reg, offset: 0, size: 8 });
            if let Some(bytes) = self.eval(spot.ctx, spot.at, count).filter(|&bytes| bytes > ENDLESS) {
                let text = format!("{name} is asked for {} bytes", super::chase::words(Some(bytes)));
                let mut path = path.with(spot, "count", text);
                (path.stored, path.floor) = (None, None);
                let before = self.leads.len();
                // What made it negative is the birth, and not what it was made of.
                let outer = std::mem::replace(&mut self.refusing, true);
                self.start(spot.ctx, spot.at, count, Some(bytes), &path);
                self.refusing = outer;
                if self.leads.len() > before {
                    return true;
                }
            }
        }
        let path = path.with(spot, "overrun", format!("{name} writes from {:#x} on", first.unwrap_or_default()));
        self.lead(BirthKind::Overrun, spot, "writes past the end of the block".to_owned(), &path);
        true
    }

    /// The first header from the start of the heap on that makes no sense, and the block in front of it.
    fn damaged_header(&self, released: Option<u64>) -> Option<(u64, u64)> {
        let regions = self.space.memory.regions().iter();
        let mut heaps = regions.filter(|region| {
            let writable = region.permissions.is_some_and(|rights| rights.write) && region.file.is_none();
            let holds = released.is_none_or(|block| region.start.0 <= block && block < region.end.0);
            writable && holds && !self.on_stack(region.start.0) && !self.is_static(region.start.0)
        });
        heaps.find_map(|region| {
            let size = |chunk: u64| self.word(chunk.checked_add(8)?, 8);
            walk(region.start.0, region.end.0, size)
        })
    }

    /// The header that a message speaks of, by the block that was released.
    fn header_by_message(&self, text: &str, block: u64) -> Option<(u64, u64)> {
        let behind = ["next size", "!prev", "prev_size"].iter().any(|word| text.contains(word));
        let size = self.word(block.checked_sub(8)?, 8)? & !FLAGS;
        let sane = size >= SMALLEST && size.is_multiple_of(HEADER) && self.space.memory.region(Avma(block)).is_some();
        (behind && sane).then(|| block.checked_add(size).map(|end| (block, end - 8))).flatten()
    }
}

/// The first chunk whose size makes no sense: the block in front of it, and where the size stands.
fn walk(start: u64, end: u64, size_of: impl Fn(u64) -> Option<u64>) -> Option<(u64, u64)> {
    let mut before = None;
    let mut chunk = start;
    for _ in 0..BLOCKS {
        let size = size_of(chunk)? & !FLAGS;
        let next = chunk.checked_add(size);
        let sane = size >= SMALLEST && size.is_multiple_of(HEADER) && next.is_some_and(|next| next <= end);
        if !sane {
            return before.map(|before: u64| (before + HEADER, chunk + 8));
        }
        before = Some(chunk);
        chunk = next.filter(|&next| next < end)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sizes of a heap from 0x1000 to 0x2000.
    fn heap(sizes: &'static [(u64, u64)]) -> Option<(u64, u64)> {
        walk(0x1000, 0x2000, |chunk| sizes.iter().find(|(at, _)| *at == chunk).map(|&(_, size)| size))
    }

    #[test]
    fn the_first_size_that_makes_no_sense_is_damaged() {
        let sizes = &[(0x1000, 0x291), (0x1290, 0x21), (0x12b0, 0x7878_7878_7878_7878)];
        assert_eq!(heap(sizes), Some((0x12a0, 0x12b8)));
        assert_eq!(heap(&[(0x1000, 0x291), (0x1290, 0)]), Some((0x1010, 0x1298)), "zeros are no size");
        assert_eq!(heap(&[(0x1000, 0x291), (0x1290, 0x1001)]), Some((0x1010, 0x1298)), "it leads out of the heap");
    }

    #[test]
    fn a_heap_that_ends_where_it_should_is_sound() {
        assert_eq!(heap(&[(0x1000, 0x291), (0x1290, 0xd71)]), None);
        assert_eq!(heap(&[(0x1000, 0x7878_7878)]), None, "no block in front of it: this is no heap");
    }
}
