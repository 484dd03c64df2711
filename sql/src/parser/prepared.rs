//! `PREPARE`, `EXECUTE`, `DEALLOCATE`.

use sqlparser::tokenizer::Token;

use super::{Result, StatementParser};
use crate::ast::{Execute, Prepare, Statement};

impl StatementParser<'_> {
    pub(super) fn prepare(&mut self) -> Result<Statement> {
        self.expect_word("PREPARE")?;
        if self.is_word(0, "TRANSACTION") {
            return Ok(self.swallow("PREPARE TRANSACTION".to_owned()));
        }
        let name = self.ident()?;
        let mut types = Vec::new();
        if self.take(&Token::LParen) {
            types = self.list(|parser| parser.data_type())?;
            self.expect(&Token::RParen)?;
        }
        self.expect_word("AS")?;
        match self.word(0).as_deref() {
            None
            | Some("SELECT" | "VALUES" | "TABLE" | "WITH" | "INSERT" | "UPDATE" | "DELETE") => {}
            Some(_) => return Err(self.unexpected("a query, INSERT, UPDATE or DELETE")),
        }
        let statement = Box::new(self.statement_to_end()?);
        Ok(Statement::Prepare(Prepare {
            name,
            types,
            statement,
        }))
    }

    pub(super) fn execute(&mut self) -> Result<Statement> {
        self.expect_word("EXECUTE")?;
        let name = self.ident()?;
        let mut parameters = Vec::new();
        if self.take(&Token::LParen) {
            parameters = self.list(|parser| parser.expr())?;
            self.expect(&Token::RParen)?;
        }
        Ok(Statement::Execute(Execute { name, parameters }))
    }

    pub(super) fn deallocate(&mut self) -> Result<Statement> {
        self.expect_word("DEALLOCATE")?;
        if self.bytes.len() > self.parser.index() + 1 {
            self.take_word("PREPARE");
        }
        if self.take_word("ALL") {
            return Ok(Statement::Deallocate(None));
        }
        Ok(Statement::Deallocate(Some(self.ident()?)))
    }
}
