//! Offsets that nobody has used for long, and groups that have nothing any more, are forgotten.

use std::sync::Arc;

use super::offsets::forget_when_durable;
use super::{Groups, SharedGroup, tombstones};
use crate::coordinator::group::GroupState;
use crate::coordinator::group_records;
use crate::coordinator::storage::{Record, Write};

impl Groups {
    /// Looks through all groups for what may be forgotten. The log is told first.
    pub(super) fn forget_expired(self: &Arc<Self>) {
        let groups: Vec<SharedGroup> = self.groups.read().values().cloned().collect();
        for shared in groups {
            self.forget_expired_offsets(&shared);
        }
    }

    fn forget_expired_offsets(self: &Arc<Self>, shared: &SharedGroup) {
        let mut group = shared.lock();
        let wall = self.clock.wall();
        let mut expired = group.expired_offsets(wall, self.config.offsets_retention_ms);
        expired.extend(self.offsets_of_gone_topics(&group));
        expired.sort();
        expired.dedup();
        let id = group.id().to_owned();
        // What is on its way counts as well, so such a group stays.
        let is_left_with_nothing = group.state() == GroupState::Empty
            && !group.offsets.is_held()
            && group.offsets.partitions().len() == expired.len();
        if is_left_with_nothing {
            group.kill();
            let mut records = tombstones(&id, expired.iter());
            records.push(Record {
                key: group_records::group_key(&id),
                value: None,
            });
            let durable = self.storage.append(Write {
                offsets: records,
                ..Write::default()
            });
            drop(group);
            tracing::info!(group = %id, offsets = expired.len(), "a group that was not used is forgotten");
            let (groups, shared) = (self.clone(), shared.clone());
            tokio::spawn(async move {
                match durable.await {
                    Ok(_) => groups.remove(&shared),
                    Err(error) => {
                        tracing::warn!(group = %id, %error, "a group could not be forgotten");
                        groups.step(&shared, |group, _, _| group.revive());
                    }
                }
            });
        } else if !expired.is_empty() {
            let durable = self.storage.append(Write {
                offsets: tombstones(&id, expired.iter()),
                ..Write::default()
            });
            drop(group);
            tracing::info!(group = %id, offsets = expired.len(), "offsets that were not used are forgotten");
            let shared = shared.clone();
            tokio::spawn(async move {
                if let Err(error) = forget_when_durable(shared, expired, durable).await {
                    tracing::warn!(group = %id, %error, "offsets could not be forgotten");
                }
            });
        }
    }
}
