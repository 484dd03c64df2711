//! The catalog: relations and persistent queries, kept as a log.
//!
//! Every DDL statement is one append to the topic [`CATALOG_TOPIC`], so DDL is durable, ordered and
//! atomic; the catalog in memory is what that topic has said so far. Readers hold an immutable
//! [`Catalog`]; a change makes a new one.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use planner::step_plan::{Operator, StepPlan};
use serde::{Deserialize, Serialize};

use crate::auth::{LoginSecret, User};
use crate::error::{Error, Result, StatementError, StatementErrorKind};
use crate::processing_log::PROCESSING_LOG;
use crate::records::RecordFormat;

/// The topic that the catalog is replayed from.
pub const CATALOG_TOPIC: &str = "__catalog";

/// Number of a relation; never used twice.
pub type RelationId = u32;

/// Whether rows of a relation may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RelationKind {
    /// Append-only.
    Stream,
    /// Keyed, or a bag of rows.
    Table,
}

/// A stream or a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Relation {
    pub id: RelationId,
    pub name: String,
    pub kind: RelationKind,
    /// The columns that a user sees.
    pub columns: SchemaRef,
    /// Positions of the primary key; empty if there is none.
    pub key: Vec<usize>,
    /// The topic's number in the log; absent for a table that a query maintains.
    pub topic: Option<u32>,
    pub topic_name: String,
    pub partitions: u32,
    /// Column whose value is the row's event time.
    pub timestamp: Option<usize>,
    /// The query that alone writes it, at the epochs of its input.
    pub written_by: Option<String>,
    /// Whether that query was terminated, so that the relation stays as it is.
    #[serde(default)]
    pub terminated: bool,
    /// Whether clients may not insert.
    pub read_only: bool,
    /// The statement that made it.
    pub definition: String,
    /// `postgres` or `ksqldb`: whose meaning its expressions have.
    pub dialect: String,
    /// How its rows look as records with a key and a value.
    #[serde(default)]
    pub format: RecordFormat,
    /// Whether it reads the records of a topic that was there before it, in `format`, instead of
    /// owning a columnar topic. Dropping it leaves the topic.
    #[serde(default)]
    pub over_records: bool,
    /// With `over_records`: what that topic holds, if its batches are columnar.
    #[serde(default)]
    pub records_of: Option<Box<ColumnarTopic>>,
    /// Whether its topic, a columnar one, has the marks of the records that its rows come from.
    #[serde(default)]
    pub has_marks: bool,
    /// Of a table with a key that clients write: whether each row knows partition and offset of the record
    /// that it comes from, as those of streams do.
    #[serde(default)]
    pub keeps_places: bool,
}

impl Relation {
    /// A base table without a primary key: a bag, with a hidden row id.
    pub fn has_row_id(&self) -> bool {
        self.kind == RelationKind::Table && self.key.is_empty() && self.written_by.is_none()
    }

    /// A table that clients write.
    pub fn is_base_table(&self) -> bool {
        self.kind == RelationKind::Table && self.written_by.is_none()
    }

    /// Whether its rows come with marks: that a value is null, and headers, which go on to the streams
    /// that derive from it.
    pub fn gives_marks(&self) -> bool {
        let read = self.over_records && self.dialect == "ksqldb";
        self.kind == RelationKind::Stream && (self.has_marks || read)
    }

    /// Whether rows can be written to it with their marks.
    pub fn takes_marks(&self) -> bool {
        self.kind == RelationKind::Stream && (self.has_marks || self.over_records)
    }

    /// What it is called in messages.
    pub fn kind_name(&self) -> &'static str {
        match (self.kind, &self.written_by) {
            (RelationKind::Stream, _) => "stream",
            (RelationKind::Table, None) => "table",
            (RelationKind::Table, Some(_)) => "materialized view",
        }
    }

    /// Columns of its topic: the user's, then event time, then what the kind needs.
    pub fn log_schema(&self) -> SchemaRef {
        let nullable = |field: &Arc<Field>| Arc::new(field.as_ref().clone().with_nullable(true));
        let mut fields: Vec<Arc<Field>> = self.columns.fields().iter().map(nullable).collect();
        fields.push(Arc::new(Field::new(LOG_ROWTIME, DataType::Int64, true)));
        if self.kind == RelationKind::Table {
            fields.push(Arc::new(Field::new(LOG_WEIGHT, DataType::Int8, true)));
        }
        if self.has_row_id() {
            fields.push(Arc::new(Field::new(LOG_ROW_ID, DataType::Int64, true)));
        }
        if self.has_marks {
            fields.push(Arc::new(mark_field()));
        }
        Arc::new(Schema::new(fields))
    }
}

/// Event time in a topic's rows, microseconds since the epoch UTC.
pub const LOG_ROWTIME: &str = "__rowtime";
/// +1 for an upsert, −1 for a tombstone.
pub const LOG_WEIGHT: &str = "__weight";
/// Identity of a row of a bag; NULL in an insertion, whose identity is its place in the log.
pub const LOG_ROW_ID: &str = "__row_id";
/// What the record that a stream's row comes from is beside its columns ([`crate::records::Mark`]).
pub const LOG_MARK: &str = "__mark";

/// The column of marks.
pub fn mark_field() -> Field {
    Field::new(LOG_MARK, DataType::Binary, true)
}

/// A topic as Kafka clients see it; internal topics of the engine have none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TopicEntry {
    pub name: String,
    /// Its number in the log.
    pub id: u32,
    pub contents: TopicContents,
    /// What clients have set of it, by Kafka's names.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
}

/// What a topic's batches hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum TopicContents {
    /// Record batches as Kafka clients wrote them, byte for byte.
    Raw,
    /// Arrow rows in the log schema of the relation that made it, which Kafka clients see encoded.
    Columnar(Box<ColumnarTopic>),
}

/// The rows of a columnar topic. Outlives the relation that made it where `DROP` keeps the topic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnarTopic {
    /// As in [`Relation::columns`].
    pub columns: SchemaRef,
    pub kind: RelationKind,
    /// As in [`Relation::log_schema`].
    pub log_schema: SchemaRef,
    pub format: RecordFormat,
}

impl TopicEntry {
    /// The entry of the topic that a relation owns; `None` if it has none or reads another's.
    pub fn of_relation(relation: &Relation) -> Option<Self> {
        let id = relation.topic.filter(|_| !relation.over_records)?;
        Some(Self {
            name: relation.topic_name.clone(),
            id,
            contents: TopicContents::Columnar(Box::new(ColumnarTopic {
                columns: relation.columns.clone(),
                kind: relation.kind,
                log_schema: relation.log_schema(),
                format: relation.format.clone(),
            })),
            settings: BTreeMap::new(),
        })
    }
}

/// Where a persistent query's output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SinkKind {
    /// The relation that was made with it.
    Derived,
    /// A stream that others write as well (`INSERT INTO … SELECT`).
    Insert,
}

/// Whether a persistent query runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum QueryStatus {
    Running,
    Paused,
    /// Stopped by an error, until it is resumed or terminated.
    Failed(String),
}

/// A persistent query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Query {
    /// Such as `CTAS_TOTALS_7`.
    pub id: String,
    pub sink: RelationId,
    pub sink_kind: SinkKind,
    pub plan: StepPlan,
    pub text: String,
    pub status: QueryStatus,
    /// Whether it began with what its inputs held already.
    pub from_beginning: bool,
    /// Whether each input row is a step of its own, so that the changelog shows every change and not
    /// only what came of an epoch (ksqlDB with `cache.max.bytes.buffering` = 0).
    #[serde(default)]
    pub every_change: bool,
    /// Whether rows go through with their marks, also those that stand for a null value.
    #[serde(default)]
    pub passes_marks: bool,
    /// The column of its relation that tells the time of a row (`TIMESTAMP`), instead of what the row
    /// comes from.
    #[serde(default)]
    pub timed_by: Option<usize>,
    /// If not, the epoch after which it began.
    #[serde(default)]
    pub since: u64,
    /// Order of creation, which is a topological order: a query reads only what was there.
    pub sequence: u64,
    /// Bytes of state from which on it is stopped.
    #[serde(default)]
    pub state_limit: Option<u64>,
}

impl Query {
    /// Whether one statement made the query and this relation, so that they go together: the two have one
    /// number of the catalog's, which no others have.
    pub fn was_made_with(&self, relation: RelationId) -> bool {
        self.sequence == u64::from(relation)
    }

    /// Whether the rows of a plan's result can have the marks of its input: nothing in it keeps state, and
    /// some input has marks.
    pub fn can_pass_marks(plan: &StepPlan, catalog: &Catalog) -> bool {
        plan.is_stateless()
            && plan.steps.iter().any(|step| match &step.operator {
                Operator::Source(source) => catalog
                    .relation(source.relation)
                    .is_some_and(|relation| relation.gives_marks()),
                _ => false,
            })
    }

    /// Numbers of the relations it reads.
    pub fn inputs(&self) -> impl Iterator<Item = RelationId> + '_ {
        self.plan
            .steps
            .iter()
            .filter_map(|step| match &step.operator {
                Operator::Source(source) => Some(source.relation),
                _ => None,
            })
    }
}

/// One thing that a DDL statement changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Change {
    PutRelation(Box<Relation>),
    DropRelation(RelationId),
    PutQuery(Box<Query>),
    DropQuery(String),
    /// A topic that no relation owns.
    PutTopic(Box<TopicEntry>),
    /// By name.
    DropTopic(String),
    /// New, or in place of the one of the same name.
    PutUser(Box<User>),
    /// By name.
    DropUser(String),
    PutLoginSecret(LoginSecret),
    /// `CREATE TYPE`: a lower-case name and what it stands for.
    PutType(String, sql::DataType),
    /// By its lower-case name.
    DropType(String),
}

/// Everything that is defined, at one moment.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    relations: BTreeMap<RelationId, Arc<Relation>>,
    by_name: BTreeMap<String, RelationId>,
    queries: BTreeMap<String, Arc<Query>>,
    /// By name: those that relations own and those that stand alone.
    topics: BTreeMap<String, Arc<TopicEntry>>,
    users: BTreeMap<String, Arc<User>>,
    login_secret: Option<LoginSecret>,
    types: sql::TypeNames,
    /// The last number given to a relation, a query or a user.
    last_number: u64,
}

impl Catalog {
    /// Applies what one statement changed.
    pub fn apply(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::PutRelation(relation) => {
                    self.last_number = self.last_number.max(u64::from(relation.id));
                    self.by_name.insert(relation.name.clone(), relation.id);
                    if let Some(entry) = TopicEntry::of_relation(&relation) {
                        self.topics.insert(entry.name.clone(), Arc::new(entry));
                    }
                    self.relations.insert(relation.id, Arc::new(*relation));
                }
                Change::DropRelation(id) => {
                    if let Some(relation) = self.relations.remove(&id) {
                        if self.by_name.get(&relation.name) == Some(&id) {
                            self.by_name.remove(&relation.name);
                        }
                        let owned = |entry: &Arc<TopicEntry>| Some(entry.id) == relation.topic;
                        if !relation.over_records
                            && self.topics.get(&relation.topic_name).is_some_and(owned)
                        {
                            self.topics.remove(&relation.topic_name);
                        }
                    }
                }
                Change::PutQuery(query) => {
                    self.last_number = self.last_number.max(query.sequence);
                    self.queries.insert(query.id.clone(), Arc::new(*query));
                }
                Change::DropQuery(id) => {
                    self.queries.remove(&id);
                }
                Change::PutTopic(entry) => {
                    self.topics.insert(entry.name.clone(), Arc::new(*entry));
                }
                Change::DropTopic(name) => {
                    self.topics.remove(&name);
                }
                Change::PutUser(user) => {
                    self.last_number = self.last_number.max(u64::from(user.id));
                    self.users.insert(user.name.clone(), Arc::new(*user));
                }
                Change::DropUser(name) => {
                    self.users.remove(&name);
                }
                Change::PutLoginSecret(secret) => self.login_secret = Some(secret),
                Change::PutType(name, data_type) => {
                    Arc::make_mut(&mut self.types).insert(name, data_type);
                }
                Change::DropType(name) => {
                    Arc::make_mut(&mut self.types).remove(&name);
                }
            }
        }
    }

    /// A number that no relation or query has had.
    pub fn next_number(&self) -> u64 {
        self.last_number + 1
    }

    pub fn relation(&self, id: RelationId) -> Option<&Arc<Relation>> {
        self.relations.get(&id)
    }

    pub fn relation_by_name(&self, name: &str) -> Option<&Arc<Relation>> {
        let id = self.by_name.get(name).or_else(|| match name {
            // As ksqlDB's dialect, in which names are upper-case, calls it.
            "PROCESSING_LOG" | "KSQL_PROCESSING_LOG" => self.by_name.get(PROCESSING_LOG),
            _ => None,
        })?;
        self.relations.get(id)
    }

    /// Finds a relation or says which there is.
    pub fn expect_relation(&self, name: &str) -> Result<&Arc<Relation>> {
        self.relation_by_name(name).ok_or_else(|| {
            let error = StatementError::new(
                StatementErrorKind::UndefinedRelation,
                format!("relation \"{name}\" does not exist"),
            );
            match closest(name, self.by_name.keys()) {
                Some(near) => error.with_hint(format!("did you mean \"{near}\"?")).into(),
                None => error.into(),
            }
        })
    }

    pub fn relations(&self) -> impl Iterator<Item = &Arc<Relation>> {
        self.by_name
            .values()
            .filter_map(|id| self.relations.get(id))
    }

    /// A topic that Kafka clients see.
    pub fn topic(&self, name: &str) -> Option<&Arc<TopicEntry>> {
        self.topics.get(name)
    }

    /// All topics that Kafka clients see, by name.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<TopicEntry>> {
        self.topics.values()
    }

    /// A user, by name.
    pub fn user(&self, name: &str) -> Option<&Arc<User>> {
        self.users.get(name)
    }

    /// All users, by name.
    pub fn users(&self) -> impl Iterator<Item = &Arc<User>> {
        self.users.values()
    }

    /// What makes users that do not exist look as if they did; there is none before the first user.
    pub fn login_secret(&self) -> Option<&LoginSecret> {
        self.login_secret.as_ref()
    }

    /// Names given to types.
    pub fn types(&self) -> &sql::TypeNames {
        &self.types
    }

    /// Finds a query by its identity, whatever the case of its letters.
    pub fn expect_query(&self, id: &str) -> Result<&Arc<Query>> {
        self.queries
            .values()
            .find(|query| query.id.eq_ignore_ascii_case(id))
            .ok_or_else(|| {
                StatementError::new(
                    StatementErrorKind::UndefinedObject,
                    format!("query \"{id}\" does not exist"),
                )
                .with_hint("SHOW QUERIES lists the persistent queries.")
                .into()
            })
    }

    /// Queries in the order they were made.
    pub fn queries(&self) -> Vec<&Arc<Query>> {
        let mut queries: Vec<_> = self.queries.values().collect();
        queries.sort_by_key(|query| query.sequence);
        queries
    }

    /// Queries that read a relation.
    pub fn readers(&self, relation: RelationId) -> Vec<&Arc<Query>> {
        self.queries()
            .into_iter()
            .filter(|query| query.inputs().any(|input| input == relation))
            .collect()
    }

    /// Queries that write a relation.
    pub fn writers(&self, relation: RelationId) -> Vec<&Arc<Query>> {
        self.queries()
            .into_iter()
            .filter(|query| query.sink == relation)
            .collect()
    }

    /// What changes when a stream that a query makes becomes one that others write as well.
    pub fn sharing(&self, stream: RelationId) -> Vec<Change> {
        let mut changes = Vec::new();
        if let Some(relation) = self.relation(stream) {
            let mut shared = Relation::clone(relation);
            shared.written_by = None;
            shared.terminated = false;
            shared.read_only = false;
            changes.push(Change::PutRelation(Box::new(shared)));
        }
        for query in self.writers(stream) {
            let mut inserts = Query::clone(query);
            inserts.sink_kind = SinkKind::Insert;
            changes.push(Change::PutQuery(Box::new(inserts)));
        }
        changes
    }

    /// Whether `from`'s rows, by way of queries, come to `to`.
    pub fn flows_into(&self, from: RelationId, to: RelationId) -> bool {
        let mut reached = vec![from];
        let mut next = 0;
        while let Some(relation) = reached.get(next).copied() {
            if relation == to {
                return true;
            }
            for query in self.readers(relation) {
                if !reached.contains(&query.sink) {
                    reached.push(query.sink);
                }
            }
            next += 1;
        }
        false
    }
}

/// The name that was probably meant.
pub fn closest<'a>(name: &str, names: impl Iterator<Item = &'a String>) -> Option<&'a str> {
    names
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate.as_str())
}

/// Writes changes as the body of a catalog record.
pub fn encode(changes: &[Change]) -> Result<bytes::Bytes> {
    serde_json::to_vec(changes)
        .map(Into::into)
        .map_err(|error| Error::Internal(format!("cannot encode a catalog record: {error}")))
}

/// Reads the body of a catalog record.
pub fn decode(body: &[u8]) -> Result<Vec<Change>> {
    serde_json::from_slice(body)
        .map_err(|error| Error::Corruption(format!("a catalog record cannot be read: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(id: RelationId, name: &str) -> Change {
        Change::PutRelation(Box::new(Relation {
            id,
            name: name.into(),
            kind: RelationKind::Stream,
            columns: Arc::new(Schema::new(vec![Field::new("x", DataType::Int64, true)])),
            key: vec![],
            topic: Some(id),
            topic_name: name.into(),
            partitions: 1,
            timestamp: None,
            written_by: None,
            terminated: false,
            read_only: false,
            definition: format!("CREATE STREAM {name} (x BIGINT)"),
            dialect: "postgres".into(),
            format: RecordFormat::default(),
            over_records: false,
            records_of: None,
            has_marks: false,
            keeps_places: false,
        }))
    }

    #[test]
    fn records_survive_encoding_and_names_may_be_used_again() {
        let changes = vec![
            stream(1, "a"),
            Change::DropRelation(1),
            stream(2, "a"),
            stream(3, "flights"),
        ];
        let mut catalog = Catalog::default();
        catalog.apply(decode(&encode(&changes).unwrap()).unwrap());
        assert_eq!(catalog.relation_by_name("a").unwrap().id, 2);
        assert_eq!(catalog.next_number(), 4);
        let error = catalog.expect_relation("fligths").unwrap_err();
        let Error::Statement(error) = error else {
            panic!("{error}")
        };
        assert_eq!(error.hint.as_deref(), Some("did you mean \"flights\"?"));
    }
}
