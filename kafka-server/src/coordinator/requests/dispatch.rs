//! From the bytes of a request to those of its answer.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, ApiKey, DeleteGroupsRequest,
    DescribeGroupsRequest, EndTxnRequest, FindCoordinatorRequest, HeartbeatRequest,
    InitProducerIdRequest, JoinGroupRequest, LeaveGroupRequest, ListGroupsRequest,
    OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest, SyncGroupRequest,
    TxnOffsetCommitRequest,
};
use kafka_protocol::protocol::Encodable;

use super::{Client, Node, VERSIONS};
use crate::coordinator::Coordinator;
use crate::decoding::{Malformed, decode};

fn write<T: Encodable>(answer: T, version: i16, out: &mut BytesMut) -> Result<(), Malformed> {
    answer
        .encode(out, version)
        .map_err(|error| Malformed(error.to_string()))
}

impl Coordinator {
    /// Whether a request is about groups, offsets, producer ids or transactions.
    pub fn is_asked(key: ApiKey) -> bool {
        VERSIONS.iter().any(|(known, ..)| *known == key)
    }

    /// Answers a request that the coordinator is asked, in a version that it speaks: the body of the answer
    /// is put behind what is in `out`. Joining a group waits for its other members.
    ///
    /// # Errors
    /// When the request cannot be read.
    pub async fn answer(
        &self,
        node: &Node,
        client: Client<'_>,
        (key, version): (ApiKey, i16),
        mut body: Bytes,
        out: &mut BytesMut,
    ) -> Result<(), Malformed> {
        let body = &mut body;
        match key {
            ApiKey::FindCoordinator => {
                let request: FindCoordinatorRequest = decode(body, version)?;
                write(self.find_coordinator(node, version, request), version, out)
            }
            ApiKey::JoinGroup => {
                let request: JoinGroupRequest = decode(body, version)?;
                let answer = self.join_group(client, version, request).await;
                write(answer, version, out)
            }
            ApiKey::SyncGroup => {
                let request: SyncGroupRequest = decode(body, version)?;
                write(self.sync_group(request).await, version, out)
            }
            ApiKey::Heartbeat => {
                let request: HeartbeatRequest = decode(body, version)?;
                write(self.heartbeat(request), version, out)
            }
            ApiKey::LeaveGroup => {
                let request: LeaveGroupRequest = decode(body, version)?;
                write(self.leave_group(version, request), version, out)
            }
            ApiKey::DescribeGroups => {
                let request: DescribeGroupsRequest = decode(body, version)?;
                write(self.describe_groups(version, request), version, out)
            }
            ApiKey::ListGroups => {
                let request: ListGroupsRequest = decode(body, version)?;
                write(self.list_groups(request), version, out)
            }
            ApiKey::DeleteGroups => {
                let request: DeleteGroupsRequest = decode(body, version)?;
                write(self.delete_groups(request).await, version, out)
            }
            ApiKey::OffsetCommit => {
                let request: OffsetCommitRequest = decode(body, version)?;
                write(self.offset_commit(request).await, version, out)
            }
            ApiKey::OffsetFetch => {
                let request: OffsetFetchRequest = decode(body, version)?;
                write(self.offset_fetch(version, request), version, out)
            }
            ApiKey::OffsetDelete => {
                let request: OffsetDeleteRequest = decode(body, version)?;
                write(self.offset_delete(request).await, version, out)
            }
            ApiKey::InitProducerId => {
                let request: InitProducerIdRequest = decode(body, version)?;
                let answer = self.init_producer_id(version, request).await;
                write(answer, version, out)
            }
            ApiKey::AddPartitionsToTxn => {
                let request: AddPartitionsToTxnRequest = decode(body, version)?;
                let answer = self.add_partitions_to_txn(version, request).await;
                write(answer, version, out)
            }
            ApiKey::AddOffsetsToTxn => {
                let request: AddOffsetsToTxnRequest = decode(body, version)?;
                let answer = self.add_offsets_to_txn(version, request).await;
                write(answer, version, out)
            }
            ApiKey::TxnOffsetCommit => {
                let request: TxnOffsetCommitRequest = decode(body, version)?;
                write(self.txn_offset_commit(request), version, out)
            }
            ApiKey::EndTxn => {
                let request: EndTxnRequest = decode(body, version)?;
                write(self.end_txn(version, request).await, version, out)
            }
            other => Err(Malformed(format!("{other:?} is not the coordinator's"))),
        }
    }
}
