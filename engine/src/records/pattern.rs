//! `TIMESTAMP_FORMAT`: a pattern in the letters of Java's `DateTimeFormatter`.
//!
//! Letters of their own: `y u M L d D H k K h a m s S n E X x Z V z`. Text stands in single quotes,
//! two of which are one; what is in brackets may be missing. Parts that the pattern does not have are
//! those of 1970-01-01 00:00 UTC. Names are English.

use crate::formats::{Zone, days_from_civil};

/// A pattern that has been understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    items: Vec<Item>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    Literal(String),
    /// A number of so many digits.
    Number(Part, Width),
    /// The name of a month.
    MonthName,
    /// The name of a day; it must be one, but says nothing.
    DayName,
    HalfDay,
    /// Digits of a fraction of a second.
    Fraction(usize),
    /// `Z`, `+02`, `+0200`, `+02:00`.
    Offset,
    /// An offset or a name such as `Europe/Paris`.
    Zone,
    Optional(Vec<Item>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Year,
    /// Two digits, of this century.
    ShortYear,
    Month,
    Day,
    DayOfYear,
    /// 0–23, or with 24 for 0.
    Hour,
    /// 1–12, or 0–11.
    HalfDayHour,
    Minute,
    Second,
    Nano,
}

/// Digits at the least and at the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Width(usize, usize);

#[derive(Debug, Clone, Default)]
struct Fields {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    hour: Option<i64>,
    half_day_hour: Option<i64>,
    afternoon: bool,
    minute: i64,
    second: i64,
    nanos: i64,
    zone: Option<Zone>,
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const DAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

impl Pattern {
    /// Understands a pattern.
    ///
    /// # Errors
    /// The reason, when it has a letter that is none, or a quote or bracket too many.
    pub fn parse(pattern: &str) -> Result<Self, String> {
        let letters: Vec<char> = pattern.chars().collect();
        let mut at = 0;
        let items = parse_items(&letters, &mut at, false)?;
        Ok(Self { items })
    }

    /// The instant that a text stands for, in microseconds since the epoch.
    pub fn read(&self, text: &str) -> Option<i64> {
        let mut fields = Fields::default();
        let rest = read_items(&self.items, text, &mut fields)?;
        if !rest.is_empty() {
            return None;
        }
        fields.instant()
    }
}

fn parse_items(letters: &[char], at: &mut usize, nested: bool) -> Result<Vec<Item>, String> {
    let mut items = Vec::new();
    while let Some(&letter) = letters.get(*at) {
        let run = letters[*at..]
            .iter()
            .take_while(|other| **other == letter)
            .count();
        match letter {
            '\'' => {
                *at += 1;
                let mut literal = String::new();
                if letters.get(*at) == Some(&'\'') {
                    *at += 1;
                    literal.push('\'');
                } else {
                    loop {
                        let letter = letters.get(*at).ok_or("a quoted text does not end")?;
                        *at += 1;
                        if *letter == '\'' {
                            if letters.get(*at) != Some(&'\'') {
                                break;
                            }
                            *at += 1;
                        }
                        literal.push(*letter);
                    }
                }
                items.push(Item::Literal(literal));
            }
            '[' => {
                *at += 1;
                items.push(Item::Optional(parse_items(letters, at, true)?));
            }
            ']' if nested => {
                *at += 1;
                return Ok(items);
            }
            ']' | '{' | '}' | '#' => return Err(format!("'{letter}' stands alone")),
            _ if letter.is_ascii_alphabetic() => {
                *at += run;
                items.push(item(letter, run)?);
            }
            _ => {
                *at += 1;
                items.push(Item::Literal(letter.into()));
            }
        }
    }
    if nested {
        return Err("a bracket is not closed".into());
    }
    Ok(items)
}

fn item(letter: char, run: usize) -> Result<Item, String> {
    let number = |part, digits_max: usize| {
        let width = match run {
            1 => Width(1, digits_max),
            _ => Width(run, run),
        };
        Ok(Item::Number(part, width))
    };
    match letter {
        'y' | 'u' if run == 2 => Ok(Item::Number(Part::ShortYear, Width(2, 2))),
        'y' | 'u' => Ok(Item::Number(Part::Year, Width(run, run.max(9)))),
        'M' | 'L' if run >= 3 => Ok(Item::MonthName),
        'M' | 'L' => number(Part::Month, 2),
        'd' => number(Part::Day, 2),
        'D' => number(Part::DayOfYear, 3),
        'H' | 'k' => number(Part::Hour, 2),
        'h' | 'K' => number(Part::HalfDayHour, 2),
        'm' => number(Part::Minute, 2),
        's' => number(Part::Second, 2),
        'n' => number(Part::Nano, 9),
        'S' => Ok(Item::Fraction(run)),
        'a' => Ok(Item::HalfDay),
        'E' => Ok(Item::DayName),
        'X' | 'x' | 'Z' => Ok(Item::Offset),
        'V' | 'z' | 'O' => Ok(Item::Zone),
        _ => Err(format!("the letter '{letter}' means nothing in a pattern")),
    }
}

/// Reads the items from the front of the text and returns the rest.
fn read_items<'a>(items: &[Item], mut text: &'a str, fields: &mut Fields) -> Option<&'a str> {
    for (at, item) in items.iter().enumerate() {
        text = match item {
            Item::Literal(literal) => strip_ignoring_case(text, literal)?,
            Item::Number(part, width) => {
                // Digits that the numbers right behind need are left to them.
                let adjacent: usize = items[at + 1..]
                    .iter()
                    .map_while(|next| match next {
                        Item::Number(_, Width(least, most)) if least == most => Some(*least),
                        Item::Fraction(digits) => Some(*digits),
                        _ => None,
                    })
                    .sum();
                read_number(*part, *width, adjacent, text, fields)?
            }
            Item::MonthName => {
                let (month, rest) = strip_name(text, &MONTHS)?;
                fields.month = Some(month as i64 + 1);
                rest
            }
            Item::DayName => strip_name(text, &DAYS)?.1,
            Item::HalfDay => {
                fields.afternoon = strip_ignoring_case(text, "pm").is_some();
                strip_ignoring_case(text, if fields.afternoon { "pm" } else { "am" })?
            }
            Item::Fraction(digits) => {
                let fraction = text.get(..*digits)?;
                if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
                    return None;
                }
                let nanos: String = fraction
                    .chars()
                    .chain("000000000".chars())
                    .take(9)
                    .collect();
                fields.nanos = nanos.parse().ok()?;
                &text[*digits..]
            }
            Item::Offset => {
                let (seconds, rest) = strip_offset(text)?;
                fields.zone = Some(Zone::Fixed(seconds));
                rest
            }
            Item::Zone => match strip_offset(text) {
                Some((seconds, rest)) => {
                    fields.zone = Some(Zone::Fixed(seconds));
                    rest
                }
                None => {
                    let end = text
                        .find(|letter: char| {
                            !(letter.is_ascii_alphanumeric() || "/_+-".contains(letter))
                        })
                        .unwrap_or(text.len());
                    fields.zone = Some(Zone::parse(&text[..end])?);
                    &text[end..]
                }
            },
            Item::Optional(items) => {
                let mut tried = fields.clone();
                match read_items(items, text, &mut tried) {
                    Some(rest) => {
                        *fields = tried;
                        rest
                    }
                    None => text,
                }
            }
        };
    }
    Some(text)
}

fn read_number<'a>(
    part: Part,
    Width(least, most): Width,
    adjacent: usize,
    text: &'a str,
    fields: &mut Fields,
) -> Option<&'a str> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let length = digits.saturating_sub(adjacent).min(most);
    if length < least.max(1) {
        return None;
    }
    let value: i64 = text[..length].parse().ok()?;
    let within = |least: i64, most: i64| (least..=most).contains(&value).then_some(value);
    match part {
        Part::Year => fields.year = Some(value),
        Part::ShortYear => fields.year = Some(2000 + value),
        Part::Month => fields.month = Some(within(1, 12)?),
        Part::Day => fields.day = Some(within(1, 31)?),
        Part::DayOfYear => fields.day_of_year = Some(within(1, 366)?),
        Part::Hour => fields.hour = Some(within(0, 24)? % 24),
        Part::HalfDayHour => fields.half_day_hour = Some(within(0, 12)? % 12),
        Part::Minute => fields.minute = within(0, 59)?,
        Part::Second => fields.second = within(0, 59)?,
        Part::Nano => fields.nanos = within(0, 999_999_999)?,
    }
    Some(&text[length..])
}

fn strip_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let there = text.get(..prefix.len())?;
    there
        .eq_ignore_ascii_case(prefix)
        .then(|| &text[prefix.len()..])
}

/// A name in full, or its first three letters.
fn strip_name<'a>(text: &'a str, names: &[&str]) -> Option<(usize, &'a str)> {
    let strip = |short: bool| {
        names.iter().enumerate().find_map(|(at, name)| {
            let name = if short { &name[..3] } else { name };
            Some((at, strip_ignoring_case(text, name)?))
        })
    };
    strip(false).or_else(|| strip(true))
}

/// `Z`, or hours and perhaps minutes and seconds behind a sign; in seconds.
fn strip_offset(text: &str) -> Option<(i32, &str)> {
    if let Some(rest) = text.strip_prefix(['Z', 'z']) {
        return Some((0, rest));
    }
    let text = ["GMT", "UTC"]
        .iter()
        .find_map(|name| text.strip_prefix(name))
        .filter(|rest| rest.starts_with(['+', '-']))
        .unwrap_or(text);
    let negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['+', '-'])?;
    let mut seconds = 0;
    for (at, unit) in [3600, 60, 1].into_iter().enumerate() {
        let after = match rest.strip_prefix(':') {
            Some(after) if at > 0 => after,
            _ => rest,
        };
        let two = after
            .get(..2)
            .filter(|two| two.bytes().all(|byte| byte.is_ascii_digit()));
        let Some(two) = two else {
            if at == 0 {
                return None;
            }
            break;
        };
        let value: i32 = two.parse().ok()?;
        if value > if at == 0 { 18 } else { 59 } {
            return None;
        }
        seconds += value * unit;
        rest = &after[2..];
    }
    Some((if negative { -seconds } else { seconds }, rest))
}

impl Fields {
    fn instant(self) -> Option<i64> {
        let year = self.year.unwrap_or(1970);
        if !(0..=200_000).contains(&year) {
            return None;
        }
        let days = match (self.day_of_year, self.month, self.day) {
            (Some(day), None, None) => {
                let last = days_from_civil(year + 1, 1, 1) - days_from_civil(year, 1, 1);
                if day > last {
                    return None;
                }
                days_from_civil(year, 1, 1) + day - 1
            }
            (_, month, day) => {
                let (month, day) = (month.unwrap_or(1), day.unwrap_or(1));
                let days = days_from_civil(year, month as u32, day as u32);
                // A day that the month does not have would be one of the next month.
                let first = days_from_civil(year, month as u32, 1);
                let next = match month {
                    12 => days_from_civil(year + 1, 1, 1),
                    _ => days_from_civil(year, month as u32 + 1, 1),
                };
                if day > next - first {
                    return None;
                }
                days
            }
        };
        let hour = match (self.hour, self.half_day_hour) {
            (Some(hour), _) => hour,
            (None, Some(hour)) => hour + if self.afternoon { 12 } else { 0 },
            (None, None) => 0,
        };
        let seconds = days * 86_400 + hour * 3600 + self.minute * 60 + self.second;
        let local = seconds.checked_mul(1_000_000)? + self.nanos / 1000;
        Some(self.zone.unwrap_or(Zone::UTC).to_instant(local))
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use proptest::prelude::*;

    use super::*;

    fn read(pattern: &str, text: &str) -> Option<i64> {
        Pattern::parse(pattern).unwrap().read(text)
    }

    #[test]
    fn timestamps_are_read() {
        let second = 1_000_000;
        for (pattern, text, expected) in [
            (
                "yy-MM-dd HH:mm:ssX",
                "10-04-19 12:00:17Z",
                1_271_678_417 * second,
            ),
            (
                "yyyy-MM-dd'T'HH:mm:ss.SX",
                "2019-08-27T13:31:09.2+0000",
                1_566_912_669 * second + 200_000,
            ),
            (
                "yyyy-MM-dd'T'HH:mm:ssX",
                "2018-05-11T23:58:33+02",
                1_526_075_913 * second,
            ),
            (
                "yyyy-MM-dd HH:mm:ss.SSS",
                "1970-01-01 00:00:01.234",
                1_234_000,
            ),
            ("yyyyMMddHHmmss", "19700102030405", 97_445 * second),
            ("d MMM yyyy h:mm a", "2 Jan 1970 1:05 PM", 133_500 * second),
            (
                "EEEE, dd-MMMM-yy",
                "Friday, 02-january-70",
                3_155_846_400 * second,
            ),
            ("yyyy-MM-dd[ HH:mm]", "1970-01-02", 86_400 * second),
            ("yyyy-MM-dd[ HH:mm]", "1970-01-02 00:01", 86_460 * second),
            ("yyyy-DDD", "1970-032", 31 * 86_400 * second),
            (
                "''yyyy'' 'o''clock'",
                "'1971' o'clock",
                365 * 86_400 * second,
            ),
            ("yyyy-MM-dd HH:mm VV", "1970-01-01 01:00 Europe/Berlin", 0),
            ("yyyy-MM-dd HH:mm:ss XXX", "1970-01-01 00:30:00 +00:30", 0),
        ] {
            assert_eq!(read(pattern, text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_timestamp() {
        for (pattern, text) in [
            ("yyyy-MM-dd", "2001-02-29"),
            ("yyyy-MM-dd", "2001-13-01"),
            ("yyyy-MM-dd", "2001-1-01"),
            ("yyyy-MM-dd", "2001-01-01 "),
            ("yyyy-MM-dd", "!!!"),
            ("HH:mm", "25:00"),
            ("yyyy-MM-ddX", "2001-01-01"),
        ] {
            assert_eq!(read(pattern, text), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_pattern() {
        let errors: Vec<String> = ["yyyy-'MM", "[yyyy", "yyyy]", "bbb"]
            .into_iter()
            .map(|pattern| Pattern::parse(pattern).unwrap_err())
            .collect();
        expect![[r#"
            a quoted text does not end
            a bracket is not closed
            ']' stands alone
            the letter 'b' means nothing in a pattern"#]]
        .assert_eq(&errors.join("\n"));
    }

    proptest! {
        #[test]
        fn nothing_panics(pattern in ".{0,20}", text in ".{0,30}", letters in "[yuMLdDHkKhamsSnEXxZVz]{0,12}") {
            for pattern in [&pattern, &letters] {
                if let Ok(pattern) = Pattern::parse(pattern) {
                    let _ = pattern.read(&text);
                }
            }
        }

        #[test]
        fn what_was_written_is_read(seconds in 0i64..4_000_000_000) {
            let text = chrono::DateTime::from_timestamp(seconds, 0)
                .unwrap()
                .format("%Y-%m-%d %H:%M:%S")
                .to_string();
            prop_assert_eq!(read("yyyy-MM-dd HH:mm:ss", &text), Some(seconds * 1_000_000));
        }
    }
}
