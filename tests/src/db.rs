//! A session over tokio-postgres with as little ceremony as a test wants.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use tokio_postgres::error::DbError;
use tokio_postgres::{AsyncMessage, Config, NoTls, SimpleQueryMessage, SimpleQueryStream};

/// A row as text; `None` is NULL.
pub type Row = Vec<Option<String>>;

/// A session.
pub struct Db {
    /// The driver's session, for what the methods here do not offer.
    pub client: tokio_postgres::Client,
    notices: Arc<Mutex<Vec<DbError>>>,
}

impl Db {
    /// Opens a session.
    pub async fn connect(address: SocketAddr) -> Result<Self, tokio_postgres::Error> {
        let mut config = Config::new();
        config
            .host(address.ip().to_string())
            .port(address.port())
            .user("tester")
            .dbname("millpond");
        config.connect_timeout(std::time::Duration::from_secs(20));
        let (client, mut connection) = config.connect(NoTls).await?;
        let notices = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&notices);
        tokio::spawn(async move {
            let mut messages =
                futures::stream::poll_fn(move |context| connection.poll_message(context));
            while let Some(Ok(message)) = messages.next().await {
                if let AsyncMessage::Notice(notice) = message {
                    kept.lock()
                        .expect("nobody panics while holding it")
                        .push(notice);
                }
            }
        });
        Ok(Self { client, notices })
    }

    /// Runs statements that must succeed.
    pub async fn run(&self, sql: &str) {
        if let Err(error) = self.client.simple_query(sql).await {
            panic!("{sql}\n{error:?}");
        }
    }

    /// Runs statements; the error is the caller's to judge.
    pub async fn try_run(
        &self,
        sql: &str,
    ) -> Result<Vec<SimpleQueryMessage>, tokio_postgres::Error> {
        self.client.simple_query(sql).await
    }

    /// The rows of a query that must succeed.
    pub async fn rows(&self, sql: &str) -> Vec<Row> {
        match self.try_rows(sql).await {
            Ok(rows) => rows,
            Err(error) => panic!("{sql}\n{error:?}"),
        }
    }

    /// The rows of a query.
    pub async fn try_rows(&self, sql: &str) -> Result<Vec<Row>, tokio_postgres::Error> {
        let messages = self.client.simple_query(sql).await?;
        Ok(messages.iter().filter_map(row).collect())
    }

    /// The rows as text, `|` between values, sorted: for queries without ORDER BY.
    pub async fn table(&self, sql: &str) -> String {
        let mut lines: Vec<String> = self.rows(sql).await.iter().map(show).collect();
        lines.sort();
        lines.join("\n")
    }

    /// The one value of a query with one row and column.
    pub async fn value(&self, sql: &str) -> String {
        let rows = self.rows(sql).await;
        match rows.as_slice() {
            [row] if row.len() == 1 => show(row),
            other => panic!("{sql}\nexpected one value: {other:?}"),
        }
    }

    /// The one value of a query as a number.
    pub async fn number(&self, sql: &str) -> i64 {
        let text = self.value(sql).await;
        text.parse()
            .unwrap_or_else(|_| panic!("{sql}\nexpected a number: {text}"))
    }

    /// The SQLSTATE and message of a statement that must fail.
    pub async fn error(&self, sql: &str) -> DbError {
        match self.client.simple_query(sql).await {
            Ok(messages) => panic!(
                "{}\nexpected an error: {messages:?}",
                sql.get(..200).unwrap_or(sql)
            ),
            Err(error) => match error.as_db_error() {
                Some(server) => server.clone(),
                None => panic!(
                    "{}\nexpected an error of the server: {error:?}",
                    sql.get(..200).unwrap_or(sql)
                ),
            },
        }
    }

    /// The SQLSTATE of a statement that must fail.
    pub async fn error_code(&self, sql: &str) -> String {
        self.error(sql).await.code().code().to_owned()
    }

    /// Loads rows through COPY; answers how many.
    pub async fn copy_in(
        &self,
        sql: &str,
        data: impl Into<Bytes>,
    ) -> Result<u64, tokio_postgres::Error> {
        let sink = self.client.copy_in::<_, Bytes>(sql).await?;
        let mut sink = std::pin::pin!(sink);
        let mut data = data.into();
        while !data.is_empty() {
            let piece = data.split_to(data.len().min(64 * 1024));
            sink.send(piece).await?;
        }
        sink.finish().await
    }

    /// Everything a COPY … TO STDOUT writes.
    pub async fn copy_out(&self, sql: &str) -> Result<String, tokio_postgres::Error> {
        let stream = self.client.copy_out(sql).await?;
        let mut stream = std::pin::pin!(stream);
        let mut bytes = Vec::new();
        while let Some(piece) = stream.next().await {
            bytes.extend_from_slice(&piece?);
        }
        Ok(String::from_utf8(bytes).expect("COPY writes UTF-8"))
    }

    /// Starts a query whose rows are taken one by one.
    pub async fn subscribe(&self, sql: &str) -> Subscription {
        match self.client.simple_query_raw(sql).await {
            Ok(stream) => Subscription(Box::pin(stream)),
            Err(error) => panic!("{sql}\n{error:?}"),
        }
    }

    /// Notices since the last call.
    pub fn take_notices(&self) -> Vec<DbError> {
        std::mem::take(&mut *self.notices.lock().expect("nobody panics while holding it"))
    }

    /// Asks the server to stop what this session runs.
    pub async fn cancel(&self) {
        self.client
            .cancel_token()
            .cancel_query(NoTls)
            .await
            .expect("a cancel request is accepted");
    }
}

/// The rows of a running query.
pub struct Subscription(Pin<Box<SimpleQueryStream>>);

impl Subscription {
    /// The next row, or `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Row>, tokio_postgres::Error> {
        while let Some(message) = self.0.next().await {
            if let Some(row) = row(&message?) {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    /// The next `count` rows.
    pub async fn take(&mut self, count: usize) -> Vec<Row> {
        let mut rows = Vec::new();
        while rows.len() < count {
            match self.next().await {
                Ok(Some(row)) => rows.push(row),
                Ok(None) => panic!("the query ended after {rows:?}"),
                Err(error) => panic!("{error:?} after {rows:?}"),
            }
        }
        rows
    }
}

fn row(message: &SimpleQueryMessage) -> Option<Row> {
    let SimpleQueryMessage::Row(row) = message else {
        return None;
    };
    Some(
        (0..row.len())
            .map(|column| row.get(column).map(str::to_owned))
            .collect(),
    )
}

/// A row as a line.
pub fn show(row: &Row) -> String {
    let cells: Vec<&str> = row
        .iter()
        .map(|cell| cell.as_deref().unwrap_or("NULL"))
        .collect();
    cells.join("|")
}
