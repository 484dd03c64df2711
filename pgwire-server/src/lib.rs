//! The Postgres front door.
//!
//! ```text
//!  socket ─► wire::frontend ─► connection ─► simple | extended | copy ─► engine::Session
//!                                                                             │
//!  socket ◄─ wire::backend ◄── value: Arrow to text or binary ◄── pump ◄── batches
//! ```
//!
//! A connection is one task that owns its session. It never reads a result faster than the client takes it, never
//! keeps a row back while it waits for the next, and notices at once when the client cancels or goes away, also in the
//! middle of a result that never ends.

mod cancel;
mod config;
mod connection;
mod copy_in;
mod extended;
mod failure;
mod guard;
mod login;
mod pump;
mod server;
mod simple;
mod socket;
mod sqlstate;
mod startup;
mod tls;
mod types;
mod value;
mod wire;

pub use config::ServerConfig;
pub use server::serve;
pub use tls::{Tls, TlsError, end_point};
