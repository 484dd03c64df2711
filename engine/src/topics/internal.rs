//! The topics that the server keeps for itself. Those that Apache Kafka has too hold keyed records in one compacted
//! partition, and clients may look into them.

use bytes::Bytes;
use log_store::{Cleanup, Epoch, PartitionId, Topic, TopicConfig};

use super::append::{RECORDS_BYTES_MAX, raw_body};
use super::{Found, Prepared, TopicError, Topics};
use crate::catalog::CATALOG_TOPIC;
use crate::mill::PROGRESS_TOPIC;
use crate::records::{BatchBuilder, Codec, KafkaBatch};

/// Names of those that clients see, which are those that Apache Kafka has for them.
pub const INTERNAL_TOPICS: [&str; 2] = ["__consumer_offsets", "__transaction_state"];

/// Names of those that nobody sees.
const HIDDEN_TOPICS: [&str; 2] = [CATALOG_TOPIC, PROGRESS_TOPIC];

/// Whether the server keeps a topic of this name for itself, so that nobody else may make one. Other names are anybody's,
/// also those that begin with two underscores.
pub fn is_internal(name: &str) -> bool {
    INTERNAL_TOPICS.contains(&name) || HIDDEN_TOPICS.contains(&name)
}

/// How long it is remembered that a key is gone.
const TOMBSTONE_RETENTION_MS: u64 = 24 * 3600 * 1000;

/// Small, so that compaction, which leaves the newest alone, has something to do.
const SEGMENT_BYTES: u64 = 4 << 20;

/// A record of an internal topic; no value means that the key is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InternalRecord {
    pub key: Bytes,
    pub value: Option<Bytes>,
}

impl Topics {
    /// Makes an internal topic unless it is there. Blocks.
    pub fn get_or_create_internal(&self, name: &str) -> Result<(), TopicError> {
        if !INTERNAL_TOPICS.contains(&name) {
            return Err(TopicError::InvalidTopic(format!(
                "topic \"{name}\" is not the server's own"
            )));
        }
        let log = &self.engine.log;
        if let Some(topic) = log.topic_by_name(name) {
            return self.compact_internal(&topic);
        }
        let config = TopicConfig {
            cleanup: Cleanup::Compact {
                tombstone_retention_ms: TOMBSTONE_RETENTION_MS,
            },
            segment_bytes: Some(SEGMENT_BYTES),
            ..TopicConfig::ingested(name, 1)
        };
        let topic = log
            .create_topic(config)
            .map_err(|error| TopicError::of_log(error, name))?;
        self.compact_internal(&topic)
    }

    /// Nobody replays epochs of an internal topic: the last record of each key is all that counts.
    fn compact_internal(&self, topic: &Topic) -> Result<(), TopicError> {
        self.engine
            .log
            .set_compaction_bound(topic.id(), Epoch::MAX)
            .map_err(|error| TopicError::of_log(error, topic.name()))
    }

    /// Puts records into a batch for an internal topic, to be appended with others.
    pub fn prepare_internal(
        &self,
        name: &str,
        records: &[InternalRecord],
    ) -> Result<Prepared, TopicError> {
        let found = self.find_internal(name)?;
        let now = self.engine.now() / 1000;
        let mut builder = BatchBuilder::new(Codec::None);
        for record in records {
            builder.append(now, Some(&record.key), record.value.as_deref());
        }
        if builder.is_empty() {
            return Err(TopicError::InvalidRecord("there are no records".into()));
        }
        let batch = KafkaBatch::new(builder.build(0))?;
        let body = raw_body(&found, PartitionId(0), records.len() as u32, &batch);
        Ok(Prepared::internal(name, body))
    }

    /// Reads all records of an internal topic with their offsets. Blocks.
    pub fn replay_internal(
        &self,
        name: &str,
        visit: &mut dyn FnMut(u64, InternalRecord),
    ) -> Result<(), TopicError> {
        let found = self.find_internal(name)?;
        let held = found.partition(0)?;
        let mut next = held.start_offset().0;
        loop {
            let batches = self.read(&found, &held, next, 4 << 20)?;
            let Some(last) = batches.last() else {
                return Ok(());
            };
            next = last.last_offset.0 + 1;
            for stored in &batches {
                let records = KafkaBatch::new(stored.body.clone())?.records(RECORDS_BYTES_MAX)?;
                for record in &records {
                    let record = record?;
                    let Some(key) = record.key else { continue };
                    let offset = stored.base_offset.0 + record.offset_delta as u64;
                    let record = InternalRecord {
                        key: Bytes::copy_from_slice(key),
                        value: record.value.map(Bytes::copy_from_slice),
                    };
                    visit(offset, record);
                }
            }
        }
    }

    fn find_internal(&self, name: &str) -> Result<Found, TopicError> {
        let topic = self.engine.log.topic_by_name(name);
        let topic = topic.ok_or_else(|| TopicError::UnknownTopic(name.to_owned()))?;
        Ok(Found { topic, entry: None })
    }
}
