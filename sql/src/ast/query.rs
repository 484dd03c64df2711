//! Queries: sqlparser's, and around them what a query over streams may say.

use super::Expr;

/// A query.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// The query without the clauses below. Where one of `window`, `withins`, `partition_by` is given, its body is a
    /// single `SELECT` with a `FROM`, and they belong to that `SELECT`.
    pub body: Box<sqlparser::ast::Query>,
    /// `WINDOW TUMBLING (…)` and its like.
    pub window: Option<WindowClause>,
    /// `WITHIN …` of joins, in the order of the joins.
    pub withins: Vec<Within>,
    /// `PARTITION BY …` of the result; empty if it was not given.
    pub partition_by: Vec<Expr>,
    /// `EMIT …`.
    pub emit: Option<Emit>,
}

impl Query {
    /// A query without streaming clauses.
    pub fn plain(body: sqlparser::ast::Query) -> Self {
        Query {
            body: Box::new(body),
            window: None,
            withins: Vec::new(),
            partition_by: Vec::new(),
            emit: None,
        }
    }
}

/// What a push query sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Emit {
    /// `EMIT CHANGES`: every change.
    Changes,
    /// `EMIT FINAL`: each window's result once, when the window has closed.
    Final,
}

/// `WINDOW TUMBLING | HOPPING | SESSION (…)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowClause {
    /// The kind and its sizes.
    pub kind: WindowKind,
    /// `RETENTION`: how long closed windows are kept.
    pub retention: Option<Duration>,
    /// `GRACE PERIOD`: how late a row may be.
    pub grace: Option<Duration>,
}

/// The kind of window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowKind {
    /// Windows side by side.
    Tumbling {
        /// How long a window is.
        size: Duration,
    },
    /// Windows that overlap.
    Hopping {
        /// How long a window is.
        size: Duration,
        /// From the start of one to the start of the next.
        advance: Duration,
    },
    /// Windows that last as long as rows keep coming.
    Session {
        /// The silence that ends one.
        gap: Duration,
    },
}

/// `WITHIN n unit | (before, after) [GRACE PERIOD n unit]` of a join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Within {
    /// Which item of `FROM`.
    pub from_item: usize,
    /// Which join of that item.
    pub join: usize,
    /// How much earlier than the left row the right row may be.
    pub before: Duration,
    /// How much later.
    pub after: Duration,
    /// How late a row may be.
    pub grace: Option<Duration>,
}

/// `n unit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Duration {
    /// How many.
    pub amount: u64,
    /// Of what.
    pub unit: TimeUnit,
}

/// A unit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimeUnit {
    /// `MICROSECOND[S]`.
    Microsecond,
    /// `MILLISECOND[S]`.
    Millisecond,
    /// `SECOND[S]`.
    Second,
    /// `MINUTE[S]`.
    Minute,
    /// `HOUR[S]`.
    Hour,
    /// `DAY[S]`: 24 hours.
    Day,
    /// `WEEK[S]`: seven days.
    Week,
}

impl TimeUnit {
    /// Its length.
    pub fn micros(self) -> u64 {
        match self {
            TimeUnit::Microsecond => 1,
            TimeUnit::Millisecond => 1_000,
            TimeUnit::Second => 1_000_000,
            TimeUnit::Minute => 60_000_000,
            TimeUnit::Hour => 3_600_000_000,
            TimeUnit::Day => 86_400_000_000,
            TimeUnit::Week => 604_800_000_000,
        }
    }
}

impl Duration {
    /// The whole length in microseconds. The parser refuses durations for which this does not fit.
    pub fn micros(self) -> u64 {
        self.amount.saturating_mul(self.unit.micros())
    }
}
