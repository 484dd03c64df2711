//! Any frame is read or refused, with no more memory than its own size explains; what is read can be
//! written, and is read the same again.
//!
//! `cargo +nightly fuzz run frame -- -malloc_limit_mb=64` in `kafka-server/`.
#![no_main]

#[path = "../../src/decoding.rs"]
mod decoding;

use std::fmt::Debug;

use bytes::{Buf, Bytes, BytesMut};
use decoding::decode;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|frame: &[u8]| {
    if frame.len() < 4 {
        return;
    }
    let mut frame = Bytes::copy_from_slice(frame);
    let mut start = &frame[..4];
    let (key, version) = (start.get_i16(), start.get_i16());
    let Ok(key) = ApiKey::try_from(key) else { return };
    if !(0..=16).contains(&version) {
        return;
    }
    let header = key.request_header_version(version);
    if decode::<RequestHeader>(&mut frame, header).is_err() {
        return;
    }
    macro_rules! read {
        ($($request:ident $key:ident),* $(,)?) => {
            match key {
                $(ApiKey::$key => there_and_back::<$request>(frame, version),)*
                _ => {}
            }
        };
    }
    read!(
        ProduceRequest Produce,
        FetchRequest Fetch,
        ListOffsetsRequest ListOffsets,
        MetadataRequest Metadata,
        OffsetCommitRequest OffsetCommit,
        OffsetFetchRequest OffsetFetch,
        FindCoordinatorRequest FindCoordinator,
        JoinGroupRequest JoinGroup,
        HeartbeatRequest Heartbeat,
        LeaveGroupRequest LeaveGroup,
        SyncGroupRequest SyncGroup,
        DescribeGroupsRequest DescribeGroups,
        ListGroupsRequest ListGroups,
        SaslHandshakeRequest SaslHandshake,
        ApiVersionsRequest ApiVersions,
        CreateTopicsRequest CreateTopics,
        DeleteTopicsRequest DeleteTopics,
        DeleteRecordsRequest DeleteRecords,
        InitProducerIdRequest InitProducerId,
        OffsetForLeaderEpochRequest OffsetForLeaderEpoch,
        AddPartitionsToTxnRequest AddPartitionsToTxn,
        AddOffsetsToTxnRequest AddOffsetsToTxn,
        EndTxnRequest EndTxn,
        TxnOffsetCommitRequest TxnOffsetCommit,
        DescribeConfigsRequest DescribeConfigs,
        AlterConfigsRequest AlterConfigs,
        SaslAuthenticateRequest SaslAuthenticate,
        CreatePartitionsRequest CreatePartitions,
        DeleteGroupsRequest DeleteGroups,
        IncrementalAlterConfigsRequest IncrementalAlterConfigs,
        OffsetDeleteRequest OffsetDelete,
        DescribeClusterRequest DescribeCluster,
    );
});

fn there_and_back<T: Decodable + Encodable + PartialEq + Debug>(mut body: Bytes, version: i16) {
    let Ok(request) = decode::<T>(&mut body, version) else { return };
    let mut written = BytesMut::new();
    if request.encode(&mut written, version).is_err() {
        // A version's reader may take what its writer refuses, such as a null in place of a list.
        return;
    }
    let mut written = written.freeze();
    // Without our check of lengths, which also refuses the number of an unknown field if it is larger than
    // all that follows.
    let again = T::decode(&mut written, version).expect("it was just written");
    assert_eq!(again, request);
    assert!(written.is_empty(), "{} bytes are left", written.len());
}
