//! Judges two dumps of one process: what is moving and what is not.
//!
//! The facts are in [`Comparison`]; a rule sees them with both dumps and what was concluded from each alone.

mod busy_loop;
mod collector;
mod deadlock;
mod growth;
mod holder;
mod persists;
mod progress;
#[cfg(test)]
mod samples;
mod standstill;
mod suitability;
mod words;

use std::time::Duration;

use necropsy_model::{
    Activity, Comparison, Confidence, Motion, Pair, PairEvidence, PairFinding, PairVerdict, Place, Role, SameProcess,
    Severity, Snapshot, Symptom, Thread, ThreadFlags, ThreadId, Verdict,
};

use crate::wait_graph;

/// One of two dumps, with what it says alone.
#[derive(Clone, Copy)]
pub struct Told<'a, 'data> {
    /// The dump.
    pub snapshot: &'a Snapshot<'data>,
    /// Its verdict.
    pub verdict: &'a Verdict<'data>,
}

/// What a rule about two dumps may look at.
#[derive(Clone, Copy)]
pub struct PairCase<'a, 'data> {
    /// The earlier dump.
    pub before: Told<'a, 'data>,
    /// The later dump.
    pub after: Told<'a, 'data>,
    /// One laid over the other.
    pub comparison: &'a Comparison,
}

/// A rule about two dumps.
pub struct PairRule {
    /// Stable id in kebab-case, which users can cite.
    pub id: &'static str,
    /// Its page in Markdown, under the headings that all rules have.
    pub doc: &'static str,
    /// What it finds.
    pub check: for<'a, 'data> fn(&PairCase<'a, 'data>) -> Vec<PairFinding<'data>>,
}

/// All rules about two dumps, in the order of the guide.
pub static RULES: &[&PairRule] = &[
    &deadlock::RULE,
    &busy_loop::RULE,
    &growth::RULE,
    &holder::RULE,
    &collector::RULE,
    &standstill::RULE,
    &persists::RULE,
    &progress::RULE,
];

/// Judges two dumps.
pub fn diagnose<'data>(case: &PairCase<'_, 'data>) -> PairVerdict<'data> {
    let identity = &case.comparison.identity;
    if identity.same == SameProcess::No {
        let why = identity.because.join("; ");
        return PairVerdict {
            headline: format!("not two dumps of one process, so nothing is compared: {why}"),
            confidence: Confidence::High,
            suitability: suitability::refused(case, &why),
            ..PairVerdict::default()
        };
    }
    let mut findings: Vec<_> = RULES.iter().flat_map(|rule| (rule.check)(case)).collect();
    findings.sort_by_key(|finding| std::cmp::Reverse((finding.severity, finding.confidence)));
    let symptom = symptom(case, &findings);
    let headline = words::headline(case, &findings);
    let confidence = findings.first().map(|finding| finding.confidence).unwrap_or_default();
    // Who can not be sure that it is one process can not be sure of what it did.
    let confidence =
        if identity.same == SameProcess::NotTold { confidence.min(Confidence::Medium) } else { confidence };
    PairVerdict { symptom, headline, confidence, suitability: suitability::of(case, &findings), findings }
}

/// The page of the rule called `id`.
pub fn explain(id: &str) -> Option<&'static str> {
    RULES.iter().find(|rule| rule.id == id).map(|rule| rule.doc)
}

fn symptom(case: &PairCase<'_, '_>, findings: &[PairFinding<'_>]) -> Symptom {
    let serious =
        |rule: &PairRule| findings.iter().any(|finding| finding.rule == rule.id && finding.severity > Severity::Note);
    if serious(&deadlock::RULE) {
        Symptom::HangIdle
    } else if serious(&busy_loop::RULE) || serious(&collector::RULE) {
        Symptom::HangBusy
    } else if serious(&standstill::RULE) || serious(&holder::RULE) {
        Symptom::HangIdle
    } else if case.after.verdict.symptom == Symptom::OutOfMemory {
        Symptom::OutOfMemory
    } else {
        Symptom::Unclear
    }
}

/// Share of the time between two dumps from which a thread was busy.
const BUSY: f64 = 0.5;
/// On a machine with few CPUs nobody gets much: this share is enough for one that used most of what all used.
const BUSY_AMONG_OTHERS: f64 = 0.1;
/// CPU time from which a thread was busy when the dumps do not say how far they are apart.
const BUSY_AT_LEAST: Duration = Duration::from_secs(1);

impl<'a, 'data> PairCase<'a, 'data> {
    /// The thread of a pair in the earlier dump.
    fn was(&self, pair: &Pair) -> Option<&'a Thread<'data>> {
        self.before.snapshot.threads.get(pair.before as usize)
    }

    /// The thread of a pair in the later dump.
    fn is(&self, pair: &Pair) -> Option<&'a Thread<'data>> {
        self.after.snapshot.threads.get(pair.after as usize)
    }

    /// The threads of pairs by their ids, as many as a finding lists.
    fn threads(&self, pairs: &[&Pair]) -> Vec<ThreadId> {
        let threads = pairs.iter().filter_map(|pair| self.is(pair));
        threads.map(|thread| thread.id).take(PairFinding::MOST_THREADS).collect()
    }

    /// Pairs of the program's threads whose stacks are known, without the one that wrote the dump.
    fn program(&self) -> impl Iterator<Item = &'a Pair> {
        let case = *self;
        self.comparison.pairs.iter().filter(move |pair| {
            let own = case.is(pair).is_some_and(|thread| !thread.flags.contains(ThreadFlags::SYSTEM));
            own && pair.motion != Motion::NotTold && !case.writes_the_dump(pair)
        })
    }

    /// A goroutine that prints all goroutines is on a CPU in every dump.
    fn writes_the_dump(&self, pair: &Pair) -> bool {
        const WRITERS: [&str; 4] = [
            "runtime/pprof.writeGoroutine",
            "runtime/pprof.(*Profile).WriteTo",
            "runtime.Stack",
            "runtime/debug.Stack",
        ];
        let snapshot = self.after.snapshot;
        let Some(thread) = self.is(pair).filter(|_| snapshot.go.is_some()) else { return false };
        snapshot
            .frames_of(thread)
            .filter_map(|frame| frame.function.as_deref())
            .any(|function| WRITERS.iter().any(|writer| function.starts_with(writer)))
    }

    /// What the thread of a pair did in the earlier and in the later dump.
    fn activities(&self, pair: &Pair) -> (Activity, Activity) {
        let of = |snapshot: &Snapshot<'data>, thread: Option<&Thread<'data>>| {
            thread.map(|thread| snapshot.activity(thread)).unwrap_or_default()
        };
        (of(self.before.snapshot, self.was(pair)), of(self.after.snapshot, self.is(pair)))
    }

    /// It computed between the dumps: by its CPU time, or where none is known, because it was on a CPU in both.
    fn is_busy(&self, pair: &Pair) -> bool {
        let Some(cpu) = pair.cpu else {
            let (was, is) = self.activities(pair);
            let on_cpu = |activity| matches!(activity, Activity::Running | Activity::Runnable);
            return on_cpu(was) && on_cpu(is);
        };
        let all = self.comparison.cpu.unwrap_or(cpu).as_secs_f64();
        let most = cpu.as_secs_f64() >= all * 0.5;
        match self.comparison.elapsed.filter(|elapsed| !elapsed.basis.is_rough()) {
            Some(elapsed) => {
                let share = cpu.as_secs_f64() / elapsed.time.as_secs_f64().max(f64::MIN_POSITIVE);
                cpu > Pair::AWAKE && (share >= BUSY || share >= BUSY_AMONG_OTHERS && most)
            }
            None => cpu >= BUSY_AT_LEAST && most,
        }
    }

    /// The frame that the thread was in all the time: the innermost one that both stacks share and that is neither of the
    /// runtime nor of a library that everybody passes through. None when only machinery is shared.
    fn stays_in(&self, pair: &Pair) -> Option<usize> {
        let snapshot = self.after.snapshot;
        let thread = self.is(pair)?;
        let length = snapshot.frames_of(thread).count();
        let first = length.checked_sub(pair.common as usize)?;
        let machinery = |frame: &necropsy_model::Frame<'_>| {
            frame.kind == necropsy_model::FrameKind::Runtime || crate::noise::is_noise(snapshot, frame)
        };
        let found = snapshot.frames_of(thread).skip(first).position(|frame| !machinery(frame))?;
        Some(first + found)
    }

    /// Where the thread of a pair stands in the later dump: its innermost frame that is not of the machinery.
    fn place(&self, pair: &Pair, role: Role) -> Option<Place<'data>> {
        let thread = self.is(pair)?;
        let frame = wait_graph::own_frame(self.after.snapshot, thread);
        self.after.snapshot.place(pair.after as usize, frame, role)
    }

    /// Evidence about the thread of a pair, with its places in both dumps.
    fn evidence(&self, pair: &Pair, text: String) -> PairEvidence {
        let source = |thread: Option<&Thread<'data>>| thread.map(|thread| thread.source);
        PairEvidence { text, before: source(self.was(pair)), after: source(self.is(pair)) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::RULES;

    #[test]
    fn every_rule_has_a_unique_id_and_a_complete_page() {
        let ids: BTreeSet<_> =
            RULES.iter().map(|rule| rule.id).chain(crate::RULES.iter().map(|rule| rule.id)).collect();
        assert_eq!(ids.len(), RULES.len() + crate::RULES.len());
        for rule in RULES {
            assert!(rule.id.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{}", rule.id);
            for heading in ["# What it means", "# Why it matters", "# How it can be wrong", "# What to do"] {
                let text = rule.doc.split(heading).nth(1).unwrap_or_default();
                let line = text.trim_start().lines().next();
                assert!(line.is_some_and(|line| !line.starts_with('#')), "{}: {heading}", rule.id);
            }
        }
    }
}
