//! An Arrow column made ready to be written cell by cell.
//!
//! [`Column`] narrows Arrow's many types down to those that have a form of their own in SQL (the rest is cast once
//! a batch) and keeps the downcast arrays, so that writing a cell is one `match` and no allocation. Text and JSON are
//! written here; a wire protocol's binary form can be written from [`Column::values`].

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BinaryViewArray, BooleanArray, Date32Array,
    Decimal128Array, Decimal256Array, FixedSizeBinaryArray, Float32Array, Float64Array, Int16Array,
    Int32Array, Int64Array, IntervalMonthDayNanoArray, LargeBinaryArray, LargeStringArray,
    StringArray, StringBuilder, StringViewArray, Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{IntervalMonthDayNano, TimestampNanosecondType, i256};
use arrow::error::ArrowError;
use arrow_schema::{DataType, Field, IntervalUnit, TimeUnit};

use super::bytes_as_base64::in_base64;
use super::datetime::{write_date, write_time, write_timestamp, write_timestamptz};
use super::interval::write_interval;
use super::literal::needs_quotes;
use super::types::is_json;
use super::zone::Zone;

/// A column and how its cells are written.
pub struct Column {
    nulls: Option<NullBuffer>,
    values: Values,
}

/// The values of a column.
pub enum Values {
    /// All NULL.
    Null,
    Boolean(BooleanArray),
    Int16(Int16Array),
    Int32(Int32Array),
    Int64(Int64Array),
    Float32(Float32Array),
    Float64(Float64Array),
    /// With the scale.
    Decimal128(Decimal128Array, i8),
    Decimal256(Decimal256Array, i8),
    Text(Texts),
    /// Text that is JSON.
    Json(Texts),
    Bytes(Blobs),
    Uuid(FixedSizeBinaryArray),
    Date(Date32Array),
    Time(Time64MicrosecondArray),
    Timestamp(TimestampMicrosecondArray),
    TimestampTz(TimestampMicrosecondArray, Zone),
    Interval(IntervalMonthDayNanoArray),
    List(OffsetBuffer<i32>, Box<Column>),
    /// Names and fields.
    Struct(Vec<(String, Column)>),
    /// Keys and values.
    Map(OffsetBuffer<i32>, Box<Column>, Box<Column>),
}

/// Texts in any of Arrow's layouts.
pub enum Texts {
    Small(StringArray),
    Large(LargeStringArray),
    View(StringViewArray),
}

impl Texts {
    /// A text.
    #[inline]
    pub fn value(&self, row: usize) -> &str {
        match self {
            Texts::Small(array) => array.value(row),
            Texts::Large(array) => array.value(row),
            Texts::View(array) => array.value(row),
        }
    }
}

/// Byte strings in any of Arrow's layouts.
pub enum Blobs {
    Small(BinaryArray),
    Large(LargeBinaryArray),
    View(BinaryViewArray),
    Fixed(FixedSizeBinaryArray),
}

impl Blobs {
    /// A byte string.
    #[inline]
    pub fn value(&self, row: usize) -> &[u8] {
        match self {
            Blobs::Small(array) => array.value(row),
            Blobs::Large(array) => array.value(row),
            Blobs::View(array) => array.value(row),
            Blobs::Fixed(array) => array.value(row),
        }
    }
}

impl Column {
    /// Makes a column ready. Timestamps with time zone will show the clocks of `zone`.
    pub fn new(array: &ArrayRef, field: &Field, zone: &Zone) -> Result<Column, ArrowError> {
        use DataType as T;
        let nulls = array.logical_nulls();
        let micros = TimeUnit::Microsecond;
        let values = match array.data_type() {
            T::Null => Values::Null,
            T::Boolean => Values::Boolean(array.as_boolean().clone()),
            T::Int16 => Values::Int16(array.as_primitive().clone()),
            T::Int32 => Values::Int32(array.as_primitive().clone()),
            T::Int64 => Values::Int64(array.as_primitive().clone()),
            T::Float32 => Values::Float32(array.as_primitive().clone()),
            T::Float64 => Values::Float64(array.as_primitive().clone()),
            T::Decimal128(_, scale) => Values::Decimal128(array.as_primitive().clone(), *scale),
            T::Decimal256(_, scale) => Values::Decimal256(array.as_primitive().clone(), *scale),
            T::Utf8 => text(Texts::Small(array.as_string().clone()), field),
            T::LargeUtf8 => text(Texts::Large(array.as_string().clone()), field),
            T::Utf8View => text(Texts::View(array.as_string_view().clone()), field),
            T::Binary => Values::Bytes(Blobs::Small(array.as_binary().clone())),
            T::LargeBinary => Values::Bytes(Blobs::Large(array.as_binary().clone())),
            T::BinaryView => Values::Bytes(Blobs::View(array.as_binary_view().clone())),
            T::FixedSizeBinary(16) => Values::Uuid(array.as_fixed_size_binary().clone()),
            T::FixedSizeBinary(_) => {
                Values::Bytes(Blobs::Fixed(array.as_fixed_size_binary().clone()))
            }
            T::Date32 => Values::Date(array.as_primitive().clone()),
            T::Time64(TimeUnit::Microsecond) => Values::Time(array.as_primitive().clone()),
            T::Timestamp(TimeUnit::Microsecond, None) => {
                Values::Timestamp(array.as_primitive().clone())
            }
            T::Timestamp(TimeUnit::Microsecond, Some(_)) => {
                Values::TimestampTz(array.as_primitive().clone(), *zone)
            }
            T::Interval(IntervalUnit::MonthDayNano) => {
                Values::Interval(array.as_primitive().clone())
            }
            T::List(_) | T::Struct(_) | T::Map(..) if is_json(field) => {
                let array = in_base64(array)?;
                let plain = Field::new(field.name(), array.data_type().clone(), true);
                let nested = Column::new(&array, &plain, zone)?;
                let mut written = Vec::new();
                let mut texts = StringBuilder::new();
                for row in 0..array.len() {
                    written.clear();
                    nested.write_json(row, &mut written);
                    texts.append_value(String::from_utf8_lossy(&written));
                }
                Values::Json(Texts::Small(texts.finish()))
            }
            T::List(item) => {
                let list = array.as_list::<i32>();
                let items = Column::new(list.values(), item, zone)?;
                Values::List(list.offsets().clone(), Box::new(items))
            }
            T::Struct(fields) => {
                let columns = fields
                    .iter()
                    .zip(array.as_struct().columns())
                    .map(|(field, array)| {
                        Ok((field.name().clone(), Column::new(array, field, zone)?))
                    })
                    .collect::<Result<_, ArrowError>>()?;
                Values::Struct(columns)
            }
            T::Map(entries, _) => {
                let map = array.as_map();
                let T::Struct(fields) = entries.data_type() else {
                    return Err(ArrowError::SchemaError(
                        "entries of a map are not a struct".to_owned(),
                    ));
                };
                let keys = Column::new(map.keys(), &fields[0], zone)?;
                let values = Column::new(map.values(), &fields[1], zone)?;
                Values::Map(map.offsets().clone(), Box::new(keys), Box::new(values))
            }
            // The cast would round towards 1970.
            T::Timestamp(TimeUnit::Nanosecond, time_zone) => {
                let nanos = array.as_primitive::<TimestampNanosecondType>();
                let micros: TimestampMicrosecondArray = nanos.unary(|nanos| nanos.div_euclid(1000));
                let micros: ArrayRef = Arc::new(micros.with_timezone_opt(time_zone.clone()));
                return Column::new(&micros, field, zone);
            }
            // Everything else has a sister among the above.
            other => {
                let sister = match other {
                    T::Int8 | T::UInt8 => T::Int16,
                    T::UInt16 => T::Int32,
                    T::UInt32 => T::Int64,
                    T::UInt64 => T::Decimal128(20, 0),
                    T::Float16 => T::Float32,
                    T::Decimal32(precision, scale) | T::Decimal64(precision, scale) => {
                        T::Decimal128(*precision, *scale)
                    }
                    T::Date64 => T::Date32,
                    T::Time32(_) | T::Time64(_) => T::Time64(micros),
                    T::Timestamp(_, zone) => T::Timestamp(micros, zone.clone()),
                    T::Interval(_) => T::Interval(IntervalUnit::MonthDayNano),
                    T::Duration(_) => {
                        return Column::new(&duration_to_interval(array)?, field, zone);
                    }
                    T::LargeList(item)
                    | T::FixedSizeList(item, _)
                    | T::ListView(item)
                    | T::LargeListView(item) => T::List(item.clone()),
                    T::Dictionary(_, value) => value.as_ref().clone(),
                    T::RunEndEncoded(_, value) => value.data_type().clone(),
                    _ => T::Utf8,
                };
                return Column::new(&cast(array, &sister)?, field, zone);
            }
        };
        Ok(Column { nulls, values })
    }

    /// Whether a cell is NULL.
    #[inline]
    pub fn is_null(&self, row: usize) -> bool {
        match &self.nulls {
            Some(nulls) => nulls.is_null(row),
            None => matches!(self.values, Values::Null),
        }
    }

    /// The values, valid where [`Column::is_null`] is false.
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// Writes Postgres' text form of a cell that is not NULL.
    pub fn write_text(&self, row: usize, out: &mut Vec<u8>) {
        match &self.values {
            Values::Null => {}
            Values::Boolean(array) => out.push(if array.value(row) { b't' } else { b'f' }),
            Values::Int16(array) => write_int(out, array.value(row)),
            Values::Int32(array) => write_int(out, array.value(row)),
            Values::Int64(array) => write_int(out, array.value(row)),
            Values::Float32(array) => write_f32(out, array.value(row)),
            Values::Float64(array) => write_f64(out, array.value(row)),
            Values::Decimal128(array, scale) => write_decimal(out, array.value(row), *scale),
            Values::Decimal256(array, scale) => write_decimal256(out, array.value(row), *scale),
            Values::Text(texts) | Values::Json(texts) => {
                out.extend_from_slice(texts.value(row).as_bytes());
            }
            Values::Bytes(blobs) => write_hex(out, blobs.value(row)),
            Values::Uuid(array) => write_uuid(out, array.value(row)),
            Values::Date(array) => write_date(out, array.value(row).into()),
            Values::Time(array) => write_time(out, array.value(row)),
            Values::Timestamp(array) => write_timestamp(out, array.value(row), b' '),
            Values::TimestampTz(array, zone) => {
                write_timestamptz(out, array.value(row), zone, b' ', false);
            }
            Values::Interval(array) => write_interval(out, array.value(row)),
            Values::List(offsets, items) => {
                write_array(out, items, offsets[row] as usize, offsets[row + 1] as usize);
            }
            Values::Struct(_) | Values::Map(..) => self.write_json(row, out),
        }
    }

    /// Writes a cell, NULL or not, as JSON.
    pub fn write_json(&self, row: usize, out: &mut Vec<u8>) {
        if self.is_null(row) {
            out.extend_from_slice(b"null");
            return;
        }
        match &self.values {
            Values::Null => out.extend_from_slice(b"null"),
            Values::Boolean(array) => {
                out.extend_from_slice(if array.value(row) { b"true" } else { b"false" });
            }
            Values::Int16(_)
            | Values::Int32(_)
            | Values::Int64(_)
            | Values::Decimal128(..)
            | Values::Decimal256(..) => self.write_text(row, out),
            Values::Float32(array) if array.value(row).is_finite() => self.write_text(row, out),
            Values::Float64(array) if array.value(row).is_finite() => self.write_text(row, out),
            Values::Json(texts) => out.extend_from_slice(texts.value(row).as_bytes()),
            Values::Text(texts) => write_json_string(out, texts.value(row).as_bytes()),
            Values::Timestamp(array) => {
                out.push(b'"');
                write_timestamp(out, array.value(row), b'T');
                out.push(b'"');
            }
            Values::TimestampTz(array, zone) => {
                out.push(b'"');
                write_timestamptz(out, array.value(row), zone, b'T', true);
                out.push(b'"');
            }
            Values::List(offsets, items) => {
                out.push(b'[');
                for (n, item) in (offsets[row]..offsets[row + 1]).enumerate() {
                    if n > 0 {
                        out.push(b',');
                    }
                    items.write_json(item as usize, out);
                }
                out.push(b']');
            }
            Values::Struct(fields) => {
                out.push(b'{');
                for (n, (name, field)) in fields.iter().enumerate() {
                    if n > 0 {
                        out.push(b',');
                    }
                    write_json_string(out, name.as_bytes());
                    out.push(b':');
                    field.write_json(row, out);
                }
                out.push(b'}');
            }
            Values::Map(offsets, keys, values) => {
                out.push(b'{');
                for (n, entry) in (offsets[row]..offsets[row + 1]).enumerate() {
                    if n > 0 {
                        out.push(b',');
                    }
                    let mut key = Vec::new();
                    keys.write_text(entry as usize, &mut key);
                    write_json_string(out, &key);
                    out.push(b':');
                    values.write_json(entry as usize, out);
                }
                out.push(b'}');
            }
            // Dates, intervals, bytes and numbers that JSON does not have are strings.
            _ => {
                let mut text = Vec::new();
                self.write_text(row, &mut text);
                write_json_string(out, &text);
            }
        }
    }
}

fn text(texts: Texts, field: &Field) -> Values {
    if is_json(field) {
        Values::Json(texts)
    } else {
        Values::Text(texts)
    }
}

/// Durations have no type of their own in SQL; Arrow casts them to intervals only by way of their units.
fn duration_to_interval(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let nanos = cast(array, &DataType::Duration(TimeUnit::Nanosecond))?;
    let nanos = nanos.as_primitive::<arrow::datatypes::DurationNanosecondType>();
    let intervals: IntervalMonthDayNanoArray = nanos
        .iter()
        .map(|value| {
            value.map(|nanoseconds| IntervalMonthDayNano {
                months: 0,
                days: 0,
                nanoseconds,
            })
        })
        .collect();
    Ok(Arc::new(intervals))
}

#[inline]
fn write_int(out: &mut Vec<u8>, value: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// `{1,NULL,"a b"}`.
fn write_array(out: &mut Vec<u8>, items: &Column, start: usize, end: usize) {
    let nested = matches!(items.values, Values::List(..));
    out.push(b'{');
    for item in start..end {
        if item > start {
            out.push(b',');
        }
        if items.is_null(item) {
            out.extend_from_slice(b"NULL");
            continue;
        }
        let from = out.len();
        items.write_text(item, out);
        if !nested && needs_quotes(&out[from..]) {
            let text = out.split_off(from);
            out.push(b'"');
            for byte in text {
                if matches!(byte, b'"' | b'\\') {
                    out.push(b'\\');
                }
                out.push(byte);
            }
            out.push(b'"');
        }
    }
    out.push(b'}');
}

/// The shortest text that reads back as the same number.
pub fn write_f64(out: &mut Vec<u8>, value: f64) {
    if value.is_finite() {
        use std::io::Write as _;
        let mut digits = [0u8; 32];
        let mut cursor = std::io::Cursor::new(digits.as_mut_slice());
        write!(cursor, "{value:e}").expect("17 digits and an exponent fit");
        let length = cursor.position() as usize;
        place_point(out, &digits[..length], 15);
    } else {
        write_not_finite(out, value.is_nan(), value < 0.0);
    }
}

/// The shortest text that reads back as the same number.
pub fn write_f32(out: &mut Vec<u8>, value: f32) {
    if value.is_finite() {
        use std::io::Write as _;
        let mut digits = [0u8; 32];
        let mut cursor = std::io::Cursor::new(digits.as_mut_slice());
        write!(cursor, "{value:e}").expect("9 digits and an exponent fit");
        let length = cursor.position() as usize;
        place_point(out, &digits[..length], 6);
    } else {
        write_not_finite(out, value.is_nan(), value < 0.0);
    }
}

fn write_not_finite(out: &mut Vec<u8>, nan: bool, negative: bool) {
    out.extend_from_slice(match (nan, negative) {
        (true, _) => b"NaN",
        (false, false) => b"Infinity",
        (false, true) => b"-Infinity",
    });
}

/// Turns `-1.234e5` into `-123400` where Postgres does: for exponents from -4 up to below `limit`.
fn place_point(out: &mut Vec<u8>, scientific: &[u8], limit: i32) {
    let (negative, rest) = match scientific {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    if negative {
        out.push(b'-');
    }
    let at = rest
        .iter()
        .position(|byte| *byte == b'e')
        .unwrap_or(rest.len());
    let exponent: i32 = std::str::from_utf8(rest.get(at + 1..).unwrap_or_default())
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    let mut digits = [0u8; 24];
    let mut count = 0;
    for byte in &rest[..at] {
        if *byte != b'.' {
            digits[count] = *byte;
            count += 1;
        }
    }
    let digits = &digits[..count];
    if !(-4..limit).contains(&exponent) {
        out.push(digits[0]);
        if count > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        out.push(b'e');
        out.push(if exponent < 0 { b'-' } else { b'+' });
        let exponent = exponent.unsigned_abs();
        if exponent < 10 {
            out.push(b'0');
        }
        write_int(out, exponent);
    } else if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + (-exponent - 1) as usize, b'0');
        out.extend_from_slice(digits);
    } else {
        let whole = exponent as usize + 1;
        if count <= whole {
            out.extend_from_slice(digits);
            out.resize(out.len() + whole - count, b'0');
        } else {
            out.extend_from_slice(&digits[..whole]);
            out.push(b'.');
            out.extend_from_slice(&digits[whole..]);
        }
    }
}

/// A decimal with all digits of its scale.
pub fn write_decimal(out: &mut Vec<u8>, value: i128, scale: i8) {
    if value < 0 {
        out.push(b'-');
    }
    let mut buffer = itoa::Buffer::new();
    write_scaled(out, buffer.format(value.unsigned_abs()).as_bytes(), scale);
}

/// A wide decimal with all digits of its scale.
pub fn write_decimal256(out: &mut Vec<u8>, value: i256, scale: i8) {
    let text = value.to_string();
    let digits = match text.strip_prefix('-') {
        Some(digits) => {
            out.push(b'-');
            digits
        }
        None => &text,
    };
    write_scaled(out, digits.as_bytes(), scale);
}

fn write_scaled(out: &mut Vec<u8>, digits: &[u8], scale: i8) {
    let places = usize::from(scale.unsigned_abs());
    if scale <= 0 {
        out.extend_from_slice(digits);
        if digits != b"0" {
            out.resize(out.len() + places, b'0');
        }
    } else if digits.len() > places {
        let (whole, fraction) = digits.split_at(digits.len() - places);
        out.extend_from_slice(whole);
        out.push(b'.');
        out.extend_from_slice(fraction);
    } else {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + places - digits.len(), b'0');
        out.extend_from_slice(digits);
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

fn write_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(b"\\x");
    for byte in bytes {
        out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
}

fn write_uuid(out: &mut Vec<u8>, bytes: &[u8]) {
    for (n, byte) in bytes.iter().enumerate() {
        if matches!(n, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
}

/// A string in JSON's quotes.
pub fn write_json_string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for byte in text {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            0..0x20 => {
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
            other => out.push(*other),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use arrow::array::{DictionaryArray, NullArray, TimestampNanosecondArray, UInt64Array};
    use arrow::datatypes::Int8Type;
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::super::build::parse_value;
    use super::super::types::LOGICAL_TYPE;
    use super::*;

    /// Reads each text as a value of the type and writes it back, as text and as JSON.
    fn check(data_type: DataType, texts: &[&str], expected: Expect) {
        check_field(&Field::new("c", data_type, true), texts, expected);
    }

    fn check_field(field: &Field, texts: &[&str], expected: Expect) {
        let zone = Zone::parse("America/New_York").expect("a zone");
        let mut lines = String::new();
        for text in texts {
            let shown = match parse_value(Some(text), field, &zone) {
                Ok(array) => {
                    assert_eq!(array.data_type(), field.data_type());
                    let column = Column::new(&array, field, &zone).expect("a column");
                    let mut out = Vec::new();
                    column.write_text(0, &mut out);
                    out.extend_from_slice(b" | ");
                    column.write_json(0, &mut out);
                    String::from_utf8(out).expect("UTF-8")
                }
                Err(error) => format!("{:?}: {}", error.kind, error.message),
            };
            lines.push_str(&format!("{text} => {shown}\n"));
        }
        expected.assert_eq(&lines);
    }

    fn list(item: DataType) -> DataType {
        DataType::List(Arc::new(Field::new("item", item, true)))
    }

    #[test]
    fn simple_values() {
        check(
            DataType::Boolean,
            &["true", "off", "x"],
            expect![[r#"
            true => t | true
            off => f | false
            x => InvalidText: invalid input syntax for type boolean: "x"
        "#]],
        );
        check(
            DataType::Int16,
            &["-32768", "32768", "1.0"],
            expect![[r#"
            -32768 => -32768 | -32768
            32768 => NumericOutOfRange: value "32768" is out of range for type smallint
            1.0 => InvalidText: invalid input syntax for type smallint: "1.0"
        "#]],
        );
        check(
            DataType::Utf8,
            &["", "a\"b\\c\n\u{1}é"],
            expect![[r#"
             =>  | ""
            a"b\c
            é => a"b\c
            é | "a\"b\\c\n\u0001é"
        "#]],
        );
        check(
            DataType::Binary,
            &["\\xdeadBEEF", "abc", "\\x0"],
            expect![[r#"
                \xdeadBEEF => \xdeadbeef | "\\xdeadbeef"
                abc => \x616263 | "\\x616263"
                \x0 => InvalidText: invalid input syntax for type bytea: "\x0"
            "#]],
        );
        check(
            DataType::FixedSizeBinary(16),
            &[
                "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
                "{a0eebc999c0b4ef8bb6d6bb9bd380a11}",
                "a0ee",
            ],
            expect![[r#"
                A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11 => a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11 | "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
                {a0eebc999c0b4ef8bb6d6bb9bd380a11} => a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11 | "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
                a0ee => InvalidText: invalid input syntax for type uuid: "a0ee"
            "#]],
        );
    }

    #[test]
    fn floating_point_numbers() {
        check(
            DataType::Float64,
            &[
                "0",
                "-0",
                "1",
                "1.5",
                "100000000000000",
                "1000000000000000",
                "123456789012345678",
                "0.0001",
                "0.00001",
                "1e300",
                "-1.5e-300",
                "0.1",
                "3.141592653589793",
                "NaN",
                "-inf",
                "1e309",
                "4.9e-324",
                "1e23",
            ],
            expect![[r#"
                0 => 0 | 0
                -0 => -0 | -0
                1 => 1 | 1
                1.5 => 1.5 | 1.5
                100000000000000 => 100000000000000 | 100000000000000
                1000000000000000 => 1e+15 | 1e+15
                123456789012345678 => 1.2345678901234568e+17 | 1.2345678901234568e+17
                0.0001 => 0.0001 | 0.0001
                0.00001 => 1e-05 | 1e-05
                1e300 => 1e+300 | 1e+300
                -1.5e-300 => -1.5e-300 | -1.5e-300
                0.1 => 0.1 | 0.1
                3.141592653589793 => 3.141592653589793 | 3.141592653589793
                NaN => NaN | "NaN"
                -inf => -Infinity | "-Infinity"
                1e309 => NumericOutOfRange: "1e309" is out of range for type double precision
                4.9e-324 => 5e-324 | 5e-324
                1e23 => 1e+23 | 1e+23
            "#]],
        );
        check(
            DataType::Float32,
            &[
                "0.1",
                "16777216",
                "100000",
                "1000000",
                "1234567",
                "3.4028235e38",
                "1e-45",
                "0.0001",
                "1e39",
            ],
            expect![[r#"
                0.1 => 0.1 | 0.1
                16777216 => 1.6777216e+07 | 1.6777216e+07
                100000 => 100000 | 100000
                1000000 => 1e+06 | 1e+06
                1234567 => 1.234567e+06 | 1.234567e+06
                3.4028235e38 => 3.4028235e+38 | 3.4028235e+38
                1e-45 => 1e-45 | 1e-45
                0.0001 => 0.0001 | 0.0001
                1e39 => NumericOutOfRange: "1e39" is out of range for type real
            "#]],
        );
    }

    #[test]
    fn decimals() {
        check(
            DataType::Decimal128(10, 2),
            &[
                "1",
                "-0.005",
                "12345678.994",
                "123456789",
                ".5",
                "-0.5",
                "0",
                "NaN",
            ],
            expect![[r#"
                1 => 1.00 | 1.00
                -0.005 => -0.01 | -0.01
                12345678.994 => 12345678.99 | 12345678.99
                123456789 => NumericOutOfRange: numeric field overflow
                .5 => 0.50 | 0.50
                -0.5 => -0.50 | -0.50
                0 => 0.00 | 0.00
                NaN => InvalidText: invalid input syntax for type numeric: "NaN"
            "#]],
        );
        check(
            DataType::Decimal128(10, 0),
            &["1.5", "-2"],
            expect![[r#"
            1.5 => 2 | 2
            -2 => -2 | -2
        "#]],
        );
        check(
            DataType::Decimal128(10, -2),
            &["12345", "0"],
            expect![[r#"
            12345 => 12300 | 12300
            0 => 0 | 0
        "#]],
        );
        check(
            DataType::Decimal256(50, 3),
            &["123456789012345678901234567890.1234", "-1", "x"],
            expect![[r#"
                123456789012345678901234567890.1234 => 123456789012345678901234567890.123 | 123456789012345678901234567890.123
                -1 => -1.000 | -1.000
                x => InvalidText: invalid input syntax for type numeric: "x"
            "#]],
        );
    }

    #[test]
    fn dates_and_times() {
        check(
            DataType::Date32,
            &["2013-01-31", "0044-03-15 BC", "2013-02-29", "yesterday"],
            expect![[r#"
                2013-01-31 => 2013-01-31 | "2013-01-31"
                0044-03-15 BC => 0044-03-15 BC | "0044-03-15 BC"
                2013-02-29 => DatetimeOverflow: date/time field value out of range: "2013-02-29"
                yesterday => InvalidDatetime: invalid input syntax for type date: "yesterday"
            "#]],
        );
        check(
            DataType::Time64(TimeUnit::Microsecond),
            &["5:15", "23:59:59.999999"],
            expect![[r#"
                5:15 => 05:15:00 | "05:15:00"
                23:59:59.999999 => 23:59:59.999999 | "23:59:59.999999"
            "#]],
        );
        check(
            DataType::Timestamp(TimeUnit::Microsecond, None),
            &[
                "2013-01-31 05:15:00.5",
                "2013-01-31",
                "0044-03-15 12:00 BC",
                "20130131T0515",
            ],
            expect![[r#"
                2013-01-31 05:15:00.5 => 2013-01-31 05:15:00.5 | "2013-01-31T05:15:00.5"
                2013-01-31 => 2013-01-31 00:00:00 | "2013-01-31T00:00:00"
                0044-03-15 12:00 BC => 0044-03-15 12:00:00 BC | "0044-03-15T12:00:00 BC"
                20130131T0515 => 2013-01-31 05:15:00 | "2013-01-31T05:15:00"
            "#]],
        );
        check(
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            &["2013-01-31 05:15", "2013-07-31 05:15Z", "1880-01-01 00:00"],
            expect![[r#"
                2013-01-31 05:15 => 2013-01-31 05:15:00-05 | "2013-01-31T05:15:00-05:00"
                2013-07-31 05:15Z => 2013-07-31 01:15:00-04 | "2013-07-31T01:15:00-04:00"
                1880-01-01 00:00 => 1880-01-01 00:00:00-04:56:02 | "1880-01-01T00:00:00-04:56:02"
            "#]],
        );
        check(
            DataType::Interval(IntervalUnit::MonthDayNano),
            &["1 day -1:00", "x"],
            expect![[r#"
                1 day -1:00 => 1 day -01:00:00 | "1 day -01:00:00"
                x => InvalidDatetime: invalid input syntax for type interval: "x"
            "#]],
        );
        // Read by way of microseconds.
        check(
            DataType::Timestamp(TimeUnit::Nanosecond, None),
            &["2013-01-31 05:15:00.123456"],
            expect![[r#"
                2013-01-31 05:15:00.123456 => 2013-01-31 05:15:00.123456 | "2013-01-31T05:15:00.123456"
            "#]],
        );
        check(
            DataType::Date64,
            &["2013-01-31"],
            expect![[r#"
            2013-01-31 => 2013-01-31 | "2013-01-31"
        "#]],
        );
        check(
            DataType::UInt64,
            &["18446744073709551615", "-1"],
            expect![[r#"
                18446744073709551615 => 18446744073709551615 | 18446744073709551615
                -1 => NumericOutOfRange: value of -1 is out of range UInt64
            "#]],
        );
    }

    #[test]
    fn nested_values() {
        check(
            list(DataType::Int32),
            &["{1,NULL,3}", "[1, null, 3]", "{}", "{1", "{x}"],
            expect![[r#"
                {1,NULL,3} => {1,NULL,3} | [1,null,3]
                [1, null, 3] => {1,NULL,3} | [1,null,3]
                {} => {} | []
                {1 => InvalidText: malformed array literal: "{1"
                {x} => InvalidText: invalid input syntax for type integer: "x"
            "#]],
        );
        check(
            list(DataType::Utf8),
            &[
                "{a,\"b c\",NULL,\"NULL\",\"\",\"q\\\"\\\\\"}",
                "[\"a\", \"{}\", 1]",
            ],
            expect![[r#"
                {a,"b c",NULL,"NULL","","q\"\\"} => {a,"b c",NULL,"NULL","","q\"\\"} | ["a","b c",null,"NULL","","q\"\\"]
                ["a", "{}", 1] => {a,"{}",1} | ["a","{}","1"]
            "#]],
        );
        check(
            list(list(DataType::Int64)),
            &["{{1,2},{3}}", "[[1],[]]", "{1}"],
            expect![[r#"
                {{1,2},{3}} => {{1,2},{3}} | [[1,2],[3]]
                [[1],[]] => {{1},{}} | [[1],[]]
                {1} => InvalidText: malformed array literal: "1"
            "#]],
        );
        check(
            list(DataType::Timestamp(TimeUnit::Microsecond, None)),
            &["{2013-01-31 05:15:00}"],
            expect![[r#"
                {2013-01-31 05:15:00} => {"2013-01-31 05:15:00"} | ["2013-01-31T05:15:00"]
            "#]],
        );
        let fields = vec![
            Field::new("a", DataType::Int32, true),
            Field::new("b", list(DataType::Utf8), true),
        ];
        check(
            DataType::Struct(fields.into()),
            &[
                "{\"a\": 1, \"b\": [\"x\", null]}",
                "{}",
                "{\"a\": \"x\"}",
                "[",
                "7",
            ],
            expect![[r#"
                {"a": 1, "b": ["x", null]} => {"a":1,"b":["x",null]} | {"a":1,"b":["x",null]}
                {} => {"a":null,"b":null} | {"a":null,"b":null}
                {"a": "x"} => InvalidText: whilst decoding field 'value': whilst decoding field 'a': failed to parse "x" as Int32
                [ => InvalidJson: invalid input syntax for type struct
                7 => InvalidText: whilst decoding field 'value': expected { got 7
            "#]],
        );
        let entries = Field::new_struct(
            "entries",
            vec![
                Field::new("keys", DataType::Utf8, false),
                Field::new("values", DataType::Int32, true),
            ],
            false,
        );
        check(
            DataType::Map(Arc::new(entries), false),
            &["{\"a\": 1, \"b\\\"\": null}", "{}"],
            expect![[r#"
                {"a": 1, "b\"": null} => {"a":1,"b\"":null} | {"a":1,"b\"":null}
                {} => {} | {}
            "#]],
        );
        let logical = |name: &str| {
            Field::new("c", DataType::Utf8, true)
                .with_metadata([(LOGICAL_TYPE.to_owned(), name.to_owned())].into())
        };
        check_field(
            &logical("uuid"),
            &["{A0EEBC999C0B4EF8BB6D6BB9BD380A11}", "x"],
            expect![[r#"
                {A0EEBC999C0B4EF8BB6D6BB9BD380A11} => a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11 | "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
                x => InvalidText: invalid input syntax for type uuid: "x"
            "#]],
        );
        check_field(
            &logical("varchar(3)"),
            &["abc", "abc  ", "abcd", "äöü"],
            expect![[r#"
                abc => abc | "abc"
                abc   => abc | "abc"
                abcd => StringTooLong: value too long for type character varying(3)
                äöü => äöü | "äöü"
            "#]],
        );
        check_field(
            &logical("jsonb"),
            &["{\"b\":1,  \"a\":[1, 2.50]}", "nope"],
            expect![[r#"
                {"b":1,  "a":[1, 2.50]} => {"a": [1, 2.5], "b": 1} | {"a": [1, 2.5], "b": 1}
                nope => InvalidJson: invalid input syntax for type jsonb
            "#]],
        );
        let json = logical("json");
        check_field(
            &json,
            &["{\"a\": [1, 2.50]}", "1", "nope"],
            expect![[r#"
            {"a": [1, 2.50]} => {"a": [1, 2.50]} | {"a": [1, 2.50]}
            1 => 1 | 1
            nope => InvalidJson: invalid input syntax for type json
        "#]],
        );
    }

    #[test]
    fn unusual_layouts() {
        let zone = Zone::UTC;
        let show = |array: ArrayRef| {
            let field = Field::new("c", array.data_type().clone(), true);
            let column = Column::new(&array, &field, &zone).expect("a column");
            let mut out = Vec::new();
            for row in 0..array.len() {
                if column.is_null(row) {
                    out.extend_from_slice(b"NULL");
                } else {
                    column.write_text(row, &mut out);
                }
                out.push(b' ');
            }
            String::from_utf8(out).expect("UTF-8")
        };
        let words: DictionaryArray<Int8Type> =
            vec![Some("a"), None, Some("b")].into_iter().collect();
        assert_eq!(show(Arc::new(words)), "a NULL b ");
        assert_eq!(show(Arc::new(NullArray::new(2))), "NULL NULL ");
        assert_eq!(
            show(Arc::new(UInt64Array::from(vec![u64::MAX]))),
            "18446744073709551615 "
        );
        assert_eq!(
            show(Arc::new(TimestampNanosecondArray::from(vec![-1]))),
            "1969-12-31 23:59:59.999999 "
        );
        let durations = arrow::array::DurationMillisecondArray::from(vec![90_061_000]);
        assert_eq!(show(Arc::new(durations)), "25:01:01 ");
    }

    proptest! {
        #[test]
        fn floats_read_back_the_same(bits: u64) {
            let value = f64::from_bits(bits);
            let mut out = Vec::new();
            write_f64(&mut out, value);
            let text = String::from_utf8(out).expect("ASCII");
            let back: f64 = text.parse().expect("a number");
            prop_assert!(back.to_bits() == bits || value.is_nan() && back.is_nan(), "{}", text);
        }

        #[test]
        fn decimals_read_back_the_same(value in -10i128.pow(37)..10i128.pow(37), scale in 0i8..38) {
            let mut out = Vec::new();
            write_decimal(&mut out, value, scale);
            let text = String::from_utf8(out).expect("ASCII");
            prop_assert_eq!(super::super::parse::parse_decimal(&text, 38, scale), Ok(value), "{}", text);
        }

        #[test]
        fn arrays_of_any_text_read_back_the_same(texts in prop::collection::vec(prop::option::of(".{0,8}"), 0..5)) {
            let mut builder = arrow::array::ListBuilder::new(StringBuilder::new());
            builder.append_value(texts);
            let array: ArrayRef = Arc::new(builder.finish());
            let field = Field::new("c", array.data_type().clone(), true);
            let mut out = Vec::new();
            Column::new(&array, &field, &Zone::UTC).expect("a column").write_text(0, &mut out);
            let text = String::from_utf8(out).expect("UTF-8");
            let back = parse_value(Some(&text), &field, &Zone::UTC).expect("an array");
            prop_assert_eq!(back.as_ref(), array.as_ref(), "{}", text);
        }
    }
}
