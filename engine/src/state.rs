//! State in memory: rows with weights, indexed and columnar.
//!
//! ```text
//!  ChangeBatch ──apply──► Arrangement ──snapshot──► readers
//!  upserts ─────upsert──►   │    ▲
//!                        probe  restore
//!                           ▼    │
//!                       operators, checkpoints
//! ```

pub mod arrangement;
mod checkpoint;
pub(crate) mod chunk;
mod columns;
mod compaction;
pub mod consolidate;
pub mod exchange;
mod index;
mod residency;
pub mod snapshot;
#[cfg(test)]
pub(crate) mod testing;
mod upsert;

pub use arrangement::{Arrangement, Key};
pub use columns::Keys;
pub use snapshot::{Matches, Probe, RowId, Snapshot};
