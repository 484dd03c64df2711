//! A connection to a server, embedded or remote.
//!
//! ```text
//!  statement ──► tokio-postgres ──► server
//!                     │  ▲
//!   rows ◄────────────┘  └── a task that drives the socket; it passes NOTICEs on, in order
//! ```

use std::future::poll_fn;
use std::time::Duration;

use futures::StreamExt as _;
use tokio::sync::mpsc;
use tokio_postgres::error::DbError;
use tokio_postgres::{AsyncMessage, CancelToken, Config, NoTls, SimpleQueryStream};

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target(Config);

impl Target {
    /// Reads HOST, HOST:PORT, [IPv6]:PORT or a `postgres://` URL.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut config = if text.contains("://") {
            text.parse::<Config>()
                .map_err(|error| format!("invalid address \"{text}\": {error}"))?
        } else {
            let (host, port) =
                split_port(text).ok_or_else(|| format!("invalid address \"{text}\""))?;
            let mut config = Config::new();
            config.host(host).port(port);
            config
        };
        if config.get_user().is_none() {
            config.user(
                std::env::var("PGUSER")
                    .or_else(|_| std::env::var("USER"))
                    .unwrap_or_else(|_| "millpond".into()),
            );
        }
        if config.get_dbname().is_none() {
            config.dbname(std::env::var("PGDATABASE").unwrap_or_else(|_| "millpond".into()));
        }
        if let (None, Ok(password)) = (config.get_password(), std::env::var("PGPASSWORD")) {
            config.password(password);
        }
        config
            .application_name("millpond shell")
            .connect_timeout(Duration::from_secs(10));
        Ok(Self(config))
    }

    /// The same as another user, if one is given.
    pub fn as_owner(mut self, owner: Option<(&str, &str)>) -> Self {
        if let Some((user, password)) = owner {
            self.0.user(user).password(password);
        }
        self
    }

    /// The address for people.
    pub fn address(&self) -> String {
        let host = match self.0.get_hosts().first() {
            Some(tokio_postgres::config::Host::Tcp(host)) => host.clone(),
            #[cfg(unix)]
            Some(tokio_postgres::config::Host::Unix(path)) => path.display().to_string(),
            _ => "localhost".to_owned(),
        };
        format!("{host}:{}", self.0.get_ports().first().unwrap_or(&5432))
    }

    /// The user the session runs as.
    pub fn user(&self) -> &str {
        self.0.get_user().unwrap_or_default()
    }
}

fn split_port(text: &str) -> Option<(&str, u16)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        let port = if rest.is_empty() {
            5432
        } else {
            rest.strip_prefix(':')?.parse().ok()?
        };
        return Some((host, port));
    }
    match text.split_once(':') {
        Some((host, port)) => Some((host, port.parse().ok()?)),
        None if text.is_empty() => None,
        None => Some((text, 5432)),
    }
}

/// An open session.
pub struct Client {
    inner: tokio_postgres::Client,
    notices: mpsc::UnboundedReceiver<DbError>,
    target: Target,
}

impl Client {
    /// Opens a session.
    pub async fn connect(target: &Target) -> Result<Self, tokio_postgres::Error> {
        let (inner, mut connection) = target.0.connect(NoTls).await?;
        let (notice_sender, notices) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut messages =
                futures::stream::poll_fn(move |context| connection.poll_message(context));
            while let Some(message) = messages.next().await {
                match message {
                    Ok(AsyncMessage::Notice(notice)) => {
                        // Nobody listens any more once the session is over.
                        let _ = notice_sender.send(notice);
                    }
                    Ok(_) => {}
                    Err(error) => {
                        tracing::debug!(%error, "connection lost");
                        break;
                    }
                }
            }
        });
        Ok(Self {
            inner,
            notices,
            target: target.clone(),
        })
    }

    /// Sends a statement; its rows come as the server produces them.
    pub async fn run(&self, sql: &str) -> Result<SimpleQueryStream, tokio_postgres::Error> {
        self.inner.simple_query_raw(sql).await
    }

    /// The session itself, for COPY and prepared statements.
    pub fn session(&self) -> &tokio_postgres::Client {
        &self.inner
    }

    /// The next notice. Pends for ever once the connection is gone, so that it can stand in a `select!`.
    pub async fn next_notice(&mut self) -> DbError {
        match self.notices.recv().await {
            Some(notice) => notice,
            None => poll_fn(|_| std::task::Poll::Pending).await,
        }
    }

    /// A notice that is already here.
    pub fn take_notice(&mut self) -> Option<DbError> {
        self.notices.try_recv().ok()
    }

    /// Asks the server to stop the running statement; its answer then ends with SQLSTATE 57014.
    pub fn cancel(&self) {
        let token: CancelToken = self.inner.cancel_token();
        tokio::spawn(async move {
            if let Err(error) = token.cancel_query(NoTls).await {
                tracing::debug!(%error, "cancel request failed");
            }
        });
    }

    /// Whether the connection is gone.
    pub fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    /// Where the session goes to.
    pub fn target(&self) -> &Target {
        &self.target
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let address = |text| Target::parse(text).map(|target| target.address());
        assert_eq!(address("db:7000").as_deref(), Ok("db:7000"));
        assert_eq!(address("db").as_deref(), Ok("db:5432"));
        assert_eq!(address("[::1]:7000").as_deref(), Ok("::1:7000"));
        assert_eq!(address("postgres://u@db:7000/x").as_deref(), Ok("db:7000"));
        assert!(address("db:seven").is_err());
        assert!(address("").is_err());
    }
}
