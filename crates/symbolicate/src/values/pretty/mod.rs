//! Types of standard libraries as a human expects them. One file per family, one line per type in [`READERS`].

mod go;
mod libcxx;
mod libstdcxx;
mod rust;

use necropsy_model::{Absence, Value};

use super::entries::{Die, Entry};
use super::object::Object;
use super::render::{Level, Renderer};
use super::types::{self, defined, is_pointer, member, qualified_name, strip};

/// Longest chain of single members that is looked through for a wrapped one.
const MAX_WRAPPED: usize = 12;

/// A structure to be read.
pub(super) struct Subject<'s, 'r, 'u, 'a, 'data> {
    pub renderer: &'s Renderer<'r, 'u, 'a, 'data>,
    pub entry: &'s Entry<'u, 'data>,
    pub object: &'s Object,
    pub level: Level,
}

/// How one type is read. `None` from `read`: it does not look as expected, so that it is shown member by member.
pub(super) struct Reader {
    /// Start of the type's name with its namespaces.
    pub prefix: &'static str,
    pub read: for<'s, 'r, 'u, 'a, 'data> fn(&Subject<'s, 'r, 'u, 'a, 'data>) -> Option<Value<'data>>,
}

/// Every reader. The longest prefix that fits wins.
static READERS: &[Reader] = &[
    Reader { prefix: "std::__cxx11::basic_string<char,", read: libstdcxx::string },
    Reader { prefix: "std::basic_string_view<char,", read: libstdcxx::string_view },
    Reader { prefix: "std::vector<", read: libstdcxx::vector },
    Reader { prefix: "std::unique_ptr<", read: libstdcxx::unique_ptr },
    Reader { prefix: "std::shared_ptr<", read: libstdcxx::shared_ptr },
    Reader { prefix: "std::weak_ptr<", read: libstdcxx::shared_ptr },
    Reader { prefix: "std::optional<", read: libstdcxx::optional },
    Reader { prefix: "std::tuple<", read: libstdcxx::tuple },
    Reader { prefix: "std::map<", read: libstdcxx::tree },
    Reader { prefix: "std::set<", read: libstdcxx::tree },
    Reader { prefix: "std::multimap<", read: libstdcxx::tree },
    Reader { prefix: "std::multiset<", read: libstdcxx::tree },
    Reader { prefix: "std::unordered_map<", read: libstdcxx::hash_table },
    Reader { prefix: "std::unordered_set<", read: libstdcxx::hash_table },
    Reader { prefix: "std::atomic<", read: libstdcxx::atomic },
    Reader { prefix: "std::__1::basic_string<char,", read: libcxx::string },
    Reader { prefix: "std::__1::vector<", read: libcxx::vector },
    // Both libraries keep nothing but the pointer.
    Reader { prefix: "std::__1::unique_ptr<", read: libstdcxx::unique_ptr },
    Reader { prefix: "std::__1::shared_ptr<", read: libcxx::shared_ptr },
    Reader { prefix: "std::__1::weak_ptr<", read: libcxx::shared_ptr },
    Reader { prefix: "std::__1::optional<", read: libcxx::optional },
    Reader { prefix: "std::__1::map<", read: libcxx::tree },
    Reader { prefix: "std::__1::set<", read: libcxx::tree },
    Reader { prefix: "std::__1::multimap<", read: libcxx::tree },
    Reader { prefix: "std::__1::multiset<", read: libcxx::tree },
    Reader { prefix: "std::__1::unordered_map<", read: libcxx::hash_table },
    Reader { prefix: "std::__1::unordered_set<", read: libcxx::hash_table },
    Reader { prefix: "std::__1::atomic<", read: libcxx::atomic },
    Reader { prefix: "&str", read: rust::text },
    Reader { prefix: "&mut str", read: rust::text },
    Reader { prefix: "&std::path::Path", read: rust::text },
    Reader { prefix: "&std::ffi::os_str::OsStr", read: rust::text },
    Reader { prefix: "alloc::boxed::Box<str", read: rust::text },
    Reader { prefix: "alloc::string::String", read: rust::owned_text },
    Reader { prefix: "std::path::PathBuf", read: rust::owned_text },
    Reader { prefix: "std::ffi::os_str::OsString", read: rust::owned_text },
    Reader { prefix: "&[", read: rust::slice },
    Reader { prefix: "&mut [", read: rust::slice },
    Reader { prefix: "alloc::boxed::Box<[", read: rust::slice },
    Reader { prefix: "alloc::vec::Vec<", read: rust::vector },
    Reader { prefix: "alloc::rc::Rc<", read: rust::counted },
    Reader { prefix: "alloc::sync::Arc<", read: rust::counted },
    Reader { prefix: "std::collections::hash::map::HashMap<", read: rust::hash_map },
    Reader { prefix: "string", read: go::string },
    Reader { prefix: "[]", read: go::slice },
];

/// Reads a structure of a known type.
pub(super) fn read<'u, 'data>(
    renderer: &Renderer<'_, 'u, '_, 'data>,
    entry: &Entry<'u, 'data>,
    object: &Object,
    level: Level,
) -> Option<Value<'data>> {
    // The last part of a name decides for most types, so that the names around are not looked up for every structure.
    let own = entry.text(gimli::DW_AT_name)?;
    let possible = READERS.iter().any(|reader| {
        let last = reader.prefix.rsplit("::").next().unwrap_or_default();
        own.starts_with(last) || own.starts_with(reader.prefix)
    });
    let name = qualified_name(entry).filter(|_| possible)?;
    let fitting = READERS.iter().filter(|reader| name.starts_with(reader.prefix) || own.starts_with(reader.prefix));
    let reader = fitting.max_by_key(|reader| reader.prefix.len())?;
    (reader.read)(&Subject { renderer, entry, object, level })
}

impl<'u, 'data> Subject<'_, '_, 'u, '_, 'data> {
    /// The member at the end of a path of names, with its bytes.
    fn member(&self, path: &[&str]) -> Option<(Entry<'u, 'data>, Object)> {
        let (mut entry, mut object) = (self.entry.clone(), self.object.clone());
        let mut found = None;
        for name in path {
            if found.is_some() {
                entry = defined(found.as_ref().and_then(Entry::type_die))?;
            }
            let (member, offset) = member(&entry, name)?;
            object = object.at(offset);
            found = Some(member);
        }
        Some((found?, object))
    }

    /// A number in the member at the end of a path.
    fn number(&self, path: &[&str]) -> Option<u64> {
        let (member, object) = self.member(path)?;
        let size = types::size_of(member.type_die(), self.renderer.frame)?.min(8);
        object.number(self.renderer.frame.context.space, size as usize).ok().map(|number| number as u64)
    }

    /// The first pointer inside a member, through structures that wrap it, with the type it points at.
    fn wrapped_pointer(&self, path: &[&str]) -> Option<(u64, Option<Die<'u, 'data>>)> {
        let (member, mut object) = self.member(path)?;
        let mut die = member.type_die();
        for _ in 0..MAX_WRAPPED {
            let entry = defined(die)?;
            if is_pointer(entry.tag) {
                return Some((object.word(self.renderer.frame.context.space).ok()?, entry.type_die()));
            }
            let names = ["pointer", "ptr", "data_ptr", "inner", "__ptr_"];
            let (inner, offset) = names.iter().find_map(|name| types::member(&entry, name))?;
            object = object.at(offset);
            die = inner.type_die();
        }
        None
    }

    /// So many elements of a type from an address on.
    fn sequence(&self, element: Option<Die<'u, 'data>>, address: u64, length: u64) -> Option<Value<'data>> {
        let size = types::size_of(element, self.renderer.frame)?;
        let memory = Object::Memory(address);
        Some(self.renderer.elements(element, size, &memory, &[Some(length)], self.level))
    }

    /// UTF-8 text at an address; `None` when it can not be read at all.
    fn text_at(&self, address: u64, length: u64) -> Option<Value<'data>> {
        match self.renderer.text(&Object::Memory(address), length, 1) {
            Err(reason @ Absence::Freed) => Some(Value::Absent(reason)),
            text => text.ok(),
        }
    }

    /// A container of which only the size is shown.
    fn sized(length: u64) -> Value<'data> {
        Value::Array { elements: Vec::new(), length: Some(length) }
    }

    fn language(&self) -> Option<gimli::DwLang> {
        self.entry.die.language()
    }

    /// The type that a pointer member points at.
    fn pointee(member: &Entry<'u, 'data>) -> Option<Die<'u, 'data>> {
        strip(member.type_die()).filter(|entry| is_pointer(entry.tag))?.type_die()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_prefix_is_registered_once() {
        let mut prefixes: Vec<_> = READERS.iter().map(|reader| reader.prefix).collect();
        prefixes.sort_unstable();
        prefixes.dedup();
        assert_eq!(prefixes.len(), READERS.len());
    }
}
