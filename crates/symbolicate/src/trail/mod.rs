//! Where a bad value came from: from the operand at fault backwards through copies, slots, parameters, returned results and
//! stores to where it came into being. Facts only; `diagnose` grades them.
//!
//! ```text
//! op        what an instruction does, in terms of no machine; x86_64 and aarch64 lift to it
//! machine   a table per machine: registers, calls, how code is read
//! fold      addresses that several instructions make together
//! function  the code of one function: instructions, who comes before whom, where the stack stands;
//!           jump_table: where a `switch` may go
//! context   functions as they ran: frames, and calls that have returned
//! eval      values that registers and memory had in them
//! definition  what gives a place its value
//! effect    what one operation does to a place
//! reach     definitions of a place that reach an instruction; branch and calls say what is impossible on the way
//! subject   what to follow: the operand at fault; guard: the operand of a check that failed; argument: what a library was given
//! refused   what a library was given that threw an exception because of it
//! chase     from definition to definition, across calls; returns: into results; sum: through arithmetic;
//!           load: through reads; memory: through stores; somewhere: at an index that is not known
//! library   functions of libraries, by their names
//! linked    a C library that was linked into the program
//! survived  accesses on the way that a bad pointer would not have survived
//! bound     what a loop counts up to, when it counted too far
//! elements  calls that get one element of an array after the other
//! heap      blocks of the allocator, and the marks of released ones
//! sweep     all code of a module, read once
//! go        Go's convention and its runtime
//! globals   who stores to a global variable; array: to elements of one
//! smashed   a frame that was written over
//! sized     a block that is too small, because its size lost bits
//! cycle     a recursion without end: the links that it went along; endless: the same arguments again and again
//! damage    a heap whose blocks were written over
//! gate      where a pointer to an object stopped being a parameter
//! gone_frame  whose frame an object lay in that has returned
//! elsewhere other threads
//! overrun   text where a pointer should be; spill: a text or pattern, by who writes such elements at all
//! own_array  an array of the frame itself that was run over, and who filled it
//! callers   who calls what leaves no value behind: a block moved, a file made shorter
//! unset     local variables that nothing sets; wire: numbers that are put together of bytes
//! variadic  numbers among the arguments of a function that takes any
//! maker     who made a block that a NULL was read from
//! keyed     what a look-up by a text found, and who put that there
//! vectors   who put an element into a `std::vector`
//! writers   the one function that writes a part of such objects
//! sentinel  the end of a container, taken for an element
//! stale     pointers into a block that went; releases: who releases anything below a call; owners: two objects that
//!           own one block
//! joinable  a `std::thread` that was destroyed and never joined
//! lead      what was found, as chains; own: whose code it is; shown: how it becomes facts of the model
//! ```

mod aarch64;
mod argument;
mod array;
mod bound;
mod branch;
mod callers;
mod calls;
mod chase;
mod context;
mod cycle;
mod damage;
mod definition;
mod effect;
mod elements;
mod elsewhere;
mod endless;
mod eval;
mod fold;
mod function;
mod gate;
mod globals;
mod go;
mod gone_frame;
mod guard;
mod heap;
mod joinable;
mod jump_table;
mod keyed;
mod lead;
mod library;
mod linked;
mod load;
mod machine;
mod maker;
mod memory;
mod op;
mod overrun;
mod own;
mod own_array;
mod owners;
mod reach;
mod refused;
mod releases;
mod returns;
mod sentinel;
mod shown;
mod sized;
mod smashed;
mod somewhere;
mod spill;
mod stale;
mod subject;
mod sum;
mod survived;
mod sweep;
mod unset;
mod variadic;
mod vectors;
mod wire;
mod writers;
mod x86_64;

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use necropsy_model::{Avma, Gap, Text};

use crate::names::{Named, Namer};
use crate::space::AddressSpace;
use crate::unwind::{RawFrame, Walk};
use crate::values::Values;
use context::{Ctx, Run};
use definition::Loc;
use function::Function;
use lead::Lead;
use machine::Machine;
use op::{Part, Reg};

pub(crate) use subject::{Scene, follow};

/// How much work one trail may be. What ends at a limit is marked.
struct Limits;

impl Limits {
    /// Functions whose code is read.
    const FUNCTIONS: usize = 400;
    /// Instructions looked at backwards, over all queries: half a second.
    const STATES: usize = 1_000_000;
    /// The same of one query.
    const STATES_OF_QUERY: usize = 20_000;
    /// Definitions of one query that are kept.
    const DEFINITIONS: usize = 48;
    /// Values that depend on values.
    const EVALUATIONS: usize = 96;
    /// Calls into one another below a frame.
    const DESCENTS: usize = 16;
    /// Steps of one chain.
    const STEPS: usize = 64;
    /// Chains.
    const LEADS: usize = 48;
}

/// A call into a function: the caller, the call, the function, and the parameter that is known better than the caller tells.
type Entered = (Ctx, usize, u64, Option<(Reg, u64)>);

/// Follows one value.
struct Tracer<'t, 'a, 'data> {
    space: &'t AddressSpace<'a, 'data>,
    frames: &'t [RawFrame],
    gap: Option<Gap>,
    machine: &'static Machine,
    /// The raw frame that the value is bad in.
    struck: usize,
    /// Where the stack lies, when that is not a mapping of its own: Go's lie among the objects of its heap.
    stack: Option<(u64, u64)>,
    values: Values<'a, 'data>,
    namer: Namer<'a, 'data>,
    runs: Vec<Run>,
    of_frames: HashMap<usize, Option<Ctx>>,
    functions: HashMap<u64, Option<Rc<Function>>>,
    /// Names of functions that were reached through a linkage table, and have none at their address: what the table calls them.
    linked: RefCell<HashMap<u64, String>>,
    /// Images that a C library was linked into.
    links_library: RefCell<HashMap<usize, bool>>,
    entered: HashMap<Entered, Ctx>,
    evaluated: HashMap<(Ctx, usize, Part), (Option<u64>, bool)>,
    /// Values that are being asked for.
    asked: HashSet<(Ctx, usize, Part)>,
    /// A value was not found because it was being asked for, or because the search was too deep.
    cut_short: bool,
    clobbered: HashMap<(u64, Reg), bool>,
    /// Functions from which a release or an allocation can be reached.
    reaching_heap: HashMap<(u64, calls::Heap), bool>,
    /// Functions of the C library that are looked at.
    library_calls: HashMap<u64, writers::LibraryCall>,
    /// Tables of virtual functions: where they begin, and their sizes.
    tables: Option<Rc<Vec<(u64, u64)>>>,
    /// Functions that change nothing.
    accessors: HashMap<u64, bool>,
    result_known: HashMap<(Ctx, usize), Option<u64>>,
    visited: HashSet<(Ctx, usize, Loc, Option<u64>)>,
    eval_depth: usize,
    /// What a value that is not known must fulfil: condition, what it was compared with, bytes, whether it held.
    constraint: Option<(op::Condition, u64, u8, bool)>,
    /// A store of another value than the one that is followed, met last.
    overwritten: Option<(Ctx, usize)>,
    /// A value that was asked for was read from memory as it is now.
    read_memory: bool,
    /// A call got a pointer to some element of the object: it may have written the place.
    part_given: bool,
    /// It is asked which element of an array a call got.
    in_elements: bool,
    /// The value that failed.
    sought: Option<u64>,
    /// It was used as an address.
    wants_address: bool,
    /// A call found the value in an element that bears the key which it was asked for.
    keyed: bool,
    /// It was released, and is no block: a sound address of something else.
    not_owned: bool,
    /// Bytes at whose multiples the address had to lie.
    boundary: Option<u64>,
    /// Everything that was found on the way was impossible.
    refuted: bool,
    /// The frame from which a function was called that jumped on, to where the process died.
    jumped_from: Option<usize>,
    /// It is asked who stores to a part of such objects: no caller is known.
    by_place: bool,
    /// Objects whose address is lost, and that got one.
    lost_objects: u64,
    /// A number is followed that a library refused: arithmetic that returned made it what it is.
    refusing: bool,
    /// It is asked how large a block was made.
    sizing: bool,
    /// It is asked where a block was made.
    allocating: bool,
    /// What is followed is a value that a check of the program itself refused.
    own_check: bool,
    /// A block, and the header behind it that was written over.
    damaged: Option<(u64, u64)>,
    /// The sum that failed, when the instruction itself adds: its value and its operands.
    fault_sum: Option<sized::Sum>,
    /// Memory whose writer was not found.
    unwritten: Option<elsewhere::Unwritten>,
    /// It is asked who freed an object: calls that did not get a pointer to it may lead there too.
    seeking: bool,
    /// Values are asked for: what a slot holds is read, not followed.
    stop_at_slots: bool,
    states: usize,
    limit_hit: bool,
    leads: Vec<Lead>,
}

impl<'t, 'a, 'data> Tracer<'t, 'a, 'data> {
    /// `None` where the machine is not one that is followed.
    pub fn new(walk: &'t Walk, frame: usize, space: &'t AddressSpace<'a, 'data>) -> Option<Self> {
        let at = walk.frames.get(frame)?.address.lookup();
        let machine = Machine::of(walk.frames.first()?.registers.arch(), go::convention(at, space))?;
        Some(Self {
            space,
            machine,
            struck: frame,
            stack: (machine.convention == machine::Convention::Go).then(|| go::stack_of(&walk.frames, frame)).flatten(),
            frames: &walk.frames,
            gap: walk.gap,
            values: Values::new(*space),
            namer: Namer::new(space.images),
            runs: Vec::new(),
            of_frames: HashMap::new(),
            functions: HashMap::new(),
            linked: RefCell::default(),
            links_library: RefCell::default(),
            entered: HashMap::new(),
            evaluated: HashMap::new(),
            asked: HashSet::new(),
            cut_short: false,
            clobbered: HashMap::new(),
            reaching_heap: HashMap::new(),
            library_calls: HashMap::new(),
            tables: None,
            accessors: HashMap::new(),
            result_known: HashMap::new(),
            visited: HashSet::new(),
            eval_depth: 0,
            constraint: None,
            overwritten: None,
            read_memory: false,
            part_given: false,
            in_elements: false,
            sought: None,
            wants_address: false,
            keyed: false,
            not_owned: false,
            boundary: None,
            refuted: false,
            jumped_from: None,
            by_place: false,
            refusing: false,
            lost_objects: 0,
            sizing: false,
            allocating: false,
            own_check: false,
            damaged: None,
            fault_sum: None,
            unwritten: None,
            seeking: false,
            stop_at_slots: false,
            states: 0,
            limit_hit: false,
            leads: Vec::new(),
        })
    }

    /// The names of an address, innermost inlined function first.
    pub fn names(&self, address: u64) -> Rc<Vec<Named<'data>>> {
        self.namer.at(Avma(address))
    }

    /// The function that the code at an address belongs to, not one inlined there.
    pub fn function_name(&self, address: u64) -> Option<String> {
        let names = self.names(address);
        let known = names.last().and_then(|name| name.function.as_ref()).map(Text::to_string);
        known.or_else(|| self.linked.borrow().get(&address).cloned())
    }

    /// The function at an address by its name, else by its place in its module: `refund+0x1180`.
    pub fn name_or_place(&self, address: u64) -> String {
        self.function_name(address).unwrap_or_else(|| match self.space.images.at(Avma(address)) {
            Some((_, image)) => {
                let file = image.debug.get().and_then(|debug| debug.file_name());
                format!("{}+{}", file.unwrap_or_else(|| "code".to_owned()), image.bias.to_svma(Avma(address)))
            }
            None => format!("the function at {address:#x}"),
        })
    }

    /// The code at an address belongs to a library of the system.
    pub fn is_of_system(&self, address: u64) -> bool {
        let Some((_, image)) = self.space.images.at(Avma(address)) else { return true };
        image.debug.get().is_some_and(|debug| debug.is_of_system()) || self.is_linked_library(address)
    }

    /// The code at an address belongs to a library of the system, or to the standard library of a language.
    pub fn is_library(&self, address: u64) -> bool {
        if self.is_of_system(address) {
            return true;
        }
        let names = self.names(address);
        names.last().is_some_and(|name| {
            own::is_standard(name) || name.function.as_deref().is_some_and(|function| self.is_of_go(function))
        })
    }
}
