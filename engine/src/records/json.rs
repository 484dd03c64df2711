//! JSON as ksqlDB reads and writes it.

pub(super) mod decode;
pub(super) mod encode;
pub(super) mod marks;
pub(super) mod scanner;

pub(super) use super::fail::{Fail, Fallible};
