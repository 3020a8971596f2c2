//! The code of a module from beginning to end, for what has no index: who stores to a variable, who calls a function.

use iced_x86::{Decoder, DecoderOptions, Instruction};

use crate::image::Image;

/// Bytes of code of the largest module that is read: some tenths of a second.
const MAX_CODE: usize = 8 << 20;

/// All instructions of a module, those that can not be decoded as invalid ones; `None` where it has too much code.
pub(super) fn instructions<'i>(image: &'i Image<'_>) -> Option<impl Iterator<Item = Instruction> + 'i> {
    let code = || image.segments.iter().filter(|segment| segment.executable);
    let all: usize = code().map(|segment| segment.bytes.len()).sum();
    let decoded = code().flat_map(|segment| {
        let start = image.bias.to_avma(segment.start).0;
        Decoder::with_ip(64, segment.bytes, start, DecoderOptions::NONE).into_iter()
    });
    (all <= MAX_CODE).then_some(decoded)
}
