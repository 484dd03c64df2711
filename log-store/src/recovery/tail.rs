//! What is found of a partition: the valid batches behind the manifest's knowledge, and where they break off.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;

use crate::{
    Corruption, Disk, Epoch, LogError, Offset, OpenMode, PartitionId, TopicId, TopicKind,
    batch::{BatchHeader, Parsed, parse},
    manifest::{PartitionEntry, TopicEntry},
    partition::dir_name,
    segment::{SEGMENT_HEADER_LEN, Segment, SegmentId, next_header, parse_file_name},
};

/// A valid batch of the tail.
pub(super) struct TailBatch {
    pub header: BatchHeader,
    /// The whole batch as it lies in its file.
    pub bytes: Bytes,
}

/// Why the tail ends.
pub(super) enum Stop {
    /// After the last batch there is nothing.
    End,
    /// There is something that is not a valid batch.
    Fault {
        file: PathBuf,
        position: u64,
        reason: String,
        /// Its header, if at least that is valid.
        header: Option<BatchHeader>,
    },
}

pub(super) struct FoundPartition {
    pub topic: TopicId,
    pub id: PartitionId,
    pub kind: TopicKind,
    pub dir: PathBuf,
    pub entry: PartitionEntry,
    /// In order, without gaps, from the entry's end on.
    pub batches: Vec<TailBatch>,
    pub stop: Stop,
    /// Headers found behind the break.
    orphans: Vec<BatchHeader>,
    /// The first offset named by a file behind the break.
    next_base: Option<Offset>,
    /// Files behind those that the manifest lists, in order.
    pub tail_files: Vec<(Offset, u32)>,
    /// The last listed file is longer than the manifest says.
    pub excess: bool,
    pub damage: Option<Corruption>,
    /// The damage lies in what the manifest lists.
    pub listed_damage: bool,
}

impl FoundPartition {
    pub fn scan(
        disk: &Arc<dyn Disk>,
        root: &Path,
        topic: &TopicEntry,
        id: PartitionId,
        entry: &PartitionEntry,
        clean: bool,
    ) -> Result<Self, LogError> {
        let dir = root.join(dir_name(topic.id, id));
        let mut found = FoundPartition {
            topic: topic.id,
            id,
            kind: topic.config.kind,
            entry: entry.clone(),
            batches: Vec::new(),
            stop: Stop::End,
            orphans: Vec::new(),
            next_base: None,
            tail_files: Vec::new(),
            excess: false,
            damage: None,
            listed_damage: false,
            dir,
        };
        let names = match disk.list(&found.dir) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(LogError::io("list", &found.dir, error)),
        };
        let listed_last = entry.segments.last().map(|segment| segment.base);
        found.tail_files = names
            .iter()
            .filter_map(|name| parse_file_name(&name.name))
            // Higher generations are rewritten files, and count only once the manifest lists them.
            .filter(|(_, generation)| *generation == 0)
            .filter(|(base, _)| listed_last.is_none_or(|last| *base > last))
            .collect();
        found.tail_files.sort_unstable();
        found.check_listed(&**disk)?;
        if found.listed_damage {
            return Ok(found);
        }
        if clean || entry.cut {
            // What lies behind does not count.
            found.tail_files.clear();
            return Ok(found);
        }
        found.scan_tail(disk)?;
        Ok(found)
    }

    /// Every listed file is there and long enough.
    fn check_listed(&mut self, disk: &dyn Disk) -> Result<(), LogError> {
        let count = self.entry.segments.len();
        for (index, segment) in self.entry.segments.iter().enumerate() {
            let path = Segment::path_of(&self.dir, segment.base, segment.generation);
            let len = match disk.open(&path, OpenMode::Read).and_then(|file| file.len()) {
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
                Err(error) => return Err(LogError::io("open", &path, error)),
            };
            if len < segment.len {
                self.listed_damage = true;
                self.damage.get_or_insert(Corruption {
                    file: path,
                    position: len,
                    offset: segment.base,
                    epoch: segment.epochs.1,
                    reason: "the file is missing or shorter than recorded".into(),
                });
            } else if index + 1 == count {
                self.excess = len > segment.len;
            }
        }
        Ok(())
    }

    fn scan_tail(&mut self, disk: &Arc<dyn Disk>) -> Result<(), LogError> {
        let id_of = |base, generation| SegmentId {
            topic: self.topic,
            partition: self.id,
            base,
            generation,
        };
        let listed = self
            .entry
            .segments
            .last()
            .map(|last| (id_of(last.base, last.generation), last.len, false));
        let behind = self
            .tail_files
            .iter()
            .map(|&(base, generation)| (id_of(base, generation), SEGMENT_HEADER_LEN, true));
        let files: Vec<(SegmentId, u64, bool)> = listed.into_iter().chain(behind).collect();
        let mut broken = false;
        for (id, start, is_behind) in files {
            let path = Segment::path_of(&self.dir, id.base, id.generation);
            if is_behind && id.base < self.end() {
                // Left over from an earlier recovery, which wrote its batches anew.
                continue;
            }
            let bytes = read_file(&**disk, &path)?;
            if broken || is_behind && id.base != self.end() {
                // A file begins only when everything before it was durable.
                self.next_base.get_or_insert(id.base);
                if !broken {
                    broken = true;
                    self.break_at(&path, 0, "batches before this file are missing", None);
                }
                self.collect_orphans(&bytes, (SEGMENT_HEADER_LEN as usize).min(bytes.len()));
                continue;
            }
            if let Err(error) = id.check(&bytes, &path) {
                // A file that was being made when the end came; or, if batches stand in it, damage.
                if matches!(error, LogError::FormatVersion { .. }) {
                    return Err(error);
                }
                broken = true;
                self.break_at(&path, 0, "the segment header is not valid", None);
                self.collect_orphans(&bytes, (SEGMENT_HEADER_LEN as usize).min(bytes.len()));
                continue;
            }
            broken = self.scan_file(&path, &bytes, start as usize);
        }
        Ok(())
    }

    /// Takes the valid batches of a file; true if they break off before its end.
    fn scan_file(&mut self, path: &Path, bytes: &Bytes, start: usize) -> bool {
        let mut at = start;
        loop {
            let (reason, header) = match parse(bytes, at, true) {
                Parsed::End => return false,
                Parsed::Batch(header)
                    if header.base_offset == self.end() && header.epoch >= self.last_epoch() =>
                {
                    let length = header.length() as usize;
                    self.batches.push(TailBatch {
                        bytes: bytes.slice(at..at + length),
                        header,
                    });
                    at += length;
                    continue;
                }
                Parsed::Batch(header) => ("the batch is out of order", Some(header)),
                Parsed::Fault(reason, header) => (reason, header),
            };
            self.break_at(path, at as u64, reason, header);
            self.collect_orphans(bytes, at + 1);
            return true;
        }
    }

    fn break_at(&mut self, file: &Path, position: u64, reason: &str, header: Option<BatchHeader>) {
        self.stop = Stop::Fault {
            file: file.to_owned(),
            position,
            reason: reason.into(),
            header,
        };
    }

    fn collect_orphans(&mut self, bytes: &[u8], from: usize) {
        let mut at = from;
        while let Some((found, header)) = next_header(bytes, at) {
            at = found + 8;
            self.orphans.push(header);
        }
    }

    /// The offset behind the last valid batch.
    pub fn end(&self) -> Offset {
        self.batches
            .last()
            .map_or(self.entry.end, |batch| batch.header.end_offset())
    }

    pub fn last_epoch(&self) -> Epoch {
        self.batches
            .last()
            .map_or(self.entry.last_epoch, |batch| batch.header.epoch)
    }

    /// Every header behind the manifest's knowledge, whether or not its batch can be used.
    pub fn traces(&self) -> impl Iterator<Item = &BatchHeader> {
        let broken = match &self.stop {
            Stop::Fault { header, .. } => header.as_ref(),
            Stop::End => None,
        };
        self.batches
            .iter()
            .map(|batch| &batch.header)
            .chain(broken)
            .chain(&self.orphans)
    }

    /// Whether something that was durable for certain is missing.
    pub fn find_damage(&mut self, sealed: Epoch, strict: bool) {
        if self.damage.is_some() {
            return;
        }
        if let Some(damage) = &self.entry.damage {
            // As an earlier start found it; the evidence was left in place.
            self.damage = Some(damage.clone());
            return;
        }
        let end = self.end();
        let strict = strict && self.kind == TopicKind::Ingested;
        let lost_orphans = self
            .orphans
            .iter()
            .any(|orphan| orphan.group_base() > end || orphan.epoch <= sealed);
        let lost_batch = match &self.stop {
            Stop::Fault {
                header: Some(header),
                ..
            } => header.epoch <= sealed,
            _ => false,
        };
        let lost_file = self.next_base.is_some_and(|base| base > end);
        if lost_file || strict && (lost_orphans || lost_batch) {
            self.damage = Some(self.corruption_at_stop());
        }
    }

    pub fn corruption_at_stop(&self) -> Corruption {
        let (file, position, reason) = match &self.stop {
            Stop::Fault {
                file,
                position,
                reason,
                ..
            } => (file.clone(), *position, reason.clone()),
            Stop::End => (self.dir.clone(), 0, "batches are missing".into()),
        };
        Corruption {
            file,
            position,
            offset: self.end(),
            epoch: self.last_epoch(),
            reason,
        }
    }
}

fn read_file(disk: &dyn Disk, path: &Path) -> Result<Bytes, LogError> {
    disk.open(path, OpenMode::Read)
        .and_then(|file| {
            let len = file.len()?;
            file.read(0, len as usize)
        })
        .map_err(|error| LogError::io("read", path, error))
}
