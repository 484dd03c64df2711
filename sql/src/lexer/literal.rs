//! Strings and numbers.

use sqlparser::tokenizer::Token;

use super::{LexError, Lexer, Unterminated, excerpt, is_word_part, is_word_start};
use crate::{
    config::Dialect,
    error::{ParseError, ParseErrorKind},
};

/// PostgreSQL's protocol counts parameters in 16 bits.
const PARAMETER_MAX: u32 = 65_535;

impl Lexer<'_> {
    /// `'…'` from behind its first quote, with the pieces that follow it on further lines.
    pub(super) fn plain_string(&mut self, start: usize) -> Result<Token, LexError> {
        let value = self.raw_string(start)?;
        if value.contains('\0') {
            return Err(self.bad_bytes(start));
        }
        Ok(Token::SingleQuotedString(value))
    }

    /// The contents of `'…'` from behind its first quote; nothing but `''` means something else than it says.
    pub(super) fn raw_string(&mut self, start: usize) -> Result<String, LexError> {
        let mut value = String::new();
        loop {
            let rest = &self.text[self.byte..];
            let Some(length) = rest.find('\'') else {
                return Err(LexError::Unterminated {
                    what: Unterminated::String,
                    start,
                });
            };
            value.push_str(&rest[..length]);
            self.advance(length + 1);
            if self.peek() == Some('\'') {
                value.push('\'');
                self.advance(1);
            } else if !self.continues_on_next_line() {
                return Ok(value);
            }
        }
    }

    /// `B'…'` or `X'…'` from behind its first quote.
    pub(super) fn digit_string(
        &mut self,
        start: usize,
        radix: u32,
        what: &str,
    ) -> Result<String, LexError> {
        let value = self.raw_string(start)?;
        match value.chars().find(|c| !c.is_digit(radix)) {
            Some(c) => Err(self.invalid(start, format!("\"{c}\" is not a valid {what} digit"))),
            None => Ok(value),
        }
    }

    /// `E'…'` from behind its first quote.
    pub(super) fn escape_string(&mut self, start: usize) -> Result<Token, LexError> {
        let mut value: Vec<u8> = Vec::new();
        let mut high_surrogate = None;
        loop {
            let Some(c) = self.peek() else {
                return Err(LexError::Unterminated {
                    what: Unterminated::String,
                    start,
                });
            };
            self.advance(c.len_utf8());
            let unit = match c {
                '\'' if self.peek() == Some('\'') => {
                    self.advance(1);
                    value.push(b'\'');
                    None
                }
                '\'' if self.continues_on_next_line() => None,
                '\'' => break,
                '\\' => self.escape(start, &mut value)?,
                c => {
                    value.extend(c.encode_utf8(&mut [0; 4]).as_bytes());
                    None
                }
            };
            match (high_surrogate.take(), unit) {
                (None, None) => {}
                (None, Some(unit @ 0xd800..=0xdbff)) => high_surrogate = Some(unit),
                (high, Some(unit)) => self.push_code_point(start, &mut value, high, unit)?,
                (Some(_), None) => {
                    return Err(self.invalid(start, "invalid Unicode surrogate pair"));
                }
            }
        }
        match String::from_utf8(value) {
            Ok(value) if !value.contains('\0') && high_surrogate.is_none() => {
                Ok(Token::SingleQuotedString(value))
            }
            _ => Err(self.bad_bytes(start)),
        }
    }

    /// What follows a backslash. A Unicode escape is returned, anything else is pushed.
    fn escape(&mut self, start: usize, value: &mut Vec<u8>) -> Result<Option<u32>, LexError> {
        let Some(c) = self.peek() else {
            return Err(LexError::Unterminated {
                what: Unterminated::String,
                start,
            });
        };
        match c {
            '0'..='7' => {
                let code = self.digits(3, 8);
                value.push((code & 0xff) as u8);
                return Ok(None);
            }
            'x' if self.peek_at(1).is_some_and(|c| c.is_ascii_hexdigit()) => {
                self.advance(1);
                let code = self.digits(2, 16);
                value.push(code as u8);
                return Ok(None);
            }
            'u' | 'U' => {
                self.advance(1);
                let count = if c == 'u' { 4 } else { 8 };
                let digits = &self.text.as_bytes()[self.byte..];
                if digits.len() < count || !digits[..count].iter().all(u8::is_ascii_hexdigit) {
                    return Err(self.invalid(start, "invalid Unicode escape"));
                }
                return Ok(Some(self.digits(count, 16)));
            }
            _ => {}
        }
        self.advance(c.len_utf8());
        let c = match c {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            other => other,
        };
        value.extend(c.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(None)
    }

    /// Reads at most `count` digits.
    fn digits(&mut self, count: usize, radix: u32) -> u32 {
        let mut code = 0u32;
        for _ in 0..count {
            let Some(digit) = self.peek().and_then(|c| c.to_digit(radix)) else {
                break;
            };
            code = code.wrapping_mul(radix).wrapping_add(digit);
            self.advance(1);
        }
        code
    }

    fn push_code_point(
        &self,
        start: usize,
        value: &mut Vec<u8>,
        high: Option<u32>,
        unit: u32,
    ) -> Result<(), LexError> {
        let code = match (high, unit) {
            (Some(high), 0xdc00..=0xdfff) => 0x10000 + ((high - 0xd800) << 10) + (unit - 0xdc00),
            (Some(_), _) => return Err(self.invalid(start, "invalid Unicode surrogate pair")),
            (None, unit) => unit,
        };
        match char::from_u32(code) {
            Some(c) => {
                value.extend(c.encode_utf8(&mut [0; 4]).as_bytes());
                Ok(())
            }
            None => Err(self.invalid(start, "invalid Unicode escape value")),
        }
    }

    /// Resolves `\XXXX` and `\+XXXXXX` in what stood between the quotes of `U&'…'` or `U&"…"`.
    pub(super) fn unescape_unicode(&self, raw: &str, start: usize) -> Result<String, LexError> {
        let mut value = Vec::with_capacity(raw.len());
        let mut high_surrogate = None;
        let mut rest = raw;
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            let mut unit = None;
            if c == '\\' && !rest.starts_with('\\') {
                let (skip, count) = if rest.starts_with('+') {
                    (1, 6)
                } else {
                    (0, 4)
                };
                let digits = rest
                    .get(skip..skip + count)
                    .filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
                let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
                unit = Some(code.ok_or_else(|| self.invalid(start, "invalid Unicode escape"))?);
                rest = &rest[skip + count..];
            } else {
                if c == '\\' {
                    rest = &rest[1..];
                }
                value.extend(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
            match (high_surrogate.take(), unit) {
                (None, None) => {}
                (None, Some(unit @ 0xd800..=0xdbff)) => high_surrogate = Some(unit),
                (high, Some(unit)) => self.push_code_point(start, &mut value, high, unit)?,
                (Some(_), None) => {
                    return Err(self.invalid(start, "invalid Unicode surrogate pair"));
                }
            }
        }
        match String::from_utf8(value) {
            Ok(value) if !value.is_empty() && !value.contains('\0') && high_surrogate.is_none() => {
                Ok(value)
            }
            Ok(value) if value.is_empty() && raw.is_empty() => Ok(value),
            _ => Err(self.bad_bytes(start)),
        }
    }

    /// Whether the string just ended goes on after a line break, as the standard has it; if so, moves behind the
    /// quote with which it goes on.
    fn continues_on_next_line(&mut self) -> bool {
        let rest = &self.text[self.byte..];
        let blank = rest
            .find(|c| !matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{b}' | '\u{c}'))
            .unwrap_or(rest.len());
        let continues = rest[blank..].starts_with('\'') && rest[..blank].contains(['\n', '\r']);
        if continues {
            self.advance(blank + 1);
        }
        continues
    }

    /// `$1`, `$$…$$` or `$tag$…$tag$`.
    pub(super) fn dollar(&mut self, start: usize) -> Result<Token, LexError> {
        let rest = &self.text[start + 1..];
        if rest.starts_with(|c: char| c.is_ascii_digit()) {
            let length = rest
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(rest.len());
            let number = rest[..length].parse::<u32>().unwrap_or(u32::MAX);
            if number == 0 || number > PARAMETER_MAX {
                return Err(self.invalid(
                    start,
                    format!("there is no parameter ${}", excerpt(&rest[..length])),
                ));
            }
            self.advance(1 + length);
            return Ok(Token::Placeholder(format!("${number}")));
        }
        let tag_length = rest
            .find(|c| c == '$' || !is_word_part(c, Dialect::Postgres))
            .unwrap_or(rest.len());
        let is_tag = rest[tag_length..].starts_with('$')
            && (tag_length == 0 || rest.starts_with(is_word_start));
        if !is_tag {
            return Err(self.invalid(start, "syntax error at or near \"$\""));
        }
        let delimiter = &self.text[start..start + tag_length + 2];
        let body = &self.text[start + delimiter.len()..];
        let Some(length) = body.find(delimiter) else {
            return Err(LexError::Unterminated {
                what: Unterminated::DollarString,
                start,
            });
        };
        self.advance(2 * delimiter.len() + length);
        if body[..length].contains('\0') {
            return Err(self.bad_bytes(start));
        }
        Ok(Token::SingleQuotedString(body[..length].to_owned()))
    }

    /// A number; in ksqlDB's dialect names may begin with digits too.
    pub(super) fn number_or_word(&mut self, start: usize) -> Result<Token, LexError> {
        if self.dialect == Dialect::Ksqldb {
            let rest = &self.text[start..];
            let length = rest
                .find(|c| !is_word_part(c, Dialect::Ksqldb))
                .unwrap_or(rest.len());
            let digits = rest
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(rest.len());
            let exponent = matches!(rest.as_bytes().get(digits), Some(b'e' | b'E'))
                && rest[digits + 1..length].bytes().all(|b| b.is_ascii_digit());
            if length > digits && !exponent {
                return Ok(self.word(start));
            }
        }
        self.number(start)
    }

    pub(super) fn number(&mut self, start: usize) -> Result<Token, LexError> {
        if let [b'0', prefix @ (b'x' | b'X' | b'o' | b'O' | b'b' | b'B'), ..] =
            &self.text.as_bytes()[start..]
        {
            let radix = match prefix {
                b'x' | b'X' => 16,
                b'o' | b'O' => 8,
                _ => 2,
            };
            self.advance(2);
            let digits = self.digit_run(radix);
            self.no_junk(start)?;
            let Ok(value) = u128::from_str_radix(&digits, radix) else {
                let near = excerpt(&self.text[start..self.byte]).to_owned();
                return Err(self.invalid(start, format!("invalid integer at or near \"{near}\"")));
            };
            return Ok(Token::Number(value.to_string(), false));
        }
        let mut number = self.digit_run(10);
        if self.peek() == Some('.') && self.peek_at(1) != Some('.') {
            self.advance(1);
            let fraction = self.digit_run(10);
            if number.is_empty() {
                number.push('0');
            }
            number.push('.');
            number.push_str(if fraction.is_empty() { "0" } else { &fraction });
        }
        if matches!(self.peek(), Some('e' | 'E')) {
            let signed = usize::from(matches!(self.peek_at(1), Some('+' | '-')));
            if self.peek_at(1 + signed).is_some_and(|c| c.is_ascii_digit()) {
                number.push('e');
                number.push_str(&self.text[self.byte + 1..self.byte + 1 + signed]);
                self.advance(1 + signed);
                number.push_str(&self.digit_run(10));
            }
        }
        self.no_junk(start)?;
        Ok(Token::Number(number, false))
    }

    /// Digits, perhaps with single underscores between them, which are left out.
    fn digit_run(&mut self, radix: u32) -> String {
        let mut digits = String::new();
        while let Some(c) = self.peek() {
            if c.is_digit(radix) {
                digits.push(c);
            } else if !(c == '_' && self.peek_at(1).is_some_and(|c| c.is_digit(radix))) {
                break;
            }
            self.advance(1);
        }
        digits
    }

    fn no_junk(&self, start: usize) -> Result<(), LexError> {
        match self.peek() {
            Some(c) if is_word_start(c) || c.is_ascii_digit() => {
                let near = excerpt(&self.text[start..self.byte + c.len_utf8()]);
                Err(self.invalid(
                    start,
                    format!("trailing junk after numeric literal at or near \"{near}\""),
                ))
            }
            _ => Ok(()),
        }
    }

    fn bad_bytes(&self, start: usize) -> LexError {
        let error = ParseError::new(
            ParseErrorKind::Syntax,
            "invalid byte sequence for encoding \"UTF8\"",
        );
        LexError::Invalid { error, start }
    }
}
