//! Text to statements.

mod clauses;
mod copy;
mod cursors;
mod dml;
mod drop;
mod inspect;
mod options;
mod prepared;
mod query;
mod relation;
mod session;
mod tokens;
mod topic;
mod transaction;
mod unsupported;
mod user;

use sqlparser::{
    parser::{Parser, ParserError},
    tokenizer::Token,
};

use crate::{
    ast::{QueryTarget, Span, Spanned, Statement},
    config::{ParseOptions, TypeNames},
    dialect::MillpondDialect,
    error::{ParseError, ParseErrorKind},
    guard,
    lexer::{LexedStatement, Lexer, excerpt},
    suggest,
};

/// Parses a text of any number of statements with `;` between them. Empty ones are left out.
///
/// One fault anywhere refuses the whole text, as in PostgreSQL.
pub fn parse(sql: &str, options: &ParseOptions) -> Result<Vec<Spanned<Statement>>, ParseError> {
    parse_with_types(sql, options, &TypeNames::default())
}

/// The same, where types may have been given names.
pub fn parse_with_types(
    sql: &str,
    options: &ParseOptions,
    types: &TypeNames,
) -> Result<Vec<Spanned<Statement>>, ParseError> {
    if sql.len() > options.limits.text_bytes_max {
        let message = format!(
            "statement text is longer than {} bytes",
            options.limits.text_bytes_max
        );
        return Err(ParseError::new(ParseErrorKind::LimitExceeded, message)
            .hint("load large amounts of data with COPY"));
    }
    let mut lexer = Lexer::new(sql, options);
    let mut statements = Vec::new();
    while let Some(lexed) = lexer.next_statement()? {
        guard::check(&lexed.tokens, &options.limits)?;
        let dialect = MillpondDialect::new(lexed.tokens.len(), types);
        let mut parser = StatementParser::new(sql, options, &dialect, lexed);
        statements.push(parser.statement_to_end()?);
    }
    Ok(statements)
}

/// Recursive descent over the tokens of one statement, holding sqlparser's parser for everything inside expressions.
struct StatementParser<'a> {
    source: &'a str,
    options: &'a ParseOptions,
    dialect: &'a MillpondDialect,
    parser: Parser<'a>,
    /// The bytes of each of the parser's tokens.
    bytes: Vec<Span>,
}

type Result<T, E = ParseError> = std::result::Result<T, E>;

/// The words statements begin with.
const LEADING: &[&str] = &[
    "ABORT",
    "ALTER",
    "ANALYZE",
    "ASSERT",
    "BEGIN",
    "CLOSE",
    "COMMENT",
    "COMMIT",
    "COPY",
    "CREATE",
    "DEALLOCATE",
    "DECLARE",
    "DEFINE",
    "DELETE",
    "DESCRIBE",
    "DISCARD",
    "DROP",
    "END",
    "EXECUTE",
    "EXPLAIN",
    "FETCH",
    "FLUSH",
    "GRANT",
    "INSERT",
    "LIST",
    "PAUSE",
    "PREPARE",
    "PRINT",
    "RESET",
    "RESUME",
    "REVOKE",
    "ROLLBACK",
    "SELECT",
    "SET",
    "SHOW",
    "START",
    "TABLE",
    "TERMINATE",
    "TRUNCATE",
    "UNDEFINE",
    "UNSET",
    "UPDATE",
    "VALUES",
    "WITH",
];

/// The words clauses begin with, for hints.
const CLAUSES: &[&str] = &[
    "BETWEEN",
    "CHANGES",
    "DISTINCT",
    "EXISTS",
    "FROM",
    "GROUP",
    "HAVING",
    "INTERSECT",
    "INTO",
    "JOIN",
    "LIMIT",
    "MATERIALIZED",
    "OFFSET",
    "ORDER",
    "PARTITION",
    "PRIMARY",
    "SELECT",
    "STREAM",
    "TABLE",
    "TUMBLING",
    "UNION",
    "USING",
    "VALUES",
    "VIEW",
    "WHERE",
    "WINDOW",
    "WITHIN",
];

impl<'a> StatementParser<'a> {
    fn new(
        source: &'a str,
        options: &'a ParseOptions,
        dialect: &'a MillpondDialect,
        lexed: LexedStatement,
    ) -> Self {
        let LexedStatement { tokens, bytes } = lexed;
        let parser = new_parser(dialect, options).with_tokens_with_locations(tokens);
        StatementParser {
            source,
            options,
            dialect,
            parser,
            bytes,
        }
    }

    /// A statement and nothing after it.
    fn statement_to_end(&mut self) -> Result<Spanned<Statement>> {
        let first = self.parser.index();
        let node = self.statement()?;
        if !self.at_end() {
            return Err(self.unexpected("the end of the statement"));
        }
        let start = self.bytes.get(first).map_or(0, |span| span.start);
        let end = self.bytes.last().map_or(start, |span| span.end);
        Ok(Spanned {
            node,
            span: Span { start, end },
        })
    }

    fn statement(&mut self) -> Result<Statement> {
        let Some(word) = self.word(0) else {
            if self.is_token(0, &Token::LParen) {
                return Ok(Statement::Query(Box::new(self.query()?)));
            }
            return Err(self.unexpected("a statement"));
        };
        match word.as_str() {
            "SELECT" | "VALUES" | "TABLE" | "WITH" => Ok(Statement::Query(Box::new(self.query()?))),
            "CREATE" if self.is_about_users() => self.create_user(),
            "ALTER" if self.is_about_users() => self.alter_user(),
            "DROP" if self.is_about_users() => self.drop_users(),
            "CREATE" => self.create(),
            "DROP" => self.drop(),
            "INSERT" => self.insert(),
            "UPDATE" => self.update(),
            "DELETE" => self.delete(),
            "TRUNCATE" => self.truncate(),
            "COPY" => self.copy(),
            "TERMINATE" => Ok(Statement::Terminate(self.query_target()?)),
            "PAUSE" => Ok(Statement::Pause(self.query_target()?)),
            "RESUME" => Ok(Statement::Resume(self.query_target()?)),
            "FLUSH" => {
                self.advance(1);
                Ok(Statement::Flush)
            }
            "PRINT" => self.print().map(Statement::Print),
            "ASSERT" if self.asserts_topic() => self.assert_topic(),
            "DEFINE" => self.define(),
            "UNDEFINE" => self.undefine(),
            "SHOW" | "LIST" => self.show(),
            "DESCRIBE" | "DESC" => self.describe(),
            "EXPLAIN" => self.explain(),
            "SET" => self.set(),
            "UNSET" | "RESET" => self.reset(),
            "DISCARD" => self.discard(),
            "BEGIN" | "START" => self.begin(),
            "COMMIT" | "END" => self.commit(),
            "ROLLBACK" | "ABORT" => self.rollback(),
            "DECLARE" => self.declare(),
            "FETCH" => self.fetch(),
            "CLOSE" => self.close(),
            "PREPARE" => self.prepare(),
            "EXECUTE" => self.execute(),
            "DEALLOCATE" => self.deallocate(),
            word => match self.unsupported_statement(word) {
                Some(what) => Ok(self.swallow(what)),
                None => {
                    let near = suggest::nearest(word, LEADING);
                    let error = self.unexpected("a statement");
                    Err(match near {
                        Some(near) => error.hint(format!("did you mean {near}?")),
                        None => error,
                    })
                }
            },
        }
    }

    /// `TERMINATE id | ALL`.
    fn query_target(&mut self) -> Result<QueryTarget> {
        self.advance(1);
        if self.take_word("ALL") {
            Ok(QueryTarget::All)
        } else {
            Ok(QueryTarget::Id(self.identity()?))
        }
    }

    /// The identity of a running query: a word, a quoted name or a string, as it stands.
    fn identity(&mut self) -> Result<String> {
        self.identity_of("the identity of a query, or ALL")
    }

    /// A word, a quoted name or a string, as it stands.
    fn identity_of(&mut self, expected: &str) -> Result<String> {
        let index = self.parser.index();
        let identity = match &self.parser.peek_token_ref().token {
            Token::Word(word) if word.quote_style.is_none() => {
                self.bytes[index].text(self.source).to_owned()
            }
            Token::Word(word) => word.value.clone(),
            // Nothing has an empty name, however it is quoted.
            Token::SingleQuotedString(text) if !text.is_empty() => text.clone(),
            _ => return Err(self.unexpected(expected)),
        };
        self.advance(1);
        Ok(identity)
    }

    /// A statement we do not offer: whatever it says.
    fn swallow(&mut self, what: String) -> Statement {
        self.seek(self.bytes.len());
        Statement::Unsupported { what }
    }

    /// An error of sqlparser's as ours.
    fn fault(&self, error: ParserError) -> ParseError {
        if let Some(error) = self.dialect.take_fault(&error) {
            return error;
        }
        let message = match error {
            ParserError::RecursionLimitExceeded => {
                return ParseError::new(
                    ParseErrorKind::TooComplex,
                    "statement is nested too deeply",
                )
                .detail(format!(
                    "at most {} levels of nesting are allowed",
                    self.options.limits.nesting_max
                ));
            }
            ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
        };
        let (message, position) = match message.rsplit_once(" at Line: 1, Column: ") {
            Some((message, column)) => (message.to_owned(), column.parse().ok()),
            None => (message, None),
        };
        let index = match position {
            Some(position) => self.token_at_position(position),
            None if message.ends_with("found: EOF") => self.bytes.len(),
            None => self.parser.index().min(self.bytes.len()),
        };
        let error = self.unexpected_at(index);
        let expected = message
            .strip_prefix("Expected: ")
            .and_then(|rest| rest.rsplit_once(", found: "));
        match expected {
            Some((expected, _)) => error.detail(format!("expected {}", expected.trim())),
            None if message.is_empty() => error,
            None => error.detail(lower_first(excerpt(message.trim()))),
        }
    }

    /// "Syntax error": the next token is not what the grammar wants.
    fn unexpected(&self, expected: &str) -> ParseError {
        self.unexpected_at(self.parser.index())
            .detail(format!("expected {expected}"))
    }

    fn unexpected_at(&self, index: usize) -> ParseError {
        let Some(bytes) = self.bytes.get(index) else {
            let end = self
                .parser
                .token_at(self.bytes.len().saturating_sub(1))
                .span
                .end
                .column as usize;
            return ParseError::new(ParseErrorKind::Syntax, "syntax error at end of input")
                .at(end.max(1));
        };
        let near = excerpt(bytes.text(self.source));
        let error = ParseError::new(
            ParseErrorKind::Syntax,
            format!("syntax error at or near \"{near}\""),
        )
        .at(self.parser.token_at(index).span.start.column as usize);
        // The word at fault, or the one before it that was taken for a name.
        let hint = [Some(index), index.checked_sub(1)]
            .into_iter()
            .flatten()
            .find_map(|index| match &self.parser.token_at(index).token {
                Token::Word(word) if word.quote_style.is_none() => {
                    suggest::nearest(&word.value, CLAUSES)
                }
                _ => None,
            });
        match hint {
            Some(hint) => error.hint(format!("did you mean {hint}?")),
            None => error,
        }
    }

    /// The token that begins at a character position, or the first one after it.
    fn token_at_position(&self, position: u64) -> usize {
        let (mut low, mut high) = (0, self.bytes.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.parser.token_at(middle).span.start.column < position {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

fn new_parser<'a>(dialect: &'a MillpondDialect, options: &ParseOptions) -> Parser<'a> {
    // What our guard counts as one level, sqlparser may count as up to three.
    Parser::new(dialect).with_recursion_limit(options.limits.nesting_max.saturating_mul(3))
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) if !chars.as_str().starts_with(|c: char| c.is_ascii_uppercase()) => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text.to_owned(),
    }
}
