//! What can go wrong with topics. Each variant has one error code of Kafka.

use log_store::LogError;

use crate::error::Error;
use crate::records::BatchError;

/// Why a request about a topic is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    #[error("topic \"{0}\" does not exist")]
    UnknownTopic(String),
    #[error("topic \"{topic}\" has no partition {partition}")]
    UnknownPartition { topic: String, partition: i32 },
    #[error("topic \"{0}\" already exists")]
    TopicExists(String),
    /// A name that no topic can have, or that is the server's own.
    #[error("{0}")]
    InvalidTopic(String),
    #[error("{0}")]
    InvalidPartitions(String),
    /// A setting that there is none of, or a value that it cannot have.
    #[error("{0}")]
    InvalidConfig(String),
    /// Somebody depends on what would be taken away.
    #[error("{0}")]
    InUse(String),
    #[error("offset {offset} is out of range: the partition holds {start} to {end}")]
    OffsetOutOfRange { offset: i64, start: i64, end: i64 },
    /// The bytes of a batch are damaged.
    #[error("{0}")]
    Corrupt(String),
    #[error("{0}")]
    UnsupportedFormat(String),
    #[error("{0}")]
    UnsupportedCompression(String),
    #[error("{0}")]
    TooLarge(String),
    /// Records that do not fit the topic.
    #[error("{0}")]
    InvalidRecord(String),
    #[error("{0}")]
    InvalidTimestamp(String),
    #[error("{0}")]
    OutOfOrderSequence(String),
    #[error("{0}")]
    DuplicateSequence(String),
    #[error("{0}")]
    ProducerFenced(String),
    /// It may be tried again.
    #[error("{0}")]
    Busy(String),
    /// The disk, or what is on it.
    #[error("{0}")]
    Storage(String),
    #[error("the server is shutting down")]
    ShuttingDown,
    #[error("internal error: {0}")]
    Internal(String),
}

impl TopicError {
    /// What the log says of a topic that the client knows by this name.
    pub(crate) fn of_log(error: LogError, topic: &str) -> Self {
        match &error {
            LogError::UnknownTopic(_) => TopicError::UnknownTopic(topic.to_owned()),
            LogError::UnknownPartition { partition, .. } => TopicError::UnknownPartition {
                topic: topic.to_owned(),
                partition: partition.0 as i32,
            },
            LogError::TopicExists(name) => TopicError::TopicExists(name.clone()),
            LogError::InvalidConfig(reason) => TopicError::InvalidConfig(reason.clone()),
            LogError::InvalidBatch(reason) => TopicError::TooLarge(reason.clone()),
            LogError::OffsetOutOfRange { offset, start, end } => TopicError::OffsetOutOfRange {
                offset: offset.0 as i64,
                start: start.0 as i64,
                end: end.0 as i64,
            },
            LogError::OutOfOrderSequence { .. } => {
                TopicError::OutOfOrderSequence(error.to_string())
            }
            LogError::DuplicateSequence { .. } => TopicError::DuplicateSequence(error.to_string()),
            LogError::ProducerFenced { .. } => TopicError::ProducerFenced(error.to_string()),
            LogError::Overloaded { .. } => TopicError::Busy(error.to_string()),
            LogError::Closed => TopicError::ShuttingDown,
            LogError::WrongKind { .. } => {
                TopicError::InvalidRecord(format!("topic \"{topic}\" is written by a query"))
            }
            LogError::InUse(_)
            | LogError::FormatVersion { .. }
            | LogError::Corruption(_)
            | LogError::EpochIncomplete { .. }
            | LogError::DiskFull
            | LogError::Io { .. }
            | LogError::Poisoned { .. }
            | LogError::Failed(_) => TopicError::Storage(error.to_string()),
            LogError::EpochNotAfter { .. } | LogError::Codec(_) => {
                TopicError::Internal(error.to_string())
            }
        }
    }

    /// What the engine says while it does something about this topic.
    pub(crate) fn of_engine(error: Error, topic: &str) -> Self {
        match error {
            Error::ShuttingDown => TopicError::ShuttingDown,
            Error::Data(_) | Error::Statement(_) => {
                TopicError::InvalidRecord(format!("topic \"{topic}\": {error}"))
            }
            Error::DiskFull | Error::Log(_) | Error::Corruption(_) | Error::Io { .. } => {
                TopicError::Storage(error.to_string())
            }
            other => TopicError::Internal(other.to_string()),
        }
    }
}

impl From<BatchError> for TopicError {
    fn from(error: BatchError) -> Self {
        let reason = error.to_string();
        match error {
            BatchError::Corrupt(_) => TopicError::Corrupt(reason),
            BatchError::Magic(_) => TopicError::UnsupportedFormat(reason),
            BatchError::Compression(_) => TopicError::UnsupportedCompression(reason),
            BatchError::TooLarge { .. } => TopicError::TooLarge(reason),
            BatchError::Invalid(_) => TopicError::InvalidRecord(reason),
        }
    }
}
