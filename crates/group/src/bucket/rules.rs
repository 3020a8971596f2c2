//! Rules for frames: data in `frames.txt`, and what a user adds to them.

use rustc_hash::FxHashMap;

const BUILT_IN: &str = include_str!("frames.txt");

/// What a frame is to a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Left out.
    Skip,
    /// Kept; the frame behind it names the bug.
    Prefix,
    /// Left out with all frames outside of it.
    Root,
    /// Names the bug.
    Own,
}

/// A rule that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct RuleError {
    /// Line, from 1.
    pub line: usize,
    /// One phrase.
    pub why: &'static str,
}

/// Which frames of a crash tell one bug from another.
#[derive(Clone, Debug)]
pub struct FrameRules {
    functions: Table,
    modules: Table,
}

impl Default for FrameRules {
    fn default() -> Self {
        let mut rules = Self { functions: Table::default(), modules: Table::default() };
        // A test reads every line of it.
        let _ = rules.add(BUILT_IN);
        rules
    }
}

impl FrameRules {
    /// The rules of the user before the built-in ones.
    pub fn with(user: &str) -> Result<Self, RuleError> {
        let mut rules = Self { functions: Table::default(), modules: Table::default() };
        rules.add(user)?;
        rules.add(BUILT_IN)?;
        Ok(rules)
    }

    fn add(&mut self, text: &str) -> Result<(), RuleError> {
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let error = |why| RuleError { line: number, why };
            let (rule, reason) = line.split_once(" #").ok_or(error("a rule ends in ` # ` and its reason"))?;
            if reason.trim().is_empty() {
                return Err(error("the reason is missing"));
            }
            let mut words = rule.trim().splitn(3, char::is_whitespace);
            let class = match words.next() {
                Some("skip") => Class::Skip,
                Some("prefix") => Class::Prefix,
                Some("root") => Class::Root,
                Some("own") => Class::Own,
                _ => return Err(error("a rule begins with skip, prefix, root or own")),
            };
            let table = match words.next() {
                Some("function") => &mut self.functions,
                Some("module") => &mut self.modules,
                _ => return Err(error("the second word is function or module")),
            };
            let pattern = words.next().map(str::trim).filter(|pattern| !pattern.trim_matches('*').is_empty());
            table.add(pattern.ok_or(error("the pattern is missing"))?, class);
        }
        Ok(())
    }

    /// The class of a frame by the names of its function and of its module's file.
    pub(super) fn class(&self, function: Option<&str>, module: Option<&str>) -> Class {
        let by_function = function.and_then(|function| self.functions.find(function));
        by_function.or_else(|| self.modules.find(module?)).unwrap_or(Class::Own)
    }
}

/// Rules by how their pattern can be looked up. Each keeps its number, for the first one counts.
#[derive(Clone, Debug, Default)]
struct Table {
    count: u32,
    exact: FxHashMap<String, (u32, Class)>,
    /// Patterns that end in `*`, by their first byte.
    starts: FxHashMap<u8, Vec<(u32, String, Class)>>,
    /// Patterns that begin with `*`, and perhaps end in one.
    rest: Vec<(u32, String, bool, Class)>,
}

impl Table {
    fn add(&mut self, pattern: &str, class: Class) {
        self.count += 1;
        let number = self.count;
        match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
            (Some(rest), None) => self.rest.push((number, rest.to_owned(), false, class)),
            (Some(_), Some(_)) => self.rest.push((number, pattern.trim_matches('*').to_owned(), true, class)),
            (None, Some(start)) => {
                let first = start.bytes().next().unwrap_or_default();
                self.starts.entry(first).or_default().push((number, start.to_owned(), class));
            }
            (None, None) => {
                self.exact.entry(pattern.to_owned()).or_insert((number, class));
            }
        }
    }

    fn find(&self, name: &str) -> Option<Class> {
        let exact = self.exact.get(name).copied();
        let starts = name.bytes().next().and_then(|first| self.starts.get(&first));
        let start = starts.and_then(|all| all.iter().find(|(_, start, _)| name.starts_with(start.as_str())));
        let fits = |(_, part, inside, _): &&(u32, String, bool, Class)| {
            if *inside { name.contains(part.as_str()) } else { name.ends_with(part.as_str()) }
        };
        let rest = self.rest.iter().find(fits);
        let found = [exact, start.map(|(number, _, class)| (*number, *class)), rest.map(|it| (it.0, it.3))];
        found.into_iter().flatten().min_by_key(|(number, _)| *number).map(|(_, class)| class)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_rule_is_read_and_has_a_reason() {
        let rules = FrameRules::with("").unwrap();
        let lines = BUILT_IN.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count();
        assert_eq!((rules.functions.count + rules.modules.count) as usize, lines);
        assert!(BUILT_IN.is_ascii());
    }

    #[test]
    fn the_first_rule_counts_and_the_user_comes_first() {
        let rules = FrameRules::default();
        let of = |name| rules.class(Some(name), None);
        assert_eq!(of("raise"), Class::Skip);
        assert_eq!(of("raise_price"), Class::Own);
        assert_eq!(of("runtime.gopanic"), Class::Skip);
        assert_eq!(of("std::panicking::begin_panic"), Class::Skip);
        assert_eq!(of("std::collections::hash_map::insert"), Class::Prefix);
        assert_eq!(of("std::rt::lang_start_internal"), Class::Root);
        assert_eq!(of("snprintf"), Class::Prefix);
        assert_eq!(of("shop.Cart.add"), Class::Own);
        assert_eq!(rules.class(None, Some("libc.so.6")), Class::Skip);
        assert_eq!(rules.class(Some("memcpy"), Some("libc.so.6")), Class::Prefix);
        let mine = FrameRules::with("skip function log_* # everybody logs\nown function raise # ours\n").unwrap();
        assert_eq!(mine.class(Some("log_line"), None), Class::Skip);
        assert_eq!(mine.class(Some("raise"), None), Class::Own);
    }

    #[test]
    fn a_rule_that_is_no_rule_is_told_with_its_line() {
        for (text, line) in [
            ("\n\nskip function a", 3),
            ("skip function a #", 1),
            ("hide function a # x", 1),
            ("skip frame a # x", 1),
            ("skip function * # all", 1),
            ("skip function # x", 1),
        ] {
            assert_eq!(FrameRules::with(text).unwrap_err().line, line, "{text}");
        }
    }
}
