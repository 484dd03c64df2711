//! Time zones as the `TimeZone` setting names them.

use chrono::{Offset, TimeZone as _};

/// Microseconds in a second.
const MICROS: i64 = 1_000_000;

/// A time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// Always so many seconds east of Greenwich.
    Fixed(i32),
    /// A zone of the IANA database.
    Named(chrono_tz::Tz),
}

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Zone = Zone::Fixed(0);

    /// The zone of this name: an IANA name, `UTC`, `Z`, a common abbreviation, or an ISO offset such as `+02:00`.
    pub fn parse(name: &str) -> Option<Zone> {
        let name = name.trim();
        if let Some(seconds) = parse_offset(name.as_bytes()) {
            return Some(Zone::Fixed(seconds));
        }
        if let Some(seconds) = abbreviation(name) {
            return Some(Zone::Fixed(seconds));
        }
        let exact = name.parse().ok();
        let zone = exact.or_else(|| {
            let mut known = chrono_tz::TZ_VARIANTS.iter();
            known
                .find(|zone| zone.name().eq_ignore_ascii_case(name))
                .copied()
        });
        zone.map(Zone::Named)
    }

    /// How many seconds east of Greenwich the zone is at an instant, in microseconds since the epoch.
    pub fn offset_at(&self, instant: i64) -> i32 {
        match self {
            Zone::Fixed(seconds) => *seconds,
            Zone::Named(zone) => match zone.timestamp_micros(clamp(instant)) {
                chrono::LocalResult::Single(time) | chrono::LocalResult::Ambiguous(time, _) => {
                    time.offset().fix().local_minus_utc()
                }
                chrono::LocalResult::None => 0,
            },
        }
    }

    /// The instant at which clocks of the zone show this time. A time that is shown twice is the first of the two, as
    /// is the offset before the change for a time that is skipped.
    pub fn to_instant(&self, local: i64) -> i64 {
        match self {
            Zone::Fixed(seconds) => local.saturating_sub(i64::from(*seconds) * MICROS),
            Zone::Named(_) => {
                let day = 86_400 * MICROS;
                let before = i64::from(self.offset_at(local.saturating_sub(day))) * MICROS;
                let candidate = local.saturating_sub(before);
                if i64::from(self.offset_at(candidate)) * MICROS == before {
                    return candidate;
                }
                let after = i64::from(self.offset_at(local.saturating_add(day))) * MICROS;
                let second = local.saturating_sub(after);
                if i64::from(self.offset_at(second)) * MICROS == after {
                    second
                } else {
                    candidate
                }
            }
        }
    }
}

/// Chrono knows the years up to 262,000; beyond them the offset of the nearest is as good as any.
fn clamp(instant: i64) -> i64 {
    const BOUND: i64 = 8_000_000_000_000 * MICROS;
    instant.clamp(-BOUND, BOUND)
}

/// `Z`, `+hh`, `+hhmm`, `+hh:mm`, `+hh:mm:ss`, in seconds east of Greenwich.
pub(super) fn parse_offset(text: &[u8]) -> Option<i32> {
    let (sign, digits) = match text {
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let two = |at: usize| -> Option<i32> {
        let pair = digits.get(at..at + 2)?;
        (pair[0].is_ascii_digit() && pair[1].is_ascii_digit())
            .then(|| i32::from(pair[0] - b'0') * 10 + i32::from(pair[1] - b'0'))
    };
    let (hours, minutes, seconds) = match digits.len() {
        1 if digits[0].is_ascii_digit() => (i32::from(digits[0] - b'0'), 0, 0),
        2 => (two(0)?, 0, 0),
        4 => (two(0)?, two(2)?, 0),
        5 if digits[2] == b':' => (two(0)?, two(3)?, 0),
        8 if digits[2] == b':' && digits[5] == b':' => (two(0)?, two(3)?, two(6)?),
        _ => return None,
    };
    (hours <= 15 && minutes < 60 && seconds < 60)
        .then_some(sign * (hours * 3600 + minutes * 60 + seconds))
}

/// Abbreviations that Postgres knows by default and that mean one thing.
fn abbreviation(name: &str) -> Option<i32> {
    const HOUR: i32 = 3600;
    let hours = match name.to_ascii_uppercase().as_str() {
        "Z" | "ZULU" | "UTC" | "GMT" | "UT" | "UCT" | "WET" => 0,
        "CET" | "BST" | "MET" | "WEST" => HOUR,
        "CEST" | "EET" | "MEST" => 2 * HOUR,
        "EEST" | "MSK" => 3 * HOUR,
        "JST" | "KST" => 9 * HOUR,
        "EST" | "CDT" => -5 * HOUR,
        "EDT" => -4 * HOUR,
        "CST" | "MDT" => -6 * HOUR,
        "MST" | "PDT" => -7 * HOUR,
        "PST" => -8 * HOUR,
        _ => return None,
    };
    Some(hours)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(zone: &str, instant_seconds: i64) -> f64 {
        let zone = Zone::parse(zone).expect("a zone");
        f64::from(zone.offset_at(instant_seconds * MICROS)) / 3600.0
    }

    #[test]
    fn names_offsets_and_abbreviations_are_zones() {
        assert_eq!(hours("UTC", 0), 0.0);
        assert_eq!(hours("+00:00", 0), 0.0);
        assert_eq!(hours("+05:30", 0), 5.5);
        assert_eq!(hours("-0330", 0), -3.5);
        assert_eq!(hours("EST", 0), -5.0);
        assert_eq!(hours("america/new_york", 1_373_000_000), -4.0);
        assert_eq!(hours("America/New_York", 1_357_000_000), -5.0);
        assert_eq!(Zone::parse("Middle/Earth"), None);
        assert_eq!(Zone::parse("+99"), None);
    }

    #[test]
    fn local_times_around_a_change_of_clocks() {
        let zone = Zone::parse("America/New_York").expect("a zone");
        let local = |text: &str| super::super::datetime::parse_timestamp(text).expect("a time");
        let instant = |text: &str| zone.to_instant(local(text)) - local(text);
        assert_eq!(instant("2013-03-10 01:59"), 5 * 3600 * MICROS);
        // Skipped: read as if the clocks had not been changed yet.
        assert_eq!(instant("2013-03-10 02:30"), 5 * 3600 * MICROS);
        assert_eq!(instant("2013-03-10 03:00"), 4 * 3600 * MICROS);
        // Shown twice: the first.
        assert_eq!(instant("2013-11-03 01:30"), 4 * 3600 * MICROS);
        assert_eq!(instant("2013-11-03 02:00"), 5 * 3600 * MICROS);
    }
}
