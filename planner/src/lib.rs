//! From a statement to a plan: types, names and functions are bound by DataFusion, and the
//! optimised logical plan is lowered to a [`step_plan::StepPlan`], a serialisable graph of
//! incremental operators.
//!
//! Everything here is a pure function of its arguments; state, log files and sockets are
//! unknown to this crate.

pub mod bind;
pub mod error;
pub mod explain;
pub mod functions;
pub mod literal;
pub mod lower;
pub mod relations;
pub mod scalar_expr;
pub mod session;
mod stack;
pub mod step_plan;
pub mod types;

pub use bind::{BindOptions, BoundQuery, plan_query};
pub use error::{PlanError, PlanErrorKind};
pub use lower::{Lowered, OutputKind, PlanNotice, lower};
pub use stack::on_large_stack;
