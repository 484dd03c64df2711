//! The catalog as the planner sees it.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use datafusion::logical_expr::TableSource;

use crate::types::timestamptz;

/// A stream or table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelationDef {
    /// The catalog's number of the relation.
    pub id: u32,
    pub name: String,
    pub kind: RelationKind,
    /// The columns the user declared, without pseudo-columns.
    pub columns: SchemaRef,
    /// Positions of the primary key in `columns`; empty if there is none.
    pub key: Vec<usize>,
    /// Positions in `columns` of what is in the key of its records: the primary key of a table, the
    /// `KEY` columns of a stream.
    pub record_key: Vec<usize>,
    /// Positions in `columns` of what comes from the headers of its records.
    pub headers: Vec<usize>,
    pub partitions: u32,
    /// Whether it is a table without a primary key, whose rows have a hidden number instead.
    pub hidden_row_id: bool,
    /// Whether its rows know where their records lie: in a stream, and in a table that is kept so.
    pub has_places: bool,
    /// Whether the keys of its records are of windows.
    pub windowed: bool,
    /// Whether pull queries of ksqlDB's dialect may read it: not a table that was only declared there.
    pub queryable: bool,
}

/// The two kinds of relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RelationKind {
    Stream,
    Table,
}

impl RelationKind {
    /// `stream` or `table`.
    pub fn as_str(self) -> &'static str {
        match self {
            RelationKind::Stream => "stream",
            RelationKind::Table => "table",
        }
    }
}

/// A name for a query: where it is used, the query is put in its place.
#[derive(Debug, Clone)]
pub struct ViewDef {
    pub name: String,
    pub query: sql::Query,
    /// New names for the first columns of the query.
    pub columns: Vec<String>,
}

/// What a scan is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ScanKind {
    /// Reading.
    Read,
    /// Finding the rows that an UPDATE or DELETE is about.
    Modify,
}

/// The relations that a statement may name, as one snapshot of the catalog.
pub trait Relations: Send + Sync {
    /// The relation of this name; the schema is as written, `None` if there was none.
    fn relation(&self, schema: Option<&str>, name: &str) -> Option<Arc<RelationDef>>;

    /// What `TableScan` nodes over the relation hold. Its schema must be
    /// [`scan_schema`]`(def, kind)`.
    fn source(&self, def: &RelationDef, kind: ScanKind) -> Arc<dyn TableSource>;

    /// A table of `pg_catalog` or `information_schema`.
    fn system_source(&self, schema: Option<&str>, name: &str) -> Option<Arc<dyn TableSource>>;

    /// A view that is not materialised.
    fn view(&self, _schema: Option<&str>, _name: &str) -> Option<Arc<ViewDef>> {
        None
    }

    /// Names of all relations, for hints.
    fn names(&self) -> Vec<String>;
}

/// Event time of a row.
pub const ROWTIME: &str = "rowtime";
/// Number of the partition that a row came from.
pub const ROWPARTITION: &str = "rowpartition";
/// Offset of a row in its partition.
pub const ROWOFFSET: &str = "rowoffset";
/// The hidden number of a row in a table without a primary key; in [`ScanKind::Modify`] only.
pub const ROW_ID: &str = "_rowid";

/// Names of the pseudo-columns, in the order in which a scan has them.
pub const PSEUDO_COLUMNS: [&str; 3] = [ROWTIME, ROWPARTITION, ROWOFFSET];

/// The pseudo-columns that a relation has beside its own columns. A column of the same name hides
/// a pseudo-column.
pub fn pseudo_columns(def: &RelationDef) -> Vec<Field> {
    let mut fields = vec![Field::new(ROWTIME, timestamptz(), false)];
    if def.has_places {
        fields.push(Field::new(ROWPARTITION, DataType::Int32, false));
        fields.push(Field::new(ROWOFFSET, DataType::Int64, false));
    }
    fields.retain(|field| def.columns.column_with_name(field.name()).is_none());
    fields
}

/// The schema of a scan: the user's columns, then the pseudo-columns, then, to modify a table
/// without a primary key, [`ROW_ID`].
pub fn scan_schema(def: &RelationDef, kind: ScanKind) -> SchemaRef {
    let mut fields: Vec<_> = def.columns.fields().iter().cloned().collect();
    fields.extend(pseudo_columns(def).into_iter().map(Arc::new));
    if kind == ScanKind::Modify && def.hidden_row_id {
        fields.push(Arc::new(Field::new(ROW_ID, DataType::Int64, false)));
    }
    Arc::new(Schema::new(fields))
}
