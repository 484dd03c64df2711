//! `ListOffsets`: where partitions begin and end, and offsets by time.

use engine::topics::OffsetQuery;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};

use crate::server::Shared;

pub fn answer(shared: &Shared, version: i16, request: ListOffsetsRequest) -> ListOffsetsResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|wanted| {
            let answer = ListOffsetsPartitionResponse::default()
                .with_partition_index(wanted.partition_index);
            let query = match wanted.timestamp {
                -1 => OffsetQuery::Latest,
                -2 => OffsetQuery::Earliest,
                -3 => OffsetQuery::MaxTime,
                time if time >= 0 => OffsetQuery::AtTime(time),
                _ => {
                    return answer.with_error_code(ResponseError::UnsupportedVersion.code());
                }
            };
            let found = shared
                .topics
                .offset(&topic.name, wanted.partition_index, query);
            match found {
                Ok(found) => answer
                    .with_offset(found.offset)
                    .with_timestamp(found.timestamp)
                    // Earlier versions have no place for it.
                    .with_leader_epoch(if version < 4 || found.offset < 0 {
                        -1
                    } else {
                        0
                    }),
                Err(error) => answer.with_error_code(super::code(&error).code()),
            }
        });
        ListOffsetsTopicResponse::default()
            .with_partitions(partitions.collect())
            .with_name(topic.name.clone())
    });
    ListOffsetsResponse::default().with_topics(topics.collect())
}
