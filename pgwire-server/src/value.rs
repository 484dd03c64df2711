//! Values between Arrow and the wire.

mod binary;
mod parameter;
mod result_rows;

pub use parameter::decode_parameter;
pub use result_rows::{ResultFormats, ResultRows, describe};
