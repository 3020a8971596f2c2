//! The binary profile, `debug=0`: `profile.proto` of `github.com/google/pprof`, with a sample for each stack.
//!
//! Read by hand: a dozen fields of a wire format with four kinds of value. It comes compressed and is opened before it gets
//! here.

use necropsy_model::go::{GoFacts, GoForm};
use necropsy_model::{
    Arena, Avma, CodeAddress, Frame, FrameKind, LabelsId, Location, Process, Runtime, Snapshot, Source, Stack, Text,
    Thread, ThreadFlags, ThreadId, Warning,
};
use rustc_hash::FxHashMap;

use super::counts::{MAX_THREADS, inferred};
use super::frame::is_runtime;
use crate::Error;

/// A field of a message.
#[derive(Clone, Copy)]
enum Field<'a> {
    Number(u64, u64),
    Bytes(u64, &'a [u8]),
}

/// Fields of a message; ends at the first byte that is none.
fn fields(message: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let mut rest = message;
    std::iter::from_fn(move || {
        loop {
            let (key, after) = varint(rest)?;
            let number = key >> 3;
            match key & 7 {
                0 => {
                    let (value, after) = varint(after)?;
                    rest = after;
                    return Some(Field::Number(number, value));
                }
                2 => {
                    let (length, after) = varint(after)?;
                    let (bytes, after) = after.split_at_checked(usize::try_from(length).ok()?)?;
                    rest = after;
                    return Some(Field::Bytes(number, bytes));
                }
                1 => rest = after.get(8..)?,
                5 => rest = after.get(4..)?,
                _ => return None,
            }
        }
    })
}

fn varint(text: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for (at, &byte) in text.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f).checked_shl(at as u32 * 7)?;
        if byte < 0x80 {
            return Some((value, text.get(at + 1..)?));
        }
    }
    None
}

/// Numbers of a repeated field, packed or not.
fn numbers(field: Field<'_>, wanted: u64, out: &mut Vec<u64>) {
    match field {
        Field::Number(number, value) if number == wanted => out.push(value),
        Field::Bytes(number, mut packed) if number == wanted => {
            while let Some((value, rest)) = varint(packed) {
                out.push(value);
                packed = rest;
            }
        }
        _ => {}
    }
}

/// Whether `head` begins as a profile: sample type or period type (two small string indexes) among known fields.
pub(super) fn probe(head: &[u8]) -> bool {
    // Fields 1 (sample type) and 11 (period type), which Go writes first.
    if !matches!(head.first(), Some(0x0a | 0x5a)) {
        return false;
    }
    let is_type = |bytes: &[u8]| {
        fields(bytes).count() > 0 && fields(bytes).all(|field| matches!(field, Field::Number(1 | 2, 0..=4096)))
    };
    let known = |field: &Field<'_>| matches!(field, Field::Number(1..=14, _) | Field::Bytes(1..=14, _));
    fields(head).take(4).all(|field| known(&field))
        && fields(head).take(3).any(|field| matches!(field, Field::Bytes(1, bytes) if is_type(bytes)))
}

#[derive(Default)]
struct Tables<'d> {
    strings: Vec<&'d [u8]>,
    samples: Vec<&'d [u8]>,
    locations: FxHashMap<u64, &'d [u8]>,
    functions: FxHashMap<u64, (u64, u64)>,
    sample_types: Vec<u64>,
}

impl<'d> Tables<'d> {
    fn of(data: &'d [u8]) -> Self {
        let mut tables = Self::default();
        for field in fields(data) {
            let Field::Bytes(number, bytes) = field else { continue };
            match number {
                1 => tables.sample_types.push(member(bytes, 1)),
                2 => tables.samples.push(bytes),
                4 => {
                    tables.locations.insert(member(bytes, 1), bytes);
                }
                5 => {
                    tables.functions.insert(member(bytes, 1), (member(bytes, 2), member(bytes, 4)));
                }
                6 => tables.strings.push(bytes),
                _ => {}
            }
        }
        tables
    }

    fn string(&self, index: u64) -> Text<'d> {
        let bytes = usize::try_from(index).ok().and_then(|index| self.strings.get(index)).copied();
        String::from_utf8_lossy(bytes.unwrap_or_default())
    }

    /// Frames of a location: inlined calls first.
    fn frames(&self, id: u64, innermost: bool) -> Vec<Frame<'d>> {
        let Some(location) = self.locations.get(&id) else { return Vec::new() };
        let address = member(location, 3);
        let lines: Vec<&[u8]> = fields(location)
            .filter_map(|field| match field {
                Field::Bytes(4, line) => Some(line),
                _ => None,
            })
            .collect();
        let last = lines.len().saturating_sub(1);
        lines
            .into_iter()
            .enumerate()
            .map(|(at, line)| {
                let &(name, file) = self.functions.get(&member(line, 1)).unwrap_or(&(0, 0));
                let number = u32::try_from(member(line, 2)).ok().filter(|&line| line > 0);
                let mut frame = Frame::printed(self.string(name), Some(Location::new(self.string(file), number)));
                frame.inlined = at < last;
                frame.address = (address > 0).then_some(if innermost {
                    CodeAddress::Instruction(Avma(address))
                } else {
                    CodeAddress::Return(Avma(address))
                });
                if frame.function.as_deref().is_some_and(is_runtime) {
                    frame.kind = FrameKind::Runtime;
                }
                frame
            })
            .collect()
    }
}

/// A number of a message; 0, protobuf's default, when it is not there.
fn member(message: &[u8], wanted: u64) -> u64 {
    let value = |field| match field {
        Field::Number(number, value) if number == wanted => Some(value),
        _ => None,
    };
    fields(message).find_map(value).unwrap_or_default()
}

/// Reads a profile of goroutines.
pub(super) fn read<'d>(data: &'d [u8], _arena: &'d Arena) -> Result<Snapshot<'d>, Error> {
    let tables = Tables::of(data);
    let kind = tables.sample_types.first().map(|&index| tables.string(index)).unwrap_or_default();
    if !matches!(&*kind, "goroutine" | "goroutineleak") {
        let reason = format!("this is a pprof profile of {kind:?}, not of goroutines");
        return Err(Error::Unreadable { reason });
    }
    let process = Process { runtime: Some(Runtime::Go), ..Process::default() };
    let mut snapshot = Snapshot { format: super::NAME, process, ..Snapshot::default() };
    let mut left_out = 0;
    for sample in &tables.samples {
        left_out += add(&mut snapshot, &tables, sample, kind == "goroutineleak");
    }
    if left_out > 0 {
        let text = format!("{left_out} goroutines are counted in the profile but not shown");
        snapshot.warnings.push(Warning::new(text, Source::DUMP));
    }
    let facts = GoFacts {
        form: GoForm::Profile,
        leak_profile: kind == "goroutineleak",
        stack_waits: vec![None; snapshot.stacks.len()],
        ..GoFacts::default()
    };
    snapshot.go = Some(Box::new(facts));
    Ok(snapshot)
}

/// Adds the goroutines of a sample; how many were left out.
fn add<'d>(snapshot: &mut Snapshot<'d>, tables: &Tables<'d>, sample: &'d [u8], leaked: bool) -> u64 {
    let (mut locations, mut values, mut labels) = (Vec::new(), Vec::new(), Vec::new());
    for field in fields(sample) {
        numbers(field, 1, &mut locations);
        numbers(field, 2, &mut values);
        if let Field::Bytes(3, label) = field {
            labels.push((tables.string(member(label, 1)), tables.string(member(label, 2))));
        }
    }
    let frames: Vec<_> =
        locations.iter().enumerate().flat_map(|(at, &location)| tables.frames(location, at == 0)).collect();
    // The runtime's own frames are hidden in text and listed here.
    let shown = frames.iter().position(|frame| {
        let name = frame.function.as_deref().unwrap_or_default();
        !name.starts_with("runtime.") || name == "runtime.main"
    });
    let name = |frame: &Frame<'d>| frame.function.clone().unwrap_or_default();
    let names: Vec<_> = frames.iter().skip(shown.unwrap_or_default()).map(name).collect();
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    let all: Vec<_> = frames.iter().map(name).collect();
    let state = match all.iter().map(AsRef::as_ref).find_map(operation) {
        Some(text) => necropsy_model::State {
            activity: necropsy_model::go::activity(text),
            text: format!("{text} (inferred)").into(),
        },
        None => inferred(&names, shown.unwrap_or_default(), names.len()),
    };
    let system = all.iter().all(|name| is_runtime(name)) && !all.iter().any(|name| name == "runtime.main");
    let state = snapshot.intern_state(state);
    labels.sort_unstable();
    let labels = (!labels.is_empty())
        .then(|| {
            snapshot.labels.push(labels);
            LabelsId::new(snapshot.labels.len() - 1)
        })
        .flatten();
    let frames = frames.into_iter().filter_map(|frame| snapshot.add_frame(frame)).collect();
    let stack = snapshot.add_stack(Stack { frames, ..Stack::default() });
    let count = values.first().copied().unwrap_or_default();
    let room = MAX_THREADS.saturating_sub(snapshot.threads.len()) as u64;
    for _ in 0..count.min(room) {
        let mut thread = Thread::new(ThreadId(snapshot.threads.len() as u64 + 1), Source::DUMP);
        (thread.stack, thread.state, thread.labels) = (stack, state, labels);
        if system {
            thread.flags = thread.flags | ThreadFlags::SYSTEM;
        }
        if leaked {
            thread.flags = thread.flags | ThreadFlags::LEAKED;
        }
        snapshot.threads.push(thread);
    }
    count.saturating_sub(room)
}

/// The operation a call of the runtime stands for.
fn operation(name: &str) -> Option<&'static str> {
    match name {
        "runtime.chanrecv" => Some("chan receive"),
        "runtime.chansend" => Some("chan send"),
        "runtime.selectgo" => Some("select"),
        "runtime.block" => Some("select (no cases)"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(number: u8, body: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, body.len() as u8], body].concat()
    }

    /// Three goroutines in `runtime.chanrecv`, called by `main.work`.
    fn profile() -> Vec<u8> {
        let strings: [&[u8]; 7] = [b"", b"goroutine", b"count", b"main.work", b"/a.go", b"runtime.chanrecv", b"x"];
        let function = |id: u8, name: u8| bytes(5, &[8, id, 16, name, 32, 4]);
        let location =
            |id: u8, function: u8| bytes(4, &[&[8, id, 24, 9][..], &bytes(4, &[8, function, 16, 7])].concat());
        [
            bytes(1, &[8, 1, 16, 2]),
            bytes(2, &[&bytes(1, &[1, 2])[..], &bytes(2, &[3])].concat()),
            location(1, 1),
            location(2, 2),
            function(1, 5),
            function(2, 3),
            strings.into_iter().flat_map(|string| bytes(6, string)).collect(),
        ]
        .concat()
    }

    #[test]
    fn samples_become_goroutines() {
        let (data, arena) = (profile(), Arena::new());
        assert!(probe(&data));
        let snapshot = read(&data, &arena).unwrap();
        assert_eq!(snapshot.threads.len(), 3);
        assert_eq!(snapshot.states[0].text, "chan receive (inferred)");
        let names: Vec<_> =
            snapshot.frames_of(&snapshot.threads[0]).map(|frame| frame.function.clone().unwrap()).collect();
        assert_eq!(names, ["runtime.chanrecv", "main.work"]);
    }

    #[test]
    fn every_cut_and_every_flipped_byte_is_read_without_a_panic() {
        let (data, arena) = (profile(), Arena::new());
        for end in 0..data.len() {
            let _ = read(arena.keep(data[..end].to_vec()), &arena);
            let mut flipped = data.clone();
            flipped[end] ^= 0x55;
            let _ = read(arena.keep(flipped), &arena);
        }
    }
}
