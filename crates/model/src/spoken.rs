//! Function names as people say them.

use std::borrow::Cow;

/// Columns a name may take in a sentence.
pub const IN_A_SENTENCE: usize = 64;

/// Longer names are not worked on: the debug information of a template can hold megabytes.
const LONGEST: usize = 16 << 10;

/// Inline namespaces of C++ libraries, which no source code spells: libc++'s, that of Android, and libstdc++'s new ABI.
const INLINE_NAMESPACES: [&str; 3] = ["std::__1::", "std::__ndk1::", "std::__cxx11::"];

/// Template arguments that are almost always the defaults of C++ containers (N4950, `containers` and `string.classes`).
const DEFAULTS: [&str; 6] = [
    ", std::allocator<",
    ", std::char_traits<",
    ", std::default_delete<",
    ", std::equal_to<",
    ", std::hash<",
    ", std::less<",
];

/// What remains of the string classes without their defaults.
const ALIASES: [(&str, &str); 3] = [
    ("std::basic_string<char>", "std::string"),
    ("std::basic_string_view<char>", "std::string_view"),
    ("std::basic_ostream<char>", "std::ostream"),
];

/// A demangled name as its source spells it, and where it takes more than so many bytes still, without parameters, then without
/// template arguments: `submit(Order const&, std::map<std::string, int> const&)`, `submit(…)`.
///
/// Machines get the whole name; this is for text. A name that is still too long is left to who prints it.
pub fn spoken(name: &str, limit: usize) -> Cow<'_, str> {
    if name.len() > LONGEST {
        return Cow::Borrowed(name);
    }
    let mut said = Cow::Borrowed(name);
    if name.contains("std::") && name.contains('<') {
        said = Cow::Owned(plain_std(name));
    }
    if said.chars().count() > limit
        && let Some((start, end)) = parameters(&said)
    {
        said = Cow::Owned(format!("{}…{}", &said[..start], &said[end..]));
    }
    if said.chars().count() > limit {
        said = Cow::Owned(without_arguments(&said));
    }
    said
}

/// The standard library's names without inline namespaces and defaults.
fn plain_std(name: &str) -> String {
    let mut out = name.to_owned();
    for namespace in INLINE_NAMESPACES {
        out = out.replace(namespace, "std::");
    }
    for default in DEFAULTS {
        out = without_default(&out, default);
    }
    for (long, short) in ALIASES {
        out = out.replace(long, short);
    }
    out.replace("> >", ">>").replace("> >", ">>")
}

/// Takes out a template argument that begins like this, wherever no other argument follows.
fn without_default(name: &str, begin: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.find(begin) {
        let (before, found) = rest.split_at(at);
        out.push_str(before);
        let end = closing(found, begin.len() - 1).map(|close| close + 1);
        let behind = end.and_then(|end| found.get(end..)).map(|behind| behind.strip_prefix(' ').unwrap_or(behind));
        // Another default may follow that is taken out next.
        if let Some(behind) = behind.filter(|behind| behind.starts_with('>') || behind.starts_with(", std::")) {
            rest = behind;
        } else {
            out.push_str(begin);
            rest = &found[begin.len()..];
        }
    }
    out.push_str(rest);
    out
}

/// The bytes between the parentheses of the parameters, which are the last ones of a C++ name.
fn parameters(name: &str) -> Option<(usize, usize)> {
    let end = name.rfind(')')?;
    let behind = name.get(end + 1..)?;
    if !matches!(behind, "" | " const" | " volatile" | " &" | " &&" | " const &" | " [clone]")
        && !behind.starts_with(" [")
    {
        return None;
    }
    let mut depth = 0_usize;
    for at in (0..=end).rev() {
        match name.as_bytes().get(at)? {
            b')' => depth += 1,
            b'(' if depth == 1 => return (at > 0 && at + 1 < end).then_some((at + 1, end)),
            b'(' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// `parse<…>` for `parse<json::value, json::reader>`. What is part of a name stays: `operator<`, Rust's `<T as Trait>::f`.
fn without_arguments(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut at = 0;
    while let Some(found) = name.get(at..).and_then(|rest| rest.find('<')).map(|offset| at + offset) {
        let before = &name[..found];
        let of_name = before.ends_with(|c: char| c.is_alphanumeric() || c == '_') && !before.ends_with("operator");
        let end = closing(name, found).filter(|&end| of_name && end > found + 1);
        out.push_str(&name[at..found]);
        match end {
            Some(end) => {
                out.push_str("<…>");
                at = end + 1;
            }
            None => {
                out.push('<');
                at = found + 1;
            }
        }
    }
    out.push_str(name.get(at..).unwrap_or_default());
    out
}

/// The `>` that belongs to the `<` at `open`; `->` closes nothing.
fn closing(name: &str, open: usize) -> Option<usize> {
    let bytes = name.as_bytes();
    let mut depth = 0_usize;
    for (at, &byte) in bytes.iter().enumerate().skip(open) {
        match byte {
            b'<' => depth += 1,
            b'>' if at.checked_sub(1).and_then(|before| bytes.get(before)) == Some(&b'-') => {}
            b'>' if depth == 1 => return Some(at),
            b'>' => depth = depth.checked_sub(1)?,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRING: &str = "std::__1::basic_string<char, std::__1::char_traits<char>, std::__1::allocator<char> >";

    #[test]
    fn the_standard_library_is_spelled_as_in_sources() {
        let name = format!(
            "find(std::__1::map<{STRING}, int, std::__1::less<{STRING} >, std::__1::allocator<std::__1::pair<{STRING} const, int> > > const&)"
        );
        assert_eq!(spoken(&name, 80), "find(std::map<std::string, int> const&)");
        let gnu = "std::vector<std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char>>, std::allocator<std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char>>>>::at(unsigned long)";
        assert_eq!(spoken(gnu, 80), "std::vector<std::string>::at(unsigned long)");
        assert_eq!(
            spoken("std::unique_ptr<Order, std::default_delete<Order> >::get() const", 80),
            "std::unique_ptr<Order>::get() const"
        );
        assert_eq!(
            spoken("std::vector<int, arena::allocator<int> >::at(unsigned long)", 80),
            "std::vector<int, arena::allocator<int>>::at(unsigned long)"
        );
    }

    #[test]
    fn parameters_go_first_and_template_arguments_next() {
        let name = "ledger::apply<ledger::account, ledger::policy>(ledger::account&, ledger::amount const&) const";
        assert_eq!(spoken(name, 60), "ledger::apply<ledger::account, ledger::policy>(…) const");
        assert_eq!(spoken(name, 40), "ledger::apply<…>(…) const");
        assert_eq!(spoken("f(void (*)(int), long, long)", 8), "f(…)");
        assert_eq!(
            spoken("main::{lambda(int, int)#1}::operator()(int, int) const", 50),
            "main::{lambda(int, int)#1}::operator()(…) const"
        );
    }

    #[test]
    fn what_is_part_of_a_name_stays() {
        for name in [
            "operator<<(int)",
            "<impl core::fmt::Display for ledger::Amount>::fmt",
            "main.(*Server).Serve",
            "run()",
            "core::ops::function::FnOnce::call_once{{vtable.shim}}",
            "a->b<",
            "x>>",
            "",
            ")",
            "(",
            "()",
            "<>",
        ] {
            assert_eq!(spoken(name, 200), name);
        }
        assert_eq!(
            spoken("bool operator< <int>(pair<int, int> const&, pair<int, int> const&)", 20),
            "bool operator< <int>(…)"
        );
        assert_eq!(spoken("main.(*Server).Serve", 5), "main.(*Server).Serve");
        for name in ["é(é<é", "<<<<", ">>>>(", "((((", "))))", "std::<, std::less<"] {
            spoken(name, 0);
        }
    }
}
