//! `Fetch`: records from offsets on; waits until there are enough, or for as long as the client allows.

use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::{FetchRequest, FetchResponse};
use tokio::time::Instant;

use crate::server::Shared;

pub async fn answer(shared: &Shared, request: FetchRequest) -> FetchResponse {
    // No sessions are offered, so nobody can have one.
    if request.session_id != 0 {
        return FetchResponse::default()
            .with_error_code(ResponseError::FetchSessionIdNotFound.code());
    }
    let max_wait = Duration::from_millis(request.max_wait_ms.max(0) as u64);
    let deadline = Instant::now() + max_wait;
    let wanted = usize::try_from(request.min_bytes).unwrap_or(0);
    loop {
        let partitions = request.topics.iter().flat_map(|topic| {
            let partitions = topic.partitions.iter();
            partitions.map(|partition| (topic.topic.as_str(), partition.partition))
        });
        let watch = shared.topics.watch(partitions);
        let read = read(shared, &request);
        if read.bytes >= wanted || read.has_error || Instant::now() >= deadline {
            return FetchResponse::default().with_responses(read.topics);
        }
        // If time is up, what there is by then is answered.
        let _ = tokio::time::timeout_at(deadline, watch.changed()).await;
    }
}

/// What there is now.
struct Read {
    topics: Vec<FetchableTopicResponse>,
    bytes: usize,
    has_error: bool,
}

fn read(shared: &Shared, request: &FetchRequest) -> Read {
    let mut left = usize::try_from(request.max_bytes).unwrap_or(0);
    let mut read = Read {
        topics: Vec::with_capacity(request.topics.len()),
        bytes: 0,
        has_error: false,
    };
    for topic in &request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for wanted in &topic.partitions {
            let most = usize::try_from(wanted.partition_max_bytes).unwrap_or(0);
            // The first batch comes whatever its length, so that nobody is stuck before it.
            let most = match read.bytes {
                0 => most.min(left).max(1),
                _ => most.min(left),
            };
            let data = PartitionData::default().with_partition_index(wanted.partition);
            let offset = wanted.fetch_offset;
            let fetched = shared
                .topics
                .fetch(&topic.topic, wanted.partition, offset, most);
            partitions.push(match fetched {
                Ok(fetched) => {
                    read.bytes += fetched.bytes;
                    left = left.saturating_sub(fetched.bytes);
                    let records = match &fetched.chunks[..] {
                        [one] => one.clone(),
                        many => many.concat().into(),
                    };
                    data.with_high_watermark(fetched.high_watermark)
                        // Only what is committed is ever appended.
                        .with_last_stable_offset(fetched.high_watermark)
                        .with_log_start_offset(fetched.start)
                        .with_aborted_transactions(None)
                        .with_records(Some(records))
                }
                Err(error) => {
                    read.has_error = true;
                    data.with_error_code(super::code(&error).code())
                        .with_high_watermark(-1)
                        .with_last_stable_offset(-1)
                        .with_log_start_offset(-1)
                        .with_records(Some(bytes::Bytes::new()))
                }
            });
        }
        let response = FetchableTopicResponse::default()
            .with_topic(topic.topic.clone())
            .with_partitions(partitions);
        read.topics.push(response);
    }
    read
}
