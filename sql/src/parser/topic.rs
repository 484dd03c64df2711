//! `PRINT`, `ASSERT TOPIC`, `CREATE | DROP TYPE`, `DEFINE`, `UNDEFINE`.

use sqlparser::tokenizer::Token;

use super::{Result, StatementParser};
use crate::ast::{AssertTopic, CreateType, Print, Statement};

impl StatementParser<'_> {
    pub(super) fn print(&mut self) -> Result<Print> {
        self.expect_word("PRINT")?;
        let mut print = Print {
            topic: self.identity_of("the name of a topic")?,
            from_beginning: self.take_words(&["FROM", "BEGINNING"]),
            interval: 1,
            limit: None,
        };
        if self.take_word("INTERVAL") || self.take_word("SAMPLE") {
            if matches!(&self.parser.peek_token_ref().token, Token::Number(digits, _) if digits == "0")
            {
                return Err(self.unexpected("a number greater than zero"));
            }
            print.interval = self.unsigned()?;
        }
        if self.take_word("LIMIT") {
            print.limit = Some(self.unsigned()?);
        }
        Ok(print)
    }

    /// Whether `ASSERT` is about a topic.
    pub(super) fn asserts_topic(&self) -> bool {
        self.is_word(1, "TOPIC")
            || (self.is_word(1, "NOT") && self.is_word(2, "EXISTS") && self.is_word(3, "TOPIC"))
    }

    pub(super) fn assert_topic(&mut self) -> Result<Statement> {
        self.expect_word("ASSERT")?;
        let exists = !self.take_words(&["NOT", "EXISTS"]);
        self.expect_word("TOPIC")?;
        let topic = self.identity_of("the name of a topic")?;
        let options = self.with_options()?;
        let timeout = if self.take_word("TIMEOUT") {
            Some(self.duration()?)
        } else {
            None
        };
        Ok(Statement::AssertTopic(AssertTopic {
            topic,
            exists,
            options,
            timeout,
        }))
    }

    pub(super) fn create_type(&mut self) -> Result<Statement> {
        self.expect_word("CREATE")?;
        self.expect_word("TYPE")?;
        let if_not_exists = self.take_words(&["IF", "NOT", "EXISTS"]);
        let name = self.type_alias()?;
        self.expect_word("AS")?;
        let data_type = self.data_type()?;
        Ok(Statement::CreateType(CreateType {
            if_not_exists,
            name,
            data_type,
        }))
    }

    pub(super) fn drop_type(&mut self) -> Result<Statement> {
        self.expect_word("DROP")?;
        self.expect_word("TYPE")?;
        let if_exists = self.take_words(&["IF", "EXISTS"]);
        let name = self.type_alias()?;
        Ok(Statement::DropType { name, if_exists })
    }

    fn type_alias(&mut self) -> Result<String> {
        Ok(self.ident()?.value.to_ascii_lowercase())
    }

    pub(super) fn define(&mut self) -> Result<Statement> {
        self.expect_word("DEFINE")?;
        let name = self.ident()?.value.to_ascii_lowercase();
        self.expect(&Token::Eq)?;
        let value = self.string()?;
        Ok(Statement::Define { name, value })
    }

    pub(super) fn undefine(&mut self) -> Result<Statement> {
        self.expect_word("UNDEFINE")?;
        Ok(Statement::Undefine(
            self.ident()?.value.to_ascii_lowercase(),
        ))
    }
}
