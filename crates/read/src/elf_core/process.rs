//! The process, and what a reader of its report must know about the core as a whole.

use necropsy_model::{Arch, Avma, Memory, Module, Process, Snapshot, Source, Text, Warning, Writer};

use super::bytes::text;
use super::command_line;
use super::headers::Headers;
use super::image::LONGEST_PATH;
use super::threads::Facts;

/// The path that was executed: `AT_EXECFN`, whole and as given to `execve`. The first word of `pr_psargs` is what the
/// program was told to be called and may be anything; `pr_fname` is cut at 15 bytes.
pub(super) fn exec_path<'data>(facts: &Facts<'data>, memory: &Memory<'data>) -> Option<Text<'data>> {
    let tail = facts.auxv.exec_path.map(|address| memory.tail(Avma(address)));
    let path = tail.map(|tail| text(tail.get(..LONGEST_PATH).unwrap_or(tail))).filter(|path| !path.is_empty());
    path.or_else(|| first_word(facts)).or_else(|| facts.process.name.clone())
}

/// The first word of the command line, when it ends in the name of the process.
fn first_word<'data>(facts: &Facts<'data>) -> Option<Text<'data>> {
    let name = facts.process.name.as_ref()?;
    let Some(Text::Borrowed(arguments)) = facts.process.arguments else { return None };
    let word = arguments.split(' ').next()?;
    let last = word.rsplit('/').next()?;
    last.starts_with(name.as_ref()).then_some(Text::Borrowed(word))
}

/// Describes the process.
pub(super) fn describe<'data>(
    facts: &Facts<'data>,
    headers: &Headers,
    exec_path: Option<Text<'data>>,
    modules: &[Module<'data>],
    memory: &Memory<'data>,
) -> Process<'data> {
    let executable = modules.iter().find(|module| module.is_executable);
    let first = facts.threads.first().map(|thread| &thread.status);
    let process = &facts.process;
    let whole =
        process.arguments.as_deref().filter(|_| process.arguments_cut).and_then(|short| {
            command_line::whole(short, facts.raw_auxv, facts.auxv.exec_path?, memory, headers.layout)
        });
    Process {
        pid: process.pid.or_else(|| first.and_then(|thread| thread.tid)),
        parent_pid: process.parent.or_else(|| first.and_then(|thread| thread.parent)),
        uid: process.uid.or(facts.auxv.uid),
        exe: executable.map(|module| module.path.clone()).or(exec_path),
        command_line_cut: process.arguments_cut && whole.as_ref().is_none_or(|&(_, cut)| cut),
        command_line: whole.map(|(line, _)| Text::from(line)).or_else(|| process.arguments.clone()),
        arch: Some(headers.arch),
        pointer_mask: facts.pointer_mask,
        os: Some(facts.foreign.unwrap_or("linux").into()),
        build_id: executable.and_then(|module| module.build_id.clone()),
        writer: facts.writer,
        ..Process::default()
    }
}

/// Warns of what holds for the core as a whole.
pub(super) fn warn(foreign: Option<&'static str>, snapshot: &mut Snapshot<'_>) {
    let process = &snapshot.process;
    let mut texts = Vec::new();
    if let Some(system) = foreign {
        texts.push(format!("this is a core of {system}; its threads are not read, only its memory map"));
    } else if let Some(arch) = process.arch.filter(|arch| arch.program_counter().is_none()) {
        let machine = match arch {
            Arch::Other(number) => format!("machine {number}"),
            known => known.name().to_owned(),
        };
        texts.push(format!("stacks of {machine} are not unwound; threads, signal, modules and memory map are read"));
    }
    match process.writer {
        Some(Writer::Gcore) => {
            texts.push("written by gcore: the CPU times of the threads are not in it".to_owned());
        }
        Some(Writer::QemuUser) => texts.push(
            "written by qemu-user: no signal code, no fault address, no list of mapped files and no code in it"
                .to_owned(),
        ),
        Some(Writer::Kernel | Writer::KernelLog) | None => {}
    }
    // A file linked without a build id still shows its headers.
    let mut files = snapshot.modules.iter().filter(|module| !module.path.starts_with('[')).peekable();
    let filtered = process.writer == Some(Writer::Kernel) && files.peek().is_some();
    if filtered && files.all(|module| module.build_id.is_none() && module.bias.is_none()) {
        texts.push(
            "the core holds no build id: the ELF headers of its modules were left out (bit 4 of coredump_filter)"
                .to_owned(),
        );
    }
    if foreign.is_none() && snapshot.threads.is_empty() {
        texts.push("no thread is in the core: its notes are missing or cut off".to_owned());
    }
    snapshot.warnings.extend(texts.into_iter().map(|text| Warning::new(text, Source::DUMP)));
}
