//! `JoinGroup`.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse};
use uuid::Uuid;

use super::{Client, check_group, error_code, optional, string};
use crate::coordinator::Coordinator;
use crate::coordinator::group::{JoinRequest, JoinedGroup};
use crate::coordinator::wire::STRING_BYTES_MAX;

/// So much of a client's own name is kept, so that there is room for what is put behind it.
const NAME_BYTES_MAX: usize = 255;

impl Coordinator {
    /// Waits for the other members.
    pub async fn join_group(
        &self,
        client: Client<'_>,
        version: i16,
        request: JoinGroupRequest,
    ) -> JoinGroupResponse {
        let member = request.member_id.to_string();
        let joined = match check(&request) {
            Ok(()) => {
                let group = request.group_id.to_string();
                let request = join_request(client, version, request);
                self.groups.join(&group, request).await
            }
            Err(error) => JoinedGroup::refused(member, error),
        };
        response(version, joined)
    }
}

fn check(request: &JoinGroupRequest) -> Result<(), ResponseError> {
    check_group(&request.group_id)?;
    let instance = request.group_instance_id.as_ref();
    let lengths = [
        request.protocol_type.len(),
        request.member_id.len(),
        instance.map_or(0, |instance| instance.len()),
    ];
    let mut names = request.protocols.iter().map(|protocol| protocol.name.len());
    let fits = |length: usize| length <= STRING_BYTES_MAX - 2 * NAME_BYTES_MAX;
    match lengths.into_iter().all(fits) && names.all(fits) {
        true => Ok(()),
        false => Err(ResponseError::InvalidRequest),
    }
}

fn join_request(client: Client<'_>, version: i16, request: JoinGroupRequest) -> JoinRequest {
    let instance = optional(&request.group_instance_id);
    let name = instance.as_deref().unwrap_or(truncated(client.id));
    let protocols = request.protocols.into_iter();
    JoinRequest {
        member: request.member_id.to_string(),
        new_member: format!("{name}-{}", Uuid::new_v4()),
        instance,
        client_id: truncated(client.id).to_owned(),
        client_host: client.host.to_owned(),
        session_timeout_ms: request.session_timeout_ms,
        // The first version had one time for both.
        rebalance_timeout_ms: match version {
            0 => request.session_timeout_ms,
            _ => request.rebalance_timeout_ms,
        },
        protocol_type: request.protocol_type.to_string(),
        protocols: protocols
            .map(|protocol| (protocol.name.to_string(), protocol.metadata))
            .collect(),
        identity_first: version >= 4,
        can_skip_assignment: version >= 9,
    }
}

fn truncated(name: &str) -> &str {
    &name[..name.floor_char_boundary(NAME_BYTES_MAX)]
}

fn response(version: i16, joined: JoinedGroup) -> JoinGroupResponse {
    // Only later versions know that there may be none.
    let protocol = match joined.protocol {
        None if version < 7 => Some(String::new()),
        protocol => protocol,
    };
    let members = joined.members.into_iter().map(|member| {
        JoinGroupResponseMember::default()
            .with_member_id(string(member.id))
            .with_group_instance_id(member.instance.map(string))
            .with_metadata(member.metadata)
    });
    JoinGroupResponse::default()
        .with_error_code(error_code(joined.error))
        .with_generation_id(joined.generation)
        .with_protocol_type(joined.protocol_type.map(string))
        .with_protocol_name(protocol.map(string))
        .with_leader(string(joined.leader))
        .with_skip_assignment(joined.skip_assignment)
        .with_member_id(string(joined.member))
        .with_members(members.collect())
}
