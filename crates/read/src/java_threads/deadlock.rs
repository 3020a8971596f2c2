//! The VM's own section on deadlocks: `DeadlockCycle::print_on_with` of HotSpot's `services/threadService.cpp`.
//!
//! It names the holder of a synchronizer also where `-l` was not given, so that it adds to what threads say of themselves.
//! The stacks in it are those of threads that were printed before.

use super::note::class;

/// What the section says.
#[derive(Debug, Default)]
pub(super) struct Section<'d> {
    pub cycles: Vec<Vec<Link<'d>>>,
    stacks: bool,
}

impl Section<'_> {
    /// A circle was told, so that `Found a total of` ends the section.
    pub(super) fn has_links(&self) -> bool {
        self.cycles.last().is_some_and(|cycle| !cycle.is_empty())
    }
}

/// One thread of a cycle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Link<'d> {
    pub name: &'d [u8],
    /// The object it waits for.
    pub id: Option<u64>,
    pub class: &'d [u8],
    pub holder: Option<&'d [u8]>,
}

impl<'d> Section<'d> {
    /// A cycle begins.
    pub(super) fn begin(&mut self) {
        self.cycles.push(Vec::new());
        self.stacks = false;
    }

    /// Takes a line.
    pub(super) fn line(&mut self, line: &'d [u8]) {
        if line.starts_with(b"Java stack information") {
            self.stacks = true;
        }
        if self.stacks {
            return;
        }
        let Some(cycle) = self.cycles.last_mut() else { return };
        if let Some(name) = line.strip_prefix(b"\"").and_then(|line| line.trim_ascii_end().strip_suffix(b"\":")) {
            cycle.push(Link { name, ..Link::default() });
            return;
        }
        let Some(link) = cycle.last_mut() else { return };
        let text = line.trim_ascii();
        if let Some(rest) = text.strip_prefix(b"waiting for ownable synchronizer ") {
            link.wants(rest);
        } else if text.starts_with(b"waiting to ") {
            // `(object 0x10, a Cart)`; `jhsdb` writes `(Object@0x10, a Cart)`.
            let object = [&b"(object "[..], b"(Object@"].iter().find_map(|mark| memchr::memmem::find(text, mark));
            link.wants(object.and_then(|at| text.get(at + 8..)).unwrap_or_default());
        }
        if let Some(at) = memchr::memmem::find(text, b"which is held by \"") {
            let name = text.get(at + 18..).unwrap_or_default();
            link.holder = memchr::memrchr(b'"', name).and_then(|end| name.get(..end));
        }
    }
}

impl<'d> Link<'d> {
    /// `0x00000000ffdab098, (a Class),` or `0x00000000ffdab098, a Class),`.
    fn wants(&mut self, text: &'d [u8]) {
        let Some(comma) = memchr::memchr(b',', text) else { return };
        let digits = text.get(..comma).and_then(|id| std::str::from_utf8(id).ok()?.strip_prefix("0x"));
        self.id = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        let rest = text.get(comma + 1..).unwrap_or_default();
        self.class = class(rest.strip_suffix(b",").unwrap_or(rest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_locks() {
        let mut section = Section::default();
        section.begin();
        for line in [
            "=============================",
            "\"a\":",
            "  waiting to lock monitor 0x07 (object 0x10, a shop.Cart),",
            "  which is held by \"b \"x\"\"",
            "\"c\":",
            "  waiting to lock Monitor@0x07 (Object@0x30, a shop.Cart),",
            "  which is held by \"a\"",
            "\"b \"x\"\":",
            "  waiting for ownable synchronizer 0x20, (a j.ReentrantLock$FairSync),",
            "  which is held by \"a\"",
            "Java stack information for the threads listed above:",
            "\"a\":",
        ] {
            section.line(line.as_bytes());
        }
        let wanted = [
            Link { name: b"a", id: Some(0x10), class: b"shop.Cart", holder: Some(b"b \"x\"") },
            Link { name: b"c", id: Some(0x30), class: b"shop.Cart", holder: Some(b"a") },
            Link { name: b"b \"x\"", id: Some(0x20), class: b"j.ReentrantLock$FairSync", holder: Some(b"a") },
        ];
        assert_eq!(section.cycles, [wanted]);
    }
}
