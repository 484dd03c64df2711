//! Our turn of the expression grammar, as hooks into sqlparser's.
//!
//! - `x => e` and `(x, y) => e` are lambdas.
//! - `a->b` takes a field of a struct and becomes `a['b']`, which DataFusion plans as field access; before a string, a
//!   number or a parameter `->` stays PostgreSQL's JSON operator. `a->b->*` becomes `a.b.*`.
//! - `k := v` binds weakest of all and is a [`BinaryOperator::Assignment`].
//! - Types, in casts and before literals, are read by our own type parser.
//! - Reserved words do not begin an expression; [`crate::guard`] rests on that.
//!
//! sqlparser tries alternatives and goes back. Nested deeply enough that takes exponential time, so every attempt at an
//! expression is counted against a budget; running out of it is the one error that is never tried around.

use std::cell::{Cell, RefCell};

use sqlparser::{
    ast::{
        AccessExpr, BinaryOperator, CastKind, Expr, Ident, LambdaFunction, LambdaFunctionParameter,
        LambdaSyntax, ObjectName, OneOrManyWithParens, Subscript, TypedString, Value,
        helpers::attached_token::AttachedToken,
    },
    dialect::{Dialect, PostgreSqlDialect, Precedence},
    keywords::Keyword,
    parser::{Parser, ParserError},
    tokenizer::{Span, Token, TokenWithSpan},
};

use crate::{ast::DataType, config::TypeNames, error::ParseError};

const POSTGRES: PostgreSqlDialect = PostgreSqlDialect {};

/// `a->b` binds as tightly as `a.b`.
const DEREFERENCE_PRECEDENCE: u8 = 200;
/// `k := v` binds more weakly than OR.
const ASSIGNMENT_PRECEDENCE: u8 = 2;

/// The message of an error whose real form is in [`MillpondDialect::fault`].
const FAULT: &str = "\u{0}fault";

/// The hooks, and what they keep while one statement is parsed.
#[derive(Debug)]
pub(crate) struct MillpondDialect {
    /// Attempts at an expression that are left.
    budget: Cell<usize>,
    /// An error of ours on its way through sqlparser.
    fault: RefCell<Option<ParseError>>,
    types: TypeNames,
}

impl MillpondDialect {
    /// For a statement of so many tokens.
    pub(crate) fn new(tokens: usize, types: &TypeNames) -> Self {
        MillpondDialect {
            budget: Cell::new(tokens.saturating_mul(16).saturating_add(10_000)),
            fault: RefCell::default(),
            types: types.clone(),
        }
    }

    /// What a name that was given to a type stands for.
    pub(crate) fn named_type(&self, name: &str) -> Option<DataType> {
        self.types.get(name).cloned()
    }

    /// Sends an error of ours through sqlparser.
    pub(crate) fn fail(&self, error: ParseError) -> ParserError {
        self.fault.replace(Some(error));
        ParserError::ParserError(FAULT.to_owned())
    }

    /// Takes back the error of ours that this one stands for.
    pub(crate) fn take_fault(&self, error: &ParserError) -> Option<ParseError> {
        match error {
            ParserError::ParserError(message) if message == FAULT => self.fault.take(),
            _ => None,
        }
    }

    fn spend(&self) -> Result<(), ParserError> {
        match self.budget.get().checked_sub(1) {
            Some(left) => {
                self.budget.set(left);
                Ok(())
            }
            None => Err(ParserError::RecursionLimitExceeded),
        }
    }

    fn prefix(&self, parser: &mut Parser) -> Result<Option<Expr>, ParserError> {
        self.spend()?;
        let [first, second] = parser.peek_tokens_ref();
        match &first.token {
            Token::Number(..) | Token::Placeholder(_) => {}
            Token::SingleQuotedString(_) => {}
            Token::LParen => return self.parenthesised_lambda(parser),
            Token::Word(word) => {
                if second.token == Token::RArrow {
                    return self.lambda(parser).map(Some);
                }
                return match (word.quote_style, word.keyword) {
                    (Some(_), _) | (None, Keyword::NoKeyword) => self.name(parser),
                    (None, keyword) => self.keyword(parser, keyword),
                };
            }
            Token::Minus
            | Token::Plus
            | Token::Tilde
            | Token::LBracket
            | Token::SingleQuotedByteStringLiteral(_)
            | Token::HexStringLiteral(_) => return Ok(None),
            _ => return parser.expected_ref("an expression", first),
        }
        let TokenWithSpan { token, span } = parser.next_token();
        let value = match token {
            Token::Number(digits, long) => Value::Number(digits, long),
            Token::SingleQuotedString(text) => Value::SingleQuotedString(text),
            Token::Placeholder(name) => Value::Placeholder(name),
            _ => unreachable!("only literals get here"),
        };
        Ok(Some(Expr::Value(value.with_span(span))))
    }

    /// What begins with an unquoted keyword of sqlparser's.
    fn keyword(&self, parser: &mut Parser, keyword: Keyword) -> Result<Option<Expr>, ParserError> {
        let [_, second] = parser.peek_tokens_ref();
        let (call, literal) = (
            second.token == Token::LParen,
            matches!(second.token, Token::SingleQuotedString(_)),
        );
        match keyword {
            Keyword::CAST | Keyword::TRY_CAST if call => self.cast(parser, keyword).map(Some),
            _ if begins_no_expression(keyword) => {
                let found = parser.peek_token();
                parser.expected("an expression", found)
            }
            Keyword::INTERVAL => Ok(None),
            _ if second.token == Token::Period && !is_reserved(keyword) => self.name(parser),
            _ if literal || is_long_type_name(keyword) => {
                parser.maybe_parse(|parser| self.typed_literal(parser))
            }
            _ => Ok(None),
        }
    }

    /// `a`, `a.b`, `f(…)`, `s.f(…)`. Declines what ends in `.*`.
    fn name(&self, parser: &mut Parser) -> Result<Option<Expr>, ParserError> {
        let mut length = 1; // in tokens
        loop {
            match &peek(parser, length).token {
                Token::Period => match &peek(parser, length + 1).token {
                    Token::Word(_) => length += 2,
                    _ => return Ok(None),
                },
                Token::SingleQuotedString(_) if length == 1 => {
                    return parser.maybe_parse(|parser| self.typed_literal(parser));
                }
                _ => break,
            }
        }
        let mut parts = Vec::with_capacity(length.div_ceil(2));
        for _ in 0..length {
            if let TokenWithSpan {
                token: Token::Word(word),
                span,
            } = parser.next_token()
            {
                parts.push(word.into_ident(span));
            }
        }
        if parser.peek_token_ref().token == Token::LParen {
            return parser.parse_function(ObjectName::from(parts)).map(Some);
        }
        Ok(Some(match parts.len() {
            1 => Expr::Identifier(parts.swap_remove(0)),
            _ => Expr::CompoundIdentifier(parts),
        }))
    }

    fn cast(&self, parser: &mut Parser, keyword: Keyword) -> Result<Expr, ParserError> {
        parser.advance_token();
        parser.expect_token(&Token::LParen)?;
        let expr = Box::new(parser.parse_expr()?);
        parser.expect_keyword(Keyword::AS)?;
        let data_type = self.parse_cast_type(parser)?;
        parser.expect_token(&Token::RParen)?;
        let kind = if keyword == Keyword::CAST {
            CastKind::Cast
        } else {
            CastKind::TryCast
        };
        Ok(Expr::Cast {
            kind,
            expr,
            data_type,
            array: false,
            format: None,
        })
    }

    /// `DATE '…'` and its like; fails if it is something else.
    fn typed_literal(&self, parser: &mut Parser) -> Result<Expr, ParserError> {
        let data_type = self.parse_literal_type(parser)?;
        match parser.next_token() {
            TokenWithSpan {
                token: Token::SingleQuotedString(text),
                span,
            } => Ok(Expr::TypedString(TypedString {
                data_type,
                value: Value::SingleQuotedString(text).with_span(span),
                uses_odbc_syntax: false,
            })),
            found => parser.expected("a string", found),
        }
    }

    fn lambda(&self, parser: &mut Parser) -> Result<Expr, ParserError> {
        let name = parser.parse_identifier()?;
        parser.expect_token(&Token::RArrow)?;
        self.lambda_body(
            parser,
            OneOrManyWithParens::One(LambdaFunctionParameter {
                name,
                data_type: None,
            }),
        )
    }

    /// `(x, y) => e`, or nothing.
    fn parenthesised_lambda(&self, parser: &mut Parser) -> Result<Option<Expr>, ParserError> {
        let mut at = 1;
        loop {
            let [name, then] = [peek(parser, at), peek(parser, at + 1)];
            match (&name.token, &then.token) {
                (Token::Word(_), Token::Comma) => at += 2,
                (Token::Word(_), Token::RParen) => break,
                _ => return Ok(None),
            }
        }
        if peek(parser, at + 2).token != Token::RArrow {
            return Ok(None);
        }
        parser.expect_token(&Token::LParen)?;
        let parameters = parser.parse_comma_separated(|parser| {
            Ok(LambdaFunctionParameter {
                name: parser.parse_identifier()?,
                data_type: None,
            })
        })?;
        parser.expect_token(&Token::RParen)?;
        parser.expect_token(&Token::RArrow)?;
        self.lambda_body(parser, OneOrManyWithParens::Many(parameters))
            .map(Some)
    }

    fn lambda_body(
        &self,
        parser: &mut Parser,
        params: OneOrManyWithParens<LambdaFunctionParameter>,
    ) -> Result<Expr, ParserError> {
        let body = Box::new(parser.parse_expr()?);
        Ok(Expr::Lambda(LambdaFunction {
            params,
            body,
            syntax: LambdaSyntax::Arrow,
        }))
    }

    fn infix(&self, parser: &mut Parser, left: &Expr) -> Result<Option<Expr>, ParserError> {
        match &parser.peek_token_ref().token {
            Token::DoubleColon => {
                parser.advance_token();
                Ok(Some(Expr::Cast {
                    kind: CastKind::DoubleColon,
                    expr: Box::new(left.clone()),
                    data_type: self.parse_cast_type(parser)?,
                    array: false,
                    format: None,
                }))
            }
            Token::Arrow if peek(parser, 1).token == Token::Mul => {
                parser.advance_token();
                let star = parser.next_token();
                match all_fields(left) {
                    Some(path) => Ok(Some(Expr::QualifiedWildcard(path, AttachedToken(star)))),
                    None => Err(self.fail(
                        ParseError::unsupported(
                            "->* of something other than a column or a field of one",
                        )
                        .at(star.span.start.column as usize),
                    )),
                }
            }
            Token::Arrow if is_dereference(parser) => {
                parser.advance_token();
                let field = parser.parse_identifier()?;
                // What tells `s->k` from `s['k']` is that the name has a beginning alone.
                let beginning = Span::new(field.span.start, field.span.start);
                let index =
                    Expr::Value(Value::SingleQuotedString(field.value).with_span(beginning));
                Ok(Some(access(
                    left,
                    vec![AccessExpr::Subscript(Subscript::Index { index })],
                )))
            }
            // sqlparser takes everything after it, AND and OR too, for the right side.
            Token::Word(word) if word.keyword == Keyword::IS => {
                let negated = is_keyword(peek(parser, 1), Keyword::NOT);
                let distinct = 1 + usize::from(negated);
                if !is_keyword(peek(parser, distinct), Keyword::DISTINCT)
                    || !is_keyword(peek(parser, distinct + 1), Keyword::FROM)
                {
                    return Ok(None);
                }
                for _ in 0..distinct + 2 {
                    parser.advance_token();
                }
                let left = Box::new(left.clone());
                let right = Box::new(parser.parse_subexpr(self.prec_value(Precedence::Is))?);
                Ok(Some(match negated {
                    false => Expr::IsDistinctFrom(left, right),
                    true => Expr::IsNotDistinctFrom(left, right),
                }))
            }
            Token::LBracket => {
                let mut chain = Vec::new();
                parser.parse_multi_dim_subscript(&mut chain)?;
                Ok(Some(access(left, chain)))
            }
            Token::Assignment => {
                parser.advance_token();
                Ok(Some(Expr::BinaryOp {
                    left: Box::new(left.clone()),
                    op: BinaryOperator::Assignment,
                    right: Box::new(parser.parse_subexpr(ASSIGNMENT_PRECEDENCE)?),
                }))
            }
            _ => Ok(None),
        }
    }
}

/// The n-th next token. There is no white space among our tokens, so this need not go over those before it.
fn peek<'p>(parser: &'p Parser, n: usize) -> &'p TokenWithSpan {
    parser.token_at(parser.index() + n)
}

fn is_keyword(token: &TokenWithSpan, keyword: Keyword) -> bool {
    matches!(&token.token, Token::Word(word) if word.keyword == keyword)
}

/// Appends to a chain of accesses.
fn access(left: &Expr, more: Vec<AccessExpr>) -> Expr {
    match left.clone() {
        Expr::CompoundFieldAccess {
            root,
            mut access_chain,
        } => {
            access_chain.extend(more);
            Expr::CompoundFieldAccess { root, access_chain }
        }
        root => Expr::CompoundFieldAccess {
            root: Box::new(root),
            access_chain: more,
        },
    }
}

/// `s->a->*` as the path `s.a`, of which all fields are meant.
fn all_fields(struct_: &Expr) -> Option<ObjectName> {
    let (root, chain) = match struct_ {
        Expr::CompoundFieldAccess { root, access_chain } => (&**root, access_chain.as_slice()),
        root => (root, &[][..]),
    };
    let mut path = match root {
        Expr::Identifier(ident) => vec![ident.clone()],
        Expr::CompoundIdentifier(idents) => idents.clone(),
        _ => return None,
    };
    for access in chain {
        let AccessExpr::Subscript(Subscript::Index {
            index: Expr::Value(value),
        }) = access
        else {
            return None;
        };
        let Value::SingleQuotedString(field) = &value.value else {
            return None;
        };
        path.push(Ident {
            value: field.clone(),
            quote_style: Some('"'),
            span: value.span,
        });
    }
    Some(ObjectName::from(path))
}

/// Whether the `->` that comes next takes a field.
fn is_dereference(parser: &Parser) -> bool {
    matches!(
        (&parser.peek_nth_token_ref(1).token, &parser.peek_nth_token_ref(2).token),
        (Token::Word(_), after) if *after != Token::LParen
    )
}

/// Type names of which the first word is not followed by the literal at once.
fn is_long_type_name(keyword: Keyword) -> bool {
    matches!(
        keyword,
        Keyword::TIMESTAMP
            | Keyword::TIME
            | Keyword::DOUBLE
            | Keyword::CHARACTER
            | Keyword::DECIMAL
    )
}

/// Words that go on with a clause or an expression and never begin one.
pub(crate) fn begins_no_expression(keyword: Keyword) -> bool {
    matches!(
        keyword,
        Keyword::AND
            | Keyword::AS
            | Keyword::ASC
            | Keyword::BETWEEN
            | Keyword::COLLATE
            | Keyword::CREATE
            | Keyword::CROSS
            | Keyword::DESC
            | Keyword::DISTINCT
            | Keyword::ELSE
            | Keyword::END
            | Keyword::EXCEPT
            | Keyword::FETCH
            | Keyword::FOR
            | Keyword::FROM
            | Keyword::FULL
            | Keyword::GROUP
            | Keyword::HAVING
            | Keyword::ILIKE
            | Keyword::IN
            | Keyword::INNER
            | Keyword::INTERSECT
            | Keyword::INTO
            | Keyword::IS
            | Keyword::JOIN
            | Keyword::LIKE
            | Keyword::LIMIT
            | Keyword::NATURAL
            | Keyword::OFFSET
            | Keyword::ON
            | Keyword::OR
            | Keyword::ORDER
            | Keyword::OUTER
            | Keyword::RETURNING
            | Keyword::SELECT
            | Keyword::THEN
            | Keyword::TO
            | Keyword::UNION
            | Keyword::USING
            | Keyword::WHEN
            | Keyword::WHERE
            | Keyword::WINDOW
            | Keyword::WITH
    )
}

/// Words that are not names even where nothing else would fit.
pub(crate) fn is_reserved(keyword: Keyword) -> bool {
    begins_no_expression(keyword)
        || matches!(
            keyword,
            Keyword::ALL
                | Keyword::ANY
                | Keyword::ARRAY
                | Keyword::CASE
                | Keyword::CAST
                | Keyword::CHECK
                | Keyword::CONSTRAINT
                | Keyword::CURRENT_CATALOG
                | Keyword::CURRENT_DATE
                | Keyword::CURRENT_ROLE
                | Keyword::CURRENT_TIME
                | Keyword::CURRENT_TIMESTAMP
                | Keyword::CURRENT_USER
                | Keyword::DEFAULT
                | Keyword::EXISTS
                | Keyword::FALSE
                | Keyword::FOREIGN
                | Keyword::GRANT
                | Keyword::LATERAL
                | Keyword::LOCALTIME
                | Keyword::LOCALTIMESTAMP
                | Keyword::NOT
                | Keyword::NULL
                | Keyword::PRIMARY
                | Keyword::REFERENCES
                | Keyword::SESSION_USER
                | Keyword::SOME
                | Keyword::TABLE
                | Keyword::TRIM
                | Keyword::TRUE
                | Keyword::TRY_CAST
                | Keyword::UNIQUE
                | Keyword::USER
        )
}

impl Dialect for MillpondDialect {
    /// sqlparser asks in places for the type of the dialect rather than for what it supports.
    fn dialect(&self) -> std::any::TypeId {
        std::any::TypeId::of::<PostgreSqlDialect>()
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        POSTGRES.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        POSTGRES.is_identifier_part(ch)
    }

    fn identifier_quote_style(&self, identifier: &str) -> Option<char> {
        POSTGRES.identifier_quote_style(identifier)
    }

    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        self.prefix(parser).transpose()
    }

    fn parse_infix(
        &self,
        parser: &mut Parser,
        expr: &Expr,
        _precedence: u8,
    ) -> Option<Result<Expr, ParserError>> {
        self.infix(parser, expr).transpose()
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        Some(match &parser.peek_token_ref().token {
            Token::Arrow if is_dereference(parser) || peek(parser, 1).token == Token::Mul => {
                Ok(DEREFERENCE_PRECEDENCE)
            }
            Token::Assignment => Ok(ASSIGNMENT_PRECEDENCE),
            _ => POSTGRES.get_next_precedence_default(parser),
        })
    }

    fn prec_value(&self, prec: Precedence) -> u8 {
        POSTGRES.prec_value(prec)
    }

    fn is_reserved_for_identifier(&self, kw: Keyword) -> bool {
        is_reserved(kw)
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_group_by_expr(&self) -> bool {
        true
    }

    fn supports_window_clause_named_window_reference(&self) -> bool {
        true
    }

    fn supports_window_function_null_treatment_arg(&self) -> bool {
        true
    }

    fn allow_extract_custom(&self) -> bool {
        true
    }

    fn allow_extract_single_quotes(&self) -> bool {
        true
    }

    fn supports_bitwise_shift_operators(&self) -> bool {
        true
    }

    fn supports_string_escape_constant(&self) -> bool {
        true
    }

    fn supports_notnull_operator(&self) -> bool {
        true
    }

    fn supports_array_typedef_with_brackets(&self) -> bool {
        true
    }

    fn supports_select_wildcard_exclude(&self) -> bool {
        true
    }

    // `x => e` is a lambda here, and `k := v` an operator.
    fn supports_named_fn_args_with_rarrow_operator(&self) -> bool {
        false
    }

    // With this, each level of function calls would be parsed twice: 2ⁿ attempts for n levels.
    fn supports_named_fn_args_with_expr_name(&self) -> bool {
        false
    }
}
