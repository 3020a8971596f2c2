//! Function names without what changes from build to build: counters of closures, hashes, type arguments, clone suffixes.

use std::borrow::Cow;

/// Suffixes that GCC and LLVM give to copies of a function; all that follows goes too.
const CLONES: [&str; 7] = [".isra.", ".constprop.", ".part.", ".cold", ".llvm.", ".lto_priv.", ".clone."];

/// The name as it stays the same from build to build.
pub fn normalise(name: &str) -> Cow<'_, str> {
    let mut out = Cow::Borrowed(name);
    if let Some(cut) = rust_hash(&out) {
        out = Cow::Owned(out[..cut].to_owned());
    }
    if let Some(cut) = CLONES.iter().filter_map(|clone| out.find(clone)).min() {
        out = Cow::Owned(out[..cut].to_owned());
    }
    if let Some(cut) = out.find("$$Lambda") {
        // HotSpot: `Main$$Lambda/0x00007f…` or `$$Lambda$14/1234`, numbered in order of first use; the method follows.
        let method = out.rfind('.').filter(|&dot| dot > cut).map(|dot| out[dot..].to_owned()).unwrap_or_default();
        out = Cow::Owned(format!("{}$$Lambda{method}", &out[..cut]));
    }
    if let Some(cut) = out.strip_suffix("-fm").map(str::len) {
        // Go: a method value.
        out = Cow::Owned(out[..cut].to_owned());
    }
    if out.contains('[') {
        out = Cow::Owned(without_type_arguments(&out));
    }
    if has_counter(&out) {
        out = Cow::Owned(without_counters(&out));
    }
    out
}

/// A function that only the compiler wrote: Go's wrappers of `go` and `defer` statements.
pub(crate) fn is_wrapper(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    let stem = last.trim_end_matches(|c: char| c.is_ascii_digit());
    stem.len() < last.len() && matches!(stem, "gowrap" | "deferwrap")
}

/// Where the hash of a Rust symbol begins: `::h` and 16 hex digits at the end.
fn rust_hash(name: &str) -> Option<usize> {
    let cut = name.len().checked_sub(19)?;
    let digits = name.get(cut..)?.strip_prefix("::h")?;
    digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(cut)
}

/// Go prints `[...]`, a debugger `[go.shape.int]`: one spelling for both. C++ operators keep their brackets.
fn without_type_arguments(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut depth = 0_usize;
    for (at, c) in name.char_indices() {
        match c {
            '[' if name[at..].starts_with("[]") => out.push('['),
            ']' if depth == 0 => out.push(']'),
            '[' => {
                if depth == 0 {
                    out.push_str("[...]");
                }
                depth += 1;
            }
            ']' => depth -= 1,
            _ if depth == 0 => out.push(c),
            _ => {}
        }
    }
    out
}

/// Whether a part between dots is a counter, or one of the words that carry a counter.
fn has_counter(name: &str) -> bool {
    name.split('.').skip(1).any(|part| stem(part) != part)
}

/// `main.run.func2.1` to `main.run.func`: the compiler numbers closures in the order of the source.
fn without_counters(name: &str) -> String {
    let mut parts = name.split('.');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let stem = stem(part);
        if !stem.is_empty() || part.is_empty() {
            out.push('.');
            out.push_str(stem);
        }
    }
    out
}

fn stem(part: &str) -> &str {
    let stem = part.trim_end_matches(|c: char| c.is_ascii_digit());
    match stem {
        "" | "func" | "gowrap" | "deferwrap" | "init" => stem,
        _ => part,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_and_hashes_go_names_stay() {
        for (name, want) in [
            ("main.run", "main.run"),
            ("main.run.func2", "main.run.func"),
            ("main.run.func2.1", "main.run.func"),
            ("main.run.gowrap1", "main.run.gowrap"),
            ("glob..func1", "glob..func"),
            ("main.T.Read-fm", "main.T.Read"),
            ("main.(*stack[go.shape.int]).pop", "main.(*stack[...]).pop"),
            ("main.(*stack[...]).pop", "main.(*stack[...]).pop"),
            ("iter.Pull[...].func1.1", "iter.Pull[...].func"),
            ("runtime.init.7", "runtime.init"),
            ("core::ptr::drop_in_place::h0123456789abcdef", "core::ptr::drop_in_place"),
            ("parse.constprop.0", "parse"),
            ("parse.part.1.cold", "parse"),
            ("operator new[](unsigned long)", "operator new[](unsigned long)"),
            ("Vec::operator[](int)", "Vec::operator[](int)"),
            ("com.acme.Main$$Lambda$14/1234.run", "com.acme.Main$$Lambda.run"),
            ("md5.block4", "md5.block4"),
        ] {
            assert_eq!(normalise(name), want);
        }
    }

    #[test]
    fn wrappers_are_known_by_their_last_part() {
        assert!(is_wrapper("main.run.gowrap1"));
        assert!(is_wrapper("main.run.deferwrap12"));
        assert!(!is_wrapper("main.gowrapper"));
        assert!(!is_wrapper("main.gowrap"));
    }
}
