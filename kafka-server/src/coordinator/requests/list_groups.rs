//! `ListGroups`, by state and by type if so asked.

use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{ListGroupsRequest, ListGroupsResponse};
use kafka_protocol::protocol::StrBytes;

use super::string;
use crate::coordinator::Coordinator;

/// The type of all groups here.
const CLASSIC: &str = "classic";

impl Coordinator {
    pub fn list_groups(&self, request: ListGroupsRequest) -> ListGroupsResponse {
        let allows = |filter: &[StrBytes], name: &str| {
            filter.is_empty()
                || filter
                    .iter()
                    .any(|wanted| wanted.eq_ignore_ascii_case(name))
        };
        if !allows(&request.types_filter, CLASSIC) {
            return ListGroupsResponse::default();
        }
        let groups = self
            .groups
            .list()
            .into_iter()
            .filter(|group| allows(&request.states_filter, group.state.name()))
            .map(|group| {
                ListedGroup::default()
                    .with_group_id(string(group.id).into())
                    .with_protocol_type(string(group.protocol_type))
                    .with_group_state(string(group.state.name()))
                    .with_group_type(string(CLASSIC))
            });
        ListGroupsResponse::default().with_groups(groups.collect())
    }
}
