//! Producer ids: numbers that are never given twice, whatever happens.
//!
//! A block of them is reserved durably before the first of it is given, so that most producers get theirs
//! without waiting for the disk; what is left of a block at the end of the server is never used.

use std::sync::Arc;

use kafka_protocol::ResponseError;
use tokio::sync::Mutex;

use super::storage::{Storage, Write};
use super::transaction_records::producer_ids_record;

const BLOCK: i64 = 1_000;

/// Gives producer ids.
pub struct ProducerIds {
    storage: Arc<dyn Storage>,
    reserved: Mutex<std::ops::Range<i64>>,
}

impl ProducerIds {
    /// Goes on from the first id that may not have been given.
    pub fn new(storage: Arc<dyn Storage>, next: i64) -> Self {
        Self {
            storage,
            reserved: Mutex::new(next..next),
        }
    }

    /// An id that nobody has had.
    pub async fn next(&self) -> Result<i64, ResponseError> {
        let mut reserved = self.reserved.lock().await;
        if reserved.is_empty() {
            let end = reserved.end.saturating_add(BLOCK);
            self.storage
                .append(Write {
                    transactions: vec![producer_ids_record(end)],
                    ..Write::default()
                })
                .await
                .map_err(|error| error.code())?;
            *reserved = reserved.end..end;
        }
        reserved.next().ok_or(ResponseError::UnknownServerError)
    }
}
