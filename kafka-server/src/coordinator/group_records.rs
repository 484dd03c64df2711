//! The records of `__consumer_offsets`, as Apache Kafka writes them, so that tools that read that topic work.
//!
//! ```text
//! offset  key   = 1:i16 · group · topic · partition:i32
//!         value = 3:i16 · offset:i64 · leader_epoch:i32 · metadata · committed_at:i64
//!               | 4:i16 · offset:i64 · leader_epoch:i32 · metadata · committed_at:i64 · {0: topic id}
//! group   key   = 2:i16 · group
//!         value = 3:i16 · protocol_type · generation:i32 · protocol? · leader? · state_since:i64 · member*
//! member        = id · instance? · client_id · client_host · rebalance_timeout:i32 · session_timeout:i32
//!               · subscription · assignment
//! ```
//!
//! Offsets are written in version 4, whose strings and last field are those of the flexible versions; version 3
//! is read. No value means that the key is gone. Compaction keeps the last record of each key.

use bytes::{BufMut, Bytes};
use uuid::Uuid;

use super::group::{CommittedOffset, PartitionName};
use super::wire::{
    Reader, put_bytes, put_compact_string, put_nullable_string, put_string, put_tagged_field,
};

const OFFSET_KEY: i16 = 1;
const GROUP_KEY: i16 = 2;
/// Without the topic's id.
const OFFSET_VALUE_BEFORE: i16 = 3;
const OFFSET_VALUE: i16 = 4;
const TOPIC_ID_TAG: u32 = 0;
const GROUP_VALUE: i16 = 3;

/// What a key is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupKey {
    Offset(String, PartitionName),
    Group(String),
}

/// A group as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GroupMetadata {
    pub protocol_type: String,
    pub generation: i32,
    pub protocol: Option<String>,
    pub leader: Option<String>,
    /// Wall clock, milliseconds.
    pub state_since: i64,
    pub members: Vec<MemberRecord>,
}

/// A member as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemberRecord {
    pub id: String,
    pub instance: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    pub subscription: Bytes,
    pub assignment: Bytes,
}

/// The key of a committed offset.
pub fn offset_key(group: &str, partition: &PartitionName) -> Bytes {
    let mut out = Vec::with_capacity(12 + group.len() + partition.topic.len());
    out.put_i16(OFFSET_KEY);
    put_string(&mut out, group);
    put_string(&mut out, &partition.topic);
    out.put_i32(partition.partition);
    out.into()
}

/// The value of a committed offset.
pub fn offset_value(committed: &CommittedOffset) -> Bytes {
    let mut out = Vec::with_capacity(48 + committed.metadata.len());
    out.put_i16(OFFSET_VALUE);
    out.put_i64(committed.offset);
    out.put_i32(committed.leader_epoch);
    put_compact_string(&mut out, &committed.metadata);
    out.put_i64(committed.committed_at);
    put_tagged_field(&mut out, TOPIC_ID_TAG, committed.topic_id.as_bytes());
    out.into()
}

/// The key of a group.
pub fn group_key(group: &str) -> Bytes {
    let mut out = Vec::with_capacity(4 + group.len());
    out.put_i16(GROUP_KEY);
    put_string(&mut out, group);
    out.into()
}

/// The value of a group.
pub fn group_value(group: &GroupMetadata) -> Bytes {
    let mut out = Vec::new();
    out.put_i16(GROUP_VALUE);
    put_string(&mut out, &group.protocol_type);
    out.put_i32(group.generation);
    put_nullable_string(&mut out, group.protocol.as_deref());
    put_nullable_string(&mut out, group.leader.as_deref());
    out.put_i64(group.state_since);
    out.put_i32(group.members.len() as i32);
    for member in &group.members {
        put_string(&mut out, &member.id);
        put_nullable_string(&mut out, member.instance.as_deref());
        put_string(&mut out, &member.client_id);
        put_string(&mut out, &member.client_host);
        out.put_i32(member.rebalance_timeout_ms);
        out.put_i32(member.session_timeout_ms);
        put_bytes(&mut out, &member.subscription);
        put_bytes(&mut out, &member.assignment);
    }
    out.into()
}

/// Reads a key; `None` if it is none of ours.
pub fn read_key(key: &Bytes) -> Option<GroupKey> {
    let mut reader = Reader::new(key.clone());
    match reader.i16()? {
        OFFSET_KEY => {
            let group = reader.string()?;
            let topic = reader.string()?;
            let partition = reader.i32()?;
            Some(GroupKey::Offset(group, PartitionName { topic, partition }))
        }
        GROUP_KEY => Some(GroupKey::Group(reader.string()?)),
        _ => None,
    }
}

/// Reads a committed offset, which stood at `position` in the log.
pub fn read_offset(value: &Bytes, position: u64) -> Option<CommittedOffset> {
    let mut reader = Reader::new(value.clone());
    let version = reader.i16()?;
    let mut committed = CommittedOffset {
        topic_id: Uuid::nil(),
        offset: reader.i64()?,
        leader_epoch: reader.i32()?,
        metadata: match version {
            OFFSET_VALUE_BEFORE => reader.string()?,
            OFFSET_VALUE => reader.compact_string()?,
            _ => return None,
        },
        committed_at: reader.i64()?,
        position,
    };
    if version == OFFSET_VALUE {
        let fields = reader.tagged_fields()?;
        let id = fields.iter().find(|(tag, _)| *tag == TOPIC_ID_TAG);
        if let Some((_, id)) = id {
            committed.topic_id = Uuid::from_slice(id).ok()?;
        }
    }
    Some(committed)
}

/// Reads a group.
pub fn read_group(value: &Bytes) -> Option<GroupMetadata> {
    let mut reader = Reader::new(value.clone());
    if reader.i16()? != GROUP_VALUE {
        return None;
    }
    let mut group = GroupMetadata {
        protocol_type: reader.string()?,
        generation: reader.i32()?,
        protocol: reader.nullable_string()?,
        leader: reader.nullable_string()?,
        state_since: reader.i64()?,
        members: Vec::new(),
    };
    for _ in 0..reader.count()? {
        group.members.push(MemberRecord {
            id: reader.string()?,
            instance: reader.nullable_string()?,
            client_id: reader.string()?,
            client_host: reader.string()?,
            rebalance_timeout_ms: reader.i32()?,
            session_timeout_ms: reader.i32()?,
            subscription: reader.bytes()?,
            assignment: reader.bytes()?,
        });
    }
    Some(group)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group() -> GroupMetadata {
        GroupMetadata {
            protocol_type: "consumer".into(),
            generation: 7,
            protocol: Some("range".into()),
            leader: Some("a-1".into()),
            state_since: 1_700_000_000_000,
            members: vec![MemberRecord {
                id: "a-1".into(),
                instance: Some("a".into()),
                client_id: "client".into(),
                client_host: "127.0.0.1".into(),
                rebalance_timeout_ms: 300_000,
                session_timeout_ms: 45_000,
                subscription: Bytes::from_static(b"topics"),
                assignment: Bytes::from_static(b"partitions"),
            }],
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let partition = PartitionName {
            topic: "rides".into(),
            partition: 3,
        };
        let committed = CommittedOffset {
            topic_id: Uuid::from_u128(1 << 100 | 7),
            offset: 42,
            leader_epoch: -1,
            metadata: "µ".into(),
            committed_at: 1_700_000_000_000,
            position: 9,
        };
        let key = read_key(&offset_key("g", &partition));
        assert_eq!(key, Some(GroupKey::Offset("g".into(), partition)));
        assert_eq!(read_offset(&offset_value(&committed), 9), Some(committed));
        assert_eq!(read_key(&group_key("g")), Some(GroupKey::Group("g".into())));
        assert_eq!(read_group(&group_value(&group())), Some(group()));
    }

    #[test]
    fn an_offset_without_a_topic_id_is_read() {
        let mut value = Vec::new();
        value.put_i16(OFFSET_VALUE_BEFORE);
        value.put_i64(42);
        value.put_i32(-1);
        put_string(&mut value, "m");
        value.put_i64(1_700_000_000_000);
        let read = read_offset(&value.into(), 9);
        let expected = CommittedOffset {
            topic_id: Uuid::nil(),
            offset: 42,
            leader_epoch: -1,
            metadata: "m".into(),
            committed_at: 1_700_000_000_000,
            position: 9,
        };
        assert_eq!(read, Some(expected.clone()));
        let whole = offset_value(&expected);
        assert_eq!(read_offset(&whole, 9), Some(expected));
        for length in 0..whole.len() {
            assert_eq!(
                read_offset(&whole.slice(..length), 9),
                None,
                "{length} bytes"
            );
        }
    }

    #[test]
    fn what_is_cut_off_is_not_read() {
        let whole = group_value(&group());
        for length in 0..whole.len() {
            assert_eq!(read_group(&whole.slice(..length)), None, "{length} bytes");
        }
    }
}
