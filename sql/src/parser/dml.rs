//! `INSERT`, `UPDATE`, `DELETE`, `TRUNCATE`.

use sqlparser::{ast::Expr, tokenizer::Token};

use super::{Result, StatementParser};
use crate::{
    ast::{Assignment, Delete, Insert, InsertSource, Statement, Truncate, Update},
    error::{ParseError, ParseErrorKind},
};

impl StatementParser<'_> {
    pub(super) fn insert(&mut self) -> Result<Statement> {
        self.expect_word("INSERT")?;
        self.expect_word("INTO")?;
        let relation = self.object_name()?;
        if self.is_word(0, "AS") {
            return Err(ParseError::unsupported("an alias in INSERT").at(self.position()));
        }
        let columns = if self.is_token(0, &Token::LParen) && !self.parenthesis_holds_query() {
            self.ident_list()?
        } else {
            Vec::new()
        };
        let options = self.with_options()?;
        if self.is_word(0, "OVERRIDING") {
            return Err(ParseError::unsupported("OVERRIDING").at(self.position()));
        }
        let source = if self.take_words(&["DEFAULT", "VALUES"]) {
            InsertSource::DefaultValues
        } else if self.is_word(0, "VALUES") {
            self.values()?
        } else {
            match self.word(0).as_deref() {
                Some("SELECT" | "WITH" | "TABLE") => {}
                _ if self.is_token(0, &Token::LParen) => {}
                _ => return Err(self.unexpected("VALUES or a query")),
            }
            InsertSource::Query(Box::new(self.query()?))
        };
        if self.is_word(0, "ON") && self.is_word(1, "CONFLICT") {
            return Err(ParseError::unsupported("ON CONFLICT").at(self.position()));
        }
        self.refuse_returning()?;
        Ok(Statement::Insert(Insert {
            relation,
            columns,
            options,
            source,
        }))
    }

    /// Whether the parenthesis that is next begins a query rather than a list of columns.
    fn parenthesis_holds_query(&self) -> bool {
        self.is_token(1, &Token::LParen)
            || matches!(
                self.word(1).as_deref(),
                Some("SELECT" | "WITH" | "VALUES" | "TABLE")
            ) && !matches!(
                self.parser.peek_nth_token_ref(2).token,
                Token::Comma | Token::RParen
            )
    }

    /// `VALUES (…), …`, or a query that begins with it.
    fn values(&mut self) -> Result<InsertSource> {
        let start = self.parser.index();
        self.expect_word("VALUES")?;
        let mut rows = self.list(|parser| {
            parser.expect(&Token::LParen)?;
            let row = parser.list(|parser| parser.cell())?;
            parser.expect(&Token::RParen)?;
            Ok(row)
        })?;
        if let Some(
            "ORDER" | "LIMIT" | "OFFSET" | "FETCH" | "UNION" | "INTERSECT" | "EXCEPT" | "EMIT",
        ) = self.word(0).as_deref()
        {
            self.seek(start);
            return Ok(InsertSource::Query(Box::new(self.query()?)));
        }
        self.finish(&mut rows)?;
        Ok(InsertSource::Values(rows))
    }

    /// A value of a row, not yet made ready for the tree.
    fn cell(&mut self) -> Result<Expr> {
        if self.is_word(0, "DEFAULT") {
            return self.expr_or_default();
        }
        self.parser.parse_expr().map_err(|error| self.fault(error))
    }

    fn refuse_returning(&self) -> Result<()> {
        if self.is_word(0, "RETURNING") {
            return Err(ParseError::unsupported("RETURNING").at(self.position()));
        }
        Ok(())
    }

    pub(super) fn update(&mut self) -> Result<Statement> {
        self.expect_word("UPDATE")?;
        self.take_word("ONLY");
        let relation = self.object_name()?;
        let alias = self.alias(&["SET"])?;
        self.expect_word("SET")?;
        let mut assignments = Vec::new();
        loop {
            self.assignment(&mut assignments)?;
            if !self.take(&Token::Comma) {
                break;
            }
        }
        if self.is_word(0, "FROM") {
            return Err(ParseError::unsupported("UPDATE … FROM")
                .at(self.position())
                .hint("use a subquery in SET or WHERE"));
        }
        let selection = self.selection()?;
        self.refuse_returning()?;
        Ok(Statement::Update(Update {
            relation,
            alias,
            assignments,
            selection,
        }))
    }

    /// `column = value` or `(a, b) = (x, y)`.
    fn assignment(&mut self, assignments: &mut Vec<Assignment>) -> Result<()> {
        if !self.is_token(0, &Token::LParen) {
            let column = self.ident()?;
            self.expect(&Token::Eq)?;
            assignments.push(Assignment {
                column,
                value: self.expr_or_default()?,
            });
            return Ok(());
        }
        let position = self.position();
        let columns = self.ident_list()?;
        self.expect(&Token::Eq)?;
        if self.parenthesis_holds_query() {
            return Err(ParseError::unsupported("SET (…) = (SELECT …)").at(self.position()));
        }
        self.take_word("ROW");
        self.expect(&Token::LParen)?;
        let values = self.list(|parser| parser.expr_or_default())?;
        self.expect(&Token::RParen)?;
        if columns.len() != values.len() {
            let message = "number of columns does not match number of values";
            return Err(ParseError::new(ParseErrorKind::Syntax, message).at(position));
        }
        assignments.extend(
            columns
                .into_iter()
                .zip(values)
                .map(|(column, value)| Assignment { column, value }),
        );
        Ok(())
    }

    fn selection(&mut self) -> Result<Option<Expr>> {
        if !self.take_word("WHERE") {
            return Ok(None);
        }
        if self.is_word(0, "CURRENT") && self.is_word(1, "OF") {
            return Err(ParseError::unsupported("WHERE CURRENT OF").at(self.position()));
        }
        self.expr().map(Some)
    }

    pub(super) fn delete(&mut self) -> Result<Statement> {
        self.expect_word("DELETE")?;
        self.expect_word("FROM")?;
        self.take_word("ONLY");
        let relation = self.object_name()?;
        let alias = self.alias(&["USING", "WHERE", "RETURNING"])?;
        if self.is_word(0, "USING") {
            return Err(ParseError::unsupported("DELETE … USING")
                .at(self.position())
                .hint("use a subquery in WHERE"));
        }
        let selection = self.selection()?;
        self.refuse_returning()?;
        Ok(Statement::Delete(Delete {
            relation,
            alias,
            selection,
        }))
    }

    pub(super) fn truncate(&mut self) -> Result<Statement> {
        self.expect_word("TRUNCATE")?;
        self.take_word("TABLE");
        self.take_word("ONLY");
        let relations = self.list(|parser| parser.object_name())?;
        let _ =
            self.take_words(&["RESTART", "IDENTITY"]) || self.take_words(&["CONTINUE", "IDENTITY"]);
        let cascade = self.take_word("CASCADE");
        if !cascade {
            self.take_word("RESTRICT");
        }
        Ok(Statement::Truncate(Truncate { relations, cascade }))
    }
}
