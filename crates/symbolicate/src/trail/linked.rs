//! A C library that was linked into the program itself (`-static`): its functions lie in the program's module and are none of the
//! program's. glibc and musl come as archives without debug information, which tells them from code that was compiled with it.

use necropsy_model::{Avma, Symbol, SymbolSource};
use object::{Object, ObjectSymbol};

use super::Tracer;
use super::library::plain_name;

/// Defined by the C library alone: the function that calls `main` (glibc `csu/libc-start.c`, musl `src/env/__libc_start_main.c`).
const STARTS_MAIN: &str = "__libc_start_main";

impl Tracer<'_, '_, '_> {
    /// The code at an address is of a C library that was linked into the program.
    pub fn is_linked_library(&self, address: u64) -> bool {
        let Some((index, image)) = self.space.images.at(Avma(address)) else { return false };
        let links = || {
            let elf = image.elf.as_ref()?;
            let mut symbols = elf.symbols();
            symbols.find(|symbol| symbol.is_definition() && symbol.name() == Ok(STARTS_MAIN)).map(|_| ())
        };
        if !*self.links_library.borrow_mut().entry(index).or_insert_with(|| links().is_some()) {
            return false;
        }
        let names = self.names(address);
        let Some(name) = names.last() else { return false };
        let described = image.debug.get().is_some_and(|debug| debug.has_dwarf());
        // Where only the skeleton of split debug information is at hand, names are from the table, and the lines still tell.
        let without = matches!(name.symbol, Symbol::Found(SymbolSource::SymbolTable)) && name.location.is_none();
        without && (described || name.function.as_deref().is_some_and(is_of_library))
    }
}

/// A function of the C library by its name alone, where nothing in the module has debug information.
fn is_of_library(name: &str) -> bool {
    const NAMES: [&str; 46] = [
        "malloc",
        "calloc",
        "realloc",
        "free",
        "memalign",
        "strdup",
        "strndup",
        "memcpy",
        "memmove",
        "mempcpy",
        "memset",
        "memcmp",
        "memchr",
        "strlen",
        "strnlen",
        "strcpy",
        "strncpy",
        "stpcpy",
        "strcat",
        "strncat",
        "strcmp",
        "strncmp",
        "strcasecmp",
        "strchr",
        "strrchr",
        "strstr",
        "strtol",
        "strtoul",
        "printf",
        "fprintf",
        "sprintf",
        "snprintf",
        "vsnprintf",
        "puts",
        "fputs",
        "fgets",
        "fread",
        "fwrite",
        "qsort",
        "bsearch",
        "getenv",
        "abort",
        "raise",
        "exit",
        "assert_fail",
        "mmap",
    ];
    const STARTS: [&str; 5] = ["_IO_", "__libc_", "_dl_", "__GI_", "_int_"];
    let plain = plain_name(name);
    // The variants for one kind of processor: `__strlen_evex`.
    let variant = name.starts_with("__");
    let is =
        |known: &str| plain.strip_prefix(known).is_some_and(|rest| rest.is_empty() || variant && rest.starts_with('_'));
    STARTS.iter().any(|start| name.starts_with(start)) || NAMES.iter().any(|known| is(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_of_the_c_library_by_name() {
        for name in ["__strlen_evex", "free", "_int_malloc", "__assert_fail", "__memcpy_avx_unaligned_erms", "_IO_puts"]
        {
            assert!(is_of_library(name), "{name}");
        }
        for name in ["main", "free_account", "freeze", "mallocate", "load_cfg"] {
            assert!(!is_of_library(name), "{name}");
        }
    }
}
