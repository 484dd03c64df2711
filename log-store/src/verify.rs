//! Reading everything once, to find damage before somebody needs the rows.

use crate::{Log, LogError, PartitionId, TopicId, segment::SEGMENT_HEADER_LEN};

impl Log {
    /// Checks every batch of every partition against its checksums. Gives the first damage of each segment that has any.
    ///
    /// Reads the whole log; appends and readers go on meanwhile.
    pub fn verify(&self) -> Vec<(TopicId, PartitionId, LogError)> {
        let mut damage = Vec::new();
        for topic in self.topics() {
            for partition in topic.partitions() {
                let segments = partition.inner.state.read().segments.clone();
                for segment in segments {
                    let verified = (|| {
                        let mut headers = segment.headers_from(SEGMENT_HEADER_LEN)?;
                        while let Some(next) = headers.next() {
                            let (position, header) = next?;
                            headers.batch(position, &header)?;
                        }
                        Ok(())
                    })();
                    if let Err(error) = verified {
                        damage.push((topic.id(), partition.id(), error));
                    }
                }
            }
        }
        damage
    }
}
