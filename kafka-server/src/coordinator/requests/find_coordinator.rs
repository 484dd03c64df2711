//! `FindCoordinator`: it is always this node.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::find_coordinator_response::Coordinator as Found;
use kafka_protocol::messages::{FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;

use super::Node;
use crate::coordinator::Coordinator;

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

impl Coordinator {
    pub fn find_coordinator(
        &self,
        node: &Node,
        version: i16,
        request: FindCoordinatorRequest,
    ) -> FindCoordinatorResponse {
        let known = matches!(request.key_type, GROUP | TRANSACTION);
        let found = |key: StrBytes| {
            let found = Found::default().with_key(key);
            match known {
                true => found
                    .with_node_id(node.id)
                    .with_host(node.host.clone())
                    .with_port(node.port),
                false => found
                    .with_node_id((-1).into())
                    .with_port(-1)
                    .with_error_code(ResponseError::InvalidRequest.code()),
            }
        };
        if version >= 4 {
            let keys = request.coordinator_keys.into_iter();
            return FindCoordinatorResponse::default().with_coordinators(keys.map(found).collect());
        }
        let found = found(request.key);
        FindCoordinatorResponse::default()
            .with_error_code(found.error_code)
            .with_node_id(found.node_id)
            .with_host(found.host)
            .with_port(found.port)
    }
}
