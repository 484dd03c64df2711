//! `SHOW`, `LIST`, `DESCRIBE`, `SET`, `RESET`.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use futures::StreamExt;
use sql::ast::{Describe, List, ListTarget, OptionValue, Set, SetScope, SetValue, VariableTarget};

use crate::catalog::{Catalog, Query, QueryStatus, Relation, RelationKind};
use crate::error::{Error, Result, StatementError, StatementErrorKind};
use crate::mill::query::Standing;
use crate::pg_catalog::SystemTables;
use crate::processing_log::reporter;
use crate::response::{Response, Rows};
use crate::session::{Session, done, relation_name};

/// The system catalog's tables as this session sees them.
pub fn system_tables(session: &Session, catalog: &Catalog) -> SystemTables {
    let relations = catalog
        .relations()
        .map(|relation| crate::pg_catalog::RelationInfo {
            oid: crate::pg_catalog::FIRST_OID + relation.id,
            name: relation.name.clone(),
            kind: match (relation.kind, &relation.written_by) {
                (RelationKind::Stream, _) => crate::pg_catalog::RelationKind::Stream,
                (RelationKind::Table, None) => crate::pg_catalog::RelationKind::Table,
                (RelationKind::Table, Some(_)) => crate::pg_catalog::RelationKind::View,
            },
            columns: relation.columns.clone(),
            key: relation.key.clone(),
        })
        .collect();
    let users = catalog.users().cloned().collect();
    SystemTables::new(relations, session.settings.all()).with_users(users)
}

impl Session {
    pub(super) fn list(&mut self, list: &List) -> Result<Response> {
        let catalog = self.engine.catalog();
        let rows = match list.target {
            ListTarget::Streams => {
                self.list_relations(&catalog, |r| r.kind == RelationKind::Stream)
            }
            ListTarget::Tables => self.list_relations(&catalog, |r| r.kind == RelationKind::Table),
            ListTarget::Views => self.list_relations(&catalog, |r| {
                r.kind == RelationKind::Table && r.written_by.is_some()
            }),
            ListTarget::Queries => catalog
                .queries()
                .into_iter()
                .map(|query| self.query_row(&catalog, query))
                .collect(),
            ListTarget::Topics => self.list_topics(list.all, list.extended),
            ListTarget::Functions => planner::functions::functions()
                .names()
                .into_iter()
                .map(|name| vec![name.to_owned(), function_kind(name).to_owned()])
                .collect(),
            ListTarget::Users => catalog
                .users()
                .map(|user| {
                    let yes_or_no = |flag| if flag { "yes" } else { "no" }.to_owned();
                    vec![
                        user.name.clone(),
                        yes_or_no(user.login),
                        yes_or_no(user.superuser),
                        yes_or_no(!user.verifiers.is_empty()),
                    ]
                })
                .collect(),
            ListTarget::Properties => self
                .settings
                .all()
                .into_iter()
                .map(|(name, value, description)| vec![name, value, description])
                .collect(),
            ListTarget::Types => catalog
                .types()
                .iter()
                .map(|(name, data_type)| {
                    vec![name.clone(), planner::types::sql_type_name(data_type)]
                })
                .collect(),
            ListTarget::ConsumerGroups => self.list_consumer_groups(),
            ListTarget::Variables => self
                .variables
                .iter()
                .map(|(name, value)| vec![name.clone(), value.clone()])
                .collect(),
        };
        table(list_columns(list), rows, "SHOW")
    }

    fn list_relations(
        &self,
        catalog: &Catalog,
        wanted: impl Fn(&Relation) -> bool,
    ) -> Vec<Vec<String>> {
        catalog
            .relations()
            .filter(|relation| wanted(relation))
            .map(|relation| {
                vec![
                    relation.name.clone(),
                    relation.kind_name().to_owned(),
                    match relation.topic {
                        Some(_) => relation.topic_name.clone(),
                        None => String::new(),
                    },
                    relation.written_by.clone().unwrap_or_default(),
                ]
            })
            .collect()
    }

    fn query_row(&self, catalog: &Catalog, query: &Query) -> Vec<String> {
        let status = match (self.engine.mill.standing(&query.id), &query.status) {
            (Some(Standing::Turning), _) => "RUNNING".to_owned(),
            (Some(Standing::CatchingUp), _) => "CATCHING UP".to_owned(),
            (Some(Standing::Paused), _) | (None, QueryStatus::Paused) => "PAUSED".to_owned(),
            (Some(Standing::Failed(reason)), _) => format!("FAILED: {reason}"),
            (None, _) => "STOPPED".to_owned(),
        };
        vec![
            query.id.clone(),
            match query.was_made_with(query.sink) {
                true => "PERSISTENT".to_owned(),
                false => "INSERT".to_owned(),
            },
            status,
            catalog
                .relation(query.sink)
                .map(|sink| sink.name.clone())
                .unwrap_or_default(),
            query.text.clone(),
        ]
    }

    pub(super) fn describe_object(&mut self, describe: &Describe) -> Result<Response> {
        match describe {
            Describe::ConsumerGroup(id) => {
                let rows = self.describe_consumer_group(id)?;
                table(describe_columns(describe), rows, "DESCRIBE")
            }
            Describe::Function(name) => {
                if !planner::functions::functions().contains(&name.to_lowercase()) {
                    return Err(StatementError::new(
                        StatementErrorKind::UndefinedFunction,
                        format!("function {name} does not exist"),
                    )
                    .into());
                }
                let rows = vec![vec![
                    name.to_lowercase(),
                    function_kind(&name.to_lowercase()).to_owned(),
                ]];
                table(describe_columns(describe), rows, "DESCRIBE")
            }
            Describe::Relation { name, extended } => {
                let catalog = self.engine.catalog();
                let relation = catalog.expect_relation(&relation_name(name)?)?;
                let mut rows: Vec<Vec<String>> = relation
                    .columns
                    .fields()
                    .iter()
                    .enumerate()
                    .map(|(index, field)| {
                        let key = if relation.key.contains(&index) {
                            "PRIMARY KEY"
                        } else {
                            ""
                        };
                        vec![
                            field.name().clone(),
                            planner::types::type_name(field),
                            key.to_owned(),
                        ]
                    })
                    .collect();
                if *extended {
                    rows.extend(self.describe_extended(&catalog, relation));
                }
                table(describe_columns(describe), rows, "DESCRIBE")
            }
        }
    }

    fn describe_extended(&self, catalog: &Catalog, relation: &Relation) -> Vec<Vec<String>> {
        let mut lines: Vec<(String, String)> = vec![
            ("kind".into(), relation.kind_name().into()),
            ("definition".into(), relation.definition.clone()),
        ];
        if let Ok(topic) = self.engine.topic(relation) {
            let partitions = topic.partitions();
            lines.push(("topic".into(), topic.name().to_owned()));
            lines.push(("partitions".into(), partitions.len().to_string()));
            lines.push(("key format".into(), relation.format.key.to_string()));
            lines.push(("value format".into(), relation.format.value.to_string()));
            let rows: u64 = partitions
                .iter()
                .map(|p| p.end_offset().0 - p.start_offset().0)
                .sum();
            lines.push(("rows in topic".into(), rows.to_string()));
            let bytes: u64 = partitions.iter().map(|p| p.size_bytes()).sum();
            lines.push(("bytes in topic".into(), bytes.to_string()));
        }
        if let Some(column) = relation.timestamp {
            lines.push((
                "timestamp column".into(),
                relation.columns.field(column).name().clone(),
            ));
        }
        if let Some((rows, bytes)) = self.engine.mill.table_size(relation.id) {
            lines.push(("rows".into(), rows.to_string()));
            lines.push(("bytes in memory".into(), bytes.to_string()));
        }
        let failed = "failed since the start, see processing_log";
        let undecoded = self.engine.mill.failures(&reporter(relation));
        if undecoded > 0 {
            lines.push((format!("records {failed}"), undecoded.to_string()));
        }
        let failures_of = |query: &str| {
            let failures = self.engine.mill.failures(query);
            (failures > 0).then(|| (format!("  rows and records {failed}"), failures.to_string()))
        };
        lines.push(("frontier".into(), self.engine.mill.frontier().to_string()));
        for query in catalog.writers(relation.id) {
            lines.push(("written by".into(), query.id.clone()));
            if let Some(size) = self.engine.mill.query_size(&query.id) {
                let limit = query.state_limit.map_or_else(
                    || "no limit of its own".to_owned(),
                    |limit| format!("limit {limit}"),
                );
                let words = format!(
                    "{} in memory, {} of them can be evicted, {limit}",
                    size.bytes, size.evictable
                );
                lines.push(("  bytes of state".into(), words));
            }
            lines.extend(failures_of(&query.id));
            for step in self.engine.mill.statistics(&query.id) {
                lines.push((format!("  {}", step.0), step.1));
            }
        }
        for query in catalog.readers(relation.id) {
            lines.push(("read by".into(), query.id.clone()));
            // One that catches up reads, and reports, for itself.
            lines.extend(failures_of(&query.id));
        }
        lines
            .into_iter()
            .map(|(name, value)| vec![format!("[{name}]"), value, String::new()])
            .collect()
    }

    pub(super) fn set(&mut self, set: &Set) -> Result<Response> {
        let value = match &set.value {
            SetValue::Default => {
                self.settings.reset(&set.name)?;
                return Ok(done("SET"));
            }
            SetValue::Values(values) => values
                .iter()
                .map(OptionValue::as_str)
                .collect::<Vec<_>>()
                .join(", "),
        };
        match set.scope {
            SetScope::Local if self.transaction.is_some() => {
                self.settings.set_local(&set.name, &value)?
            }
            SetScope::Local => self.notice("SET LOCAL can only be used in transaction blocks"),
            SetScope::Session => self.settings.set(&set.name, &value)?,
        }
        Ok(done("SET"))
    }

    pub(super) fn reset(&mut self, target: &VariableTarget) -> Result<Response> {
        match target {
            VariableTarget::All => self.settings.reset_all(),
            VariableTarget::Name(name) => self.settings.reset(name)?,
        }
        Ok(done("RESET"))
    }

    pub(super) fn show_variable(&mut self, target: &VariableTarget) -> Result<Response> {
        match target {
            VariableTarget::All => {
                let rows = self
                    .settings
                    .all()
                    .into_iter()
                    .map(|(name, value, description)| vec![name, value, description])
                    .collect();
                table(variable_columns(target), rows, "SHOW")
            }
            VariableTarget::Name(name) => {
                let (name, value) = self.settings.show(name)?;
                let columns = text_columns(&[name.as_str()]);
                table(columns, vec![vec![value]], "SHOW")
            }
        }
    }
}

fn function_kind(name: &str) -> &'static str {
    let functions = planner::functions::functions();
    if functions.aggregate(name).is_some() {
        "aggregate"
    } else if functions.window(name).is_some() {
        "window"
    } else if functions.table(name).is_some() {
        "table"
    } else {
        "scalar"
    }
}

/// Columns of SHOW or LIST.
pub fn list_columns(list: &List) -> SchemaRef {
    text_columns(match list.target {
        ListTarget::Streams | ListTarget::Tables | ListTarget::Views => {
            &["name", "kind", "topic", "query"]
        }
        ListTarget::Queries => &["id", "kind", "status", "sink", "query"],
        ListTarget::Topics if list.extended => &[
            "topic",
            "partitions",
            "replicas",
            "rows",
            "bytes",
            "contents",
            "consumers",
            "consumer groups",
        ],
        ListTarget::Topics => &[
            "topic",
            "partitions",
            "replicas",
            "rows",
            "bytes",
            "contents",
        ],
        ListTarget::Functions => &["name", "kind"],
        ListTarget::Properties => &["name", "setting", "description"],
        ListTarget::Users => &["name", "login", "superuser", "password"],
        ListTarget::Types => &["name", "type"],
        ListTarget::ConsumerGroups => &["group", "state", "protocol", "members", "lag"],
        ListTarget::Variables => &["name", "value"],
    })
}

/// Columns of DESCRIBE.
pub fn describe_columns(describe: &Describe) -> SchemaRef {
    text_columns(match describe {
        Describe::Relation { .. } => &["column", "type", "key"],
        Describe::Function(_) => &["name", "kind"],
        Describe::ConsumerGroup(_) => &[
            "topic",
            "partition",
            "offset",
            "end offset",
            "lag",
            "member",
        ],
    })
}

/// Columns of SHOW name and SHOW ALL.
pub fn variable_columns(target: &VariableTarget) -> SchemaRef {
    match target {
        VariableTarget::All => text_columns(&["name", "setting", "description"]),
        VariableTarget::Name(name) => text_columns(&[name.as_str()]),
    }
}

/// Columns of text.
pub fn text_columns(names: &[&str]) -> SchemaRef {
    let fields: Vec<Field> = names
        .iter()
        .map(|name| Field::new(*name, DataType::Utf8, true))
        .collect();
    Arc::new(Schema::new(fields))
}

fn table(columns: SchemaRef, rows: Vec<Vec<String>>, tag: &'static str) -> Result<Response> {
    let arrays: Vec<ArrayRef> = (0..columns.fields().len())
        .map(|column| {
            let values: StringArray = rows
                .iter()
                .map(|row| row.get(column).map(String::as_str))
                .collect();
            Arc::new(values) as ArrayRef
        })
        .collect();
    let batch = RecordBatch::try_new(columns.clone(), arrays)
        .map_err(|error| Error::Internal(error.to_string()))?;
    Ok(Response::Rows(Rows {
        columns,
        batches: futures::stream::iter([Ok(batch)]).boxed(),
        endless: false,
        tag,
    }))
}
