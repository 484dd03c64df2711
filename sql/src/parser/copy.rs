//! `COPY`, with its options in the form of today and in the form before PostgreSQL 9.

use sqlparser::tokenizer::Token;

use super::{Result, StatementParser};
use crate::{
    ast::{Copy, CopyFormat, CopyHeader, CopyOptions, CopySource, OptionValue, Statement},
    error::{ParseError, ParseErrorKind},
};

/// What has been given so far.
#[derive(Default)]
struct Given {
    format: Option<CopyFormat>,
    header: Option<CopyHeader>,
    delimiter: Option<u8>,
    null: Option<String>,
    quote: Option<u8>,
    escape: Option<u8>,
    encoding: Option<()>,
}

impl StatementParser<'_> {
    pub(super) fn copy(&mut self) -> Result<Statement> {
        self.expect_word("COPY")?;
        if self.take(&Token::LParen) {
            let source = match self.is_word(0, "PRINT") {
                true => CopySource::Print(self.print()?),
                false => CopySource::Query(Box::new(self.query()?)),
            };
            self.expect(&Token::RParen)?;
            self.stdout()?;
            let options = self.copy_options()?;
            return Ok(Statement::Copy(Copy::To { source, options }));
        }
        let name = self.object_name()?;
        let columns = if self.is_token(0, &Token::LParen) {
            self.ident_list()?
        } else {
            Vec::new()
        };
        if self.is_word(0, "TO") {
            self.stdout()?;
            let options = self.copy_options()?;
            return Ok(Statement::Copy(Copy::To {
                source: CopySource::Relation { name, columns },
                options,
            }));
        }
        self.expect_word("FROM")?;
        self.standard_stream("STDIN", "COPY … FROM a file or a program")?;
        let options = self.copy_options()?;
        if self.is_word(0, "WHERE") {
            return Err(ParseError::unsupported("COPY … WHERE").at(self.position()));
        }
        Ok(Statement::Copy(Copy::From {
            relation: name,
            columns,
            options,
        }))
    }

    fn stdout(&mut self) -> Result<()> {
        self.expect_word("TO")?;
        self.standard_stream("STDOUT", "COPY … TO a file or a program")
    }

    fn standard_stream(&mut self, word: &str, otherwise: &str) -> Result<()> {
        if self.take_word(word) {
            return Ok(());
        }
        if matches!(
            self.parser.peek_token_ref().token,
            Token::SingleQuotedString(_)
        ) || self.is_word(0, "PROGRAM")
        {
            return Err(ParseError::unsupported(otherwise)
                .at(self.position())
                .hint(format!(
                    "use {word}; psql's \\copy reads and writes files of the client"
                )));
        }
        Err(self.unexpected(word))
    }

    fn copy_options(&mut self) -> Result<CopyOptions> {
        let mut given = Given::default();
        let start = self.position();
        if self.is_word(0, "WITH") {
            self.advance(1);
            if self.at_end() {
                return Err(self.unexpected("options"));
            }
        }
        if self.take(&Token::LParen) {
            loop {
                self.copy_option(&mut given)?;
                if !self.take(&Token::Comma) {
                    break;
                }
            }
            self.expect(&Token::RParen)?;
        } else {
            while self.old_copy_option(&mut given)? {}
        }
        given.finish(start)
    }

    /// One option of `(…)`.
    fn copy_option(&mut self, given: &mut Given) -> Result<()> {
        let position = self.position();
        let Some(name) = self.word(0) else {
            return Err(self.unexpected("an option of COPY"));
        };
        self.advance(1);
        match name.as_str() {
            "FORMAT" => {
                let value_position = self.position();
                let format = self.option_value()?;
                let format = copy_format(&format).ok_or_else(|| {
                    let message = format!("COPY format \"{}\" not recognized", format.as_str());
                    ParseError::new(ParseErrorKind::InvalidValue, message)
                        .at(value_position)
                        .hint("the formats are text, csv and json")
                })?;
                once(&mut given.format, format, position)
            }
            "HEADER" => {
                let header = if matches!(
                    self.parser.peek_token_ref().token,
                    Token::Comma | Token::RParen
                ) {
                    CopyHeader::Present
                } else {
                    let value_position = self.position();
                    let value = self.option_value()?;
                    match value.as_bool() {
                        Some(true) => CopyHeader::Present,
                        Some(false) => CopyHeader::Absent,
                        None if value.as_str().eq_ignore_ascii_case("match") => CopyHeader::Match,
                        None => {
                            let message = "header requires a Boolean value or \"match\"";
                            return Err(
                                ParseError::new(ParseErrorKind::Syntax, message).at(value_position)
                            );
                        }
                    }
                };
                once(&mut given.header, header, position)
            }
            "DELIMITER" | "NULL" | "QUOTE" | "ESCAPE" | "ENCODING" => {
                let value = self.option_value()?.as_str().to_owned();
                text_option(given, &name, value, position)
            }
            _ => Err(unknown_option(&name, position)),
        }
    }

    /// One option of the old form, if there is one.
    fn old_copy_option(&mut self, given: &mut Given) -> Result<bool> {
        let position = self.position();
        let Some(name) = self.word(0) else {
            return Ok(false);
        };
        match name.as_str() {
            "BINARY" => {
                return Err(ParseError::unsupported("the binary format of COPY").at(position));
            }
            "CSV" | "JSON" => {
                self.advance(1);
                let format = if name == "CSV" {
                    CopyFormat::Csv
                } else {
                    CopyFormat::Json
                };
                once(&mut given.format, format, position)?;
            }
            "HEADER" => {
                self.advance(1);
                once(&mut given.header, CopyHeader::Present, position)?;
            }
            "DELIMITER" | "NULL" | "QUOTE" | "ESCAPE" | "ENCODING" => {
                self.advance(1);
                self.take_word("AS");
                let value = self.string()?;
                text_option(given, &name, value, position)?;
            }
            "FORCE" | "FREEZE" => return Err(unknown_option(&name, position)),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn copy_format(value: &OptionValue) -> Option<CopyFormat> {
    match value.as_str().to_ascii_lowercase().as_str() {
        "text" => Some(CopyFormat::Text),
        "csv" => Some(CopyFormat::Csv),
        "json" => Some(CopyFormat::Json),
        _ => None,
    }
}

fn unknown_option(name: &str, position: usize) -> ParseError {
    match name {
        "FREEZE" | "FORCE" | "FORCE_QUOTE" | "FORCE_NOT_NULL" | "FORCE_NULL" | "ON_ERROR"
        | "LOG_VERBOSITY" | "DEFAULT" | "REJECT_LIMIT" => {
            ParseError::unsupported(format_args!("COPY option {name}")).at(position)
        }
        _ => {
            let message = format!("option \"{}\" not recognized", name.to_ascii_lowercase());
            ParseError::new(ParseErrorKind::Syntax, message).at(position)
        }
    }
}

fn text_option(given: &mut Given, name: &str, value: String, position: usize) -> Result<()> {
    match name {
        "DELIMITER" => once(
            &mut given.delimiter,
            byte(&value, "delimiter", position)?,
            position,
        ),
        "QUOTE" => once(&mut given.quote, byte(&value, "quote", position)?, position),
        "ESCAPE" => once(
            &mut given.escape,
            byte(&value, "escape", position)?,
            position,
        ),
        "NULL" if value.contains(['\n', '\r']) => {
            let message = "COPY null representation cannot use newline or carriage return";
            Err(ParseError::new(ParseErrorKind::InvalidValue, message).at(position))
        }
        "NULL" => once(&mut given.null, value, position),
        _ => match value.to_ascii_lowercase().replace(['-', '_'], "").as_str() {
            "utf8" | "unicode" => once(&mut given.encoding, (), position),
            _ => {
                Err(ParseError::unsupported(format_args!("the encoding \"{value}\"")).at(position))
            }
        },
    }
}

fn byte(value: &str, what: &str, position: usize) -> Result<u8> {
    match value.as_bytes() {
        [b'\n' | b'\r', ..] => {
            let message = format!("COPY {what} cannot be newline or carriage return");
            Err(ParseError::new(ParseErrorKind::InvalidValue, message).at(position))
        }
        [byte] if byte.is_ascii() => Ok(*byte),
        _ => {
            let message = format!("COPY {what} must be a single one-byte character");
            Err(ParseError::new(ParseErrorKind::Unsupported, message).at(position))
        }
    }
}

fn once<T>(slot: &mut Option<T>, value: T, position: usize) -> Result<()> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(
            ParseError::new(ParseErrorKind::Syntax, "conflicting or redundant options")
                .at(position),
        ),
    }
}

impl Given {
    fn finish(self, position: usize) -> Result<CopyOptions> {
        let format = self.format.unwrap_or_default();
        let wrong = |what: &str| {
            Err(ParseError::new(
                ParseErrorKind::Unsupported,
                format!("COPY {what} requires CSV mode"),
            )
            .at(position))
        };
        if format != CopyFormat::Csv && self.quote.is_some() {
            return wrong("QUOTE");
        }
        if format != CopyFormat::Csv && self.escape.is_some() {
            return wrong("ESCAPE");
        }
        let header = self.header.unwrap_or_default();
        if format == CopyFormat::Json
            && (self.delimiter.is_some() || self.null.is_some() || header != CopyHeader::Absent)
        {
            let message = "COPY cannot specify DELIMITER, NULL or HEADER in JSON mode";
            return Err(ParseError::new(ParseErrorKind::Unsupported, message).at(position));
        }
        let delimiter = self.delimiter.unwrap_or(if format == CopyFormat::Csv {
            b','
        } else {
            b'\t'
        });
        if format == CopyFormat::Csv && self.quote.unwrap_or(b'"') == delimiter {
            let message = "COPY delimiter and quote must be different";
            return Err(ParseError::new(ParseErrorKind::InvalidValue, message).at(position));
        }
        if format == CopyFormat::Text
            && b"\\.abcdefghijklmnopqrstuvwxyz0123456789".contains(&delimiter)
        {
            let message = format!("COPY delimiter cannot be \"{}\"", char::from(delimiter));
            return Err(ParseError::new(ParseErrorKind::InvalidValue, message).at(position));
        }
        let Given {
            delimiter,
            null,
            quote,
            escape,
            ..
        } = self;
        Ok(CopyOptions {
            format,
            header,
            delimiter,
            null,
            quote,
            escape,
        })
    }
}
