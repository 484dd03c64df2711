//! A member of a group.

use bytes::Bytes;

use super::{JoinedGroup, Millis, Reply, SyncedMember};
use crate::coordinator::group_records::MemberRecord;

/// A member of a group.
#[derive(Debug)]
pub struct Member {
    pub id: String,
    /// `group.instance.id` of a static member.
    pub instance: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub rebalance_timeout: Millis,
    pub session_timeout: Millis,
    /// What it can do, best first, with what it wants to say to the leader.
    pub protocols: Vec<(String, Bytes)>,
    pub assignment: Bytes,
    /// Has never been given a generation.
    pub is_new: bool,
    /// When its session ends if it is not heard of.
    pub deadline: Option<Millis>,
    pub awaiting_join: Option<Reply<JoinedGroup>>,
    pub awaiting_sync: Option<Reply<SyncedMember>>,
}

impl Member {
    /// A member as it was stored. Only what it said in the chosen protocol is known of it.
    pub fn restore(now: Millis, record: MemberRecord, protocol: Option<&str>) -> Self {
        let session_timeout = record.session_timeout_ms.max(0) as Millis;
        Self {
            id: record.id,
            instance: record.instance,
            client_id: record.client_id,
            client_host: record.client_host,
            rebalance_timeout: record.rebalance_timeout_ms.max(0) as Millis,
            session_timeout,
            protocols: vec![(protocol.unwrap_or_default().to_owned(), record.subscription)],
            assignment: record.assignment,
            is_new: false,
            deadline: Some(now + session_timeout),
            awaiting_join: None,
            awaiting_sync: None,
        }
    }

    /// What it said in a protocol.
    pub fn metadata(&self, protocol: &str) -> Bytes {
        self.protocols
            .iter()
            .find(|(name, _)| name == protocol)
            .map(|(_, metadata)| metadata.clone())
            .unwrap_or_default()
    }

    /// Whether it can do a protocol.
    pub fn supports(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|(name, _)| name == protocol)
    }

    /// Whether it waits for others, so that it need not send heartbeats.
    pub fn is_waiting(&self) -> bool {
        self.awaiting_join.is_some() || self.awaiting_sync.is_some()
    }

    /// Answers its `JoinGroup`, if it waits for that. The client may have gone.
    pub fn answer_join(&mut self, answer: JoinedGroup) {
        if let Some(reply) = self.awaiting_join.take() {
            let _ = reply.send(answer);
        }
    }

    /// Answers its `SyncGroup`, if it waits for that; says whether it did.
    pub fn answer_sync(&mut self, answer: SyncedMember) -> bool {
        match self.awaiting_sync.take() {
            Some(reply) => {
                let _ = reply.send(answer);
                true
            }
            None => false,
        }
    }
}
