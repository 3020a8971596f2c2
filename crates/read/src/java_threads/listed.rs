//! Listings of threads by the classes of Java itself, as JSON or text, with objects as `class@hash`: what they say, and the
//! snapshot of it. Unlike HotSpot's own dumps they name an object by its identity hash.

use necropsy_model::jvm::JvmFacts;
use necropsy_model::{
    Activity, Arena, FrameId, Lock, Runtime, Snapshot, Source, State, Thread, ThreadFlags, ThreadId, Wait, WaitKind,
};
use rustc_hash::{FxHashMap, FxHashSet};

use super::numbers::Numbers;
use super::stacks::Stacks;
use super::{build, frame, state};
use crate::Error;

/// What a listing says.
#[derive(Debug, Default)]
pub(super) struct RawDump {
    pub pid: Option<u64>,
    pub time: String,
    pub version: String,
    pub threads: Vec<RawThread>,
    /// The text ends where a dump does not end.
    pub cut: bool,
}

/// A thread as printed.
#[derive(Debug, Default)]
pub(super) struct RawThread {
    pub number: u64,
    pub name: String,
    pub is_virtual: bool,
    pub state: String,
    pub frames: Vec<String>,
    pub holds: Vec<String>,
    pub wants: Option<Want>,
    pub carrier: Option<u64>,
    pub line: Option<u64>,
}

/// What a thread waits for: `java.lang.Object@4a5c3914`.
#[derive(Debug)]
pub(super) struct Want {
    pub kind: WantKind,
    pub object: String,
    /// Number of the thread that has it, where the listing names one.
    pub owner: Option<u64>,
}

/// How it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WantKind {
    /// To enter a monitor.
    Lock,
    /// In `Object.wait`.
    On,
    /// Parked.
    Park,
}

/// The snapshot of a listing.
pub(super) fn snapshot<'d>(dump: RawDump, format: &'static str, arena: &'d Arena) -> Result<Snapshot<'d>, Error> {
    if dump.threads.is_empty() {
        return Err(Error::Unreadable { reason: "there is no Java thread in it".to_owned() });
    }
    Ok(Builder::new(format, arena).build(dump))
}

struct Builder<'d> {
    arena: &'d Arena,
    snapshot: Snapshot<'d>,
    frames: FxHashMap<String, Option<FrameId>>,
    stacks: Stacks,
    /// Numbers of objects by their text: two objects of different classes may have one hash.
    objects: FxHashMap<String, u64>,
    numbers: Numbers,
    /// Owners of synchronizers that waiting threads name.
    owned: Vec<(ThreadId, Lock<'d>)>,
}

impl<'d> Builder<'d> {
    fn new(format: &'static str, arena: &'d Arena) -> Self {
        Self {
            arena,
            snapshot: Snapshot { format, ..Snapshot::default() },
            frames: FxHashMap::default(),
            stacks: Stacks::default(),
            objects: FxHashMap::default(),
            numbers: Numbers::default(),
            owned: Vec::new(),
        }
    }

    fn build(mut self, dump: RawDump) -> Snapshot<'d> {
        let process = &mut self.snapshot.process;
        process.pid = dump.pid;
        process.runtime = Some(Runtime::Jvm);
        process.runtime_version = Some(dump.version).filter(|version| !version.is_empty()).map(Into::into);
        process.taken_at = Some(dump.time).filter(|time| !time.is_empty()).map(Into::into);
        for thread in dump.threads {
            self.thread(thread);
        }
        let mut snapshot = self.snapshot;
        // A dump that names the owner of a synchronizer says by that what the owner holds.
        let mut places: FxHashMap<ThreadId, usize> = FxHashMap::default();
        for (at, thread) in snapshot.threads.iter().enumerate() {
            places.entry(thread.id).or_insert(at);
        }
        let mut held = build::held(&snapshot);
        for (owner, lock) in std::mem::take(&mut self.owned) {
            let Some(&at) = places.get(&owner) else { continue };
            if let Some(thread) = snapshot.threads.get_mut(at).filter(|_| held.insert((at, lock.id))) {
                thread.detail_mut().holds.push(lock);
            }
        }
        build::owners(&mut snapshot);
        let (mut carriers, mut last) = (Vec::new(), Source::DUMP);
        for thread in &snapshot.threads {
            last = thread.source;
            carriers
                .extend(thread.detail.as_ref().and_then(|detail| detail.carries).map(|carrier| (carrier, thread.id)));
        }
        for (carrier, carried) in carriers {
            if let Some(thread) = places.get(&carrier).and_then(|&at| snapshot.threads.get_mut(at)) {
                thread.detail_mut().carries = Some(carried);
            }
        }
        if dump.cut {
            let text = "the dump has no end behind this thread: others may be missing";
            snapshot.warnings.push(necropsy_model::Warning::new(text, last));
        }
        snapshot.jvm = Some(Box::new(JvmFacts::default()));
        snapshot
    }

    fn thread(&mut self, raw: RawThread) {
        let ids: Vec<_> = raw.frames.iter().filter_map(|text| self.frame(text)).collect();
        let names: Vec<String> =
            ids.iter().filter_map(|&id| Some(self.snapshot.frame(id)?.function.as_deref()?.to_owned())).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let source = raw.line.map_or(Source::DUMP, Source::line);
        let mut holds: Vec<Lock<'d>> = Vec::new();
        let mut held = FxHashSet::default();
        for text in &raw.holds {
            let lock = self.lock(text);
            if held.insert(lock.id) {
                holds.push(lock);
            }
        }
        let limited = raw.state.starts_with("TIMED_");
        let wait = raw.wants.as_ref().map(|want| Wait { limited, ..self.wait(want, &names, source) });
        if let Some(lock) = wait.as_ref().and_then(|wait| wait.lock.as_ref()) {
            // Object.wait gives the monitor back, though a frame below has locked it.
            holds.retain(|held| held != lock);
        }
        let told = !raw.state.is_empty() || wait.is_some();
        let inferred = state::wants_lock(&names).filter(|_| !told);
        let wait = wait.or_else(|| inferred.map(|kind| Wait { kind, lock: None, owner: None, limited: false, source }));
        let kind = wait.as_ref().map(|wait| wait.kind);
        let sleeps = raw.state.contains("WAITING") && names.contains(&"java.lang.Thread.sleep");
        let activity = match inferred {
            Some(_) => Activity::Lock,
            None if sleeps => Activity::Sleep,
            None => state::activity(&raw.state, "", kind, &names),
        };
        let text = if inferred.is_some() { "waits for a lock (inferred)".into() } else { raw.state.into() };
        let mut thread = Thread::new(ThreadId(raw.number), source);
        thread.state = self.snapshot.intern_state(State { text, activity });
        thread.stack = self.stacks.intern(&mut self.snapshot, ids);
        // JDK 21 marks them in the text alone.
        if raw.is_virtual || names.last() == Some(&"java.lang.VirtualThread.run") {
            thread.flags = ThreadFlags::VIRTUAL;
        }
        let detail = thread.detail_mut();
        detail.name = Some(raw.name).filter(|name| !name.is_empty()).map(Into::into);
        detail.holds = holds;
        detail.waits_on = wait;
        detail.carries = raw.carrier.map(ThreadId);
        self.snapshot.threads.push(thread);
    }

    fn wait(&mut self, want: &Want, frames: &[&str], source: Source) -> Wait<'d> {
        let kind = match want.kind {
            WantKind::Lock => WaitKind::Lock,
            WantKind::On if frames.contains(&"java.lang.Thread.join") => WaitKind::Join,
            WantKind::On => WaitKind::Condition,
            WantKind::Park => state::parked(want.object.split('@').next().unwrap_or_default(), frames),
        };
        let lock = self.lock(&want.object);
        self.owned.extend(want.owner.map(|owner| (ThreadId(owner), lock.clone())));
        Wait { kind, lock: Some(lock), owner: None, limited: false, source }
    }

    /// `java.lang.Object@4a5c3914`: class and identity hash.
    fn lock(&mut self, text: &str) -> Lock<'d> {
        let (class, hash) = text.rsplit_once('@').unwrap_or((text, ""));
        let hash = u64::from_str_radix(hash, 16).unwrap_or_default();
        let id = match self.objects.get(text) {
            Some(&id) => id,
            None => {
                let id = self.numbers.number(hash);
                self.objects.insert(text.to_owned(), id);
                id
            }
        };
        Lock { id, name: Some(class.to_owned().into()) }
    }

    fn frame(&mut self, text: &str) -> Option<FrameId> {
        if let Some(&known) = self.frames.get(text) {
            return known;
        }
        let kept = self.arena.keep_str(text.to_owned());
        let id = frame::parse(kept.as_bytes()).and_then(|frame| self.snapshot.add_frame(frame));
        self.frames.insert(text.to_owned(), id);
        id
    }
}
