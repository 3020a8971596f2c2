use std::io::Write;

use super::*;

/// What stands in the compressed files: text, a hole, text.
fn content() -> Vec<u8> {
    let mut content = b"a dump begins here\n".repeat(5000);
    content.resize(1 << 20, 0);
    content.extend(b"and ends here\n");
    content
}

fn compress(compression: Compression, content: &[u8]) -> Vec<u8> {
    match compression {
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Xz => {
            let options = lzma_rust2::XzOptions::with_preset(1);
            let mut encoder = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Zstd => zstd::encode_all(content, 1).unwrap(),
        Compression::Lz4 => {
            let blocks = lz4_flex::frame::FrameInfo::new().block_size(lz4_flex::frame::BlockSize::Max64KB);
            let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(blocks, Vec::new());
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Bzip2 => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        }
    }
}

const ALL: [Compression; 5] =
    [Compression::Gzip, Compression::Xz, Compression::Zstd, Compression::Lz4, Compression::Bzip2];

fn file_of(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn open_bytes<'data>(bytes: &[u8], limit: u64, arena: &'data Arena) -> Result<Opened<'data>, Error> {
    open(file_of(bytes).path(), limit, arena)
}

#[test]
fn every_compression_is_recognised_by_content() {
    let (arena, content) = (Arena::new(), content());
    for compression in ALL {
        let opened = open_bytes(&compress(compression, &content), DEFAULT_LIMIT, &arena).unwrap();
        assert!(opened.data == content, "{compression:?}");
        assert_eq!(opened.input.compression, Some(compression.name()));
        assert_eq!((opened.input.bytes, opened.warnings.len()), (content.len() as u64, 0));
    }
}

#[test]
fn frames_one_behind_the_other_are_one_dump() {
    let arena = Arena::new();
    for compression in ALL {
        let frames = [compress(compression, b"first, "), compress(compression, b"second")].concat();
        let opened = open_bytes(&frames, DEFAULT_LIMIT, &arena).unwrap();
        assert_eq!(String::from_utf8_lossy(opened.data), "first, second", "{compression:?}");
    }
}

#[test]
fn a_cut_stream_yields_what_there_is_and_says_so() {
    let arena = Arena::new();
    // Noise, so that there is more than one block to lose.
    let mut state = 1_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let content: Vec<u8> = (0..3 << 20).map(|_| noise()).collect();
    for compression in ALL {
        let whole = compress(compression, &content);
        let opened = open_bytes(&whole[..whole.len() * 3 / 4], DEFAULT_LIMIT, &arena).unwrap();
        assert!(!opened.data.is_empty() && content.starts_with(opened.data), "{compression:?}");
        assert!(opened.warnings[0].contains(compression.name()), "{:?}", opened.warnings);
        // Ten bytes are a header and at most one byte of content.
        match open_bytes(&whole[..10], DEFAULT_LIMIT, &arena) {
            Ok(opened) => assert!(opened.data.len() <= 1 && opened.warnings.len() == 1, "{compression:?}"),
            Err(error) => assert!(matches!(error, Error::Damaged { .. } | Error::Empty), "{compression:?}: {error}"),
        }
    }
}

#[test]
fn a_bomb_is_stopped_and_a_core_of_zeros_is_not() {
    let arena = Arena::new();
    let zeros = compress(Compression::Zstd, &vec![0; 50 << 20]);
    assert!(zeros.len() < 10_000);
    assert_eq!(open_bytes(&zeros, DEFAULT_LIMIT, &arena).unwrap().data.len(), 50 << 20);
    assert!(matches!(open_bytes(&zeros, 1 << 20, &arena), Err(Error::TooLarge { limit: 0x10_0000 })));
}

#[test]
fn what_is_no_file_is_refused_in_one_sentence() {
    let arena = Arena::new();
    let directory = tempfile::tempdir().unwrap();
    let reason = |path: &str| {
        open(Path::new(path), DEFAULT_LIMIT, &arena).err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert!(reason(directory.path().to_str().unwrap()).contains("directory"));
    assert!(reason(file_of(b"").path().to_str().unwrap()).contains("empty"));
    assert!(reason("/dev/null").contains("device"));
    assert!(reason("/no/such/dump").contains("could not be read"));
}
