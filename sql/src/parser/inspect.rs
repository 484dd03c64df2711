//! `SHOW`, `LIST`, `DESCRIBE`, `EXPLAIN`.

use sqlparser::tokenizer::Token;

use super::{Result, StatementParser};
use crate::{
    ast::{
        Describe, Explain, ExplainTarget, List, ListTarget, OptionValue, Options, Statement,
        VariableTarget, WithOption,
    },
    error::{ParseError, ParseErrorKind},
};

impl StatementParser<'_> {
    pub(super) fn show(&mut self) -> Result<Statement> {
        let list_only = self.is_word(0, "LIST");
        self.advance(1);
        let all = self.is_word(0, "ALL") && self.is_word(1, "TOPICS");
        if all {
            self.advance(1);
        }
        if let Some(target) = self.list_target() {
            let extended = self.take_word("EXTENDED");
            return Ok(Statement::List(List {
                target,
                extended,
                all,
            }));
        }
        let verb = if list_only { "LIST" } else { "SHOW" };
        let unsupported = match (self.word(0).as_deref(), self.word(1).as_deref()) {
            (Some(word @ ("CONNECTORS" | "CREATE" | "COLUMNS" | "SCHEMAS" | "DATABASES")), _) => {
                Some(word.to_owned())
            }
            (Some("SOURCE" | "SINK"), Some("CONNECTORS")) => Some("CONNECTORS".to_owned()),
            (Some("CONNECTOR"), Some("PLUGINS")) => Some("CONNECTOR PLUGINS".to_owned()),
            _ => None,
        };
        if let Some(what) = unsupported {
            return Ok(self.swallow(format!("{verb} {what}")));
        }
        if list_only {
            return Err(self.unexpected(
                "STREAMS, TABLES, VIEWS, QUERIES, TOPICS, CONSUMER GROUPS, TYPES, VARIABLES, \
                 FUNCTIONS, PROPERTIES or USERS",
            ));
        }
        Ok(Statement::ShowVariable(self.variable()?))
    }

    fn list_target(&mut self) -> Option<ListTarget> {
        let target = match self.word(0)?.as_str() {
            "STREAMS" => ListTarget::Streams,
            "TABLES" => ListTarget::Tables,
            "VIEWS" => ListTarget::Views,
            "MATERIALIZED" if self.is_word(1, "VIEWS") => {
                self.advance(1);
                ListTarget::Views
            }
            "QUERIES" => ListTarget::Queries,
            "TOPICS" => ListTarget::Topics,
            "FUNCTIONS" => ListTarget::Functions,
            "PROPERTIES" => ListTarget::Properties,
            "USERS" | "ROLES" => ListTarget::Users,
            "TYPES" => ListTarget::Types,
            "VARIABLES" => ListTarget::Variables,
            "CONSUMER" if self.is_word(1, "GROUPS") => {
                self.advance(1);
                ListTarget::ConsumerGroups
            }
            _ => return None,
        };
        self.advance(1);
        Some(target)
    }

    /// `ALL`, `TIME ZONE`, `TRANSACTION ISOLATION LEVEL`, or the name of a setting.
    pub(super) fn variable(&mut self) -> Result<VariableTarget> {
        if self.take_word("ALL") {
            return Ok(VariableTarget::All);
        }
        let name = if self.take_words(&["TIME", "ZONE"]) {
            "timezone".to_owned()
        } else if self.take_words(&["TRANSACTION", "ISOLATION", "LEVEL"]) {
            "transaction_isolation".to_owned()
        } else if self.take_words(&["SESSION", "AUTHORIZATION"]) {
            "session_authorization".to_owned()
        } else {
            self.option_name()?
        };
        Ok(VariableTarget::Name(name))
    }

    pub(super) fn describe(&mut self) -> Result<Statement> {
        self.advance(1);
        if self.is_word(0, "CONNECTOR")
            && matches!(self.parser.peek_nth_token_ref(1).token, Token::Word(_))
        {
            return Ok(self.swallow("DESCRIBE CONNECTOR".to_owned()));
        }
        if self.is_word(0, "FUNCTION")
            && matches!(self.parser.peek_nth_token_ref(1).token, Token::Word(_))
        {
            self.advance(1);
            let name = self.ident()?;
            return Ok(Statement::Describe(Describe::Function(
                name.value.to_ascii_lowercase(),
            )));
        }
        if self.take_words(&["CONSUMER", "GROUP"]) {
            let id = self.identity_of("the identity of a consumer group")?;
            return Ok(Statement::Describe(Describe::ConsumerGroup(id)));
        }
        let last = self.bytes.len() == self.parser.index() + 1;
        if last || self.is_word(1, "EXTENDED") {
            // DESCRIBE STREAMS lists; a stream of that name would have to be quoted.
            if let Some(target @ (ListTarget::Streams | ListTarget::Tables)) = self.list_target() {
                let extended = self.take_word("EXTENDED");
                return Ok(Statement::List(List {
                    target,
                    extended,
                    all: false,
                }));
            }
        }
        let before = !last && self.take_word("EXTENDED");
        let name = self.object_name()?;
        let after = self.take_word("EXTENDED");
        Ok(Statement::Describe(Describe::Relation {
            name,
            extended: before || after,
        }))
    }

    pub(super) fn explain(&mut self) -> Result<Statement> {
        self.expect_word("EXPLAIN")?;
        let mut explain = Explain {
            analyze: false,
            verbose: false,
            options: Options::default(),
            target: ExplainTarget::RunningQuery(String::new()),
        };
        if self.is_token(0, &Token::LParen)
            && !matches!(self.word(1).as_deref(), Some("SELECT" | "WITH" | "VALUES"))
        {
            self.explain_options(&mut explain)?;
        } else {
            explain.analyze = self.take_word("ANALYZE") || self.take_word("ANALYSE");
            explain.verbose = self.take_word("VERBOSE");
        }
        let left = self.bytes.len() - self.parser.index().min(self.bytes.len());
        explain.target = match (left, self.word(0).as_deref()) {
            (1, _) => ExplainTarget::RunningQuery(self.identity()?),
            (
                _,
                None
                | Some(
                    "SELECT" | "VALUES" | "TABLE" | "WITH" | "CREATE" | "INSERT" | "UPDATE"
                    | "DELETE" | "EXECUTE" | "DECLARE",
                ),
            ) => ExplainTarget::Statement(Box::new(self.statement_to_end()?)),
            _ => {
                return Err(self.unexpected(
                    "a query, another statement with a plan, or the identity of a query",
                ));
            }
        };
        Ok(Statement::Explain(explain))
    }

    /// `(ANALYZE [bool], FORMAT word, …)`.
    fn explain_options(&mut self, explain: &mut Explain) -> Result<()> {
        self.expect(&Token::LParen)?;
        loop {
            let position = self.position();
            let name = self.option_name()?;
            let value = match self.parser.peek_token_ref().token {
                Token::Comma | Token::RParen => OptionValue::Word("true".to_owned()),
                _ => self.option_value()?,
            };
            let flag = || {
                value.as_bool().ok_or_else(|| {
                    ParseError::new(
                        ParseErrorKind::Syntax,
                        format!("{name} requires a Boolean value"),
                    )
                    .at(position)
                })
            };
            match name.as_str() {
                "analyze" | "analyse" => explain.analyze = flag()?,
                "verbose" => explain.verbose = flag()?,
                _ => self.add_option(
                    &mut explain.options,
                    WithOption {
                        name,
                        value,
                        position,
                    },
                )?,
            }
            if !self.take(&Token::Comma) {
                break;
            }
        }
        self.expect(&Token::RParen)
    }
}
