//! One JSON object per row. Numbers, booleans and JSON documents stand as themselves where the column's type is known;
//! everything else is a string.

use std::io::{self, Write};

use serde_json::Value;
use tokio_postgres::types::Type;

use super::{Cell, Heading, Printer};

/// See the module's text.
pub struct Json {
    heading: Heading,
}

impl Json {
    /// A printer for one result.
    pub fn new(heading: Heading) -> Self {
        Self { heading }
    }
}

impl Printer for Json {
    fn row(&mut self, row: Vec<Cell>, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(b"{")?;
        for (column, (name, cell)) in self.heading.names.iter().zip(row).enumerate() {
            let comma = if column > 0 { "," } else { "" };
            let value = cell.map_or_else(
                || "null".to_owned(),
                |text| value(text, self.heading.types.get(column)),
            );
            write!(out, "{comma}{}:{value}", Value::from(name.as_str()))?;
        }
        out.write_all(b"}\n")
    }

    fn pause(&mut self, out: &mut dyn Write) -> io::Result<()> {
        out.flush()
    }

    fn finish(&mut self, _out: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}

/// Whether values of the type are numbers.
pub fn is_number(kind: &Type) -> bool {
    [
        Type::INT2,
        Type::INT4,
        Type::INT8,
        Type::FLOAT4,
        Type::FLOAT8,
        Type::NUMERIC,
        Type::OID,
    ]
    .contains(kind)
}

/// A value's text as JSON. Text that is no JSON number (NaN, Infinity) stays a string; digits are kept as they came, so
/// that a DECIMAL loses none.
fn value(text: String, kind: Option<&Type>) -> String {
    match kind {
        Some(&Type::BOOL) if text == "t" || text == "true" => "true".to_owned(),
        Some(&Type::BOOL) if text == "f" || text == "false" => "false".to_owned(),
        Some(kind) if is_number(kind) || [Type::JSON, Type::JSONB].contains(kind) => {
            match serde_json::from_str::<&serde_json::value::RawValue>(&text) {
                Ok(raw) => raw.get().replace('\n', " "),
                Err(_) => Value::from(text.as_str()).to_string(),
            }
        }
        _ => Value::from(text).to_string(),
    }
}
