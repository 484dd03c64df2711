//! What the log must ask the engine about bodies, which are opaque to it.

use bytes::Bytes;

use crate::{BodyKind, TopicId};

/// A body as it is stored, uncompressed.
#[derive(Clone, Debug)]
pub struct Body {
    /// Of which topic.
    pub topic: TopicId,
    /// The engine's encoding.
    pub kind: BodyKind,
    /// The engine's number for the schema.
    pub schema_id: u32,
    /// How many rows it holds.
    pub rows: u32,
    /// The rows.
    pub bytes: Bytes,
}

/// A body that a codec made. It has exactly the rows that were asked for, in the same order.
#[derive(Clone, Debug)]
pub struct NewBody {
    /// The engine's encoding.
    pub kind: BodyKind,
    /// The engine's number for the schema.
    pub schema_id: u32,
    /// The rows.
    pub bytes: Bytes,
}

/// The key of each row of a body.
#[derive(Clone, Debug, Default)]
pub struct RowKeys {
    /// All keys, one after the other.
    pub bytes: Vec<u8>,
    /// Where each row's key ends in `bytes`.
    pub ends: Vec<u32>,
    /// Whether each row says that its key is gone.
    pub tombstones: Vec<bool>,
}

impl RowKeys {
    /// The key of a row.
    pub fn key(&self, row: usize) -> &[u8] {
        let start = match row {
            0 => 0,
            _ => self.ends[row - 1] as usize,
        };
        &self.bytes[start..self.ends[row] as usize]
    }

    /// Adds a row.
    pub fn push(&mut self, key: &[u8], tombstone: bool) {
        self.bytes.extend_from_slice(key);
        self.ends.push(self.bytes.len() as u32);
        self.tombstones.push(tombstone);
    }
}

/// Understands bodies; handed in by the engine, called only by the background work of a log.
///
/// An error leaves the segment as it is; it is logged, and the work is tried again after the log is opened anew.
pub trait BodyCodec: Send + Sync + 'static {
    /// Combines bodies (of one topic and schema, in order) into one. `None`: leave them as they are.
    fn merge(&self, bodies: &[Body]) -> Result<Option<NewBody>, String>;

    /// The key of each row, for compaction.
    fn keys(&self, body: &Body) -> Result<RowKeys, String>;

    /// The body with only the rows for which `keep` is true (at least one is).
    fn retain(&self, body: &Body, keep: &[bool]) -> Result<NewBody, String>;
}

/// A codec for logs whose bodies nobody understands: nothing is merged, and compaction is refused.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpaqueBodies;

impl BodyCodec for OpaqueBodies {
    fn merge(&self, _bodies: &[Body]) -> Result<Option<NewBody>, String> {
        Ok(None)
    }

    fn keys(&self, _body: &Body) -> Result<RowKeys, String> {
        Err("the bodies are opaque".into())
    }

    fn retain(&self, _body: &Body, _keep: &[bool]) -> Result<NewBody, String> {
        Err("the bodies are opaque".into())
    }
}
