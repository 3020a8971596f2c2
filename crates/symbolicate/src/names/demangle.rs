//! Demangled names: C++ (Itanium ABI) and Rust (legacy and v0).

use std::borrow::Cow;

use necropsy_model::Text;

/// Longer names stay as they are: demangling can take time and memory beyond measure.
const MAX_INPUT: usize = 4096;
/// A demangled name longer than this is of no use to anybody; the mangled one is shown.
const MAX_OUTPUT: usize = 8192;

/// The name as the source has it.
pub(crate) fn demangle(name: &[u8]) -> Text<'_> {
    let text = String::from_utf8_lossy(name);
    if name.len() > MAX_INPUT {
        return text;
    }
    match demangled(&text) {
        Some(found) if found.len() <= MAX_OUTPUT => Cow::Owned(found),
        _ => text,
    }
}

fn demangled(name: &str) -> Option<String> {
    // Rust's legacy names are valid C++ names too, so that Rust goes first. The alternate form leaves the hash out.
    if let Ok(found) = rustc_demangle::try_demangle(name) {
        return Some(format!("{found:#}"));
    }
    // glibc's versions and gcc's clones (`.part.0`, `.cold`) follow a dot; the C++ demangler knows clones.
    if !(name.starts_with("_Z") || name.starts_with("__Z")) {
        return None;
    }
    let options = cpp_demangle::DemangleOptions::new().no_return_type();
    cpp_demangle::Symbol::new(name).ok()?.demangle_with_options(&options).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_language_has_its_names() {
        assert_eq!(demangle(b"main"), "main");
        assert_eq!(demangle(b"_ZN6ledger5applyEPNS_7AccountEl"), "ledger::apply(ledger::Account*, long)");
        assert_eq!(
            demangle(b"_ZN4core6option15Option$LT$T$GT$6unwrap17h0123456789abcdefE"),
            "core::option::Option<T>::unwrap"
        );
        assert_eq!(demangle(b"_RNvC6ledger5apply"), "ledger::apply");
        assert_eq!(demangle(b"_Zgarbage"), "_Zgarbage");
        assert_eq!(demangle(&[b'_', b'Z', 0xff]), "_Z\u{fffd}");
    }
}
