//! A statement.

use super::{
    AlterUser, AssertTopic, CloseTarget, Copy, CreateQuery, CreateSource, CreateType, CreateUser,
    DeclareCursor, Delete, Describe, Discard, DropRelations, DropUsers, Execute, Explain, Fetch,
    Ident, Insert, List, Prepare, Print, Query, Set, TransactionModes, Truncate, Update,
    VariableTarget,
};

/// Everything that can be asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    /// `CREATE STREAM | TABLE … (columns)`.
    CreateSource(CreateSource),
    /// `CREATE STREAM | TABLE | [MATERIALIZED] VIEW … AS query`.
    CreateQuery(CreateQuery),
    /// `DROP STREAM | TABLE | [MATERIALIZED] VIEW`.
    Drop(DropRelations),
    /// `CREATE TYPE`.
    CreateType(CreateType),
    /// `DROP TYPE`.
    DropType {
        /// Its name, in lower case.
        name: String,
        /// `IF EXISTS`.
        if_exists: bool,
    },

    /// `CREATE USER | ROLE`.
    CreateUser(CreateUser),
    /// `ALTER USER | ROLE`.
    AlterUser(AlterUser),
    /// `DROP USER | ROLE`.
    DropUsers(DropUsers),

    /// `INSERT`.
    Insert(Insert),
    /// `UPDATE`.
    Update(Update),
    /// `DELETE`.
    Delete(Delete),
    /// `TRUNCATE`.
    Truncate(Truncate),
    /// `COPY`.
    Copy(Copy),

    /// `SELECT`, `VALUES`, `TABLE name`, `WITH …`, `(query)`.
    Query(Box<Query>),

    /// `TERMINATE`: ends a persistent query for good.
    Terminate(QueryTarget),
    /// `PAUSE`.
    Pause(QueryTarget),
    /// `RESUME`.
    Resume(QueryTarget),
    /// `FLUSH`: waits until everything appended before is visible.
    Flush,

    /// `PRINT`: the records of a topic.
    Print(Print),
    /// `ASSERT TOPIC`.
    AssertTopic(AssertTopic),

    /// `SHOW | LIST STREAMS` and so on.
    List(List),
    /// `DESCRIBE`.
    Describe(Describe),
    /// `EXPLAIN`.
    Explain(Explain),

    /// `DEFINE name = 'value'`: a text for `${name}` in later statements.
    Define {
        /// In lower case.
        name: String,
        /// What is put in its place.
        value: String,
    },
    /// `UNDEFINE name`, in lower case.
    Undefine(String),

    /// `SET`.
    Set(Set),
    /// `RESET`; also ksqlDB's `UNSET 'name'`.
    Reset(VariableTarget),
    /// `SHOW name`, `SHOW ALL`.
    ShowVariable(VariableTarget),
    /// `DISCARD`.
    Discard(Discard),

    /// `BEGIN`, `START TRANSACTION`.
    Begin(TransactionModes),
    /// `COMMIT`, `END`.
    Commit {
        /// `AND CHAIN`: begin the next one at once.
        chain: bool,
    },
    /// `ROLLBACK`, `ABORT`.
    Rollback {
        /// `AND CHAIN`: begin the next one at once.
        chain: bool,
    },
    /// `SET TRANSACTION …`.
    SetTransaction(TransactionModes),
    /// `SET SESSION CHARACTERISTICS AS TRANSACTION …`.
    SetTransactionDefaults(TransactionModes),

    /// `DECLARE … CURSOR`.
    Declare(DeclareCursor),
    /// `FETCH`.
    Fetch(Fetch),
    /// `CLOSE`.
    Close(CloseTarget),

    /// `PREPARE`.
    Prepare(Prepare),
    /// `EXECUTE`.
    Execute(Execute),
    /// `DEALLOCATE [PREPARE] name | ALL`; `None` is `ALL`.
    Deallocate(Option<Ident>),

    /// A statement we know by its first words but do not offer. Answer with SQLSTATE 0A000.
    Unsupported {
        /// Its first words in capitals, such as `CREATE TYPE`: a fit for `{what} is not supported`.
        what: String,
    },
}

/// Which persistent queries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueryTarget {
    /// One, by its identity; not folded, to be compared without regard to case.
    Id(String),
    /// `ALL`.
    All,
}
