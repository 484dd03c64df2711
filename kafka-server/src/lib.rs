//! The Kafka front door.

pub mod coordinator;
pub mod sasl;
