//! sqllogictest files over a real socket: `tests/slt/*.slt`, each against a server of its own.
//!
//! Errors are expected by SQLSTATE (`statement error (42P01)`) or by a pattern of their message. NULL is written `NULL`,
//! an empty string `(empty)`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};
use tokio_postgres::SimpleQueryMessage;

use crate::{Db, Server};

/// One connection of a file.
struct Connection(Db);

/// An error as the files match it.
#[derive(Debug)]
struct SltError(tokio_postgres::Error);

impl std::fmt::Display for SltError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.as_db_error() {
            Some(server) => {
                write!(formatter, "{}: {}", server.code().code(), server.message())?;
                if let Some(detail) = server.detail() {
                    write!(formatter, "; {detail}")?;
                }
                match server.hint() {
                    Some(hint) => write!(formatter, " (hint: {hint})"),
                    None => Ok(()),
                }
            }
            None => write!(formatter, "{:?}", self.0),
        }
    }
}

impl std::error::Error for SltError {}

#[async_trait::async_trait]
impl AsyncDB for Connection {
    type Error = SltError;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, SltError> {
        let mut rows = Vec::new();
        let (mut columns, mut count) = (None, 0);
        for message in self.0.try_run(sql).await.map_err(SltError)? {
            match message {
                SimpleQueryMessage::RowDescription(names) => columns = Some(names.len()),
                SimpleQueryMessage::Row(row) => {
                    rows.push((0..row.len()).map(|column| cell(row.get(column))).collect());
                }
                SimpleQueryMessage::CommandComplete(done) => count = done,
                _ => {}
            }
        }
        Ok(match columns {
            Some(columns) => DBOutput::Rows {
                types: vec![DefaultColumnType::Text; columns],
                rows,
            },
            None => DBOutput::StatementComplete(count),
        })
    }

    async fn shutdown(&mut self) {}

    fn error_sql_state(error: &SltError) -> Option<String> {
        error.0.code().map(|code| code.code().to_owned())
    }
}

fn cell(text: Option<&str>) -> String {
    match text {
        None => "NULL".to_owned(),
        Some("") => "(empty)".to_owned(),
        Some(text) => text.to_owned(),
    }
}

/// The directory of the files.
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("slt")
}

/// Runs one file against a fresh server.
pub async fn run(name: &str) {
    let server = Server::start().await;
    let path = directory().join(format!("{name}.slt"));
    let mut runner = runner(server.address());
    if std::env::var_os("MILLPOND_SLT_UPDATE").is_some() {
        let strict = sqllogictest::strict_column_validator;
        let update = runner.update_test_file(
            &path,
            " ",
            sqllogictest::default_validator,
            sqllogictest::default_normalizer,
            strict,
        );
        update.await.expect("the file can be rewritten");
    } else if let Err(error) = runner.run_file_async(&path).await {
        panic!("{}\n{}", error.display(false), server.log());
    }
}

fn runner(
    address: SocketAddr,
) -> Runner<Connection, impl sqllogictest::MakeConnection<Conn = Connection>> {
    let mut runner =
        Runner::new(
            move || async move { Db::connect(address).await.map(Connection).map_err(SltError) },
        );
    runner.with_column_validator(|_, _| true);
    runner
}
