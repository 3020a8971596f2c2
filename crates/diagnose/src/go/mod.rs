//! What the rules about Go share: the view of a case, and the words for it.

pub(crate) mod fatal;
pub(crate) mod locks;
mod origin;
pub(crate) mod panics;
#[cfg(test)]
pub(crate) mod samples;
pub(crate) mod verdict;

pub(crate) use crate::numbers::number;
use necropsy_model::go::{GoFacts, GoForm};
use necropsy_model::{
    Activity, Confidence, Evidence, Finding, Frame, FrameKind, Group, Groups, Place, Role, Severity, Snapshot, Source,
    Thread, WaitKind,
};

use crate::Case;

pub(crate) use necropsy_model::go::is_standard_library as is_std;

/// A case that is a Go dump.
#[derive(Clone, Copy)]
pub(crate) struct Go<'a, 'data> {
    pub snapshot: &'a Snapshot<'data>,
    pub facts: &'a GoFacts<'data>,
    pub groups: &'a Groups,
}

impl<'a, 'data> Go<'a, 'data> {
    pub(crate) fn of(case: &Case<'a, 'data>) -> Option<Self> {
        let facts = case.snapshot.go.as_deref()?;
        Some(Self { snapshot: case.snapshot, facts, groups: case.groups })
    }

    /// A case that is a Go dump of a process that lives.
    pub(crate) fn alive(case: &Case<'a, 'data>) -> Option<Self> {
        Self::of(case).filter(Self::is_alive)
    }

    /// The dump shows a process that lives: what waits in it is of interest.
    pub(crate) fn is_alive(&self) -> bool {
        match self.facts.form {
            GoForm::Stacks | GoForm::Signalled | GoForm::Counts | GoForm::Profile => self.snapshot.stop.is_none(),
            GoForm::Fatal => self.is_all_asleep(),
            GoForm::Panic => !self.facts.running_tests.is_empty(),
            GoForm::Recovered | GoForm::Races => false,
        }
    }

    /// The runtime itself said that nothing can go on.
    pub(crate) fn is_all_asleep(&self) -> bool {
        self.facts.fatal.as_ref().is_some_and(|fatal| fatal.text.ends_with("- deadlock!"))
    }

    /// Groups that are not background.
    pub(crate) fn front(&self) -> impl Iterator<Item = &'a Group> {
        self.groups.groups.iter().filter(|group| !group.background)
    }

    pub(crate) fn thread(&self, index: u32) -> Option<&'a Thread<'data>> {
        self.snapshot.threads.get(index as usize)
    }

    /// The dump's word for a state, without the remark that it was inferred.
    pub(crate) fn state(&self, group: &Group) -> &'a str {
        let state = group.state.and_then(|id| self.snapshot.state(id));
        state.map_or("", |state| state.text.trim_end_matches(" (inferred)"))
    }

    pub(crate) fn frames(&self, group: &Group) -> Vec<&'a Frame<'data>> {
        let stack = group.stack.and_then(|id| self.snapshot.stack(id));
        let ids = stack.map(|stack| stack.frames.as_slice()).unwrap_or_default();
        ids.iter().filter_map(|&id| self.snapshot.frame(id)).collect()
    }

    /// What the threads of a stack wait for.
    pub(crate) fn wait_kind(&self, group: &Group) -> Option<WaitKind> {
        self.facts.stack_waits.get(group.stack?.index()).copied().flatten()
    }

    /// The innermost call of the program itself, else of a library.
    pub(crate) fn own_frame(&self, group: &Group) -> Option<usize> {
        own(&self.frames(group))
    }

    /// `main.work at jobs.go:88`, the innermost call of the program.
    pub(crate) fn at(&self, group: &Group) -> String {
        let frames = self.frames(group);
        own(&frames).and_then(|at| frames.get(at)).map_or_else(|| "an unknown place".to_owned(), |frame| words(frame))
    }

    /// The place of the first member's own frame.
    pub(crate) fn place(&self, group: &Group, role: Role) -> Option<Place<'data>> {
        let first = *group.threads.first()?;
        self.snapshot.place(first as usize, self.own_frame(group)?, role)
    }

    /// Where the first member stands in the dump.
    pub(crate) fn source(&self, group: &Group) -> Source {
        group.threads.first().and_then(|&at| self.thread(at)).map_or(Source::DUMP, |thread| thread.source)
    }

    /// The call that created them.
    pub(crate) fn creator(&self, group: &Group) -> Option<String> {
        group.created_by.and_then(|id| self.snapshot.frame(id)).map(words)
    }

    /// Members, in words: `9,982 of 10,113 goroutines`.
    pub(crate) fn share(&self, count: usize) -> String {
        match (count, self.snapshot.threads.len()) {
            (1, _) => "1 goroutine".to_owned(),
            (count, total) => format!("{} of {} goroutines", number(count), number(total)),
        }
    }

    /// Members with what they do: `1 goroutine waits`, `7 of 9 goroutines wait`.
    pub(crate) fn does(&self, count: usize, verb: &str) -> String {
        let ending = if count == 1 { "s" } else { "" };
        format!("{} {verb}{ending}", self.share(count))
    }

    /// Threads in this activity that are not of the runtime.
    pub(crate) fn any(&self, wanted: impl Fn(&Group) -> bool) -> bool {
        self.groups.groups.iter().any(wanted)
    }

    pub(crate) fn activity(&self, group: &Group) -> Activity {
        group.state.and_then(|id| self.snapshot.state(id)).map(|state| state.activity).unwrap_or_default()
    }

    /// The wait that holds for all members, in words; it is a lower bound.
    #[expect(clippy::unused_self, reason = "it reads as the others do: go.waited(group)")]
    pub(crate) fn waited(&self, group: &Group) -> String {
        match group.waited {
            Some(spread) if spread.max_s >= 60 => format!(", {} minutes or more", spread.max_s / 60),
            _ => String::new(),
        }
    }
}

/// The innermost frame of the program itself; else the innermost that is not of the runtime; else the innermost.
pub(crate) fn own(frames: &[&Frame<'_>]) -> Option<usize> {
    let of_program = |frame: &&Frame<'_>| frame.function.as_deref().is_some_and(|name| !is_std(name));
    let found = frames.iter().position(|frame| frame.kind != FrameKind::Runtime && of_program(frame));
    found
        .or_else(|| frames.iter().position(|frame| frame.kind != FrameKind::Runtime))
        .or_else(|| (!frames.is_empty()).then_some(0))
}

/// Function and position of a frame in words.
pub(crate) fn words(frame: &Frame<'_>) -> String {
    let name = frame.function.as_deref().unwrap_or("?");
    match &frame.location {
        Some(location) => match location.line {
            Some(line) => format!("{name} at {}:{line}", location.file_name()),
            None => format!("{name} in {}", location.file_name()),
        },
        None => name.to_owned(),
    }
}

/// Members of groups.
pub(crate) fn members(groups: &[&Group]) -> usize {
    groups.iter().map(|group| group.threads.len()).sum()
}

/// Whether a frame is of the program, not of the runtime or the standard library.
pub(crate) fn in_program(frame: &Frame<'_>) -> bool {
    frame.kind != FrameKind::Runtime && frame.function.as_deref().is_some_and(|name| !is_std(name))
}

/// Names the first groups of a finding as its places and evidence.
pub(crate) fn show<'data>(go: &Go<'_, 'data>, groups: &[&Group], role: Role, finding: &mut Finding<'data>) {
    const SHOWN: usize = 4;
    for group in groups.iter().take(SHOWN) {
        finding.places.extend(go.place(group, role));
        finding.evidence.push(of_group(go, group));
    }
}

/// What the minutes of a header mean, where they are shown or missing.
pub(crate) fn minutes<'data>(go: &Go<'_, 'data>, group: &Group, finding: &mut Finding<'data>) {
    let text = match group.waited {
        Some(_) => {
            "the minutes are a lower bound: the garbage collector stamps them, and it starts counting when it first sees the wait"
        }
        None => {
            "no minutes are printed; that does not mean they just arrived: the stamp is set by a garbage collection"
        }
    };
    finding.evidence.push(Evidence::new(text, go.source(group)));
}

/// A finding without places, evidence and next steps yet.
pub(crate) fn finding<'data>(
    rule: &'static str,
    severity: Severity,
    confidence: Confidence,
    title: String,
) -> Finding<'data> {
    Finding { rule, severity, confidence, title, places: Vec::new(), evidence: Vec::new(), next: Vec::new() }
}

/// Evidence about a group: how many, in which state, where.
pub(crate) fn of_group<'data>(go: &Go<'_, 'data>, group: &Group) -> Evidence<'data> {
    let text =
        format!("{} in {}{}, at {}", go.share(group.threads.len()), go.state(group), go.waited(group), go.at(group));
    Evidence::new(text, go.source(group))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_commas() {
        assert_eq!([number(7), number(1000), number(1_234_567)], ["7", "1,000", "1,234,567"]);
    }
}
