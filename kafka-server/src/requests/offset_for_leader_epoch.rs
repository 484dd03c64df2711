//! `OffsetForLeaderEpoch`: there has only ever been one leader, in epoch 0, and it has all there is.

use engine::topics::OffsetQuery;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

use crate::server::Shared;

const LEADER_EPOCH: i32 = 0;

pub fn answer(
    shared: &Shared,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let topics = request
        .topics
        .into_iter()
        .map(|topic| {
            let partitions = topic
                .partitions
                .iter()
                .map(|partition| end_of(shared, &topic.topic, partition))
                .collect();
            OffsetForLeaderTopicResult::default()
                .with_topic(topic.topic)
                .with_partitions(partitions)
        })
        .collect();
    OffsetForLeaderEpochResponse::default().with_topics(topics)
}

fn end_of(shared: &Shared, topic: &str, asked: &OffsetForLeaderPartition) -> EpochEndOffset {
    let result = EpochEndOffset::default()
        .with_partition(asked.partition)
        .with_leader_epoch(-1)
        .with_end_offset(-1);
    let refused = |error: ResponseError| result.clone().with_error_code(error.code());
    if asked.current_leader_epoch > LEADER_EPOCH {
        return refused(ResponseError::UnknownLeaderEpoch);
    }
    match shared
        .topics
        .offset(topic, asked.partition, OffsetQuery::Latest)
    {
        // Of a later epoch nothing is known.
        Ok(_) if asked.leader_epoch > LEADER_EPOCH => result,
        Ok(end) => result
            .with_leader_epoch(LEADER_EPOCH)
            .with_end_offset(end.offset),
        Err(error) => refused(super::code(&error)),
    }
}
