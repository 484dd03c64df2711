//! Checkpoints of an arrangement: only what changed since the last one.
//!
//! ```text
//! prefix · 'c' · chunk id (u64, big-endian)  ─►  Arrow IPC stream of one batch: columns, rowtime
//! prefix · 'k' · chunk id                    ─►  bytes in memory: u64 · hash of each row's key: u32
//! prefix · 'w' · chunk id                    ─►  weights; absent when every row is there once
//! prefix · 'n' · chunk id                    ─►  numbers of matches: i64, where a join counts them
//! ```
//!
//! Chunks never change, so each is written once; a later checkpoint writes the weights of those
//! where rows died, and deletes those that compaction has replaced. Index and chains are not
//! written: they are made anew from the hashes, without reading the rows, which come into memory
//! when they are first looked at.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::ipc::CompressionType;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};

use crate::operator::{StateReader, StateWriter, StepError};
use crate::state::arrangement::{Arrangement, key_columns};
use crate::state::chunk::{CHUNK_ROWS_MAX, Chunk, ChunkData, Link, Weights, batch};
use crate::state::exchange::hash_columns;
use crate::state::residency::Stored;
use crate::state::snapshot::{RowId, with_rowtime};

const ROWS: u8 = b'c';
const SUMMARY: u8 = b'k';
const WEIGHTS: u8 = b'w';
const COUNTS: u8 = b'n';
const ROWTIME: &str = "rowtime";
/// Smaller chunks are not worth the compressor's set-up.
const COMPRESSED_ROWS_MIN: usize = 256;

/// What is known of a chunk without its rows.
struct Summary {
    data_bytes: usize,
    hashes: Vec<u32>,
}

impl Arrangement {
    /// Writes what changed since the last checkpoint, under keys that start with `prefix`.
    pub fn checkpoint(
        &mut self,
        prefix: &[u8],
        writer: &mut dyn StateWriter,
    ) -> Result<(), StepError> {
        for id in self.removed.drain(..) {
            for kind in [ROWS, SUMMARY, WEIGHTS, COUNTS] {
                writer.delete(&entry(prefix, kind, id));
            }
        }
        let schema = with_rowtime(&self.contents.schema, ROWTIME);
        for chunk in self.contents.chunks.iter_mut().flatten() {
            let id = chunk.id;
            if !chunk.rows_saved {
                let data = chunk.data();
                let rowtimes = TimestampMicrosecondArray::new(data.rowtimes.clone(), None)
                    .with_timezone("+00:00");
                let mut columns = data.rows.columns().to_vec();
                columns.push(Arc::new(rowtimes));
                let rows = batch(schema.clone(), columns, chunk.len())?;
                let key = key_columns(&data.columns, &self.contents.key);
                let hashes = hash_columns(&key, chunk.len());
                writer.put(&entry(prefix, ROWS, id), &encode(&rows)?);
                writer.put(&entry(prefix, SUMMARY, id), &summary(data.bytes, &hashes));
                chunk.rows_saved = true;
                chunk.weights_saved = chunk.weights.all_one();
            }
            if !chunk.weights_saved {
                writer.put(&entry(prefix, WEIGHTS, id), &chunk.weights.encode());
                chunk.weights_saved = true;
            }
            if let Some(counts) = chunk.counts.as_ref().filter(|_| !chunk.counts_saved) {
                let bytes: Vec<u8> = counts.iter().flat_map(|n| n.to_le_bytes()).collect();
                writer.put(&entry(prefix, COUNTS, id), &bytes);
                chunk.counts_saved = true;
            }
        }
        Ok(())
    }

    /// Loads what checkpoints wrote under `prefix` into an arrangement that is still empty. Rows
    /// that can be read later are.
    pub fn restore(&mut self, prefix: &[u8], reader: &dyn StateReader) -> Result<(), StepError> {
        let mut summaries: Vec<(u64, Summary)> = Vec::new();
        let mut weights: HashMap<u64, Vec<u8>> = HashMap::new();
        let mut counts: HashMap<u64, Vec<u8>> = HashMap::new();
        let mut failure = None;
        reader.scan(&[prefix, &[SUMMARY]].concat(), &mut |key, value| match (
            chunk_id(key, prefix),
            Summary::decode(value),
        ) {
            (Some(id), Some(summary)) => summaries.push((id, summary)),
            _ => failure = Some("summary of a chunk"),
        })?;
        for (kind, entries) in [(WEIGHTS, &mut weights), (COUNTS, &mut counts)] {
            reader.scan(
                &[prefix, &[kind]].concat(),
                &mut |key, value| match chunk_id(key, prefix) {
                    Some(id) => drop(entries.insert(id, value.to_vec())),
                    None => failure = Some("key of a chunk"),
                },
            )?;
        }
        if let Some(reason) = failure {
            return Err(damaged(reason));
        }
        let source = reader.source();
        for (id, summary) in summaries {
            let rows = summary.hashes.len();
            let weights = match weights.get(&id) {
                None => Weights::ones(rows),
                Some(bytes) => Weights::decode(bytes, rows)
                    .ok_or_else(|| damaged(format!("weights of chunk {id}")))?,
            };
            let counts = match (self.counted, counts.get(&id)) {
                (false, _) => None,
                (true, Some(bytes)) if bytes.len() == 8 * rows => {
                    let (counts, _) = bytes.as_chunks::<8>();
                    let counts = counts.iter().map(|count| i64::from_le_bytes(*count));
                    Some(Arc::new(counts.collect()))
                }
                (true, _) => return Err(damaged(format!("numbers of matches of chunk {id}"))),
            };
            let data = match &source {
                Some(_) => None,
                None => {
                    let bytes = reader.get(&entry(prefix, ROWS, id))?;
                    let (schema, key) = (&self.contents.schema, &self.contents.key);
                    Some(Arc::new(decode(id, bytes.as_deref(), schema, key)?))
                }
            };
            self.place_stored(id, summary, data, weights, counts)?;
            self.next_chunk = self.next_chunk.max(id + 1);
        }
        self.contents.stored = source.map(|source| Stored {
            source,
            prefix: prefix.to_vec(),
        });
        Ok(())
    }

    /// Puts in a chunk that is on disk, and indexes its rows by their hashes.
    fn place_stored(
        &mut self,
        id: u64,
        summary: Summary,
        data: Option<Arc<ChunkData>>,
        weights: Weights,
        counts: Option<Arc<Vec<i64>>>,
    ) -> Result<(), StepError> {
        let length = summary.hashes.len();
        let live: Vec<u32> = weights.live_positions().map(|row| row as u32).collect();
        if live.is_empty() {
            self.removed.push(id);
            return Ok(());
        }
        self.contents.rows += live.len();
        self.contents.absent += usize::from(data.is_none());
        let number = self.place_chunk(Chunk {
            id,
            data,
            data_bytes: summary.data_bytes,
            weights: Arc::new(weights),
            links: self
                .has_chains()
                .then(|| Arc::new(vec![Link::ALONE; length])),
            counts,
            rows_saved: true,
            weights_saved: true,
            counts_saved: true,
            durable: true,
            recent: false,
        })?;
        let hashes: Vec<u64> = summary.hashes.into_iter().map(u64::from).collect();
        if self.has_chains() {
            self.push_links(number, &hashes, &live);
        } else {
            for row in live {
                let row = row as usize;
                let stored = RowId::new(number, row);
                self.contents.index.insert_new(hashes[row], stored);
            }
        }
        Ok(())
    }
}

/// Reads the rows of chunks.
pub(super) fn read_rows(
    stored: &Stored,
    schema: &SchemaRef,
    key: &[usize],
    chunks: &[&Chunk],
) -> Result<Vec<ChunkData>, StepError> {
    let keys: Vec<Vec<u8>> = chunks
        .iter()
        .map(|chunk| entry(&stored.prefix, ROWS, chunk.id))
        .collect();
    let values = stored.source.get_many(&keys)?;
    chunks
        .iter()
        .zip(values)
        .map(|(chunk, value)| {
            let data = decode(chunk.id, value.as_deref(), schema, key)?;
            match data.rowtimes.len() == chunk.len() {
                true => Ok(data),
                false => Err(damaged(format!("number of rows of chunk {}", chunk.id))),
            }
        })
        .collect()
}

fn summary(data_bytes: usize, hashes: &[u64]) -> Vec<u8> {
    let mut bytes = (data_bytes as u64).to_le_bytes().to_vec();
    // As many bits as the index keeps.
    bytes.extend(hashes.iter().flat_map(|hash| (*hash as u32).to_le_bytes()));
    bytes
}

impl Summary {
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (data_bytes, hashes) = bytes.split_first_chunk::<8>()?;
        let (hashes, excess) = hashes.as_chunks::<4>();
        (excess.is_empty() && hashes.len() <= CHUNK_ROWS_MAX).then(|| Self {
            data_bytes: u64::from_le_bytes(*data_bytes) as usize,
            hashes: hashes.iter().map(|h| u32::from_le_bytes(*h)).collect(),
        })
    }
}

fn chunk_id(key: &[u8], prefix: &[u8]) -> Option<u64> {
    let id = key.get(prefix.len() + 1..)?.try_into().ok()?;
    Some(u64::from_be_bytes(id))
}

fn entry(prefix: &[u8], kind: u8, id: u64) -> Vec<u8> {
    [prefix, &[kind], &id.to_be_bytes()].concat()
}

fn encode(rows: &RecordBatch) -> Result<Vec<u8>, StepError> {
    let compression =
        (rows.num_rows() >= COMPRESSED_ROWS_MIN).then_some(CompressionType::LZ4_FRAME);
    let options = IpcWriteOptions::default().try_with_compression(compression)?;
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), rows.schema_ref(), options)?;
    writer.write(rows)?;
    Ok(writer.into_inner()?)
}

fn decode(
    id: u64,
    value: Option<&[u8]>,
    schema: &SchemaRef,
    key: &[usize],
) -> Result<ChunkData, StepError> {
    let value = value.ok_or_else(|| damaged(format!("chunk {id} is missing")))?;
    let read = || -> Result<Option<RecordBatch>, ArrowError> {
        StreamReader::try_new(value, None)?.next().transpose()
    };
    let rows = match read() {
        Ok(Some(rows)) if same_types(&rows, &with_rowtime(schema, ROWTIME)) => rows,
        Ok(_) => return Err(damaged(format!("chunk {id} has other columns"))),
        Err(error) => return Err(damaged(format!("chunk {id}: {error}"))),
    };
    let (rowtimes, columns) = rows
        .columns()
        .split_last()
        .ok_or_else(|| damaged(format!("chunk {id} has no event times")))?;
    let rowtimes = rowtimes
        .as_primitive::<TimestampMicrosecondType>()
        .values()
        .clone();
    let rows = batch(schema.clone(), columns.to_vec(), rows.num_rows())?;
    Ok(ChunkData::new(rows, rowtimes, key))
}

fn same_types(rows: &RecordBatch, schema: &SchemaRef) -> bool {
    rows.num_columns() == schema.fields().len()
        && rows
            .columns()
            .iter()
            .zip(schema.fields())
            .all(|(column, field)| column.data_type() == field.data_type())
}

/// The circuit knows which step it was.
pub(crate) fn damaged(reason: impl Into<String>) -> StepError {
    StepError::DamagedState {
        step: String::new(),
        reason: reason.into(),
    }
}
