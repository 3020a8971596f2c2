//! The whole command line, from the main thread's stack. `NT_PRPSINFO` keeps 80 bytes of it.
//!
//! The kernel leaves there, upwards from the stack pointer of the first instruction: the count of arguments, pointers to
//! them, 0, pointers to the environment, 0, and the auxiliary vector (`create_elf_tables` in `fs/binfmt_elf.c`; System V psABI
//! AMD64, figure 3.9). The vector is in the core a second time, as `NT_AUXV`: that is how its place is found.

use necropsy_model::{Avma, Memory};

use super::bytes::Layout;

/// Arguments that are read: more than `getconf ARG_MAX` lets a shell pass to most programs.
const MAX_ARGUMENTS: usize = 4096;
/// Bytes of all arguments together that are kept: it is shown to people, and the start is what they look for.
const MAX_BYTES: usize = 64 << 10;
/// Pointers to the environment that are passed over.
const MAX_ENVIRONMENT: usize = 1 << 16;
/// Words of the auxiliary vector that must agree: two entries, of which the second is an address or a set of features.
const MARK_WORDS: usize = 4;

/// The arguments with a space between them, as the kernel joins them; `None` when they are not in the core, or do not begin
/// as `short`, the kernel's copy, does. `true` with them: there are more.
pub(super) fn whole(
    short: &str,
    auxv: &[u8],
    anchor: u64,
    memory: &Memory<'_>,
    layout: Layout,
) -> Option<(String, bool)> {
    let size = layout.word_size();
    let region = memory.region(Avma(anchor))?;
    let mark = auxv.get(..MARK_WORDS * size)?;
    // The stack may hold copies; the one that the kernel made is the last.
    let at = memchr::memmem::rfind(region.bytes, mark)?;
    let before = region.bytes.get(..at)?;
    let words: Vec<u64> = before
        .rchunks_exact(size)
        .take(MAX_ENVIRONMENT + MAX_ARGUMENTS)
        .filter_map(|word| layout.word(word, 0))
        .collect();
    let rest = words.strip_prefix(&[0])?;
    let environment = rest.iter().position(|&word| word == 0)?;
    let arguments = rest.get(environment + 1..)?;
    // Walking down, the count stands behind as many pointers as it says.
    let count = arguments.iter().take(MAX_ARGUMENTS).enumerate().position(|(index, &word)| word == index as u64)?;
    let (mut line, mut cut) = (Vec::new(), false);
    for &pointer in arguments.get(..count)?.iter().rev() {
        let tail = memory.tail(Avma(pointer));
        let argument = tail.get(..memchr::memchr(0, tail)?)?;
        if line.len() + argument.len() > MAX_BYTES {
            cut = true;
            break;
        }
        line.extend_from_slice(argument);
        line.push(b' ');
    }
    let line = String::from_utf8_lossy(&line).trim_end().to_owned();
    (line.len() > short.len() && line.starts_with(short)).then_some((line, cut))
}

#[cfg(test)]
mod tests {
    use necropsy_model::{Endianness, Permissions, Region};

    use super::*;

    const LAYOUT: Layout = Layout { endian: Endianness::Little, wide: true };
    const START: u64 = 0x7fff_0000;
    const AUXV: [u64; 4] = [33, 0x7ffe_1000, 16, 0xbfeb_fbff];

    fn auxv() -> Vec<u8> {
        AUXV.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// A stack with these words before the auxiliary vector and these texts behind it.
    fn stack(before: &[u64], texts: &[u8]) -> Memory<'static> {
        let mut bytes: Vec<u8> = before.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.extend(auxv());
        bytes.resize(0x200, 0);
        bytes.extend_from_slice(texts);
        let permissions = Some(Permissions { read: true, write: true, execute: false });
        let (end, dumped) = (Avma(START + bytes.len() as u64), bytes.len() as u64);
        Memory::new(vec![Region { start: Avma(START), end, permissions, bytes: bytes.leak(), dumped, file: None }])
    }

    #[test]
    fn arguments_behind_the_eightieth_byte_are_found() {
        let at = START + 0x200;
        let memory = stack(&[7, 7, 3, at, at + 5, at + 11, 0, at + 20, at + 30, 0], b"./pay\0--id\0\0x\0");
        assert_eq!(whole("./pay", &auxv(), START, &memory, LAYOUT), None, "the pointers do not fit the texts");
        let memory = stack(&[7, 7, 3, at, at + 6, at + 11, 0, at + 20, at + 30, 0], b"./pay\0--id\0eu-1002\0");
        assert_eq!(whole("./pay --i", &auxv(), START, &memory, LAYOUT), Some(("./pay --id eu-1002".to_owned(), false)));
        assert_eq!(whole("other", &auxv(), START, &memory, LAYOUT), None);
        assert_eq!(whole("./pay", &[0; 8], START, &memory, LAYOUT), None);
        assert_eq!(whole("./pay", &auxv(), 0x10, &memory, LAYOUT), None);
    }

    #[test]
    fn a_count_that_does_not_fit_is_refused() {
        let at = START + 0x200;
        let memory = stack(&[9, at, at + 6, 0, at + 20, 0], b"./pay\0--id\0");
        assert_eq!(whole("./pay", &auxv(), START, &memory, LAYOUT), None);
    }

    #[test]
    fn arguments_beyond_the_bound_are_cut_with_a_mark() {
        let at = START + 0x200;
        let long = [b"./pay\0".as_slice(), &vec![b'x'; MAX_BYTES], b"\0"].concat();
        let memory = stack(&[7, 2, at, at + 6, 0, at + 20, 0], &long);
        assert_eq!(whole("./pa", &auxv(), START, &memory, LAYOUT), Some(("./pay".to_owned(), true)));
    }
}
