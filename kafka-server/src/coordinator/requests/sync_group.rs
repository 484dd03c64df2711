//! `SyncGroup`.

use kafka_protocol::messages::{SyncGroupRequest, SyncGroupResponse};

use super::{check_group, error_code, optional, string};
use crate::coordinator::Coordinator;
use crate::coordinator::group::{SyncRequest, SyncedMember};

impl Coordinator {
    /// Waits for the leader's assignment.
    pub async fn sync_group(&self, request: SyncGroupRequest) -> SyncGroupResponse {
        let synced = match check_group(&request.group_id) {
            Ok(()) => {
                let group = request.group_id.to_string();
                self.groups.sync(&group, sync_request(request)).await
            }
            Err(error) => SyncedMember::refused(error),
        };
        SyncGroupResponse::default()
            .with_error_code(error_code(synced.error))
            .with_protocol_type(synced.protocol_type.map(string))
            .with_protocol_name(synced.protocol.map(string))
            .with_assignment(synced.assignment)
    }
}

fn sync_request(request: SyncGroupRequest) -> SyncRequest {
    let assignments = request.assignments.into_iter();
    SyncRequest {
        member: request.member_id.to_string(),
        instance: optional(&request.group_instance_id),
        generation: request.generation_id,
        protocol_type: optional(&request.protocol_type),
        protocol: optional(&request.protocol_name),
        assignment: assignments
            .map(|assignment| (assignment.member_id.to_string(), assignment.assignment))
            .collect(),
    }
}
