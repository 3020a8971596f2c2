//! Whole cores, built by hand.

use necropsy_model::{AddressState, Arena, Avma, Bias, Snapshot, Writer};

use super::ElfCore;
use crate::Reader;

/// A core of x86-64 in the making.
#[derive(Default)]
struct Core {
    notes: Vec<u8>,
    loads: Vec<(u64, u64, u32, Vec<u8>)>,
}

const EHDR: usize = 64;
const PHDR: usize = 56;
const STACK: u64 = 0x7ffd_0000_0000;
const CODE: u64 = 0x5555_0000_0000;

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

impl Core {
    fn note(mut self, owner: &[u8], kind: u32, body: &[u8]) -> Self {
        for number in [owner.len() as u32, body.len() as u32, kind] {
            self.notes.extend(number.to_le_bytes());
        }
        for part in [owner, body] {
            self.notes.extend(part);
            self.notes.resize(self.notes.len().next_multiple_of(4), 0);
        }
        self
    }

    fn thread(self, tid: u32, signal: u16, rip: u64, rsp: u64) -> Self {
        let mut body = vec![0; 336];
        body[12..14].copy_from_slice(&signal.to_le_bytes());
        body[32..36].copy_from_slice(&tid.to_le_bytes());
        body[112 + 15 * 8..112 + 16 * 8].copy_from_slice(&u64::MAX.to_le_bytes());
        body[112 + 16 * 8..112 + 17 * 8].copy_from_slice(&rip.to_le_bytes());
        body[112 + 19 * 8..112 + 20 * 8].copy_from_slice(&rsp.to_le_bytes());
        self.note(b"CORE\0", 1, &body)
    }

    fn load(mut self, address: u64, size: u64, flags: u32, bytes: &[u8]) -> Self {
        self.loads.push((address, size, flags, bytes.to_vec()));
        self
    }

    fn build(&self) -> Vec<u8> {
        let count = self.loads.len() + 1;
        let mut core = elf_header(4, count as u16);
        let mut offset = (EHDR + count * PHDR) as u64;
        core.extend(program_header(4, 0, offset, 0, self.notes.len() as u64, 0));
        offset += self.notes.len() as u64;
        for (address, size, flags, bytes) in &self.loads {
            core.extend(program_header(1, *flags, offset, *address, bytes.len() as u64, *size));
            offset += bytes.len() as u64;
        }
        core.extend(&self.notes);
        self.loads.iter().for_each(|(_, _, _, bytes)| core.extend(bytes));
        core
    }
}

fn elf_header(file_type: u16, count: u16) -> Vec<u8> {
    let mut header = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    header.extend(file_type.to_le_bytes());
    header.extend(62_u16.to_le_bytes());
    header.extend(1_u32.to_le_bytes());
    header.extend(words(&[0, EHDR as u64, 0]));
    header.extend(0_u32.to_le_bytes());
    for half in [EHDR as u16, PHDR as u16, count, 64, 0, 0] {
        header.extend(half.to_le_bytes());
    }
    header
}

fn program_header(kind: u32, flags: u32, offset: u64, address: u64, file_size: u64, memory_size: u64) -> Vec<u8> {
    let mut header = [kind.to_le_bytes(), flags.to_le_bytes()].concat();
    header.extend(words(&[offset, address, address, file_size, memory_size, 1]));
    header
}

/// The first page of a position-independent executable with a build id.
fn image() -> Vec<u8> {
    let mut image = elf_header(3, 2);
    let note_at = (EHDR + 2 * PHDR) as u64;
    image.extend(program_header(1, 5, 0, 0, 0x2000, 0x2000));
    image.extend(program_header(4, 4, note_at, note_at, 36, 36));
    for number in [4_u32, 20, 3] {
        image.extend(number.to_le_bytes());
    }
    image.extend(b"GNU\0");
    image.extend([0xab; 20]);
    image.resize(0x1000, 0);
    image
}

/// A core as the kernel writes it: a crashed thread and a waiting one, an executable, a stack with `AT_EXECFN` on it.
fn demo() -> Core {
    let mut stack = vec![0x11; 0x1000];
    stack[0xf00..0xf0c].copy_from_slice(b"./demo/demo\0");
    let mut siginfo = vec![0; 128];
    siginfo[0] = 11;
    siginfo[8] = 1;
    siginfo[16] = 8;
    let mut file = words(&[2, 4096, CODE, CODE + 0x1000, 0, CODE + 0x1000, CODE + 0x2000, 1]);
    file.extend(b"/srv/demo (deleted)\0/srv/demo (deleted)\0");
    Core::default()
        .thread(42, 11, CODE + 0x1234, STACK + 0x800)
        .note(b"CORE\0", 3, &[0; 136])
        .note(b"CORE\0", 0x5349_4749, &siginfo)
        .note(b"CORE\0", 6, &words(&[3, CODE + 64, 31, STACK + 0xf00, 0, 0]))
        .note(b"CORE\0", 0x4649_4c45, &file)
        .note(b"CORE\0", 2, &[0; 512])
        .note(b"LINUX\0", 0x205, &[0; 24])
        .thread(43, 11, CODE + 0x1300, STACK + 0x900)
        .load(CODE, 0x1000, 4, &image())
        .load(CODE + 0x1000, 0x1000, 5, &[])
        .load(STACK, 0x1000, 6, &stack)
}

fn read(core: &[u8], check: impl FnOnce(&Snapshot<'_>)) {
    let arena = Arena::new();
    check(&ElfCore.read(core, &arena).unwrap()[0]);
}

#[test]
fn a_core_of_the_kernel() {
    read(&demo().build(), |snapshot| {
        let stop = snapshot.stop.as_ref().unwrap();
        assert_eq!((stop.thread, stop.address), (Some(0), Some(Avma(8))));
        assert_eq!(snapshot.threads.iter().map(|thread| thread.id.0).collect::<Vec<_>>(), [42, 43]);
        assert_eq!(snapshot.threads[0].registers().unwrap().pc(), Some(CODE + 0x1234));
        let [module] = &snapshot.modules[..] else { panic!("{:?}", snapshot.modules) };
        assert_eq!((module.path.as_ref(), module.deleted, module.is_executable), ("/srv/demo", true, true));
        assert_eq!((module.size, module.bias), (0x2000, Some(Bias(CODE))));
        assert_eq!(module.build_id.as_ref().unwrap().to_string(), "ab".repeat(20));
        assert_eq!(snapshot.memory.state(Avma(CODE + 0x1234)), AddressState::NotDumped);
        assert_eq!(snapshot.memory.state(Avma(STACK + 0x1000)), AddressState::NotMapped);
        assert_eq!((snapshot.process.writer, snapshot.warnings.len()), (Some(Writer::Kernel), 0));
    });
}

#[test]
fn a_core_without_a_list_of_files_finds_its_images() {
    let core = Core::default()
        .thread(42, 11, CODE + 0x1234, STACK)
        .note(b"CORE\0", 3, &[0; 136])
        .note(b"CORE\0", 6, &words(&[3, CODE + 64, 31, STACK + 2, 0, 0]))
        .load(CODE, 0x2000, 5, &image())
        .load(STACK, 0x1000, 6, b"..demo\0");
    read(&core.build(), |snapshot| {
        assert_eq!(snapshot.process.exe.as_deref(), Some("demo"));
        assert_eq!(snapshot.modules[0].build_id.as_ref().unwrap().to_string(), "ab".repeat(20));
        assert_eq!(snapshot.process.writer, Some(Writer::QemuUser));
    });
}

#[test]
fn a_live_process_dumped_by_gcore_has_no_stop() {
    let core = Core::default()
        .note(b"CORE\0", 3, &[0; 136])
        .thread(42, 0, CODE, STACK)
        .note(b"CORE\0", 2, &[0; 512])
        .note(b"GDB\0", 0xff00_0000, b"<target/>")
        .load(STACK, 0x1000, 6, &[0; 64]);
    read(&core.build(), |snapshot| {
        assert!(snapshot.stop.is_none());
        assert_eq!(snapshot.process.writer, Some(Writer::Gcore));
        assert_eq!(snapshot.threads[0].detail.as_ref().unwrap().cpu, None);
        assert!(snapshot.warnings[0].text.contains("gcore"));
    });
}

#[test]
fn a_cut_core_says_what_is_missing_of_whose_stack() {
    let whole = demo().build();
    // The stack is the last thing in the file; the pointer stands in its middle.
    read(&whole[..whole.len() - 0x600], |snapshot| {
        let texts: Vec<_> = snapshot.warnings.iter().map(|warning| warning.text.as_ref()).collect();
        assert!(texts[0].contains(&format!("1536 of {} bytes", whole.len())), "{texts:?}");
        assert_eq!(texts[1], "the dump is cut inside the stack of thread 42: 75 % of it is missing");
        assert_eq!(snapshot.memory.state(Avma(STACK + 0xa00)), AddressState::CutOff);
        assert_eq!(snapshot.memory.state(Avma(STACK + 0x9ff)), AddressState::Present);
    });
}

#[test]
fn more_segments_than_the_header_can_count() {
    let mut core = demo();
    for index in 0..70_000_u64 {
        core = core.load(0x1_0000_0000 + index * 0x2000, 0x1000, 6, &[]);
    }
    let mut bytes = core.build();
    bytes[56..58].copy_from_slice(&0xffff_u16.to_le_bytes());
    // Without section 0 the table ends where the first segment begins.
    read(&bytes, |snapshot| assert_eq!(snapshot.memory.regions().len(), 70_003));
    let section = bytes.len() as u64;
    bytes[40..48].copy_from_slice(&section.to_le_bytes());
    let mut header = vec![0; 64];
    header[44..48].copy_from_slice(&70_004_u32.to_le_bytes());
    bytes.extend(header);
    read(&bytes, |snapshot| assert_eq!(snapshot.memory.regions().len(), 70_003));
}

#[test]
fn a_list_of_libraries_that_runs_in_a_circle_ends() {
    const DATA: u64 = 0x6000_0000;
    let mut image = elf_header(2, 2);
    image.extend(program_header(1, 6, 0, DATA, 0x1000, 0x1000));
    image.extend(program_header(2, 6, 0x200, DATA + 0x200, 32, 32));
    image.resize(0x200, 0);
    image.extend(words(&[21, DATA + 0x300, 0, 0]));
    image.resize(0x300, 0);
    image.extend(words(&[1, DATA + 0x400]));
    image.resize(0x400, 0);
    image.extend(words(&[0, DATA + 0x500, DATA + 0x200, DATA + 0x440]));
    image.resize(0x440, 0);
    image.extend(words(&[0x10, DATA + 0x500, DATA + 0x900, DATA + 0x400]));
    image.resize(0x500, 0);
    image.extend(b"/lib/libround.so\0");
    image.resize(0x1000, 0);
    let core = Core::default()
        .thread(42, 11, DATA, STACK)
        .note(b"CORE\0", 6, &words(&[3, DATA + 64, 0, 0]))
        .load(DATA, 0x1000, 7, &image);
    read(&core.build(), |snapshot| assert!(snapshot.modules.len() <= 2, "{:?}", snapshot.modules));
}

#[test]
fn damage_never_panics() {
    let whole = demo().build();
    let arena = Arena::new();
    for length in 0..whole.len() {
        let _ = ElfCore.read(&whole[..length], &arena);
    }
    let mut state = 7_u64;
    for _ in 0..4000 {
        let mut damaged = whole.clone();
        for _ in 0..8 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = (state >> 33) as usize % 3000;
            damaged[at] = (state >> 24) as u8;
        }
        let kept = Arena::new();
        let _ = ElfCore.read(&damaged, &kept);
    }
}

#[test]
fn what_is_left_of_a_header_is_no_core() {
    let whole = demo().build();
    let arena = Arena::new();
    assert!(ElfCore.read(&whole[..30], &arena).is_err());
    assert!(ElfCore.read(&whole[..64], &arena).unwrap_err().to_string().contains("cut before its first"));
}

#[test]
fn goblin_agrees_on_segments_and_notes() {
    let whole = demo().build();
    let ours = super::headers::parse(&whole, super::MOST_SEGMENTS).unwrap();
    let theirs = goblin::elf::Elf::parse(&whole).unwrap();
    let segments =
        ours.segments.iter().map(|segment| (segment.kind, segment.offset, segment.address, segment.file_size));
    let others =
        theirs.program_headers.iter().map(|header| (header.p_type, header.p_offset, header.p_vaddr, header.p_filesz));
    assert!(segments.eq(others));
    let notes = super::notes::of_core(&whole, &ours);
    let others: Vec<_> = theirs.iter_note_headers(&whole).unwrap().map(Result::unwrap).collect();
    let pairs = notes.iter().map(|note| (note.kind, note.body));
    assert!(pairs.eq(others.iter().map(|note| (note.n_type, note.desc))));
}
