//! Reading the bytes of a segment from front to back.

use bytes::Bytes;

use super::Segment;
use crate::{
    Epoch, LogError, Offset, StoredBatch,
    batch::{BatchHeader, Parsed, body_range, decode_batch, parse},
};

/// Finds a batch after damage: the next multiple of eight at which a valid header stands.
pub(crate) fn next_header(bytes: &[u8], from: usize) -> Option<(usize, BatchHeader)> {
    let mut at = from.next_multiple_of(8);
    while at < bytes.len() {
        if let Some(head) = bytes[at..].first_chunk()
            && let Ok(header) = BatchHeader::decode(head)
        {
            return Some((at, header));
        }
        at += 8;
    }
    None
}

/// Reads every batch of a segment's bytes (after its header) and reports the first thing that is wrong: for tools and
/// fuzzing. Never panics, whatever the bytes.
pub fn scan_batches(bytes: &Bytes) -> (Vec<StoredBatch>, Option<String>) {
    let mut batches = Vec::new();
    let mut at = 0;
    loop {
        match parse(bytes, at, true) {
            Parsed::Batch(header) => {
                let end = at + header.length() as usize;
                // A compressed body is allocated by its announced length; the log limits it when appending, we do here.
                if header.plain_len as usize > (64 << 20) {
                    return (batches, Some("the body is too large".into()));
                }
                match decode_batch(&header, &bytes.slice(at..end)) {
                    Ok(batch) => batches.push(batch),
                    Err(reason) => return (batches, Some(reason)),
                }
                at = end;
            }
            Parsed::End => return (batches, None),
            Parsed::Fault(reason, header) => {
                let next = next_header(bytes, at + 1);
                let known = header.map(|h| h.base_offset.0);
                let found = next.map(|(at, _)| at);
                return (
                    batches,
                    Some(format!("{reason} (offset {known:?}, next batch {found:?})")),
                );
            }
        }
    }
}

/// Walks over the headers of a segment's published bytes.
pub(crate) struct Headers<'a> {
    segment: &'a Segment,
    /// The file position at which `window` begins.
    start: u64,
    window: Bytes,
    at: usize,
    next_offset: Option<Offset>,
    last_epoch: Epoch,
}

impl<'a> Headers<'a> {
    pub fn new(segment: &'a Segment, start: u64, window: Bytes) -> Self {
        Headers {
            segment,
            start,
            window,
            at: 0,
            next_offset: None,
            last_epoch: Epoch::ZERO,
        }
    }

    /// The next header and its position. Published bytes hold nothing but batches, so anything else is damage.
    pub fn next(&mut self) -> Option<Result<(u64, BatchHeader), LogError>> {
        if self.at >= self.window.len() {
            return None;
        }
        let position = self.start + self.at as u64;
        let reason = match parse(&self.window, self.at, false) {
            Parsed::Batch(header) => {
                let expected = self.next_offset.unwrap_or(header.base_offset);
                if header.base_offset >= expected && header.epoch >= self.last_epoch {
                    self.at += header.length() as usize;
                    self.next_offset = Some(header.end_offset());
                    self.last_epoch = header.epoch;
                    return Some(Ok((position, header)));
                }
                "the batch is out of order"
            }
            Parsed::End => "there are only zeros",
            Parsed::Fault(reason, _) => reason,
        };
        self.at = self.window.len();
        Some(Err(self.segment.corruption(
            position,
            self.next_offset.unwrap_or(self.segment.id.base),
            self.last_epoch,
            reason,
        )))
    }

    /// The batch of a header that [`Headers::next`] gave, verified.
    pub fn batch(&self, position: u64, header: &BatchHeader) -> Result<StoredBatch, LogError> {
        let at = (position - self.start) as usize;
        let damaged = |reason: &str| {
            self.segment
                .corruption(position, header.base_offset, header.epoch, reason)
        };
        match parse(&self.window, at, true) {
            Parsed::Batch(_) => {}
            Parsed::Fault(reason, _) => return Err(damaged(reason)),
            Parsed::End => return Err(damaged("there are only zeros")),
        }
        let bytes = self.window.slice(at..at + header.length() as usize);
        decode_batch(header, &bytes).map_err(|reason| damaged(&reason))
    }

    /// Body and extension of a batch as they are stored.
    pub fn raw(&self, position: u64, header: &BatchHeader) -> (Bytes, Bytes) {
        let at = (position - self.start) as usize;
        let bytes = self.window.slice(at..at + header.length() as usize);
        let (body, extension) = body_range(header);
        (bytes.slice(body), bytes.slice(extension))
    }
}
