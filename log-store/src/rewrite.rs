//! Writing closed segments anew: runs of small batches become one, and compaction leaves the last row of each key.
//!
//! ```text
//!  closed segments ──► new file (synced) ──► readers switch ──► manifest ──► old files removed
//!                                            (those of the in-memory tail too, if rows went)
//! ```
//!
//! Nothing an append needs is held while this runs. A crash before the manifest leaves a file that nobody lists; after
//! it, old files that nobody lists: the next start removes either. Rows keep their offsets and their epochs.
//!
//! [`BodyKind::RAW`] bodies stay by themselves: they are never merged, and what compaction leaves of one keeps the base
//! offset and the last offset that it was appended with, so that offsets within the body stay right.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;

use crate::{
    Body, BodyKind, Compression, DiskFile, Epoch, LogConfig, LogError, NewBody, Offset,
    StoredBatch,
    batch::{BatchHeader, FLAG_LAST_OF_EPOCH},
    extension::{EpochRun, Extension},
    log::Shared,
    maintenance::MaintenanceReport,
    partition::{Env, Layout, PartitionInner},
    segment::{SEGMENT_HEADER_LEN, Segment, SegmentId},
};

/// A merged batch takes no more rows than this.
const ROWS_MAX: u32 = 64 << 10;
const WRITE_BYTES: u64 = 8 << 20;

/// Which rows compaction keeps.
pub(crate) struct Survivors {
    /// The last offset of each key in the segments not compacted before. Other keys have none of these.
    last: HashMap<Vec<u8>, Offset>,
    /// Tombstones of epochs before this time are forgotten.
    tombstone_horizon: i64,
}

impl Survivors {
    /// Takes the keys of segments in order, until the map holds `bytes_max`; gives how many segments it covers.
    pub fn of(
        env: &Env,
        segments: &[Arc<Segment>],
        tombstone_horizon: i64,
        bytes_max: usize,
    ) -> Result<(Self, usize), LogError> {
        let mut last: HashMap<Vec<u8>, Offset> = HashMap::new();
        let mut bytes = 0;
        let mut covered = 0;
        for segment in segments {
            let mut headers = segment.headers_from(SEGMENT_HEADER_LEN)?;
            while let Some(next) = headers.next() {
                let (position, header) = next?;
                let batch = headers.batch(position, &header)?;
                let keys = env
                    .codec
                    .keys(&body_of(segment, &batch))
                    .map_err(LogError::Codec)?;
                check_rows(keys.ends.len(), batch.rows)?;
                for row in 0..batch.rows {
                    let key = keys.key(row as usize);
                    let offset = batch.offset_of(row);
                    match last.get_mut(key) {
                        Some(known) => *known = offset,
                        None => {
                            bytes += key.len() + 64;
                            last.insert(key.to_vec(), offset);
                        }
                    }
                }
            }
            covered += 1;
            if bytes > bytes_max {
                break;
            }
        }
        let survivors = Survivors {
            last,
            tombstone_horizon,
        };
        Ok((survivors, covered))
    }

    fn keeps(&self, key: &[u8], offset: Offset, tombstone: bool, epoch_time: i64) -> bool {
        let superseded = self.last.get(key).is_some_and(|last| *last > offset);
        let forgotten = tombstone && epoch_time < self.tombstone_horizon;
        !superseded && !forgotten
    }
}

fn check_rows(found: usize, rows: u32) -> Result<(), LogError> {
    if found == rows as usize {
        return Ok(());
    }
    Err(LogError::Codec(format!(
        "the codec found {found} rows in a body of {rows}"
    )))
}

fn body_of(segment: &Segment, batch: &StoredBatch) -> Body {
    Body {
        topic: segment.id.topic,
        kind: batch.kind,
        schema_id: batch.schema_id,
        rows: batch.rows,
        bytes: batch.body.clone(),
    }
}

/// Whether a batch may be joined with its neighbours.
fn is_small(kind: BodyKind, bytes: usize, config: &LogConfig) -> bool {
    kind != BodyKind::RAW && bytes < config.merge_below_bytes
}

impl Shared {
    /// Whether anything in a segment can be merged: if not, it need not be written anew to find that out.
    pub fn has_small_neighbours(&self, segment: &Segment) -> Result<bool, LogError> {
        let mut headers = segment.headers_from(SEGMENT_HEADER_LEN)?;
        let mut before = None;
        while let Some(next) = headers.next() {
            let (_, header) = next?;
            let small = is_small(header.kind, header.plain_len as usize, &self.env.config);
            let schema = small.then_some(header.schema_id);
            if small && before == schema {
                return Ok(true);
            }
            before = schema;
        }
        Ok(false)
    }

    /// Replaces neighbouring closed segments by one, with small batches merged and without the rows that compaction
    /// takes.
    pub fn replace(
        &self,
        partition: &Arc<PartitionInner>,
        run: &[Arc<Segment>],
        survivors: Option<&Survivors>,
        report: &mut MaintenanceReport,
    ) -> Result<(), LogError> {
        let Some(first) = run.first() else {
            return Ok(());
        };
        let id = SegmentId {
            generation: first.id.generation + 1,
            ..first.id
        };
        let segment = Segment::create(&self.env.disk, &partition.dir, id)?;
        let written = self.write_run(&segment, run, survivors);
        let (rows_removed, merged) = match written {
            Ok(done) => done,
            Err(error) => {
                let _ = self.env.disk.remove(&segment.path);
                return Err(error);
            }
        };
        if survivors.is_none() && !merged && run.len() == 1 {
            // Nothing to gain: remember that, and keep the file.
            let _ = self.env.disk.remove(&segment.path);
            first.update_summary(|summary| summary.merged = true);
            return Ok(());
        }
        let mut manifest = self.manifest.lock();
        if self.topic(first.id.topic).is_err() || !swap(partition, run, &segment) {
            let _ = self.env.disk.remove(&segment.path);
            return Ok(());
        }
        if rows_removed > 0 {
            // Readers prefer memory to the file, and there the rows that have just gone would live on until enough was
            // written anywhere to push them out: in a log smaller than the tail, forever.
            self.env.budget.drop_before(partition, segment.end());
        }
        manifest
            .garbage
            .extend(run.iter().map(|old| old.path.clone()));
        self.write_manifest_locked(&mut manifest, false)?;
        report.bytes_before += run.iter().map(|old| old.len()).sum::<u64>();
        report.bytes_after += segment.len();
        report.rows_removed += rows_removed;
        match survivors {
            Some(_) => report.segments_compacted += run.len(),
            None => report.segments_merged += run.len(),
        }
        Ok(())
    }

    /// Writes and syncs the new file. Gives the rows removed, and whether any batches were merged.
    fn write_run(
        &self,
        segment: &Segment,
        run: &[Arc<Segment>],
        survivors: Option<&Survivors>,
    ) -> Result<(u64, bool), LogError> {
        let mut rewriter = Rewriter {
            env: &self.env,
            segment,
            file: segment.file_for_append()?,
            layout: Layout::new(SEGMENT_HEADER_LEN),
            headers: Vec::new(),
            group: Vec::new(),
            group_bytes: 0,
            group_rows: 0,
            merged: false,
        };
        let mut rows_removed = 0;
        for old in run {
            let mut headers = old.headers_from(SEGMENT_HEADER_LEN)?;
            while let Some(next) = headers.next() {
                if self.is_ending() {
                    return Err(LogError::Closed);
                }
                let (position, header) = next?;
                let batch = headers.batch(position, &header)?;
                let raw = headers.raw(position, &header);
                let chunk = Chunk::whole(header, batch, raw);
                let rows = chunk.rows;
                let chunk = match survivors {
                    Some(survivors) => rewriter.compact(chunk, survivors)?,
                    None => Some(chunk),
                };
                rows_removed += u64::from(rows - chunk.as_ref().map_or(0, |chunk| chunk.rows));
                if let Some(chunk) = chunk {
                    rewriter.push(chunk)?;
                }
            }
        }
        let merged = rewriter.finish()?;
        let dir = segment.path.parent().unwrap_or(&self.env.config.dir);
        self.env
            .disk
            .sync_dir(dir)
            .map_err(|error| LogError::io("sync", dir, error))?;
        if let (Some(first), Some(last)) = (run.first(), run.last()) {
            let (first, last) = (first.summary(), last.summary());
            segment.update_summary(|summary| {
                // What the rows that are gone said of time and place still holds for the segment as a whole.
                summary.end = last.end;
                summary.first_epoch = first.first_epoch;
                summary.first_time = first.first_time;
                summary.last_epoch = last.last_epoch;
                summary.last_time = last.last_time;
                summary.merged = true;
                summary.compacted = survivors.is_some();
            });
        }
        Ok((rows_removed, merged))
    }
}

/// Puts the new segment in the place of the old ones, if they are all still there.
fn swap(partition: &PartitionInner, run: &[Arc<Segment>], segment: &Arc<Segment>) -> bool {
    let mut state = partition.state.write();
    let Some(at) = state.segments.iter().position(|old| old.id == run[0].id) else {
        return false;
    };
    let range = at..at + run.len();
    let unchanged = state
        .segments
        .get(range.clone())
        .is_some_and(|old| old.iter().zip(run).all(|(old, run)| old.id == run.id));
    if unchanged {
        state.segments.splice(range, [segment.clone()]);
    }
    unchanged
}

/// A batch on its way into the new file.
struct Chunk {
    base: Offset,
    last: Offset,
    rows: u32,
    runs: Vec<EpochRun>,
    /// Of each row, from `base`; absent while they are dense.
    offsets: Option<Vec<u32>>,
    rowtimes: (i64, i64),
    schema_id: u32,
    kind: BodyKind,
    plain: Bytes,
    parts: u32,
    last_of_epoch: bool,
    /// As it was stored, if nothing has changed: header, body, extension.
    verbatim: Option<(BatchHeader, Bytes, Bytes)>,
}

impl Chunk {
    fn whole(header: BatchHeader, batch: StoredBatch, raw: (Bytes, Bytes)) -> Self {
        let offsets = batch
            .extension
            .as_ref()
            .map(|extension| extension.offsets.clone())
            .filter(|offsets| !offsets.is_empty());
        Chunk {
            base: batch.base_offset,
            last: batch.last_offset,
            rows: batch.rows,
            runs: batch.epochs(),
            offsets,
            rowtimes: (batch.rowtime_min, batch.rowtime_max),
            schema_id: batch.schema_id,
            kind: batch.kind,
            plain: batch.body,
            parts: header.parts,
            last_of_epoch: header.is_last_of_epoch(),
            verbatim: Some((header, raw.0, raw.1)),
        }
    }

    fn offset_of(&self, row: u32) -> Offset {
        let delta = match &self.offsets {
            Some(offsets) => offsets[row as usize],
            None => row,
        };
        self.base.plus(u64::from(delta))
    }

    fn body(&self, segment: &Segment) -> Body {
        Body {
            topic: segment.id.topic,
            kind: self.kind,
            schema_id: self.schema_id,
            rows: self.rows,
            bytes: self.plain.clone(),
        }
    }

    /// Neighbours become one, with the body that the codec made of theirs.
    fn join(chunks: &[Chunk], body: NewBody) -> Chunk {
        let (first, last) = (&chunks[0], &chunks[chunks.len() - 1]);
        let dense = chunks.iter().all(|chunk| chunk.offsets.is_none())
            && chunks
                .windows(2)
                .all(|pair| pair[0].last.plus(1) == pair[1].base);
        let offsets = (!dense).then(|| {
            chunks
                .iter()
                .flat_map(|chunk| (0..chunk.rows).map(|row| chunk.offset_of(row)))
                .map(|offset| (offset.0 - first.base.0) as u32)
                .collect()
        });
        let mut runs: Vec<EpochRun> = Vec::new();
        let mut rows = 0;
        for run in chunks.iter().flat_map(|chunk| &chunk.runs) {
            let end = rows + (run.rows.end - run.rows.start);
            match runs.last_mut() {
                Some(known) if known.epoch == run.epoch => known.rows.end = end,
                _ => runs.push(EpochRun {
                    rows: rows..end,
                    ..run.clone()
                }),
            }
            rows = end;
        }
        Chunk {
            base: first.base,
            last: last.last,
            rows,
            runs,
            offsets,
            rowtimes: chunks
                .iter()
                .fold((i64::MAX, i64::MIN), |(min, max), chunk| {
                    (min.min(chunk.rowtimes.0), max.max(chunk.rowtimes.1))
                }),
            schema_id: body.schema_id,
            kind: body.kind,
            plain: body.bytes,
            parts: last.parts,
            last_of_epoch: last.last_of_epoch,
            verbatim: None,
        }
    }
}

struct Rewriter<'a> {
    env: &'a Env,
    segment: &'a Segment,
    file: Arc<dyn DiskFile>,
    layout: Layout,
    headers: Vec<(u64, BatchHeader)>,
    /// Small neighbours, to be merged.
    group: Vec<Chunk>,
    group_bytes: usize,
    group_rows: u32,
    merged: bool,
}

impl Rewriter<'_> {
    /// The chunk without the rows that do not survive; `None` if none does.
    fn compact(&self, chunk: Chunk, survivors: &Survivors) -> Result<Option<Chunk>, LogError> {
        let body = chunk.body(self.segment);
        let keys = self.env.codec.keys(&body).map_err(LogError::Codec)?;
        check_rows(keys.ends.len(), chunk.rows)?;
        let mut keep = Vec::with_capacity(chunk.rows as usize);
        let mut offsets = Vec::new();
        let mut runs = Vec::new();
        for run in &chunk.runs {
            let start = offsets.len() as u32;
            for row in run.rows.clone() {
                let index = row as usize;
                let offset = chunk.offset_of(row);
                let kept =
                    survivors.keeps(keys.key(index), offset, keys.tombstones[index], run.time);
                keep.push(kept);
                if kept {
                    offsets.push((offset.0 - chunk.base.0) as u32);
                }
            }
            let end = offsets.len() as u32;
            if end > start {
                runs.push(EpochRun {
                    rows: start..end,
                    ..run.clone()
                });
            }
        }
        if offsets.len() == chunk.rows as usize {
            return Ok(Some(chunk));
        }
        if offsets.is_empty() {
            return Ok(None);
        }
        let body = self
            .env
            .codec
            .retain(&body, &keep)
            .map_err(LogError::Codec)?;
        Ok(Some(Chunk {
            rows: offsets.len() as u32,
            runs,
            offsets: Some(offsets),
            schema_id: body.schema_id,
            kind: body.kind,
            plain: body.bytes,
            verbatim: None,
            ..chunk
        }))
    }

    fn push(&mut self, chunk: Chunk) -> Result<(), LogError> {
        let config = &self.env.config;
        let small = is_small(chunk.kind, chunk.plain.len(), config);
        let joins = self.group.first().is_none_or(|first| {
            first.schema_id == chunk.schema_id
                && self.group_bytes + chunk.plain.len() <= config.merge_target_bytes
                && self.group_rows.saturating_add(chunk.rows) <= ROWS_MAX
                && chunk.last.0 - first.base.0 < u64::from(u32::MAX)
        });
        if !small || !joins {
            self.flush_group()?;
        }
        if !small {
            return self.emit(chunk);
        }
        self.group_bytes += chunk.plain.len();
        self.group_rows += chunk.rows;
        self.group.push(chunk);
        Ok(())
    }

    fn flush_group(&mut self) -> Result<(), LogError> {
        let group = std::mem::take(&mut self.group);
        self.group_bytes = 0;
        self.group_rows = 0;
        if group.len() > 1 {
            let bodies: Vec<Body> = group.iter().map(|chunk| chunk.body(self.segment)).collect();
            if let Some(body) = self.env.codec.merge(&bodies).map_err(LogError::Codec)? {
                self.merged = true;
                return self.emit(Chunk::join(&group, body));
            }
        }
        group.into_iter().try_for_each(|chunk| self.emit(chunk))
    }

    fn emit(&mut self, chunk: Chunk) -> Result<(), LogError> {
        let (mut header, stored, extension) = match chunk.verbatim {
            Some(verbatim) => verbatim,
            None => encode(chunk, self.env.config.rewrite_compression),
        };
        let position = self.layout.push(&mut header, &stored, &extension);
        self.headers.push((position, header));
        if self.layout.len() >= WRITE_BYTES {
            self.write()?;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), LogError> {
        self.layout
            .flush(&*self.file)
            .map_err(|error| LogError::io("write", &self.segment.path, error))
    }

    fn finish(mut self) -> Result<bool, LogError> {
        self.flush_group()?;
        self.write()?;
        self.file
            .sync()
            .map_err(|error| LogError::io("sync", &self.segment.path, error))?;
        self.segment.publish(&self.headers);
        Ok(self.merged)
    }
}

fn encode(chunk: Chunk, compression: Compression) -> (BatchHeader, Bytes, Bytes) {
    let compression = match chunk.kind {
        // Compressed by its producer or meant not to be; and handed out as it is.
        BodyKind::RAW => Compression::None,
        _ => compression,
    };
    let (compression, stored) = compression.pack(&chunk.plain);
    let last_run = chunk.runs.last();
    let (epoch, epoch_time) = last_run.map_or((Epoch::ZERO, 0), |run| (run.epoch, run.time));
    let extension = Extension {
        runs: if chunk.runs.len() > 1 {
            chunk.runs
        } else {
            Vec::new()
        },
        offsets: chunk.offsets.unwrap_or_default(),
    };
    let last_of_epoch = if chunk.last_of_epoch {
        FLAG_LAST_OF_EPOCH
    } else {
        0
    };
    let flags = extension.flags() | last_of_epoch;
    let extension = Bytes::from(extension.encode());
    let header = BatchHeader {
        kind: chunk.kind,
        compression,
        flags,
        body_crc: crc32c::crc32c_append(crc32c::crc32c(&stored), &extension),
        extension_len: extension.len() as u32,
        body_len: stored.len() as u32,
        plain_len: chunk.plain.len() as u32,
        base_offset: chunk.base,
        last_offset_delta: (chunk.last.0 - chunk.base.0) as u32,
        rows: chunk.rows,
        epoch,
        epoch_time,
        parts: chunk.parts,
        group_delta: 0,
        epoch_delta: 0,
        rowtime_min: chunk.rowtimes.0,
        rowtime_max: chunk.rowtimes.1,
        // The segment is closed and listed, so the manifest knows its producers.
        producer: None,
        schema_id: chunk.schema_id,
        lead: 0,
    };
    (header, stored, extension)
}
