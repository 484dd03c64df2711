//! `Produce`: records are checked and put in line for the log when the request is read, and answered when
//! they are durable. Those of transactions are kept by the coordinator.

use engine::topics::{Prepared, TopicError};
use futures::future::{BoxFuture, FutureExt, join_all};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::produce_request::PartitionProduceData;
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};

use super::string;
use crate::server::Shared;

/// All replicas that are in sync shall have the records, which is this node.
const ACKS_ALL: i16 = -1;

/// Replicas that are in sync.
const REPLICAS: u32 = 1;

/// What became of the records for a partition, when it is known.
type Outcome = BoxFuture<'static, PartitionProduceResponse>;

/// Puts the records in line. The answer is `None` if the client wants none.
pub fn begin(
    shared: &Shared,
    _version: i16,
    request: ProduceRequest,
) -> BoxFuture<'static, Option<ProduceResponse>> {
    let acks = request.acks;
    let known_acks = matches!(acks, ACKS_ALL..=1);
    let id = request.transactional_id.map(|id| id.to_string());
    let topics: Vec<_> = request
        .topic_data
        .into_iter()
        .map(|topic| {
            let name = topic.name;
            let outcomes = topic
                .partition_data
                .into_iter()
                .map(|data| match known_acks {
                    true => partition(shared, acks, id.as_deref(), &name, data),
                    false => refused(
                        data.index,
                        ResponseError::InvalidRequiredAcks,
                        String::new(),
                    ),
                });
            let outcomes: Vec<Outcome> = outcomes.collect();
            (name.clone(), outcomes)
        })
        .collect();
    async move {
        let mut responses = Vec::with_capacity(topics.len());
        for (name, outcomes) in topics {
            let response = TopicProduceResponse::default()
                .with_name(name)
                .with_partition_responses(join_all(outcomes).await);
            responses.push(response);
        }
        (acks != 0).then(|| ProduceResponse::default().with_responses(responses))
    }
    .boxed()
}

fn partition(
    shared: &Shared,
    acks: i16,
    transactional_id: Option<&str>,
    topic: &str,
    data: PartitionProduceData,
) -> Outcome {
    let index = data.index;
    let records = data.records.unwrap_or_default();
    let prepared: Prepared = match shared.topics.prepare(topic, index, records) {
        Ok(prepared) => prepared,
        Err(error) => return failed(index, &error),
    };
    if acks == ACKS_ALL && prepared.replicas_min() > REPLICAS {
        let reason = format!(
            "The size of the current ISR : {REPLICAS} is insufficient to satisfy the min.isr requirement of {} for partition {topic}-{index}",
            prepared.replicas_min()
        );
        return refused(index, ResponseError::NotEnoughReplicas, reason);
    }
    if prepared.is_transactional() {
        let kept = match transactional_id {
            Some(id) => shared
                .coordinator
                .produce_transactional(id, index, prepared),
            None => Err(ResponseError::InvalidTxnState),
        };
        return match kept {
            Ok(()) => std::future::ready(placed(index, -1, None)).boxed(),
            Err(error) => refused(index, error, error.to_string()),
        };
    }
    let append_time = prepared.append_time();
    let appending = shared.topics.append(vec![prepared]);
    async move {
        match appending.await {
            Ok(offsets) => {
                let offset = offsets.first().map_or(-1, |offset| *offset as i64);
                placed(index, offset, append_time)
            }
            Err(error) => failed(index, &error).await,
        }
    }
    .boxed()
}

fn placed(index: i32, offset: i64, append_time: Option<i64>) -> PartitionProduceResponse {
    PartitionProduceResponse::default()
        .with_index(index)
        .with_base_offset(offset)
        .with_log_append_time_ms(append_time.unwrap_or(-1))
        .with_log_start_offset(-1)
}

fn failed(index: i32, error: &TopicError) -> Outcome {
    refused(index, super::code(error), error.to_string())
}

fn refused(index: i32, error: ResponseError, reason: String) -> Outcome {
    let response = PartitionProduceResponse::default()
        .with_index(index)
        .with_error_code(error.code())
        .with_base_offset(-1)
        .with_log_append_time_ms(-1)
        .with_log_start_offset(-1)
        .with_error_message(Some(string(reason)).filter(|reason| !reason.is_empty()));
    std::future::ready(response).boxed()
}
