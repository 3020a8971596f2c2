//! Which virtual machine wrote the log: `JRE version:`, `Java VM:`, `vm_info:`.

use std::borrow::Cow;

use necropsy_model::Arch;
use necropsy_model::hs_err::{Build, HsErr};

use super::words::{after, leading_decimal};

/// Vendors by a word of their build, the more special first.
const VENDORS: [(&str, &str); 22] = [
    ("Temurin", "Temurin"),
    ("Corretto", "Corretto"),
    ("Zulu", "Zulu"),
    ("SapMachine", "SapMachine"),
    ("Red_Hat", "Red Hat"),
    ("Red Hat", "Red Hat"),
    ("Microsoft", "Microsoft"),
    ("GraalVM", "GraalVM"),
    ("jvmci", "GraalVM"),
    ("JBR", "JetBrains"),
    ("Liberica", "Liberica"),
    ("BellSoft", "Liberica"),
    ("AdoptOpenJDK", "AdoptOpenJDK"),
    ("Dragonwell", "Dragonwell"),
    ("Homebrew", "Homebrew"),
    ("BiSheng", "BiSheng"),
    ("Debian", "Debian"),
    ("deb", "Debian"),
    ("buntu", "Ubuntu"),
    ("Alpine", "Alpine"),
    ("Java(TM)", "Oracle"),
    ("HotSpot(TM)", "Oracle"),
];

/// Machines by the word behind the operating system.
const MACHINES: [(&str, Arch, u32); 14] = [
    ("amd64", Arch::X86_64, 64),
    ("x86_64", Arch::X86_64, 64),
    ("aarch64", Arch::Aarch64, 64),
    ("x86", Arch::X86, 32),
    ("i386", Arch::X86, 32),
    ("i586", Arch::X86, 32),
    ("arm", Arch::Arm, 32),
    ("ppc64le", Arch::Ppc64, 64),
    ("ppc64", Arch::Ppc64, 64),
    ("ppc", Arch::Ppc, 32),
    ("s390x", Arch::S390x, 64),
    ("sparcv9", Arch::Sparc, 64),
    ("sparc", Arch::Sparc, 32),
    ("riscv64", Arch::Riscv64, 64),
];

/// Operating systems as HotSpot calls them.
const SYSTEMS: [&str; 6] = ["linux-", "windows-", "bsd-", "solaris-", "aix-", "macosx-"];

/// Fills in what the lines of the build say.
pub(super) fn read(log: &mut HsErr<'_>) {
    let build = &mut log.build;
    let jre = text(build.jre.as_ref());
    let vm = text(build.vm.as_ref());
    let info = text(build.vm_info.as_ref());
    runtime(build, jre);
    machine(build, vm);
    if build.vm_name.is_none() {
        machine(build, info.split(" JRE ").next().unwrap_or_default());
    }
    if build.platform.is_none() {
        build.platform = platform(info).map(Cow::Borrowed);
    }
    if build.version.is_none() {
        // `… for linux-amd64 JRE (1.8.0_131-b11), built on …`; JDK 9 and later say it in the brackets of the VM too.
        let version = after(info, "JRE (").and_then(|rest| rest.split(')').next());
        let version = version.or_else(|| {
            build.attributes.first().and_then(borrowed).filter(|word| word.contains('+') || word.starts_with("1."))
        });
        build.version = version.map(Cow::Borrowed);
    }
    build.feature = build.version.as_deref().and_then(feature);
    build.built =
        after(info, ", built on ").map(|rest| Cow::Borrowed(rest.split(" by ").next().unwrap_or(rest).trim()));
    if let Some(found) = build.platform.as_deref().and_then(architecture) {
        (build.arch, build.bits) = (Some(found.0), Some(found.1));
    } else if vm.contains("64-Bit") {
        build.bits = Some(64);
    }
    build.vendor = VENDORS
        .iter()
        .find(|(word, _)| [jre, vm, info].iter().any(|text| text.contains(word)))
        .map(|&(_, vendor)| vendor);
    build.debug = ["fastdebug", "slowdebug", "debug build"].iter().any(|word| vm.contains(word) || jre.contains(word));
}

fn text<'d>(said: Option<&necropsy_model::hs_err::SaidText<'d>>) -> &'d str {
    said.and_then(|said| borrowed(&said.value)).unwrap_or_default()
}

/// Text of a log is always borrowed.
fn borrowed<'d>(text: &Cow<'d, str>) -> Option<&'d str> {
    match text {
        Cow::Borrowed(text) => Some(text),
        Cow::Owned(_) => None,
    }
}

/// `OpenJDK Runtime Environment Temurin-25.0.3+9 (25.0.3+9) (build 25.0.3+9-LTS)`, `6.0_38-b05`.
fn runtime<'d>(build: &mut Build<'d>, jre: &'d str) {
    if jre.is_empty() {
        return;
    }
    let (before, full) = match jre.rsplit_once(" (build ") {
        Some((before, full)) => (before, full.trim_end_matches(')')),
        None => (jre, ""),
    };
    let (name, version) = match before.rsplit_once('(') {
        Some((name, version)) => (name.trim(), version.trim_end_matches(')')),
        None => ("", before),
    };
    let some = |text: &'d str| Some(Cow::Borrowed(text.trim())).filter(|text: &Cow<'_, str>| !text.is_empty());
    build.runtime_name = some(name);
    build.version = some(version);
    build.full_version = some(full);
}

/// `OpenJDK 64-Bit Server VM (25.0.3+9-LTS, mixed mode, …, linux-amd64)`, `… (25.201-b09 mixed mode linux-amd64 …)`.
fn machine<'d>(build: &mut Build<'d>, vm: &'d str) {
    let Some((name, inside)) = vm.rsplit_once('(') else { return };
    let name = if name.trim_end().ends_with(')') { name.rsplit_once('(').map_or(name, |(name, _)| name) } else { name };
    build.vm_name = Some(Cow::Borrowed(name.trim())).filter(|name: &Cow<'_, str>| !name.is_empty());
    let inside = inside.split(')').next().unwrap_or(inside);
    let words: Vec<&str> = if inside.contains(',') {
        inside.split(',').map(str::trim).collect()
    } else {
        // Up to JDK 8 blanks part the words, and some words have two.
        inside.split(' ').collect()
    };
    build.platform = platform(vm).map(Cow::Borrowed);
    build.collector = words.iter().find_map(|word| word.strip_suffix(" gc")).map(Cow::Borrowed);
    build.attributes = words.into_iter().map(Cow::Borrowed).collect();
}

fn platform(text: &str) -> Option<&str> {
    let words = text.split([' ', ',', '(', ')']);
    words.into_iter().find(|word| SYSTEMS.iter().any(|system| word.starts_with(system)))
}

fn architecture(platform: &str) -> Option<(Arch, u32)> {
    let (_, machine) = platform.split_once('-')?;
    MACHINES.iter().find(|(name, ..)| *name == machine).map(|&(_, arch, bits)| (arch, bits))
}

/// `1.8.0_504` and `8.0_504` are 8, `17.0.15+6` is 17.
fn feature(version: &str) -> Option<u32> {
    let first = u32::try_from(leading_decimal(version)?).ok()?;
    if first > 1 {
        return Some(first);
    }
    version.split_once('.').and_then(|(_, rest)| u32::try_from(leading_decimal(rest)?).ok())
}

#[cfg(test)]
mod tests {
    use necropsy_model::Source;
    use necropsy_model::hs_err::Said;

    use super::*;

    fn of(jre: &'static str, vm: &'static str, info: &'static str) -> Build<'static> {
        let said =
            |text: &'static str| Some(Said::new(Cow::Borrowed(text), Source::line(1))).filter(|_| !text.is_empty());
        let mut log = HsErr::default();
        (log.build.jre, log.build.vm, log.build.vm_info) = (said(jre), said(vm), said(info));
        read(&mut log);
        log.build
    }

    #[test]
    fn builds_of_every_age() {
        let build = of(
            "OpenJDK Runtime Environment (17.0.15+6) (build 17.0.15+6-Debian-1deb12u1)",
            "OpenJDK 64-Bit Server VM (17.0.15+6-Debian-1deb12u1, mixed mode, sharing, tiered, g1 gc, linux-amd64)",
            "",
        );
        assert_eq!((build.feature, build.version.as_deref()), (Some(17), Some("17.0.15+6")));
        assert_eq!(build.full_version.as_deref(), Some("17.0.15+6-Debian-1deb12u1"));
        assert_eq!((build.vendor, build.collector.as_deref()), (Some("Debian"), Some("g1")));
        assert_eq!(
            (build.platform.as_deref(), build.arch, build.bits),
            (Some("linux-amd64"), Some(Arch::X86_64), Some(64))
        );
        assert_eq!(build.vm_name.as_deref(), Some("OpenJDK 64-Bit Server VM"));
        let build = of("6.0_38-b05", "Java HotSpot(TM) Client VM (20.13-b02 mixed mode windows-x86 )", "");
        assert_eq!((build.feature, build.vendor, build.arch), (Some(6), Some("Oracle"), Some(Arch::X86)));
        assert_eq!(build.vm_name.as_deref(), Some("Java HotSpot(TM) Client VM"));
        let build = of(
            "",
            "",
            "Java HotSpot(TM) Server VM (25.6-b1) for linux-arm JRE (1.8.0_6-b5), built on May 1 by \"x\" with gcc",
        );
        assert_eq!((build.feature, build.arch), (Some(8), Some(Arch::Arm)));
        assert_eq!(build.built.as_deref(), Some("May 1"));
        assert_eq!(of("", "", "").feature, None);
    }
}
