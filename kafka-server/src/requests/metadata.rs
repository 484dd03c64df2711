//! `Metadata`: which topics there are, and that this node has them all.

use std::collections::BTreeMap;

use engine::topics::{NewTopic, TopicError, TopicInfo};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{MetadataRequest, MetadataResponse};
use uuid::Uuid;

use super::{NODE_ID, string, topic_name};
use crate::coordinator::Node;
use crate::server::Shared;

pub async fn answer(
    shared: &Shared,
    node: &Node,
    version: i16,
    request: MetadataRequest,
) -> MetadataResponse {
    let mut topics = Vec::new();
    match request.topics {
        // The first version had no other way to say "all".
        Some(wanted) if version > 0 || !wanted.is_empty() => {
            let create = request.allow_auto_topic_creation && shared.config.auto_create_topics;
            for topic in wanted {
                topics.push(match topic.name {
                    Some(name) => one(shared, &name, create).await,
                    None => by_id(shared, topic.topic_id),
                });
            }
        }
        _ => topics.extend(shared.topics.list().into_iter().map(described)),
    }
    let broker = MetadataResponseBroker::default()
        .with_node_id(node.id)
        .with_host(node.host.clone())
        .with_port(node.port);
    MetadataResponse::default()
        .with_brokers(vec![broker])
        .with_cluster_id(Some(string(shared.topics.cluster_id())))
        .with_controller_id(node.id)
        .with_topics(topics)
}

async fn one(shared: &Shared, name: &str, create: bool) -> MetadataResponseTopic {
    if let Some(info) = shared.topics.get(name) {
        return described(info);
    }
    let error = match create {
        true => {
            let new = NewTopic {
                name: name.to_owned(),
                partitions: shared.config.partitions_default,
                settings: BTreeMap::new(),
            };
            match shared.topics.create(new, false).await {
                Ok(info) => return described(info),
                // Somebody else was faster.
                Err(TopicError::TopicExists(_)) => match shared.topics.get(name) {
                    Some(info) => return described(info),
                    None => ResponseError::LeaderNotAvailable,
                },
                Err(error) => super::code(&error),
            }
        }
        false => ResponseError::UnknownTopicOrPartition,
    };
    MetadataResponseTopic::default()
        .with_name(Some(topic_name(name)))
        .with_error_code(error.code())
}

fn by_id(shared: &Shared, id: Uuid) -> MetadataResponseTopic {
    match shared.topics.get_by_id(id) {
        Some(info) => described(info),
        None => MetadataResponseTopic::default()
            .with_name(Some(topic_name("")))
            .with_topic_id(id)
            .with_error_code(ResponseError::UnknownTopicId.code()),
    }
}

fn described(info: TopicInfo) -> MetadataResponseTopic {
    let partitions = (0..info.partitions).map(|partition| {
        MetadataResponsePartition::default()
            .with_partition_index(partition as i32)
            .with_leader_id(NODE_ID.into())
            .with_leader_epoch(0)
            .with_replica_nodes(vec![NODE_ID.into()])
            .with_isr_nodes(vec![NODE_ID.into()])
    });
    MetadataResponseTopic::default()
        .with_partitions(partitions.collect())
        .with_name(Some(topic_name(info.name)))
        .with_topic_id(info.id)
        .with_is_internal(info.internal)
}
