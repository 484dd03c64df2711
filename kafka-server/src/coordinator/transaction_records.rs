//! The records of `__transaction_state`: one per transactional id, and one for producer ids.
//!
//! ```text
//! key   = "t" transactional id        value = a Stored as JSON
//! key   = "p"                         value = the first producer id that may not have been given, in decimals
//! ```

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::storage::Record;

/// What a key is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransactionKey {
    Transaction(String),
    ProducerIds,
}

/// Where a transaction stands on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StoredState {
    /// The producer has not begun any with this epoch.
    Empty,
    /// Begun. What is found so at a start is lost.
    Ongoing,
    CompleteCommit,
    CompleteAbort,
}

/// A transactional id as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    pub producer_id: i64,
    pub epoch: i16,
    /// The epoch before, if the present one was asked for by its owner; else −1.
    pub last_epoch: i16,
    /// The producer id before this one, if its epochs were used up; else −1.
    pub previous_producer_id: i64,
    pub timeout_ms: i32,
    pub state: StoredState,
    /// Wall clock, milliseconds.
    pub updated_at: i64,
}

const PRODUCER_IDS: &[u8] = b"p";

fn transaction_key(id: &str) -> Bytes {
    let mut key = Vec::with_capacity(1 + id.len());
    key.push(b't');
    key.extend_from_slice(id.as_bytes());
    key.into()
}

/// The record of a transactional id; `None` if it is to be forgotten.
pub fn transaction_record(id: &str, stored: Option<&Stored>) -> Record {
    Record {
        key: transaction_key(id),
        value: stored.map(|stored| {
            serde_json::to_vec(stored)
                .expect("numbers and names can be written as JSON")
                .into()
        }),
    }
}

/// The record that all producer ids below `next` may have been given.
pub fn producer_ids_record(next: i64) -> Record {
    Record {
        key: Bytes::from_static(PRODUCER_IDS),
        value: Some(next.to_string().into()),
    }
}

/// Reads a key; `None` if it is none of ours.
pub fn read_key(key: &[u8]) -> Option<TransactionKey> {
    match key.split_first()? {
        (b't', id) => Some(TransactionKey::Transaction(
            std::str::from_utf8(id).ok()?.to_owned(),
        )),
        (b'p', []) => Some(TransactionKey::ProducerIds),
        _ => None,
    }
}

/// Reads a transactional id's value.
pub fn read_transaction(value: &[u8]) -> Option<Stored> {
    serde_json::from_slice(value).ok()
}

/// Reads the value of the producer ids.
pub fn read_producer_ids(value: &[u8]) -> Option<i64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}
