//! From a statement to a plan: types, names and functions are bound by DataFusion, and the
//! optimised logical plan is lowered to a [`step_plan::StepPlan`], a serialisable graph of
//! incremental operators.
//!
//! Everything here is a pure function of its arguments; state, log files and sockets are
//! unknown to this crate.

pub mod scalar_expr;
pub mod step_plan;
