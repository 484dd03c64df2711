//! `BEGIN`, `COMMIT`, `ROLLBACK`.

use sqlparser::tokenizer::Token;

use super::{Result, StatementParser};
use crate::{
    ast::{AccessMode, IsolationLevel, Statement, TransactionModes},
    error::{ParseError, ParseErrorKind},
};

impl StatementParser<'_> {
    /// `BEGIN [WORK | TRANSACTION] [modes]`, `START TRANSACTION [modes]`.
    pub(super) fn begin(&mut self) -> Result<Statement> {
        if self.take_word("START") {
            self.expect_word("TRANSACTION")?;
        } else {
            self.expect_word("BEGIN")?;
            self.work();
        }
        Ok(Statement::Begin(self.transaction_modes(false)?))
    }

    fn work(&mut self) {
        let _ = self.take_word("WORK") || self.take_word("TRANSACTION");
    }

    pub(super) fn transaction_modes(&mut self, required: bool) -> Result<TransactionModes> {
        let mut modes = TransactionModes::default();
        if self.at_end() && !required {
            return Ok(modes);
        }
        loop {
            let position = self.position();
            let twice = if self.take_words(&["ISOLATION", "LEVEL"]) {
                let level = if self.take_words(&["READ", "UNCOMMITTED"]) {
                    IsolationLevel::ReadUncommitted
                } else if self.take_words(&["READ", "COMMITTED"]) {
                    IsolationLevel::ReadCommitted
                } else if self.take_words(&["REPEATABLE", "READ"]) {
                    IsolationLevel::RepeatableRead
                } else if self.take_word("SERIALIZABLE") {
                    IsolationLevel::Serializable
                } else {
                    return Err(self.unexpected("an isolation level"));
                };
                modes.isolation.replace(level).is_some()
            } else if self.take_words(&["READ", "ONLY"]) {
                modes.access.replace(AccessMode::ReadOnly).is_some()
            } else if self.take_words(&["READ", "WRITE"]) {
                modes.access.replace(AccessMode::ReadWrite).is_some()
            } else if self.take_word("DEFERRABLE") {
                modes.deferrable.replace(true).is_some()
            } else if self.take_words(&["NOT", "DEFERRABLE"]) {
                modes.deferrable.replace(false).is_some()
            } else {
                return Err(self.unexpected("a mode of transactions"));
            };
            if twice {
                let message = "conflicting or redundant options";
                return Err(ParseError::new(ParseErrorKind::Syntax, message).at(position));
            }
            if !self.take(&Token::Comma) && self.at_end() {
                return Ok(modes);
            }
        }
    }

    /// `COMMIT | END [WORK | TRANSACTION] [AND [NO] CHAIN]`.
    pub(super) fn commit(&mut self) -> Result<Statement> {
        if self.is_word(1, "PREPARED") {
            return Ok(self.swallow("COMMIT PREPARED".to_owned()));
        }
        self.advance(1);
        self.work();
        Ok(Statement::Commit {
            chain: self.chain()?,
        })
    }

    /// `ROLLBACK | ABORT [WORK | TRANSACTION] [AND [NO] CHAIN]`.
    pub(super) fn rollback(&mut self) -> Result<Statement> {
        if self.is_word(1, "PREPARED") {
            return Ok(self.swallow("ROLLBACK PREPARED".to_owned()));
        }
        self.advance(1);
        self.work();
        if self.is_word(0, "TO") {
            return Ok(self.swallow("ROLLBACK TO SAVEPOINT".to_owned()));
        }
        Ok(Statement::Rollback {
            chain: self.chain()?,
        })
    }

    fn chain(&mut self) -> Result<bool> {
        if !self.take_word("AND") {
            return Ok(false);
        }
        let chain = !self.take_word("NO");
        self.expect_word("CHAIN")?;
        Ok(chain)
    }
}
