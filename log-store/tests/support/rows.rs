//! Bodies that the tests understand: rows of 16 bytes, a key and a value. A value of all ones is a tombstone.

use bytes::Bytes;
use log_store::{Body, BodyCodec, BodyKind, NewBody, RowKeys};

pub const ROW_BYTES: usize = 16;

pub fn body(rows: &[(u64, u64)]) -> Bytes {
    let mut bytes = Vec::new();
    for (key, value) in rows {
        bytes.extend_from_slice(&key.to_le_bytes());
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    bytes.into()
}

pub fn rows(body: &[u8]) -> Vec<(u64, u64)> {
    let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
    body.chunks(ROW_BYTES)
        .map(|row| (word(&row[..8]), word(&row[8..])))
        .collect()
}

#[derive(Clone, Copy, Debug)]
pub struct RowCodec;

impl BodyCodec for RowCodec {
    fn merge(&self, bodies: &[Body]) -> Result<Option<NewBody>, String> {
        let bytes: Vec<u8> = bodies.iter().flat_map(|body| body.bytes.to_vec()).collect();
        Ok(Some(NewBody {
            kind: BodyKind::ARROW,
            schema_id: bodies[0].schema_id,
            bytes: bytes.into(),
        }))
    }

    fn keys(&self, body: &Body) -> Result<RowKeys, String> {
        let mut keys = RowKeys::default();
        for (key, value) in rows(&body.bytes) {
            keys.push(&key.to_le_bytes(), value == u64::MAX);
        }
        Ok(keys)
    }

    fn retain(&self, body: &Body, keep: &[bool]) -> Result<NewBody, String> {
        let kept: Vec<_> = rows(&body.bytes)
            .into_iter()
            .zip(keep)
            .filter_map(|(row, keep)| keep.then_some(row))
            .collect();
        Ok(NewBody {
            kind: body.kind,
            schema_id: body.schema_id,
            bytes: self::body(&kept),
        })
    }
}
