//! Every answer can be written in every version that is advertised.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use kafka_protocol::messages::delete_groups_request::DeleteGroupsRequest;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable};

use super::*;
use crate::coordinator::testing::{ManualClock, MemoryLog};
use crate::coordinator::{Coordinator, CoordinatorConfig};

const CLIENT: Client<'static> = Client {
    id: "client",
    host: "/127.0.0.1",
};

fn coordinator() -> Coordinator {
    let mut config = CoordinatorConfig::default();
    config.groups.group.initial_rebalance_delay_ms = 0;
    let clock = Arc::<ManualClock>::default();
    Coordinator::open(config, MemoryLog::new(), clock).unwrap()
}

/// The message as the other side reads it.
fn over_the_wire<M: Encodable + Decodable>(message: &M, version: i16) -> M {
    let mut bytes = BytesMut::new();
    message
        .encode(&mut bytes, version)
        .unwrap_or_else(|error| panic!("version {version}: {error}"));
    let mut bytes = bytes.freeze();
    let read = M::decode(&mut bytes, version).unwrap();
    assert!(bytes.is_empty());
    read
}

fn versions(key: ApiKey) -> std::ops::RangeInclusive<i16> {
    let (_, from, to) = VERSIONS.iter().find(|(known, ..)| *known == key).unwrap();
    *from..=*to
}

fn join_request(version: i16, member: &str) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(string("range"))
        .with_metadata(Bytes::from_static(b"topics"));
    JoinGroupRequest::default()
        .with_group_id(string(format!("g{version}")).into())
        .with_member_id(string(member))
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(60_000)
        .with_protocol_type(string("consumer"))
        .with_protocols(vec![protocol])
}

/// A member in a stable group.
async fn joined(coordinator: &Coordinator, version: i16) -> JoinGroupResponse {
    let request = join_request(version, "");
    let first = coordinator.join_group(CLIENT, version, request).await;
    let first = over_the_wire(&first, version);
    let joined = match version >= 4 {
        true => {
            assert_eq!(first.error_code, ResponseError::MemberIdRequired.code());
            let request = join_request(version, &first.member_id);
            over_the_wire(
                &coordinator.join_group(CLIENT, version, request).await,
                version,
            )
        }
        false => first,
    };
    assert_eq!((joined.error_code, joined.generation_id), (0, 1));
    joined
}

#[tokio::test]
async fn groups_in_all_versions() {
    for version in versions(ApiKey::JoinGroup) {
        let coordinator = coordinator();
        let joined = joined(&coordinator, version).await;
        let group: GroupId = string(format!("g{version}")).into();
        let assignment = SyncGroupRequestAssignment::default()
            .with_member_id(joined.member_id.clone())
            .with_assignment(Bytes::from_static(b"all"));
        let request = SyncGroupRequest::default()
            .with_group_id(group.clone())
            .with_member_id(joined.member_id.clone())
            .with_generation_id(1)
            .with_assignments(vec![assignment]);
        let synced = coordinator.sync_group(request).await;
        for version in versions(ApiKey::SyncGroup) {
            assert_eq!(over_the_wire(&synced, version).assignment, "all");
        }
        let request = HeartbeatRequest::default()
            .with_group_id(group.clone())
            .with_member_id(joined.member_id.clone())
            .with_generation_id(1);
        for version in versions(ApiKey::Heartbeat) {
            let answer = coordinator.heartbeat(request.clone());
            assert_eq!(over_the_wire(&answer, version).error_code, 0);
        }
        for version in versions(ApiKey::DescribeGroups) {
            let request = DescribeGroupsRequest::default()
                .with_groups(vec![group.clone(), string("nobody").into()]);
            let answer = coordinator.describe_groups(version, request);
            let answer = over_the_wire(&answer, version);
            assert_eq!(&*answer.groups[0].group_state, "Stable");
            assert_eq!(answer.groups[0].members[0].member_assignment, "all");
            assert_eq!(&*answer.groups[1].group_state, "Dead");
        }
        for version in versions(ApiKey::ListGroups) {
            let answer = coordinator.list_groups(ListGroupsRequest::default());
            assert_eq!(over_the_wire(&answer, version).groups.len(), 1);
            let empty = ListGroupsRequest::default().with_states_filter(vec![string("empty")]);
            assert_eq!(coordinator.list_groups(empty).groups.len(), 0);
            let other = ListGroupsRequest::default().with_types_filter(vec![string("consumer")]);
            assert_eq!(coordinator.list_groups(other).groups.len(), 0);
        }
        let delete = DeleteGroupsRequest::default().with_groups_names(vec![group.clone()]);
        for version in versions(ApiKey::DeleteGroups) {
            let answer = coordinator.delete_groups(delete.clone()).await;
            let answer = over_the_wire(&answer, version);
            assert_eq!(
                answer.results[0].error_code,
                ResponseError::NonEmptyGroup.code()
            );
        }
        for version in versions(ApiKey::LeaveGroup) {
            let identity = MemberIdentity::default().with_member_id(joined.member_id.clone());
            let request = LeaveGroupRequest::default().with_group_id(group.clone());
            let request = match version < 3 {
                true => request.with_member_id(joined.member_id.clone()),
                false => request.with_members(vec![identity]),
            };
            let answer = over_the_wire(&coordinator.leave_group(version, request), version);
            let code = match version < 3 {
                true => answer.error_code,
                false => answer.members[0].error_code,
            };
            let expected = match version {
                0 => 0,
                _ => ResponseError::UnknownMemberId.code(),
            };
            assert_eq!(code, expected);
        }
    }
}

#[tokio::test]
async fn the_coordinator_is_found_in_all_versions() {
    let node = Node {
        id: 1.into(),
        host: string("localhost"),
        port: 9092,
    };
    for version in versions(ApiKey::FindCoordinator) {
        for (key_type, code) in [(0, 0), (1, 0), (2, ResponseError::InvalidRequest.code())] {
            let request = FindCoordinatorRequest::default()
                .with_key_type(key_type)
                .with_key(string("g"))
                .with_coordinator_keys(vec![string("g"), string("h")]);
            let answer = coordinator().find_coordinator(&node, version, request);
            let answer = over_the_wire(&answer, version);
            let found = match version < 4 {
                true => (answer.error_code, answer.port),
                false => (
                    answer.coordinators[1].error_code,
                    answer.coordinators[1].port,
                ),
            };
            assert_eq!(found, (code, if code == 0 { 9092 } else { -1 }));
        }
    }
}

fn commit_request(topic: &str) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition::default()
        .with_partition_index(3)
        .with_committed_offset(42)
        .with_committed_metadata(Some(string("note")));
    let topic = OffsetCommitRequestTopic::default()
        .with_name(string(topic).into())
        .with_partitions(vec![partition]);
    OffsetCommitRequest::default()
        .with_group_id(string("g").into())
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic])
}

#[tokio::test]
async fn offsets_in_all_versions() {
    let coordinator = coordinator();
    for version in versions(ApiKey::OffsetCommit) {
        let answer = coordinator.offset_commit(commit_request("rides")).await;
        let answer = over_the_wire(&answer, version);
        assert_eq!(answer.topics[0].partitions[0].error_code, 0);
        let answer = coordinator.offset_commit(commit_request("missing")).await;
        let code = answer.topics[0].partitions[0].error_code;
        assert_eq!(code, ResponseError::UnknownTopicOrPartition.code());
    }
    for version in versions(ApiKey::OffsetFetch) {
        let request = match version < 8 {
            true => {
                let topic = OffsetFetchRequestTopic::default()
                    .with_name(string("rides").into())
                    .with_partition_indexes(vec![3, 4]);
                OffsetFetchRequest::default()
                    .with_group_id(string("g").into())
                    .with_topics(Some(vec![topic]))
            }
            false => {
                let topic = OffsetFetchRequestTopics::default()
                    .with_name(string("rides").into())
                    .with_partition_indexes(vec![3, 4]);
                let group = OffsetFetchRequestGroup::default().with_group_id(string("g").into());
                let groups = vec![
                    group.clone().with_topics(Some(vec![topic])),
                    group.with_topics(None),
                ];
                OffsetFetchRequest::default().with_groups(groups)
            }
        };
        let answer = over_the_wire(&coordinator.offset_fetch(version, request), version);
        let offsets: Vec<i64> = match version < 8 {
            true => {
                let partitions = answer.topics[0].partitions.iter();
                partitions
                    .map(|partition| partition.committed_offset)
                    .collect()
            }
            false => {
                let all = answer
                    .groups
                    .iter()
                    .flat_map(|group| &group.topics[0].partitions);
                all.map(|partition| partition.committed_offset).collect()
            }
        };
        let expected: &[i64] = if version < 8 {
            &[42, -1]
        } else {
            &[42, -1, 42]
        };
        assert_eq!(offsets, expected);
    }
    let request = OffsetDeleteRequest::default().with_group_id(string("nobody").into());
    let answer = over_the_wire(&coordinator.offset_delete(request).await, 0);
    assert_eq!(answer.error_code, ResponseError::GroupIdNotFound.code());
}

#[tokio::test]
async fn transactions_in_all_versions() {
    let coordinator = coordinator();
    let id: TransactionalId = string("t").into();
    let mut producer = InitProducerIdResponse::default();
    for version in versions(ApiKey::InitProducerId) {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(id.clone()))
            .with_transaction_timeout_ms(60_000)
            .with_producer_id((-1).into())
            .with_producer_epoch(-1);
        producer = coordinator.init_producer_id(version, request).await;
        let answer = over_the_wire(&producer, version);
        assert_eq!((answer.error_code, answer.producer_epoch), (0, version));
    }
    let (number, epoch) = (producer.producer_id, producer.producer_epoch);
    for version in versions(ApiKey::AddPartitionsToTxn) {
        let topic = AddPartitionsToTxnTopic::default()
            .with_name(string("rides").into())
            .with_partitions(vec![0]);
        let request = match version < 4 {
            true => AddPartitionsToTxnRequest::default()
                .with_v3_and_below_transactional_id(id.clone())
                .with_v3_and_below_producer_id(number)
                .with_v3_and_below_producer_epoch(epoch)
                .with_v3_and_below_topics(vec![topic]),
            false => {
                let transaction = AddPartitionsToTxnTransaction::default()
                    .with_transactional_id(id.clone())
                    .with_producer_id(number)
                    .with_producer_epoch(epoch)
                    .with_verify_only(version == 5)
                    .with_topics(vec![topic]);
                AddPartitionsToTxnRequest::default().with_transactions(vec![transaction])
            }
        };
        let answer = coordinator.add_partitions_to_txn(version, request).await;
        let answer = over_the_wire(&answer, version);
        let topics = match version < 4 {
            true => &answer.results_by_topic_v3_and_below,
            false => &answer.results_by_transaction[0].topic_results,
        };
        assert_eq!(topics[0].results_by_partition[0].partition_error_code, 0);
    }
    for version in versions(ApiKey::AddOffsetsToTxn) {
        let request = AddOffsetsToTxnRequest::default()
            .with_transactional_id(id.clone())
            .with_producer_id(number)
            .with_producer_epoch(epoch)
            .with_group_id(string("g").into());
        let answer = coordinator.add_offsets_to_txn(version, request).await;
        assert_eq!(over_the_wire(&answer, version).error_code, 0);
    }
    for version in versions(ApiKey::TxnOffsetCommit) {
        let partition = TxnOffsetCommitRequestPartition::default().with_committed_offset(7);
        let topic = TxnOffsetCommitRequestTopic::default()
            .with_name(string("rides").into())
            .with_partitions(vec![partition]);
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(id.clone())
            .with_producer_id(number)
            .with_producer_epoch(epoch)
            .with_group_id(string("g").into())
            .with_topics(vec![topic]);
        let answer = coordinator.txn_offset_commit(over_the_wire(&request, version));
        let answer = over_the_wire(&answer, version);
        assert_eq!(answer.topics[0].partitions[0].error_code, 0);
    }
    for version in versions(ApiKey::EndTxn) {
        let request = |epoch| {
            EndTxnRequest::default()
                .with_transactional_id(id.clone())
                .with_producer_id(number)
                .with_producer_epoch(epoch)
                .with_committed(true)
        };
        let answer = coordinator.end_txn(version, request(epoch)).await;
        assert_eq!(over_the_wire(&answer, version).error_code, 0);
        let answer = coordinator.end_txn(version, request(epoch - 1)).await;
        let fenced = match version < 2 {
            true => ResponseError::InvalidProducerEpoch,
            false => ResponseError::ProducerFenced,
        };
        assert_eq!(answer.error_code, fenced.code());
    }
}

#[tokio::test]
async fn names_that_are_too_long_are_refused() {
    let coordinator = coordinator();
    let long = "x".repeat(40_000);
    let request = join_request(9, "").with_group_id(string(long.clone()).into());
    let answer = coordinator.join_group(CLIENT, 9, request).await;
    assert_eq!(answer.error_code, ResponseError::InvalidGroupId.code());
    let request = join_request(9, "").with_group_instance_id(Some(string(long.clone())));
    let answer = coordinator.join_group(CLIENT, 9, request).await;
    assert_eq!(answer.error_code, ResponseError::InvalidRequest.code());
    let request = commit_request("rides").with_group_id(string(long).into());
    let answer = coordinator.offset_commit(request).await;
    let code = answer.topics[0].partitions[0].error_code;
    assert_eq!(code, ResponseError::InvalidGroupId.code());
}

#[tokio::test]
async fn every_kind_of_request_that_is_advertised_is_answered_and_no_bytes_do_harm() {
    let coordinator = coordinator();
    let node = Node {
        id: 1.into(),
        host: string("localhost"),
        port: 9092,
    };
    for (key, from, to) in VERSIONS {
        assert!(Coordinator::is_asked(*key));
        for version in *from..=*to {
            for bytes in [&[][..], &[0xff; 64], &[0; 64]] {
                let mut out = BytesMut::new();
                let body = Bytes::copy_from_slice(bytes);
                let asked = (*key, version);
                let answered = coordinator.answer(&node, CLIENT, asked, body, &mut out);
                // What can be read is answered, whatever it says.
                assert!(answered.await.is_err() || !out.is_empty() || *key == ApiKey::ListGroups);
            }
        }
    }
    let list = BytesMut::new();
    let mut out = BytesMut::new();
    let asked = (ApiKey::ListGroups, 0);
    let answered = coordinator.answer(&node, CLIENT, asked, list.freeze(), &mut out);
    assert_eq!(answered.await, Ok(()));
    assert_eq!(out.len(), 6);
}
