//! String constants read as another type, as PostgreSQL reads them.

use arrow::compute::kernels::cast_utils::string_to_datetime;
use arrow_schema::{DataType, TimeUnit};
use datafusion::scalar::ScalarValue;

use crate::error::{PlanError, PlanErrorKind, Result};
use crate::types::data_type_name;

/// The constant that a text means as a value of this type; `None` where that is left to a cast.
///
/// # Errors
/// When the text is not a value of the type.
pub(crate) fn read(
    text: &str,
    data_type: &DataType,
    time_zone: chrono_tz::Tz,
) -> Result<Option<ScalarValue>> {
    let trimmed = text.trim();
    let bad = || invalid(text, data_type);
    let value = match data_type {
        DataType::Utf8 => ScalarValue::Utf8(Some(text.to_owned())),
        DataType::Boolean => ScalarValue::Boolean(Some(read_bool(trimmed).ok_or_else(bad)?)),
        DataType::Int16 | DataType::Int32 | DataType::Int64 => {
            return read_integer(text, data_type).map(Some);
        }
        DataType::Float32 => {
            ScalarValue::Float32(Some(read_float(trimmed).ok_or_else(bad)? as f32))
        }
        DataType::Float64 => ScalarValue::Float64(Some(read_float(trimmed).ok_or_else(bad)?)),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let moment = match zone {
                Some(_) => string_to_datetime(&time_zone, trimmed)
                    .map(|moment| moment.timestamp_micros())
                    .ok(),
                None => return by_cast(trimmed, data_type).ok_or_else(bad).map(Some),
            };
            ScalarValue::TimestampMicrosecond(Some(moment.ok_or_else(bad)?), zone.clone())
        }
        DataType::Date32 | DataType::Time64(_) | DataType::Interval(_) => {
            return by_cast(trimmed, data_type).ok_or_else(bad).map(Some);
        }
        DataType::Decimal128(precision, scale) => {
            let value = by_cast(trimmed, data_type).ok_or_else(|| match read_float(trimmed) {
                Some(_) => PlanError::new(
                    PlanErrorKind::NumericOutOfRange,
                    format!("value \"{text}\" is out of range for type numeric({precision},{scale})"),
                ),
                None => bad(),
            })?;
            return Ok(Some(value));
        }
        _ => return Ok(None),
    };
    Ok(Some(value))
}

fn by_cast(text: &str, data_type: &DataType) -> Option<ScalarValue> {
    ScalarValue::Utf8(Some(text.to_owned()))
        .cast_to(data_type)
        .ok()
        .filter(|value| !value.is_null())
}

fn read_bool(text: &str) -> Option<bool> {
    let text = text.to_ascii_lowercase();
    let prefix_of = |word: &str, least: usize| text.len() >= least && word.starts_with(&text);
    if prefix_of("true", 1) || prefix_of("yes", 1) || text == "on" || text == "1" {
        Some(true)
    } else if prefix_of("false", 1) || prefix_of("no", 1) || prefix_of("off", 2) || text == "0" {
        Some(false)
    } else {
        None
    }
}

fn read_float(text: &str) -> Option<f64> {
    // Rust reads `inf` and `infinity` too, in any case.
    text.parse().ok()
}

fn read_integer(text: &str, data_type: &DataType) -> Result<ScalarValue> {
    let wide: i128 = match text.trim().parse() {
        Ok(wide) => wide,
        Err(error) if matches!(error.kind(), std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow) => {
            return Err(too_large(text, data_type));
        }
        Err(_) => return Err(invalid(text, data_type)),
    };
    let value = match data_type {
        DataType::Int16 => i16::try_from(wide).map(|v| ScalarValue::Int16(Some(v))).ok(),
        DataType::Int32 => i32::try_from(wide).map(|v| ScalarValue::Int32(Some(v))).ok(),
        _ => i64::try_from(wide).map(|v| ScalarValue::Int64(Some(v))).ok(),
    };
    value.ok_or_else(|| too_large(text, data_type))
}

fn too_large(text: &str, data_type: &DataType) -> PlanError {
    PlanError::new(
        PlanErrorKind::NumericOutOfRange,
        format!(
            "value \"{text}\" is out of range for type {}",
            data_type_name(data_type)
        ),
    )
}

fn invalid(text: &str, data_type: &DataType) -> PlanError {
    let kind = match data_type {
        DataType::Timestamp(..) | DataType::Date32 | DataType::Time64(_) | DataType::Interval(_) => {
            PlanErrorKind::InvalidDatetime
        }
        _ => PlanErrorKind::InvalidText,
    };
    let name = match data_type {
        DataType::Timestamp(_, None) => "timestamp".to_owned(),
        DataType::Timestamp(_, Some(_)) => "timestamp with time zone".to_owned(),
        DataType::Time64(_) => "time".to_owned(),
        DataType::Decimal128(..) => "numeric".to_owned(),
        other => data_type_name(other),
    };
    PlanError::new(kind, format!("invalid input syntax for type {name}: \"{text}\""))
}
