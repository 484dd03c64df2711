//! Topics, seen from SQL, and the names that a session or the catalog gives to texts and types.

use super::{DataType, Duration, Options};

/// `PRINT topic [FROM BEGINNING] [INTERVAL | SAMPLE n] [LIMIT n]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Print {
    /// The topic's name; not folded.
    pub topic: String,
    /// `FROM BEGINNING`: what is there already, too.
    pub from_beginning: bool,
    /// `INTERVAL n`, `SAMPLE n`: every n-th record; 1 is each. Never 0.
    pub interval: u64,
    /// `LIMIT n`: ends after so many.
    pub limit: Option<u64>,
}

/// `ASSERT [NOT EXISTS] TOPIC name [WITH (…)] [TIMEOUT n unit]`.
#[derive(Debug, Clone, PartialEq)]
pub struct AssertTopic {
    /// The topic's name; not folded.
    pub topic: String,
    /// Whether it has to be there; `NOT EXISTS` is the contrary.
    pub exists: bool,
    /// `WITH (partitions = n, replicas = n)`.
    pub options: Options,
    /// `TIMEOUT`: how long to wait for it.
    pub timeout: Option<Duration>,
}

/// `CREATE TYPE [IF NOT EXISTS] name AS type`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateType {
    /// `IF NOT EXISTS`.
    pub if_not_exists: bool,
    /// Its name, in lower case: names of types do not tell capitals from small letters.
    pub name: String,
    /// What it stands for.
    pub data_type: DataType,
}
