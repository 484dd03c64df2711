//! Compression of bodies, which log-store does itself so that one codec covers every body kind.

use std::io;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// How a body is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Compression {
    /// As it is; an Arrow body is then read without copying.
    #[default]
    None = 0,
    /// LZ4 block: cheap both ways.
    Lz4 = 1,
    /// Zstandard at its fast level: smaller.
    Zstd = 2,
}

/// Readers get bodies that begin at a multiple of this in memory, as Arrow likes them.
pub(crate) const ALIGNMENT: usize = 64;
const ZSTD_LEVEL: i32 = 1;

impl Compression {
    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Compression::None,
            1 => Compression::Lz4,
            2 => Compression::Zstd,
            _ => return None,
        })
    }

    /// Compresses `plain`, or gives back `Compression::None` when that does not make it smaller.
    pub(crate) fn pack(self, plain: &Bytes) -> (Compression, Bytes) {
        let packed = match self {
            Compression::None => return (self, plain.clone()),
            Compression::Lz4 => Ok(lz4_flex::block::compress(plain)),
            Compression::Zstd => zstd::bulk::compress(plain, ZSTD_LEVEL),
        };
        match packed {
            Ok(packed) if packed.len() < plain.len() => (self, packed.into()),
            _ => (Compression::None, plain.clone()),
        }
    }

    /// The opposite of [`Compression::pack`]; `plain_len` comes from a verified header. The result is aligned.
    pub(crate) fn unpack(self, stored: &Bytes, plain_len: usize) -> io::Result<Bytes> {
        if self == Compression::None {
            return Ok(stored.clone());
        }
        let mut buffer = vec![0u8; plain_len + ALIGNMENT];
        let start = buffer.as_ptr().align_offset(ALIGNMENT);
        // `align_offset` may give up in principle; an unaligned result is correct, only slower.
        let start = if start < ALIGNMENT { start } else { 0 };
        let target = &mut buffer[start..start + plain_len];
        let written = match self {
            Compression::None => unreachable!("handled above"),
            Compression::Lz4 => lz4_flex::block::decompress_into(stored, target)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?,
            Compression::Zstd => zstd::bulk::decompress_to_buffer(stored, target)?,
        };
        if written != plain_len {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "decompressed length differs from the recorded one",
            ));
        }
        Ok(Bytes::from(buffer).slice(start..start + plain_len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_unpacks_aligned() {
        let plain = Bytes::from(b"the mill turns, the pond stands still; ".repeat(50));
        for compression in [Compression::None, Compression::Lz4, Compression::Zstd] {
            let (used, stored) = compression.pack(&plain);
            assert_eq!(used, compression);
            let back = used.unpack(&stored, plain.len()).unwrap();
            assert_eq!(back, plain);
            if used != Compression::None {
                assert!(stored.len() < plain.len() / 4);
                assert_eq!(back.as_ptr() as usize % ALIGNMENT, 0);
            }
        }
    }

    #[test]
    fn what_does_not_shrink_stays_as_it_is() {
        let plain = Bytes::from_static(b"x");
        assert_eq!(Compression::Lz4.pack(&plain), (Compression::None, plain));
    }
}
