//! `DeleteGroups`.

use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::{DeleteGroupsRequest, DeleteGroupsResponse};

use super::{check_offsets_group, code};
use crate::coordinator::Coordinator;

impl Coordinator {
    pub async fn delete_groups(&self, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
        let mut results = Vec::with_capacity(request.groups_names.len());
        for id in request.groups_names {
            let result = match check_offsets_group(&id) {
                Ok(()) => self.groups.delete(&id).await,
                Err(error) => Err(error),
            };
            let result = DeletableGroupResult::default()
                .with_group_id(id)
                .with_error_code(code(result));
            results.push(result);
        }
        DeleteGroupsResponse::default().with_results(results)
    }
}
