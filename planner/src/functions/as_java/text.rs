//! Texts, and bytes where a function takes both.

use std::ops::Range;

use datafusion::common::Result;

use crate::error::{PlanError, PlanErrorKind};

/// Each word, which ends at white space only, with a capital first and small letters behind.
pub(super) fn initcap(text: &str) -> String {
    let mut capitalised = String::with_capacity(text.len());
    let mut begins = true;
    for character in text.chars() {
        match begins {
            true => capitalised.extend(character.to_uppercase()),
            false => capitalised.extend(character.to_lowercase()),
        }
        begins = character.is_whitespace();
    }
    capitalised
}

/// Elements of a padded value at most.
const PADDED_MAX: i64 = 64 << 20;

/// Cut or padded to a length; `None` where ksqlDB gives NULL.
pub(super) fn checked_pad<T: Clone>(
    of: &[T],
    length: i64,
    padding: &[T],
    left: bool,
) -> Option<Result<Vec<T>>> {
    if length < 0 || padding.is_empty() {
        return None;
    }
    if length > PADDED_MAX {
        return Some(Err(PlanError::new(
            PlanErrorKind::InvalidParameterValue,
            format!("requested length too large: {length}"),
        )
        .into()));
    }
    let length = length as usize;
    let kept = &of[..of.len().min(length)];
    let filling = padding.iter().cycle().take(length - kept.len()).cloned();
    Some(Ok(match left {
        true => filling.chain(kept.iter().cloned()).collect(),
        false => kept.iter().cloned().chain(filling).collect(),
    }))
}

/// The places from `start`, counted from 1 or, below zero, from the end; a zero is the beginning.
pub(super) fn java_range(length: usize, start: i64, taken: i64) -> Range<usize> {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let first = match start < 0 {
        true => length.saturating_add(start).max(0),
        false => (start - 1).clamp(0, length),
    };
    let end = first.saturating_add(taken).clamp(first, length);
    first as usize..end as usize
}

/// A pattern in which a backslash is the escape, of one in which `escape` is.
pub(super) fn like_pattern(pattern: &str, escape: Option<char>) -> String {
    let mut translated = String::with_capacity(pattern.len());
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        let literal = match character {
            character if Some(character) == escape => characters.next().unwrap_or(character),
            '%' | '_' => {
                translated.push(character);
                continue;
            }
            character => character,
        };
        if matches!(literal, '%' | '_' | '\\') {
            translated.push('\\');
        }
        translated.push(literal);
    }
    translated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_the_escape_means_itself() {
        let translated = |pattern: &str| like_pattern(pattern, Some('!'));
        assert_eq!(translated("!%"), "\\%");
        assert_eq!(translated("_!%%"), "_\\%%");
        assert_eq!(translated("a!!b!x"), "a!bx");
        assert_eq!(translated("a\\%!"), "a\\\\%!");
        assert_eq!(like_pattern("a!%", None), "a!%");
    }

    #[test]
    fn substrings_are_counted_as_in_ksqldb() {
        assert_eq!(java_range(5, 0, 2), 0..2);
        assert_eq!(java_range(5, 2, 2), 1..3);
        assert_eq!(java_range(5, -3, i64::MAX), 2..5);
        assert_eq!(java_range(5, -9, 2), 0..2);
        assert_eq!(java_range(5, 9, 2), 5..5);
        assert_eq!(java_range(5, 2, -1), 1..1);
    }

    #[test]
    fn words_end_at_white_space() {
        assert_eq!(initcap("some_string"), "Some_string");
        assert_eq!(initcap("the   Quick br0wn fOx"), "The   Quick Br0wn Fox");
    }

    #[test]
    fn padding_is_repeated_and_cut() {
        let pad = |of: &[u8], length, padding: &[u8], left| {
            checked_pad(of, length, padding, left).map(|padded| padded.unwrap())
        };
        assert_eq!(pad(b"yes", 8, b"no", false), Some(b"yesnonon".to_vec()));
        assert_eq!(pad(b"foo", 7, b"Bar", true), Some(b"BarBfoo".to_vec()));
        assert_eq!(pad(b"foo", 2, b"Bar", true), Some(b"fo".to_vec()));
        assert_eq!(pad(b"foo", -1, b"Bar", true), None);
        assert_eq!(pad(b"foo", 7, b"", true), None);
    }
}
