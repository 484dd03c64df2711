//! Appending to a partition: staging, syncing, publishing, rolling back.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;

use super::{PartitionInner, Writer};
use crate::{
    Durability, Epoch, LogError, Offset, TopicKind,
    batch::{BatchHeader, Decoded, FLAG_LAST_OF_EPOCH, HEADER_LEN, Prepared, ZEROS},
    segment::{SEGMENT_HEADER_LEN, Segment, SegmentId},
};

/// Smaller bodies are copied beside their headers, so that a group of many is few buffers.
const COPY_BYTES_MAX: usize = 16 << 10;

/// What all batches of an epoch share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    pub epoch: Epoch,
    pub time: i64,
    pub parts: u32,
    /// The epoch sealed before.
    pub previous: Epoch,
}

/// Batches that were written to a partition's active segment and are not published yet.
pub(crate) struct Staged {
    pub segment: Arc<Segment>,
    pub headers: Vec<(u64, BatchHeader)>,
    bodies: Vec<(Bytes, Option<Decoded>)>,
    end_position: u64,
}

impl PartitionInner {
    /// Writes batches behind the published ones, with offsets and epoch.
    ///
    /// After an error the caller rolls back. Nothing is visible to readers in either case.
    pub fn stage(
        &self,
        writer: &mut Writer,
        batches: Vec<Prepared>,
        stamp: Stamp,
    ) -> Result<Staged, LogError> {
        let bytes_max: u64 = batches
            .iter()
            .map(|batch| (HEADER_LEN + ZEROS.len() + batch.stored.len() + 8) as u64)
            .sum();
        let segment = self.segment_for(writer, bytes_max)?;
        let mut layout = Layout::new(writer.position);
        let mut headers = Vec::with_capacity(batches.len());
        let mut bodies = Vec::with_capacity(batches.len());
        let group_base = writer.next;
        let mut next = writer.next;
        let count = batches.len();
        for (index, batch) in batches.into_iter().enumerate() {
            let mut header = batch.header;
            header.base_offset = next;
            header.group_delta = (next.0 - group_base.0) as u32;
            header.epoch = stamp.epoch;
            header.epoch_time = stamp.time;
            header.parts = stamp.parts;
            let delta = stamp.epoch.0.saturating_sub(stamp.previous.0);
            header.epoch_delta = u16::try_from(delta).unwrap_or(0);
            header.flags = if index + 1 == count {
                FLAG_LAST_OF_EPOCH
            } else {
                0
            };
            next = header.end_offset();
            let position = layout.push(&mut header, &batch.stored, &[]);
            headers.push((position, header));
            bodies.push((batch.plain, batch.decoded));
        }
        let file = segment.file_for_append()?;
        layout
            .write(&*file)
            .map_err(|error| LogError::io("write", &segment.path, error))?;
        Ok(Staged {
            segment,
            headers,
            bodies,
            end_position: layout.end(),
        })
    }

    /// The segment that takes the next `bytes`: the active one, or a new one if that is full or missing.
    fn segment_for(&self, writer: &mut Writer, bytes: u64) -> Result<Arc<Segment>, LogError> {
        let segment_bytes = self.state.read().segment_bytes;
        if let Some(active) = &writer.active {
            let full = writer.position + bytes > segment_bytes;
            if !full || writer.position == SEGMENT_HEADER_LEN {
                return Ok(active.clone());
            }
        }
        self.roll(writer)
    }

    /// Closes the active segment and begins the next.
    pub fn roll(&self, writer: &mut Writer) -> Result<Arc<Segment>, LogError> {
        // A closed segment is durable as a whole, whoever wrote it.
        if writer.active.is_some() && !self.syncs_each_append() {
            self.sync(writer)?;
        }
        let disk = &self.env.disk;
        if !writer.dir_made {
            disk.create_dir(&self.dir)
                .map_err(|error| LogError::io("create", &self.dir, error))?;
            writer.dir_made = true;
            writer.names_unsynced = true;
        }
        let segment = Segment::create(
            disk,
            &self.dir,
            SegmentId {
                topic: self.topic,
                partition: self.id,
                base: writer.next,
                // Generation zero is what recovery looks for behind the manifest's knowledge.
                generation: 0,
            },
        )?;
        writer.names_unsynced = true;
        if let Some(closed) = writer.active.replace(segment.clone()) {
            closed.end_appends();
        }
        writer.position = SEGMENT_HEADER_LEN;
        let mut state = self.state.write();
        if let Some(before) = state.segments.last().map(|before| before.summary()) {
            // Until it has epochs of its own; searches rely on these never decreasing along the segments.
            segment.update_summary(|summary| {
                summary.last_epoch = before.last_epoch;
                summary.last_time = before.last_time;
            });
        }
        state.segments.push(segment.clone());
        drop(state);
        writer.synced = Some(segment.summary());
        Ok(segment)
    }

    /// Whether appends are acknowledged only when they are on disk.
    pub fn syncs_each_append(&self) -> bool {
        self.kind.get() == TopicKind::Ingested && self.env.config.durability == Durability::Sync
    }

    /// Makes all that was written durable, names included. Poisons the partition if that fails: the system may have
    /// dropped the pages, and a second sync would lie.
    pub fn sync(&self, writer: &mut Writer) -> Result<(), LogError> {
        let Some(active) = writer.active.clone() else {
            return Ok(());
        };
        let result = self.try_sync(&active, writer.names_unsynced);
        match &result {
            Ok(()) => {
                writer.names_unsynced = false;
                writer.synced = Some(active.summary());
            }
            Err(error) => self.poison(error),
        }
        result
    }

    fn try_sync(&self, active: &Segment, names: bool) -> Result<(), LogError> {
        let path = &active.path;
        // Out of space is no excuse for a failed sync: the data are gone all the same.
        let failed = |error| LogError::Io {
            action: "sync",
            file: path.clone(),
            source: Arc::new(error),
        };
        active.file_for_append()?.sync().map_err(failed)?;
        if names {
            self.env.disk.sync_dir(&self.dir).map_err(failed)?;
            self.env
                .disk
                .sync_dir(&self.env.config.dir)
                .map_err(failed)?;
        }
        Ok(())
    }

    /// Takes back what [`PartitionInner::stage`] wrote (or tried to): durably, so that recovery never meets it.
    pub fn roll_back(&self, writer: &mut Writer) {
        let Some(active) = writer.active.clone() else {
            return;
        };
        if self.check_writable().is_err() {
            return;
        }
        let cut = || {
            let file = active.file_for_append()?;
            let len = file
                .len()
                .map_err(|error| LogError::io("read", &active.path, error))?;
            if len > writer.position {
                file.set_len(writer.position)
                    .map_err(|error| LogError::io("cut", &active.path, error))?;
            }
            Ok(())
        };
        match cut() {
            Ok(()) => {
                // Poisons by itself if it fails.
                let _ = self.sync(writer);
            }
            Err(error) => self.poison(&error),
        }
    }

    /// Makes staged batches visible.
    pub fn publish(self: &Arc<Self>, writer: &mut Writer, staged: Staged) {
        staged.segment.publish(&staged.headers);
        let sizes: Vec<usize> = staged.bodies.iter().map(|(body, _)| body.len()).collect();
        let mut state = self.state.write();
        for ((_, header), (body, decoded)) in staged.headers.into_iter().zip(staged.bodies) {
            state.end = header.end_offset();
            state.last_epoch = header.epoch;
            state.producers.record(&header);
            state.tail.push(header, body, decoded);
        }
        let producers_max = self.env.config.producers_max;
        if state.producers.len() > producers_max.saturating_mul(2) {
            state.producers.expire(i64::MIN, producers_max);
        }
        writer.next = state.end;
        writer.position = staged.end_position;
        drop(state);
        self.env.budget.charge(self, sizes.into_iter());
    }
}

impl Staged {
    /// Bytes written.
    pub fn bytes(&self) -> u64 {
        self.headers.iter().map(|(_, header)| header.length()).sum()
    }

    /// The offset at which each batch begins.
    pub fn base_offsets(&self) -> impl Iterator<Item = Offset> {
        self.headers.iter().map(|(_, header)| header.base_offset)
    }
}

/// Batches laid out for one vectored write.
pub(crate) struct Layout {
    start: u64,
    len: u64,
    copied: Vec<u8>,
    pieces: Vec<Piece>,
}

enum Piece {
    Copied(Range<usize>),
    Shared(Bytes),
}

impl Layout {
    pub fn new(position: u64) -> Self {
        Layout {
            start: position,
            len: 0,
            copied: Vec::new(),
            pieces: Vec::new(),
        }
    }

    /// The position behind the last batch.
    pub fn end(&self) -> u64 {
        self.start + self.len
    }

    /// Adds a batch whose header is complete but for its place; returns its position.
    pub fn push(&mut self, header: &mut BatchHeader, body: &Bytes, extension: &[u8]) -> u64 {
        let position = self.end();
        header.place(position);
        let length = header.length();
        self.copy(&header.encode());
        self.copy(&ZEROS[..usize::from(header.lead)]);
        if body.len() > COPY_BYTES_MAX {
            self.pieces.push(Piece::Shared(body.clone()));
        } else {
            self.copy(body);
        }
        self.copy(extension);
        let used = HEADER_LEN + usize::from(header.lead) + body.len() + extension.len();
        self.copy(&ZEROS[..length as usize - used]);
        self.len += length;
        position
    }

    fn copy(&mut self, bytes: &[u8]) {
        let start = self.copied.len();
        self.copied.extend_from_slice(bytes);
        match self.pieces.last_mut() {
            Some(Piece::Copied(range)) => range.end = self.copied.len(),
            _ => self.pieces.push(Piece::Copied(start..self.copied.len())),
        }
    }

    /// Bytes laid out so far.
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn write(&self, file: &dyn crate::DiskFile) -> std::io::Result<()> {
        let buffers: Vec<&[u8]> = self
            .pieces
            .iter()
            .map(|piece| match piece {
                Piece::Copied(range) => &self.copied[range.clone()],
                Piece::Shared(bytes) => bytes,
            })
            .collect();
        file.write_at(self.start, &buffers)
    }

    /// Writes what is laid out and goes on behind it.
    pub fn flush(&mut self, file: &dyn crate::DiskFile) -> std::io::Result<()> {
        self.write(file)?;
        *self = Layout::new(self.end());
        Ok(())
    }
}
