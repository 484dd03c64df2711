//! `DescribeCluster`: one node, which is the controller.

use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::{BrokerId, DescribeClusterResponse};

use super::{NODE_ID, string};
use crate::coordinator::Node;
use crate::server::Shared;

/// "Not asked, not told."
const NO_OPERATIONS: i32 = i32::MIN;

pub fn answer(shared: &Shared, node: &Node) -> DescribeClusterResponse {
    let broker = DescribeClusterBroker::default()
        .with_broker_id(BrokerId(NODE_ID))
        .with_host(node.host.clone())
        .with_port(node.port);
    DescribeClusterResponse::default()
        .with_cluster_id(string(shared.topics.cluster_id()))
        .with_controller_id(BrokerId(NODE_ID))
        .with_brokers(vec![broker])
        .with_cluster_authorized_operations(NO_OPERATIONS)
}
