//! Text read as a value of another type, as PostgreSQL reads it.

use arrow_schema::{DataType, TimeUnit};
use chrono::{FixedOffset, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, TimeZone};
use datafusion::scalar::ScalarValue;

use crate::error::{PlanError, PlanErrorKind, Result};
use crate::types::data_type_name;

/// The value that a text means as one of this type; `None` for types whose text form is left to
/// others (nested ones, `BYTEA`). Times without a zone are in `time_zone`.
///
/// # Errors
/// When the text is not a value of the type.
pub fn read(
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
        DataType::Timestamp(_, zone) => {
            let (local, offset) = read_timestamp(trimmed).ok_or_else(bad)?;
            let micros = match zone {
                None => local.and_utc().timestamp_micros(),
                Some(_) => in_zone(local, offset, time_zone).ok_or_else(bad)?,
            };
            let utc = ScalarValue::TimestampMicrosecond(Some(micros), zone.clone());
            match data_type {
                DataType::Timestamp(TimeUnit::Microsecond, _) => utc,
                other => utc.cast_to(other)?,
            }
        }
        DataType::Date32 => {
            let (local, _) = read_timestamp(trimmed).ok_or_else(bad)?;
            let days = local
                .date()
                .signed_duration_since(NaiveDate::default())
                .num_days();
            ScalarValue::Date32(Some(i32::try_from(days).map_err(|_| bad())?))
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            let time = read_time(trimmed).ok_or_else(bad)?;
            let since = time.signed_duration_since(NaiveTime::MIN);
            ScalarValue::Time64Microsecond(Some(since.num_microseconds().ok_or_else(bad)?))
        }
        DataType::Interval(_) => {
            return by_cast(trimmed, data_type).ok_or_else(bad).map(Some);
        }
        DataType::Decimal128(precision, scale) => {
            let value = by_cast(trimmed, data_type).ok_or_else(|| match read_float(trimmed) {
                Some(_) => PlanError::new(
                    PlanErrorKind::NumericOutOfRange,
                    format!(
                        "value \"{text}\" is out of range for type numeric({precision},{scale})"
                    ),
                ),
                None => bad(),
            })?;
            return Ok(Some(value));
        }
        _ => return Ok(None),
    };
    Ok(Some(value))
}

/// `2024-01-31`, `2024-01-31 10:30`, `2024-01-31T10:30:00.5+02:00`, `2024-01-31 10:30 Europe/Oslo`.
fn read_timestamp(text: &str) -> Option<(NaiveDateTime, Option<Zone>)> {
    if text.eq_ignore_ascii_case("epoch") {
        return Some((
            NaiveDateTime::default(),
            Some(Zone::Fixed(FixedOffset::east_opt(0)?)),
        ));
    }
    let end = text.find([' ', 'T', 't']).unwrap_or(text.len());
    let (date, rest) = text.split_at(end);
    let date = ["%Y-%m-%d", "%Y/%m/%d", "%Y%m%d"]
        .iter()
        .find_map(|format| NaiveDate::parse_from_str(date, format).ok())?;
    let rest = rest.get(1..).unwrap_or_default().trim_start();
    let end = rest
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, ':' | '.')))
        .unwrap_or(rest.len());
    let (time, zone) = rest.split_at(end);
    let time = match time {
        "" => NaiveTime::MIN,
        time => read_time(time)?,
    };
    let zone = match zone.trim() {
        "" => None,
        zone => Some(read_zone(zone)?),
    };
    Some((date.and_time(time), zone))
}

fn read_time(text: &str) -> Option<NaiveTime> {
    ["%H:%M:%S%.f", "%H:%M", "%H%M%S"]
        .iter()
        .find_map(|format| NaiveTime::parse_from_str(text, format).ok())
}

enum Zone {
    Fixed(FixedOffset),
    Named(chrono_tz::Tz),
}

/// `Z`, `+02`, `-0330`, `+05:30`, `Europe/Oslo`.
fn read_zone(text: &str) -> Option<Zone> {
    if text.eq_ignore_ascii_case("z") {
        return FixedOffset::east_opt(0).map(Zone::Fixed);
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return text.parse().ok().map(Zone::Named),
    };
    let digits: String = text[1..].chars().filter(|c| *c != ':').collect();
    if digits.is_empty() || digits.len() > 6 || !digits.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let part = |range: std::ops::Range<usize>| -> i32 {
        digits
            .get(range)
            .and_then(|digits| digits.parse().ok())
            .unwrap_or(0)
    };
    let seconds = match digits.len() {
        1 => part(0..1) * 3600,
        _ => part(0..2) * 3600 + part(2..4) * 60 + part(4..6),
    };
    FixedOffset::east_opt(sign * seconds).map(Zone::Fixed)
}

/// The moment at which clocks show this time. A time that a clock change leaves out is read with
/// the offset before the change, one that comes twice is the first, as PostgreSQL does it.
fn in_zone(local: NaiveDateTime, zone: Option<Zone>, default: chrono_tz::Tz) -> Option<i64> {
    let named = match zone {
        Some(Zone::Fixed(offset)) => {
            return offset
                .from_local_datetime(&local)
                .single()
                .map(|moment| moment.timestamp_micros());
        }
        Some(Zone::Named(zone)) => zone,
        None => default,
    };
    match named.from_local_datetime(&local) {
        LocalResult::Single(moment) | LocalResult::Ambiguous(moment, _) => {
            Some(moment.timestamp_micros())
        }
        LocalResult::None => {
            let hour = chrono::Duration::hours(1);
            let before = named
                .from_local_datetime(&local.checked_sub_signed(hour)?)
                .earliest()?;
            Some(before.checked_add_signed(hour)?.timestamp_micros())
        }
    }
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
        Err(error)
            if matches!(
                error.kind(),
                std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow
            ) =>
        {
            return Err(too_large(text, data_type));
        }
        Err(_) => return Err(invalid(text, data_type)),
    };
    let value = match data_type {
        DataType::Int16 => i16::try_from(wide)
            .map(|v| ScalarValue::Int16(Some(v)))
            .ok(),
        DataType::Int32 => i32::try_from(wide)
            .map(|v| ScalarValue::Int32(Some(v)))
            .ok(),
        _ => i64::try_from(wide)
            .map(|v| ScalarValue::Int64(Some(v)))
            .ok(),
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
        DataType::Timestamp(..)
        | DataType::Date32
        | DataType::Time64(_)
        | DataType::Interval(_) => PlanErrorKind::InvalidDatetime,
        _ => PlanErrorKind::InvalidText,
    };
    let name = match data_type {
        DataType::Timestamp(_, None) => "timestamp".to_owned(),
        DataType::Timestamp(_, Some(_)) => "timestamp with time zone".to_owned(),
        DataType::Time64(_) => "time".to_owned(),
        DataType::Decimal128(..) => "numeric".to_owned(),
        other => data_type_name(other),
    };
    PlanError::new(
        kind,
        format!("invalid input syntax for type {name}: \"{text}\""),
    )
}
