//! The Kafka front door.

pub mod coordinator;
pub mod decoding;
pub mod sasl;
