//! From text to values of one type, by Postgres' rules.
//!
//! The functions say only how a text misfits; whoever knows the type's name and the place makes the message.

use uuid::Uuid;

/// How a text is not a value of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misfit {
    /// It does not look like one.
    Syntax,
    /// It is a number too large or too small.
    Range,
    /// It looks like a date or time that does not exist.
    Field,
    /// More digits before the point than the type has.
    Precision,
    /// More characters than the type has.
    TooLong,
    /// It is not JSON, or not JSON of that shape.
    Json,
}

/// A boolean: any unique beginning of `true`, `false`, `yes`, `no`, also `on`, `off`, `1`, `0`.
pub fn parse_bool(text: &str) -> Result<bool, Misfit> {
    match text {
        "t" | "true" | "1" => return Ok(true),
        "f" | "false" | "0" => return Ok(false),
        _ => {}
    }
    let text = text.trim_ascii();
    let begins = |word: &str, least: usize| {
        text.len() >= least
            && word
                .get(..text.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(text))
    };
    if begins("true", 1) || begins("yes", 1) || begins("on", 2) || text == "1" {
        Ok(true)
    } else if begins("false", 1) || begins("no", 1) || begins("off", 2) || text == "0" {
        Ok(false)
    } else {
        Err(Misfit::Syntax)
    }
}

/// A 64-bit integer.
#[inline]
pub fn parse_int(text: &str) -> Result<i64, Misfit> {
    let mut bytes = text.as_bytes();
    if bytes.first().is_some_and(u8::is_ascii_whitespace)
        || bytes.last().is_some_and(u8::is_ascii_whitespace)
    {
        bytes = bytes.trim_ascii();
    }
    let (negative, digits) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() {
        return Err(Misfit::Syntax);
    }
    // Eighteen digits always fit.
    let mut value = 0i64;
    if digits.len() <= 18 {
        for byte in digits {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                return Err(Misfit::Syntax);
            }
            value = value * 10 + i64::from(digit);
        }
        return Ok(if negative { -value } else { value });
    }
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(Misfit::Syntax);
    }
    // Downwards, because the smallest value has no positive counterpart.
    for byte in digits {
        value = value
            .checked_mul(10)
            .and_then(|value| value.checked_sub(i64::from(byte - b'0')))
            .ok_or(Misfit::Range)?;
    }
    if negative {
        Ok(value)
    } else {
        value.checked_neg().ok_or(Misfit::Range)
    }
}

/// An integer of a smaller type.
#[inline]
pub fn parse_small_int<T: TryFrom<i64>>(text: &str) -> Result<T, Misfit> {
    T::try_from(parse_int(text)?).map_err(|_| Misfit::Range)
}

/// A number that Rust reads as Postgres does: both round correctly.
pub trait Float: std::str::FromStr + Copy {
    fn is_infinite(self) -> bool;
    fn is_zero(self) -> bool;
}

impl Float for f64 {
    fn is_infinite(self) -> bool {
        f64::is_infinite(self)
    }
    fn is_zero(self) -> bool {
        self == 0.0
    }
}

impl Float for f32 {
    fn is_infinite(self) -> bool {
        f32::is_infinite(self)
    }
    fn is_zero(self) -> bool {
        self == 0.0
    }
}

/// A floating-point number. What overflows or vanishes is out of range rather than infinite or zero.
#[inline]
pub fn parse_float<T: Float>(text: &str) -> Result<T, Misfit> {
    let text = text.trim_ascii();
    let value: T = text.parse().map_err(|_| Misfit::Syntax)?;
    if value.is_infinite() && !text.contains(['i', 'I']) {
        return Err(Misfit::Range);
    }
    if value.is_zero() {
        let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
        if mantissa.bytes().any(|byte| (b'1'..=b'9').contains(&byte)) {
            return Err(Misfit::Range);
        }
    }
    Ok(value)
}

/// A decimal as an integer of 10^-scale, rounded half away from zero.
pub fn parse_decimal(text: &str, precision: u8, scale: i8) -> Result<i128, Misfit> {
    let bytes = text.trim_ascii().as_bytes();
    let (negative, rest) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let exponent_at = rest.iter().position(|byte| matches!(byte, b'e' | b'E'));
    let (mantissa, exponent) = match exponent_at {
        Some(at) => {
            let text = std::str::from_utf8(&rest[at + 1..]).map_err(|_| Misfit::Syntax)?;
            (&rest[..at], parse_int(text)?.clamp(-100_000, 100_000))
        }
        None => (rest, 0),
    };
    let point = mantissa.iter().position(|byte| *byte == b'.');
    let after_point = point.map_or(0, |at| mantissa.len() - at - 1) as i64;
    let digits = || mantissa.iter().filter(|byte| **byte != b'.');
    if digits().next().is_none() {
        return Err(Misfit::Syntax);
    }
    let digit_count = mantissa.len() as i64 - i64::from(point.is_some());
    if let Some(at) = point
        && mantissa[at + 1..].contains(&b'.')
    {
        return Err(Misfit::Syntax);
    }
    if !digits().all(u8::is_ascii_digit) {
        return Err(Misfit::Syntax);
    }
    // So many of the digits are kept, the next one decides the rounding.
    let kept = digit_count - after_point + exponent + i64::from(scale);
    let mut value: i128 = 0;
    for digit in digits().take(kept.max(0) as usize) {
        value = value
            .checked_mul(10)
            .and_then(|value| value.checked_add(i128::from(digit - b'0')))
            .ok_or(Misfit::Precision)?;
    }
    if kept > digit_count && value != 0 {
        for _ in digit_count..kept {
            value = value.checked_mul(10).ok_or(Misfit::Precision)?;
        }
    }
    if (0..digit_count).contains(&kept)
        && digits()
            .nth(kept as usize)
            .is_some_and(|digit| *digit >= b'5')
    {
        value += 1;
    }
    let limit = 10i128
        .checked_pow(u32::from(precision))
        .unwrap_or(i128::MAX);
    if value >= limit {
        return Err(Misfit::Precision);
    }
    Ok(if negative { -value } else { value })
}

/// A UUID, with or without hyphens and braces.
pub fn parse_uuid(text: &str) -> Result<[u8; 16], Misfit> {
    let text = text.trim_ascii();
    let inner = text
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'));
    Uuid::try_parse(inner.unwrap_or(text))
        .map(Uuid::into_bytes)
        .map_err(|_| Misfit::Syntax)
}

/// Bytes: `\x` and hexadecimal digits, or the escape format (`\\`, `\ooo`).
pub fn parse_bytea(text: &str) -> Result<Vec<u8>, Misfit> {
    let bytes = text.as_bytes();
    if let Some(hex) = text.strip_prefix("\\x") {
        let mut nibbles = Vec::with_capacity(hex.len());
        for byte in hex.bytes().filter(|byte| !byte.is_ascii_whitespace()) {
            nibbles.push((byte as char).to_digit(16).ok_or(Misfit::Syntax)? as u8);
        }
        if nibbles.len() % 2 != 0 {
            return Err(Misfit::Syntax);
        }
        return Ok(nibbles
            .chunks_exact(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect());
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match &bytes[at..] {
            [b'\\', b'\\', ..] => {
                out.push(b'\\');
                at += 2;
            }
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                at += 4;
            }
            [b'\\', ..] => return Err(Misfit::Syntax),
            [byte, ..] => {
                out.push(*byte);
                at += 1;
            }
            [] => break,
        }
    }
    Ok(out)
}

/// Whether the text is one JSON value.
pub fn check_json(text: &str) -> Result<(), Misfit> {
    serde_json::from_str::<serde::de::IgnoredAny>(text)
        .map(|_| ())
        .map_err(|_| Misfit::Json)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn booleans() {
        for text in ["t", "TRUE", "tr", "y", "yes", "on", "1", " true "] {
            assert_eq!(parse_bool(text), Ok(true), "{text}");
        }
        for text in ["f", "False", "n", "no", "of", "off", "0"] {
            assert_eq!(parse_bool(text), Ok(false), "{text}");
        }
        for text in ["", "o", "2", "truee", "tü"] {
            assert_eq!(parse_bool(text), Err(Misfit::Syntax), "{text}");
        }
    }

    #[test]
    fn integers() {
        assert_eq!(parse_int("-9223372036854775808"), Ok(i64::MIN));
        assert_eq!(parse_int("9223372036854775807"), Ok(i64::MAX));
        assert_eq!(parse_int("9223372036854775808"), Err(Misfit::Range));
        assert_eq!(parse_int("-9223372036854775809"), Err(Misfit::Range));
        assert_eq!(parse_int("000000000000000000000000012"), Ok(12));
        assert_eq!(parse_int(" 7 "), Ok(7));
        assert_eq!(parse_int("+7"), Ok(7));
        for text in ["", "-", "1.5", "1e3", "x", "99999999999999999999x", "1 2"] {
            assert_eq!(parse_int(text), Err(Misfit::Syntax), "{text}");
        }
        assert_eq!(parse_small_int::<i16>("32768"), Err(Misfit::Range));
    }

    #[test]
    fn floats() {
        assert_eq!(parse_float::<f64>("1.5e3"), Ok(1500.0));
        assert_eq!(parse_float::<f64>("-Infinity"), Ok(f64::NEG_INFINITY));
        assert!(parse_float::<f64>("NaN").is_ok_and(f64::is_nan));
        assert_eq!(parse_float::<f64>("1e400"), Err(Misfit::Range));
        assert_eq!(parse_float::<f64>("1e-400"), Err(Misfit::Range));
        assert_eq!(parse_float::<f32>("1e39"), Err(Misfit::Range));
        assert_eq!(parse_float::<f64>("0e-400"), Ok(0.0));
        assert_eq!(parse_float::<f64>("NA"), Err(Misfit::Syntax));
        assert_eq!(parse_float::<f64>(""), Err(Misfit::Syntax));
    }

    #[test]
    fn decimals() {
        assert_eq!(parse_decimal("12.345", 10, 2), Ok(1235));
        assert_eq!(parse_decimal("-12.344", 10, 2), Ok(-1234));
        assert_eq!(parse_decimal("-12.345", 10, 2), Ok(-1235));
        assert_eq!(parse_decimal("0.995", 10, 2), Ok(100));
        assert_eq!(parse_decimal("0.005", 10, 2), Ok(1));
        assert_eq!(parse_decimal("0.0005", 10, 2), Ok(0));
        assert_eq!(parse_decimal("5", 10, -1), Ok(1));
        assert_eq!(parse_decimal("1.5e3", 10, 0), Ok(1500));
        assert_eq!(parse_decimal("15e-1", 10, 0), Ok(2));
        assert_eq!(parse_decimal(".5", 10, 1), Ok(5));
        assert_eq!(parse_decimal("5.", 10, 1), Ok(50));
        assert_eq!(parse_decimal("99.99", 4, 2), Ok(9999));
        assert_eq!(parse_decimal("99.995", 4, 2), Err(Misfit::Precision));
        assert_eq!(
            parse_decimal("1e99999999999", 10, 2),
            Err(Misfit::Precision)
        );
        assert_eq!(parse_decimal("0e99999", 10, 2), Ok(0));
        for text in ["", ".", "1.2.3", "x", "1e", "1x", "NaN"] {
            assert_eq!(parse_decimal(text, 10, 2), Err(Misfit::Syntax), "{text}");
        }
    }

    #[test]
    fn bytes() {
        assert_eq!(
            parse_bytea("\\xDEadbe ef"),
            Ok(vec![0xde, 0xad, 0xbe, 0xef])
        );
        assert_eq!(parse_bytea("a\\\\b\\001"), Ok(b"a\\b\x01".to_vec()));
        assert_eq!(parse_bytea("\\x1"), Err(Misfit::Syntax));
        assert_eq!(parse_bytea("\\9"), Err(Misfit::Syntax));
        assert_eq!(parse_bytea("\\xé"), Err(Misfit::Syntax));
    }

    proptest! {
        #[test]
        fn integers_as_rust_reads_them(value: i64) {
            prop_assert_eq!(parse_int(&value.to_string()), Ok(value));
        }

        #[test]
        fn nothing_panics(text in ".{0,40}") {
            let _ = (parse_bool(&text), parse_int(&text), parse_float::<f64>(&text));
            let _ = (parse_decimal(&text, 38, 10), parse_uuid(&text), parse_bytea(&text), check_json(&text));
        }
    }
}
