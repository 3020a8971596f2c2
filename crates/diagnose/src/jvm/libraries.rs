//! What kind of library a frame of a fatal error log stands in, by its file name: the list is data, in `libraries.txt`.

const LIST: &str = include_str!("libraries.txt");

/// Kinds of libraries, by how likely they are to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Library {
    /// The virtual machine.
    Vm,
    /// C and C++ libraries, the loader, the lowest layer of the system: usually victims.
    Base,
    /// Libraries that come with the JDK.
    Jdk,
    /// Graphics drivers: usually victims too.
    Gpu,
    /// Overlays, hooks, virus scanners: no part of the program.
    Injected,
    /// Other libraries of the operating system.
    System,
    /// The program's own, or a third party's.
    Other,
}

/// The kind of a file, by its name.
pub(crate) fn kind(file: &str) -> Library {
    let name = file.rsplit(['/', '\\']).next().unwrap_or(file).to_ascii_lowercase();
    let entries = LIST.lines().filter_map(|line| line.split_once(' ')).filter(|(kind, _)| *kind != "#");
    let found = entries.filter(|(_, start)| matches(&name, start)).max_by_key(|(_, start)| start.len());
    match found.map(|(kind, _)| kind) {
        Some("vm") => Library::Vm,
        Some("base") => Library::Base,
        Some("jdk") => Library::Jdk,
        Some("gpu") => Library::Gpu,
        Some("injected") => Library::Injected,
        Some("system") => Library::System,
        _ => Library::Other,
    }
}

/// The pattern is the begin of the name and ends where a word ends, unless it ends with a star.
fn matches(name: &str, pattern: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name
            .strip_prefix(pattern)
            .is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric()) || pattern.ends_with('.')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_by_their_names() {
        for (file, want) in [
            ("libjvm.so", Library::Vm),
            ("jvm.dll", Library::Vm),
            ("/lib/x86_64-linux-gnu/libc.so.6", Library::Base),
            ("ntdll.dll", Library::Base),
            ("libzip.so", Library::Jdk),
            ("nvoglv64.DLL", Library::Gpu),
            ("i965_dri.so", Library::Gpu),
            ("ole32.dll", Library::System),
            ("librefund.so", Library::Other),
            ("libcairo.so.2", Library::Other),
            ("libjavacv.so", Library::Other),
        ] {
            assert_eq!(kind(file), want, "{file}");
        }
    }
}
