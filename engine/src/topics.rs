//! Topics as Kafka clients know them: made, listed, written, read and configured by name.
//!
//! ```text
//!  kafka-server ──► Topics ──► admin: made, deleted, grown, configured ──► catalog, log
//!                     │
//!                     ├──► append: checked, then in one epoch ───────────► log
//!                     ├──► fetch: record batches from an offset on ◄────── log
//!                     ├──► offsets: by time ◄───────────────────────────── log
//!                     └──► internal: the coordinator's own topics
//! ```
//!
//! A *raw* topic holds record batches as clients sent them, and hands them out byte for byte but for
//! the base offset. A *columnar* topic holds rows, which are encoded and decoded by its format on
//! the way. A few are the engine's own (`internal`).

mod admin;
mod append;
mod cluster;
mod decode;
mod error;
mod fetch;
mod internal;
mod offsets;
mod settings;

use std::sync::Arc;

use log_store::{PartitionId, Topic, TopicId};
use uuid::Uuid;

use crate::catalog::{ColumnarTopic, TopicContents, TopicEntry};
use crate::engine::Engine;

pub use admin::{DeletedRecords, NewTopic, SettingChange};
pub use append::{Batches, Prepared, Producer};
pub use error::TopicError;
pub use fetch::{Fetched, TopicWatch};
pub use internal::{INTERNAL_TOPICS, InternalRecord};
pub use offsets::{OffsetAt, OffsetQuery};
pub use settings::{Setting, SettingKind, SettingSource};

pub(crate) use cluster::ClusterId;
pub(crate) use internal::is_internal;
pub(crate) use settings::has_append_time;

/// The topics of an engine. Cheap to clone.
#[derive(Clone)]
pub struct Topics {
    engine: Arc<Engine>,
}

/// What there is to know of a topic without looking into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicInfo {
    pub name: String,
    /// Stays the same while the topic lives, and is never another topic's.
    pub id: Uuid,
    pub partitions: u32,
    /// Whether it belongs to the server itself.
    pub internal: bool,
    /// Whether it holds clients' own bytes rather than rows.
    pub raw: bool,
}

/// A topic that a request names.
#[derive(Clone)]
struct Found {
    topic: Topic,
    /// `None`: one of the server's own.
    entry: Option<Arc<TopicEntry>>,
}

impl Found {
    fn is_raw(&self) -> bool {
        match &self.entry {
            Some(entry) => matches!(entry.contents, TopicContents::Raw),
            None => true,
        }
    }

    /// What clients call it; the log may have another name for it.
    fn name(&self) -> &str {
        match &self.entry {
            Some(entry) => &entry.name,
            None => self.topic.name(),
        }
    }

    fn columnar(&self) -> Option<&ColumnarTopic> {
        match &self.entry.as_ref()?.contents {
            TopicContents::Columnar(columnar) => Some(columnar),
            TopicContents::Raw => None,
        }
    }

    fn partition(&self, partition: i32) -> Result<log_store::Partition, TopicError> {
        let unknown = || TopicError::UnknownPartition {
            topic: self.name().to_owned(),
            partition,
        };
        let id = u32::try_from(partition).map_err(|_| unknown())?;
        self.topic.partition(PartitionId(id)).map_err(|_| unknown())
    }
}

impl Engine {
    /// The topics, as Kafka clients see them.
    pub fn topics(self: &Arc<Self>) -> Topics {
        Topics {
            engine: self.clone(),
        }
    }
}

impl Topics {
    /// All topics by name, the server's own among them.
    pub fn list(&self) -> Vec<TopicInfo> {
        let catalog = self.engine.catalog();
        let mut topics: Vec<TopicInfo> = catalog
            .topics()
            .filter_map(|entry| {
                let topic = self.engine.log.topic(TopicId(entry.id)).ok()?;
                Some(self.info(&Found {
                    topic,
                    entry: Some(entry.clone()),
                }))
            })
            .collect();
        let internal = INTERNAL_TOPICS.iter().filter_map(|name| self.get(name));
        topics.extend(internal);
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        topics
    }

    /// A topic by its name.
    pub fn get(&self, name: &str) -> Option<TopicInfo> {
        self.find(name).ok().map(|found| self.info(&found))
    }

    /// A topic by its identity.
    pub fn get_by_id(&self, id: Uuid) -> Option<TopicInfo> {
        let number = self.engine.cluster.number_of(id)?;
        let catalog = self.engine.catalog();
        let internal = || INTERNAL_TOPICS.iter().filter_map(|name| self.get(name));
        match catalog.topics().find(|entry| entry.id == number) {
            Some(entry) => self.get(&entry.name),
            None => internal().find(|info| info.id == id),
        }
    }

    /// The identity of a topic, if it has such a partition.
    pub fn id_of(&self, topic: &str, partition: i32) -> Option<Uuid> {
        let found = self.find(topic).ok()?;
        found.partition(partition).ok()?;
        Some(self.engine.cluster.topic_id(found.topic.id().0))
    }

    /// The identity of this server's data, made with it and the same for ever.
    pub fn cluster_id(&self) -> String {
        self.engine.cluster.name()
    }

    fn info(&self, found: &Found) -> TopicInfo {
        TopicInfo {
            name: found.name().to_owned(),
            id: self.engine.cluster.topic_id(found.topic.id().0),
            partitions: found.topic.config().partitions,
            internal: found.entry.is_none(),
            raw: found.is_raw(),
        }
    }

    fn find(&self, name: &str) -> Result<Found, TopicError> {
        let unknown = || TopicError::UnknownTopic(name.to_owned());
        if INTERNAL_TOPICS.contains(&name) {
            let topic = self.engine.log.topic_by_name(name).ok_or_else(unknown)?;
            return Ok(Found { topic, entry: None });
        }
        let entry = self.engine.catalog().topic(name).cloned();
        let entry = entry.ok_or_else(unknown)?;
        let topic = self.engine.log.topic(TopicId(entry.id));
        Ok(Found {
            topic: topic.map_err(|_| unknown())?,
            entry: Some(entry),
        })
    }
}
