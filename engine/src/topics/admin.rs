//! Topics are made, deleted, grown and configured.

use std::collections::BTreeMap;

use log_store::{Cleanup, Offset, PartitionId, TopicConfig, TopicId};

use super::{INTERNAL_TOPICS, Setting, TopicError, TopicInfo, Topics, is_internal, settings};
use crate::catalog::{Catalog, Change, TopicContents, TopicEntry};

/// Kafka's limit of a topic's name.
const NAME_BYTES_MAX: usize = 249;

/// A guard against a slip of the pen.
const PARTITIONS_MAX: u32 = 10_000;

/// A topic to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTopic {
    pub name: String,
    pub partitions: u32,
    /// By Kafka's names.
    pub settings: BTreeMap<String, String>,
}

/// What becomes of one setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingChange {
    Set(String),
    /// Back to the default.
    Unset,
    /// Adds items to a list.
    Append(String),
    /// Takes items from a list.
    Subtract(String),
}

/// What is left of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeletedRecords {
    /// Offset of the first record that there still is.
    pub start: i64,
}

impl Topics {
    /// Makes a topic for clients' records; with `only_check` says whether that would work.
    pub async fn create(&self, new: NewTopic, only_check: bool) -> Result<TopicInfo, TopicError> {
        check_name(&new.name)?;
        check_partitions(new.partitions)?;
        let mut set = BTreeMap::new();
        for (name, value) in &new.settings {
            set.insert(name.clone(), settings::check(name, value)?);
        }
        let ddl = self.engine.lock_ddl().await;
        let catalog = self.engine.catalog();
        let taken = catalog.topic(&new.name).is_some()
            || self.engine.log.topic_by_name(&new.name).is_some();
        if taken {
            return Err(TopicError::TopicExists(new.name));
        }
        if let Some(other) = catalog
            .topics()
            .find(|topic| topic.name.replace('.', "_") == new.name.replace('.', "_"))
        {
            return Err(TopicError::InvalidTopic(format!(
                "Topic '{}' collides with existing topics: {}",
                new.name, other.name
            )));
        }
        let mut config = TopicConfig::ingested(&new.name, new.partitions);
        settings::apply(&set, &mut config);
        if only_check {
            return Ok(TopicInfo {
                name: new.name,
                id: uuid::Uuid::nil(),
                partitions: new.partitions,
                internal: false,
                raw: true,
            });
        }
        let log = self.engine.log.clone();
        let topic = blocking(&new.name, move || log.create_topic(config)).await?;
        let entry = TopicEntry {
            name: new.name.clone(),
            id: topic.id().0,
            contents: TopicContents::Raw,
            settings: set,
        };
        let changes = vec![Change::PutTopic(Box::new(entry))];
        self.engine
            .commit_changes(ddl, changes, |_, _| Ok(()))
            .await
            .map_err(|error| TopicError::of_engine(error, &new.name))?;
        self.get(&new.name)
            .ok_or(TopicError::UnknownTopic(new.name))
    }

    /// Deletes a topic and all its records.
    ///
    /// # Errors
    /// When a relation reads or writes it: that would be left with half of its history.
    pub async fn delete(&self, name: &str) -> Result<(), TopicError> {
        check_not_internal(name)?;
        let ddl = self.engine.lock_ddl().await;
        let found = self.find(name)?;
        let catalog = self.engine.catalog();
        if let Some(user) = user_of(&catalog, found.topic.id().0) {
            return Err(TopicError::InUse(format!(
                "topic \"{name}\" cannot be deleted: {user} needs it; drop that first"
            )));
        }
        let id = found.topic.id();
        let changes = vec![Change::DropTopic(name.to_owned())];
        let topic = name.to_owned();
        self.engine
            .commit_changes(ddl, changes, move |engine, _| {
                if let Err(error) = engine.log.drop_topic(id) {
                    tracing::warn!(%topic, %error, "topic could not be dropped; the next start will try again");
                }
                Ok(())
            })
            .await
            .map_err(|error| TopicError::of_engine(error, name))
    }

    /// Lets a topic have more partitions.
    pub async fn grow(
        &self,
        name: &str,
        partitions: u32,
        only_check: bool,
    ) -> Result<(), TopicError> {
        check_not_internal(name)?;
        check_partitions(partitions)?;
        let _ddl = self.engine.lock_ddl().await;
        let found = self.find(name)?;
        let now = found.topic.config().partitions;
        if partitions == now {
            return Err(TopicError::InvalidPartitions(format!(
                "Topic already has {now} partitions."
            )));
        }
        if partitions < now {
            return Err(TopicError::InvalidPartitions(format!(
                "The topic {name} currently has {now} partitions; {partitions} would not be an increase."
            )));
        }
        if let Some(user) = user_of(&self.engine.catalog(), found.topic.id().0) {
            return Err(TopicError::InUse(format!(
                "topic \"{name}\" cannot get more partitions: {user} uses it"
            )));
        }
        if only_check {
            return Ok(());
        }
        let (log, id) = (self.engine.log.clone(), found.topic.id());
        blocking(name, move || log.add_partitions(id, partitions)).await
    }

    /// The settings of a topic for which nothing was set.
    pub fn default_settings() -> Vec<Setting> {
        settings::all(&BTreeMap::new())
    }

    /// The settings of a topic.
    pub fn settings(&self, name: &str) -> Result<Vec<Setting>, TopicError> {
        Ok(settings::all(&self.settings_of(name)?))
    }

    /// Changes settings of a topic, durably: all of them or none.
    pub async fn alter_settings(
        &self,
        name: &str,
        changes: Vec<(String, SettingChange)>,
        only_check: bool,
    ) -> Result<(), TopicError> {
        check_not_internal(name)?;
        let ddl = self.engine.lock_ddl().await;
        let found = self.find(name)?;
        let before = self.settings_of(name)?;
        let mut set = before.clone();
        for (setting, change) in changes {
            apply_change(&mut set, setting, change)?;
        }
        let mut config = found.topic.config();
        let cleanup = config.cleanup;
        let entry = found
            .entry
            .ok_or_else(|| TopicError::UnknownTopic(name.to_owned()))?;
        settings::apply(&set, &mut config);
        if matches!(entry.contents, TopicContents::Columnar(_)) {
            let same = std::mem::discriminant(&cleanup) == std::mem::discriminant(&config.cleanup);
            if !same {
                return Err(TopicError::InvalidConfig(format!(
                    "cleanup.policy of topic \"{name}\" follows from its relation"
                )));
            }
            if settings::has_append_time(&set) && !settings::has_append_time(&before) {
                return Err(TopicError::InvalidConfig(format!(
                    "message.timestamp.type of topic \"{name}\" cannot be LogAppendTime: the times of its records are the event times of its relation's rows"
                )));
            }
        }
        if only_check || set == before {
            return Ok(());
        }
        let changed = TopicEntry {
            settings: set,
            ..TopicEntry::clone(&entry)
        };
        let (log, id) = (self.engine.log.clone(), TopicId(entry.id));
        blocking(name, move || log.alter_topic(id, config)).await?;
        let changes = vec![Change::PutTopic(Box::new(changed))];
        self.engine
            .commit_changes(ddl, changes, |_, _| Ok(()))
            .await
            .map_err(|error| TopicError::of_engine(error, name))
    }

    /// Deletes a partition's records before an offset; −1 means all there are.
    pub async fn delete_records(
        &self,
        name: &str,
        partition: i32,
        before: i64,
    ) -> Result<DeletedRecords, TopicError> {
        check_not_internal(name)?;
        let found = self.find(name)?;
        let held = found.partition(partition)?;
        if matches!(found.topic.config().cleanup, Cleanup::Compact { .. }) {
            return Err(TopicError::InUse(format!(
                "records of topic \"{name}\" cannot be deleted: it is compacted"
            )));
        }
        let end = super::offsets::visible_end(&found.topic, &held, name)?;
        let before = if before == -1 { end } else { before };
        if before < 0 || before > end {
            return Err(TopicError::OffsetOutOfRange {
                offset: before,
                start: held.start_offset().0 as i64,
                end,
            });
        }
        let (log, id) = (self.engine.log.clone(), found.topic.id());
        let start = blocking(name, move || {
            log.delete_records(id, PartitionId(partition as u32), Offset(before as u64))
        })
        .await?;
        Ok(DeletedRecords {
            start: start.0 as i64,
        })
    }

    /// What was set: by clients, or else by the statement that made the topic.
    pub(super) fn settings_of(&self, name: &str) -> Result<BTreeMap<String, String>, TopicError> {
        let found = self.find(name)?;
        Ok(match &found.entry {
            Some(entry) if !entry.settings.is_empty() || found.is_raw() => entry.settings.clone(),
            _ => settings::of_config(&found.topic.config()),
        })
    }
}

fn apply_change(
    set: &mut BTreeMap<String, String>,
    name: String,
    change: SettingChange,
) -> Result<(), TopicError> {
    let is_list = settings::is_list(&name)?;
    // What is not set has its default, which items are added to and taken from.
    let before = match set.get(&name) {
        Some(value) => value.as_str(),
        None => settings::known(&name)?.default,
    };
    let mut items: Vec<String> = settings::list(before).map(str::to_owned).collect();
    let value = match change {
        SettingChange::Unset => {
            set.remove(&name);
            return Ok(());
        }
        SettingChange::Set(value) => value,
        SettingChange::Append(_) | SettingChange::Subtract(_) if !is_list => {
            return Err(TopicError::InvalidConfig(format!(
                "Can't APPEND or SUBTRACT to key {name} because its type is not LIST."
            )));
        }
        SettingChange::Append(value) => {
            for item in settings::list(&value) {
                if !items.iter().any(|there| there == item) {
                    items.push(item.to_owned());
                }
            }
            items.join(",")
        }
        SettingChange::Subtract(value) => {
            items.retain(|item| !settings::list(&value).any(|gone| gone == item));
            items.join(",")
        }
    };
    let value = settings::check(&name, &value)?;
    set.insert(name, value);
    Ok(())
}

/// Who reads or writes a topic, in words.
fn user_of(catalog: &Catalog, topic: u32) -> Option<String> {
    catalog
        .relations()
        .find(|relation| relation.topic == Some(topic))
        .map(|relation| format!("{} \"{}\"", relation.kind_name(), relation.name))
}

fn check_not_internal(name: &str) -> Result<(), TopicError> {
    if INTERNAL_TOPICS.contains(&name) {
        return Err(TopicError::InvalidTopic(format!(
            "topic \"{name}\" is the server's own"
        )));
    }
    Ok(())
}

fn check_partitions(partitions: u32) -> Result<(), TopicError> {
    if (1..=PARTITIONS_MAX).contains(&partitions) {
        return Ok(());
    }
    Err(TopicError::InvalidPartitions(format!(
        "a topic has 1 to {PARTITIONS_MAX} partitions"
    )))
}

/// Kafka's rule for names; one that nobody sees is refused, one that is seen is there already.
fn check_name(name: &str) -> Result<(), TopicError> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let problem = if name.is_empty() {
        "the empty string is not allowed"
    } else if name == "." || name == ".." {
        "'.' or '..' is not allowed"
    } else if name.len() > NAME_BYTES_MAX {
        "the length of Topic name can't exceed 249 characters"
    } else if !name.chars().all(legal) {
        "it contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
    } else if is_internal(name) && !INTERNAL_TOPICS.contains(&name) {
        "the server keeps a topic of this name for itself"
    } else {
        return Ok(());
    };
    Err(TopicError::InvalidTopic(format!(
        "Topic name is invalid: {problem}"
    )))
}

/// Runs what waits for the disk where that holds nobody up.
pub(super) async fn blocking<T: Send + 'static>(
    topic: &str,
    work: impl FnOnce() -> Result<T, log_store::LogError> + Send + 'static,
) -> Result<T, TopicError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(|error| TopicError::of_log(error, topic)),
        Err(error) => Err(TopicError::Internal(error.to_string())),
    }
}
