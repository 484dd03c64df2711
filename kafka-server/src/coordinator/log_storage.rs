//! The coordinator's storage in the engine's log.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use engine::Engine;
use engine::topics::{InternalRecord, Prepared, TopicError, Topics};
use futures::FutureExt;
use uuid::Uuid;

use super::storage::{Durable, InternalTopic, Record, Storage, StorageError, Write};
use super::transaction::DataBatch;

/// The engine's log.
pub struct LogStorage {
    topics: Topics,
}

impl LogStorage {
    /// Makes the internal topics if they are not there. Blocks.
    ///
    /// # Errors
    /// When they cannot be made.
    pub fn open(engine: &Arc<Engine>) -> Result<Self, StorageError> {
        let topics = engine.topics();
        for topic in [
            InternalTopic::ConsumerOffsets,
            InternalTopic::TransactionState,
        ] {
            topics
                .get_or_create_internal(topic.name())
                .map_err(failure)?;
        }
        Ok(Self { topics })
    }

    fn prepare(&self, write: Write) -> Result<Vec<Prepared>, StorageError> {
        let mut batches = Vec::with_capacity(2 + write.data.len());
        let internal = [
            (InternalTopic::ConsumerOffsets, write.offsets),
            (InternalTopic::TransactionState, write.transactions),
        ];
        for (topic, records) in internal {
            if records.is_empty() {
                continue;
            }
            let records = records.into_iter().map(|record| InternalRecord {
                key: record.key,
                value: record.value,
            });
            let records: Vec<InternalRecord> = records.collect();
            let batch = self.topics.prepare_internal(topic.name(), &records);
            batches.push(batch.map_err(failure)?);
        }
        for batch in write.data {
            batches.push(prepared(&batch).clone());
        }
        Ok(batches)
    }
}

impl Storage for LogStorage {
    fn append(&self, write: Write) -> Durable {
        // The offsets' batch, if there is one, is the first.
        let has_offsets = !write.offsets.is_empty();
        let batches = match self.prepare(write) {
            Ok(batches) => batches,
            Err(error) => return async move { Err(error) }.boxed(),
        };
        let appending = self.topics.append(batches);
        async move {
            let firsts = appending.await.map_err(failure)?;
            Ok(firsts.first().copied().filter(|_| has_offsets).unwrap_or(0))
        }
        .boxed()
    }

    fn replay(
        &self,
        topic: InternalTopic,
        visit: &mut dyn FnMut(u64, Record),
    ) -> Result<(), StorageError> {
        self.topics
            .replay_internal(topic.name(), &mut |offset, record| {
                let record = Record {
                    key: record.key,
                    value: record.value,
                };
                visit(offset, record);
            })
            .map_err(failure)
    }

    fn takes(&self, batch: &DataBatch) -> bool {
        self.topics.takes(prepared(batch))
    }

    fn topic_id(&self, topic: &str, partition: i32) -> Option<Uuid> {
        self.topics.id_of(topic, partition)
    }
}

fn prepared(batch: &DataBatch) -> &Prepared {
    let prepared = batch.payload.downcast_ref();
    prepared.expect("whoever produces hands over what the topics prepared")
}

fn failure(error: TopicError) -> StorageError {
    let reason = error.to_string();
    match error {
        TopicError::UnknownTopic(_) | TopicError::UnknownPartition { .. } => {
            StorageError::TopicGone(reason)
        }
        TopicError::Busy(_) => StorageError::Busy(reason),
        _ => StorageError::Failed(reason),
    }
}
