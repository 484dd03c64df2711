//! Values from texts and back, as Java's classes write them.
//!
//! DELIMITED fields and JSON strings that stand for something else are read here.

use base64::Engine as _;

use super::column::{Blobs, Column, Decimals, TextKind};
use super::fail::{Fail, Fallible};
use super::json::decode::BASE64;
use crate::formats::{
    Zone, parse_date, parse_decimal, parse_interval, parse_time, parse_timestamp,
    parse_timestamptz, parse_uuid, parse_value,
};

const DAY_MS: i64 = 24 * 3600 * 1000;

/// Appends the value that a text stands for.
pub(super) fn append(column: &mut Column, text: &str) -> Fallible {
    let invalid =
        |name: &str| Fail::reason(format!("invalid input syntax for type {name}: \"{text}\""));
    match column {
        // Java's parseBoolean.
        Column::Boolean(booleans) => booleans.append(text.eq_ignore_ascii_case("true")),
        Column::Int16(numbers) => numbers.append(text.parse().map_err(|_| invalid("smallint"))?),
        Column::Int32(numbers) => numbers.append(text.parse().map_err(|_| invalid("integer"))?),
        Column::Int64(numbers) => numbers.append(text.parse().map_err(|_| invalid("bigint"))?),
        Column::Float32(numbers) => {
            numbers.append(parse_double(text).ok_or_else(|| invalid("real"))? as f32);
        }
        Column::Float64(numbers) => {
            numbers.append(parse_double(text).ok_or_else(|| invalid("double precision"))?);
        }
        Column::Decimal(numbers, decimals) => numbers.append(decimal(text, *decimals)?),
        Column::Date(numbers) => {
            let value = match text.parse() {
                Ok(days) => date_of_days(days),
                Err(_) => parse_date(text).ok(),
            };
            numbers.append(value.ok_or_else(|| invalid("date"))?);
        }
        Column::Time(numbers) => {
            let value = match text.parse() {
                Ok(ms) => time_of_ms(ms),
                Err(_) => parse_time(text).ok(),
            };
            numbers.append(value.ok_or_else(|| invalid("time"))?);
        }
        Column::Timestamp(numbers, zone) => {
            let value = match (text.parse::<i64>(), zone) {
                (Ok(ms), _) => ms.checked_mul(1000),
                (Err(_), None) => parse_timestamp(text).ok(),
                (Err(_), Some(_)) => parse_timestamptz(text, &Zone::UTC).ok(),
            };
            numbers.append(value.ok_or_else(|| invalid("timestamp"))?);
        }
        Column::Interval(numbers) => {
            numbers.append(parse_interval(text).map_err(|_| invalid("interval"))?);
        }
        Column::Binary(blobs) => {
            BASE64
                .decode_vec(text, &mut blobs.data)
                .map_err(|_| Fail::reason("bytes are not written in base64".into()))?;
            if !blobs.close() {
                return Err(too_much());
            }
        }
        Column::Text(blobs, kind) => return append_text(blobs, kind, text),
        Column::List(_) | Column::Struct(_) | Column::Map(_) => {
            let name = column.type_name();
            return Err(Fail::reason(format!("cannot convert a string to {name}")));
        }
    }
    Ok(())
}

/// Appends a text, checked for what the SQL type makes of it.
pub(super) fn append_text(blobs: &mut Blobs, kind: &TextKind, text: &str) -> Fallible {
    let there = match kind {
        TextKind::Plain | TextKind::Json => blobs.append(text.as_bytes()),
        TextKind::Limited(length_max, name) => match text.char_indices().nth(*length_max) {
            None => blobs.append(text.as_bytes()),
            Some(_) => {
                return Err(Fail::reason(format!("value too long for type {name}")));
            }
        },
        TextKind::Uuid => {
            let bytes = parse_uuid(text).map_err(|_| {
                Fail::reason(format!("invalid input syntax for type uuid: \"{text}\""))
            })?;
            let mut canonical = [0; uuid::fmt::Hyphenated::LENGTH];
            let canonical = uuid::Uuid::from_bytes(bytes)
                .hyphenated()
                .encode_lower(&mut canonical);
            blobs.append(canonical.as_bytes())
        }
        TextKind::Jsonb(field) => {
            let value = parse_value(Some(text), field, &Zone::UTC)
                .map_err(|error| Fail::reason(error.message))?;
            blobs.append(
                arrow::array::AsArray::as_string::<i32>(&value)
                    .value(0)
                    .as_bytes(),
            )
        }
    };
    if there { Ok(()) } else { Err(too_much()) }
}

#[cold]
pub(super) fn too_much() -> Box<Fail> {
    Fail::reason("too much text for one batch".into())
}

/// Days since the epoch, within what SQL's dates reach.
#[inline]
pub(super) fn date_of_days(days: i64) -> Option<i32> {
    i32::try_from(days).ok()
}

/// Microseconds of the day from milliseconds.
#[inline]
pub(super) fn time_of_ms(ms: i64) -> Option<i64> {
    (0..=DAY_MS).contains(&ms).then(|| ms * 1000)
}

/// A number with the scale of the type, which must hold all its digits.
pub(super) fn decimal(text: &str, decimals: Decimals) -> Fallible<i128> {
    let misfit = || does_not_fit(text, decimals);
    let plain = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, power) = match plain.split_once(['e', 'E']) {
        Some((mantissa, power)) => (mantissa, power.parse::<i32>().map_err(|_| misfit())?),
        None => (plain, 0),
    };
    // Digits behind those that the type has must be zeros, so that nothing is rounded.
    let fraction = mantissa
        .split_once('.')
        .map_or("", |(_, fraction)| fraction);
    let places = i64::from(decimals.scale) + i64::from(power);
    let beyond = match usize::try_from(places) {
        Ok(places) => fraction.get(places.min(fraction.len())..).unwrap_or(""),
        Err(_) => mantissa,
    };
    if beyond.bytes().any(|byte| (b'1'..=b'9').contains(&byte)) && places >= 0 {
        return Err(misfit());
    }
    if places < 0 {
        // A negative shift reaches into the whole part.
        let digits: String = mantissa.chars().filter(|digit| *digit != '.').collect();
        let cut = fraction.len() as u64 + places.unsigned_abs();
        let kept = (digits.len() as u64).saturating_sub(cut) as usize;
        if digits
            .get(kept..)
            .is_none_or(|rest| rest.bytes().any(|byte| byte != b'0'))
        {
            return Err(misfit());
        }
    }
    parse_decimal(text, decimals.precision, decimals.scale).map_err(|_| misfit())
}

/// `value × 10^shift`, if that is whole and has no more digits than the type.
#[inline]
pub(super) fn scaled(value: i128, shift: i64, decimals: Decimals) -> Option<i128> {
    let limit = 10i128
        .checked_pow(u32::from(decimals.precision))
        .unwrap_or(i128::MAX);
    if value == 0 {
        return Some(0);
    }
    let power = 10i128.checked_pow(u32::try_from(shift.unsigned_abs()).ok()?)?;
    let value = if shift >= 0 {
        value.checked_mul(power)?
    } else if value % power == 0 {
        value / power
    } else {
        return None;
    };
    (value < limit).then_some(value)
}

#[cold]
pub(super) fn does_not_fit(text: &str, decimals: Decimals) -> Box<Fail> {
    let Decimals { precision, scale } = decimals;
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let number = digits.starts_with(|first: char| first.is_ascii_digit() || first == '.')
        && parse_decimal(text, 38, 0).is_ok();
    Fail::reason(if number {
        format!("{text} does not fit numeric({precision},{scale}) without rounding")
    } else {
        format!("invalid input syntax for type numeric: \"{text}\"")
    })
}

/// As Java's `Double.parseDouble`, but for hexadecimal numbers and suffixes.
fn parse_double(text: &str) -> Option<f64> {
    let text = text.trim();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let word = digits.starts_with(|first: char| first.is_ascii_alphabetic());
    if word && digits != "NaN" && digits != "Infinity" {
        return None;
    }
    text.parse().ok()
}

/// A number's text as Java's `BigDecimal` shows it.
pub(super) fn write_big_decimal(out: &mut Vec<u8>, text: &str, integral: bool) {
    if integral {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    let (mantissa, power) = match text.split_once(['e', 'E']) {
        Some((mantissa, power)) => (mantissa, power.parse::<i64>().unwrap_or(0)),
        None => (text, 0),
    };
    let (negative, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let digits = match all.trim_start_matches('0') {
        "" => "0",
        digits => digits,
    };
    let scale = fraction.len() as i64 - power;
    let adjusted = digits.len() as i64 - 1 - scale;
    if negative && digits != "0" {
        out.push(b'-');
    }
    if scale == 0 {
        out.extend_from_slice(digits.as_bytes());
    } else if scale > 0 && adjusted >= -6 {
        let scale = scale as usize;
        if digits.len() > scale {
            let (whole, fraction) = digits.split_at(digits.len() - scale);
            out.extend_from_slice(whole.as_bytes());
            out.push(b'.');
            out.extend_from_slice(fraction.as_bytes());
        } else {
            out.extend_from_slice(b"0.");
            out.resize(out.len() + scale - digits.len(), b'0');
            out.extend_from_slice(digits.as_bytes());
        }
    } else {
        let (first, rest) = digits.split_at(1);
        out.extend_from_slice(first.as_bytes());
        if !rest.is_empty() {
            out.push(b'.');
            out.extend_from_slice(rest.as_bytes());
        }
        out.push(b'E');
        if adjusted > 0 {
            out.push(b'+');
        }
        out.extend_from_slice(adjusted.to_string().as_bytes());
    }
}

/// A double as Java's `Double.toString` shows it.
pub(super) fn write_double(out: &mut Vec<u8>, value: f64) {
    write_float(out, value, format_args!("{value:e}"));
}

/// A float as Java's `Float.toString` shows it.
pub(super) fn write_real(out: &mut Vec<u8>, value: f32) {
    write_float(out, f64::from(value), format_args!("{value:e}"));
}

/// `shortest` has the shortest digits that read back as the value, and an exponent.
fn write_float(out: &mut Vec<u8>, value: f64, shortest: std::fmt::Arguments<'_>) {
    use std::io::Write as _;
    if !value.is_finite() {
        let name = match (value.is_nan(), value > 0.0) {
            (true, _) => "NaN",
            (_, true) => "Infinity",
            (_, false) => "-Infinity",
        };
        out.extend_from_slice(name.as_bytes());
        return;
    }
    let mut buffer = [0u8; 32];
    let mut cursor = std::io::Cursor::new(buffer.as_mut_slice());
    cursor
        .write_fmt(shortest)
        .expect("17 digits and an exponent fit");
    let length = cursor.position() as usize;
    let text = std::str::from_utf8(&buffer[..length]).expect("numbers are ASCII");
    let (mantissa, exponent) = text
        .split_once('e')
        .expect("it is written with an exponent");
    let exponent: i32 = exponent.parse().expect("an exponent is a number");
    let mantissa = match mantissa.strip_prefix('-') {
        Some(rest) => {
            out.push(b'-');
            rest
        }
        None => mantissa,
    };
    let (first, rest) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    match exponent {
        0..7 => {
            let places = exponent as usize;
            out.extend_from_slice(first.as_bytes());
            let whole = &rest[..places.min(rest.len())];
            out.extend_from_slice(whole.as_bytes());
            out.resize(out.len() + places - whole.len(), b'0');
            out.push(b'.');
            let fraction = &rest[whole.len()..];
            out.extend_from_slice(if fraction.is_empty() { "0" } else { fraction }.as_bytes());
        }
        -3..0 => {
            out.extend_from_slice(b"0.");
            out.resize(out.len() + exponent.unsigned_abs() as usize - 1, b'0');
            out.extend_from_slice(first.as_bytes());
            out.extend_from_slice(rest.as_bytes());
        }
        _ => {
            out.extend_from_slice(first.as_bytes());
            out.push(b'.');
            out.extend_from_slice(if rest.is_empty() { "0" } else { rest }.as_bytes());
            out.push(b'E');
            out.extend_from_slice(itoa::Buffer::new().format(exponent).as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn doubles_as_java_shows_them() {
        for (value, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (10.5, "10.5"),
            (1234567.0, "1234567.0"),
            (9_999_999.5, "9999999.5"),
            (1e7, "1.0E7"),
            (12_345_678.9, "1.23456789E7"),
            (0.001, "0.001"),
            (0.0123, "0.0123"),
            (0.000_999, "9.99E-4"),
            (1e21, "1.0E21"),
            (f64::MIN_POSITIVE, "2.2250738585072014E-308"),
            (-1.5e-5, "-1.5E-5"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            let mut out = Vec::new();
            write_double(&mut out, value);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn big_decimals_as_java_shows_them() {
        for (text, expected) in [
            ("1.10", "1.10"),
            ("-0.5", "-0.5"),
            ("1e2", "1E+2"),
            ("1.5e2", "1.5E+2"),
            ("1.50e2", "150"),
            ("1.5e-2", "0.015"),
            ("0.0000001", "1E-7"),
            ("0.000001", "0.000001"),
            ("0.0", "0.0"),
        ] {
            let mut out = Vec::new();
            write_big_decimal(&mut out, text, false);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn decimals_are_never_rounded() {
        let decimals = Decimals {
            precision: 6,
            scale: 2,
        };
        let read = |text| decimal(text, decimals).map_err(|fail| fail.message());
        assert_eq!(read("1.1"), Ok(110));
        assert_eq!(read("-1.100"), Ok(-110));
        assert_eq!(read(".5"), Ok(50));
        assert_eq!(read("12.3e1"), Ok(12300));
        assert_eq!(read("1230e-1"), Ok(12300));
        assert_eq!(read("100000e-5"), Ok(100));
        for text in ["1.234", "1e-3", "12345e-4", "10000", "1e9"] {
            let reason = format!("{text} does not fit numeric(6,2) without rounding");
            assert_eq!(read(text), Err(reason));
        }
        let reason = "invalid input syntax for type numeric: \"x\"".to_owned();
        assert_eq!(read("x"), Err(reason));
    }

    proptest! {
        #[test]
        fn doubles_come_back(bits: u64) {
            let value = f64::from_bits(bits);
            let mut out = Vec::new();
            write_double(&mut out, value);
            let back = parse_double(std::str::from_utf8(&out).unwrap()).unwrap();
            prop_assert!(back == value || back.is_nan() && value.is_nan());
        }

        #[test]
        fn decimals_agree_with_their_digits(value in -999_999i128..=999_999, zeros in 0usize..5) {
            let decimals = Decimals { precision: 6, scale: 2 };
            let text = format!(
                "{}{}.{:02}{}",
                if value < 0 { "-" } else { "" },
                value.abs() / 100,
                value.abs() % 100,
                "0".repeat(zeros),
            );
            prop_assert_eq!(decimal(&text, decimals).ok(), Some(value));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,30}", number in "[-+]?[0-9.]{0,40}([eE][-+]?[0-9]{0,12})?") {
            for text in [text, number] {
                let _ = decimal(&text, Decimals { precision: 10, scale: 3 });
                let _ = parse_double(&text);
            }
        }
    }
}
