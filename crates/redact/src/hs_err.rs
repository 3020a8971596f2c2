//! What only a fatal error log of `HotSpot` says.

use necropsy_model::hs_err::{
    Argument, Arguments, Build, Bytes, CodeHeap, CompileTask, CoreNote, Cpu, CurrentThread, Damage, DamageKind,
    ErrorHeader, Event, EventRing, GlobalFlag, HandlerLine, Heap, HeapLine, HsErr, HsFrame, JavaMethod, MachineState,
    MapEntry, MapList, MappedValue, Measure, MemoryLine, NativeOom, NmtLine, ProcessState, Register, Rlimit, SigInfo,
    Summary, SystemState, VmOperation, VmThread, VmThreadWords,
};
use necropsy_model::{Source, Text};

use crate::Redactor;
use crate::placeholder::Kind;
use crate::table::{Redact, Texts, table};

table!(HsErr<'_> {
    thread: inner, threads: inner, header: inner, build: inner, summary: inner, siginfo: inner, machine: inner,
    vm_operation: inner, compile_task: inner, process: inner, system: inner, sections: keep, damage: inner,
    completeness: keep,
});
table!(ErrorHeader<'_> {
    kind: keep, announcement: sentence, error: sentence, signal_name: keep, signal_number: keep, pc: keep, pid: keep,
    tid: keep, tid_is_os_id: keep, sent_by_kill: keep, raised_at: source_file, messages: sentence, java_oom: sentence,
    native_oom: inner, problematic: inner, core: inner, outside_vm: keep, log_path: sentence, followed: keep,
});
table!(NativeOom<'_> { call: keep, bytes: keep, verb: keep, purpose: sentence, source: keep });
table!(CoreNote<'_> { written: keep, path: sentence, line: sentence });
table!(Build<'_> {
    jre: keep, vm: keep, vm_info: keep, feature: keep, version: keep, full_version: keep, runtime_name: keep,
    vendor: keep, vm_name: keep, attributes: keep, collector: keep, platform: keep, arch: keep, bits: keep, built: keep,
    debug: keep,
});
table!(Summary<'_> {
    host_name: host, command_line: java_arguments, host: sentence, cores: keep, memory: keep, time: keep, uptime_ms: keep,
});
table!(HsFrame<'_> {
    kind: keep, text: sentence, library: path, library_offset: keep, function: keep, function_offset: keep,
    location: source_file, method: inner, bci: keep, compile_id: keep, compiler: keep, osr: keep, bytecode_size: keep,
    code: keep, pc: keep, module: keep, source: keep,
});
table!(JavaMethod<'_> { class: keep, name: keep, descriptor: keep });
table!(SigInfo<'_> {
    text: sentence, name: keep, number: keep, code: keep, code_name: keep, address: keep, sender_pid: keep,
    sender_uid: keep, sender_is_self: keep, access: keep, source: keep,
});
table!(MachineState<'_> {
    registers: inner, error_code: keep, trap: keep, mapped: inner, slots: inner, stack: inner, instructions: keep,
    instructions_pc: keep, lock_stack: sentence,
});
table!(Register<'_> { name: keep, value: keep, source: keep });
table!(MappedValue<'_> { name: keep, value: keep, kind: keep, text: sentence, library: library, source: keep });
table!(
    /// The words of a stack.
    Bytes<'_> { start: keep, bytes: keep, source: keep }
);
table!(ProcessState<'_> {
    vm_state: sentence, at_safepoint: keep, initialized: keep, mutexes: sentence, exception_counts: keep, heap: inner,
    metaspace: keep, class_space: keep, code_heaps: inner, compilation: sentence, cds: keep, card_table: keep,
    polling_page: keep, events: inner, map: inner, arguments: inner, flags: inner, environment: variables,
    handlers: inner, native_memory: inner, agents: sentence,
});
table!(Heap<'_> { range: keep, oops_mode: keep, lines: inner, precious: sentence });
table!(HeapLine<'_> { name: keep, total: keep, used: keep, percent: keep, range: keep, source: keep });
table!(CodeHeap<'_> { name: keep, size: keep, used: keep, free: keep, range: keep, source: keep });
table!(EventRing<'_> { name: keep, count: keep, events: inner, source: keep });
table!(Event<'_> { at_ms: keep, thread: keep, text: event, source: keep });
table!(MapList<'_> { entries: inner, total: keep, is_all: keep });
table!(MapEntry<'_> {
    range: keep, end_is_bound: keep, permissions: keep, offset: keep, path: path, deleted: keep, source: keep,
});
table!(Arguments<'_> { vm: inner, command: java_command, class_path: class_path, launcher: keep });
table!(Argument<'_> { text: java_arguments, source: keep });
table!(GlobalFlag<'_> { name: keep, value: flag_value, origin: keep, source: keep });
table!(HandlerLine<'_> { signal: keep, handler: sentence, library: path, modified: keep, source: keep });
table!(NmtLine<'_> { name: keep, reserved: keep, committed: keep, source: keep });
table!(SystemState<'_> {
    os: sentence, uname: uname, libc: keep, os_uptime: keep, rlimits: inner, load_average: keep, meminfo: inner,
    tunables: keep, process_memory: inner, container: keep, no_container_information: keep, hypervisor: keep, cpu: inner,
    memory: inner,
});
table!(Rlimit<'_> { name: keep, soft: keep, hard: keep, source: keep });
table!(Measure<'_> { name: keep, bytes: keep, source: keep });
table!(Cpu<'_> {
    text: keep, model: keep, total: keep, family: keep, model_number: keep, stepping: keep, microcode: keep,
});
table!(MemoryLine<'_> {
    text: keep, page: keep, physical: keep, physical_free: keep, swap: keep, swap_free: keep, commit_limit: keep,
    commit_free: keep, working_set: keep, commit_charge: keep,
});
table!(CurrentThread<'_> {
    who: inner, text: sentence, address: keep, stack: keep, thread: keep, frames: inner, list: keep, native_frames: keep,
    more_frames: keep, being_processed: sentence, source: keep,
});
table!(VmThread<'_> { address: keep, current: keep, who: inner, stack: keep, thread: keep, source: keep });
table!(VmThreadWords<'_> { kind: keep, kind_text: keep, name: thread, daemon: keep, state: keep, os_id: keep });
table!(VmOperation<'_> { name: keep, mode: keep, requested_by: keep, source: keep });
table!(CompileTask<'_> {
    compiler: keep, id: keep, osr: keep, level: keep, method: keep, text: sentence, source: keep,
});
table!(Damage<'_> { kind: inner, source: keep });

impl Redact for DamageKind<'_> {
    fn redact(&mut self, redactor: &mut Redactor) {
        match self {
            Self::StepFailed { step, id: _ } => redactor.sentence(step),
            Self::Timeout | Self::TooManyErrors | Self::OtherThreadFailed(_) | Self::NulBytes(_) | Self::TornLine => {}
        }
    }
}

impl Redactor {
    /// A file and a line.
    fn source_file(&mut self, place: &mut Option<(Text<'_>, Option<u32>)>) {
        self.path(place);
    }

    /// A library and an offset.
    fn library(&mut self, library: &mut Option<(Text<'_>, u64)>) {
        self.path(library);
    }

    /// Arguments of a virtual machine.
    fn java_arguments(&mut self, texts: &mut impl Texts) {
        texts.each(&mut |text| self.arguments(text));
    }

    /// The main class or jar, then the arguments of the program.
    fn java_command(&mut self, texts: &mut impl Texts) {
        self.command(texts);
    }

    /// Jars by their names.
    fn class_path(&mut self, texts: &mut impl Texts) {
        texts.each(&mut |text| {
            let separator = if text.contains(';') { ";" } else { ":" };
            text.split(separator).map(|path| self.free_path(path)).collect::<Vec<_>>().join(separator)
        });
    }

    /// The value of a flag: a number or a truth stays.
    fn flag_value(&mut self, texts: &mut impl Texts) {
        texts.each(&mut |text| match text {
            "" | "true" | "false" => text.to_owned(),
            number if number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') => number.to_owned(),
            other => self.remembered(Kind::Argument, other),
        });
    }

    /// `Linux HOST 5.10.0 …`: the second word is the name of the host.
    fn uname(&mut self, texts: &mut impl Texts) {
        texts.each(&mut |text| {
            let words = text.split(' ').enumerate().map(|(at, word)| match at {
                // JDKs leave the host out: then a version is there.
                1 if !word.starts_with(|c: char| c.is_ascii_digit()) => self.remembered(Kind::Host, word),
                _ => word.to_owned(),
            });
            words.collect::<Vec<_>>().join(" ")
        });
    }

    /// An event names classes and methods; the message of an exception stands behind a colon.
    fn event(&mut self, texts: &mut impl Texts) {
        texts.each(&mut |text| match text.split_once("}: ").filter(|_| text.starts_with("Exception")) {
            Some((class, message)) => {
                format!("{}}}: {}", self.free(class), self.remembered(Kind::Message, message))
            }
            None => self.free(text),
        });
    }

    /// The environment.
    fn variables(&mut self, variables: &mut [(Text<'_>, Text<'_>, Source)]) {
        for (name, value, _) in variables {
            *value = self.environment(name, value).into();
        }
    }
}
