//! Linker names to the names of the source: Rust (legacy and v0) and C++ (Itanium).

use std::fmt::{self, Write};

use necropsy_model::Text;

/// Longest name that is demangled. Longer ones are expansions of templates that nobody reads, or attacks.
const LONGEST_NAME: usize = 4096;
/// Longest result. A few bytes of back references expand to megabytes.
const LONGEST_RESULT: usize = 8192;
/// Depth of recursion for C++: far above real names, far below the stack.
const DEPTH: u32 = 192;

/// The name as the source has it; names that are not mangled, or not decodable, stay as they are.
pub(super) fn demangle(name: &str) -> Text<'_> {
    // `.cold`, `.part.0`, `.constprop.1` of gcc and `.llvm.123` of LLVM stand behind the mangled name.
    let name = name.split_once("@@").or_else(|| name.split_once('@')).map_or(name, |(name, _)| name);
    if name.len() > LONGEST_NAME {
        return Text::Borrowed(name);
    }
    rust(name).or_else(|| cpp(name)).map_or(Text::Borrowed(name), Text::Owned)
}

/// The name of a C++ type by its encoding, as `std::type_info` holds it: `St13runtime_error` is `std::runtime_error`.
pub(crate) fn type_name(encoded: &str) -> String {
    const PREFIX: &str = "typeinfo for ";
    let symbol = cpp(&format!("_ZTI{encoded}"));
    symbol.as_deref().and_then(|symbol| symbol.strip_prefix(PREFIX)).unwrap_or(encoded).to_owned()
}

fn rust(name: &str) -> Option<String> {
    let demangled = rustc_demangle::try_demangle(name).ok()?;
    // The alternate form leaves out the hash, which differs from build to build.
    bounded(format_args!("{demangled:#}"))
}

fn cpp(name: &str) -> Option<String> {
    if !name.starts_with("_Z") && !name.starts_with("__Z") {
        return None;
    }
    let (mangled, suffix) = match name.find('.') {
        Some(dot) if cpp_demangle::Symbol::new(name).is_err() => name.split_at(dot),
        _ => (name, ""),
    };
    let limits = cpp_demangle::ParseOptions::default().recursion_limit(DEPTH);
    let symbol = cpp_demangle::Symbol::new_with_options(mangled, &limits).ok()?;
    let options = cpp_demangle::DemangleOptions::default().recursion_limit(DEPTH);
    let mut out = Bounded(String::new());
    symbol.structured_demangle(&mut out, &options).ok()?;
    Some(out.0 + suffix)
}

fn bounded(arguments: fmt::Arguments<'_>) -> Option<String> {
    let mut out = Bounded(String::new());
    out.write_fmt(arguments).ok()?;
    Some(out.0)
}

/// A string that refuses to grow too long.
struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > LONGEST_RESULT {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_out_as_the_source_has_them() {
        for (mangled, name) in [
            ("main", "main"),
            ("_ZN3foo3barEv", "foo::bar()"),
            ("_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE", "core::fmt::Write::write_fmt"),
            ("_RNvCs4fqI2P2rA04_7mycrate3foo", "mycrate::foo"),
            ("_Zfoo", "_Zfoo"),
            ("memcpy@@GLIBC_2.14", "memcpy"),
            ("apply.constprop.0", "apply.constprop.0"),
        ] {
            assert_eq!(demangle(mangled), name);
        }
    }

    #[test]
    fn types_are_named_by_their_encoding() {
        assert_eq!(type_name("St13runtime_error"), "std::runtime_error");
        assert_eq!(type_name("i"), "int");
        assert_eq!(type_name("?"), "?");
    }

    #[test]
    fn a_long_name_is_left_alone() {
        let long = format!("_ZN{}3fooEv", "1a".repeat(4000));
        assert_eq!(demangle(&long), long);
    }
}
