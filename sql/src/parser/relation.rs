//! `CREATE STREAM | TABLE | [MATERIALIZED] VIEW`.

use sqlparser::{ast::Ident, tokenizer::Token};

use super::{Result, StatementParser};
use crate::{
    ast::{ColumnDef, ColumnKind, CreateQuery, CreateSource, DerivedKind, RelationKind, Statement},
    error::{ParseError, ParseErrorKind},
    suggest,
};

impl StatementParser<'_> {
    pub(super) fn create(&mut self) -> Result<Statement> {
        if self.is_word(1, "TYPE") {
            return self.create_type();
        }
        if let Some(what) = self.unsupported_create() {
            return Ok(self.swallow(what));
        }
        self.expect_word("CREATE")?;
        let or_replace = self.take_words(&["OR", "REPLACE"]);
        let read_only = self.take_word("SOURCE");
        let kind = match self.word(0).as_deref() {
            Some("STREAM") => DerivedKind::Stream,
            Some("TABLE") => DerivedKind::Table,
            Some("VIEW") if !read_only => DerivedKind::View,
            Some("MATERIALIZED") if !read_only && self.is_word(1, "VIEW") => {
                self.advance(1);
                DerivedKind::MaterializedView
            }
            word => {
                let near = word.and_then(|word| {
                    suggest::nearest(word, &["STREAM", "TABLE", "MATERIALIZED", "VIEW"])
                });
                let error = self.unexpected("STREAM, TABLE, VIEW or MATERIALIZED VIEW");
                return Err(match near {
                    Some(near) => error.hint(format!("did you mean {near}?")),
                    None => error,
                });
            }
        };
        self.advance(1);
        let if_not_exists = self.take_words(&["IF", "NOT", "EXISTS"]);
        let name = self.object_name()?;

        let names_only = matches!(
            (
                self.parser.peek_nth_token_ref(1).token.clone(),
                &self.parser.peek_nth_token_ref(2).token
            ),
            (Token::Word(_), Token::Comma | Token::RParen)
        );
        if self.is_token(0, &Token::LParen)
            && !names_only
            && !read_only
            && self.is_derived_only(kind)
        {
            return Err(self.unexpected("names of columns, WITH or AS"));
        }
        let mut definition = None;
        let mut columns = Vec::new();
        if self.is_token(0, &Token::LParen) {
            if names_only {
                columns = self.ident_list()?;
            } else {
                definition = Some(self.columns(kind)?);
            }
        }
        let options = self.with_options()?;
        let as_position = self.position();
        if definition.is_none() && !read_only && self.take_word("AS") {
            let query = Box::new(self.query()?);
            if self.take_words(&["WITH", "NO", "DATA"]) {
                return Err(ParseError::unsupported("CREATE … AS … WITH NO DATA").at(as_position));
            }
            self.take_words(&["WITH", "DATA"]);
            let create = CreateQuery {
                kind,
                or_replace,
                if_not_exists,
                name,
                columns,
                options,
                query,
            };
            return Ok(Statement::CreateQuery(create));
        }
        let kind = match kind {
            DerivedKind::Stream => RelationKind::Stream,
            DerivedKind::Table => RelationKind::Table,
            DerivedKind::View | DerivedKind::MaterializedView => {
                return Err(self.unexpected("AS and a query"));
            }
        };
        if !columns.is_empty() {
            return Err(self.unexpected("AS and a query: the columns have no types"));
        }
        let (columns, primary_key) = match definition {
            Some(definition) => definition,
            None if options.is_empty() => return Err(self.unexpected("columns, WITH or AS")),
            None => Default::default(),
        };
        Ok(Statement::CreateSource(CreateSource {
            kind,
            or_replace,
            read_only,
            if_not_exists,
            name,
            columns,
            primary_key,
            options,
        }))
    }

    fn is_derived_only(&self, kind: DerivedKind) -> bool {
        matches!(kind, DerivedKind::View | DerivedKind::MaterializedView)
    }

    /// `(column, …, [PRIMARY KEY (…)])`: the columns, and the primary key.
    fn columns(&mut self, kind: DerivedKind) -> Result<(Vec<ColumnDef>, Vec<Ident>)> {
        self.expect(&Token::LParen)?;
        let mut columns: Vec<ColumnDef> = Vec::new();
        let mut marked = Vec::new();
        let mut table_key: Option<Vec<Ident>> = None;
        loop {
            let position = self.position();
            if let Some(key) = self.table_constraint()? {
                if kind == DerivedKind::Stream {
                    return Err(stream_key(position));
                }
                if table_key.replace(key).is_some() || !marked.is_empty() {
                    return Err(two_keys(position));
                }
            } else {
                let (column, primary) = self.column(kind)?;
                if primary {
                    if table_key.is_some() {
                        return Err(two_keys(position));
                    }
                    marked.push(column.name.clone());
                }
                columns.push(column);
                if columns.len() > self.options.limits.columns_max {
                    let message = format!(
                        "relations can have at most {} columns",
                        self.options.limits.columns_max
                    );
                    return Err(
                        ParseError::new(ParseErrorKind::TooManyColumns, message).at(position)
                    );
                }
            }
            if !self.take(&Token::Comma) {
                break;
            }
        }
        self.expect(&Token::RParen)?;
        Ok((columns, table_key.unwrap_or(marked)))
    }

    /// `[CONSTRAINT name] PRIMARY KEY (…)`, if one is next; other constraints are refused.
    fn table_constraint(&mut self) -> Result<Option<Vec<Ident>>> {
        let start = self.parser.index();
        if self.is_word(0, "CONSTRAINT") {
            self.advance(1);
            self.ident()?;
        }
        if self.is_word(0, "PRIMARY") && self.is_word(1, "KEY") && self.is_token(2, &Token::LParen)
        {
            self.advance(2);
            return self.ident_list().map(Some);
        }
        let position = self.position();
        let unsupported = match self.word(0).as_deref() {
            Some("UNIQUE") if self.is_token(1, &Token::LParen) => "UNIQUE",
            Some("CHECK") if self.is_token(1, &Token::LParen) => "CHECK",
            Some("FOREIGN") if self.is_word(1, "KEY") => "FOREIGN KEY",
            Some("EXCLUDE") if self.is_word(1, "USING") => "EXCLUDE",
            Some("LIKE") => "LIKE",
            _ => {
                self.seek(start);
                return Ok(None);
            }
        };
        Err(ParseError::unsupported(unsupported).at(position))
    }

    /// One column, and whether it is marked PRIMARY KEY.
    fn column(&mut self, relation: DerivedKind) -> Result<(ColumnDef, bool)> {
        let name = self.ident()?;
        let data_type = self.data_type()?;
        let mut column = ColumnDef {
            name,
            data_type,
            kind: ColumnKind::Plain,
            not_null: false,
        };
        let (mut primary, mut null) = (false, false);
        loop {
            let position = self.position();
            if self.take_word("CONSTRAINT") {
                self.ident()?;
            }
            if self.take_words(&["NOT", "NULL"]) {
                column.not_null = true;
            } else if self.take_word("NULL") {
                null = true;
            } else if self.take_words(&["PRIMARY", "KEY"]) {
                if relation == DerivedKind::Stream {
                    return Err(stream_key(position));
                }
                primary = true;
            } else if self.take_word("KEY") {
                if relation == DerivedKind::Table {
                    let message = "a column of a table cannot be marked KEY";
                    return Err(ParseError::new(ParseErrorKind::InvalidDefinition, message)
                        .at(position)
                        .hint("mark it PRIMARY KEY"));
                }
                column.kind = ColumnKind::Key;
            } else if self.take_word("HEADERS") {
                column.kind = ColumnKind::Headers;
            } else if self.is_word(0, "HEADER") && self.is_token(1, &Token::LParen) {
                self.advance(2);
                column.kind = ColumnKind::Header(self.string()?);
                self.expect(&Token::RParen)?;
            } else {
                break;
            }
            if null && column.not_null {
                let message = format!(
                    "conflicting NULL and NOT NULL for column \"{}\"",
                    column.name.value
                );
                return Err(ParseError::new(ParseErrorKind::Syntax, message).at(position));
            }
        }
        if let Some(
            word @ ("DEFAULT" | "CHECK" | "UNIQUE" | "REFERENCES" | "GENERATED" | "COLLATE"),
        ) = self.word(0).as_deref()
        {
            return Err(
                ParseError::unsupported(format_args!("{word} of a column")).at(self.position())
            );
        }
        Ok((column, primary))
    }
}

fn stream_key(position: usize) -> ParseError {
    ParseError::new(ParseErrorKind::InvalidDefinition, "a stream has no primary key")
        .at(position)
        .hint("rows of a stream are never replaced; mark the column KEY to partition by it, or create a table")
}

fn two_keys(position: usize) -> ParseError {
    ParseError::new(
        ParseErrorKind::InvalidDefinition,
        "multiple primary keys are not allowed",
    )
    .at(position)
}
