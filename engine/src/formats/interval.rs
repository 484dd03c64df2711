//! Intervals: Postgres' own output style and the spellings it accepts.

use arrow::datatypes::IntervalMonthDayNano;

use super::datetime::{read_fraction, write_fraction};
use super::parse::Misfit;

/// Nanoseconds in a microsecond; our intervals are in microseconds as everything else is.
const NANOS: i64 = 1000;
const SECOND: i64 = 1_000_000;

/// `1 year 2 mons 3 days 04:05:06.7`.
pub fn write_interval(out: &mut Vec<u8>, value: IntervalMonthDayNano) {
    let start = out.len();
    let mut after_negative = false;
    let (years, months) = (value.months / 12, value.months % 12);
    for (amount, unit) in [(years, "year"), (months, "mon"), (value.days, "day")] {
        if amount == 0 {
            continue;
        }
        if out.len() > start {
            out.push(b' ');
        }
        // A positive part behind a negative one is marked as such.
        if after_negative && amount > 0 {
            out.push(b'+');
        }
        out.extend_from_slice(itoa::Buffer::new().format(amount).as_bytes());
        out.push(b' ');
        out.extend_from_slice(unit.as_bytes());
        if amount != 1 {
            out.push(b's');
        }
        after_negative = amount < 0;
    }
    let micros = value.nanoseconds / NANOS;
    if micros == 0 && out.len() > start {
        return;
    }
    if out.len() > start {
        out.push(b' ');
    }
    if micros < 0 {
        out.push(b'-');
    } else if after_negative {
        out.push(b'+');
    }
    let micros = micros.unsigned_abs();
    let seconds = micros / SECOND as u64;
    let mut two = |value: u64| {
        if value < 10 {
            out.push(b'0');
        }
        out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    };
    two(seconds / 3600);
    for part in [seconds / 60 % 60, seconds % 60] {
        out.push(b':');
        if part < 10 {
            out.push(b'0');
        }
        out.extend_from_slice(itoa::Buffer::new().format(part).as_bytes());
    }
    write_fraction(out, (micros % SECOND as u64) as u32);
}

/// An interval while it is read: fractions flow down to the next smaller unit.
#[derive(Default)]
struct Sum {
    months: i64,
    days: i64,
    micros: i64,
}

impl Sum {
    /// Adds `whole + fraction` (in millionths, of the same sign) of a unit.
    fn add(&mut self, whole: i64, fraction: i64, unit: &str) -> Result<(), Misfit> {
        let to_micros = |micros_in_unit: i64| -> Result<i64, Misfit> {
            let whole = whole.checked_mul(micros_in_unit).ok_or(Misfit::Field)?;
            let part = i128::from(fraction) * i128::from(micros_in_unit) / i128::from(SECOND);
            whole.checked_add(part as i64).ok_or(Misfit::Field)
        };
        let (months, days, micros) = match unit {
            "microsecond" | "us" | "usec" | "usecond" => (0, 0, to_micros(1)?),
            "millisecond" | "ms" | "msec" | "msecond" => (0, 0, to_micros(1000)?),
            "second" | "sec" | "s" => (0, 0, to_micros(SECOND)?),
            "minute" | "min" | "m" => (0, 0, to_micros(60 * SECOND)?),
            "hour" | "hr" | "h" => (0, 0, to_micros(3600 * SECOND)?),
            "day" | "d" => (0, whole, fraction * 86_400),
            "week" | "w" => {
                let days = whole.checked_mul(7).ok_or(Misfit::Field)?;
                let part = fraction * 7;
                (0, days + part / SECOND, part % SECOND * 86_400)
            }
            "month" | "mon" => {
                let part = fraction * 30;
                (whole, part / SECOND, part % SECOND * 86_400)
            }
            "year" | "yr" | "y" => (
                whole.checked_mul(12).ok_or(Misfit::Field)? + fraction * 12 / SECOND,
                0,
                0,
            ),
            "decade" | "dec" => (whole.checked_mul(120).ok_or(Misfit::Field)?, 0, 0),
            "century" | "cent" => (whole.checked_mul(1200).ok_or(Misfit::Field)?, 0, 0),
            "millennium" | "mil" => (whole.checked_mul(12_000).ok_or(Misfit::Field)?, 0, 0),
            _ => return Err(Misfit::Syntax),
        };
        self.months = self.months.checked_add(months).ok_or(Misfit::Field)?;
        self.days = self.days.checked_add(days).ok_or(Misfit::Field)?;
        self.micros = self.micros.checked_add(micros).ok_or(Misfit::Field)?;
        Ok(())
    }

    fn finish(self, negate: bool) -> Result<IntervalMonthDayNano, Misfit> {
        let sign = if negate { -1 } else { 1 };
        let int = |value: i64| i32::try_from(value * sign).map_err(|_| Misfit::Field);
        Ok(IntervalMonthDayNano {
            months: int(self.months)?,
            days: int(self.days)?,
            nanoseconds: self.micros.checked_mul(NANOS * sign).ok_or(Misfit::Field)?,
        })
    }
}

/// A number with a sign: whole part and millionths of the same sign.
fn signed(text: &str) -> Result<(i64, i64), Misfit> {
    let (sign, rest) = match text.as_bytes().first() {
        Some(b'-') => (-1, &text[1..]),
        Some(b'+') => (1, &text[1..]),
        _ => (1, text),
    };
    let (whole, fraction) = rest.split_once('.').unwrap_or((rest, ""));
    if whole.is_empty() && fraction.is_empty() || whole.len() > 15 {
        return Err(Misfit::Syntax);
    }
    if !whole
        .bytes()
        .chain(fraction.bytes())
        .all(|byte| byte.is_ascii_digit())
    {
        return Err(Misfit::Syntax);
    }
    let whole: i64 = if whole.is_empty() {
        0
    } else {
        whole.parse().map_err(|_| Misfit::Syntax)?
    };
    let (micros, _) = read_fraction(fraction.as_bytes());
    Ok((sign * whole, sign * micros))
}

/// An interval: `1 day 02:03:04`, `1 year 2 mons ago`, `@ 3 hours`, `1-2` (years and months), `P1Y2M3DT4H5M6S`.
pub fn parse_interval(text: &str) -> Result<IntervalMonthDayNano, Misfit> {
    let lower = text.trim_ascii().to_ascii_lowercase();
    if lower.len() > 200 {
        return Err(Misfit::Syntax);
    }
    if let Some(rest) = lower.strip_prefix('p') {
        return parse_iso(rest);
    }
    let mut sum = Sum::default();
    let mut words = lower
        .strip_prefix('@')
        .unwrap_or(&lower)
        .split_ascii_whitespace()
        .peekable();
    let mut ago = false;
    let mut any = false;
    while let Some(word) = words.next() {
        if ago {
            return Err(Misfit::Syntax);
        }
        if word == "ago" {
            ago = true;
            continue;
        }
        any = true;
        if word.contains(':') {
            add_clock(&mut sum, word)?;
            continue;
        }
        // `1-2` is one year and two months.
        if let Some((years, months)) = word.get(1..).and_then(|rest| rest.split_once('-')) {
            let years = format!("{}{years}", &word[..1]);
            let (years, _) = signed(&years)?;
            let (months, _) = signed(months)?;
            sum.add(years, 0, "year")?;
            sum.add(
                if word.starts_with('-') {
                    -months
                } else {
                    months
                },
                0,
                "month",
            )?;
            continue;
        }
        // The unit stands behind the number, with or without a space; without any it is seconds.
        let unit_at = word
            .find(|c: char| c.is_ascii_alphabetic())
            .unwrap_or(word.len());
        let (amount, unit) = word.split_at(unit_at);
        let (whole, fraction) = signed(amount)?;
        let unit = if unit.is_empty() {
            match words.peek() {
                Some(next)
                    if next.starts_with(|c: char| c.is_ascii_alphabetic()) && *next != "ago" =>
                {
                    words.next().unwrap_or_default()
                }
                None => "s",
                // `1 02:03:04`: days before a clock.
                Some(next) if next.contains(':') => "day",
                Some(_) => return Err(Misfit::Syntax),
            }
        } else {
            unit
        };
        sum.add(whole, fraction, singular(unit))?;
    }
    if !any {
        return Err(Misfit::Syntax);
    }
    sum.finish(ago)
}

fn singular(unit: &str) -> &str {
    match unit {
        "centuries" => "century",
        "millennia" | "millenniums" => "millennium",
        "s" | "ms" | "us" => unit,
        _ => unit.strip_suffix('s').unwrap_or(unit),
    }
}

/// `[-]hh:mm[:ss[.ffffff]]`.
fn add_clock(sum: &mut Sum, word: &str) -> Result<(), Misfit> {
    let (sign, rest) = match word.as_bytes().first() {
        Some(b'-') => (-1, &word[1..]),
        Some(b'+') => (1, &word[1..]),
        _ => (1, word),
    };
    let parts: Vec<&str> = rest.split(':').collect();
    if !(2..=3).contains(&parts.len()) || parts.iter().any(|part| part.is_empty()) {
        return Err(Misfit::Syntax);
    }
    for (part, unit) in parts.iter().zip(["hour", "minute", "second"]) {
        if part.starts_with(['-', '+']) {
            return Err(Misfit::Syntax);
        }
        let (whole, fraction) = signed(part)?;
        if unit != "hour" && whole > 59 + i64::from(unit == "second") {
            return Err(Misfit::Field);
        }
        sum.add(sign * whole, sign * fraction, unit)?;
    }
    Ok(())
}

/// The ISO 8601 format with designators, behind its `P`.
fn parse_iso(text: &str) -> Result<IntervalMonthDayNano, Misfit> {
    let mut sum = Sum::default();
    let mut in_time = false;
    let mut rest = text;
    if rest.is_empty() {
        return Err(Misfit::Syntax);
    }
    while !rest.is_empty() {
        if let Some(time) = rest.strip_prefix('t') {
            in_time = true;
            rest = time;
            continue;
        }
        let at = rest
            .find(|c: char| c.is_ascii_alphabetic())
            .ok_or(Misfit::Syntax)?;
        let (whole, fraction) = signed(&rest[..at])?;
        let unit = match (&rest[at..=at], in_time) {
            ("y", false) => "year",
            ("m", false) => "month",
            ("w", false) => "week",
            ("d", false) => "day",
            ("h", true) => "hour",
            ("m", true) => "minute",
            ("s", true) => "second",
            _ => return Err(Misfit::Syntax),
        };
        sum.add(whole, fraction, unit)?;
        rest = &rest[at + 1..];
    }
    sum.finish(false)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use proptest::prelude::*;

    use super::*;

    fn show(text: &str) -> String {
        match parse_interval(text) {
            Ok(value) => {
                let mut out = Vec::new();
                write_interval(&mut out, value);
                String::from_utf8(out).expect("ASCII")
            }
            Err(misfit) => format!("{misfit:?}"),
        }
    }

    #[test]
    fn spellings_of_an_interval() {
        let texts = [
            "1 day",
            "2 days",
            "1 year 2 months 3 days 04:05:06.789",
            "-1 day +02:03",
            "1 mon -1 days",
            "90 minutes",
            "1.5 hours",
            "1.5 days",
            "0.5 months",
            "1.5 years",
            "3 weeks",
            "@ 1 minute ago",
            "1-2",
            "-1-2",
            "P1Y2M3DT4H5M6.5S",
            "PT36H",
            "10",
            "1 02:03:04",
            "-00:00:01.5",
            "0",
            "1h30m",
            "250 ms",
            "1 year 13 months",
            "100:00:00",
            "-1 year -2 mons +3 days -04:05:06",
            "",
            "x",
            "1 parsec",
            "P",
            "1:2:3:4",
            "1 day ago ago",
            "ago",
            "00:61",
            "99999999999 years",
            "PT1Y",
            "1 2 3",
            "é",
        ];
        let shown: String = texts
            .iter()
            .map(|text| format!("{text} => {}\n", show(text)))
            .collect();
        expect![[r#"
            1 day => 1 day
            2 days => 2 days
            1 year 2 months 3 days 04:05:06.789 => 1 year 2 mons 3 days 04:05:06.789
            -1 day +02:03 => -1 days +02:03:00
            1 mon -1 days => 1 mon -1 days
            90 minutes => 01:30:00
            1.5 hours => 01:30:00
            1.5 days => 1 day 12:00:00
            0.5 months => 15 days
            1.5 years => 1 year 6 mons
            3 weeks => 21 days
            @ 1 minute ago => -00:01:00
            1-2 => 1 year 2 mons
            -1-2 => -1 years -2 mons
            P1Y2M3DT4H5M6.5S => 1 year 2 mons 3 days 04:05:06.5
            PT36H => 36:00:00
            10 => 00:00:10
            1 02:03:04 => 1 day 02:03:04
            -00:00:01.5 => -00:00:01.5
            0 => 00:00:00
            1h30m => Syntax
            250 ms => 00:00:00.25
            1 year 13 months => 2 years 1 mon
            100:00:00 => 100:00:00
            -1 year -2 mons +3 days -04:05:06 => -1 years -2 mons +3 days -04:05:06
             => Syntax
            x => Syntax
            1 parsec => Syntax
            P => Syntax
            1:2:3:4 => Syntax
            1 day ago ago => Syntax
            ago => Syntax
            00:61 => Field
            99999999999 years => Field
            PT1Y => Syntax
            1 2 3 => Syntax
            é => Syntax
        "#]]
        .assert_eq(&shown);
    }

    proptest! {
        #[test]
        fn what_is_written_can_be_read(months in -100_000i32..100_000, days in -100_000i32..100_000, micros in -1_000_000_000_000i64..1_000_000_000_000) {
            let value = IntervalMonthDayNano { months, days, nanoseconds: micros * NANOS };
            let mut out = Vec::new();
            write_interval(&mut out, value);
            let text = String::from_utf8(out).expect("ASCII");
            prop_assert_eq!(parse_interval(&text), Ok(value), "{}", text);
        }

        #[test]
        fn nothing_panics(text in "[-+0-9:.PTYMWDHS @a-z]{0,30}") {
            let _ = parse_interval(&text);
        }
    }
}
