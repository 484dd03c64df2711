//! Where statements end, for a shell that reads lines.

use sqlparser::tokenizer::Token;

use crate::{
    ast::Span,
    config::ParseOptions,
    lexer::{LexError, Lexer, Unterminated},
};

/// What a text consists of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Split {
    /// The statements that end with `;`, without it; empty ones are left out.
    pub statements: Vec<Span>,
    /// What follows the last `;`, if it is more than white space and comments.
    pub rest: Option<Span>,
    /// What the end of the text leaves open.
    pub open: Option<Open>,
}

/// Something that has begun and not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Open {
    /// A string.
    String,
    /// A `$tag$` string.
    DollarString,
    /// A quoted name.
    Identifier,
    /// A comment.
    Comment,
    /// A parenthesis.
    Parenthesis,
}

impl Split {
    /// Whether the text can be sent as it is: nothing, or statements each of which ends with `;`.
    pub fn is_complete(&self) -> bool {
        self.rest.is_none() && self.open.is_none()
    }
}

/// Cuts a text at each `;` outside strings, quoted names and comments. Accepts any text.
pub fn split_statements(text: &str, options: &ParseOptions) -> Split {
    let mut lexer = Lexer::new(text, options);
    let mut split = Split::default();
    let mut statement: Option<Span> = None;
    let mut depth = 0usize;
    loop {
        let span = match lexer.next_token() {
            Ok(None) => break,
            Ok(Some((token, _))) if token.token == Token::SemiColon => {
                split.statements.extend(statement.take());
                depth = 0;
                continue;
            }
            Ok(Some((token, span))) => {
                match token.token {
                    Token::LParen => depth += 1,
                    Token::RParen => depth = depth.saturating_sub(1),
                    _ => {}
                }
                span
            }
            Err(LexError::Invalid { start, .. }) => {
                // The parser will say what is wrong with it; here it is part of a statement like anything else.
                if lexer.byte() == start {
                    lexer.skip_char();
                }
                Span {
                    start,
                    end: lexer.byte(),
                }
            }
            Err(LexError::Unterminated { what, start }) => {
                split.open = Some(match what {
                    Unterminated::String => Open::String,
                    Unterminated::DollarString => Open::DollarString,
                    Unterminated::Identifier => Open::Identifier,
                    Unterminated::Comment => Open::Comment,
                });
                let start = statement.map_or(start, |span| span.start);
                split.rest = Some(Span {
                    start,
                    end: text.len(),
                });
                return split;
            }
        };
        statement = Some(Span {
            start: statement.map_or(span.start, |s| s.start),
            end: span.end,
        });
    }
    split.rest = statement;
    split.open = (depth > 0).then_some(Open::Parenthesis);
    split
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(text: &str, expected: Expect) {
        let split = split_statements(text, &ParseOptions::default());
        let mut drawn = String::new();
        for statement in &split.statements {
            drawn += &format!("statement {:?}\n", statement.text(text));
        }
        if let Some(rest) = &split.rest {
            drawn += &format!("rest {:?} open {:?}\n", rest.text(text), split.open);
        }
        expected.assert_eq(&drawn);
    }

    #[test]
    fn semicolons_end_statements() {
        check(
            "select 1; ;; select 2 -- two\n;",
            expect![[r#"
                statement "select 1"
                statement "select 2"
            "#]],
        );
        check("  -- nothing;\n /* ; */ ", expect![""]);
    }

    #[test]
    fn semicolons_inside_quotes_do_not() {
        check(
            r#"select ';', ";", `;`, $$;$$, $a$;$$;$a$, E'\';' /* /* ; */ ; */;"#,
            expect![[r#"
                statement "select ';', \";\", `;`, $$;$$, $a$;$$;$a$, E'\\';'"
            "#]],
        );
    }

    #[test]
    fn what_is_open_is_told() {
        check(
            "select 1; select 'it",
            expect![[r#"
            statement "select 1"
            rest "select 'it" open Some(String)
        "#]],
        );
        check(
            "select \"a",
            expect![[r#"
            rest "select \"a" open Some(Identifier)
        "#]],
        );
        check(
            "select $x$ a $$",
            expect![[r#"
            rest "select $x$ a $$" open Some(DollarString)
        "#]],
        );
        check(
            "/* select 1;",
            expect![[r#"
            rest "/* select 1;" open Some(Comment)
        "#]],
        );
        check(
            "create table t (",
            expect![[r#"
            rest "create table t (" open Some(Parenthesis)
        "#]],
        );
    }

    #[test]
    fn what_no_lexer_knows_is_passed_over() {
        check(
            "select {1} 12abc; select 2;",
            expect![[r#"
            statement "select {1} 12abc"
            statement "select 2"
        "#]],
        );
    }
}
