//! The syntax tree.
//!
//! Statements and streaming clauses are ours; expressions and the plain part of queries are sqlparser's, so that
//! DataFusion can plan them as they are.
//!
//! Invariants:
//! - Every [`Ident`] is folded already (to lower case, in the ksqlDB dialect to upper case) and carries
//!   `quote_style = Some('"')`: nobody folds it again. Function names are the exception: lower case, unquoted.
//! - The span of an `Ident`, or of anything else inside sqlparser's tree, has line 1 and as its column the character
//!   position in the text given to [`crate::parse`], from 1. See [`position`].
//! - Equality ignores where things stood in the text.

mod copy;
mod data_type;
mod ddl;
mod dml;
mod inspect;
mod options;
mod query;
mod session;
mod span;
mod statement;
mod topic;
mod user;

pub use copy::{Copy, CopyFormat, CopyHeader, CopyOptions, CopySource};
pub use data_type::{DataType, StructField};
pub use ddl::{
    ColumnDef, ColumnKind, CreateQuery, CreateSource, DerivedKind, DropKind, DropRelations,
    RelationKind,
};
pub use dml::{Assignment, Delete, Insert, InsertSource, Truncate, Update};
pub use inspect::{Describe, Explain, ExplainTarget, List, ListTarget};
pub use options::{OptionValue, Options, WithOption};
pub use query::{Duration, Emit, Query, TimeUnit, WindowClause, WindowKind, Within};
pub use session::{
    AccessMode, CloseTarget, DeclareCursor, Discard, Execute, Fetch, FetchCount, IsolationLevel,
    Prepare, Set, SetScope, SetValue, TransactionModes, VariableTarget,
};
pub use span::{Span, Spanned, position};
pub use statement::{QueryTarget, Statement};
pub use topic::{AssertTopic, CreateType, Print};
pub use user::{AlterUser, CreateUser, DropUsers, Secret, UserName, UserOptions};

pub use sqlparser::ast::{Expr, Ident, ObjectName};
