//! The Kafka front door.

pub mod sasl;
