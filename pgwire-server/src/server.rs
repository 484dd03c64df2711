//! Accepting connections, and ending them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use engine::{Engine, SessionParameters};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cancel::CancelRegistry;
use crate::config::ServerConfig;
use crate::connection;
use crate::failure::Report;
use crate::sqlstate;

/// Connections that may be open beyond the sessions allowed: for cancel requests, and to say that there are too many.
const EXTRA_CONNECTIONS: usize = 64;

/// What all connections share.
pub struct Server {
    pub engine: Arc<Engine>,
    pub config: ServerConfig,
    pub cancels: Arc<CancelRegistry>,
    pub shutdown: CancellationToken,
    sessions: AtomicUsize,
    connections: AtomicUsize,
}

/// Serves clients until `shutdown` is cancelled: then no more are accepted, running statements are stopped, clients
/// are told, and what has not ended after a while is cut off.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve(
    listener: TcpListener,
    engine: Arc<Engine>,
    config: ServerConfig,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let shutdown_timeout = config.shutdown_timeout;
    let server = Arc::new(Server {
        engine,
        config,
        cancels: Arc::new(CancelRegistry::default()),
        shutdown: shutdown.clone(),
        sessions: AtomicUsize::new(0),
        connections: AtomicUsize::new(0),
    });
    let tasks = TaskTracker::new();
    let abort = CancellationToken::new();
    let result = loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break Ok(()),
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => accept(&server, &tasks, &abort, stream),
            Err(error) if is_transient(&error) => {
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => break Err(error),
        }
    };
    drop(listener);
    tasks.close();
    if tokio::time::timeout(shutdown_timeout, tasks.wait())
        .await
        .is_err()
    {
        abort.cancel();
        tasks.wait().await;
    }
    result
}

fn accept(server: &Arc<Server>, tasks: &TaskTracker, abort: &CancellationToken, stream: TcpStream) {
    let limit = server.config.max_connections + EXTRA_CONNECTIONS;
    let Some(slot) = Slot::take(server, |server| &server.connections, limit) else {
        return;
    };
    let (server, abort) = (server.clone(), abort.clone());
    tasks.spawn(async move {
        let _slot = slot;
        tokio::select! {
            biased;
            () = abort.cancelled() => {}
            () = connection::run(stream, server) => {}
        }
    });
}

/// Whether the next attempt may succeed: the client went away, or there are no file descriptors at the moment.
fn is_transient(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted
            | Kind::ConnectionReset
            | Kind::Interrupted
            | Kind::WouldBlock
            | Kind::OutOfMemory
    ) || matches!(error.raw_os_error(), Some(23 | 24))
}

impl Server {
    /// A place for a session.
    pub fn admit(self: &Arc<Self>, parameters: &SessionParameters) -> Result<Slot, Report> {
        let user = parameters.user.as_str();
        let privileged = if parameters.authenticated {
            self.engine.is_superuser(user)
        } else {
            matches!(user, "millpond" | "postgres")
        };
        let max = self.config.max_connections;
        let limit = if privileged {
            max
        } else {
            max.saturating_sub(self.config.reserved_connections)
        };
        Slot::take(self, |server| &server.sessions, limit).ok_or_else(|| {
            Report::new(
                sqlstate::TOO_MANY_CONNECTIONS,
                "sorry, too many clients already",
            )
            .with_hint("max_connections bounds the sessions at one time.")
        })
    }
}

/// One of a bounded number of places, given back when dropped.
pub struct Slot {
    server: Arc<Server>,
    counter: fn(&Server) -> &AtomicUsize,
}

impl Slot {
    fn take(
        server: &Arc<Server>,
        counter: fn(&Server) -> &AtomicUsize,
        limit: usize,
    ) -> Option<Slot> {
        counter(server)
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                (taken < limit).then_some(taken + 1)
            })
            .ok()
            .map(|_| Slot {
                server: server.clone(),
                counter,
            })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        (self.counter)(&self.server).fetch_sub(1, Ordering::Relaxed);
    }
}
