//! All groups: finds the one that a request is about, drives it, stores what it wants stored.
//!
//! A group is locked for each step, never across a wait. What goes to the log is put in line under that lock,
//! so that the log has the same order; what has become durable is then applied under the lock again. Work that
//! must be finished goes on when the client that asked for it has gone.

mod expiry;
mod offsets;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use kafka_protocol::ResponseError;
use parking_lot::{Mutex, RwLock};
use tokio::sync::oneshot;

pub use offsets::{CommitRequest, FetchedOffset, NewOffset, offset_records};

use super::clock::Clock;
use super::deadlines::Deadlines;
use super::group::{
    CommittedOffset, Effect, Group, GroupConfig, GroupState, GroupSummary, JoinRequest,
    JoinedGroup, Leaving, Millis, PartitionName, SyncRequest, SyncedMember,
};
use super::group_records::{self, GroupKey, GroupMetadata};
use super::storage::{InternalTopic, Record, Storage, StorageError, Write};

/// How groups and their offsets are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupsConfig {
    pub group: GroupConfig,
    /// Offsets of a group without members are forgotten after this time.
    pub offsets_retention_ms: i64,
    /// How often it is looked for what may be forgotten.
    pub offsets_check_interval_ms: Millis,
    /// Longest text that a consumer may store with an offset.
    pub offset_metadata_bytes_max: usize,
}

impl Default for GroupsConfig {
    fn default() -> Self {
        Self {
            group: GroupConfig::default(),
            offsets_retention_ms: 7 * 24 * 3_600 * 1_000,
            offsets_check_interval_ms: 10 * 60 * 1_000,
            offset_metadata_bytes_max: 4_096,
        }
    }
}

type SharedGroup = Arc<Mutex<Group>>;

/// All consumer groups.
pub struct Groups {
    config: GroupsConfig,
    groups: RwLock<HashMap<String, SharedGroup>>,
    storage: Arc<dyn Storage>,
    clock: Arc<dyn Clock>,
    deadlines: Deadlines<String>,
    next_check: Mutex<Millis>,
}

impl Groups {
    /// The groups as the log has them. Blocks.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn open(
        config: GroupsConfig,
        storage: Arc<dyn Storage>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, StorageError> {
        let mut stored = replay(&*storage)?;
        let changes = match_topics(&*storage, &mut stored);
        if !changes.is_empty() {
            // If they do not get there, the next start finds the same.
            drop(storage.append(Write {
                offsets: changes,
                ..Write::default()
            }));
        }
        stored.retain(|_, (metadata, offsets)| metadata.is_some() || !offsets.is_empty());
        let now = clock.now();
        let next_check = now + config.offsets_check_interval_ms;
        let groups = Arc::new(Self {
            config,
            groups: RwLock::default(),
            storage,
            clock,
            deadlines: Deadlines::default(),
            next_check: Mutex::new(next_check),
        });
        for (id, (metadata, offsets)) in stored {
            let mut group = Group::new(&*id, groups.config.group.clone(), groups.clock.wall());
            if let Some(metadata) = metadata {
                group.restore(now, metadata);
            }
            for (partition, committed) in offsets {
                group.offsets.put(partition, committed);
            }
            groups.deadlines.set(&id, group.next_deadline());
            groups
                .groups
                .write()
                .insert(id, Arc::new(Mutex::new(group)));
        }
        Ok(groups)
    }

    /// Lets time pass for the groups, for as long as it is polled.
    pub async fn keep_time(self: &Arc<Self>) {
        loop {
            let next_check = *self.next_check.lock();
            let until_check = next_check.saturating_sub(self.clock.now());
            tokio::select! {
                () = self.deadlines.wait(&*self.clock) => {}
                () = tokio::time::sleep(std::time::Duration::from_millis(until_check)) => {}
            }
            self.expire();
        }
    }

    /// Lets pass what the time has overtaken.
    pub fn expire(self: &Arc<Self>) {
        let now = self.clock.now();
        for id in self.deadlines.take_due(now) {
            if let Some(group) = self.get(&id) {
                self.step(&group, |group, now, wall| group.expire(now, wall));
            }
        }
        let check_due = {
            let mut next_check = self.next_check.lock();
            let due = *next_check <= now;
            if due {
                *next_check = now + self.config.offsets_check_interval_ms.max(1);
            }
            due
        };
        if check_due {
            self.forget_expired();
        }
    }

    /// A member joins; waits for the others.
    pub async fn join(self: &Arc<Self>, group: &str, request: JoinRequest) -> JoinedGroup {
        let id = request.member.clone();
        let limits = &self.config.group;
        let allowed = limits.session_timeout_min_ms..=limits.session_timeout_max_ms;
        if !allowed.contains(&request.session_timeout_ms) {
            return JoinedGroup::refused(id, ResponseError::InvalidSessionTimeout);
        }
        let found = match request.member.is_empty() {
            true => Some(self.get_or_create(group)),
            false => self.get(group),
        };
        let Some(group) = found else {
            return JoinedGroup::refused(id, ResponseError::UnknownMemberId);
        };
        let (reply, answer) = oneshot::channel();
        self.step(&group, |group, now, wall| {
            group.join(now, wall, request, reply)
        });
        // A group answers everybody before it goes, so nobody is left without but at the end of the server.
        answer
            .await
            .unwrap_or_else(|_| JoinedGroup::refused(id, ResponseError::CoordinatorNotAvailable))
    }

    /// A member asks for its assignment; waits for the leader.
    pub async fn sync(self: &Arc<Self>, group: &str, request: SyncRequest) -> SyncedMember {
        let Some(group) = self.get(group) else {
            return SyncedMember::refused(ResponseError::UnknownMemberId);
        };
        let (reply, answer) = oneshot::channel();
        self.step(&group, |group, now, _| group.sync(now, request, reply));
        answer
            .await
            .unwrap_or_else(|_| SyncedMember::refused(ResponseError::CoordinatorNotAvailable))
    }

    /// A member is alive.
    pub fn heartbeat(
        &self,
        group: &str,
        member: &str,
        instance: Option<&str>,
        generation: i32,
    ) -> Result<(), ResponseError> {
        let group = self.get(group).ok_or(ResponseError::UnknownMemberId)?;
        // Its deadline only moves away, which is noticed when the old one has come.
        let mut group = group.lock();
        group.heartbeat(self.clock.now(), member, instance, generation)
    }

    /// Members go; an answer for each.
    pub fn leave(
        self: &Arc<Self>,
        group: &str,
        leaving: &[Leaving],
    ) -> Vec<Result<(), ResponseError>> {
        let Some(group) = self.get(group) else {
            return vec![Err(ResponseError::UnknownMemberId); leaving.len()];
        };
        self.step(&group, |group, now, wall| {
            leaving
                .iter()
                .map(|leaving| group.leave(now, wall, leaving))
                .collect()
        })
    }

    /// What a group looks like; `None` if there is no such group.
    pub fn describe(&self, group: &str) -> Option<GroupSummary> {
        let summary = self.get(group)?.lock().summary();
        (summary.state != GroupState::Dead).then_some(summary)
    }

    /// What all groups look like, by name.
    pub fn list(&self) -> Vec<GroupSummary> {
        let groups: Vec<SharedGroup> = self.groups.read().values().cloned().collect();
        let mut summaries: Vec<_> = groups
            .iter()
            .map(|group| group.lock().summary())
            .filter(|summary| summary.state != GroupState::Dead)
            .collect();
        summaries.sort_by(|a, b| a.id.cmp(&b.id));
        summaries
    }

    /// Deletes a group with all that it has committed.
    pub async fn delete(self: &Arc<Self>, id: &str) -> Result<(), ResponseError> {
        let group = self.get(id).ok_or(ResponseError::GroupIdNotFound)?;
        let durable = {
            let mut group = group.lock();
            match group.state() {
                GroupState::Dead => return Err(ResponseError::GroupIdNotFound),
                GroupState::Empty if !group.offsets.is_held() => {}
                _ => return Err(ResponseError::NonEmptyGroup),
            }
            group.kill();
            let partitions = group.offsets.partitions();
            let mut records = tombstones(id, partitions.iter());
            records.push(Record {
                key: group_records::group_key(id),
                value: None,
            });
            self.storage.append(Write {
                offsets: records,
                ..Write::default()
            })
        };
        let groups = self.clone();
        finish(async move {
            let result = durable.await;
            match &result {
                Ok(_) => groups.remove(&group),
                Err(_) => groups.step(&group, |group, _, _| group.revive()),
            }
            result.map(|_| ()).map_err(|error| error.code())
        })
        .await
    }

    fn get(&self, id: &str) -> Option<SharedGroup> {
        self.groups.read().get(id).cloned()
    }

    fn get_or_create(&self, id: &str) -> SharedGroup {
        if let Some(group) = self.get(id) {
            return group;
        }
        let mut groups = self.groups.write();
        let group = groups.entry(id.to_owned()).or_insert_with(|| {
            let group = Group::new(id, self.config.group.clone(), self.clock.wall());
            Arc::new(Mutex::new(group))
        });
        group.clone()
    }

    /// Takes a dead group out.
    fn remove(&self, group: &SharedGroup) {
        let id = group.lock().id().to_owned();
        let mut groups = self.groups.write();
        if groups
            .get(&id)
            .is_some_and(|current| Arc::ptr_eq(current, group))
        {
            groups.remove(&id);
            self.deadlines.set(&id, None);
        }
    }

    /// One step of a group, and what follows from it.
    fn step<T>(
        self: &Arc<Self>,
        shared: &SharedGroup,
        step: impl FnOnce(&mut Group, Millis, i64) -> T,
    ) -> T {
        let mut group = shared.lock();
        let result = step(&mut group, self.clock.now(), self.clock.wall());
        for effect in group.take_effects() {
            self.follow(shared, group.id(), effect);
        }
        // Of a dead one the name may already be another's.
        if group.state() != GroupState::Dead {
            self.deadlines
                .set(&group.id().to_owned(), group.next_deadline());
        }
        // A group that never was one leaves nothing behind.
        let disposable = group.generation() == 0 && group.is_disposable();
        if disposable {
            group.kill();
        }
        drop(group);
        if disposable {
            self.remove(shared);
        }
        result
    }

    /// Does what a step asks for. The group is locked.
    fn follow(self: &Arc<Self>, shared: &SharedGroup, id: &str, effect: Effect) {
        let Effect::Store(metadata, what) = effect;
        let durable = self.storage.append(Write {
            offsets: vec![Record {
                key: group_records::group_key(id),
                value: Some(group_records::group_value(&metadata)),
            }],
            ..Write::default()
        });
        let (groups, shared) = (self.clone(), shared.clone());
        tokio::spawn(async move {
            let result = durable.await.map(|_| ()).map_err(|error| error.code());
            groups.step(&shared, |group, now, wall| {
                group.stored(now, wall, what, result)
            });
        });
    }
}

/// Goes on to the end of `work`, even if nobody waits for it any more.
pub(super) async fn finish<T: Send + 'static>(
    work: impl Future<Output = Result<T, ResponseError>> + Send + 'static,
) -> Result<T, ResponseError> {
    tokio::spawn(work)
        .await
        .unwrap_or(Err(ResponseError::UnknownServerError))
}

/// That a group has no offsets for these partitions any more.
fn tombstones<'a>(group: &str, partitions: impl Iterator<Item = &'a PartitionName>) -> Vec<Record> {
    partitions
        .map(|partition| Record {
            key: group_records::offset_key(group, partition),
            value: None,
        })
        .collect()
}

type StoredGroup = (
    Option<GroupMetadata>,
    HashMap<PartitionName, CommittedOffset>,
);

/// What the log says of all groups.
fn replay(storage: &dyn Storage) -> Result<HashMap<String, StoredGroup>, StorageError> {
    let mut groups: HashMap<String, StoredGroup> = HashMap::new();
    let mut unknown = 0_u64;
    storage.replay(
        InternalTopic::ConsumerOffsets,
        &mut |position, record| match (group_records::read_key(&record.key), record.value) {
            (Some(GroupKey::Offset(group, partition)), None) => {
                if let Some((_, offsets)) = groups.get_mut(&group) {
                    offsets.remove(&partition);
                }
            }
            (Some(GroupKey::Offset(group, partition)), Some(value)) => {
                match group_records::read_offset(&value, position) {
                    Some(committed) => {
                        groups
                            .entry(group)
                            .or_default()
                            .1
                            .insert(partition, committed);
                    }
                    None => unknown += 1,
                }
            }
            (Some(GroupKey::Group(group)), None) => {
                if let Some((metadata, _)) = groups.get_mut(&group) {
                    *metadata = None;
                }
            }
            (Some(GroupKey::Group(group)), Some(value)) => {
                match group_records::read_group(&value) {
                    Some(metadata) => groups.entry(group).or_default().0 = Some(metadata),
                    None => unknown += 1,
                }
            }
            (None, _) => unknown += 1,
        },
    )?;
    if unknown > 0 {
        tracing::warn!(unknown, "records of groups that this version cannot read");
    }
    Ok(groups)
}

/// Lets go of the offsets of topics that are gone, of which the log may not have been told; one that does not
/// say which topic it is of is taken for one of the topic that has its name. Gives what the log is to be told.
fn match_topics(storage: &dyn Storage, groups: &mut HashMap<String, StoredGroup>) -> Vec<Record> {
    let mut changes = Vec::new();
    for (group, (_, offsets)) in groups {
        offsets.retain(|partition, committed| {
            let topic = storage.topic_id(&partition.topic, partition.partition);
            let key = || group_records::offset_key(group, partition);
            match topic {
                Some(topic) if topic == committed.topic_id => true,
                Some(topic) if committed.topic_id.is_nil() => {
                    committed.topic_id = topic;
                    changes.push(Record {
                        key: key(),
                        value: Some(group_records::offset_value(committed)),
                    });
                    true
                }
                _ => {
                    changes.push(Record {
                        key: key(),
                        value: None,
                    });
                    false
                }
            }
        });
    }
    changes
}
