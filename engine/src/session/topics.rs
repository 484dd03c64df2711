//! Topics and who reads them, seen from SQL: `SHOW TOPICS`, `ASSERT TOPIC`, `SHOW CONSUMER GROUPS`,
//! `DESCRIBE CONSUMER GROUP`.

use std::time::Duration;

use log_store::{Topic, TopicId};
use sql::ast::{AssertTopic, OptionValue};

use crate::catalog::{Catalog, TopicContents};
use crate::consumer_groups::{ConsumerGroup, ConsumerGroupOffset};
use crate::error::{Result, StatementError, StatementErrorKind};
use crate::response::Response;
use crate::session::{Session, done};
use crate::topics::is_internal;

/// How long `ASSERT TOPIC` waits when it does not say.
const ASSERT_TIMEOUT: Duration = Duration::from_secs(1);

/// Copies of a topic: one node keeps one.
const REPLICAS: i64 = 1;

impl Session {
    /// Topic, partitions, replicas, rows, bytes, contents; extended also consumers and their groups.
    pub(super) fn list_topics(&self, all: bool, extended: bool) -> Vec<Vec<String>> {
        let catalog = self.engine.catalog();
        let groups = match extended {
            true => self.engine.consumer_groups(),
            false => Vec::new(),
        };
        let mut topics: Vec<Vec<String>> = self
            .engine
            .log
            .topics()
            .iter()
            .filter(|topic| all || !is_internal(topic.name()))
            .map(|topic| {
                let name = name_of(&catalog, topic);
                let partitions = topic.partitions();
                let rows: u64 = partitions
                    .iter()
                    .map(|p| p.end_offset().0.saturating_sub(p.start_offset().0))
                    .sum();
                let bytes: u64 = partitions.iter().map(|p| p.size_bytes()).sum();
                let mut row = vec![
                    name.to_owned(),
                    partitions.len().to_string(),
                    REPLICAS.to_string(),
                    rows.to_string(),
                    bytes.to_string(),
                    contents(&catalog, name).to_owned(),
                ];
                if extended {
                    let (consumers, groups) = readers(&groups, name);
                    row.extend([consumers.to_string(), groups.to_string()]);
                }
                row
            })
            .collect();
        topics.sort();
        topics
    }

    /// Group, state, protocol, members, lag over all partitions.
    pub(super) fn list_consumer_groups(&self) -> Vec<Vec<String>> {
        self.engine
            .consumer_groups()
            .into_iter()
            .map(|group| {
                let lag: i64 = group
                    .offsets
                    .iter()
                    .filter_map(|offset| self.lag(offset))
                    .sum();
                vec![
                    group.id,
                    group.state,
                    group.protocol,
                    group.members.len().to_string(),
                    lag.to_string(),
                ]
            })
            .collect()
    }

    /// Topic, partition, offset, end offset, lag, member of each partition that a group has come
    /// somewhere in or reads now.
    pub(super) fn describe_consumer_group(&self, id: &str) -> Result<Vec<Vec<String>>> {
        let groups = self.engine.consumer_groups();
        let group = groups.iter().find(|group| group.id == id).ok_or_else(|| {
            StatementError::new(
                StatementErrorKind::UndefinedObject,
                format!("consumer group \"{id}\" does not exist"),
            )
            .with_hint("SHOW CONSUMER GROUPS lists them.")
        })?;
        let number = |number: Option<i64>| number.map_or_else(String::new, |n| n.to_string());
        let mut partitions: Vec<(String, i32)> = group
            .offsets
            .iter()
            .map(|offset| (offset.topic.clone(), offset.partition))
            .chain(
                group
                    .members
                    .iter()
                    .flat_map(|member| member.partitions.iter().cloned()),
            )
            .collect();
        partitions.sort();
        partitions.dedup();
        Ok(partitions
            .into_iter()
            .map(|place| {
                let committed = group
                    .offsets
                    .iter()
                    .find(|offset| offset.topic == place.0 && offset.partition == place.1);
                let member = group
                    .members
                    .iter()
                    .find(|member| member.partitions.contains(&place));
                vec![
                    place.0.clone(),
                    place.1.to_string(),
                    number(committed.map(|offset| offset.offset)),
                    number(self.end_offset(&place.0, place.1)),
                    number(committed.and_then(|offset| self.lag(offset))),
                    member.map(|member| member.id.clone()).unwrap_or_default(),
                ]
            })
            .collect())
    }

    /// How many records a group has not come to yet; `None` of a partition that there is not.
    fn lag(&self, offset: &ConsumerGroupOffset) -> Option<i64> {
        let end = self.end_offset(&offset.topic, offset.partition)?;
        Some((end - offset.offset).max(0))
    }

    /// The topic that clients know by a name.
    fn topic_of(&self, name: &str) -> Option<Topic> {
        match self.engine.catalog().topic(name) {
            Some(entry) => self.engine.log.topic(TopicId(entry.id)).ok(),
            None if is_internal(name) => self.engine.log.topic_by_name(name),
            None => None,
        }
    }

    fn end_offset(&self, topic: &str, partition: i32) -> Option<i64> {
        let topic = self.topic_of(topic)?;
        let number = usize::try_from(partition).ok()?;
        let end = topic.partitions().get(number)?.end_offset();
        i64::try_from(end.0).ok()
    }

    pub(super) async fn assert_topic(&mut self, assert: &AssertTopic) -> Result<Response> {
        let timeout = assert.timeout.map_or(ASSERT_TIMEOUT, |timeout| {
            Duration::from_micros(timeout.micros())
        });
        for option in &assert.options {
            let known = matches!(option.name.as_str(), "partitions" | "replicas");
            if !known || whole_number(&option.value).is_none() {
                return Err(StatementError::new(
                    StatementErrorKind::InvalidParameterValue,
                    match known {
                        true => format!(
                            "invalid value for option \"{}\": \"{}\"",
                            option.name,
                            option.value.as_str()
                        ),
                        false => format!("unrecognized option \"{}\"", option.name),
                    },
                )
                .at(Some(option.position))
                .with_hint("Options are partitions and replicas.")
                .into());
            }
        }
        let engine = self.engine.clone();
        let as_wanted = engine.wait_catalog(|_| self.misfit(assert).is_none());
        if tokio::time::timeout(timeout, as_wanted).await.is_ok() {
            return Ok(done("ASSERT TOPIC"));
        }
        match self.misfit(assert) {
            None => Ok(done("ASSERT TOPIC")),
            Some(misfit) => Err(StatementError::new(
                StatementErrorKind::ObjectNotInPrerequisiteState,
                misfit,
            )
            .into()),
        }
    }

    /// What is otherwise than it should be.
    fn misfit(&self, assert: &AssertTopic) -> Option<String> {
        let name = &assert.topic;
        let topic = self.topic_of(name).filter(|_| !is_internal(name));
        let Some(topic) = topic else {
            return assert
                .exists
                .then(|| format!("topic \"{name}\" does not exist"));
        };
        if !assert.exists {
            return Some(format!("topic \"{name}\" exists"));
        }
        let actual = [
            ("partitions", topic.partitions().len() as i64),
            ("replicas", REPLICAS),
        ];
        actual.into_iter().find_map(|(option, actual)| {
            let wanted = whole_number(assert.options.get(option)?)?;
            (wanted != actual)
                .then(|| format!("topic \"{name}\" has {actual} {option}, not {wanted}"))
        })
    }
}

fn whole_number(value: &OptionValue) -> Option<i64> {
    value.as_i64()
}

/// What clients call a topic. One that was made anew has another name in the log.
fn name_of<'a>(catalog: &'a Catalog, topic: &'a Topic) -> &'a str {
    let mut topics = catalog.topics();
    let entry = topics.find(|entry| entry.id == topic.id().0);
    entry.map_or_else(|| topic.name(), |entry| &entry.name)
}

/// What a topic holds, in a word.
fn contents(catalog: &Catalog, name: &str) -> &'static str {
    match catalog.topic(name).map(|entry| &entry.contents) {
        Some(TopicContents::Raw) => "records",
        Some(TopicContents::Columnar(_)) => "rows",
        None => "internal",
    }
}

/// How many consumers read a topic now, and how many groups do or have.
fn readers(groups: &[ConsumerGroup], topic: &str) -> (usize, usize) {
    let reads = |partitions: &[(String, i32)]| partitions.iter().any(|(name, _)| name == topic);
    let consumers = groups
        .iter()
        .flat_map(|group| &group.members)
        .filter(|member| reads(&member.partitions))
        .count();
    let of = groups
        .iter()
        .filter(|group| {
            group.offsets.iter().any(|offset| offset.topic == topic)
                || group.members.iter().any(|member| reads(&member.partitions))
        })
        .count();
    (consumers, of)
}
