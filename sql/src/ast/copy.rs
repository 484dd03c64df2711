//! `COPY`.

use super::{Ident, ObjectName, Print, Query};

/// `COPY relation [(columns)] FROM STDIN`, `COPY relation [(columns)] | (query) | (PRINT …) TO STDOUT`.
#[derive(Debug, Clone, PartialEq)]
pub enum Copy {
    /// `FROM STDIN`.
    From {
        /// The relation rows go into.
        relation: ObjectName,
        /// The columns; empty means all, in order.
        columns: Vec<Ident>,
        /// How the data is written.
        options: CopyOptions,
    },
    /// `TO STDOUT`.
    To {
        /// Where rows come from.
        source: CopySource,
        /// How the data is written.
        options: CopyOptions,
    },
}

/// What `COPY … TO` reads.
#[derive(Debug, Clone, PartialEq)]
pub enum CopySource {
    /// A relation.
    Relation {
        /// Its name.
        name: ObjectName,
        /// The columns; empty means all, in order.
        columns: Vec<Ident>,
    },
    /// A query, which may end in `EMIT CHANGES`.
    Query(Box<Query>),
    /// The records of a topic.
    Print(Print),
}

/// How the data is written. What was not given is `None` and has the format's own default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CopyOptions {
    /// `FORMAT`.
    pub format: CopyFormat,
    /// `HEADER`.
    pub header: CopyHeader,
    /// `DELIMITER`: one byte.
    pub delimiter: Option<u8>,
    /// `NULL`: what stands for NULL.
    pub null: Option<String>,
    /// `QUOTE`: one byte, CSV only.
    pub quote: Option<u8>,
    /// `ESCAPE`: one byte, CSV only.
    pub escape: Option<u8>,
}

/// The format of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CopyFormat {
    /// PostgreSQL's text format.
    #[default]
    Text,
    /// Comma-separated values.
    Csv,
    /// One JSON object per line.
    Json,
}

/// Whether the first line names the columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CopyHeader {
    /// There is no such line.
    #[default]
    Absent,
    /// There is one; on the way in it is skipped.
    Present,
    /// There is one, and on the way in it must name the columns expected.
    Match,
}
