//! The engine: sessions, catalog, running queries, state and reads.
//!
//! ```text
//! session ──statement──► catalog ──StepPlan──► circuit ──changes──► materialisation ──► readers
//!                          │                      ▲
//!                          ▼                      │ changes between two epochs
//!                       log-store ────────────────┘
//! ```

pub mod aggregates;
pub mod auth;
mod batch;
pub mod body_codec;
pub mod catalog;
pub mod change_batch;
pub mod circuit;
pub mod consumer_groups;
mod engine;
pub mod error;
pub mod expression;
pub mod formats;
mod ingest;
mod mill;
mod nulls;
pub mod operator;
pub mod operators;
pub mod pg_catalog;
mod processing_log;
pub mod records;
pub mod response;
mod row_codec;
pub mod session;
pub mod state;
mod state_store;
mod tables;
pub mod topics;
mod write_locks;

pub use engine::{Engine, EngineConfig};
pub use error::{Error, Result};
pub use session::{Canceller, Session, SessionParameters};
