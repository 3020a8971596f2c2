//! `NT_FPREGSET` and `NT_X86_XSTATE`: vector registers, in which compilers keep floats and small structures.

use necropsy_model::Arch;

use super::bytes::Layout;

/// Bytes of a vector register that are kept: `xmm`, and the part of the wider ones that all machines have.
const WIDTH: usize = 16;

/// The vector registers of a thread by their own number; empty where the note is cut or the machine another.
///
/// Both x86 notes begin with the FXSAVE image (Intel SDM volume 1, table 10-2), whose xmm registers stand at byte 160.
/// What XSAVE adds behind it (AVX halves, 8 KiB of AMX tiles) moves from CPU to CPU and is left alone.
pub(super) fn vectors(body: &[u8], arch: Arch, layout: Layout) -> Vec<[u8; WIDTH]> {
    let (at, count) = match (arch, layout.wide) {
        (Arch::X86_64, true) => (160, 16),
        // struct user_fpsimd_state begins with the 32 registers.
        (Arch::Aarch64, true) => (0, 32),
        _ => return Vec::new(),
    };
    let area = body.get(at..).and_then(|body| body.get(..count * WIDTH)).unwrap_or_default();
    area.as_chunks().0.to_vec()
}

#[cfg(test)]
mod tests {
    use necropsy_model::Endianness;

    use super::*;

    #[test]
    fn the_xmm_registers_of_an_fxsave_image() {
        let mut body = vec![0; 11_008];
        body[176..192].copy_from_slice(&[9; 16]);
        let layout = Layout { endian: Endianness::Little, wide: true };
        let vectors = vectors(&body, Arch::X86_64, layout);
        assert_eq!((vectors.len(), vectors[1]), (16, [9; 16]));
        assert!(super::vectors(&body[..300], Arch::X86_64, layout).is_empty());
    }
}
