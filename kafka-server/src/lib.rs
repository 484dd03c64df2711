//! The Kafka front door.

pub mod coordinator;
pub mod decoding;
pub mod encryption;
mod requests;
pub mod sasl;
mod server;

pub use server::{KafkaConfig, serve};
