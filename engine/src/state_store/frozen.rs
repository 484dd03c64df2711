//! The database as it was at one moment, for a reader that outlives the steps after it.
//!
//! `unsafe`, because RocksDB's snapshot borrows its database, and a reader
//! has to own both.

#![expect(
    unsafe_code,
    reason = "a snapshot and the database that it borrows live in one value"
)]

use std::sync::Arc;

use rocksdb::{DB, Snapshot};

use crate::operator::{ChunkSource, StepError};

/// A snapshot together with its database.
///
/// Invariant: `snapshot` borrows the `DB` inside `_db`, whose address does not change while an
/// `Arc` of it lives; fields are dropped in their order, so the snapshot goes first; and nobody
/// gets the snapshot out of here.
pub(super) struct FrozenDb {
    snapshot: Snapshot<'static>,
    _db: Arc<DB>,
}

impl FrozenDb {
    pub(super) fn new(db: Arc<DB>) -> Arc<Self> {
        // SAFETY: see the invariant of the struct.
        let borrowed: &'static DB = unsafe { &*Arc::as_ptr(&db) };
        Arc::new(Self {
            snapshot: borrowed.snapshot(),
            _db: db,
        })
    }
}

/// The entries of one owner as they were.
pub(super) struct FrozenReader {
    db: Arc<FrozenDb>,
    prefix: Vec<u8>,
}

impl FrozenReader {
    pub(super) fn new(db: Arc<FrozenDb>, prefix: Vec<u8>) -> Self {
        Self { db, prefix }
    }
}

impl std::fmt::Debug for FrozenReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let owner = String::from_utf8_lossy(&self.prefix[2..]);
        write!(f, "FrozenReader({owner})")
    }
}

impl ChunkSource for FrozenReader {
    fn get_many(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StepError> {
        let keys = keys.iter().map(|key| [&self.prefix[..], key].concat());
        self.db
            .snapshot
            .multi_get(keys)
            .into_iter()
            .map(|value| value.map_err(super::unreadable))
            .collect()
    }

    fn freeze(&self) -> Result<Arc<dyn ChunkSource>, StepError> {
        Ok(Arc::new(Self::new(self.db.clone(), self.prefix.clone())))
    }
}
