//! Changing the contents of relations.

use super::{Expr, Ident, ObjectName, Options, Query};

/// `INSERT INTO relation [(columns)] [WITH (…)] VALUES … | query | DEFAULT VALUES`.
#[derive(Debug, Clone, PartialEq)]
pub struct Insert {
    /// The relation.
    pub relation: ObjectName,
    /// The columns; empty means all, in order.
    pub columns: Vec<Ident>,
    /// `WITH (query_id = '…')`.
    pub options: Options,
    /// The rows.
    pub source: InsertSource,
}

/// The rows of an [`Insert`].
#[derive(Debug, Clone, PartialEq)]
pub enum InsertSource {
    /// `VALUES (…), …`. `DEFAULT` in a row has become NULL: columns have no other default. Rows may differ in length.
    Values(Vec<Vec<Expr>>),
    /// Any other query.
    Query(Box<Query>),
    /// `DEFAULT VALUES`: one row of NULLs.
    DefaultValues,
}

/// `UPDATE relation [AS alias] SET column = value, … [WHERE condition]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// The relation.
    pub relation: ObjectName,
    /// Another name for it inside the statement.
    pub alias: Option<Ident>,
    /// What is set.
    pub assignments: Vec<Assignment>,
    /// `WHERE`; without it, every row.
    pub selection: Option<Expr>,
}

/// `column = value`. A value `DEFAULT` has become NULL.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    /// The column.
    pub column: Ident,
    /// Its new value, which may name the row's old values.
    pub value: Expr,
}

/// `DELETE FROM relation [AS alias] [WHERE condition]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Delete {
    /// The relation.
    pub relation: ObjectName,
    /// Another name for it inside the statement.
    pub alias: Option<Ident>,
    /// `WHERE`; without it, every row.
    pub selection: Option<Expr>,
}

/// `TRUNCATE [TABLE] relations`.
#[derive(Debug, Clone, PartialEq)]
pub struct Truncate {
    /// The relations.
    pub relations: Vec<ObjectName>,
    /// `CASCADE`; otherwise `RESTRICT`.
    pub cascade: bool,
}
