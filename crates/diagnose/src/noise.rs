//! Frames that are seldom to blame: the list is data, in `noise.txt`; a user may add to it.

use std::fmt;

use necropsy_model::{Frame, FrameKind, Place, Snapshot};

const LIST: &str = include_str!("noise.txt");

/// What an entry names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    /// A module, by the beginning of its file's name.
    Module,
    /// A function, by its name.
    Function,
}

/// A line of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    subject: Subject,
    /// A name; a final `*` stands for any ending.
    name: String,
}

/// A line of a list that can not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// Its number, from 1.
    pub line: usize,
    /// What it says.
    pub text: String,
}

impl fmt::Display for BadLine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "line {}: neither `module NAME` nor `function NAME`: {}", self.line, self.text)
    }
}

impl std::error::Error for BadLine {}

/// Code that a crash passes through and that is seldom to blame: the built-in list, and what a user added.
#[derive(Clone, Debug, Default)]
pub struct Noise {
    extra: Vec<Entry>,
    /// Code of the user, modules and functions alike; a final `*` stands for any ending.
    own: Vec<String>,
}

impl Noise {
    /// The built-in list and further entries, one a line: `module NAME-PREFIX` or `function NAME`, where a final `*` stands for
    /// any ending. Blank lines and those that begin with `#` say nothing.
    ///
    /// # Errors
    /// The first line that is none of these.
    pub fn with(extra: &str) -> Result<Self, BadLine> {
        let mut entries = Vec::new();
        for (number, line) in (1..).zip(extra.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let entry = match line.split_once(char::is_whitespace) {
                Some(("module", name)) => (Subject::Module, name),
                Some(("function", name)) => (Subject::Function, name),
                _ => return Err(BadLine { line: number, text: line.to_owned() }),
            };
            entries.push(Entry { subject: entry.0, name: entry.1.trim().to_owned() });
        }
        Ok(Self { extra: entries, own: Vec::new() })
    }

    /// Both lists.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.extra.extend(other.extra);
        self.own.extend(other.own);
        self
    }

    /// The same, with names of modules and functions that are the user's own; a final `*` stands for any ending.
    #[must_use]
    pub fn with_own(self, own: Vec<String>) -> Self {
        Self { own, ..self }
    }

    /// The user said that this code is his own.
    pub(crate) fn is_own(&self, snapshot: &Snapshot<'_>, frame: &Frame<'_>) -> bool {
        let module = frame.module.and_then(|id| snapshot.module(id)).map(necropsy_model::Module::name);
        let names = [module, frame.function.as_deref()];
        names.into_iter().flatten().any(|name| self.own.iter().any(|own| matches(own, name, false)))
    }

    /// The frame belongs to a library or to the machinery between a failed check and the signal, or to no module at all.
    pub(crate) fn is_frame(&self, snapshot: &Snapshot<'_>, frame: &Frame<'_>) -> bool {
        let module = frame.module.and_then(|id| snapshot.module(id));
        is_noise(snapshot, frame)
            || module.is_some_and(|module| self.lists(Subject::Module, module.name()))
            || frame.function.as_deref().is_some_and(|function| self.lists(Subject::Function, function))
    }

    /// The same of a place, which may lie in a function that is no longer on the stack.
    pub(crate) fn is_place(&self, place: &Place<'_>) -> bool {
        let module = place.module.as_deref().map(|path| path.rsplit('/').next().unwrap_or_default());
        place.module.is_none() && place.function.is_none()
            || place.location.as_ref().is_some_and(|location| is_library_source(&location.file))
            || module.is_some_and(|name| listed("module ", name, true) || self.lists(Subject::Module, name))
            || place
                .function
                .as_deref()
                .is_some_and(|name| listed("function ", name, false) || self.lists(Subject::Function, name))
    }

    fn lists(&self, subject: Subject, name: &str) -> bool {
        let mut of_subject = self.extra.iter().filter(|entry| entry.subject == subject);
        of_subject.any(|entry| matches(&entry.name, name, subject == Subject::Module))
    }
}

/// Where sources of Rust's standard library and of glibc lie, as their builders recorded it: of inlined functions, and of
/// frames that a debugger printed, no module is known.
const SOURCES: [&str; 5] = ["/rustc/", "./nptl/", "../nptl/", "nptl/", "../sysdeps/"];

fn is_library_source(file: &str) -> bool {
    SOURCES.iter().any(|tree| file.starts_with(tree))
}

/// The frame is in the built-in list.
pub(crate) fn is_noise(snapshot: &Snapshot<'_>, frame: &Frame<'_>) -> bool {
    if frame.kind == FrameKind::SignalTrampoline {
        return true;
    }
    let module = frame.module.and_then(|id| snapshot.module(id));
    let known = module.is_some() || frame.function.is_some();
    let std_source = frame.location.as_ref().is_some_and(|location| is_library_source(&location.file));
    !known
        || std_source
        || module.is_some_and(|module| listed("module ", module.name(), true))
        || frame.function.as_deref().is_some_and(|function| listed("function ", function, false))
}

fn listed(kind: &str, name: &str, prefix: bool) -> bool {
    let name = if prefix { name } else { without_result(name) };
    LIST.lines().filter_map(|line| line.strip_prefix(kind)).any(|entry| matches(entry, name, prefix))
}

/// The name of a function without the type of its result, which functions made of templates carry:
/// `int __gnu_cxx::__stoa<long>(…)`.
fn without_result(name: &str) -> &str {
    let mut depth = 0_usize;
    let mut start = 0;
    for (at, letter) in name.char_indices() {
        match letter {
            '<' => depth += 1,
            '>' => depth = depth.saturating_sub(1),
            '(' if depth == 0 => break,
            ' ' if depth == 0 && !name[..at].ends_with("operator") => start = at + 1,
            _ => {}
        }
    }
    name.get(start..).unwrap_or(name)
}

/// An entry names this; modules by the beginning of their name.
fn matches(entry: &str, name: &str, prefix: bool) -> bool {
    match entry.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None if prefix => name.starts_with(entry),
        None => name == entry,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_knows_libraries_and_machinery_but_not_programs() {
        assert!(listed("module ", "libc.so.6", true));
        assert!(listed("function ", "core::panicking::panic_fmt", false));
        assert!(listed("function ", "abort", false));
        assert!(listed("function ", "int __gnu_cxx::__stoa<long, int>(long (*)(char const*), int)", false));
        assert!(!listed("function ", "abort handle(int)", false));
        assert!(!listed("function ", "abort_transfer", false));
        assert!(!listed("module ", "transfer", true));
    }

    #[test]
    fn code_of_the_user_is_told_by_module_and_function() {
        let noise = Noise::default().with_own(vec!["main.*".to_owned(), "libc.so.6".to_owned()]);
        let mut snapshot = Snapshot::default();
        snapshot.modules.push(necropsy_model::Module::at_path("/lib/libc.so.6"));
        let own = Frame::printed("main.run", None);
        let library = Frame { module: necropsy_model::ModuleId::new(0), ..Frame::printed("memcpy", None) };
        assert!(noise.is_own(&snapshot, &own) && noise.is_own(&snapshot, &library));
        assert!(!noise.is_own(&snapshot, &Frame::printed("runtime.main", None)));
        assert!(!Noise::default().is_own(&snapshot, &own));
    }

    #[test]
    fn a_user_adds_modules_and_functions_of_his_own() {
        let noise = Noise::with("# ours\n\nmodule libbase.so\nfunction check_*\n").unwrap();
        assert!(noise.lists(Subject::Module, "libbase.so.3") && noise.lists(Subject::Function, "check_not_null"));
        assert!(!noise.lists(Subject::Function, "libbase.so") && !noise.lists(Subject::Module, "check_x"));
        let bad = Noise::with("function f\nmodul x\n").unwrap_err();
        assert_eq!((bad.line, bad.text.as_str()), (2, "modul x"));
    }
}
