//! Topics seen from SQL: `SHOW TOPICS`, `ASSERT TOPIC`.

use std::time::Duration;

use sql::ast::{AssertTopic, OptionValue};

use crate::catalog::{Catalog, TopicContents};
use crate::error::{Result, StatementError, StatementErrorKind};
use crate::response::Response;
use crate::session::{Session, done};

/// How long `ASSERT TOPIC` waits when it does not say.
const ASSERT_TIMEOUT: Duration = Duration::from_secs(1);

/// Copies of a topic: one node keeps one.
const REPLICAS: i64 = 1;

impl Session {
    /// Topic, partitions, replicas, rows, bytes, contents.
    pub(super) fn list_topics(&self, all: bool) -> Vec<Vec<String>> {
        let catalog = self.engine.catalog();
        let mut topics: Vec<Vec<String>> = self
            .engine
            .log
            .topics()
            .iter()
            .filter(|topic| all || !topic.name().starts_with("__"))
            .map(|topic| {
                let partitions = topic.partitions();
                let rows: u64 = partitions
                    .iter()
                    .map(|p| p.end_offset().0.saturating_sub(p.start_offset().0))
                    .sum();
                let bytes: u64 = partitions.iter().map(|p| p.size_bytes()).sum();
                vec![
                    topic.name().to_owned(),
                    partitions.len().to_string(),
                    REPLICAS.to_string(),
                    rows.to_string(),
                    bytes.to_string(),
                    contents(&catalog, topic.name()).to_owned(),
                ]
            })
            .collect();
        topics.sort();
        topics
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
        let topic = self.engine.log.topic_by_name(name);
        let Some(topic) = topic.filter(|_| self.engine.catalog().topic(name).is_some()) else {
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

/// What a topic holds, in a word.
fn contents(catalog: &Catalog, name: &str) -> &'static str {
    match catalog.topic(name).map(|entry| &entry.contents) {
        Some(TopicContents::Raw) => "records",
        Some(TopicContents::Columnar(_)) => "rows",
        None => "internal",
    }
}
