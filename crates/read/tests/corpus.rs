//! The reader of cores over real ones: the folder that `NECROPSY_CORPUS` names holds `cores/`, whose manifest says what each is.

#![allow(clippy::print_stdout)] // the number of cores read is worth a line
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use necropsy_model::{AddressState, Arch, Arena, Avma, Snapshot, Writer};

/// The folder with the cores; says so when there is none.
fn corpus() -> Option<PathBuf> {
    let folder = std::env::var_os("NECROPSY_CORPUS").map(|folder| Path::new(&folder).join("cores"));
    let found = folder.filter(|folder| folder.is_dir());
    if found.is_none() {
        println!("skipped: NECROPSY_CORPUS names no folder with cores");
    }
    found
}

fn bytes(path: &Path) -> Vec<u8> {
    let packed = PathBuf::from(format!("{}.zst", path.display()));
    match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(_) => zstd::decode_all(&std::fs::read(&packed).unwrap()[..]).unwrap(),
    }
}

fn with(path: &str, check: impl FnOnce(&Snapshot<'_>)) {
    let Some(folder) = corpus() else { return };
    let (data, arena) = (bytes(&folder.join(path)), Arena::new());
    check(&necropsy_read::read(&data, &arena, None).unwrap()[0]);
}

fn tids(snapshot: &Snapshot<'_>) -> Vec<u64> {
    snapshot.threads.iter().map(|thread| thread.id.0).collect()
}

fn signal(snapshot: &Snapshot<'_>) -> Option<i32> {
    Some(snapshot.stop.as_ref()?.signal?.number)
}

/// Base and build id of every module.
fn modules(snapshot: &Snapshot<'_>) -> BTreeMap<u64, String> {
    let id =
        |module: &necropsy_model::Module<'_>| module.build_id.as_ref().map(ToString::to_string).unwrap_or_default();
    snapshot.modules.iter().map(|module| (module.base.0, id(module))).collect()
}

fn assert_modules(snapshot: &Snapshot<'_>, expected: &[(u64, &str)]) {
    let expected: BTreeMap<_, _> = expected.iter().map(|&(base, id)| (base, id.to_owned())).collect();
    assert_eq!(modules(snapshot), expected);
}

#[test]
fn every_machine_gives_its_threads_and_its_signal() {
    let cases = [
        ("elfutils/backtrace.x86_64.core", Arch::X86_64, 6, &[23097, 23096][..]),
        ("elfutils/backtrace.aarch64.core", Arch::Aarch64, 6, &[24044, 24043]),
        ("elfutils/backtrace.i386.core", Arch::X86, 6, &[23101, 23100]),
        ("elfutils/backtrace.x32.core", Arch::X32, 6, &[3843, 3842]),
        ("elfutils/backtrace.ppc.core", Arch::Ppc, 6, &[17198, 17197]),
        ("elfutils/backtrace.ppc64le.fp.core", Arch::Ppc64, 6, &[23728, 23727]),
        ("elfutils/backtrace.s390.core", Arch::S390, 6, &[58560, 58559]),
        ("elfutils/backtrace.s390x.core", Arch::S390x, 6, &[58546, 58545]),
        ("elfutils/backtrace.sparc.core", Arch::Sparc, 6, &[21612, 21611]),
        ("elfutils/testfile-m68k-core", Arch::M68k, 11, &[1963]),
        ("elfutils/testfile-riscv64-core", Arch::Riscv64, 11, &[6801]),
        ("lldb16/elf-core/linux-x86_64.core", Arch::X86_64, 11, &[32259]),
        ("lldb16/elf-core/linux-i386.core", Arch::X86, 11, &[32306]),
        ("lldb16/elf-core/linux-s390x.core", Arch::S390x, 11, &[1045]),
        ("lldb16/elf-core/linux-ppc64le.core", Arch::Ppc64, 11, &[28147]),
        ("lldb16/elf-core/linux-aarch64.core", Arch::Aarch64, 11, &[37688]),
    ];
    for (path, arch, number, threads) in cases {
        with(path, |snapshot| {
            assert_eq!(snapshot.process.arch, Some(arch), "{path}");
            assert_eq!((signal(snapshot), tids(snapshot)), (Some(number), threads.to_vec()), "{path}");
        });
    }
}

#[test]
fn module_tables_agree_with_other_tools() {
    // drgn's own expectations: first address and build id.
    with("drgn/crashme_pie.core", |snapshot| {
        let expected = [
            (0x557e_d343_d000, "eb4ad7aaded3815ab133a6d7784a2c95a4e52998"),
            (0x7fab_2c18_f000, "77c77fee058b19c6f001cf2cb0371ce3b8341211"),
            (0x7fab_2c38_a000, "7bd58f10e741c3c8fbcf2031aa65f830f933d616"),
            (0x7fab_2c39_5000, "fdc3e4d463911345fbc6d9cc432e5ebc276e8e03"),
            (0x7fab_2c39_7000, "91dcd0244204201b616bbf59427771b3751736ce"),
        ];
        assert_modules(snapshot, &expected);
        assert_eq!(snapshot.process.exe.as_deref(), Some("/home/osandov/crashme_pie"));
    });
    // eu-unstrip -n: modules that interleave.
    with("elfutils/testcore-noncontig", |snapshot| {
        let expected = [
            (0x40_0000, "3a1748a544b40a38b3be3d2d13ffa34a2a5a71c0"),
            (0x7f14_e357_e000, "edf51350c7f71496149d064aa8b1441f786df88a"),
            (0x7f14_e379_4000, "7615604eaf4a068dfae5085444d15c0dee93dfbd"),
            (0x7f14_e3a9_6000, "09cfb171310110bc7ea9f4476c9fa044d85baff4"),
            (0x7f14_e3d9_e000, "e10cc8f2b932fc3daeda22f8dac5ebb969524e5b"),
            (0x7f14_e3fb_a000, "fc4fa58e47a5acc137eadb7689bce4357c557a96"),
            (0x7f14_e438_8000, "7f2e9cb0769d7e57bd669b485a74b537b63a57c4"),
            (0x7f14_e458_c000, "62c449974331341bb08dcce3859560a22af1e172"),
            (0x7f14_e479_5000, "175efdcef445455872a86a6fbee7567ca16a513e"),
            (0x7ffc_fe59_f000, "80d79b32785868a2dc10047b39a80d1daec8923d"),
        ];
        assert_modules(snapshot, &expected);
    });
    // eu-unstrip -n: no NT_FILE, only the loader's list; prelinked on ppc.
    with("elfutils/testcore-rtlib", |snapshot| {
        let expected = [
            (0x804_8000, "f1c600bc36cb91bf01f9a63a634ecb79aa4c3199"),
            (0xf75e_9000, "29a103420abe341e92072fb14274e250e4072148"),
            (0xf760_3000, "0b9bf374699e141e5dfc14757ff42b8c2373b4de"),
            (0xf77b_3000, "c6c5b5e35ab9589d4762ac85b4bd56b1b2720e37"),
            (0xf77d_6000, "676560b1b765cde9c2e53f134f4ee354ea894747"),
            (0xf77d_7000, "6d2cb32650054f1c176d01d48713a4a5e5e84c1a"),
        ];
        assert_modules(snapshot, &expected);
    });
    with("elfutils/testcore-rtlib-ppc", |snapshot| {
        let expected = [
            (0x10_0000, "708b900b05176964512a6b0fe90c2a0c9d73d726"),
            (0xfd5_0000, "3f7d21508470322d2f47acddc20ab10516edba99"),
            (0xfdb_0000, "f6ee91d4c629bc7dacc10534cb30056914e7e0b5"),
            (0xfdf_0000, "edf3dd232e09d01b90683889bd16b9406c52d4de"),
            (0xffb_0000, "edec437a85026a1cf8cda94003706202733130c1"),
            (0x1000_0000, "979b7a26747cc09bd84a42b311b5288c704baea5"),
        ];
        assert_modules(snapshot, &expected);
    });
    with("elfutils/linkmap-cut.core", |snapshot| {
        assert!(snapshot.modules.iter().any(|module| module.name() == "linkmap-cut-lib.so"));
    });
}

#[test]
fn a_core_without_headers_keeps_its_files_and_says_why_there_is_no_build_id() {
    with("drgn/crashme_pie_no_headers.core", |snapshot| {
        let named =
            snapshot.modules.iter().filter(|module| module.build_id.is_some()).map(|module| module.path.as_ref());
        assert_eq!(named.collect::<Vec<_>>(), ["[vdso]"]);
        assert_eq!(snapshot.modules.len(), 5);
        assert!(snapshot.warnings.iter().any(|warning| warning.text.contains("coredump_filter")));
    });
}

#[test]
fn seventy_thousand_segments_take_no_time() {
    let Some(folder) = corpus() else { return };
    let (data, arena) = (bytes(&folder.join("local/simple/core.xnum")), Arena::new());
    let start = Instant::now();
    let snapshots = necropsy_read::read(&data, &arena, None).unwrap();
    assert!(start.elapsed() < Duration::from_millis(200), "{:?}", start.elapsed());
    assert_eq!((snapshots[0].memory.regions().len(), snapshots[0].threads.len()), (70_030, 4));
}

#[test]
fn writers_are_told_apart() {
    let cases = [
        ("local/simple/core.O0", Writer::Kernel, true),
        ("local/simple/core.gcore", Writer::Gcore, false),
        ("local/simple/core.a64", Writer::QemuUser, true),
        ("elfutils/testcore-rtlib", Writer::Kernel, true),
    ];
    for (path, writer, stopped) in cases {
        with(path, |snapshot| {
            assert_eq!((snapshot.process.writer, snapshot.stop.is_some()), (Some(writer), stopped), "{path}");
        });
    }
}

#[test]
fn a_cut_core_keeps_threads_and_files() {
    for share in ["8", "20", "50", "95"] {
        with(&format!("local/simple/core.trunc{share}"), |snapshot| {
            assert_eq!(tids(snapshot), [20837, 20839, 20840, 20838]);
            assert!(snapshot.modules.iter().any(|module| module.name() == "libc.so.6"));
            let sp = snapshot.threads[0].registers().unwrap().sp().unwrap();
            assert_eq!(snapshot.memory.state(Avma(sp)), AddressState::CutOff);
            assert!(snapshot.warnings.iter().any(|warning| warning.text.contains("stack of thread 20837")));
        });
    }
}

#[test]
fn a_sent_signal_names_its_sender() {
    with("pystack/signal.core", |snapshot| {
        let stop = snapshot.stop.as_ref().unwrap();
        assert!(stop.sender.is_some() && stop.address.is_none(), "{stop:?}");
    });
    with("local/zoo/deadlock.O0.core", |snapshot| {
        let waiting =
            snapshot.threads.iter().filter_map(|thread| snapshot.state(thread.state?)).map(|state| &state.text);
        assert_eq!(waiting.filter(|text| text.starts_with("in futex wait")).count(), 2);
    });
}

#[test]
fn goblin_sees_the_same_segments() {
    let Some(folder) = corpus() else { return };
    let mut cores = 0;
    for family in ["elfutils", "drgn", "satyr/programs", "pystack", "local/zoo"] {
        for entry in std::fs::read_dir(folder.join(family)).unwrap() {
            let path = entry.unwrap().path();
            let data = match path.extension().and_then(|extension| extension.to_str()) {
                Some("zst") => bytes(&path.with_extension("")),
                _ => continue,
            };
            // ET_CORE, in either byte order; multithreaded.core of drgn is large for nothing.
            if !data.starts_with(b"\x7fELF") || !matches!(data[16..18], [4, 0] | [0, 4]) || data.len() > 32 << 20 {
                continue;
            }
            let Ok(theirs) = goblin::elf::Elf::parse(&data) else { continue };
            let arena = Arena::new();
            let snapshot = &necropsy_read::read(&data, &arena, None).unwrap()[0];
            for load in theirs.program_headers.iter().filter(|header| header.p_type == 1 && header.p_filesz > 0) {
                let present = load.p_offset.saturating_add(8) <= data.len() as u64 && load.p_filesz >= 8;
                let at = Avma(load.p_vaddr);
                if present {
                    let from = load.p_offset as usize;
                    assert_eq!(snapshot.memory.read(at, 8), Ok(&data[from..from + 8]), "{} {at}", path.display());
                }
            }
            cores += 1;
        }
    }
    println!("{cores} cores compared");
    assert!(cores > 60, "{cores}");
}
