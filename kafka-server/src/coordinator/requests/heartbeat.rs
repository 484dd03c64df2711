//! `Heartbeat`.

use kafka_protocol::messages::{HeartbeatRequest, HeartbeatResponse};

use super::{check_group, code};
use crate::coordinator::Coordinator;

impl Coordinator {
    pub fn heartbeat(&self, request: HeartbeatRequest) -> HeartbeatResponse {
        let result = check_group(&request.group_id).and_then(|()| {
            self.groups.heartbeat(
                &request.group_id,
                &request.member_id,
                request.group_instance_id.as_deref(),
                request.generation_id,
            )
        });
        HeartbeatResponse::default().with_error_code(code(result))
    }
}
