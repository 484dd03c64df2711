//! `SET`, `RESET`, `UNSET`, `DISCARD`.

use sqlparser::tokenizer::Token;

use super::{Result, StatementParser};
use crate::{
    ast::{Discard, Set, SetScope, SetValue, Statement, VariableTarget},
    error::ParseError,
};

impl StatementParser<'_> {
    pub(super) fn set(&mut self) -> Result<Statement> {
        self.expect_word("SET")?;
        if self.is_word(0, "CONSTRAINTS") {
            return Ok(self.swallow("SET CONSTRAINTS".to_owned()));
        }
        if self.take_words(&["SESSION", "CHARACTERISTICS", "AS", "TRANSACTION"]) {
            return Ok(Statement::SetTransactionDefaults(
                self.transaction_modes(true)?,
            ));
        }
        if self.is_word(0, "TRANSACTION") && self.is_word(1, "SNAPSHOT") {
            return Ok(self.swallow("SET TRANSACTION SNAPSHOT".to_owned()));
        }
        if self.take_word("TRANSACTION") {
            return Ok(Statement::SetTransaction(self.transaction_modes(true)?));
        }
        let mut scope = SetScope::Session;
        let scoped = matches!(
            self.parser.peek_nth_token_ref(1).token,
            Token::Word(_) | Token::SingleQuotedString(_)
        ) && !self.is_word(1, "TO");
        if scoped && self.is_word(0, "SESSION") && !self.is_word(1, "AUTHORIZATION") {
            self.advance(1);
        } else if scoped && self.take_word("LOCAL") {
            scope = SetScope::Local;
        }
        let (name, value) = if self.take_words(&["TIME", "ZONE"]) {
            ("timezone".to_owned(), self.time_zone()?)
        } else if self.is_word(0, "NAMES")
            && !matches!(self.parser.peek_nth_token_ref(1).token, Token::Eq)
        {
            self.advance(1);
            ("client_encoding".to_owned(), self.set_value()?)
        } else if self.take_words(&["SESSION", "AUTHORIZATION"]) {
            ("session_authorization".to_owned(), self.set_value()?)
        } else if self.is_word(0, "ROLE")
            && !matches!(self.parser.peek_nth_token_ref(1).token, Token::Eq)
        {
            self.advance(1);
            self.take_word("TO");
            ("role".to_owned(), self.set_value()?)
        } else {
            let name = self.option_name()?;
            if !(self.take(&Token::Eq) || self.take_word("TO")) {
                return Err(self.unexpected("= or TO"));
            }
            (name, self.set_value()?)
        };
        Ok(Statement::Set(Set { scope, name, value }))
    }

    /// `DEFAULT` or values.
    fn set_value(&mut self) -> Result<SetValue> {
        if self.take_word("DEFAULT") {
            return Ok(SetValue::Default);
        }
        Ok(SetValue::Values(self.list(|parser| parser.option_value())?))
    }

    /// What follows `TIME ZONE`.
    fn time_zone(&mut self) -> Result<SetValue> {
        if self.take_word("LOCAL") {
            return Ok(SetValue::Default);
        }
        if self.is_word(0, "INTERVAL") {
            return Err(ParseError::unsupported("SET TIME ZONE INTERVAL").at(self.position()));
        }
        if self.take_word("DEFAULT") {
            return Ok(SetValue::Default);
        }
        Ok(SetValue::Values(vec![self.option_value()?]))
    }

    /// `RESET name | ALL`, `UNSET 'name'`.
    pub(super) fn reset(&mut self) -> Result<Statement> {
        self.advance(1);
        if self.take_word("ROLE") {
            return Ok(Statement::Reset(VariableTarget::Name("role".to_owned())));
        }
        Ok(Statement::Reset(self.variable()?))
    }

    pub(super) fn discard(&mut self) -> Result<Statement> {
        self.expect_word("DISCARD")?;
        let what = match self.word(0).as_deref() {
            Some("ALL") => Discard::All,
            Some("PLANS") => Discard::Plans,
            Some("SEQUENCES") => Discard::Sequences,
            Some("TEMP" | "TEMPORARY") => Discard::Temp,
            _ => return Err(self.unexpected("ALL, PLANS, SEQUENCES or TEMP")),
        };
        self.advance(1);
        Ok(Statement::Discard(what))
    }
}
