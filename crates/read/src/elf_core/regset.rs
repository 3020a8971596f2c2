//! `NT_FPREGSET` and `NT_X86_XSTATE`: vector registers, in which compilers keep floats and small structures.

use necropsy_model::{Arch, Vectors};

use super::bytes::Layout;

/// Bytes of a vector register in the part that all machines have.
const WIDTH: usize = 16;

/// Where `XSTATE_BV` says which components of an XSAVE area are in use, and its bit for the upper halves of `ymm` (Intel SDM
/// volume 1, sections 13.4.2 and 13.5.3).
const IN_USE: usize = 512;
const AVX: u8 = 1 << 2;
/// Where those halves stand. The standard form, which the kernel writes into cores, has them behind legacy area and header on
/// every CPU; what follows them moves.
const HALVES: usize = 576;

/// The vector registers of a thread; none where the note is cut or the machine another.
///
/// Both x86 notes begin with the FXSAVE image (Intel SDM volume 1, table 10-2), whose xmm registers stand at byte 160. What
/// XSAVE adds behind the halves (AVX-512, 8 KiB of AMX tiles) is left alone.
pub(super) fn vectors(body: &[u8], arch: Arch, layout: Layout) -> Vectors {
    let (at, count) = match (arch, layout.wide) {
        (Arch::X86_64, true) => (160, 16),
        // struct user_fpsimd_state begins with the 32 registers.
        (Arch::Aarch64, true) => (0, 32),
        _ => return Vectors::default(),
    };
    let registers = |at: usize| {
        let area = body.get(at..).and_then(|body| body.get(..count * WIDTH)).unwrap_or_default();
        area.as_chunks().0.to_vec()
    };
    let high = match body.get(IN_USE).filter(|_| arch == Arch::X86_64) {
        Some(used) if used & AVX != 0 => registers(HALVES),
        // A component that is not in use has its initial state, zeros.
        Some(_) if body.len() > HALVES => vec![[0; WIDTH]; count],
        _ => Vec::new(),
    };
    Vectors { low: registers(at), high }
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
        assert_eq!(vectors(&body, Arch::X86_64, layout).high, vec![[0; 16]; 16], "not in use");
        body[512] = 7;
        body[592..608].copy_from_slice(&[8; 16]);
        let known = vectors(&body, Arch::X86_64, layout);
        assert_eq!((known.low.len(), known.low[1], known.high[1]), (16, [9; 16], [8; 16]));
        let legacy = vectors(&body[..512], Arch::X86_64, layout);
        assert_eq!((legacy.low.len(), legacy.high.len()), (16, 0));
        assert_eq!(vectors(&body[..300], Arch::X86_64, layout), Vectors::default());
    }
}
