//! What is run on an input: one line per target.

mod dump;
mod files;
mod parts;
mod server;
mod words;

use crate::mutate::Shape;

/// A part of necropsy with one input.
pub struct Target {
    /// Name in kebab-case.
    pub name: &'static str,
    /// What it runs, in a phrase.
    pub about: &'static str,
    /// What its inputs are.
    pub shape: Shape,
    /// Bytes of memory that a run may take whatever the input is.
    pub floor: usize,
    /// Bytes of memory that a run may take for each byte of the input.
    pub per_byte: usize,
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Runs it; what is wrong with what came out.
    pub run: fn(&[u8]) -> Result<(), String>,
}

/// Threads of a dump up to which all stacks are printed: every one of a million would be gigabytes of text.
pub const MOST_THREADS_SHOWN: usize = 2000;

/// Readers of text, small as their inputs are.
const TEXT: (usize, usize) = (8 << 20, 600);
/// Everything about an ELF file: sections are unpacked, frames go up to their limit.
const ELF: (usize, usize) = (96 << 20, 600);

const fn text(
    name: &'static str,
    about: &'static str,
    seeds: fn() -> Vec<Vec<u8>>,
    run: fn(&[u8]) -> Result<(), String>,
) -> Target {
    Target { name, about, shape: Shape::Text, floor: TEXT.0, per_byte: TEXT.1, seeds, run }
}

const fn bytes(
    name: &'static str,
    about: &'static str,
    shape: Shape,
    seeds: fn() -> Vec<Vec<u8>>,
    run: fn(&[u8]) -> Result<(), String>,
) -> Target {
    Target { name, about, shape, floor: ELF.0, per_byte: ELF.1, seeds, run }
}

/// All targets. To add one, add its line.
pub static TARGETS: &[Target] = &[
    bytes("elf-core", "a core, read and judged without any file", Shape::Core, dump::cores, dump::elf_core),
    bytes("core-with-files", "a core with its sysroot, all stages", Shape::Core, dump::cores, dump::core_with_files),
    text("goroutines", "goroutine dumps and profiles", dump::goroutines, dump::as_goroutines),
    text("java-threads", "thread dumps of jstack and SIGQUIT", dump::java_threads, dump::as_java_threads),
    text("java-dump-file", "Thread.dump_to_file, text and JSON", dump::java_dump_files, dump::as_java_dump_file),
    text("thread-info", "ThreadInfo.toString", dump::thread_infos, dump::as_thread_info),
    text("actuator", "Spring's thread dump in JSON", dump::actuators, dump::as_actuator),
    text("javacore", "javacore files of OpenJ9", dump::javacores, dump::as_javacore),
    text("hs-err", "fatal error logs of HotSpot", dump::hs_errs, dump::as_hs_err),
    text("native-stacks", "backtraces of gdb and eu-stack", dump::native_stacks, dump::as_native_stacks),
    text("kernel-log", "segfault lines and kills of the kernel", dump::kernel_logs, dump::as_kernel_log),
    text("apport", "reports of apport with a core in them", dump::apports, dump::as_apport),
    text("stored-core", "what systemd noted of a core", dump::stored_cores, dump::stored_core),
    text("any", "recognition, then whatever was recognised", dump::any, dump::as_any),
    text("diff", "two dumps of one process", dump::any, dump::diff),
    text("group", "many dumps into buckets", dump::any, dump::group),
    text("redact", "the redaction pass before all outputs", dump::any, dump::redact),
    text("writers", "names of any content in every output", words::seeds, words::run),
    text("maps", "a copy of /proc/PID/maps", parts::maps_seeds, parts::maps),
    text("config", "a configuration file, its noise and its owners", parts::config_seeds, parts::config),
    text("tokens", "addresses in lines of text", parts::tokens_seeds, parts::tokens),
    text("breakpad", "symbol files of Breakpad", parts::breakpad_seeds, parts::breakpad),
    bytes("cfi", "call frame information, expressions, one step", Shape::Bytes, parts::cfi_seeds, parts::cfi),
    bytes("gopclntab", "Go's table of functions", Shape::Bytes, parts::go_table_seeds, parts::go_table),
    bytes("mini-debug-info", "packed symbol tables", Shape::Bytes, parts::mini_seeds, parts::mini),
    bytes("section", "a section as a symbol server sends it", Shape::Bytes, parts::section_seeds, parts::section),
    bytes("elf-names", "names, lines and inlined functions of a file", Shape::Elf, files::seeds, files::names),
    bytes("elf-values", "unwinding and variables of a file", Shape::Elf, files::seeds, files::values),
    bytes("elf-file", "a damaged executable below a core", Shape::Elf, files::executables, files::below_a_core),
    bytes("debuginfod", "responses of a symbol server", Shape::Bytes, server::seeds, server::run),
];

/// The target of a name.
pub fn named(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
