//! What the coordinator needs of the log, as a trait so that tests can crash it.

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use kafka_protocol::ResponseError;
use uuid::Uuid;

use super::transaction::DataBatch;

/// A record of an internal topic; no value means that the key is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub key: Bytes,
    pub value: Option<Bytes>,
}

/// A batch as the storage wants it, which is nobody else's business.
pub type Payload = Arc<dyn Any + Send + Sync>;

/// An internal topic of one partition, compacted by key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InternalTopic {
    /// Groups and their offsets.
    ConsumerOffsets,
    /// Producer ids and transactions.
    TransactionState,
}

impl InternalTopic {
    /// The name that Apache Kafka gives it.
    pub fn name(self) -> &'static str {
        match self {
            InternalTopic::ConsumerOffsets => "__consumer_offsets",
            InternalTopic::TransactionState => "__transaction_state",
        }
    }
}

/// What becomes durable together, or not at all.
#[derive(Debug, Default)]
pub struct Write {
    /// For [`InternalTopic::ConsumerOffsets`].
    pub offsets: Vec<Record>,
    /// For [`InternalTopic::TransactionState`].
    pub transactions: Vec<Record>,
    /// Of a committed transaction.
    pub data: Vec<DataBatch>,
}

/// What became of a [`Write`]: the offset of the first record in [`InternalTopic::ConsumerOffsets`] (0 if
/// there is none), once it is durable.
pub type Durable = BoxFuture<'static, Result<u64, StorageError>>;

/// Why a write is not in the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// It may be tried again.
    #[error("the log is busy: {0}")]
    Busy(String),
    /// A topic or a partition is no longer there.
    #[error("a topic is gone: {0}")]
    TopicGone(String),
    #[error("{0}")]
    Failed(String),
}

impl StorageError {
    /// What a client of a group, or of a transaction, is told: ask again later.
    pub fn code(&self) -> ResponseError {
        match self {
            StorageError::Busy(_) | StorageError::TopicGone(_) | StorageError::Failed(_) => {
                ResponseError::CoordinatorNotAvailable
            }
        }
    }
}

/// The log, as the coordinator uses it.
pub trait Storage: Send + Sync + 'static {
    /// Puts a write in line; the order of calls is the order in the log. The future says when it is durable,
    /// and dropping it takes nothing back.
    fn append(&self, write: Write) -> Durable;

    /// Reads an internal topic from its beginning: the offset of each record, and the record. Blocks.
    fn replay(
        &self,
        topic: InternalTopic,
        visit: &mut dyn FnMut(u64, Record),
    ) -> Result<(), StorageError>;

    /// The id of a topic, if it is there and has such a partition. One that is made anew has another.
    fn topic_id(&self, topic: &str, partition: i32) -> Option<Uuid>;

    /// Whether the topic is there that a batch was made for; one that was made anew is another.
    fn takes(&self, batch: &DataBatch) -> bool {
        let partition = &batch.partition;
        self.has_partition(&partition.topic, partition.partition)
    }

    /// Whether there is such a partition.
    fn has_partition(&self, topic: &str, partition: i32) -> bool {
        self.topic_id(topic, partition).is_some()
    }
}
