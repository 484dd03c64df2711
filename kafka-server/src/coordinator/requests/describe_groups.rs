//! `DescribeGroups`.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::{DescribeGroupsRequest, DescribeGroupsResponse};

use super::{check_group, string};
use crate::coordinator::Coordinator;
use crate::coordinator::group::GroupSummary;

/// Read, delete and describe, as bits.
const OPERATIONS: i32 = 1 << 3 | 1 << 6 | 1 << 8;

impl Coordinator {
    pub fn describe_groups(
        &self,
        version: i16,
        request: DescribeGroupsRequest,
    ) -> DescribeGroupsResponse {
        let operations = match request.include_authorized_operations {
            true => OPERATIONS,
            false => i32::MIN,
        };
        let groups = request.groups.into_iter().map(|id| {
            let described = DescribedGroup::default().with_group_id(id.clone());
            if let Err(error) = check_group(&id) {
                return described.with_error_code(error.code());
            }
            match self.groups.describe(&id) {
                Some(summary) => fill(described, summary).with_authorized_operations(operations),
                None if version >= 6 => described
                    .with_group_state(string("Dead"))
                    .with_error_code(ResponseError::GroupIdNotFound.code())
                    .with_error_message(Some(string(format!("group {} not found", id.0)))),
                None => described.with_group_state(string("Dead")),
            }
        });
        DescribeGroupsResponse::default().with_groups(groups.collect())
    }
}

fn fill(described: DescribedGroup, summary: GroupSummary) -> DescribedGroup {
    let members = summary.members.into_iter().map(|member| {
        DescribedGroupMember::default()
            .with_member_id(string(member.id))
            .with_group_instance_id(member.instance.map(string))
            .with_client_id(string(member.client_id))
            .with_client_host(string(member.client_host))
            .with_member_metadata(member.metadata)
            .with_member_assignment(member.assignment)
    });
    described
        .with_group_state(string(summary.state.name()))
        .with_protocol_type(string(summary.protocol_type))
        .with_protocol_data(string(summary.protocol))
        .with_members(members.collect())
}
