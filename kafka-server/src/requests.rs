//! Requests about topics and their records, one file per kind; those about groups and transactions are the
//! coordinator's.

mod api_versions;
mod assignment;
mod broker_settings;
mod configs;
mod create_partitions;
mod create_topics;
mod delete_records;
mod delete_topics;
mod describe_cluster;
mod fetch;
mod list_offsets;
mod metadata;
mod offset_for_leader_epoch;
pub(crate) mod produce;

use bytes::{Bytes, BytesMut};
use engine::topics::TopicError;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{ApiKey, DescribeClusterRequest, TopicName};
use kafka_protocol::protocol::{Encodable, StrBytes};

use crate::coordinator::{self, Client, Coordinator, Node};
use crate::decoding::{Malformed, decode};
use crate::server::Shared;

/// The number of this node, which is the only one.
pub(crate) const NODE_ID: i32 = 1;

/// The versions that are spoken, but for the coordinator's. From later ones of `Produce` and `Fetch` on
/// topics come by number; librdkafka compresses only if `Produce` begins at 0, so that is what is told.
const VERSIONS: &[(ApiKey, i16, i16)] = &[
    (ApiKey::Produce, 3, 11),
    (ApiKey::Fetch, 4, 12),
    (ApiKey::ListOffsets, 1, 7),
    (ApiKey::Metadata, 0, 12),
    (ApiKey::SaslHandshake, 0, 1),
    (ApiKey::ApiVersions, 0, 4),
    (ApiKey::CreateTopics, 2, 7),
    (ApiKey::DeleteTopics, 1, 6),
    (ApiKey::DeleteRecords, 0, 2),
    (ApiKey::OffsetForLeaderEpoch, 2, 4),
    (ApiKey::DescribeConfigs, 1, 4),
    (ApiKey::AlterConfigs, 0, 2),
    (ApiKey::SaslAuthenticate, 0, 2),
    (ApiKey::CreatePartitions, 0, 3),
    (ApiKey::IncrementalAlterConfigs, 0, 1),
    (ApiKey::DescribeCluster, 0, 1),
];

/// All kinds of requests that are answered, and in which versions.
pub(crate) fn versions() -> impl Iterator<Item = (ApiKey, i16, i16)> {
    VERSIONS.iter().chain(coordinator::VERSIONS).copied()
}

/// Whether a version of a request is answered.
pub(crate) fn speaks(key: ApiKey, version: i16) -> bool {
    versions().any(|(known, from, to)| known == key && (from..=to).contains(&version))
}

/// A request, but for its body.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub key: ApiKey,
    pub version: i16,
    pub client: Client<'a>,
    pub node: &'a Node,
}

/// Answers a request: the body of the answer is put behind what is in `out`.
pub(crate) async fn answer(
    shared: &Shared,
    asked: Asked<'_>,
    mut body: Bytes,
    out: &mut BytesMut,
) -> Result<(), Malformed> {
    let version = asked.version;
    if Coordinator::is_asked(asked.key) {
        let key = (asked.key, version);
        let (node, client) = (asked.node, asked.client);
        return shared
            .coordinator
            .answer(node, client, key, body, out)
            .await;
    }
    let body = &mut body;
    match asked.key {
        ApiKey::ApiVersions => {
            let (answer, version) = api_versions::answer(version);
            write(answer, version, out)
        }
        ApiKey::Metadata => {
            let request = decode(body, version)?;
            let answer = metadata::answer(shared, asked.node, version, request).await;
            write(answer, version, out)
        }
        ApiKey::Fetch => {
            let request = decode(body, version)?;
            write(fetch::answer(shared, request).await, version, out)
        }
        ApiKey::ListOffsets => {
            let request = decode(body, version)?;
            write(list_offsets::answer(shared, version, request), version, out)
        }
        ApiKey::CreateTopics => {
            let request = decode(body, version)?;
            write(create_topics::answer(shared, request).await, version, out)
        }
        ApiKey::DeleteTopics => {
            let request = decode(body, version)?;
            write(
                delete_topics::answer(shared, version, request).await,
                version,
                out,
            )
        }
        ApiKey::CreatePartitions => {
            let request = decode(body, version)?;
            write(
                create_partitions::answer(shared, request).await,
                version,
                out,
            )
        }
        ApiKey::DeleteRecords => {
            let request = decode(body, version)?;
            write(delete_records::answer(shared, request).await, version, out)
        }
        ApiKey::DescribeConfigs => {
            let request = decode(body, version)?;
            write(configs::describe(shared, asked.node, request), version, out)
        }
        ApiKey::AlterConfigs => {
            let request = decode(body, version)?;
            write(configs::alter(shared, request).await, version, out)
        }
        ApiKey::IncrementalAlterConfigs => {
            let request = decode(body, version)?;
            write(
                configs::alter_incrementally(shared, request).await,
                version,
                out,
            )
        }
        ApiKey::DescribeCluster => {
            let _: DescribeClusterRequest = decode(body, version)?;
            write(describe_cluster::answer(shared, asked.node), version, out)
        }
        ApiKey::OffsetForLeaderEpoch => {
            let request = decode(body, version)?;
            write(
                offset_for_leader_epoch::answer(shared, request),
                version,
                out,
            )
        }
        other => Err(Malformed(format!("{other:?} is not expected here"))),
    }
}

fn write<M: Encodable>(answer: M, version: i16, out: &mut BytesMut) -> Result<(), Malformed> {
    answer
        .encode(out, version)
        .map_err(|error| Malformed(error.to_string()))
}

fn string(text: impl Into<String>) -> StrBytes {
    StrBytes::from_string(text.into())
}

fn topic_name(name: impl Into<String>) -> TopicName {
    string(name).into()
}

/// Kafka's code of what can go wrong with a topic.
pub(crate) fn code(error: &TopicError) -> ResponseError {
    match error {
        TopicError::UnknownTopic(_) | TopicError::UnknownPartition { .. } => {
            ResponseError::UnknownTopicOrPartition
        }
        TopicError::TopicExists(_) => ResponseError::TopicAlreadyExists,
        TopicError::InvalidTopic(_) => ResponseError::InvalidTopicException,
        TopicError::InvalidPartitions(_) => ResponseError::InvalidPartitions,
        TopicError::InvalidConfig(_) => ResponseError::InvalidConfig,
        TopicError::InUse(_) => ResponseError::PolicyViolation,
        TopicError::OffsetOutOfRange { .. } => ResponseError::OffsetOutOfRange,
        TopicError::Corrupt(_) => ResponseError::CorruptMessage,
        TopicError::UnsupportedFormat(_) => ResponseError::UnsupportedForMessageFormat,
        TopicError::UnsupportedCompression(_) => ResponseError::UnsupportedCompressionType,
        TopicError::TooLarge(_) => ResponseError::MessageTooLarge,
        TopicError::InvalidRecord(_) => ResponseError::InvalidRecord,
        TopicError::InvalidTimestamp(_) => ResponseError::InvalidTimestamp,
        TopicError::OutOfOrderSequence(_) => ResponseError::OutOfOrderSequenceNumber,
        TopicError::DuplicateSequence(_) => ResponseError::DuplicateSequenceNumber,
        TopicError::ProducerFenced(_) => ResponseError::InvalidProducerEpoch,
        // Clients try this again.
        TopicError::Busy(_) | TopicError::ShuttingDown => ResponseError::NotLeaderOrFollower,
        TopicError::Storage(_) => ResponseError::KafkaStorageError,
        TopicError::Internal(_) => ResponseError::UnknownServerError,
    }
}
