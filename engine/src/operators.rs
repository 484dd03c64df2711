//! The incremental operators, one file each.

pub mod aggregate;
pub mod constant;
pub mod filter;
pub mod join;
pub mod project;
pub mod stateless;
pub mod unnest;
