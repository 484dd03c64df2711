//! Which chunks have their rows in memory.
//!
//! ```text
//!            a step looks at rows: fetch, many at a time
//!        ┌─────────────────────────────────────────────┐
//!        ▼                                             │
//!   in memory ──checkpoint──► in memory, and durable ──┴─evict─► on disk only
//! ```
//!
//! Rows of a chunk never change, so once a checkpoint has them memory can do without. Index, links
//! and weights stay: they say which chunks will be looked at, so that a step reads all of those at
//! once before it begins, and then finds everything in memory. Eviction comes between steps; it
//! goes round the chunks like the hand of a clock and spares those that were used since it last
//! came by.
//!
//! A reader's snapshot shares what is in memory and reads the rest from the store as it was when the
//! snapshot was taken.
//!
//! Invariant: only a chunk whose rows are in the store, under its id, is without them in memory.

use std::sync::Arc;

use arrow::error::ArrowError;

use crate::change_batch::ChangeBatch;
use crate::operator::{ChunkSource, StepError};
use crate::state::arrangement::{Arrangement, Incoming};
use crate::state::checkpoint::read_rows;
use crate::state::chunk::{Chunk, ChunkData};
use crate::state::columns::Keys;
use crate::state::snapshot::{RowId, Snapshot};

/// Chunks that are read from disk at a time, bytes of memory.
const FETCH_BYTES: usize = 32 << 20;

/// Where the chunks of an arrangement are on disk.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) source: Arc<dyn ChunkSource>,
    /// What their keys begin with.
    pub(crate) prefix: Vec<u8>,
}

impl Snapshot {
    /// The same rows, to be read whatever is stored later.
    pub(super) fn frozen(&self) -> Snapshot {
        let mut frozen = self.clone();
        if self.absent > 0
            && let Some(stored) = &mut frozen.stored
            && let Ok(source) = stored.source.freeze()
        {
            // Otherwise reading gives the error.
            stored.source = source;
        }
        frozen
    }

    /// Brings all rows under these keys into memory, also those later in the chains.
    pub(crate) fn fetch_chains(&mut self, keys: &Keys) -> Result<(), StepError> {
        if self.absent == 0 {
            return Ok(());
        }
        let mut wanted = Wanted::new(self);
        for row in (0..keys.len()).filter(|row| keys.is_matchable(*row)) {
            wanted.chain(self, keys.hashes[row]);
        }
        self.fetch(&wanted)
    }

    /// Brings the rows into memory that say whether these keys are there.
    pub(crate) fn fetch_heads(&mut self, keys: &Keys) -> Result<(), StepError> {
        if self.absent == 0 {
            return Ok(());
        }
        let mut wanted = Wanted::new(self);
        let rows = || (0..keys.len()).filter(|row| keys.is_matchable(*row));
        for row in rows() {
            let hash = keys.hashes[row];
            self.index.each(hash, |stored| wanted.row(stored));
        }
        self.fetch(&wanted)?;
        if !self.chained {
            return Ok(());
        }
        // A head of another key with the same hash: the key's own rows are later in the chain.
        let mut further = Wanted::new(self);
        for row in rows() {
            let hash = keys.hashes[row];
            let head = self.index.find(hash, |_| true);
            if head.is_some_and(|head| !self.key_same(keys, row, head)) {
                further.chain(self, hash);
            }
        }
        self.fetch(&further)
    }

    /// Brings some chunks into memory.
    pub(crate) fn fetch_chunks(&mut self, numbers: &[usize]) -> Result<(), StepError> {
        if self.absent == 0 {
            return Ok(());
        }
        let mut wanted = Wanted::new(self);
        numbers.iter().for_each(|number| wanted.chunk(*number));
        self.fetch(&wanted)
    }

    /// Brings everything into memory.
    pub(crate) fn fetch_all(&mut self) -> Result<(), StepError> {
        let all: Vec<usize> = (0..self.chunks.len()).collect();
        self.fetch_chunks(&all)
    }

    fn fetch(&mut self, wanted: &Wanted) -> Result<(), StepError> {
        let mut absent = Vec::new();
        for number in &wanted.numbers {
            let Some(chunk) = &mut self.chunks[*number] else {
                continue;
            };
            chunk.recent = true;
            if chunk.data.is_none() {
                absent.push(*number);
            }
        }
        // In the order of their keys on disk.
        let id = |number: &usize| self.chunks[*number].as_ref().map(|chunk| chunk.id);
        absent.sort_unstable_by_key(id);
        let mut rest = absent.as_slice();
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = rest
                .iter()
                .take_while(|number| {
                    let before = bytes;
                    bytes += self.chunks[**number].as_ref().map_or(0, |c| c.data_bytes);
                    before == 0 || bytes <= FETCH_BYTES
                })
                .count();
            let (now, later) = rest.split_at(fits);
            let chunks: Vec<&Chunk> = now.iter().flat_map(|n| &self.chunks[*n]).collect();
            let read = self.read(&chunks)?;
            for (number, data) in now.iter().zip(read) {
                if let Some(chunk) = &mut self.chunks[*number] {
                    chunk.data = Some(Arc::new(data));
                    self.absent -= 1;
                }
            }
            rest = later;
        }
        Ok(())
    }

    /// A chunk's rows, read if they are not in memory.
    pub(super) fn data_of(&self, chunk: &Chunk) -> Result<Arc<ChunkData>, ArrowError> {
        if let Some(data) = &chunk.data {
            return Ok(data.clone());
        }
        let mut read = self
            .read(&[chunk])
            .map_err(|error| ArrowError::from_external_error(Box::new(error)))?;
        Ok(Arc::new(read.pop().expect("one chunk was asked for")))
    }

    fn read(&self, chunks: &[&Chunk]) -> Result<Vec<ChunkData>, StepError> {
        let stored = self
            .stored
            .as_ref()
            .ok_or_else(|| StepError::Internal("rows without a store are not in memory".into()))?;
        read_rows(stored, &self.schema, &self.key, chunks)
    }
}

/// Chunks that are about to be looked at.
struct Wanted {
    seen: Vec<bool>,
    numbers: Vec<usize>,
}

impl Wanted {
    fn new(snapshot: &Snapshot) -> Self {
        Self {
            seen: vec![false; snapshot.chunks.len()],
            numbers: Vec::new(),
        }
    }

    fn chunk(&mut self, number: usize) {
        if !std::mem::replace(&mut self.seen[number], true) {
            self.numbers.push(number);
        }
    }

    fn row(&mut self, row: RowId) {
        self.chunk(row.chunk());
    }

    /// All rows under a hash.
    fn chain(&mut self, snapshot: &Snapshot, hash: u64) {
        snapshot.index.each(hash, |head| {
            let mut row = head;
            while row.is_some() {
                self.row(row);
                row = snapshot.next(row);
            }
        });
    }
}

impl Arrangement {
    /// Brings all rows under these keys into memory.
    pub(crate) fn fetch_chains(&mut self, keys: &Keys) -> Result<(), StepError> {
        self.contents.fetch_chains(keys)
    }

    /// Brings the rows into memory that say whether these keys are there.
    pub(crate) fn fetch_heads(&mut self, keys: &Keys) -> Result<(), StepError> {
        self.contents.fetch_heads(keys)
    }

    /// Brings the rows into memory that applying changes compares with.
    pub(super) fn fetch_incoming(
        &mut self,
        changes: &ChangeBatch,
        incoming: &Incoming,
    ) -> Result<(), StepError> {
        if self.contents.absent == 0 {
            return Ok(());
        }
        let mut wanted = Wanted::new(&self.contents);
        for row in 0..changes.num_rows() {
            let mut walks = changes.weight(row) < 0;
            if let Some(by_row) = &self.by_row {
                by_row.each(incoming.row_hash(row), |stored| wanted.row(stored));
                walks = false;
            }
            // A row that is put into a chain looks at no other.
            if walks || !self.contents.chained {
                wanted.chain(&self.contents, incoming.keys.hashes[row]);
            }
        }
        self.contents.fetch(&wanted)
    }

    /// What the last checkpoint was given is on disk.
    pub(crate) fn saved(&mut self) {
        for chunk in self.contents.chunks.iter_mut().flatten() {
            chunk.durable = chunk.rows_saved;
        }
    }

    /// Bytes of rows that could be evicted if a checkpoint had them.
    pub(crate) fn unsaved_bytes(&self) -> usize {
        let chunks = self.contents.live_chunks();
        let unsaved = chunks.filter(|chunk| !chunk.durable);
        unsaved.map(|chunk| chunk.data_bytes).sum()
    }

    /// Bytes of rows that [`Arrangement::evict`] could give up.
    pub(crate) fn evictable_bytes(&self) -> usize {
        self.contents
            .live_chunks()
            .filter(|chunk| chunk.durable && chunk.data.is_some())
            .map(|chunk| chunk.data_bytes)
            .sum()
    }

    /// Gives up about so many bytes of rows that were not looked at lately.
    pub(crate) fn evict(
        &mut self,
        bytes: usize,
        source: &Arc<dyn ChunkSource>,
        prefix: &[u8],
    ) -> usize {
        let count = self.contents.chunks.len();
        let mut given = 0;
        // Once round to find who was not used, and once more for those that were.
        for _ in 0..2 * count {
            if given >= bytes {
                break;
            }
            let number = self.hand % count;
            self.hand = number + 1;
            let Some(chunk) = &mut self.contents.chunks[number] else {
                continue;
            };
            if !chunk.durable || chunk.data.is_none() {
                continue;
            }
            if std::mem::take(&mut chunk.recent) {
                continue;
            }
            chunk.data = None;
            self.contents.absent += 1;
            given += chunk.data_bytes;
        }
        if self.contents.stored.is_none() && given > 0 {
            self.contents.stored = Some(Stored {
                source: source.clone(),
                prefix: prefix.to_vec(),
            });
        }
        given
    }
}
