//! `NT_PRPSINFO`: the process. `struct elf_prpsinfo` of `include/linux/elfcore.h`.

use necropsy_model::Text;

use super::bytes::{Layout, text};

/// What the note says of the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Prpsinfo<'data> {
    /// Process id.
    pub pid: Option<u64>,
    /// Parent's process id.
    pub parent: Option<u64>,
    /// Real user id.
    pub uid: Option<u64>,
    /// `pr_fname`: the name of the process, cut at 15 bytes by the kernel.
    pub name: Option<Text<'data>>,
    /// `pr_psargs`: the command line, its NULs turned to spaces.
    pub arguments: Option<Text<'data>>,
    /// The command line fills its field, so that it may go on.
    pub arguments_cut: bool,
}

/// `ELF_PRARGSZ`.
const ARGUMENTS: usize = 80;
/// Length of `pr_fname`.
const NAME: usize = 16;

/// Reads the note; what a cut note does not hold is `None`.
pub(super) fn read(body: &[u8], layout: Layout) -> Prpsinfo<'_> {
    // The texts are the end of the structure. Counting from there does not depend on the width of what stands before.
    let names = body.len().checked_sub(ARGUMENTS + NAME).filter(|&at| at >= 24);
    let field = |skip: usize, length: usize| body.get(names? + skip..)?.get(..length);
    let arguments = field(NAME, ARGUMENTS);
    // Four chars, an unsigned long, two user ids, four process ids, then the texts. What is left for the user ids tells
    // their width: i386, Arm, SPARC, m68k and s390 (31 bit) kept the 16 bits of the first Unixes.
    let at = if layout.wide { 16 } else { 8 };
    let width = if names == Some(at + 2 * 2 + 4 * 4) { 2 } else { 4 };
    let uid = if width == 2 { layout.u16(body, at).map(u64::from) } else { layout.u32(body, at).map(u64::from) };
    let id = |index: usize| layout.u32(body, at + 2 * width + 4 * index).map(u64::from);
    Prpsinfo {
        pid: id(0),
        parent: id(1),
        uid,
        name: field(0, NAME).map(text).filter(|name| !name.is_empty()),
        // The kernel puts a space behind the last argument too.
        arguments: arguments.map(text).map(trim_end).filter(|arguments| !arguments.is_empty()),
        arguments_cut: arguments.is_some_and(|bytes| bytes.iter().take(ARGUMENTS - 1).all(|&byte| byte != 0)),
    }
}

fn trim_end(text: Text<'_>) -> Text<'_> {
    match text {
        Text::Borrowed(text) => Text::Borrowed(text.trim_end()),
        Text::Owned(text) => Text::Owned(text.trim_end().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use necropsy_model::Endianness;

    use super::*;

    fn note(size: usize, ids_at: usize, arguments: &[u8]) -> Vec<u8> {
        let mut body = vec![0; size];
        body[ids_at..ids_at + 4].copy_from_slice(&4242_u32.to_le_bytes());
        body[size - 96..size - 96 + 4].copy_from_slice(b"demo");
        body[size - 80..size - 80 + arguments.len()].copy_from_slice(arguments);
        body
    }

    #[test]
    fn the_ids_stand_behind_the_user_ids() {
        let wide = Layout { endian: Endianness::Little, wide: true };
        let body = note(136, 24, b"./demo 7 ");
        let read = read(&body, wide);
        assert_eq!(read.pid, Some(4242));
        assert_eq!(read.name.as_deref(), Some("demo"));
        assert_eq!(read.arguments.as_deref(), Some("./demo 7"));
        assert!(!read.arguments_cut);
    }

    #[test]
    fn old_machines_have_short_user_ids() {
        let narrow = Layout { endian: Endianness::Little, wide: false };
        let body = note(124, 12, &[b'a'; 79]);
        let read = read(&body, narrow);
        assert_eq!(read.pid, Some(4242));
        assert!(read.arguments_cut);
    }

    #[test]
    fn a_cut_note_has_no_texts() {
        let wide = Layout { endian: Endianness::Little, wide: true };
        assert_eq!(read(&[0; 20], wide).arguments, None);
    }
}
