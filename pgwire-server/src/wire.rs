//! The messages of protocol 3, as bytes.

pub mod backend;
pub mod frontend;
