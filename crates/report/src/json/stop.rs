//! Why the process stopped: facts only.

use necropsy_model::{self as model, AddressState, Snapshot};
use serde::Serialize;

use super::parts::{Hex, Shown, Source};

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Stop<'a> {
    /// Name of the signal
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    signal: Option<Shown<model::Signal>>,
    /// Its number
    signal_number: Option<i32>,
    /// Its code by name, or its number as text where it has no name
    code: Option<String>,
    /// The code's number
    code_number: Option<i32>,
    /// What the code means
    code_meaning: Option<&'static str>,
    /// The address that the kernel reported
    address: Option<Hex>,
    /// What the process said as it died: the first of the messages
    message: Option<&'a str>,
    /// Thread that stopped the process
    thread: Option<u64>,
    /// Frame at fault in that thread's stack; not 0 when a handler ran above it
    frame: usize,
    sender: Option<Sender>,
    fault: Option<Fault<'a>>,
    /// What the process, its libraries or its runtime said as it died
    messages: Vec<Message<'a>>,
    /// The signal that a handler was dealing with when this one came: the one that counts
    original: Option<Box<Stop<'a>>>,
    /// Where in the dump
    source: Option<Source>,
}

impl<'a> Stop<'a> {
    pub(super) fn new(stop: &'a model::Stop<'_>, snapshot: &Snapshot<'_>) -> Self {
        let named = stop.signal.and_then(model::Signal::code_name);
        let code_number = stop.signal.and_then(|signal| signal.code);
        let thread = stop.thread.and_then(|index| snapshot.threads.get(index));
        Self {
            signal: stop.signal.map(Shown),
            signal_number: stop.signal.map(|signal| signal.number),
            code: named.map(|code| code.name.to_owned()).or_else(|| code_number.map(|code| code.to_string())),
            code_number,
            code_meaning: named.map(|code| code.meaning),
            address: stop.address.map(|address| Hex(address.0)),
            message: stop.messages.first().map(|message| &*message.text),
            thread: thread.map(|thread| thread.id.0),
            frame: stop.frame,
            sender: stop.sender.map(|sender| Sender { pid: sender.pid, uid: sender.uid }),
            fault: stop.fault.as_ref().map(Fault::new),
            messages: stop.messages.iter().map(Message::new).collect(),
            original: stop.original.as_deref().map(|original| Box::new(Stop::new(original, snapshot))),
            source: stop.source.map(Shown),
        }
    }
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Sender {
    /// Process id of who sent the signal
    pid: u64,
    /// Real user id of who sent the signal
    uid: u64,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Message<'a> {
    /// Who said it: assert, heap, stack-smash, terminate, rust-panic, go-panic, go-fatal, java, kernel or other
    kind: &'static str,
    /// What was said
    text: &'a str,
    /// Where in the dump
    source: Source,
}

impl<'a> Message<'a> {
    fn new(message: &'a model::Message<'_>) -> Self {
        Self { kind: message.kind.name(), text: &message.text, source: Shown(message.source) }
    }
}

/// What the instruction at fault did
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Fault<'a> {
    /// Address of the instruction
    pc: Hex,
    /// Its text
    instruction: Option<&'a str>,
    /// What it tried to do: read, write, execute, or read and write
    access: Option<&'static str>,
    /// The address it used, computed from its operands
    address: Option<Hex>,
    /// Bytes accessed
    size: Option<u64>,
    operand: Option<Operand<'a>>,
    /// What is known of that address
    address_state: Option<&'static str>,
    /// Rights of the mapping there, such as r-x
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    permissions: Option<Shown<model::Permissions>>,
    /// File mapped there
    file: Option<&'a str>,
    /// The address can not exist on the machine
    non_canonical: bool,
    /// Bytes to which the instruction needs the address aligned, when it is not
    misaligned: Option<u64>,
    /// Expression of the source
    expression: Option<&'a str>,
    /// Pointer variable in that expression
    pointer: Option<&'a str>,
    /// Divisor of a division that failed
    divisor: Option<i64>,
    /// The instruction traps by design
    is_trap: bool,
    /// It is a call, jump or return
    is_branch: bool,
    /// It is a return
    is_return: bool,
    /// Bytes from the stack pointer down to the address, when it lies near
    below_stack_pointer: Option<i64>,
    /// What is known of the address in the stack pointer
    stack_state: Option<&'static str>,
    /// Facts about the value that decided the address
    value_facts: Vec<Fact<'a>>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Operand<'a> {
    /// The operand as the assembler writes it
    text: &'a str,
    /// Base register
    base: Option<&'static str>,
    /// Value of the base register
    base_value: Option<Hex>,
    /// Index register
    index: Option<&'static str>,
    /// Value of the index register
    index_value: Option<Hex>,
    /// Factor of the index register
    scale: Option<u64>,
    /// Bytes added
    displacement: i64,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Fact<'a> {
    /// Stable word: tcache-key, poison, ascii, freed-chunk, …
    kind: &'static str,
    /// One phrase
    text: &'a str,
    /// Where in the dump
    source: Source,
}

impl<'a> Fault<'a> {
    fn new(fault: &'a model::Fault<'_>) -> Self {
        Self {
            pc: Hex(fault.pc.0),
            instruction: fault.instruction.as_deref(),
            access: fault.access.map(model::Access::name),
            address: fault.address.map(|address| Hex(address.0)),
            size: fault.size,
            operand: fault.operand.as_ref().map(|operand| Operand {
                text: &operand.text,
                base: operand.base.map(|(name, _)| name),
                base_value: operand.base.map(|(_, value)| Hex(value)),
                index: operand.index.map(|(name, ..)| name),
                index_value: operand.index.map(|(_, value, _)| Hex(value)),
                scale: operand.index.map(|(.., scale)| scale),
                displacement: operand.displacement,
            }),
            address_state: fault.state.map(AddressState::reason),
            permissions: fault.permissions.map(Shown),
            file: fault.file.as_deref(),
            non_canonical: fault.non_canonical,
            misaligned: fault.misaligned,
            expression: fault.expression.as_deref(),
            pointer: fault.pointer.as_deref(),
            divisor: fault.divisor,
            is_trap: fault.is_trap,
            is_branch: fault.is_branch,
            is_return: fault.is_return,
            below_stack_pointer: fault.below_stack_pointer,
            stack_state: fault.stack_state.map(AddressState::reason),
            value_facts: fault.value_facts.iter().map(Fact::new).collect(),
        }
    }
}

impl<'a> Fact<'a> {
    fn new(fact: &'a model::Evidenced) -> Self {
        Self { kind: fact.kind, text: &fact.text, source: Shown(fact.source) }
    }
}
