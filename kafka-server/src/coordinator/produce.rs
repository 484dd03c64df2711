//! Records of transactions, on their way from `Produce` into what an open transaction holds.

use std::sync::Arc;

use engine::topics::Prepared;
use kafka_protocol::ResponseError;

use super::Coordinator;
use super::group::PartitionName;
use super::transaction::{DataBatch, Producer};

impl Coordinator {
    /// Keeps a batch until its transaction ends. It has no offset before that, so the producer is told −1.
    ///
    /// # Errors
    /// When the producer has no such transaction open, or a batch is missing before this one.
    pub fn produce_transactional(
        &self,
        transactional_id: &str,
        partition: i32,
        prepared: Prepared,
    ) -> Result<(), ResponseError> {
        let numbers = prepared.producer().ok_or(ResponseError::InvalidRecord)?;
        let producer = Producer {
            id: numbers.id,
            epoch: numbers.epoch,
        };
        let batch = DataBatch {
            partition: PartitionName {
                topic: prepared.topic().to_owned(),
                partition,
            },
            first_sequence: numbers.first_sequence,
            last_sequence: numbers.last_sequence,
            bytes: prepared.bytes(),
            payload: Arc::new(prepared),
        };
        // A retry of what is kept already is answered as if it were new.
        self.transactions
            .produce(transactional_id, producer, batch)
            .map(|_| ())
    }
}
