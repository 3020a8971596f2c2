//! Type names as the source writes them.

use super::entries::{Die, Entry};
use super::location::Frame;
use super::types::{dimensions, is_pointer, is_record, is_wrapper, qualified_name};

/// Pointers, arrays and qualifiers around one name. A cycle of entries ends here.
const MAX_DECLARATORS: usize = 32;

/// Bytes of a type name that are shown: expanded templates run to kilobytes.
const MAX_NAME: usize = 200;

/// Parameters of a function type that are shown.
const MAX_PARAMETERS: usize = 16;

/// Trailing template arguments that nobody writes: the defaults of the C++ and Rust standard libraries.
const DEFAULT_ARGUMENTS: &[&str] = &[
    "std::allocator<",
    "std::char_traits<",
    "std::less<",
    "std::hash<",
    "std::equal_to<",
    "std::default_delete<",
    "std::__1::allocator<",
    "std::__1::char_traits<",
    "std::__1::default_delete<",
    "alloc::alloc::Global",
    "Global",
    "std::hash::random::RandomState",
];

/// The name of a type; `void` for none.
pub(super) fn type_name<'u, 'data>(die: Option<Die<'u, 'data>>, frame: &Frame<'u, '_, 'data>) -> String {
    let mut name = declare(die, String::new(), frame, MAX_DECLARATORS);
    if name.len() > MAX_NAME {
        let end = (0..=MAX_NAME).rev().find(|&end| name.is_char_boundary(end)).unwrap_or(0);
        name.truncate(end);
        name.push('…');
    }
    name
}

/// `inner` is what stands between the type's name and the declared one: `*`, `(*)[4]`.
fn declare<'u, 'data>(die: Option<Die<'u, 'data>>, inner: String, frame: &Frame<'u, '_, 'data>, left: usize) -> String {
    let Some(die) = die else { return join("void", &inner) };
    let (Some(entry), Some(left)) = (die.read(), left.checked_sub(1)) else { return join("?", &inner) };
    let target = entry.reference(gimli::DW_AT_type);
    let own = entry.text(gimli::DW_AT_name).filter(|name| !name.is_empty());
    match entry.tag {
        // Rust names its pointers (`&str`, `*const u8`), C and C++ do not.
        tag if is_pointer(tag) && own.is_some() => join(&spell(&entry), &inner),
        gimli::DW_TAG_pointer_type => point("*", target, &inner, frame, left),
        gimli::DW_TAG_reference_type => point("&", target, &inner, frame, left),
        gimli::DW_TAG_rvalue_reference_type => point("&&", target, &inner, frame, left),
        gimli::DW_TAG_ptr_to_member_type => {
            let class = entry.reference(gimli::DW_AT_containing_type);
            let class = declare(class, String::new(), frame, left);
            point(&format!("{class}::*"), target, &inner, frame, left)
        }
        gimli::DW_TAG_const_type => qualify("const", target, &inner, frame, left),
        gimli::DW_TAG_volatile_type => qualify("volatile", target, &inner, frame, left),
        gimli::DW_TAG_atomic_type => qualify("_Atomic", target, &inner, frame, left),
        gimli::DW_TAG_restrict_type => qualify("restrict", target, &inner, frame, left),
        gimli::DW_TAG_array_type => {
            let bounds = dimensions(&entry, frame);
            let bounds = bounds.iter().map(|bound| bound.map_or("[]".to_owned(), |count| format!("[{count}]")));
            let dimensions: String = bounds.collect();
            declare(target, format!("{inner}{dimensions}"), frame, left)
        }
        gimli::DW_TAG_subroutine_type => {
            let parameters = entry.children().into_iter().filter(|child| child.tag == gimli::DW_TAG_formal_parameter);
            let mut parameters = parameters.map(|one| declare(one.type_die(), String::new(), frame, left));
            let mut parameters: Vec<_> = parameters.by_ref().take(MAX_PARAMETERS + 1).collect();
            if let Some(beyond) = parameters.get_mut(MAX_PARAMETERS) {
                "…".clone_into(beyond);
            }
            declare(target, format!("{inner}({})", parameters.join(", ")), frame, left)
        }
        tag if is_wrapper(tag) && own.is_none() => declare(target, inner, frame, left),
        _ => join(&spell(&entry), &inner),
    }
}

fn join(name: &str, inner: &str) -> String {
    if inner.is_empty() { name.to_owned() } else { format!("{name} {}", inner.trim_start()) }
}

fn point<'u, 'data>(
    sign: &str,
    target: Option<Die<'u, 'data>>,
    inner: &str,
    frame: &Frame<'u, '_, 'data>,
    left: usize,
) -> String {
    let tag = target.and_then(Die::read).map(|entry| entry.tag);
    let declarator = format!("{sign}{inner}");
    match tag {
        Some(gimli::DW_TAG_array_type | gimli::DW_TAG_subroutine_type) => {
            declare(target, format!("({declarator})"), frame, left)
        }
        _ => declare(target, declarator, frame, left),
    }
}

fn qualify<'u, 'data>(
    word: &str,
    target: Option<Die<'u, 'data>>,
    inner: &str,
    frame: &Frame<'u, '_, 'data>,
    left: usize,
) -> String {
    let entry = target.and_then(Die::read);
    // A qualified pointer is written behind its star: `char * const`. Named pointers are those of Rust.
    let pointer = entry.is_some_and(|entry| is_pointer(entry.tag) && !entry.has(gimli::DW_AT_name));
    if pointer {
        return declare(target, format!(" {word}{}{inner}", if inner.is_empty() { "" } else { " " }), frame, left);
    }
    format!("{word} {}", declare(target, inner.to_owned(), frame, left))
}

/// The name of a named type in the manner of its language.
fn spell(entry: &Entry<'_, '_>) -> String {
    let keyword = match entry.tag {
        gimli::DW_TAG_union_type => "union ",
        gimli::DW_TAG_enumeration_type => "enum ",
        tag if is_record(tag) => "struct ",
        _ => "",
    };
    let language = entry.die.language();
    let Some(name) = entry.text(gimli::DW_AT_name) else { return format!("{keyword}{{...}}") };
    match language {
        Some(gimli::DW_LANG_Rust) => simplify(&name, true),
        Some(
            gimli::DW_LANG_C_plus_plus
            | gimli::DW_LANG_C_plus_plus_03
            | gimli::DW_LANG_C_plus_plus_11
            | gimli::DW_LANG_C_plus_plus_14
            | gimli::DW_LANG_C_plus_plus_17
            | gimli::DW_LANG_C_plus_plus_20,
        ) => simplify(&qualified_name(entry).unwrap_or_else(|| name.into_owned()), false),
        Some(gimli::DW_LANG_Go) => name.into_owned(),
        _ => format!("{keyword}{name}"),
    }
}

/// Drops what the source does not write: default template arguments, `__cxx11`, and in Rust the path to a type.
pub(super) fn simplify(name: &str, drop_paths: bool) -> String {
    let name = name.replace("std::__cxx11::", "std::").replace("std::__1::", "std::");
    let mut simple = String::new();
    let mut rest = name.as_str();
    while let Some(at) = rest.find(['<', '>', ',', '(', ')', '[', ']', '&', '*', ' ', '=', ';']) {
        let (path, tail) = rest.split_at(at);
        simple.push_str(last(path, drop_paths));
        if let Some(skipped) = default_argument(tail) {
            rest = skipped;
            continue;
        }
        let width = tail.chars().next().map_or(1, char::len_utf8);
        // `> >` was how C++03 had to write it.
        if !tail.starts_with(" >") {
            simple.push_str(tail.get(..width).unwrap_or_default());
        }
        rest = tail.get(width..).unwrap_or_default();
    }
    simple.push_str(last(rest, drop_paths));
    let string = ["std::basic_string<char>", "std::basic_string_view<char>"];
    simple.replace(string[0], "std::string").replace(string[1], "std::string_view")
}

fn last(path: &str, drop_paths: bool) -> &str {
    if drop_paths { path.rsplit("::").next().unwrap_or(path) } else { path }
}

/// What follows a default template argument, when one starts here.
fn default_argument(text: &str) -> Option<&str> {
    let argument = text.strip_prefix(',')?.trim_start();
    let default = DEFAULT_ARGUMENTS.iter().find(|default| argument.starts_with(**default))?;
    let behind = argument.get(default.len()..)?;
    if !default.ends_with('<') {
        return behind.starts_with(['>', ',', ' ']).then_some(behind);
    }
    let mut depth = 1_usize;
    for (at, character) in behind.char_indices() {
        match character {
            '<' => depth += 1,
            '>' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return behind.get(at + 1..);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_arguments_and_paths_are_dropped() {
        let cases = [
            ("std::vector<int, std::allocator<int> >", false, "std::vector<int>"),
            ("std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >", false, "std::string"),
            (
                "std::map<int, bank::Account, std::less<int>, std::allocator<std::pair<const int, bank::Account> > >",
                false,
                "std::map<int, bank::Account>",
            ),
            ("std::unique_ptr<Node, std::default_delete<Node> >", false, "std::unique_ptr<Node>"),
            ("Option<alloc::boxed::Box<list::Node, alloc::alloc::Global>>", true, "Option<Box<Node>>"),
            ("alloc::vec::Vec<(u8, &str), alloc::alloc::Global>", true, "Vec<(u8, &str)>"),
            ("*const core::ffi::c_void", true, "*const c_void"),
            ("&mut [demo::Item]", true, "&mut [Item]"),
            ("broken<std::allocator<", false, "broken<std::allocator<"),
        ];
        for (long, drop_paths, short) in cases {
            assert_eq!(simplify(long, drop_paths), short);
        }
    }
}
