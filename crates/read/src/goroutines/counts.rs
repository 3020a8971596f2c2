//! Counts by stack: `runtime/pprof` with `debug=1`, for the profiles `goroutine`, `goroutineleak` and `threadcreate`.
//!
//! ```text
//! goroutine profile: total 24
//! 2 @ 0x48754a 0x4630f2 0x488a45 …
//! # labels: {"tenant":"acme co"}
//! #<TAB>0x488a44<TAB>pkg.F+0x24<TAB><TAB>/path/file.go:95
//! ```
//!
//! There are no ids, no states and no waits in it. A state is inferred from the innermost calls, and says so.

use memchr::memmem;
use necropsy_model::go::{GoFacts, GoForm};
use necropsy_model::{
    Activity, Arena, Avma, CodeAddress, Frame, FrameKind, LabelsId, Location, Process, Runtime, Snapshot, Source,
    Stack, State, Thread, ThreadFlags, ThreadId, Warning,
};

use super::frame::{hex, is_runtime, position};
use super::header::number;
use super::{labels, state};
use crate::text::{LineMap, lines};

/// Goroutines of the profiles of one file that are listed one by one: as many as the largest programs have. A count is a number in
/// a file: it must not decide how much memory is used. 256 profiles of 50 bytes, each with a count of four million, once took 50 GB.
pub(super) const MAX_THREADS: usize = 1 << 20;

/// Ends of the first line of such a profile.
const TITLE: &[u8] = b" profile: total ";

/// Where a profile begins: at the start of a line.
pub(super) fn find(text: &[u8]) -> Option<usize> {
    memmem::find_iter(text, TITLE).find_map(|at| {
        let start = memchr::memrchr(b'\n', text.get(..at)?).map_or(0, |before| before + 1);
        is_title(crate::text::line_at(text.get(start..)?)).map(|_| start)
    })
}

/// The total in a first line, and whether it is of leaked goroutines.
fn is_title(line: &[u8]) -> Option<(u64, bool)> {
    let (name, total) = (memmem::find(line, TITLE)?, memmem::find(line, TITLE)? + TITLE.len());
    let name = line.get(..name)?;
    let (total, rest) = number(line.get(total..)?)?;
    let known = matches!(name, b"goroutine" | b"goroutineleak");
    (known && rest.trim_ascii().is_empty()).then_some((total, name == b"goroutineleak"))
}

/// Every profile in the text.
pub(super) fn read<'d>(text: &'d [u8], map: &LineMap, arena: &'d Arena) -> Vec<Snapshot<'d>> {
    if find(text).is_none() {
        return Vec::new();
    }
    let mut profiles: Vec<Profile<'d>> = Vec::new();
    let mut room = MAX_THREADS;
    for (number, line) in lines(text) {
        let line = line.trim_ascii_end();
        if let Some((total, leaked)) = is_title(line) {
            if profiles.len() >= super::MAX_DUMPS {
                break;
            }
            let used = |profile: &mut Profile<'d>| {
                profile.close();
                profile.snapshot.threads.len()
            };
            room -= profiles.last_mut().map_or(0, used).min(room);
            profiles.push(Profile::new(total, leaked, map.source(number), room));
        } else if let Some(profile) = profiles.last_mut() {
            profile.line(line, map.source(number), arena);
        }
    }
    profiles.into_iter().map(Profile::finish).collect()
}

/// A profile as it is read.
struct Profile<'d> {
    snapshot: Snapshot<'d>,
    leaked: bool,
    total: u64,
    source: Source,
    /// Goroutines that may be listed.
    room: usize,
    /// The stack at hand.
    open: Option<Open<'d>>,
    listed: u64,
    left_out: u64,
}

/// A stack as it is read.
struct Open<'d> {
    count: u64,
    /// Code addresses, of which the runtime hides the innermost.
    addresses: usize,
    frames: Vec<Frame<'d>>,
    labels: Vec<labels::Pair<'d>>,
    source: Source,
}

impl<'d> Profile<'d> {
    fn new(total: u64, leaked: bool, source: Source, room: usize) -> Self {
        let process = Process { runtime: Some(Runtime::Go), ..Process::default() };
        let snapshot = Snapshot { format: super::NAME, process, ..Snapshot::default() };
        Self { snapshot, leaked, total, source, room, open: None, listed: 0, left_out: 0 }
    }

    fn line(&mut self, line: &'d [u8], source: Source, arena: &'d Arena) {
        if let Some((count, rest)) = number(line)
            && let Some(addresses) = rest.strip_prefix(b" @")
        {
            self.close();
            let addresses = addresses.split(|&byte| byte == b' ').filter(|word| hex(word).is_some()).count();
            self.open = Some(Open { count, addresses, frames: Vec::new(), labels: Vec::new(), source });
        } else if let Some(open) = &mut self.open {
            if let Some(rest) = line.strip_prefix(b"# labels: {") {
                open.labels = labels::parse(rest.strip_suffix(b"}").unwrap_or(rest));
            } else if let Some(rest) = line.strip_prefix(b"#") {
                open.frames.extend(frame(rest, open.frames.is_empty(), arena));
            } else {
                self.close();
            }
        }
    }

    /// Makes threads of the stack at hand.
    fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        self.listed = self.listed.saturating_add(open.count);
        let names: Vec<_> = open.frames.iter().filter_map(|frame| frame.function.as_deref()).collect();
        let hidden = open.addresses.saturating_sub(open.frames.iter().filter(|frame| !frame.inlined).count() + 1);
        let state = inferred(&names, hidden, open.frames.len());
        let system = !names.is_empty() && names.iter().all(|name| is_runtime(name)) && !names.contains(&"runtime.main");
        let snapshot = &mut self.snapshot;
        let state = snapshot.intern_state(state);
        let labels = (!open.labels.is_empty()).then(|| {
            snapshot.labels.push(open.labels);
            LabelsId::new(snapshot.labels.len() - 1)
        });
        let frames = open.frames.into_iter().filter_map(|frame| snapshot.add_frame(frame)).collect();
        let stack = snapshot.add_stack(Stack { frames, ..Stack::default() });
        let room = self.room.saturating_sub(snapshot.threads.len()) as u64;
        snapshot.threads.reserve(open.count.min(room) as usize);
        self.left_out = self.left_out.saturating_add(open.count.saturating_sub(room));
        for _ in 0..open.count.min(room) {
            // The profile has no ids: threads are numbered as they come.
            let mut thread = Thread::new(ThreadId(snapshot.threads.len() as u64 + 1), open.source);
            (thread.stack, thread.state, thread.labels) = (stack, state, labels.flatten());
            if system {
                thread.flags = thread.flags | ThreadFlags::SYSTEM;
            }
            if self.leaked {
                thread.flags = thread.flags | ThreadFlags::LEAKED;
            }
            snapshot.threads.push(thread);
        }
    }

    fn finish(mut self) -> Snapshot<'d> {
        self.close();
        if self.listed != self.total {
            let text = format!("the profile says {} goroutines and lists {}", self.total, self.listed);
            self.snapshot.warnings.push(Warning::new(text, self.source));
        }
        if self.left_out > 0 {
            let text = format!("{} goroutines are counted in the profile but not shown", self.left_out);
            self.snapshot.warnings.push(Warning::new(text, self.source));
        }
        let facts = GoFacts {
            form: GoForm::Counts,
            leak_profile: self.leaked,
            stack_waits: vec![None; self.snapshot.stacks.len()],
            ..GoFacts::default()
        };
        self.snapshot.go = Some(Box::new(facts));
        self.snapshot
    }
}

/// `<TAB>0x488a44<TAB>pkg.F+0x24<TAB><TAB>/path/file.go:95`, with tabs or spaces.
fn frame<'d>(line: &'d [u8], innermost: bool, arena: &'d Arena) -> Option<Frame<'d>> {
    let (pc, rest) = hex(line.trim_ascii_start())?;
    let rest = rest.trim_ascii_start();
    let end = memchr::memchr2(b'\t', b' ', rest).unwrap_or(rest.len());
    let (name, place) = rest.split_at_checked(end)?;
    let name = memmem::rfind(name, b"+0x").and_then(|at| name.get(..at)).unwrap_or(name);
    let text = |bytes: &'d [u8]| match String::from_utf8_lossy(bytes) {
        std::borrow::Cow::Owned(owned) => std::borrow::Cow::Borrowed(arena.keep_str(owned)),
        borrowed @ std::borrow::Cow::Borrowed(_) => borrowed,
    };
    let position = position(place);
    let location = (!position.file.is_empty())
        .then(|| Location::new(text(position.file), Some(position.line).filter(|&line| line > 0)));
    let mut frame = Frame::printed(text(name), location);
    frame.address = Some(if innermost { CodeAddress::Instruction(Avma(pc)) } else { CodeAddress::Return(Avma(pc)) });
    if frame.function.as_deref().is_some_and(is_runtime) {
        frame.kind = FrameKind::Runtime;
    }
    Some(frame)
}

/// The state that the innermost calls imply. The runtime hides its own frames; how many it hid tells a channel operation
/// (`gopark`, `chanrecv`, `chanrecv1`) from a `select` (`gopark`, `selectgo`), and no more.
pub(super) fn inferred<'d>(names: &[&str], hidden: usize, frames: usize) -> State<'d> {
    let has = |name: &str| names.iter().take(8).any(|known| *known == name);
    let first = names.first().copied().unwrap_or_default();
    let text = match () {
        () if has("sync.(*RWMutex).RLock") || first == "sync.runtime_SemacquireRWMutexR" => "sync.RWMutex.RLock",
        () if has("sync.(*RWMutex).Lock") => "sync.RWMutex.Lock",
        () if has("sync.(*Mutex).Lock") || has("sync.(*Mutex).lockSlow") || has("internal/sync.(*Mutex).lockSlow") => {
            "sync.Mutex.Lock"
        }
        () if has("sync.(*WaitGroup).Wait") => "sync.WaitGroup.Wait",
        () if has("sync.(*Cond).Wait") => "sync.Cond.Wait",
        () if first == "time.Sleep" => "sleep",
        () if first == "internal/poll.runtime_pollWait" => "IO wait",
        () if first.starts_with("syscall.") || first.starts_with("runtime/internal/syscall.") => "syscall",
        () if has("runtime/pprof.writeRuntimeProfile") => "running",
        () if first.starts_with("sync.runtime_Semacquire") => "semacquire",
        () if first.starts_with("runtime.coro") || first.starts_with("iter.Pull") => "coroutine",
        () if frames == 0 => "not printed",
        () if hidden >= 3 => "chan receive or send",
        () if hidden == 2 => "select",
        () => "not printed",
    };
    let activity = match text {
        "chan receive or send" => Activity::Signal,
        text => necropsy_model::go::activity(text),
    };
    let activity = if state::is_idle(text, names.iter().copied()) { Activity::Idle } else { activity };
    let text = if text == "not printed" { text.to_owned() } else { format!("{text} (inferred)") };
    State { text: text.into(), activity }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILE: &str = "goroutine profile: total 4\n3 @ 0x48754a 0x41558c 0x415477 0x69423c 0x48e3a1\n# labels: {\"a\":\"b\"}\n#\t0x69423b\tmain.zoo.func2+0x1b\t/a.go:113\n\n1 @ 0x1 0x2\n#   0x2   time.Sleep+0x164   /go/time.go:363\n\n";

    #[test]
    fn counts_labels_and_states() {
        let arena = Arena::new();
        let all = read(PROFILE.as_bytes(), &LineMap::identity(), &arena);
        let profile = &all[0];
        assert_eq!((all.len(), profile.threads.len(), profile.stacks.len()), (1, 4, 2));
        assert!(profile.warnings.is_empty());
        let state = |at: usize| profile.state(profile.threads[at].state.unwrap()).unwrap().text.to_string();
        assert_eq!((state(0), state(3)), ("chan receive or send (inferred)".into(), "sleep (inferred)".into()));
        assert_eq!(profile.labels[0][0].1, "b");
        assert_eq!(profile.frames[0].location.as_ref().unwrap().line, Some(113));
    }

    #[test]
    fn a_count_does_not_decide_memory() {
        let arena = Arena::new();
        let text = "goroutine profile: total 99999999999\n99999999999 @ 0x1\n#\t0x1\tmain.f+0x1\t/a.go:1\n";
        let profile = &read(text.as_bytes(), &LineMap::identity(), &arena)[0];
        assert_eq!((profile.threads.len(), profile.warnings.len()), (MAX_THREADS, 1));
        let many = text.repeat(300);
        let many = read(many.as_bytes(), &LineMap::identity(), &arena);
        let listed: usize = many.iter().map(|profile| profile.threads.len()).sum();
        assert_eq!((many.len(), listed), (super::super::MAX_DUMPS, MAX_THREADS));
    }
}
