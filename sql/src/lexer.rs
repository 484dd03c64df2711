//! Text to tokens, by PostgreSQL's rules.
//!
//! sqlparser has a lexer of its own; ours hands its parser tokens it cannot misread: names are folded already, every
//! kind of string has become a plain one, comments and white space are gone, and an operator is the longest one known.
//!
//! Invariants:
//! - A token's span has line 1 and as columns the character positions in the whole text, from 1, so that an error
//!   message of sqlparser's carries the position PostgreSQL clients want.
//! - `$tag$` strings, quotes and nested comments hide any `;` inside them.

mod literal;
mod operator;

use sqlparser::tokenizer::{Location, Span as TokenSpan, Token, TokenWithSpan};

use crate::{
    ast::Span,
    config::{Dialect, ParseOptions},
    error::{ParseError, ParseErrorKind},
};

/// The tokens of one statement, without its `;`.
#[derive(Debug)]
pub(crate) struct LexedStatement {
    pub(crate) tokens: Vec<TokenWithSpan>,
    /// The bytes of each token.
    pub(crate) bytes: Vec<Span>,
}

/// Why there is no token.
#[derive(Debug)]
pub(crate) enum LexError {
    /// The text ends inside a string, a quoted name or a comment that begins at this byte.
    Unterminated { what: Unterminated, start: usize },
    /// There is no such token.
    Invalid { error: ParseError, start: usize },
}

/// What the end of the text cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unterminated {
    String,
    DollarString,
    Identifier,
    Comment,
}

/// A place in the text that moves forward.
#[derive(Debug)]
pub(crate) struct Lexer<'a> {
    text: &'a str,
    dialect: Dialect,
    /// The next byte to read; always at a character boundary.
    byte: usize,
    /// Characters before it.
    chars: usize,
    tokens_left: usize,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str, options: &ParseOptions) -> Self {
        Lexer {
            text,
            dialect: options.dialect,
            byte: 0,
            chars: 0,
            tokens_left: options.limits.tokens_max,
        }
    }

    /// The tokens up to the next `;` or the end; `None` when nothing is left. Empty statements are skipped.
    pub(crate) fn next_statement(&mut self) -> Result<Option<LexedStatement>, ParseError> {
        let mut statement = LexedStatement {
            tokens: Vec::new(),
            bytes: Vec::new(),
        };
        loop {
            let token = match self.next_token() {
                Ok(token) => token,
                Err(error) => return Err(self.report(error)),
            };
            let Some((token, bytes)) = token else { break };
            if token.token == Token::SemiColon {
                if statement.tokens.is_empty() {
                    continue;
                }
                break;
            }
            self.tokens_left = self.tokens_left.checked_sub(1).ok_or_else(|| {
                ParseError::new(
                    ParseErrorKind::TooComplex,
                    "statement has too many words and symbols",
                )
                .hint("load large amounts of data with COPY")
            })?;
            statement.tokens.push(token);
            statement.bytes.push(bytes);
        }
        Ok((!statement.tokens.is_empty()).then_some(statement))
    }

    /// The next token and its bytes; `None` at the end.
    pub(crate) fn next_token(&mut self) -> Result<Option<(TokenWithSpan, Span)>, LexError> {
        self.skip_blank()?;
        let start = self.byte;
        let first_char = self.chars;
        let Some(first) = self.peek() else {
            return Ok(None);
        };
        let token = match first {
            '\'' => {
                self.advance(1);
                self.plain_string(start)?
            }
            '"' => self.quoted_identifier(start, '"')?,
            '`' => self.quoted_identifier(start, '`')?,
            '$' => self.dollar(start)?,
            '0'..='9' => self.number_or_word(start)?,
            '.' if self.peek_at(1).is_some_and(|c| c.is_ascii_digit()) => self.number(start)?,
            c if is_word_start(c) => self.prefixed_string_or_word(start)?,
            _ => self.operator(start)?,
        };
        let span = TokenSpan {
            start: location(first_char),
            end: location(self.chars),
        };
        Ok(Some((
            TokenWithSpan { token, span },
            Span {
                start,
                end: self.byte,
            },
        )))
    }

    /// Moves past a character that is no token, so that a splitter can go on.
    pub(crate) fn skip_char(&mut self) {
        if let Some(c) = self.peek() {
            self.advance(c.len_utf8());
        }
    }

    pub(crate) fn byte(&self) -> usize {
        self.byte
    }

    /// The error as the user sees it.
    fn report(&self, error: LexError) -> ParseError {
        let (error, start) = match error {
            LexError::Unterminated { what, start } => {
                let what = match what {
                    Unterminated::String => "unterminated quoted string",
                    Unterminated::DollarString => "unterminated dollar-quoted string",
                    Unterminated::Identifier => "unterminated quoted identifier",
                    Unterminated::Comment => "unterminated /* comment",
                };
                let near = excerpt(&self.text[start..]);
                (
                    ParseError::new(
                        ParseErrorKind::Syntax,
                        format!("{what} at or near \"{near}\""),
                    ),
                    start,
                )
            }
            LexError::Invalid { error, start } => (error, start),
        };
        error.at(self.text[..start].chars().count() + 1)
    }

    fn skip_blank(&mut self) -> Result<(), LexError> {
        loop {
            let rest = &self.text.as_bytes()[self.byte..];
            match rest {
                [b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c, ..] => self.advance(1),
                [b'-', b'-', ..] => {
                    let length = rest
                        .iter()
                        .position(|b| matches!(b, b'\n' | b'\r'))
                        .unwrap_or(rest.len());
                    self.advance(length);
                }
                [b'/', b'*', ..] => self.skip_comment()?,
                [0xef, 0xbb, 0xbf, ..] if self.byte == 0 => self.advance(3), // byte order mark
                _ => return Ok(()),
            }
        }
    }

    fn skip_comment(&mut self) -> Result<(), LexError> {
        let start = self.byte;
        let rest = &self.text.as_bytes()[start..];
        let (mut depth, mut at) = (0usize, 0);
        while at + 1 < rest.len() {
            match &rest[at..at + 2] {
                b"/*" => {
                    depth += 1;
                    at += 2;
                }
                b"*/" => {
                    depth -= 1;
                    at += 2;
                    if depth == 0 {
                        self.advance(at);
                        return Ok(());
                    }
                }
                _ => at += 1,
            }
        }
        Err(LexError::Unterminated {
            what: Unterminated::Comment,
            start,
        })
    }

    /// A word, or a string that a letter introduces.
    fn prefixed_string_or_word(&mut self, start: usize) -> Result<Token, LexError> {
        match &self.text.as_bytes()[start..] {
            [b'e' | b'E', b'\'', ..] => {
                self.advance(2);
                self.escape_string(start)
            }
            [b'n' | b'N', b'\'', ..] => {
                self.advance(2);
                self.plain_string(start)
            }
            [b'b' | b'B', b'\'', ..] => {
                self.advance(2);
                self.digit_string(start, 2, "binary")
                    .map(Token::SingleQuotedByteStringLiteral)
            }
            [b'x' | b'X', b'\'', ..] => {
                self.advance(2);
                self.digit_string(start, 16, "hexadecimal")
                    .map(Token::HexStringLiteral)
            }
            [b'u' | b'U', b'&', b'\'', ..] => {
                self.advance(3);
                let raw = self.raw_string(start)?;
                self.unescape_unicode(&raw, start)
                    .map(Token::SingleQuotedString)
            }
            [b'u' | b'U', b'&', b'"', ..] => {
                self.advance(2);
                let raw = self.delimited(start, '"', Unterminated::Identifier)?;
                let name = self.unescape_unicode(&raw, start)?;
                Ok(Token::make_word(&name, Some('"')))
            }
            _ => Ok(self.word(start)),
        }
    }

    fn word(&mut self, start: usize) -> Token {
        let dialect = self.dialect;
        let rest = &self.text[start..];
        let length = rest
            .find(|c| !is_word_part(c, dialect))
            .unwrap_or(rest.len());
        self.advance(length);
        let word = dialect.fold(&rest[..length]);
        // Reserved in PostgreSQL, a plain name in ksqlDB.
        let is_name = dialect == Dialect::Ksqldb && word == "USER";
        Token::make_word(&word, is_name.then_some('"'))
    }

    fn quoted_identifier(&mut self, start: usize, quote: char) -> Result<Token, LexError> {
        let name = self.delimited(start, quote, Unterminated::Identifier)?;
        if name.is_empty() {
            return Err(self.invalid(start, "zero-length delimited identifier"));
        }
        Ok(Token::make_word(&name, Some('"')))
    }

    /// What stands between two quotes, of which the first is next; doubled quotes stand for one.
    fn delimited(
        &mut self,
        start: usize,
        quote: char,
        what: Unterminated,
    ) -> Result<String, LexError> {
        self.advance(1);
        let mut value = String::new();
        loop {
            let rest = &self.text[self.byte..];
            let Some(length) = rest.find(quote) else {
                return Err(LexError::Unterminated { what, start });
            };
            value.push_str(&rest[..length]);
            self.advance(length + 1);
            if self.peek() != Some(quote) {
                break;
            }
            value.push(quote);
            self.advance(1);
        }
        if value.contains('\0') {
            return Err(self.invalid(start, "invalid byte sequence for encoding \"UTF8\": 0x00"));
        }
        Ok(value)
    }

    fn peek(&self) -> Option<char> {
        self.text[self.byte..].chars().next()
    }

    /// The character so many bytes further on, if a character begins there.
    fn peek_at(&self, bytes: usize) -> Option<char> {
        self.text
            .get(self.byte + bytes..)
            .and_then(|rest| rest.chars().next())
    }

    fn advance(&mut self, bytes: usize) {
        let passed = &self.text.as_bytes()[self.byte..self.byte + bytes];
        self.chars += passed.iter().filter(|&&b| b & 0xc0 != 0x80).count();
        self.byte += bytes;
    }

    fn invalid(&self, start: usize, message: impl Into<String>) -> LexError {
        LexError::Invalid {
            error: ParseError::new(ParseErrorKind::Syntax, message),
            start,
        }
    }
}

fn location(chars: usize) -> Location {
    Location {
        line: 1,
        column: chars as u64 + 1,
    }
}

fn is_word_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || !c.is_ascii()
}

fn is_word_part(c: char, dialect: Dialect) -> bool {
    c.is_ascii_alphanumeric()
        || matches!(c, '_' | '$')
        || !c.is_ascii()
        || (c == '@' && dialect == Dialect::Ksqldb)
}

/// The beginning of a text, short enough for a message.
pub(crate) fn excerpt(text: &str) -> &str {
    match text.char_indices().nth(60) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}
