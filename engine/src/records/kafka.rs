//! KAFKA: what Kafka's own serializers write, one value without a name.

use super::column::{Column, TextKind};
use super::fail::{Fail, Fallible};
use super::text::{append_text, too_much};
use crate::formats::{self, Values};

/// Appends the value that the bytes are.
pub(super) fn append(column: &mut Column, bytes: &[u8]) -> Fallible {
    match column {
        Column::Int16(numbers) => numbers.append(i16::from_be_bytes(exactly(bytes, "smallint")?)),
        Column::Int32(numbers) => numbers.append(i32::from_be_bytes(exactly(bytes, "integer")?)),
        Column::Int64(numbers) => numbers.append(i64::from_be_bytes(exactly(bytes, "bigint")?)),
        Column::Float32(numbers) => numbers.append(f32::from_be_bytes(exactly(bytes, "real")?)),
        Column::Float64(numbers) => {
            numbers.append(f64::from_be_bytes(exactly(bytes, "double precision")?));
        }
        Column::Boolean(booleans) => match exactly::<1>(bytes, "boolean")? {
            [value @ 0..=1] => booleans.append(value == 1),
            [other] => return Err(Fail::reason(format!("the byte {other} is no boolean"))),
        },
        Column::Binary(blobs) => {
            if !blobs.append(bytes) {
                return Err(too_much());
            }
        }
        Column::Text(blobs, kind) => {
            let text =
                std::str::from_utf8(bytes).map_err(|_| Fail::reason("it is not UTF-8".into()))?;
            if let (TextKind::Json, Err(error)) =
                (&*kind, serde_json::from_str::<serde::de::IgnoredAny>(text))
            {
                return Err(Fail::reason(format!("invalid JSON: {error}")));
            }
            append_text(blobs, kind, text)?;
        }
        other => {
            let name = other.type_name();
            return Err(Fail::reason(format!(
                "the KAFKA format does not support type {name}"
            )));
        }
    }
    Ok(())
}

fn exactly<const N: usize>(bytes: &[u8], name: &str) -> Fallible<[u8; N]> {
    bytes.try_into().map_err(|_| {
        Fail::reason(format!(
            "size of data for type {name} is {}, not {N}",
            bytes.len()
        ))
    })
}

/// Writes a cell that is not NULL.
pub(super) fn write(column: &formats::Column, row: usize, out: &mut Vec<u8>) {
    match column.values() {
        Values::Int16(array) => out.extend(array.value(row).to_be_bytes()),
        Values::Int32(array) => out.extend(array.value(row).to_be_bytes()),
        Values::Int64(array) => out.extend(array.value(row).to_be_bytes()),
        Values::Float32(array) => out.extend(array.value(row).to_be_bytes()),
        Values::Float64(array) => out.extend(array.value(row).to_be_bytes()),
        Values::Boolean(array) => out.push(array.value(row).into()),
        Values::Text(texts) | Values::Json(texts) => {
            out.extend_from_slice(texts.value(row).as_bytes());
        }
        Values::Bytes(blobs) => out.extend_from_slice(blobs.value(row)),
        // Statements do not define such columns; were there one, its text is what people expect.
        _ => column.write_text(row, out),
    }
}
