//! Seed programs with their truth, which stands in the source as markers:
//!
//! `// class: …` names the class of the bug; `@BIRTH fn=f` (or `fn=f|g`, `fn=<global> sym=s`, `fn=<none>`) stands on the line
//! where the bad value comes into being; `@CRASH` on the line that dies; `@CALL fn=f` on the one that lets the value in.

use std::fs;
use std::path::{Path, PathBuf};

/// A marked line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) line: u64,
    /// Any of these is right.
    pub(crate) functions: Vec<String>,
    /// The global that holds its initial value.
    pub(crate) symbol: Option<String>,
}

/// A program with one bug.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seed {
    pub(crate) name: String,
    pub(crate) file: String,
    pub(crate) class: String,
    pub(crate) births: Vec<Mark>,
    pub(crate) crashes: Vec<Mark>,
    pub(crate) calls: Vec<Mark>,
}

impl Seed {
    /// No value to blame: a signal from outside.
    pub(crate) fn has_no_origin(&self) -> bool {
        self.births.iter().any(|mark| mark.functions.iter().any(|function| function == "<none>"))
    }

    /// Functions at any of the places of birth.
    pub(crate) fn birth_functions(&self) -> impl Iterator<Item = &str> {
        self.births.iter().flat_map(|mark| &mark.functions).map(String::as_str)
    }

    /// What a table shows of the truth.
    pub(crate) fn expected(&self) -> String {
        let lines: Vec<_> = self.births.iter().map(|mark| mark.line.to_string()).collect();
        let functions: Vec<_> = self.birth_functions().collect();
        let gates: Vec<_> = self.calls.iter().map(|mark| format!("; gate line {}", mark.line)).collect();
        let function = functions.first().copied().unwrap_or("?");
        format!("{function} {}:{}{}", self.file, lines.join(","), gates.concat())
    }
}

/// The seeds of a folder, by name.
pub(crate) fn seeds_of(folder: &Path) -> Vec<Seed> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut sources: Vec<PathBuf> = entries.filter(|path| is_source(path)).collect();
    sources.sort();
    sources.iter().filter_map(|path| Some(parse(path, &fs::read_to_string(path).ok()?))).collect()
}

fn is_source(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "c" || ending == "cc" || ending == "rs")
}

fn parse(path: &Path, source: &str) -> Seed {
    let text = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let mut seed = Seed { name: text(path.file_stem()), file: text(path.file_name()), ..Seed::default() };
    for (line, number) in source.lines().zip(1..) {
        if let Some(class) = line.strip_prefix("// class: ") {
            class.trim().clone_into(&mut seed.class);
        }
        for (marker, marks) in [("@BIRTH", &mut seed.births), ("@CRASH", &mut seed.crashes), ("@CALL", &mut seed.calls)]
        {
            let Some((_, rest)) = line.split_once(marker) else { continue };
            let words: Vec<_> = rest.split_whitespace().take_while(|word| !word.starts_with('@')).collect();
            let value = |key: &str| words.iter().find_map(|word| word.strip_prefix(key));
            let functions = value("fn=").into_iter().flat_map(|names| names.split('|')).map(str::to_owned).collect();
            marks.push(Mark { line: number, functions, symbol: value("sym=").map(str::to_owned) });
        }
    }
    seed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_of_a_line_are_read_apart() {
        let source = "// class: uaf\nint f() { throw 1; // @BIRTH fn=f|g @CRASH\n  h(); // @CALL fn=f\n";
        let seed = parse(Path::new("lab/a.cc"), source);
        assert_eq!((seed.name.as_str(), seed.file.as_str(), seed.class.as_str()), ("a", "a.cc", "uaf"));
        let both = vec!["f".to_owned(), "g".to_owned()];
        assert_eq!(seed.births, [Mark { line: 2, functions: both, symbol: None }]);
        assert_eq!(seed.crashes, [Mark { line: 2, ..Mark::default() }]);
        assert_eq!(seed.calls, [Mark { line: 3, functions: vec!["f".to_owned()], symbol: None }]);
        assert!(!seed.has_no_origin());
    }

    #[test]
    fn a_global_and_the_absence_of_an_origin() {
        let seed = parse(Path::new("g.c"), "struct r *r; // @BIRTH fn=<global> sym=r\n");
        assert_eq!(seed.births[0].symbol.as_deref(), Some("r"));
        assert!(parse(Path::new("k.c"), "for (;;) // @BIRTH fn=<none>\n").has_no_origin());
    }
}
