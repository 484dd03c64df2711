//! Checkpoints of an arrangement: only what changed since the last one.
//!
//! ```text
//! prefix · 'c' · chunk id (u64, big-endian)  ─►  Arrow IPC stream of one batch: columns, rowtime
//! prefix · 'w' · chunk id                    ─►  weights; absent when every row is there once
//! ```
//!
//! Chunks never change, so each is written once; a later checkpoint writes the weights of those
//! where rows died, and deletes those that compaction has replaced. Index and chains are not
//! written: they are made anew from the rows, at some ten million rows a second.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::TimestampMicrosecondType;
use arrow::ipc::CompressionType;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};

use crate::operator::{StateReader, StateWriter, StepError};
use crate::state::arrangement::{Arrangement, key_columns};
use crate::state::chunk::{Chunk, ChunkData, Link, Weights, batch};
use crate::state::columns::{Column, Keys};
use crate::state::exchange::hash_columns;
use crate::state::snapshot::{RowId, with_rowtime};

const ROWS: u8 = b'c';
const WEIGHTS: u8 = b'w';
const ROWTIME: &str = "rowtime";
/// Smaller chunks are not worth the compressor's set-up.
const COMPRESSED_ROWS_MIN: usize = 256;

impl Arrangement {
    /// Writes what changed since the last checkpoint, under keys that start with `prefix`.
    pub fn checkpoint(
        &mut self,
        prefix: &[u8],
        writer: &mut dyn StateWriter,
    ) -> Result<(), StepError> {
        for id in self.removed.drain(..) {
            writer.delete(&entry(prefix, ROWS, id));
            writer.delete(&entry(prefix, WEIGHTS, id));
        }
        let schema = with_rowtime(&self.contents.schema, ROWTIME);
        for chunk in self.contents.chunks.iter_mut().flatten() {
            let id = chunk.data.id;
            if !chunk.rows_saved {
                let rowtimes = TimestampMicrosecondArray::new(chunk.data.rowtimes.clone(), None)
                    .with_timezone("+00:00");
                let mut columns = chunk.data.rows.columns().to_vec();
                columns.push(Arc::new(rowtimes));
                let rows = batch(schema.clone(), columns, chunk.len())?;
                writer.put(&entry(prefix, ROWS, id), &encode(&rows)?);
                chunk.rows_saved = true;
                chunk.weights_saved = chunk.weights.all_one();
            }
            if !chunk.weights_saved {
                writer.put(&entry(prefix, WEIGHTS, id), &chunk.weights.encode());
                chunk.weights_saved = true;
            }
        }
        Ok(())
    }

    /// Loads what checkpoints wrote under `prefix` into an arrangement that is still empty.
    pub fn restore(&mut self, prefix: &[u8], reader: &dyn StateReader) -> Result<(), StepError> {
        let mut chunks: Vec<(u64, RecordBatch)> = Vec::new();
        let mut failure = None;
        let schema = with_rowtime(&self.contents.schema, ROWTIME);
        reader.scan(&[prefix, &[ROWS]].concat(), &mut |key, value| match decode(
            key, value, prefix, &schema,
        ) {
            Ok(chunk) => chunks.push(chunk),
            Err(reason) => failure = failure.take().or(Some(reason)),
        })?;
        if let Some(reason) = failure {
            return Err(damaged(reason));
        }
        for (id, rows) in chunks {
            let weights = match reader.get(&entry(prefix, WEIGHTS, id))? {
                None => Weights::ones(rows.num_rows()),
                Some(bytes) => Weights::decode(&bytes, rows.num_rows())
                    .ok_or_else(|| damaged(format!("weights of chunk {id}")))?,
            };
            self.load_chunk(id, rows, weights)?;
            self.next_chunk = self.next_chunk.max(id + 1);
        }
        self.compact()
    }

    fn load_chunk(
        &mut self,
        id: u64,
        rows: RecordBatch,
        weights: Weights,
    ) -> Result<(), StepError> {
        let length = rows.num_rows();
        let (rowtimes, columns) = rows
            .columns()
            .split_last()
            .ok_or_else(|| damaged(format!("chunk {id} has no event times")))?;
        let rowtimes = rowtimes
            .as_primitive::<TimestampMicrosecondType>()
            .values()
            .clone();
        let rows = batch(self.contents.schema.clone(), columns.to_vec(), length)?;
        let data = ChunkData::new(id, rows, rowtimes, &self.contents.key);
        let columns: Vec<Column> = key_columns(&data.columns, &self.contents.key);
        let hashes = hash_columns(&columns, length);
        let keys = Keys {
            columns,
            hashes,
            matchable: None,
        };
        let live: Vec<usize> = weights.live_positions().collect();
        self.contents.rows += live.len();
        let number = self.place_chunk(Chunk {
            data: Arc::new(data),
            weights: Arc::new(weights),
            links: self
                .has_chains()
                .then(|| Arc::new(vec![Link::ALONE; length])),
            counts: self.counted.then(|| Arc::new(vec![0; length])),
            rows_saved: true,
            weights_saved: true,
        })?;
        if self.has_chains() {
            let live: Vec<u32> = live.into_iter().map(|row| row as u32).collect();
            self.push_links(number, &keys, &live);
            return Ok(());
        }
        for position in live {
            let row = RowId::new(number, position);
            if self.index_row(&keys, position, row).is_some() {
                return Err(damaged(format!("chunk {id} repeats a key")));
            }
        }
        Ok(())
    }
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
    key: &[u8],
    value: &[u8],
    prefix: &[u8],
    schema: &arrow::datatypes::SchemaRef,
) -> Result<(u64, RecordBatch), String> {
    let id = key[prefix.len() + 1..]
        .try_into()
        .map(u64::from_be_bytes)
        .map_err(|_| "key of a chunk".to_owned())?;
    let read = || -> Result<Option<RecordBatch>, arrow::error::ArrowError> {
        StreamReader::try_new(value, None)?.next().transpose()
    };
    match read() {
        Ok(Some(rows)) if same_types(&rows, schema) => Ok((id, rows)),
        Ok(_) => Err(format!("chunk {id} has other columns")),
        Err(error) => Err(format!("chunk {id}: {error}")),
    }
}

fn same_types(rows: &RecordBatch, schema: &arrow::datatypes::SchemaRef) -> bool {
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
