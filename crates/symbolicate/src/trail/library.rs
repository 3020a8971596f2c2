//! What is known of functions of C, C++ and Rust libraries by their names.

/// The name of a function of the C library without the marks of its internal aliases: `__GI___libc_free`.
pub(super) fn plain_name(name: &str) -> &str {
    let name = name.split('@').next().unwrap_or(name);
    let name = name.strip_prefix("__GI_").unwrap_or(name).trim_start_matches('_');
    name.strip_prefix("libc_").unwrap_or(name)
}

/// A plain name is this one, or that of its variant for one kind of processor, which has more behind it: `memcpy_avx_unaligned`.
pub(super) fn is_variant_of(plain: &str, known: &str) -> bool {
    plain.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
}

/// Functions of the C library that return their first argument.
pub(super) fn returns_first(name: &str) -> bool {
    const NAMES: [&str; 8] = ["strcpy", "strncpy", "strcat", "strncat", "memcpy", "memmove", "memset", "fgets"];
    let base = plain_name(name);
    NAMES.iter().any(|known| is_variant_of(base, known))
}

/// Functions of libstdc++ that may give a text another buffer, and release the one that it had.
pub(super) fn moves_text(name: &str) -> bool {
    const NAMES: [&str; 12] = [
        "_M_append",
        "_M_assign",
        "_M_mutate",
        "_M_replace",
        "_M_replace_aux",
        "append",
        "assign",
        "insert",
        "push_back",
        "reserve",
        "resize",
        "operator=",
    ];
    let Some((class, rest)) = name.rsplit_once("basic_string<").and_then(|(_, rest)| rest.split_once(">::")) else {
        return false;
    };
    let own = rest.rsplit(">::").next().unwrap_or(rest);
    class.starts_with("char") && NAMES.contains(&own.split('(').next().unwrap_or(own))
}

/// Functions that return fresh memory.
pub(super) fn allocates(name: &str) -> bool {
    let base = plain_name(name);
    matches!(
        base,
        "malloc"
            | "calloc"
            | "realloc"
            | "aligned_alloc"
            | "posix_memalign"
            | "memalign"
            | "mmap"
            | "mmap64"
            | "strdup"
            | "strndup"
            | "rust_alloc"
            | "rust_alloc_zeroed"
            | "rust_realloc"
    ) || base.starts_with("operator new")
}

/// Functions whose fresh memory is zero.
pub(super) fn clears(name: &str) -> bool {
    matches!(plain_name(name), "calloc" | "mmap" | "mmap64" | "rust_alloc_zeroed")
}

/// Whether a function of this name comes back to its caller.
pub(super) fn comes_back(name: &str) -> bool {
    const NAMES: [&str; 15] = [
        "abort",
        "exit",
        "Exit",
        "quick_exit",
        "assert_fail",
        "assert_perror_fail",
        "assert",
        "stack_chk_fail",
        "fortify_fail",
        "chk_fail",
        "longjmp",
        "siglongjmp",
        "longjmp_chk",
        "pthread_exit",
        "Unwind_Resume",
    ];
    const STARTS: [&str; 12] = [
        "__cxa_throw",
        "__cxa_rethrow",
        "__cxa_bad_",
        "__cxa_call_unexpected",
        "std::terminate",
        "std::__throw_",
        "core::panicking::",
        "core::option::unwrap_failed",
        "core::option::expect_failed",
        "core::result::unwrap_failed",
        "core::slice::index::slice_",
        "std::panicking::begin_panic",
    ];
    let base = plain_name(name);
    let ends = NAMES.contains(&base)
        || STARTS.iter().any(|start| name.starts_with(start))
        || name.starts_with("core::str::slice_error_fail")
        || name == "alloc::alloc::handle_alloc_error"
        || base == "clang_call_terminate";
    !ends && super::go::comes_back(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_inside_the_c_library_have_one_name() {
        assert_eq!(["__GI___libc_free", "free", "__libc_free"].map(plain_name), ["free"; 3]);
        assert_eq!(["__GI__setjmp", "_setjmp", "__sigsetjmp"].map(plain_name), ["setjmp", "setjmp", "sigsetjmp"]);
        assert!(allocates("operator new(unsigned long)") && allocates("__GI___libc_malloc") && !allocates("mallopt"));
        assert!(clears("__libc_calloc") && !clears("malloc") && !clears("realloc"));
    }

    #[test]
    fn texts_that_grow_leave_their_buffers() {
        let text = "std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >::";
        for name in ["_M_append(char const*, unsigned long)", "reserve(unsigned long)", "push_back(char)"] {
            assert!(moves_text(&format!("{text}{name}")), "{name}");
        }
        assert!(!moves_text(&format!("{text}size() const")) && !moves_text("std::vector<char>::push_back(char&&)"));
    }

    #[test]
    fn who_aborts_does_not_come_back() {
        assert!(
            !comes_back("__GI_abort") && !comes_back("std::__throw_bad_alloc()") && !comes_back("__stack_chk_fail")
        );
        assert!(comes_back("abort_transfer") && comes_back("__cxa_begin_catch"));
    }
}
