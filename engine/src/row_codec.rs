//! What the log asks of bodies: merging small batches, and keeping the last row of each key.

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute;
use arrow::datatypes::Int8Type;
use arrow::row::{RowConverter, SortField};
use log_store::{Body, BodyCodec, NewBody, RowKeys};

use crate::body_codec::{self, Schemas};
use crate::catalog::LOG_WEIGHT;

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
        if body.kind == log_store::BodyKind::RAW {
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
        let batch = self
            .decode(body)?
            .ok_or_else(|| "bodies of this topic cannot be read".to_owned())?;
        let kept = compute::filter_record_batch(&batch, &BooleanArray::from(keep.to_vec()))
            .map_err(|error| error.to_string())?;
        encode(&kept, body.schema_id)
    }
}

fn encode(batch: &RecordBatch, schema_id: u32) -> Result<NewBody, String> {
    let (kind, bytes) = body_codec::encode(batch).map_err(|error| error.to_string())?;
    Ok(NewBody {
        kind,
        schema_id,
        bytes,
    })
}
