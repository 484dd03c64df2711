//! `CREATE` and `DROP`.
//!
//! A DDL statement checks, makes its topic, writes one catalog record, and only then does anybody
//! see it. A crash in between leaves a topic that nobody owns, which the next start drops.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use datafusion::scalar::ScalarValue;
use log_store::{Topic, TopicConfig};
use planner::lower::{Lowered, OutputKind};
use planner::step_plan::ChangelogMode;
use sql::ast::{
    ColumnKind, CreateQuery, CreateSource, DerivedKind, DropKind, DropRelations,
    RelationKind as AstKind, Statement,
};

use crate::catalog::{
    Catalog, Change, Query, QueryStatus, Relation, RelationId, RelationKind, SinkKind, TopicEntry,
};
use crate::engine::Engine;
use crate::error::{Error, Result, StatementError, StatementErrorKind};
use crate::mill::query::bind;
use crate::records::HeaderColumn;
use crate::response::Response;
use crate::session::existing_topics::{Taken, Unused};
use crate::session::record_options::{TopicOptions, inherited_key};
use crate::session::{Session, done, relation_name};
use crate::topics::is_internal;

/// Columns that a relation may have.
const COLUMNS_MAX: usize = 1_600;

impl Session {
    pub(super) async fn create_source(
        &mut self,
        create: &CreateSource,
        statement: &Statement,
    ) -> Result<Response> {
        let (word, kind) = match create.kind {
            AstKind::Stream => ("STREAM", RelationKind::Stream),
            AstKind::Table => ("TABLE", RelationKind::Table),
        };
        let name = relation_name(&create.name)?;
        let engine = self.engine.clone();
        let ddl = engine.lock_ddl().await;
        let catalog = engine.catalog();
        if let Some(existing) = catalog.relation_by_name(&name) {
            if create.if_not_exists {
                self.notice(format!("relation \"{name}\" already exists, skipping"));
                return Ok(done(format!("CREATE {word}")));
            }
            if create.or_replace {
                refuse_replacing_source(create.read_only || existing.read_only, &name)?;
                return self.replace_source(create, existing, &catalog, word);
            }
            return Err(exists(&name));
        }
        if create.or_replace {
            refuse_replacing_source(create.read_only, &name)?;
        }
        self.warn_of_transaction(word);
        let options = TopicOptions::parse(&create.options)?;
        let columns = columns(create)?;
        check_headers(&columns)?;
        let timestamp = timestamp_column(
            &columns.schema,
            options.timestamp.as_deref(),
            options.has_timestamp_format(),
        )?;
        let format = options.record_format(
            &columns.schema,
            kind,
            columns.record_key,
            columns.headers,
            None,
            self.settings.default_formats(),
        )?;
        let topic_name = options.topic_or(&name);
        options.check_window(kind, catalog.topic(&topic_name).is_some())?;
        // Its queries may ask for them; in SQL's tables nobody would look for them.
        let keeps_places = kind == RelationKind::Table
            && !columns.key.is_empty()
            && self.settings.dialect_name() == "ksqldb";
        let mut relation = Relation {
            id: next_relation_id(&catalog)?,
            name,
            kind,
            columns: columns.schema,
            key: columns.key,
            topic: None,
            topic_name,
            partitions: options.partitions.unwrap_or(1),
            timestamp,
            written_by: None,
            terminated: false,
            read_only: create.read_only,
            definition: statement.to_string(),
            dialect: self.settings.dialect_name().to_owned(),
            format,
            over_records: false,
            records_of: None,
            has_marks: false,
            keeps_places,
        };
        match catalog.topic(&relation.topic_name) {
            Some(entry) => self.read_records_of(&mut relation, entry, &options)?,
            None => {
                if relation.dialect == "ksqldb" && options.partitions.is_none() {
                    return Err(no_topic(&relation.topic_name));
                }
                // ksqlDB keeps the headers of what Kafka's producers send, whatever columns there are.
                relation.has_marks = kind == RelationKind::Stream && relation.dialect == "ksqldb";
                let topic = self
                    .create_topic(TopicConfig {
                        retention_ms: options.retention_ms,
                        retention_bytes: options.retention_bytes,
                        cleanup: options.cleanup(&relation)?,
                        ..TopicConfig::ingested(&relation.topic_name, relation.partitions)
                    })
                    .await?;
                relation.topic = Some(topic.id().0);
            }
        }
        let changes = vec![Change::PutRelation(Box::new(relation.clone()))];
        self.engine
            .commit_changes(ddl, changes, move |engine, catalog| {
                start(engine, catalog, relation, None)
            })
            .await?;
        Ok(done(format!("CREATE {word}")))
    }

    /// `CREATE OR REPLACE` of the same definition changes nothing; of another it is refused, since
    /// rows of the old shape are in the log and queries read them.
    fn replace_source(
        &mut self,
        create: &CreateSource,
        existing: &Relation,
        _catalog: &Catalog,
        word: &str,
    ) -> Result<Response> {
        let columns = columns(create)?;
        let same_kind = (create.kind == AstKind::Stream) == (existing.kind == RelationKind::Stream);
        if same_kind
            && existing.written_by.is_none()
            && columns.schema == existing.columns
            && columns.key == existing.key
        {
            return Ok(done(format!("CREATE {word}")));
        }
        Err(StatementError::new(
            StatementErrorKind::Unsupported,
            format!("cannot replace \"{}\" by another definition", existing.name),
        )
        .with_hint("Drop it first, or create the new one under another name.")
        .into())
    }

    pub(super) async fn create_query(
        &mut self,
        create: &CreateQuery,
        statement: &Statement,
        parameters: &[ScalarValue],
    ) -> Result<Response> {
        let (word, kind) = match create.kind {
            DerivedKind::Stream => ("STREAM", RelationKind::Stream),
            DerivedKind::Table => ("TABLE", RelationKind::Table),
            DerivedKind::MaterializedView => ("MATERIALIZED VIEW", RelationKind::Table),
            DerivedKind::View => {
                return Err(StatementError::new(
                    StatementErrorKind::Unsupported,
                    "a view that is not materialized is not supported",
                )
                .with_hint(
                    "CREATE MATERIALIZED VIEW keeps the result up to date and is read at once.",
                )
                .into());
            }
        };
        let name = relation_name(&create.name)?;
        let engine = self.engine.clone();
        let ddl = engine.lock_ddl().await;
        let catalog = engine.catalog();
        let mut replaced = None;
        if let Some(existing) = catalog.relation_by_name(&name) {
            if create.if_not_exists {
                self.notice(format!("relation \"{name}\" already exists, skipping"));
                return Ok(done(format!("CREATE {word}")));
            }
            if !create.or_replace {
                return Err(exists(&name));
            }
            if existing.written_by.is_none() {
                return Err(StatementError::new(
                    StatementErrorKind::WrongObjectType,
                    format!("\"{name}\" is not maintained by a query"),
                )
                .into());
            }
            if catalog
                .readers(existing.id)
                .iter()
                .any(|query| query.sink != existing.id)
            {
                return Err(dependents(&catalog, existing));
            }
            replaced = Some(existing.clone());
        }
        self.warn_of_transaction(word);
        let output = match kind {
            RelationKind::Stream => OutputKind::Stream,
            RelationKind::Table => OutputKind::Table,
        };
        let options = TopicOptions::parse(&create.options)?;
        options.check_no_window()?;
        let lowered = self
            .plan_continuous(&create.query, output, parameters)
            .await?;
        let source = lowered
            .plan
            .steps
            .iter()
            .find_map(|step| match &step.operator {
                planner::step_plan::Operator::Source(source) => catalog.relation(source.relation),
                _ => None,
            });
        let mut relation = self.derived_relation(
            create,
            &lowered,
            name.clone(),
            kind,
            &options,
            source.map(|source| &**source),
            statement,
        )?;
        let mut changes = Vec::new();
        let mut gone: Option<(Vec<RelationId>, Vec<String>)> = None;
        if let Some(existing) = &replaced {
            let queries: Vec<String> = catalog
                .writers(existing.id)
                .iter()
                .map(|q| q.id.clone())
                .collect();
            if lowered
                .plan
                .steps
                .iter()
                .any(|step| reads(step, existing.id))
            {
                return Err(StatementError::new(
                    StatementErrorKind::InvalidDefinition,
                    format!("\"{name}\" cannot read itself"),
                )
                .into());
            }
            changes.extend(queries.iter().cloned().map(Change::DropQuery));
            changes.push(Change::DropRelation(existing.id));
            gone = Some((vec![existing.id], queries));
        }
        let number = catalog.next_number();
        relation.id = relation_id(number)?;
        let prefix = match kind {
            RelationKind::Stream => "CSAS",
            RelationKind::Table => "CTAS",
        };
        let query_id = format!("{prefix}_{}_{number}", name.to_uppercase());
        relation.written_by = Some(query_id.clone());
        let replaces_topic = replaced
            .as_ref()
            .is_some_and(|old| old.topic.is_some() && old.topic_name == relation.topic_name);
        let existing = catalog
            .topic(&relation.topic_name)
            .filter(|_| !replaces_topic);
        let passes_marks =
            kind == RelationKind::Stream && Query::can_pass_marks(&lowered.plan, &catalog);
        relation.has_marks = passes_marks;
        let mut sink_kind = SinkKind::Derived;
        let mut unused = None;
        let mut settings = BTreeMap::new();
        if let Some(entry) = existing {
            settings.clone_from(&entry.settings);
            match self.write_into(&mut relation, entry, &options, &lowered, &catalog)? {
                Taken::Kept(kind) => sink_kind = kind,
                Taken::MadeAnew(topic) => {
                    Unused::keep_settings(&mut settings);
                    unused = Some(topic);
                }
            }
        }
        // The old topic goes only when the new one is there, so both need names in the log.
        let log_name = match replaces_topic || unused.is_some() {
            true => format!("{}#{number}", relation.topic_name),
            false => relation.topic_name.clone(),
        };
        // Rows of a table without a key have no identity that a changelog could tell them by.
        if relation.topic.is_none() && (kind == RelationKind::Stream || !relation.key.is_empty()) {
            let config = match &unused {
                None => TopicConfig {
                    retention_ms: options.retention_ms,
                    retention_bytes: options.retention_bytes,
                    cleanup: options.cleanup(&relation)?,
                    ..TopicConfig::derived(log_name, relation.partitions)
                },
                Some(unused) => unused.config_for(log_name, options.cleanup(&relation)?),
            };
            let topic = self.create_topic(config).await?;
            relation.topic = Some(topic.id().0);
        }
        let query = Query {
            id: query_id,
            sink: relation.id,
            sink_kind,
            plan: lowered.plan,
            text: create.query.to_string(),
            status: QueryStatus::Running,
            from_beginning: self.settings.begins_with_history(),
            every_change: kind == RelationKind::Table && self.settings.emits_every_change(),
            passes_marks,
            timed_by: relation.timestamp,
            since: self.engine.log.sealed().0,
            sequence: number,
            state_limit: options.state_limit.or(self.settings.state_limit()),
        };
        changes.push(Change::PutRelation(Box::new(relation.clone())));
        changes.push(Change::PutQuery(Box::new(query.clone())));
        if let Some(entry) = TopicEntry::of_relation(&relation).filter(|_| !settings.is_empty()) {
            let entry = TopicEntry { settings, ..entry };
            changes.push(Change::PutTopic(Box::new(entry)));
        }
        self.engine
            .commit_changes(ddl, changes, move |engine, catalog| {
                if let Some(unused) = unused {
                    drop_topic(engine, unused.id, &relation.name);
                }
                if let Some((relations, queries)) = gone {
                    let replaced: Vec<_> = replaced.into_iter().collect();
                    forget(engine, catalog, &replaced, &relations, &queries);
                }
                start(engine, catalog, relation, Some(query))
            })
            .await?;
        Ok(done(format!("CREATE {word}")))
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "what a statement says of a relation"
    )]
    fn derived_relation(
        &self,
        create: &CreateQuery,
        lowered: &Lowered,
        name: String,
        kind: RelationKind,
        options: &TopicOptions,
        source: Option<&Relation>,
        statement: &Statement,
    ) -> Result<Relation> {
        let mut fields: Vec<Field> = lowered
            .columns
            .iter()
            .map(|field| field.as_ref().clone().with_nullable(true))
            .collect();
        if create.columns.len() > fields.len() {
            return Err(StatementError::new(
                StatementErrorKind::Syntax,
                "too many column names were specified",
            )
            .into());
        }
        for (field, name) in fields.iter_mut().zip(&create.columns) {
            *field = field.clone().with_name(&name.value);
        }
        check_columns(&fields)?;
        let root = lowered.plan.root();
        if kind == RelationKind::Stream && root.mode == ChangelogMode::Retract {
            return Err(StatementError::new(
                StatementErrorKind::InvalidDefinition,
                "the result of this query changes, so it is a table",
            )
            .with_hint("Use CREATE TABLE … AS or CREATE MATERIALIZED VIEW … AS.")
            .into());
        }
        let columns = Arc::new(Schema::new(fields));
        let timestamp = timestamp_column(
            &columns,
            options.timestamp.as_deref(),
            options.has_timestamp_format(),
        )?;
        // ksqlDB's dialect says what the key is.
        let told: Option<Vec<usize>> = lowered.key_columns.map(|width| (0..width).collect());
        let key = match (kind, &told) {
            (RelationKind::Table, Some(told)) => told.clone(),
            (RelationKind::Table, None) => root.key.clone().unwrap_or_default(),
            (RelationKind::Stream, _) => Vec::new(),
        };
        let record_key = match (kind, told, source) {
            (RelationKind::Table, _, _) => key.clone(),
            (RelationKind::Stream, Some(told), _) => told,
            (RelationKind::Stream, None, Some(source)) => inherited_key(source, &columns),
            (RelationKind::Stream, None, None) => Vec::new(),
        };
        let mut format = options.record_format(
            &columns,
            if key.is_empty() {
                RelationKind::Stream
            } else {
                kind
            },
            record_key,
            Vec::new(),
            source.map(|source| &source.format),
            self.settings.default_formats(),
        )?;
        format.key_is_computed |= !create.query.partition_by.is_empty();
        Ok(Relation {
            id: 0,
            topic_name: options.topic_or(&self.settings.topic_of_result(&name)),
            name,
            kind,
            columns,
            key,
            topic: None,
            partitions: options.partitions.unwrap_or(match source {
                Some(source) if lowered.key_columns.is_some() => source.partitions,
                _ => 1,
            }),
            timestamp,
            written_by: None,
            terminated: false,
            read_only: true,
            definition: statement.to_string(),
            dialect: self.settings.dialect_name().to_owned(),
            format,
            over_records: false,
            records_of: None,
            has_marks: false,
            keeps_places: false,
        })
    }

    pub(super) async fn create_topic(&self, config: TopicConfig) -> Result<Topic> {
        if is_internal(&config.name) {
            return Err(StatementError::new(
                StatementErrorKind::InvalidParameterValue,
                format!("topic name \"{}\" is reserved", config.name),
            )
            .into());
        }
        let log = self.engine.log.clone();
        tokio::task::spawn_blocking(move || log.create_topic(config))
            .await
            .map_err(|error| Error::Internal(error.to_string()))?
            .map_err(Error::from)
    }

    pub(super) async fn drop_relations(&mut self, drop: &DropRelations) -> Result<Response> {
        let word = match drop.kind {
            DropKind::Stream => "STREAM",
            DropKind::Table => "TABLE",
            DropKind::View => "VIEW",
            DropKind::MaterializedView => "MATERIALIZED VIEW",
        };
        let engine = self.engine.clone();
        let ddl = engine.lock_ddl().await;
        let catalog = engine.catalog();
        self.warn_of_transaction(word);
        let mut relations: Vec<Arc<Relation>> = Vec::new();
        for name in &drop.names {
            let name = relation_name(name)?;
            let Some(relation) = catalog.relation_by_name(&name) else {
                if drop.if_exists {
                    self.notice(format!("relation \"{name}\" does not exist, skipping"));
                    continue;
                }
                return Err(catalog
                    .expect_relation(&name)
                    .err()
                    .unwrap_or(Error::ShuttingDown));
            };
            check_kind(relation, drop.kind, word)?;
            if relation.name == crate::processing_log::PROCESSING_LOG {
                return Err(StatementError::new(
                    StatementErrorKind::DependentObjects,
                    format!("cannot drop \"{name}\" because the system needs it"),
                )
                .into());
            }
            if !relations.contains(relation) {
                relations.push(relation.clone());
            }
        }
        // With CASCADE also what derives from them, and so on.
        let mut next = 0;
        let mut queries: Vec<String> = Vec::new();
        while next < relations.len() {
            let relation = relations[next].clone();
            next += 1;
            for query in catalog.writers(relation.id) {
                if query.sink_kind == SinkKind::Insert
                    && !query.was_made_with(relation.id)
                    && !drop.cascade
                    && !is_listed(&relations, query, &catalog)
                {
                    return Err(dependents(&catalog, &relation));
                }
                if !queries.contains(&query.id) {
                    queries.push(query.id.clone());
                }
            }
            for query in catalog.readers(relation.id) {
                let Some(sink) = catalog.relation(query.sink) else {
                    continue;
                };
                let listed = relations.contains(sink) || queries.contains(&query.id);
                if !listed
                    && !drop.cascade
                    && !drop
                        .names
                        .iter()
                        .any(|n| relation_name(n).is_ok_and(|n| n == sink.name))
                {
                    return Err(dependents(&catalog, &relation));
                }
                if !queries.contains(&query.id) {
                    queries.push(query.id.clone());
                }
                if query.sink_kind == SinkKind::Derived && !relations.contains(sink) {
                    relations.push(sink.clone());
                }
            }
        }
        if relations.is_empty() {
            return Ok(done(format!("DROP {word}")));
        }
        let mut changes: Vec<Change> = queries.iter().cloned().map(Change::DropQuery).collect();
        changes.extend(
            relations
                .iter()
                .map(|relation| Change::DropRelation(relation.id)),
        );
        for relation in &relations {
            changes.extend(self.topic_after_drop(relation, &relations, drop, &catalog)?);
        }
        let ids: Vec<RelationId> = relations.iter().map(|relation| relation.id).collect();
        self.engine
            .commit_changes(ddl, changes, move |engine, catalog| {
                forget(engine, catalog, &relations, &ids, &queries);
                Ok(())
            })
            .await?;
        Ok(done(format!("DROP {word}")))
    }

    /// What becomes of a dropped relation's topic. ksqlDB keeps topics unless told to delete them; SQL's
    /// `DROP` takes the rows with the relation, but never what another relation still reads.
    fn topic_after_drop(
        &self,
        relation: &Relation,
        dropped: &[Arc<Relation>],
        drop: &DropRelations,
        catalog: &Catalog,
    ) -> Result<Option<Change>> {
        let Some(topic) = relation.topic else {
            return Ok(None);
        };
        let reader = catalog.relations().find(|other| {
            other.topic == Some(topic) && dropped.iter().all(|gone| gone.id != other.id)
        });
        match (drop.delete_topic, reader) {
            (true, Some(reader)) => Err(StatementError::new(
                StatementErrorKind::DependentObjects,
                format!(
                    "cannot delete topic \"{}\" because \"{}\" reads it",
                    relation.topic_name, reader.name
                ),
            )
            .into()),
            (true, None) => Ok(Some(Change::DropTopic(relation.topic_name.clone()))),
            (false, reader) => {
                let keeps = reader.is_some() || self.settings.dialect_name() == "ksqldb";
                let entry = TopicEntry::of_relation(relation).filter(|_| keeps);
                Ok(entry.map(|entry| Change::PutTopic(Box::new(entry))))
            }
        }
    }

    pub(super) fn warn_of_transaction(&mut self, word: &str) {
        if self.transaction.is_some() {
            self.notice(format!(
                "{word}: definitions take effect at once and are not part of the transaction"
            ));
        }
    }
}

/// Starts what was made.
fn start(
    engine: &Arc<Engine>,
    catalog: &Catalog,
    relation: Relation,
    query: Option<Query>,
) -> Result<()> {
    if let Some(topic) = relation.topic.filter(|_| !relation.over_records) {
        engine
            .schemas
            .insert(topic, relation.log_schema(), relation.key.clone());
    }
    // A table over many records takes a while to fill.
    tokio::task::block_in_place(|| engine.mill.add_relation(Arc::new(relation)))?;
    if let Some(query) = query {
        let bindings = bind(&query.plan, catalog)?;
        engine.mill.add_query(Arc::new(query), bindings)?;
    }
    Ok(())
}

/// Lets go of what is no longer in the catalog.
fn forget(
    engine: &Engine,
    catalog: &Catalog,
    relations: &[Arc<Relation>],
    ids: &[RelationId],
    queries: &[String],
) {
    engine.mill.remove(ids, queries);
    for relation in relations {
        engine.writes.forget(relation.id);
        if let Some(topic) = relation.topic
            && catalog.topics().all(|entry| entry.id != topic)
        {
            drop_topic(engine, log_store::TopicId(topic), &relation.name);
        }
    }
}

/// Drops a topic that the catalog no longer has.
fn drop_topic(engine: &Engine, topic: log_store::TopicId, relation: &str) {
    if let Err(error) = engine.log.drop_topic(topic) {
        tracing::warn!(relation, %error, "topic could not be dropped; the next start will try again");
    }
}

fn is_listed(relations: &[Arc<Relation>], query: &Query, catalog: &Catalog) -> bool {
    query
        .inputs()
        .filter_map(|input| catalog.relation(input))
        .all(|input| relations.contains(input))
}

fn reads(step: &planner::step_plan::Step, relation: RelationId) -> bool {
    matches!(&step.operator, planner::step_plan::Operator::Source(source) if source.relation == relation)
}

/// What is read-only stays as it was declared.
fn refuse_replacing_source(is_source: bool, name: &str) -> Result<()> {
    match is_source {
        false => Ok(()),
        true => Err(StatementError::new(
            StatementErrorKind::Unsupported,
            format!("CREATE OR REPLACE of \"{name}\", which is a source, is not supported"),
        )
        .into()),
    }
}

/// A name that was mistyped must not become a topic that stays empty.
fn no_topic(name: &str) -> Error {
    StatementError::new(
        StatementErrorKind::UndefinedObject,
        format!("topic \"{name}\" does not exist"),
    )
    .with_hint("WITH (…, partitions = 1) makes it; SHOW TOPICS lists those that are there.")
    .into()
}

fn exists(name: &str) -> Error {
    StatementError::new(
        StatementErrorKind::DuplicateRelation,
        format!("relation \"{name}\" already exists"),
    )
    .into()
}

fn dependents(catalog: &Catalog, relation: &Relation) -> Error {
    let queries = catalog
        .readers(relation.id)
        .into_iter()
        .chain(catalog.writers(relation.id));
    let detail: Vec<String> = queries
        .filter(|query| query.sink_kind == SinkKind::Insert || query.sink != relation.id)
        .filter_map(|query| {
            let sink = catalog.relation(query.sink)?;
            Some(format!(
                "query {} writes {} \"{}\"",
                query.id,
                sink.kind_name(),
                sink.name
            ))
        })
        .collect();
    StatementError::new(
        StatementErrorKind::DependentObjects,
        format!(
            "cannot drop {} \"{}\" because other objects depend on it",
            relation.kind_name(),
            relation.name
        ),
    )
    .with_detail(detail.join("\n"))
    .with_hint("Use DROP … CASCADE to drop the dependent objects too.")
    .into()
}

fn check_kind(relation: &Relation, kind: DropKind, word: &str) -> Result<()> {
    let fits = match kind {
        DropKind::Stream => relation.kind == RelationKind::Stream,
        DropKind::Table => relation.kind == RelationKind::Table,
        DropKind::View => false,
        DropKind::MaterializedView => {
            relation.kind == RelationKind::Table && relation.written_by.is_some()
        }
    };
    if fits {
        return Ok(());
    }
    let hint = match relation.kind {
        RelationKind::Stream => "Use DROP STREAM to remove a stream.",
        RelationKind::Table if relation.written_by.is_some() => {
            "Use DROP MATERIALIZED VIEW or DROP TABLE."
        }
        RelationKind::Table => "Use DROP TABLE to remove a table.",
    };
    Err(StatementError::new(
        StatementErrorKind::WrongObjectType,
        format!("\"{}\" is not a {}", relation.name, word.to_lowercase()),
    )
    .with_hint(hint)
    .into())
}

pub(super) fn next_relation_id(catalog: &Catalog) -> Result<RelationId> {
    relation_id(catalog.next_number())
}

fn relation_id(number: u64) -> Result<RelationId> {
    RelationId::try_from(number).map_err(|_| {
        StatementError::new(
            StatementErrorKind::TooManyObjects,
            "too many relations were ever made",
        )
        .into()
    })
}

/// The columns of a declared relation.
struct Columns {
    schema: SchemaRef,
    /// Positions of the primary key.
    key: Vec<usize>,
    /// Positions of what is in a record's key: the primary key, or a stream's `KEY` columns.
    record_key: Vec<usize>,
    headers: Vec<HeaderColumn>,
}

fn columns(create: &CreateSource) -> Result<Columns> {
    if create.columns.is_empty() {
        return Err(StatementError::new(
            StatementErrorKind::InvalidDefinition,
            "a relation needs at least one column",
        )
        .into());
    }
    let mut fields = Vec::with_capacity(create.columns.len());
    let (mut record_key, mut headers) = (Vec::new(), Vec::new());
    for (position, column) in create.columns.iter().enumerate() {
        match &column.kind {
            ColumnKind::Plain => {}
            ColumnKind::Key => record_key.push(position),
            ColumnKind::Headers => headers.push(HeaderColumn {
                column: position,
                name: None,
            }),
            ColumnKind::Header(name) => headers.push(HeaderColumn {
                column: position,
                name: Some(name.clone()),
            }),
        }
        let field = planner::types::field(&column.name.value, &column.data_type, !column.not_null)?;
        if let ColumnKind::Header(name) = &column.kind
            && *field.data_type() != DataType::Binary
        {
            return Err(StatementError::new(
                StatementErrorKind::InvalidDefinition,
                format!(
                    "invalid type for HEADER('{name}') column: expected BYTES, got {}",
                    planner::types::type_name(&field).to_uppercase()
                ),
            )
            .into());
        }
        fields.push(field);
    }
    check_columns(&fields)?;
    let key = create
        .primary_key
        .iter()
        .map(|name| {
            fields
                .iter()
                .position(|field| *field.name() == name.value)
                .ok_or_else(|| {
                    StatementError::new(
                        StatementErrorKind::UndefinedColumn,
                        format!("column \"{}\" named in key does not exist", name.value),
                    )
                    .into()
                })
        })
        .collect::<Result<Vec<_>>>()?;
    for position in &key {
        let field = &fields[*position];
        if matches!(field.data_type(), DataType::Map(..)) {
            return Err(StatementError::new(
                StatementErrorKind::InvalidDefinition,
                format!(
                    "column \"{}\" cannot be part of a primary key: a map has no order",
                    field.name()
                ),
            )
            .into());
        }
    }
    if create.kind == AstKind::Table {
        record_key = key.clone();
    }
    Ok(Columns {
        schema: Arc::new(Schema::new(fields)),
        key,
        record_key,
        headers,
    })
}

/// Refuses header columns that no record could be read into, and those that contradict each other.
fn check_headers(columns: &Columns) -> Result<()> {
    let refuse = |message: String| -> Result<()> {
        Err(StatementError::new(StatementErrorKind::InvalidDefinition, message).into())
    };
    for (index, header) in columns.headers.iter().enumerate() {
        let field = columns.schema.field(header.column);
        let is_pair = |element: &DataType| match element {
            DataType::Struct(pair) if pair.len() == 2 => {
                pair[0].name().eq_ignore_ascii_case("key")
                    && *pair[0].data_type() == DataType::Utf8
                    && pair[1].name().eq_ignore_ascii_case("value")
                    && *pair[1].data_type() == DataType::Binary
            }
            _ => false,
        };
        let fits = match (&header.name, field.data_type()) {
            (None, DataType::List(element)) => is_pair(element.data_type()),
            (None, _) => false,
            // Checked where it is declared.
            (Some(_), _) => true,
        };
        if !fits {
            return refuse(format!(
                "invalid type for HEADERS column: expected ARRAY<STRUCT<KEY STRING, VALUE BYTES>>, got {}",
                planner::types::type_name(field).to_uppercase()
            ));
        }
        let earlier = &columns.headers[..index];
        if earlier.iter().any(|other| other.name == header.name) {
            return refuse(match &header.name {
                Some(name) => format!("two columns are HEADER('{name}')"),
                None => "two columns are HEADERS".into(),
            });
        }
        if earlier
            .iter()
            .any(|other| other.name.is_none() != header.name.is_none())
        {
            return refuse("HEADERS stands alone: it has what HEADER('…') would have".into());
        }
    }
    Ok(())
}

fn check_columns(fields: &[Field]) -> Result<()> {
    if fields.len() > COLUMNS_MAX {
        return Err(StatementError::new(
            StatementErrorKind::ProgramLimit,
            format!("relations can have at most {COLUMNS_MAX} columns"),
        )
        .into());
    }
    for (index, field) in fields.iter().enumerate() {
        let name = field.name();
        if fields[..index].iter().any(|other| other.name() == name) {
            return Err(StatementError::new(
                StatementErrorKind::DuplicateColumn,
                format!("column \"{name}\" specified more than once"),
            )
            .into());
        }
        let is_pseudo = planner::relations::PSEUDO_COLUMNS
            .iter()
            .any(|pseudo| pseudo.eq_ignore_ascii_case(name));
        if is_pseudo || name.starts_with("__") {
            return Err(StatementError::new(
                StatementErrorKind::InvalidDefinition,
                format!("column name \"{name}\" is reserved"),
            )
            .into());
        }
    }
    Ok(())
}

/// Position of the column that is the event time; with a format of its text it may be text.
fn timestamp_column(
    columns: &SchemaRef,
    name: Option<&str>,
    has_format: bool,
) -> Result<Option<usize>> {
    let Some(name) = name else {
        if has_format {
            return Err(StatementError::new(
                StatementErrorKind::InvalidParameterValue,
                "option \"timestamp_format\" needs option \"timestamp\"",
            )
            .into());
        }
        return Ok(None);
    };
    let position = columns
        .fields()
        .iter()
        .position(|field| field.name().eq_ignore_ascii_case(name))
        .ok_or_else(|| {
            StatementError::new(
                StatementErrorKind::UndefinedColumn,
                format!("timestamp column \"{name}\" does not exist"),
            )
        })?;
    match columns.field(position).data_type() {
        DataType::Int64 | DataType::Timestamp(..) | DataType::Date32 if !has_format => {
            Ok(Some(position))
        }
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 if has_format => {
            Ok(Some(position))
        }
        other => Err(StatementError::new(
            StatementErrorKind::DatatypeMismatch,
            format!(
                "timestamp column \"{name}\" is of type {}",
                planner::types::data_type_name(other)
            ),
        )
        .with_hint("It must be TIMESTAMP, TIMESTAMPTZ, DATE, or BIGINT milliseconds; with TIMESTAMP_FORMAT, VARCHAR.")
        .into()),
    }
}
