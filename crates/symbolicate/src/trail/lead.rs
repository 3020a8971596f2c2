//! What was found: the ends of chains, and how they become facts of the model.

use std::collections::BTreeSet;

use necropsy_model::{
    Avma, BirthKind, Chain, Frame, Location, ModuleId, Place, Role, Snapshot, Source, Trail, TrailStep, Trust,
};

use super::Tracer;
use super::context::Ctx;
use crate::names::Named;

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
fn rank(kind: BirthKind) -> u8 {
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

/// A function of a standard library, wherever it was compiled.
pub(super) fn is_standard(name: &Named<'_>) -> bool {
    is_of_standard_library(name.function.as_deref(), name.location.as_ref())
}

/// The same by its name and where it stands.
pub(super) fn is_of_standard_library(function: Option<&str>, location: Option<&Location<'_>>) -> bool {
    const NAMES: [&str; 15] = [
        "std::",
        "core::",
        "alloc::",
        "<std::",
        "<core::",
        "<alloc::",
        "__gnu_cxx::",
        "operator new",
        "operator delete",
        "hashbrown::",
        "<hashbrown::",
        "__cxa_",
        "__rustc::",
        "__rust_",
        "rust_panic",
    ];
    let by_name = function.is_some_and(|function| {
        let name = qualified(function);
        NAMES.iter().any(|start| name.starts_with(start) || function.starts_with(start))
    });
    // A file without a line is what was inlined last, and not where the function stands.
    by_name || location.is_some_and(|location| location.line.is_some() && is_standard_file(&location.file))
}

/// A source file of a standard library.
fn is_standard_file(file: &str) -> bool {
    const FILES: [&str; 6] =
        ["/rustc/", "/usr/include/c++/", "/usr/lib/", "/usr/include/", "/usr/local/include/", "/library/"];
    // Cross compilers have theirs in `/usr/aarch64-linux-gnu/include`.
    let of_machine = file.starts_with("/usr/") && file.contains("/include/");
    of_machine || FILES.iter().any(|part| file.starts_with(part)) || file.contains("/include/c++/")
}

/// The name of a function without its return type and parameters: `void std::swap<int>(int&, int&)` is `std::swap<int>`.
fn qualified(function: &str) -> &str {
    let (mut depth, mut start) = (0_usize, 0);
    for (at, character) in function.char_indices() {
        match character {
            '<' => depth += 1,
            '>' => depth = depth.saturating_sub(1),
            ' ' if depth == 0 && !function[..at].ends_with("operator") => start = at + 1,
            '(' if depth == 0 => return function.get(start..at).unwrap_or(function),
            _ => {}
        }
    }
    function.get(start..).unwrap_or(function)
}

/// A destructor, by its name.
fn is_destructor(function: &str) -> bool {
    qualified(function).contains('~')
}

/// A constructor, by its name: `a::B::B(int)`.
fn is_constructor(function: &str) -> bool {
    let mut parts = qualified(function).rsplit("::");
    let (own, class) = (parts.next(), parts.next());
    own.is_some() && own == class.and_then(|class| class.split('<').next())
}

/// A move constructor (`a::B::B(a::B&&)`) or move assignment (`a::B::operator=(a::B&&)`), by its name.
fn is_move(function: &str) -> bool {
    let name = qualified(function);
    let Some((_, parameters)) = function.split_once(name) else { return false };
    let taken = parameters.strip_prefix('(').and_then(|parameters| parameters.split_once(')')?.0.strip_suffix("&&"));
    let Some((class, own)) = split_name(name) else { return false };
    let plain = split_name(class).map_or(class, |(_, last)| last);
    let plain = plain.split_once('<').map_or(plain, |(plain, _)| plain);
    taken == Some(class) && (own == "operator=" || own == plain)
}

/// A qualified name, and its last part: `a<b::c>::d` is `a<b::c>` and `d`.
fn split_name(name: &str) -> Option<(&str, &str)> {
    let mut depth = 0_usize;
    let at = name.char_indices().rev().find(|&(at, character)| {
        match character {
            '>' => depth += 1,
            '<' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && name[..at].ends_with(':') && character == ':'
    })?;
    Some((name.get(..at.0.checked_sub(1)?)?, name.get(at.0 + 1..)?))
}

impl<'data> Tracer<'_, '_, 'data> {
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

    /// The instruction was made of code of a standard library, and stands in a function of the program.
    pub fn is_inlined_library(&self, spot: Spot) -> bool {
        let names = self.names(self.address(spot.ctx, spot.at));
        let Some((inner, outer)) = names.first().zip(names.last()) else { return false };
        let file = inner.location.as_ref().map(|location| &location.file);
        !is_standard(outer) && (is_standard(inner) || file.is_some_and(|file| is_standard_file(file)))
    }

    pub fn is_destructor(&self, spot: Spot) -> bool {
        let names = self.names(self.address(spot.ctx, spot.at));
        names.last().and_then(|name| name.function.as_deref()).is_some_and(is_destructor)
    }

    /// The code is that of a move constructor or a move assignment, which hardly anybody writes by hand, or of a constructor that
    /// the compiler made.
    fn moves(&self, spot: Spot) -> bool {
        let address = self.address(spot.ctx, spot.at);
        let names = self.names(address);
        let written: Vec<bool> = self.unwritten_names(address, &names);
        written.contains(&true) && names.iter().zip(written).all(|(name, unwritten)| is_standard(name) || unwritten)
    }

    /// Of the names of an address: whose code nobody wrote by hand. A move does what was asked for, and so does a constructor
    /// that the source does not have.
    fn unwritten_names(&self, address: u64, names: &[Named<'data>]) -> Vec<bool> {
        let mut made = self.values.made_by_compiler(Avma(address));
        if made.len() != names.len() {
            made = vec![false; names.len()];
        }
        let moves = |name: &Named<'_>| name.function.as_deref().is_some_and(is_move);
        names.iter().zip(made).map(|(name, made)| made || moves(name)).collect()
    }

    /// A move of a standard library, which the program called itself, put it there.
    fn is_left_by_move(&mut self, mut spot: Spot) -> bool {
        let mut moves = false;
        for _ in 0..64 {
            let address = self.address(spot.ctx, spot.at);
            let names = self.names(address);
            if names.iter().any(|name| !is_standard(name)) {
                return moves;
            }
            moves = names.last().and_then(|name| name.function.as_deref()).is_some_and(is_move);
            let Some((ctx, at)) = self.caller(spot.ctx) else { return false };
            spot = Spot { ctx, at };
        }
        false
    }

    /// The nearest spot outwards whose code is the program's own.
    pub fn own_spot(&mut self, mut spot: Spot) -> Spot {
        for _ in 0..64 {
            let address = self.address(spot.ctx, spot.at);
            let own = self.names(address).iter().any(|name| !is_standard(name)) && !self.is_library(address);
            if own {
                return spot;
            }
            let Some((ctx, at)) = self.caller(spot.ctx) else { return spot };
            spot = Spot { ctx, at };
        }
        spot
    }

    /// The leads as facts.
    pub fn trail(
        &mut self,
        subject: String,
        value: Option<u64>,
        snapshot: &Snapshot<'data>,
        thread: usize,
    ) -> Trail<'data> {
        let mut leads = std::mem::take(&mut self.leads);
        // What memory holds now speaks against these.
        let changed = |lead: &Lead| lead.path.doubts.contains(&CHANGED);
        if leads.iter().any(|lead| !changed(lead) && rank(lead.kind) < 6) {
            leads.retain(|lead| !changed(lead));
        }
        // An allocation that failed is the last thing to think of.
        let rank = |lead: &Lead| if lead.path.doubts.contains(&NO_MEMORY) { 5 } else { rank(lead.kind) };
        leads.sort_by_key(|lead| (rank(lead), lead.path.steps.len()));
        let mut chains: Vec<Chain<'data>> = Vec::new();
        let mut births: BTreeSet<(String, Option<u32>)> = BTreeSet::new();
        for lead in &leads {
            let chain = self.chain(lead, snapshot, thread);
            let line = chain.birth.location.as_ref().and_then(|location| location.line);
            // A function without a name is told by where it begins.
            let nameless = || {
                let spot = self.own_spot(lead.spot);
                format!("{:#x}", self.run(spot.ctx).function.entry)
            };
            let function = chain.birth.function.as_ref().map_or_else(nameless, ToString::to_string);
            if births.insert((function, line)) {
                chains.push(chain);
            }
        }
        let functions: BTreeSet<_> = births.iter().map(|(function, _)| function.clone()).collect();
        if let Some(first) = chains.first_mut() {
            // Several lines of one function are one answer to who it was.
            first.sole = functions.len() == 1 && leads.iter().all(|lead| lead.complete);
            // It was a constant, or it was found in memory on another way through the same call.
            let read = |lead: &Lead| lead.path.doubts.contains(&Chain::READ_SOMEWHERE);
            if first.kind == BirthKind::ReturnedConstant
                && leads.iter().any(read)
                && !first.doubts.contains(&Chain::READ_SOMEWHERE)
            {
                first.doubts.push(Chain::READ_SOMEWHERE);
            }
        }
        let mut not_checked = vec![Trail::OTHER_THREADS];
        if self.limit_hit {
            not_checked.push(Trail::BEYOND_LIMITS);
        }
        Trail { subject, value, chains, limit_hit: self.limit_hit, not_checked }
    }

    pub fn chain(&mut self, lead: &Lead, snapshot: &Snapshot<'data>, thread: usize) -> Chain<'data> {
        let mut spot = self.own_spot(lead.spot);
        // A destructor did what it was asked to: whoever destroyed the object is to name.
        while lead.kind == BirthKind::Freed && self.is_destructor(spot) {
            let Some((ctx, at)) = self.caller(spot.ctx) else { break };
            spot = self.own_spot(Spot { ctx, at });
        }
        // Nor did a move do anything else: whoever moved is to name.
        while matches!(lead.kind, BirthKind::Stored | BirthKind::NeverSet | BirthKind::StoredSomewhere)
            && self.moves(spot)
        {
            let Some((ctx, at)) = self.caller(spot.ctx) else { break };
            spot = self.own_spot(Spot { ctx, at });
        }
        let mut birth = match lead.kind {
            // A destructor that was inlined there did what it was asked to as well.
            BirthKind::Freed => self.shown_without(spot, snapshot, thread, &is_destructor),
            // Nor did a constructor that was inlined put the object there.
            BirthKind::Stored if lead.path.steps.last().is_some_and(|step| step.step == "address") => {
                self.shown_without(spot, snapshot, thread, &is_constructor)
            }
            _ => self.shown(spot, snapshot, thread),
        };
        if let Some((name, declared)) = &lead.global {
            birth.function = Some(name.clone().into());
            birth.frame = None;
            birth.location = declared.as_ref().map(|(file, line)| Location::new(file.clone(), Some(*line)));
        }
        if let Some((file, line)) = &lead.declared {
            birth.location = Some(Location::new(file.clone(), Some(*line)));
        }
        let native = lead.kind == BirthKind::LibraryResult;
        let kind = match lead.kind {
            BirthKind::Stored if self.is_left_by_move(lead.spot) => BirthKind::Stored,
            BirthKind::ReturnedConstant | BirthKind::Stored
                if spot != lead.spot && self.run(spot.ctx).frame.is_some() =>
            {
                BirthKind::LibraryResult
            }
            BirthKind::ReturnedConstant if spot != lead.spot => BirthKind::ReturnedComputed,
            // Lost inside a library, and nothing in between that is the program's own.
            BirthKind::ReturnedComputed | BirthKind::ReturnedArithmetic
                if spot != lead.spot && self.run(spot.ctx).frame.is_some() =>
            {
                BirthKind::Loaded
            }
            kind => kind,
        };
        // Inside of the library that failed itself: the call of it is the victim, and not what made it fail.
        let within = lead
            .path
            .steps
            .first()
            .map(|step| step.spot)
            .is_some_and(|fault| spot != lead.spot && fault != spot && self.own_spot(fault) == spot);
        let kind = if within { BirthKind::Loaded } else { kind };
        let gate = lead.path.gate.map(|gate| {
            let gate = self.own_spot(gate);
            self.shown(gate, snapshot, thread)
        });
        let handed = lead.path.handed.iter().map(|&spot| self.shown(spot, snapshot, thread));
        let handed_through = handed.collect();
        let steps = lead.path.steps.iter().map(|step| TrailStep {
            place: self.shown(step.spot, snapshot, thread),
            step: step.step,
            text: step.text.clone(),
            source: step.memory.map_or(Source::DUMP, |address| self.space.memory.source(Avma(address))),
        });
        let steps = steps.collect();
        let mut doubts = lead.path.doubts.clone();
        if kind == BirthKind::Stored && self.is_left_by_move(lead.spot) {
            doubts.push("a library moved it away");
        }
        let address = self.address(lead.spot.ctx, lead.spot.at);
        let placed = lead.path.steps.last().is_some_and(|step| step.step == "address");
        if kind == BirthKind::Stored && !placed && self.values.made_by_compiler(Avma(address)).first() == Some(&true) {
            doubts.push("the compiler made the code that stored it");
        }
        if kind == BirthKind::LibraryResult && !native && !doubts.contains(&Chain::INLINED_LIBRARY) {
            doubts.push(Chain::INSIDE_LIBRARY);
        }
        Chain { kind, birth, what: lead.what.clone(), gate, handed_through, steps, sole: false, doubts }
    }

    /// A place for the report. Of functions inlined into one another the innermost that is the program's own.
    pub fn shown(&self, spot: Spot, snapshot: &Snapshot<'data>, thread: usize) -> Place<'data> {
        self.shown_without(spot, snapshot, thread, &|_| false)
    }

    /// The same, without functions that only did what they were asked to, where there is another.
    fn shown_without(
        &self,
        spot: Spot,
        snapshot: &Snapshot<'data>,
        thread: usize,
        obeys: &dyn Fn(&str) -> bool,
    ) -> Place<'data> {
        let names = self.names_with_line(spot);
        let address = self.address(spot.ctx, spot.at);
        let unwritten = self.unwritten_names(address, &names);
        let obeys = |name: &Named<'_>| name.function.as_deref().is_some_and(obeys);
        let own = |name: &Named<'_>| {
            !is_standard(name) && !name.function.as_deref().is_some_and(|function| self.is_of_go(function))
        };
        let mut written = names.iter().zip(unwritten).map(|(name, unwritten)| own(name) && !unwritten && !obeys(name));
        let chosen = written.position(|written| written);
        let chosen = chosen.or_else(|| names.iter().position(own)).unwrap_or(0);
        let named = names.get(chosen);
        let image = self.space.images.at(Avma(address)).map(|(_, image)| image);
        let module = image.map(|image| image.module);
        let function = named.and_then(|name| name.function.clone());
        let listed = self.run(spot.ctx).frame.and_then(|raw| listed(snapshot, thread, raw, function.as_deref()));
        Place {
            thread: snapshot.threads.get(thread).map(|thread| thread.id),
            frame: listed.map(|(index, _)| index),
            svma: image.filter(|_| function.is_none()).map(|image| image.bias.to_svma(Avma(address))),
            function,
            module: module.and_then(|module: ModuleId| snapshot.module(module)).map(|module| module.path.clone()),
            // A file without a line is that of what was inlined before.
            location: named.and_then(|name| self.located(name, module)).filter(|location| location.line.is_some()),
            inlined: named.is_some_and(|name| name.inlined),
            trust: listed.map(|(_, trust)| trust),
            role: Role::Related,
        }
    }

    /// The names of an instruction; where the compiler gave it no line, those of the nearest one before or behind it in the same
    /// function that has one.
    pub fn names_with_line(&self, spot: Spot) -> std::rc::Rc<Vec<Named<'data>>> {
        /// Instructions away.
        const REACH: usize = 6;
        let own = self.names(self.address(spot.ctx, spot.at));
        let line = |names: &[Named<'data>]| names.first()?.location.as_ref()?.line;
        if line(&own).is_some() {
            return own;
        }
        let function = own.first().and_then(|name| name.function.clone());
        let near = (1..=REACH).flat_map(|away| [spot.at.checked_sub(away), spot.at.checked_add(away)]);
        for at in near.flatten().filter(|&at| at < self.run(spot.ctx).function.insns.len()) {
            let names = self.names(self.address(spot.ctx, at));
            if line(&names).is_some() && names.first().is_some_and(|name| name.function == function) {
                return names;
            }
        }
        own
    }

    /// The position of a name with the text of its line, where the source is at hand.
    pub fn located(&self, name: &Named<'data>, module: Option<ModuleId>) -> Option<Location<'data>> {
        let mut location = name.location.clone()?;
        let debug = module.and_then(|module| self.space.images.of(module)?.debug.get());
        location.text =
            debug.zip(location.line).and_then(|(debug, line)| crate::names::line_text(&location.file, line, debug));
        Some(location)
    }
}

/// The listed frame of a raw frame: the one with this function, of those inlined there.
fn listed(snapshot: &Snapshot<'_>, thread: usize, raw: usize, function: Option<&str>) -> Option<(usize, Trust)> {
    let frames: Vec<&Frame<'_>> = snapshot.frames_of(snapshot.threads.get(thread)?).collect();
    let mut group = 0;
    for (index, frame) in frames.iter().enumerate() {
        if group == raw && (frame.function.as_deref() == function || !frame.inlined) {
            return (frame.function.as_deref() == function).then_some((index, frame.trust));
        }
        group += usize::from(!frame.inlined);
    }
    None
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

    #[test]
    fn constructors_and_destructors_by_their_names() {
        assert!(is_constructor("Fast::Fast()") && is_constructor("a::Probe<int>::Probe(int)"));
        assert!(!is_constructor("Fast::measure(long)") && !is_constructor("main"));
        assert!(is_destructor("Fast::~Fast()") && !is_destructor("Fast::Fast()"));
    }

    #[test]
    fn moves_by_their_names() {
        for name in [
            "Letter::Letter(Letter&&)",
            "post::Letter::Letter(post::Letter&&)",
            "post::Letter::operator=(post::Letter&&)",
            "std::unique_ptr<Job, std::default_delete<Job> >::unique_ptr(std::unique_ptr<Job, std::default_delete<Job> >&&)",
            "std::vector<a::B, std::allocator<a::B> >::operator=(std::vector<a::B, std::allocator<a::B> >&&)",
        ] {
            assert!(is_move(name), "{name}");
        }
        for name in [
            "Courier::accept(Letter&&)",
            "Letter::Letter(Letter const&)",
            "Letter::Letter(Envelope&&)",
            "main",
            "take(Letter&&)",
        ] {
            assert!(!is_move(name), "{name}");
        }
    }
}
