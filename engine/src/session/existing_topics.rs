//! Relations over topics that are there already.
//!
//! ```text
//!                          CREATE … (columns)    CREATE STREAM … AS         CREATE TABLE … AS
//!  Kafka clients made it   reads its records     adds to it                 has it, if it was never used
//!  a dropped relation's    reads its records     adds to it, if its shape   goes on with it, if its shape
//!                                                is the same                is the same and a query made it
//!  another relation's      reads its records     refused                    refused
//! ```

use std::collections::BTreeMap;

use log_store::{Cleanup, TopicConfig, TopicId, TopicKind};
use planner::lower::Lowered;
use planner::step_plan::Operator;

use crate::catalog::{
    Catalog, LOG_MARK, Relation, RelationKind, SinkKind, TopicContents, TopicEntry,
};
use crate::error::{Result, StatementError, StatementErrorKind};
use crate::session::Session;
use crate::session::record_options::TopicOptions;
use crate::topics::has_append_time;

/// Settings that follow from what a relation is.
const OF_TABLES: [&str; 3] = ["cleanup.policy", "retention.ms", "retention.bytes"];

/// What becomes of a topic that is there when a query writes to it.
pub(super) enum Taken {
    /// It stays, and the query's rows are added.
    Kept(SinkKind),
    /// It holds nothing: one of the same settings takes its place.
    MadeAnew(Unused),
}

/// A topic that nobody has used since a Kafka client made it, as is done where an operator decides on topics.
pub(super) struct Unused {
    pub(super) id: TopicId,
    config: TopicConfig,
}

impl Unused {
    /// Leaves of what clients have set what a table's topic can have as well.
    pub(super) fn keep_settings(settings: &mut BTreeMap<String, String>) {
        settings.retain(|name, _| !OF_TABLES.contains(&name.as_str()));
    }

    /// What takes its place, under another name until it does. As ever, it is for the table to say what is kept.
    pub(super) fn config_for(&self, log_name: String, cleanup: Cleanup) -> TopicConfig {
        TopicConfig {
            segment_bytes: self.config.segment_bytes,
            segment_ms: self.config.segment_ms,
            cleanup,
            ..TopicConfig::derived(log_name, self.config.partitions)
        }
    }
}

impl Session {
    /// Lets a relation read the records of a topic that is there.
    pub(super) fn read_records_of(
        &mut self,
        relation: &mut Relation,
        entry: &TopicEntry,
        options: &TopicOptions,
    ) -> Result<()> {
        let topic = self.engine.log.topic(TopicId(entry.id))?;
        let partitions = topic.partitions().len() as u32;
        if let Some(asked) = options.partitions.filter(|asked| *asked != partitions) {
            return Err(StatementError::new(
                StatementErrorKind::InvalidParameterValue,
                format!(
                    "topic \"{}\" has {partitions} partitions, not {asked}",
                    entry.name
                ),
            )
            .with_hint("Leave the option out to take the topic as it is.")
            .into());
        }
        if relation.kind == RelationKind::Table && relation.key.is_empty() {
            return Err(StatementError::new(
                StatementErrorKind::InvalidDefinition,
                format!(
                    "a table over the records of topic \"{}\" needs a primary key",
                    entry.name
                ),
            )
            .into());
        }
        if options.retention_ms.is_some() || options.retention_bytes.is_some() {
            self.notice(format!(
                "topic \"{}\" exists already; its retention stays as it is",
                entry.name
            ));
        }
        relation.topic = Some(entry.id);
        relation.partitions = partitions;
        relation.over_records = true;
        relation.records_of = match &entry.contents {
            TopicContents::Raw => None,
            TopicContents::Columnar(columnar) => Some(columnar.clone()),
        };
        Ok(())
    }

    /// Lets what a query makes go into a topic that is there.
    pub(super) fn write_into(
        &mut self,
        relation: &mut Relation,
        entry: &TopicEntry,
        options: &TopicOptions,
        lowered: &Lowered,
        catalog: &Catalog,
    ) -> Result<Taken> {
        let owned = catalog
            .relations()
            .any(|other| other.topic == Some(entry.id) && !other.over_records);
        relation.has_marks = match &entry.contents {
            TopicContents::Raw => false,
            TopicContents::Columnar(columnar) => {
                columnar.log_schema.column_with_name(LOG_MARK).is_some()
            }
        };
        let same_shape = match &entry.contents {
            TopicContents::Raw => true,
            TopicContents::Columnar(columnar) => {
                columnar.kind == relation.kind
                    && columnar.log_schema == relation.log_schema()
                    && columnar.format == relation.format
            }
        };
        if owned || !same_shape {
            return Err(refused(relation));
        }
        check_no_way_back(entry, lowered, catalog)?;
        self.read_records_of(relation, entry, options)?;
        let taken = match (relation.kind, &entry.contents) {
            (RelationKind::Stream, _) => {
                // Clients may write it too, and what a query that is gone wrote alone stands at the epochs of its input.
                let log = &self.engine.log;
                tokio::task::block_in_place(|| log.make_ingested(TopicId(entry.id)))?;
                relation.written_by = None;
                relation.read_only = false;
                Taken::Kept(SinkKind::Insert)
            }
            (RelationKind::Table, TopicContents::Columnar(_)) => {
                let topic = self.engine.log.topic(TopicId(entry.id))?;
                if topic.kind() != TopicKind::Derived || relation.key.is_empty() {
                    return Err(refused(relation));
                }
                Taken::Kept(SinkKind::Derived)
            }
            (RelationKind::Table, TopicContents::Raw) => {
                let unused = self.unused(entry, catalog)?;
                let Some(unused) = unused.filter(|_| !relation.key.is_empty()) else {
                    return Err(refused(relation));
                };
                relation.topic = None;
                relation.over_records = false;
                Taken::MadeAnew(unused)
            }
        };
        if let TopicContents::Columnar(_) = &entry.contents {
            relation.over_records = false;
            relation.records_of = None;
        }
        Ok(taken)
    }

    /// Whether a topic that Kafka clients made has held no record and has no reader, and could be a table's.
    fn unused(&self, entry: &TopicEntry, catalog: &Catalog) -> Result<Option<Unused>> {
        let id = TopicId(entry.id);
        let topic = self.engine.log.topic(id)?;
        let is_used = topic.partitions().iter().any(|p| p.end_offset().0 > 0)
            || catalog.relations().any(|r| r.topic == Some(entry.id))
            || has_append_time(&entry.settings);
        Ok((!is_used).then(|| Unused {
            id,
            config: topic.config(),
        }))
    }
}

/// Rows that a query writes must not come back to it.
fn check_no_way_back(entry: &TopicEntry, lowered: &Lowered, catalog: &Catalog) -> Result<()> {
    let readers = catalog
        .relations()
        .filter(|other| other.topic == Some(entry.id));
    for reader in readers {
        let sources = lowered.plan.steps.iter();
        let mut sources = sources.filter_map(|step| match &step.operator {
            Operator::Source(source) => Some(source.relation),
            _ => None,
        });
        if sources.any(|source| catalog.flows_into(reader.id, source)) {
            return Err(StatementError::new(
                StatementErrorKind::InvalidDefinition,
                format!("rows of \"{}\" would come back to it for ever", entry.name),
            )
            .into());
        }
    }
    Ok(())
}

fn refused(relation: &Relation) -> crate::error::Error {
    let detail = match relation.kind {
        RelationKind::Stream => {
            "A stream can be written into it if Kafka clients made it, or a stream of the same columns and formats that was dropped."
        }
        RelationKind::Table => {
            "A table can go on with the topic of one of the same columns and formats that a query made and that was dropped, or take one that nobody has used since a Kafka client made it."
        }
    };
    StatementError::new(
        StatementErrorKind::DuplicateObject,
        format!("topic \"{}\" already exists", relation.topic_name),
    )
    .with_detail(detail)
    .with_hint("WITH (kafka_topic = '…') takes another; DROP … DELETE TOPIC drops a topic with its relation.")
    .into()
}
