//! Offsets: committed when they are durable, fetched from memory, deleted by request.

use std::sync::Arc;

use kafka_protocol::ResponseError;
use uuid::Uuid;

use super::{Groups, SharedGroup, finish, tombstones};
use crate::coordinator::group::{
    CommittedOffset, Committer, Group, GroupState, Millis, PartitionName,
};
use crate::coordinator::group_records;
use crate::coordinator::storage::{Durable, Record, Write};

/// Offsets that a consumer commits.
#[derive(Debug, Clone)]
pub struct CommitRequest {
    pub group: String,
    /// Empty if it does not use the group protocol.
    pub member: String,
    pub instance: Option<String>,
    /// −1 if it does not use the group protocol.
    pub generation: i32,
    pub offsets: Vec<(PartitionName, NewOffset)>,
}

/// An offset to commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOffset {
    pub offset: i64,
    pub leader_epoch: i32,
    pub metadata: String,
}

/// What is known of a partition's offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchedOffset {
    Committed(CommittedOffset),
    /// Never committed, or forgotten.
    None,
    /// An open transaction may change it.
    Unstable,
}

impl Groups {
    /// Commits offsets; an answer for each, in their order, once they are durable.
    pub async fn commit(
        self: &Arc<Self>,
        request: CommitRequest,
    ) -> Vec<Result<(), ResponseError>> {
        let (good, mut answers) = self.check_offsets(request.offsets);
        let committer = Committer {
            member: &request.member,
            instance: request.instance.as_deref(),
            generation: request.generation,
            transactional: false,
        };
        let result = match self.begin_commit(&request.group, committer, good) {
            Ok(None) => Ok(()),
            Ok(Some((group, offsets, durable))) => {
                finish(commit_when_durable(group, offsets, durable)).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            for answer in &mut answers {
                *answer = answer.and(Err(error));
            }
        }
        answers
    }

    /// Those offsets that may be committed, as they will stand but for their position; and an answer for each.
    pub fn check_offsets(&self, offsets: Vec<(PartitionName, NewOffset)>) -> CheckedOffsets {
        let committed_at = self.clock.wall();
        let mut good = Vec::with_capacity(offsets.len());
        let mut answers = Vec::with_capacity(offsets.len());
        for (partition, offset) in offsets {
            let topic = self.storage.topic_id(&partition.topic, partition.partition);
            answers.push(match topic {
                None => Err(ResponseError::UnknownTopicOrPartition),
                Some(_) if offset.metadata.len() > self.config.offset_metadata_bytes_max => {
                    Err(ResponseError::OffsetMetadataTooLarge)
                }
                Some(topic) => {
                    good.push((partition, committed(offset, topic, committed_at)));
                    Ok(())
                }
            });
        }
        (good, answers)
    }

    /// Checks who commits and puts the commit in line. `None` if there is nothing to commit.
    fn begin_commit(
        &self,
        id: &str,
        committer: Committer<'_>,
        offsets: Vec<(PartitionName, CommittedOffset)>,
    ) -> Result<Option<Committing>, ResponseError> {
        let shared = match self.get(id) {
            Some(group) => group,
            // It may keep offsets here without using the group protocol.
            None if committer.generation < 0 => self.get_or_create(id),
            None => return Err(ResponseError::IllegalGeneration),
        };
        let mut group = shared.lock();
        let checked = group.check_commit(self.clock.now(), committer);
        if checked.is_err() || offsets.is_empty() {
            let disposable = group.generation() == 0 && group.is_disposable();
            if disposable {
                group.kill();
            }
            drop(group);
            if disposable {
                self.remove(&shared);
            }
            return checked.map(|()| None);
        }
        for (partition, _) in &offsets {
            group.offsets.begin(partition.clone());
        }
        let durable = self.storage.append(Write {
            offsets: offset_records(id, &offsets),
            ..Write::default()
        });
        drop(group);
        Ok(Some((shared, offsets, durable)))
    }

    /// What is known of a group's offsets: of the partitions given, or of all.
    pub fn fetch(
        &self,
        group: &str,
        partitions: Option<Vec<PartitionName>>,
        require_stable: bool,
    ) -> Vec<(PartitionName, FetchedOffset)> {
        let Some(group) = self.get(group) else {
            let partitions = partitions.unwrap_or_default();
            let nothing = |partition| (partition, FetchedOffset::None);
            return partitions.into_iter().map(nothing).collect();
        };
        let group = group.lock();
        let partitions = partitions.unwrap_or_else(|| {
            let all = group.offsets.iter();
            let all = all.filter(|(partition, committed)| self.is_current(partition, committed));
            all.map(|(partition, _)| partition.clone()).collect()
        });
        partitions
            .into_iter()
            .map(|partition| {
                let fetched = self.fetched(&group, &partition, require_stable);
                (partition, fetched)
            })
            .collect()
    }

    fn fetched(
        &self,
        group: &Group,
        partition: &PartitionName,
        require_stable: bool,
    ) -> FetchedOffset {
        if require_stable && group.offsets.is_unstable(partition) {
            return FetchedOffset::Unstable;
        }
        match group.offsets.get(partition) {
            Some(committed)
                if group.state() != GroupState::Dead && self.is_current(partition, committed) =>
            {
                FetchedOffset::Committed(committed.clone())
            }
            _ => FetchedOffset::None,
        }
    }

    /// Whether an offset is of the topic that has its name now.
    fn is_current(&self, partition: &PartitionName, committed: &CommittedOffset) -> bool {
        let topic = self.storage.topic_id(&partition.topic, partition.partition);
        topic == Some(committed.topic_id)
    }

    /// Offsets of topics that are gone. Where another commit is on its way the log may already have it: that
    /// takes the place of the old one, which must not be said to be gone after it.
    pub(super) fn offsets_of_gone_topics(&self, group: &Group) -> Vec<PartitionName> {
        let gone = group.offsets.iter().filter(|(partition, committed)| {
            !self.is_current(partition, committed) && !group.offsets.is_changing(partition)
        });
        gone.map(|(partition, _)| partition.clone()).collect()
    }

    /// Forgets offsets of topics that are gone. That the log is told before a topic of the same name can be made
    /// is not needed: an offset counts only for the topic that it names.
    pub fn forget_gone_topics(self: &Arc<Self>) {
        let groups: Vec<SharedGroup> = self.groups.read().values().cloned().collect();
        for shared in groups {
            let group = shared.lock();
            let gone = self.offsets_of_gone_topics(&group);
            if group.state() == GroupState::Dead || gone.is_empty() {
                continue;
            }
            let id = group.id().to_owned();
            let durable = self.storage.append(Write {
                offsets: tombstones(&id, gone.iter()),
                ..Write::default()
            });
            drop(group);
            tokio::spawn(async move {
                if let Err(error) = forget_when_durable(shared, gone, durable).await {
                    tracing::warn!(group = %id, %error, "offsets of a deleted topic could not be forgotten");
                }
            });
        }
    }

    /// Forgets offsets by request; an answer for each.
    pub async fn delete_offsets(
        self: &Arc<Self>,
        id: &str,
        partitions: Vec<PartitionName>,
    ) -> Result<Vec<Result<(), ResponseError>>, ResponseError> {
        let shared = self.get(id).ok_or(ResponseError::GroupIdNotFound)?;
        let mut answers = Vec::with_capacity(partitions.len());
        let mut doomed = Vec::new();
        let durable = {
            let group = shared.lock();
            match group.state() {
                GroupState::Dead => return Err(ResponseError::GroupIdNotFound),
                GroupState::Empty => {}
                _ if group.is_consumer_group() => {}
                _ => return Err(ResponseError::NonEmptyGroup),
            }
            for partition in partitions {
                if group.is_subscribed_to(&partition.topic) {
                    answers.push(Err(ResponseError::GroupSubscribedToTopic));
                    continue;
                }
                let known = group.offsets.get(&partition).is_some();
                if !known
                    && !self
                        .storage
                        .has_partition(&partition.topic, partition.partition)
                {
                    answers.push(Err(ResponseError::UnknownTopicOrPartition));
                    continue;
                }
                answers.push(Ok(()));
                if known {
                    doomed.push(partition);
                }
            }
            if doomed.is_empty() {
                return Ok(answers);
            }
            self.storage.append(Write {
                offsets: tombstones(id, doomed.iter()),
                ..Write::default()
            })
        };
        finish(forget_when_durable(shared, doomed, durable)).await?;
        Ok(answers)
    }

    /// An open transaction will commit offsets of a group.
    pub fn hold(
        self: &Arc<Self>,
        id: &str,
        committer: Committer<'_>,
        transactional_id: &str,
        partitions: impl Iterator<Item = PartitionName>,
    ) -> Result<(), ResponseError> {
        let shared = match self.get(id) {
            Some(group) => group,
            None if committer.generation < 0 => self.get_or_create(id),
            None => return Err(ResponseError::IllegalGeneration),
        };
        self.step(&shared, |group, now, _| {
            group.check_commit(now, committer)?;
            group.offsets.hold(transactional_id, partitions);
            Ok(())
        })
    }

    /// A transaction has ended; what it has committed for a group stands at `position` in the log.
    pub fn release(
        self: &Arc<Self>,
        id: &str,
        transactional_id: &str,
        committed: Vec<(PartitionName, CommittedOffset)>,
        position: u64,
    ) {
        let shared = self.get_or_create(id);
        self.step(&shared, |group, _: Millis, _| {
            put_all(group, committed, position);
            group.offsets.release(transactional_id);
        });
    }
}

/// Offsets to be committed, and what is answered for each that was asked for.
pub type CheckedOffsets = (
    Vec<(PartitionName, CommittedOffset)>,
    Vec<Result<(), ResponseError>>,
);

type Committing = (SharedGroup, Vec<(PartitionName, CommittedOffset)>, Durable);

/// An offset as it will stand, but for its position.
fn committed(offset: NewOffset, topic_id: Uuid, committed_at: i64) -> CommittedOffset {
    CommittedOffset {
        topic_id,
        offset: offset.offset,
        leader_epoch: offset.leader_epoch,
        metadata: offset.metadata,
        committed_at,
        position: 0,
    }
}

/// The records of a commit, one for each offset.
pub fn offset_records(group: &str, offsets: &[(PartitionName, CommittedOffset)]) -> Vec<Record> {
    offsets
        .iter()
        .map(|(partition, committed)| Record {
            key: group_records::offset_key(group, partition),
            value: Some(group_records::offset_value(committed)),
        })
        .collect()
}

fn put_all(group: &mut Group, offsets: Vec<(PartitionName, CommittedOffset)>, position: u64) {
    for (index, (partition, mut committed)) in offsets.into_iter().enumerate() {
        committed.position = position + index as u64;
        group.offsets.put(partition, committed);
    }
}

async fn commit_when_durable(
    shared: SharedGroup,
    offsets: Vec<(PartitionName, CommittedOffset)>,
    durable: Durable,
) -> Result<(), ResponseError> {
    let result = durable.await;
    let mut group = shared.lock();
    for (partition, _) in &offsets {
        group.offsets.end(partition);
    }
    let position = result.map_err(|error| error.code())?;
    put_all(&mut group, offsets, position);
    Ok(())
}

/// Forgets what the log has said is forgotten.
pub(super) async fn forget_when_durable(
    shared: SharedGroup,
    partitions: Vec<PartitionName>,
    durable: Durable,
) -> Result<(), ResponseError> {
    let position = durable.await.map_err(|error| error.code())?;
    let mut group = shared.lock();
    for (index, partition) in partitions.iter().enumerate() {
        group.offsets.remove(partition, position + index as u64);
    }
    Ok(())
}
