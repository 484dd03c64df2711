//! `LeaveGroup`: of one member, or since version 3 of several.

use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};

use super::{check_group, code, optional};
use crate::coordinator::Coordinator;
use crate::coordinator::group::Leaving;

impl Coordinator {
    pub fn leave_group(&self, version: i16, request: LeaveGroupRequest) -> LeaveGroupResponse {
        if let Err(error) = check_group(&request.group_id) {
            return LeaveGroupResponse::default().with_error_code(error.code());
        }
        if version < 3 {
            let leaving = Leaving {
                member: request.member_id.to_string(),
                instance: None,
            };
            let results = self.groups.leave(&request.group_id, &[leaving]);
            let result = results.into_iter().next().unwrap_or(Ok(()));
            return LeaveGroupResponse::default().with_error_code(code(result));
        }
        let leaving: Vec<Leaving> = request
            .members
            .iter()
            .map(|member| Leaving {
                member: member.member_id.to_string(),
                instance: optional(&member.group_instance_id),
            })
            .collect();
        let results = self.groups.leave(&request.group_id, &leaving);
        let members = request.members.into_iter().zip(results);
        let members = members.map(|(member, result)| {
            MemberResponse::default()
                .with_member_id(member.member_id)
                .with_group_instance_id(member.group_instance_id)
                .with_error_code(code(result))
        });
        LeaveGroupResponse::default().with_members(members.collect())
    }
}
