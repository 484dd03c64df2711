//! Parameters: from the wire to scalars.

use arrow::array::{ArrayRef, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, IntervalMonthDayNano};
use bytes::Bytes;
use engine::formats::{ScalarValue, Zone, parse_value};

use super::binary::{EPOCH_DAYS, EPOCH_MICROS, numeric_text};
use crate::failure::{Failure, Report};
use crate::sqlstate;
use crate::types;

/// A parameter as a value of `wanted`. `oid` is the type that the client sends.
pub fn decode_parameter(
    bytes: Option<&Bytes>,
    binary: bool,
    oid: u32,
    wanted: &Field,
    zone: &Zone,
    number: usize,
) -> Result<ScalarValue, Failure> {
    let array = match bytes {
        None => new_null_array(wanted.data_type(), 1),
        Some(bytes) if binary => {
            let value =
                decode_binary(bytes, oid, wanted, zone).ok_or_else(|| wrong_binary(number))??;
            convert(value, wanted.data_type())?
        }
        Some(bytes) => {
            let text = std::str::from_utf8(bytes).map_err(|_| {
                Report::new(
                    sqlstate::CHARACTER_NOT_IN_REPERTOIRE,
                    "invalid byte sequence for encoding \"UTF8\"",
                )
            })?;
            parse(text, wanted, zone)?
        }
    };
    ScalarValue::try_from_array(&array, 0)
        .map_err(|error| Report::new(sqlstate::INTERNAL_ERROR, error.to_string()).into())
}

fn wrong_binary(number: usize) -> Failure {
    Failure::statement(
        sqlstate::INVALID_BINARY_REPRESENTATION,
        format!("incorrect binary data format in bind parameter {number}"),
    )
}

fn parse(text: &str, wanted: &Field, zone: &Zone) -> Result<ArrayRef, Failure> {
    parse_value(Some(text), wanted, zone).map_err(|error| engine::Error::from(error).into())
}

/// The client's type may be another one than the statement needs.
fn convert(value: ArrayRef, wanted: &DataType) -> Result<ArrayRef, Failure> {
    if value.data_type() == wanted {
        return Ok(value);
    }
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    cast_with_options(&value, wanted, &options)
        .map_err(|error| Report::new(sqlstate::INVALID_PARAMETER_VALUE, error.to_string()).into())
}

/// `None` when the bytes are not of the type.
fn decode_binary(
    bytes: &[u8],
    oid: u32,
    wanted: &Field,
    zone: &Zone,
) -> Option<Result<ArrayRef, Failure>> {
    let scalar = match oid {
        types::BOOL => match bytes {
            [0] => ScalarValue::Boolean(Some(false)),
            [_] => ScalarValue::Boolean(Some(true)),
            _ => return None,
        },
        types::INT2 => ScalarValue::Int16(Some(i16::from_be_bytes(bytes.try_into().ok()?))),
        types::INT4 => ScalarValue::Int32(Some(i32::from_be_bytes(bytes.try_into().ok()?))),
        types::OID => ScalarValue::Int64(Some(u32::from_be_bytes(bytes.try_into().ok()?).into())),
        types::INT8 => ScalarValue::Int64(Some(i64::from_be_bytes(bytes.try_into().ok()?))),
        types::FLOAT4 => ScalarValue::Float32(Some(f32::from_be_bytes(bytes.try_into().ok()?))),
        types::FLOAT8 => ScalarValue::Float64(Some(f64::from_be_bytes(bytes.try_into().ok()?))),
        types::NUMERIC => return Some(parse(&numeric_text(bytes)?, wanted, zone)),
        types::BYTEA => ScalarValue::Binary(Some(bytes.to_vec())),
        types::UUID if bytes.len() == 16 && *wanted.data_type() == DataType::Utf8 => {
            let uuid = uuid::Uuid::from_slice(bytes).ok()?;
            ScalarValue::Utf8(Some(uuid.hyphenated().to_string()))
        }
        types::UUID if bytes.len() == 16 => ScalarValue::FixedSizeBinary(16, Some(bytes.to_vec())),
        types::DATE => {
            let days = i32::from_be_bytes(bytes.try_into().ok()?);
            ScalarValue::Date32(Some(days.checked_add(EPOCH_DAYS)?))
        }
        types::TIME => {
            ScalarValue::Time64Microsecond(Some(i64::from_be_bytes(bytes.try_into().ok()?)))
        }
        types::TIMESTAMP | types::TIMESTAMPTZ => {
            let micros = i64::from_be_bytes(bytes.try_into().ok()?).checked_add(EPOCH_MICROS)?;
            let zone = (oid == types::TIMESTAMPTZ).then(|| "UTC".into());
            ScalarValue::TimestampMicrosecond(Some(micros), zone)
        }
        types::INTERVAL if bytes.len() == 16 => {
            let micros = i64::from_be_bytes(bytes[..8].try_into().ok()?);
            ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano {
                nanoseconds: micros.checked_mul(1000)?,
                days: i32::from_be_bytes(bytes[8..12].try_into().ok()?),
                months: i32::from_be_bytes(bytes[12..].try_into().ok()?),
            }))
        }
        types::JSONB => {
            // A version number stands before the text.
            let (1, text) = bytes
                .split_first()
                .map(|(version, text)| (*version, text))?
            else {
                return None;
            };
            return Some(parse(std::str::from_utf8(text).ok()?, wanted, zone));
        }
        types::TEXT
        | types::VARCHAR
        | types::BPCHAR
        | types::NAME
        | types::JSON
        | types::UNKNOWN
        | 0 => {
            return Some(parse(std::str::from_utf8(bytes).ok()?, wanted, zone));
        }
        array => {
            let element = types::element_of(array)?;
            return decode_array(bytes, element, wanted, zone);
        }
    };
    Some(
        scalar
            .to_array()
            .map_err(|error| Report::new(sqlstate::INTERNAL_ERROR, error.to_string()).into()),
    )
}

/// Arrays of one dimension, or none when empty.
fn decode_array(
    mut bytes: &[u8],
    element: u32,
    wanted: &Field,
    zone: &Zone,
) -> Option<Result<ArrayRef, Failure>> {
    let next = |bytes: &mut &[u8]| -> Option<i32> {
        let (head, rest) = bytes.split_first_chunk::<4>()?;
        *bytes = rest;
        Some(i32::from_be_bytes(*head))
    };
    let dimensions = next(&mut bytes)?;
    let _has_nulls = next(&mut bytes)?;
    let sent_element = next(&mut bytes)? as u32;
    let (DataType::List(item) | DataType::LargeList(item)) = wanted.data_type() else {
        return None;
    };
    let item_type = item.data_type();
    let count = match dimensions {
        0 => 0,
        1 => {
            let count = next(&mut bytes)?;
            let _lower_bound = next(&mut bytes)?;
            usize::try_from(count).ok()?
        }
        _ => return None,
    };
    // Every element has at least its length.
    if bytes.len() < count * 4 {
        return None;
    }
    let element = if sent_element == 0 {
        element
    } else {
        sent_element
    };
    let mut values: Vec<ScalarValue> = Vec::with_capacity(count);
    for _ in 0..count {
        let length = next(&mut bytes)?;
        let array = if length < 0 {
            new_null_array(item_type, 1)
        } else {
            let (value, rest) = bytes.split_at_checked(length as usize)?;
            bytes = rest;
            match decode_binary(value, element, item, zone)?
                .and_then(|array| convert(array, item_type))
            {
                Ok(array) => array,
                Err(failure) => return Some(Err(failure)),
            }
        };
        values.push(ScalarValue::try_from_array(&array, 0).ok()?);
    }
    let list = ScalarValue::new_list(&values, item_type, true);
    let list: ArrayRef = list;
    Some(convert(list, wanted.data_type()))
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{IntervalUnit, TimeUnit};
    use expect_test::expect;

    use super::*;

    fn show(result: Result<ScalarValue, Failure>) -> String {
        match result {
            Ok(value) => format!("{value:?}"),
            Err(Failure::Statement(report)) => format!("{}: {}", report.code, report.message),
            Err(other) => format!("{other:?}"),
        }
    }

    fn text(text: &str, wanted: DataType) -> String {
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        show(decode_parameter(
            Some(&bytes),
            false,
            0,
            &Field::new("", wanted, true),
            &Zone::UTC,
            1,
        ))
    }

    fn binary(bytes: &[u8], oid: u32, wanted: DataType) -> String {
        let bytes = Bytes::copy_from_slice(bytes);
        show(decode_parameter(
            Some(&bytes),
            true,
            oid,
            &Field::new("", wanted, true),
            &Zone::UTC,
            1,
        ))
    }

    #[test]
    fn parameters_in_text() {
        let shown = [
            text("12", DataType::Int32),
            text("x", DataType::Int32),
            text(
                "2013-01-01 05:00",
                DataType::Timestamp(TimeUnit::Microsecond, None),
            ),
            text(
                "{1,2}",
                DataType::List(Field::new_list_field(DataType::Int64, true).into()),
            ),
            text("1.25", DataType::Decimal128(10, 1)),
            text("anything", DataType::Utf8View),
            show(decode_parameter(
                None,
                false,
                0,
                &Field::new("", DataType::Int64, true),
                &Zone::UTC,
                1,
            )),
        ];
        expect![[r#"
            Int32(12)
            22P02: invalid input syntax for type integer: "x"
            TimestampMicrosecond(1357016400000000, None)
            List([1, 2])
            Decimal128(1.3,10,1)
            Utf8View("anything")
            Int64(NULL)"#]]
        .assert_eq(&shown.join("\n"));
    }

    #[test]
    fn parameters_in_binary() {
        let list = |item| DataType::List(Field::new_list_field(item, true).into());
        let ints = b"\0\0\0\x01\0\0\0\x01\0\0\0\x17\0\0\0\x02\0\0\0\x01\0\0\0\x04\0\0\0\x07\xff\xff\xff\xff";
        let shown = [
            binary(&[0, 0, 0, 7], types::INT4, DataType::Int32),
            binary(&[0, 0, 0, 7], types::INT4, DataType::Int64),
            binary(&[0, 0, 0, 7], types::INT4, DataType::Float64),
            binary(&[0, 7], types::INT4, DataType::Int32),
            binary(&[0, 1, 0, 0, 0, 0], types::INT8, DataType::Int64),
            binary(&70000i32.to_be_bytes(), types::INT4, DataType::Int16),
            binary(
                &[0, 3, 0, 1, 0, 0, 0, 2, 0, 1, 0x09, 0x29, 0x13, 0x88],
                types::NUMERIC,
                DataType::Decimal128(20, 2),
            ),
            binary(&[0; 4], types::DATE, DataType::Date32),
            binary(
                &[0; 8],
                types::TIMESTAMPTZ,
                DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            ),
            binary(
                &[0; 16],
                types::INTERVAL,
                DataType::Interval(IntervalUnit::MonthDayNano),
            ),
            binary(b"\x01{\"a\":1}", types::JSONB, DataType::Utf8),
            binary(b"\xff", types::TEXT, DataType::Utf8),
            binary(ints, 1007, list(DataType::Int32)),
            binary(ints, 1007, list(DataType::Int64)),
            binary(&ints[..20], 1007, list(DataType::Int32)),
            binary(&[0; 12], 1007, list(DataType::Int32)),
            binary(b"x", 99_999, DataType::Utf8),
        ];
        expect![[r#"
            Int32(7)
            Int64(7)
            Float64(7)
            22P03: incorrect binary data format in bind parameter 1
            22P03: incorrect binary data format in bind parameter 1
            22023: Cast error: Can't cast value 70000 to type Int16
            Decimal128(12345.50,20,2)
            Date32("2000-01-01")
            TimestampMicrosecond(946684800000000, Some("UTC"))
            IntervalMonthDayNano("IntervalMonthDayNano { months: 0, days: 0, nanoseconds: 0 }")
            Utf8("{"a":1}")
            22P03: incorrect binary data format in bind parameter 1
            List([7, ])
            List([7, ])
            22P03: incorrect binary data format in bind parameter 1
            List([])
            22P03: incorrect binary data format in bind parameter 1"#]]
        .assert_eq(&shown.join("\n"));
    }
}
