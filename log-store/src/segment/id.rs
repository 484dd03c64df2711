//! The header of a segment file: whose it is.
//!
//! ```text
//! header  = "MPLOGSEG" · version:u32 · crc:u32 · topic:u32 · partition:u32 · base_offset:u64 · generation:u32 · zeros to 64
//! ```

use std::path::Path;

use crate::{Corruption, Epoch, LogError, Offset, PartitionId, TopicId};

pub(crate) const SEGMENT_HEADER_LEN: u64 = 64;
const MAGIC: &[u8; 8] = b"MPLOGSEG";
const VERSION: u32 = 1;

/// The name of a segment file.
pub(crate) fn file_name(base: Offset, generation: u32) -> String {
    format!("{:020}.{generation}.seg", base.0)
}

/// The opposite of [`file_name`].
pub(crate) fn parse_file_name(name: &str) -> Option<(Offset, u32)> {
    let (base, generation) = name.strip_suffix(".seg")?.split_once('.')?;
    Some((Offset(base.parse().ok()?), generation.parse().ok()?))
}

/// Whose segment a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentId {
    pub topic: TopicId,
    pub partition: PartitionId,
    pub base: Offset,
    pub generation: u32,
}

impl SegmentId {
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_LEN as usize] {
        let mut bytes = [0u8; SEGMENT_HEADER_LEN as usize];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.topic.0.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.partition.0.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.base.0.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.generation.to_le_bytes());
        let crc = Self::crc(&bytes);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn crc(bytes: &[u8; SEGMENT_HEADER_LEN as usize]) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), &bytes[16..])
    }

    /// Checks the header of a segment file against what the file should be.
    pub fn check(&self, bytes: &[u8], file: &Path) -> Result<(), LogError> {
        let damaged = |reason: &str| {
            Err(LogError::from(Corruption {
                file: file.to_owned(),
                position: 0,
                offset: self.base,
                epoch: Epoch::ZERO,
                reason: reason.into(),
            }))
        };
        let Some(header) = bytes.first_chunk::<{ SEGMENT_HEADER_LEN as usize }>() else {
            return damaged("the segment header is cut off");
        };
        let word = |at: usize| {
            u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        if &header[..8] != MAGIC || word(12) != Self::crc(header) {
            return damaged("the segment header does not match its checksum");
        }
        if word(8) != VERSION {
            return Err(LogError::FormatVersion {
                file: file.to_owned(),
                found: word(8),
                known: VERSION,
            });
        }
        if *header != self.encode() {
            return damaged("the segment header names another segment");
        }
        Ok(())
    }
}
