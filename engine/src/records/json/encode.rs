//! Cells as JSON, the way ksqlDB's serializer writes them.

use base64::Engine as _;

use super::super::text::{write_double, write_real};
use super::decode::BASE64;
use crate::formats::{Column, Values, write_decimal, write_json_string};

/// Writes a cell, NULL or not.
pub(in crate::records) fn write(column: &Column, row: usize, out: &mut Vec<u8>) {
    if column.is_null(row) {
        out.extend_from_slice(b"null");
        return;
    }
    match column.values() {
        Values::Boolean(_) => write_plain(column, row, out),
        Values::Int16(array) => write_int(out, array.value(row).into()),
        Values::Int32(array) => write_int(out, array.value(row).into()),
        Values::Int64(array) => write_int(out, array.value(row)),
        Values::Float32(array) => number(array.value(row).is_finite(), out, |out| {
            write_real(out, array.value(row));
        }),
        Values::Float64(array) => number(array.value(row).is_finite(), out, |out| {
            write_double(out, array.value(row));
        }),
        Values::Decimal128(array, scale) => write_decimal(out, array.value(row), *scale),
        Values::Decimal256(..) => column.write_text(row, out),
        Values::Text(texts) => write_json_string(out, texts.value(row).as_bytes()),
        Values::Json(texts) => out.extend_from_slice(texts.value(row).as_bytes()),
        Values::Bytes(blobs) => {
            out.push(b'"');
            write_base64(out, blobs.value(row));
            out.push(b'"');
        }
        Values::Date(array) => write_int(out, array.value(row).into()),
        Values::Time(array) => write_int(out, array.value(row) / 1000),
        Values::Timestamp(array) | Values::TimestampTz(array, _) => {
            write_int(out, array.value(row).div_euclid(1000));
        }
        Values::Null => out.extend_from_slice(b"null"),
        Values::Uuid(_) | Values::Interval(_) => {
            out.push(b'"');
            column.write_text(row, out);
            out.push(b'"');
        }
        Values::List(offsets, items) => {
            out.push(b'[');
            for (at, item) in (offsets[row]..offsets[row + 1]).enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write(items, item as usize, out);
            }
            out.push(b']');
        }
        Values::Struct(members) => {
            out.push(b'{');
            for (at, (name, member)) in members.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write_json_string(out, name.as_bytes());
                out.push(b':');
                write(member, row, out);
            }
            out.push(b'}');
        }
        Values::Map(offsets, keys, values) => {
            out.push(b'{');
            let mut key = Vec::new();
            for (at, entry) in (offsets[row]..offsets[row + 1]).enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                key.clear();
                write_plain(keys, entry as usize, &mut key);
                write_json_string(out, &key);
                out.push(b':');
                write(values, entry as usize, out);
            }
            out.push(b'}');
        }
    }
}

/// Writes a cell that is not NULL without quotes: a field of DELIMITED, or a map's key.
pub(in crate::records) fn write_plain(column: &Column, row: usize, out: &mut Vec<u8>) {
    match column.values() {
        Values::Boolean(array) => {
            out.extend_from_slice(if array.value(row) { b"true" } else { b"false" });
        }
        Values::Text(texts) | Values::Json(texts) => {
            out.extend_from_slice(texts.value(row).as_bytes());
        }
        Values::Float32(array) => write_real(out, array.value(row)),
        Values::Float64(array) => write_double(out, array.value(row)),
        Values::Bytes(blobs) => write_base64(out, blobs.value(row)),
        Values::Uuid(_) | Values::Interval(_) => column.write_text(row, out),
        _ => write(column, row, out),
    }
}

/// JSON has no numbers for NaN and the infinities.
fn number(finite: bool, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    if finite {
        return write(out);
    }
    out.push(b'"');
    write(out);
    out.push(b'"');
}

fn write_int(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn write_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    BASE64
        .encode_slice(bytes, &mut out[start..])
        .expect("base64 makes four bytes of three");
}
