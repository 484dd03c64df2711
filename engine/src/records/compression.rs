//! What the records of a batch may be compressed with.
//!
//! Whatever the bytes say, no more than the caller's limit is ever held decompressed.

use std::io::{Read, Write};

use super::batch::BatchError;

/// The codecs of Kafka, by the number that stands in a batch's attributes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Codec {
    #[default]
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

/// In front of the blocks of Java's snappy streams; two 32-bit versions follow.
const XERIAL_MAGIC: &[u8] = b"\x82SNAPPY\0";
/// The magic and the two versions.
const XERIAL_HEADER: usize = 16;
/// How much goes into one block of a snappy stream.
const XERIAL_BLOCK: usize = 32 << 10;

impl Codec {
    /// By its number in the attributes.
    pub fn of_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Codec::None,
            1 => Codec::Gzip,
            2 => Codec::Snappy,
            3 => Codec::Lz4,
            4 => Codec::Zstd,
            _ => return None,
        })
    }

    /// Its number in the attributes.
    pub fn number(self) -> u8 {
        match self {
            Codec::None => 0,
            Codec::Gzip => 1,
            Codec::Snappy => 2,
            Codec::Lz4 => 3,
            Codec::Zstd => 4,
        }
    }

    /// By its name in a topic's `compression.type`.
    pub fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "none" | "uncompressed" => Codec::None,
            "gzip" => Codec::Gzip,
            "snappy" => Codec::Snappy,
            "lz4" => Codec::Lz4,
            "zstd" => Codec::Zstd,
            _ => return None,
        })
    }

    /// Decompresses at most `bytes_max`.
    ///
    /// # Errors
    /// When the bytes are not of this codec, or hold more than that.
    pub fn decompress(self, bytes: &[u8], bytes_max: usize) -> Result<Vec<u8>, BatchError> {
        match self {
            Codec::None if bytes.len() > bytes_max => Err(BatchError::TooLarge { bytes_max }),
            Codec::None => Ok(bytes.to_vec()),
            Codec::Gzip => read_all(
                flate2::bufread::MultiGzDecoder::new(bytes),
                bytes,
                bytes_max,
            ),
            Codec::Snappy => unsnap(bytes, bytes_max),
            Codec::Lz4 => read_all(lz4_flex::frame::FrameDecoder::new(bytes), bytes, bytes_max),
            Codec::Zstd => {
                let decoder = zstd::stream::read::Decoder::with_buffer(bytes)
                    .map_err(|error| damaged(&error))?;
                read_all(decoder, bytes, bytes_max)
            }
        }
    }

    /// Compresses.
    pub fn compress(self, bytes: &[u8]) -> Vec<u8> {
        const NO_IO: &str = "a Vec takes whatever is written";
        match self {
            Codec::None => bytes.to_vec(),
            Codec::Gzip => {
                let level = flate2::Compression::default();
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                encoder.write_all(bytes).expect(NO_IO);
                encoder.finish().expect(NO_IO)
            }
            Codec::Snappy => snap_blocks(bytes),
            Codec::Lz4 => {
                // Java's reader knows independent blocks only.
                let info = lz4_flex::frame::FrameInfo::new()
                    .block_mode(lz4_flex::frame::BlockMode::Independent)
                    .block_size(lz4_flex::frame::BlockSize::Max64KB);
                let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
                encoder.write_all(bytes).expect(NO_IO);
                encoder.finish().expect(NO_IO)
            }
            Codec::Zstd => {
                zstd::stream::encode_all(bytes, zstd::DEFAULT_COMPRESSION_LEVEL).expect(NO_IO)
            }
        }
    }
}

fn read_all(reader: impl Read, bytes: &[u8], bytes_max: usize) -> Result<Vec<u8>, BatchError> {
    let mut out = Vec::with_capacity(bytes.len().saturating_mul(4).min(bytes_max));
    reader
        .take(bytes_max as u64 + 1)
        .read_to_end(&mut out)
        .map_err(|error| damaged(&error))?;
    if out.len() > bytes_max {
        return Err(BatchError::TooLarge { bytes_max });
    }
    Ok(out)
}

/// A single raw block, or Java's stream of blocks with their lengths.
fn unsnap(bytes: &[u8], bytes_max: usize) -> Result<Vec<u8>, BatchError> {
    let mut out = Vec::new();
    if !bytes.starts_with(XERIAL_MAGIC) {
        unsnap_block(bytes, bytes_max, &mut out)?;
        return Ok(out);
    }
    let mut rest = bytes
        .get(XERIAL_HEADER..)
        .ok_or_else(|| damaged(&"the stream ends in its header"))?;
    while !rest.is_empty() {
        let (length, after) = rest
            .split_first_chunk::<4>()
            .ok_or_else(|| damaged(&"the stream ends in a length"))?;
        let length = u32::from_be_bytes(*length) as usize;
        let block = after
            .get(..length)
            .ok_or_else(|| damaged(&"the stream ends in a block"))?;
        unsnap_block(block, bytes_max, &mut out)?;
        rest = &after[length..];
    }
    Ok(out)
}

fn unsnap_block(block: &[u8], bytes_max: usize, out: &mut Vec<u8>) -> Result<(), BatchError> {
    let length = snap::raw::decompress_len(block).map_err(|error| damaged(&error))?;
    let start = out.len();
    if length > bytes_max - start {
        return Err(BatchError::TooLarge { bytes_max });
    }
    // Snappy makes at most about 22 bytes of one, so a short block cannot ask for much.
    if length / 32 > block.len() {
        return Err(damaged(&"a block cannot be as long as it says"));
    }
    out.resize(start + length, 0);
    snap::raw::Decoder::new()
        .decompress(block, &mut out[start..])
        .map_err(|error| damaged(&error))?;
    Ok(())
}

fn snap_blocks(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() / 2 + XERIAL_HEADER);
    out.extend(XERIAL_MAGIC);
    out.extend(1u32.to_be_bytes());
    out.extend(1u32.to_be_bytes());
    let mut encoder = snap::raw::Encoder::new();
    for block in bytes.chunks(XERIAL_BLOCK) {
        let compressed = encoder
            .compress_vec(block)
            .expect("a block is far below what snappy takes");
        out.extend((compressed.len() as u32).to_be_bytes());
        out.extend(compressed);
    }
    out
}

#[cold]
fn damaged(error: &dyn std::fmt::Display) -> BatchError {
    BatchError::Corrupt(format!("records cannot be decompressed: {error}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Codec; 5] = [
        Codec::None,
        Codec::Gzip,
        Codec::Snappy,
        Codec::Lz4,
        Codec::Zstd,
    ];

    #[test]
    fn what_was_compressed_comes_back() {
        for codec in ALL {
            for length in [0usize, 1, 100, 32 << 10, 200_000] {
                let bytes: Vec<u8> = (0..length).map(|at| (at * at / 7) as u8).collect();
                let compressed = codec.compress(&bytes);
                assert_eq!(codec.decompress(&compressed, length).unwrap(), bytes);
            }
        }
    }

    #[test]
    fn no_more_is_decompressed_than_allowed() {
        for codec in ALL {
            let compressed = codec.compress(&vec![0; 1 << 20]);
            let error = codec.decompress(&compressed, 1000).unwrap_err();
            assert_eq!(error, BatchError::TooLarge { bytes_max: 1000 }, "{codec:?}");
        }
    }

    #[test]
    fn raw_snappy_is_understood() {
        let raw = snap::raw::Encoder::new()
            .compress_vec(b"one block")
            .unwrap();
        assert_eq!(Codec::Snappy.decompress(&raw, 100).unwrap(), b"one block");
        // A block that says it holds four gigabytes.
        let lie = [0xff, 0xff, 0xff, 0xff, 0x0f, 0];
        assert!(Codec::Snappy.decompress(&lie, usize::MAX).is_err());
    }

    #[test]
    fn numbers_and_names() {
        for codec in ALL {
            assert_eq!(Codec::of_number(codec.number()), Some(codec));
            let name = format!("{codec:?}").to_lowercase();
            assert_eq!(Codec::of_name(&name), Some(codec));
        }
        assert_eq!(Codec::of_number(5), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, xerial: bool) {
            let mut input = if xerial { snap_blocks(b"")} else { Vec::new() };
            input.extend(bytes);
            for codec in ALL {
                let _ = codec.decompress(&input, 10_000);
            }
        }
    }
}
