//! Symbols.

use sqlparser::tokenizer::Token;

use super::{LexError, Lexer, excerpt};

/// Every symbol of two or more characters, longer ones first.
const LONG: &[(&str, Token)] = &[
    ("!~~*", Token::ExclamationMarkDoubleTildeAsterisk),
    ("->>", Token::LongArrow),
    ("#>>", Token::HashLongArrow),
    ("!~~", Token::ExclamationMarkDoubleTilde),
    ("~~*", Token::DoubleTildeAsterisk),
    ("!~*", Token::ExclamationMarkTildeAsterisk),
    ("::", Token::DoubleColon),
    (":=", Token::Assignment),
    ("=>", Token::RArrow),
    ("->", Token::Arrow),
    ("<>", Token::Neq),
    ("!=", Token::Neq),
    ("<=", Token::LtEq),
    (">=", Token::GtEq),
    ("||", Token::StringConcat),
    ("<<", Token::ShiftLeft),
    (">>", Token::ShiftRight),
    ("&&", Token::Overlap),
    ("~~", Token::DoubleTilde),
    ("~*", Token::TildeAsterisk),
    ("!~", Token::ExclamationMarkTilde),
    ("#>", Token::HashArrow),
    ("#-", Token::HashMinus),
    ("@>", Token::AtArrow),
    ("<@", Token::ArrowAt),
    ("@?", Token::AtQuestion),
    ("@@", Token::AtAt),
    ("?|", Token::QuestionPipe),
    ("?&", Token::QuestionAnd),
    ("^@", Token::CaretAt),
];

impl Lexer<'_> {
    pub(super) fn operator(&mut self, start: usize) -> Result<Token, LexError> {
        let rest = &self.text[start..];
        if let Some((symbol, token)) = LONG.iter().find(|(symbol, _)| rest.starts_with(symbol)) {
            self.advance(symbol.len());
            return Ok(token.clone());
        }
        let token = match rest.as_bytes()[0] {
            b'(' => Token::LParen,
            b')' => Token::RParen,
            b'[' => Token::LBracket,
            b']' => Token::RBracket,
            b',' => Token::Comma,
            b';' => Token::SemiColon,
            b'.' => Token::Period,
            b':' => Token::Colon,
            b'=' => Token::Eq,
            b'<' => Token::Lt,
            b'>' => Token::Gt,
            b'+' => Token::Plus,
            b'-' => Token::Minus,
            b'*' => Token::Mul,
            b'/' => Token::Div,
            b'%' => Token::Mod,
            b'^' => Token::Caret,
            b'|' => Token::Pipe,
            b'&' => Token::Ampersand,
            b'#' => Token::Sharp,
            b'~' => Token::Tilde,
            b'?' => Token::Question,
            _ => {
                let length = self.peek().map_or(0, char::len_utf8);
                let near = excerpt(&rest[..length]);
                return Err(self.invalid(start, format!("syntax error at or near \"{near}\"")));
            }
        };
        self.advance(1);
        Ok(token)
    }
}
