//! Which language runtime a core's process ran, by its libraries and by marks that linkers leave in executables.

use necropsy_model::{Avma, ModuleId, Runtime, Snapshot, Text};
use object::{Object, ObjectSection};

use crate::image::{Elf, Images};

/// Libraries that hold a whole virtual machine, by the start of their name.
const LIBRARIES: [(&str, Runtime); 4] = [
    ("libjvm.so", Runtime::Jvm),
    ("libpython", Runtime::Python),
    ("libnode.so", Runtime::Node),
    ("libgo.so", Runtime::Go),
];
/// Executables that are one.
const EXECUTABLES: [(&str, Runtime); 2] = [("python", Runtime::Python), ("node", Runtime::Node)];

/// The note of Go's linker, `NT_GO_BUILD_ID` of owner `Go` (`cmd/link/internal/ld/elf.go`): name of 4 bytes, type 4.
const GO_OWNER: &[u8] = b"Go\0\0";
/// Bytes of the executable's first page that are searched for it; the kernel dumps that page.
const FIRST_PAGE: usize = 4096;
/// `debug/buildinfo`: the mark, the size of a pointer, flags; with bit 1 set the version stands inline at byte 32.
const GO_BUILD_INFO: &[u8] = b"\xff Go buildinf:";
const INLINE_STRINGS: u8 = 2;
const LONGEST_VERSION: usize = 64;

/// Sets runtime and version of the process of a core. Nothing is claimed where neither a library nor a mark tells.
pub(crate) fn tell<'data>(snapshot: &mut Snapshot<'data>, images: &Images<'data>) {
    if snapshot.process.runtime.is_some() {
        return;
    }
    let executable = snapshot.modules.iter().position(|module| module.is_executable);
    let elf = executable.and_then(ModuleId::new).and_then(|id| images.of(id)?.elf.as_ref());
    let found = by_library(snapshot).or_else(|| by_marks(snapshot, elf)).or_else(|| {
        // A file was read and carries no mark, or the libraries of C and C++ alone are loaded.
        let native = elf.is_some() || snapshot.modules.iter().any(|module| module.name().starts_with("libstdc++.so"));
        native.then_some((Runtime::Native, None))
    });
    if let Some((runtime, version)) = found {
        snapshot.process.runtime = Some(runtime);
        snapshot.process.runtime_version = version.map(Text::from);
    }
}

type Found = (Runtime, Option<String>);

fn by_library(snapshot: &Snapshot<'_>) -> Option<Found> {
    snapshot.modules.iter().find_map(|module| {
        let name = module.name();
        let library = LIBRARIES.iter().find(|(prefix, _)| name.starts_with(prefix));
        let program = EXECUTABLES.iter().find(|(program, _)| module.is_executable && is_program(name, program));
        let &(prefix, runtime) = library.or(program)?;
        // libpython3.11.so.1.0, python3.11: the version is part of the name.
        let rest = name.strip_prefix(prefix)?.split(".so").next()?;
        let version = (runtime == Runtime::Python && rest.contains('.')).then(|| rest.to_owned());
        Some((runtime, version))
    })
}

/// `python`, `python3`, `python3.11`, but not `python-config` or `nodeinfo`.
fn is_program(name: &str, program: &str) -> bool {
    name.strip_prefix(program).is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'))
}

fn by_marks<'data>(snapshot: &Snapshot<'data>, elf: Option<&Elf<'data>>) -> Option<Found> {
    let section = |name: &str| elf?.section_by_name(name)?.data().ok();
    if let Some(info) = section(".go.buildinfo") {
        return Some((Runtime::Go, go_version(info)));
    }
    if section(".note.go.buildid").is_some() || has_go_note(snapshot) {
        return Some((Runtime::Go, None));
    }
    rust_version(section(".comment")?).map(|version| (Runtime::Rust, Some(version)))
}

/// The note in the first page of the executable as the dump holds it.
fn has_go_note(snapshot: &Snapshot<'_>) -> bool {
    let executable = snapshot.modules.iter().find(|module| module.is_executable);
    let page = executable.map(|module| snapshot.memory.tail(Avma(module.base.0))).unwrap_or_default();
    let page = page.get(..FIRST_PAGE).unwrap_or(page);
    memchr::memmem::find_iter(page, GO_OWNER).any(|at| {
        let head = at.checked_sub(12).and_then(|start| page.get(start..at));
        head.is_some_and(|head| head.starts_with(&[4, 0, 0, 0]) && head.ends_with(&[4, 0, 0, 0]))
    })
}

fn go_version(info: &[u8]) -> Option<String> {
    let inline = info.starts_with(GO_BUILD_INFO) && info.get(15)? & INLINE_STRINGS != 0;
    let &length = info.get(32).filter(|_| inline)?;
    let length = usize::from(length).min(LONGEST_VERSION);
    let text = std::str::from_utf8(info.get(33..33_usize.checked_add(length)?)?).ok()?;
    // "go1.27.3 X:nocoverageredesign": the experiments are not the version.
    let version = text.split(' ').next()?.strip_prefix("go")?;
    (!version.is_empty()).then(|| version.to_owned())
}

/// `.comment` names the compilers: "rustc version 1.90.0 (1159e78c4 2025-09-14)". LLVM writes it for every crate.
fn rust_version(comment: &[u8]) -> Option<String> {
    const MARK: &str = "rustc version ";
    let mut texts = comment.split(|&byte| byte == 0).filter_map(|text| std::str::from_utf8(text).ok());
    let version = texts.find_map(|text| text.strip_prefix(MARK))?;
    Some(version.split(' ').next().unwrap_or(version).to_owned())
}

#[cfg(test)]
mod tests {
    use necropsy_model::{Module, Symbols};

    use super::*;

    #[test]
    fn compilers_leave_their_version() {
        let mut info = [0_u8; 48];
        info[..14].copy_from_slice(GO_BUILD_INFO);
        (info[14], info[15], info[32]) = (8, 2, 8);
        info[33..41].copy_from_slice(b"go1.27.3");
        assert_eq!(go_version(&info).as_deref(), Some("1.27.3"));
        info[15] = 0;
        assert_eq!(go_version(&info), None);
        assert_eq!(go_version(&info[..20]), None);
        let comment = b"GCC: (Debian 12.2.0) 12.2.0\0rustc version 1.90.0 (1159e78c4 2025-09-14)\0";
        assert_eq!(rust_version(comment).as_deref(), Some("1.90.0"));
        assert_eq!(rust_version(b"GCC: (GNU) 13\0"), None);
    }

    fn told(paths: &[&'static str]) -> Option<Found> {
        let modules = paths.iter().enumerate().map(|(index, path)| Module {
            path: Text::from(*path),
            deleted: false,
            build_id: None,
            base: Avma(0x1000),
            size: 0x1000,
            bias: None,
            stated: None,
            is_executable: index == 0,
            symbols: Symbols::default(),
            identity: None,
        });
        let mut snapshot = Snapshot { modules: modules.collect(), ..Snapshot::default() };
        tell(&mut snapshot, &Images::default());
        Some((snapshot.process.runtime?, snapshot.process.runtime_version.map(Text::into_owned)))
    }

    #[test]
    fn a_virtual_machine_is_known_by_its_library() {
        assert_eq!(told(&["/opt/pay", "/usr/lib/jvm/lib/server/libjvm.so"]), Some((Runtime::Jvm, None)));
        let python = Some((Runtime::Python, Some("3.11".to_owned())));
        assert_eq!(told(&["/usr/bin/python3.11"]), python);
        assert_eq!(told(&["/opt/app", "/usr/lib/libpython3.11.so.1.0"]), python);
        assert_eq!(told(&["/usr/bin/node"]), Some((Runtime::Node, None)));
        assert_eq!(told(&["/usr/bin/nodeinfo"]), None);
        assert_eq!(told(&["/opt/app", "/usr/lib/libstdc++.so.6"]), Some((Runtime::Native, None)));
    }
}
