//! Which brokers shall have the replicas of new partitions, where a request says so. There is one broker.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::BrokerId;

use super::NODE_ID;

/// Checks the brokers of each new partition, by Kafka's rules.
pub fn check<'a>(
    partitions: impl Iterator<Item = &'a [BrokerId]>,
) -> Result<(), (ResponseError, String)> {
    for brokers in partitions {
        let unknown = brokers.iter().find(|broker| broker.0 != NODE_ID);
        let reason = match (unknown, brokers.len()) {
            (Some(broker), _) => format!("Unknown broker(s) in replica assignment: {}.", broker.0),
            (None, 0) => "The manual partition assignment has an empty replica list.".to_owned(),
            (None, 1) => continue,
            (None, _) => {
                format!("Duplicate brokers not allowed in replica assignment: {NODE_ID}.")
            }
        };
        return Err(refused(reason));
    }
    Ok(())
}

pub fn refused(reason: String) -> (ResponseError, String) {
    (ResponseError::InvalidReplicaAssignment, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_partition_has_this_broker_once() {
        let checked = |brokers: &[i32]| {
            let brokers: Vec<BrokerId> = brokers.iter().copied().map(BrokerId).collect();
            check([&*brokers].into_iter()).is_ok()
        };
        assert!(checked(&[NODE_ID]));
        for wrong in [&[][..], &[9], &[NODE_ID, 9], &[NODE_ID, NODE_ID]] {
            assert!(!checked(wrong), "{wrong:?}");
        }
    }
}
