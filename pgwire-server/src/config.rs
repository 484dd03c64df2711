//! What can be set.

use std::time::Duration;

use crate::tls::Tls;

/// Limits of the server.
#[derive(Clone)]
pub struct ServerConfig {
    /// Sessions at one time.
    pub max_connections: usize,
    /// Of these, so many are kept for superusers; while nobody is asked for a password, for the users `millpond` and
    /// `postgres`.
    pub reserved_connections: usize,
    /// How long a client may take to log in.
    pub startup_timeout: Duration,
    /// How long a client may leave unread what it was sent.
    pub write_timeout: Duration,
    /// How long shutting down waits for sessions to end.
    pub shutdown_timeout: Duration,
    /// The longest message.
    pub message_bytes_max: usize,
    /// Prepared statements of one session.
    pub prepared_statements_max: usize,
    /// Their texts together, bytes. What they are parsed to takes several times that.
    pub prepared_text_bytes_max: usize,
    /// Portals of one session.
    pub portals_max: usize,
    /// The values of their parameters together, bytes.
    pub portal_bytes_max: usize,
    /// The certificate, if connections may be encrypted.
    pub tls: Option<Tls>,
    /// Whether connections must be encrypted.
    pub tls_required: bool,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            max_connections: 200,
            reserved_connections: 3,
            startup_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(60),
            shutdown_timeout: Duration::from_secs(5),
            message_bytes_max: 64 << 20,
            prepared_statements_max: 10_000,
            prepared_text_bytes_max: 32 << 20,
            portals_max: 10_000,
            portal_bytes_max: 128 << 20,
            tls: None,
            tls_required: false,
        }
    }
}
