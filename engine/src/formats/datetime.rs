//! Dates and times: Postgres' ISO output and the spellings that Postgres accepts.
//!
//! Days count from 1970-01-01 in the proleptic Gregorian calendar, times in microseconds. What nearly all data looks
//! like, `2013-01-31` and `2013-01-31 05:15:00.25`, is read without tokens; everything else goes through
//! [`Fields::read`]. Relative words (`now`, `today`) are not read: data must mean the same tomorrow. Nor is
//! `infinity`: one such row would close every window of a stream.

use super::parse::Misfit;
use super::zone::{Zone, parse_offset};

/// Microseconds in a second.
pub const SECOND: i64 = 1_000_000;
/// Microseconds in a day.
pub const DAY: i64 = 86_400 * SECOND;

/// Year (0 is 1 BC), month and day of a day number.
///
/// After Howard Hinnant, "chrono-compatible low-level date algorithms" (2013).
pub fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * shifted + 2) / 5 + 1) as u32;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    } as u32;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// The inverse of [`civil_from_days`]; the date must exist.
pub fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted = i64::from((month + 9) % 12);
    let day_of_year = (153 * shifted + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.rem_euclid(4) == 0
            && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0) =>
        {
            29
        }
        2 => 28,
        _ => 31,
    }
}

fn checked_days(year: i64, month: u32, day: u32) -> Result<i64, Misfit> {
    if (1..=12).contains(&month) && day >= 1 && day <= days_in_month(year, month) {
        Ok(days_from_civil(year, month, day))
    } else {
        Err(Misfit::Field)
    }
}

// ---- writing -------------------------------------------------------------------------------------------------------

fn two(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&[b'0' + (value / 10 % 10) as u8, b'0' + (value % 10) as u8]);
}

/// `2013-01-31`; the caller appends ` BC` when this returns true.
fn date_digits(out: &mut Vec<u8>, days: i64) -> bool {
    let (year, month, day) = civil_from_days(days);
    let (year, bc) = if year > 0 {
        (year, false)
    } else {
        (1 - year, true)
    };
    if year <= 9999 {
        two(out, (year / 100) as u32);
        two(out, (year % 100) as u32);
    } else {
        out.extend_from_slice(itoa::Buffer::new().format(year).as_bytes());
    }
    out.push(b'-');
    two(out, month);
    out.push(b'-');
    two(out, day);
    bc
}

/// `05:15:00.25`.
pub fn write_time(out: &mut Vec<u8>, micros: i64) {
    let seconds = micros / SECOND;
    two(out, (seconds / 3600) as u32);
    out.push(b':');
    two(out, (seconds / 60 % 60) as u32);
    out.push(b':');
    two(out, (seconds % 60) as u32);
    write_fraction(out, (micros % SECOND) as u32);
}

/// `.25`, or nothing for 0.
pub fn write_fraction(out: &mut Vec<u8>, micros: u32) {
    if micros == 0 {
        return;
    }
    out.push(b'.');
    let mut rest = micros;
    let mut scale = 100_000;
    while rest > 0 {
        out.push(b'0' + (rest / scale) as u8);
        rest %= scale;
        scale /= 10;
    }
}

/// `2013-01-31`, with ` BC` where it applies.
pub fn write_date(out: &mut Vec<u8>, days: i64) {
    if date_digits(out, days) {
        out.extend_from_slice(b" BC");
    }
}

/// `2013-01-31 05:15:00`; `separator` is a space, or `T` inside JSON.
pub fn write_timestamp(out: &mut Vec<u8>, micros: i64, separator: u8) {
    let bc = date_digits(out, micros.div_euclid(DAY));
    out.push(separator);
    write_time(out, micros.rem_euclid(DAY));
    if bc {
        out.extend_from_slice(b" BC");
    }
}

/// `2013-01-31 05:15:00+01`: the instant on the clocks of a zone. `minutes` writes `+01:00`, as JSON wants it.
pub fn write_timestamptz(
    out: &mut Vec<u8>,
    micros: i64,
    zone: &Zone,
    separator: u8,
    minutes: bool,
) {
    let offset = zone.offset_at(micros);
    // The sum is taken in days and seconds apart, so that the last representable instants do not overflow.
    let local = i128::from(micros) + i128::from(offset) * i128::from(SECOND);
    let bc = date_digits(out, local.div_euclid(i128::from(DAY)) as i64);
    out.push(separator);
    write_time(out, local.rem_euclid(i128::from(DAY)) as i64);
    out.push(if offset < 0 { b'-' } else { b'+' });
    let offset = offset.unsigned_abs();
    two(out, offset / 3600);
    if minutes || !offset.is_multiple_of(3600) {
        out.push(b':');
        two(out, offset / 60 % 60);
        if !offset.is_multiple_of(60) {
            out.push(b':');
            two(out, offset % 60);
        }
    }
    if bc {
        out.extend_from_slice(b" BC");
    }
}

// ---- reading -------------------------------------------------------------------------------------------------------

#[inline]
fn digits2(text: &[u8], at: usize) -> Option<u32> {
    let tens = text[at].wrapping_sub(b'0');
    let ones = text[at + 1].wrapping_sub(b'0');
    (tens < 10 && ones < 10).then(|| u32::from(tens) * 10 + u32::from(ones))
}

/// `YYYY-MM-DD` at the start of the text.
#[inline]
fn fast_date(text: &[u8]) -> Option<i64> {
    if text.len() < 10 || text[4] != b'-' || text[7] != b'-' {
        return None;
    }
    let year = digits2(text, 0)? * 100 + digits2(text, 2)?;
    if year == 0 {
        return None;
    }
    checked_days(year.into(), digits2(text, 5)?, digits2(text, 8)?).ok()
}

/// `HH:MM[:SS[.ffffff]]` at the start of the text, and how much of it that is.
#[inline]
fn fast_time(text: &[u8]) -> Option<(i64, usize)> {
    if text.len() < 5 || text[2] != b':' {
        return None;
    }
    let (hour, minute) = (digits2(text, 0)?, digits2(text, 3)?);
    let mut second = 0;
    let mut length = 5;
    let mut micros = 0;
    if text.len() >= 8 && text[5] == b':' {
        second = digits2(text, 6)?;
        length = 8;
        if text.get(8) == Some(&b'.') {
            let (fraction, digits) = read_fraction(&text[9..]);
            micros = fraction;
            length = 9 + digits;
        }
    }
    if hour >= 24 || minute >= 60 || second >= 60 {
        return None;
    }
    Some((
        i64::from(hour * 3600 + minute * 60 + second) * SECOND + micros,
        length,
    ))
}

/// Digits after the point as microseconds, rounded, and how many digits there were.
pub(super) fn read_fraction(text: &[u8]) -> (i64, usize) {
    let mut micros = 0;
    let mut scale = 100_000;
    let mut length = 0;
    while let Some(digit) = text.get(length).filter(|b| b.is_ascii_digit()) {
        let digit = i64::from(digit - b'0');
        if length < 6 {
            micros += digit * scale;
            scale /= 10;
        } else if length == 6 && digit >= 5 {
            micros += 1;
        }
        length += 1;
    }
    (micros, length)
}

/// A date, in days.
pub fn parse_date(text: &str) -> Result<i32, Misfit> {
    let bytes = text.trim_ascii().as_bytes();
    if bytes.len() == 10
        && let Some(days) = fast_date(bytes)
    {
        return i32::try_from(days).map_err(|_| Misfit::Field);
    }
    let fields = Fields::read(text)?;
    i32::try_from(fields.date()?).map_err(|_| Misfit::Field)
}

/// A time of day, in microseconds. 24:00:00 is one.
pub fn parse_time(text: &str) -> Result<i64, Misfit> {
    let bytes = text.trim_ascii().as_bytes();
    if let Some((time, length)) = fast_time(bytes)
        && length == bytes.len()
    {
        return Ok(time);
    }
    let fields = Fields::read(text)?;
    fields.time.ok_or(Misfit::Syntax)
}

/// A timestamp without time zone, in microseconds. A zone in the text is ignored, as Postgres does.
pub fn parse_timestamp(text: &str) -> Result<i64, Misfit> {
    let (local, _) = parse_local(text)?;
    Ok(local)
}

/// An instant, in microseconds; a text without a zone is meant in `zone`.
pub fn parse_timestamptz(text: &str, zone: &Zone) -> Result<i64, Misfit> {
    let (local, given) = parse_local(text)?;
    Ok(given.as_ref().unwrap_or(zone).to_instant(local))
}

fn parse_local(text: &str) -> Result<(i64, Option<Zone>), Misfit> {
    let bytes = text.trim_ascii().as_bytes();
    if let Some(days) = fast_date(bytes) {
        if bytes.len() == 10 {
            return Ok((days * DAY, None));
        }
        if matches!(bytes[10], b' ' | b'T')
            && let Some((time, length)) = fast_time(&bytes[11..])
        {
            match &bytes[11 + length..] {
                [] => return Ok((days * DAY + time, None)),
                [b'Z'] => return Ok((days * DAY + time, Some(Zone::UTC))),
                rest => {
                    if let Some(offset) = parse_offset(rest) {
                        return Ok((days * DAY + time, Some(Zone::Fixed(offset))));
                    }
                }
            }
        }
    }
    let fields = Fields::read(text)?;
    let micros = fields
        .date()?
        .checked_mul(DAY)
        .and_then(|day| day.checked_add(fields.time.unwrap_or(0)))
        .ok_or(Misfit::Field)?;
    Ok((micros, fields.zone))
}

/// The parts of a date and time, in whatever order they were written.
#[derive(Default)]
struct Fields {
    year: Option<i64>,
    month: Option<u32>,
    day: Option<u32>,
    bc: bool,
    time: Option<i64>,
    zone: Option<Zone>,
}

impl Fields {
    fn date(&self) -> Result<i64, Misfit> {
        let (Some(year), Some(month), Some(day)) = (self.year, self.month, self.day) else {
            return Err(Misfit::Syntax);
        };
        if year <= 0 || year > 294_276 {
            return Err(Misfit::Field);
        }
        checked_days(if self.bc { 1 - year } else { year }, month, day)
    }

    /// Reads any mixture of a date (`2013-01-31`, `2013/1/31`, `20130131`, `1/31/2013`, `31-Jan-2013`, `Jan 31, 2013`), a
    /// time (`5:15`, `05:15:00.5`, `5:15 PM`, `T051500`), a zone and `BC`.
    fn read(text: &str) -> Result<Fields, Misfit> {
        let mut fields = Fields::default();
        // Numbers that stand alone, such as the day and the year of `Jan 31, 2013`.
        let mut numbers: Vec<(i64, usize)> = Vec::new();
        let text = text.trim_ascii();
        if text.len() > 100 {
            return Err(Misfit::Syntax);
        }
        for word in text.split([' ', '\t', ',']).filter(|word| !word.is_empty()) {
            fields.word(word, &mut numbers)?;
        }
        fields.place(&numbers)?;
        Ok(fields)
    }

    fn word(&mut self, word: &str, numbers: &mut Vec<(i64, usize)>) -> Result<(), Misfit> {
        let bytes = word.as_bytes();
        // A `T` between digits separates date and time.
        if let Some(at) = word.find(['T', 't'])
            && at > 0
            && bytes[at - 1].is_ascii_digit()
            && bytes.get(at + 1).is_some_and(u8::is_ascii_digit)
        {
            self.word(&word[..at], numbers)?;
            return self.time_word(&word[at + 1..]);
        }
        if word.starts_with(['T', 't']) && bytes.get(1).is_some_and(u8::is_ascii_digit) {
            return self.time_word(&word[1..]);
        }
        if word.contains(':') && bytes[0].is_ascii_digit() {
            return self.time_word(word);
        }
        let upper = word.to_ascii_uppercase();
        match upper.as_str() {
            "AD" => return Ok(()),
            "BC" => {
                self.bc = true;
                return Ok(());
            }
            "AM" | "PM" => return self.half_day(upper == "PM"),
            "EPOCH" => {
                (self.year, self.month, self.day) = (Some(1970), Some(1), Some(1));
                self.zone = Some(Zone::UTC);
                return Ok(());
            }
            _ => {}
        }
        if is_weekday(&upper) {
            return Ok(());
        }
        if let Some(month) = month_number(&upper) {
            return set(&mut self.month, month);
        }
        if word.bytes().all(|b| b.is_ascii_digit()) {
            return self.digits(word, numbers);
        }
        if bytes[0].is_ascii_digit() && word.contains(['-', '/', '.']) {
            return self.date_word(word);
        }
        if bytes[0].is_ascii_alphabetic()
            && word
                .split_once('-')
                .is_some_and(|(head, _)| month_number(&head.to_ascii_uppercase()).is_some())
        {
            return self.date_word(word);
        }
        if let Some(zone) = Zone::parse(word)
            && self.zone.is_none()
        {
            self.zone = Some(zone);
            return Ok(());
        }
        Err(Misfit::Syntax)
    }

    /// Digits alone: `20130131`, `051500` after a date, or a number to be placed at the end.
    fn digits(&mut self, word: &str, numbers: &mut Vec<(i64, usize)>) -> Result<(), Misfit> {
        if word.len() == 8 && self.year.is_none() && numbers.is_empty() && self.month.is_none() {
            self.year = Some(number(&word[..4])?);
            self.month = Some(number(&word[4..6])? as u32);
            self.day = Some(number(&word[6..])? as u32);
            return Ok(());
        }
        if word.len() == 6 && self.year.is_some() && self.time.is_none() {
            return self.time_word(word);
        }
        numbers.push((number(word)?, word.len()));
        Ok(())
    }

    /// A date whose parts stand together: year first if it has three or more digits, else month, day, year.
    fn date_word(&mut self, word: &str) -> Result<(), Misfit> {
        // A zone may follow without a space only after a time, so everything here belongs to the date.
        let parts: Vec<&str> = word.split(['-', '/', '.']).collect();
        let [first, second, third] = parts.as_slice() else {
            return Err(Misfit::Syntax);
        };
        if parts.iter().any(|part| part.is_empty()) {
            return Err(Misfit::Syntax);
        }
        let name = |part: &str| month_number(&part.to_ascii_uppercase());
        let (year, month, day) = if let Some(month) = name(first) {
            (third, month, number(second)?)
        } else if let Some(month) = name(second) {
            if first.len() > 2 {
                (first, month, number(third)?)
            } else {
                (third, month, number(first)?)
            }
        } else if first.len() > 2 {
            (first, number(second)? as u32, number(third)?)
        } else {
            (third, number(first)? as u32, number(second)?)
        };
        set(&mut self.year, expand_year(number(year)?, year.len()))?;
        set(&mut self.month, month)?;
        set(&mut self.day, day as u32)
    }

    /// `5:15`, `05:15:00.25`, `051500`, each with a zone or `AM`/`PM` behind it.
    fn time_word(&mut self, word: &str) -> Result<(), Misfit> {
        let end = word
            .find(|c: char| !c.is_ascii_digit() && c != ':' && c != '.')
            .unwrap_or(word.len());
        let (clock, rest) = word.split_at(end);
        let (whole, fraction) = clock.split_once('.').unwrap_or((clock, ""));
        let parts: Vec<&str> = if whole.contains(':') {
            whole.split(':').collect()
        } else if matches!(whole.len(), 4 | 6) {
            (0..whole.len())
                .step_by(2)
                .map(|at| &whole[at..at + 2])
                .collect()
        } else {
            return Err(Misfit::Syntax);
        };
        if !(2..=3).contains(&parts.len())
            || parts.iter().any(|part| part.is_empty() || part.len() > 2)
        {
            return Err(Misfit::Syntax);
        }
        let hour = number(parts[0])?;
        let minute = number(parts[1])?;
        let second = parts.get(2).map_or(Ok(0), |part| number(part))?;
        let (micros, digits) = read_fraction(fraction.as_bytes());
        if digits != fraction.len() {
            return Err(Misfit::Syntax);
        }
        // A leap second is the first of the next minute.
        if hour > 24 || minute > 59 || second > 60 {
            return Err(Misfit::Field);
        }
        let time = (hour * 3600 + minute * 60 + second) * SECOND + micros;
        if time > DAY {
            return Err(Misfit::Field);
        }
        set(&mut self.time, time)?;
        match rest.to_ascii_uppercase().as_str() {
            "" => Ok(()),
            "AM" => self.half_day(false),
            "PM" => self.half_day(true),
            _ => set(&mut self.zone, Zone::parse(rest).ok_or(Misfit::Syntax)?),
        }
    }

    fn half_day(&mut self, afternoon: bool) -> Result<(), Misfit> {
        let time = self.time.ok_or(Misfit::Syntax)?;
        let hour = time / (3600 * SECOND);
        if hour > 12 {
            return Err(Misfit::Field);
        }
        let half = DAY / 2;
        self.time = Some(match (afternoon, hour == 12) {
            (true, false) => time + half,
            (false, true) => time - half,
            _ => time,
        });
        Ok(())
    }

    /// Gives the numbers that stand alone their meaning: with a month's name, day and year.
    fn place(&mut self, numbers: &[(i64, usize)]) -> Result<(), Misfit> {
        for (value, digits) in numbers {
            if self.month.is_some() && self.day.is_none() && *digits <= 2 {
                self.day = Some(*value as u32);
            } else if self.month.is_some() && self.year.is_none() {
                self.year = Some(expand_year(*value, *digits));
            } else {
                return Err(Misfit::Syntax);
            }
        }
        Ok(())
    }
}

fn set<T>(slot: &mut Option<T>, value: T) -> Result<(), Misfit> {
    if slot.replace(value).is_some() {
        return Err(Misfit::Syntax);
    }
    Ok(())
}

fn number(digits: &str) -> Result<i64, Misfit> {
    if digits.is_empty() || digits.len() > 9 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Misfit::Syntax);
    }
    digits.parse().map_err(|_| Misfit::Syntax)
}

/// A year of two digits lies between 1970 and 2069.
fn expand_year(year: i64, digits: usize) -> i64 {
    match (digits, year) {
        (1..=2, 70..) => year + 1900,
        (1..=2, _) => year + 2000,
        _ => year,
    }
}

fn month_number(upper: &str) -> Option<u32> {
    const MONTHS: [&str; 12] = [
        "JANUARY",
        "FEBRUARY",
        "MARCH",
        "APRIL",
        "MAY",
        "JUNE",
        "JULY",
        "AUGUST",
        "SEPTEMBER",
        "OCTOBER",
        "NOVEMBER",
        "DECEMBER",
    ];
    let index = MONTHS
        .iter()
        .position(|month| *month == upper || (upper.len() == 3 && month.starts_with(upper)))
        .or_else(|| (upper == "SEPT").then_some(8))?;
    Some(index as u32 + 1)
}

fn is_weekday(upper: &str) -> bool {
    const DAYS: [&str; 7] = [
        "MONDAY",
        "TUESDAY",
        "WEDNESDAY",
        "THURSDAY",
        "FRIDAY",
        "SATURDAY",
        "SUNDAY",
    ];
    DAYS.iter()
        .any(|day| *day == upper || (upper.len() == 3 && day.starts_with(upper)))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::*;

    fn check(texts: &[&str], expected: Expect) {
        let zone = Zone::parse("America/New_York").expect("a zone");
        let mut lines = String::new();
        for text in texts {
            let shown = match parse_timestamptz(text, &zone) {
                Ok(micros) => {
                    let mut out = Vec::new();
                    write_timestamp(
                        &mut out,
                        parse_timestamp(text).expect("the same text"),
                        b' ',
                    );
                    out.extend_from_slice(b" | ");
                    write_timestamptz(&mut out, micros, &zone, b' ', false);
                    String::from_utf8(out).expect("ASCII")
                }
                Err(misfit) => format!("{misfit:?}"),
            };
            lines.push_str(&format!("{text} => {shown}\n"));
        }
        expected.assert_eq(&lines);
    }

    #[test]
    fn spellings_of_a_timestamp() {
        check(
            &[
                "2013-01-31",
                "2013-07-31 05:15",
                "2013-07-31T05:15:00Z",
                "2013-07-31 05:15:00.123456789+02",
                "2013-07-31 05:15:00 -03:30",
                "2013-07-31 05:15:00 America/Los_Angeles",
                "2013/7/4 5:15:01",
                "7/4/2013",
                "7/4/99",
                "20130704",
                "20130704T051500",
                "20130704 051500",
                "July 4, 2013 5:15 PM",
                "4 Jul 2013 12:00am",
                "04-Jul-2013",
                "Jul-04-2013",
                "2013-Jul-04",
                "Thu Jul 04 05:15:00 2013",
                "epoch",
                "0044-03-15 BC",
                "12345-01-01",
                "2013-07-31 24:00:00",
                "2013-07-31 23:59:60",
                "  2013-07-31 05:15 ",
            ],
            expect![[r#"
                2013-01-31 => 2013-01-31 00:00:00 | 2013-01-31 00:00:00-05
                2013-07-31 05:15 => 2013-07-31 05:15:00 | 2013-07-31 05:15:00-04
                2013-07-31T05:15:00Z => 2013-07-31 05:15:00 | 2013-07-31 01:15:00-04
                2013-07-31 05:15:00.123456789+02 => 2013-07-31 05:15:00.123457 | 2013-07-30 23:15:00.123457-04
                2013-07-31 05:15:00 -03:30 => 2013-07-31 05:15:00 | 2013-07-31 04:45:00-04
                2013-07-31 05:15:00 America/Los_Angeles => 2013-07-31 05:15:00 | 2013-07-31 08:15:00-04
                2013/7/4 5:15:01 => 2013-07-04 05:15:01 | 2013-07-04 05:15:01-04
                7/4/2013 => 2013-07-04 00:00:00 | 2013-07-04 00:00:00-04
                7/4/99 => 1999-07-04 00:00:00 | 1999-07-04 00:00:00-04
                20130704 => 2013-07-04 00:00:00 | 2013-07-04 00:00:00-04
                20130704T051500 => 2013-07-04 05:15:00 | 2013-07-04 05:15:00-04
                20130704 051500 => 2013-07-04 05:15:00 | 2013-07-04 05:15:00-04
                July 4, 2013 5:15 PM => 2013-07-04 17:15:00 | 2013-07-04 17:15:00-04
                4 Jul 2013 12:00am => 2013-07-04 00:00:00 | 2013-07-04 00:00:00-04
                04-Jul-2013 => 2013-07-04 00:00:00 | 2013-07-04 00:00:00-04
                Jul-04-2013 => 2013-07-04 00:00:00 | 2013-07-04 00:00:00-04
                2013-Jul-04 => 2013-07-04 00:00:00 | 2013-07-04 00:00:00-04
                Thu Jul 04 05:15:00 2013 => 2013-07-04 05:15:00 | 2013-07-04 05:15:00-04
                epoch => 1970-01-01 00:00:00 | 1969-12-31 19:00:00-05
                0044-03-15 BC => 0044-03-15 00:00:00 BC | 0044-03-15 00:00:00-04:56:02 BC
                12345-01-01 => 12345-01-01 00:00:00 | 12345-01-01 00:00:00-05
                2013-07-31 24:00:00 => 2013-08-01 00:00:00 | 2013-08-01 00:00:00-04
                2013-07-31 23:59:60 => 2013-08-01 00:00:00 | 2013-08-01 00:00:00-04
                  2013-07-31 05:15  => 2013-07-31 05:15:00 | 2013-07-31 05:15:00-04
            "#]],
        );
    }

    #[test]
    fn what_is_not_a_timestamp() {
        check(
            &[
                "",
                "x",
                "2013",
                "2013-02-29",
                "2013-13-01",
                "2013-00-01",
                "0000-01-01",
                "2013-01-01 25:00",
                "2013-01-01 1:60",
                "infinity",
                "now",
                "2013-01-01 05:15:00+99",
                "2013-01-01 2013-01-02",
                "1-2",
                "99999999-01-01",
                "NA",
                "12:30",
                "2013-01-01 05:15 Nowhere/City",
                "2013-01-01 13:00 PM",
            ],
            expect![[r#"
                 => Syntax
                x => Syntax
                2013 => Syntax
                2013-02-29 => Field
                2013-13-01 => Field
                2013-00-01 => Field
                0000-01-01 => Field
                2013-01-01 25:00 => Field
                2013-01-01 1:60 => Field
                infinity => Syntax
                now => Syntax
                2013-01-01 05:15:00+99 => Syntax
                2013-01-01 2013-01-02 => Syntax
                1-2 => Syntax
                99999999-01-01 => Field
                NA => Syntax
                12:30 => Syntax
                2013-01-01 05:15 Nowhere/City => Syntax
                2013-01-01 13:00 PM => Field
            "#]],
        );
    }

    #[test]
    fn times_of_day() {
        let show = |text: &str| match parse_time(text) {
            Ok(micros) => {
                let mut out = Vec::new();
                write_time(&mut out, micros);
                String::from_utf8(out).expect("ASCII")
            }
            Err(misfit) => format!("{misfit:?}"),
        };
        assert_eq!(show("5:15"), "05:15:00");
        assert_eq!(show("05:15:00.5"), "05:15:00.5");
        assert_eq!(show("05:15 PM"), "17:15:00");
        assert_eq!(show("24:00"), "24:00:00");
        assert_eq!(show("051500"), "Syntax");
        assert_eq!(show("25:00"), "Field");
    }

    proptest! {
        #[test]
        fn days_and_civil_dates_are_inverse(days in -100_000_000i64..100_000_000) {
            let (year, month, day) = civil_from_days(days);
            prop_assert_eq!(days_from_civil(year, month, day), days);
        }

        #[test]
        fn what_is_written_can_be_read(micros in -200_000_000_000_000_000i64..200_000_000_000_000_000) {
            let mut out = Vec::new();
            write_timestamp(&mut out, micros, b' ');
            let text = String::from_utf8(out).expect("ASCII");
            if micros > -62_000_000_000_000_000 {
                prop_assert_eq!(parse_timestamp(&text), Ok(micros), "{}", text);
            }
            for zone in ["UTC", "America/New_York", "Asia/Kolkata"] {
                let zone = Zone::parse(zone).expect("a zone");
                let mut out = Vec::new();
                write_timestamptz(&mut out, micros, &zone, b' ', false);
                let text = String::from_utf8(out).expect("ASCII");
                prop_assert_eq!(parse_timestamptz(&text, &Zone::UTC), Ok(micros), "{}", text);
            }
        }

        #[test]
        fn no_text_is_too_strange(text in ".{0,40}") {
            let _ = parse_timestamp(&text);
            let _ = parse_time(&text);
        }

        #[test]
        fn no_almost_date_is_too_strange(text in "[0-9TZ:+./ -]{0,30}( (BC|AM|PM|Jan|Mon))?") {
            let _ = parse_timestamptz(&text, &Zone::UTC);
            let _ = parse_date(&text);
        }
    }
}
