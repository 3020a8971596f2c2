//! Titles of findings: who, what, how, in one sentence.

use necropsy_model::{Access, Evidence, IN_A_SENTENCE, MessageKind, spoken};

use crate::crash::Crash;

/// A title, with the last words it rests on.
pub(crate) struct Title<'data> {
    /// One sentence without a full stop.
    pub text: String,
    /// Words of the process.
    pub words: Vec<Evidence<'data>>,
}

impl From<String> for Title<'_> {
    fn from(text: String) -> Self {
        Self { text, words: Vec::new() }
    }
}

/// Who crashed.
fn who(crash: &Crash<'_, '_>) -> String {
    let Some(place) = crash.victim() else { return "the process".to_owned() };
    let module =
        || place.module.as_deref().and_then(|path| path.rsplit('/').next()).map(|name| format!("code in {name}"));
    let function = place.function.as_deref().map(|name| spoken(name, IN_A_SENTENCE).into_owned());
    function.or_else(module).unwrap_or_else(|| "unknown code".to_owned())
}

/// The library function that the victim had called, when the fault is inside of one.
fn inside(crash: &Crash<'_, '_>) -> String {
    let victim = crash.victim().and_then(|place| place.frame);
    let innermost = crash.frames().next();
    let function =
        innermost.filter(|(index, _)| Some(*index) != victim).and_then(|(_, frame)| frame.function.as_deref());
    function.map(|function| format!(" (in {})", spoken(function, IN_A_SENTENCE))).unwrap_or_default()
}

/// Such as "refund read `acct->balance` through a NULL pointer".
pub(crate) fn access<'data>(crash: &Crash<'_, 'data>, how: &str) -> Title<'data> {
    let fault = crash.fault();
    let verb = match fault.and_then(|fault| fault.access) {
        Some(Access::Read) => "read",
        Some(Access::Write) => "wrote",
        Some(Access::ReadWrite) => "changed",
        Some(Access::Execute) => "ran",
        None => "accessed memory",
    };
    let expression = fault.and_then(|fault| fault.expression.as_deref());
    let operand = fault.and_then(|fault| fault.operand.as_ref()).map(|operand| operand.text.as_str());
    let object = expression.or(operand).map(|object| format!(" {object}")).unwrap_or_default();
    let value =
        crash.bad_value().filter(|&value| value >= 0x1_0000).map(|value| format!(" ({value:#x})")).unwrap_or_default();
    format!("{} {verb}{object} {how}{value}{}", who(crash), inside(crash)).into()
}

/// "dispatch called [rax+8]: a function pointer that is NULL".
pub(crate) fn call<'data>(crash: &Crash<'_, 'data>, what: &str) -> Title<'data> {
    let fault = crash.fault();
    let operand =
        fault.and_then(|fault| fault.operand.as_ref()).map(|operand| format!(" {}", operand.text)).unwrap_or_default();
    let value = fault
        .and_then(|fault| fault.address)
        .filter(|at| at.0 >= 0x1_0000)
        .map(|at| format!(" ({at})"))
        .unwrap_or_default();
    format!("{} called{operand}: {what}{value}", who(crash)).into()
}

/// "recurse ran out of stack: 15,405 frames".
pub(crate) fn stack_overflow<'data>(crash: &Crash<'_, 'data>) -> Title<'data> {
    let stack = crash.thread().and_then(|thread| thread.stack).and_then(|id| crash.snapshot.stack(id));
    let frames = stack.map_or(0, |stack| stack.frames.len() as u64 + stack.gap.map_or(0, |gap| gap.omitted));
    let size = crash.fault().and_then(|fault| fault.stack).map(|(start, end)| end.0.saturating_sub(start.0) / 1024);
    let size = size.map(|size| format!(" of {size} KiB")).unwrap_or_default();
    let how = match stack.and_then(|stack| stack.gap).and_then(|gap| gap.period) {
        Some(1) => format!(": it calls itself, {frames} frames deep"),
        Some(period) => format!(": {period} functions call each other, {frames} frames deep"),
        None => String::new(),
    };
    format!("{} ran out of its stack{size}{how}", who(crash)).into()
}

/// "divz divided by zero".
pub(crate) fn division<'data>(crash: &Crash<'_, 'data>) -> Title<'data> {
    let what = match crash.fault().and_then(|fault| fault.divisor) {
        Some(0) | None => "divided by zero".to_owned(),
        Some(divisor) => format!("divided by {divisor} with a quotient that does not fit"),
    };
    format!("{} {what}", who(crash)).into()
}

/// "load touched a page behind the end of /data/ledger".
pub(crate) fn truncated_file<'data>(crash: &Crash<'_, 'data>) -> Title<'data> {
    let file = crash.fault().and_then(|fault| fault.file.as_deref()).unwrap_or("a file");
    format!(
        "{} touched a page behind the end of {file}, which is shorter than its mapping{}",
        who(crash),
        inside(crash)
    )
    .into()
}

/// Who, and a fixed predicate.
pub(crate) fn plain<'data>(crash: &Crash<'_, 'data>, what: &str) -> Title<'data> {
    format!("{} {what}", who(crash)).into()
}

/// Who, a fixed predicate, and what the process said.
pub(crate) fn said<'data>(crash: &Crash<'_, 'data>, kind: MessageKind, what: &str) -> Title<'data> {
    went_on(crash, kind, plain(crash, what))
}

/// A title, and what the process said.
pub(crate) fn went_on<'data>(crash: &Crash<'_, 'data>, kind: MessageKind, title: Title<'data>) -> Title<'data> {
    let kinds: &[MessageKind] = match kind {
        MessageKind::GoPanic => &[MessageKind::GoPanic, MessageKind::GoFatal],
        MessageKind::Assert => &[MessageKind::Assert],
        MessageKind::Heap => &[MessageKind::Heap],
        MessageKind::RustPanic => &[MessageKind::RustPanic],
        MessageKind::Other => &[MessageKind::Other],
        _ => &[MessageKind::Terminate],
    };
    let words = crash.words(kinds);
    let quote = crash.last.messages.iter().find(|message| kinds.contains(&message.kind));
    let quote = quote.map(|message| format!(": {}", message.text.replace('\n', " "))).unwrap_or_default();
    Title { text: title.text + &quote, words }
}

/// "process 4242 was sent SIGABRT by process 17".
pub(crate) fn sent<'data>(crash: &Crash<'_, 'data>) -> Title<'data> {
    let signal = crash.stop.signal.map_or_else(|| "a signal".to_owned(), |signal| signal.to_string());
    if crash.raised_itself() {
        return format!("{} raised {signal}", who(crash)).into();
    }
    let own = crash.snapshot.process.pid;
    let by = match crash.stop.sender {
        Some(sender) if Some(sender.pid) == own => " by itself".to_owned(),
        Some(sender) if sender.pid == 0 => " by the kernel or from another pid namespace".to_owned(),
        Some(sender) => format!(" by process {} (user {})", sender.pid, sender.uid),
        None => String::new(),
    };
    format!("the process was sent {signal}{by}").into()
}
