//! A segment: one file of consecutive batches of a partition.
//!
//! ```text
//! file = header[64] · batch*                                                named  <base offset>.<generation>.seg
//! ```
//!
//! Segments are append-only and closed for good when the next one begins. Rewriting one (merging, compaction, recovery)
//! makes a new file with a higher generation; the manifest says which files count.
//!
//! `len` is the *published* length: readers look no further, whatever the file holds behind it.

mod id;
mod scan;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use crate::{
    Corruption, Disk, DiskFile, Epoch, LogError, Offset, OpenMode, PartitionId, StoredBatch,
    TopicId, batch::BatchHeader, index::Index, manifest::SegmentEntry,
};

pub(crate) use id::{SEGMENT_HEADER_LEN, SegmentId, file_name, parse_file_name};
pub use scan::scan_batches;
pub(crate) use scan::{Headers, next_header};

/// What is known of a segment without reading it; mirrors its entry in the manifest.
#[derive(Clone, Debug)]
pub(crate) struct Summary {
    /// Bytes published.
    pub len: u64,
    /// The first offset after the segment.
    pub end: Offset,
    pub first_epoch: Epoch,
    pub last_epoch: Epoch,
    pub first_time: i64,
    pub last_time: i64,
    pub rowtime_min: i64,
    pub rowtime_max: i64,
    /// Small batches were already merged.
    pub merged: bool,
    /// Compaction has seen these rows.
    pub compacted: bool,
}

impl Summary {
    pub fn empty(base: Offset) -> Self {
        Summary {
            len: SEGMENT_HEADER_LEN,
            end: base,
            first_epoch: Epoch::ZERO,
            last_epoch: Epoch::ZERO,
            first_time: 0,
            last_time: 0,
            rowtime_min: i64::MAX,
            rowtime_max: i64::MIN,
            merged: false,
            compacted: false,
        }
    }

    pub fn add(&mut self, position: u64, header: &BatchHeader) {
        if self.len == SEGMENT_HEADER_LEN {
            self.first_epoch = header.epoch;
            self.first_time = header.epoch_time;
        }
        self.len = position + header.length();
        self.end = header.end_offset();
        self.last_epoch = header.epoch;
        self.last_time = header.epoch_time;
        self.rowtime_min = self.rowtime_min.min(header.rowtime_min);
        self.rowtime_max = self.rowtime_max.max(header.rowtime_max);
    }
}

pub(crate) struct Segment {
    pub id: SegmentId,
    pub path: PathBuf,
    disk: Arc<dyn Disk>,
    /// Opened when first needed, and again for writing if that is asked for later.
    file: Mutex<Option<(OpenMode, Arc<dyn DiskFile>)>>,
    summary: RwLock<Summary>,
    /// Built when first needed; then kept up.
    index: RwLock<Option<Index>>,
}

impl Segment {
    pub fn path_of(dir: &Path, base: Offset, generation: u32) -> PathBuf {
        dir.join(file_name(base, generation))
    }

    /// Makes a new file with its header; neither is durable yet.
    pub fn create(
        disk: &Arc<dyn Disk>,
        dir: &Path,
        id: SegmentId,
    ) -> Result<Arc<Segment>, LogError> {
        let path = Self::path_of(dir, id.base, id.generation);
        let file = disk
            .open(&path, OpenMode::Create)
            .map_err(|e| LogError::io("create", &path, e))?;
        if let Err(error) = file.write_at(0, &[&id.encode()]) {
            let _ = disk.remove(&path);
            return Err(LogError::io("write", &path, error));
        }
        Ok(Arc::new(Segment {
            id,
            path,
            disk: disk.clone(),
            file: Mutex::new(Some((OpenMode::Write, file))),
            summary: RwLock::new(Summary::empty(id.base)),
            index: RwLock::new(Some(Index::default())),
        }))
    }

    /// A segment that the manifest lists; nothing is read yet.
    pub fn from_entry(
        disk: &Arc<dyn Disk>,
        dir: &Path,
        topic: TopicId,
        partition: PartitionId,
        entry: &SegmentEntry,
    ) -> Arc<Segment> {
        Arc::new(Segment {
            id: SegmentId {
                topic,
                partition,
                base: entry.base,
                generation: entry.generation,
            },
            path: Self::path_of(dir, entry.base, entry.generation),
            disk: disk.clone(),
            file: Mutex::new(None),
            summary: RwLock::new(entry.summary()),
            index: RwLock::new(None),
        })
    }

    pub fn entry(&self) -> SegmentEntry {
        SegmentEntry::new(self.id.base, self.id.generation, &self.summary.read())
    }

    pub fn summary(&self) -> Summary {
        self.summary.read().clone()
    }

    pub fn end(&self) -> Offset {
        self.summary.read().end
    }

    pub fn len(&self) -> u64 {
        self.summary.read().len
    }

    pub fn update_summary(&self, change: impl FnOnce(&mut Summary)) {
        change(&mut self.summary.write());
    }

    /// The file, opened for reading if it was not open yet (the header is then verified).
    pub fn file(&self) -> Result<Arc<dyn DiskFile>, LogError> {
        self.open_as(OpenMode::Read)
    }

    /// The file, opened for writing: for the active segment only.
    pub fn file_for_append(&self) -> Result<Arc<dyn DiskFile>, LogError> {
        self.open_as(OpenMode::Write)
    }

    /// Gives back the descriptor of a segment that has been closed; readers open it anew.
    pub fn end_appends(&self) {
        *self.file.lock() = None;
    }

    fn open_as(&self, mode: OpenMode) -> Result<Arc<dyn DiskFile>, LogError> {
        let mut slot = self.file.lock();
        if let Some((opened, file)) = &*slot
            && (*opened == OpenMode::Write || mode == OpenMode::Read)
        {
            return Ok(file.clone());
        }
        let file = self
            .disk
            .open(&self.path, mode)
            .map_err(|e| LogError::io("open", &self.path, e))?;
        let len = file
            .len()
            .map_err(|e| LogError::io("read", &self.path, e))?;
        let head = file
            .read(0, len.min(SEGMENT_HEADER_LEN) as usize)
            .map_err(|e| LogError::io("read", &self.path, e))?;
        self.id.check(&head, &self.path)?;
        *slot = Some((mode, file.clone()));
        Ok(file)
    }

    /// Makes batches visible to readers that start from here.
    pub fn publish(&self, batches: &[(u64, BatchHeader)]) {
        let mut index = self.index.write();
        let mut summary = self.summary.write();
        for (position, header) in batches {
            if let Some(index) = &mut *index {
                index.push(*position, header);
            }
            summary.add(*position, header);
        }
    }

    fn corruption(&self, position: u64, offset: Offset, epoch: Epoch, reason: &str) -> LogError {
        LogError::from(Corruption {
            file: self.path.clone(),
            position,
            offset,
            epoch,
            reason: reason.into(),
        })
    }

    /// The published bytes from `position` on.
    fn window(&self, position: u64) -> Result<Bytes, LogError> {
        // In this order: rows are published only after the file that holds them is in place.
        let len = self.len();
        let file = self.file()?;
        file.read(position, len.saturating_sub(position) as usize)
            .map_err(|error| match error.kind() {
                std::io::ErrorKind::UnexpectedEof => self.corruption(
                    position,
                    self.id.base,
                    Epoch::ZERO,
                    "the file is shorter than recorded",
                ),
                _ => LogError::io("read", &self.path, error),
            })
    }

    /// Looks a position up in the index, building it if need be.
    fn seek(&self, find: impl Fn(&Index) -> Option<u64>) -> Result<Option<u64>, LogError> {
        if let Some(index) = &*self.index.read() {
            return Ok(find(index));
        }
        // Publishing waits while the index is built, so none of its batches is missed or taken twice.
        let mut slot = self.index.write();
        if let Some(index) = &*slot {
            return Ok(find(index));
        }
        let mut index = Index::default();
        let window = self.window(SEGMENT_HEADER_LEN)?;
        let mut headers = Headers::new(self, SEGMENT_HEADER_LEN, window);
        while let Some(next) = headers.next() {
            match next {
                Ok((position, header)) => index.push(position, &header),
                // It is reported to the reader who comes to it; what lies before stays readable.
                Err(LogError::Corruption(damage)) => {
                    index.push_damage(damage.position, damage.offset);
                }
                Err(error) => return Err(error),
            }
        }
        let found = find(&index);
        *slot = Some(index);
        Ok(found)
    }

    /// All headers from a position on, for scans that need no bodies.
    pub fn headers_from(&self, position: u64) -> Result<Headers<'_>, LogError> {
        Ok(Headers::new(self, position, self.window(position)?))
    }

    /// Batches that hold rows at or after `from` with epochs up to `up_to`, until `bytes_max` is reached.
    ///
    /// Returns whether the segment was exhausted (rather than a bound reached).
    pub fn read(
        &self,
        from: Offset,
        bytes_max: usize,
        up_to: Epoch,
        out: &mut Vec<StoredBatch>,
        bytes: &mut usize,
    ) -> Result<bool, LogError> {
        let Some(start) = self.seek(|index| index.by_offset(from))? else {
            return Ok(true);
        };
        let mut headers = self.headers_from(start)?;
        while let Some(next) = headers.next() {
            let (position, header) = match next {
                Ok(found) => found,
                // What was read before the damage is handed out first.
                Err(_) if !out.is_empty() => return Ok(false),
                Err(error) => return Err(error),
            };
            if header.end_offset() <= from {
                continue;
            }
            let batch = match headers.batch(position, &header) {
                Ok(batch) => batch,
                Err(_) if !out.is_empty() => return Ok(false),
                Err(error) => return Err(error),
            };
            if !push_visible(batch, from, up_to, out, bytes) {
                return Ok(false);
            }
            if *bytes >= bytes_max {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The first offset in this segment whose epoch is later; `None` if all are earlier.
    pub fn offset_after_epoch(&self, epoch: Epoch) -> Result<Option<Offset>, LogError> {
        let Some(start) = self.seek(|index| index.after_epoch(epoch))? else {
            return Ok(None);
        };
        let mut headers = self.headers_from(start)?;
        while let Some(next) = headers.next() {
            let (position, header) = next?;
            if header.epoch > epoch {
                if header.flags & crate::batch::FLAG_RUNS == 0 {
                    return Ok(Some(header.base_offset));
                }
                let batch = headers.batch(position, &header)?;
                let row = batch
                    .extension
                    .as_ref()
                    .map_or(0, |extension| extension.rows_up_to(epoch));
                // The runs that follow may have lost their rows to compaction: then there is none in this batch.
                if row < batch.rows {
                    return Ok(Some(batch.offset_of(row)));
                }
            }
        }
        Ok(None)
    }

    /// The base offset of the first batch with rows at or after `from` that reaches a rowtime; `None` if none does.
    pub fn offset_of_rowtime(
        &self,
        rowtime: i64,
        from: Offset,
    ) -> Result<Option<Offset>, LogError> {
        let either = |index: &Index| Some(index.by_rowtime(rowtime)?.max(index.by_offset(from)?));
        let Some(start) = self.seek(either)? else {
            return Ok(None);
        };
        let mut headers = self.headers_from(start)?;
        while let Some(next) = headers.next() {
            let (_, header) = next?;
            if header.rowtime_max >= rowtime && header.end_offset() > from {
                return Ok(Some(header.base_offset));
            }
        }
        Ok(None)
    }

    /// The largest rowtime of batches with rows at or after `from`, and the base offset of the first one that has it.
    pub fn max_rowtime(&self, from: Offset) -> Result<Option<(i64, Offset)>, LogError> {
        let Some(start) = self.seek(|index| index.by_offset(from))? else {
            return Ok(None);
        };
        let mut max: Option<(i64, Offset)> = None;
        let mut headers = self.headers_from(start)?;
        while let Some(next) = headers.next() {
            let (_, header) = next?;
            if header.end_offset() > from && max.is_none_or(|(max, _)| max < header.rowtime_max) {
                max = Some((header.rowtime_max, header.base_offset));
            }
        }
        Ok(max)
    }

    /// The distinct epochs after `epoch` of rows at or after `from`, with their times.
    pub fn epochs_after(
        &self,
        epoch: Epoch,
        from: Offset,
        out: &mut Vec<(Epoch, i64)>,
    ) -> Result<(), LogError> {
        let Some(start) = self.seek(|index| index.after_epoch(epoch))? else {
            return Ok(());
        };
        let mut headers = self.headers_from(start)?;
        while let Some(next) = headers.next() {
            let (position, header) = next?;
            if header.epoch <= epoch || header.end_offset() <= from {
                continue;
            }
            let mut add = |found: Epoch, time: i64| {
                if found > epoch && out.last().is_none_or(|(last, _)| *last < found) {
                    out.push((found, time));
                }
            };
            if header.flags & crate::batch::FLAG_RUNS == 0 {
                add(header.epoch, header.epoch_time);
            } else {
                let batch = headers.batch(position, &header)?;
                for run in batch.epochs() {
                    let last = run.rows.end.saturating_sub(1);
                    if from <= header.base_offset || batch.offset_of(last) >= from {
                        add(run.epoch, run.time);
                    }
                }
            }
        }
        Ok(())
    }
}

/// Adds a batch cut to what was asked for; false when it lies behind the epoch bound.
pub(crate) fn push_visible(
    mut batch: StoredBatch,
    from: Offset,
    up_to: Epoch,
    out: &mut Vec<StoredBatch>,
    bytes: &mut usize,
) -> bool {
    let beyond = batch.epoch > up_to;
    batch.restrict(from, up_to);
    if !batch.visible.is_empty() {
        *bytes += batch.body.len();
        out.push(batch);
    }
    !beyond
}
