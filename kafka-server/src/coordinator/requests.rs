//! Requests about groups and transactions, one file per kind: Kafka's messages in, calls of the coordinator,
//! Kafka's messages out.

mod add_offsets_to_txn;
mod add_partitions_to_txn;
mod delete_groups;
mod describe_groups;
mod dispatch;
mod end_txn;
mod find_coordinator;
mod heartbeat;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_groups;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod sync_group;
#[cfg(test)]
mod tests;
mod txn_offset_commit;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{ApiKey, BrokerId, GroupId};
use kafka_protocol::protocol::StrBytes;

use super::wire::STRING_BYTES_MAX;

/// The versions of its requests that the coordinator speaks: from, to. Later ones of `OffsetCommit` and
/// `OffsetFetch` name topics by number; later ones of `EndTxn` and `TxnOffsetCommit` belong to a protocol of
/// transactions that is not offered.
pub const VERSIONS: &[(ApiKey, i16, i16)] = &[
    (ApiKey::OffsetCommit, 2, 9),
    (ApiKey::OffsetFetch, 1, 9),
    (ApiKey::FindCoordinator, 0, 6),
    (ApiKey::JoinGroup, 0, 9),
    (ApiKey::Heartbeat, 0, 4),
    (ApiKey::LeaveGroup, 0, 5),
    (ApiKey::SyncGroup, 0, 5),
    (ApiKey::DescribeGroups, 0, 6),
    (ApiKey::ListGroups, 0, 5),
    (ApiKey::DeleteGroups, 0, 2),
    (ApiKey::OffsetDelete, 0, 0),
    (ApiKey::InitProducerId, 0, 5),
    (ApiKey::AddPartitionsToTxn, 0, 5),
    (ApiKey::AddOffsetsToTxn, 0, 4),
    (ApiKey::EndTxn, 0, 4),
    (ApiKey::TxnOffsetCommit, 0, 4),
];

/// Who sends a request.
#[derive(Debug, Clone, Copy)]
pub struct Client<'a> {
    /// What it calls itself.
    pub id: &'a str,
    /// Its address.
    pub host: &'a str,
}

/// Where this node can be reached, as the client sees it.
#[derive(Debug, Clone)]
pub struct Node {
    pub id: BrokerId,
    pub host: StrBytes,
    pub port: i32,
}

fn code(result: Result<(), ResponseError>) -> i16 {
    match result {
        Ok(()) => 0,
        Err(error) => error.code(),
    }
}

fn error_code(error: Option<ResponseError>) -> i16 {
    error.map_or(0, |error| error.code())
}

/// The name of a group that takes part in the group protocol.
fn check_group(group: &GroupId) -> Result<(), ResponseError> {
    match group.is_empty() || group.len() > STRING_BYTES_MAX {
        true => Err(ResponseError::InvalidGroupId),
        false => Ok(()),
    }
}

/// The name of a group that keeps offsets, which may be empty as in Apache Kafka.
fn check_offsets_group(group: &str) -> Result<(), ResponseError> {
    match group.len() > STRING_BYTES_MAX {
        true => Err(ResponseError::InvalidGroupId),
        false => Ok(()),
    }
}

fn string(text: impl Into<String>) -> StrBytes {
    StrBytes::from_string(text.into())
}

fn optional(text: &Option<StrBytes>) -> Option<String> {
    text.as_ref().map(ToString::to_string)
}

/// Producers of before this code existed know the other one.
fn fenced_code(error: ResponseError, version: i16, since: i16) -> i16 {
    match error {
        ResponseError::ProducerFenced if version < since => {
            ResponseError::InvalidProducerEpoch.code()
        }
        error => error.code(),
    }
}
