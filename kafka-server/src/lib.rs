//! The Kafka front door.

pub mod coordinator;
pub mod decoding;
pub mod encryption;
pub mod sasl;
