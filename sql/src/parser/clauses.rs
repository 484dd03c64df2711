//! The streaming clauses themselves.

use sqlparser::tokenizer::Token;

use super::{Result, StatementParser};
use crate::{
    ast::{Duration, TimeUnit, WindowClause, WindowKind, Within},
    error::{ParseError, ParseErrorKind},
};

impl StatementParser<'_> {
    /// `WINDOW TUMBLING (SIZE d [, RETENTION d] [, GRACE PERIOD d])`,
    /// `WINDOW HOPPING (SIZE d, ADVANCE BY d [, …])`, `WINDOW SESSION (d [, …])`.
    pub(super) fn window_clause(&mut self) -> Result<WindowClause> {
        self.expect_word("WINDOW")?;
        let session = self.is_word(0, "SESSION");
        let hopping = self.is_word(0, "HOPPING");
        self.advance(1);
        self.expect(&Token::LParen)?;
        let kind = if session {
            WindowKind::Session {
                gap: self.positive_duration()?,
            }
        } else {
            self.expect_word("SIZE")?;
            let size = self.positive_duration()?;
            if hopping {
                self.expect(&Token::Comma)?;
                self.expect_word("ADVANCE")?;
                self.expect_word("BY")?;
                let position = self.position();
                let advance = self.positive_duration()?;
                if advance.micros() > size.micros() {
                    let message = "window advance must not be longer than its size";
                    return Err(ParseError::new(ParseErrorKind::InvalidValue, message).at(position));
                }
                WindowKind::Hopping { size, advance }
            } else {
                WindowKind::Tumbling { size }
            }
        };
        let mut clause = WindowClause {
            kind,
            retention: None,
            grace: None,
        };
        while self.take(&Token::Comma) {
            if clause.retention.is_none() && self.take_word("RETENTION") {
                clause.retention = Some(self.duration()?);
            } else if clause.grace.is_none() && self.take_words(&["GRACE", "PERIOD"]) {
                clause.grace = Some(self.duration()?);
            } else {
                return Err(self.unexpected("RETENTION or GRACE PERIOD"));
            }
        }
        self.expect(&Token::RParen)?;
        Ok(clause)
    }

    /// `WITHIN d | (before, after) [GRACE PERIOD d]`.
    pub(super) fn within_clause(&mut self, from_item: usize, join: usize) -> Result<Within> {
        self.expect_word("WITHIN")?;
        let (before, after) = if self.take(&Token::LParen) {
            let before = self.duration()?;
            self.expect(&Token::Comma)?;
            let after = self.duration()?;
            self.expect(&Token::RParen)?;
            (before, after)
        } else {
            let both = self.duration()?;
            (both, both)
        };
        let grace = if self.take_words(&["GRACE", "PERIOD"]) {
            Some(self.duration()?)
        } else {
            None
        };
        Ok(Within {
            from_item,
            join,
            before,
            after,
            grace,
        })
    }

    fn positive_duration(&mut self) -> Result<Duration> {
        let position = self.position();
        let duration = self.duration()?;
        if duration.amount == 0 {
            let message = "the size of a window must be greater than zero";
            return Err(ParseError::new(ParseErrorKind::InvalidValue, message).at(position));
        }
        Ok(duration)
    }

    /// `n unit`.
    pub(super) fn duration(&mut self) -> Result<Duration> {
        let position = self.position();
        let amount = self.unsigned()?;
        let word = self.word(0).unwrap_or_default();
        let unit = match word.strip_suffix('S').unwrap_or(&word) {
            "MICROSECOND" => TimeUnit::Microsecond,
            "MILLISECOND" => TimeUnit::Millisecond,
            "SECOND" => TimeUnit::Second,
            "MINUTE" => TimeUnit::Minute,
            "HOUR" => TimeUnit::Hour,
            "DAY" => TimeUnit::Day,
            "WEEK" => TimeUnit::Week,
            "MONTH" | "YEAR" => {
                let what = "a duration in months or years, which differ in length,";
                return Err(ParseError::unsupported(what)
                    .at(self.position())
                    .hint("give it in days"));
            }
            _ => return Err(self.unexpected("a unit of time, such as SECONDS")),
        };
        self.advance(1);
        let fits = amount
            .checked_mul(unit.micros())
            .is_some_and(|micros| i64::try_from(micros).is_ok());
        if !fits {
            return Err(
                ParseError::new(ParseErrorKind::InvalidValue, "duration out of range").at(position),
            );
        }
        Ok(Duration { amount, unit })
    }
}
