//! Statements.

use std::fmt::{Display, Formatter, Result};

use super::{List, Sql, Text, quoted};
use crate::ast::{
    AccessMode, AssertTopic, CloseTarget, ColumnDef, ColumnKind, Copy, CopyFormat, CopyHeader,
    CopyOptions, CopySource, CreateQuery, CreateSource, CreateType, DeclareCursor, Delete,
    DerivedKind, Describe, Discard, DropKind, DropRelations, Execute, Explain, ExplainTarget,
    Fetch, FetchCount, Ident, Insert, InsertSource, IsolationLevel, ListTarget, OptionValue,
    Options, Prepare, Print, QueryTarget, RelationKind, Set, SetScope, SetValue, Statement,
    TransactionModes, Truncate, Update, VariableTarget,
};

impl Display for Statement {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Statement::CreateSource(create) => create.fmt(f),
            Statement::CreateQuery(create) => create.fmt(f),
            Statement::Drop(drop) => drop.fmt(f),
            Statement::CreateUser(create) => create.fmt(f),
            Statement::AlterUser(alter) => alter.fmt(f),
            Statement::DropUsers(drop) => drop.fmt(f),
            Statement::CreateType(create) => create.fmt(f),
            Statement::DropType { name, if_exists } => {
                let if_exists = if *if_exists { "IF EXISTS " } else { "" };
                write!(f, "DROP TYPE {if_exists}{}", quoted(name, '"'))
            }
            Statement::Insert(insert) => insert.fmt(f),
            Statement::Update(update) => update.fmt(f),
            Statement::Delete(delete) => delete.fmt(f),
            Statement::Truncate(truncate) => truncate.fmt(f),
            Statement::Copy(copy) => copy.fmt(f),
            Statement::Query(query) => query.fmt(f),
            Statement::Terminate(target) => write!(f, "TERMINATE {target}"),
            Statement::Pause(target) => write!(f, "PAUSE {target}"),
            Statement::Resume(target) => write!(f, "RESUME {target}"),
            Statement::Flush => f.write_str("FLUSH"),
            Statement::Print(print) => print.fmt(f),
            Statement::AssertTopic(assert) => assert.fmt(f),
            Statement::Define { name, value } => {
                write!(f, "DEFINE {} = {}", quoted(name, '"'), Text(value))
            }
            Statement::Undefine(name) => write!(f, "UNDEFINE {}", quoted(name, '"')),
            Statement::List(list) => {
                let all = if list.all { "ALL " } else { "" };
                let target = match list.target {
                    ListTarget::Streams => "STREAMS",
                    ListTarget::Tables => "TABLES",
                    ListTarget::Views => "VIEWS",
                    ListTarget::Queries => "QUERIES",
                    ListTarget::Topics => "TOPICS",
                    ListTarget::Functions => "FUNCTIONS",
                    ListTarget::Properties => "PROPERTIES",
                    ListTarget::Users => "USERS",
                    ListTarget::Types => "TYPES",
                    ListTarget::Variables => "VARIABLES",
                    ListTarget::ConsumerGroups => "CONSUMER GROUPS",
                };
                let extended = if list.extended { " EXTENDED" } else { "" };
                write!(f, "SHOW {all}{target}{extended}")
            }
            Statement::Describe(Describe::Relation { name, extended }) => {
                write!(
                    f,
                    "DESCRIBE {}{}",
                    Sql(name),
                    if *extended { " EXTENDED" } else { "" }
                )
            }
            Statement::Describe(Describe::Function(name)) => {
                write!(f, "DESCRIBE FUNCTION {}", quoted(name, '"'))
            }
            Statement::Describe(Describe::ConsumerGroup(id)) => {
                write!(f, "DESCRIBE CONSUMER GROUP {}", Text(id))
            }
            Statement::Explain(explain) => explain.fmt(f),
            Statement::Set(set) => set.fmt(f),
            Statement::Reset(target) => write!(f, "RESET {target}"),
            Statement::ShowVariable(target) => write!(f, "SHOW {target}"),
            Statement::Discard(what) => f.write_str(match what {
                Discard::All => "DISCARD ALL",
                Discard::Plans => "DISCARD PLANS",
                Discard::Sequences => "DISCARD SEQUENCES",
                Discard::Temp => "DISCARD TEMP",
            }),
            Statement::Begin(modes) => write!(f, "BEGIN{modes}"),
            Statement::Commit { chain } => {
                write!(f, "COMMIT{}", if *chain { " AND CHAIN" } else { "" })
            }
            Statement::Rollback { chain } => {
                write!(f, "ROLLBACK{}", if *chain { " AND CHAIN" } else { "" })
            }
            Statement::SetTransaction(modes) => write!(f, "SET TRANSACTION{modes}"),
            Statement::SetTransactionDefaults(modes) => {
                write!(f, "SET SESSION CHARACTERISTICS AS TRANSACTION{modes}")
            }
            Statement::Declare(declare) => declare.fmt(f),
            Statement::Fetch(fetch) => fetch.fmt(f),
            Statement::Close(CloseTarget::Cursor(name)) => write!(f, "CLOSE {}", Sql(name)),
            Statement::Close(CloseTarget::All) => f.write_str("CLOSE ALL"),
            Statement::Prepare(prepare) => prepare.fmt(f),
            Statement::Execute(execute) => execute.fmt(f),
            Statement::Deallocate(Some(name)) => write!(f, "DEALLOCATE {}", Sql(name)),
            Statement::Deallocate(None) => f.write_str("DEALLOCATE ALL"),
            Statement::Unsupported { what } => f.write_str(what),
        }
    }
}

impl Display for RelationKind {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            RelationKind::Stream => "STREAM",
            RelationKind::Table => "TABLE",
        })
    }
}

impl Display for DerivedKind {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            DerivedKind::Stream => "STREAM",
            DerivedKind::Table => "TABLE",
            DerivedKind::View => "VIEW",
            DerivedKind::MaterializedView => "MATERIALIZED VIEW",
        })
    }
}

impl Display for DropKind {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            DropKind::Stream => "STREAM",
            DropKind::Table => "TABLE",
            DropKind::View => "VIEW",
            DropKind::MaterializedView => "MATERIALIZED VIEW",
        })
    }
}

fn create(or_replace: bool) -> &'static str {
    if or_replace {
        "CREATE OR REPLACE"
    } else {
        "CREATE"
    }
}

fn if_not_exists(given: bool) -> &'static str {
    if given { "IF NOT EXISTS " } else { "" }
}

impl Display for CreateSource {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let source = if self.read_only { " SOURCE" } else { "" };
        write!(f, "{}{source} {} ", create(self.or_replace), self.kind)?;
        write!(
            f,
            "{}{}",
            if_not_exists(self.if_not_exists),
            Sql(&self.name)
        )?;
        if !self.columns.is_empty() || !self.primary_key.is_empty() {
            f.write_str(" (")?;
            for (i, column) in self.columns.iter().enumerate() {
                write!(f, "{}{column}", if i == 0 { "" } else { ", " })?;
            }
            if !self.primary_key.is_empty() {
                let comma = if self.columns.is_empty() { "" } else { ", " };
                write!(f, "{comma}PRIMARY KEY ({})", List(&self.primary_key))?;
            }
            f.write_str(")")?;
        }
        self.options.fmt(f)
    }
}

impl Display for ColumnDef {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{} {}", Sql(&self.name), self.data_type)?;
        match &self.kind {
            ColumnKind::Plain => {}
            ColumnKind::Key => f.write_str(" KEY")?,
            ColumnKind::Headers => f.write_str(" HEADERS")?,
            ColumnKind::Header(name) => write!(f, " HEADER({})", Text(name))?,
        }
        if self.not_null {
            f.write_str(" NOT NULL")
        } else {
            Ok(())
        }
    }
}

impl Display for CreateQuery {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{} {} ", create(self.or_replace), self.kind)?;
        write!(
            f,
            "{}{}",
            if_not_exists(self.if_not_exists),
            Sql(&self.name)
        )?;
        columns(f, &self.columns)?;
        write!(f, "{} AS {}", self.options, self.query)
    }
}

/// ` (a, b)`, or nothing.
fn columns(f: &mut Formatter<'_>, columns: &[Ident]) -> Result {
    if columns.is_empty() {
        Ok(())
    } else {
        write!(f, " ({})", List(columns))
    }
}

/// ` WITH (…)`, or nothing.
impl Display for Options {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        if self.is_empty() {
            return Ok(());
        }
        for (i, option) in self.iter().enumerate() {
            f.write_str(if i == 0 { " WITH (" } else { ", " })?;
            write!(f, "{} = {}", Text(&option.name), option.value)?;
        }
        f.write_str(")")
    }
}

impl Display for OptionValue {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            OptionValue::Text(text) => Text(text).fmt(f),
            OptionValue::Number(text) | OptionValue::Word(text) => f.write_str(text),
        }
    }
}

impl Display for DropRelations {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let if_exists = if self.if_exists { "IF EXISTS " } else { "" };
        write!(f, "DROP {} {if_exists}{}", self.kind, List(&self.names))?;
        f.write_str(if self.cascade { " CASCADE" } else { "" })?;
        f.write_str(if self.delete_topic {
            " DELETE TOPIC"
        } else {
            ""
        })
    }
}

impl Display for CreateType {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(
            f,
            "CREATE TYPE {}{} AS {}",
            if_not_exists(self.if_not_exists),
            quoted(&self.name, '"'),
            self.data_type
        )
    }
}

impl Display for Print {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "PRINT {}", Text(&self.topic))?;
        if self.from_beginning {
            f.write_str(" FROM BEGINNING")?;
        }
        if self.interval != 1 {
            write!(f, " INTERVAL {}", self.interval)?;
        }
        match self.limit {
            Some(limit) => write!(f, " LIMIT {limit}"),
            None => Ok(()),
        }
    }
}

impl Display for AssertTopic {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let not_exists = if self.exists { "" } else { "NOT EXISTS " };
        write!(
            f,
            "ASSERT {not_exists}TOPIC {}{}",
            Text(&self.topic),
            self.options
        )?;
        match &self.timeout {
            Some(timeout) => write!(f, " TIMEOUT {timeout}"),
            None => Ok(()),
        }
    }
}

impl Display for Insert {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "INSERT INTO {}", Sql(&self.relation))?;
        columns(f, &self.columns)?;
        self.options.fmt(f)?;
        match &self.source {
            InsertSource::Values(rows) => {
                for (i, row) in rows.iter().enumerate() {
                    write!(
                        f,
                        "{} ({})",
                        if i == 0 { " VALUES" } else { "," },
                        List(row)
                    )?;
                }
                Ok(())
            }
            InsertSource::Query(query) => write!(f, " {query}"),
            InsertSource::DefaultValues => f.write_str(" DEFAULT VALUES"),
        }
    }
}

impl Display for Update {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "UPDATE {}", Sql(&self.relation))?;
        if let Some(alias) = &self.alias {
            write!(f, " AS {}", Sql(alias))?;
        }
        for (i, assignment) in self.assignments.iter().enumerate() {
            let before = if i == 0 { " SET" } else { "," };
            write!(
                f,
                "{before} {} = {}",
                Sql(&assignment.column),
                Sql(&assignment.value)
            )?;
        }
        match &self.selection {
            Some(selection) => write!(f, " WHERE {}", Sql(selection)),
            None => Ok(()),
        }
    }
}

impl Display for Delete {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "DELETE FROM {}", Sql(&self.relation))?;
        if let Some(alias) = &self.alias {
            write!(f, " AS {}", Sql(alias))?;
        }
        match &self.selection {
            Some(selection) => write!(f, " WHERE {}", Sql(selection)),
            None => Ok(()),
        }
    }
}

impl Display for Truncate {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(
            f,
            "TRUNCATE TABLE {}{}",
            List(&self.relations),
            if self.cascade { " CASCADE" } else { "" }
        )
    }
}

impl Display for Copy {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Copy::From {
                relation,
                columns: names,
                options,
            } => {
                write!(f, "COPY {}", Sql(relation))?;
                columns(f, names)?;
                write!(f, " FROM STDIN{options}")
            }
            Copy::To {
                source:
                    CopySource::Relation {
                        name,
                        columns: names,
                    },
                options,
            } => {
                write!(f, "COPY {}", Sql(name))?;
                columns(f, names)?;
                write!(f, " TO STDOUT{options}")
            }
            Copy::To {
                source: CopySource::Query(query),
                options,
            } => write!(f, "COPY ({query}) TO STDOUT{options}"),
            Copy::To {
                source: CopySource::Print(print),
                options,
            } => write!(f, "COPY ({print}) TO STDOUT{options}"),
        }
    }
}

/// ` WITH (…)`.
impl Display for CopyOptions {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self.format {
            CopyFormat::Text => " WITH (FORMAT text",
            CopyFormat::Csv => " WITH (FORMAT csv",
            CopyFormat::Json => " WITH (FORMAT json",
        })?;
        match self.header {
            CopyHeader::Absent => {}
            CopyHeader::Present => f.write_str(", HEADER true")?,
            CopyHeader::Match => f.write_str(", HEADER match")?,
        }
        if let Some(null) = &self.null {
            write!(f, ", NULL {}", Text(null))?;
        }
        for (name, byte) in [
            ("DELIMITER", self.delimiter),
            ("QUOTE", self.quote),
            ("ESCAPE", self.escape),
        ] {
            if let Some(byte) = byte {
                write!(f, ", {name} {}", Text(&char::from(byte).to_string()))?;
            }
        }
        f.write_str(")")
    }
}

impl Display for QueryTarget {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            QueryTarget::Id(id) => f.write_str(&quoted(id, '"')),
            QueryTarget::All => f.write_str("ALL"),
        }
    }
}

impl Display for Explain {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str("EXPLAIN ")?;
        if self.options.is_empty() {
            f.write_str(if self.analyze { "ANALYZE " } else { "" })?;
            f.write_str(if self.verbose { "VERBOSE " } else { "" })?;
        } else {
            write!(f, "(ANALYZE {}, VERBOSE {}", self.analyze, self.verbose)?;
            for option in &self.options {
                write!(f, ", {} {}", Text(&option.name), option.value)?;
            }
            f.write_str(") ")?;
        }
        match &self.target {
            ExplainTarget::Statement(statement) => statement.node.fmt(f),
            ExplainTarget::RunningQuery(id) => f.write_str(&quoted(id, '"')),
        }
    }
}

impl Display for Set {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self.scope {
            SetScope::Session => "SET ",
            SetScope::Local => "SET LOCAL ",
        })?;
        write!(f, "{} = ", Text(&self.name))?;
        match &self.value {
            SetValue::Default => f.write_str("DEFAULT"),
            SetValue::Values(values) => {
                for (i, value) in values.iter().enumerate() {
                    write!(f, "{}{value}", if i == 0 { "" } else { ", " })?;
                }
                Ok(())
            }
        }
    }
}

impl Display for VariableTarget {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            VariableTarget::Name(name) => Text(name).fmt(f),
            VariableTarget::All => f.write_str("ALL"),
        }
    }
}

/// Each mode with a space before it.
impl Display for TransactionModes {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let isolation = self.isolation.map(|level| match level {
            IsolationLevel::ReadUncommitted => "ISOLATION LEVEL READ UNCOMMITTED",
            IsolationLevel::ReadCommitted => "ISOLATION LEVEL READ COMMITTED",
            IsolationLevel::RepeatableRead => "ISOLATION LEVEL REPEATABLE READ",
            IsolationLevel::Serializable => "ISOLATION LEVEL SERIALIZABLE",
        });
        let access = self.access.map(|access| match access {
            AccessMode::ReadOnly => "READ ONLY",
            AccessMode::ReadWrite => "READ WRITE",
        });
        let deferrable = self
            .deferrable
            .map(|yes| if yes { "DEFERRABLE" } else { "NOT DEFERRABLE" });
        for (i, mode) in [isolation, access, deferrable]
            .into_iter()
            .flatten()
            .enumerate()
        {
            write!(f, "{} {mode}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl Display for DeclareCursor {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let binary = if self.binary { " BINARY" } else { "" };
        let hold = if self.hold { " WITH HOLD" } else { "" };
        write!(
            f,
            "DECLARE {}{binary} CURSOR{hold} FOR {}",
            Sql(&self.name),
            self.query
        )
    }
}

impl Display for Fetch {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.count {
            FetchCount::Rows(rows) => write!(f, "FETCH {rows} FROM {}", Sql(&self.cursor)),
            FetchCount::All => write!(f, "FETCH ALL FROM {}", Sql(&self.cursor)),
        }
    }
}

impl Display for Prepare {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "PREPARE {}", Sql(&self.name))?;
        for (i, data_type) in self.types.iter().enumerate() {
            write!(f, "{}{data_type}", if i == 0 { " (" } else { ", " })?;
        }
        f.write_str(if self.types.is_empty() { "" } else { ")" })?;
        write!(f, " AS {}", self.statement.node)
    }
}

impl Display for Execute {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "EXECUTE {}", Sql(&self.name))?;
        if self.parameters.is_empty() {
            Ok(())
        } else {
            write!(f, " ({})", List(&self.parameters))
        }
    }
}
