//! Settings, transactions, cursors and prepared statements.

use super::{DataType, Expr, Ident, OptionValue, Query, Spanned, Statement};

/// `SET [SESSION | LOCAL] name = | TO value, …`; also `SET TIME ZONE …` (as `timezone`), `SET NAMES …` (as
/// `client_encoding`) and ksqlDB's `SET 'name' = 'value'`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// How long it holds.
    pub scope: SetScope,
    /// The setting, in lower case; may contain periods.
    pub name: String,
    /// What it is set to.
    pub value: SetValue,
}

/// How long a [`Set`] holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SetScope {
    /// For the session; also the default.
    #[default]
    Session,
    /// `LOCAL`: until the transaction ends.
    Local,
}

/// What a setting is set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetValue {
    /// `DEFAULT`.
    Default,
    /// At least one value.
    Values(Vec<OptionValue>),
}

/// One setting, or all of them: `SHOW`, `RESET`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VariableTarget {
    /// A setting, by its lower-case name.
    Name(String),
    /// `ALL`.
    All,
}

/// `DISCARD what`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Discard {
    /// `ALL`.
    All,
    /// `PLANS`.
    Plans,
    /// `SEQUENCES`.
    Sequences,
    /// `TEMP`, `TEMPORARY`.
    Temp,
}

/// What `BEGIN`, `START TRANSACTION` and `SET TRANSACTION` may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TransactionModes {
    /// `ISOLATION LEVEL …`.
    pub isolation: Option<IsolationLevel>,
    /// `READ ONLY`, `READ WRITE`.
    pub access: Option<AccessMode>,
    /// `[NOT] DEFERRABLE`.
    pub deferrable: Option<bool>,
}

/// An isolation level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IsolationLevel {
    /// `READ UNCOMMITTED`.
    ReadUncommitted,
    /// `READ COMMITTED`.
    ReadCommitted,
    /// `REPEATABLE READ`.
    RepeatableRead,
    /// `SERIALIZABLE`.
    Serializable,
}

/// Whether a transaction may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccessMode {
    /// `READ ONLY`.
    ReadOnly,
    /// `READ WRITE`.
    ReadWrite,
}

/// `DECLARE name [BINARY] [ASENSITIVE | INSENSITIVE] [NO SCROLL] CURSOR [WITH | WITHOUT HOLD] FOR query`.
#[derive(Debug, Clone, PartialEq)]
pub struct DeclareCursor {
    /// Its name.
    pub name: Ident,
    /// `BINARY`: results in the binary format.
    pub binary: bool,
    /// `WITH HOLD`: outlives the transaction.
    pub hold: bool,
    /// What it reads.
    pub query: Box<Query>,
}

/// `FETCH [NEXT | n | ALL | FORWARD [n | ALL]] [FROM | IN] cursor`.
#[derive(Debug, Clone, PartialEq)]
pub struct Fetch {
    /// How many rows.
    pub count: FetchCount,
    /// From which cursor.
    pub cursor: Ident,
}

/// How many rows to fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FetchCount {
    /// At most so many.
    Rows(u64),
    /// All that are left.
    All,
}

/// `CLOSE cursor | ALL`.
#[derive(Debug, Clone, PartialEq)]
pub enum CloseTarget {
    /// One cursor.
    Cursor(Ident),
    /// `ALL`.
    All,
}

/// `PREPARE name [(types)] AS statement`.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepare {
    /// Its name.
    pub name: Ident,
    /// The types of the first parameters.
    pub types: Vec<DataType>,
    /// What is prepared.
    pub statement: Box<Spanned<Statement>>,
}

/// `EXECUTE name [(values)]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Execute {
    /// The prepared statement.
    pub name: Ident,
    /// Its parameters.
    pub parameters: Vec<Expr>,
}
