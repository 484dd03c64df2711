//! What the tests need to reach a running server as its users do: the real binary, sockets, and clients.
//!
//! ```text
//!  test ──► Server (child process `millpond server --pg-port 0`) ◄── Db (tokio-postgres), psql, the shell
//!             kill −9, stop, start again over the same data directory
//! ```

mod binary;
mod certificates;
mod db;
mod kafka;
mod server;
pub mod slt;

pub use binary::millpond;
pub use certificates::Certificates;
pub use db::{Db, Row, show};
pub use kafka::{Broker, Client, kafka_directory, prepare, say_skipped};
pub use server::Server;

/// How long random and crash tests run: `MILLPOND_TEST_SECONDS`, or a short time.
pub fn test_duration() -> std::time::Duration {
    let seconds = std::env::var("MILLPOND_TEST_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    std::time::Duration::from_secs(seconds.unwrap_or(8))
}

/// The seed of a random test: `MILLPOND_TEST_SEED`, or a new one. It is printed, so that a failure can be repeated.
pub fn seed() -> u64 {
    let given = std::env::var("MILLPOND_TEST_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(rand::random);
    println!("seed: MILLPOND_TEST_SEED={seed}");
    seed
}
