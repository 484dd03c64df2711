//! Who may write a table while another reads it in order to write.
//!
//! `UPDATE` and `DELETE` read a table and then write what they have computed. Nobody else may write
//! the table in between, or a change would be lost; plain inserts only exclude those two.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use crate::catalog::RelationId;

/// A lock for each relation that was ever written.
#[derive(Default)]
pub struct WriteLocks(Mutex<HashMap<RelationId, Arc<RwLock<()>>>>);

/// Held by a writer until its rows are acknowledged.
pub enum WriteGuard {
    /// Others may insert as well.
    Shared(#[expect(dead_code, reason = "held, not read")] OwnedRwLockReadGuard<()>),
    /// Nobody else writes.
    Exclusive(#[expect(dead_code, reason = "held, not read")] OwnedRwLockWriteGuard<()>),
}

impl WriteLocks {
    /// For inserting without looking.
    pub async fn shared(&self, relation: RelationId) -> WriteGuard {
        WriteGuard::Shared(self.lock_of(relation).read_owned().await)
    }

    /// For writing what depends on what is there.
    pub async fn exclusive(&self, relation: RelationId) -> WriteGuard {
        WriteGuard::Exclusive(self.lock_of(relation).write_owned().await)
    }

    /// Forgets a relation that was dropped.
    pub fn forget(&self, relation: RelationId) {
        self.0.lock().remove(&relation);
    }

    fn lock_of(&self, relation: RelationId) -> Arc<RwLock<()>> {
        self.0.lock().entry(relation).or_default().clone()
    }
}
