//! What the log asks of bodies: merging small batches, and keeping the last row of each key.

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute;
use arrow::datatypes::Int8Type;
use arrow::row::{RowConverter, SortField};
use log_store::{Body, BodyCodec, BodyKind, NewBody, RowKeys};

use crate::body_codec::{self, Schemas};
use crate::catalog::LOG_WEIGHT;
use crate::records::{BatchError, KafkaBatch, retain_records};

/// What the records of one batch may take decompressed.
const RECORDS_BYTES_MAX: usize = 256 << 20;

/// The engine's knowledge of bodies.
pub struct Codec {
    schemas: Schemas,
}

impl Codec {
    pub fn new(schemas: Schemas) -> Self {
        Self { schemas }
    }

    /// `None` for a topic that is not columnar, or not known yet.
    fn decode(&self, body: &Body) -> Result<Option<RecordBatch>, String> {
        if body.kind == BodyKind::RAW {
            return Ok(None);
        }
        let Some(schema) = self.schemas.get(body.topic.0, body.schema_id) else {
            return Ok(None);
        };
        body_codec::decode(body.kind, &body.bytes, &schema)
            .map(Some)
            .map_err(|error| error.to_string())
    }
}

impl BodyCodec for Codec {
    fn merge(&self, bodies: &[Body]) -> Result<Option<NewBody>, String> {
        let mut batches = Vec::with_capacity(bodies.len());
        for body in bodies {
            match self.decode(body)? {
                Some(batch) => batches.push(batch),
                None => return Ok(None),
            }
        }
        let Some(first) = batches.first() else {
            return Ok(None);
        };
        let merged = compute::concat_batches(&first.schema(), &batches)
            .map_err(|error| error.to_string())?;
        Ok(Some(encode(&merged, bodies[0].schema_id)?))
    }

    fn keys(&self, body: &Body) -> Result<RowKeys, String> {
        if body.kind == BodyKind::RAW {
            return keys_of_records(body).map_err(|error| error.to_string());
        }
        let batch = self
            .decode(body)?
            .ok_or_else(|| "bodies of this topic have no keys".to_owned())?;
        let key = self
            .schemas
            .key(body.topic.0)
            .ok_or_else(|| "rows of this topic have no key".to_owned())?;
        let columns: Vec<_> = key
            .iter()
            .map(|column| batch.column(*column).clone())
            .collect();
        let fields = columns
            .iter()
            .map(|column| SortField::new(column.data_type().clone()))
            .collect();
        let converter = RowConverter::new(fields).map_err(|error| error.to_string())?;
        let rows = converter
            .convert_columns(&columns)
            .map_err(|error| error.to_string())?;
        let weights = batch
            .column_by_name(LOG_WEIGHT)
            .ok_or_else(|| "rows of this topic have no weight".to_owned())?
            .as_primitive::<Int8Type>();
        let mut keys = RowKeys::default();
        for (row, key) in rows.iter().enumerate() {
            keys.push(
                key.as_ref(),
                weights.is_valid(row) && weights.value(row) < 0,
            );
        }
        Ok(keys)
    }

    fn retain(&self, body: &Body, keep: &[bool]) -> Result<NewBody, String> {
        if body.kind == BodyKind::RAW {
            return retain_of_records(body, keep).map_err(|error| error.to_string());
        }
        let batch = self
            .decode(body)?
            .ok_or_else(|| "bodies of this topic cannot be read".to_owned())?;
        let kept = compute::filter_record_batch(&batch, &BooleanArray::from(keep.to_vec()))
            .map_err(|error| error.to_string())?;
        encode(&kept, body.schema_id)
    }
}

/// The keys of Kafka's records. Those without one are taken for one key, of which the last stays.
fn keys_of_records(body: &Body) -> Result<RowKeys, BatchError> {
    let records = KafkaBatch::new(body.bytes.clone())?.records(RECORDS_BYTES_MAX)?;
    let mut keys = RowKeys::default();
    let mut key = Vec::new();
    for record in &records {
        let record = record?;
        key.clear();
        if let Some(bytes) = record.key {
            // An empty key is not the same as none.
            key.push(1);
            key.extend_from_slice(bytes);
        }
        keys.push(&key, record.value.is_none());
    }
    Ok(keys)
}

fn retain_of_records(body: &Body, keep: &[bool]) -> Result<NewBody, BatchError> {
    let batch = KafkaBatch::new(body.bytes.clone())?;
    let records = batch.records(RECORDS_BYTES_MAX)?;
    // Offsets have gaps where records are gone already.
    let mut kept = Vec::with_capacity(keep.len());
    for (record, keep) in records.iter().zip(keep) {
        let delta = record?.offset_delta;
        if *keep {
            kept.push(delta);
        }
    }
    let keep = |delta: i32| kept.binary_search(&delta).is_ok();
    Ok(NewBody {
        kind: BodyKind::RAW,
        schema_id: body.schema_id,
        bytes: retain_records(&batch, keep, RECORDS_BYTES_MAX)?,
    })
}

fn encode(batch: &RecordBatch, schema_id: u32) -> Result<NewBody, String> {
    let (kind, bytes) = body_codec::encode(batch).map_err(|error| error.to_string())?;
    Ok(NewBody {
        kind,
        schema_id,
        bytes,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int8Array, Int64Array, StringArray};
    use arrow_schema::{DataType, Field, Schema};
    use log_store::{BodyKind, TopicId};

    use super::*;

    /// A topic whose rows have the key `k`.
    fn codec() -> (Codec, Arc<Schema>) {
        let schema = Arc::new(Schema::new(vec![
            Field::new("v", DataType::Int64, true),
            Field::new("k", DataType::Utf8, true),
            Field::new(crate::catalog::LOG_ROWTIME, DataType::Int64, true),
            Field::new(LOG_WEIGHT, DataType::Int8, true),
        ]));
        let schemas = Schemas::default();
        schemas.insert(7, schema.clone(), vec![1]);
        (Codec::new(schemas), schema)
    }

    fn body(schema: &Arc<Schema>, rows: &[(i64, &str, i8)]) -> Body {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1))),
            Arc::new(Int64Array::from_value(5, rows.len())),
            Arc::new(Int8Array::from_iter_values(rows.iter().map(|row| row.2))),
        ];
        let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();
        let (kind, bytes) = body_codec::encode(&batch).unwrap();
        Body {
            topic: TopicId(7),
            kind,
            schema_id: 0,
            rows: rows.len() as u32,
            bytes,
        }
    }

    fn values(schema: &Arc<Schema>, made: &NewBody) -> Vec<i64> {
        let batch = body_codec::decode(made.kind, &made.bytes, schema).unwrap();
        let values = batch
            .column(0)
            .as_primitive::<arrow::datatypes::Int64Type>();
        values.values().to_vec()
    }

    #[test]
    fn merged_bodies_hold_all_rows_in_order() {
        let (codec, schema) = codec();
        let bodies: Vec<Body> = (0..100).map(|i| body(&schema, &[(i, "a", 1)])).collect();
        let merged = codec.merge(&bodies).unwrap().unwrap();
        assert_eq!(merged.kind, BodyKind::ARROW);
        assert_eq!(values(&schema, &merged), (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn rows_are_equal_by_key_alone_and_tombstones_are_known() {
        let (codec, schema) = codec();
        let keys = codec
            .keys(&body(&schema, &[(1, "a", 1), (2, "b", 1), (3, "a", -1)]))
            .unwrap();
        assert_eq!(keys.key(0), keys.key(2));
        assert_ne!(keys.key(0), keys.key(1));
        assert_eq!(keys.tombstones, [false, false, true]);
    }

    fn records(bytes: bytes::Bytes, rows: u32) -> Body {
        Body {
            topic: TopicId(9),
            kind: BodyKind::RAW,
            schema_id: 0,
            rows,
            bytes,
        }
    }

    #[test]
    fn records_of_kafka_are_told_apart_by_their_keys_and_thinned_out() {
        let codec = Codec::new(Schemas::default());
        let mut builder = crate::records::BatchBuilder::new(crate::records::Codec::Lz4);
        builder.append(1, Some(b"a"), Some(b"1"));
        builder.append(2, Some(b""), Some(b"2"));
        builder.append(3, None, Some(b"3"));
        builder.append(4, Some(b"a"), None);
        let whole = records(builder.build(0), 4);
        let keys = codec.keys(&whole).unwrap();
        assert_eq!(keys.key(0), keys.key(3));
        assert_ne!(keys.key(1), keys.key(2));
        assert_eq!(keys.tombstones, [false, false, false, true]);
        // Twice, so that there are gaps already.
        let once = codec.retain(&whole, &[false, true, true, true]).unwrap();
        let once = records(once.bytes, 3);
        assert_eq!(codec.keys(&once).unwrap().ends.len(), 3);
        let twice = codec.retain(&once, &[false, true, true]).unwrap();
        let batch = KafkaBatch::new(twice.bytes).unwrap();
        batch.validate().unwrap();
        let left = batch.records(1 << 20).unwrap();
        let left: Vec<_> = left.iter().map(|record| record.unwrap()).collect();
        let offsets: Vec<i32> = left.iter().map(|record| record.offset_delta).collect();
        assert_eq!(offsets, [2, 3]);
        assert_eq!(left[1].value, None);
    }

    #[test]
    fn what_is_retained_is_what_was_asked_for() {
        let (codec, schema) = codec();
        let body = body(&schema, &[(1, "a", 1), (2, "b", 1), (3, "a", -1)]);
        let kept = codec.retain(&body, &[false, true, true]).unwrap();
        assert_eq!(values(&schema, &kept), [2, 3]);
    }
}
