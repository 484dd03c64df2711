//! Bytes of a log batch's body ↔ Arrow.
//!
//! Two bodies, chosen by size:
//! - *arrow*: one encapsulated Arrow IPC record batch message. Read without copying: the arrays
//!   point into the bytes, which point into the memory map.
//! - *rows*: `row count: u32 · (length: u32 · arrow-row bytes)*`, for batches of fewer than
//!   [`ARROW_ROWS_MIN`] rows, because an IPC message costs some 600 bytes whatever it holds.
//!
//! The schema stands in neither; it comes from the catalog by topic and schema id.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::error::ArrowError;
use arrow::ipc::reader::FileDecoder;
use arrow::ipc::writer::{
    DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions, write_message,
};
use arrow::ipc::{Block, MetadataVersion};
use arrow::row::{RowConverter, SortField};
use arrow_schema::SchemaRef;
use bytes::Bytes;
use log_store::BodyKind;

use crate::error::{Error, Result};
use crate::nulls::zero_under_nulls;

/// Batches of at least this many rows take the arrow body.
pub const ARROW_ROWS_MIN: usize = 64;

/// Alignment of buffers inside an arrow body, which starts at a multiple of it in the file.
const ALIGNMENT: usize = 64;

/// Encodes a batch of a topic's schema.
pub fn encode(batch: &RecordBatch) -> Result<(BodyKind, Bytes)> {
    if batch.num_rows() < ARROW_ROWS_MIN {
        Ok((BodyKind::ROWS, encode_rows(batch)?))
    } else {
        Ok((BodyKind::ARROW, encode_arrow(batch)?))
    }
}

/// Decodes a body of a topic's schema.
///
/// # Errors
/// When the bytes are not such a body; nothing is assumed of them beyond their checksum.
pub fn decode(kind: BodyKind, body: &Bytes, schema: &SchemaRef) -> Result<RecordBatch> {
    let decoded = match kind {
        BodyKind::ARROW => decode_arrow(body, schema),
        BodyKind::ROWS => decode_rows(body, schema),
        other => {
            return Err(Error::Corruption(format!(
                "body kind {other:?} in a columnar topic"
            )));
        }
    };
    decoded.map_err(|error| Error::Corruption(format!("a log batch cannot be decoded: {error}")))
}

/// Encodes as one IPC message; the schema must have no dictionaries.
pub fn encode_arrow(batch: &RecordBatch) -> Result<Bytes> {
    let options =
        IpcWriteOptions::try_new(ALIGNMENT, false, MetadataVersion::V5).map_err(internal)?;
    let (_, encoded) = IpcDataGenerator::default()
        .encode(
            batch,
            &mut DictionaryTracker::new(false),
            &options,
            &mut IpcWriteContext::default(),
        )
        .map_err(internal)?;
    let mut bytes =
        Vec::with_capacity(encoded.ipc_message.len() + encoded.arrow_data.len() + 2 * ALIGNMENT);
    write_message(&mut bytes, encoded, &options).map_err(internal)?;
    Ok(bytes.into())
}

fn decode_arrow(body: &Bytes, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let metadata_bytes = metadata_length(body)?;
    let block = Block::new(
        0,
        metadata_bytes,
        (body.len() - metadata_bytes as usize) as i64,
    );
    let buffer = Buffer::from(body.clone());
    FileDecoder::new(schema.clone(), MetadataVersion::V5)
        .read_record_batch(&block, &buffer)?
        .ok_or_else(|| ArrowError::IpcError("no record batch in the message".into()))
}

/// Length of the message's prefix and flatbuffer, which the buffers follow.
fn metadata_length(body: &[u8]) -> Result<i32, ArrowError> {
    let word = |at: usize| -> Option<u32> {
        Some(u32::from_le_bytes(body.get(at..at + 4)?.try_into().ok()?))
    };
    let length = match (word(0), word(4)) {
        (Some(u32::MAX), Some(length)) => length as usize + 8,
        _ => return Err(ArrowError::IpcError("no message prefix".into())),
    };
    if length > body.len() {
        return Err(ArrowError::IpcError("message longer than its body".into()));
    }
    i32::try_from(length).map_err(|_| ArrowError::IpcError("message too long".into()))
}

fn encode_rows(batch: &RecordBatch) -> Result<Bytes> {
    let converter = row_converter(&batch.schema()).map_err(internal)?;
    let rows = converter
        .convert_columns(batch.columns())
        .map_err(internal)?;
    let mut bytes = Vec::with_capacity(rows.size() + 4 * rows.num_rows() + 4);
    bytes.extend((rows.num_rows() as u32).to_le_bytes());
    for row in &rows {
        let row = row.as_ref();
        bytes.extend((row.len() as u32).to_le_bytes());
        bytes.extend(row);
    }
    Ok(bytes.into())
}

fn decode_rows(body: &[u8], schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let truncated = || ArrowError::ParseError("a row body ends early".into());
    let take_u32 = |bytes: &mut &[u8]| -> Result<u32, ArrowError> {
        let (word, rest) = bytes.split_first_chunk::<4>().ok_or_else(truncated)?;
        *bytes = rest;
        Ok(u32::from_le_bytes(*word))
    };
    let mut rest = body;
    let count = take_u32(&mut rest)? as usize;
    let converter = row_converter(schema)?;
    let parser = converter.parser();
    let mut rows = Vec::with_capacity(count.min(body.len()));
    for _ in 0..count {
        let length = take_u32(&mut rest)? as usize;
        let row = rest.get(..length).ok_or_else(truncated)?;
        rest = &rest[length..];
        rows.push(parser.parse(row));
    }
    let columns = zero_under_nulls(converter.convert_rows(rows)?);
    RecordBatch::try_new(schema.clone(), columns)
}

fn row_converter(schema: &SchemaRef) -> Result<RowConverter, ArrowError> {
    RowConverter::new(
        schema
            .fields()
            .iter()
            .map(|field| SortField::new(field.data_type().clone()))
            .collect(),
    )
}

fn internal(error: ArrowError) -> Error {
    Error::Internal(format!("cannot encode a log batch: {error}"))
}

/// The schemas and keys of topics: what a codec needs to read a body.
#[derive(Debug, Default, Clone)]
pub struct Schemas(Arc<parking_lot::RwLock<HashMap<u32, TopicSchema>>>);

#[derive(Debug, Clone)]
struct TopicSchema {
    schema: SchemaRef,
    /// Positions of the columns that identify a row; empty if there are none.
    key: Vec<usize>,
}

impl Schemas {
    pub fn insert(&self, topic: u32, schema: SchemaRef, key: Vec<usize>) {
        self.0.write().insert(topic, TopicSchema { schema, key });
    }

    /// The schema of a topic's bodies; there is only one, number 0, as long as relations cannot be
    /// altered.
    pub fn get(&self, topic: u32, schema_id: u32) -> Option<SchemaRef> {
        let schemas = self.0.read();
        (schema_id == 0).then(|| schemas.get(&topic).map(|topic| topic.schema.clone()))?
    }

    pub fn key(&self, topic: u32) -> Option<Vec<usize>> {
        let key = self.0.read().get(&topic)?.key.clone();
        (!key.is_empty()).then_some(key)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, ListArray, StringArray};
    use arrow::datatypes::Int64Type;
    use arrow_schema::{DataType, Field, Schema};

    use super::*;

    fn batch(rows: usize) -> RecordBatch {
        let schema = Arc::new(Schema::new(vec![
            Field::new("id", DataType::Int64, true),
            Field::new("name", DataType::Utf8, true),
            Field::new_list("list", Field::new("item", DataType::Int64, true), true),
        ]));
        let ids: Int64Array = (0..rows as i64)
            .map(|i| (i % 7 != 0).then_some(i))
            .collect();
        let names: StringArray = (0..rows)
            .map(|i| (i % 3 != 0).then(|| format!("n{i}")))
            .collect();
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>(
            (0..rows as i64).map(|i| (i % 5 != 0).then(|| vec![Some(i), None])),
        );
        RecordBatch::try_new(
            schema,
            vec![Arc::new(ids), Arc::new(names), Arc::new(lists)],
        )
        .unwrap()
    }

    #[test]
    fn a_batch_of_any_size_comes_back() {
        for rows in [0, 1, 2, 63, 64, 65, 1000] {
            let batch = batch(rows);
            let (kind, body) = encode(&batch).unwrap();
            assert_eq!(
                decode(kind, &body, &batch.schema()).unwrap(),
                batch,
                "{rows} rows"
            );
        }
    }

    #[test]
    fn a_slice_is_encoded_without_its_parent() {
        let batch = batch(10_000).slice(5_000, 100);
        let (kind, body) = encode(&batch).unwrap();
        assert!(body.len() < 20_000, "{}", body.len());
        assert_eq!(decode(kind, &body, &batch.schema()).unwrap(), batch);
    }

    #[test]
    fn a_truncated_arrow_body_is_an_error() {
        let batch = batch(100);
        let (kind, body) = encode(&batch).unwrap();
        for length in [0, 3, 7, 100, 300] {
            assert!(decode(kind, &body.slice(..length), &batch.schema()).is_err());
        }
    }
}
