//! Which build of a module a text speaks of: systemd-coredump writes `Found module libx.so with build-id: 89c3…`, since 250
//! `Module libx.so with build-id 89c3…`, above the frames of a process (`module_callback` in systemd's `elf-util.c`).

use necropsy_model::BuildId;

use super::build_id::parse;
use super::scan::{find, text};

/// What a line says of the builds of modules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stated {
    /// A module, by the name that the frames below use, is of this build.
    Module(String, BuildId),
    /// The message of another process begins: what was said of modules does not hold for it.
    Process,
}

/// What a line says of the builds of modules, if it does.
pub fn stated_build(line: &[u8]) -> Option<Stated> {
    if find(line, 0, b" dumped core.").is_some_and(|end| find(line, 0, b"Process ").is_some_and(|start| start < end)) {
        return Some(Stated::Process);
    }
    let with = find(line, 0, b" with build-id")?;
    let module = find(line, 0, b"odule ").filter(|&at| at < with)?;
    let name = text(line, module + b"odule ".len(), with).filter(|name| !name.is_empty())?;
    let rest = text(line, with + b" with build-id".len(), line.len())?;
    let id = rest.trim_start_matches(':').trim();
    let id = BuildId::new(&parse(id)?)?;
    Some(Stated::Module(name.rsplit('/').next().unwrap_or(name).to_owned(), id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_systemd() {
        let id = BuildId::new(&[0x89, 0xc3]).expect("two bytes");
        let said = |line: &str| stated_build(line.as_bytes());
        let module = |name: &str| Some(Stated::Module(name.to_owned(), id.clone()));
        assert_eq!(said("Found module /usr/lib/libx.so with build-id: 89c3"), module("libx.so"));
        assert_eq!(said("                Module libx.so with build-id 89C3\r"), module("libx.so"));
        assert_eq!(
            said("host systemd-coredump[7]: Process 4242 (server) of user 0 dumped core."),
            Some(Stated::Process)
        );
        for other in
            ["Found module libx.so without build-id", "Module libx.so with build-id 89c", "with build-id 89c3", ""]
        {
            assert_eq!(said(other), None, "{other}");
        }
    }
}
