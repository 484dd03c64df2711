//! The manifest: what the log consists of, as of the last time it was written.
//!
//! ```text
//! file = "MPLOGMAN" · version:u32 · crc:u32 · len:u32 · JSON          the CRC-32C is that of the version and the JSON
//! ```
//!
//! It is *not* on the path of an append. It lists the topics, every segment with its length, and for each partition how
//! far it was durable; all of it is a lower bound that recovery extends by reading what lies behind. It is written when
//! topics change, when segments are replaced or deleted, after a number of appended bytes, and at a clean end.
//!
//! Two copies are kept, each replaced by rename, so that damage to one does not matter; the higher generation counts.
//! Files that the older copy names are removed only after both were written.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{
    Corruption, Disk, Durability, Epoch, LogError, Offset, OpenMode, TopicConfig, TopicId,
    disk::read_all, producers::Producer, segment::Summary,
};

const MAGIC: &[u8; 8] = b"MPLOGMAN";
const VERSION: u32 = 1;
const HEADER_LEN: usize = 20;
const COPIES: [&str; 2] = ["manifest.a", "manifest.b"];

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// Grows by one with each writing.
    pub generation: u64,
    /// Written by a clean end: nothing lies behind what is listed.
    pub clean: bool,
    pub durability: Durability,
    /// Every epoch up to here is sealed (or was skipped), and all of its parts lie within the listed lengths.
    pub sealed: Epoch,
    pub sealed_time: i64,
    pub next_topic: TopicId,
    pub topics: Vec<TopicEntry>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TopicEntry {
    pub id: TopicId,
    pub config: TopicConfig,
    /// Of a derived topic: durably complete through here.
    pub frontier: Epoch,
    pub partitions: Vec<PartitionEntry>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PartitionEntry {
    pub start: Offset,
    pub end: Offset,
    pub last_epoch: Epoch,
    /// In order and without gaps. The last one may still be growing.
    pub segments: Vec<SegmentEntry>,
    /// What the batches before `end` said of their producers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub producers: Vec<Producer>,
    /// Nothing behind what is listed counts: the partition was poisoned.
    pub cut: bool,
    /// Recovery found damage behind what is listed; the partition is refused until the loss is accepted.
    #[serde(default)]
    pub damage: Option<Corruption>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SegmentEntry {
    pub base: Offset,
    pub generation: u32,
    pub end: Offset,
    pub len: u64,
    /// First and last.
    pub epochs: (Epoch, Epoch),
    pub times: (i64, i64),
    pub rowtimes: (i64, i64),
    #[serde(default)]
    pub merged: bool,
    #[serde(default)]
    pub compacted: bool,
}

impl SegmentEntry {
    pub fn new(base: Offset, generation: u32, summary: &Summary) -> Self {
        SegmentEntry {
            base,
            generation,
            end: summary.end,
            len: summary.len,
            epochs: (summary.first_epoch, summary.last_epoch),
            times: (summary.first_time, summary.last_time),
            rowtimes: (summary.rowtime_min, summary.rowtime_max),
            merged: summary.merged,
            compacted: summary.compacted,
        }
    }

    pub fn summary(&self) -> Summary {
        Summary {
            len: self.len,
            end: self.end,
            first_epoch: self.epochs.0,
            last_epoch: self.epochs.1,
            first_time: self.times.0,
            last_time: self.times.1,
            rowtime_min: self.rowtimes.0,
            rowtime_max: self.rowtimes.1,
            merged: self.merged,
            compacted: self.compacted,
        }
    }
}

impl Manifest {
    pub fn new(durability: Durability) -> Self {
        Manifest {
            generation: 0,
            clean: false,
            durability,
            sealed: Epoch::ZERO,
            sealed_time: i64::MIN,
            next_topic: TopicId(1),
            topics: Vec::new(),
        }
    }

    /// Writes both copies, durably.
    pub fn write(&self, disk: &dyn Disk, dir: &Path) -> Result<(), LogError> {
        let json = serde_json::to_vec(self).expect("a manifest is plain data");
        let mut header = Vec::with_capacity(HEADER_LEN);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&checksum(VERSION, &json).to_le_bytes());
        header.extend_from_slice(&(json.len() as u32).to_le_bytes());
        for copy in COPIES {
            let path = dir.join(copy);
            let new = dir.join(format!("{copy}.new"));
            let file = disk
                .open(&new, OpenMode::Create)
                .map_err(|e| LogError::io("create", &new, e))?;
            file.write_at(0, &[&header, &json])
                .map_err(|e| LogError::io("write", &new, e))?;
            file.sync().map_err(|e| LogError::io("sync", &new, e))?;
            disk.rename(&new, &path)
                .map_err(|e| LogError::io("rename", &new, e))?;
            disk.sync_dir(dir)
                .map_err(|e| LogError::io("sync", dir, e))?;
        }
        Ok(())
    }

    /// The newest readable copy; `None` in a directory that never had one. Damage to one copy alone is given along.
    pub fn read(
        disk: &dyn Disk,
        dir: &Path,
    ) -> Result<(Option<Manifest>, Vec<LogError>), LogError> {
        let mut newest: Option<Manifest> = None;
        let mut damage = Vec::new();
        for copy in COPIES {
            let path = dir.join(copy);
            let bytes = match read_all(disk, &path) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => {
                    damage.push(LogError::io("read", &path, error));
                    continue;
                }
            };
            match Manifest::decode(&bytes, &path) {
                Ok(manifest) => {
                    if newest
                        .as_ref()
                        .is_none_or(|n| n.generation < manifest.generation)
                    {
                        newest = Some(manifest);
                    }
                }
                Err(error @ LogError::FormatVersion { .. }) => return Err(error),
                Err(error) => damage.push(error),
            }
        }
        match (newest, damage.pop()) {
            (None, Some(error)) => Err(error),
            (newest, error) => Ok((newest, error.into_iter().collect())),
        }
    }

    fn decode(bytes: &[u8], path: &Path) -> Result<Manifest, LogError> {
        let damaged = |reason: String| {
            LogError::from(Corruption {
                file: path.to_owned(),
                position: 0,
                offset: Offset::ZERO,
                epoch: Epoch::ZERO,
                reason,
            })
        };
        let word = |at: usize| {
            bytes
                .get(at..at + 4)
                .and_then(|b| b.first_chunk())
                .map(|b| u32::from_le_bytes(*b))
                .ok_or_else(|| damaged("the manifest is cut off".into()))
        };
        let (version, crc, len) = (word(8)?, word(12)?, word(16)?);
        let json = &bytes[HEADER_LEN..];
        if &bytes[..8] != MAGIC || json.len() != len as usize || checksum(version, json) != crc {
            return Err(damaged("the manifest does not match its checksum".into()));
        }
        if version != VERSION {
            return Err(LogError::FormatVersion {
                file: path.to_owned(),
                found: version,
                known: VERSION,
            });
        }
        serde_json::from_slice(json).map_err(|error| damaged(error.to_string()))
    }
}

fn checksum(version: u32, json: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&version.to_le_bytes()), json)
}
