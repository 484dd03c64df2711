//! A connection to a server, embedded or remote.
//!
//! ```text
//!  statement ──► tokio-postgres ──► server
//!                     │  ▲
//!   rows ◄────────────┘  └── a task that drives the socket; it passes NOTICEs on, in order
//! ```

mod tls;

use std::future::poll_fn;
use std::path::PathBuf;
use std::time::Duration;

use futures::StreamExt as _;
use tokio::sync::mpsc;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::DbError;
use tokio_postgres::{AsyncMessage, CancelToken, Config, SimpleQueryStream};

use tls::Tls;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    config: Config,
    /// A file of certificates by which the server's is verified.
    roots: Option<PathBuf>,
}

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
        let mut roots = std::env::var_os("PGSSLROOTCERT").map(PathBuf::from);
        if let (false, Ok(mode)) = (text.contains("sslmode="), std::env::var("PGSSLMODE")) {
            config.ssl_mode(match mode.as_str() {
                "disable" => SslMode::Disable,
                "allow" | "prefer" => SslMode::Prefer,
                "require" => SslMode::Require,
                "verify-ca" | "verify-full" if roots.is_some() => SslMode::Require,
                "verify-ca" | "verify-full" => {
                    return Err(format!("PGSSLMODE={mode} needs PGSSLROOTCERT"));
                }
                _ => return Err(format!("invalid PGSSLMODE \"{mode}\"")),
            });
        }
        if config.get_ssl_mode() == SslMode::Disable {
            roots = None;
        }
        config
            .application_name("millpond shell")
            .connect_timeout(Duration::from_secs(10));
        Ok(Self { config, roots })
    }

    /// A server in this process, which asks for this user and password if for any.
    pub fn embedded(address: &str, owner: Option<(&str, &str)>) -> Result<Self, String> {
        let mut target = Self::parse(address)?;
        // It encrypts if the server has to have it so, but what the user says of servers elsewhere is not for this one.
        target.roots = None;
        target.config.ssl_mode(SslMode::Prefer);
        if let Some((user, password)) = owner {
            target.config.user(user).password(password);
        }
        Ok(target)
    }

    /// The same with this password.
    pub fn with_password(mut self, password: &str) -> Self {
        self.config.password(password);
        self
    }

    /// Whether no password is known.
    pub fn lacks_password(&self) -> bool {
        self.config.get_password().is_none()
    }

    /// The address for people.
    pub fn address(&self) -> String {
        let host = match self.config.get_hosts().first() {
            Some(tokio_postgres::config::Host::Tcp(host)) => host.clone(),
            #[cfg(unix)]
            Some(tokio_postgres::config::Host::Unix(path)) => path.display().to_string(),
            _ => "localhost".to_owned(),
        };
        format!(
            "{host}:{}",
            self.config.get_ports().first().unwrap_or(&5432)
        )
    }

    /// The user the session runs as.
    pub fn user(&self) -> &str {
        self.config.get_user().unwrap_or_default()
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
    tls: Tls,
}

impl Client {
    /// Opens a session.
    pub async fn connect(target: &Target) -> anyhow::Result<Self> {
        let tls = Tls::new(target.roots.as_deref())?;
        let (inner, mut connection) = target.config.connect(tls.clone()).await?;
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
            tls,
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
        let tls = self.tls.clone();
        tokio::spawn(async move {
            if let Err(error) = token.cancel_query(tls).await {
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
