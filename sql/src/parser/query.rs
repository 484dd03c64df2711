//! Queries.
//!
//! sqlparser reads them; it knows nothing of `WINDOW TUMBLING (…)`, `WITHIN …`, `PARTITION BY …` and `EMIT …`. Those
//! clauses are found first, read on their own, and left out of what sqlparser is given. Tokens keep the positions
//! they had, so nothing shifts in its messages.

use sqlparser::{
    ast::SetExpr,
    keywords::Keyword,
    tokenizer::{Token, TokenWithSpan},
};

use super::{Result, StatementParser, new_parser};
use crate::{
    ast::{Emit, Query, WindowClause, Within},
    dialect::begins_no_expression,
    error::{ParseError, ParseErrorKind},
    idents::constraint_mut,
};

/// The streaming clauses of a query, and which tokens they are.
#[derive(Default)]
struct Clauses {
    window: Option<WindowClause>,
    withins: Vec<Within>,
    partition_by: Vec<sqlparser::ast::Expr>,
    emit: Option<Emit>,
    /// Ranges of tokens, in order.
    cuts: Vec<std::ops::Range<usize>>,
    /// Where `TABLE t` stands for `SELECT * FROM t`.
    tables: Vec<usize>,
    /// Where the first clause that belongs to a SELECT stands.
    select_clause: Option<usize>,
}

impl StatementParser<'_> {
    /// A query, up to where it ends: the end of the statement, a closing parenthesis, or a word that is no part of it.
    pub(super) fn query(&mut self) -> Result<Query> {
        let start = self.parser.index();
        let mut clauses = self.find_clauses(start)?;
        self.seek(start);
        let mut body = if clauses.cuts.is_empty() && clauses.tables.is_empty() {
            self.parser
                .parse_query()
                .map_err(|error| self.fault(error))?
        } else {
            self.query_without(start, &clauses)?
        };
        self.finish(&mut *body)?;
        if let Some(position) = clauses.select_clause {
            let SetExpr::Select(select) = &mut *body.body else {
                let what =
                    "WINDOW, WITHIN or PARTITION BY together with UNION, INTERSECT or EXCEPT";
                return Err(ParseError::unsupported(what).at(position));
            };
            for within in &clauses.withins {
                let join = select
                    .from
                    .get_mut(within.from_item)
                    .and_then(|from| from.joins.get_mut(within.join));
                if join
                    .and_then(|join| constraint_mut(&mut join.join_operator))
                    .is_none()
                {
                    return Err(ParseError::new(
                        ParseErrorKind::Syntax,
                        "WITHIN belongs to no join",
                    )
                    .at(position));
                }
            }
        }
        let partition_by = std::mem::take(&mut clauses.partition_by);
        Ok(Query {
            body,
            window: clauses.window,
            withins: clauses.withins,
            partition_by,
            emit: clauses.emit,
        })
    }

    /// Parses the query without the tokens of its streaming clauses.
    fn query_without(
        &mut self,
        start: usize,
        clauses: &Clauses,
    ) -> Result<Box<sqlparser::ast::Query>> {
        let end = self.bytes.len();
        let (mut tokens, mut numbers) = (Vec::new(), Vec::new());
        let mut cuts = clauses.cuts.iter().peekable();
        let mut tables = clauses.tables.iter().peekable();
        let mut index = start;
        while index < end {
            if let Some(cut) = cuts.next_if(|cut| cut.start == index) {
                index = cut.end;
                continue;
            }
            let token = self.parser.token_at(index);
            if tables.next_if(|&&table| table == index).is_some() {
                let instead = [
                    Token::make_keyword("SELECT"),
                    Token::Mul,
                    Token::make_keyword("FROM"),
                ];
                tokens.extend(instead.map(|instead| TokenWithSpan {
                    token: instead,
                    span: token.span,
                }));
                numbers.extend([index; 3]);
            } else {
                tokens.push(token.clone());
                numbers.push(index);
            }
            index += 1;
        }
        let mut parser = new_parser(self.dialect, self.options).with_tokens_with_locations(tokens);
        let body = parser.parse_query();
        self.seek(numbers.get(parser.index()).copied().unwrap_or(end));
        body.map_err(|error| self.fault(error))
    }

    /// Goes over the tokens of a query once and reads the streaming clauses.
    fn find_clauses(&mut self, start: usize) -> Result<Clauses> {
        let mut clauses = Clauses::default();
        let mut depth = 0usize;
        let mut from = FromPlace::default();
        let mut index = start;
        while index < self.bytes.len() {
            let token = &self.parser.token_at(index).token;
            match token {
                Token::LParen | Token::LBracket => depth += 1,
                Token::RParen | Token::RBracket if depth == 0 => break,
                Token::RParen | Token::RBracket => depth -= 1,
                Token::Comma if depth == 0 => from.comma(),
                Token::Word(word)
                    if word.quote_style.is_none() && !self.is_plain_name(start, index) =>
                {
                    let word = word.value.to_ascii_uppercase();
                    let clause = self.clause_at(index, &word, depth == 0, &from);
                    if let Some(clause) = clause {
                        if depth > 0 {
                            let error = ParseError::unsupported(format_args!(
                                "{} in a subquery",
                                clause.name()
                            ));
                            return Err(
                                error.at(self.parser.token_at(index).span.start.column as usize)
                            );
                        }
                        self.seek(index);
                        self.read_clause(clause, &from, &mut clauses)?;
                        clauses.cuts.push(index..self.parser.index());
                        index = self.parser.index();
                        continue;
                    }
                    if (word == "FROM" || word == "JOIN")
                        && let Token::Word(next) = &self.parser.token_at(index + 1).token
                        && next.quote_style.is_none()
                        && begins_no_expression(next.keyword)
                    {
                        return Err(self.unexpected_at(index + 1).detail("expected a relation"));
                    }
                    if word == "TABLE" && self.begins_query(start, index) {
                        clauses.tables.push(index);
                    }
                    if depth == 0 {
                        from.word(&word);
                    }
                }
                _ => {}
            }
            index += 1;
        }
        Ok(clauses)
    }

    /// Whether a `TABLE` is followed by a name and stands where a query may begin.
    fn begins_query(&self, start: usize, index: usize) -> bool {
        let name_follows = matches!(self.parser.token_at(index + 1).token, Token::Word(_));
        let may_begin = index == start
            || match &self.parser.token_at(index - 1).token {
                Token::LParen | Token::RParen => true,
                Token::Word(word) => matches!(
                    word.keyword,
                    Keyword::UNION
                        | Keyword::INTERSECT
                        | Keyword::EXCEPT
                        | Keyword::ALL
                        | Keyword::DISTINCT
                ),
                _ => false,
            };
        name_follows && may_begin
    }

    /// Whether a word can only be a name: after `.`, `->` or AS.
    fn is_plain_name(&self, start: usize, index: usize) -> bool {
        index > start
            && match &self.parser.token_at(index - 1).token {
                Token::Period | Token::Arrow => true,
                Token::Word(word) => {
                    word.quote_style.is_none() && word.value.eq_ignore_ascii_case("as")
                }
                _ => false,
            }
    }

    /// Which streaming clause begins at a token.
    fn clause_at(
        &self,
        index: usize,
        word: &str,
        outermost: bool,
        from: &FromPlace,
    ) -> Option<Clause> {
        let follows = |n: usize, words: &[&str]| match &self.parser.token_at(index + n).token {
            Token::Word(word) => {
                word.quote_style.is_none()
                    && words
                        .iter()
                        .any(|expected| word.value.eq_ignore_ascii_case(expected))
            }
            _ => false,
        };
        let token = |n: usize| &self.parser.token_at(index + n).token;
        match word {
            "WINDOW"
                if follows(1, &["TUMBLING", "HOPPING", "SESSION"])
                    && *token(2) == Token::LParen =>
            {
                Some(Clause::Window)
            }
            "WITHIN" if outermost && from.in_join => {
                let number = if *token(1) == Token::LParen {
                    token(2)
                } else {
                    token(1)
                };
                matches!(number, Token::Number(..)).then_some(Clause::Within)
            }
            "PARTITION" if outermost && from.seen && follows(1, &["BY"]) => {
                Some(Clause::PartitionBy)
            }
            "EMIT" if follows(1, &["CHANGES", "FINAL"]) => {
                let ends = matches!(token(2), Token::EOF | Token::RParen)
                    || follows(
                        2,
                        &[
                            "LIMIT",
                            "OFFSET",
                            "FETCH",
                            "ORDER",
                            "ON",
                            "RETURNING",
                            "WITH",
                        ],
                    );
                ends.then_some(Clause::Emit)
            }
            _ => None,
        }
    }

    fn read_clause(
        &mut self,
        clause: Clause,
        from: &FromPlace,
        clauses: &mut Clauses,
    ) -> Result<()> {
        let position = self.position();
        if clause != Clause::Emit {
            clauses.select_clause.get_or_insert(position);
        }
        let twice = match clause {
            Clause::Window => clauses.window.replace(self.window_clause()?).is_some(),
            Clause::Within => {
                let within = self.within_clause(from.item, from.joins.saturating_sub(1))?;
                let twice = clauses
                    .withins
                    .iter()
                    .any(|w| (w.from_item, w.join) == (within.from_item, within.join));
                clauses.withins.push(within);
                twice
            }
            Clause::PartitionBy => {
                self.advance(2);
                let expressions = self.list(|parser| parser.expr())?;
                !std::mem::replace(&mut clauses.partition_by, expressions).is_empty()
            }
            Clause::Emit => {
                let emit = if self.is_word(1, "CHANGES") {
                    Emit::Changes
                } else {
                    Emit::Final
                };
                self.advance(2);
                clauses.emit.replace(emit).is_some()
            }
        };
        if twice {
            let message = format!("{} is given more than once", clause.name());
            return Err(ParseError::new(ParseErrorKind::Syntax, message).at(position));
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clause {
    Window,
    Within,
    PartitionBy,
    Emit,
}

impl Clause {
    fn name(self) -> &'static str {
        match self {
            Clause::Window => "WINDOW",
            Clause::Within => "WITHIN",
            Clause::PartitionBy => "PARTITION BY",
            Clause::Emit => "EMIT",
        }
    }
}

/// How far the reading of `FROM` has come.
#[derive(Default)]
struct FromPlace {
    /// There has been a `FROM`.
    seen: bool,
    /// It is still going on.
    open: bool,
    /// Between `JOIN` and its `ON` or `USING`.
    in_join: bool,
    /// The item at hand.
    item: usize,
    /// Joins of that item so far.
    joins: usize,
    /// The last word was DISTINCT, as in `IS DISTINCT FROM`.
    after_distinct: bool,
}

impl FromPlace {
    fn comma(&mut self) {
        if self.open {
            self.item += 1;
            self.joins = 0;
            self.in_join = false;
        }
    }

    fn word(&mut self, word: &str) {
        let after_distinct = std::mem::replace(&mut self.after_distinct, word == "DISTINCT");
        match word {
            "SELECT" => *self = FromPlace::default(),
            "FROM" if !after_distinct => {
                *self = FromPlace {
                    seen: true,
                    open: true,
                    ..FromPlace::default()
                }
            }
            "WHERE" | "GROUP" | "HAVING" | "ORDER" | "LIMIT" | "OFFSET" | "UNION" | "INTERSECT"
            | "EXCEPT" => {
                self.open = false;
                self.in_join = false;
            }
            "JOIN" if self.open => {
                self.joins += 1;
                self.in_join = true;
            }
            "ON" | "USING" => self.in_join = false,
            _ => {}
        }
    }
}
