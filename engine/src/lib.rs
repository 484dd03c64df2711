//! The engine: sessions, catalog, running queries, state and reads.
//!
//! ```text
//! session ──statement──► catalog ──StepPlan──► circuit ──changes──► materialisation ──► readers
//!                          │                      ▲
//!                          ▼                      │ changes between two epochs
//!                       log-store ────────────────┘
//! ```

pub mod change_batch;
mod engine;
pub mod error;
pub mod formats;
pub mod operator;
pub mod response;
pub mod session;
pub mod state;

pub use engine::{Engine, EngineConfig};
pub use error::{Error, Result};
pub use session::{Session, SessionParameters};
