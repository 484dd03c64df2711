//! What consumers say inside the group protocol: the topics they want and the partitions they were given.
//! Other kinds of clients put anything there, so that nothing may be taken for granted.

use bytes::Bytes;

use super::PartitionName;
use crate::coordinator::wire::Reader;

/// What the protocol of consumers is called.
pub const CONSUMER_PROTOCOL: &str = "consumer";

/// The topics in a consumer's metadata; `None` if it is not such.
pub fn subscribed_topics(metadata: &Bytes) -> Option<Vec<String>> {
    let mut reader = Reader::new(metadata.clone());
    let _version = reader.i16()?;
    (0..reader.count()?).map(|_| reader.string()).collect()
}

/// The partitions in a consumer's assignment; `None` if it is not such.
pub fn assigned_partitions(assignment: &Bytes) -> Option<Vec<PartitionName>> {
    let mut reader = Reader::new(assignment.clone());
    let _version = reader.i16()?;
    let mut partitions = Vec::new();
    for _ in 0..reader.count()? {
        let topic = reader.string()?;
        for _ in 0..reader.count()? {
            partitions.push(PartitionName {
                topic: topic.clone(),
                partition: reader.i32()?,
            });
        }
    }
    Some(partitions)
}
