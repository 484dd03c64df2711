//! Words, names and literals.

use sqlparser::{
    ast::{Expr, Ident, ObjectName, Visit, VisitMut},
    keywords::Keyword,
    tokenizer::{Token, TokenWithSpan},
};

use super::{Result, StatementParser};
use crate::{
    ast::{DataType, position},
    audit, blank,
    dialect::is_reserved,
    error::{ParseError, ParseErrorKind},
    idents,
};

impl StatementParser<'_> {
    pub(super) fn at_end(&self) -> bool {
        self.parser.index() >= self.bytes.len()
    }

    /// The n-th next token, if it is an unquoted word, in capitals.
    pub(super) fn word(&self, n: usize) -> Option<String> {
        match &self.parser.peek_nth_token_ref(n).token {
            Token::Word(word) if word.quote_style.is_none() => {
                Some(word.value.to_ascii_uppercase())
            }
            _ => None,
        }
    }

    pub(super) fn is_word(&self, n: usize, expected: &str) -> bool {
        matches!(
            &self.parser.peek_nth_token_ref(n).token,
            Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(expected)
        )
    }

    pub(super) fn is_token(&self, n: usize, expected: &Token) -> bool {
        self.parser.peek_nth_token_ref(n).token == *expected
    }

    pub(super) fn take_word(&mut self, expected: &str) -> bool {
        let found = self.is_word(0, expected);
        if found {
            self.parser.advance_token();
        }
        found
    }

    /// Takes all of these words or none.
    pub(super) fn take_words(&mut self, expected: &[&str]) -> bool {
        let found = expected
            .iter()
            .enumerate()
            .all(|(n, word)| self.is_word(n, word));
        if found {
            self.advance(expected.len());
        }
        found
    }

    pub(super) fn expect_word(&mut self, expected: &str) -> Result<()> {
        if self.take_word(expected) {
            Ok(())
        } else {
            Err(self.unexpected(expected))
        }
    }

    pub(super) fn take(&mut self, token: &Token) -> bool {
        self.parser.consume_token(token)
    }

    pub(super) fn expect(&mut self, token: &Token) -> Result<()> {
        if self.take(token) {
            Ok(())
        } else {
            Err(self.unexpected(&token.to_string()))
        }
    }

    pub(super) fn advance(&mut self, tokens: usize) {
        for _ in 0..tokens {
            self.parser.advance_token();
        }
    }

    /// Goes to a token by its number.
    pub(super) fn seek(&mut self, index: usize) {
        while self.parser.index() < index {
            self.parser.advance_token();
        }
        while self.parser.index() > index {
            self.parser.prev_token();
        }
    }

    /// The character position of the next token.
    pub(super) fn position(&self) -> usize {
        match self.bytes.get(self.parser.index()) {
            Some(_) => self.parser.peek_token_ref().span.start.column as usize,
            None => {
                self.parser
                    .token_at(self.bytes.len().saturating_sub(1))
                    .span
                    .end
                    .column as usize
            }
        }
    }

    /// A name: quoted, or a word that is not reserved.
    pub(super) fn ident(&mut self) -> Result<Ident> {
        self.ident_named("a name")
    }

    fn ident_named(&mut self, expected: &str) -> Result<Ident> {
        match self.parser.peek_token_ref() {
            TokenWithSpan {
                token: Token::Word(word),
                span,
            } if word.quote_style.is_some() || !is_reserved(word.keyword) => {
                let ident = Ident {
                    value: word.value.clone(),
                    quote_style: Some('"'),
                    span: *span,
                };
                self.parser.advance_token();
                Ok(ident)
            }
            _ => Err(self.unexpected(expected)),
        }
    }

    /// A name with perhaps a schema before it.
    pub(super) fn object_name(&mut self) -> Result<ObjectName> {
        let mut parts = vec![self.ident()?];
        while self.take(&Token::Period) {
            parts.push(self.ident()?);
        }
        Ok(ObjectName::from(parts))
    }

    /// Names with commas between them.
    pub(super) fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut items = vec![item(self)?];
        while self.take(&Token::Comma) {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// `(a, b)`.
    pub(super) fn ident_list(&mut self) -> Result<Vec<Ident>> {
        self.expect(&Token::LParen)?;
        let idents = self.list(|parser| parser.ident())?;
        self.expect(&Token::RParen)?;
        Ok(idents)
    }

    /// `[AS] alias`, where one of these words would go on with the statement.
    pub(super) fn alias(&mut self, next_words: &[&str]) -> Result<Option<Ident>> {
        if self.take_word("AS") {
            return self.ident().map(Some);
        }
        match &self.parser.peek_token_ref().token {
            Token::Word(word) if word.quote_style.is_some() => self.ident().map(Some),
            Token::Word(word)
                if !is_reserved(word.keyword)
                    && !next_words.iter().any(|next| self.is_word(0, next)) =>
            {
                self.ident().map(Some)
            }
            _ => Ok(None),
        }
    }

    pub(super) fn string(&mut self) -> Result<String> {
        match &self.parser.peek_token_ref().token {
            Token::SingleQuotedString(text) => {
                let text = text.clone();
                self.parser.advance_token();
                Ok(text)
            }
            _ => Err(self.unexpected("a string")),
        }
    }

    pub(super) fn unsigned(&mut self) -> Result<u64> {
        match &self.parser.peek_token_ref().token {
            Token::Number(digits, _) => match digits.parse() {
                Ok(number) => {
                    self.parser.advance_token();
                    Ok(number)
                }
                Err(_) => Err(self.unexpected("a whole number")),
            },
            _ => Err(self.unexpected("a whole number")),
        }
    }

    /// An expression, ready for the tree.
    pub(super) fn expr(&mut self) -> Result<Expr> {
        let mut expr = self
            .parser
            .parse_expr()
            .map_err(|error| self.fault(error))?;
        self.finish(&mut expr)?;
        Ok(expr)
    }

    /// Makes what sqlparser has read ready for the tree, or refuses it.
    pub(super) fn finish<T: Visit + VisitMut>(&self, tree: &mut T) -> Result<()> {
        blank::spell_out_tables(tree);
        let mut normalize = idents::Normalize::default();
        idents::rewrite(tree, &mut normalize);
        if let Some(empty) = normalize.empty {
            let mut error =
                ParseError::new(ParseErrorKind::Syntax, "zero-length delimited identifier");
            error.position = position(empty.span);
            return Err(error);
        }
        audit::check(tree, &self.options.limits)
    }

    /// `DEFAULT`, which is NULL, or an expression.
    pub(super) fn expr_or_default(&mut self) -> Result<Expr> {
        if let Token::Word(word) = &self.parser.peek_token_ref().token
            && word.keyword == Keyword::DEFAULT
            && word.quote_style.is_none()
        {
            let span = self.parser.next_token().span;
            return Ok(Expr::Value(sqlparser::ast::Value::Null.with_span(span)));
        }
        self.expr()
    }

    pub(super) fn data_type(&mut self) -> Result<DataType> {
        self.dialect
            .parse_type(&mut self.parser)
            .map_err(|error| self.fault(error))
    }
}
