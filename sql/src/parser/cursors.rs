//! `DECLARE`, `FETCH`, `CLOSE`.

use sqlparser::tokenizer::Token;

use super::{Result, StatementParser};
use crate::{
    ast::{CloseTarget, DeclareCursor, Fetch, FetchCount, Statement},
    error::ParseError,
};

impl StatementParser<'_> {
    pub(super) fn declare(&mut self) -> Result<Statement> {
        self.expect_word("DECLARE")?;
        let name = self.ident()?;
        let mut binary = false;
        loop {
            if self.take_word("BINARY") {
                binary = true;
            } else if self.is_word(0, "SCROLL") {
                return Err(ParseError::unsupported("SCROLL")
                    .at(self.position())
                    .hint("cursors go forward only"));
            } else if !(self.take_word("ASENSITIVE")
                || self.take_word("INSENSITIVE")
                || self.take_words(&["NO", "SCROLL"]))
            {
                break;
            }
        }
        self.expect_word("CURSOR")?;
        let hold = self.take_words(&["WITH", "HOLD"]);
        if !hold {
            self.take_words(&["WITHOUT", "HOLD"]);
        }
        self.expect_word("FOR")?;
        let query = Box::new(self.query()?);
        Ok(Statement::Declare(DeclareCursor {
            name,
            binary,
            hold,
            query,
        }))
    }

    /// `FETCH [NEXT | n | ALL | FORWARD [n | ALL]] [FROM | IN] cursor`.
    pub(super) fn fetch(&mut self) -> Result<Statement> {
        self.expect_word("FETCH")?;
        let last = self.bytes.len() == self.parser.index() + 1;
        let mut count = FetchCount::Rows(1);
        if !last {
            let forward = self.take_word("FORWARD");
            let position = self.position();
            if self.take_word("ALL") {
                count = FetchCount::All;
            } else if matches!(self.parser.peek_token_ref().token, Token::Number(..)) {
                count = FetchCount::Rows(self.unsigned()?);
            } else if self.is_token(0, &Token::Minus) {
                return Err(backward("FETCH with a negative count", position));
            } else if let Some(
                word @ ("PRIOR" | "FIRST" | "LAST" | "ABSOLUTE" | "RELATIVE" | "BACKWARD"),
            ) = self.word(0).as_deref()
            {
                return Err(backward(&format!("FETCH {word}"), position));
            } else if !forward {
                self.take_word("NEXT");
            }
            let _ = self.take_word("FROM") || self.take_word("IN");
        }
        let cursor = self.ident()?;
        Ok(Statement::Fetch(Fetch { count, cursor }))
    }

    pub(super) fn close(&mut self) -> Result<Statement> {
        self.expect_word("CLOSE")?;
        if self.take_word("ALL") {
            return Ok(Statement::Close(CloseTarget::All));
        }
        Ok(Statement::Close(CloseTarget::Cursor(self.ident()?)))
    }
}

fn backward(what: &str, position: usize) -> ParseError {
    ParseError::unsupported(what)
        .at(position)
        .hint("cursors go forward only")
}
