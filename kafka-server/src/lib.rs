//! The Kafka front door.
