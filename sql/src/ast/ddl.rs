//! Creating and dropping relations.

use super::{DataType, Ident, ObjectName, Options, Query};

/// The two kinds of relation: append-only, and keyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RelationKind {
    /// `STREAM`.
    Stream,
    /// `TABLE`.
    Table,
}

/// `CREATE [OR REPLACE] [SOURCE] STREAM | TABLE [IF NOT EXISTS] name (columns) [WITH (…)]`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateSource {
    /// Stream or table.
    pub kind: RelationKind,
    /// `OR REPLACE`.
    pub or_replace: bool,
    /// `SOURCE`: read-only, nobody inserts into it.
    pub read_only: bool,
    /// `IF NOT EXISTS`.
    pub if_not_exists: bool,
    /// Its name.
    pub name: ObjectName,
    /// Its columns; empty when the format is to tell them.
    pub columns: Vec<ColumnDef>,
    /// The columns of the primary key, in its order, however the key was declared. Always empty for a stream.
    pub primary_key: Vec<Ident>,
    /// `WITH (…)`.
    pub options: Options,
}

/// A column of a [`CreateSource`].
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnDef {
    /// Its name.
    pub name: Ident,
    /// Its type.
    pub data_type: DataType,
    /// Where its value comes from.
    pub kind: ColumnKind,
    /// `NOT NULL` (columns of a primary key are not marked).
    pub not_null: bool,
}

/// Which part of a record a column is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnKind {
    /// Part of the value, or of a table's primary key.
    Plain,
    /// `KEY`: part of a stream's record key.
    Key,
    /// `HEADERS`: all headers.
    Headers,
    /// `HEADER('name')`: one header.
    Header(String),
}

/// `CREATE [OR REPLACE] STREAM | TABLE | [MATERIALIZED] VIEW [IF NOT EXISTS] name [(columns)] [WITH (…)] AS query`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateQuery {
    /// What is made.
    pub kind: DerivedKind,
    /// `OR REPLACE`.
    pub or_replace: bool,
    /// `IF NOT EXISTS`.
    pub if_not_exists: bool,
    /// Its name.
    pub name: ObjectName,
    /// New names for the first columns of the query.
    pub columns: Vec<Ident>,
    /// `WITH (…)`.
    pub options: Options,
    /// The defining query.
    pub query: Box<Query>,
}

/// What a `CREATE … AS` makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DerivedKind {
    /// `STREAM`.
    Stream,
    /// `TABLE`.
    Table,
    /// `MATERIALIZED VIEW`: another word for a table.
    MaterializedView,
    /// `VIEW`: a name for a query, nothing is stored.
    View,
}

/// `DROP STREAM | TABLE | [MATERIALIZED] VIEW [IF EXISTS] names [CASCADE | RESTRICT] [DELETE TOPIC]`.
#[derive(Debug, Clone, PartialEq)]
pub struct DropRelations {
    /// What kind the names must be of.
    pub kind: DropKind,
    /// `IF EXISTS`.
    pub if_exists: bool,
    /// The names.
    pub names: Vec<ObjectName>,
    /// `CASCADE`; otherwise `RESTRICT`.
    pub cascade: bool,
    /// `DELETE TOPIC`.
    pub delete_topic: bool,
}

/// The word after `DROP`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DropKind {
    /// `STREAM`.
    Stream,
    /// `TABLE`.
    Table,
    /// `VIEW`.
    View,
    /// `MATERIALIZED VIEW`.
    MaterializedView,
}
