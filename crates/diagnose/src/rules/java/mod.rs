//! Rules for Java thread dumps: one file and one page each.

pub(crate) mod busy;
pub(crate) mod class_init;
pub(crate) mod finalizer;
pub(crate) mod nested_monitor;
pub(crate) mod pinned;
pub(crate) mod pool_exhausted;
pub(crate) mod pool_self_wait;
pub(crate) mod rw_upgrade;
pub(crate) mod same_call;
#[cfg(test)]
pub(crate) mod samples;

use std::collections::BTreeMap;

use necropsy_model::{
    Activity, Evidence, Finding, Frame, FrameKind, Place, Role, Snapshot, Thread, ThreadFlags, Wait, jvm::JvmFacts,
};

use crate::Case;
use crate::wait_graph::{own_frame, wait};

/// A case that is a thread dump of a Java virtual machine.
#[derive(Clone, Copy)]
pub(crate) struct Java<'a, 'data> {
    pub snapshot: &'a Snapshot<'data>,
    pub facts: &'a JvmFacts<'data>,
}

/// A thread with its index in the snapshot.
pub(crate) type At<'a, 'data> = (usize, &'a Thread<'data>);

/// Waits with what waits for it, by the number of the lock.
type ByLock<'a, 'data> = BTreeMap<u64, (&'a Wait<'data>, Vec<At<'a, 'data>>)>;

impl<'a, 'data> Java<'a, 'data> {
    /// A dump that was asked for: of a crash, the fatal error log says more.
    pub(crate) fn of(case: &Case<'a, 'data>) -> Option<Self> {
        let facts = case.snapshot.jvm.as_deref()?;
        case.snapshot.stop.is_none().then_some(Self { snapshot: case.snapshot, facts })
    }

    /// Threads that are not of the virtual machine itself.
    pub(crate) fn threads(&self) -> impl Iterator<Item = At<'a, 'data>> + use<'a, 'data> {
        self.snapshot.threads.iter().enumerate().filter(|(_, thread)| !thread.flags.contains(ThreadFlags::SYSTEM))
    }

    /// The dump was read to its end.
    pub(crate) fn is_whole(&self) -> bool {
        self.snapshot.warnings.is_empty()
    }

    /// The methods of a thread, innermost first.
    pub(crate) fn methods(&self, thread: &'a Thread<'data>) -> impl Iterator<Item = &'a str> + use<'a, 'data> {
        let snapshot: &'a Snapshot<'data> = self.snapshot;
        snapshot.frames_of(thread).filter_map(|frame| frame.function.as_deref())
    }

    /// A method of the thread has this in its name.
    pub(crate) fn passes(&self, thread: &'a Thread<'data>, part: &str) -> bool {
        self.methods(thread).any(|method| method.contains(part))
    }

    /// The innermost frame that is not of the JDK.
    pub(crate) fn own(&self, thread: &'a Thread<'data>) -> Option<&'a Frame<'data>> {
        let snapshot: &'a Snapshot<'data> = self.snapshot;
        snapshot.frames_of(thread).find(|frame| frame.kind != FrameKind::Runtime)
    }

    /// The method of that frame.
    pub(crate) fn own_method(&self, thread: &'a Thread<'data>) -> Option<&'a str> {
        self.own(thread)?.function.as_deref()
    }

    /// The methods of the JDK between that frame and the top.
    pub(crate) fn called_from_own(&self, thread: &'a Thread<'data>) -> impl Iterator<Item = &'a str> + use<'a, 'data> {
        let snapshot: &'a Snapshot<'data> = self.snapshot;
        snapshot
            .frames_of(thread)
            .take_while(|frame| frame.kind == FrameKind::Runtime)
            .filter_map(|frame| frame.function.as_deref())
    }

    /// `shop.Cart.load at Cart.java:12`: where a thread stands in the program.
    pub(crate) fn at(&self, thread: &'a Thread<'data>) -> String {
        let frame = self.own(thread).or_else(|| self.snapshot.frames_of(thread).next());
        frame.map_or_else(|| "an unknown place".to_owned(), crate::go::words)
    }

    pub(crate) fn activity(&self, thread: &Thread<'data>) -> Activity {
        self.snapshot.activity(thread)
    }

    /// The virtual machine's word for what a thread does.
    pub(crate) fn state(&self, thread: &Thread<'data>) -> &'a str {
        let state = thread.state.and_then(|id| self.snapshot.state(id));
        state.map_or("", |state| &*state.text)
    }

    /// The wait ends by itself after some time.
    pub(crate) fn is_timed(&self, thread: &Thread<'data>) -> bool {
        self.state(thread).starts_with("TIMED_")
    }

    /// The place of a thread's own frame.
    pub(crate) fn place(&self, (index, thread): At<'a, 'data>, role: Role) -> Option<Place<'data>> {
        self.snapshot.place(index, own_frame(self.snapshot, thread), role)
    }

    /// Waiting threads by the object that they wait for.
    pub(crate) fn waits(&self, wanted: impl Fn(&Wait<'data>) -> bool) -> ByLock<'a, 'data> {
        let mut waits = ByLock::new();
        for (index, thread) in self.threads() {
            let Some(wait) = wait(thread).filter(|wait| wanted(wait)) else { continue };
            let Some(lock) = wait.lock.as_ref().filter(|lock| lock.id != 0) else { continue };
            waits.entry(lock.id).or_insert_with(|| (wait, Vec::new())).1.push((index, thread));
        }
        waits
    }

    /// Evidence about a thread: its name, what it does and where.
    pub(crate) fn says(&self, thread: &'a Thread<'data>, what: &str) -> Evidence<'data> {
        let text = format!("{} {what} in {}", super::called(thread), self.at(thread));
        Evidence::new(text, thread.source)
    }
}

/// The class of a method, without the numbers of hidden classes and without its nested classes: `shop.Cart` of
/// `shop.Cart$Loader.lambda$run$3`.
pub(crate) fn outer_class(method: &str) -> &str {
    let class = method.rsplit_once('.').map_or(method, |(class, _)| class);
    let class = class.split_once('/').map_or(class, |(class, _)| class);
    class.split_once('$').map_or(class, |(class, _)| class)
}

/// The threads of one pool are called alike but for a number at the end: `order-pool-` of `order-pool-12`.
pub(crate) fn pool_of(name: &str) -> &str {
    name.trim_end_matches(|c: char| c.is_ascii_digit())
}

/// Threads by pool.
pub(crate) fn by_pool<'a, 'data>(
    threads: impl Iterator<Item = At<'a, 'data>>,
) -> BTreeMap<&'a str, Vec<At<'a, 'data>>> {
    let mut pools: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (index, thread) in threads {
        pools.entry(pool_of(thread.name().unwrap_or_default())).or_default().push((index, thread));
    }
    pools
}

/// `1 thread`, `7 threads`.
pub(crate) fn threads(count: usize) -> String {
    if count == 1 { "1 thread".to_owned() } else { format!("{} threads", crate::go::number(count)) }
}

/// What a thread that waits for input or output waits for, as far as its methods tell.
pub(crate) fn io(java: &Java<'_, '_>, thread: &Thread<'_>) -> &'static str {
    let frame = java.snapshot.frames_of(thread).next().and_then(|frame| frame.function.as_deref()).unwrap_or_default();
    crate::jvm::io_of(frame)
}

/// A finding without places and evidence yet.
pub(crate) fn finding<'data>(
    rule: &crate::Rule,
    severity: necropsy_model::Severity,
    confidence: necropsy_model::Confidence,
    title: String,
) -> Finding<'data> {
    Finding {
        rule: rule.id,
        severity,
        confidence,
        title,
        places: Vec::new(),
        evidence: Vec::new(),
        next: vec![super::native::advice(rule.doc)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_and_pools() {
        assert_eq!(outer_class("shop.Cart$Loader.lambda$run$3"), "shop.Cart");
        assert_eq!(outer_class("shop.Cart$$Lambda/0x00007f.run"), "shop.Cart");
        assert_eq!(outer_class("shop.Cart.load"), "shop.Cart");
        assert_eq!([pool_of("order-pool-12"), pool_of("main")], ["order-pool-", "main"]);
    }
}
