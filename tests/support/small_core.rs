//! An x86-64 core of one thread made by hand, every field of it as a test wants it (`fs/binfmt_elf.c` of the kernel).

/// Where the executable lies in memory.
pub(crate) const EXE: u64 = 0x40_0000;
/// Where the stack lies in memory.
pub(crate) const STACK: u64 = 0x7fff_0000_0000;

/// What stands in the core.
pub(crate) struct SmallCore {
    /// Name of the thread and process, 16 bytes at most.
    pub(crate) name: Vec<u8>,
    /// The command line, 80 bytes at most.
    pub(crate) arguments: Vec<u8>,
    /// Files of `NT_FILE`, each mapped at a page of its own from [`EXE`] on.
    pub(crate) files: Vec<Vec<u8>>,
    /// The number of files that `NT_FILE` claims.
    pub(crate) file_count: Option<u64>,
    /// The first page of the executable.
    pub(crate) page: Vec<u8>,
    /// Further notes: name, type, content.
    pub(crate) notes: Vec<(&'static str, u32, Vec<u8>)>,
    /// Sizes that the last note claims, of its name and its content.
    pub(crate) claims: Option<(u32, u32)>,
    /// The number of program headers that the file header claims, and the number behind it (`sh_info` of section 0).
    pub(crate) headers: Option<(u16, u32)>,
}

impl SmallCore {
    /// A core of a program that wrote to address 8.
    pub(crate) fn new() -> Self {
        Self {
            name: b"ledger".to_vec(),
            arguments: b"/srv/ledger --port 80".to_vec(),
            files: vec![b"/srv/ledger".to_vec()],
            file_count: None,
            page: vec![0x90; 4096],
            notes: Vec::new(),
            claims: None,
            headers: None,
        }
    }

    /// The bytes of the file.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let notes = self.all_notes();
        let page = &self.page;
        let stack = vec![0_u8; 4096];
        let segments: [(u32, u32, u64, &[u8]); 3] = [(4, 4, 0, &notes), (1, 5, EXE, page), (1, 6, STACK, &stack)];
        let (count, section) = match self.headers {
            None => (segments.len() as u16, None),
            Some((count, behind)) => (count, Some(behind)),
        };
        let table = 64 + 56 * segments.len();
        let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        file.extend(4_u16.to_le_bytes());
        file.extend(62_u16.to_le_bytes());
        file.extend(1_u32.to_le_bytes());
        // Entry, program headers, section headers: behind everything else, where there is one.
        let data: usize = segments.iter().map(|(.., bytes)| bytes.len()).sum();
        let section_at = section.map_or(0, |_| (table + data) as u64);
        put(&mut file, &[0, 64, section_at]);
        file.extend(0_u32.to_le_bytes());
        let sections = u16::from(section.is_some());
        file.extend([64, 56, count, 64, sections, 0].iter().flat_map(|half: &u16| half.to_le_bytes()));
        let mut at = table as u64;
        for (kind, flags, address, bytes) in segments {
            file.extend(kind.to_le_bytes());
            file.extend(flags.to_le_bytes());
            let size = bytes.len() as u64;
            put(&mut file, &[at, address, 0, size, size, 4096]);
            at += size;
        }
        file.extend(segments.iter().flat_map(|&(.., bytes)| bytes));
        if let Some(behind) = section {
            // Section 0: `sh_info` holds the real number of program headers.
            let mut header = [0_u8; 64];
            header[44..48].copy_from_slice(&behind.to_le_bytes());
            file.extend(header);
        }
        file
    }

    fn all_notes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        note(&mut out, "CORE", 1, &status());
        note(&mut out, "CORE", 3, &self.info());
        note(&mut out, "CORE", 0x5349_4749, &signal());
        // `AT_PHDR`, `AT_PHENT`, `AT_PHNUM`, `AT_NULL`.
        let auxv: Vec<u8> = [3, EXE + 64, 4, 56, 5, 2, 0, 0].iter().flat_map(|word: &u64| word.to_le_bytes()).collect();
        note(&mut out, "CORE", 6, &auxv);
        note(&mut out, "CORE", 0x4649_4c45, &self.mapped());
        for (name, kind, content) in &self.notes {
            note(&mut out, name, *kind, content);
        }
        if let Some((name, content)) = self.claims {
            out.extend(name.to_le_bytes());
            out.extend(content.to_le_bytes());
            out.extend(1_u32.to_le_bytes());
            out.extend(b"CORE\0\0\0\0");
        }
        out
    }

    /// `struct elf_prpsinfo`.
    fn info(&self) -> Vec<u8> {
        let mut info = vec![0_u8; 136];
        info[24..28].copy_from_slice(&4242_u32.to_le_bytes());
        let fill = |to: &mut [u8], from: &[u8]| to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        fill(&mut info[40..56], &self.name);
        fill(&mut info[56..136], &self.arguments);
        info
    }

    /// `NT_FILE`: count, page size, ranges, names.
    fn mapped(&self) -> Vec<u8> {
        let count = self.file_count.unwrap_or(self.files.len() as u64);
        let mut out: Vec<u8> = [count, 4096].iter().flat_map(|word| word.to_le_bytes()).collect();
        for number in 0..self.files.len() as u64 {
            let start = EXE + number * 0x1000;
            put(&mut out, &[start, start + 0x1000, 0]);
        }
        for file in &self.files {
            out.extend(file);
            out.push(0);
        }
        out
    }
}

/// `struct elf_prstatus` of thread 4242, stopped by `SIGSEGV` in the middle of the executable's first page.
fn status() -> Vec<u8> {
    let mut status = vec![0_u8; 336];
    status[..4].copy_from_slice(&11_u32.to_le_bytes());
    status[12..14].copy_from_slice(&11_u16.to_le_bytes());
    status[32..36].copy_from_slice(&4242_u32.to_le_bytes());
    // `struct user_regs_struct`: rip is the 17th word, rsp the 20th.
    for (word, value) in [(16, EXE + 0x800), (19, STACK + 0x800)] {
        let at = 112 + word * 8;
        status[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }
    status
}

/// `siginfo_t`: `SIGSEGV`, `SEGV_MAPERR`, at 8.
fn signal() -> Vec<u8> {
    let mut info = vec![0_u8; 128];
    info[..4].copy_from_slice(&11_u32.to_le_bytes());
    info[8..12].copy_from_slice(&1_u32.to_le_bytes());
    info[16..24].copy_from_slice(&8_u64.to_le_bytes());
    info
}

fn put(out: &mut Vec<u8>, words: &[u64]) {
    out.extend(words.iter().flat_map(|word| word.to_le_bytes()));
}

fn note(out: &mut Vec<u8>, name: &str, kind: u32, content: &[u8]) {
    out.extend((name.len() as u32 + 1).to_le_bytes());
    out.extend((content.len() as u32).to_le_bytes());
    out.extend(kind.to_le_bytes());
    out.extend(name.as_bytes());
    out.push(0);
    out.resize(out.len().next_multiple_of(4), 0);
    out.extend(content);
    out.resize(out.len().next_multiple_of(4), 0);
}

/// The first page of an executable with a dynamic section whose list of loaded files is as given: for each entry the number of
/// the next one.
pub(crate) fn page_with_links(next: &[usize]) -> Vec<u8> {
    let name = (0x400 + 0x40 * next.len()).max(0x800);
    let mut page = vec![0_u8; (name + 0x40).next_multiple_of(4096)];
    page[..16].copy_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    let mut put =
        |at: usize, value: u64, size: usize| page[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
    for (at, value, size) in [(16, 2, 2), (18, 62, 2), (20, 1, 4), (32, 64, 8), (52, 64, 2), (54, 56, 2), (56, 3, 2)] {
        put(at, value, size);
    }
    // `PT_PHDR`, `PT_LOAD` of code, and `PT_DYNAMIC`.
    let size = name as u64 + 0x40;
    for (number, (kind, address, size)) in
        [(6, EXE + 64, 168), (1 | 5 << 32, EXE, size), (2, EXE + 0x200, 0x40)].into_iter().enumerate()
    {
        let at = 64 + 56 * number;
        put(at, kind, 8);
        put(at + 8, address - EXE, 8);
        put(at + 16, address, 8);
        put(at + 32, size, 8);
        put(at + 40, size, 8);
    }
    // `DT_DEBUG`, and `struct r_debug` with `r_map`.
    put(0x200, 21, 8);
    put(0x208, EXE + 0x300, 8);
    put(0x300, 1, 8);
    put(0x308, EXE + 0x400, 8);
    for (number, &next) in next.iter().enumerate() {
        // `l_addr`, `l_name`, `l_ld`, `l_next`.
        let at = 0x400 + 0x40 * number;
        put(at, 0x10_0000 * (number as u64 + 1), 8);
        put(at + 8, EXE + name as u64, 8);
        put(at + 24, EXE + 0x400 + 0x40 * next as u64, 8);
    }
    page[name..name + 11].copy_from_slice(b"/srv/lib.so");
    page
}
