//! Looking at what there is.

use super::{ObjectName, Options, Spanned, Statement};

/// `SHOW | LIST [ALL] what [EXTENDED]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct List {
    /// What is listed.
    pub target: ListTarget,
    /// `EXTENDED`.
    pub extended: bool,
    /// `ALL`: internal ones too.
    pub all: bool,
}

/// What can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ListTarget {
    /// `STREAMS`.
    Streams,
    /// `TABLES`.
    Tables,
    /// `VIEWS`, `MATERIALIZED VIEWS`.
    Views,
    /// `QUERIES`.
    Queries,
    /// `TOPICS`.
    Topics,
    /// `FUNCTIONS`.
    Functions,
    /// `PROPERTIES`.
    Properties,
    /// `USERS`, `ROLES`.
    Users,
    /// `TYPES`: names given to types.
    Types,
    /// `VARIABLES`: names given to texts.
    Variables,
    /// `CONSUMER GROUPS`.
    ConsumerGroups,
}

/// `DESCRIBE [EXTENDED] name [EXTENDED]`, `DESCRIBE FUNCTION name`, `DESCRIBE CONSUMER GROUP id`.
#[derive(Debug, Clone, PartialEq)]
pub enum Describe {
    /// A relation.
    Relation {
        /// Its name.
        name: ObjectName,
        /// `EXTENDED`.
        extended: bool,
    },
    /// A function, by its lower-case name.
    Function(String),
    /// A consumer group, by its identity; not folded.
    ConsumerGroup(String),
}

/// `EXPLAIN [ANALYZE] [VERBOSE] | EXPLAIN (options)`, then a statement or the identity of a running query.
#[derive(Debug, Clone, PartialEq)]
pub struct Explain {
    /// `ANALYZE`: run it and measure.
    pub analyze: bool,
    /// `VERBOSE`.
    pub verbose: bool,
    /// The other options of the parenthesised form, such as `format`.
    pub options: Options,
    /// What is explained.
    pub target: ExplainTarget,
}

/// What an [`Explain`] explains.
#[derive(Debug, Clone, PartialEq)]
pub enum ExplainTarget {
    /// A statement.
    Statement(Box<Spanned<Statement>>),
    /// A running query.
    RunningQuery(String),
}
