//! What was found: the ends of chains, and the ways to them.

use necropsy_model::BirthKind;

use super::Tracer;
use super::context::Ctx;

/// An instruction of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    pub ctx: Ctx,
    pub at: usize,
}

/// One step of a chain.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub spot: Spot,
    pub step: &'static str,
    pub text: String,
    /// The memory that tells.
    pub memory: Option<u64>,
}

/// The way from the fault to where the search is.
#[derive(Clone, Debug, Default)]
pub(super) struct Path {
    pub steps: Vec<Step>,
    /// Where the value stopped being a parameter.
    pub gate: Option<Spot>,
    /// Runs that only passed it on.
    pub handed: Vec<Spot>,
    /// Where it was last read from memory.
    pub loaded: Option<Spot>,
    /// What was read there.
    pub read: Option<super::writers::Read>,
    /// The store that put it into the memory it was read from.
    pub stored: Option<Spot>,
    /// Functions entered by what they returned: the outermost first, at their return.
    pub returned: Vec<Spot>,
    /// Memory that reaches the entry of this run was not written by it.
    pub floor: Option<Ctx>,
    /// It was read as 32 bits and used as more.
    pub narrow: bool,
    /// It is an index that led out of its table.
    pub index: bool,
    /// It was added to a pointer that is sound.
    pub offset: bool,
    /// The fewest bytes that it was widened from.
    pub bits: Option<u8>,
    pub doubts: Vec<&'static str>,
    /// It is a number that is written down in the code.
    pub literal: bool,
    /// The value that is followed.
    pub value: Option<u64>,
}

impl Path {
    /// The same path with a step more.
    pub fn with(&self, spot: Spot, step: &'static str, text: String) -> Self {
        let mut path = self.clone();
        path.steps.push(Step { spot, step, text, memory: None });
        path
    }

    /// The path with the store as its end, whatever was followed behind it.
    pub fn ends_with(&mut self, spot: Spot, step: &'static str, text: &str) {
        let writes = |step: &Step| matches!(step.step, "written-by" | "element" | "store" | "fault" | "recursion");
        let kept = self.steps.iter().rposition(writes).map_or(0, |last| last + 1);
        self.steps.truncate(kept);
        if self.steps.last().is_none_or(|last| last.spot != spot) {
            self.steps.push(Step { spot, step, text: text.to_owned(), memory: None });
        }
    }

    /// The memory that tells of the last step.
    pub fn seen_in(&mut self, address: u64) {
        if let Some(step) = self.steps.last_mut() {
            step.memory = Some(address);
        }
    }
}

/// The end of a chain.
#[derive(Clone, Debug)]
pub(super) struct Lead {
    pub kind: BirthKind,
    /// Where; `None` for a global variable.
    pub spot: Spot,
    /// A global variable: its name and where it is declared.
    pub global: Option<(String, Option<(String, u32)>)>,
    /// Where the variable is declared that is the birth.
    pub declared: Option<(String, u32)>,
    pub what: String,
    pub path: Path,
    /// Nothing else was consistent, as far as this search knows.
    pub complete: bool,
}

impl Lead {
    /// The store is to blame, whatever was followed behind it.
    pub fn ends_with(&mut self, kind: BirthKind, store: Spot, what: &str, (step, text): (&'static str, &str)) {
        (self.kind, self.spot) = (kind, store);
        what.clone_into(&mut self.what);
        self.path.ends_with(store, step, text);
    }

    /// A store that gave the place another value than it has: this way was not the one.
    pub fn contradicts(&self) -> bool {
        self.kind == BirthKind::Loaded && self.path.steps.last().is_some_and(|step| step.step == "overwritten")
    }
}

/// Memory does not hold any more what was read.
pub(super) const CHANGED: &str = "memory has changed since it was read";

/// A store into an array at an index that is not known.
pub(super) const UNKNOWN_INDEX: &str = "which element was stored is not known";
/// An allocation is said to have failed.
pub(super) const NO_MEMORY: &str = "allocations hardly ever fail";
/// Every way through a function that returned gives something else.
pub(super) const NO_WAY: &str = "no way through the function gives this value";

/// A call of `free` whose argument can not be told any more.
pub(super) const FREED_UNSEEN: &str = "which object was released there is not known";

/// A call that fills memory put a value there that no object begins with.
pub(super) const ANOTHER_FILLED: &str = "what was filled is rather another object that lay there";

/// No variable of the frame is known to lie there.
pub(super) const NO_VARIABLE: &str = "no variable lies there";

/// A release in the call that handed the object out.
pub(super) const RETURNED_ALIVE: &str = "the object was handed out by this call";

/// How much a kind of birth tells; less is more.
pub(super) fn rank(kind: BirthKind) -> u8 {
    match kind {
        BirthKind::Freed
        | BirthKind::Overrun
        | BirthKind::Moved
        | BirthKind::FileShortened
        | BirthKind::EndlessRecursion
        | BirthKind::Mismatch
        | BirthKind::SizeOverflow => 0,
        BirthKind::ReturnedConstant | BirthKind::Stored | BirthKind::LibraryResult => 1,
        BirthKind::ReturnedComputed
        | BirthKind::ReturnedArithmetic
        | BirthKind::GlobalInitial
        | BirthKind::GlobalStore
        | BirthKind::Counted => 2,
        BirthKind::NeverSet | BirthKind::UninitialisedLocal | BirthKind::StoredSomewhere | BirthKind::Constant => 3,
        BirthKind::EndOfList => 4,
        BirthKind::Loaded => 5,
        BirthKind::Arithmetic => 6,
        BirthKind::Unknown => 7,
    }
}

impl Tracer<'_, '_, '_> {
    pub fn lead(&mut self, kind: BirthKind, spot: Spot, what: String, path: &Path) {
        if self.leads.len() >= super::Limits::LEADS {
            self.limit_hit = true;
            return;
        }
        let final_word = matches!(
            kind,
            BirthKind::Freed
                | BirthKind::Overrun
                | BirthKind::Counted
                | BirthKind::EndlessRecursion
                | BirthKind::Mismatch
                | BirthKind::Loaded
                | BirthKind::Unknown
                | BirthKind::UninitialisedLocal
                | BirthKind::NeverSet
                // A number written down in the code was never right.
                | BirthKind::Constant
                | BirthKind::ReturnedConstant
        );
        let cut = path.narrow && kind == BirthKind::Stored;
        if !final_word && !cut && !path.literal && path.value.is_some_and(|value| self.is_lost(value)) {
            // Nobody makes a pointer to where nothing is: it was right when it was made.
            // What a library computes for itself nobody of the program released.
            let own = !self.is_of_system(self.address(spot.ctx, spot.at));
            let freed = path.value.filter(|_| !self.seeking && own).is_some_and(|value| self.freed(value, path));
            if !freed {
                let what = "it was right when it was made; what happened since was not found".to_owned();
                self.lead(BirthKind::Loaded, spot, what, path);
            }
            return;
        }
        let mut path = path.clone();
        if matches!(kind, BirthKind::NeverSet | BirthKind::UninitialisedLocal) && self.part_given {
            path.doubts.push("a call that may have set it was not followed");
        }
        self.leads.push(Lead { kind, spot, global: None, declared: None, what, path, complete: true });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_ends_with_its_store() {
        let spot = |at| Spot { ctx: Ctx(0), at };
        let path = Path::default().with(spot(9), "fault", String::new()).with(spot(4), "written-by", String::new());
        let mut path = path.with(spot(3), "load", String::new()).with(spot(1), "constant", String::new());
        path.ends_with(spot(2), "overrun", "stores past the end of the block");
        let steps: Vec<_> = path.steps.iter().map(|step| step.step).collect();
        assert_eq!(steps, ["fault", "written-by", "overrun"]);
    }
}
